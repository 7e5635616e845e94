//! A cap on what each client address has at one time, such as places in line.
//!
//! Entries are added when something is given and checked only once an address is full: the owner
//! then says which of them have ended. No end has to be reported, so a node that dies leaves
//! nothing behind that would have to be cleared.

#[cfg(test)]
pub(super) mod tests;

use super::network::{FACTORS, Network, WIDTHS, networks};
use crate::crypto::Secret;
use crate::time::Time;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// Time for which an entry counts whatever the owner says: its request may still be under way.
const UNDER_WAY_MS: i64 = 10_000;
/// Time after which an entry is forgotten.
const KEPT_MS: i64 = 12 * 3_600_000;
/// Largest number of entries at a node. Beyond it nothing more is counted until some are forgotten.
const ENTRIES_MAX: usize = 1_000_000;
/// An address with more than one part in so many of its cap is made known to the other nodes: fans
/// who come one by one cost the store nothing.
const SHARED_FROM: usize = 4;
/// Largest number of members that a store returns at a time.
pub const MEMBERS_MAX: usize = 20_000;
/// Age up to which members are read again, as they may have been written out of order.
const OVERLAP_MS: i64 = 5_000;
/// Time between two removals of old entries.
const SWEEP_MS: i64 = 3_600_000;

/// Lists that all nodes share in a store.
#[async_trait]
pub trait SharedLists: Send + Sync {
    /// Changes a list, and returns its newest members, at most [`MEMBERS_MAX`]; none if the store
    /// did not answer.
    async fn change(&self, change: &ListChange) -> Option<Vec<ListMember>>;
}

/// Change of a list.
#[derive(Clone, Debug)]
pub struct ListChange {
    /// Number that stands for the network.
    pub list: u64,
    /// Members to be added.
    pub added: Vec<Vec<u8>>,
    /// Members to be removed.
    pub removed: Vec<Vec<u8>>,
    /// Time after which members are forgotten, in ms.
    pub kept_ms: i64,
    /// Age of the oldest member to be returned, in ms.
    pub newer_than_ms: i64,
}

/// Member of a list.
#[derive(Clone, Debug)]
pub struct ListMember {
    /// The member as it was added.
    pub member: Vec<u8>,
    /// Time since it was added, in ms.
    pub age_ms: i64,
}

/// A cap for each client address and, more widely, for the networks around it. `N` is the length of
/// the ids of what is counted.
pub struct Cap<const N: usize> {
    /// Largest number for an address; 0 for no cap.
    max: usize,
    secret: Secret,
    entries: Mutex<Entries<N>>,
    lists: OnceLock<Arc<dyn SharedLists>>,
}

struct Entries<const N: usize> {
    known: BTreeMap<CapEntry<N>, Known>,
    /// By list, when it was last read.
    read_at: HashMap<u64, Time>,
    swept_at: Time,
}

/// A thing that an address has. Networks are hashed, so that neither a node nor the store keeps an address;
/// those of a wider network follow one another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CapEntry<const N: usize> {
    widest: u64,
    middle: u32,
    address: u32,
    id: [u8; N],
}

#[derive(Clone, Copy)]
struct Known {
    at: Time,
    is_shared: bool,
}

/// How much of its cap an address has, with what is about to be added.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fullness {
    Low,
    /// Enough to be shared.
    High,
    /// The network of this width is full, so nothing was added.
    Full(usize),
}

/// Holder of something that counts against a cap.
#[derive(Clone, Copy)]
pub struct Holder<'a, const N: usize> {
    /// Subject that has a cap of its own, such as an event.
    pub scope: &'a str,
    /// The client's address.
    pub address: IpAddr,
    /// Identifies what is counted.
    pub id: [u8; N],
}

impl<const N: usize> CapEntry<N> {
    fn first(self, width: usize) -> CapEntry<N> {
        let mut first = CapEntry { id: [0; N], ..self };
        if width > 0 {
            first.address = 0;
        }
        if width > 1 {
            first.middle = 0;
        }
        first
    }

    fn last(self, width: usize) -> CapEntry<N> {
        let mut last = CapEntry {
            id: [u8::MAX; N],
            ..self
        };
        if width > 0 {
            last.address = u32::MAX;
        }
        if width > 1 {
            last.middle = u32::MAX;
        }
        last
    }

    /// Returns the entry as a member of the list of its widest network.
    fn member(&self) -> Vec<u8> {
        let (middle, address) = (self.middle.to_be_bytes(), self.address.to_be_bytes());
        [&middle[..], &address, &self.id].concat()
    }

    fn of_member(widest: u64, member: &[u8]) -> Option<CapEntry<N>> {
        let (middle, rest) = member.split_first_chunk()?;
        let (address, id) = rest.split_first_chunk()?;
        Some(CapEntry {
            widest,
            middle: u32::from_be_bytes(*middle),
            address: u32::from_be_bytes(*address),
            id: id.try_into().ok()?,
        })
    }
}

impl<const N: usize> Cap<N> {
    /// Creates a cap of `max` for each address; 0 sets none. Nodes that share a store must have the
    /// same secret.
    pub fn new(max: usize, secret: Secret) -> Cap<N> {
        Cap {
            max,
            secret,
            entries: Mutex::new(Entries {
                known: BTreeMap::new(),
                read_at: HashMap::new(),
                swept_at: Time(0),
            }),
            lists: OnceLock::new(),
        }
    }

    /// Counts what all nodes with the same store have given.
    pub fn share(&self, lists: Arc<dyn SharedLists>) {
        let _ = self.lists.set(lists);
    }

    /// Counts something that an address is about to be given, unless its cap is reached. `living`
    /// is called then, and returns which of these have not ended. Returns whether it was counted.
    /// While the store is away each node goes on alone.
    ///
    /// # Errors
    /// As `living`.
    pub async fn take<E, Asking>(
        &self,
        holder: Holder<'_, N>,
        now: Time,
        living: impl FnOnce(Vec<[u8; N]>) -> Asking,
    ) -> Result<bool, E>
    where
        Asking: Future<Output = Result<HashSet<[u8; N]>, E>>,
    {
        if self.max == 0 {
            return Ok(true);
        }
        let entry = self.entry(holder);
        let mut fullness = self.add(entry, now);
        if fullness != Fullness::Low && self.agree(entry, Vec::new(), now).await {
            fullness = self.add(entry, now);
        }
        let Fullness::Full(width) = fullness else {
            return Ok(true);
        };
        let living = living(self.ids(entry, width)).await?;
        let mut ended = self.remove_ended(entry, width, &living, now);
        let is_full = matches!(self.add(entry, now), Fullness::Full(_));
        if is_full {
            ended.push(entry.member());
        }
        self.agree(entry, ended, now).await;
        Ok(!is_full)
    }

    fn entry(&self, holder: Holder<'_, N>) -> CapEntry<N> {
        let Holder { scope, address, id } = holder;
        let hash = |network: Option<Network>| {
            let mac = network.map(|it| self.secret.sign(format!("{scope}\n{it}").as_bytes()));
            let mac = mac.and_then(|mac| mac.first_chunk().copied());
            mac.map_or(0, u64::from_be_bytes)
        };
        let [address, middle, widest] = networks(address).map(hash);
        CapEntry {
            widest,
            middle: middle as u32,
            address: address as u32,
            id,
        }
    }

    /// Returns the largest number that a network of a width may have.
    fn max_of(&self, width: usize) -> usize {
        self.max.saturating_mul(FACTORS[width] as usize)
    }

    /// Adds an entry, unless one of its networks is full: then it is removed.
    fn add(&self, entry: CapEntry<N>, now: Time) -> Fullness {
        let mut entries = self.entries.lock();
        entries.sweep(now);
        let mut fullness = Fullness::Low;
        // Networks of IPv4 have no middle width.
        let widths = (0..WIDTHS).filter(|width| *width != 1 || entry.middle != 0);
        for width in widths {
            let max = self.max_of(width);
            let others = entries.others(entry, width, now).take(max).count();
            if others >= max {
                entries.known.remove(&entry);
                return Fullness::Full(width);
            }
            if (others + 1) * SHARED_FROM > max {
                fullness = Fullness::High;
            }
        }
        if entries.known.len() < ENTRIES_MAX {
            let known = entries.known.entry(entry).or_insert(Known {
                at: now,
                is_shared: false,
            });
            known.at = now;
        }
        fullness
    }

    fn ids(&self, entry: CapEntry<N>, width: usize) -> Vec<[u8; N]> {
        let entries = self.entries.lock();
        let range = entries.known.range(entry.first(width)..=entry.last(width));
        range.map(|(entry, _)| entry.id).collect()
    }

    /// Removes the entries of a network that have ended, and returns them as members of its list.
    fn remove_ended(
        &self,
        entry: CapEntry<N>,
        width: usize,
        living: &HashSet<[u8; N]>,
        now: Time,
    ) -> Vec<Vec<u8>> {
        let mut entries = self.entries.lock();
        let range = entries.known.range(entry.first(width)..=entry.last(width));
        let has_ended = |(entry, known): &(&CapEntry<N>, &Known)| {
            known.at.0 + UNDER_WAY_MS <= now.0 && !living.contains(&entry.id)
        };
        let ended: Vec<CapEntry<N>> = range.filter(has_ended).map(|(entry, _)| *entry).collect();
        for entry in &ended {
            entries.known.remove(entry);
        }
        ended.iter().map(CapEntry::member).collect()
    }

    /// Tells the store what this node added to the list of a network and what has ended, and learns
    /// what other nodes added. Returns whether it answered.
    async fn agree(&self, entry: CapEntry<N>, removed: Vec<Vec<u8>>, now: Time) -> bool {
        let Some(lists) = self.lists.get() else {
            return false;
        };
        let (change, added) = self.change(entry, removed, now);
        let Some(members) = lists.change(&change).await else {
            return false;
        };
        let mut entries = self.entries.lock();
        entries.read_at.insert(change.list, now);
        for entry in added {
            if let Some(known) = entries.known.get_mut(&entry) {
                known.is_shared = true;
            }
        }
        for ListMember { member, age_ms } in members {
            let at = Time(now.0 - age_ms);
            let entry = CapEntry::of_member(change.list, &member);
            let entry = entry.filter(|_| !change.removed.contains(&member));
            if let Some(entry) = entry.filter(|_| entries.known.len() < ENTRIES_MAX) {
                let is_shared = true;
                let known = Known { at, is_shared };
                entries.known.entry(entry).or_insert(known);
            }
        }
        true
    }

    /// Returns the change that tells the store all it does not know yet, and what that adds.
    fn change(
        &self,
        entry: CapEntry<N>,
        removed: Vec<Vec<u8>>,
        now: Time,
    ) -> (ListChange, Vec<CapEntry<N>>) {
        let entries = self.entries.lock();
        let widest = WIDTHS - 1;
        let range = entries
            .known
            .range(entry.first(widest)..=entry.last(widest));
        let unknown = range.filter(|(_, known)| !known.is_shared);
        let added: Vec<CapEntry<N>> = unknown.map(|(entry, _)| *entry).collect();
        let read_at = entries.read_at.get(&entry.widest);
        let newer_than_ms = read_at.map_or(KEPT_MS, |at| now.0 - at.0 + OVERLAP_MS);
        let change = ListChange {
            list: entry.widest,
            added: added.iter().map(CapEntry::member).collect(),
            removed,
            kept_ms: KEPT_MS,
            newer_than_ms,
        };
        (change, added)
    }
}

impl<const N: usize> Entries<N> {
    /// Returns the other entries of an entry's network.
    fn others(
        &self,
        entry: CapEntry<N>,
        width: usize,
        now: Time,
    ) -> impl Iterator<Item = &CapEntry<N>> {
        let range = self.known.range(entry.first(width)..=entry.last(width));
        let counted =
            range.filter(move |(other, known)| known.at.0 + KEPT_MS > now.0 && **other != entry);
        counted.map(|(other, _)| other)
    }

    /// Removes old entries, once in a while.
    fn sweep(&mut self, now: Time) {
        if now.0 - self.swept_at.0 < SWEEP_MS {
            return;
        }
        self.swept_at = now;
        self.known.retain(|_, known| known.at.0 + KEPT_MS > now.0);
        self.read_at.retain(|_, at| at.0 + KEPT_MS > now.0);
    }
}
