//! Attempts at a draw on Redis: one node holds it, however long that takes, and what an attempt that
//! failed has left is of no use.

use crate::bench::policy;
use crate::nodes::{Nodes, until};
use shared::ids::{EventId, VisitorId};
use shared::time::{Clock, Time};
use std::sync::Arc;
use std::time::Duration;
use testkit::{Fault, Faulty};
use waiting_room::line::{EventSettings, Line, Order, Redis};

/// Creates an event that is drawn when the sale opens, and joins fans.
async fn prequeue(nodes: &mut Nodes, opens_in_ms: i64, fans: u128) {
    let mut settings = EventSettings::new(EventId::parse("drawn").unwrap(), "Drawn");
    let now = nodes.clock.now();
    settings.admission = policy(0, 1, 10);
    settings.order = Order::Draw;
    settings.prequeue_opens_at = Some(now);
    settings.sale_opens_at = Some(Time(now.0 + opens_in_ms));
    nodes.event = settings.id.clone();
    nodes.nodes[0].create(settings).await.unwrap();
    nodes.join(0, 1..=fans).await;
}

#[tokio::test]
async fn a_node_that_takes_long_over_a_draw_keeps_it() {
    let server = testkit::Redis::start();
    let mut nodes = Nodes::start(&server.url(), 1, Clock::system(), policy(0, 1, 10)).await;
    let proxy = Faulty::before(server.socket());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_owned();
    let slow = Redis::open(&proxy.url(), folder, Clock::system()).unwrap();
    let slow = Arc::new(slow);
    prequeue(&mut nodes, 1_000, 600).await;
    let (event, line) = (&nodes.event, &nodes.nodes[0]);
    slow.tick(event).await.unwrap();
    proxy.set(Fault::Slow(Duration::from_millis(1_200)));
    let attempt = || server.ask(&["HGET", "fairline:{drawn}:meta", "draw_by"]);
    until("the slow node holds the draw", 20, || async {
        let _ = slow.tick(event).await;
        attempt().is_some_and(|id| id != "-1")
    })
    .await;
    let first = attempt();
    until("it is held", 40, || async {
        line.tick(event).await.is_ok_and(|view| view.drawn == 600)
    })
    .await;
    assert_eq!(attempt(), first, "no other took it over");
    let drawn = line.drawn(event, 1, 600).await.unwrap();
    let mut visitors: Vec<u128> = drawn.iter().map(|visitor| visitor.0).collect();
    visitors.sort_unstable();
    assert_eq!(visitors, (1..=600).collect::<Vec<u128>>());
}

#[tokio::test]
async fn nothing_of_an_attempt_that_failed_is_in_the_draw() {
    let server = testkit::Redis::start();
    let clock = Clock::manual(crate::bench::START);
    let mut nodes = Nodes::start(&server.url(), 1, clock, policy(0, 1, 10)).await;
    prequeue(&mut nodes, 2_000, 1_000).await;
    let key = |name: &str| format!("fairline:{{drawn}}:draw:{name}");
    let stranger = VisitorId(7_777).to_string();
    server.ask(&["SETBIT", &key("alive"), "3000", "1"]);
    server.ask(&["ZADD", &key("waiting"), "3001", &stranger]);
    server.ask(&["HSET", &key("drawn"), "5", &stranger]);
    for _ in 0..3 {
        nodes.clock.advance_ms(1_000);
        nodes.nodes[0].tick(&nodes.event).await.unwrap();
    }
    let front = nodes.nodes[0].tick(&nodes.event).await.unwrap();
    assert_eq!(
        (front.drawn, front.waiting, front.numbers),
        (1_000, 1_000, 1_000)
    );
    let kept = |words: &[&str]| server.ask(words).unwrap();
    assert_eq!(kept(&["BITCOUNT", "fairline:{drawn}:alive"]), "1000");
    assert_eq!(kept(&["ZCARD", "fairline:{drawn}:waiting"]), "1000");
    assert_eq!(kept(&["HLEN", "fairline:{drawn}:drawn"]), "2");
}
