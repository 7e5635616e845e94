//! Visitors who still have a place, and the limit on their number.

use crate::bench::{Bench, Store, benches, policy};
use shared::ids::VisitorId;
use waiting_room::line::{Admission, LINE_LENGTH_MAX, NUMBERS_MAX, Refused};

fn visitors(ids: impl IntoIterator<Item = u128>) -> Vec<VisitorId> {
    ids.into_iter().map(VisitorId).collect()
}

#[tokio::test]
async fn who_waits_is_admitted_or_shops_has_a_place_and_no_one_else() {
    for bench in benches() {
        let event = bench.event(policy(600, 1, 3)).await;
        bench.join(&event, 1..=300).await;
        bench.tick_after(&event, 1).await;
        assert_eq!(
            bench.admitted(&event, 1..=6).await,
            [1, 2, 3],
            "{}",
            bench.name
        );
        for shopping in [1, 2] {
            let number = bench.spot(&event, shopping).await.number;
            let claimed = bench.line.claim(&event, VisitorId(shopping), number);
            claimed.await.unwrap();
        }
        bench.line.finish(&event, VisitorId(1), 1).await.unwrap();
        bench.line.leave(&event, VisitorId(4)).await.unwrap();
        bench.line.eject(&event, VisitorId(5)).await.unwrap();
        let living = bench.line.living(&event, &visitors(1..=400)).await;
        let wanted = visitors((1..=300).filter(|id| ![1, 4, 5].contains(id)));
        assert_eq!(living.unwrap(), wanted, "{}", bench.name);
        // A visitor who comes again has a place again.
        bench.join(&event, 4..=4).await;
        let living = bench.line.living(&event, &visitors([4, 5])).await;
        assert_eq!(living.unwrap(), visitors([4]), "{}", bench.name);
    }
}

#[tokio::test]
async fn to_ask_who_has_a_place_is_no_sign_of_life() {
    for bench in benches() {
        let admission = Admission {
            away_seconds: 60,
            ..policy(0, 1, 3)
        };
        let event = bench.event(admission).await;
        bench.join(&event, 1..=2).await;
        bench.tick_after(&event, 50).await;
        let both = visitors([1, 2]);
        let living = bench.line.living(&event, &both).await;
        assert_eq!(living.unwrap(), both, "{}", bench.name);
        bench.tick_after(&event, 11).await;
        let living = bench.line.living(&event, &both).await;
        assert_eq!(living.unwrap(), [], "{}", bench.name);
    }
}

#[tokio::test]
async fn a_line_on_redis_has_a_longest_length_and_a_last_number() {
    let bench = Bench::new("redis", Store::Redis(testkit::Redis::start()));
    let Store::Redis(server) = &bench.store else {
        panic!("it is on Redis");
    };
    let event = bench.event(policy(0, 1, 3)).await;
    let set = |field: &str, value: u64| {
        let value = value.to_string();
        let command = ["HSET", "fairline:{arena}:meta", field, &value];
        server.ask(&command).unwrap();
    };
    let join = async |visitor: u128| bench.line.join(&event, &[VisitorId(visitor)]).await;
    bench.join(&event, 1..=1).await;
    set("waiting", LINE_LENGTH_MAX - 1);
    join(2).await.unwrap();
    assert!(matches!(join(3).await, Err(Refused::Full(_))));
    assert!(join(2).await.is_ok(), "who has a place keeps it");
    set("waiting", 2);
    set("numbers", NUMBERS_MAX - 1);
    assert_eq!(bench.join(&event, 4..=4).await, [NUMBERS_MAX]);
    assert!(matches!(join(5).await, Err(Refused::Full(_))));
}
