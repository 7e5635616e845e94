//! A consumer, and its memory while it runs.

use super::pace::Pace;
use crate::event::Event;
use crate::handler::Handler;
use crate::health::Health;
use crate::source::Source;
use crate::store::Store;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A consumer with all that it needs.
pub struct Consumer {
    /// Its effects.
    pub handler: Arc<dyn Handler>,
    /// Its events.
    pub source: Box<dyn Source>,
    /// The notifier's file.
    pub store: Store,
    /// Its part of the health report.
    pub health: Arc<Health>,
    /// Pauses between attempts.
    pub pace: Pace,
    /// The stop signal.
    pub stop: CancellationToken,
    /// State that begins anew with each run.
    pub memory: Memory,
}

/// State of a consumer's letters that is kept while it runs.
#[derive(Debug, Default)]
pub struct Memory {
    /// Number of events that had an effect at a service.
    pub(super) passed: u64,
    /// Events that are held, by the numbers of their letters.
    pub(super) trials: HashMap<i64, Trial>,
    /// When letters are tried again; at once without it.
    pub(super) retry_at: Option<Instant>,
    /// Order of the last event that came.
    pub(super) came: i64,
    /// Why events are held, if some are.
    pub(super) held: Option<String>,
}

/// Attempts at an event that is held.
#[derive(Debug)]
pub(super) struct Trial {
    /// How many had passed at the last attempt.
    pub(super) passed: u64,
    /// How often it failed after others had passed.
    pub(super) failures: u32,
    pub(super) tried_at: Instant,
    /// Time for which the service wants to be left alone since.
    pub(super) after: Duration,
}

/// An event of a batch.
pub(super) struct Item {
    pub(super) event: Event,
    /// Rises from each event that came to the next one.
    pub(super) came: i64,
    pub(super) is_settled: bool,
    pub(super) attempts: u32,
    /// When the first attempt failed.
    pub(super) failing_since: Option<Instant>,
    pub(super) due: Instant,
}
