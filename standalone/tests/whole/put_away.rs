//! Events that closed are kept for a while, and then put away: their archives stay.

use crate::stage::{KEY, Stage, assert_problem};
use hyper::Method;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use waiting_room::draw::{Drawn, verify};

const DAY: i64 = 24 * 3600;

/// Returns the archives of an event.
fn archives(stage: &Stage, event: &str) -> Vec<PathBuf> {
    let Ok(folders) = fs::read_dir(stage.data().join("archive")) else {
        return Vec::new();
    };
    let folders = folders.map(|folder| folder.unwrap().path());
    let prefix = format!("{event}-");
    let is_of = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&prefix)
    };
    folders.filter(is_of).collect()
}

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

async fn draw(stage: &Stage, event: &str, more: Value) {
    let now = stage.clock.now();
    let mut settings = json!({"id": event, "name": "Drawn", "order": "draw", "prequeue_opens_at": now,
        "sale_opens_at": now.plus_seconds(3), "closes_at": now.plus_seconds(100),
        "admission": {"rate_per_minute": 0}});
    for (name, value) in more.as_object().unwrap() {
        settings[name] = value.clone();
    }
    stage
        .client
        .create_event(KEY, &settings, None)
        .await
        .unwrap();
    for _ in 0..50 {
        stage.client.join(event).await.unwrap();
    }
    stage.clock.advance_ms(3_000);
    let path = format!("/api/v1/events/{event}/draw");
    stage
        .until(&path, "", |drawn| drawn["seed"].is_string())
        .await;
}

/// Checks an archive of a draw among fifty.
fn check(archive: &Path) {
    let drawn: Drawn = serde_json::from_value(read(archive.join("draw.json"))).unwrap();
    let entries = fs::read_to_string(archive.join("entries.txt")).unwrap();
    assert_eq!(verify(&drawn, &entries), Ok(50));
    let event = read(archive.join("event.json"));
    assert_eq!(event["settings"]["name"], "Drawn");
    assert_eq!(event["figures"]["total"]["joined"], 50);
    assert_eq!(event["changes"][0]["action"], "event.create");
}

/// Waits until an event is put away.
async fn is_gone(stage: &Stage, event: &str) {
    let path = format!("/api/v1/events/{event}");
    let is_unknown = |answer: &Value| answer["type"] == "/problems/no-such-event";
    stage.until(&path, "", is_unknown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_closed_is_kept_for_its_days_and_then_its_archive_alone() {
    let redis = testkit::Redis::start();
    for stage in [Stage::open().await, Stage::on(&redis).await] {
        draw(&stage, "short", json!({"retention_days": 1})).await;
        draw(&stage, "long", json!({})).await;
        stage.clock.advance_ms(DAY * 1000);
        stage
            .organise(Method::GET, "/events/short", None)
            .await
            .ok()
            .unwrap();
        stage.clock.advance_ms(200_000);
        is_gone(&stage, "short").await;
        let found = archives(&stage, "short");
        assert_eq!(found.len(), 1);
        check(&found[0]);
        let is_told = |log: &Value| log[0]["action"] == "event.put_away";
        let log = stage.until("/api/v1/organiser/audit", KEY, is_told).await;
        assert_eq!(
            (&log[0]["by"], &log[0]["event"]),
            (&json!("fairline"), &json!("short"))
        );
        let name = found[0].file_name().unwrap().to_str().unwrap();
        assert_eq!(log[0]["to"]["archive"], name);
        // Seven days where nothing is said.
        stage.clock.advance_ms(5 * DAY * 1000);
        let kept = stage.organise(Method::GET, "/events/long", None).await;
        assert_eq!(kept.ok().unwrap()["retention_days"], 7);
        stage.clock.advance_ms(DAY * 1000);
        is_gone(&stage, "long").await;
        check(&archives(&stage, "long")[0]);
    }
    assert_eq!(redis.ask(&["KEYS", "fairline:{*"]).as_deref(), Some(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_opened_again_is_not_put_away() {
    let stage = Stage::open().await;
    let now = stage.clock.now();
    stage
        .event(
            "again",
            json!({"closes_at": now.plus_seconds(10), "retention_days": 1}),
        )
        .await;
    stage.clock.advance_ms(20_000);
    let path = "/api/v1/events/again";
    stage
        .until(path, "", |event| event["phase"] == "closed")
        .await;
    let open = json!({"closes_at": null});
    stage
        .organise(Method::PATCH, "/events/again", Some(open))
        .await
        .ok()
        .unwrap();
    stage
        .event(
            "other",
            json!({"closes_at": now.plus_seconds(30), "retention_days": 1}),
        )
        .await;
    // A date by mistake closes an event, and removes nothing before its days are over.
    let mistaken = json!({"closes_at": "2020-01-01T00:00:00Z", "retention_days": 3});
    stage.event("mistaken", mistaken).await;
    stage.clock.advance_ms(2 * DAY * 1000);
    is_gone(&stage, "other").await;
    stage.get("/api/v1/events/again", "").await.ok().unwrap();
    stage.get("/api/v1/events/mistaken", "").await.ok().unwrap();
    stage.clock.advance_ms(2 * DAY * 1000);
    is_gone(&stage, "mistaken").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_days_are_from_1_to_365_and_an_admin_changes_them() {
    let stage = Stage::open().await;
    stage.event("days", json!({"retention_days": 365})).await;
    for days in [0, 366] {
        let patch = json!({"retention_days": days});
        let refused = stage
            .organise(Method::PATCH, "/events/days", Some(patch))
            .await;
        assert_problem(&refused, 422, "invalid");
        assert_eq!(refused.body["errors"][0]["field"], "retention_days");
    }
    let patch = json!({"retention_days": 2});
    let path = "/api/v1/organiser/events/days";
    let refused = stage.client.call(
        Method::PATCH,
        path,
        "operator-key-01234",
        Some(patch.clone()),
    );
    assert_problem(&refused.await.unwrap(), 403, "role-too-low");
    let changed = stage
        .organise(Method::PATCH, "/events/days", Some(patch))
        .await;
    assert_eq!(changed.ok().unwrap()["retention_days"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_draw_of_an_event_that_is_deleted_stays_in_its_archive() {
    let stage = Stage::open().await;
    draw(&stage, "deleted", json!({})).await;
    stage.event("plain", json!({})).await;
    for event in ["deleted", "plain"] {
        let deleted = stage
            .organise(Method::DELETE, &format!("/events/{event}"), None)
            .await;
        assert_eq!(deleted.status, 204);
    }
    check(&archives(&stage, "deleted")[0]);
    assert_eq!(archives(&stage, "plain").len(), 0, "nothing was drawn");
}
