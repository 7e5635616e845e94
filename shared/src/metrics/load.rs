//! Load shedding, and the dependencies that do not answer.

use super::registry::Registry;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;

/// Time for which a request that arrives now waits for a processor, in seconds.
pub(crate) static RUNTIME_DELAY: LazyLock<Gauge<f64, AtomicU64>> = LazyLock::new(Gauge::default);
/// Limit on the requests of fans in flight that is in force now.
pub(crate) static IN_FLIGHT_LIMIT: LazyLock<Gauge> = LazyLock::new(Gauge::default);

static IN_FLIGHT: LazyLock<Family<ClassLabels, Gauge>> = LazyLock::new(Family::default);
static SHED: LazyLock<Family<ClassLabels, Counter>> = LazyLock::new(Family::default);
static CIRCUITS: LazyLock<Family<CircuitLabels, Gauge>> = LazyLock::new(Family::default);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CircuitLabels {
    dependency: &'static str,
    /// Empty, and then no label, unless the dependency is one of several databases.
    database: String,
}

impl EncodeLabelSet for CircuitLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let mut labels = vec![("dependency", self.dependency)];
        if !self.database.is_empty() {
            labels.push(("database", &self.database));
        }
        labels.encode(encoder)
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_requests_in_flight",
        "Requests in flight by class, ten times a second",
        IN_FLIGHT.clone(),
    );
    registry.add(
        "fairline_requests_in_flight_limit",
        "Requests of fans in flight beyond which purchases are refused, ten times a second",
        IN_FLIGHT_LIMIT.clone(),
    );
    registry.add(
        "fairline_requests_shed_total",
        "Requests refused because of overload, by class",
        SHED.clone(),
    );
    registry.add(
        "fairline_runtime_delay_seconds",
        "Time for which a request that arrives now waits for a processor",
        RUNTIME_DELAY.clone(),
    );
    registry.add(
        "fairline_circuit_open",
        "Whether a dependency does not answer and calls to it fail at once: 1 or 0",
        CIRCUITS.clone(),
    );
}

/// Returns the number of requests of a class in flight.
pub(crate) fn in_flight(class: &'static str) -> Gauge {
    IN_FLIGHT.get_or_create_owned(&ClassLabels { class })
}

/// Returns the count of refused requests of a class.
pub(crate) fn shed(class: &'static str) -> Counter {
    SHED.get_or_create_owned(&ClassLabels { class })
}

/// Records whether calls to a dependency fail at once; `database` names one of several databases,
/// or is empty.
pub fn record_circuit(dependency: &'static str, database: &str, is_open: bool) {
    let database = database.to_owned();
    let labels = CircuitLabels {
        dependency,
        database,
    };
    CIRCUITS.get_or_create(&labels).set(is_open.into());
}
