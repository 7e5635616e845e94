//! Lives of a line on Redis are told apart by identities: whatever the store goes back to, no number
//! is given twice, and what belongs to another event or another life is not mixed in.

use crate::bench::{START, benches, policy, spot_of};
use crate::nodes::{Nodes, until};
use shared::ids::VisitorId;
use shared::time::Clock;
use waiting_room::line::{EventSettings, Joined, Patch, Redis, VisitorState};

fn message(text: &str) -> Patch {
    serde_json::from_str(&format!(r#"{{"message": "{text}"}}"#)).unwrap()
}

/// Kills the server and starts it on its last snapshot.
async fn roll_back(server: &mut testkit::Redis, nodes: &Nodes) {
    server.kill();
    server.start_again();
    nodes.recover().await;
}

#[tokio::test]
async fn two_restarts_from_one_snapshot_give_no_number_twice_and_lose_no_setting() {
    let mut server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    let mut passes = Vec::new();
    for spot in nodes.join(0, 1..=3).await {
        passes.push(nodes.pass(&spot).await);
    }
    server.ask(&["SAVE"]).unwrap();
    for (round, id) in [(0, 4), (1, 9)] {
        for spot in nodes.join(round, id..=id + 4).await {
            passes.push(nodes.pass(&spot).await);
        }
        let text = format!("round {round}");
        line[round].configure(event, message(&text)).await.unwrap();
        nodes.tick(1).await;
        roll_back(&mut server, &nodes).await;
        for node in line {
            let front = node.tick(event).await.unwrap();
            assert_eq!(front.settings.message, Some(text.clone()));
            assert_eq!(
                (front.waiting, front.numbers),
                (id as u64 + 4, id as u64 + 4)
            );
        }
    }
    assert_eq!(nodes.join(1, 50..=50).await[0].number, 14);
    for pass in &passes {
        let spot = nodes.find(0, pass).await.unwrap();
        assert_eq!((spot.number, spot.visitor), (pass.number, pass.visitor));
        assert_eq!(spot.standing, VisitorState::Waiting);
    }
}

#[tokio::test]
async fn a_failover_there_and_back_is_noticed_though_the_same_process_answers() {
    let ports = [testkit::free_port(), testkit::free_port()];
    let [one, other] =
        ports.map(|port| testkit::Redis::with(port, &["--repl-diskless-sync-delay", "0"]));
    let of = async |replica: &testkit::Redis, port: &str| {
        replica.ask(&["REPLICAOF", "127.0.0.1", port]).unwrap();
        until("the replica has it all", 20, || async {
            let told = replica.ask(&["INFO", "replication"]).unwrap_or_default();
            told.contains("master_link_status:up")
        })
        .await;
    };
    of(&other, &ports[0].to_string()).await;
    let nodes = Nodes::start(&one.url(), 1, Clock::manual(START), policy(0, 1, 10)).await;
    nodes.join(0, 1..=5).await;
    nodes.tick(1).await;
    let key = ["HGET", "fairline:{night}:meta", "numbers"];
    until("the replica follows", 10, || async {
        other.ask(&key).as_deref() == Some("5")
    })
    .await;
    other.ask(&["REPLICAOF", "NO", "ONE"]).unwrap();
    let lost = nodes.join(0, 6..=8).await;
    let pass = nodes.pass(&lost[0]).await;
    of(&one, &ports[1].to_string()).await;
    assert_eq!(one.ask(&key).as_deref(), Some("5"), "what it had is lost");
    one.ask(&["REPLICAOF", "NO", "ONE"]).unwrap();
    nodes.recover().await;
    assert_eq!(nodes.join(0, 9..=9).await[0].number, 9);
    let spot = nodes.find(0, &pass).await.unwrap();
    assert_eq!((spot.number, spot.standing), (6, VisitorState::Waiting));
}

#[tokio::test]
async fn an_event_that_is_created_again_has_nothing_of_the_one_before() {
    let server = testkit::Redis::start();
    let mut nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
    let (event, line) = (nodes.event.clone(), nodes.nodes.clone());
    let old = nodes.join(0, 1..=51).await[0];
    let pass = nodes.pass(&old).await;
    line[1].back(&event, old.visitor).await.unwrap();
    nodes.tick(1).await;
    let before = line[1].tick(&event).await.unwrap();
    let again = |name| {
        let mut settings = EventSettings::new(event.clone(), name);
        settings.admission = policy(0, 1, 10);
        settings
    };
    line[0].remove(&event).await.unwrap();
    line[0].create(again("Again")).await.unwrap();
    for at in [1, 0] {
        let front = line[at].tick(&event).await.unwrap();
        assert_eq!((front.waiting, front.numbers), (0, 0), "node {at}");
        assert_eq!(front.settings.name, "Again");
        assert_ne!(front.life.creation, before.life.creation);
    }
    assert_eq!(nodes.find(1, &pass).await, None);
    assert_eq!(nodes.join(1, 60..=62).await[0].number, 1);
    nodes.tick(1).await;
    assert_eq!(line[0].tick(&event).await.unwrap().waiting, 3);
    // A node that is down meanwhile has a backup of the one before.
    let kept = nodes.folders[1].path().to_owned();
    drop((line, nodes.nodes.remove(1)));
    let line = nodes.nodes[0].clone();
    line.remove(&event).await.unwrap();
    line.create(again("Once more")).await.unwrap();
    nodes.join(0, 70..=71).await;
    let node = Redis::open(&server.url(), kept, nodes.clock.clone()).unwrap();
    nodes.nodes.push(std::sync::Arc::new(node));
    nodes.tick(1).await;
    let front = nodes.nodes[1].tick(&event).await.unwrap();
    assert_eq!((front.waiting, front.numbers), (2, 2));
    assert_eq!(front.settings.name, "Once more");
}

#[tokio::test]
async fn each_creation_of_an_event_has_an_identity_of_its_own() {
    for bench in benches() {
        let event = bench.event(policy(0, 1, 10)).await;
        bench.join(&event, 1..=3).await;
        let before = bench.line.tick(&event).await.unwrap();
        bench.line.remove(&event).await.unwrap();
        let event = bench.event(policy(0, 1, 10)).await;
        let after = bench.line.tick(&event).await.unwrap();
        assert_ne!(before.life.creation, after.life.creation, "{}", bench.name);
        assert_eq!(after.waiting, 0, "{}", bench.name);
    }
}

#[tokio::test]
async fn a_node_that_slept_through_other_lives_reads_the_line_anew() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 3, Clock::manual(START), policy(60, 1, 100)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    nodes.join(0, 1..=20).await;
    nodes.tick(1).await;
    // The third one sleeps while it alone knows of a fan, and the store loses its data twice.
    let unheard = nodes.join(2, 21..=21).await[0];
    line[2].tick(event).await.unwrap();
    let mut front = line[0].tick(event).await.unwrap();
    for id in [30, 31] {
        server.ask(&["FLUSHALL"]).unwrap();
        let _ = line[0].tick(event).await;
        let _ = line[1].tick(event).await;
        for _ in 0..2 {
            nodes.clock.advance_ms(3_000);
            line[1].tick(event).await.unwrap();
        }
        front = line[0].tick(event).await.unwrap();
        let joined = line[0].join(event, &[VisitorId(id)]).await.unwrap();
        assert!(matches!(joined[0], Joined::New(_)));
    }
    nodes.clock.advance_ms(1_000);
    nodes.tick(0).await;
    let slept = line[2].tick(event).await.unwrap();
    let awake = line[0].tick(event).await.unwrap();
    assert_eq!(slept.life, awake.life);
    assert_eq!(
        (slept.waiting, slept.numbers),
        (awake.waiting, awake.numbers)
    );
    assert!(slept.life.creation == front.life.creation);
    // No visitor has the number of another.
    let mut seen = std::collections::BTreeMap::new();
    for number in 1..=awake.numbers {
        let spot = line[2].find(event, number).await.unwrap().unwrap();
        if spot.visitor != VisitorId(0) {
            assert_eq!(seen.insert(spot.visitor, number), None);
        }
    }
    let again = line[2].join(event, &[unheard.visitor]).await.unwrap()[0];
    let place = spot_of(again);
    assert!(place.number > 0 && place.standing == VisitorState::Waiting);
}
