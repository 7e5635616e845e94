//! A receiver of traces by OTLP, which keeps what it is sent.

use crate::site::Node;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Header that the receiver demands.
pub(crate) const AUTHORISATION: &str = "x-api-key=receiver-key-0123456789";

#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace_id: String,
    pub(crate) id: String,
    /// Empty for the first span of a trace.
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) kind: i32,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) nanoseconds: u64,
}

impl Received {
    fn new(resource: &BTreeMap<String, String>, span: Span) -> Received {
        Received {
            service: resource["service.name"].clone(),
            name: span.name,
            trace_id: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            state: span.trace_state,
            kind: span.kind,
            attributes: texts(&span.attributes),
            nanoseconds: span.end_time_unix_nano - span.start_time_unix_nano,
        }
    }
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    spans: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Receiver {
            url: format!("http://{}", listener.local_addr().unwrap()),
            spans: Arc::default(),
        };
        let taking = receiver.clone();
        let take = post(move |headers: HeaderMap, body: Bytes| async move {
            let (name, value) = AUTHORISATION.split_once('=').unwrap();
            assert_eq!(headers[name], value);
            assert_eq!(headers["content-type"], "application/x-protobuf");
            taking.take(body);
            StatusCode::OK
        });
        let routes = Router::new().route("/v1/traces", take);
        tokio::spawn(async { axum::serve(listener, routes).await });
        receiver
    }

    fn take(&self, body: Bytes) {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        for of_resource in request.resource_spans {
            let resource = texts(&of_resource.resource.unwrap().attributes);
            let spans = of_resource.scope_spans.into_iter();
            let spans = spans.flat_map(|of_scope| of_scope.spans);
            let received = spans.map(|span| Received::new(&resource, span));
            self.spans.lock().extend(received);
        }
    }

    /// Settings of a node that sends its traces here: no requests but those that ask for it.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("FAIRLINE_OTLP_ENDPOINT", self.url.clone()),
            ("FAIRLINE_OTLP_HEADERS", AUTHORISATION.to_owned()),
            ("FAIRLINE_TRACE_RATIO", "0".to_owned()),
            ("FAIRLINE_LOG", "shared=debug,info".to_owned()),
            ("FAIRLINE_LOG_FORMAT", "json".to_owned()),
        ]
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.spans.lock().clone()
    }

    /// Waits until there are spans of these names, and returns all.
    pub(crate) async fn until(&self, names: &[&str], nodes: &[&Node]) -> Vec<Received> {
        let from = Instant::now();
        loop {
            let spans = self.all();
            let is_there = |name: &&str| spans.iter().any(|span| span.name == **name);
            if names.iter().all(is_there) {
                return spans;
            }
            let logs = || nodes.iter().map(|node| node.log()).collect::<String>();
            assert!(
                from.elapsed() < Duration::from_secs(20),
                "{spans:#?}\n{}",
                logs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| {
        let value = match attribute.value.clone().unwrap().value.unwrap() {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        (attribute.key.clone(), value)
    };
    attributes.iter().map(text).collect()
}
