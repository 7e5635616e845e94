//! A line whose store is slow, frozen or full: every request ends within five seconds, and pages,
//! organisers and operators are told in words.

use crate::stage::{KEY, Stage, place, word};
use client::{Client, Socket};
use futures_util::future::join_all;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use shared::http::listener::Caps;
use shared::http::operations::{Operations, operations};
use std::time::{Duration, Instant};
use testkit::{Fault, Faulty};

/// The promise to every client.
const SECONDS_MAX: Duration = Duration::from_secs(5);

/// Returns the operations listener of a stage.
async fn operations_of(stage: &Stage) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = operations(Operations {
        metrics: stage.fairline.metrics.clone(),
        site: stage.fairline.room.site.clone(),
    });
    let caps = Caps {
        connections_max: 8,
        connections_per_address_max: 0,
    };
    let stop = stage.stop.clone();
    tokio::spawn(shared::http::listener::serve(listener, routes, caps, stop));
    Client::new(&format!("http://{address}"))
}

/// Returns what a node says of its readiness: status and text.
async fn readiness(operator: &Client) -> (StatusCode, String) {
    let heads: [(&str, &str); 0] = [];
    let answer = operator.raw(Method::GET, "/readyz", &heads, Vec::new());
    let answer = answer.await.unwrap();
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    (answer.status(), text)
}

/// A page as a browser without JavaScript gets it.
struct Page {
    status: StatusCode,
    text: String,
    refresh: Option<String>,
}

async fn page(stage: &Stage, method: Method, path: &str, cookie: &str) -> Page {
    let heads = [
        ("cookie", cookie),
        ("origin", stage.url.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let answer = stage.client.raw(method, path, &heads, Vec::new()).await;
    let answer = answer.unwrap();
    let refresh = answer.headers().get("refresh");
    Page {
        status: answer.status(),
        refresh: refresh.map(|value| value.to_str().unwrap().to_owned()),
        text: String::from_utf8_lossy(answer.body()).into_owned(),
    }
}

/// Asks until the answer is as it should be, and returns it.
async fn until<T>(what: &str, ask: impl AsyncFn() -> T, is_so: impl Fn(&T) -> bool) -> T {
    let from = Instant::now();
    loop {
        let answer = ask().await;
        if is_so(&answer) {
            return answer;
        }
        assert!(from.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_ends_within_five_seconds_while_each_answer_of_the_store_takes_long() {
    let redis = testkit::Redis::start();
    let proxy = Faulty::before(redis.socket());
    let stage = Stage::on_line(proxy.url(), |_| {}).await;
    let calm = json!({"rate_per_minute": 0});
    stage.event("slow", json!({"admission": calm})).await;
    let now = stage.clock.now();
    let draw =
        json!({"order": "draw", "prequeue_opens_at": now, "sale_opens_at": now.plus_seconds(3600)});
    stage.event("drawn", draw).await;
    let place = stage.client.join("slow").await.unwrap();
    let (pass, visitor) = (word(&place["pass"]), word(&place["visitor"]));
    proxy.set(Fault::Slow(Duration::from_millis(1600)));
    let requests: Vec<(Method, String, &str, Option<Value>)> = [
        (Method::GET, "/api/v1/events", "", None),
        (Method::GET, "/api/v1/events/slow", "", None),
        (Method::GET, "/api/v1/events/drawn/draw", "", None),
        (
            Method::POST,
            "/api/v1/events/slow/line",
            "",
            Some(json!({})),
        ),
        (
            Method::POST,
            "/api/v1/events/slow/line",
            &pass,
            Some(json!({})),
        ),
        (Method::GET, "/api/v1/events/slow/line/me", &pass, None),
        (Method::GET, "/e/slow", &pass, None),
        (Method::GET, "/gate/slow", &pass, None),
        (Method::GET, "/api/v1/organiser/events", KEY, None),
        (
            Method::GET,
            "/api/v1/organiser/events/slow/stats",
            KEY,
            None,
        ),
        (
            Method::PATCH,
            "/api/v1/organiser/events/slow",
            KEY,
            Some(json!({"message": "slow"})),
        ),
        (
            Method::POST,
            "/api/v1/organiser/events",
            KEY,
            Some(json!({"id": "new", "name": "New"})),
        ),
        (Method::DELETE, "/api/v1/organiser/events/drawn", KEY, None),
    ]
    .map(|(method, path, bearer, body)| (method, path.to_owned(), bearer, body))
    .into();
    let look = format!("/api/v1/organiser/events/slow/line/{visitor}");
    let looks = [(Method::GET, look, KEY, None)];
    let asking = requests
        .into_iter()
        .chain(looks)
        .map(|(method, path, bearer, body)| {
            let stage = &stage;
            async move {
                let from = Instant::now();
                let answer = stage.client.call(method.clone(), &path, bearer, body).await;
                let (status, took) = (answer.unwrap().status, from.elapsed());
                assert!(took < SECONDS_MAX, "{method} {path} took {took:?}");
                let is_fine = status.is_success() || status == 503 || path.starts_with("/gate");
                assert!(is_fine, "{method} {path} {status}");
            }
        });
    let opening = async {
        let from = Instant::now();
        let opened = stage.client.watch("slow", &pass).await;
        assert!(from.elapsed() < SECONDS_MAX, "the handshake");
        drop(opened);
    };
    tokio::join!(join_all(asking), opening);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_without_script_say_that_the_line_cannot_be_reached_and_that_the_place_is_kept() {
    let redis = testkit::Redis::start();
    let stage = Stage::on(&redis).await;
    let settings = json!({"admission": {"rate_per_minute": 0}});
    stage.event("away", settings).await;
    let place = stage.client.join("away").await.unwrap();
    let cookie = format!("fairline_pass_away={}", word(&place["pass"]));
    let before = page(&stage, Method::GET, "/e/away", &cookie).await;
    assert_eq!(before.status, 200);
    assert!(before.text.contains("Your number is 1."), "{}", before.text);
    redis.signal("STOP");
    // A node that starts meanwhile has heard of no event.
    let other = Stage::on(&redis).await;
    for (stage, path, cookie) in [
        (&stage, "/e/away", cookie.as_str()),
        (&other, "/e/away", &cookie),
        (&other, "/e/away", "a=b"),
        (&other, "/e/away/draw", "a=b"),
    ] {
        let shown = page(stage, Method::GET, path, cookie).await;
        assert_eq!(shown.status, 503, "{path} {cookie}: {}", shown.text);
        assert!(
            shown
                .text
                .contains("We cannot reach the line at the moment")
        );
        assert!(shown.text.contains("it is kept"), "{}", shown.text);
        assert!(!shown.text.contains("Join the line"), "{}", shown.text);
        assert_eq!(shown.refresh.as_deref(), Some("5"), "it tries again");
    }
    // Nor is a stranger asked to join, once it is known.
    let ask = async || page(&stage, Method::GET, "/e/away", "a=b").await;
    until("strangers are told", ask, |shown| shown.status == 503).await;
    for path in ["/e/away/join", "/e/away/leave"] {
        let shown = page(&stage, Method::POST, path, &cookie).await;
        assert_eq!(shown.status, 503, "{path}: {}", shown.text);
        assert!(shown.text.contains("it is kept"), "{}", shown.text);
        assert_eq!(shown.refresh, None, "a form is not sent again by itself");
    }
    redis.signal("CONT");
    let ask = async || page(&stage, Method::GET, "/e/away", &cookie).await;
    let after = until("the place is back", ask, |shown| shown.status == 200).await;
    assert!(after.text.contains("Your number is 1."), "{}", after.text);
    let unknown = page(&stage, Method::GET, "/e/none", &cookie).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_memory_is_told_to_the_operator_the_organiser_and_the_fan() {
    let redis = testkit::Redis::start();
    let stage = Stage::on(&redis).await;
    let settings = json!({"admission": {"rate_per_minute": 0}});
    stage.event("full", settings).await;
    let place = stage.client.join("full").await.unwrap();
    assert_eq!(place["stale"], false);
    let pass = word(&place["pass"]);
    let operator = operations_of(&stage).await;
    let ready = async || readiness(&operator).await;
    let path = "/api/v1/organiser/events/full/stats";
    let stats = async || stage.get(path, KEY).await.body;
    until("it is ready", ready, |(_, text)| text == "ready\n").await;
    assert_eq!(stats().await.get("trouble"), None);
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let (status, text) = until("it is told", ready, |(status, _)| *status == 503).await;
    assert!(
        text.contains("has no memory left (maxmemory)"),
        "{status} {text}"
    );
    let told = word(&stats().await["trouble"]);
    assert!(
        told.contains("no memory left") && !told.contains("Redis"),
        "{told}"
    );
    let me = stage.get("/api/v1/events/full/line/me", &pass).await.body;
    assert_eq!((&me["stale"], &me["number"]), (&json!(true), &json!(1)));
    let stranger = stage.client.post("/api/v1/events/full/line", "", json!({}));
    assert_eq!(stranger.await.unwrap().status, 503);
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    until("it is ready again", ready, |(_, text)| text == "ready\n").await;
    assert_eq!(stats().await.get("trouble"), None);
    let me = stage.get("/api/v1/events/full/line/me", &pass).await.body;
    assert_eq!(me["stale"], false);
}

/// Those who are told that a line does not move: the operator, the organiser, a fan with a socket.
struct Audience<'a> {
    stage: &'a Stage,
    operator: Client,
    socket: Socket,
}

impl Audience<'_> {
    async fn organisers_trouble(&self) -> Value {
        let path = "/api/v1/organiser/events/still/stats";
        let mut stats = self.stage.get(path, KEY).await.body;
        // While there are no figures, the refusal says why.
        match stats["trouble"].take() {
            Value::Null => stats["detail"].take(),
            trouble => trouble,
        }
    }

    async fn until_stale(&mut self, is_stale: bool) {
        let reading = async { while place(&mut self.socket).await["stale"] != is_stale {} };
        let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
        read.unwrap_or_else(|_| panic!("the fan is told: {is_stale}"));
    }

    /// Waits until all are told, in these words.
    async fn are_told(&mut self, status: u16, operator: &str, organiser: &str) {
        let ready = async || readiness(&self.operator).await;
        let (told, text) = until(operator, ready, |(_, text)| text.contains(operator)).await;
        assert_eq!(told, status, "{text}");
        let asked = async || self.organisers_trouble().await;
        let is_told = |told: &Value| told.as_str().is_some_and(|told| told.contains(organiser));
        until(organiser, asked, is_told).await;
        self.until_stale(true).await;
    }

    /// Waits until all are told that the line goes on.
    async fn are_told_that_it_goes_on(&mut self) {
        let ready = async || readiness(&self.operator).await;
        until("it is ready again", ready, |(_, text)| text == "ready\n").await;
        let asked = async || self.organisers_trouble().await;
        until("nothing is wrong", asked, Value::is_null).await;
        self.until_stale(false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_read_only_behind_or_in_another_life_is_told_to_all_who_should_know() {
    let redis = testkit::Redis::start();
    let proxy = Faulty::before(redis.socket());
    let stage = Stage::on_line(proxy.url(), |_| {}).await;
    let settings = json!({"admission": {"rate_per_minute": 0}});
    stage.event("still", settings).await;
    let pass = word(&stage.client.join("still").await.unwrap()["pass"]);
    let mut all = Audience {
        operator: operations_of(&stage).await,
        socket: stage.client.watch("still", &pass).await.unwrap(),
        stage: &stage,
    };
    all.are_told_that_it_goes_on().await;

    proxy.set(Fault::Refuses(
        "READONLY You can't write against a read only replica.",
    ));
    all.are_told(503, "is read-only, a replica", "is read-only")
        .await;
    proxy.set(Fault::None);
    all.are_told_that_it_goes_on().await;

    // The keys of this line alone cannot be used.
    let [meta, kept] = ["fairline:{still}:meta", "fairline:{still}:kept"];
    redis.ask(&["RENAME", meta, kept]).unwrap();
    redis.ask(&["SET", meta, "x"]).unwrap();
    all.are_told(
        200,
        "the line of still: This node has not heard",
        "figures are old",
    )
    .await;
    redis.ask(&["RENAME", kept, meta]).unwrap();
    all.are_told_that_it_goes_on().await;

    // The clock of the test stands still, and with it the time in which nodes report.
    redis.ask(&["FLUSHALL"]).unwrap();
    all.are_told(
        200,
        "the line of still: The store",
        "places are being restored",
    )
    .await;
    stage.clock.advance_ms(5_000);
    all.are_told_that_it_goes_on().await;
    let me = stage.get("/api/v1/events/still/line/me", &pass).await.body;
    assert_eq!(
        (&me["state"], &me["number"]),
        (&json!("waiting"), &json!(1))
    );
}
