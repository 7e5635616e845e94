//! Overload: browsing is refused first, then joining and new sessions, payments last, and
//! organisers never.

use crate::stage::{CARD, KEY, Stage, word};
use hyper::{Method, StatusCode, header};
use serde_json::{Value, json};
use shared::http::load::{Class, Place};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const JSON: (&str, &str) = ("content-type", "application/json");
const SEATS: &str = "/api/v1/events/busy/seats";

impl Stage {
    /// A stage for so many requests of fans in flight.
    async fn small(in_flight: usize) -> Stage {
        Stage::with(|common| common.load.in_flight = Some(in_flight.to_string())).await
    }

    /// Takes places of requests in flight, until they are dropped.
    fn occupy(&self, count: usize) -> Vec<Arc<Place>> {
        let load = &self.fairline.room.site.load;
        let place = |_| load.enter(Class::Purchase, &Method::GET).unwrap();
        (0..count).map(place).collect()
    }

    /// Sends a request once, unlike the client that tries again; returns the status and the kind of
    /// problem.
    async fn once(&self, method: Method, path: &str, bearer: &str, body: &Value) -> (u16, String) {
        let bearer = format!("Bearer {bearer}");
        let heads = [("authorization", bearer.as_str()), JSON];
        let heads = &heads[usize::from(bearer == "Bearer ")..];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (status, body) = self.send(method, path, heads, &body).await;
        (
            status.as_u16(),
            body["type"].as_str().unwrap_or("").to_owned(),
        )
    }
}

fn refused() -> (u16, String) {
    (503, "/problems/overloaded".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn browsing_is_refused_first_and_payments_last() {
    let stage = Stage::small(8).await;
    stage.event("busy", json!({})).await;
    let buyer = stage.session("busy").await;
    let (_, token) = stage.admit("busy").await;
    let get = async |path| stage.once(Method::GET, path, "", &Value::Null).await;
    let post =
        async |path: &str, bearer: &str, body| stage.once(Method::POST, path, bearer, body).await;
    let (line, nothing) = ("/api/v1/events/busy/line", json!({}));
    let sessions = "/api/v1/events/busy/sessions";
    assert_eq!(get(SEATS).await.0, 200);
    // Half of the places are taken.
    let mut taken = stage.occupy(4);
    assert_eq!(get(SEATS).await, refused());
    assert_eq!(get("/api/v1/events").await, refused());
    assert_eq!(post(line, "", &nothing).await.0, 201);
    // Three quarters.
    taken.extend(stage.occupy(2));
    assert_eq!(post(line, "", &nothing).await, refused());
    assert_eq!(post(sessions, &token, &nothing).await, refused());
    let two = json!({"best_available": {"quantity": 2}});
    let hold = stage.hold("busy", &buyer, two).await.ok().unwrap();
    let body = json!({"hold": hold["id"], "buyer": {"name": "Ada", "email": "ada@example.org"}});
    let order = stage.client.post("/api/v1/orders", &buyer, body).await;
    let order = order.unwrap().ok().unwrap();
    // All but one, which the payment takes.
    taken.extend(stage.occupy(1));
    let paid = stage.pay(&buyer, &order, CARD).await.ok().unwrap();
    assert_eq!(paid["state"], "confirmed");
    // All of them.
    taken.extend(stage.occupy(1));
    let path = format!("/api/v1/orders/{}", word(&order["id"]));
    assert_eq!(
        stage.once(Method::GET, &path, &buyer, &Value::Null).await,
        refused()
    );
    let sales = stage
        .organise(Method::GET, "/events/busy/sales", None)
        .await;
    assert_eq!(sales.ok().unwrap()["booked"], 2, "organisers are served");
    taken.clear();
    assert_eq!(get(SEATS).await.0, 200);
    assert_eq!(post(sessions, &token, &nothing).await.0, 201);
    let found = stage.get(&path, &buyer).await.ok().unwrap();
    assert_eq!(found["tickets"], paid["tickets"], "and nothing was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_when_to_come_back_and_a_page_comes_back_by_itself() {
    let stage = Stage::small(2).await;
    stage.event("busy", json!({})).await;
    let _taken = stage.occupy(2);
    let raw = async |method, path, accept| {
        let heads = [("accept", accept)];
        stage
            .client
            .raw(method, path, &heads, Vec::new())
            .await
            .unwrap()
    };
    let api = raw(Method::GET, SEATS, "*/*").await;
    assert_eq!(api.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        api.headers()[header::CONTENT_TYPE],
        "application/problem+json"
    );
    assert_eq!(api.headers()[header::CACHE_CONTROL], "no-store");
    let seconds = api.headers()[header::RETRY_AFTER].to_str().unwrap();
    assert!((1..=5).contains(&seconds.parse::<u32>().unwrap()));
    let page = raw(Method::GET, "/e/busy", "text/html,*/*;q=0.8").await;
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        page.headers()[header::REFRESH],
        page.headers()[header::RETRY_AFTER]
    );
    let text = String::from_utf8_lossy(page.body()).into_owned();
    assert!(text.contains("This page tries again by itself"), "{text}");
    let form = raw(Method::POST, "/e/busy/join", "text/html").await;
    assert_eq!(form.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        !form.headers().contains_key(header::REFRESH),
        "a form is not sent again"
    );
    // The gate has no other answers than those that proxies know.
    assert_eq!(
        raw(Method::GET, "/gate/busy", "*/*").await.status(),
        StatusCode::UNAUTHORIZED
    );
    let console = raw(Method::GET, "/organiser", "text/html").await;
    assert_eq!(console.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_and_tries_again_buys_in_the_end_and_nothing_confirmed_is_lost() {
    const FANS: usize = 6;
    let stage = Arc::new(Stage::small(4).await);
    stage.event("busy", json!({})).await;
    let mut sessions = Vec::new();
    for _ in 0..FANS {
        sessions.push(stage.session("busy").await);
    }
    // One at a time has room.
    let taken = stage.occupy(3);
    let refusals = Arc::new(AtomicUsize::new(0));
    let mut buying = tokio::task::JoinSet::new();
    for session in sessions {
        let (stage, refusals) = (stage.clone(), refusals.clone());
        buying.spawn(async move {
            let bearer = format!("Bearer {session}");
            let heads = [("authorization", bearer.as_str()), JSON];
            let post = async |path: &str, body: Value| {
                let text = body.to_string();
                loop {
                    let answer = stage.send(Method::POST, path, &heads, &text);
                    let (status, body) = answer.await;
                    if body["type"] != "/problems/overloaded" {
                        assert!(status.is_success(), "{body}");
                        return body;
                    }
                    refusals.fetch_add(1, Ordering::Relaxed);
                }
            };
            let wish = json!({"best_available": {"quantity": 2}});
            let hold = post("/api/v1/events/busy/holds", wish).await;
            let buyer = json!({"name": "Ada", "email": "ada@example.org"});
            let order = post(
                "/api/v1/orders",
                json!({"hold": hold["id"], "buyer": buyer}),
            )
            .await;
            let payment = word(&order["payment"]["id"]);
            let path = format!("/api/v1/payments/simulated/{payment}");
            let paid = post(&path, json!({"card": CARD})).await;
            assert_eq!(paid["state"], "confirmed");
            (session, paid)
        });
    }
    let bought = buying.join_all().await;
    assert!(refusals.load(Ordering::Relaxed) > 0);
    drop(taken);
    for (session, order) in &bought {
        let path = format!("/api/v1/orders/{}", word(&order["id"]));
        let found = stage.get(&path, session).await.ok().unwrap();
        assert_eq!(found["tickets"], order["tickets"]);
    }
    let sales = stage
        .organise(Method::GET, "/events/busy/sales", None)
        .await;
    assert_eq!(sales.ok().unwrap()["booked"], 2 * FANS);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_their_bodies_slowly_take_no_places() {
    let stage = Stage::small(8).await;
    stage.event("busy", json!({})).await;
    let session = stage.session("busy").await;
    let mut slow = Vec::new();
    for _ in 0..10 {
        let address = stage.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /api/v1/events/busy/holds HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {session}\r\n\
             Content-Type: application/json\r\nContent-Length: 44\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
        assert_eq!(
            stage.once(Method::GET, SEATS, "", &Value::Null).await.0,
            200
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_once_all_places_are_taken_is_refused_and_does_nothing() {
    let stage = Stage::small(8).await;
    stage.event("busy", json!({})).await;
    let session = stage.session("busy").await;
    let body = json!({"best_available": {"quantity": 2}}).to_string();
    let head = format!(
        "POST /api/v1/events/busy/holds HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {session}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    let address = stage.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body, so the request is in.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    let taken = stage.occupy(8);
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    drop(taken);
    let sales = stage
        .organise(Method::GET, "/events/busy/sales", None)
        .await;
    assert_eq!(sales.ok().unwrap()["held"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_that_changes_something_counts_as_browsing() {
    let stage = Stage::open().await;
    let document = stage.get("/api/openapi.json", KEY).await.ok().unwrap();
    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for name in operations.as_object().unwrap().keys() {
            let method = Method::from_bytes(name.to_uppercase().as_bytes()).unwrap();
            let class = Class::of(&method, path);
            let is_organisers = path.starts_with("/api/v1/organiser/");
            assert!(!is_organisers || class == Class::Organiser, "{path}");
            assert!(
                method.is_safe() || class != Class::Browse,
                "{method} {path}"
            );
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} operations");
}
