//! Registry of events: one key with the ids of all of them and the identities of their creations. A
//! removed event stays there for some days, marked as removed, so that no node restores it.

use super::reply::{Reply, Status, bytes, number};
use super::script;
use super::store::{CallError, Caller, Store};
use crate::line::{Life, Refused};
use redis::Value;
use shared::group_commit::Unavailable;
use shared::ids::EventId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// First word of the entry of a removed event. The others are when it was removed, in ms, and the
/// identity of its creation.
const REMOVED: &str = "gone";
/// Name of the entry that counts changes of events that are over. No event's id begins with a
/// hyphen.
const CHANGES: &str = "-changes";
/// Time after which a removed event is forgotten, in ms. Backups of nodes that were stopped for
/// longer are not used.
pub(super) const REMOVED_KEPT_MS: i64 = 30 * 24 * 3600 * 1000;

/// Entry of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegistryEntry {
    /// It was created, with this identity.
    Created(u64),
    /// It was removed at this time, in ms, and had this identity.
    Removed { at: i64, creation: u64 },
}

impl RegistryEntry {
    fn read(value: &Value) -> Option<RegistryEntry> {
        let text = std::str::from_utf8(bytes(value)).ok()?;
        let mut words = text.split(' ');
        let first = words.next()?;
        if first != REMOVED {
            return Life::parse(first).map(RegistryEntry::Created);
        }
        Some(RegistryEntry::Removed {
            at: words.next()?.parse().ok()?,
            creation: Life::parse(words.next()?)?,
        })
    }

    fn write(self) -> String {
        match self {
            RegistryEntry::Created(creation) => Life::hex(creation),
            RegistryEntry::Removed { at, creation } => {
                format!("{REMOVED} {at} {}", Life::hex(creation))
            }
        }
    }
}

/// The registry.
pub(super) struct Registry {
    pub(super) entries: BTreeMap<EventId, RegistryEntry>,
    /// Number of changes of events that are over.
    pub(super) changes: u64,
}

impl Registry {
    /// Returns the events that were created and not removed.
    pub(super) fn created(&self) -> impl Iterator<Item = &EventId> {
        let is_created =
            |pair: &(&EventId, &RegistryEntry)| matches!(pair.1, RegistryEntry::Created(_));
        self.entries.iter().filter(is_created).map(|pair| pair.0)
    }
}

/// Records the creation of an event.
pub(super) async fn set(store: &Store, event: &EventId, creation: u64) -> Result<(), Refused> {
    let (key, entry) = (
        store.keys.events(),
        RegistryEntry::Created(creation).write(),
    );
    let sent = store.send(["HSET", &key, event.as_str(), &entry]).await;
    Ok(sent.map(drop).map_err(Unavailable::from)?)
}

/// Marks an event as removed, unless it was created again or is marked already; returns whether it
/// did.
pub(super) async fn mark_removed(
    store: &Store,
    event: &EventId,
    creation: u64,
) -> Result<bool, Refused> {
    let at = store.clock.now().0;
    let removed = RegistryEntry::Removed { at, creation }.write();
    replace(store, event, RegistryEntry::Created(creation), &removed).await
}

/// Replaces an entry unless it is another one by now; returns whether it did.
async fn replace(
    store: &Store,
    event: &EventId,
    before: RegistryEntry,
    after: &str,
) -> Result<bool, Refused> {
    let (key, before) = (store.keys.events(), before.write());
    let words = [event.as_str(), &before, after].into_iter();
    let reply = script::REGISTER.run(&store.connection, &key, words.map(str::as_bytes));
    let reply = Reply::parse(reply.await.map_err(Unavailable::from)?).ok_or(Unavailable)?;
    Ok(reply.status == Status::Ok)
}

/// Lets all nodes hear of a change of an event that is over: they do not tick it.
pub(super) async fn note_change(store: &Store) -> Result<(), Refused> {
    let key = store.keys.events();
    let sent = store.send(["HINCRBY", &key, CHANGES, "1"]).await;
    Ok(sent.map(drop).map_err(Unavailable::from)?)
}

/// Returns the entry of an event; none if there never was one, or the store has lost it.
pub(super) async fn get(store: &Store, event: &EventId) -> Result<Option<RegistryEntry>, Refused> {
    let key = store.keys.events();
    let kept = store.send(["HGET", &key, event.as_str()]).await;
    Ok(RegistryEntry::read(&kept.map_err(Unavailable::from)?))
}

/// Returns all of it, and forgets events that were removed long ago.
pub(super) async fn read(store: &Arc<Store>) -> Result<Registry, Refused> {
    let key = store.keys.events();
    let answer = store.send(["HGETALL", &key]).await;
    let values: Vec<Value> = match answer.map_err(Unavailable::from)? {
        Value::Array(values) => values,
        Value::Map(pairs) => pairs.into_iter().flat_map(|(a, b)| [a, b]).collect(),
        _ => return Err(Unavailable.into()),
    };
    let (mut entries, mut changes) = (BTreeMap::new(), 0);
    let long_ago = store.clock.now().0 - REMOVED_KEPT_MS;
    for pair in values.chunks_exact(2) {
        let name = String::from_utf8_lossy(bytes(&pair[0]));
        if name == CHANGES {
            changes = u64::try_from(number(&pair[1])).unwrap_or(0);
        }
        let (Ok(event), Some(entry)) = (EventId::parse(&name), RegistryEntry::read(&pair[1]))
        else {
            continue;
        };
        match entry {
            RegistryEntry::Removed { at, creation } if at < long_ago => {
                // In case the nodes that removed it failed half way.
                delete(store, &event, creation).await?;
                replace(store, &event, entry, "").await?;
            }
            _ => drop(entries.insert(event, entry)),
        }
    }
    Ok(Registry { entries, changes })
}

/// Deletes the keys of an event, unless it was created again; returns whether there were any.
pub(super) async fn delete(
    store: &Arc<Store>,
    event: &EventId,
    creation: u64,
) -> Result<bool, Refused> {
    let caller = Caller::new(store.clone(), event);
    let creation = Life::hex(creation);
    match caller.call(&script::REMOVE, &[creation.as_bytes()]).await {
        Ok(_) => Ok(true),
        Err(CallError::Gone) => Ok(false),
        Err(error) => Err(Unavailable::from(error).into()),
    }
}
