//! Traces: the request that a task works for, its W3C trace context, and its spans.
//!
//! Every request has a place in a trace, whether it is recorded or not, so that the log lines of
//! both services can be found by one id. Only a traced request records spans; for the others all
//! of this costs a few random bytes and a look at a variable of the task.

mod context;
#[cfg(feature = "otlp")]
mod export;
#[cfg_attr(
    not(feature = "otlp"),
    expect(dead_code, reason = "what spans hold is read by what sends them")
)]
mod record;
mod scope;
mod settings;
mod span;

pub use scope::carried;
pub(crate) use scope::{Scope, with_current};
pub use settings::{TraceArgs, TraceSettings};
pub use span::{Parent, Span};

use crate::metrics::method::method_label;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
pub(crate) use context::{RequestId, TraceId};
use context::{TRACEPARENT, TRACESTATE, TraceContext, random_id, read_state};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use record::{Kind, ParentSpan, Sink, SpanRecord, Value};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most spans that wait to be sent; further ones are dropped.
const QUEUE_MAX: usize = 8192;
/// Requests a second that are traced because their client wishes so. Beyond them the share decides:
/// clients are not to be trusted with the receiver's capacity.
const WISHES_PER_SECOND_MAX: NonZeroU32 = NonZeroU32::new(100).expect("it is not 0");
/// Longest wait at the end of the program for the last spans to be sent.
const FLUSH: Duration = Duration::from_secs(2);

/// Adds the trace context to a request to another service; `span` is its span.
pub(crate) fn pass_on(span: &Span, headers: &mut HeaderMap) {
    let current = with_current(|scope| (scope.passed_on, scope.state.clone()));
    let Some((passed_on, state)) = current else {
        return;
    };
    let context = span.context().unwrap_or(passed_on);
    if let Ok(value) = HeaderValue::try_from(context.to_string()) {
        headers.insert(TRACEPARENT, value);
    }
    let state = state.and_then(|state| HeaderValue::from_str(&state).ok());
    if let Some(state) = state {
        headers.insert(TRACESTATE, state);
    }
}

/// Decides which requests are traced, and keeps the queue of their spans.
pub struct Traces(Option<Tracing>);

struct Tracing {
    sink: Sink,
    /// Trace ids whose lower 63 bits are below this are traced, on every node and by every service
    /// that samples by the same rule.
    sampled_below: u64,
    wishes: DefaultDirectRateLimiter,
    /// Ends the task that sends.
    ending: CancellationToken,
    tasks: TaskTracker,
}

impl Traces {
    /// Starts the task that sends spans, if the settings name a receiver.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn start(settings: &TraceSettings) -> Result<Traces, String> {
        let Some(receiver) = &settings.receiver else {
            return Ok(Traces(None));
        };
        let (sink, queue) = mpsc::channel(QUEUE_MAX);
        let (ending, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(export::start(receiver, queue, ending.clone())?);
        Ok(Traces(Some(Tracing {
            sink: Sink(sink),
            sampled_below: (settings.ratio * (1_u64 << 63) as f64) as u64,
            wishes: RateLimiter::direct(Quota::per_second(WISHES_PER_SECOND_MAX)),
            ending,
            tasks,
        })))
    }

    /// Begins a request: continues its client's trace, or begins one.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> RequestTrace {
        let client = TraceContext::read(headers);
        let trace_id = client.map_or_else(|| TraceId(random_trace()), |client| client.trace_id);
        let tracing = self.0.as_ref();
        let tracing = tracing.filter(|tracing| tracing.samples(trace_id, client));
        let context = TraceContext {
            trace_id,
            span_id: random_id(),
            is_sampled: tracing.is_some(),
        };
        let scope = Scope {
            context,
            passed_on: match tracing {
                Some(_) => context,
                None => client.unwrap_or(context),
            },
            state: client.and_then(|_| read_state(headers)),
            sink: tracing.map(|tracing| tracing.sink.clone()),
        };
        RequestTrace {
            scope,
            parent: client.map(|client| ParentSpan {
                span_id: client.span_id,
                is_remote: true,
            }),
            began: Instant::now(),
        }
    }

    /// Sends the spans that are left, within a bounded time. Called at the end of the program.
    pub async fn finish(&self) {
        if let Some(tracing) = &self.0 {
            tracing.ending.cancel();
            tracing.tasks.close();
            let _ = timeout(FLUSH, tracing.tasks.wait()).await;
        }
    }
}

impl Tracing {
    /// Returns whether a request is traced: as its client decided, otherwise by the share.
    fn samples(&self, trace_id: TraceId, client: Option<TraceContext>) -> bool {
        let by_share = || (trace_id.0 as u64) >> 1 < self.sampled_below;
        match client {
            None => by_share(),
            Some(client) if client.is_sampled => self.wishes.check().is_ok() || by_share(),
            Some(_) => false,
        }
    }
}

/// A request that is being answered, and its span.
pub(crate) struct RequestTrace {
    pub(crate) scope: Scope,
    parent: Option<ParentSpan>,
    pub(crate) began: Instant,
}

/// What is known of a request once it is answered.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a Method,
    pub(crate) route: &'static str,
    pub(crate) status: StatusCode,
}

impl RequestTrace {
    /// Ends the span of the request.
    pub(crate) fn end(self, answered: &Answered<'_>) {
        let Scope {
            context,
            state,
            sink: Some(sink),
            ..
        } = self.scope
        else {
            return;
        };
        let Answered {
            method,
            route,
            status,
        } = answered;
        let is_failed = status.is_server_error();
        let code = i64::from(status.as_u16());
        // The words of the semantic conventions for methods that are not known.
        let (method, named) = match method_label(method) {
            "other" => ("_OTHER", "HTTP"),
            known => (known, known),
        };
        let mut attributes = vec![
            ("http.request.method", Value::Text(method.to_owned())),
            ("http.route", Value::Text((*route).to_owned())),
            ("http.response.status_code", Value::Number(code)),
        ];
        if is_failed {
            attributes.push(("error.type", Value::Text(status.as_str().to_owned())));
        }
        sink.take(SpanRecord {
            trace_id: context.trace_id,
            span_id: context.span_id,
            parent: self.parent,
            state,
            kind: Kind::Server,
            name: format!("{named} {route}"),
            attributes,
            is_failed,
            began: self.began,
            ended: Instant::now(),
        });
    }
}

fn random_trace() -> u128 {
    rand::random::<u128>().max(1)
}

#[cfg(not(feature = "otlp"))]
mod export {
    use crate::trace::record::SpanRecord;
    use crate::trace::settings::Receiver;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    pub(super) fn start(
        _: &Receiver,
        _: mpsc::Receiver<SpanRecord>,
        _: CancellationToken,
    ) -> Result<std::future::Ready<()>, String> {
        Err("FAIRLINE_OTLP_ENDPOINT: this build sends no traces".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::spans::DROPPED;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    /// Traces with a queue that nothing empties.
    fn traces(ratio: f64, queue: usize) -> (Traces, mpsc::Receiver<SpanRecord>) {
        let (sink, queue) = mpsc::channel(queue);
        let tracing = Tracing {
            sink: Sink(sink),
            sampled_below: (ratio * (1_u64 << 63) as f64) as u64,
            wishes: RateLimiter::direct(Quota::per_second(WISHES_PER_SECOND_MAX)),
            ending: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        (Traces(Some(tracing)), queue)
    }

    fn headers(flags: &str) -> HeaderMap {
        let traceparent = format!("00-{TRACE}-b7ad6b7169203331-{flags}");
        let traceparent = HeaderValue::try_from(traceparent).unwrap();
        let state = HeaderValue::from_static("a=1");
        HeaderMap::from_iter([(TRACEPARENT, traceparent), (TRACESTATE, state)])
    }

    fn end(trace: RequestTrace) {
        trace.end(&Answered {
            method: &Method::GET,
            route: "/",
            status: StatusCode::OK,
        });
    }

    #[test]
    fn the_share_of_new_traces_goes_by_their_ids_and_unsampled_clients_are_never_traced() {
        for (ratio, first_untraced) in [(0.0, 0), (0.25, 1 << 62), (0.5, 1 << 63)] {
            let (traces, _queue) = traces(ratio, 1);
            let tracing = traces.0.as_ref().unwrap();
            let samples = |id: u128| tracing.samples(TraceId(id), None);
            let high_half = 0xabcd << 64;
            assert!(!samples(high_half | first_untraced));
            assert!(first_untraced == 0 || samples(high_half | (first_untraced - 1)));
        }
        let (all, _queue) = traces(1.0, 1);
        assert!(all.begin(&HeaderMap::new()).scope.is_traced());
        assert!(!all.begin(&headers("00")).scope.is_traced());
    }

    #[test]
    fn clients_have_only_so_many_requests_traced_in_a_second() {
        let (traces, _queue) = traces(0.0, 1);
        let began = Instant::now();
        let asked = 2000;
        let begun = (0..asked).map(|_| traces.begin(&headers("01")));
        let traced = begun.filter(|trace| trace.scope.is_traced()).count();
        let most = f64::from(WISHES_PER_SECOND_MAX.get()) * (1.0 + began.elapsed().as_secs_f64());
        assert!(traced >= 100 && traced as f64 <= most + 1.0, "{traced}");
    }

    #[test]
    fn a_full_queue_drops_spans_and_counts_them() {
        let (traces, mut queue) = traces(1.0, 1);
        let before = DROPPED.get();
        for _ in 0..3 {
            end(traces.begin(&HeaderMap::new()));
        }
        assert_eq!(DROPPED.get() - before, 2);
        assert_eq!(queue.try_recv().unwrap().name, "GET /");
        assert!(queue.try_recv().is_err());
    }

    #[test]
    fn a_method_that_is_not_known_is_in_no_span() {
        let (traces, mut queue) = traces(1.0, 1);
        let trace = traces.begin(&HeaderMap::new());
        let method = Method::from_bytes(b"SECRET-WORD").unwrap();
        trace.end(&Answered {
            method: &method,
            route: "/",
            status: StatusCode::METHOD_NOT_ALLOWED,
        });
        let span = queue.try_recv().unwrap();
        assert_eq!(span.name, "HTTP /");
        assert!(!format!("{span:?}").contains("SECRET"), "{span:?}");
    }

    /// The headers that another service is sent on behalf of a request.
    async fn passed_on(trace: &RequestTrace) -> (String, String) {
        let scope = trace.scope.clone();
        let asking = scope.cover(async {
            let work = carried(async {
                let mut headers = HeaderMap::new();
                pass_on(&Span::client("other"), &mut headers);
                headers
            });
            tokio::spawn(work).await.unwrap()
        });
        let headers = asking.await;
        let text = |name| headers[name].to_str().unwrap().to_owned();
        (text(TRACEPARENT), text(TRACESTATE))
    }

    #[tokio::test]
    async fn another_service_is_sent_the_span_of_the_call_or_what_the_client_sent() {
        let (some, mut queue) = traces(0.0, 9);
        for traces in [&Traces(None), &some] {
            let (parent, state) = passed_on(&traces.begin(&headers("00"))).await;
            assert_eq!(parent, format!("00-{TRACE}-b7ad6b7169203331-00"));
            assert_eq!(state, "a=1");
        }
        let trace = some.begin(&headers("01"));
        let (parent, state) = passed_on(&trace).await;
        let call = queue.try_recv().unwrap();
        assert_eq!(parent, format!("00-{TRACE}-{:016x}-01", call.span_id));
        assert_eq!(state, "a=1");
        let own = call.parent.unwrap();
        assert_eq!(
            RequestId(own.span_id).to_string(),
            trace.scope.request_id().to_string()
        );
    }
}
