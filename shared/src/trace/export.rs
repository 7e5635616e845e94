//! Sends spans to a receiver by OTLP, in batches, in a task of its own.

use super::context::random_id;
use super::record::{Kind, SpanRecord, Value};
use super::settings::Receiver;
use crate::connector::connector;
use crate::metrics::spans::{EXPORTED, FAILED};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId};
use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Most spans in one request.
const BATCH_MAX: usize = 512;
/// Time for which spans are gathered, unless a batch is full before.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest time for the receiver to take a batch, including repetitions.
const ANSWER: Duration = Duration::from_secs(5);

/// Returns the work of sending the spans of a queue to a receiver. When it is told to end, it sends
/// those that are left.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn start(
    receiver: &Receiver,
    queue: mpsc::Receiver<SpanRecord>,
    ending: CancellationToken,
) -> Result<impl Future<Output = ()> + use<>, String> {
    let client = HyperClient::new(connector("OTLP receiver", &receiver.url), ANSWER, None);
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", receiver.url))
        .with_headers(receiver.headers.clone())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(ANSWER)
        .build();
    let mut exporter = exporter.map_err(|error| format!("FAIRLINE_OTLP_ENDPOINT: {error}"))?;
    exporter.set_resource(&resource());
    let version = env!("CARGO_PKG_VERSION");
    let scope = InstrumentationScope::builder("fairline").with_version(version);
    let exporter = Exporter {
        exporter,
        scope: scope.build(),
        is_failing: false,
    };
    Ok(exporter.run(queue, ending))
}

/// Describes this process. The standard variables `OTEL_SERVICE_NAME` and
/// `OTEL_RESOURCE_ATTRIBUTES` come first; without them the service has the program's name.
fn resource() -> Resource {
    let standard = Resource::builder().build();
    let name = standard.get(&Key::new("service.name"));
    let name = name.map(|name| name.to_string());
    let name = name.filter(|name| !name.starts_with("unknown_service"));
    let program = std::env::current_exe().ok();
    let program = program.and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    let name = name.or(program).unwrap_or_else(|| "fairline".to_owned());
    let instance = format!("{:016x}", random_id());
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
        ])
        .with_attributes(
            standard
                .iter()
                .map(|(key, value)| KeyValue::new(key.clone(), value.clone())),
        )
        .with_service_name(name)
        .build()
}

/// Sends spans to one receiver.
struct Exporter {
    exporter: opentelemetry_otlp::SpanExporter,
    scope: InstrumentationScope,
    is_failing: bool,
}

impl Exporter {
    async fn run(mut self, mut queue: mpsc::Receiver<SpanRecord>, ending: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            // Receiving is cancel-safe: a span stays in the queue or is in the batch.
            tokio::select! {
                received = queue.recv_many(&mut batch, BATCH_MAX) => if received == 0 { return },
                () = ending.cancelled(), if !queue.is_closed() => queue.close(),
            }
            if (1..BATCH_MAX).contains(&batch.len()) {
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = ending.cancelled() => {}
                }
                while batch.len() < BATCH_MAX {
                    let Ok(record) = queue.try_recv() else { break };
                    batch.push(record);
                }
            }
            if !batch.is_empty() {
                self.send(std::mem::take(&mut batch)).await;
            }
        }
    }

    async fn send(&mut self, batch: Vec<SpanRecord>) {
        let count = batch.len() as u64;
        let clocks = Clocks::read();
        let spans = batch.into_iter();
        let spans = spans.map(|record| span_data(record, &clocks, &self.scope));
        let sent = self.exporter.export(spans.collect()).await;
        match sent {
            Ok(()) => {
                EXPORTED.inc_by(count);
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("traces are sent again");
                }
            }
            Err(error) => {
                FAILED.inc_by(count);
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "traces cannot be sent");
                }
            }
        }
    }
}

/// Both clocks at one instant: spans are measured by the one that never jumps, and told by the
/// other.
struct Clocks {
    steady: Instant,
    wall: SystemTime,
}

impl Clocks {
    fn read() -> Clocks {
        Clocks {
            steady: Instant::now(),
            wall: opentelemetry::time::now(),
        }
    }

    fn wall_time(&self, at: Instant) -> SystemTime {
        self.wall - self.steady.saturating_duration_since(at)
    }
}

fn span_data(record: SpanRecord, clocks: &Clocks, scope: &InstrumentationScope) -> SpanData {
    let state = record.state.and_then(|state| state.parse().ok());
    let attributes = record
        .attributes
        .into_iter()
        .map(|(key, value)| match value {
            Value::Text(text) => KeyValue::new(key, text),
            Value::Number(number) => KeyValue::new(key, number),
        });
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(record.trace_id.0),
            SpanId::from(record.span_id),
            TraceFlags::SAMPLED,
            false,
            state.unwrap_or_default(),
        ),
        parent_span_id: record
            .parent
            .map_or(SpanId::INVALID, |parent| SpanId::from(parent.span_id)),
        parent_span_is_remote: record.parent.is_some_and(|parent| parent.is_remote),
        span_kind: match record.kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        },
        name: record.name.into(),
        start_time: clocks.wall_time(record.began),
        end_time: clocks.wall_time(record.ended),
        attributes: attributes.collect(),
        dropped_attributes_count: 0,
        events: Default::default(),
        links: Default::default(),
        status: match record.is_failed {
            true => Status::error(""),
            false => Status::Unset,
        },
        instrumentation_scope: scope.clone(),
    }
}
