//! Health of the consumers, as `/readyz` shows it.

use parking_lot::Mutex;
use shared::http::operations::Readiness;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// Health of all consumers by their names.
#[derive(Debug, Default)]
pub struct Health(Mutex<BTreeMap<&'static str, ConsumerHealth>>);

/// Health of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerHealth {
    /// True while the broker gives it events.
    pub is_connected: bool,
    /// Why events wait, in a sentence for the operator.
    pub trouble: Option<String>,
}

impl Health {
    /// Sets the health of a consumer. Returns what it was.
    pub fn set(&self, consumer: &'static str, health: ConsumerHealth) -> ConsumerHealth {
        let before = self.0.lock().insert(consumer, health);
        before.unwrap_or_default()
    }

    /// Returns whether the broker gives events to all consumers, and why events wait.
    pub fn readiness(&self, stop: &CancellationToken) -> Readiness {
        let consumers = self.0.lock();
        let troubles = consumers.iter().filter_map(|(name, health)| {
            let trouble = health.trouble.as_ref()?;
            Some(format!("{name}: {trouble}"))
        });
        let trouble = troubles.collect::<Vec<_>>().join("\n");
        Readiness {
            is_ready: !stop.is_cancelled() && consumers.values().all(|health| health.is_connected),
            trouble: (!trouble.is_empty()).then_some(trouble),
        }
    }
}
