//! The line on Redis survives its store being emptied, restarted or failed over.

use crate::bench::{START, policy, spot_of};
use crate::nodes::{Nodes, until};

use shared::ids::VisitorId;
use shared::time::Clock;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use waiting_room::line::{
    Admission, Claimed, EventSettings, Line, Redis, Refused, Spot, VisitorState,
};
use waiting_room::pass::Pass;

#[tokio::test]
async fn the_newest_of_what_the_nodes_know_is_what_the_line_is_made_of() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(600, 1, 100)).await;
    nodes.join(0, 1..=50).await;
    nodes.tick(0).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    // Only the second node sees ten more admissions.
    nodes.clock.advance_ms(1000);
    let newest = line[1].tick(event).await.unwrap();
    server.ask(&["FLUSHALL"]).unwrap();
    // The first node reports first, and ticks for a while before the second one does.
    for _ in 0..20 {
        let front = line[0].tick(event).await.unwrap();
        assert_eq!(front.waiting, 40);
    }
    let front = line[1].tick(event).await.unwrap();
    assert_eq!((front.waiting, newest.waiting), (30, 30));
    assert_eq!(line[0].tick(event).await.unwrap().waiting, 30);
}

#[tokio::test]
async fn who_joined_unseen_before_a_loss_is_ahead_of_those_behind_from_the_start() {
    let server = testkit::Redis::start();
    let away = Admission {
        away_seconds: 30,
        ..policy(0, 1, 10)
    };
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), away).await;
    let first = nodes.join(0, 1..=50).await[0];
    let pass = nodes.pass(&first).await;
    nodes.tick(0).await;
    // No tick has seen these. The first node knows of 53, the second of 59; 62 joined at a node
    // that is gone.
    nodes.join(0, 51..=53).await;
    nodes.join(1, 54..=59).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    for node in line {
        let front = node.tick(event).await.unwrap();
        assert_eq!((front.waiting, front.numbers), (59, 59));
    }
    for (id, ahead) in [(59, 58), (62, 61), (59, 58)] {
        let pass = Pass {
            visitor: VisitorId(id),
            number: id as u64,
            ..pass
        };
        let spot = nodes.find(0, &pass).await.unwrap();
        assert_eq!((spot.standing, spot.ahead), (VisitorState::Waiting, ahead));
    }
    // A third report counts nothing twice; new visitors queue behind all.
    nodes.tick(1).await;
    assert_eq!(nodes.join(1, 70..=70).await[0].ahead, 62);
    // No others come back: they lapse, and only they.
    for id in [59, 62, 70] {
        line[1].back(event, VisitorId(id)).await.unwrap();
    }
    for _ in 0..5 {
        nodes.tick(7).await;
    }
    let spot = line[0].place(event, VisitorId(62)).await.unwrap().unwrap();
    assert_eq!((spot.standing, spot.ahead), (VisitorState::Waiting, 1));
    assert_eq!(line[1].tick(event).await.unwrap().waiting, 3);
}

#[tokio::test]
async fn an_emptied_store_has_the_line_again_and_nobody_is_served_twice() {
    let server = testkit::Redis::start();
    let clock = Clock::manual(START);
    let times = Admission {
        claim_seconds: 60,
        session_seconds: 60,
        away_seconds: 100,
        ..policy(60_000, 1, 8)
    };
    let nodes = Nodes::start(&server.url(), 3, clock, times).await;
    let spots = nodes.join(0, 1..=3000).await;
    nodes.tick(1).await;
    // Numbers 1 to 8 are admitted; 1 shops, 2 finished, 9 followed; 20 left; the first 1,000 watch.
    let (event, line) = (&nodes.event, &nodes.nodes);
    line[1].claim(event, VisitorId(1), 1).await.unwrap();
    line[1].finish(event, VisitorId(2), 2).await.unwrap();
    line[2].leave(event, VisitorId(20)).await.unwrap();
    for id in 10..=1000u128 {
        line[id as usize % 3]
            .back(event, VisitorId(id))
            .await
            .unwrap();
    }
    nodes.tick(1).await;
    let before = line[0].tick(event).await.unwrap();
    let mut passes = Vec::new();
    for spot in &spots {
        passes.push(nodes.pass(spot).await);
    }
    let unseen = nodes.join(1, 4001..=4001).await[0];
    let unseen_pass = nodes.pass(&unseen).await;
    nodes.tick(0).await;

    // No tick has seen this one: only the node that answered knows of it.
    let last = nodes.join(1, 4002..=4002).await[0];
    let last_pass = Pass {
        visitor: last.visitor,
        number: last.number,
        ..unseen_pass
    };

    server.ask(&["FLUSHALL"]).unwrap();
    line[0].tick(event).await.unwrap();
    // No visitor is admitted and no number given out until every node has reported.
    let early = line[0].join(event, &[VisitorId(9000)]).await;
    assert_eq!(
        early,
        Err(Refused::Unavailable(shared::group_commit::Unavailable))
    );
    nodes.recover().await;
    let front = line[2].tick(event).await.unwrap();
    assert_ne!(front.life, before.life);
    let waiting = before.waiting + 2;
    assert_eq!(front.waiting, waiting, "all who waited wait, seen or not");
    assert_eq!(front.numbers, 3002);
    assert!(front.alive.contains(10) && !front.alive.contains(20) && !front.alive.contains(9));
    until("connected fans are back", 10, || async {
        let spots = [10, 500, 999, 1000].map(|id| line[0].find(event, id));
        let spots = futures_util::future::join_all(spots).await;
        (spots.iter()).all(|spot| matches!(spot, Ok(Some(spot)) if spot.visitor != VisitorId(0)))
    })
    .await;
    for id in [10u128, 500, 999, 1000] {
        let spot = line[0].place(event, VisitorId(id)).await.unwrap().unwrap();
        assert_eq!(
            (spot.number, spot.standing),
            (id as u64, VisitorState::Waiting)
        );
    }
    // Visitors without a socket return with their pass; those who were served, left or were
    // admitted get no second turn.
    for id in [1001usize, 2500, 3000] {
        let spot = nodes.find(id % 3, &passes[id - 1]).await.unwrap();
        assert_eq!(
            (spot.number, spot.standing),
            (id as u64, VisitorState::Waiting)
        );
        let others = [20].iter().filter(|gone| **gone < id).count() as u64;
        assert_eq!(spot.ahead, id as u64 - 1 - 9 - others, "as exact as before");
    }
    for (id, state) in [
        (1, VisitorState::Shopping),
        (2, VisitorState::Finished),
        (3, VisitorState::Admitted),
        (9, VisitorState::Admitted),
        (20, VisitorState::Left),
    ] {
        let spot = nodes.find(0, &passes[id - 1]).await.unwrap();
        assert_eq!((spot.number, spot.standing), (id as u64, state), "{id}");
    }
    let spot = nodes.find(0, &unseen_pass).await.unwrap();
    assert_eq!((spot.number, spot.standing), (3001, VisitorState::Waiting));
    let spot = nodes.find(2, &last_pass).await.unwrap();
    assert_eq!((spot.number, spot.standing), (3002, VisitorState::Waiting));
    // An old pass for a number that now belongs to another visitor is refused.
    let stolen = Pass {
        visitor: VisitorId(4242),
        ..passes[9]
    };
    assert_eq!(nodes.find(0, &stolen).await, None);
    assert_eq!(
        nodes.join(2, 5000..=5000).await[0].number,
        3003,
        "late joiners go behind"
    );
    // Admitted fans stay inside, and no others are admitted.
    nodes.tick(1).await;
    let stats = line[0].stats(event).await.unwrap();
    assert_eq!((stats.admitted, stats.shopping), (7, 1));
    // One of them comes with the token and may shop. One is done, so the next is admitted.
    let claimed = line[1].claim(event, VisitorId(3), 3).await.unwrap();
    assert!(matches!(claimed, Claimed::Until(_)));
    assert_eq!(
        line[1].claim(event, VisitorId(77), 3).await.unwrap(),
        Claimed::Lapsed
    );
    // A number belongs to no other visitor, and who is done gets no second turn.
    let other = line[1].claim(event, VisitorId(77), 9).await.unwrap();
    assert_eq!(other, Claimed::Lapsed);
    let done = line[1].claim(event, VisitorId(2), 2).await.unwrap();
    assert_eq!(done, Claimed::Lapsed);
    line[1].finish(event, VisitorId(1), 1).await.unwrap();
    line[1].finish(event, VisitorId(1), 1).await.unwrap();
    nodes.tick(1).await;
    let stats = line[0].stats(event).await.unwrap();
    assert_eq!((stats.admitted, stats.shopping), (7, 1));
    let next = line[0].find(event, 10).await.unwrap().unwrap();
    assert_eq!(
        next.standing,
        VisitorState::Admitted,
        "the first who waited"
    );
    // Visitors who never returned lapse at the end, and not before.
    assert_eq!(
        line[0].find(event, 2000).await.unwrap().unwrap().standing,
        VisitorState::Waiting
    );
    for _ in 0..12 {
        nodes.tick(10).await;
    }
    assert_eq!(
        line[0].find(event, 2000).await.unwrap().unwrap().standing,
        VisitorState::Missed
    );
    let watching = line[0].place(event, VisitorId(990)).await.unwrap().unwrap();
    assert_eq!(watching.standing, VisitorState::Waiting);
}

#[tokio::test]
async fn a_node_that_starts_after_all_others_died_with_an_empty_store_makes_the_line_from_its_note()
{
    let mut server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::system(), policy(0, 1, 10)).await;
    let spots = nodes.join(0, 1..=100).await;
    nodes.tick(0).await;
    let pass = nodes.pass(&spots[41]).await;
    let note = nodes.folders[0].path().join("night.json");
    until("the backup has all of it", 20, || async {
        nodes.nodes[0].tick(&nodes.event).await.unwrap();
        let text = std::fs::read_to_string(&note).unwrap_or_default();
        text.contains("\"numbers\":100")
    })
    .await;
    server.kill();
    server.start_again();
    let open = || {
        Redis::open(
            &server.url(),
            nodes.folders[0].path().into(),
            Clock::system(),
        )
    };
    let node = open().unwrap();
    let settings = node.events().await.unwrap();
    assert_eq!(settings[0].name, "Night", "the event is known");
    let front = node.tick(&nodes.event).await.unwrap();
    assert_eq!((front.waiting, front.numbers), (100, 100));
    until("the line goes on", 10, || async {
        let front = node.tick(&nodes.event).await;
        front.is_ok_and(|front| !front.is_recovering)
    })
    .await;
    let spot = node.reenter(&nodes.event, &pass).await.unwrap().unwrap();
    assert_eq!((spot.number, spot.standing), (42, VisitorState::Waiting));
}

#[tokio::test]
async fn a_deleted_event_stays_deleted_and_its_passes_are_no_use_in_the_next_of_its_name() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
    let spot = nodes.join(0, 1..=5).await[4];
    nodes.tick(0).await;
    let pass = nodes.pass(&spot).await;
    nodes.nodes[0].remove(&nodes.event).await.unwrap();
    let gone = nodes.nodes[1].tick(&nodes.event).await;
    assert!(
        matches!(gone, Err(Refused::NoSuchEvent)),
        "no node restores it"
    );
    assert!(nodes.nodes[1].events().await.unwrap().is_empty());
    nodes.clock.advance_ms(1000);
    let again = EventSettings::new(nodes.event.clone(), "Again");
    nodes.nodes[1].create(again).await.unwrap();
    nodes.tick(0).await;
    assert_eq!(nodes.find(0, &pass).await, None);
    assert_eq!(nodes.join(0, 9..=9).await[0].number, 1);
}

#[tokio::test]
async fn a_forged_reach_into_the_future_is_refused_while_nothing_was_lost() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), policy(0, 1, 10)).await;
    let spot = nodes.join(0, 1..=5).await[4];
    let mut pass = nodes.pass(&spot).await;
    pass.visitor = VisitorId(99);
    assert_eq!(
        nodes.find(0, &pass).await,
        None,
        "the store knows all of this life"
    );
    pass.life.creation += 1;
    assert_eq!(
        nodes.find(0, &pass).await,
        None,
        "nor is it of another event"
    );
}

/// Numbers of all visitors who got an answer; a number may neither change nor be given twice.
#[derive(Default)]
struct Witness(BTreeMap<VisitorId, u64>);

impl Witness {
    fn note(&mut self, visitor: VisitorId, number: u64) {
        let before = self.0.insert(visitor, number);
        assert!(
            before.is_none_or(|before| before == number),
            "a number changed"
        );
    }

    fn check(&self) {
        let numbers: BTreeSet<u64> = self.0.values().copied().collect();
        assert_eq!(numbers.len(), self.0.len(), "a number was given twice");
    }
}

/// Fans join while the store fails; afterwards all who got an answer have their place, by socket or
/// by pass.
async fn survives(nodes: &Nodes, fail: impl AsyncFnOnce(), least: usize) {
    let mut witness = Witness::default();
    let mut passes = BTreeMap::new();
    let connected: Vec<Spot> = nodes.join(0, 1..=500).await;
    for spot in &connected {
        witness.note(spot.visitor, spot.number);
        passes.insert(spot.visitor, nodes.pass(spot).await);
        nodes.nodes[1]
            .back(&nodes.event, spot.visitor)
            .await
            .unwrap();
    }
    nodes.tick(0).await;
    fail().await;
    let mut id = 10_000u128;
    let from = Instant::now();
    let mut answered = 0;
    while answered < least {
        assert!(
            from.elapsed() < Duration::from_secs(40),
            "{answered} joins were answered"
        );
        id += 1;
        let visitor = VisitorId(id);
        if let Ok(joined) = nodes.nodes[(id % 2) as usize]
            .join(&nodes.event, &[visitor])
            .await
        {
            witness.note(visitor, spot_of(joined[0]).number);
            answered += 1;
        }
        for node in &nodes.nodes {
            let _ = node.tick(&nodes.event).await;
        }
    }
    let back = until("connected fans are back", 10, || async {
        let spot = nodes.nodes[0].place(&nodes.event, VisitorId(500)).await;
        matches!(spot, Ok(Some(_)))
    })
    .await;
    println!(
        "answered after {:.1} s, back {back:.1} s later",
        from.elapsed().as_secs_f64()
    );
    for (visitor, number) in &witness.0 {
        let front = nodes.nodes[0].tick(&nodes.event).await.unwrap();
        let pass = passes.get(visitor).copied().unwrap_or(Pass {
            visitor: *visitor,
            number: *number,
            is_provisional: false,
            life: front.life,
        });
        let spot = nodes.find(0, &pass).await;
        assert_eq!(spot.map(|spot| spot.number), Some(*number), "{visitor}");
    }
    witness.check();
    let front = nodes.nodes[1].tick(&nodes.event).await.unwrap();
    assert!(front.waiting >= witness.0.len() as u64);
}

#[tokio::test]
async fn sentinel_failover_with_lost_writes_loses_no_place() {
    let mut set = testkit::Sentinels::start();
    let nodes = Nodes::start(&set.url(), 2, Clock::system(), policy(0, 1, 10)).await;
    // These reach the replica; those of `lost` only the master, which then dies.
    nodes.join(0, 20_001..=20_100).await;
    let master = set.servers.remove(0);
    let lost = std::cell::Cell::new(Vec::new());
    let fail = async || {
        let replica = &set.servers[0];
        until("the replica has it all", 10, || async {
            replica.ask(&["GET", "x"]).is_some()
                && replica
                    .ask(&["HGET", "fairline:{night}:meta", "numbers"])
                    .as_deref()
                    == Some("600")
        })
        .await;
        replica.ask(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
        let spots = nodes.join(0, 30_001..=30_050).await;
        // Only the first node knows of them.
        let mut passes = Vec::new();
        for spot in spots {
            passes.push((spot, nodes.pass(&spot).await));
        }
        let numbers = replica.ask(&["HGET", "fairline:{night}:meta", "numbers"]);
        assert_eq!(
            numbers.as_deref(),
            Some("600"),
            "the replica has none of them"
        );
        lost.set(passes);
        drop(master);
    };
    survives(&nodes, fail, 50).await;
    for (spot, pass) in lost.take() {
        let found = nodes.find(1, &pass).await.unwrap();
        assert_eq!(
            (found.number, found.standing),
            (spot.number, VisitorState::Waiting)
        );
    }
}

#[tokio::test]
async fn cluster_failover_loses_no_place() {
    let mut cluster = testkit::Cluster::start();
    let nodes = Nodes::start(&cluster.url(), 2, Clock::system(), policy(0, 1, 10)).await;
    let master = cluster.master_of("fairline:{night}:meta").unwrap();
    survives(&nodes, async || cluster.nodes[master].kill(), 50).await;
}

#[tokio::test]
async fn a_server_that_restarts_empty_or_sleeps_loses_no_place() {
    let mut server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::system(), policy(0, 1, 10)).await;
    survives(
        &nodes,
        async || {
            server.kill();
            let refused = nodes.nodes[0].join(&nodes.event, &[VisitorId(1)]).await;
            assert_eq!(
                refused,
                Err(Refused::Unavailable(shared::group_commit::Unavailable))
            );
            server.start_again();
        },
        50,
    )
    .await;
    let numbers = nodes.nodes[1].tick(&nodes.event).await.unwrap().numbers;
    server.signal("STOP");
    let from = Instant::now();
    let asleep = [VisitorId(777)];
    let refused = nodes.nodes[1].join(&nodes.event, &asleep).await;
    assert!(
        refused.is_err() && from.elapsed() < Duration::from_secs(5),
        "no hang"
    );
    server.signal("CONT");
    until("it answers again", 10, || async {
        nodes.nodes[1].tick(&nodes.event).await.is_ok()
    })
    .await;
    // The operation may have happened: repeating it gives the same place, and the next one follows.
    let joined = nodes.nodes[0].join(&nodes.event, &asleep).await.unwrap();
    assert_eq!(spot_of(joined[0]).number, numbers + 1);
    assert_eq!(nodes.join(1, 778..=778).await[0].number, numbers + 2);
    // A server that has lost the scripts is sent them again.
    server.ask(&["SCRIPT", "FLUSH"]).unwrap();
    assert_eq!(nodes.join(0, 779..=779).await[0].number, numbers + 3);
}
