//! Redis that is slow, full, read-only, busy or otherwise in no state to answer: each request ends
//! within five seconds, and each fault has its own outcome.

use crate::bench::{policy, spot_of};
use crate::nodes::{Nodes, until};
use futures_util::future::join_all;
use shared::deadline;
use shared::ids::VisitorId;
use shared::time::Clock;
use std::cell::Cell;
use std::time::{Duration, Instant};
use testkit::{Cluster, Fault, Faulty};
use waiting_room::line::{Joined, Patch, Refused, TroubleKind, VisitorState};

/// The promise to every client.
const SECONDS_MAX: Duration = Duration::from_secs(5);
/// The delay of an answer that is just short of no answer.
const SLOW: Duration = Duration::from_millis(1600);

/// A line with three visitors behind a proxy that can be made faulty.
struct Line {
    nodes: Nodes,
    proxy: Faulty,
    server: testkit::Redis,
}

impl Line {
    async fn start() -> Line {
        let server = testkit::Redis::start();
        let proxy = Faulty::before(server.socket());
        let nodes = Nodes::start(&proxy.url(), 1, Clock::system(), policy(0, 1, 10)).await;
        nodes.join(0, 1..=3).await;
        nodes.tick(0).await;
        Line {
            nodes,
            proxy,
            server,
        }
    }

    async fn join(&self, visitor: u128) -> Result<Vec<Joined>, Refused> {
        let (line, event) = (&self.nodes.nodes[0], &self.nodes.event);
        let visitors = [VisitorId(visitor)];
        in_time("join", line.join(event, &visitors)).await
    }

    async fn standing(&self, visitor: u128) -> Option<VisitorState> {
        let (line, event) = (&self.nodes.nodes[0], &self.nodes.event);
        let spot = in_time("place", line.place(event, VisitorId(visitor))).await;
        Some(spot.ok()??.standing)
    }

    async fn trouble(&self) -> Option<TroubleKind> {
        let trouble = self.nodes.nodes[0].trouble().await;
        trouble.map(|trouble| trouble.kind)
    }

    /// Joins are refused at once and the trouble is named; once it is over, all goes on.
    async fn is_refused(&self, kind: TroubleKind) {
        let (line, event) = (&self.nodes.nodes[0], &self.nodes.event);
        assert!(self.join(4).await.is_err(), "{kind:?}");
        assert_eq!(self.trouble().await, Some(kind));
        assert!(in_time("tick", line.tick(event)).await.is_err());
    }

    async fn goes_on(&self) {
        let (line, event) = (&self.nodes.nodes[0], &self.nodes.event);
        until("it goes on", 10, || async {
            let front = line.tick(event).await;
            front.is_ok_and(|front| !front.is_recovering) && self.trouble().await.is_none()
        })
        .await;
        let joined = self.join(4).await.unwrap();
        assert_eq!(spot_of(joined[0]).number, 4, "nothing was done before");
        assert_eq!(self.standing(1).await, Some(VisitorState::Waiting));
    }
}

/// Runs an operation as part of a request.
async fn in_time<T>(what: &str, operation: impl Future<Output = T>) -> T {
    let from = Instant::now();
    let outcome = deadline::cover(operation).await;
    assert!(from.elapsed() < SECONDS_MAX, "{what}: {:?}", from.elapsed());
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_every_answer_is_slow_each_request_ends_in_time() {
    let slow = Line::start().await;
    let (nodes, proxy) = (&slow.nodes, &slow.proxy);
    let (line, event) = (&nodes.nodes[0], &nodes.event);
    let pass = nodes.pass(&nodes.join(0, 1..=1).await[0]).await;
    proxy.set(Fault::Slow(SLOW));
    // Ticks go on meanwhile, one after the other.
    let ticking = async {
        loop {
            let _ = line.tick(event).await;
        }
    };
    let patch: Patch = serde_json::from_str(r#"{"paused": true}"#).unwrap();
    let requests = async {
        let visitor = VisitorId(1);
        let rejoin = async {
            let known = line.place(event, visitor).await?;
            line.reenter(event, &pass).await?;
            line.join(event, &[visitor]).await?;
            line.back(event, visitor).await?;
            line.place(event, visitor).await?;
            Ok::<_, Refused>(known)
        };
        let (change, events, stats, draw, all) = tokio::join!(
            in_time("change", line.configure(event, patch)),
            in_time("events", line.events()),
            in_time("stats", line.stats(event)),
            in_time("draw", line.draw(event)),
            in_time("five operations in one request", rejoin),
        );
        assert_eq!(events.unwrap()[0].name, "Night");
        assert!(
            change.is_ok() && stats.is_ok() && draw.is_ok(),
            "two answers"
        );
        assert!(all.is_err(), "five answers take eight seconds");
    };
    tokio::select! {
        () = ticking => {}
        () = requests => {}
    }
}

#[tokio::test]
async fn a_redis_that_loads_its_data_is_named_and_waited_for() {
    let line = Line::start().await;
    line.proxy.set(Fault::Refuses(
        "LOADING Redis is loading the dataset in memory",
    ));
    line.is_refused(TroubleKind::Loading).await;
    line.proxy.set(Fault::None);
    line.goes_on().await;
}

#[tokio::test]
async fn a_cluster_that_is_down_is_named_and_waited_for() {
    let line = Line::start().await;
    line.proxy
        .set(Fault::Refuses("CLUSTERDOWN The cluster is down"));
    line.is_refused(TroubleKind::ClusterDown).await;
    line.proxy.set(Fault::None);
    line.goes_on().await;
}

#[tokio::test]
async fn a_replica_that_answers_is_named_and_nothing_is_written_there() {
    let line = Line::start().await;
    line.server.ask(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    line.is_refused(TroubleKind::ReadOnly).await;
    line.server.ask(&["REPLICAOF", "NO", "ONE"]).unwrap();
    line.goes_on().await;
}

#[tokio::test]
async fn a_full_redis_is_named_and_places_are_still_told() {
    let line = Line::start().await;
    line.server
        .ask(&["CONFIG", "SET", "maxmemory", "1"])
        .unwrap();
    line.is_refused(TroubleKind::MemoryFull).await;
    assert_eq!(line.standing(1).await, Some(VisitorState::Waiting));
    line.server
        .ask(&["CONFIG", "SET", "maxmemory", "0"])
        .unwrap();
    line.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_does_not_end_delays_no_request_beyond_its_deadline() {
    let line = Line::start().await;
    let threshold = ["CONFIG", "SET", "busy-reply-threshold", "100"];
    line.server.ask(&threshold).unwrap();
    let endless = ["EVAL", "while true do end", "0"];
    assert_eq!(line.server.ask(&endless), None, "it has no answer");
    line.is_refused(TroubleKind::Busy).await;
    line.server.ask(&["SCRIPT", "KILL"]).unwrap();
    line.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_frozen_a_request_of_many_operations_ends_in_time() {
    let line = Line::start().await;
    let (engine, event) = (&line.nodes.nodes[0], &line.nodes.event);
    line.server.signal("STOP");
    let many = async {
        for _ in 0..5 {
            assert!(engine.tick(event).await.is_err());
            assert!(engine.events().await.is_err());
        }
    };
    in_time("ten operations", many).await;
    assert_eq!(line.trouble().await, Some(TroubleKind::Unreachable));
    line.server.signal("CONT");
    line.goes_on().await;
}

#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_sent_again_within_the_request() {
    let line = Line::start().await;
    line.server.ask(&["SCRIPT", "FLUSH"]).unwrap();
    let joined = line.join(4).await.unwrap();
    assert_eq!(spot_of(joined[0]).number, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_moves_to_another_server_of_a_cluster_is_followed() {
    let cluster = Cluster::start();
    let nodes = Nodes::start(&cluster.url(), 1, Clock::system(), policy(0, 1, 10)).await;
    nodes.join(0, 1..=3).await;
    nodes.tick(0).await;
    let key = "fairline:{night}:meta";
    let before = cluster.master_of(key).unwrap();
    let port = cluster.nodes[before].port().to_string();
    let replica = cluster.nodes.iter().find(|node| {
        let role = node.ask(&["ROLE"]).unwrap_or_default();
        role.starts_with("slave") && role.contains(&port)
    });
    let replica = replica.unwrap();
    // A replica gives up a failover that takes more than five seconds, as on a busy machine.
    let asked_at = Cell::new(None);
    until("the replica is the master", 40, || async {
        let is_over = |at: Instant| at.elapsed() > Duration::from_secs(6);
        if asked_at.get().is_none_or(is_over) {
            let _ = replica.ask(&["CLUSTER", "FAILOVER"]);
            asked_at.set(Some(Instant::now()));
        }
        cluster
            .master_of(key)
            .is_some_and(|master| master != before)
    })
    .await;
    let (line, event) = (&nodes.nodes[0], &nodes.event);
    let mut number = 0;
    until("it is followed", 20, || async {
        let _ = line.tick(event).await;
        let joined = in_time("join", line.join(event, &[VisitorId(4)])).await;
        joined.is_ok_and(|joined| spot_of(joined[0]).number == 4)
    })
    .await;
    for id in 1..=3 {
        let spot = in_time("place", line.place(event, VisitorId(id))).await;
        number += spot.unwrap().unwrap().number;
    }
    assert_eq!(number, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitors_who_return_at_once_after_a_loss_share_a_few_ticks() {
    const VISITORS: u128 = 300;
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::system(), policy(0, 1, 10)).await;
    let spots = nodes.join(0, 1..=VISITORS).await;
    nodes.tick(0).await;
    let pass = nodes.pass(&spots[0]).await;
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    let (line, event) = (&nodes.nodes[0], &nodes.event);
    let before = line.tick(event).await.unwrap().step;
    let returning = spots.iter().map(|spot| async move {
        let pass = waiting_room::pass::Pass {
            visitor: spot.visitor,
            number: spot.number,
            ..pass
        };
        line.reenter(event, &pass).await
    });
    for (back, spot) in join_all(returning).await.iter().zip(&spots) {
        let back = back.as_ref().unwrap().unwrap();
        assert_eq!(back.number, spot.number);
    }
    let ticks = line.tick(event).await.unwrap().step - before;
    assert!(
        ticks < VISITORS as u64 / 10,
        "{ticks} ticks for {VISITORS} visitors"
    );
}
