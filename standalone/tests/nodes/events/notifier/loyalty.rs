//! Points of orders: each once, whatever is killed, and less of them for what is refunded.

use super::stand_ins::Programme;
use super::{
    POINTS, command, loyalty, metrics_are_documented, start, terminate, until, until_metric,
};
use crate::events::inbox::{Inbox, TOPICS};
use crate::events::sale::{self, metric, open, readyz, rows, sell};
use crate::site::{KEY, Node};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{Kafka, Nats, RabbitMq};

/// Points of an order of two seats, of 45 euros each.
const WHOLE: i64 = 90 * POINTS;
const DEAD_LETTERS: &str = "fairline_notifier_dead_letters{consumer=\"loyalty\"}";

/// Returns the orders that are confirmed.
fn orders(sale: &Node) -> Vec<String> {
    let rows = rows(sale).into_iter();
    let confirmed = rows.filter(|row| row.event_type == "order.confirmed");
    confirmed.map(|row| row.aggregate).collect()
}

async fn refund(sale: &Node, order: &str, body: Value) {
    let path = format!("/api/v1/organiser/events/night/orders/{order}/refund");
    let answer = sale.client.post(&path, KEY, body).await.unwrap();
    answer.ok().unwrap();
}

/// Returns a seat of an order.
async fn seat_of(sale: &Node, order: &str) -> Value {
    let path = format!("/api/v1/organiser/events/night/orders/{order}");
    let answer = sale.client.get(&path, KEY).await.unwrap();
    answer.body["order"]["seats"][0]["id"].clone()
}

/// Sells while the notifier, and whatever `trouble` touches, is killed. Checks that each order has its
/// points once, and those of refunds go back.
async fn points_come_once(events: &str, mut trouble: impl FnMut(bool)) {
    let folder = tempfile::tempdir().unwrap();
    let (programme, url) = Programme::start().await;
    let mut sale = sale::start(folder.path(), events);
    let mut notifier = start(folder.path(), &sale, events, &loyalty(&url));
    open(&sale).await;
    sell(&mut sale, 3).await;
    until("the first points", &notifier, || {
        programme.points().len() == 3
    })
    .await;
    // The programme takes points, and the notifier is killed before it hears of that.
    programme.silence(true);
    sell(&mut sale, 3).await;
    until("points without an answer", &notifier, || {
        programme.points().len() > 3
    })
    .await;
    notifier.kill();
    programme.silence(false);
    sell(&mut sale, 2).await;
    notifier.start();
    until("points after a kill", &notifier, || {
        programme.points().len() == 8
    })
    .await;
    trouble(true);
    sell(&mut sale, 2).await;
    trouble(false);
    until("points after trouble", &notifier, || {
        programme.points().len() == 10
    })
    .await;
    let orders = orders(&sale);
    sale.client = client::Client::new(&sale.url);
    refund(&sale, &orders[0], json!({})).await;
    let seat = seat_of(&sale, &orders[1]).await;
    refund(&sale, &orders[1], json!({"seats": [seat]})).await;
    // One of those whose points had no answer: they are known regardless.
    refund(&sale, &orders[3], json!({})).await;
    let mut wanted: HashMap<String, i64> = orders.iter().cloned().map(|id| (id, WHOLE)).collect();
    wanted.insert(orders[0].clone(), 0);
    wanted.insert(orders[3].clone(), 0);
    wanted.insert(orders[1].clone(), WHOLE / 2);
    until("points of refunds", &notifier, || {
        programme.points() == wanted
    })
    .await;
    until_metric(&notifier, DEAD_LETTERS, 0.0).await;
    readyz(&notifier, |text| text == "ready\n").await;
    metrics_are_documented(&notifier).await;
    terminate(&mut notifier);
    assert_eq!(programme.points(), wanted);
}

#[tokio::test]
async fn each_order_has_its_points_once_from_nats() {
    let mut server = Nats::start();
    let events = format!("nats://{}", server.address());
    points_come_once(&events, |is_begun| match is_begun {
        true => server.kill(),
        false => server.start_again(),
    })
    .await;
}

#[tokio::test]
async fn each_order_has_its_points_once_from_rabbitmq() {
    let mut server = RabbitMq::start();
    let events = format!("amqp://{}", server.address());
    points_come_once(&events, |is_begun| match is_begun {
        true => server.kill(),
        false => server.start_again(),
    })
    .await;
}

#[tokio::test]
async fn each_order_has_its_points_once_from_kafka() {
    let server = Kafka::start();
    let inbox = Inbox::kafka(&server, &TOPICS).await;
    // It has all in memory, and so is not killed.
    points_come_once(&inbox.url(), |_| {}).await;
}

/// Publishes a message as it should not be.
async fn publish(server: &Nats, headers: &[(&str, &str)], data: &'static str) {
    let client = async_nats::connect(server.address()).await.unwrap();
    let mut all = async_nats::HeaderMap::new();
    for (name, value) in headers {
        all.insert(*name, *value);
    }
    let jetstream = async_nats::jetstream::new(client);
    let sent = jetstream.publish_with_headers("fairline.order.confirmed", all, data.into());
    sent.await.unwrap().await.unwrap();
}

fn letters(notifier: &Node) -> Vec<Value> {
    let listed = command(notifier, &["dead-letters"]);
    let lines = listed.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn begin(folder: &Path, server: &Nats, url: &str) -> (Node, Node) {
    let events = format!("nats://{}", server.address());
    let sale = sale::start(folder, &events);
    let notifier = start(folder, &sale, &events, &loyalty(url));
    (sale, notifier)
}

#[tokio::test]
async fn what_the_programme_refuses_is_put_aside_and_tried_again_once_it_is_mended() {
    let (server, folder) = (Nats::start(), tempfile::tempdir().unwrap());
    let (programme, url) = Programme::start().await;
    let (mut sale, notifier) = begin(folder.path(), &server, &url);
    programme.instead(Some(Box::new(|_| {
        Some((StatusCode::UNPROCESSABLE_ENTITY, "no such member").into_response())
    })));
    open(&sale).await;
    sell(&mut sale, 10).await;
    until_metric(&notifier, DEAD_LETTERS, 10.0).await;
    // Later events of their orders wait with them, and all others go on.
    programme.instead(None);
    let refused = orders(&sale);
    refund(&sale, &refused[0], json!({})).await;
    sell(&mut sale, 1).await;
    until("the order after them", &notifier, || {
        programme.points().len() == 1
    })
    .await;
    until_metric(&notifier, DEAD_LETTERS, 12.0).await;
    for letter in letters(&notifier) {
        let reason = letter["reason"].as_str().unwrap();
        let is_first = letter["type"] == "order.confirmed";
        let wanted = match is_first {
            true => "the loyalty programme answered 422: no such member",
            false => "waits behind the dead letter evt_",
        };
        assert!(reason.contains(wanted), "{letter}");
        assert_eq!(letter["consumer"], "loyalty");
    }
    let said = command(&notifier, &["dead-letters", "retry", "--all"]);
    assert!(said.starts_with("12 "), "{said}");
    until_metric(&notifier, DEAD_LETTERS, 0.0).await;
    let points = programme.points();
    assert_eq!(points.len(), 11);
    assert_eq!(points[&refused[0]], 0);
    assert!(refused[1..].iter().all(|order| points[order] == WHOLE));
}

#[tokio::test]
async fn a_message_that_is_no_event_is_put_aside_and_may_be_given_up() {
    let (server, folder) = (Nats::start(), tempfile::tempdir().unwrap());
    let (programme, url) = Programme::start().await;
    let (mut sale, notifier) = begin(folder.path(), &server, &url);
    open(&sale).await;
    sell(&mut sale, 1).await;
    until("the first points", &notifier, || {
        programme.points().len() == 1
    })
    .await;
    publish(&server, &[], "{}").await;
    let event = [
        ("ce-specversion", "1.0"),
        ("ce-id", "evt_poison"),
        ("ce-type", "order.confirmed"),
        ("ce-subject", "ord_poison"),
        ("ce-time", "2026-11-28T06:00:00Z"),
    ];
    publish(&server, &event, "{\"order\": ").await;
    sell(&mut sale, 1).await;
    until("the order after them", &notifier, || {
        programme.points().len() == 2
    })
    .await;
    until_metric(&notifier, DEAD_LETTERS, 2.0).await;
    let found = letters(&notifier);
    let reasons: Vec<&str> = found
        .iter()
        .map(|it| it["reason"].as_str().unwrap())
        .collect();
    let has = |why: &str| reasons.iter().any(|reason| reason.contains(why));
    assert!(has("no attribute specversion"), "{reasons:?}");
    assert!(has("the payload cannot be read"), "{reasons:?}");
    let number = found[0]["number"].to_string();
    command(&notifier, &["dead-letters", "retry", &number]);
    until_metric(&notifier, DEAD_LETTERS, 2.0).await;
    for letter in found {
        let number = letter["number"].to_string();
        command(&notifier, &["dead-letters", "discard", &number]);
    }
    until_metric(&notifier, DEAD_LETTERS, 0.0).await;
    assert!(letters(&notifier).is_empty());
    let gone = notifier.run(&["dead-letters", "discard", &number]);
    assert_eq!(gone.status.code(), Some(2));
}

#[tokio::test]
async fn an_order_without_an_address_is_skipped_and_one_that_is_refused_for_now_waits() {
    let (server, folder) = (Nats::start(), tempfile::tempdir().unwrap());
    let (programme, url) = Programme::start().await;
    let (mut sale, mut notifier) = begin(folder.path(), &server, &url);
    let refusals = Arc::new(AtomicUsize::new(0));
    let counted = refusals.clone();
    programme.instead(Some(Box::new(move |_| {
        let at = counted.fetch_add(1, Ordering::SeqCst);
        // A wrong key, or the page of a proxy, says nothing of an event.
        if at == 4 {
            return Some(Html("<p>You are offline").into_response());
        }
        let status = [429, 503, 403, 401].get(at)?;
        let status = StatusCode::from_u16(*status).unwrap();
        Some((status, [("retry-after", "1")], "later").into_response())
    })));
    open(&sale).await;
    sell(&mut sale, 1).await;
    until("points after refusals", &notifier, || {
        programme.points().len() == 1
    })
    .await;
    assert!(refusals.load(Ordering::SeqCst) > 5);
    assert_eq!(programme.ids().len() + 5, programme.posts());
    notifier.kill();
    sell(&mut sale, 1).await;
    let erased = orders(&sale).pop().unwrap();
    let path = "/api/v1/organiser/people?email=ada@example.org";
    let answer = sale.client.delete(path, KEY).await;
    answer.unwrap().ok().unwrap();
    notifier.start();
    let skipped = "fairline_notifier_events_total{consumer=\"loyalty\",outcome=\"skipped\"}";
    until_metric(&notifier, skipped, 1.0).await;
    assert!(!programme.points().contains_key(&erased));
    assert_eq!(metric(&notifier, DEAD_LETTERS).await, 0.0);
}

#[tokio::test]
async fn points_wait_while_the_key_is_one_that_is_shown_no_buyers() {
    let (server, folder) = (Nats::start(), tempfile::tempdir().unwrap());
    let (programme, url) = Programme::start().await;
    let events = format!("nats://{}", server.address());
    let viewer = "viewer-key-0123456789abcdef";
    let settings = [
        ("FAIRLINE_EVENTS", events.clone()),
        ("FAIRLINE_ORGANISER_KEYS", format!("watch:viewer:{viewer}")),
    ];
    let mut sale = Node::new("fairline", folder.path(), testkit::free_port(), &settings);
    let mut notifier = start(folder.path(), &sale, &events, &loyalty(&url));
    notifier.kill();
    notifier.set("FAIRLINE_CHECKOUT_KEY", viewer);
    notifier.start();
    open(&sale).await;
    sell(&mut sale, 1).await;
    readyz(&notifier, |text| text.contains("an operator's is needed")).await;
    assert_eq!(programme.posts(), 0);
    terminate(&mut notifier);
    notifier.set("FAIRLINE_CHECKOUT_KEY", KEY);
    notifier.start();
    until("the points", &notifier, || programme.points().len() == 1).await;
    assert_eq!(metric(&notifier, DEAD_LETTERS).await, 0.0);
}
