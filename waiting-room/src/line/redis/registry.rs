//! Registry of events: one key with the ids of all events, and one line per event. A removed event stays in the
//! registry, marked as removed, so that no node restores it from its cache.

use super::batch::Failed;
use super::cache::bytes;
use super::{Redis, script};
use crate::line::{EVENTS_MAX, EventSettings, Order, Patch, Refused};
use redis::{Cmd, Value};
use shared::group_commit::Unavailable;
use shared::ids::EventId;
use shared::time::Time;
use std::sync::Arc;

const IS_THERE: &str = "1";
const IS_GONE: &str = "gone";
/// Attempts at a change of settings that lost to concurrent changes.
const TRIES: usize = 20;
/// Maximum number of keys deleted in one command.
const DELETED_MAX: usize = 500;
/// Numbers per key.
const CHUNK: u64 = 512;

/// Returns the prefix of all keys of an event. The braces keep them in one slot of a cluster.
pub(super) fn base(engine: &Redis, event: &EventId) -> String {
    format!("{}:{{{event}}}", engine.prefix)
}

fn registry(engine: &Redis) -> String {
    format!("{}:events", engine.prefix)
}

async fn send(engine: &Redis, name: &str, arguments: &[&str]) -> Result<Value, Refused> {
    let mut command = Cmd::new();
    command.arg(name);
    for argument in arguments {
        command.arg(*argument);
    }
    Ok(engine
        .link
        .send(&command)
        .await
        .map_err(Unavailable::from)?)
}

/// Adds an event to the registry.
pub(super) async fn register(engine: &Redis, event: &EventId) -> Result<(), Refused> {
    let entry = [&registry(engine), event.as_str(), IS_THERE];
    send(engine, "HSET", &entry).await.map(drop)
}

/// Returns whether an organiser removed the event, as opposed to the store having lost it.
pub(super) async fn was_removed(engine: &Redis, event: &EventId) -> Result<bool, Refused> {
    let kept = send(engine, "HGET", &[&registry(engine), event.as_str()]).await?;
    Ok(bytes(&kept) == IS_GONE.as_bytes())
}

pub(super) async fn create(engine: &Redis, settings: EventSettings) -> Result<(), Refused> {
    let mistakes = settings.mistakes();
    if !mistakes.is_empty() {
        return Err(Refused::Invalid(mistakes));
    }
    let there = registered(engine).await?;
    if there.len() >= EVENTS_MAX && !there.contains(&settings.id) {
        return Err(Refused::Full("this installation keeps no more events"));
    }
    // First the registry: an event missing from it could never be found again.
    register(engine, &settings.id).await?;
    let mut arguments = vec![json(&settings)];
    arguments.extend(policy(&settings));
    let is_draw = settings.order == Order::Draw;
    arguments.extend(pair("draw", i64::from(is_draw)));
    arguments.extend(["seed".to_owned(), super::new_seed()]);
    let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
    let here = engine.here(&settings.id);
    match here.caller.call(&script::CREATE, &arguments).await {
        Ok(values) if values.is_empty() => Ok(()),
        Ok(_) => Err(Refused::Exists),
        Err(failed) => Err(Unavailable::from(failed).into()),
    }
}

pub(super) async fn configure(
    engine: &Redis,
    event: &EventId,
    patch: &Patch,
) -> Result<(EventSettings, EventSettings), Refused> {
    let here = engine.here(event);
    for _ in 0..TRIES {
        let front = here.look(engine, event).await?;
        let before = (*front.settings).clone();
        let after = before.with(patch);
        let mut mistakes = after.mistakes();
        if after.is_another_draw(&before) && front.numbers > 0 {
            mistakes.push(super::super::event_settings::too_late());
        }
        if !mistakes.is_empty() {
            return Err(Refused::Invalid(mistakes));
        }
        let is_same_order = !after.is_another_draw(&before);
        let mut arguments = vec![json(&before), json(&after)];
        arguments.push(i64::from(is_same_order).to_string());
        arguments.extend(policy(&after));
        if !is_same_order {
            arguments.extend(pair("draw", i64::from(after.order == Order::Draw)));
        }
        let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        match here.caller.call(&script::CONFIGURE, &arguments).await {
            Ok(_) => return Ok((before, after)),
            Err(Failed::Busy) => {}
            Err(failed) => return Err(Unavailable::from(failed).into()),
        }
    }
    Err(Unavailable.into())
}

/// Returns the settings that scripts need, as fields and values.
fn policy(settings: &EventSettings) -> Vec<String> {
    let admission = &settings.admission;
    let ms = |seconds: u32| i64::from(seconds) * 1000;
    let instant = |time: Option<Time>| time.map_or(0, |time| time.0.max(1));
    [
        ("rate", i64::from(admission.rate_per_minute)),
        ("batch_ms", ms(admission.batch_seconds)),
        ("max_active", i64::from(admission.max_active)),
        ("claim_ms", ms(admission.claim_seconds)),
        ("session_ms", ms(admission.session_seconds)),
        ("away_ms", ms(admission.away_seconds)),
        ("line_at", instant(settings.prequeue_opens_at)),
        ("sale_at", instant(settings.sale_opens_at)),
        ("closes_at", instant(settings.closes_at)),
        ("paused", i64::from(settings.paused)),
        ("needs_beacon", i64::from(settings.beacon.is_some())),
    ]
    .into_iter()
    .flat_map(|(name, value)| pair(name, value))
    .collect()
}

fn pair(name: &str, value: i64) -> [String; 2] {
    [name.to_owned(), value.to_string()]
}

/// Returns the settings fields for restoring a line that the store has lost.
pub(super) fn fields_of(settings: &EventSettings) -> Vec<String> {
    let mut fields = vec!["settings".to_owned(), json(settings)];
    fields.extend(policy(settings));
    fields
}

fn json(settings: &EventSettings) -> String {
    serde_json::to_string(settings).expect("settings are plain data")
}

pub(super) async fn remove(engine: &Redis, event: &EventId) -> Result<(), Refused> {
    let here = engine.here(event);
    let front = here.look(engine, event).await?;
    // First the registry, so that no node restores the event; a second attempt finds the rest.
    send(
        engine,
        "HSET",
        &[&registry(engine), event.as_str(), IS_GONE],
    )
    .await?;
    let base = base(engine, event);
    send(engine, "UNLINK", &[&format!("{base}:meta")]).await?;
    let mut keys: Vec<String> = [
        "slots", "lapses", "waits", "nodes", "beats", "reaping", "told",
    ]
    .map(|name| format!("{base}:{name}"))
    .into();
    for node in 1..=250 {
        keys.push(format!("{base}:in:{node}"));
    }
    // A draw starts the second key generation, a draw that the store lost the third or fourth.
    for generation in 1..=4 {
        keys.extend(
            ["alive", "visitors", "aways"].map(|name| format!("{base}:{generation}:{name}")),
        );
        for chunk in 0..=front.numbers / CHUNK {
            keys.extend(["p", "o", "d"].map(|name| format!("{base}:{generation}:{name}:{chunk}")));
        }
    }
    for some in keys.chunks(DELETED_MAX) {
        let keys: Vec<&str> = some.iter().map(String::as_str).collect();
        send(engine, "UNLINK", &keys).await?;
    }
    engine.forget(event);
    Ok(())
}

/// Returns the ids of all events, sorted.
async fn registered(engine: &Redis) -> Result<Vec<EventId>, Refused> {
    let answer = send(engine, "HGETALL", &[&registry(engine)]).await?;
    let values: Vec<Value> = match answer {
        Value::Array(values) => values,
        Value::Map(pairs) => pairs.into_iter().flat_map(|(a, b)| [a, b]).collect(),
        _ => return Err(Unavailable.into()),
    };
    let mut events: Vec<EventId> = values
        .chunks(2)
        .filter(|pair| pair.len() == 2 && bytes(&pair[1]) == IS_THERE.as_bytes())
        .filter_map(|pair| EventId::parse(&String::from_utf8_lossy(bytes(&pair[0]))).ok())
        .collect();
    events.sort();
    Ok(events)
}

pub(super) async fn list(engine: &Redis) -> Result<Vec<Arc<EventSettings>>, Refused> {
    let mut all = Vec::new();
    let mut ids = registered(engine).await?;
    for id in engine.noted() {
        if !ids.contains(&id) && !was_removed(engine, &id).await? {
            ids.push(id);
        }
    }
    for id in ids {
        let here = engine.here(&id);
        let fresh = here.front_since(super::recently());
        let settings = match here.settings().filter(|_| fresh) {
            Some(settings) => Ok(settings),
            None => here
                .look(engine, &id)
                .await
                .map(|front| front.settings.clone()),
        };
        match (settings, here.settings()) {
            (Ok(settings), _) => all.push(settings),
            (Err(Refused::NoSuchEvent), _) => {}
            // The store does not answer for this line now; the settings cached a moment ago still hold.
            (Err(_), Some(settings)) => all.push(settings),
            (Err(error), None) => return Err(error),
        }
    }
    Ok(all)
}
