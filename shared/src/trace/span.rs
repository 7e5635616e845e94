//! Spans: what a traced request spent its time on. A request that is not traced records none.

use super::context::{TraceContext, random_id};
use super::record::{Kind, ParentSpan, Sink, SpanRecord, Value};
use super::scope::{Scope, with_current};
use std::time::Instant;

/// Most attributes of a span; further ones are left out.
const ATTRIBUTES_MAX: usize = 16;
/// Longest text of an attribute, in bytes; the rest is cut off.
const TEXT_BYTES_MAX: usize = 1024;

/// A span that is under way. It ends when it is dropped, and does nothing unless the request is
/// traced.
///
/// Names and texts are the program's own (routes, scripts, statements without their values), never
/// what a client sent: that could be a secret.
#[derive(Debug, Default)]
pub struct Span(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    record: SpanRecord,
    sink: Sink,
}

impl Span {
    /// Begins a request to another process in the current trace.
    pub fn client(name: &str) -> Span {
        Parent::current().client(name)
    }

    /// Begins a request to a store in the current trace. `system` is the store's name in the
    /// semantic conventions, such as `redis`.
    pub fn store(system: &'static str, name: &str) -> Span {
        Parent::current().store(system, name)
    }

    /// Returns whether the span is recorded.
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Adds an attribute that is a text.
    pub fn text(&mut self, key: &'static str, text: &str) {
        self.set(key, || {
            let end = text.floor_char_boundary(TEXT_BYTES_MAX);
            Value::Text(text[..end].to_owned())
        });
    }

    /// Adds an attribute that is a number.
    pub fn number(&mut self, key: &'static str, number: i64) {
        self.set(key, || Value::Number(number));
    }

    /// Marks the span as failed; `error` is a word for the kind of failure.
    pub fn fail(&mut self, error: &str) {
        self.text("error.type", error);
        if let Some(open) = &mut self.0 {
            open.record.is_failed = true;
        }
    }

    /// Returns the span's place, to be passed on to the process that is asked.
    pub(super) fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|open| TraceContext {
            trace_id: open.record.trace_id,
            span_id: open.record.span_id,
            is_sampled: true,
        })
    }

    fn set(&mut self, key: &'static str, value: impl FnOnce() -> Value) {
        if let Some(open) = &mut self.0
            && open.record.attributes.len() < ATTRIBUTES_MAX
        {
            open.record.attributes.push((key, value()));
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            let mut record = open.record;
            record.ended = Instant::now();
            open.sink.take(record);
        }
    }
}

/// The traced request for which work is done, for spans that are begun in another task: one that
/// does the work of many requests at once. Empty unless the request is traced.
#[derive(Clone, Default)]
pub struct Parent(Option<Box<Scope>>);

impl Parent {
    /// Returns the request of the current task.
    pub fn current() -> Parent {
        let traced = with_current(|scope| {
            let is_traced = scope.sink.is_some();
            is_traced.then(|| Box::new(scope.clone()))
        });
        Parent(traced.flatten())
    }

    /// Returns the place of the request in its trace, as a `traceparent`, for work that goes on
    /// without it; `None` unless the request is traced.
    pub fn traceparent(&self) -> Option<String> {
        let scope = self.0.as_ref()?;
        Some(scope.context.to_string())
    }

    /// Begins a request to another process.
    pub fn client(&self, name: &str) -> Span {
        let open = self.0.as_ref().and_then(|scope| open(scope, name));
        Span(open.map(Box::new))
    }

    /// Begins a request to a store, as [`Span::store`] does.
    pub fn store(&self, system: &'static str, name: &str) -> Span {
        let mut span = self.client(name);
        span.text("db.system.name", system);
        span
    }

    /// Begins a span in the trace of each of the requests that are traced, for a request to a store
    /// that they share.
    pub fn store_for_each<'a>(
        parents: impl ExactSizeIterator<Item = &'a Parent>,
        system: &'static str,
        name: &str,
    ) -> Vec<Span> {
        let count = parents.len();
        let traced = parents.filter(|parent| parent.0.is_some());
        let spans = traced.map(|parent| {
            let mut span = parent.store(system, name);
            span.number("db.operation.batch.size", count as i64);
            span
        });
        spans.collect()
    }
}

fn open(scope: &Scope, name: &str) -> Option<Open> {
    let sink = scope.sink.clone()?;
    let began = Instant::now();
    let record = SpanRecord {
        trace_id: scope.context.trace_id,
        span_id: random_id(),
        parent: Some(ParentSpan {
            span_id: scope.context.span_id,
            is_remote: false,
        }),
        state: scope.state.clone(),
        kind: Kind::Client,
        name: name.to_owned(),
        attributes: Vec::new(),
        is_failed: false,
        began,
        ended: began,
    };
    Some(Open { record, sink })
}
