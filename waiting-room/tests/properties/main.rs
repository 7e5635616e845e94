//! The line against a naive model, a vector and a loop: any sequence of operations gives the same
//! results.

#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod model;

use model::{
    AWAY_MS, BATCH_MS, CLAIM_MS, Entry, Model, RATE, SESSION_MS, START, Step, apply, compare, step,
};
use proptest::prelude::*;
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use waiting_room::line::{Admission, Embedded, EventSettings, Line, Redis, VisitorState};

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
        extension_seconds: 0,
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
    let joined_since = [
        Step::MaxActive(0),
        Step::Join(11),
        Step::Back(11),
        Step::Restart,
        Step::Tick(2000),
        Step::Tick(2000),
        Step::Join(11),
        Step::Tick(3000),
        Step::Tick(3000),
        Step::Tick(3000),
    ];
    let same_seats_twice = [
        Step::Seats(4),
        Step::Tick(3000),
        Step::Seats(4),
        Step::Tick(4000),
        Step::Tick(4000),
        Step::Tick(4000),
        Step::Tick(4000),
        Step::Tick(4000),
        Step::Tick(4000),
        Step::Join(3),
        Step::Tick(3600),
    ];
    for steps in [&joined_since[..], &same_seats_twice[..]] {
        on_redis(&server.url(), Some(&server), notes.path(), steps);
    }
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
