//! Data of a server, and what it replies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Reply to a command, as the second version of the protocol has them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// A word such as OK.
    Status(String),
    /// Replies in turn.
    Array(Vec<Reply>),
    /// A refusal; its first word is the code.
    Error(String),
}

impl Reply {
    pub(crate) fn ok() -> Reply {
        Reply::Status("OK".to_owned())
    }

    pub(crate) fn count(count: usize) -> Reply {
        Reply::Integer(count as i64)
    }

    pub(crate) fn bulk(bytes: &[u8]) -> Reply {
        Reply::Bulk(bytes.to_vec())
    }

    pub(crate) fn optional(bytes: Option<&[u8]>) -> Reply {
        bytes.map_or(Reply::Nil, Reply::bulk)
    }

    pub(crate) fn list<'a>(all: impl IntoIterator<Item = &'a Vec<u8>>) -> Reply {
        Reply::Array(all.into_iter().map(|one| Reply::bulk(one)).collect())
    }
}

/// Outcome of a command: its reply, or the text of its refusal.
pub(crate) type Outcome = Result<Reply, String>;

pub(crate) const WRONG_TYPE: &str =
    "WRONGTYPE Operation against a key holding the wrong kind of value";

/// Value of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string, also used as an array of bytes or bits.
    Text(Vec<u8>),
    /// A hash.
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// A list.
    List(VecDeque<Vec<u8>>),
    /// A set.
    Set(BTreeSet<Vec<u8>>),
    /// A sorted set.
    Sorted(SortedSet),
    /// A stream.
    Stream(Stream),
}

/// A score, ordered as numbers are. It is never NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score(pub(crate) f64);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> std::cmp::Ordering {
        self.0.partial_cmp(&other.0).expect("no score is NaN")
    }
}

/// A sorted set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SortedSet {
    scores: BTreeMap<Arc<[u8]>, Score>,
    order: BTreeSet<(Score, Arc<[u8]>)>,
}

impl SortedSet {
    /// Returns the members with their scores, the lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], f64)> + ExactSizeIterator {
        self.order
            .iter()
            .map(|(score, member)| (&**member, score.0))
    }

    /// Returns the score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).map(|score| score.0)
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns whether it has no member.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Adds a member or changes its score, and returns the score that it had.
    pub(crate) fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let before = self.remove(member);
        // No negative zero.
        let score = Score(score + 0.0);
        let member: Arc<[u8]> = member.into();
        self.order.insert((score, member.clone()));
        self.scores.insert(member, score);
        before
    }

    /// Removes a member, and returns the score that it had.
    pub(crate) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (member, score) = self.scores.remove_entry(member)?;
        self.order.remove(&(score, member));
        Some(score.0)
    }
}

/// Id of an entry of a stream: two numbers, the first of which counts more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64, pub u64);

/// A stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    /// The entries with their fields and values in turn, the oldest first.
    pub entries: VecDeque<(StreamId, Vec<Vec<u8>>)>,
    /// The id that was added last.
    pub(crate) last: StreamId,
    /// Number of the entries that were removed from the beginning.
    pub(crate) removed: u64,
}

/// A type of values.
pub(crate) trait Kind: Default {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn wrap(self) -> Value;
    fn is_over(&self) -> bool;
}

macro_rules! kind {
    ($type:ty, $variant:ident, $is_over:expr) => {
        impl Kind for $type {
            fn of(value: &Value) -> Option<&Self> {
                match value {
                    Value::$variant(it) => Some(it),
                    _ => None,
                }
            }
            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                match value {
                    Value::$variant(it) => Some(it),
                    _ => None,
                }
            }
            fn wrap(self) -> Value {
                Value::$variant(self)
            }
            fn is_over(&self) -> bool {
                let is_over: fn(&$type) -> bool = $is_over;
                is_over(self)
            }
        }
    };
}

// An empty string or stream stays; any other empty collection goes.
kind!(Vec<u8>, Text, |_| false);
kind!(BTreeMap<Vec<u8>, Vec<u8>>, Hash, BTreeMap::is_empty);
kind!(VecDeque<Vec<u8>>, List, VecDeque::is_empty);
kind!(BTreeSet<Vec<u8>>, Set, BTreeSet::is_empty);
kind!(SortedSet, Sorted, SortedSet::is_empty);
kind!(Stream, Stream, |_| false);

/// A key's value, shared with snapshots until it changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) value: Arc<Value>,
    /// Time at which the key expires, in ms.
    pub(crate) expires_at: Option<i64>,
}

/// The data at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot(BTreeMap<Arc<[u8]>, Entry>);

/// Identities of a server, as INFO has them: 40 hex digits each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// Another one after every restart.
    pub run_id: String,
    /// Another one after every restart and every promotion to master.
    pub replication_id: String,
}

/// The data of a server, with its time and its identities, which commands may ask for.
#[derive(Debug, Default)]
pub struct Database {
    pub(crate) keys: BTreeMap<Arc<[u8]>, Entry>,
    pub(crate) now_us: i64,
    pub(crate) life: Life,
}

impl Database {
    /// Returns the time in ms.
    pub(crate) fn now(&self) -> i64 {
        self.now_us.div_euclid(1000)
    }

    /// Returns the value of a key.
    pub fn value(&self, key: &[u8]) -> Option<&Value> {
        let entry = self.keys.get(key)?;
        let is_over = entry.expires_at.is_some_and(|at| at <= self.now());
        (!is_over).then_some(&*entry.value)
    }

    /// Returns the value of a key to keep: it is not changed in place as long as it is shared.
    pub fn shared(&self, key: &[u8]) -> Option<&Arc<Value>> {
        self.value(key)?;
        self.keys.get(key).map(|entry| &entry.value)
    }

    /// Returns the names of all keys.
    pub fn names(&self) -> Vec<Vec<u8>> {
        let there = self.keys.keys().filter(|key| self.value(key).is_some());
        there.map(|key| key.to_vec()).collect()
    }

    /// Returns the data as it is now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.keys.clone())
    }

    /// Replaces all data.
    pub(crate) fn load(&mut self, snapshot: Snapshot) {
        self.keys = snapshot.0;
    }

    /// Removes a key that has expired.
    pub(crate) fn sweep(&mut self, key: &[u8]) {
        if self.keys.contains_key(key) && self.value(key).is_none() {
            self.keys.remove(key);
        }
    }

    pub(crate) fn read<K: Kind>(&self, key: &[u8]) -> Result<Option<&K>, String> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        K::of(value).map(Some).ok_or_else(|| WRONG_TYPE.to_owned())
    }

    /// Changes a value, which is created if there is none and removed when nothing is left in it.
    pub(crate) fn change<K: Kind + Clone, T>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut K) -> T,
    ) -> Result<T, String> {
        self.sweep(key);
        let (changed, is_over) = match self.keys.get_mut(key) {
            Some(entry) => {
                if K::of(&entry.value).is_none() {
                    return Err(WRONG_TYPE.to_owned());
                }
                let value = Arc::make_mut(&mut entry.value);
                let value = K::of_mut(value).expect("its type has been checked");
                let changed = change(value);
                (changed, value.is_over())
            }
            None => {
                let mut value = K::default();
                let changed = change(&mut value);
                if !value.is_over() {
                    self.put(key, value.wrap());
                }
                return Ok(changed);
            }
        };
        if is_over {
            self.keys.remove(key);
        }
        Ok(changed)
    }

    /// Sets a key that does not expire.
    pub(crate) fn put(&mut self, key: &[u8], value: Value) {
        let value = Arc::new(value);
        let entry = Entry {
            value,
            expires_at: None,
        };
        self.keys.insert(key.into(), entry);
    }
}
