//! Caps on what a client address has at one time: places in line, fans who hold seats.

use crate::stage::{Stage, assert_problem, word};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

/// Time for which everything counts, in ms.
const UNDER_WAY_MS: i64 = 10_000;

/// Fills an address with places until it is refused, and gives one back.
async fn places_are_capped(stage: &Stage) {
    stage.event("capped", json!({"paused": true})).await;
    let line = "/api/v1/events/capped/line";
    let join = async |bearer: &str| stage.client.post(line, bearer, json!({})).await.unwrap();
    let mut passes = Vec::new();
    for _ in 0..3 {
        let joined = join("").await;
        assert_eq!(joined.status, StatusCode::CREATED, "{}", joined.body);
        passes.push(word(&joined.body["pass"]));
    }
    let refused = join("").await;
    assert_problem(&refused, 429, "too-many-places");
    let detail = word(&refused.body["detail"]);
    assert!(detail.contains("your network"), "{detail}");
    // Places that are there are not touched.
    assert_eq!(join(&passes[0]).await.status, StatusCode::OK);
    let me = format!("{line}/me");
    assert_eq!(stage.get(&me, &passes[1]).await.status, StatusCode::OK);
    stage.client.delete(&me, &passes[0]).await.unwrap();
    stage.clock.advance_ms(UNDER_WAY_MS);
    let again = join("").await;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.body);
    assert_eq!(again.body["number"], 4, "what was refused took no number");
    assert_problem(&join("").await, 429, "too-many-places");
    stage.event("other", json!({"paused": true})).await;
    stage.client.join("other").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_places_at_one_time_and_one_that_ends_leaves_room() {
    let stage = Stage::with(|common| common.places_per_address = Some("3".into())).await;
    places_are_capped(&stage).await;
    // A browser without JavaScript is told in a page.
    let origin = stage.url.clone();
    let heads = [("origin", origin.as_str())];
    let path = "/e/capped/join";
    let answer = stage.client.raw(Method::POST, path, &heads, vec![]).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert!(answer.headers().contains_key("retry-after"));
    let page = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(page.contains("in line from your network"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_capped_on_redis_as_well() {
    let redis = testkit::Redis::start();
    let change = |common: &mut shared::settings::Common| {
        common.places_per_address = Some("3".into());
    };
    places_are_capped(&Stage::on_with(&redis, change).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_on_places_needs_no_setting() {
    let stage = Stage::with(|common| common.joins_per_minute = Some("1000".into())).await;
    stage.event("usual", json!({"paused": true})).await;
    for _ in 0..100 {
        stage.client.join("usual").await.unwrap();
    }
    let line = "/api/v1/events/usual/line";
    let refused = stage.client.post(line, "", json!({})).await.unwrap();
    assert_problem(&refused, 429, "too-many-places");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_fans_of_an_address_hold_seats_at_one_time_with_unpaid_orders() {
    let stage = Stage::with(|common| common.seat_holders_per_address = Some("2".into())).await;
    stage.event("held", json!({})).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(stage.session("held").await);
    }
    let hold = async |at: usize| -> (StatusCode, Value) {
        let wish = json!({"best_available": {"quantity": 1}});
        let answer = stage.hold("held", &sessions[at], wish).await;
        (answer.status, answer.body)
    };
    let (_, ordered) = hold(0).await;
    stage.order(&sessions[0], &ordered).await;
    let (_, held) = hold(1).await;
    let (status, more) = hold(1).await;
    assert_eq!(status, StatusCode::CREATED, "the same fan: {more}");
    stage.clock.advance_ms(UNDER_WAY_MS);
    let (status, refused) = hold(2).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused["type"], "/problems/too-many-seat-holders");
    for hold in [&held, &more] {
        let path = format!("/api/v1/holds/{}", word(&hold["id"]));
        stage.client.delete(&path, &sessions[1]).await.unwrap();
    }
    let (status, held) = hold(2).await;
    assert_eq!(status, StatusCode::CREATED, "{held}");
    let (status, _) = hold(1).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
}
