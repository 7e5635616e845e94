//! Every promise of `Line`, on every engine. The next engine adds its name to `benches` and nothing else.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

use loadtest::servers;
use shared::time::{Clock, Time};
use shared::words::{Availability, EventId, VisitorId};
use std::sync::Arc;
use waiting_room::line::{
    Admission, Claimed, Embedded, EventSettings, Joined, Line, Patch, Phase, Redis, Refused, Spot,
    Standing,
};

const START: Time = Time(1_800_000_000_000);

/// What an engine keeps its lines in.
enum Store {
    Folder,
    Redis(servers::Redis),
    /// A cluster that the tests share, each under a prefix of its own.
    Cluster(Arc<servers::Cluster>, String),
}

/// An engine under test, its clock, and a way to open it anew on what it kept.
struct Bench {
    name: &'static str,
    line: Arc<dyn Line>,
    clock: Clock,
    folder: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new(name: &'static str, store: Store) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START);
        let line = open(&store, &folder, &clock, 1);
        Bench {
            name,
            line,
            clock,
            folder,
            store,
        }
    }

    /// The engine opened again on the same store, as after a restart.
    fn reopen(&mut self) {
        self.line = open(&self.store, &self.folder, &self.clock, 2);
    }

    async fn event(&self, admission: Admission) -> EventId {
        let event = EventId::parse("arena").unwrap();
        let settings = EventSettings {
            admission,
            ..EventSettings::new(event.clone(), "Arena")
        };
        self.line.create(settings).await.unwrap();
        event
    }

    async fn join(&self, event: &EventId, visitors: std::ops::RangeInclusive<u128>) -> Vec<u64> {
        let visitors: Vec<VisitorId> = visitors.map(VisitorId).collect();
        let joined = self.line.join(event, &visitors).await.unwrap();
        joined
            .into_iter()
            .map(|joined| spot_of(joined).number)
            .collect()
    }

    async fn spot(&self, event: &EventId, visitor: u128) -> Spot {
        self.line
            .place(event, VisitorId(visitor))
            .await
            .unwrap()
            .unwrap()
    }

    async fn standing(&self, event: &EventId, visitor: u128) -> Standing {
        self.spot(event, visitor).await.standing
    }

    /// Moves the clock and ticks.
    async fn tick_after(&self, event: &EventId, seconds: i64) {
        self.clock.advance_ms(seconds * 1000);
        self.line.tick(event).await.unwrap();
    }

    async fn admitted(
        &self,
        event: &EventId,
        visitors: std::ops::RangeInclusive<u128>,
    ) -> Vec<u128> {
        let mut admitted = Vec::new();
        for visitor in visitors {
            if self.standing(event, visitor).await == Standing::Admitted {
                admitted.push(visitor);
            }
        }
        admitted
    }
}

fn open(store: &Store, folder: &tempfile::TempDir, clock: &Clock, time: u8) -> Arc<dyn Line> {
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

fn benches() -> Vec<Bench> {
    let prefix = format!("t{:x}", VisitorId::random().0 >> 64);
    vec![
        Bench::new("embedded", Store::Folder),
        Bench::new("redis", Store::Redis(servers::Redis::start())),
        Bench::new("cluster", Store::Cluster(servers::shared_cluster(), prefix)),
    ]
}

fn spot_of(joined: Joined) -> Spot {
    match joined {
        Joined::New(spot) | Joined::Known(spot) => spot,
    }
}

fn policy(rate_per_minute: u32, batch_seconds: u32, max_active: u32) -> Admission {
    Admission {
        rate_per_minute,
        batch_seconds,
        max_active,
        ..Admission::default()
    }
}

fn seats(available: u32, held: u32) -> Availability {
    Availability {
        capacity: 10,
        available,
        held,
        booked: 10 - available - held,
        as_of: START,
    }
}

#[tokio::test]
async fn numbers_are_dense_from_one_and_joining_twice_is_joining_once() {
    for bench in benches() {
        let event = bench.event(policy(0, 5, 10)).await;
        assert_eq!(
            bench.join(&event, 1..=5).await,
            [1, 2, 3, 4, 5],
            "{}",
            bench.name
        );
        assert_eq!(
            bench.join(&event, 4..=7).await,
            [4, 5, 6, 7],
            "{}",
            bench.name
        );
        let again = bench.line.join(&event, &[VisitorId(2)]).await.unwrap();
        assert!(matches!(again[0], Joined::Known(spot) if spot.number == 2));
    }
}

#[tokio::test]
async fn who_left_or_finished_or_missed_joins_again_at_the_back() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 1)).await;
        bench.join(&event, 1..=3).await;
        bench.line.leave(&event, VisitorId(2)).await.unwrap();
        assert_eq!(bench.standing(&event, 2).await, Standing::Left);
        assert_eq!(bench.join(&event, 2..=2).await, [4]);
        bench.tick_after(&event, 1).await;
        bench.line.finish(&event, VisitorId(1), 1).await.unwrap();
        assert_eq!(bench.standing(&event, 1).await, Standing::Finished);
        assert_eq!(bench.join(&event, 1..=1).await, [5]);
    }
}

#[tokio::test]
async fn ahead_counts_who_still_waits_with_a_lower_number_and_nobody_else() {
    for bench in benches() {
        let event = bench.event(policy(0, 5, 10)).await;
        bench.join(&event, 1..=1500).await;
        for leaver in [1, 2, 700, 1400] {
            bench.line.leave(&event, VisitorId(leaver)).await.unwrap();
        }
        let front = bench.line.tick(&event).await.unwrap();
        for (visitor, ahead) in [(3, 0), (699, 696), (701, 697), (1500, 1495)] {
            assert_eq!(bench.spot(&event, visitor).await.ahead, ahead);
            assert_eq!(front.alive.ahead(visitor as u64), ahead, "the front agrees");
        }
        assert!(!front.alive.contains(700) && front.alive.contains(701));
        assert_eq!((front.waiting, front.numbers), (1496, 1500));
    }
}

#[tokio::test]
async fn a_batch_is_what_the_rate_allows_in_order_however_often_anyone_ticks() {
    for bench in benches() {
        let event = bench.event(policy(60, 5, 1000)).await;
        bench.join(&event, 1..=40).await;
        bench.tick_after(&event, 0).await;
        let first: Vec<u128> = (1..=5).collect();
        assert_eq!(bench.admitted(&event, 1..=40).await, first);
        for _ in 0..20 {
            bench.tick_after(&event, 0).await;
        }
        bench.tick_after(&event, 4).await;
        assert_eq!(bench.admitted(&event, 1..=40).await, first);
        bench.tick_after(&event, 1).await;
        assert_eq!(
            bench.admitted(&event, 1..=40).await,
            (1..=10).collect::<Vec<_>>()
        );
        // A minute in which nobody ticked is not made up for.
        bench.tick_after(&event, 60).await;
        assert_eq!(
            bench.admitted(&event, 1..=40).await,
            (1..=15).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn a_rate_below_one_fan_a_batch_is_kept_exactly() {
    for bench in benches() {
        let event = bench.event(policy(7, 5, 1000)).await;
        bench.join(&event, 1..=100).await;
        for _ in 0..600 {
            bench.tick_after(&event, 1).await;
        }
        let admitted = bench.line.stats(&event).await.unwrap().total.admitted;
        assert!(
            (60..=71).contains(&admitted),
            "{admitted} in ten minutes at 7 a minute"
        );
    }
}

#[tokio::test]
async fn admitted_and_shopping_never_exceed_max_active_and_a_lapsed_slot_moves_on_in_the_same_step()
{
    for bench in benches() {
        let event = bench
            .event(Admission {
                claim_seconds: 10,
                ..policy(60_000, 1, 3)
            })
            .await;
        bench.join(&event, 1..=9).await;
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [1, 2, 3]);
        assert!(matches!(
            bench.line.claim(&event, VisitorId(2), 2).await,
            Ok(Claimed::Until(_))
        ));
        bench.tick_after(&event, 5).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [1, 3]);
        bench.tick_after(&event, 5).await;
        assert_eq!(bench.standing(&event, 1).await, Standing::Missed);
        assert_eq!(
            bench.admitted(&event, 1..=9).await,
            [4, 5],
            "two lapsed, two came, one shops"
        );
        bench.line.finish(&event, VisitorId(2), 2).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [4, 5, 6]);
        let less = Patch {
            admission: Some(serde_json::from_str("{\"max_active\": 1}").unwrap()),
            ..Patch::default()
        };
        bench.line.configure(&event, less).await.unwrap();
        bench.line.leave(&event, VisitorId(4)).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(
            bench.admitted(&event, 1..=9).await,
            [5, 6],
            "nobody new above the lowered limit"
        );
    }
}

#[tokio::test]
async fn no_more_are_admitted_than_there_are_seats_and_none_to_a_checkout_that_is_silent() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 100)).await;
        bench.line.report(&event, seats(2, 0)).await.unwrap();
        bench.join(&event, 1..=9).await;
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [1, 2]);
        bench.line.report(&event, seats(4, 0)).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [1, 2, 3, 4]);
        bench.line.report(&event, seats(6, 0)).await.unwrap();
        bench.tick_after(&event, 31).await;
        assert_eq!(
            bench.admitted(&event, 1..=9).await,
            [1, 2, 3, 4],
            "the report is too old to go by"
        );
        bench.line.report(&event, seats(6, 0)).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=9).await, [1, 2, 3, 4, 5, 6]);
    }
}

#[tokio::test]
async fn a_claim_keeps_the_slot_until_the_token_ends_and_may_be_repeated() {
    for bench in benches() {
        let times = Admission {
            claim_seconds: 10,
            session_seconds: 20,
            ..policy(60_000, 1, 10)
        };
        let event = bench.event(times).await;
        bench.join(&event, 1..=2).await;
        assert_eq!(
            bench.line.claim(&event, VisitorId(1), 1).await.unwrap(),
            Claimed::Lapsed,
            "not admitted yet"
        );
        bench.tick_after(&event, 1).await;
        let slot = bench.spot(&event, 1).await.slot.unwrap();
        assert_eq!(slot.claim_by, slot.admitted_at.plus_seconds(10));
        assert_eq!(slot.expires_at, slot.admitted_at.plus_seconds(30));
        for _ in 0..3 {
            let claimed = bench.line.claim(&event, VisitorId(1), 1).await.unwrap();
            assert_eq!(claimed, Claimed::Until(slot.expires_at));
        }
        assert_eq!(
            bench.line.claim(&event, VisitorId(1), 2).await.unwrap(),
            Claimed::Lapsed,
            "another's number"
        );
        bench.tick_after(&event, 11).await;
        assert_eq!(bench.standing(&event, 1).await, Standing::Shopping);
        assert_eq!(bench.standing(&event, 2).await, Standing::Missed);
        assert_eq!(
            bench.line.claim(&event, VisitorId(2), 2).await.unwrap(),
            Claimed::Lapsed
        );
        bench.tick_after(&event, 20).await;
        assert_eq!(bench.standing(&event, 1).await, Standing::Missed);
        assert_eq!(
            bench.line.claim(&event, VisitorId(1), 1).await.unwrap(),
            Claimed::Lapsed
        );
    }
}

#[tokio::test]
async fn the_token_of_an_earlier_place_neither_claims_nor_finishes_the_new_one() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 10)).await;
        bench.join(&event, 1..=1).await;
        bench.tick_after(&event, 1).await;
        bench.line.leave(&event, VisitorId(1)).await.unwrap();
        bench.join(&event, 1..=1).await;
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.standing(&event, 1).await, Standing::Admitted);
        assert_eq!(
            bench.line.claim(&event, VisitorId(1), 1).await.unwrap(),
            Claimed::Lapsed
        );
        bench.line.finish(&event, VisitorId(1), 1).await.unwrap();
        assert_eq!(bench.standing(&event, 1).await, Standing::Admitted);
    }
}

#[tokio::test]
async fn nobody_finishes_anothers_turn() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 10)).await;
        bench.join(&event, 1..=2).await;
        bench.tick_after(&event, 1).await;
        bench.line.finish(&event, VisitorId(2), 1).await.unwrap();
        bench.line.finish(&event, VisitorId(9), 1).await.unwrap();
        assert_eq!(bench.standing(&event, 1).await, Standing::Admitted);
        assert_eq!(bench.standing(&event, 2).await, Standing::Admitted);
    }
}

#[tokio::test]
async fn leaving_and_finishing_twice_and_for_nobody_is_no_error() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 10)).await;
        bench.join(&event, 1..=1).await;
        for _ in 0..2 {
            bench.line.leave(&event, VisitorId(1)).await.unwrap();
            bench.line.leave(&event, VisitorId(99)).await.unwrap();
            bench.line.finish(&event, VisitorId(99), 7).await.unwrap();
        }
        assert_eq!(bench.line.stats(&event).await.unwrap().total.left, 1);
        assert_eq!(bench.line.place(&event, VisitorId(99)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_place_is_kept_while_connected_and_for_away_seconds_after_the_last_sign_of_life() {
    for bench in benches() {
        let event = bench
            .event(Admission {
                away_seconds: 10,
                ..policy(0, 1, 10)
            })
            .await;
        bench.join(&event, 1..=3).await;
        bench.line.back(&event, VisitorId(1)).await.unwrap();
        bench.tick_after(&event, 6).await;
        bench.line.place(&event, VisitorId(2)).await.unwrap();
        bench.tick_after(&event, 6).await;
        let standing = |spot: Option<Spot>| spot.unwrap().standing;
        assert_eq!(
            standing(bench.line.find(&event, 3).await.unwrap()),
            Standing::Missed
        );
        assert_eq!(
            standing(bench.line.find(&event, 2).await.unwrap()),
            Standing::Waiting,
            "polled"
        );
        bench.tick_after(&event, 600).await;
        assert_eq!(
            standing(bench.line.find(&event, 1).await.unwrap()),
            Standing::Waiting,
            "connected"
        );
        bench.line.away(&event, VisitorId(1)).await.unwrap();
        bench.tick_after(&event, 9).await;
        assert_eq!(
            standing(bench.line.find(&event, 1).await.unwrap()),
            Standing::Waiting
        );
        bench.tick_after(&event, 1).await;
        assert_eq!(
            standing(bench.line.find(&event, 1).await.unwrap()),
            Standing::Missed
        );
    }
}

#[tokio::test]
async fn whose_turn_comes_while_they_are_away_is_admitted_like_anyone() {
    for bench in benches() {
        let event = bench
            .event(Admission {
                away_seconds: 10,
                claim_seconds: 60,
                ..policy(60_000, 1, 10)
            })
            .await;
        bench.join(&event, 1..=1).await;
        bench.line.away(&event, VisitorId(1)).await.unwrap();
        bench.tick_after(&event, 5).await;
        bench.tick_after(&event, 20).await;
        assert_eq!(
            bench.standing(&event, 1).await,
            Standing::Admitted,
            "claim_seconds, not away_seconds"
        );
    }
}

#[tokio::test]
async fn an_ejected_visitor_stays_ejected() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 1)).await;
        bench.join(&event, 1..=2).await;
        bench.tick_after(&event, 1).await;
        assert!(bench.line.eject(&event, VisitorId(1)).await.unwrap());
        assert!(!bench.line.eject(&event, VisitorId(77)).await.unwrap());
        bench.tick_after(&event, 1).await;
        assert_eq!(
            bench.standing(&event, 2).await,
            Standing::Admitted,
            "the slot moved on"
        );
        bench.join(&event, 1..=1).await;
        assert_eq!(bench.standing(&event, 1).await, Standing::Ejected);
        bench.line.leave(&event, VisitorId(2)).await.unwrap();
        bench.line.eject(&event, VisitorId(2)).await.unwrap();
        bench.join(&event, 2..=2).await;
        assert_eq!(
            bench.standing(&event, 2).await,
            Standing::Ejected,
            "gone and ejected: no way back"
        );
    }
}

#[tokio::test]
async fn the_schedule_opens_and_closes_the_line_and_the_sale() {
    for bench in benches() {
        let event = EventId::parse("timed").unwrap();
        let mut settings = EventSettings::new(event.clone(), "Timed");
        settings.admission = policy(60_000, 1, 10);
        settings.prequeue_opens_at = Some(START.plus_seconds(10));
        settings.sale_opens_at = Some(START.plus_seconds(20));
        settings.closes_at = Some(START.plus_seconds(40));
        bench.line.create(settings).await.unwrap();
        let phase = async || bench.line.tick(&event).await.unwrap().phase;
        assert_eq!(phase().await, Phase::Scheduled);
        let early = bench.line.join(&event, &[VisitorId(1)]).await;
        assert_eq!(early, Err(Refused::NotOpen(Some(START.plus_seconds(10)))));
        bench.clock.advance_ms(10_000);
        assert_eq!(phase().await, Phase::Prequeue);
        bench.join(&event, 1..=2).await;
        bench.tick_after(&event, 9).await;
        assert_eq!(
            bench.standing(&event, 1).await,
            Standing::Waiting,
            "the sale is not open"
        );
        bench.tick_after(&event, 1).await;
        assert_eq!(phase().await, Phase::Open);
        assert_eq!(bench.standing(&event, 1).await, Standing::Admitted);
        bench.clock.advance_ms(20_000);
        assert_eq!(phase().await, Phase::Closed);
        assert_eq!(
            bench.line.join(&event, &[VisitorId(3)]).await,
            Err(Refused::Closed(Phase::Closed))
        );
        assert_eq!(
            bench.join(&event, 2..=2).await,
            [2],
            "who has a place still sees it"
        );
    }
}

#[tokio::test]
async fn a_pause_stops_admission_and_nothing_else() {
    for bench in benches() {
        let event = bench.event(policy(60, 1, 100)).await;
        bench
            .line
            .configure(
                &event,
                Patch {
                    paused: Some(true),
                    ..Patch::default()
                },
            )
            .await
            .unwrap();
        assert_eq!(bench.join(&event, 1..=3).await, [1, 2, 3]);
        bench.tick_after(&event, 30).await;
        assert_eq!(bench.admitted(&event, 1..=3).await, []);
        bench
            .line
            .configure(
                &event,
                Patch {
                    paused: Some(false),
                    ..Patch::default()
                },
            )
            .await
            .unwrap();
        bench.tick_after(&event, 0).await;
        assert_eq!(
            bench.admitted(&event, 1..=3).await,
            [1],
            "no credit was saved up"
        );
    }
}

#[tokio::test]
async fn sold_out_takes_nobody_in_and_comes_back_when_seats_do() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 10)).await;
        bench.join(&event, 1..=3).await;
        bench.line.report(&event, seats(0, 1)).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(
            bench.line.tick(&event).await.unwrap().phase,
            Phase::Open,
            "a held seat may come back"
        );
        assert_eq!(bench.admitted(&event, 1..=3).await, []);
        bench.line.report(&event, seats(0, 0)).await.unwrap();
        assert_eq!(bench.line.tick(&event).await.unwrap().phase, Phase::SoldOut);
        assert_eq!(
            bench.line.join(&event, &[VisitorId(9)]).await,
            Err(Refused::Closed(Phase::SoldOut))
        );
        assert_eq!(bench.standing(&event, 2).await, Standing::Waiting);
        bench.line.report(&event, seats(2, 0)).await.unwrap();
        bench.tick_after(&event, 1).await;
        assert_eq!(bench.admitted(&event, 1..=3).await, [1, 2]);
    }
}

#[tokio::test]
async fn wrong_settings_are_refused_whole_and_name_the_field() {
    for bench in benches() {
        let event = bench.event(policy(600, 5, 10)).await;
        let patch: Patch =
            serde_json::from_str(r#"{"name": "New", "admission": {"batch_seconds": 0}}"#).unwrap();
        let refused = bench.line.configure(&event, patch).await.unwrap_err();
        assert!(
            matches!(&refused, Refused::Invalid(list) if list[0].0 == "admission.batch_seconds"),
            "{refused:?}"
        );
        assert_eq!(bench.line.events().await.unwrap()[0].name, "Arena");
        let twice = bench.line.create(EventSettings::new(event, "Again")).await;
        assert_eq!(twice, Err(Refused::Exists));
    }
}

#[tokio::test]
async fn events_share_nothing_and_a_removed_one_is_gone() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 10)).await;
        let other = EventId::parse("other").unwrap();
        bench
            .line
            .create(EventSettings::new(other.clone(), "Other"))
            .await
            .unwrap();
        bench.join(&event, 1..=2).await;
        assert_eq!(bench.join(&other, 1..=1).await, [1]);
        bench.line.leave(&other, VisitorId(1)).await.unwrap();
        assert_eq!(bench.standing(&event, 1).await, Standing::Waiting);
        bench.line.remove(&event).await.unwrap();
        assert!(matches!(
            bench.line.tick(&event).await,
            Err(Refused::NoSuchEvent)
        ));
        assert_eq!(bench.line.remove(&event).await, Err(Refused::NoSuchEvent));
        assert_eq!(bench.line.events().await.unwrap().len(), 1);
        bench
            .line
            .create(EventSettings::new(event.clone(), "Anew"))
            .await
            .unwrap();
        assert_eq!(bench.join(&event, 5..=5).await, [1]);
    }
}

#[tokio::test]
async fn whatever_was_acknowledged_is_there_after_a_restart() {
    for mut bench in benches() {
        let event = bench
            .event(Admission {
                claim_seconds: 100,
                away_seconds: 50,
                ..policy(120, 1, 4)
            })
            .await;
        bench.join(&event, 1..=20).await;
        bench.tick_after(&event, 1).await;
        bench.tick_after(&event, 1).await;
        bench.line.claim(&event, VisitorId(1), 1).await.unwrap();
        bench.line.finish(&event, VisitorId(2), 2).await.unwrap();
        bench.line.leave(&event, VisitorId(10)).await.unwrap();
        bench.line.eject(&event, VisitorId(11)).await.unwrap();
        bench.line.report(&event, seats(9, 1)).await.unwrap();
        let told = Patch {
            message: Some(Some("hello".into())),
            ..Patch::default()
        };
        bench.line.configure(&event, told).await.unwrap();
        let mut before = Vec::new();
        for visitor in 1..=20 {
            before.push(bench.spot(&event, visitor).await);
        }
        let stats = bench.line.stats(&event).await.unwrap();
        bench.reopen();
        for (spot, visitor) in before.iter().zip(1..) {
            assert_eq!(bench.spot(&event, visitor).await, *spot);
        }
        let after = bench.line.stats(&event).await.unwrap();
        assert_eq!(
            (after.waiting, after.admitted, after.shopping),
            (stats.waiting, stats.admitted, stats.shopping)
        );
        assert_eq!(
            (after.total, after.availability),
            (stats.total, stats.availability)
        );
        assert_eq!(
            bench.line.events().await.unwrap()[0].message.as_deref(),
            Some("hello")
        );
        assert_eq!(bench.join(&event, 21..=21).await, [21]);
        // The same second: the batch of before the restart is not admitted again.
        bench.tick_after(&event, 0).await;
        assert_eq!(
            bench.line.stats(&event).await.unwrap().admitted,
            stats.admitted
        );
        bench.tick_after(&event, 51).await;
        assert_eq!(
            bench.line.stats(&event).await.unwrap().waiting,
            0,
            "nobody came back in away_seconds"
        );
    }
}

#[tokio::test]
async fn many_at_once_get_numbers_without_a_gap_or_a_double() {
    for bench in benches() {
        let event = bench.event(policy(0, 1, 10)).await;
        let mut joining = tokio::task::JoinSet::new();
        for visitor in 0..2000u128 {
            let (line, event) = (bench.line.clone(), event.clone());
            joining.spawn(async move {
                spot_of(line.join(&event, &[VisitorId(visitor)]).await.unwrap()[0]).number
            });
        }
        let mut numbers = joining.join_all().await;
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=2000).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn a_damaged_journal_is_refused_and_left_as_it_is() {
    let mut bench = Bench::new("embedded", Store::Folder);
    let event = bench.event(policy(0, 1, 10)).await;
    bench.join(&event, 1..=500).await;
    let path = bench.folder.path().join("line/arena.sqlite");
    bench.line =
        Arc::new(Embedded::open(bench.folder.path().join("empty"), bench.clock.clone()).unwrap());
    // The last handle is gone, so the thread closes its file; then its pages are overwritten.
    let wal = path.with_extension("sqlite-wal");
    for _ in 0..500 {
        if !wal.exists() {
            break;
        }
        tokio::task::spawn_blocking(std::thread::yield_now)
            .await
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at..].fill(0xEE);
    std::fs::write(&path, &bytes).unwrap();
    let refused = Embedded::open(bench.folder.path().join("line"), bench.clock.clone())
        .err()
        .unwrap();
    assert!(
        refused.contains("arena.sqlite") && refused.contains("damaged"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}
