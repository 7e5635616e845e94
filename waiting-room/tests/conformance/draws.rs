//! The draw: everyone in line at the opening is shuffled once, and anyone can check it.

use crate::bench::{Bench, START, benches, policy, spot_of};
use shared::words::{EventId, VisitorId};
use waiting_room::draw::{Entry, Round, order, root_of_visitors};
use waiting_room::line::{Beacon, EventSettings, Joined, Order, Phase, Refused, Standing};

/// An event whose line is open and whose sale opens in ten seconds.
async fn prequeue(bench: &Bench, beacon: Option<Beacon>) -> EventId {
    let event = EventId::parse("drawn").unwrap();
    let mut settings = EventSettings::new(event.clone(), "Drawn");
    settings.admission = policy(60_000, 1, 1000);
    settings.order = Order::Draw;
    settings.beacon = beacon;
    settings.prequeue_opens_at = Some(START);
    settings.sale_opens_at = Some(START.plus_seconds(10));
    bench.line.create(settings).await.unwrap();
    event
}

async fn numbers(
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
        // By hand, from what is published.
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
        // The first in the new order are let in first.
        let standing = bench.spot(&event, expected[0].0).await.standing;
        assert_eq!(standing, Standing::Admitted);
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
            assert_eq!((left.number, left.standing), (0, Standing::Left));
            let ejected = bench.spot(&event, 3).await;
            assert_eq!((ejected.number, ejected.standing), (0, Standing::Ejected));
        }
        assert_eq!(bench.join(&event, 10..=11).await, [5, 6]);
        let back = bench.line.join(&event, &[VisitorId(2)]).await.unwrap()[0];
        assert!(
            matches!(back, Joined::New(spot) if spot.number == 7),
            "{back:?}"
        );
        let ejected = bench.line.join(&event, &[VisitorId(3)]).await.unwrap()[0];
        assert_eq!(spot_of(ejected).standing, Standing::Ejected);
        assert!(bench.line.eject(&event, VisitorId(3)).await.unwrap());
    }
}

#[tokio::test]
async fn a_draw_with_a_beacon_waits_for_its_round() {
    let beacon = Beacon {
        name: "quicknet".to_owned(),
        round: 123,
    };
    let round = Round {
        round: 123,
        signature: "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92".to_owned(),
        previous_signature: String::new(),
        randomness: String::new(),
    };
    for bench in benches() {
        let event = prequeue(&bench, Some(beacon.clone())).await;
        bench.join(&event, 1..=20).await;
        bench.tick_after(&event, 10).await;
        bench.tick_after(&event, 5).await;
        let front = bench.line.tick(&event).await.unwrap();
        assert!(front.is_undrawn);
        assert_eq!(bench.line.stats(&event).await.unwrap().total.admitted, 0);
        let mut known = round.clone();
        let randomness = round.randomness(&beacon).unwrap();
        known.randomness = shared::secret::hex(&randomness);
        bench.line.give_beacon(&event, &known).await.unwrap();
        bench.tick_after(&event, 1).await;
        bench.tick_after(&event, 0).await;
        let state = bench.line.draw(&event).await.unwrap().unwrap();
        assert_eq!(state.round, Some(known));
        let entries: Vec<Entry> = (1..=20).map(|id| Entry::of(VisitorId(id))).collect();
        let first = order(&state.seed, &randomness, &entries)[0];
        let spot = bench.line.find(&event, 1).await.unwrap().unwrap();
        assert_eq!(
            spot.visitor,
            VisitorId(u128::from(first) + 1),
            "{}",
            bench.name
        );
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
