//! More time to shop: the slot in the line, the admission at the gate and the session agree.

use crate::stage::{Stage, assert_problem, word};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

fn times(extension_seconds: u32) -> Value {
    json!({"admission": {"rate_per_minute": 6_000_000, "batch_seconds": 1, "max_active": 1,
        "claim_seconds": 10, "session_seconds": 20, "extension_seconds": extension_seconds}})
}

async fn post(stage: &Stage, path: &str, bearer: &str) -> client::Answer {
    let path = format!("/api/v1/events/night/{path}");
    stage.client.post(&path, bearer, json!({})).await.unwrap()
}

async fn gate(stage: &Stage, token: &str) -> StatusCode {
    let cookie = format!("fairline_admission_night={token}");
    let heads = [("cookie", cookie.as_str())];
    let answer = stage.client.raw(Method::GET, "/gate/night", &heads, vec![]);
    answer.await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_extended_once_with_its_slot_and_its_admission() {
    for stage in [
        Stage::open().await,
        Stage::on(&testkit::Redis::start()).await,
    ] {
        stage.event("night", times(15)).await;
        let (pass, token) = stage.admit("night").await;
        let waiting = stage.client.join("night").await.unwrap();
        let opened = post(&stage, "sessions", &token).await.ok().unwrap();
        assert_eq!(opened["extension_seconds"], 15);
        let session = word(&opened["session"]);
        let extended = post(&stage, "sessions/extend", &session)
            .await
            .ok()
            .unwrap();
        assert_eq!(extended["extension_seconds"], 0);
        assert_ne!(extended["expires_at"], opened["expires_at"]);
        let again = post(&stage, "sessions/extend", &session).await;
        assert_problem(&again, 409, "not-extendable");
        let shown = stage.get("/api/v1/events/night/sessions", &session).await;
        assert_eq!(shown.body["expires_at"], extended["expires_at"]);
        assert_eq!(shown.body["extension_seconds"], 0);
        // The same admission over HTTP, for shops of others: the same token, and no second session.
        let extension = post(&stage, "admission/extend", &token).await.ok().unwrap();
        assert_eq!(extension["expires_at"], extended["expires_at"]);
        let longer = word(&extension["token"]);
        let twice = post(&stage, "admission/extend", &longer).await;
        assert_problem(&twice, 409, "not-extendable");
        let second = post(&stage, "sessions", &longer).await;
        assert_problem(&second, 409, "admission-already-used");

        stage.pass_seconds("night", 35).await;
        assert_eq!(gate(&stage, &longer).await, StatusCode::NO_CONTENT);
        assert_eq!(gate(&stage, &token).await, StatusCode::UNAUTHORIZED);
        let held = stage.hold(
            "night",
            &session,
            json!({"best_available": {"quantity": 1}}),
        );
        assert_eq!(held.await.status, StatusCode::CREATED);
        let me = "/api/v1/events/night/line/me";
        let place = stage.get(me, &word(&waiting["pass"])).await;
        assert_eq!(place.body["state"], "waiting", "the slot is taken still");

        stage.pass_seconds("night", 15).await;
        assert_eq!(gate(&stage, &longer).await, StatusCode::UNAUTHORIZED);
        assert_eq!(stage.get(me, &pass).await.body["state"], "missed");
        let over = post(&stage, "sessions/extend", &session).await;
        assert_problem(&over, 403, "session-over");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_time_is_given_where_the_event_gives_none_or_the_turn_is_over() {
    let stage = Stage::open().await;
    stage.event("night", times(0)).await;
    let (_, token) = stage.admit("night").await;
    let opened = post(&stage, "sessions", &token).await.ok().unwrap();
    assert_eq!(opened["extension_seconds"], 0);
    let session = word(&opened["session"]);
    for (path, bearer) in [("sessions/extend", &session), ("admission/extend", &token)] {
        assert_problem(&post(&stage, path, bearer).await, 409, "not-extendable");
    }
    let done = stage
        .client
        .delete("/api/v1/events/night/sessions", &session);
    assert_eq!(done.await.unwrap().status, StatusCode::NO_CONTENT);
    assert_problem(
        &post(&stage, "sessions/extend", &session).await,
        403,
        "session-over",
    );
    assert_problem(
        &post(&stage, "admission/extend", "x.y.z").await,
        401,
        "bad-admission",
    );
}
