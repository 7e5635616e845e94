//! The request that a task works for.

use super::context::{RequestId, TraceContext, TraceId};
use super::record::Sink;
use axum::http::HeaderValue;
use std::sync::Arc;

tokio::task_local! {
    static SCOPE: Scope;
}

/// The request that a task works for.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Place of the request's span, whether it is recorded or not.
    pub(super) context: TraceContext,
    /// What the next service is told: the span if it is recorded, otherwise what the client sent.
    pub(super) passed_on: TraceContext,
    pub(super) state: Option<Arc<str>>,
    /// `None` unless the request is traced.
    pub(super) sink: Option<Sink>,
}

impl Scope {
    /// Runs work for this request.
    pub(crate) fn cover<T>(self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        SCOPE.scope(self, work)
    }

    /// Returns the id of the request, which is that of its span.
    pub(crate) fn request_id(&self) -> RequestId {
        RequestId(self.context.span_id)
    }

    /// Returns the id of the trace.
    pub(crate) fn trace_id(&self) -> TraceId {
        self.context.trace_id
    }

    /// Returns whether spans are recorded.
    pub(crate) fn is_traced(&self) -> bool {
        self.sink.is_some()
    }

    /// Returns the place in the trace as the client is told it.
    pub(crate) fn response_header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.context.to_string()).ok()
    }
}

/// Calls a function with the request that the current task works for, if there is one.
pub(crate) fn with_current<T>(look: impl FnOnce(&Scope) -> T) -> Option<T> {
    SCOPE.try_with(look).ok()
}

/// Returns work that another task may do for the current request: its log lines have the request's
/// ids, and its spans belong to it.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let scope = with_current(Scope::clone);
    async move {
        match scope {
            Some(scope) => scope.cover(work).await,
            None => work.await,
        }
    }
}
