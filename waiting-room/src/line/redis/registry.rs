//! Registry of events: one key with the ids of all of them and the identities of their creations. A
//! removed event stays there for some days, marked as removed, so that no node restores it.

use super::reply::bytes;
use super::store::Store;
use crate::line::{Life, Refused};
use redis::Value;
use shared::group_commit::Unavailable;
use shared::ids::EventId;
use std::collections::BTreeMap;

/// First word of the entry of a removed event; the second is when it was removed, in ms.
const REMOVED: &str = "gone";
/// Time after which a removed event is forgotten, in ms. A node that was stopped for longer must not
/// be started with its old data folder.
const REMOVED_KEPT_MS: i64 = 30 * 24 * 3600 * 1000;

/// Entry of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It was created, with this identity.
    Created(u64),
    /// An organiser removed it at this time, in ms.
    Removed(i64),
}

impl Entry {
    fn read(value: &Value) -> Option<Entry> {
        let text = std::str::from_utf8(bytes(value)).ok()?;
        match text.split_once(' ') {
            Some((REMOVED, at)) => Some(Entry::Removed(at.parse().unwrap_or(0))),
            _ => Life::parse(text).map(Entry::Created),
        }
    }
}

/// Records the creation of an event.
pub(super) async fn set(store: &Store, event: &EventId, creation: u64) -> Result<(), Refused> {
    write(store, event, &Life::hex(creation)).await
}

/// Marks an event as removed by an organiser.
pub(super) async fn mark_removed(store: &Store, event: &EventId) -> Result<(), Refused> {
    let now = store.clock.now().0;
    write(store, event, &format!("{REMOVED} {now}")).await
}

async fn write(store: &Store, event: &EventId, entry: &str) -> Result<(), Refused> {
    let key = store.keys.events();
    let sent = store.send(["HSET", &key, event.as_str(), entry]).await;
    Ok(sent.map(drop).map_err(Unavailable::from)?)
}

/// Returns the entry of an event; none if there never was one, or the store has lost it.
pub(super) async fn get(store: &Store, event: &EventId) -> Result<Option<Entry>, Refused> {
    let key = store.keys.events();
    let kept = store.send(["HGET", &key, event.as_str()]).await;
    Ok(Entry::read(&kept.map_err(Unavailable::from)?))
}

/// Returns all entries, and forgets events that were removed long ago.
pub(super) async fn all(store: &Store) -> Result<BTreeMap<EventId, Entry>, Refused> {
    let key = store.keys.events();
    let answer = store.send(["HGETALL", &key]).await;
    let values: Vec<Value> = match answer.map_err(Unavailable::from)? {
        Value::Array(values) => values,
        Value::Map(pairs) => pairs.into_iter().flat_map(|(a, b)| [a, b]).collect(),
        _ => return Err(Unavailable.into()),
    };
    let mut entries = BTreeMap::new();
    let long_ago = store.clock.now().0 - REMOVED_KEPT_MS;
    for pair in values.chunks_exact(2) {
        let name = String::from_utf8_lossy(bytes(&pair[0]));
        let (Ok(event), Some(entry)) = (EventId::parse(&name), Entry::read(&pair[1])) else {
            continue;
        };
        if matches!(entry, Entry::Removed(at) if at < long_ago) {
            let forgotten = store.send(["HDEL", &key, event.as_str()]).await;
            forgotten.map_err(Unavailable::from)?;
            continue;
        }
        entries.insert(event, entry);
    }
    Ok(entries)
}
