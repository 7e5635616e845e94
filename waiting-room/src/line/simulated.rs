//! Simulated lines in virtual time: whether the waits that are told are true.

use super::state::State;
use super::{Admission, EventSettings, Patch, VisitorState, Wait, WaitReason};
use shared::ids::{Availability, EventId, VisitorId};
use shared::time::Time;
use std::collections::BTreeMap;

const START_MS: i64 = 1_800_000_000_000;
/// Time between two ticks without sockets.
const TICK_MS: i64 = 500;
/// Runs of each kind of line, and the share of told waits that must be true.
const RUNS: u64 = 6;
const TRUE_MIN: f64 = 0.9;
/// Width of a range that is of use, as a share of the true wait where that is some minutes.
const WIDTH_MAX: f64 = 2.0;
const WIDTH_FROM_SECONDS: f64 = 120.0;
/// Time between two samples of what is told.
const SAMPLE_MS: i64 = 10_000;

/// A small generator of random numbers, so that a run can be repeated.
struct Chance(u64);

impl Chance {
    /// Returns a number from 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How fans of a line behave.
#[derive(Clone, Copy)]
struct Fans {
    count: u64,
    /// Share of those who do not come when it is their turn.
    no_shows: f64,
    /// Share of those who left the page and lapse in line.
    away: f64,
    /// Returns the seconds inside, by a number from 0 to 1.
    stay: fn(f64) -> f64,
}

/// A range that was told to a visitor.
struct Told {
    number: u64,
    at: i64,
    range: (u32, u32),
}

struct SimulatedLine {
    state: State,
    now: i64,
    fans: Fans,
    chance: Chance,
    /// Next actions of visitors inside, by time.
    plans: BTreeMap<(i64, u64), bool>,
    /// Numbers up to this were seen admitted or gone.
    seen: u64,
    told: Vec<Told>,
    within: u64,
    sooner: u64,
    later: u64,
    /// Widths of the ranges, each as a share of the true wait.
    widths: Vec<f64>,
    /// Upper end that some visitors were told last.
    highs: BTreeMap<u64, u32>,
}

impl SimulatedLine {
    fn new(fans: Fans, admission: Admission, seed: u64) -> SimulatedLine {
        let event = EventId::parse("night").unwrap();
        let mut settings = EventSettings::new(event, "Night");
        settings.admission = admission;
        let mut line = SimulatedLine {
            state: State::new(settings),
            now: START_MS,
            fans,
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            plans: BTreeMap::new(),
            seen: 0,
            told: Vec::new(),
            within: 0,
            sooner: 0,
            later: 0,
            widths: Vec::new(),
            highs: BTreeMap::new(),
        };
        for number in 1..=fans.count {
            let visitor = VisitorId(u128::from(number));
            line.state.join(visitor, Time(START_MS)).unwrap();
            if line.chance.next() >= fans.away {
                line.state.back(visitor);
            }
        }
        line
    }

    fn configure(&mut self, patch: &str) {
        let patch: Patch = serde_json::from_str(patch).unwrap();
        let after = self.state.settings.with(&patch);
        self.state.configure(after, Time(self.now));
        // The waits told before do not hold any more.
        self.told.clear();
    }

    fn run(&mut self, seconds: i64) {
        let end = self.now + seconds * 1000;
        while self.now < end {
            self.now += TICK_MS;
            self.act();
            self.state.tick(Time(self.now));
            self.meet();
            self.tell();
        }
    }

    /// Has visitors inside start and finish.
    fn act(&mut self) {
        while let Some((&(at, number), &is_start)) = self.plans.first_key_value() {
            if at > self.now {
                return;
            }
            self.plans.pop_first();
            let (visitor, now) = (VisitorId(u128::from(number)), Time(self.now));
            if is_start {
                self.state.claim(visitor, number, now);
                let stay = (self.fans.stay)(self.chance.next());
                let done = at + (stay * 1000.0) as i64;
                self.plans.insert((done, number), false);
            } else {
                self.state.finish(visitor, number, now);
            }
        }
    }

    /// Plans for those who were admitted, and compares what they were told.
    fn meet(&mut self) {
        while self.seen < self.state.numbers() {
            let number = self.seen + 1;
            let entry = self.state.entry_of(number).unwrap();
            if entry.standing == VisitorState::Waiting {
                break;
            }
            self.seen = number;
            if entry.standing != VisitorState::Admitted {
                continue;
            }
            if self.chance.next() >= self.fans.no_shows {
                let comes = (1.0 + 9.0 * self.chance.next()) * 1000.0;
                self.plans.insert((self.now + comes as i64, number), true);
            }
            let (now, told) = (self.now, std::mem::take(&mut self.told));
            let (mine, others) = told.into_iter().partition(|told| told.number == number);
            self.told = others;
            for Told { at, range, .. } in mine {
                let truth = (now - at) as f64 / 1000.0;
                if truth > WIDTH_FROM_SECONDS {
                    self.widths.push(f64::from(range.1 - range.0) / truth);
                }
                if truth < f64::from(range.0) {
                    self.sooner += 1;
                } else if truth > f64::from(range.1) {
                    self.later += 1;
                } else {
                    self.within += 1;
                }
            }
        }
    }

    fn wait(&self, number: u64) -> Option<Wait> {
        let spot = self.state.spot(number);
        (spot.standing == VisitorState::Waiting).then(|| self.state.forecast.wait(spot.ahead))
    }

    /// Samples what is told, and checks that it does not rise without a reason.
    fn tell(&mut self) {
        for tenth in 1..10 {
            let number = tenth * self.fans.count / 10;
            let Some(wait) = self.wait(number) else {
                continue;
            };
            let Some((low, high)) = wait.range else {
                assert!(wait.reason.is_some(), "a reason for telling nothing");
                self.highs.remove(&number);
                continue;
            };
            assert!(low <= high);
            let before = self.highs.insert(number, high);
            if wait.reason.is_none() {
                let before = before.unwrap_or(high);
                let at = (self.now - START_MS) / 1000;
                assert!(high <= before + 1, "{before} s, then {high} s at {at} s");
            }
        }
        if (self.now - START_MS) % SAMPLE_MS != 0 {
            return;
        }
        for _ in 0..5 {
            let left = self.fans.count - self.seen;
            let number = self.seen + 1 + (self.chance.next() * left as f64) as u64;
            if number > self.fans.count {
                continue;
            }
            if let Some(range) = self.wait(number).and_then(|wait| wait.range) {
                self.told.push(Told {
                    number,
                    at: self.now,
                    range,
                });
            }
        }
    }
}

fn admission(rate_per_minute: u32, max_active: u32) -> Admission {
    Admission {
        rate_per_minute,
        max_active,
        ..Admission::default()
    }
}

/// Runs a kind of line with several seeds and checks the share of told waits that were true.
fn are_true(kind: &str, fans: Fans, admission: Admission, play: impl Fn(&mut SimulatedLine)) {
    let (mut within, mut sooner, mut later) = (0, 0, 0);
    let mut widths = Vec::new();
    for seed in 1..=RUNS {
        let mut line = SimulatedLine::new(fans, admission, seed);
        play(&mut line);
        within += line.within;
        sooner += line.sooner;
        later += line.later;
        widths.extend(line.widths);
    }
    widths.sort_by(f64::total_cmp);
    let width = widths[widths.len() / 2];
    let all = within + sooner + later;
    println!("{kind}: {within} of {all} within, {sooner} sooner, {later} later, width {width:.2}");
    assert!(
        width < WIDTH_MAX,
        "{kind}: half of the ranges are wider than {width}"
    );
    assert!(all > 100 * RUNS, "{kind}: waits are told");
    let share = within as f64 / all as f64;
    assert!(
        share >= TRUE_MIN,
        "{kind}: {within} of {all}, {sooner} sooner, {later} later"
    );
}

const PATIENT: Fans = Fans {
    count: 2_000,
    no_shows: 0.0,
    away: 0.0,
    stay: |chance| 60.0 + 240.0 * chance,
};

#[test]
fn waits_are_true_at_a_constant_rate() {
    are_true("constant rate", PATIENT, admission(120, 100_000), |line| {
        line.run(1_100);
    });
    are_true(
        "below one a batch",
        PATIENT,
        admission(7, 100_000),
        |line| {
            line.run(12_000);
        },
    );
}

#[test]
fn waits_are_true_between_two_changes_of_the_rate() {
    are_true("changed twice", PATIENT, admission(120, 100_000), |line| {
        line.run(300);
        line.configure(r#"{"admission": {"rate_per_minute": 240}}"#);
        line.run(200);
        line.configure(r#"{"admission": {"rate_per_minute": 60}}"#);
        line.run(700);
    });
}

#[test]
fn waits_are_true_with_a_fifth_of_no_shows() {
    let fans = Fans {
        no_shows: 0.2,
        ..PATIENT
    };
    are_true("no-shows", fans, admission(120, 100_000), |line| {
        line.run(1_100)
    });
    are_true(
        "no-shows, all inside taken",
        fans,
        admission(600, 200),
        |line| line.run(2_400),
    );
    let fans = Fans {
        away: 0.2,
        ..PATIENT
    };
    are_true("gone from the page", fans, admission(60, 100_000), |line| {
        line.run(2_200)
    });
}

#[test]
fn waits_are_true_where_max_active_decides() {
    are_true("even stays", PATIENT, admission(600, 100), |line| {
        line.run(4_000)
    });
    let fans = Fans {
        stay: |chance| (-120.0 * (1.0 - chance).ln()).min(600.0),
        ..PATIENT
    };
    are_true("exponential stays", fans, admission(600, 100), |line| {
        line.run(3_000)
    });
    are_true("few slots", fans, admission(600, 20), |line| {
        line.run(6_000)
    });
}

#[test]
fn nothing_is_told_while_nothing_moves_and_why() {
    let told = |line: &SimulatedLine| {
        let wait = line.wait(line.fans.count).unwrap();
        (wait.range, wait.reason)
    };
    let is_silent = |line: &mut SimulatedLine, why: WaitReason, seconds: i64| {
        for _ in 0..seconds {
            line.run(1);
            assert_eq!(
                told(line),
                (None, Some(why)),
                "{}",
                (line.now - START_MS) / 1000
            );
        }
    };
    // The rate is 0 after a while.
    let mut line = SimulatedLine::new(PATIENT, admission(120, 100_000), 1);
    line.run(60);
    assert!(told(&line).0.is_some());
    line.configure(r#"{"admission": {"rate_per_minute": 0}}"#);
    is_silent(&mut line, WaitReason::Stopped, 300);
    // All slots are taken, and none comes free.
    let fans = Fans {
        stay: |_| 600.0,
        ..PATIENT
    };
    let mut line = SimulatedLine::new(fans, admission(600, 100), 1);
    line.run(11);
    is_silent(&mut line, WaitReason::Full, 580);
    // All who came in together have left together, and those after them stay as long.
    let fans = Fans {
        stay: |_| 200.0,
        ..PATIENT
    };
    let mut line = SimulatedLine::new(fans, admission(60_000, 100), 1);
    line.run(270);
    assert!(line.state.memory.total.finished >= 100);
    is_silent(&mut line, WaitReason::Full, 130);
    // Fewer seats are left than fans are inside.
    let mut line = SimulatedLine::new(PATIENT, admission(120, 100), 1);
    let seats = Availability {
        capacity: 10,
        available: 10,
        held: 0,
        booked: 0,
        as_of: Time(START_MS),
    };
    line.state.report(seats, Time(line.now));
    line.run(20);
    is_silent(&mut line, WaitReason::Full, 5);
}

#[test]
fn a_longer_wait_says_why() {
    let mut line = SimulatedLine::new(PATIENT, admission(240, 100_000), 1);
    line.run(60);
    let before = line.wait(PATIENT.count).unwrap();
    assert_eq!(before.reason, None);
    line.configure(r#"{"admission": {"rate_per_minute": 60}}"#);
    line.run(10);
    let after = line.wait(PATIENT.count).unwrap();
    assert!(after.range.unwrap().1 > before.range.unwrap().1);
    assert_eq!(after.reason, Some(WaitReason::Lowered));
    // Those inside take longer from now on.
    let mut line = SimulatedLine::new(
        Fans {
            stay: |_| 30.0,
            ..PATIENT
        },
        admission(600, 50),
        1,
    );
    line.run(400);
    let before = line.wait(PATIENT.count).unwrap();
    assert_eq!(before.reason, None);
    line.fans.stay = |_| 300.0;
    line.run(500);
    let after = line.wait(PATIENT.count).unwrap();
    assert!(
        after
            .range
            .is_none_or(|(_, high)| high > before.range.unwrap().1)
    );
    let why = [Some(WaitReason::Slower), Some(WaitReason::Full)];
    assert!(why.contains(&after.reason), "{:?}", after.reason);
}
