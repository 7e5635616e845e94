//! The gate while the line's store is away.

use crate::attacks::shares::{PAGE, PICTURE, ask, visitor};
use crate::stage::{PASS_SECRET, SERVICE_KEY, Stage};
use hyper::StatusCode;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use waiting_room::settings::LineArgs;

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_gone_verified_tokens_pass_and_no_forged_one_nor_a_stranger() {
    let mut redis = testkit::Redis::start();
    let stage = Stage::on(&redis).await;
    stage.event("gate", json!({})).await;
    let mut admitted = Vec::new();
    for _ in 0..3 {
        let (_, token) = stage.admit("gate").await;
        admitted.push(format!("fairline_admission_gate={token}"));
    }
    let inside = ask(&stage, "gate", &[("cookie", &admitted[0])]).await;
    assert_eq!(inside.status(), StatusCode::NO_CONTENT);
    // First it does not answer, and the node does not know yet.
    redis.signal("STOP");
    let frozen = ask(&stage, "gate", &[("cookie", &admitted[1])]).await;
    assert_eq!(frozen.status(), StatusCode::NO_CONTENT);
    redis.kill();
    // Also fans whose first request it is, and clients that cannot be counted.
    for round in 0..4 {
        for cookie in &admitted {
            for agent in ["one", "two", "three", "four", "five"] {
                let heads = [("cookie", cookie.as_str()), ("user-agent", agent), PAGE];
                let answer = ask(&stage, "gate", &heads).await;
                let status = answer.status();
                assert_eq!(status, StatusCode::NO_CONTENT, "{round} {agent}");
                assert!(visitor(&answer).starts_with("vis_"));
            }
            let forged = format!("{cookie}x");
            for heads in [&[PICTURE, ("cookie", &forged)][..], &[PICTURE]] {
                let answer = ask(&stage, "gate", heads).await;
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{round}");
            }
        }
        stage.clock.advance_ms(1000);
    }
    let unknown = ask(&stage, "no-such-event", &[PICTURE]).await;
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
    // Nothing but the token itself says now that it has ended.
    stage.clock.advance_ms(3_600_000);
    let ended = ask(&stage, "gate", &[PICTURE, ("cookie", &admitted[0])]).await;
    assert_eq!(ended.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_gone_no_event_counts_as_unknown() {
    let mut redis = testkit::Redis::start();
    let stage = Stage::with_line(LineArgs {
        line: Some(redis.url()),
        pass_secret: Some(PASS_SECRET.to_owned()),
        service_key: Some(SERVICE_KEY.to_owned()),
        gate_unknown_event: Some("pass".to_owned()),
        ..LineArgs::default()
    })
    .await;
    let status = async || ask(&stage, "no-such-event", &[PICTURE]).await.status();
    assert_eq!(status().await, StatusCode::NO_CONTENT);
    redis.kill();
    let is_away = &stage.fairline.room.site.health.is_line_away;
    let from = Instant::now();
    while !is_away.load(Ordering::Relaxed) {
        assert!(from.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
}
