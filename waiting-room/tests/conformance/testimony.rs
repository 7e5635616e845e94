//! The knowledge of nodes outlives the store: slots and their times, ends of places, settings and
//! seats.

use crate::bench::{START, policy, seats};
use crate::nodes::{Nodes, until};
use shared::ids::VisitorId;
use shared::time::Clock;
use std::sync::Arc;
use waiting_room::line::{
    Admission, Claimed, Line, Patch, Phase, Redis, Slot, Stats, VisitorState,
};

fn inside(max_active: u32) -> Admission {
    Admission {
        claim_seconds: 60,
        session_seconds: 600,
        ..policy(60_000, 1, max_active)
    }
}

async fn stats(nodes: &Nodes) -> Stats {
    nodes.nodes[0].stats(&nodes.event).await.unwrap()
}

/// Empties the store, and has every node report what it knows.
async fn empty(server: &testkit::Redis, nodes: &Nodes) {
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
}

#[tokio::test]
async fn who_is_inside_passes_and_who_is_done_does_not_through_any_number_of_losses() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), inside(2)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    let spots = nodes.join(0, 1..=6).await;
    nodes.tick(1).await;
    let mut passes = Vec::new();
    for spot in &spots {
        passes.push(nodes.pass(spot).await);
    }
    let claim = async |id: u64| {
        let visitor = VisitorId(u128::from(id));
        line[1].claim(event, visitor, id).await.unwrap()
    };
    // The first is done, the second shops, the third was admitted in place of the first.
    assert!(matches!(claim(1).await, Claimed::Until(_)));
    assert!(matches!(claim(2).await, Claimed::Until(_)));
    line[0].finish(event, VisitorId(1), 1).await.unwrap();
    nodes.tick(1).await;
    let slot = async |id| -> Option<Slot> {
        let pass = &passes[id as usize - 1];
        nodes.find(id as usize % 2, pass).await.unwrap().slot
    };
    let before = [slot(2).await, slot(3).await];
    assert!(before.iter().all(Option::is_some));
    for loss in 1..=3 {
        empty(&server, &nodes).await;
        assert_eq!(claim(1).await, Claimed::Lapsed, "loss {loss}: is done");
        line[1].finish(event, VisitorId(1), 1).await.unwrap();
        nodes.tick(1).await;
        let counted = stats(&nodes).await;
        assert_eq!((counted.admitted, counted.shopping), (1, 1), "loss {loss}");
        assert_eq!(
            [slot(2).await, slot(3).await],
            before,
            "loss {loss}: the times that they were told"
        );
        let done = nodes.find(0, &passes[0]).await.unwrap();
        assert_eq!(done.standing, VisitorState::Finished, "loss {loss}");
        assert!(matches!(claim(2).await, Claimed::Until(_)), "loss {loss}");
    }
    // A slot that is given back is free.
    line[0].leave(event, VisitorId(3)).await.unwrap();
    nodes.tick(1).await;
    let next = nodes.find(0, &passes[3]).await.unwrap();
    assert_eq!(next.standing, VisitorState::Admitted);
    empty(&server, &nodes).await;
    let left = nodes.find(0, &passes[2]).await.unwrap();
    assert_eq!(left.standing, VisitorState::Left);
}

#[tokio::test]
async fn an_end_that_was_answered_outlives_a_loss_before_the_next_tick() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), inside(2)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    let spots = nodes.join(0, 1..=9).await;
    nodes.tick(1).await;
    let passes = [
        nodes.pass(&spots[0]).await,
        nodes.pass(&spots[4]).await,
        nodes.pass(&spots[5]).await,
    ];
    line[0].claim(event, VisitorId(1), 1).await.unwrap();
    line[0].finish(event, VisitorId(1), 1).await.unwrap();
    line[1].leave(event, VisitorId(5)).await.unwrap();
    assert!(line[1].eject(event, VisitorId(6)).await.unwrap());
    empty(&server, &nodes).await;
    let front = line[0].tick(event).await.unwrap();
    assert!(!front.alive.contains(1) && !front.alive.contains(5) && !front.alive.contains(6));
    let states = [
        VisitorState::Finished,
        VisitorState::Left,
        VisitorState::Ejected,
    ];
    for (pass, state) in passes.iter().zip(states) {
        let spot = nodes.find(0, pass).await.unwrap();
        assert_eq!(spot.standing, state);
    }
}

#[tokio::test]
async fn an_admission_that_only_the_fan_has_seen_is_proved_by_the_token_where_there_is_room() {
    let mut server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), inside(1)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    nodes.join(0, 1..=3).await;
    line[0].tick(event).await.unwrap();
    server.ask(&["SAVE"]).unwrap();
    // Another node admits the first, and is gone with the store.
    let folder = tempfile::tempdir().unwrap();
    let gone = Redis::open(&server.url(), folder.path().into(), nodes.clock.clone()).unwrap();
    nodes.clock.advance_ms(1000);
    gone.tick(event).await.unwrap();
    let spot = gone.place(event, VisitorId(1)).await.unwrap().unwrap();
    assert_eq!(spot.standing, VisitorState::Admitted);
    drop(gone);
    server.kill();
    server.start_again();
    nodes.clock.advance_ms(20_000);
    nodes.recover().await;
    until("the fan is inside", 10, || async {
        nodes.clock.advance_ms(1000);
        let front = line[0].tick(event).await;
        front.is_ok_and(|front| front.waiting < 3)
            || line[0].claim(event, VisitorId(1), 1).await.is_ok()
    })
    .await;
    let claimed = line[0].claim(event, VisitorId(1), 1).await.unwrap();
    assert!(matches!(claimed, Claimed::Until(_)));
    nodes.tick(1).await;
    let counted = stats(&nodes).await;
    assert_eq!(counted.admitted + counted.shopping, 1);
}

#[tokio::test]
async fn a_look_at_a_store_that_went_back_changes_nothing_of_what_a_node_knows() {
    let mut server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), inside(2)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    let pause: Patch = serde_json::from_str(r#"{"paused": true, "message": "Soon"}"#).unwrap();
    let spots = nodes.join(0, 1..=6).await;
    let passes = [nodes.pass(&spots[0]).await, nodes.pass(&spots[1]).await];
    server.ask(&["SAVE"]).unwrap();
    nodes.tick(1).await;
    for id in 1..=2 {
        let visitor = VisitorId(u128::from(id));
        line[0].claim(event, visitor, id).await.unwrap();
        line[0].finish(event, visitor, id).await.unwrap();
    }
    line[0].configure(event, pause).await.unwrap();
    line[0].tick(event).await.unwrap();
    server.kill();
    server.start_again();
    until("the figures can be read", 10, || async {
        line[0].stats(event).await.is_ok()
    })
    .await;
    nodes.recover().await;
    let front = line[0].tick(event).await.unwrap();
    assert_eq!(front.settings.message.as_deref(), Some("Soon"));
    assert_eq!((front.waiting, front.phase), (4, Phase::Paused));
    for pass in &passes {
        let spot = nodes.find(0, pass).await.unwrap();
        assert_eq!(spot.standing, VisitorState::Finished, "no second turn");
    }
}

#[tokio::test]
async fn after_a_total_loss_the_newest_backup_counts_whichever_node_starts_first() {
    for first in [0, 1] {
        let server = testkit::Redis::start();
        let mut nodes = Nodes::start(&server.url(), 2, Clock::manual(START), inside(5)).await;
        let event = nodes.event.clone();
        nodes.join(0, 1..=6).await;
        let notes = [0, 1].map(|at: usize| nodes.folders[at].path().join("night.json"));
        let noted = async |line: &Arc<dyn Line>, at: usize, what: &str| {
            until("the backup has it", 20, || async {
                line.tick(&event).await.unwrap();
                let text = std::fs::read_to_string(&notes[at]).unwrap_or_default();
                text.contains(what)
            })
            .await;
        };
        noted(&nodes.nodes[0], 0, "\"numbers\":6").await;
        drop(nodes.nodes.remove(0));
        let line = nodes.nodes.remove(0);
        nodes.clock.advance_ms(1000);
        line.tick(&event).await.unwrap();
        for id in 1..=5 {
            let visitor = VisitorId(u128::from(id));
            line.claim(&event, visitor, id).await.unwrap();
            line.finish(&event, visitor, id).await.unwrap();
        }
        let text = serde_json::from_str(r#"{"paused": true, "message": "Last"}"#).unwrap();
        line.configure(&event, text).await.unwrap();
        noted(&line, 1, "\"message\":\"Last\"").await;
        drop(line);
        server.ask(&["FLUSHALL"]).unwrap();
        let open = |at: usize| -> Arc<dyn Line> {
            let folder = nodes.folders[at].path().to_owned();
            Arc::new(Redis::open(&server.url(), folder, nodes.clock.clone()).unwrap())
        };
        let one = open(first);
        one.tick(&event).await.unwrap();
        nodes.clock.advance_ms(2000);
        one.tick(&event).await.unwrap();
        let other = open(1 - first);
        other.tick(&event).await.unwrap();
        for node in [&one, &other] {
            let front = node.tick(&event).await.unwrap();
            assert_eq!((front.waiting, front.numbers), (1, 6), "{first} first");
            assert_eq!(front.settings.message.as_deref(), Some("Last"));
        }
    }
}

#[tokio::test]
async fn sold_out_and_a_silent_checkout_outlive_the_store() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), inside(5)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    nodes.join(0, 1..=6).await;
    line[0].report(event, seats(0, 0)).await.unwrap();
    nodes.tick(1).await;
    empty(&server, &nodes).await;
    nodes.tick(2).await;
    let counted = stats(&nodes).await;
    assert_eq!((counted.phase, counted.admitted), (Phase::SoldOut, 0));
    assert!(line[0].join(event, &[VisitorId(9)]).await.is_err());
    // Seats, but the report is too old to go by.
    line[0].report(event, seats(5, 0)).await.unwrap();
    line[0].tick(event).await.unwrap();
    let before = stats(&nodes).await.admitted;
    nodes.clock.advance_ms(31_000);
    empty(&server, &nodes).await;
    nodes.tick(2).await;
    assert_eq!(stats(&nodes).await.admitted, before);
}
