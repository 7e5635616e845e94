//! The line against a naive model, a vector and a loop: any sequence of operations gives the same
//! results.

#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

use proptest::prelude::*;
use shared::ids::{Availability, EventId, VisitorId};
use shared::time::{Clock, Time};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use waiting_room::line::{
    Admission, Claimed, Embedded, EventSettings, Joined, Line, Patch, Redis, VisitorState,
};

const START: Time = Time(1_800_000_000_000);

#[derive(Clone, Debug)]
enum Step {
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

fn step() -> impl Strategy<Value = Step> {
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
struct Entry {
    fan: u8,
    standing: VisitorState,
    claim_by: i64,
    expires_at: i64,
    /// Number of the engine that holds the socket, counting restarts; 0 if none does.
    owner: u8,
    away_at: i64,
}

/// Naive model of a line.
#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    now: i64,
    last_batch_at: i64,
    credit: u64,
    max_active: usize,
    paused: bool,
    seats: Option<(usize, i64)>,
    /// Number of the current engine, from 1.
    engine: u8,
    /// Time of each engine's last tick, for stores that notice the end of an engine only by its
    /// silence.
    beats: Option<BTreeMap<u8, i64>>,
}

const RATE: u64 = 90;
const BATCH_MS: i64 = 2000;
const CLAIM_MS: i64 = 4000;
const SESSION_MS: i64 = 6000;
const AWAY_MS: i64 = 9000;
const SILENT_MS: i64 = 10_000;
const IDLE_MS: i64 = 600_000;

impl Model {
    fn of(&mut self, fan: u8) -> Option<&mut Entry> {
        self.entries.iter_mut().rev().find(|entry| entry.fan == fan)
    }

    fn is_sold_out(&self) -> bool {
        self.seats.is_some_and(|(available, _)| available == 0)
    }

    fn join(&mut self, fan: u8) -> Option<u64> {
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

    fn inside(&self) -> usize {
        let inside = |entry: &&Entry| {
            matches!(
                entry.standing,
                VisitorState::Admitted | VisitorState::Shopping
            )
        };
        self.entries.iter().filter(inside).count()
    }

    /// Replaces the engine by another one on the same store.
    fn restart(&mut self) {
        self.engine += 1;
        if self.beats.is_none() {
            for entry in &mut self.entries {
                entry.owner = 0;
                entry.away_at = self.now + AWAY_MS;
            }
        }
    }

    fn note_engine(&mut self) {
        let (engine, now) = (self.engine, self.now);
        if let Some(beats) = &mut self.beats {
            let beat = beats.entry(engine).or_insert(now);
            *beat = now.min(*beat);
        }
    }

    /// Marks the fans of silent engines as away since the engine's last tick.
    fn reap(&mut self) {
        let (engine, now) = (self.engine, self.now);
        let waits = |entry: &Entry| entry.standing == VisitorState::Waiting;
        let is_idle = self.inside() == 0 && !self.entries.iter().any(waits);
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
                entry.away_at = at + AWAY_MS;
            }
        }
    }

    fn tick(&mut self) {
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

async fn apply(line: &dyn Line, clock: &Clock, event: &EventId, model: &mut Model, step: &Step) {
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
            model.seats = Some((available as usize, model.now));
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

async fn compare(line: &dyn Line, event: &EventId, model: &Model) {
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

/// Opens an engine on an existing store.
type Open<'a> = &'a dyn Fn(&Clock) -> Arc<dyn Line>;

/// Looks into the store after a step.
type Inspect<'a> = &'a dyn Fn(&Model);

async fn run(
    steps: &[Step],
    open: Open<'_>,
    inspect: Inspect<'_>,
    beats: Option<BTreeMap<u8, i64>>,
) {
    let clock = Clock::manual(START);
    let mut line = open(&clock);
    let event = EventId::parse("model").unwrap();
    let mut settings = EventSettings::new(event.clone(), "Model");
    settings.admission = Admission {
        rate_per_minute: RATE as u32,
        batch_seconds: (BATCH_MS / 1000) as u32,
        max_active: 3,
        claim_seconds: (CLAIM_MS / 1000) as u32,
        session_seconds: (SESSION_MS / 1000) as u32,
        away_seconds: (AWAY_MS / 1000) as u32,
    };
    line.create(settings).await.unwrap();
    let mut model = Model {
        now: START.0,
        max_active: 3,
        engine: 1,
        beats,
        ..Model::default()
    };
    for step in steps {
        if matches!(step, Step::Restart) {
            drop(line);
            line = open(&clock);
            model.restart();
        }
        apply(&*line, &clock, &event, &mut model, step).await;
        compare(&*line, &event, &model).await;
        inspect(&model);
    }
}

/// Checks the keys of a line in themselves, and returns those who wait in their order.
const KEYS_AGREE: &str = "
    local call = redis.call
    local function key(name) return KEYS[1] .. ':{model}:' .. name end
    local waiting, names = call('ZRANGE', key('waiting'), 0, -1, 'WITHSCORES'), {}
    local function check(is_so, what) if not is_so then error(what) end end
    for i = 1, #waiting, 2 do
      local visitor, number = waiting[i], waiting[i + 1]
      check(call('GETBIT', key('alive'), number - 1) == 1, 'who waits has a bit')
      check(not call('ZSCORE', key('admitted'), visitor), 'who waits is not inside')
      check(call('HEXISTS', key('ended'), visitor) == 0, 'who waits has not ended')
      names[#names + 1] = visitor
    end
    local inside = call('ZRANGE', key('admitted'), 0, -1)
    for _, visitor in ipairs(inside) do
      check(call('HEXISTS', key('slots'), visitor) == 1, 'who is inside has a slot')
      check(call('HEXISTS', key('ended'), visitor) == 0, 'who is inside has not ended')
    end
    local function count(field) return tonumber(call('HGET', key('meta'), field) or 0) end
    check(call('BITCOUNT', key('alive')) == #names, 'a bit for each who waits')
    check(call('ZCARD', key('waiting')) == count('waiting'), 'as many wait as are told')
    check(#inside == count('admitted') + count('shopping'), 'as many are inside as are told')
    check(call('HLEN', key('slots')) == #inside, 'no slot is left over')
    return table.concat(names, ' ')";

/// Checks that the sorted set has those who wait and no others, by their numbers: a visitor's rank
/// in it is the number of those ahead, which the model was compared with.
fn keys_agree(server: &testkit::Redis, prefix: &str, model: &Model) {
    let answer = server.ask(&["EVAL", KEYS_AGREE, "1", prefix]).unwrap();
    let waits = |entry: &&Entry| entry.standing == VisitorState::Waiting;
    let expected = model.entries.iter().filter(waits);
    let expected: Vec<String> = expected
        .map(|entry| VisitorId(u128::from(entry.fan)).to_string())
        .collect();
    assert_eq!(answer, expected.join(" "));
}

fn in_runtime(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work);
}

fn on_redis(url: &str, server: Option<&testkit::Redis>, notes: &Path, steps: &[Step]) {
    let prefix = format!("t{:x}", VisitorId::random().0 >> 64);
    let url = format!("{url}?prefix={prefix}");
    let open = |clock: &Clock| -> Arc<dyn Line> {
        let notes = tempfile::tempdir_in(notes).unwrap().keep();
        Arc::new(Redis::open(&url, notes, clock.clone()).unwrap())
    };
    let inspect = |model: &Model| {
        if let Some(server) = server {
            keys_agree(server, &prefix, model);
        }
    };
    in_runtime(run(steps, &open, &inspect, Some(BTreeMap::new())));
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..80)
}

/// Runs `cases` random sequences of operations on an engine.
fn check(cases: u32, engine: impl Fn(&[Step])) {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(cases));
    let outcome = runner.run(&steps(), |steps| {
        engine(&steps);
        Ok(())
    });
    outcome.unwrap_or_else(|failed| panic!("{failed}"));
}

#[test]
fn the_embedded_line_is_a_vector_and_a_loop() {
    check(96, |steps| {
        let folder = tempfile::tempdir().unwrap();
        let open = |clock: &Clock| -> Arc<dyn Line> {
            let path = folder.path().join("line");
            Arc::new(Embedded::open(path, clock.clone()).unwrap())
        };
        in_runtime(run(steps, &open, &|_| {}, None));
    });
}

#[test]
fn the_line_on_redis_is_a_vector_and_a_loop() {
    let server = testkit::Redis::start();
    let notes = tempfile::tempdir().unwrap();
    check(96, |steps| {
        on_redis(&server.url(), Some(&server), notes.path(), steps);
    });
}

#[test]
fn the_line_on_a_cluster_is_a_vector_and_a_loop() {
    let cluster = testkit::shared_cluster();
    let notes = tempfile::tempdir().unwrap();
    check(24, |steps| {
        on_redis(&cluster.url(), None, notes.path(), steps);
    });
}
