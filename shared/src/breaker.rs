//! Circuit breaker: while a dependency does not answer, its callers fail at once instead of waiting
//! one by one, and a single call at a time probes whether it answers again.

use crate::metrics::load::record_circuit;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Shortest and longest pause before the next probe. It doubles with each probe that fails.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A circuit breaker for one dependency.
pub struct Breaker {
    /// Name of the dependency, in metrics and logs.
    dependency: &'static str,
    /// Consecutive failures that open it.
    failures_max: u32,
    /// Locked for a look-up or a change, never across an await.
    state: Mutex<State>,
}

struct State {
    /// Consecutive failures while it is closed.
    failures: u32,
    /// When the next probe may begin; none while it is closed.
    probe_at: Option<Instant>,
    is_probing: bool,
    pause: Duration,
    /// The last random number.
    random: u64,
}

impl State {
    /// Returns a random number from 0 to 1 (Knuth's linear congruential generator).
    fn roll(&mut self) -> f64 {
        let product = self.random.wrapping_mul(6_364_136_223_846_793_005);
        self.random = product.wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as f64 / f64::from(1u32 << 31)
    }
}

impl Breaker {
    /// A closed breaker.
    pub fn new(dependency: &'static str, failures_max: u32) -> Breaker {
        Breaker::seeded(dependency, failures_max, rand::random())
    }

    /// A closed breaker whose pauses follow from a seed.
    pub fn seeded(dependency: &'static str, failures_max: u32, seed: u64) -> Breaker {
        show(dependency, false);
        Breaker {
            dependency,
            failures_max,
            state: Mutex::new(State {
                failures: 0,
                probe_at: None,
                is_probing: false,
                pause: PAUSE_MIN,
                random: seed,
            }),
        }
    }

    /// Begins a call; `None` while the dependency does not answer and another call probes it, or
    /// none is due.
    pub fn call(&self) -> Option<Call<'_>> {
        self.call_at(Instant::now())
    }

    /// Returns whether it is open, or a probe has yet to close it.
    pub fn is_open(&self) -> bool {
        self.state.lock().probe_at.is_some()
    }

    /// Opens it for a failure that was seen otherwise than by a call.
    pub fn open(&self) {
        let mut state = self.state.lock();
        if state.probe_at.is_none() {
            self.open_at(&mut state, Instant::now());
        }
    }

    fn open_at(&self, state: &mut State, now: Instant) {
        let dependency = self.dependency;
        if state.probe_at.is_none() {
            show(dependency, true);
            tracing::warn!(
                dependency,
                "does not answer: calls fail at once until it does"
            );
        }
        // Half to all of the pause, so that nodes do not probe in step.
        let part = 0.5 + 0.5 * state.roll();
        state.probe_at = Some(now + state.pause.mul_f64(part));
    }

    fn call_at(&self, now: Instant) -> Option<Call<'_>> {
        let mut state = self.state.lock();
        let is_probe = state.probe_at.is_some();
        if is_probe && (state.is_probing || state.probe_at > Some(now)) {
            return None;
        }
        state.is_probing = is_probe;
        Some(Call {
            breaker: self,
            is_probe,
        })
    }
}

/// A call under way. Dropped without an outcome, as when its caller is gone, it counts as neither a
/// success nor a failure.
pub struct Call<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Call<'_> {
    /// The dependency answered.
    pub fn succeeded(self) {
        let mut state = self.breaker.state.lock();
        state.failures = 0;
        // Also for a call that began before it opened: the dependency has answered since.
        if state.probe_at.take().is_some() {
            state.pause = PAUSE_MIN;
            let dependency = self.breaker.dependency;
            show(dependency, false);
            tracing::info!(dependency, "answers again");
        }
    }

    /// Returns whether another call has opened the breaker since this one began.
    pub fn is_overtaken(&self) -> bool {
        !self.is_probe && self.breaker.is_open()
    }

    /// The dependency did not answer.
    pub fn failed(self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(self, now: Instant) {
        let mut state = self.breaker.state.lock();
        if self.is_probe {
            state.pause = (2 * state.pause).min(PAUSE_MAX);
        } else {
            state.failures = state.failures.saturating_add(1);
            // Calls that began before it opened fail after it.
            if state.probe_at.is_some() || state.failures < self.breaker.failures_max {
                return;
            }
        }
        self.breaker.open_at(&mut state, now);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.state.lock().is_probing = false;
        }
    }
}

fn show(dependency: &'static str, is_open: bool) {
    record_circuit(dependency, "", is_open);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_call_from_before_it_opened_closes_it() {
        let breaker = Breaker::new("test", 3);
        let call = breaker.call().unwrap();
        breaker.open();
        assert!(breaker.is_open() && call.is_overtaken());
        call.succeeded();
        assert!(!breaker.is_open() && breaker.call().is_some());
    }

    /// A breaker that opened just now.
    fn open(now: Instant) -> Breaker {
        let breaker = Breaker::new("test", 3);
        for _ in 0..3 {
            breaker.call_at(now).unwrap().failed_at(now);
        }
        breaker
    }

    #[test]
    fn it_opens_after_consecutive_failures_only() {
        let now = Instant::now();
        let breaker = Breaker::new("test", 3);
        for _ in 0..10 {
            breaker.call_at(now).unwrap().failed_at(now);
            breaker.call_at(now).unwrap().failed_at(now);
            breaker.call_at(now).unwrap().succeeded();
        }
        assert!(breaker.call_at(now).is_some());
        assert!(open(now).call_at(now).is_none());
    }

    #[test]
    fn half_open_it_lets_a_single_call_through_and_closes_with_its_success() {
        let now = Instant::now();
        let breaker = open(now);
        let later = now + PAUSE_MIN;
        let probe = breaker.call_at(later).unwrap();
        assert!(breaker.call_at(later).is_none(), "one probe at a time");
        probe.succeeded();
        let calls = [breaker.call_at(later), breaker.call_at(later)];
        assert!(calls.iter().all(Option::is_some));
    }

    #[test]
    fn a_failed_probe_opens_it_again_for_longer_up_to_a_limit() {
        let now = Instant::now();
        let breaker = open(now);
        let mut at = now;
        for pause in [200, 400, 800, 1000, 1000].map(Duration::from_millis) {
            at += PAUSE_MAX;
            breaker.call_at(at).unwrap().failed_at(at);
            let soonest = at + pause / 2 - Duration::from_millis(1);
            assert!(breaker.call_at(soonest).is_none(), "{pause:?}");
        }
        assert!(breaker.call_at(at + PAUSE_MAX).is_some());
    }

    #[test]
    fn a_probe_whose_caller_is_gone_leaves_room_for_another() {
        let now = Instant::now();
        let breaker = open(now);
        let later = now + PAUSE_MIN;
        drop(breaker.call_at(later).unwrap());
        assert!(breaker.call_at(later).is_some());
    }

    #[test]
    fn failures_of_calls_from_before_it_opened_delay_no_probe() {
        let now = Instant::now();
        let breaker = Breaker::new("test", 1);
        let (first, last) = (breaker.call_at(now).unwrap(), breaker.call_at(now).unwrap());
        first.failed_at(now);
        let later = now + PAUSE_MIN;
        last.failed_at(later);
        assert!(breaker.call_at(later).is_some());
    }
}
