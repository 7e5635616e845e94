//! Limits: oversized, slow, malformed or too frequent input is refused and harms no one else.

use crate::secure::PATIENCE;
use crate::stage::{KEY, Stage, word};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const JSON: (&str, &str) = ("content-type", "application/json");

/// Returns everything that a connection answers until it closes.
pub(crate) async fn until_closed(stage: &Stage, bytes: &[u8]) -> String {
    let address = stage.url.trim_start_matches("http://");
    read_to_close(TcpStream::connect(address).await.unwrap(), bytes).await
}

/// Sends bytes on a connection and returns everything that it answers until it closes. A reset is a
/// close as well.
pub(crate) async fn read_to_close(mut stream: TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("the server should close it");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_broken_or_wrong_are_told_so() {
    let stage = Stage::open().await;
    stage.event("bodies", json!({})).await;
    let bearer = format!("Bearer {KEY}");
    let admin = [("authorization", bearer.as_str()), JSON];
    let events = "/api/v1/organiser/events";
    let kind = |answer: (StatusCode, Value)| (answer.0.as_u16(), word(&answer.1["type"]));
    let huge = format!(r#"{{"id": "x", "name": "{}"}}"#, "x".repeat(70_000));
    assert_eq!(
        kind(stage.send(Method::POST, events, &admin, &huge).await),
        (413, "/problems/too-large".into())
    );
    for broken in [
        "{",
        "nonsense",
        "{\"id\": \"x\" \"name\"}",
        "[1,",
        "\u{0}",
        "{\"id\":\"a\",\"name\":\"b\"} more",
    ] {
        assert_eq!(
            kind(stage.send(Method::POST, events, &admin, broken).await),
            (400, "/problems/malformed".into()),
            "{broken}"
        );
    }
    let deep = "[".repeat(20_000);
    assert_eq!(
        kind(stage.send(Method::POST, events, &admin, &deep).await).0,
        400
    );
    for wrong in [
        r#"{"id": "UPPER", "name": "x"}"#,
        r#"{"id": 5, "name": "x"}"#,
        r#"{"name": "x"}"#,
        r#"{"id": "x", "name": ""}"#,
        r#"{"id": "x", "name": "x", "sale_opens_at": "tomorrow"}"#,
        r#"{"id": "x", "name": "x", "checkout_url": "javascript:alert(1)"}"#,
        r#"{"id": "x", "name": "x", "order": "lucky"}"#,
        r#"{"id": "x", "name": "x", "beacon": {"name": "quicknet", "round": 5}}"#,
        r#"{"id": "x", "name": "x", "order": "draw", "beacon": {"name": "mine", "round": 5}}"#,
        r#"{"id": "x", "name": "x", "extra": 1}"#,
    ] {
        let (status, body) = stage.send(Method::POST, events, &admin, wrong).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(body["errors"][0]["field"].is_string(), "{body}");
    }
    let form = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    assert_eq!(
        kind(stage.send(Method::POST, events, &form, "id=x").await),
        (415, "/problems/not-json".into())
    );
    let plan = format!("{{\"categories\": [{}", " ".repeat(17 * 1024 * 1024));
    let answer = stage
        .send(
            Method::PUT,
            &format!("{events}/bodies/seating"),
            &admin,
            &plan,
        )
        .await;
    assert_eq!(kind(answer), (413, "/problems/too-large".into()));
    let put = stage
        .client
        .raw(Method::PUT, "/api/v1/events", &[], vec![])
        .await
        .unwrap();
    assert_eq!(
        (
            put.status().as_u16(),
            put.headers()["content-type"].to_str().unwrap()
        ),
        (405, "application/problem+json")
    );
    assert!(put.headers().contains_key("allow"));
    assert_eq!(
        kind(stage.send(Method::GET, "/no/such/page", &[], "").await),
        (404, "/problems/not-found".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_broken_requests_are_cut_off_and_others_are_served_meanwhile() {
    let stage = Stage::open().await;
    stage.event("slow", json!({})).await;
    let slow = until_closed(&stage, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    let garbage = until_closed(&stage, b"\x16\x03\x01 this is not http\r\n\r\n");
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000));
    let many = format!(
        "GET / HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "x-filler: 0123456789\r\n".repeat(2_000)
    );
    let idle = until_closed(&stage, b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
    let healthy = async {
        for _ in 0..50 {
            assert_eq!(
                stage.get("/api/v1/events/slow", "").await.status,
                StatusCode::OK
            );
        }
    };
    let (slow, garbage, long, many, idle, ()) = tokio::join!(
        slow,
        garbage,
        until_closed(&stage, long.as_bytes()),
        until_closed(&stage, many.as_bytes()),
        idle,
        healthy
    );
    assert!(!slow.contains("200 OK"), "{slow}");
    assert!(garbage.is_empty() || garbage.contains("400"), "{garbage}");
    assert!(long.contains("414") || long.contains("431"), "{long}");
    assert!(many.contains("431"), "{many}");
    assert!(idle.contains("200 OK"), "answered, then closed for idling");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cap_holds_per_address_and_is_given_back() {
    let stage = Stage::with(|common| common.connections_per_address = Some("3".into())).await;
    let address = stage.url.trim_start_matches("http://").to_owned();
    let ask = async |stream: &mut TcpStream| {
        let mut answer = [0; 12];
        stream
            .write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .is_ok()
            && stream.read_exact(&mut answer).await.is_ok()
            && &answer == b"HTTP/1.1 200"
    };
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        assert!(ask(&mut stream).await);
        open.push(stream);
    }
    let mut fourth = TcpStream::connect(&address).await.unwrap();
    assert!(!ask(&mut fourth).await, "one too many");
    open.clear();
    let again = async {
        loop {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            if ask(&mut stream).await {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), again)
        .await
        .expect("the places are given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_count_by_address_and_a_forged_forwarded_for_changes_nothing() {
    let stage = Stage::with(|common| {
        common.joins_per_minute = Some("5".into());
        common.visitor_requests_per_second = Some("2".into());
    })
    .await;
    stage.event("limits", json!({"paused": true})).await;
    let mut refused = 0;
    let mut pass = String::new();
    for at in 0..12 {
        let spoofed = format!("203.0.113.{at}");
        let (status, body) = stage
            .send(
                Method::POST,
                "/api/v1/events/limits/line",
                &[("x-forwarded-for", &spoofed)],
                "",
            )
            .await;
        match status {
            StatusCode::CREATED => pass = word(&body["pass"]),
            StatusCode::TOO_MANY_REQUESTS => refused += 1,
            other => panic!("{other}: {body}"),
        }
    }
    assert_eq!(refused, 7);
    let bearer = format!("Bearer {pass}");
    let mut polled = Vec::new();
    for _ in 0..12 {
        let answer = stage
            .client
            .raw(
                Method::GET,
                "/api/v1/events/limits/line/me",
                &[("authorization", &bearer)],
                vec![],
            )
            .await
            .unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(
                answer.headers()["retry-after"]
                    .to_str()
                    .unwrap()
                    .parse::<u32>()
                    .unwrap()
                    >= 1
            );
        }
        polled.push(answer.status());
    }
    assert!(polled.contains(&StatusCode::OK) && polled.contains(&StatusCode::TOO_MANY_REQUESTS));
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_that_writes_ports_each_fan_counts_and_no_unreadable_entry_stands_for_all() {
    let stage = Stage::with(|common| {
        common.trusted_hops = Some("1".into());
        common.joins_per_minute = Some("2".into());
    })
    .await;
    stage.event("ports", json!({"paused": true})).await;
    let join = async |entry: &str| {
        let heads = [("x-forwarded-for", entry)];
        let path = "/api/v1/events/ports/line";
        stage.send(Method::POST, path, &heads, "").await.0.as_u16()
    };
    for fan in 0..20 {
        let v4 = format!("198.51.100.{fan}:4000{fan}");
        let v6 = format!("[2001:db8:{fan}::1]:443");
        for entry in [v4.as_str(), v6.as_str(), "unknown", "_hidden:1"] {
            assert_eq!(join(entry).await, 201, "{entry}");
        }
    }
    let mut statuses = Vec::new();
    for port in 1..=3 {
        statuses.push(join(&format!("203.0.113.9:{port}")).await);
    }
    assert_eq!(statuses, [201, 201, 429], "another port is no other fan");
}

/// Leaves and joins again with one pass; returns the statuses of the joins.
async fn rejoin(stage: &Stage, event: &str, times: usize) -> Vec<u16> {
    let line = format!("/api/v1/events/{event}/line");
    let mut statuses = Vec::new();
    let mut pass = String::new();
    for _ in 0..times {
        let joined = stage.client.post(&line, &pass, json!({})).await.unwrap();
        statuses.push(joined.status.as_u16());
        if joined.status.is_success() {
            pass = word(&joined.body["pass"]);
        }
        let left = stage.client.delete(&format!("{line}/me"), &pass).await;
        assert_eq!(left.unwrap().status, StatusCode::NO_CONTENT);
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn every_place_counts_also_for_who_left_and_joins_again() {
    let by_address = Stage::with(|common| common.joins_per_minute = Some("5".into())).await;
    by_address.event("again", json!({"paused": true})).await;
    let statuses = rejoin(&by_address, "again", 12).await;
    assert_eq!(statuses, [[201; 5].as_slice(), &[429; 7]].concat());
    let by_visitor = Stage::with(|common| common.rejoins_per_hour = Some("3".into())).await;
    by_visitor.event("again", json!({"paused": true})).await;
    let statuses = rejoin(&by_visitor, "again", 6).await;
    assert_eq!(statuses, [201, 201, 201, 201, 429, 429]);
    let other = by_visitor.client.join("again").await.unwrap();
    assert_eq!(other["number"], 5, "what was refused took no number");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_kept_may_be_asked_for_at_any_time() {
    let stage = Stage::with(|common| {
        common.joins_per_minute = Some("1".into());
        common.rejoins_per_hour = Some("1".into());
    })
    .await;
    stage.event("kept", json!({"paused": true})).await;
    let pass = word(&stage.client.join("kept").await.unwrap()["pass"]);
    for _ in 0..5 {
        let line = "/api/v1/events/kept/line";
        let known = stage.client.post(line, &pass, json!({})).await.unwrap();
        assert_eq!(
            (known.status, &known.body["number"]),
            (StatusCode::OK, &json!(1))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_makes_one_place_for_one_browser_and_none_for_two_fans() {
    let stage = Stage::open().await;
    stage.event("keys", json!({"paused": true})).await;
    let join = async |key: &str, browser: &str| {
        let heads = [("idempotency-key", key), ("user-agent", browser), JSON];
        let path = "/api/v1/events/keys/line";
        let (status, body) = stage.send(Method::POST, path, &heads, "{}").await;
        assert_eq!(status, StatusCode::CREATED);
        body["number"].as_u64().unwrap()
    };
    let long = "2f1c7b9e-54c1-4c39-9d0a-1f6f4be5d9a1";
    assert_eq!(join(long, "one").await, 1);
    assert_eq!(join(long, "one").await, 1, "sent again");
    assert_eq!(join(long, "two").await, 2, "another browser");
    assert_eq!(join("1", "one").await, 3);
    assert_eq!(
        join("1", "one").await,
        4,
        "another fan behind the same address"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_limited_whatever_other_cookies_are_sent_with_it() {
    let stage = Stage::with(|common| common.visitor_requests_per_second = Some("1".into())).await;
    stage.event("junk", json!({})).await;
    let session = stage.session("junk").await;
    let mut refused = 0;
    for at in 0..20 {
        let cookie = format!("fairline_session_aaa=ses_aaa_{at}; fairline_session_junk={session}");
        let path = "/api/v1/events/junk/sessions";
        let (status, _) = stage
            .send(Method::GET, path, &[("cookie", &cookie)], "")
            .await;
        refused += u32::from(status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused >= 10, "{refused}");
}
