//! The line on Redis survives its store: emptied, started again, failed over. Nodes come and go beside each other.

use crate::bench::{START, policy, spot_of};
use loadtest::servers;
use shared::time::{Clock, Time};
use shared::words::{Availability, EventId, VisitorId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use waiting_room::line::{
    Admission, Claimed, EventSettings, Joined, Line, Order, Patch, Redis, Refused, Spot, Standing,
};
use waiting_room::pass::Pass;

/// Nodes on one store.
struct Nodes {
    nodes: Vec<Arc<dyn Line>>,
    folders: Vec<tempfile::TempDir>,
    clock: Clock,
    event: EventId,
}

impl Nodes {
    async fn start(url: &str, count: usize, clock: Clock, admission: Admission) -> Nodes {
        let folders: Vec<tempfile::TempDir> =
            (0..count).map(|_| tempfile::tempdir().unwrap()).collect();
        let open = |folder: &tempfile::TempDir| -> Arc<dyn Line> {
            Arc::new(Redis::open(url, folder.path().to_owned(), clock.clone()).unwrap())
        };
        let nodes: Vec<Arc<dyn Line>> = folders.iter().map(open).collect();
        let event = EventId::parse("night").unwrap();
        let settings = EventSettings {
            admission,
            ..EventSettings::new(event.clone(), "Night")
        };
        nodes[0].create(settings).await.unwrap();
        let all = Nodes {
            nodes,
            folders,
            clock,
            event,
        };
        all.tick(0).await;
        all
    }

    /// Moves the clock; every node ticks.
    async fn tick(&self, seconds: i64) {
        self.clock.advance_ms(seconds * 1000);
        for node in &self.nodes {
            node.tick(&self.event).await.unwrap();
        }
    }

    async fn join(&self, at: usize, ids: std::ops::RangeInclusive<u128>) -> Vec<Spot> {
        let visitors: Vec<VisitorId> = ids.map(VisitorId).collect();
        let joined = self.nodes[at].join(&self.event, &visitors).await.unwrap();
        joined.into_iter().map(spot_of).collect()
    }

    async fn pass(&self, spot: &Spot) -> Pass {
        let front = self.nodes[0].tick(&self.event).await.unwrap();
        Pass {
            visitor: spot.visitor,
            number: spot.number,
            is_provisional: spot.is_provisional,
            epoch: front.epoch,
        }
    }

    /// As a fan who returns with a pass is looked up.
    async fn find(&self, at: usize, pass: &Pass) -> Option<Spot> {
        let node = &self.nodes[at];
        match node.place(&self.event, pass.visitor).await.unwrap() {
            Some(spot) => Some(spot),
            None => node.reenter(&self.event, pass).await.unwrap(),
        }
    }
}

#[tokio::test]
async fn the_newest_of_what_the_nodes_know_is_what_the_line_is_made_of() {
    let server = servers::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(600, 1, 100)).await;
    nodes.join(0, 1..=50).await;
    nodes.tick(0).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    // Only the second node sees ten more go in.
    nodes.clock.advance_ms(1000);
    let newest = line[1].tick(event).await.unwrap();
    server.ask(&["FLUSHALL"]).unwrap();
    // The first tells first, and ticks on for a while before the second is heard.
    for _ in 0..20 {
        let front = line[0].tick(event).await.unwrap();
        assert_eq!(front.waiting, 40);
    }
    let front = line[1].tick(event).await.unwrap();
    assert_eq!((front.waiting, newest.waiting), (30, 30));
    assert_eq!(line[0].tick(event).await.unwrap().waiting, 30);
}

#[tokio::test]
async fn a_change_that_only_one_node_had_heard_of_outlives_the_store() {
    let server = servers::Redis::start();
    let nodes = Nodes::start(&server.url(), 3, Clock::manual(START), policy(600, 1, 100)).await;
    nodes.join(0, 1..=50).await;
    nodes.tick(0).await;
    let stop: Patch = serde_json::from_str(r#"{"admission": {"rate_per_minute": 0}}"#).unwrap();
    let (event, line) = (&nodes.event, &nodes.nodes);
    line[2].configure(event, stop).await.unwrap();
    line[2].tick(event).await.unwrap();
    server.ask(&["FLUSHALL"]).unwrap();
    // The two that had not heard of it tell first.
    nodes.clock.advance_ms(2000);
    nodes.tick(0).await;
    nodes.tick(2).await;
    for node in line {
        let front = node.tick(event).await.unwrap();
        assert_eq!(front.settings.admission.rate_per_minute, 0);
        assert_eq!(front.waiting, 40, "ten were let in before, nobody since");
    }
}

/// Waits in real time until something is so.
async fn until<F: Future<Output = bool>>(what: &str, seconds: u64, is_so: impl Fn() -> F) -> f64 {
    let from = Instant::now();
    while !is_so().await {
        assert!(from.elapsed() < Duration::from_secs(seconds), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    from.elapsed().as_secs_f64()
}

#[tokio::test]
async fn an_emptied_store_has_the_line_again_and_nobody_is_served_twice() {
    let server = servers::Redis::start();
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
    // Numbers 1 to 8 are inside; 1 shops, 2 finished, 9 followed; 20 left; the first 1,000 watch.
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

    // This one no tick has seen: only the node that answered knows of it.
    let last = nodes.join(1, 4002..=4002).await[0];
    let last_pass = Pass {
        visitor: last.visitor,
        number: last.number,
        ..unseen_pass
    };

    server.ask(&["FLUSHALL"]).unwrap();
    line[0].tick(event).await.unwrap();
    // Until every node has told what it knows nobody is let in, and no number is given out.
    let early = line[0].join(event, &[VisitorId(9000)]).await;
    assert_eq!(
        early,
        Err(Refused::Unavailable(shared::combine::Unavailable))
    );
    nodes.tick(0).await;
    let front = line[2].tick(event).await.unwrap();
    assert!(front.epoch > before.epoch);
    assert_eq!(front.waiting, before.waiting + 1, "all who waited wait");
    assert_eq!(front.numbers, 3002);
    assert!(front.alive.contains(10) && !front.alive.contains(20) && !front.alive.contains(9));
    until("connected fans are back", 10, || async {
        let there = line[0].find(event, 1000).await.unwrap().unwrap();
        there.visitor == VisitorId(1000)
    })
    .await;
    for id in [10u128, 500, 999, 1000] {
        let spot = line[0].place(event, VisitorId(id)).await.unwrap().unwrap();
        assert_eq!((spot.number, spot.standing), (id as u64, Standing::Waiting));
    }
    // Who was not connected returns by the pass; who was served, left or was let in gets no second turn.
    for id in [1001usize, 2500, 3000] {
        let spot = nodes.find(id % 3, &passes[id - 1]).await.unwrap();
        assert_eq!((spot.number, spot.standing), (id as u64, Standing::Waiting));
        let others = [20].iter().filter(|gone| **gone < id).count() as u64;
        assert_eq!(spot.ahead, id as u64 - 1 - 9 - others, "as exact as before");
    }
    for id in [2usize, 3, 9, 20] {
        let spot = nodes.find(0, &passes[id - 1]).await.unwrap();
        assert_eq!((spot.number, spot.standing), (id as u64, Standing::Missed));
    }
    let spot = nodes.find(0, &unseen_pass).await.unwrap();
    assert_eq!((spot.number, spot.standing), (3001, Standing::Waiting));
    let spot = nodes.find(2, &last_pass).await.unwrap();
    assert_eq!((spot.number, spot.standing), (3002, Standing::Waiting));
    // A pass of before for a number that is somebody else's is no use.
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
    // The eight who were inside still count, though the store has forgotten who they are.
    nodes.tick(1).await;
    assert_eq!(line[0].stats(event).await.unwrap().admitted, 0);
    // One of them comes with the token: the turn was theirs. One is done: the next comes in.
    let claimed = line[1].claim(event, VisitorId(3), 3).await.unwrap();
    assert!(matches!(claimed, Claimed::Until(_)));
    assert_eq!(
        line[1].claim(event, VisitorId(77), 3).await.unwrap(),
        Claimed::Lapsed
    );
    // Nine came back by the pass: their number is nobody else's.
    let other = line[1].claim(event, VisitorId(77), 9).await.unwrap();
    assert_eq!(other, Claimed::Lapsed);
    line[1].finish(event, VisitorId(1), 1).await.unwrap();
    line[1].finish(event, VisitorId(1), 1).await.unwrap();
    nodes.tick(1).await;
    let stats = line[0].stats(event).await.unwrap();
    assert_eq!((stats.admitted, stats.shopping), (1, 1));
    let next = line[0].find(event, 10).await.unwrap().unwrap();
    assert_eq!(next.standing, Standing::Admitted, "the first who waited");
    // Who never returned is let go in the end, and not before.
    assert_eq!(
        line[0].find(event, 2000).await.unwrap().unwrap().standing,
        Standing::Waiting
    );
    for _ in 0..12 {
        nodes.tick(10).await;
    }
    assert_eq!(
        line[0].find(event, 2000).await.unwrap().unwrap().standing,
        Standing::Missed
    );
    let watching = line[0].place(event, VisitorId(990)).await.unwrap().unwrap();
    assert_eq!(watching.standing, Standing::Waiting);
}

#[tokio::test]
async fn a_node_that_starts_after_all_others_died_with_an_empty_store_makes_the_line_from_its_note()
{
    let mut server = servers::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::system(), policy(0, 1, 10)).await;
    let spots = nodes.join(0, 1..=100).await;
    nodes.tick(0).await;
    let pass = nodes.pass(&spots[41]).await;
    let note = nodes.folders[0].path().join("night.json");
    until("the note has all of it", 20, || async {
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
    let spot = node.reenter(&nodes.event, &pass).await.unwrap().unwrap();
    assert_eq!((spot.number, spot.standing), (42, Standing::Waiting));
}

#[tokio::test]
async fn a_deleted_event_stays_deleted_and_its_passes_are_no_use_in_the_next_of_its_name() {
    let server = servers::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
    let spot = nodes.join(0, 1..=5).await[4];
    nodes.tick(0).await;
    let pass = nodes.pass(&spot).await;
    nodes.nodes[0].remove(&nodes.event).await.unwrap();
    let gone = nodes.nodes[1].tick(&nodes.event).await;
    assert!(
        matches!(gone, Err(Refused::NoSuchEvent)),
        "no node makes it again"
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
    let server = servers::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), policy(0, 1, 10)).await;
    let spot = nodes.join(0, 1..=5).await[4];
    let mut pass = nodes.pass(&spot).await;
    pass.visitor = VisitorId(99);
    assert_eq!(
        nodes.find(0, &pass).await,
        None,
        "the store knows all of this epoch"
    );
    pass.epoch -= 1;
    assert_eq!(nodes.find(0, &pass).await, None, "nor was there one before");
}

/// Everyone's admissions, as a watcher of the line sees them.
async fn admitted(line: &dyn Line, event: &EventId, fans: u64) -> BTreeSet<u64> {
    let mut admitted = BTreeSet::new();
    for number in 1..=fans {
        let spot = line.find(event, number).await.unwrap().unwrap();
        if spot.standing != Standing::Waiting {
            admitted.insert(number);
        }
    }
    admitted
}

#[tokio::test]
async fn however_many_nodes_tick_and_whoever_sleeps_no_more_are_let_in_than_is_due_and_in_order() {
    let server = servers::Redis::start();
    let nodes = Nodes::start(&server.url(), 8, Clock::manual(START), policy(600, 2, 1000)).await;
    nodes.join(0, 1..=400).await;
    let mut expected = 0;
    for second in 0..40 {
        // One sleeps for ten seconds, all the others tick at once, some of them twice.
        let awake = nodes.nodes.iter().enumerate();
        let awake = awake.filter(|(node, _)| node % 4 != (second / 10) as usize % 4);
        let ticks = awake
            .chain(nodes.nodes.iter().enumerate().take(2))
            .map(|(_, node)| {
                let (node, event) = (node.clone(), nodes.event.clone());
                tokio::spawn(async move { node.tick(&event).await.unwrap() })
            });
        futures_util::future::join_all(ticks.collect::<Vec<_>>()).await;
        if second % 2 == 0 {
            expected += 20;
        }
        let expected = expected.min(400);
        let inside = admitted(&*nodes.nodes[0], &nodes.event, 400).await;
        assert_eq!(inside, (1..=expected).collect(), "second {second}");
        nodes.clock.advance_ms(1000);
    }
}

#[tokio::test]
async fn what_one_node_changes_holds_on_all_with_their_next_tick() {
    let server = servers::Redis::start();
    let nodes = Nodes::start(&server.url(), 3, Clock::manual(START), policy(600, 1, 100)).await;
    nodes.join(0, 1..=50).await;
    let patch: Patch =
        serde_json::from_str(r#"{"paused": true, "message": "One moment"}"#).unwrap();
    nodes.nodes[1].configure(&nodes.event, patch).await.unwrap();
    nodes.clock.advance_ms(5000);
    for node in &nodes.nodes {
        let front = node.tick(&nodes.event).await.unwrap();
        assert_eq!(front.settings.message.as_deref(), Some("One moment"));
        assert_eq!(front.alive.count(), 50, "nobody is let in");
    }
    // Two change at once: both changes stand.
    let one: Patch = serde_json::from_str(r#"{"admission": {"max_active": 7}}"#).unwrap();
    let two: Patch = serde_json::from_str(r#"{"name": "Late night"}"#).unwrap();
    let (first, second) = tokio::join!(
        nodes.nodes[0].configure(&nodes.event, one),
        nodes.nodes[2].configure(&nodes.event, two)
    );
    assert!(first.is_ok() && second.is_ok());
    let front = nodes.nodes[1].tick(&nodes.event).await.unwrap();
    assert_eq!(front.settings.admission.max_active, 7);
    assert_eq!(front.settings.name, "Late night");
    let counted = Availability {
        capacity: 5,
        available: 3,
        held: 0,
        booked: 2,
        as_of: START,
    };
    nodes.nodes[2].report(&nodes.event, counted).await.unwrap();
    let front = nodes.nodes[0].tick(&nodes.event).await.unwrap();
    assert_eq!(front.availability, Some(counted));
}

#[tokio::test]
async fn a_newer_socket_at_another_node_replaces_the_older_and_keeps_the_place() {
    let server = servers::Redis::start();
    let times = Admission {
        away_seconds: 20,
        ..policy(0, 1, 10)
    };
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), times).await;
    nodes.join(0, 1..=3).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    line[0].back(event, VisitorId(1)).await.unwrap();
    line[0].back(event, VisitorId(2)).await.unwrap();
    line[1].back(event, VisitorId(1)).await.unwrap();
    nodes.tick(1).await;
    assert_eq!(line[0].replaced(event), [VisitorId(1)]);
    assert_eq!(line[0].replaced(event), [], "told once");
    assert_eq!(line[1].replaced(event), []);
    // The older socket closes: the fan is not away, for the newer one is open.
    line[0].away(event, VisitorId(1)).await.unwrap();
    line[0].away(event, VisitorId(2)).await.unwrap();
    for _ in 0..5 {
        nodes.tick(5).await;
    }
    let standing = async |number| line[0].find(event, number).await.unwrap().unwrap().standing;
    assert_eq!(standing(1).await, Standing::Waiting);
    assert_eq!(standing(2).await, Standing::Missed);
}

#[tokio::test]
async fn the_fans_of_a_node_that_dies_are_away_since_its_last_sign_of_life() {
    let server = servers::Redis::start();
    let times = Admission {
        away_seconds: 30,
        ..policy(0, 1, 10)
    };
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), times).await;
    nodes.join(0, 1..=2000).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    for id in 1..=2000u128 {
        line[usize::from(id > 1000)]
            .back(event, VisitorId(id))
            .await
            .unwrap();
    }
    nodes.tick(1).await;
    assert_eq!(line[0].stats(event).await.unwrap().away, 0);
    // The first node ticks no more. Fan 7 comes back at the other.
    let tick = async |seconds: i64| {
        nodes.clock.advance_ms(seconds * 1000);
        line[1].tick(event).await.unwrap();
    };
    tick(11).await;
    assert_eq!(line[1].stats(event).await.unwrap().away, 1000);
    line[1].back(event, VisitorId(7)).await.unwrap();
    tick(18).await;
    assert_eq!(
        line[1].tick(event).await.unwrap().waiting,
        2000,
        "29 seconds"
    );
    tick(1).await;
    let front = line[1].tick(event).await.unwrap();
    assert_eq!(
        front.waiting, 1001,
        "30 seconds after the last sign of life"
    );
    assert!(front.alive.contains(7) && !front.alive.contains(8));
    // It was only asleep: what it holds is held again.
    let spot = line[0].join(event, &[VisitorId(8)]).await.unwrap();
    assert!(matches!(spot[0], Joined::New(spot) if spot.number == 2001));
    line[0].back(event, VisitorId(8)).await.unwrap();
    tick(5).await;
    line[0].tick(event).await.unwrap();
    for _ in 0..10 {
        nodes.tick(5).await;
    }
    assert_eq!(
        line[1].find(event, 2001).await.unwrap().unwrap().standing,
        Standing::Waiting
    );
}

#[tokio::test]
async fn a_draw_is_held_once_by_whichever_of_many_nodes_and_again_by_none() {
    let server = servers::Redis::start();
    let mut nodes = Nodes::start(&server.url(), 5, Clock::system(), policy(0, 1, 10)).await;
    for round in 0..6 {
        let event = EventId::parse(&format!("draw-{round}")).unwrap();
        let mut settings = EventSettings::new(event.clone(), "Drawn");
        settings.order = Order::Draw;
        let now = Clock::system().now();
        settings.prequeue_opens_at = Some(now);
        settings.sale_opens_at = Some(Time(now.0 + 700));
        nodes.nodes[0].create(settings).await.unwrap();
        nodes.event = event.clone();
        nodes.join(0, 1..=3000).await;
        let mut ticking = tokio::task::JoinSet::new();
        for node in nodes.nodes.clone() {
            let event = event.clone();
            ticking.spawn(async move {
                loop {
                    let front = node.tick(&event).await.unwrap();
                    if front.drawn > 0 {
                        return front.drawn;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
        // A late joiner in the middle of it waits a moment and queues behind.
        let late = async {
            tokio::time::sleep(Duration::from_millis(720)).await;
            nodes.join(1, 5000..=5000).await[0]
        };
        let (drawn, late) = tokio::join!(ticking.join_all(), late);
        assert_eq!(drawn, [drawn[0]; 5]);
        let in_line = drawn[0];
        assert!(in_line == 3000 || in_line == 3001, "{in_line}");
        let number = nodes.nodes[2]
            .place(&event, late.visitor)
            .await
            .unwrap()
            .unwrap()
            .number;
        assert!(in_line == 3001 || number == 3001);
        let state = nodes.nodes[3].draw(&event).await.unwrap().unwrap();
        let visitors = nodes.nodes[4].drawn(&event, 1, 3001).await.unwrap();
        let root = waiting_room::draw::root_of_visitors(&visitors[..in_line as usize]);
        assert_eq!(state.outcome.unwrap().root, root);
    }
}

/// Numbers by visitor, for everyone who ever got an answer; a number may not change, nor be given twice.
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

/// Fans join while the store fails; then everyone who was answered has their place, by connection or by pass.
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
            epoch: front.epoch,
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
    let mut set = servers::Sentinels::start();
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
        // No node but the first has heard of them.
        let mut passes = Vec::new();
        for spot in spots {
            passes.push((spot, nodes.pass(&spot).await));
        }
        lost.set(passes);
        drop(master);
    };
    survives(&nodes, fail, 50).await;
    for (spot, pass) in lost.take() {
        let found = nodes.find(1, &pass).await.unwrap();
        assert_eq!(
            (found.number, found.standing),
            (spot.number, Standing::Waiting)
        );
    }
}

#[tokio::test]
async fn cluster_failover_loses_no_place() {
    let mut cluster = servers::Cluster::start();
    let nodes = Nodes::start(&cluster.url(), 2, Clock::system(), policy(0, 1, 10)).await;
    let master = cluster.master_of("fairline:{night}:meta").unwrap();
    survives(&nodes, async || cluster.nodes[master].kill(), 50).await;
}

#[tokio::test]
async fn a_server_that_restarts_empty_or_sleeps_loses_no_place() {
    let mut server = servers::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::system(), policy(0, 1, 10)).await;
    survives(
        &nodes,
        async || {
            server.kill();
            let refused = nodes.nodes[0].join(&nodes.event, &[VisitorId(1)]).await;
            assert_eq!(
                refused,
                Err(Refused::Unavailable(shared::combine::Unavailable))
            );
            server.start_again();
        },
        50,
    )
    .await;
    server.signal("STOP");
    let from = Instant::now();
    let refused = nodes.nodes[1].join(&nodes.event, &[VisitorId(1)]).await;
    assert!(
        refused.is_err() && from.elapsed() < Duration::from_secs(5),
        "no hang"
    );
    server.signal("CONT");
    until("it answers again", 10, || async {
        nodes.nodes[1].tick(&nodes.event).await.is_ok()
    })
    .await;
}
