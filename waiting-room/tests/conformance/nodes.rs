//! Several nodes that share one store, as engines of one process.

use crate::bench::{spot_of, steps};
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::sync::Arc;
use std::time::{Duration, Instant};
use waiting_room::find_place;
use waiting_room::line::{Admission, EventSettings, Line, Redis, Spot};
use waiting_room::pass::Pass;

/// Nodes that share one store.
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Arc<dyn Line>>,
    pub(crate) folders: Vec<tempfile::TempDir>,
    pub(crate) clock: Clock,
    pub(crate) event: EventId,
}

impl Nodes {
    pub(crate) async fn start(
        url: &str,
        count: usize,
        clock: Clock,
        admission: Admission,
    ) -> Nodes {
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

    /// Starts one more node.
    pub(crate) fn open(&mut self, url: &str) {
        let folder = tempfile::tempdir().unwrap();
        let node = Redis::open(url, folder.path().to_owned(), self.clock.clone());
        self.nodes.push(Arc::new(node.unwrap()));
        self.folders.push(folder);
    }

    /// Moves the clock and ticks at every node, as often as counts for the line.
    pub(crate) async fn tick(&self, seconds: i64) {
        for step in steps(seconds) {
            self.clock.advance_ms(step * 1000);
            for node in &self.nodes {
                node.tick(&self.event).await.unwrap();
            }
        }
    }

    /// Ticks until all nodes have reported what they know to a store that lost data, and the line
    /// goes on.
    pub(crate) async fn recover(&self) {
        until("the line goes on", 20, || async {
            let ticks = self.nodes.iter().map(|node| node.tick(&self.event));
            let ticks = futures_util::future::join_all(ticks).await;
            let is_over = ticks
                .iter()
                .all(|front| front.as_ref().is_ok_and(|front| !front.is_recovering));
            if !is_over && self.clock.hand().is_some() {
                self.clock.advance_ms(500);
            }
            is_over
        })
        .await;
        self.tick(0).await;
    }

    pub(crate) async fn join(&self, at: usize, ids: std::ops::RangeInclusive<u128>) -> Vec<Spot> {
        let visitors: Vec<VisitorId> = ids.map(VisitorId).collect();
        let joined = self.nodes[at].join(&self.event, &visitors).await.unwrap();
        joined.into_iter().map(spot_of).collect()
    }

    pub(crate) async fn pass(&self, spot: &Spot) -> Pass {
        let front = self.nodes[0].tick(&self.event).await.unwrap();
        Pass {
            visitor: spot.visitor,
            number: spot.number,
            is_provisional: spot.is_provisional,
            life: front.life,
        }
    }

    /// Looks up a fan who returns with a pass.
    pub(crate) async fn find(&self, at: usize, pass: &Pass) -> Option<Spot> {
        let node = &*self.nodes[at];
        let found = find_place(node, &self.event, pass, |pass| *pass).await;
        found.unwrap()
    }
}

/// Waits in real time until a condition holds.
pub(crate) async fn until<F: Future<Output = bool>>(
    what: &str,
    seconds: u64,
    is_so: impl Fn() -> F,
) -> f64 {
    let from = Instant::now();
    while !is_so().await {
        assert!(from.elapsed() < Duration::from_secs(seconds), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    from.elapsed().as_secs_f64()
}
