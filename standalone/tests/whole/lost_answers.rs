//! Requests whose answers are lost and that are sent again: a join makes one place, a refund gives the
//! money back once.

use crate::stage::{CARD, KEY, Stage, word};
use hyper::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;
use testkit::{Fault, Faulty};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LINE: &str = "/api/v1/events/lost/line";
const ATTEMPT: &str = "2f1c7b9e-54c1-4c39-9d0a-1f6f4be5d9a1";

/// Joins again, and checks that this is the place that the fan has already, after one of another.
async fn assert_one_place(stage: &Stage) {
    let heads = [
        ("idempotency-key", ATTEMPT),
        ("user-agent", "phone"),
        ("content-type", "application/json"),
    ];
    let (status, place) = stage.send(Method::POST, LINE, &heads, "{}").await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(
        (&place["number"], &place["state"]),
        (&json!(2), &json!("waiting"))
    );
    let stats = "/api/v1/organiser/events/lost/stats";
    let stats = stage.until(stats, KEY, |stats| stats["waiting"] == 2).await;
    assert_eq!(stats["total"]["joined"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_whose_connection_broke_before_the_answer_has_one_place() {
    let stage = Stage::open().await;
    stage.event("lost", json!({"paused": true})).await;
    stage.client.join("lost").await.unwrap();
    let host = stage.url.trim_start_matches("http://").to_owned();
    let mut socket = TcpStream::connect(&host).await.unwrap();
    let request = format!(
        "POST {LINE} HTTP/1.1\r\nhost: {host}\r\nuser-agent: phone\r\nidempotency-key: {ATTEMPT}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    // It was carried out: the first byte of the answer is there, and nothing more is read.
    let mut first = [0; 1];
    socket.read_exact(&mut first).await.unwrap();
    drop(socket);
    assert_one_place(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_whose_place_the_store_made_but_did_not_tell_in_time_has_one_place() {
    let redis = testkit::Redis::start();
    let proxy = Faulty::before(redis.socket());
    let stage = Stage::on_line(proxy.url(), |_| {}).await;
    stage.event("lost", json!({"paused": true})).await;
    stage.client.join("lost").await.unwrap();
    proxy.set(Fault::Slow(Duration::from_secs(6)));
    let heads = [
        ("idempotency-key", ATTEMPT),
        ("user-agent", "phone"),
        ("content-type", "application/json"),
    ];
    let (status, _) = stage.send(Method::POST, LINE, &heads, "{}").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    proxy.set(Fault::None);
    let numbers = || redis.ask(&["HGET", "fairline:{lost}:meta", "numbers"]);
    assert_eq!(numbers().as_deref(), Some("2"), "it acted");
    let event = "/api/v1/events/lost";
    stage.until(event, "", |event| event["waiting"] == 2).await;
    assert_one_place(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_an_organiser_sends_again_gives_the_money_back_once() {
    let stage = Stage::open().await;
    stage.event("lost", json!({})).await;
    let session = stage.session("lost").await;
    let seats = json!({"seats": ["st-A-1", "st-A-2"]});
    let hold = stage.hold("lost", &session, seats).await;
    let order = stage.order(&session, &hold.body).await;
    let order = stage.pay(&session, &order, CARD).await.body;
    let refund = format!(
        "/api/v1/organiser/events/lost/orders/{}/refund",
        word(&order["id"])
    );
    let bearer = format!("Bearer {KEY}");
    let send = async |key: &str, seat: &str| {
        let heads = [
            ("authorization", bearer.as_str()),
            ("idempotency-key", key),
            ("content-type", "application/json"),
        ];
        let body = json!({"seats": [seat]}).to_string();
        stage.send(Method::POST, &refund, &heads, &body).await
    };
    for _ in 0..2 {
        let (status, order) = send("one", "st-A-1").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(order["refunded"]["amount"], 4500);
    }
    let (status, problem) = send("one", "st-A-2").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(word(&problem["type"]).ends_with("idempotency-mismatch"));
    let (status, _) = send("two", "st-A-1").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let audit = stage.get("/api/v1/organiser/audit", KEY).await;
    let refunds = audit.body.as_array().unwrap().iter();
    assert_eq!(
        refunds.filter(|it| it["action"] == "order.refund").count(),
        1
    );
}
