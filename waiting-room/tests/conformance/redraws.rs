//! Draws that the organiser changes while no visitor is in line: what was known of the one before
//! counts for nothing.

use crate::beacons::BEFORE_ROUND;
use crate::bench::{Bench, START, benches, benches_at, policy, seats, spot_of};
use crate::draws::prequeue;
use crate::nodes::Nodes;
use shared::ids::{EventId, VisitorId};
use shared::time::{Clock, Time};
use waiting_room::draw::{Beacon, Entry, Round, order};
use waiting_room::line::{DrawState, EventSettings, Joined, Line, Order, VisitorState};

/// A patch that puts the opening of the sale off to so many seconds after START.
fn put_off(seconds: u32) -> waiting_room::line::Patch {
    patch(&format!(
        r#"{{"prequeue_opens_at": "{START}", "sale_opens_at": "{}"}}"#,
        START.plus_seconds(seconds)
    ))
}

fn patch(text: &str) -> waiting_room::line::Patch {
    serde_json::from_str(text).unwrap()
}

fn quicknet(round: u64) -> Beacon {
    Beacon {
        name: "quicknet".to_owned(),
        round,
    }
}

/// A published round with this byte as its randomness.
fn published(round: u64, byte: &str) -> Round {
    Round {
        round,
        signature: String::new(),
        previous_signature: String::new(),
        randomness: byte.repeat(32),
    }
}

async fn state(line: &dyn Line, event: &EventId) -> DrawState {
    line.draw(event).await.unwrap().unwrap()
}

/// Opens the sale of an event whose draw needs its beacon while no seat is left, so that no draw is
/// held, and gives the beacon.
async fn sold_out_with_beacon(bench: &Bench) -> EventId {
    let event = prequeue(bench, Some(quicknet(123))).await;
    bench.line.report(&event, seats(0, 0)).await.unwrap();
    bench.tick_after(&event, 30).await;
    let round = published(123, "01");
    bench
        .line
        .give_beacon(&event, &quicknet(123), &round)
        .await
        .unwrap();
    bench.tick_after(&event, 1).await;
    assert!(state(&*bench.line, &event).await.outcome.is_none());
    bench.line.report(&event, seats(10, 0)).await.unwrap();
    event
}

/// Checks that the visitors 1 to 20 were drawn with this randomness.
async fn assert_drawn_with(bench: &Bench, event: &EventId, randomness: &[u8]) {
    let drawn = state(&*bench.line, event).await;
    let entries: Vec<Entry> = (1..=20).map(|id| Entry::of(VisitorId(id))).collect();
    let order = order(&drawn.seed, randomness, &entries);
    let order = order.into_iter().map(|at| VisitorId(u128::from(at) + 1));
    let list = bench.line.drawn(event, 1, 20).await.unwrap();
    assert_eq!(list, order.collect::<Vec<_>>(), "{}", bench.name);
}

#[tokio::test]
async fn a_draw_whose_beacon_is_taken_away_is_held_without_it() {
    for bench in benches_at(BEFORE_ROUND) {
        let event = sold_out_with_beacon(&bench).await;
        let before = state(&*bench.line, &event).await;
        let opens = bench.clock.now().plus_seconds(20);
        let change = format!(r#"{{"beacon": null, "sale_opens_at": "{opens}"}}"#);
        bench.line.configure(&event, patch(&change)).await.unwrap();
        let after = state(&*bench.line, &event).await;
        assert_ne!(after.seed, before.seed, "{}: another draw", bench.name);
        assert_eq!(after.round, None, "{}", bench.name);
        bench.join(&event, 1..=20).await;
        bench.tick_after(&event, 20).await;
        bench.tick_after(&event, 0).await;
        assert_drawn_with(&bench, &event, b"").await;
    }
}

#[tokio::test]
async fn a_draw_that_gets_another_beacon_waits_for_the_round_of_that_one() {
    for bench in benches_at(BEFORE_ROUND) {
        let event = sold_out_with_beacon(&bench).await;
        let opens = bench.clock.now().plus_seconds(20);
        let change = format!(
            r#"{{"beacon": {{"name": "quicknet", "round": 140}}, "sale_opens_at": "{opens}"}}"#
        );
        bench.line.configure(&event, patch(&change)).await.unwrap();
        let round = published(123, "01");
        let late = bench.line.give_beacon(&event, &quicknet(123), &round).await;
        assert!(late.is_err(), "{}: of the one before", bench.name);
        bench.join(&event, 1..=20).await;
        bench.tick_after(&event, 24).await;
        let drawn = state(&*bench.line, &event).await;
        assert_eq!((drawn.outcome, drawn.round), (None, None), "{}", bench.name);
        let round = published(140, "02");
        bench
            .line
            .give_beacon(&event, &quicknet(140), &round)
            .await
            .unwrap();
        bench.tick_after(&event, 1).await;
        bench.tick_after(&event, 0).await;
        assert_drawn_with(&bench, &event, &[2; 32]).await;
    }
}

#[tokio::test]
async fn a_round_is_refused_that_was_verified_by_a_beacon_which_is_no_longer_named() {
    for bench in benches_at(BEFORE_ROUND) {
        // Of both beacons it is published after the sale opens.
        let number = 3_300_000;
        let event = prequeue(&bench, Some(quicknet(number))).await;
        let change = format!(r#"{{"beacon": {{"name": "default", "round": {number}}}}}"#);
        bench.line.configure(&event, patch(&change)).await.unwrap();
        let round = published(number, "01");
        let late = bench
            .line
            .give_beacon(&event, &quicknet(number), &round)
            .await;
        assert!(late.is_err(), "{}", bench.name);
        let drawn = state(&*bench.line, &event).await;
        assert_eq!(drawn.round, None, "{}", bench.name);
    }
}

#[tokio::test]
async fn a_place_that_ended_before_a_draw_has_nothing_of_who_gets_its_number_in_the_next() {
    for mut bench in benches() {
        let (event, name) = (prequeue(&bench, None).await, bench.name);
        bench.join(&event, 1..=3).await;
        for id in 1..=3 {
            bench.line.leave(&event, VisitorId(id)).await.unwrap();
        }
        bench.tick_after(&event, 10).await;
        bench.tick_after(&event, 0).await;
        bench.line.configure(&event, put_off(40)).await.unwrap();
        // The third of this draw is ejected.
        assert_eq!(bench.join(&event, 11..=14).await, [1, 2, 3, 4], "{name}");
        assert!(bench.line.eject(&event, VisitorId(13)).await.unwrap());
        for is_reopened in [false, true] {
            if is_reopened {
                bench.reopen();
            }
            let spot = bench.spot(&event, 3).await;
            let told = (spot.number, spot.standing, spot.is_provisional);
            assert_eq!(told, (0, VisitorState::Left, false), "{name}");
        }
        let again = bench.line.join(&event, &[VisitorId(3)]).await.unwrap()[0];
        assert!(
            matches!(again, Joined::New(spot) if spot.number == 5),
            "{name}: {again:?}"
        );
        bench.tick_after(&event, 30).await;
        bench.tick_after(&event, 0).await;
        let outcome = state(&*bench.line, &event).await.outcome.unwrap();
        assert_eq!(outcome.entries, 4, "{name}");
        for (id, standing) in [(1, VisitorState::Left), (13, VisitorState::Ejected)] {
            let spot = bench.spot(&event, id).await;
            assert_eq!((spot.number, spot.standing), (0, standing), "{name}: {id}");
        }
    }
}

/// An event that two nodes know, with a draw whose sale opens in ten seconds.
async fn two_nodes(server: &testkit::Redis) -> Nodes {
    let clock = Clock::manual(START);
    let mut nodes = Nodes::start(&server.url(), 2, clock, policy(0, 1, 10)).await;
    let mut settings = EventSettings::new(EventId::parse("drawn").unwrap(), "Drawn");
    settings.order = Order::Draw;
    settings.prequeue_opens_at = Some(START);
    settings.sale_opens_at = Some(START.plus_seconds(10));
    nodes.event = settings.id.clone();
    nodes.nodes[0].create(settings).await.unwrap();
    nodes.tick(0).await;
    nodes
}

/// Holds the draw among no visitors, of which the second node does not hear.
async fn draw_at_the_first(nodes: &Nodes) {
    for _ in 0..3 {
        nodes.clock.advance_ms(4000);
        nodes.nodes[0].tick(&nodes.event).await.unwrap();
    }
    let drawn = state(&*nodes.nodes[0], &nodes.event).await;
    assert_eq!(drawn.outcome.unwrap().entries, 0);
}

/// Checks that a draw with this seed is to be held, and holds it.
async fn assert_armed(nodes: &Nodes, seed: [u8; 32]) {
    for node in &nodes.nodes {
        let drawn = state(&**node, &nodes.event).await;
        assert!(drawn.outcome.is_none());
        assert_eq!(drawn.seed, seed);
    }
    assert!(nodes.join(0, 1..=5).await[0].is_provisional);
    nodes.tick(60).await;
    nodes.tick(0).await;
    let drawn = state(&*nodes.nodes[1], &nodes.event).await;
    assert_eq!(drawn.outcome.unwrap().entries, 5);
    assert_eq!(drawn.seed, seed);
}

#[tokio::test]
async fn a_node_that_has_not_heard_of_the_draw_has_it_held_again_with_another_seed() {
    for is_another_order in [false, true] {
        let server = testkit::Redis::start();
        let nodes = two_nodes(&server).await;
        let (event, line) = (&nodes.event, &nodes.nodes);
        let seed = state(&*line[1], event).await.seed;
        draw_at_the_first(&nodes).await;
        let now = Time(nodes.clock.now().0 - START.0).seconds() as u32;
        if is_another_order {
            let fifo = patch(r#"{"order": "fifo"}"#);
            line[1].configure(event, fifo).await.unwrap();
            let change = format!(
                r#"{{"order": "draw", "sale_opens_at": "{}"}}"#,
                START.plus_seconds(now + 40)
            );
            line[1].configure(event, patch(&change)).await.unwrap();
        } else {
            line[1].configure(event, put_off(now + 40)).await.unwrap();
        }
        let after = state(&*line[1], event).await;
        assert_ne!(after.seed, seed, "that one is published");
        assert_armed(&nodes, after.seed).await;
    }
}

#[tokio::test]
async fn a_draw_that_is_to_be_held_again_outlives_the_store_whichever_node_reports_first() {
    for first in [0, 1] {
        let server = testkit::Redis::start();
        let nodes = two_nodes(&server).await;
        let (event, line) = (&nodes.event, &nodes.nodes);
        draw_at_the_first(&nodes).await;
        // The second node has heard of the draw, and nothing since its change.
        line[1].tick(event).await.unwrap();
        let now = Time(nodes.clock.now().0 - START.0).seconds() as u32;
        line[1].configure(event, put_off(now + 40)).await.unwrap();
        let key = format!("fairline:{{{event}}}:meta");
        let seed = server.ask(&["HGET", &key, "seed"]).unwrap();
        server.ask(&["FLUSHALL"]).unwrap();
        line[first].tick(event).await.unwrap();
        line[1 - first].tick(event).await.unwrap();
        nodes.recover().await;
        let after = state(&*line[0], event).await;
        assert_eq!(shared::crypto::hex(&after.seed), seed, "{first} first");
        assert_armed(&nodes, after.seed).await;
    }
}

#[tokio::test]
async fn a_draw_outlives_the_store_where_a_node_that_has_not_heard_of_it_changed_settings() {
    for first in [0, 1] {
        let server = testkit::Redis::start();
        let nodes = two_nodes(&server).await;
        let (event, line) = (&nodes.event, &nodes.nodes);
        let mut spots = nodes.join(0, 1..=9).await;
        for spot in &spots {
            line[0].back(event, spot.visitor).await.unwrap();
        }
        nodes.tick(0).await;
        for _ in 0..3 {
            nodes.clock.advance_ms(4000);
            line[0].tick(event).await.unwrap();
        }
        for spot in &mut spots {
            *spot = line[0].place(event, spot.visitor).await.unwrap().unwrap();
            assert!(!spot.is_provisional);
        }
        let message = patch(r#"{"message": "Soon"}"#);
        line[1].configure(event, message).await.unwrap();
        server.ask(&["FLUSHALL"]).unwrap();
        line[first].tick(event).await.unwrap();
        line[1 - first].tick(event).await.unwrap();
        nodes.recover().await;
        let drawn = state(&*line[1], event).await;
        assert_eq!(drawn.outcome.unwrap().entries, 9, "{first} first");
        let front = line[1].tick(event).await.unwrap();
        assert_eq!(front.settings.message.as_deref(), Some("Soon"));
        assert_eq!((front.numbers, front.is_undrawn), (9, false));
        crate::nodes::until("connected fans are back", 10, || async {
            let mut are_back = true;
            for spot in &spots {
                let found = line[1].place(event, spot.visitor).await;
                are_back &= matches!(found, Ok(Some(found)) if found.number == spot.number);
            }
            are_back
        })
        .await;
    }
}

#[tokio::test]
async fn a_draw_among_no_visitors_that_is_not_put_off_is_not_held_again() {
    for bench in benches() {
        let event = prequeue(&bench, None).await;
        bench.tick_after(&event, 10).await;
        bench.tick_after(&event, 0).await;
        let before = state(&*bench.line, &event).await;
        let message = patch(r#"{"message": "Soon"}"#);
        bench.line.configure(&event, message).await.unwrap();
        let joined = bench.line.join(&event, &[VisitorId(1)]).await.unwrap()[0];
        assert!(!spot_of(joined).is_provisional, "{}", bench.name);
        // Nor once a visitor is in line.
        bench.line.configure(&event, put_off(60)).await.unwrap();
        let after = state(&*bench.line, &event).await;
        assert_eq!(after.outcome, before.outcome, "{}", bench.name);
        assert_eq!(after.seed, before.seed, "{}", bench.name);
    }
}
