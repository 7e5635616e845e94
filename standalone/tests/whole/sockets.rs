//! The socket of the line: the place at once and whenever it changes, who is away, and how it ends.

use crate::stage::{KEY, Stage, assert_problem, place, word};
use client::Socket;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

/// The close code of a socket, after whatever else it says.
async fn close_code(socket: &mut Socket) -> u16 {
    let reading = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(Some(frame)) = message {
                return frame.code.into();
            }
        }
        0
    };
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .expect("the socket should close")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_tells_the_place_at_once_and_whenever_it_changes() {
    let stage = Stage::open().await;
    stage.event("push", json!({"paused": true})).await;
    let mut passes = Vec::new();
    for _ in 0..3 {
        passes.push(word(&stage.client.join("push").await.unwrap()["pass"]));
    }
    let mut socket = stage.client.watch("push", &passes[2]).await.unwrap();
    let first = place(&mut socket).await;
    assert_eq!(
        (&first["type"], &first["ahead"], &first["phase"]),
        (&json!("place"), &json!(2), &json!("paused"))
    );
    assert!(first.get("pass").is_none(), "the pass is not pushed");
    stage
        .client
        .delete("/api/v1/events/push/line/me", &passes[0])
        .await
        .unwrap();
    assert_eq!(place(&mut socket).await["ahead"], 1);
    stage
        .organise(
            Method::PATCH,
            "/events/push",
            Some(json!({"message": "soon"})),
        )
        .await
        .ok()
        .unwrap();
    let notice = place(&mut socket).await;
    assert_eq!(notice, json!({"type": "notice", "message": "soon"}));
    assert_eq!(place(&mut socket).await["message"], "soon");
    stage
        .organise(
            Method::PATCH,
            "/events/push",
            Some(json!({"paused": false})),
        )
        .await
        .ok()
        .unwrap();
    let turn = loop {
        let told = place(&mut socket).await;
        if told["state"] == "admitted" {
            break told;
        }
    };
    assert!(turn["token"].is_string() && turn["claim_by"].is_string());
    let mut newer = stage.client.watch("push", &passes[2]).await.unwrap();
    assert_eq!(place(&mut newer).await["state"], "admitted");
    assert_eq!(
        close_code(&mut socket).await,
        4001,
        "a second socket replaces the first"
    );
    newer.send(Message::text("x".repeat(5000))).await.unwrap();
    assert_eq!(close_code(&mut newer).await, 1009);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_keeps_the_place_and_a_closed_one_loses_it_after_away_seconds() {
    let stage = Stage::open().await;
    let admission = json!({"rate_per_minute": 0, "away_seconds": 30});
    stage.event("away", json!({"admission": admission})).await;
    let here = word(&stage.client.join("away").await.unwrap()["pass"]);
    let gone = word(&stage.client.join("away").await.unwrap()["pass"]);
    let mut socket = stage.client.watch("away", &here).await.unwrap();
    place(&mut socket).await;
    stage.clock.advance_ms(31_000);
    stage
        .until("/api/v1/organiser/events/away/line/2", KEY, |visitor| {
            visitor["state"] == "missed"
        })
        .await;
    let first = stage
        .get("/api/v1/organiser/events/away/line/1", KEY)
        .await
        .body;
    assert_eq!(first["state"], "waiting");
    drop(socket);
    stage
        .until("/api/v1/organiser/events/away/stats", KEY, |stats| {
            stats["away"] == 1
        })
        .await;
    stage.clock.advance_ms(31_000);
    stage
        .until("/api/v1/organiser/events/away/line/1", KEY, |visitor| {
            visitor["state"] == "missed"
        })
        .await;
    let me = stage.get("/api/v1/events/away/line/me", &gone).await.body;
    assert_eq!(me["state"], "missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_again_with_the_socket_open_keeps_the_new_place() {
    let stage = Stage::open().await;
    let admission = json!({"rate_per_minute": 0, "away_seconds": 30});
    stage.event("again", json!({"admission": admission})).await;
    let pass = word(&stage.client.join("again").await.unwrap()["pass"]);
    let mut socket = stage.client.watch("again", &pass).await.unwrap();
    place(&mut socket).await;
    let (me, line) = ("/api/v1/events/again/line/me", "/api/v1/events/again/line");
    stage.client.delete(me, &pass).await.unwrap();
    let again = stage.client.post(line, &pass, json!({})).await.unwrap();
    assert_eq!(again.body["number"], 2);
    let stats = "/api/v1/organiser/events/again/stats";
    stage
        .until(stats, KEY, |stats| {
            stats["waiting"] == 1 && stats["away"] == 0
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sockets_of_a_deleted_event_end_and_one_of_the_same_name_begins_anew() {
    let stage = Stage::open().await;
    stage.event("brief", json!({"paused": true})).await;
    let pass = word(&stage.client.join("brief").await.unwrap()["pass"]);
    let mut socket = stage.client.watch("brief", &pass).await.unwrap();
    place(&mut socket).await;
    let gone = stage.organise(Method::DELETE, "/events/brief", None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    close_code(&mut socket).await;
    stage.event("brief", json!({"paused": true})).await;
    assert_problem(
        &stage.get("/api/v1/events/brief/line/me", &pass).await,
        401,
        "no-pass",
    );
    assert_eq!(stage.client.join("brief").await.unwrap()["number"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_tells_its_sockets_to_come_back_and_waits_for_them() {
    let mut stage = Stage::open().await;
    stage.event("drain", json!({"paused": true})).await;
    let pass = word(&stage.client.join("drain").await.unwrap()["pass"]);
    let mut socket = stage.client.watch("drain", &pass).await.unwrap();
    place(&mut socket).await;
    stage.stop.cancel();
    let told = place(&mut socket).await;
    assert_eq!(told["type"], "reconnect");
    assert!(told["after_ms"].as_u64().unwrap() < 10_000);
    assert_eq!(close_code(&mut socket).await, 1012);
    drop(socket);
    let serving = stage.serving.take().unwrap();
    tokio::time::timeout(Duration::from_secs(10), serving)
        .await
        .expect("the drain should end")
        .unwrap();
}
