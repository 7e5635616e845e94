//! The recovery of a line after the store may have lost data: what this node knows is reported to
//! it, and the places of connected fans are recorded again.

use super::batch::{Unit, Units};
use super::cache::{DrawnOrder, LineCache};
use super::event_line::EventLine;
use super::keys::CHUNK;
use super::operations::{AWAY, PLACE, REENTER};
use super::policy::{json, policy};
use super::registry::{self, RegistryEntry};
use super::reply::{PlaceReply, Status, bytes, list};
use super::script::{self, Script};
use super::served::{AllServed, HeldSlot};
use super::store::CallError;
use super::view_reply::EventConstants;
use crate::line::{Life, Refused};
use futures_util::stream::{self, StreamExt as _};
use redis::Value;
use shared::group_commit::Unavailable;
use shared::ids::VisitorId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// Shortest time of a recovery, in ms, for nodes that no other node knows of yet.
const SETTLE_MS_MIN: u32 = 3_000;
/// Longest time that a line waits for the reports of all nodes, in ms.
const SETTLE_MS: u32 = 5_000;
/// The same after the store has lost the event and this node was restarted: others may be as well.
const SETTLE_RESTARTED_MS: u32 = 30_000;
/// Maximum number of slots reported in one call.
const SLOTS_MAX: usize = 50;
/// Calls under way at one time that tell who asked in vain, or the order of a draw.
const CALLS_AT_ONCE: usize = 16;
/// Number of slots read at once.
const SCANNED: &str = "1000";
/// Maximum number of attempts at recording the places of connected fans again, until the next loss.
const ATTEMPTS_MAX: usize = 100;
const PAUSE: Duration = Duration::from_millis(500);

/// Outcome of a report.
pub(super) enum Reported {
    /// The store has taken what this node knows, in this life.
    Taken(u64),
    /// The recovery was over, or the event is another one by now: what this node knows is obsolete.
    Obsolete,
}

impl EventLine {
    /// Handles an event that the store does not have: it was removed, or the store lost it and it
    /// is created again.
    pub(super) async fn restore(&self) -> Result<Reported, Refused> {
        let event = &self.event;
        let creation = self.cache().life().map(|life| life.creation);
        let creation = creation.ok_or(Refused::NoSuchEvent)?;
        match registry::get(self.store(), event).await? {
            None => registry::set(self.store(), event, creation).await?,
            Some(RegistryEntry::Created(registered)) if registered == creation => {}
            Some(_) => return Err(Refused::NoSuchEvent),
        }
        tracing::warn!(%event, "store has lost the event, restoring it from this node");
        let reported = self.report().await?;
        match registry::get(self.store(), event).await? {
            Some(RegistryEntry::Created(registered)) if registered == creation => Ok(reported),
            // The store has lost the registry once more, and with it the event.
            None => Ok(reported),
            // It was removed at this moment.
            Some(_) => {
                registry::delete(&self.caller.store, event, creation).await?;
                Err(Refused::NoSuchEvent)
            }
        }
    }

    /// Reports what this node knows to the store.
    pub(super) async fn report(&self) -> Result<Reported, Refused> {
        let (arguments, slots, order, end) = {
            let cache = self.cache();
            // From here on no answer to a call that is under way adds to the report.
            self.caller.reports.fetch_add(1, Ordering::AcqRel);
            let order = cache.order.clone();
            let order = order.filter(|order| order.outcome == cache.constants.drawn);
            let arguments = arguments(&cache).ok_or(Unavailable)?;
            (arguments, slot_calls(&cache), order, end_call(&cache))
        };
        let words: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        let reply = self.caller.call(&script::RECOVER, &words).await;
        let reply = reply.map_err(Unavailable::from)?;
        if reply.status == Status::Over {
            return Ok(Reported::Obsolete);
        }
        let life = Life::parse(&reply.fields().text("life")).ok_or(Unavailable)?;
        for words in &slots {
            if self.report_part(&script::RECOVER_SLOTS, words).await? == Status::Over {
                return Ok(Reported::Obsolete);
            }
        }
        // A long order may take longer than the recovery, which has all else by now.
        if let Some(order) = order {
            self.report_order(&order).await?;
        }
        self.report_part(&script::RECOVER_SLOTS, &end).await?;
        Ok(Reported::Taken(life))
    }

    async fn report_part(&self, script: &Script, words: &[String]) -> Result<Status, Refused> {
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let reply = self.caller.call(script, &words).await;
        Ok(reply.map_err(Unavailable::from)?.status)
    }

    /// Reports the order that this node has drawn, which the store and all other nodes may not have.
    async fn report_order(&self, order: &DrawnOrder) -> Result<(), Refused> {
        let chunks = order.visitors.chunks(CHUNK).enumerate();
        let calls = chunks.map(|(chunk, some)| self.report_chunk(order, chunk, some));
        let calls: Vec<_> = calls.collect();
        let mut calls = stream::iter(calls).buffer_unordered(CALLS_AT_ONCE);
        while let Some(status) = calls.next().await {
            // The recovery is over: fans of the rest show their passes.
            if status? == Status::Over {
                break;
            }
        }
        Ok(())
    }

    async fn report_chunk(
        &self,
        order: &DrawnOrder,
        chunk: usize,
        visitors: &[VisitorId],
    ) -> Result<Status, Refused> {
        let drawn = order.entries.saturating_sub(chunk * CHUNK);
        let drawn = drawn.min(visitors.len());
        let mut words = vec![order.outcome.clone(), chunk.to_string(), drawn.to_string()];
        words.extend(visitors.iter().map(VisitorId::to_string));
        self.report_part(&script::RECOVER_DRAW, &words).await
    }

    /// Reads all that the store has of the numbers that wait no more.
    pub(super) async fn read_served(&self) -> Result<AllServed, CallError> {
        let keys = &self.caller.keys;
        let (mut slots, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let answer = self
                .send(&["HSCAN", &keys.slots(), &cursor, "COUNT", SCANNED])
                .await?;
            let [next, some] = list(&answer).unwrap_or_default() else {
                return Err(CallError::Away);
            };
            slots.extend(
                list(some)
                    .unwrap_or_default()
                    .chunks_exact(2)
                    .filter_map(held),
            );
            cursor = text(next);
            if cursor == "0" {
                break;
            }
        }
        // After the slots: the place of one that was not found among them ended meanwhile.
        let codes = self.send(&["GET", &keys.codes()]).await?;
        let codes = bytes(&codes).to_vec();
        Ok(AllServed { slots, codes })
    }

    async fn send(&self, words: &[&str]) -> Result<Value, CallError> {
        let answer = self.store().send(words.iter()).await;
        answer.map_err(|_| CallError::Away)
    }

    /// Tells the store of visitors who asked for their places in vain. They stay known until it has
    /// recorded that.
    pub(super) async fn tell_heard(&self) {
        let heard: Vec<VisitorId> = self.cache().heard.iter().copied().collect();
        for round in heard.chunks(PLACE.units_max * CALLS_AT_ONCE) {
            let calls = round
                .chunks(PLACE.units_max)
                .map(|some| self.tell_some(some));
            let told = futures_util::future::join_all(calls).await;
            if told.contains(&false) {
                return;
            }
        }
    }

    /// Tells the store of some of them; returns whether it has recorded that.
    async fn tell_some(&self, visitors: &[VisitorId]) -> bool {
        let words: Vec<String> = visitors.iter().map(VisitorId::to_string).collect();
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let told = self.caller.call(&script::PLACE, &words).await;
        let is_told = told.is_ok_and(|reply| reply.fields().number("is_deaf") == 0);
        if is_told {
            let mut cache = self.cache();
            for visitor in visitors {
                cache.heard.remove(visitor);
            }
        }
        is_told
    }

    /// Records the places of visitors with an open socket here again, and that others closed, in
    /// batches and while the ticks continue, until the store has recorded all.
    pub(super) fn catch_up(self: &Arc<EventLine>) {
        let is_done = {
            let cache = self.cache();
            cache.returning.is_empty() && cache.leaving.is_empty()
        };
        if is_done || self.is_returning.swap(true, Ordering::AcqRel) {
            return;
        }
        let count = self.cache().returning.len();
        let line = self.clone();
        // Ends by itself, after a bounded number of batches and pauses, each bounded in time. The
        // next tick begins again if something is left.
        tokio::spawn(async move {
            for _ in 0..ATTEMPTS_MAX {
                match line.send_some().await {
                    None => {
                        if count > 0 {
                            tracing::info!(count, "connected fans restored to their places");
                        }
                        break;
                    }
                    Some(true) => {}
                    Some(false) => sleep(PAUSE).await,
                }
            }
            line.is_returning.store(false, Ordering::Release);
        });
    }

    /// Sends one batch of them; returns whether the store recorded it, and none if nothing is left.
    async fn send_some(self: &Arc<EventLine>) -> Option<bool> {
        let returning: Vec<_> = {
            let mut cache = self.cache();
            let from = cache.returning.len().saturating_sub(REENTER.units_max);
            cache.returning.split_off(from)
        };
        if !returning.is_empty() {
            // Of those whose sockets closed meanwhile the store is told as well: for a visitor that
            // it had lost, it took no note of the close.
            let (units, life) = {
                let cache = self.cache();
                let life = cache.life();
                let creation = life.map_or(0, |life| life.creation);
                let units = returning.iter().map(|one| {
                    let is_connected = cache.connected.contains_key(&one.visitor);
                    Unit::returning(one.visitor, one.number, creation, is_connected)
                });
                (units.collect::<Vec<Unit>>(), life)
            };
            let sent = self.batches.run(REENTER, Units::Many(units.into())).await;
            let mut cache = self.cache();
            let Ok(answer) = sent else {
                cache.returning.extend(returning);
                return Some(false);
            };
            for (one, value) in returning.iter().zip(&answer.units) {
                let place = PlaceReply::read(one.visitor, value);
                let kept = cache.connected.get_mut(&one.visitor);
                if let Some((kept, place)) = kept.zip(place) {
                    kept.confirm(&place.spot, life);
                }
                cache.note_if_left(one.visitor);
            }
            return Some(true);
        }
        let leaving: Vec<_> = {
            let cache = self.cache();
            let some = cache.leaving.iter().take(AWAY.units_max);
            some.copied().collect()
        };
        if leaving.is_empty() {
            return None;
        }
        let units = leaving.iter().copied().map(Unit::of).collect();
        let sent = self.batches.run(AWAY, Units::Many(units)).await;
        if sent.is_ok() {
            let mut cache = self.cache();
            for visitor in leaving {
                cache.leaving.remove(&visitor);
                cache.return_one(visitor);
            }
        }
        Some(sent.is_ok())
    }
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(bytes(value)).into_owned()
}

/// Reads a holder and a slot.
fn held(pair: &[Value]) -> Option<HeldSlot> {
    HeldSlot::read(&text(&pair[0]), &text(&pair[1]))
}

/// Returns what a node knows as arguments of `recover.lua`; none without a view.
fn arguments(cache: &LineCache) -> Option<Vec<Vec<u8>>> {
    let (view, definition) = (cache.view()?, cache.settings()?);
    let constants = &cache.constants;
    let settle_ms = if cache.is_from_backup {
        SETTLE_RESTARTED_MS
    } else {
        SETTLE_MS
    };
    let mut settings = vec!["seed".to_owned(), constants.seed.clone()];
    settings.extend(["settings".to_owned(), json(definition)]);
    settings.extend(policy(definition));
    let mut arguments: Vec<Vec<u8>> = vec![
        Life::hex(Life::random().store).into(),
        Life::hex(view.life.creation).into(),
        constants.drawn.clone().into(),
        cache.numbers.to_string().into(),
        cache.head.to_string().into(),
        bitmap(cache, view.numbers),
        cache.served.codes().to_vec(),
        SETTLE_MS_MIN.to_string().into(),
        settle_ms.to_string().into(),
        cache.changed_at.0.to_string().into(),
        cache.recovery_draw().to_string().into(),
        constants.beacon.clone().into(),
        cache.seats_at.0.to_string().into(),
        cache.heard_at.0.to_string().into(),
        cache.unheard_ms.to_string().into(),
        settings.len().to_string().into(),
    ];
    let seats = view.availability.map(|seats| {
        let named = [
            ("seats", serde_json::to_string(&seats).unwrap_or_default()),
            ("capacity", seats.capacity.to_string()),
            ("available", seats.available.to_string()),
            ("held", seats.held.to_string()),
        ];
        named.map(|(name, value)| [name.to_owned(), value])
    });
    let total = cache.figures.total;
    let totals = [
        ("t_joined", total.joined),
        ("t_admitted", total.admitted),
        ("t_finished", total.finished),
        ("t_missed", total.missed),
        ("t_left", total.left),
        ("draw_last", cache.draw_last),
    ];
    let totals = totals.map(|(name, count)| [name.to_owned(), count.to_string()]);
    let seats = seats.into_iter().flatten().flatten();
    let words = settings.into_iter().chain(seats);
    let words = words.chain(totals.into_iter().flatten());
    arguments.extend(words.map(String::into_bytes));
    Some(arguments)
}

/// Returns the bitmap from the head on. Numbers that were given out after the newest view wait, and
/// none whose place is known to be over does.
fn bitmap(cache: &LineCache, numbers: u64) -> Vec<u8> {
    let mut bitmap = cache.bitmap.clone();
    let mut set = |number: u64, waits: bool| {
        let at = number - 1;
        let byte = (at / 8).checked_sub(cache.head);
        let Some(byte) = byte.and_then(|byte| usize::try_from(byte).ok()) else {
            return;
        };
        let bit = 128 >> (at % 8);
        if waits && bitmap.len() <= byte {
            bitmap.resize(byte + 1, 0);
        }
        match bitmap.get_mut(byte) {
            Some(kept) if waits => *kept |= bit,
            Some(kept) => *kept &= !bit,
            None => {}
        }
    };
    (numbers + 1..=cache.numbers).for_each(|number| set(number, true));
    let codes = (1..).zip(cache.served.codes());
    let ended = codes
        .filter(|(_, code)| **code != 0)
        .map(|(number, _)| number);
    let inside = cache.served.slots().map(|held| held.number);
    ended.chain(inside).for_each(|number| set(number, false));
    bitmap
}

/// Returns the arguments of the calls of `recover_slots.lua` that have slots.
fn slot_calls(cache: &LineCache) -> Vec<Vec<String>> {
    let slots: Vec<&HeldSlot> = cache.served.slots().collect();
    let calls = slots.chunks(SLOTS_MAX).map(|some| {
        let mut words = slot_words(cache, 0);
        words.extend(some.iter().flat_map(|held| held.write()));
        words
    });
    calls.collect()
}

/// Returns the arguments of the call of `recover_slots.lua` that ends the report.
fn end_call(cache: &LineCache) -> Vec<String> {
    slot_words(cache, cache.nodes.max(1))
}

/// Returns what every call of `recover_slots.lua` has.
fn slot_words(cache: &LineCache, nodes: u64) -> Vec<String> {
    let EventConstants { seed, drawn, .. } = &cache.constants;
    vec![seed.clone(), drawn.clone(), nodes.to_string()]
}
