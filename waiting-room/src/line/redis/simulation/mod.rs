//! A deterministic simulation of the line: nodes with the real code, the real scripts on a model of
//! Redis, fans, and faults of all kinds, held against the promises of the line. Everything follows
//! from a seed: `FAIRLINE_SEED=… cargo test -p waiting-room simulation -- --nocapture` tells what
//! happens in a run.

mod crowd;
mod draw_state;
mod drawn;
mod fan;
mod fan_state;
mod history;
pub(super) mod link;
mod log_check;
mod logged;
mod mutations;
mod node;
mod oracle;
mod plan;
mod regressions;
mod replay;
mod run;
mod stored;
mod strike;
mod wire;
mod world;

use super::script::{self, Script};
use mutations::{MUTATIONS, MUTATIONS_OF_DRAWS};
use plan::{FAULTS, Fault, RunMode};
use run::{RunResult, run};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use world::ScriptNames;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Steps of a run.
const STEPS: usize = 200;
/// Runs beside the other tests. `.ci/test` makes ten thousand, `.ci/test-long` more.
const RUNS: u64 = 300;
/// Runs of a thousand that have a draw.
const DRAWS: u64 = 350;

/// Returns a number that the environment names.
#[expect(
    clippy::disallowed_methods,
    reason = "who replays a seed names it there"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Returns the kinds of faults that the environment names, or else all.
#[expect(
    clippy::disallowed_methods,
    reason = "who looks into a fault names it there"
)]
fn faults() -> Vec<Fault> {
    if let Ok(names) = std::env::var("FAIRLINE_FAULTS") {
        let is_named = |fault: &Fault| names.split(',').any(|name| name == format!("{fault:?}"));
        return FAULTS.into_iter().filter(is_named).collect();
    }
    FAULTS.into()
}

/// The scripts on a line.
fn all_scripts() -> [&'static Script; 26] {
    [
        &script::CREATE,
        &script::TICK,
        &script::JOIN,
        &script::PLACE,
        &script::PEEK,
        &script::LIVING,
        &script::BACK,
        &script::AWAY,
        &script::CLAIM,
        &script::FINISH,
        &script::LEAVE,
        &script::EJECT,
        &script::FIND,
        &script::REPORT,
        &script::WAITS,
        &script::CONFIGURE,
        &script::RECOVER,
        &script::RECOVER_SLOTS,
        &script::RECOVER_DRAW,
        &script::REENTER,
        &script::DRAW_BEGIN,
        &script::DRAW_WRITE,
        &script::DRAW_COMMIT,
        &script::BEACON,
        &script::DECISIONS,
        &script::REMOVE,
    ]
}

static SCRIPT_NAMES: LazyLock<ScriptNames> = LazyLock::new(|| {
    let named = all_scripts().into_iter().flat_map(|script| script.named());
    named.collect()
});

fn play(seed: u64, mode: &RunMode) -> RunResult {
    let folder = tempfile::tempdir_in(memory()).expect("a folder can be created");
    run(seed, mode, &SCRIPT_NAMES, folder.path().to_owned())
}

/// Returns a folder in memory, where the folders of the nodes cost no time.
fn memory() -> std::path::PathBuf {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// Runs some seeds on all processors; returns the lowest that fails.
fn search(first: u64, count: u64, mode: &RunMode) -> Option<u64> {
    let next = AtomicU64::new(first);
    let failed = AtomicU64::new(u64::MAX);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || seed > failed.load(Ordering::Relaxed) {
                        return;
                    }
                    if play(seed, mode).failure.is_some() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    Some(failed.into_inner()).filter(|seed| *seed != u64::MAX)
}

/// Returns a failing run with as many steps left out as can be found.
fn shrink(seed: u64, mode: &RunMode, why: &str) -> RunMode {
    let mut best = mode.clone();
    let mut size = play(seed, mode).steps;
    best.steps = size;
    while size > 0 {
        for first in (0..best.steps).step_by(size) {
            let mut tried = best.clone();
            tried.skipped.extend(first..first + size);
            if tried.skipped == best.skipped {
                continue;
            }
            let failure = play(seed, &tried).failure;
            if failure.is_some_and(|other| kind(&other) == kind(why)) {
                best = tried;
            }
        }
        size /= 2;
    }
    best
}

/// Returns what a failure is, without the numbers in it.
fn kind(why: &str) -> String {
    let words = why.chars().filter(|sign| !sign.is_ascii_digit());
    words.take(30).collect()
}

/// Tells the story of a failed run, with as few steps as it fails with.
fn report(seed: u64, mode: &RunMode) -> String {
    let whole = play(seed, mode);
    let is_whole = number("FAIRLINE_WHOLE").is_some() || whole.failure.is_none();
    let why = whole
        .failure
        .unwrap_or_else(|| "no promise is broken".to_owned());
    let mut shortest = if is_whole {
        mode.clone()
    } else {
        shrink(seed, mode, &why)
    };
    shortest.tells = true;
    let verdict = play(seed, &shortest);
    let steps = verdict.steps - shortest.skipped.range(..verdict.steps).count();
    let story = verdict.story.join("\n");
    let shortly = verdict.failure.unwrap_or_default();
    format!(
        "{story}\nAbove: {steps} steps of this run, after which: {shortly}\n\
         FAIRLINE_SEED={seed}, step {}: {why}",
        whole.steps
    )
}

#[test]
fn no_seeded_run_of_the_simulation_breaks_a_promise() {
    let mode = RunMode {
        faults: faults(),
        steps: STEPS,
        draws: number("FAIRLINE_DRAWS").unwrap_or(DRAWS),
        ..RunMode::default()
    };
    if let Some(seed) = number("FAIRLINE_SEED") {
        let verdict = play(seed, &mode);
        println!("{}", report(seed, &mode));
        assert!(verdict.failure.is_none());
        return;
    }
    let first = number("FAIRLINE_FIRST_SEED").unwrap_or(0);
    let count = number("FAIRLINE_RUNS").unwrap_or(RUNS);
    if number("FAIRLINE_SURVEY").is_some() {
        for seed in first..first + count {
            if let Some(why) = play(seed, &mode).failure {
                println!("{seed}: {}", why.chars().take(330).collect::<String>());
            }
        }
        return;
    }
    if let Some(seed) = search(first, count, &mode) {
        panic!("{}", report(seed, &mode));
    }
}

/// Seeds whose runs broke a promise once and may have a smaller test as well.
const FAILED_ONCE: [u64; 4] = [3952, 6482, 7057, 8762];

#[test]
fn no_seed_that_failed_once_does_so_again() {
    let mode = RunMode {
        faults: FAULTS.into(),
        steps: STEPS,
        draws: DRAWS,
        ..RunMode::default()
    };
    for seed in FAILED_ONCE {
        assert_eq!(play(seed, &mode).failure, None, "seed {seed}");
    }
}

#[test]
fn a_seed_of_the_simulation_always_gives_the_same_run() {
    let mode = RunMode {
        faults: faults(),
        steps: STEPS,
        draws: DRAWS,
        ..RunMode::default()
    };
    for seed in 0..20 {
        let (one, two) = (play(seed, &mode), play(seed, &mode));
        assert_eq!((one.mark, one.steps), (two.mark, two.steps), "seed {seed}");
    }
}

#[test]
fn a_real_server_answers_what_nodes_send_as_the_model_does() {
    let mode = RunMode {
        faults: vec![Fault::MessagesRepeated, Fault::NodeKilled],
        steps: STEPS,
        records: true,
        ..RunMode::default()
    };
    for seed in 0..5 {
        let recorded = play(seed, &mode).recorded;
        assert!(recorded.len() > 50, "seed {seed} sends something");
        assert_eq!(replay::difference(&recorded), None, "seed {seed}");
    }
}

/// Seeds within which a change of a script must be noticed.
const SEEDS_PER_MUTATION: u64 = 100;
/// Number of changes that are tried unless FAIRLINE_MUTATIONS asks for all, which takes minutes.
const MUTATIONS_MAX: usize = 25;

#[test]
fn each_change_of_a_script_is_noticed_by_the_simulation() {
    let tells = number("FAIRLINE_MUTATIONS").is_some();
    let mut unnoticed = Vec::new();
    let count = if tells { usize::MAX } else { MUTATIONS_MAX };
    let mutations = || MUTATIONS.iter().chain(MUTATIONS_OF_DRAWS);
    for mutation in mutations() {
        let is_there = all_scripts()
            .iter()
            .any(|script| script.text().contains(mutation.from));
        assert!(is_there, "no script has: {}", mutation.from);
    }
    for mutation in mutations().take(count) {
        let mode = RunMode {
            faults: mutation.faults.to_vec(),
            steps: STEPS,
            rewrite: Some(mutation.rewrite()),
            draws: if mutation.is_draw { 1000 } else { 0 },
            ..RunMode::default()
        };
        let seeds = number("FAIRLINE_RUNS").unwrap_or(SEEDS_PER_MUTATION);
        let noticed = search(0, seeds, &mode);
        if tells {
            println!("{noticed:?}: {}", mutation.from.trim());
        }
        if noticed.is_none() {
            unnoticed.push(mutation.from);
        }
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:#?}");
}
