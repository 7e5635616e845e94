//! Events on real message brokers: they arrive, also when brokers and nodes are killed, and what is
//! wrong is named while sales go on.

mod inbox;
mod notifier;
mod sale;
mod trouble;

use crate::seats::{admit, buy, night};
use crate::site::Site;
use client::Client;
use inbox::Inbox;
use sale::{all_arrive, open, rows, rows_of, sell, start};
use testkit::{Kafka, Nats, Postgres, RabbitMq};

const ORDERS: usize = 5;

async fn sale_arrives(mut inbox: Inbox) -> Inbox {
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(folder.path(), &inbox.url());
    open(&node).await;
    sell(&mut node, ORDERS).await;
    all_arrive(&mut inbox, || rows(&node), &node.url).await;
    inbox
}

#[tokio::test]
async fn all_events_of_a_sale_arrive_in_nats_in_order_with_their_headers() {
    let server = Nats::start();
    let inbox = sale_arrives(Inbox::nats(&server)).await;
    let ids = inbox.received.iter().map(|event| event.attribute("id"));
    let ids: std::collections::HashSet<&str> = ids.collect();
    assert_eq!(ids.len(), inbox.received.len(), "each once");
}

#[tokio::test]
async fn all_events_of_a_sale_arrive_in_rabbitmq_in_order_with_their_headers() {
    let server = RabbitMq::start();
    sale_arrives(Inbox::rabbit(&server).await).await;
}

#[tokio::test]
async fn all_events_of_a_sale_arrive_in_kafka_by_their_keys_in_order_with_their_headers() {
    let server = Kafka::start();
    let inbox = sale_arrives(Inbox::kafka(&server, &inbox::TOPICS).await).await;
    let mut partitions = std::collections::HashMap::new();
    for event in &inbox.received {
        let key = event.key.clone().unwrap();
        let place = partitions.entry(key).or_insert(event.place.clone());
        assert_eq!(*place, event.place, "an aggregate has one partition");
    }
}

#[tokio::test]
async fn no_event_is_lost_when_nats_is_killed_in_the_middle() {
    let mut server = Nats::start();
    let mut inbox = Inbox::nats(&server);
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(folder.path(), &inbox.url());
    open(&node).await;
    for _ in 0..3 {
        sell(&mut node, ORDERS).await;
        server.kill();
        sell(&mut node, ORDERS).await;
        server.start_again();
    }
    sell(&mut node, ORDERS).await;
    all_arrive(&mut inbox, || rows(&node), &node.url).await;
}

#[tokio::test]
async fn no_event_is_lost_when_rabbitmq_is_killed_in_the_middle() {
    let mut server = RabbitMq::start();
    let mut inbox = Inbox::rabbit(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(folder.path(), &inbox.url());
    open(&node).await;
    sell(&mut node, ORDERS).await;
    server.kill();
    sell(&mut node, ORDERS).await;
    server.start_again();
    sell(&mut node, ORDERS).await;
    all_arrive(&mut inbox, || rows(&node), &node.url).await;
}

#[tokio::test]
async fn another_node_goes_on_where_one_is_killed() {
    let (postgres, server) = (Postgres::start(), Nats::start());
    let mut inbox = Inbox::nats(&server);
    let database = postgres.database();
    let settings = vec![
        ("FAIRLINE_INVENTORY", postgres.url(&database)),
        ("FAIRLINE_EVENTS", inbox.url()),
    ];
    let mut site = Site::of(vec![Vec::new()], vec![settings; 2]).await;
    night(&site, 20).await;
    let tokens = admit(&site.rooms[0], "night", 4 * ORDERS).await;
    let nodes = [&site.checkout, &site.checkouts[0]];
    let clients: Vec<Client> = nodes.iter().map(|node| node.client.clone()).collect();
    let (before, after) = tokens.split_at(2 * ORDERS);
    for token in before {
        assert!(buy(&clients, "night", token).await.is_some());
    }
    site.checkout.kill();
    for token in after {
        assert!(buy(&clients[1..], "night", token).await.is_some());
    }
    let rows = || rows_of(&postgres, &database);
    all_arrive(&mut inbox, rows, &site.url).await;
}
