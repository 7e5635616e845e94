//! Visitors who joined again before the line on Redis lost its store: the newest of their places
//! counts.

use crate::bench::{START, policy};
use crate::nodes::{Nodes, until};
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::collections::{BTreeMap, BTreeSet};
use waiting_room::WatchedPlace;
use waiting_room::line::{Claimed, EventSettings, Order, Spot, VisitorState};
use waiting_room::pass::Pass;

#[tokio::test]
async fn who_joined_again_before_a_loss_and_the_draw_has_the_number_that_their_entry_drew() {
    let server = testkit::Redis::start();
    let mut nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
    let event = EventId::parse("drawn").unwrap();
    let mut settings = EventSettings::new(event.clone(), "Drawn");
    settings.admission = policy(0, 1, 10);
    settings.order = Order::Draw;
    settings.prequeue_opens_at = Some(START);
    settings.sale_opens_at = Some(START.plus_seconds(30));
    nodes.nodes[0].create(settings).await.unwrap();
    nodes.event = event.clone();
    let line = nodes.nodes.clone();
    let first = nodes.join(0, 1..=9).await;
    for id in [1, 2] {
        line[0].back(&event, VisitorId(id)).await.unwrap();
    }
    // 2 to 6 leave and join again; 7 leaves. 1 and 2 watch at the first node.
    for id in 2..=7 {
        line[1].leave(&event, VisitorId(id)).await.unwrap();
    }
    nodes.join(0, 2..=2).await;
    let second = nodes.join(1, 3..=6).await;
    let mut old = BTreeMap::new();
    for spot in &first {
        old.insert(spot.visitor.0, nodes.pass(spot).await);
    }
    let mut new = BTreeMap::new();
    for spot in &second {
        new.insert(spot.visitor.0, nodes.pass(spot).await);
    }
    nodes.tick(1).await;
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    until("connected fans are back", 10, || async {
        let spots = [VisitorId(1), VisitorId(2)].map(|id| line[1].place(&event, id));
        let spots = futures_util::future::join_all(spots).await;
        spots.iter().all(|spot| matches!(spot, Ok(Some(_))))
    })
    .await;
    let watching = line[1].place(&event, VisitorId(2)).await.unwrap().unwrap();
    assert_eq!(
        (watching.number, watching.standing),
        (10, VisitorState::Waiting)
    );
    // 3 presents the newer pass, 4 the older and then the newer, 5 the newer and then the older, 6
    // the newer twice at once.
    let state = |spot: Option<Spot>| spot.map(|spot| (spot.number, spot.standing));
    let waits = |number| Some((number, VisitorState::Waiting));
    assert_eq!(state(nodes.find(0, &new[&3]).await), waits(11));
    assert_eq!(
        state(nodes.find(0, &old[&4]).await),
        Some((4, VisitorState::Left))
    );
    assert_eq!(state(nodes.find(1, &new[&4]).await), waits(12));
    assert_eq!(state(nodes.find(1, &old[&4]).await), waits(12));
    assert_eq!(state(nodes.find(0, &new[&5]).await), waits(13));
    assert_eq!(state(nodes.find(0, &old[&5]).await), waits(13));
    let (one, other) = tokio::join!(
        line[0].reenter(&event, &new[&6]),
        line[0].reenter(&event, &new[&6])
    );
    assert_eq!(state(one.unwrap()), waits(14));
    assert_eq!(state(other.unwrap()), waits(14));
    for id in [8, 9] {
        assert_eq!(state(nodes.find(0, &old[&id]).await), waits(id as u64));
    }
    // No pass lets an ejected visitor back in.
    line[0].eject(&event, VisitorId(9)).await.unwrap();
    let later = Pass {
        number: 15,
        ..old[&9]
    };
    assert_eq!(
        nodes.find(0, &later).await.unwrap().standing,
        VisitorState::Ejected
    );
    nodes.tick(29).await;
    nodes.tick(0).await;
    let drawn = line[1].drawn(&event, 1, 100).await.unwrap();
    let who: BTreeSet<u128> = drawn.iter().map(|visitor| visitor.0).collect();
    assert_eq!(who, [1, 2, 3, 4, 5, 6, 8].into());
    for (number, visitor) in (1..).zip(&drawn) {
        let spot = line[1].place(&event, *visitor).await.unwrap();
        assert_eq!(state(spot), waits(number), "{visitor}");
    }
    assert_eq!(line[0].tick(&event).await.unwrap().waiting, 7);
    assert_eq!(line[0].stats(&event).await.unwrap().away, 5);
    // The store loses the draw's records as well, before any socket has asked: the drawn number
    // counts, not the old one.
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    for (number, visitor) in (1..).zip(&drawn) {
        let pass = Pass {
            number,
            is_provisional: false,
            ..old[&visitor.0]
        };
        assert_eq!(
            state(nodes.find(1, &pass).await),
            waits(number),
            "{visitor}"
        );
    }
}

#[tokio::test]
async fn a_turn_that_is_taken_up_after_a_loss_ends_the_place_that_its_visitor_took_meanwhile() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), policy(60, 1, 1)).await;
    let spots = nodes.join(0, 1..=3).await;
    let pass = nodes.pass(&spots[0]).await;
    nodes.tick(1).await;
    let (event, line) = (&nodes.event, &nodes.nodes[0]);
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    nodes.find(0, &pass).await.unwrap();
    let again = nodes.join(0, 1..=1).await[0];
    line.back(event, again.visitor).await.unwrap();
    let claimed = line.claim(event, again.visitor, 1).await.unwrap();
    assert!(matches!(claimed, Claimed::Until(_)));
    let spot = line.place(event, again.visitor).await.unwrap().unwrap();
    assert_eq!((spot.number, spot.standing), (1, VisitorState::Shopping));
    let stats = line.stats(event).await.unwrap();
    assert_eq!((stats.waiting, stats.shopping, stats.away), (2, 1, 2));
}

#[tokio::test]
async fn an_older_token_does_not_bring_back_who_was_ejected_after_a_loss() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), policy(60, 1, 3)).await;
    let (event, line) = (&nodes.event, &nodes.nodes[0]);
    let ids = [1, 2].map(VisitorId);
    line.join(event, &ids).await.unwrap();
    nodes.join(0, 3..=5).await;
    nodes.tick(1).await;
    nodes.tick(1).await;
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    // The first joined again and has a newer number; the other had none when the draw was held, and
    // left before.
    line.leave(event, ids[0]).await.unwrap();
    assert_eq!(nodes.join(0, 1..=1).await[0].number, 6);
    let [slots, admitted, ended] =
        ["slots", "admitted", "ended"].map(|name| format!("fairline:{{{event}}}:{name}"));
    let second = ids[1].to_string();
    server.ask(&["HDEL", &slots, &second]).unwrap();
    server.ask(&["ZREM", &admitted, &second]).unwrap();
    server.ask(&["HSET", &ended, &second, "0 left"]).unwrap();
    for visitor in ids {
        assert!(line.eject(event, visitor).await.unwrap());
    }
    for (visitor, number) in ids.into_iter().zip(1..) {
        let claimed = line.claim(event, visitor, number).await.unwrap();
        assert_eq!(claimed, Claimed::Lapsed, "{visitor}");
        let spot = line.place(event, visitor).await.unwrap().unwrap();
        assert_eq!(spot.standing, VisitorState::Ejected, "{visitor}");
    }
}

/// The fan was told that an older number was ejected, and the newer one waited (seed 7057 of the
/// simulation).
#[tokio::test]
async fn who_is_ejected_by_an_older_place_that_a_store_has_does_not_keep_the_newer_one() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), policy(0, 1, 3)).await;
    let (event, line) = (&nodes.event, &nodes.nodes[0]);
    let visitors = [1, 2].map(VisitorId);
    let older = nodes.join(0, 1..=2).await;
    for visitor in visitors {
        line.leave(event, visitor).await.unwrap();
    }
    let newer = nodes.join(0, 1..=3).await;
    let mut passes = Vec::new();
    for spot in older.iter().chain(&newer) {
        passes.push(nodes.pass(spot).await);
    }
    nodes.tick(1).await;
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    let state = |spot: Option<Spot>| spot.map(|spot| (spot.number, spot.standing));
    for (visitor, number) in visitors.into_iter().zip(0..) {
        let pass = &passes[number];
        let found = state(nodes.find(0, pass).await);
        assert_eq!(found, Some((pass.number, VisitorState::Left)));
        assert!(line.eject(event, visitor).await.unwrap());
    }
    // The first shows the newer pass, the other one has a socket that does.
    let ejected = |number| Some((number, VisitorState::Ejected));
    assert_eq!(state(nodes.find(0, &passes[2]).await), ejected(3));
    let mut watched = WatchedPlace::new(newer[1], passes[3].life);
    let front = line.tick(event).await.unwrap();
    for _ in 0..2 {
        watched.update(&**line, event, &front, |pass| *pass).await;
    }
    assert_eq!(state(Some(watched.spot)), ejected(4));
    assert_eq!(line.tick(event).await.unwrap().waiting, 1);
    // Nor does another loss bring it back.
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    for number in [3, 4] {
        let pass = &passes[number - 1];
        assert_eq!(state(nodes.find(0, pass).await), ejected(pass.number));
    }
    assert_eq!(
        state(nodes.find(0, &passes[4]).await),
        Some((5, VisitorState::Waiting))
    );
}

#[tokio::test]
async fn a_socket_does_not_show_an_older_place_that_a_store_has() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), policy(0, 1, 3)).await;
    let (event, line) = (&nodes.event, &nodes.nodes[0]);
    let older = nodes.join(0, 1..=1).await[0];
    let old_pass = nodes.pass(&older).await;
    line.leave(event, older.visitor).await.unwrap();
    let newer = nodes.join(0, 1..=1).await[0];
    let pass = nodes.pass(&newer).await;
    nodes.tick(1).await;
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    nodes.find(0, &old_pass).await.unwrap();
    let mut watched = WatchedPlace::new(newer, pass.life);
    for _ in 0..2 {
        let front = line.tick(event).await.unwrap();
        watched.update(&**line, event, &front, |pass| *pass).await;
        let shown = (watched.spot.number, watched.spot.standing);
        assert_eq!(shown, (newer.number, VisitorState::Waiting));
    }
    assert!(watched.is_recorded);
}

#[tokio::test]
async fn a_number_that_a_socket_learned_before_its_node_heard_of_the_draw_outlives_a_loss() {
    let server = testkit::Redis::start();
    let mut nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
    let event = EventId::parse("drawn").unwrap();
    let mut settings = EventSettings::new(event.clone(), "Drawn");
    settings.admission = policy(0, 1, 10);
    settings.order = Order::Draw;
    settings.prequeue_opens_at = Some(START);
    settings.sale_opens_at = Some(START.plus_seconds(30));
    nodes.nodes[0].create(settings).await.unwrap();
    nodes.event = event.clone();
    let line = nodes.nodes.clone();
    nodes.join(0, 1..=9).await;
    nodes.tick(1).await;
    // The first one's socket stays open over the draw; the others come back after it, to a node
    // that has not ticked since.
    line[1].back(&event, VisitorId(1)).await.unwrap();
    nodes.clock.advance_ms(29_000);
    line[0].tick(&event).await.unwrap();
    let mut drawn = BTreeMap::new();
    for id in 2..=9 {
        let spot = line[1].back(&event, VisitorId(id)).await.unwrap().unwrap();
        assert!(!spot.is_provisional);
        drawn.insert(id, spot.number);
    }
    nodes.tick(0).await;
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    until("connected fans are back", 10, || async {
        let spots = drawn.keys().map(|id| line[0].place(&event, VisitorId(*id)));
        let spots = futures_util::future::join_all(spots).await;
        spots.iter().all(|spot| matches!(spot, Ok(Some(_))))
    })
    .await;
    for (id, number) in &drawn {
        let spot = line[0].place(&event, VisitorId(*id)).await.unwrap();
        let spot = spot.unwrap();
        assert_eq!(
            (spot.number, spot.standing),
            (*number, VisitorState::Waiting)
        );
    }
    // Of the first visitor only the arrival number was known here; the node that held the draw has the
    // order.
    let spot = line[0].place(&event, VisitorId(1)).await.unwrap().unwrap();
    assert!(!drawn.values().any(|number| *number == spot.number));
    assert_eq!(spot.standing, VisitorState::Waiting);
}
