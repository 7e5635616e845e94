//! The naive model: a vector of places, and what each step does to it.

use proptest::prelude::*;
use shared::ids::{Availability, EventId, VisitorId};
use shared::time::{Clock, Time};
use std::collections::BTreeMap;
use waiting_room::line::{Claimed, Joined, Line, Patch, VisitorState};

/// Time at the beginning of each run.
pub(crate) const START: Time = Time(1_800_000_000_000);

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Join(u8),
    Tick(u16),
    Claim(u8),
    Finish(u8),
    Leave(u8),
    Away(u8),
    Back(u8),
    Poll(u8),
    Eject(u8),
    Seats(u8),
    MaxActive(u8),
    Pause(bool),
    Restart,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let fan = 0u8..12;
    prop_oneof![
        6 => fan.clone().prop_map(Step::Join),
        8 => (0u16..4000).prop_map(Step::Tick),
        3 => fan.clone().prop_map(Step::Claim),
        2 => fan.clone().prop_map(Step::Finish),
        2 => fan.clone().prop_map(Step::Leave),
        1 => fan.clone().prop_map(Step::Away),
        1 => fan.clone().prop_map(Step::Back),
        1 => fan.clone().prop_map(Step::Poll),
        1 => fan.prop_map(Step::Eject),
        1 => (0u8..8).prop_map(Step::Seats),
        1 => (0u8..6).prop_map(Step::MaxActive),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => Just(Step::Restart),
    ]
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) fan: u8,
    pub(crate) standing: VisitorState,
    pub(crate) claim_by: i64,
    pub(crate) expires_at: i64,
    /// Number of the engine that holds the socket, counting restarts; 0 if none does.
    pub(crate) owner: u8,
    pub(crate) away_at: i64,
}

/// Naive model of a line.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) entries: Vec<Entry>,
    pub(crate) now: i64,
    pub(crate) last_batch_at: i64,
    pub(crate) credit: u64,
    pub(crate) max_active: usize,
    pub(crate) paused: bool,
    pub(crate) seats: Option<(usize, i64)>,
    /// Number of the current engine, from 1.
    pub(crate) engine: u8,
    /// Time of each engine's last tick, for stores that notice the end of an engine only by its
    /// silence.
    pub(crate) beats: Option<BTreeMap<u8, i64>>,
}

pub(crate) const RATE: u64 = 90;
pub(crate) const BATCH_MS: i64 = 2000;
pub(crate) const CLAIM_MS: i64 = 4000;
pub(crate) const SESSION_MS: i64 = 6000;
pub(crate) const AWAY_MS: i64 = 9000;
pub(crate) const SILENT_MS: i64 = 10_000;
pub(crate) const IDLE_MS: i64 = 600_000;
/// While no visitor is in line, the same seats are not stored again for this long on Redis.
const SAME_SEATS_MS: i64 = 20_000;

impl Model {
    pub(crate) fn of(&mut self, fan: u8) -> Option<&mut Entry> {
        self.entries.iter_mut().rev().find(|entry| entry.fan == fan)
    }

    pub(crate) fn is_sold_out(&self) -> bool {
        self.seats.is_some_and(|(available, _)| available == 0)
    }

    pub(crate) fn join(&mut self, fan: u8) -> Option<u64> {
        let (now, is_sold_out) = (self.now, self.is_sold_out());
        let number = self.entries.iter().rposition(|entry| entry.fan == fan);
        if let Some(at) = number {
            let entry = &mut self.entries[at];
            if !matches!(
                entry.standing,
                VisitorState::Finished | VisitorState::Left | VisitorState::Missed
            ) {
                entry.away_at = now + AWAY_MS;
                return Some(at as u64 + 1);
            }
        }
        if is_sold_out {
            return None;
        }
        self.entries.push(Entry {
            fan,
            standing: VisitorState::Waiting,
            claim_by: 0,
            expires_at: 0,
            owner: 0,
            away_at: now + AWAY_MS,
        });
        Some(self.entries.len() as u64)
    }

    pub(crate) fn inside(&self) -> usize {
        let inside = |entry: &&Entry| {
            matches!(
                entry.standing,
                VisitorState::Admitted | VisitorState::Shopping
            )
        };
        self.entries.iter().filter(inside).count()
    }

    fn is_idle(&self) -> bool {
        let waits = |entry: &Entry| entry.standing == VisitorState::Waiting;
        self.inside() == 0 && !self.entries.iter().any(waits)
    }

    fn report(&mut self, available: usize) {
        let is_known =
            |(known, at): (usize, i64)| known == available && self.now - at < SAME_SEATS_MS;
        let is_on_redis = self.beats.is_some();
        if !(is_on_redis && self.is_idle() && self.seats.is_some_and(is_known)) {
            self.seats = Some((available, self.now));
        }
    }

    /// Replaces the engine by another one on the same store.
    pub(crate) fn restart(&mut self) {
        self.engine += 1;
        if self.beats.is_none() {
            for entry in &mut self.entries {
                entry.owner = 0;
                entry.away_at = self.now + AWAY_MS;
            }
        }
    }

    pub(crate) fn note_engine(&mut self) {
        let (engine, now) = (self.engine, self.now);
        if let Some(beats) = &mut self.beats {
            let beat = beats.entry(engine).or_insert(now);
            *beat = now.min(*beat);
        }
    }

    /// Marks the fans of silent engines as away since the engine's last tick, or since they joined
    /// or polled at another one after it.
    pub(crate) fn reap(&mut self) {
        let (engine, now) = (self.engine, self.now);
        let is_idle = self.is_idle();
        let Some(beats) = &mut self.beats else { return };
        let kept = beats.get(&engine).copied().unwrap_or(0);
        if !is_idle {
            beats.insert(engine, now);
        } else if kept < now {
            beats.insert(engine, now + IDLE_MS);
        }
        let silent: Vec<(u8, i64)> = beats
            .iter()
            .filter(|(_, at)| **at <= now - SILENT_MS)
            .map(|(engine, at)| (*engine, *at))
            .collect();
        for (engine, at) in silent {
            beats.remove(&engine);
            for entry in self
                .entries
                .iter_mut()
                .filter(|entry| entry.owner == engine)
            {
                entry.owner = 0;
                entry.away_at = entry.away_at.max(at + AWAY_MS);
            }
        }
    }

    pub(crate) fn tick(&mut self) {
        let now = self.now;
        self.reap();
        for entry in &mut self.entries {
            let lapsed = match entry.standing {
                VisitorState::Admitted => entry.claim_by <= now,
                VisitorState::Shopping => entry.expires_at <= now,
                VisitorState::Waiting => entry.owner == 0 && entry.away_at <= now,
                _ => false,
            };
            if lapsed {
                entry.standing = VisitorState::Missed;
            }
        }
        let since = now - self.last_batch_at;
        if self.paused || self.is_sold_out() || since < BATCH_MS {
            return;
        }
        let credit = self.credit % 60_000 + RATE * since.min(BATCH_MS) as u64;
        let seats = match self.seats {
            None => usize::MAX,
            Some((_, at)) if at + 30_000 < now => 0,
            Some((available, _)) => available,
        };
        let room = self.max_active.min(seats).saturating_sub(self.inside());
        let due = (credit / 60_000).min(room as u64);
        let mut admitted = 0;
        for entry in &mut self.entries {
            if admitted < due && entry.standing == VisitorState::Waiting {
                entry.standing = VisitorState::Admitted;
                entry.claim_by = now + CLAIM_MS;
                entry.expires_at = now + CLAIM_MS + SESSION_MS;
                admitted += 1;
            }
        }
        if admitted > 0 {
            self.last_batch_at = now;
            self.credit = credit % 60_000;
        }
    }
}

pub(crate) async fn apply(
    line: &dyn Line,
    clock: &Clock,
    event: &EventId,
    model: &mut Model,
    step: &Step,
) {
    let visitor = |fan: u8| VisitorId(u128::from(fan));
    let number_of = |model: &Model, fan: u8| {
        model
            .entries
            .iter()
            .rposition(|entry| entry.fan == fan)
            .map_or(0, |at| at as u64 + 1)
    };
    match *step {
        Step::Join(fan) => {
            let joined = line.join(event, &[visitor(fan)]).await.ok();
            let number = joined.map(|joined| match joined[0] {
                Joined::New(spot) | Joined::Known(spot) => spot.number,
            });
            assert_eq!(number, model.join(fan));
        }
        Step::Tick(ms) => {
            clock.advance_ms(i64::from(ms));
            model.now += i64::from(ms);
            line.tick(event).await.unwrap();
            model.tick();
        }
        Step::Claim(fan) => {
            let number = number_of(model, fan);
            let claimed = line.claim(event, visitor(fan), number).await.unwrap();
            let now = model.now;
            let wanted = match model.of(fan) {
                Some(entry)
                    if entry.standing == VisitorState::Shopping && entry.expires_at > now =>
                {
                    true
                }
                Some(entry) if entry.standing == VisitorState::Admitted && entry.claim_by > now => {
                    entry.standing = VisitorState::Shopping;
                    true
                }
                _ => false,
            };
            assert_eq!(claimed != Claimed::Lapsed, wanted);
        }
        Step::Finish(fan) => {
            let number = number_of(model, fan);
            line.finish(event, visitor(fan), number).await.unwrap();
            if let Some(entry) = model.of(fan)
                && matches!(
                    entry.standing,
                    VisitorState::Admitted | VisitorState::Shopping
                )
            {
                entry.standing = VisitorState::Finished;
            }
        }
        Step::Leave(fan) => {
            line.leave(event, visitor(fan)).await.unwrap();
            if let Some(entry) = model.of(fan)
                && matches!(
                    entry.standing,
                    VisitorState::Waiting | VisitorState::Admitted | VisitorState::Shopping
                )
            {
                entry.standing = VisitorState::Left;
            }
        }
        Step::Eject(fan) => {
            let was_there = line.eject(event, visitor(fan)).await.unwrap();
            assert_eq!(was_there, model.of(fan).is_some());
            if let Some(entry) = model.of(fan) {
                entry.standing = VisitorState::Ejected;
            }
        }
        Step::Away(fan) => {
            line.away(event, visitor(fan)).await.unwrap();
            model.note_engine();
            let (at, engine, is_one) = (model.now + AWAY_MS, model.engine, model.beats.is_none());
            if let Some(entry) = model.of(fan)
                && (is_one || entry.owner == 0 || entry.owner == engine)
            {
                entry.owner = 0;
                entry.away_at = at;
            }
        }
        Step::Back(fan) => {
            line.back(event, visitor(fan)).await.unwrap();
            model.note_engine();
            let engine = model.engine;
            if let Some(entry) = model.of(fan) {
                entry.owner = engine;
                entry.away_at = 0;
            }
        }
        Step::Poll(fan) => {
            line.place(event, visitor(fan)).await.unwrap();
            let at = model.now + AWAY_MS;
            if let Some(entry) = model.of(fan) {
                entry.away_at = at;
            }
        }
        Step::Seats(available) => {
            let available = u32::from(available);
            let seats = Availability {
                capacity: 8,
                available,
                held: 0,
                booked: 8 - available,
                as_of: START,
            };
            line.report(event, seats).await.unwrap();
            model.report(available as usize);
        }
        Step::MaxActive(most) => {
            let patch = format!("{{\"admission\": {{\"max_active\": {most}}}}}");
            line.configure(event, serde_json::from_str(&patch).unwrap())
                .await
                .unwrap();
            model.max_active = most as usize;
        }
        Step::Pause(paused) => {
            line.configure(
                event,
                Patch {
                    paused: Some(paused),
                    ..Patch::default()
                },
            )
            .await
            .unwrap();
            model.paused = paused;
        }
        Step::Restart => {}
    }
}

pub(crate) async fn compare(line: &dyn Line, event: &EventId, model: &Model) {
    let waiting: Vec<u64> = model
        .entries
        .iter()
        .zip(1..)
        .filter(|(entry, _)| entry.standing == VisitorState::Waiting)
        .map(|(_, number)| number)
        .collect();
    for (entry, number) in model.entries.iter().zip(1..) {
        let spot = line.find(event, number).await.unwrap().unwrap();
        assert_eq!(spot.visitor, VisitorId(u128::from(entry.fan)));
        assert_eq!(spot.standing, entry.standing, "number {number}");
        if entry.standing == VisitorState::Waiting {
            let ahead = waiting.iter().filter(|other| **other < number).count() as u64;
            assert_eq!(spot.ahead, ahead, "ahead of number {number}");
        }
    }
    let stats = line.stats(event).await.unwrap();
    assert_eq!(stats.waiting as usize, waiting.len());
    assert_eq!((stats.admitted + stats.shopping) as usize, model.inside());
}
