//! Documents of events: as fans see them, never older than what is there.

use super::stand_ins::Engine;
use super::{command, search, start, terminate, until, until_metric};
use crate::events::inbox::{Inbox, TOPICS};
use crate::events::sale::{self, metric, open};
use crate::site::{KEY, Node};
use hyper::Method;
use serde_json::{Value, json};
use shared::time::Clock;
use testkit::{Kafka, Nats, RabbitMq};

const DEAD_LETTERS: &str = "fairline_notifier_dead_letters{consumer=\"search\"}";

async fn organise(sale: &Node, method: Method, path: &str, body: Value) {
    let path = format!("/api/v1/organiser/events/{path}");
    let answer = sale.client.call(method, &path, KEY, Some(body)).await;
    answer.unwrap().ok().unwrap();
}

/// Changes the selling rules, of which an event tells.
async fn change(sale: &Node, seconds: u32) {
    let rules = json!({"hold_seconds": seconds});
    organise(sale, Method::PATCH, "night/checkout", rules).await;
}

/// Puts an event that is not published on sale.
async fn draft(sale: &Node) {
    let event = json!({"id": "draft", "name": "The draft", "published": false});
    let plan = json!({"categories": [{"id": "c", "name": "C", "price": 4500}],
        "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 2}]});
    let made = sale.client.create_event(KEY, &event, Some(plan)).await;
    made.unwrap();
}

#[tokio::test]
async fn documents_follow_the_events_and_none_is_put_over_a_newer_one() {
    let (server, folder) = (Nats::start(), tempfile::tempdir().unwrap());
    let events = format!("nats://{}", server.address());
    let (engine, url) = Engine::start().await;
    let sale = sale::start(folder.path(), &events);
    let notifier = start(folder.path(), &sale, &events, &search(&url));
    sale.ready().await;
    draft(&sale).await;
    open(&sale).await;
    let document = || engine.document("night");
    until("the document", &notifier, || document().is_some()).await;
    let found = document().unwrap();
    assert_eq!(found["name"], "The night");
    assert_eq!(found["url"], format!("{}/e/night", sale.url));
    assert_eq!(found["is_cancelled"], false);
    let settled = "fairline_notifier_events_total{consumer=\"search\",outcome=\"done\"}";
    until_metric(&notifier, settled, 2.0).await;
    assert_eq!(engine.document("draft"), None, "drafts are shown to nobody");

    // Refusals of single operations: for now, and for good.
    engine.fail(&[429, 503]);
    change(&sale, 100).await;
    until_metric(&notifier, settled, 3.0).await;
    engine.fail(&[400]);
    change(&sale, 101).await;
    until_metric(&notifier, DEAD_LETTERS, 1.0).await;
    let listed = command(&notifier, &["dead-letters", "list"]);
    assert!(
        listed.contains("the search engine answered 400"),
        "{listed}"
    );
    command(&notifier, &["dead-letters", "retry", "--all"]);
    until_metric(&notifier, DEAD_LETTERS, 0.0).await;

    let newer = json!({"name": "newer"});
    engine.put("night", i64::MAX, newer.clone());
    let conflicts = engine.conflicts();
    change(&sale, 102).await;
    until("a conflict", &notifier, || engine.conflicts() > conflicts).await;
    assert_eq!(document(), Some(newer));

    // A new index is filled from the beginning on.
    engine.wipe();
    let from = ["--from", "2026-01-01T00:00:00Z"];
    let replay = ["replay", "--consumer", "search"];
    command(&notifier, &[&replay[..], &from[..]].concat());
    until("the document again", &notifier, || document().is_some()).await;

    organise(
        &sale,
        Method::POST,
        "night/cancel",
        json!({"reason": "The singer is ill."}),
    )
    .await;
    until("the cancellation", &notifier, || {
        document().is_some_and(|found| found["is_cancelled"] == true)
    })
    .await;
    engine.put("draft", 1, json!({}));
    let gone = sale.client.delete("/api/v1/organiser/events/draft", KEY);
    gone.await.unwrap().ok().unwrap();
    until("the deletion", &notifier, || {
        engine.document("draft").is_none()
    })
    .await;
}

#[tokio::test]
async fn kafka_repeats_events_from_a_time_on() {
    let (server, folder) = (Kafka::start(), tempfile::tempdir().unwrap());
    let events = Inbox::kafka(&server, &TOPICS).await.url();
    let (engine, url) = Engine::start().await;
    let sale = sale::start(folder.path(), &events);
    let notifier = start(folder.path(), &sale, &events, &search(&url));
    open(&sale).await;
    let document = || engine.document("night");
    until("the document", &notifier, || document().is_some()).await;
    engine.wipe();
    let from = "2026-01-01T00:00:00Z";
    command(
        &notifier,
        &["replay", "--consumer", "search", "--from", from],
    );
    until("the document again", &notifier, || document().is_some()).await;
}

/// Begins again from a time between two events that were not consumed yet, of which none is left out.
async fn a_replay_leaves_nothing_out(events: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (_engine, url) = Engine::start().await;
    let sale = sale::start(folder.path(), events);
    let mut notifier = start(folder.path(), &sale, events, &search(&url));
    open(&sale).await;
    let done = "fairline_notifier_events_total{consumer=\"search\",outcome=\"done\"}";
    until_metric(&notifier, done, 1.0).await;
    terminate(&mut notifier);
    let sent = "fairline_events_sent_total";
    let before = metric(&sale, sent).await;
    change(&sale, 100).await;
    until_metric(&sale, sent, before + 1.0).await;
    let from = Clock::system().now().to_string();
    change(&sale, 101).await;
    until_metric(&sale, sent, before + 2.0).await;
    let replay = ["replay", "--consumer", "search", "--from", &from];
    command(&notifier, &replay);
    notifier.start();
    until_metric(&notifier, done, 2.0).await;
}

#[tokio::test]
async fn nats_leaves_out_nothing_that_was_not_consumed_before_a_replay() {
    let server = Nats::start();
    a_replay_leaves_nothing_out(&format!("nats://{}", server.address())).await;
}

#[tokio::test]
async fn kafka_leaves_out_nothing_that_was_not_consumed_before_a_replay() {
    let server = Kafka::start();
    let events = Inbox::kafka(&server, &TOPICS).await.url();
    a_replay_leaves_nothing_out(&events).await;
}

#[tokio::test]
async fn rabbitmq_repeats_nothing_and_that_is_said() {
    let (server, folder) = (RabbitMq::start(), tempfile::tempdir().unwrap());
    let events = format!("amqp://{}", server.address());
    let (engine, url) = Engine::start().await;
    let sale = sale::start(folder.path(), &events);
    let notifier = start(folder.path(), &sale, &events, &search(&url));
    open(&sale).await;
    let document = || engine.document("night");
    until("the document", &notifier, || document().is_some()).await;
    let from = "2026-01-01T00:00:00Z";
    let output = notifier.run(&["replay", "--consumer", "search", "--from", from]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("RabbitMQ keeps no events"), "{said}");
}
