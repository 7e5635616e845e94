//! An engine under test, and helpers for the tests.

use shared::ids::{Availability, EventId, VisitorId};
use shared::time::{Clock, Time};
use std::sync::Arc;
use waiting_room::line::{
    Admission, Embedded, EventSettings, Joined, Line, Redis, Spot, VisitorState,
};

pub(crate) const START: Time = Time(1_800_000_000_000);

/// Store of an engine under test.
pub(crate) enum Store {
    Folder,
    Redis(testkit::Redis),
    /// A cluster that the tests share, each with its own key prefix.
    Cluster(Arc<testkit::Cluster>, String),
}

/// An engine under test and its clock; can be reopened on the same store.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    pub(crate) line: Arc<dyn Line>,
    pub(crate) clock: Clock,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Bench {
    pub(crate) fn new(name: &'static str, store: Store) -> Bench {
        Bench::at(name, store, START)
    }

    fn at(name: &'static str, store: Store, start: Time) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(start);
        let line = open(&store, &folder, &clock, 1);
        Bench {
            name,
            line,
            clock,
            folder,
            store,
        }
    }

    /// Reopens the engine on the same store, as after a restart.
    pub(crate) fn reopen(&mut self) {
        self.line = open(&self.store, &self.folder, &self.clock, 2);
    }

    pub(crate) async fn event(&self, admission: Admission) -> EventId {
        let event = EventId::parse("arena").unwrap();
        let settings = EventSettings {
            admission,
            ..EventSettings::new(event.clone(), "Arena")
        };
        self.line.create(settings).await.unwrap();
        event
    }

    pub(crate) async fn join(
        &self,
        event: &EventId,
        visitors: std::ops::RangeInclusive<u128>,
    ) -> Vec<u64> {
        let visitors: Vec<VisitorId> = visitors.map(VisitorId).collect();
        let joined = self.line.join(event, &visitors).await.unwrap();
        joined
            .into_iter()
            .map(|joined| spot_of(joined).number)
            .collect()
    }

    pub(crate) async fn spot(&self, event: &EventId, visitor: u128) -> Spot {
        self.line
            .place(event, VisitorId(visitor))
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn standing(&self, event: &EventId, visitor: u128) -> VisitorState {
        self.spot(event, visitor).await.standing
    }

    /// Moves the clock and ticks, as often as counts for the line.
    pub(crate) async fn tick_after(&self, event: &EventId, seconds: i64) {
        for step in steps(seconds) {
            self.clock.advance_ms(step * 1000);
            self.line.tick(event).await.unwrap();
        }
    }

    pub(crate) async fn admitted(
        &self,
        event: &EventId,
        visitors: std::ops::RangeInclusive<u128>,
    ) -> Vec<u128> {
        let mut admitted = Vec::new();
        for visitor in visitors {
            if self.standing(event, visitor).await == VisitorState::Admitted {
                admitted.push(visitor);
            }
        }
        admitted
    }
}

pub(crate) fn open(
    store: &Store,
    folder: &tempfile::TempDir,
    clock: &Clock,
    time: u8,
) -> Arc<dyn Line> {
    let redis = |url: &str| {
        let notes = folder.path().join(format!("notes-{time}"));
        Arc::new(Redis::open(url, notes, clock.clone()).unwrap())
    };
    match store {
        Store::Folder => {
            Arc::new(Embedded::open(folder.path().join("line"), clock.clone()).unwrap())
        }
        Store::Redis(server) => redis(&server.url()),
        Store::Cluster(cluster, prefix) => redis(&format!("{}?prefix={prefix}", cluster.url())),
    }
}

pub(crate) fn benches() -> Vec<Bench> {
    benches_at(START)
}

/// Returns all engines, whose clocks begin at this time.
pub(crate) fn benches_at(start: Time) -> Vec<Bench> {
    let prefix = format!("t{:x}", VisitorId::random().0 >> 64);
    let cluster = Store::Cluster(testkit::shared_cluster(), prefix);
    vec![
        Bench::at("embedded", Store::Folder, start),
        Bench::at("redis", Store::Redis(testkit::Redis::start()), start),
        Bench::at("cluster", cluster, start),
    ]
}

pub(crate) fn spot_of(joined: Joined) -> Spot {
    match joined {
        Joined::New(spot) | Joined::Known(spot) => spot,
    }
}

/// Returns the steps in which so many seconds pass with ticks in between: a longer gap between two
/// ticks is an outage. At least one.
pub(crate) fn steps(seconds: i64) -> impl Iterator<Item = i64> {
    const STEP: i64 = 4;
    let rest = seconds % STEP;
    let rest = (rest > 0 || seconds == 0).then_some(rest);
    std::iter::repeat_n(STEP, (seconds / STEP) as usize).chain(rest)
}

pub(crate) fn policy(rate_per_minute: u32, batch_seconds: u32, max_active: u32) -> Admission {
    Admission {
        rate_per_minute,
        batch_seconds,
        max_active,
        ..Admission::default()
    }
}

pub(crate) fn seats(available: u32, held: u32) -> Availability {
    Availability {
        capacity: 10,
        available,
        held,
        booked: 10 - available - held,
        as_of: START,
    }
}
