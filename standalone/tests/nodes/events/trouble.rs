//! Brokers that are away, refuse the login, or take no event; and events that none takes.

use super::inbox::{Inbox, TOPICS};
use super::sale::{all_arrive, metric, open, readyz, rows, sell, start, too_large};
use crate::site::{KEY, Node};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::{Kafka, Nats, RabbitMq, Switch, free_port};

const AWAY: &str = "events are not published, and wait: ";

#[tokio::test]
async fn a_broker_that_is_away_at_the_start_is_named_and_gets_all_later() {
    let mut server = Nats::stopped(&[]);
    let mut inbox = Inbox::nats(&server);
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(folder.path(), &inbox.url());
    open(&node).await;
    sell(&mut node, 2).await;
    let said = readyz(&node, |text| text.contains(AWAY)).await;
    assert!(said.contains("NATS"), "{said}");
    let waiting = rows(&node).len();
    assert!(waiting > 0);
    server.start_again();
    all_arrive(&mut inbox, || rows(&node), &node.url).await;
    readyz(&node, |text| !text.contains(AWAY)).await;
    let log = node.log();
    assert_eq!(log.matches("events wait until they can be").count(), 1);
    assert_eq!(log.matches("events are published again").count(), 1);
}

/// Waits until the program has ended; returns all that it said.
fn refused(mut node: Node) -> String {
    let from = Instant::now();
    let mut process = node.process.take().unwrap();
    let status = loop {
        match process.ended() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
        assert!(from.elapsed() < Duration::from_secs(30), "{}", node.log());
    };
    assert_eq!(status.code(), Some(2), "{}", node.log());
    node.log()
}

fn refused_with(folder: &Path, events: &str) -> String {
    let said = refused(start(folder, events));
    assert!(said.contains("FAIRLINE_EVENTS: "), "{said}");
    assert!(!said.contains("sesame"), "{said}");
    said
}

#[tokio::test]
async fn a_login_that_is_refused_stops_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nats = Nats::with(&["--user", "fairline", "--pass", "right"]);
    let events = format!("nats://fairline:open-sesame@{}", nats.address());
    let said = refused_with(folder.path(), &events);
    assert!(said.contains("authorization violation"), "{said}");
    let rabbit = RabbitMq::start();
    let events = format!("amqp://guest:open-sesame@{}", rabbit.address());
    let said = refused_with(folder.path(), &events);
    assert!(said.contains("ACCESS_REFUSED"), "{said}");
    let events = format!("amqp://guest:guest@{}/nowhere", rabbit.address());
    let said = refused_with(folder.path(), &events);
    assert!(said.contains("vhost nowhere"), "{said}");
}

#[tokio::test]
async fn a_topic_that_is_missing_and_a_host_that_is_unknown_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Kafka::start();
    let events = format!("kafka://{}?prefix=shop", kafka.address());
    let said = refused_with(folder.path(), &events);
    assert!(
        said.contains("Kafka has no topic shop.order, shop.hold"),
        "{said}"
    );
    let said = refused_with(folder.path(), "amqp://u:open-sesame@no-such-host.invalid");
    assert!(
        said.contains("there is no host no-such-host.invalid"),
        "{said}"
    );
}

#[tokio::test]
async fn a_topic_that_is_missing_holds_up_its_own_events_alone() {
    let server = Kafka::start();
    let mut inbox = Inbox::kafka(&server, &TOPICS[..4]).await;
    // Away at the start, which a missing topic would stop.
    let switch = Switch::to(free_port());
    let folder = tempfile::tempdir().unwrap();
    let events = format!("kafka://127.0.0.1:{}", switch.port());
    let mut node = start(folder.path(), &events);
    open(&node).await;
    sell(&mut node, 2).await;
    readyz(&node, |text| text.contains(AWAY)).await;
    switch.switch(inbox.port());
    let others = || {
        let mut rows = rows(&node);
        rows.retain(|row| row.aggregate_type != "event");
        rows
    };
    all_arrive(&mut inbox, others, &node.url).await;
    readyz(&node, |text| {
        text.contains("Kafka has no topic fairline.event")
    })
    .await;
    inbox.create_topic("fairline.event").await;
    all_arrive(&mut inbox, || rows(&node), &node.url).await;
    readyz(&node, |text| !text.contains(AWAY)).await;
}

#[tokio::test]
async fn an_event_that_no_queue_takes_does_not_count_as_sent() {
    let server = RabbitMq::start();
    let mut inbox = Inbox::rabbit(&server).await;
    inbox.unbind("#").await;
    inbox.bind("hold.#").await;
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(folder.path(), &inbox.url());
    open(&node).await;
    sell(&mut node, 2).await;
    let said = readyz(&node, |text| text.contains("has no queue for")).await;
    assert!(said.contains(AWAY), "{said}");
    assert!(metric(&node, "fairline_event_failures_total{kind=\"unroutable\"}").await > 0.0);
    inbox.collect().await;
    let kinds = inbox.received.iter().map(|event| event.attribute("type"));
    let others = kinds.filter(|kind| !kind.starts_with("hold."));
    assert_eq!(others.count(), 0);
    inbox.bind("#").await;
    all_arrive(&mut inbox, || rows(&node), &node.url).await;
    readyz(&node, |text| !text.contains(AWAY)).await;
}

/// Writes an event that is too large for a broker into the outbox of a program.
fn insert_too_large(node: &Node) {
    let store = Path::new(node.setting("FAIRLINE_DATA")).join("inventory.sqlite");
    let store = rusqlite::Connection::open(store).unwrap();
    store.busy_timeout(Duration::from_secs(10)).unwrap();
    let sql = "insert into outbox (id, event, aggregatetype, aggregateid, type, payload, at) \
               values ('evt_large', 'night', 'event', 'night', 'event.changed', ?1, 1)";
    store.execute(sql, [too_large().to_string()]).unwrap();
}

/// Changes the rules of the event, of which an event tells.
async fn change_event(node: &Node) {
    let changed = json!({"hold_seconds": 100});
    let path = "/api/v1/organiser/events/night/checkout";
    let method = hyper::Method::PATCH;
    let answer = node.client.call(method, path, KEY, Some(changed)).await;
    answer.unwrap().ok().unwrap();
}

async fn poison_blocks_nothing(mut inbox: Inbox) {
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(folder.path(), &inbox.url());
    open(&node).await;
    sell(&mut node, 1).await;
    insert_too_large(&node);
    // A later event of the same aggregate.
    change_event(&node).await;
    sell(&mut node, 1).await;
    let others = || {
        let mut rows = rows(&node);
        rows.retain(|row| row.id != "evt_large");
        rows
    };
    all_arrive(&mut inbox, others, &node.url).await;
    let log = node.log();
    assert_eq!(
        log.matches("event left out: the broker refuses it for good")
            .count(),
        1
    );
    assert!(log.contains("evt_large"), "{log}");
    let rejected = metric(&node, "fairline_event_failures_total{kind=\"rejected\"}").await;
    assert!(rejected >= 1.0);
}

#[tokio::test]
async fn an_event_too_large_for_nats_is_left_out_with_its_reason_and_blocks_nothing() {
    let server = Nats::start();
    poison_blocks_nothing(Inbox::nats(&server)).await;
}

#[tokio::test]
async fn an_event_too_large_for_rabbitmq_is_left_out_with_its_reason_and_blocks_nothing() {
    let server = RabbitMq::with("max_message_size = 1000000\n");
    poison_blocks_nothing(Inbox::rabbit(&server).await).await;
}
