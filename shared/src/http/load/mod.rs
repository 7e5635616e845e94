//! Load shedding: limits on the requests in flight, by class. Under overload browsing is refused
//! first, then entering, and purchases last; organisers have a limit of their own.
//!
//! Two signs of overload are watched. Requests that wait for a store are in flight for as long as
//! they wait, so their number is limited. Requests that only need a processor are never many in
//! flight: they queue in the runtime, before any handler runs, so the delay of that queue is
//! measured as well.

mod class;
mod place;
mod settings;

pub use class::Class;
pub use place::Place;
pub use settings::{LoadArgs, LoadLimits};

use super::problem::Problem;
use crate::metrics::load::{RUNTIME_DELAY, in_flight, shed};
use place::InFlight;
use rand::RngExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Time between two measurements of the delay.
const SAMPLE: Duration = Duration::from_millis(100);
/// Longest time that one measurement stands for.
const SAMPLE_SPAN_MAX: Duration = Duration::from_millis(500);
/// Milliseconds of standing delay from none of a class being refused to all of it.
const CLASS_MS: u32 = 1000;
/// Pressure at which all browsing and all entering are refused.
const PRESSURE_MAX_MS: u32 = 2 * CLASS_MS;
/// The delay has to be over for so many times as long as it stood.
const RELIEF: u32 = 4;
/// Bounds of `Retry-After`, in seconds. Random, so that those who were refused together do not
/// return together.
const RETRY_SECONDS_MIN: u32 = 1;
const RETRY_SECONDS_MAX: u32 = 5;
/// Time between two log lines about refusals.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Requests in flight in this process, and how far it is behind.
pub struct Load {
    limits: LoadLimits,
    in_flight: Arc<InFlight>,
    /// Time for which the delay has been over its limit, in ms, less the time for which it was not.
    pressure_ms: AtomicU32,
    /// Whether the last measurement was over the limit.
    was_late: AtomicBool,
    /// Refusals since the last log line.
    refused: AtomicU64,
}

impl Load {
    /// Nothing in flight.
    pub fn new(limits: LoadLimits) -> Arc<Load> {
        // Counts begin at 0, not with their first refusal.
        for class in Class::ALL {
            shed(class.name());
        }
        Arc::new(Load {
            limits,
            in_flight: Arc::default(),
            pressure_ms: AtomicU32::new(0),
            was_late: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        })
    }

    /// Counts a request in until the place is dropped.
    ///
    /// # Errors
    /// 503 with `Retry-After` if too many requests are in flight for one of its class, or the
    /// process is too far behind.
    pub fn enter(self: &Arc<Load>, class: Class) -> Result<Arc<Place>, Problem> {
        if self.is_shed(class) || self.total(class) >= self.limit(class) {
            shed(class.name()).inc();
            self.refused.fetch_add(1, Ordering::Relaxed);
            let seconds = rand::rng().random_range(RETRY_SECONDS_MIN..=RETRY_SECONDS_MAX);
            return Err(Problem::overloaded(seconds));
        }
        Ok(Place::take(&self.in_flight, class))
    }

    fn limit(&self, class: Class) -> usize {
        match class {
            Class::Organiser | Class::Purchase => self.limits.in_flight_max,
            Class::Enter => self.limits.enter_max,
            Class::Browse => self.limits.browse_max,
        }
    }

    /// Returns the number of requests in flight that a class shares its limit with. It may
    /// pass the limit: by requests that enter at the same instant, and by those that were let in
    /// while they waited for their bodies.
    fn total(&self, class: Class) -> usize {
        let fans = [Class::Purchase, Class::Enter, Class::Browse];
        match class {
            Class::Organiser => self.in_flight.count(class),
            _ => fans
                .into_iter()
                .map(|class| self.in_flight.count(class))
                .sum(),
        }
    }

    /// Decides by chance whether one of this class is refused because of the delay: the share that
    /// is grows with the time for which the delay stands, first among those who browse.
    fn is_shed(&self, class: Class) -> bool {
        let pressure_ms = self.pressure_ms.load(Ordering::Relaxed);
        let of_class = match class {
            Class::Organiser | Class::Purchase => 0,
            Class::Enter => pressure_ms.saturating_sub(CLASS_MS),
            Class::Browse => pressure_ms,
        };
        of_class > 0 && rand::rng().random_range(0..CLASS_MS) < of_class
    }

    /// Measures the delay of the runtime's queue until the stop signal.
    pub(in crate::http) async fn watch(self: Arc<Load>, stop: CancellationToken) {
        let mut logged_at = Instant::now();
        loop {
            let due = Instant::now() + SAMPLE;
            tokio::select! {
                () = sleep_until(due) => {}
                () = stop.cancelled() => return,
            }
            // To the end of both queues of the runtime, where a request that arrives now may be:
            // that of a worker, and the one that takes what finds it full or is woken by another
            // thread.
            tokio::task::yield_now().await;
            let _ = tokio::task::spawn_blocking(|| {}).await;
            self.observe(due.elapsed());
            if logged_at.elapsed() >= LOG_EVERY {
                logged_at = Instant::now();
                let refused = self.refused.swap(0, Ordering::Relaxed);
                if refused > 0 {
                    tracing::warn!(refused, "requests were refused because of overload");
                }
            }
        }
    }

    fn observe(&self, delay: Duration) {
        RUNTIME_DELAY.set(delay.as_secs_f64());
        for class in Class::ALL {
            let count = self.in_flight.count(class);
            in_flight(class.name()).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let is_late = !self.limits.delay_max.is_zero() && delay > self.limits.delay_max;
        let span_ms = (SAMPLE + delay).min(SAMPLE_SPAN_MAX).as_millis() as u32;
        let before = self.pressure_ms.load(Ordering::Relaxed);
        let after = match (self.was_late.swap(is_late, Ordering::Relaxed), is_late) {
            (true, true) => (before + span_ms).min(PRESSURE_MAX_MS),
            // One late measurement alone is a burst, or a pause of the whole process.
            (false, true) => before,
            (_, false) => before.saturating_sub(span_ms / RELIEF),
        };
        self.pressure_ms.store(after, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header;
    use axum::response::IntoResponse as _;

    fn load() -> Arc<Load> {
        Load::new(LoadLimits {
            in_flight_max: 8,
            enter_max: 6,
            browse_max: 4,
            delay_max: Duration::from_millis(250),
        })
    }

    /// Classes of which a request would be let in now.
    fn open(load: &Arc<Load>) -> Vec<Class> {
        let mut classes = Class::ALL.to_vec();
        classes.retain(|class| load.enter(*class).is_ok());
        classes
    }

    #[test]
    fn classes_are_refused_in_order_and_come_back_in_reverse() {
        use Class::{Browse, Enter, Organiser, Purchase};
        let load = load();
        let mut places: Vec<_> = (0..3).map(|_| load.enter(Browse).unwrap()).collect();
        assert_eq!(open(&load), [Organiser, Purchase, Enter, Browse]);
        places.push(load.enter(Enter).unwrap());
        assert_eq!(open(&load), [Organiser, Purchase, Enter]);
        places.extend((0..2).map(|_| load.enter(Enter).unwrap()));
        assert_eq!(open(&load), [Organiser, Purchase]);
        places.extend((0..2).map(|_| load.enter(Purchase).unwrap()));
        assert_eq!(open(&load), [Organiser], "those of fans are all taken");
        places.truncate(6);
        assert_eq!(open(&load), [Organiser, Purchase]);
        places.clear();
        assert_eq!(open(&load), [Organiser, Purchase, Enter, Browse]);
    }

    #[test]
    fn organisers_are_limited_apart_from_fans() {
        let load = load();
        let places: Vec<_> = (0..8)
            .map(|_| load.enter(Class::Organiser).unwrap())
            .collect();
        assert!(load.enter(Class::Organiser).is_err());
        assert!(load.enter(Class::Browse).is_ok());
        drop(places);
        assert!(load.enter(Class::Organiser).is_ok());
    }

    #[test]
    fn a_refusal_names_a_random_time_to_come_back() {
        let load = load();
        let _places: Vec<_> = (0..4).map(|_| load.enter(Class::Browse).unwrap()).collect();
        let mut times = std::collections::HashSet::new();
        for _ in 0..200 {
            let refusal = load.enter(Class::Browse).err().unwrap().into_response();
            assert_eq!(
                refusal.status(),
                axum::http::StatusCode::SERVICE_UNAVAILABLE
            );
            let seconds = refusal.headers()[header::RETRY_AFTER].to_str().unwrap();
            times.insert(seconds.parse::<u32>().unwrap());
        }
        assert_eq!(times.len(), 5, "{times:?}");
        assert!(times.iter().all(|seconds| (1..=5).contains(seconds)));
    }

    #[test]
    fn a_delay_that_stands_refuses_browsing_then_entering_and_never_purchases() {
        let load = load();
        let observe = |milliseconds, times| {
            for _ in 0..times {
                load.observe(Duration::from_millis(milliseconds));
            }
        };
        let share = |class| (0..1000).filter(|_| load.enter(class).is_err()).count();
        observe(200, 100);
        observe(60_000, 1);
        assert_eq!(share(Class::Browse), 0, "one pause is no delay that stands");
        observe(10, 1);
        observe(300, 2);
        let some = share(Class::Browse);
        assert!((200..600).contains(&some), "{some}");
        assert_eq!(share(Class::Enter), 0);
        observe(300, 3);
        assert_eq!(share(Class::Browse), 1000);
        observe(300, 3);
        assert_eq!(share(Class::Enter), 1000);
        assert_eq!(share(Class::Purchase) + share(Class::Organiser), 0);
        observe(10, 40);
        assert_eq!(share(Class::Enter), 0);
        observe(10, 40);
        assert_eq!(share(Class::Browse), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn browsing_is_refused_while_the_runtime_is_behind_and_only_then() {
        let load = load();
        let stop = CancellationToken::new();
        tokio::spawn(load.clone().watch(stop.clone()));
        let until = async |what, is_so: &dyn Fn() -> bool| {
            let from = Instant::now();
            while !is_so() {
                assert!(from.elapsed() < Duration::from_secs(30), "{what}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let busy = CancellationToken::new();
        for _ in 0..20 {
            let busy = busy.clone();
            tokio::spawn(async move {
                while !busy.is_cancelled() {
                    std::thread::sleep(Duration::from_millis(30));
                    tokio::task::yield_now().await;
                }
            });
        }
        until("refused", &|| load.enter(Class::Browse).is_err()).await;
        assert!(load.enter(Class::Purchase).is_ok());
        busy.cancel();
        until("let in again", &|| {
            load.pressure_ms.load(Ordering::Relaxed) == 0
        })
        .await;
        assert!(load.enter(Class::Browse).is_ok());
        stop.cancel();
    }
}
