//! Traces and the ids in log lines: from a fan's request through nginx, both services and their
//! stores, to a receiver.

use crate::receiver::{Received, Receiver};
use crate::site::{KEY, Node, Site, word};
use client::Client;
use hyper::body::Bytes;
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::{Postgres, free_port};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// Span of the client.
const PARENT: &str = "b7ad6b7169203331";
const CLIENT: i32 = 3;
const SERVER: i32 = 2;

/// Sends a request of a client that records its trace.
async fn post(client: &Client, path: &str, bearer: &str, body: Value) -> Response<Bytes> {
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let authorization = format!("Bearer {bearer}");
    let mut heads = vec![
        ("traceparent", traceparent.as_str()),
        ("tracestate", "congo=t61rcWkgMzE"),
        ("content-type", "application/json"),
    ];
    if !bearer.is_empty() {
        heads.push(("authorization", &authorization));
    }
    let body = body.to_string().into_bytes();
    client.raw(Method::POST, path, &heads, body).await.unwrap()
}

fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

/// The only span of a name in a service, with this parent if one is given.
fn only<'a>(spans: &'a [Received], service: &str, name: &str, parent: &str) -> &'a Received {
    let mut found = spans
        .iter()
        .filter(|span| span.service == service && span.name == name)
        .filter(|span| parent.is_empty() || span.parent == parent);
    let only = found.next();
    let only = only.unwrap_or_else(|| panic!("no {name} of {service} in {spans:#?}"));
    assert!(found.next().is_none(), "{name} twice in {spans:#?}");
    only
}

fn attribute<'a>(span: &'a Received, key: &str) -> &'a str {
    &span.attributes[key]
}

/// Waits until a node has logged a request of a trace, and returns the line.
async fn logged(node: &Node, trace_id: &str, route: &str) -> Value {
    let from = Instant::now();
    loop {
        let log = node.log();
        // What is printed at the start is no log line.
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut lines = lines.filter(|line: &Value| line["trace_id"] == trace_id);
        if let Some(line) = lines.find(|line| line["route"] == route) {
            return line;
        }
        assert!(from.elapsed() < Duration::from_secs(10), "{log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a fan does, with the answers.
struct Visit {
    joined: Response<Bytes>,
    entered: Response<Bytes>,
    held: Response<Bytes>,
    ordered: Response<Bytes>,
    /// What they are known by.
    secrets: [String; 3],
}

impl Visit {
    async fn to(site: &Site) -> Visit {
        let joined = post(&site.client, "/api/v1/events/arena/line", "", json!({})).await;
        let pass = word(&body(&joined)["pass"]);
        let me = "/api/v1/events/arena/line/me";
        let place = site.until(me, &pass, |place| place["state"] == "admitted");
        let token = word(&place.await["token"]);
        let path = "/api/v1/events/arena/sessions";
        let entered = post(&site.client, path, &token, json!({})).await;
        let session = word(&body(&entered)["session"]);
        let wish = json!({"best_available": {"quantity": 1}});
        let held = post(&site.client, "/api/v1/events/arena/holds", &session, wish).await;
        let buyer = json!({"hold": body(&held)["id"],
            "buyer": {"name": "Ada", "email": "ada@example.org"}});
        let ordered = post(&site.client, "/api/v1/orders", &session, buyer).await;
        assert_eq!(ordered.status(), StatusCode::CREATED);
        Visit {
            joined,
            entered,
            held,
            ordered,
            secrets: [pass, token, session],
        }
    }
}

/// Checks the span of a request, which its answer tells, and the only one of its call of a store.
fn check_request(spans: &[Received], answer: &Response<Bytes>, request: &Received, call: &str) {
    assert_eq!((request.kind, request.parent.as_str()), (SERVER, PARENT));
    let status = attribute(request, "http.response.status_code");
    assert_eq!(status, answer.status().as_str());
    assert_eq!(answer.headers()["x-request-id"], request.id.as_str());
    let told = format!("00-{TRACE}-{}-01", request.id);
    assert_eq!(answer.headers()["traceresponse"], told.as_str());
    let call = only(spans, &request.service, call, &request.id);
    assert_eq!(call.kind, CLIENT);
    assert!(call.nanoseconds > 0 && call.nanoseconds <= request.nanoseconds);
}

#[tokio::test]
async fn what_a_fan_does_is_one_trace_through_nginx_both_services_redis_and_postgres() {
    let receiver = Receiver::start().await;
    let server = Postgres::start();
    let inventory = ("FAIRLINE_INVENTORY", server.url(&server.database()));
    let shop = [receiver.settings(), vec![inventory]].concat();
    let site = Site::of(vec![receiver.settings()], vec![shop]).await;
    let open = json!({"rate_per_minute": 60_000, "batch_seconds": 1, "max_active": 100});
    site.event("arena", open).await;
    let visit = Visit::to(&site).await;
    // A request's span is sent after those of its calls.
    let start = "POST /api/v1/events/{event}/admission/start";
    let nodes = [&site.rooms[0], &site.checkout];
    let spans = receiver
        .until(&["POST /api/v1/orders", start], &nodes)
        .await;
    for span in &spans {
        assert_eq!(span.trace_id, TRACE, "{span:?}");
        assert_eq!(span.state, "congo=t61rcWkgMzE", "{span:?}");
    }
    let join = "POST /api/v1/events/{event}/line";
    let join = only(&spans, "waiting-room", join, PARENT);
    check_request(&spans, &visit.joined, join, "EVALSHA join");
    let request = |name| only(&spans, "checkout", name, PARENT);
    let enter = request("POST /api/v1/events/{event}/sessions");
    for (answer, request) in [
        (&visit.entered, enter),
        (&visit.held, request("POST /api/v1/events/{event}/holds")),
        (&visit.ordered, request("POST /api/v1/orders")),
    ] {
        check_request(&spans, answer, request, "select fairline.apply");
    }
    // From one service to the other.
    let asked = only(&spans, "checkout", "waiting-room", &enter.id);
    let answered = only(&spans, "waiting-room", start, &asked.id);
    only(&spans, "waiting-room", "EVALSHA claim", &answered.id);
    for (node, request) in [(&site.checkout, enter), (&site.rooms[0], answered)] {
        let line = logged(node, TRACE, attribute(request, "http.route")).await;
        assert_eq!(line["request_id"], request.id.as_str());
    }
    // Nothing that is a secret, or personal.
    let all = format!("{spans:?}");
    let [pass, token, session] = &visit.secrets;
    for word in [pass, token, session, "ada@example.org", "Ada", KEY, "?"] {
        assert!(!all.contains(word), "{word} in {all}");
    }
}

/// A single process, and its folder.
async fn single(settings: Vec<(&str, String)>) -> (Node, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::new("fairline", folder.path(), free_port(), &settings);
    node.ready().await;
    (node, folder)
}

async fn list_with(node: &Node, traceparent: &str) -> Response<Bytes> {
    let heads = [("traceparent", traceparent)];
    let heads = if traceparent.is_empty() {
        &[]
    } else {
        &heads[..]
    };
    let path = "/api/v1/events";
    let listed = node.client.raw(Method::GET, path, heads, Vec::new());
    listed.await.unwrap()
}

/// Trace id, and flags, that an answer tells.
fn told(answer: &Response<Bytes>) -> (String, String) {
    let told = answer.headers()["traceresponse"].to_str().unwrap();
    let fields: Vec<&str> = told.split('-').collect();
    assert_eq!((fields.len(), fields[0]), (4, "00"), "{told}");
    assert_eq!(answer.headers()["x-request-id"], fields[2]);
    (fields[1].to_owned(), fields[3].to_owned())
}

#[tokio::test]
async fn a_client_decides_what_is_traced_and_a_bad_traceparent_begins_a_new_trace() {
    let receiver = Receiver::start().await;
    let (node, _folder) = single(receiver.settings()).await;
    let given = format!("00-{TRACE}-{PARENT}");
    // The share is none: only the client's wish counts.
    let unwished = list_with(&node, &format!("{given}-00")).await;
    assert_eq!(told(&unwished), (TRACE.to_owned(), "00".to_owned()));
    for bad in [
        "",
        "nonsense",
        &format!("{given}-01-"),
        &given.to_uppercase(),
    ] {
        let (trace_id, flags) = told(&list_with(&node, bad).await);
        assert_eq!((trace_id.len(), flags.as_str()), (32, "00"), "{bad}");
        assert_ne!(trace_id, TRACE, "{bad}");
    }
    let wished = list_with(&node, &format!("{given}-01")).await;
    assert_eq!(told(&wished), (TRACE.to_owned(), "01".to_owned()));
    let spans = receiver.until(&["GET /api/v1/events"], &[&node]).await;
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!(spans[0].service, "fairline");
    assert_eq!(spans[0].id, wished.headers()["x-request-id"]);
    // They are counted once the receiver's answer is read.
    let exported = r#"fairline_spans_total{outcome="exported"} 1"#;
    node.until_metric(|line| line == exported).await;
    // The line of a request without a trace of its own has ids as well.
    let line = logged(&node, TRACE, "/api/v1/events").await;
    assert_eq!(
        line["request_id"],
        unwished.headers()["x-request-id"].to_str().unwrap()
    );
}

#[tokio::test]
async fn commits_of_the_embedded_engines_are_spans_of_their_requests() {
    let receiver = Receiver::start().await;
    let (node, _folder) = single(receiver.settings()).await;
    let event = json!({"id": "arena", "name": "Arena"});
    let plan = json!({"categories": [{"id": "c", "name": "C", "price": 4500}],
        "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 2}]});
    node.client
        .create_event(KEY, &event, Some(plan.clone()))
        .await
        .unwrap();
    post(&node.client, "/api/v1/events/arena/line", "", json!({})).await;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let authorization = format!("Bearer {KEY}");
    let heads = [
        ("traceparent", traceparent.as_str()),
        ("authorization", &authorization),
    ];
    let path = "/api/v1/organiser/events/arena/sales";
    let sales = node.client.raw(Method::GET, path, &heads, Vec::new());
    sales.await.unwrap();
    let join = "POST /api/v1/events/{event}/line";
    let sales = "GET /api/v1/organiser/events/{event}/sales";
    let spans = receiver.until(&[join, sales], &[&node]).await;
    for (request, commit) in [(join, "commit line"), (sales, "commit inventory")] {
        let request = only(&spans, "fairline", request, PARENT);
        let commit = only(&spans, "fairline", commit, &request.id);
        assert_eq!(attribute(commit, "db.system.name"), "sqlite");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_sent_before_the_process_ends() {
    let receiver = Receiver::start().await;
    let mut settings = receiver.settings();
    settings.retain(|(name, _)| *name != "FAIRLINE_TRACE_RATIO");
    settings.push(("FAIRLINE_TRACE_RATIO", "1".to_owned()));
    let (mut node, _folder) = single(settings).await;
    let (trace_id, flags) = told(&list_with(&node, "").await);
    assert_eq!(flags, "01");
    let mut process = node.process.take().unwrap();
    process.signal("TERM");
    process.wait();
    let spans = receiver.all();
    let last = spans.iter().find(|span| span.trace_id == trace_id);
    assert_eq!(
        last.map(|span| span.parent.as_str()),
        Some(""),
        "{spans:#?}"
    );
}

#[tokio::test]
async fn a_receiver_that_is_away_holds_up_no_request_and_its_spans_are_counted() {
    let settings = [
        (
            "FAIRLINE_OTLP_ENDPOINT",
            format!("http://127.0.0.1:{}", free_port()),
        ),
        ("FAIRLINE_TRACE_RATIO", "1".to_owned()),
        ("FAIRLINE_LOG", "debug".to_owned()),
    ];
    let (node, _folder) = single(settings.to_vec()).await;
    assert_eq!(list_with(&node, "").await.status(), StatusCode::OK);
    let failed = r#"fairline_spans_total{outcome="failed"} "#;
    let is_counted = |line: &str| line.strip_prefix(failed).is_some_and(|count| count != "0");
    node.until_metric(is_counted).await;
    let from = Instant::now();
    while !node.log().contains("traces cannot be sent") {
        assert!(from.elapsed() < Duration::from_secs(20), "{}", node.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // As text, a line ends with the ids.
    let answer = list_with(&node, "").await;
    let (trace_id, _) = told(&answer);
    let id = answer.headers()["x-request-id"].to_str().unwrap();
    let end = format!(" request_id={id} trace_id={trace_id}");
    while !node.log().lines().any(|line| line.ends_with(&end)) {
        assert!(from.elapsed() < Duration::from_secs(30), "{}", node.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = node.log();
    assert_eq!(log.matches("traces cannot be sent").count(), 1, "{log}");
}
