//! The gate's answers to a reverse proxy that asks about a request.

use crate::attacks::floods::until_closed;
use crate::secure::PATIENCE;
use crate::stage::{KEY, Stage};
use hyper::{Method, Response, StatusCode, body::Bytes};
use serde_json::json;
use shared::ids::EventId;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const PAGE: [(&str, &str); 2] = [("sec-fetch-mode", "navigate"), ("accept", "text/html")];

async fn ask(stage: &Stage, method: Method, path: &str, heads: &[(&str, &str)]) -> Response<Bytes> {
    let answer = stage.client.raw(method, path, heads, vec![]).await;
    answer.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_lets_the_admitted_pass_and_names_the_queue_to_all_others() {
    let stage = Stage::open().await;
    stage.event("gate", json!({})).await;
    let (pass, token) = stage.admit("gate").await;
    let away = stage
        .client
        .raw(Method::GET, "/gate/gate", &[], vec![])
        .await
        .unwrap();
    assert_eq!(away.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        away.headers()["x-fairline-queue"],
        format!("{}/e/gate", stage.url)
    );
    let cookie = format!("fairline_admission_gate={token}");
    for heads in [
        [("cookie", cookie.as_str())],
        [("authorization", &format!("Bearer {token}"))],
    ] {
        let pass = stage
            .client
            .raw(Method::GET, "/gate/gate", &heads, vec![])
            .await
            .unwrap();
        assert_eq!(pass.status(), StatusCode::NO_CONTENT);
        assert!(
            pass.headers()["x-fairline-visitor"]
                .to_str()
                .unwrap()
                .starts_with("vis_")
        );
    }
    let me = stage.get("/api/v1/events/gate/line/me", &pass).await.body;
    assert_eq!(me["state"], "shopping", "the first 204 is the start");
    stage
        .client
        .delete("/api/v1/events/gate/admission", &token)
        .await
        .unwrap();
    let done = stage
        .client
        .raw(Method::GET, "/gate/gate", &[("cookie", &cookie)], vec![])
        .await
        .unwrap();
    assert_eq!(done.status(), StatusCode::UNAUTHORIZED);
    let jwks = stage.get("/.well-known/jwks.json", "").await.body;
    assert_eq!(
        (&jwks["keys"][0]["kty"], &jwks["keys"][0]["alg"]),
        (&json!("OKP"), &json!("EdDSA"))
    );
    assert!(jwks["keys"][0].get("d").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_takes_its_cookie_first_and_leaves_the_authorization_of_the_site_alone() {
    let stage = Stage::open().await;
    stage.event("gate", json!({})).await;
    let (_, token) = stage.admit("gate").await;
    let ours = format!("fairline_admission_gate={token}");
    let forged = format!("fairline_admission_gate={token}x");
    let bearer = format!("Bearer {token}");
    let passes = [
        (ours.as_str(), "Basic dTpw"),
        (&ours, "Bearer a-token-of-the-site"),
        (&ours, "Digest x"),
        (&ours, "nonsense"),
        (&ours, ""),
        (&forged, &bearer),
        ("other=1", &bearer),
    ];
    for (cookie, authorization) in passes {
        let heads = [("cookie", cookie), ("authorization", authorization)];
        let answer = ask(&stage, Method::GET, "/gate/gate", &heads).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{heads:?}");
    }
    let basic = format!("Basic {token}");
    for (cookie, authorization) in [
        (forged.as_str(), "Basic dTpw"),
        (&forged, "Bearer a-token-of-the-site"),
        ("other=1", &basic),
    ] {
        let heads = [("cookie", cookie), ("authorization", authorization)];
        let answer = ask(&stage, Method::GET, "/gate/gate", &heads).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{heads:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_answers_nothing_but_yes_and_no() {
    let stage = Stage::with(|common| common.requests_per_second = Some("1".into())).await;
    // The limit is of this address, and is used up by other requests than the gate's.
    let path = "/api/v1/organiser/events";
    let event = json!({"id": "gate", "name": "The gate", "admission": {"rate_per_minute": 60_000, "batch_seconds": 1}});
    stage
        .client
        .post(path, KEY, event)
        .await
        .unwrap()
        .ok()
        .unwrap();
    let place = stage.client.join("gate").await.unwrap();
    stage.clock.advance_ms(1000);
    let pass = place["pass"].as_str().unwrap().to_owned();
    let me = "/api/v1/events/gate/line/me";
    let place = stage
        .until(me, &pass, |place| place["state"] == "admitted")
        .await;
    let cookie = format!(
        "fairline_admission_gate={}",
        place["token"].as_str().unwrap()
    );
    let heads = [("cookie", cookie.as_str())];
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(stage.get("/api/v1/events", "").await.status.as_u16());
        let answer = ask(&stage, Method::GET, "/gate/gate", &heads).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    assert!(others.contains(&429), "{others:?}");
    // Proxies ask with the method, the query and the body of the request that they ask about.
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
        Method::HEAD,
    ] {
        let answer = ask(&stage, method.clone(), "/gate/gate?a=1&b=%ff", &heads).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{method}");
    }
    for body in ["{}", "not JSON"] {
        let answer = stage
            .client
            .raw(Method::GET, "/gate/gate", &heads, body.into())
            .await;
        assert_eq!(answer.unwrap().status(), StatusCode::NO_CONTENT);
    }
    // Nor does what a proxy passes on of a client's head make an error of it.
    for head in [
        "Host: a/b@c",
        "Host: a\r\nHost: b",
        "Host: a\r\nExpect: 200-ok",
        "Host: a\r\nContent-Type: \u{e9}\r\nAccept: \u{e9}\r\nUser-Agent: \u{e9}",
        "Host: a\r\nX-Forwarded-Uri: \u{e9}\r\nX-Forwarded-Method: \u{e9}\r\nSec-Fetch-Mode: \u{e9}",
    ] {
        let request = format!(
            "GET /gate/gate HTTP/1.1\r\nConnection: close\r\nCookie: {cookie}\r\n{head}\r\n\r\n"
        );
        let answer = until_closed(&stage, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{head}: {answer}");
    }
    for (path, queue) in [
        ("/gate/gate", "/e/gate"),
        ("/gate/no-such-event", "/e/no-such-event"),
        ("/gate/No_Such%20Event", "/"),
        ("/gate/%ff", "/"),
    ] {
        let heads = [
            ("cookie", "fairline_admission_gate=x"),
            ("authorization", "Bearer x"),
        ];
        let answer = ask(&stage, Method::GET, path, &heads).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        let named = answer.headers()["x-fairline-queue"].to_str().unwrap();
        assert_eq!(named, format!("{}{queue}", stage.url), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_deleted_event_is_turned_away() {
    let redis = testkit::Redis::start();
    for stage in [Stage::open().await, Stage::on(&redis).await] {
        stage.event("gate", json!({})).await;
        let (_, token) = stage.admit("gate").await;
        let cookie = format!("fairline_admission_gate={token}");
        let heads = [("cookie", cookie.as_str())];
        let answer = ask(&stage, Method::GET, "/gate/gate", &heads).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let gone = stage.organise(Method::DELETE, "/events/gate", None).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
        let answer = ask(&stage, Method::GET, "/gate/gate", &heads).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            answer.headers()["x-fairline-queue"],
            format!("{}/e/gate", stage.url)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_within_a_second_claim_once_and_an_ended_slot_passes_no_longer() {
    let redis = testkit::Redis::start();
    for stage in [Stage::open().await, Stage::on(&redis).await] {
        stage.event("gate", json!({})).await;
        let (pass, token) = stage.admit("gate").await;
        let cookie = format!("fairline_admission_gate={token}");
        let heads = [("cookie", cookie.as_str())];
        let answer = ask(&stage, Method::GET, "/gate/gate", &heads).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let me = stage.get("/api/v1/events/gate/line/me", &pass).await.body;
        assert_eq!(me["state"], "shopping", "the first one claims");
        // The slot ends where the gate does not hear of it: from here on each claim would be
        // refused.
        let event = EventId::parse("gate").unwrap();
        let line = &stage.fairline.room.line;
        let spot = line.find(&event, 1).await.unwrap().unwrap();
        line.finish(&event, spot.visitor, 1).await.unwrap();
        for _ in 1..100 {
            let answer = ask(&stage, Method::GET, "/gate/gate", &heads).await;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        }
        let forged = format!("{cookie}x");
        let answer = ask(&stage, Method::GET, "/gate/gate", &[("cookie", &forged)]).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        stage.clock.advance_ms(1000);
        let answer = ask(&stage, Method::GET, "/gate/gate", &heads).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_the_store_is_known_to_be_away_every_token_that_verifies_passes_unasked() {
    let redis = testkit::Redis::start();
    let stage = Stage::on(&redis).await;
    stage.event("gate", json!({})).await;
    let (_, token) = stage.admit("gate").await;
    let cookie = format!("fairline_admission_gate={token}");
    redis.signal("STOP");
    let health = &stage.fairline.room.site.health;
    let from = Instant::now();
    while !health.is_line_away.load(Ordering::Relaxed) {
        assert!(from.elapsed() < PATIENCE, "the outage is not noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (cookie, status) in [(cookie.clone(), 204), (format!("{cookie}x"), 401)] {
        for _ in 0..10 {
            let answer = ask(&stage, Method::GET, "/gate/gate", &[("cookie", &cookie)]).await;
            assert_eq!(answer.status(), status);
        }
    }
    redis.signal("CONT");
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_slot_ends_at_this_node_is_turned_away_at_once() {
    let stage = Stage::open().await;
    for event in ["done", "left", "ejected"] {
        stage.event(event, json!({})).await;
        let (pass, token) = stage.admit(event).await;
        let cookie = format!("fairline_admission_{event}={token}");
        let heads = [("cookie", cookie.as_str())];
        let path = format!("/gate/{event}");
        let answer = ask(&stage, Method::GET, &path, &heads).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{event}");
        let (end, key) = match event {
            "done" => (format!("/api/v1/events/{event}/admission"), token.as_str()),
            "left" => (format!("/api/v1/events/{event}/line/me"), pass.as_str()),
            _ => (format!("/api/v1/organiser/events/{event}/line/1"), KEY),
        };
        let ended = stage.client.delete(&end, key).await.unwrap();
        assert_eq!(ended.status, StatusCode::NO_CONTENT, "{event}");
        let answer = ask(&stage, Method::GET, &path, &heads).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_leads_to_the_queue_and_back_to_itself_and_everything_else_is_told_no() {
    let stage = Stage::open().await;
    stage.event("gate", json!({})).await;
    let (_, token) = stage.admit("gate").await;
    let cookie = format!("fairline_admission_gate={token}");
    for (path, heads, queue) in [
        ("/gate/gate", vec![], "/e/gate"),
        ("/gate/gate/", vec![], "/e/gate?return_to=/"),
        (
            "/gate/gate/a%2Fb?c=d&e=%25+",
            vec![],
            "/e/gate?return_to=/a%252Fb?c=d%26e=%2525%2B",
        ),
        (
            "/gate/gate",
            vec![("x-original-uri", "/a?b#c")],
            "/e/gate?return_to=/a?b%2523c",
        ),
        (
            "/gate/gate",
            vec![("x-forwarded-uri", "/caf\u{e9}")],
            "/e/gate?return_to=/caf%25C3%25A9",
        ),
        (
            "/.fairline/gate/gate/x",
            vec![],
            "/.fairline/e/gate?return_to=/x",
        ),
        (
            "/gate/no-such-event/x",
            vec![],
            "/e/no-such-event?return_to=/x",
        ),
        ("/gate/No%20Event/x", vec![], "/"),
    ] {
        let heads = [heads.as_slice(), &PAGE].concat();
        let away = ask(&stage, Method::GET, path, &heads).await;
        assert_eq!(away.status(), StatusCode::FOUND, "{path}");
        let location = away.headers()["location"].to_str().unwrap();
        assert_eq!(location, format!("{}{queue}", stage.url), "{path}");
        assert_eq!(away.headers()["cache-control"], "no-store");
        let script = ask(&stage, Method::GET, path, &heads[..heads.len() - 2]).await;
        assert_eq!(script.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(script.headers()["x-fairline-queue"], location, "{path}");
        assert!(
            script.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Bearer")
        );
    }
    // As a link of its own this address would lead elsewhere.
    let away = ask(&stage, Method::GET, "/gate/gate//evil.example/x", &PAGE).await;
    let location = away.headers()["location"].to_str().unwrap();
    let page = ask(
        &stage,
        Method::GET,
        location.strip_prefix(&stage.url).unwrap(),
        &[],
    )
    .await;
    let text = String::from_utf8_lossy(page.body()).into_owned();
    let goal = format!("data-return=\"{}//evil.example/x\"", stage.url);
    assert!(text.contains(&goal), "{location}");
    // nginx takes no refusal but 401.
    let away = ask(&stage, Method::GET, "/auth-request/gate/GET", &PAGE).await;
    assert_eq!(away.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(away.headers()["location"], format!("{}/e/gate", stage.url));
    // Envoy takes no success but 200.
    let ours = ("cookie", cookie.as_str());
    for (path, heads) in [
        ("/gate/gate/a/b?c=%ff", vec![ours]),
        ("/gate/gate", vec![ours, ("x-envoy-internal", "true")]),
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let answer = ask(&stage, method, path, &heads).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_unknown_or_open_to_all_lets_everyone_pass_or_nobody_as_configured() {
    let line = waiting_room::settings::LineArgs {
        gate_unknown_event: Some("pass".into()),
        ..Default::default()
    };
    let stage = Stage::with_line(line).await;
    for path in [
        "/gate/no-such-event",
        "/gate/No%20Event/x",
        "/gate/no-such-event/x",
    ] {
        assert!(
            ask(&stage, Method::GET, path, &PAGE)
                .await
                .status()
                .is_success(),
            "{path}"
        );
    }
    let redis = testkit::Redis::start();
    for stage in [Stage::open().await, Stage::on(&redis).await] {
        stage.event("gate", json!({"checkout_url": "/"})).await;
        let passes = async || {
            let answer = ask(&stage, Method::GET, "/gate/gate", &PAGE).await;
            assert!(!answer.headers().contains_key("x-fairline-visitor"));
            answer.status().is_success()
        };
        let set = async |change| {
            let set = stage
                .organise(Method::PATCH, "/events/gate", Some(change))
                .await;
            assert_eq!(set.status, StatusCode::OK, "{}", set.body);
        };
        let place = stage.client.join("gate").await.unwrap();
        let pass = place["pass"].as_str().unwrap();
        assert!(!passes().await);
        set(json!({"admission": {"rate_per_minute": 0}, "passthrough": true})).await;
        assert!(passes().await);
        let waiting = stage.client.join("gate").await.unwrap();
        assert_eq!(
            (&waiting["passthrough"], &waiting["checkout_url"]),
            (&json!(true), &json!("/"))
        );
        let page = ask(&stage, Method::GET, "/e/gate?return_to=/a", &[]).await;
        let text = String::from_utf8_lossy(page.body()).into_owned();
        assert!(text.contains("No need to wait"), "{text}");
        assert!(text.contains("id=\"go\" href=\"/a\" >"), "{text}");
        set(json!({"passthrough": false})).await;
        assert!(!passes().await);
        let me = stage.get("/api/v1/events/gate/line/me", pass).await.body;
        assert!(me.get("passthrough").is_none(), "{me}");
        let closed = "2020-01-01T00:00:00Z";
        set(json!({"closes_at": closed})).await;
        assert!(!passes().await);
        set(json!({"passthrough_after_closing": true})).await;
        assert!(passes().await);
        let later = "2099-01-01T00:00:00Z";
        set(json!({"closes_at": null, "sale_opens_at": later})).await;
        assert!(!passes().await);
        set(json!({"passthrough_before_opening": true})).await;
        assert!(passes().await);
    }
}
