//! Draws around which the line on Redis loses its store, or is at work when fans ask.

use crate::bench::{Bench, START, Store, benches, policy};
use crate::nodes::{Nodes, until};
use crate::over::scripts;
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::collections::BTreeMap;
use waiting_room::line::{Admission, EventSettings, Order, Outcome, Spot, VisitorState};
use waiting_room::pass::Pass;
use waiting_room::{Update, WatchedPlace, find_place};

fn away_seconds(away_seconds: u32) -> Admission {
    Admission {
        away_seconds,
        ..policy(0, 1, 10)
    }
}

/// An event whose line is open and whose sale opens after so many seconds, with this many fans.
pub(crate) async fn prequeue(
    server: &testkit::Redis,
    opens_after: u32,
    away: u32,
    fans: u128,
) -> (Nodes, Vec<Spot>) {
    let clock = Clock::manual(START);
    let mut nodes = Nodes::start(&server.url(), 2, clock, policy(0, 1, 10)).await;
    let settings = draw_settings(away, opens_after);
    nodes.event = settings.id.clone();
    nodes.nodes[0].create(settings).await.unwrap();
    let spots = nodes.join(0, 1..=fans).await;
    nodes.tick(0).await;
    (nodes, spots)
}

/// The same on one engine.
async fn drawn_event(bench: &Bench, away: u32, opens_after: u32) -> EventId {
    let settings = draw_settings(away, opens_after);
    let event = settings.id.clone();
    bench.line.create(settings).await.unwrap();
    event
}

fn draw_settings(away: u32, opens_after: u32) -> EventSettings {
    let mut settings = EventSettings::new(EventId::parse("drawn").unwrap(), "Drawn");
    settings.admission = away_seconds(away);
    settings.order = Order::Draw;
    settings.prequeue_opens_at = Some(START);
    settings.sale_opens_at = Some(START.plus_seconds(opens_after));
    settings
}

pub(crate) async fn passes(nodes: &Nodes, spots: &[Spot]) -> Vec<Pass> {
    let mut passes = Vec::new();
    for spot in spots {
        passes.push(nodes.pass(spot).await);
    }
    passes
}

/// Empties the store, and has every node report what it knows.
pub(crate) async fn empty(server: &testkit::Redis, nodes: &Nodes) {
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
}

async fn outcome(nodes: &Nodes) -> Option<Outcome> {
    let drawn = nodes.nodes[0].draw(&nodes.event).await.unwrap();
    drawn.unwrap().outcome
}

const META: &str = "fairline:{drawn}:meta";

/// Has the store be in the middle of a draw with this many entries, by a node that is at work.
fn begin_draw(server: &testkit::Redis, clock: &Clock, entries: u64) {
    let (now, last) = (clock.now().0.to_string(), (entries + 1).to_string());
    let attempt = ["draw_by", "another", "draw_beat", &now];
    let fields = [&["draw", "2", "draw_last", &last][..], &attempt].concat();
    server
        .ask(&[&["HSET", META][..], &fields].concat())
        .unwrap();
}

#[tokio::test]
async fn a_number_of_before_a_draw_that_is_presented_during_it_gives_no_number_after_it() {
    let server = testkit::Redis::start();
    let (nodes, spots) = prequeue(&server, 60, 600, 5).await;
    let (event, line) = (&nodes.event, &nodes.nodes[0]);
    let pass = Pass {
        visitor: VisitorId(99),
        number: 12,
        ..passes(&nodes, &spots).await[4]
    };
    empty(&server, &nodes).await;
    begin_draw(&server, &nodes.clock, 5);
    let before = scripts(&server);
    let end = async {
        // Some of them are attempts of the call.
        until("it is sent again and again", 10, || async {
            scripts(&server) > before + 8
        })
        .await;
        server.ask(&["HSET", META, "draw", "3"]).unwrap();
    };
    let (found, ()) = tokio::join!(line.reenter(event, &pass), end);
    assert_eq!(found, Ok(None));
    let front = line.tick(event).await.unwrap();
    assert_eq!((front.numbers, front.waiting), (5, 5), "no phantom");
}

#[tokio::test]
async fn a_poll_during_a_draw_is_a_sign_of_life() {
    for bench in benches() {
        let event = drawn_event(&bench, 10, 9).await;
        bench.join(&event, 1..=2).await;
        bench.tick_after(&event, 8).await;
        if let Store::Redis(server) = &bench.store {
            begin_draw(server, &bench.clock, 2);
        }
        bench.spot(&event, 1).await;
        if let Store::Redis(server) = &bench.store {
            server.ask(&["HDEL", META, "draw_by"]).unwrap();
        }
        for _ in 0..2 {
            bench.tick_after(&event, 1).await;
        }
        bench.tick_after(&event, 4).await;
        let front = bench.line.tick(&event).await.unwrap();
        let spots = [1, 2].map(|number| bench.line.find(&event, number));
        let spots = futures_util::future::join_all(spots).await;
        let stay = spots.into_iter().map(|spot| {
            let spot = spot.unwrap().unwrap();
            (spot.visitor.0, spot.standing)
        });
        let stay: BTreeMap<u128, VisitorState> = stay.collect();
        let expected = [(1, VisitorState::Waiting), (2, VisitorState::Missed)];
        assert_eq!(stay, expected.into(), "{}", bench.name);
        assert!(!front.is_undrawn, "{}", bench.name);
    }
}

#[tokio::test]
async fn a_draw_after_a_loss_waits_for_those_who_were_in_line_and_not_for_ever() {
    for is_complete in [true, false] {
        let server = testkit::Redis::start();
        let (nodes, spots) = prequeue(&server, 10, 600, 5).await;
        let passes = passes(&nodes, &spots).await;
        nodes.tick(8).await;
        empty(&server, &nodes).await;
        nodes.tick(4).await;
        for pass in &passes[..4] {
            assert_eq!(outcome(&nodes).await, None, "the sale is open");
            assert!(nodes.find(0, pass).await.unwrap().is_provisional);
            nodes.tick(1).await;
        }
        assert_eq!(outcome(&nodes).await, None, "the fifth is not back");
        if is_complete {
            nodes.find(0, &passes[4]).await.unwrap();
            nodes.tick(1).await;
        } else {
            nodes.tick(32).await;
        }
        nodes.tick(0).await;
        let entries = 4 + u64::from(is_complete);
        assert_eq!(outcome(&nodes).await.unwrap().entries, entries);
    }
}

#[tokio::test]
async fn a_draw_that_was_under_way_when_the_store_was_restarted_is_held_anew_at_once() {
    let mut server = testkit::Redis::start();
    let (nodes, _) = prequeue(&server, 10, 600, 5).await;
    nodes.tick(8).await;
    begin_draw(&server, &nodes.clock, 5);
    server.ask(&["SAVE"]).unwrap();
    server.kill();
    server.start_again();
    nodes.recover().await;
    for _ in 0..2 {
        nodes.tick(1).await;
    }
    assert_eq!(outcome(&nodes).await.unwrap().entries, 5);
}

#[tokio::test]
async fn a_visitor_without_a_sign_of_life_after_a_loss_is_missed_whatever_number_they_drew() {
    let mut server = testkit::Redis::start();
    let (nodes, _) = prequeue(&server, 20, 30, 4).await;
    server.ask(&["SAVE"]).unwrap();
    server.kill();
    server.start_again();
    nodes.recover().await;
    nodes.join(0, 5..=40).await;
    for id in 5..=40 {
        nodes.nodes[1]
            .back(&nodes.event, VisitorId(id))
            .await
            .unwrap();
    }
    nodes.tick(20).await;
    nodes.tick(0).await;
    assert_eq!(outcome(&nodes).await.unwrap().entries, 40);
    nodes.tick(32).await;
    let front = nodes.nodes[0].tick(&nodes.event).await.unwrap();
    assert_eq!(front.waiting, 36);
    for id in 1..=4 {
        let spot = nodes.nodes[0].peek(&nodes.event, VisitorId(id)).await;
        let standing = spot.unwrap().unwrap().standing;
        assert_eq!(standing, VisitorState::Missed);
    }
}

/// Has the second node hold the draw, which is due in a second, and die.
async fn hold_at_the_second(nodes: &mut Nodes) {
    nodes.clock.advance_ms(1_000);
    nodes.nodes[1].tick(&nodes.event).await.unwrap();
    nodes.nodes.truncate(1);
    nodes.tick(0).await;
}

#[tokio::test]
async fn a_newer_place_that_was_drawn_counts_where_the_store_has_the_older_one_alone() {
    let mut server = testkit::Redis::start();
    let (mut nodes, spots) = prequeue(&server, 10, 600, 5).await;
    let (event, line) = (nodes.event.clone(), nodes.nodes[0].clone());
    let event = &event;
    line.leave(event, VisitorId(3)).await.unwrap();
    nodes.tick(1).await;
    server.ask(&["SAVE"]).unwrap();
    let again = nodes.join(0, 3..=3).await[0];
    let pass = passes(&nodes, &[again]).await[0];
    nodes.tick(8).await;
    hold_at_the_second(&mut nodes).await;
    let list = line.drawn(event, 1, 5).await.unwrap();
    assert_eq!(list.len(), spots.len());
    server.kill();
    server.start_again();
    nodes.recover().await;
    let at = list.iter().position(|visitor| *visitor == again.visitor);
    let drawn = Pass {
        number: at.unwrap() as u64 + 1,
        is_provisional: false,
        ..pass
    };
    // The node has read the list of the draw.
    let found = find_place(&*line, event, &pass, |_| drawn).await;
    let found = found.unwrap().unwrap();
    let told = (found.number, found.standing);
    assert_eq!(told, (drawn.number, VisitorState::Waiting));
}

#[tokio::test]
async fn a_place_that_is_given_back_to_a_fan_with_an_open_socket_has_the_socket_again() {
    let server = testkit::Redis::start();
    let (mut nodes, spots) = prequeue(&server, 10, 600, 5).await;
    let (event, line) = (nodes.event.clone(), nodes.nodes[0].clone());
    let event = &event;
    let pass = passes(&nodes, &spots).await[2];
    // The third one's socket does not ask between the draw and the loss, the fourth one's does.
    for id in [3, 4] {
        line.back(event, VisitorId(id)).await.unwrap();
    }
    nodes.tick(9).await;
    hold_at_the_second(&mut nodes).await;
    let list = line.drawn(event, 1, 5).await.unwrap();
    let at = list.iter().position(|visitor| *visitor == pass.visitor);
    line.place(event, VisitorId(4)).await.unwrap();
    empty(&server, &nodes).await;
    until("the node has recorded the sockets it can", 10, || async {
        line.peek(event, VisitorId(4)).await.unwrap().is_some()
    })
    .await;
    assert_eq!(line.place(event, pass.visitor).await, Ok(None));
    let drawn = Pass {
        number: at.unwrap() as u64 + 1,
        is_provisional: false,
        ..pass
    };
    let found = find_place(&*line, event, &pass, |_| drawn).await;
    assert_eq!(found.unwrap().unwrap().number, drawn.number);
    nodes.tick(0).await;
    assert_eq!(line.stats(event).await.unwrap().away, 3);
}

#[tokio::test]
async fn a_socket_that_opens_where_the_store_has_lost_the_place_is_recorded_once_it_is_given_back()
{
    for bench in benches() {
        let event = bench.event(away_seconds(600)).await;
        bench.join(&event, 1..=2).await;
        bench.tick_after(&event, 1).await;
        let life = bench.line.tick(&event).await.unwrap().life;
        let mut watched = WatchedPlace::new(bench.spot(&event, 2).await, life);
        if let Store::Redis(server) = &bench.store {
            server.ask(&["FLUSHALL"]).unwrap();
            recover(&bench, &event).await;
        }
        let (line, name) = (&*bench.line, bench.name);
        let mut attempts = 0;
        while !watched.is_recorded {
            attempts += 1;
            assert!(attempts < 3, "{name}: the first gives the place back");
            let front = line.tick(&event).await.unwrap();
            watched.update(line, &event, &front, |pass| *pass).await;
        }
        let spot = watched.spot;
        let told = (spot.number, spot.standing, spot.ahead);
        assert_eq!(told, (2, VisitorState::Waiting, 1), "{name}");
        assert_eq!(line.stats(&event).await.unwrap().away, 1, "{name}");
    }
}

/// Ticks until the line goes on after a loss.
async fn recover(bench: &Bench, event: &EventId) {
    until("the line goes on", 10, || async {
        bench.clock.advance_ms(500);
        let front = bench.line.tick(event).await;
        front.is_ok_and(|front| !front.is_recovering)
    })
    .await;
}

#[tokio::test]
async fn the_place_of_a_socket_that_closes_while_places_are_recorded_again_is_given_back() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), away_seconds(600)).await;
    let (event, line) = (&nodes.event, &nodes.nodes[0]);
    nodes.join(0, 1..=2).await;
    for id in [1, 2] {
        line.back(event, VisitorId(id)).await.unwrap();
    }
    nodes.tick(1).await;
    server.ask(&["FLUSHALL"]).unwrap();
    let front = line.tick(event).await.unwrap();
    assert!(front.is_recovering, "so that no place is recorded");
    // Given up after some seconds, as is the first attempt at recording the places.
    assert!(line.away(event, VisitorId(1)).await.is_err());
    nodes.recover().await;
    until("the places are recorded", 10, || async {
        let spots = [1, 2].map(|id| line.peek(event, VisitorId(id)));
        let spots = futures_util::future::join_all(spots).await;
        spots.iter().all(|spot| matches!(spot, Ok(Some(_))))
    })
    .await;
    until("the closed socket is recorded", 10, || async {
        line.tick(event).await.unwrap();
        line.stats(event).await.unwrap().away == 1
    })
    .await;
}

#[tokio::test]
async fn a_number_whose_end_is_all_that_a_node_knows_of_it_does_not_wait_again_after_a_loss() {
    for first in [0, 1] {
        let server = testkit::Redis::start();
        let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
        let (event, line) = (&nodes.event, &nodes.nodes);
        nodes.join(0, 1..=2).await;
        nodes.tick(1).await;
        let life = line[1].tick(event).await.unwrap().life;
        let joined = nodes.join(1, 3..=3).await[0];
        let pass = Pass {
            visitor: joined.visitor,
            number: joined.number,
            is_provisional: false,
            life,
        };
        line[0].leave(event, joined.visitor).await.unwrap();
        server.ask(&["FLUSHALL"]).unwrap();
        line[first].tick(event).await.unwrap();
        nodes.recover().await;
        let front = line[0].tick(event).await.unwrap();
        assert_eq!((front.waiting, front.numbers), (2, 3), "{first} first");
        let spot = nodes.find(1, &pass).await.unwrap();
        assert_eq!(spot.standing, VisitorState::Left, "{first} first");
    }
}

#[tokio::test]
async fn a_socket_of_an_earlier_place_is_recorded_again_for_the_one_that_was_drawn() {
    for bench in benches() {
        let (event, name) = (drawn_event(&bench, 600, 10).await, bench.name);
        bench.join(&event, 1..=3).await;
        bench.tick_after(&event, 0).await;
        bench.line.back(&event, VisitorId(1)).await.unwrap();
        let life = bench.line.tick(&event).await.unwrap().life;
        let mut watched = WatchedPlace::new(bench.spot(&event, 1).await, life);
        watched.is_recorded = true;
        // The socket stays open, for the place that is over.
        bench.line.leave(&event, VisitorId(1)).await.unwrap();
        bench.join(&event, 1..=1).await;
        bench.tick_after(&event, 10).await;
        let front = bench.line.tick(&event).await.unwrap();
        assert_eq!(bench.line.stats(&event).await.unwrap().away, 3, "{name}");
        let line = &*bench.line;
        let updated = watched.update(line, &event, &front, |pass| *pass).await;
        assert_eq!(updated, Update::Told, "{name}");
        assert_eq!(watched.spot, bench.spot(&event, 1).await, "{name}");
        assert!(!watched.spot.is_provisional, "{name}");
        assert_eq!(bench.line.stats(&event).await.unwrap().away, 2, "{name}");
    }
}

#[tokio::test]
async fn a_socket_learns_the_number_that_was_drawn_by_one_call_of_the_store() {
    let server = testkit::Redis::start();
    let (nodes, spots) = prequeue(&server, 10, 600, 3).await;
    let (event, line) = (&nodes.event, &nodes.nodes[0]);
    let front = line.tick(event).await.unwrap();
    let mut watched = WatchedPlace::new(spots[1], front.life);
    watched.update(&**line, event, &front, |pass| *pass).await;
    assert!(watched.is_recorded);
    nodes.tick(9).await;
    nodes.tick(1).await;
    nodes.tick(0).await;
    let front = line.tick(event).await.unwrap();
    assert!(!front.is_undrawn);
    let before = scripts(&server);
    let updated = watched.update(&**line, event, &front, |pass| *pass).await;
    assert_eq!(scripts(&server) - before, 1);
    assert_eq!(updated, Update::Told);
    assert!(watched.is_recorded && !watched.spot.is_provisional);
    let updated = watched.update(&**line, event, &front, |pass| *pass).await;
    assert_eq!(scripts(&server) - before, 1, "the view suffices");
    assert_eq!(updated, Update::Kept);
}

#[tokio::test]
async fn a_draw_of_which_only_the_node_that_held_it_has_heard_outlives_the_store() {
    let server = testkit::Redis::start();
    let (nodes, spots) = prequeue(&server, 10, 600, 600).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    line[1].leave(event, VisitorId(7)).await.unwrap();
    nodes.tick(9).await;
    nodes.clock.advance_ms(1_000);
    line[0].tick(event).await.unwrap();
    let drawn = outcome(&nodes).await.unwrap();
    let list = line[0].drawn(event, 1, 600).await.unwrap();
    empty(&server, &nodes).await;
    assert_eq!(outcome(&nodes).await, Some(drawn));
    // Fans without a socket, at the other node, which has not read the list.
    for pass in passes(&nodes, &spots).await.iter().step_by(50) {
        let found = nodes.find(1, pass).await;
        let at = list.iter().position(|visitor| *visitor == pass.visitor);
        let number = at.map(|at| at as u64 + 1);
        let told = found.map(|spot| (spot.number, spot.standing));
        assert_eq!(told, number.map(|number| (number, VisitorState::Waiting)));
    }
    assert_eq!(line[1].drawn(event, 1, 600).await.unwrap(), list);
}

#[tokio::test]
async fn after_a_draw_nodes_have_time_to_tell_of_polls_also_where_an_outage_was_before_it() {
    let server = testkit::Redis::start();
    let (nodes, _) = prequeue(&server, 40, 10, 2).await;
    let (event, line) = (&nodes.event, &nodes.nodes[0]);
    nodes.tick(4).await;
    // An outage, with the draw under way after it for longer than the nodes have to tell of polls.
    nodes.clock.advance_ms(30_000);
    nodes.tick(0).await;
    for id in [1, 2] {
        line.place(event, VisitorId(id)).await.unwrap();
    }
    begin_draw(&server, &nodes.clock, 2);
    for _ in 0..3 {
        nodes.clock.advance_ms(4_000);
        let now = nodes.clock.now().0.to_string();
        server.ask(&["HSET", META, "draw_beat", &now]).unwrap();
        line.tick(event).await.unwrap();
    }
    let polled = nodes.nodes[1].place(event, VisitorId(1)).await;
    assert!(polled.unwrap().unwrap().is_provisional);
    server.ask(&["HDEL", META, "draw_by"]).unwrap();
    // The first node holds the draw and ends places before the second has told of the poll.
    line.tick(event).await.unwrap();
    nodes.clock.advance_ms(1_000);
    line.tick(event).await.unwrap();
    nodes.tick(0).await;
    nodes.tick(4).await;
    let spot = line.peek(event, VisitorId(1)).await.unwrap().unwrap();
    assert_eq!(spot.standing, VisitorState::Waiting);
}
