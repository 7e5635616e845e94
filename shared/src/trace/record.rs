//! Spans that have ended, and the queue that they wait in.

use super::context::TraceId;
use crate::metrics::spans::DROPPED;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// A span that has ended, on its way to the receiver.
#[derive(Debug)]
pub(crate) struct SpanRecord {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: u64,
    pub(crate) parent: Option<ParentSpan>,
    pub(crate) state: Option<Arc<str>>,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    pub(crate) is_failed: bool,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ParentSpan {
    pub(crate) span_id: u64,
    /// Whether another process made it.
    pub(crate) is_remote: bool,
}

/// What a span stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A request that this process answers.
    Server,
    /// A request of this process to another, or to a store.
    Client,
}

/// Value of an attribute.
#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
}

/// Where spans go: a queue that a task sends to the receiver.
#[derive(Clone, Debug)]
pub(crate) struct Sink(pub(super) mpsc::Sender<SpanRecord>);

impl Sink {
    /// Takes a span, or drops it if the queue is full: a receiver that is slow or away holds up
    /// nothing.
    pub(super) fn take(&self, record: SpanRecord) {
        if self.0.try_send(record).is_err() {
            DROPPED.inc();
        }
    }
}
