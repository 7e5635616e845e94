//! The draw: all visitors in line at the opening are shuffled once, and anyone can check it.

use crate::bench::{Bench, START, benches, policy, spot_of};
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use waiting_room::draw::{Beacon, Entry, order, root_of_visitors};
use waiting_room::line::{Claimed, EventSettings, Joined, Order, Phase, Refused, VisitorState};

/// Creates an event whose line is open and whose sale opens in ten seconds.
pub(crate) async fn prequeue(bench: &Bench, beacon: Option<Beacon>) -> EventId {
    let event = EventId::parse("drawn").unwrap();
    let mut settings = EventSettings::new(event.clone(), "Drawn");
    settings.admission = policy(60_000, 1, 1000);
    settings.order = Order::Draw;
    settings.beacon = beacon;
    let now = bench.clock.now();
    settings.prequeue_opens_at = Some(now);
    settings.sale_opens_at = Some(now.plus_seconds(10));
    bench.line.create(settings).await.unwrap();
    event
}

pub(crate) async fn numbers(
    bench: &Bench,
    event: &EventId,
    visitors: std::ops::RangeInclusive<u128>,
) -> Vec<u64> {
    let mut numbers = Vec::new();
    for visitor in visitors {
        numbers.push(bench.spot(event, visitor).await.number);
    }
    numbers
}

#[tokio::test]
async fn those_in_line_at_the_opening_are_shuffled_once_by_the_promised_seed() {
    for bench in benches() {
        let event = prequeue(&bench, None).await;
        bench.join(&event, 1..=1200).await;
        bench.line.leave(&event, VisitorId(7)).await.unwrap();
        bench.line.eject(&event, VisitorId(8)).await.unwrap();
        bench.line.back(&event, VisitorId(9)).await.unwrap();
        let spot = bench.spot(&event, 5).await;
        assert!(
            spot.is_provisional,
            "{}: no number before the draw",
            bench.name
        );
        let before = bench.line.draw(&event).await.unwrap().unwrap();
        assert!(before.outcome.is_none());
        bench.tick_after(&event, 9).await;
        assert!(
            bench
                .line
                .draw(&event)
                .await
                .unwrap()
                .unwrap()
                .outcome
                .is_none()
        );
        bench.tick_after(&event, 1).await;
        let front = bench.line.tick(&event).await.unwrap();
        assert_eq!(front.phase, Phase::Open);
        assert!(!front.is_undrawn, "{}", bench.name);
        let after = bench.line.draw(&event).await.unwrap().unwrap();
        assert_eq!(after.seed, before.seed, "the seed that was promised");
        let outcome = after.outcome.unwrap();
        assert_eq!(outcome.entries, 1198);
        // Computed by hand from the published data.
        let present: Vec<u128> = (1..=1200).filter(|id| ![7, 8].contains(id)).collect();
        let entries: Vec<Entry> = present.iter().map(|id| Entry::of(VisitorId(*id))).collect();
        let order = order(&after.seed, b"", &entries);
        let expected: Vec<VisitorId> = order
            .iter()
            .map(|at| VisitorId(present[*at as usize]))
            .collect();
        assert_eq!(
            bench.line.drawn(&event, 1, 2000).await.unwrap()[..1198],
            expected
        );
        assert_eq!(
            bench.line.drawn(&event, 600, 10).await.unwrap(),
            expected[599..609]
        );
        assert_eq!(outcome.root, root_of_visitors(&expected));
        for number in [1, 2, 600, 1198] {
            let spot = bench.line.find(&event, number).await.unwrap().unwrap();
            assert_eq!(spot.visitor, expected[number as usize - 1]);
            assert_eq!(bench.spot(&event, spot.visitor.0).await.number, number);
        }
        // The first in the new order are admitted first.
        let standing = bench.spot(&event, expected[0].0).await.standing;
        assert_eq!(standing, VisitorState::Admitted);
        // Held once, and never again.
        bench.tick_after(&event, 1).await;
        assert_eq!(
            bench
                .line
                .draw(&event)
                .await
                .unwrap()
                .unwrap()
                .outcome
                .unwrap(),
            outcome
        );
    }
}

#[tokio::test]
async fn who_left_before_the_draw_has_no_number_and_who_comes_later_queues_behind() {
    for mut bench in benches() {
        let event = prequeue(&bench, None).await;
        bench.join(&event, 1..=6).await;
        bench.line.leave(&event, VisitorId(2)).await.unwrap();
        bench.line.eject(&event, VisitorId(3)).await.unwrap();
        bench.tick_after(&event, 10).await;
        bench.tick_after(&event, 0).await;
        let mut drawn = numbers(&bench, &event, 4..=6).await;
        drawn.push(bench.spot(&event, 1).await.number);
        drawn.sort_unstable();
        assert_eq!(drawn, [1, 2, 3, 4], "{}", bench.name);
        for again in [false, true] {
            if again {
                bench.reopen();
            }
            let left = bench.spot(&event, 2).await;
            assert_eq!((left.number, left.standing), (0, VisitorState::Left));
            let ejected = bench.spot(&event, 3).await;
            assert_eq!(
                (ejected.number, ejected.standing),
                (0, VisitorState::Ejected)
            );
        }
        assert_eq!(bench.join(&event, 10..=11).await, [5, 6]);
        let back = bench.line.join(&event, &[VisitorId(2)]).await.unwrap()[0];
        assert!(
            matches!(back, Joined::New(spot) if spot.number == 7),
            "{back:?}"
        );
        let ejected = bench.line.join(&event, &[VisitorId(3)]).await.unwrap()[0];
        assert_eq!(spot_of(ejected).standing, VisitorState::Ejected);
        assert!(bench.line.eject(&event, VisitorId(3)).await.unwrap());
    }
}

/// Asserts that exactly the expected visitors were drawn, that they have the numbers from 1 on, and
/// that no number is left.
async fn assert_drawn(bench: &Bench, event: &EventId, mut expected: Vec<u128>) {
    let name = bench.name;
    let state = bench.line.draw(event).await.unwrap().unwrap();
    let entries = state.outcome.unwrap().entries;
    let drawn = bench.line.drawn(event, 1, 100).await.unwrap();
    for (number, visitor) in (1..).zip(&drawn) {
        let spot = bench.spot(event, visitor.0).await;
        let told = (spot.number, spot.standing, spot.is_provisional);
        assert_eq!(
            told,
            (number, VisitorState::Waiting, false),
            "{name}: {visitor}"
        );
        let found = bench.line.find(event, number).await.unwrap().unwrap();
        assert_eq!(found.visitor, *visitor, "{name}");
    }
    let count = expected.len() as u64;
    let mut drawn: Vec<u128> = drawn.iter().map(|visitor| visitor.0).collect();
    drawn.sort_unstable();
    expected.sort_unstable();
    assert_eq!((drawn, entries), (expected, count), "{name}");
    let stats = bench.line.stats(event).await.unwrap();
    let front = bench.line.tick(event).await.unwrap();
    let counted = (stats.waiting, front.waiting, front.alive.count());
    assert_eq!(counted, (count, count, count), "{name}");
}

#[tokio::test]
async fn who_joined_again_before_the_draw_has_the_number_that_their_entry_drew() {
    for is_restarted in [false, true] {
        for mut bench in benches() {
            let event = EventId::parse("drawn").unwrap();
            let mut settings = EventSettings::new(event.clone(), "Drawn");
            settings.admission = policy(0, 1, 10);
            settings.admission.away_seconds = 5;
            settings.order = Order::Draw;
            settings.prequeue_opens_at = Some(START);
            settings.sale_opens_at = Some(START.plus_seconds(10));
            bench.line.create(settings).await.unwrap();
            bench.join(&event, 1..=12).await;
            for id in 1..=12 {
                bench.line.back(&event, VisitorId(id)).await.unwrap();
            }
            let leave = async |id| bench.line.leave(&event, VisitorId(id)).await.unwrap();
            let again = async |id: u128| bench.join(&event, id..=id).await;
            // 2 left and joined again, 3 twice; 4 to 6 are away for too long; 7 left; 8 left,
            // joined again, and left.
            leave(2).await;
            again(2).await;
            for _ in 0..2 {
                leave(3).await;
                again(3).await;
            }
            for id in 4..=6 {
                bench.line.away(&event, VisitorId(id)).await.unwrap();
            }
            for id in [2, 3] {
                bench.line.back(&event, VisitorId(id)).await.unwrap();
            }
            for id in [7, 8] {
                leave(id).await;
            }
            again(8).await;
            leave(8).await;
            // 9 joined again and was ejected.
            leave(9).await;
            again(9).await;
            assert!(bench.line.eject(&event, VisitorId(9)).await.unwrap());
            bench.tick_after(&event, 6).await;
            // 4 and 5 return and 6 does not; 5 leaves after all.
            assert_eq!(bench.standing(&event, 4).await, VisitorState::Missed);
            again(4).await;
            again(5).await;
            leave(5).await;
            if is_restarted {
                bench.reopen();
            }
            bench.tick_after(&event, 4).await;
            bench.tick_after(&event, 0).await;
            assert_drawn(&bench, &event, vec![1, 2, 3, 4, 10, 11, 12]).await;
            for (id, standing) in [
                (5, VisitorState::Left),
                (6, VisitorState::Missed),
                (7, VisitorState::Left),
                (8, VisitorState::Left),
                (9, VisitorState::Ejected),
            ] {
                let spot = bench.spot(&event, id).await;
                let told = (spot.number, spot.standing);
                assert_eq!(told, (0, standing), "{}: {id}", bench.name);
            }
            // Later visitors queue behind, and so do those who had left; none of them has two
            // places.
            let late = [5, 6, 7, 8, 20].map(VisitorId);
            let late = bench.line.join(&event, &late).await.unwrap();
            let late: Vec<u64> = late.iter().map(|joined| spot_of(*joined).number).collect();
            assert_eq!(late, [8, 9, 10, 11, 12], "{}", bench.name);
            assert_eq!(bench.line.tick(&event).await.unwrap().waiting, 12);
        }
    }
}

#[tokio::test]
async fn two_requests_of_one_visitor_in_one_batch_get_the_same_answer_before_the_draw() {
    for bench in benches() {
        let event = prequeue(&bench, None).await;
        bench.join(&event, 100..=105).await;
        let (line, name) = (&bench.line, bench.name);
        let twice = [VisitorId(1), VisitorId(1)];
        let joined = line.join(&event, &twice).await.unwrap();
        assert_eq!(spot_of(joined[0]), spot_of(joined[1]), "{name}");
        assert!(spot_of(joined[1]).is_provisional, "{name}: no number yet");
        // Two requests that arrive together, and again for a visitor who had left.
        for _ in 0..2 {
            let two = [VisitorId(2)];
            let (a, b) = tokio::join!(line.join(&event, &two), line.join(&event, &two));
            let (a, b) = (spot_of(a.unwrap()[0]), spot_of(b.unwrap()[0]));
            assert_eq!(a, b, "{name}");
            assert!(a.is_provisional, "{name}");
            assert_eq!(bench.spot(&event, 2).await.number, a.number, "{name}");
            let (a, b) = tokio::join!(
                line.leave(&event, VisitorId(2)),
                line.leave(&event, VisitorId(2))
            );
            assert_eq!((a, b), (Ok(()), Ok(())), "{name}");
        }
        let (a, b) = tokio::join!(
            line.back(&event, VisitorId(1)),
            line.back(&event, VisitorId(1))
        );
        assert_eq!(a.unwrap(), b.unwrap(), "{name}");
        let (a, b) = tokio::join!(
            line.place(&event, VisitorId(1)),
            line.place(&event, VisitorId(1))
        );
        assert_eq!(a.unwrap(), b.unwrap(), "{name}");
        let three = [VisitorId(3)];
        let (joined, left) =
            tokio::join!(line.join(&event, &three), line.leave(&event, VisitorId(3)));
        joined.unwrap();
        left.unwrap();
        let (a, b) = tokio::join!(
            line.eject(&event, VisitorId(3)),
            line.eject(&event, VisitorId(3))
        );
        assert_eq!((a, b), (Ok(true), Ok(true)), "{name}");
        let (a, b) = tokio::join!(line.join(&event, &three), line.join(&event, &three));
        let (a, b) = (spot_of(a.unwrap()[0]), spot_of(b.unwrap()[0]));
        assert_eq!((a, a.standing), (b, VisitorState::Ejected), "{name}");
        assert_eq!(line.tick(&event).await.unwrap().waiting, 7, "{name}");
        assert_eq!(line.stats(&event).await.unwrap().away, 6, "{name}");
    }
}

#[tokio::test]
async fn two_requests_of_one_visitor_in_one_batch_get_the_same_answer_inside() {
    for bench in benches() {
        let event = bench.event(policy(60_000, 1, 10)).await;
        bench.join(&event, 1..=3).await;
        bench.tick_after(&event, 1).await;
        let (line, name, one) = (&bench.line, bench.name, VisitorId(1));
        let (a, b) = tokio::join!(line.claim(&event, one, 1), line.claim(&event, one, 1));
        assert_eq!(a, b, "{name}");
        assert!(matches!(a, Ok(Claimed::Until(_))), "{name}");
        let (a, b) = tokio::join!(line.find(&event, 1), line.find(&event, 1));
        assert_eq!(a, b, "{name}");
        let (a, b) = tokio::join!(line.finish(&event, one, 1), line.finish(&event, one, 1));
        assert_eq!((a, b), (Ok(()), Ok(())), "{name}");
        let (a, b) = tokio::join!(line.claim(&event, one, 1), line.claim(&event, one, 1));
        assert_eq!((a, b), (Ok(Claimed::Lapsed), Ok(Claimed::Lapsed)), "{name}");
        let stats = line.stats(&event).await.unwrap();
        let counted = (stats.admitted, stats.shopping, stats.total.finished);
        assert_eq!(counted, (2, 0, 1), "{name}");
        let again = [one];
        let (a, b) = tokio::join!(line.join(&event, &again), line.join(&event, &again));
        let (a, b) = (spot_of(a.unwrap()[0]), spot_of(b.unwrap()[0]));
        assert_eq!((a, a.number, a.is_provisional), (b, 4, false), "{name}");
    }
}

#[tokio::test]
async fn the_order_cannot_be_changed_once_somebody_is_in_line() {
    for bench in benches() {
        let event = prequeue(&bench, None).await;
        let change = |text: &str| serde_json::from_str(text).unwrap();
        let fifo = r#"{"order": "fifo"}"#;
        bench.line.configure(&event, change(fifo)).await.unwrap();
        assert!(bench.line.draw(&event).await.unwrap().is_none());
        bench
            .line
            .configure(&event, change(r#"{"order": "draw"}"#))
            .await
            .unwrap();
        bench.join(&event, 1..=1).await;
        let refused = bench
            .line
            .configure(&event, change(fifo))
            .await
            .unwrap_err();
        assert!(matches!(refused, Refused::Invalid(list) if list[0].0 == "order"));
        let later = r#"{"beacon": {"name": "quicknet", "round": 5}}"#;
        let refused = bench
            .line
            .configure(&event, change(later))
            .await
            .unwrap_err();
        assert!(matches!(refused, Refused::Invalid(list) if list[0].0 == "order"));
    }
}

#[tokio::test]
async fn two_events_have_two_seeds() {
    for bench in benches() {
        let event = prequeue(&bench, None).await;
        let first = bench.line.draw(&event).await.unwrap().unwrap().seed;
        bench.line.remove(&event).await.unwrap();
        let event = prequeue(&bench, None).await;
        let second = bench.line.draw(&event).await.unwrap().unwrap().seed;
        assert_ne!(first, second, "{}: also under the same name", bench.name);
    }
}

#[tokio::test]
async fn a_draw_that_no_visitor_could_enter_is_refused_and_a_published_seed_is_never_used_again() {
    for bench in benches() {
        let name = bench.name;
        let id = EventId::parse("drawn").unwrap();
        let mut settings = EventSettings::new(id.clone(), "Drawn");
        settings.order = Order::Draw;
        let fields = |refused| match refused {
            Err(Refused::Invalid(list)) => {
                let fields = list.into_iter().map(|(field, _)| field);
                fields.collect::<Vec<String>>()
            }
            other => panic!("{name}: {other:?}"),
        };
        let refused = bench.line.create(settings.clone()).await;
        assert_eq!(fields(refused), ["sale_opens_at", "prequeue_opens_at"]);
        settings.sale_opens_at = Some(START);
        settings.prequeue_opens_at = Some(Time(START.0 - 1000));
        let refused = bench.line.create(settings).await;
        assert_eq!(
            fields(refused),
            ["sale_opens_at"],
            "{name}: not in the future"
        );
        // Opened without entries, and again later.
        let event = prequeue(&bench, None).await;
        bench.tick_after(&event, 10).await;
        bench.tick_after(&event, 0).await;
        let before = bench.line.draw(&event).await.unwrap().unwrap();
        assert_eq!(before.outcome.unwrap().entries, 0, "{name}");
        let later = format!(
            r#"{{"prequeue_opens_at": "{START}", "sale_opens_at": "{}"}}"#,
            START.plus_seconds(30)
        );
        let patch = serde_json::from_str(&later).unwrap();
        bench.line.configure(&event, patch).await.unwrap();
        let again = bench.line.draw(&event).await.unwrap().unwrap();
        assert!(again.outcome.is_none(), "{name}: armed again");
        assert_ne!(again.seed, before.seed, "{name}: that one is published");
        bench.join(&event, 1..=9).await;
        assert!(bench.spot(&event, 1).await.is_provisional, "{name}");
        bench.tick_after(&event, 20).await;
        bench.tick_after(&event, 0).await;
        let state = bench.line.draw(&event).await.unwrap().unwrap();
        assert_eq!(state.outcome.unwrap().entries, 9, "{name}");
        assert_eq!(state.seed, again.seed, "{name}");
    }
}

#[tokio::test]
async fn who_left_before_the_draw_and_was_ejected_stays_ejected_where_no_entry_is_left() {
    for mut bench in benches() {
        let event = prequeue(&bench, None).await;
        bench.join(&event, 1..=1).await;
        bench.line.leave(&event, VisitorId(1)).await.unwrap();
        bench.tick_after(&event, 10).await;
        bench.tick_after(&event, 0).await;
        let state = bench.line.draw(&event).await.unwrap().unwrap();
        assert_eq!(state.outcome.unwrap().entries, 0, "{}", bench.name);
        assert!(bench.line.eject(&event, VisitorId(1)).await.unwrap());
        bench.reopen();
        let joined = bench.line.join(&event, &[VisitorId(1)]).await.unwrap()[0];
        let standing = spot_of(joined).standing;
        assert_eq!(standing, VisitorState::Ejected, "{}", bench.name);
    }
}
