//! Everything that the gate may be asked, over real connections: it answers 200 or 204, 302, 401 or
//! 403 and nothing else, since a proxy makes an error of the site of any other status.

use crate::attacks::floods::read_to_close;
use crate::stage::Stage;
use async_trait::async_trait;
use axum::Router;
use axum::response::Response;
use hyper::Method;
use serde_json::json;
use shared::http::front::{Front, Gate, Question};
use shared::http::listener::{Caps, serve};
use shared::http::load::Class;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use waiting_room::settings::LineArgs;

const PAGE: &str = "Sec-Fetch-Mode: navigate\r\n";

/// Sends a request to an address and returns the status and the head of its answer.
async fn ask(address: &str, request: &[u8]) -> (u16, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let answer = read_to_close(stream, request).await;
    let (head, _) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.unwrap_or(0), head.to_ascii_lowercase())
}

fn address_of(stage: &Stage) -> &str {
    stage.url.trim_start_matches("http://")
}

fn get(path: &str, heads: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{heads}\r\n").into_bytes()
}

/// Questions that name no event that exists, or name it in no way that is meant.
fn questions_of_no_event() -> Vec<Vec<u8>> {
    let long = format!("/gate/none/{}", "x".repeat(60_000));
    let paths = [
        "/gate",
        "/gate/",
        "/gate?a=1",
        "/gate//",
        "/gate//x",
        "/gate/%",
        "/gate/%zz/x",
        "/gate/%00",
        "/gate/%ff%fe",
        "/gate/..",
        "/gate/../gate/none",
        "/gate/NONE",
        "/gate/\"{}|\\^[]",
        "/gate/caf\u{e9}/x",
        "/gate/none",
        "/gate/none/",
        "/gate/none?%",
        "/gate/none/%2e%2e/%2F?a=%&b=`'&c",
        "/auth-request",
        "/auth-request/",
        "/auth-request?a",
        "/auth-request//",
        "/auth-request/none",
        "/auth-request/none/",
        "/auth-request/none/GET",
        "/auth-request/none/GET/x/y",
        "/auth-request/none/%00",
        "/auth-request/none/BREW",
        &long,
    ];
    let prefixed = paths.iter().map(|path| format!("/.fairline{path}"));
    let paths: Vec<String> = paths
        .iter()
        .map(|path| (*path).to_owned())
        .chain(prefixed)
        .collect();
    let pages = paths.iter().map(|path| get(path, PAGE));
    paths
        .iter()
        .map(|path| get(path, ""))
        .chain(pages)
        .collect()
}

/// Questions about an event that exists, odd in their method, their headers or their body.
fn odd_questions() -> Vec<Vec<u8>> {
    let mut questions: Vec<Vec<u8>> = Vec::new();
    for method in [
        "BREW", "get", "TRACE", "PROPFIND", "DELETE", "OPTIONS", "HEAD", "M-SEARCH",
    ] {
        let head = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        questions.push(format!("{method} /gate/gate {head}").into_bytes());
    }
    for line in [
        "GET /gate/gate HTTP/1.0\r\n",
        "GET /gate/gate HTTP/1.1\r\nConnection: close\r\n",
        "GET http://other.example/gate/gate HTTP/1.1\r\nHost: a\r\nConnection: close\r\n",
    ] {
        questions.push(format!("{line}\r\n").into_bytes());
    }
    for body in [
        "Content-Length: 5000000\r\n\r\nthe rest never comes",
        "Content-Length: 5000000\r\nExpect: 100-continue\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nno chunk\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffffff\r\nthe rest never comes",
        "Content-Length: 2\r\nContent-Encoding: gzip\r\nContent-Type: none\r\n\r\n{}",
    ] {
        let head = "POST /gate/gate HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
        questions.push(format!("{head}{body}").into_bytes());
    }
    let many = "Cookie: a=1; fairline_admission_gate=x\r\n".repeat(60);
    let large = format!(
        "Cookie: a={}; fairline_admission_gate=x\r\n",
        "x".repeat(60_000)
    );
    for heads in [
        &large,
        "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
        "Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
        "Host: b\r\n",
        "Host: a/b@c:x\r\n",
        "Expect: 200-ok\r\n",
        "Range: bytes=5-\r\nIf-None-Match: *\r\nIf-Match: \"x\"\r\nIf-Modified-Since: never\r\n",
        "Accept: nothing/none\r\nAccept-Encoding: identity;q=0, *;q=0\r\nAccept-Charset: x\r\n",
        "Origin: null\r\nOrigin: https://evil.example\r\n",
        "X-Forwarded-For: ,,\u{e9};\r\nForwarded: for=\"[\r\nX-Forwarded-Host: \r\nX-Forwarded-Proto: x\r\n",
        "X-Original-URI: \u{e9}\r\nX-Forwarded-Uri: http://\r\nX-Original-Method: \u{e9} x\r\n",
        "Authorization: Bearer \u{e9}\r\nAuthorization: Basic\r\nProxy-Authorization: x\r\n",
        "Cookie: \u{e9}=\u{e9}; fairline_admission_gate=\u{e9}; fairline_client_gate=\u{e9}\r\nCookie:\r\n",
        "Cookie: fairline_admission_gate=a.b.c; fairline_admission_gate=eyJhbGciOiJub25lIn0.e30.\r\n",
        "traceparent: 00-x\r\ntracestate: \u{e9}\r\nIdempotency-Key: \u{e9}\r\n",
        &many,
    ] {
        questions.push(get("/gate/gate", heads));
        questions.push(get("/auth-request/gate/GET", &format!("{heads}{PAGE}")));
        questions.push(get("/gate/gate/x", &format!("{heads}{PAGE}")));
    }
    questions
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_is_answered_yes_or_no_also_while_all_else_is_refused() {
    let stage = Stage::with(|common| {
        common.load.in_flight = Some("1".to_owned());
        common.requests_per_second = Some("1".to_owned());
    })
    .await;
    let policy = json!({"admission": {"rate_per_minute": 0}});
    let event = json!({"id": "gate", "name": "The gate", "admission": policy["admission"]});
    let made = stage.organise(Method::POST, "/events", Some(event)).await;
    assert!(made.status.is_success(), "{}", made.body);
    let load = &stage.fairline.room.site.load;
    let _only_place = load.enter(Class::Purchase, &Method::GET).unwrap();
    for question in questions_of_no_event().into_iter().chain(odd_questions()) {
        let (status, _) = ask(address_of(&stage), &question).await;
        let told = String::from_utf8_lossy(&question[..question.len().min(200)]).into_owned();
        assert!([302, 401].contains(&status), "{status}: {told}");
    }
    let line = LineArgs {
        gate_unknown_event: Some("pass".to_owned()),
        ..LineArgs::default()
    };
    let open = Stage::with_line(line).await;
    for question in questions_of_no_event() {
        let (status, _) = ask(address_of(&open), &question).await;
        let told = String::from_utf8_lossy(&question[..question.len().min(200)]).into_owned();
        assert!([200, 204].contains(&status), "{status}: {told}");
    }
}

/// A gate on a port of its own, until it is dropped.
struct Standing {
    address: String,
    stop: tokio_util::sync::CancellationToken,
    serving: JoinHandle<()>,
}

impl Standing {
    async fn open(gate: Arc<dyn Gate>, stage: &Stage) -> Standing {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let front = Front::new(Router::new(), gate, &stage.fairline.room.site);
        let caps = Caps {
            connections_max: 100,
            connections_per_address_max: 0,
        };
        let stop = stage.stop.child_token();
        let serving = tokio::spawn(serve(listener, front, caps, stop.clone()));
        Standing {
            address,
            stop,
            serving,
        }
    }
}

/// The gate of the waiting room, with an error in it.
struct Broken {
    gate: Arc<dyn Gate>,
    /// Answers from the question alone fail as well.
    entirely: bool,
}

#[async_trait]
impl Gate for Broken {
    async fn answer(&self, _: &Question<'_>) -> Response {
        panic!("an error in the gate")
    }

    fn answer_unasked(&self, question: &Question<'_>) -> Response {
        assert!(!self.entirely, "another error in the gate");
        self.gate.answer_unasked(question)
    }

    fn lets_unknown_pass(&self) -> bool {
        self.gate.lets_unknown_pass()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_gate_lets_who_has_a_token_pass_and_others_as_at_an_unknown_event() {
    for unknown in ["refuse", "pass"] {
        let line = LineArgs {
            gate_unknown_event: Some(unknown.to_owned()),
            ..LineArgs::default()
        };
        let stage = Stage::with_line(line).await;
        stage.event("gate", json!({})).await;
        let (_, token) = stage.admit("gate").await;
        let admitted = format!("Cookie: fairline_admission_gate={token}\r\n");
        let forged = format!("Cookie: fairline_admission_gate={token}x\r\n");
        let cors = "Origin: https://a.example\r\nAccess-Control-Request-Method: PUT\r\n";
        let preflight =
            format!("OPTIONS /gate/gate HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{cors}\r\n");
        for entirely in [false, true] {
            let gate = waiting_room::gate(stage.fairline.room.clone());
            let broken = Standing::open(Arc::new(Broken { gate, entirely }), &stage).await;
            let answer = async |question: Vec<u8>| ask(&broken.address, &question).await;
            let status = async |heads: &str| answer(get("/gate/gate", heads)).await.0;
            let strangers = [status("").await, status(PAGE).await, status(&forged).await];
            let wanted = match (unknown, entirely) {
                ("pass", false) => [204; 3],
                ("pass", true) => [200; 3],
                (_, false) => [401, 302, 401],
                (_, true) => [401; 3],
            };
            assert_eq!(strangers, wanted, "{unknown} {entirely}");
            let (passed, head) = answer(get("/gate/gate", &admitted)).await;
            assert!(head.contains("cache-control: no-store"), "{head}");
            if !entirely {
                assert_eq!(passed, 204, "{unknown}");
                assert!(head.contains("x-fairline-visitor: vis_"), "{head}");
                assert_eq!(answer(preflight.clone().into_bytes()).await.0, 204);
            }
        }
    }
}

/// The gate of the waiting room, whose answers wait for a word of the test.
struct Waiting {
    gate: Arc<dyn Gate>,
    is_asked: Notify,
    may_answer: Notify,
}

#[async_trait]
impl Gate for Waiting {
    async fn answer(&self, question: &Question<'_>) -> Response {
        self.is_asked.notify_one();
        self.may_answer.notified().await;
        self.gate.answer(question).await
    }

    fn answer_unasked(&self, question: &Question<'_>) -> Response {
        self.gate.answer_unasked(question)
    }

    fn lets_unknown_pass(&self) -> bool {
        self.gate.lets_unknown_pass()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_stop_answers_what_it_was_asked_and_takes_no_more_connections() {
    let stage = Stage::open().await;
    stage.event("gate", json!({})).await;
    let (_, token) = stage.admit("gate").await;
    let cookie = format!("Cookie: fairline_admission_gate={token}\r\n");
    for (heads, wanted) in [(cookie.as_str(), 204), (PAGE, 302), ("", 401)] {
        let gate = Arc::new(Waiting {
            gate: waiting_room::gate(stage.fairline.room.clone()),
            is_asked: Notify::new(),
            may_answer: Notify::new(),
        });
        let standing = Standing::open(gate.clone(), &stage).await;
        let (address, heads) = (standing.address.clone(), heads.to_owned());
        let request = format!("GET /gate/gate HTTP/1.1\r\nHost: a\r\n{heads}\r\n");
        let asking = tokio::spawn(async move { ask(&address, request.as_bytes()).await });
        gate.is_asked.notified().await;
        standing.stop.cancel();
        gate.may_answer.notify_one();
        assert_eq!(asking.await.unwrap().0, wanted);
        standing.serving.await.unwrap();
        assert!(TcpStream::connect(&standing.address).await.is_err());
    }
}
