//! Places: how they are given, how long they are kept, what is reported of them.

use crate::bench::{Bench, Store, benches, policy, seats, spot_of};
use shared::ids::{EventId, VisitorId};
use std::sync::Arc;
use waiting_room::line::{
    Admission, Embedded, EventSettings, Joined, Patch, Refused, Spot, VisitorState,
};

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
        let twice = [VisitorId(50), VisitorId(50)];
        let twice = bench.line.join(&event, &twice).await.unwrap();
        assert!(matches!(twice[0], Joined::New(spot) if (spot.number, spot.ahead) == (8, 7)));
        assert!(matches!(twice[1], Joined::Known(spot) if (spot.number, spot.ahead) == (8, 7)));
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
        assert_eq!(bench.standing(&event, 2).await, VisitorState::Left);
        assert_eq!(bench.join(&event, 2..=2).await, [4]);
        bench.tick_after(&event, 1).await;
        bench.line.finish(&event, VisitorId(1), 1).await.unwrap();
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Finished);
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
            VisitorState::Missed
        );
        assert_eq!(
            standing(bench.line.find(&event, 2).await.unwrap()),
            VisitorState::Waiting,
            "polled"
        );
        bench.tick_after(&event, 600).await;
        assert_eq!(
            standing(bench.line.find(&event, 1).await.unwrap()),
            VisitorState::Waiting,
            "connected"
        );
        bench.line.away(&event, VisitorId(1)).await.unwrap();
        bench.tick_after(&event, 9).await;
        assert_eq!(
            standing(bench.line.find(&event, 1).await.unwrap()),
            VisitorState::Waiting
        );
        bench.tick_after(&event, 1).await;
        assert_eq!(
            standing(bench.line.find(&event, 1).await.unwrap()),
            VisitorState::Missed
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
            VisitorState::Admitted,
            "the slot moved on"
        );
        bench.join(&event, 1..=1).await;
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Ejected);
        bench.line.leave(&event, VisitorId(2)).await.unwrap();
        bench.line.eject(&event, VisitorId(2)).await.unwrap();
        bench.join(&event, 2..=2).await;
        assert_eq!(
            bench.standing(&event, 2).await,
            VisitorState::Ejected,
            "gone and ejected: no way back"
        );
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
        assert_eq!(bench.standing(&event, 1).await, VisitorState::Waiting);
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
        // In the same second: the batch from before the restart is not admitted again.
        bench.tick_after(&event, 0).await;
        assert_eq!(
            bench.line.stats(&event).await.unwrap().admitted,
            stats.admitted
        );
        bench.tick_after(&event, 51).await;
        assert_eq!(
            bench.line.stats(&event).await.unwrap().waiting,
            0,
            "none came back within away_seconds"
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

#[tokio::test]
async fn lengths_of_names_and_messages_are_counted_in_characters() {
    for bench in benches() {
        let event = bench.event(policy(0, 1, 10)).await;
        let change = async |field: &str, length: usize| {
            let text = format!(r#"{{"{field}": "{}"}}"#, "Ж".repeat(length));
            let patch = serde_json::from_str(&text).unwrap();
            bench.line.configure(&event, patch).await
        };
        for (field, longest) in [("name", 200), ("message", 500)] {
            assert!(change(field, longest).await.is_ok(), "{}", bench.name);
            let refused = change(field, longest + 1).await.unwrap_err();
            assert!(matches!(refused, Refused::Invalid(list) if list[0].0 == field));
        }
    }
}
