//! Registry of events: one key with the ids of all of them. A removed event stays there, marked as
//! removed, so that no node restores it from its cache.

use super::reply::bytes;
use super::store::Store;
use crate::line::Refused;
use redis::Value;
use shared::group_commit::Unavailable;
use shared::ids::EventId;

const EXISTS: &str = "1";
const REMOVED: &str = "gone";

/// Adds an event.
pub(super) async fn add(store: &Store, event: &EventId) -> Result<(), Refused> {
    set(store, event, EXISTS).await
}

/// Marks an event as removed by an organiser.
pub(super) async fn mark_removed(store: &Store, event: &EventId) -> Result<(), Refused> {
    set(store, event, REMOVED).await
}

async fn set(store: &Store, event: &EventId, state: &str) -> Result<(), Refused> {
    let key = store.keys.events();
    let sent = store.send(["HSET", &key, event.as_str(), state]).await;
    Ok(sent.map(drop).map_err(Unavailable::from)?)
}

/// Returns whether an organiser removed the event, as opposed to the store having lost it.
pub(super) async fn was_removed(store: &Store, event: &EventId) -> Result<bool, Refused> {
    let key = store.keys.events();
    let kept = store.send(["HGET", &key, event.as_str()]).await;
    Ok(bytes(&kept.map_err(Unavailable::from)?) == REMOVED.as_bytes())
}

/// Returns the ids of all events, sorted.
pub(super) async fn all(store: &Store) -> Result<Vec<EventId>, Refused> {
    let key = store.keys.events();
    let answer = store.send(["HGETALL", &key]).await;
    let values: Vec<Value> = match answer.map_err(Unavailable::from)? {
        Value::Array(values) => values,
        Value::Map(pairs) => pairs.into_iter().flat_map(|(a, b)| [a, b]).collect(),
        _ => return Err(Unavailable.into()),
    };
    let mut events: Vec<EventId> = values
        .chunks_exact(2)
        .filter(|pair| bytes(&pair[1]) == EXISTS.as_bytes())
        .filter_map(|pair| EventId::parse(&String::from_utf8_lossy(bytes(&pair[0]))).ok())
        .collect();
    events.sort();
    Ok(events)
}
