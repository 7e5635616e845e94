//! The gate's answers to a reverse proxy that asks about a request.

use crate::stage::{KEY, Stage};
use hyper::{Method, Response, StatusCode, body::Bytes};
use serde_json::json;
use shared::ids::EventId;

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
