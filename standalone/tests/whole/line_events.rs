//! Decisions of the line arrive in the outbox, from an embedded line and from one on Redis.

use crate::stage::{KEY, SERVICE_KEY, Stage, word};
use checkout::tail::{Tail, TailArgs};
use serde_json::{Value, json};
use shared::ids::EventId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Waits until there are so many events of admissions; returns all.
async fn told(stage: &Stage, count: usize) -> Vec<Value> {
    let args = TailArgs {
        types: vec!["admission.*".to_owned()],
        kept: true,
        ..TailArgs::default()
    };
    let outbox = stage.fairline.shop.inventory.outbox();
    let mut tail = Tail::begin(outbox, &args).await.unwrap();
    let mut told = Vec::new();
    let reading = async {
        while told.len() < count {
            told.extend(tail.next().await.unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(30), reading).await;
    assert!(read.is_ok(), "{told:#?}");
    told
}

/// A fan is admitted, buys, and is told of once in the outbox.
async fn a_fan_is_told_of(stage: &Stage) {
    stage.event("night", json!({})).await;
    let session = stage.session("night").await;
    stage.buy("night", &session, 1).await;
    let events = told(stage, 2).await;
    let types: Vec<&str> = events.iter().filter_map(|it| it["type"].as_str()).collect();
    assert_eq!(types, ["admission.admitted", "admission.finished"]);
    assert_eq!(events[0]["subject"], events[1]["subject"]);
    assert_eq!(events[1]["data"]["how"], "finished");
    assert_eq!(events[0]["data"]["number"], 1);
    assert!(events[0]["data"]["claim_by"].is_string(), "{events:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_of_an_embedded_line_is_told_of_in_the_outbox() {
    let stage = Stage::with_secrets(|_| {}).await;
    a_fan_is_told_of(&stage).await;
    let log = "/api/v1/events/night/log";
    let page = stage.get(log, SERVICE_KEY).await.ok().unwrap();
    assert_eq!(page["entries"][0]["decisions"][0]["type"], "admitted");
    let newest = page["entries"].as_array().unwrap().len();
    let next = format!("{log}?life={}&after={newest}", word(&page["life"]));
    let page = stage.get(&next, SERVICE_KEY).await.ok().unwrap();
    assert_eq!(page["entries"], json!([]));
    assert_eq!(stage.get(log, KEY).await.status.as_u16(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_line_decides_after_its_store_lost_everything_is_told_as_well_and_nothing_twice() {
    let redis = testkit::Redis::start();
    let stage = Stage::on(&redis).await;
    a_fan_is_told_of(&stage).await;
    redis.ask(&["FLUSHALL"]).unwrap();
    let event = EventId::parse("night").unwrap();
    let recovering = async {
        loop {
            stage.clock.advance_ms(500);
            let view = stage.fairline.room.line.tick(&event).await;
            if view.is_ok_and(|view| !view.is_recovering) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let recovered = tokio::time::timeout(Duration::from_secs(30), recovering).await;
    assert!(recovered.is_ok());
    let session = stage.session("night").await;
    stage.buy("night", &session, 1).await;
    let events = told(&stage, 4).await;
    assert_eq!(events.len(), 4, "{events:#?}");
    let ids: BTreeSet<&str> = events.iter().filter_map(|it| it["id"].as_str()).collect();
    assert_eq!(ids.len(), 4);
    let numbers: Vec<&Value> = events.iter().map(|it| &it["data"]["number"]).collect();
    assert_eq!(numbers.iter().filter(|it| ***it == json!(2)).count(), 2);
}
