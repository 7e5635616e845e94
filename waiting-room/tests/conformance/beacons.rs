//! Draws with a beacon: a round of public randomness that is named in advance.

use crate::bench::{benches, benches_at};
use crate::draws::{numbers, prequeue};
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use waiting_room::draw::{Beacon, Entry, Round, order};
use waiting_room::line::{EventSettings, Order, Refused};

/// Half a minute before round 123 of the beacon quicknet was published.
pub(crate) const BEFORE_ROUND: Time = Time(1_692_803_703_000);

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
    for bench in benches_at(BEFORE_ROUND) {
        let event = prequeue(&bench, Some(beacon.clone())).await;
        bench.join(&event, 1..=20).await;
        bench.tick_after(&event, 10).await;
        bench.tick_after(&event, 5).await;
        let front = bench.line.tick(&event).await.unwrap();
        assert!(front.is_undrawn);
        assert_eq!(bench.line.stats(&event).await.unwrap().total.admitted, 0);
        let mut known = round.clone();
        let randomness = round.randomness(&beacon).unwrap();
        known.randomness = shared::crypto::hex(&randomness);
        bench
            .line
            .give_beacon(&event, &beacon, &known)
            .await
            .unwrap();
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
async fn who_comes_after_the_opening_is_not_in_a_draw_that_waits_for_its_beacon() {
    let beacon = Beacon {
        name: "quicknet".to_owned(),
        round: 123,
    };
    let round = Round {
        round: 123,
        signature: String::new(),
        previous_signature: String::new(),
        randomness: "00".repeat(32),
    };
    for mut bench in benches_at(BEFORE_ROUND) {
        let event = prequeue(&bench, Some(beacon.clone())).await;
        bench.join(&event, 1..=20).await;
        bench.clock.advance_ms(10_000);
        // Also before any tick has seen the opening.
        bench.join(&event, 21..=30).await;
        bench.tick_after(&event, 1).await;
        bench.line.leave(&event, VisitorId(5)).await.unwrap();
        bench.join(&event, 31..=40).await;
        bench.reopen();
        bench
            .line
            .give_beacon(&event, &beacon, &round)
            .await
            .unwrap();
        bench.tick_after(&event, 1).await;
        bench.tick_after(&event, 0).await;
        let name = bench.name;
        let state = bench.line.draw(&event).await.unwrap().unwrap();
        assert_eq!(state.outcome.unwrap().entries, 19, "{name}");
        let drawn = bench.line.drawn(&event, 1, 19).await.unwrap();
        let mut early: Vec<u128> = drawn.iter().map(|visitor| visitor.0).collect();
        early.sort_unstable();
        let expected: Vec<u128> = (1..=20).filter(|id| *id != 5).collect();
        assert_eq!(early, expected, "{name}");
        let late = numbers(&bench, &event, 21..=40).await;
        assert_eq!(late, (20..=39).collect::<Vec<u64>>(), "{name}: behind");
        let first = bench.line.find(&event, 1).await.unwrap().unwrap();
        assert_eq!(first.visitor, drawn[0], "{name}");
    }
}

#[tokio::test]
async fn a_round_that_is_published_before_the_sale_opens_is_refused_with_the_one_to_name() {
    for bench in benches() {
        let (name, now) = (bench.name, bench.clock.now());
        let opens = now.plus_seconds(600);
        let beacon = |round| {
            Some(Beacon {
                name: "quicknet".to_owned(),
                round,
            })
        };
        let mut settings = EventSettings::new(EventId::parse("drawn").unwrap(), "Drawn");
        settings.order = Order::Draw;
        settings.prequeue_opens_at = Some(now);
        settings.sale_opens_at = Some(opens);
        let why = |refused| match refused {
            Err(Refused::Invalid(list)) => match list.as_slice() {
                [(field, why)] if field == "beacon" => why.clone(),
                other => panic!("{name}: {other:?}"),
            },
            other => panic!("{name}: {other:?}"),
        };
        // The first round at the opening or later.
        let fine = (opens.seconds() as u64 - 1_692_803_367).div_ceil(3) + 1;
        for round in [1, 123, fine - 200, fine - 1] {
            settings.beacon = beacon(round);
            let why = why(bench.line.create(settings.clone()).await);
            let named = format!("before the sale opens: name round {fine} or a later one");
            assert!(why.ends_with(&named), "{name}: {why}");
        }
        settings.beacon = beacon(u64::MAX);
        why(bench.line.create(settings.clone()).await);
        settings.beacon = beacon(fine);
        let event = settings.id.clone();
        bench.line.create(settings).await.unwrap();
        let change = async |patch: String| {
            let patch = serde_json::from_str(&patch).unwrap();
            bench.line.configure(&event, patch).await.map(drop)
        };
        let past = r#"{"beacon": {"name": "default", "round": 72785}}"#.to_owned();
        assert!(why(change(past).await).contains("2020-08-16T21:49:30Z"));
        // A sale that is put off needs a later round, unless visitors are in line already.
        let later = opens.plus_seconds(60);
        let put_off = format!(r#"{{"sale_opens_at": "{later}"}}"#);
        why(change(put_off.clone()).await);
        let both = format!(
            r#"{{"sale_opens_at": "{later}", "beacon": {{"name": "quicknet", "round": {}}}}}"#,
            fine + 20
        );
        change(both).await.unwrap();
        bench.join(&event, 1..=1).await;
        let again = format!(r#"{{"sale_opens_at": "{}"}}"#, later.plus_seconds(600));
        change(again).await.unwrap();
    }
}
