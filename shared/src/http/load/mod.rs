//! Load shedding: limits on the requests in flight, by class. Under overload browsing is refused
//! first, then entering, and purchases last; organisers have a limit of their own.
//!
//! Two signs of overload are watched. Requests that wait for a store are in flight for as long as
//! they wait, so their number is limited, to what the process answers in a second. Those that wait
//! for their client or for a payment provider do not count meanwhile. Requests that
//! only need a processor are never many in flight: they queue in the runtime, before any handler
//! runs, so the delay of that queue is measured as well.

mod class;
mod in_flight;
mod limit;
mod place;
mod retry;
mod settings;
mod watch;

pub use class::Class;
pub use place::{Place, elsewhere};
pub(super) use place::{carried, cover};
pub use settings::{LoadArgs, LoadLimits};

use super::problem::Problem;
use crate::metrics::load::{IN_FLIGHT_LIMIT, RUNTIME_DELAY, in_flight, shed};
use axum::http::Method;
use in_flight::InFlight;
use limit::AdaptiveLimit;
use prometheus_client::metrics::counter::Counter;
use rand::RngExt as _;
use retry::RetryAfter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Longest time that one measurement stands for.
const SPAN_MAX: Duration = Duration::from_millis(500);
/// Milliseconds of standing delay from none of a class being refused to all of it.
const CLASS_MS: u32 = 1000;
/// Pressure at which all browsing and all entering are refused.
const PRESSURE_MAX_MS: u32 = 2 * CLASS_MS;
/// The delay has to be over for so many times as long as it stood.
const RELIEF: u32 = 4;

/// Requests in flight in this process, and how far it is behind.
pub struct Load {
    limits: LoadLimits,
    in_flight: Arc<InFlight>,
    /// Time for which the delay has been over its limit, in ms, less the time for which it was not.
    pressure_ms: AtomicU32,
    /// Whether the last measurement was over the limit.
    was_late: AtomicBool,
    /// Longest time after which a refused request is told to come back, in seconds.
    retry_seconds: AtomicU32,
    /// Refusals since the start.
    refused: AtomicU64,
    /// … as metrics, by class.
    shed: [Counter; Class::ALL.len()],
}

impl Load {
    /// Nothing in flight.
    pub fn new(limits: LoadLimits) -> Arc<Load> {
        let load = Load {
            limits,
            in_flight: Arc::default(),
            pressure_ms: AtomicU32::new(0),
            was_late: AtomicBool::new(false),
            retry_seconds: AtomicU32::new(RetryAfter::new().longest_seconds()),
            refused: AtomicU64::new(0),
            // Counts begin at 0, not with their first refusal.
            shed: Class::ALL.map(|class| shed(class.name())),
        };
        load.limit_fans(limits.in_flight_max);
        Arc::new(load)
    }

    /// Counts a request in until the place is dropped.
    ///
    /// # Errors
    /// 503 with `Retry-After` if too many requests are in flight for one of its class, or the
    /// process is too far behind.
    pub fn enter(&self, class: Class, method: &Method) -> Result<Arc<Place>, Problem> {
        if self.is_shed(class) || !self.in_flight.has_room(class) {
            return Err(self.refuse(class));
        }
        Ok(Place::take(&self.in_flight, class, method))
    }

    /// Counts a refusal and returns it.
    pub(in crate::http) fn refuse(&self, class: Class) -> Problem {
        self.shed[class as usize].inc();
        self.refused.fetch_add(1, Ordering::Relaxed);
        Problem::overloaded(retry::seconds(self.retry_seconds.load(Ordering::Relaxed)))
    }

    /// Sets the limit on requests of fans; those on the classes that are refused before keep their
    /// share of it.
    fn limit_fans(&self, fans: usize) {
        let share = fans as f64 / self.limits.in_flight_max as f64;
        let scaled = |limit: usize| (limit as f64 * share).ceil() as usize;
        for class in Class::ALL {
            let limit = match class {
                Class::Organiser => self.limits.in_flight_max,
                Class::Purchase => fans,
                Class::Enter => scaled(self.limits.enter_max),
                Class::Browse => scaled(self.limits.browse_max),
            };
            self.in_flight.limit(class, limit);
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

    fn totals(&self) -> Totals {
        Totals {
            answered: self.in_flight.answered_to_fans(),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Adapts the limit on requests of fans to the rate of answers in the last second.
    fn adapt(&self, adaptive: &mut AdaptiveLimit, span: Duration) {
        let changes = &self.in_flight.changes;
        let fans = adaptive.observe(span, changes.answered(), changes.in_flight());
        IN_FLIGHT_LIMIT.set(i64::try_from(fans).unwrap_or(i64::MAX));
        self.limit_fans(fans);
    }

    /// Takes note of the delay, measured a span after the measurement before.
    fn observe(&self, delay: Duration, span: Duration) {
        RUNTIME_DELAY.set(delay.as_secs_f64());
        for class in Class::ALL {
            let count = self.in_flight.of(class).in_flight();
            in_flight(class.name()).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let is_late = !self.limits.delay_max.is_zero() && delay > self.limits.delay_max;
        let span_ms = span.min(SPAN_MAX).as_millis() as u32;
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

/// Requests of fans answered, and requests refused, since the start.
#[derive(Clone, Copy, Default)]
struct Totals {
    answered: u64,
    refused: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header;
    use axum::response::IntoResponse as _;

    const GET: Method = Method::GET;

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
        classes.retain(|class| load.enter(*class, &GET).is_ok());
        classes
    }

    #[test]
    fn classes_are_refused_in_order_and_come_back_in_reverse() {
        use Class::{Browse, Enter, Organiser, Purchase};
        let load = load();
        let mut places: Vec<_> = (0..3).map(|_| load.enter(Browse, &GET).unwrap()).collect();
        assert_eq!(open(&load), [Organiser, Purchase, Enter, Browse]);
        places.push(load.enter(Enter, &GET).unwrap());
        assert_eq!(open(&load), [Organiser, Purchase, Enter]);
        places.extend((0..2).map(|_| load.enter(Enter, &GET).unwrap()));
        assert_eq!(open(&load), [Organiser, Purchase]);
        places.extend((0..2).map(|_| load.enter(Purchase, &GET).unwrap()));
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
            .map(|_| load.enter(Class::Organiser, &GET).unwrap())
            .collect();
        assert!(load.enter(Class::Organiser, &GET).is_err());
        assert!(load.enter(Class::Browse, &GET).is_ok());
        drop(places);
        assert!(load.enter(Class::Organiser, &GET).is_ok());
    }

    #[test]
    fn a_refusal_names_a_random_time_to_come_back() {
        let load = load();
        let _places: Vec<_> = (0..4)
            .map(|_| load.enter(Class::Browse, &GET).unwrap())
            .collect();
        let mut times = std::collections::HashSet::new();
        for _ in 0..200 {
            let refusal = load
                .enter(Class::Browse, &GET)
                .err()
                .unwrap()
                .into_response();
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
                load.observe(
                    Duration::from_millis(milliseconds),
                    Duration::from_millis(400),
                );
            }
        };
        let share = |class| {
            (0..1000)
                .filter(|_| load.enter(class, &GET).is_err())
                .count()
        };
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
}
