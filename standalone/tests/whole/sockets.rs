//! The socket of the line: the place at once and on every change, who is away, and how it ends.

use crate::stage::{KEY, Stage, assert_problem, place, word};
use client::Socket;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use shared::http::socket::{PING_SECONDS, SILENCE_SECONDS_MAX};
use shared::time::Time;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// Returns the close code of a socket, skipping other messages.
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
    newer.send(Message::text("x".repeat(5000))).await.unwrap();
    assert_eq!(close_code(&mut newer).await, 1009);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_told_the_new_deadline_of_a_turn_after_an_outage() {
    let stage = Stage::open().await;
    stage.event("later", json!({})).await;
    let (pass, _) = stage.admit("later").await;
    let mut socket = stage.client.watch("later", &pass).await.unwrap();
    let deadline = |told: &Value| Time::parse(told["claim_by"].as_str().unwrap()).unwrap();
    let before = deadline(&place(&mut socket).await);
    stage.clock.advance_ms(3_600_000);
    let after = place(&mut socket).await;
    assert_eq!(after["state"], "admitted", "{after}");
    assert_eq!(deadline(&after), before.plus_seconds(3600));
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
    stage.pass_seconds("away", 31).await;
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
    stage.pass_seconds("away", 31).await;
    stage
        .until("/api/v1/organiser/events/away/line/1", KEY, |visitor| {
            visitor["state"] == "missed"
        })
        .await;
    let me = stage.get("/api/v1/events/away/line/me", &gone).await.body;
    assert_eq!(me["state"], "missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_live_in_a_few_tabs_at_once_and_none_throws_out_another() {
    let stage = Stage::open().await;
    stage.event("tabs", json!({"paused": true})).await;
    let first = word(&stage.client.join("tabs").await.unwrap()["pass"]);
    let pass = word(&stage.client.join("tabs").await.unwrap()["pass"]);
    let mut tabs = Vec::new();
    for _ in 0..4 {
        let mut tab = stage.client.watch("tabs", &pass).await.unwrap();
        assert_eq!(place(&mut tab).await["ahead"], 1);
        tabs.push(tab);
    }
    for _ in 0..3 {
        let mut further = stage.client.watch("tabs", &pass).await.unwrap();
        assert_eq!(close_code(&mut further).await, 4001);
    }
    let me = "/api/v1/events/tabs/line/me";
    stage.client.delete(me, &first).await.unwrap();
    for tab in &mut tabs {
        assert_eq!(place(tab).await["ahead"], 0);
    }
    // The place counts as left only with the last tab.
    let stats = "/api/v1/organiser/events/tabs/stats";
    let last = tabs.pop();
    drop(tabs);
    let mut again = stage.client.watch("tabs", &pass).await.unwrap();
    assert_eq!(place(&mut again).await["ahead"], 0);
    let away = |count: u64| move |stats: &serde_json::Value| stats["away"] == count;
    stage.until(stats, KEY, away(0)).await;
    drop((last, again));
    stage.until(stats, KEY, away(1)).await;
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
    assert_eq!(close_code(&mut socket).await, 1000);
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

/// Opens the socket of an event's seats.
async fn watch_seats(stage: &Stage, event: &str, session: &str) -> Socket {
    let url = format!("{}/api/v1/events/{event}/seats/ws", stage.url);
    let mut request = url.replace("http", "ws").into_client_request().unwrap();
    let bearer = format!("Bearer {session}").parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    let (mut seats, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(place(&mut seats).await["type"], "seats");
    seats
}

/// Returns the next message, which may take as long as the time between two pings.
async fn tick(socket: &mut Socket) -> serde_json::Value {
    let wait = Duration::from_secs(u64::from(PING_SECONDS) + 1);
    tokio::time::timeout(wait, client::next(socket))
        .await
        .expect("both sockets say something at least every 25 seconds")
        .expect("the socket should be open")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sockets_tell_the_time_every_25_seconds_while_nothing_changes() {
    let stage = Stage::open().await;
    stage.event("hall", json!({})).await;
    let session = stage.session("hall").await;
    let mut seats = watch_seats(&stage, "hall", &session).await;
    let plain = json!({"id": "quiet", "name": "Quiet", "paused": true});
    stage.client.create_event(KEY, &plain, None).await.unwrap();
    let pass = word(&stage.client.join("quiet").await.unwrap()["pass"]);
    let mut line = stage.client.watch("quiet", &pass).await.unwrap();
    assert_eq!(place(&mut line).await["type"], "place");
    let expected = json!({"type": "tick", "now": stage.clock.now()});
    let (of_line, of_seats) = tokio::join!(tick(&mut line), tick(&mut seats));
    assert_eq!((of_line, of_seats), (expected.clone(), expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sockets_answer_a_text_of_the_client_at_once() {
    let stage = Stage::open().await;
    stage.event("asked", json!({"paused": true})).await;
    stage.event("map", json!({})).await;
    let session = stage.session("map").await;
    let pass = word(&stage.client.join("asked").await.unwrap()["pass"]);
    let mut line = stage.client.watch("asked", &pass).await.unwrap();
    assert_eq!(place(&mut line).await["type"], "place");
    let seats = watch_seats(&stage, "map", &session).await;
    for mut socket in [line, seats] {
        let asked = Instant::now();
        for question in ["?", "", "{\"type\": \"tick\"}"] {
            socket.send(Message::text(question)).await.unwrap();
            let told = place(&mut socket).await;
            assert_eq!(told["type"], "tick", "{told}");
            assert!(told["now"].is_string());
        }
        let waited = asked.elapsed();
        assert!(waited < Duration::from_secs(PING_SECONDS.into()));
        // Other frames are signs of life, and no questions.
        socket.send(Message::binary(vec![1])).await.unwrap();
        socket.send(Message::text("?")).await.unwrap();
        assert_eq!(place(&mut socket).await["type"], "tick");
        socket.close(None).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            assert!(message.is_close(), "one answer to one question: {message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_a_seating_plan_that_is_replaced_or_deleted_closes() {
    let stage = Stage::open().await;
    let plan = |rows: u32| {
        json!({"categories": [{"id": "c", "name": "C", "price": 100}],
            "sections": [{"id": "s", "category": "c", "rows": rows, "seats_per_row": 4}]})
    };
    stage.event("hall", json!({})).await;
    let session = stage.session("hall").await;
    let mut seats = watch_seats(&stage, "hall", &session).await;
    let replaced = stage
        .organise(Method::PUT, "/events/hall/seating", Some(plan(3)))
        .await;
    replaced.ok().unwrap();
    assert_eq!(close_code(&mut seats).await, 4002);
    let mut seats = watch_seats(&stage, "hall", &session).await;
    let deleted = stage.organise(Method::DELETE, "/events/hall", None).await;
    deleted.ok().unwrap();
    assert_eq!(close_code(&mut seats).await, 4002);
}

/// Opens a socket by hand, answers nothing, and returns the time until the server ends it.
async fn end_in_silence(stage: &Stage, path: &str, bearer: &str) -> Duration {
    let host = stage.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let handshake = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {bearer}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(handshake.as_bytes()).await.unwrap();
    let opened = Instant::now();
    let mut heard = Vec::new();
    let reading = stream.read_to_end(&mut heard);
    let wait = Duration::from_secs(u64::from(SILENCE_SECONDS_MAX) + 20);
    tokio::time::timeout(wait, reading)
        .await
        .expect("a silent client should be given up")
        .unwrap();
    assert!(heard.starts_with(b"HTTP/1.1 101"));
    opened.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sockets_give_up_a_client_that_answers_no_ping() {
    let stage = Stage::open().await;
    stage.event("dead", json!({"paused": true})).await;
    let pass = word(&stage.client.join("dead").await.unwrap()["pass"]);
    stage.event("dead-hall", json!({})).await;
    let session = stage.session("dead-hall").await;
    let (line, seats) = tokio::join!(
        end_in_silence(&stage, "/api/v1/events/dead/line/ws", &pass),
        end_in_silence(&stage, "/api/v1/events/dead-hall/seats/ws", &session)
    );
    let least = Duration::from_secs(u64::from(SILENCE_SECONDS_MAX));
    assert!(line > least && seats > least, "{line:?} {seats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_a_deadline_has_the_servers_time() {
    let stage = Stage::open().await;
    let opens = stage.clock.now().plus_seconds(3600);
    let later = json!({"prequeue_opens_at": opens, "sale_opens_at": opens});
    stage.event("later", later).await;
    stage.event("timed", json!({})).await;
    let (pass, token) = stage.admit("timed").await;
    let time = async |method, path: &str, bearer: &str, body: &str| {
        let bearer = format!("Bearer {bearer}");
        let heads = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let heads = if bearer.len() > 7 {
            &heads[..]
        } else {
            &heads[1..]
        };
        let sent = stage
            .client
            .raw(method, path, heads, body.as_bytes().to_vec());
        let answer = sent.await.unwrap();
        let told = answer.headers()["x-fairline-time"].to_str().unwrap();
        assert_eq!(Time::parse(told).unwrap(), stage.clock.now(), "{path}");
        serde_json::from_slice::<serde_json::Value>(answer.body()).unwrap()
    };
    let refused = time(Method::POST, "/api/v1/events/later/line", "", "{}").await;
    assert_eq!(refused["type"], "/problems/line-not-open");
    time(Method::POST, "/api/v1/events/timed/line", "", "{}").await;
    let me = time(Method::GET, "/api/v1/events/timed/line/me", &pass, "").await;
    assert_eq!(me["state"], "admitted");
    let sessions = "/api/v1/events/timed/sessions";
    let session = word(&time(Method::POST, sessions, &token, "{}").await["session"]);
    assert_eq!(
        time(Method::GET, sessions, &session, "").await["over"],
        false
    );
    let wish = r#"{"seats": ["st-A-1"]}"#;
    let hold = time(Method::POST, "/api/v1/events/timed/holds", &session, wish).await;
    let path = format!("/api/v1/holds/{}", word(&hold["id"]));
    stage.clock.advance_ms(1000);
    time(Method::GET, &path, &session, "").await;
    stage.order(&session, &hold).await;
    time(Method::GET, "/api/v1/orders", &session, "").await;
    stage.clock.advance_ms(3_600_000);
    assert_eq!(
        time(Method::GET, sessions, &session, "").await["over"],
        true
    );
}
