//! Subscriptions of fans in line: one for a place, sealed, due once, and deleted in time.

use crate::bench::*;
use checkout::inventory::{InLine, QueuedPush};
use shared::ids::{EventId, VisitorId};
use shared::line_push::{LinePush, PushKeys};
use shared::time::Time;

const LEASE_MS: i64 = 30_000;

fn place(event: &str, visitor: u128) -> InLine {
    InLine {
        event: EventId::parse(event).unwrap(),
        visitor: VisitorId(visitor),
    }
}

fn push(name: &str) -> LinePush {
    LinePush {
        endpoint: format!("https://push.example/{name}"),
        keys: PushKeys {
            p256dh: "a key".to_owned(),
            auth: "a secret".to_owned(),
        },
        language: "de".to_owned(),
    }
}

/// Time until which turns may be taken.
fn claim_by() -> Time {
    START.plus_seconds(120)
}

impl Bench {
    async fn subscribe(&self, place: &InLine, name: &str) {
        let pushes = self.seats.line_pushes();
        pushes.keep(place, &push(name)).await.unwrap();
    }

    async fn subscription(&self, place: &InLine) -> Option<LinePush> {
        self.seats.line_pushes().find(place).await.unwrap()
    }

    async fn call(&self, places: &[&InLine]) {
        let turns = places.iter().map(|place| ((*place).clone(), claim_by()));
        let pushes = self.seats.line_pushes();
        pushes.call(turns.collect()).await.unwrap();
    }

    async fn claim(&self, limit: u32) -> Vec<QueuedPush> {
        let pushes = self.seats.line_pushes();
        pushes.claim(limit, LEASE_MS).await.unwrap()
    }
}

#[tokio::test]
async fn a_place_has_one_subscription_which_the_last_one_replaces() {
    for mut bench in halls().await {
        let (ada, ben) = (place("arena", 1), place("arena", 2));
        assert_eq!(bench.subscription(&ada).await, None);
        bench.subscribe(&ada, "ada").await;
        bench.subscribe(&ben, "ben").await;
        bench.subscribe(&ada, "other").await;
        assert_eq!(bench.subscription(&ada).await, Some(push("other")));
        bench.reopen().await;
        assert_eq!(bench.subscription(&ada).await, Some(push("other")));
        bench.seats.line_pushes().remove(&ada).await.unwrap();
        assert_eq!(bench.subscription(&ada).await, None);
        assert_eq!(bench.subscription(&ben).await, Some(push("ben")));
    }
}

#[tokio::test]
async fn a_message_is_due_once_its_turn_has_come_and_again_after_its_lease() {
    for bench in halls().await {
        let (ada, ben) = (place("arena", 1), place("arena", 2));
        bench.subscribe(&ada, "ada").await;
        bench.subscribe(&ben, "ben").await;
        assert_eq!(bench.claim(10).await, []);
        bench.call(&[&ada, &place("arena", 3)]).await;
        let claimed = bench.claim(10).await;
        assert_eq!(claimed.len(), 1);
        let first = &claimed[0];
        assert_eq!((&first.place, first.attempts), (&ada, 1));
        assert_eq!(first.push, Some(push("ada")));
        assert_eq!(first.claim_by, claim_by());
        // It is under way, and a second call changes nothing.
        bench.call(&[&ada]).await;
        assert_eq!(bench.claim(10).await, []);
        bench.clock.advance_ms(LEASE_MS);
        let again = bench.claim(10).await;
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].attempts, 2);
        // The outcome of the attempt whose lease is over counts for nothing.
        let pushes = bench.seats.line_pushes();
        pushes.settle(first, None).await.unwrap();
        assert!(bench.subscription(&ada).await.is_some());
        let later = bench.clock.now().plus_seconds(5);
        pushes.settle(&again[0], Some(later)).await.unwrap();
        bench.clock.advance_ms(4_999);
        assert_eq!(bench.claim(10).await, []);
        bench.clock.advance_ms(1);
        let last = bench.claim(10).await;
        pushes.settle(&last[0], None).await.unwrap();
        assert_eq!(bench.subscription(&ada).await, None);
        assert!(bench.subscription(&ben).await.is_some());
    }
}

#[tokio::test]
async fn a_subscription_that_was_replaced_outlives_the_message_to_the_one_before() {
    for bench in halls().await {
        let ada = place("arena", 1);
        bench.subscribe(&ada, "ada").await;
        bench.call(&[&ada]).await;
        let claimed = bench.claim(1).await;
        bench.subscribe(&ada, "new").await;
        let pushes = bench.seats.line_pushes();
        pushes.settle(&claimed[0], None).await.unwrap();
        assert_eq!(bench.subscription(&ada).await, Some(push("new")));
        bench.clock.advance_ms(LEASE_MS);
        assert_eq!(bench.claim(1).await, [], "its turn has not come");
    }
}

#[tokio::test]
async fn no_two_nodes_take_one_message_and_none_takes_more_than_it_asks_for() {
    for bench in halls().await {
        let places: Vec<InLine> = (0..20).map(|visitor| place("arena", visitor)).collect();
        for place in &places {
            bench.subscribe(place, "fan").await;
        }
        bench.call(&places.iter().collect::<Vec<_>>()).await;
        let all = tokio::join!(bench.claim(8), bench.claim(8), bench.claim(8));
        let mut taken = Vec::new();
        for claimed in [all.0, all.1, all.2] {
            assert!(claimed.len() <= 8);
            taken.extend(claimed);
        }
        taken.extend(bench.claim(20).await);
        let mut visitors: Vec<u128> = taken.iter().map(|push| push.place.visitor.0).collect();
        visitors.sort_unstable();
        assert_eq!(visitors, (0..20).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn subscriptions_are_never_stored_in_clear() {
    for mut bench in halls().await {
        bench.reopen_with(&"0a".repeat(32)).await.unwrap();
        let ada = place("arena", 1);
        bench.subscribe(&ada, "ada").await;
        let stored = bench.everything_stored();
        for secret in ["push.example", "a secret", "a key"] {
            assert!(!stored.contains(secret), "{secret} is in clear");
        }
    }
}

#[tokio::test]
async fn subscriptions_are_deleted_with_their_line_and_event_but_not_while_they_are_told() {
    for bench in halls().await {
        let (arena, other) = (place("arena", 1), place("other", 1));
        let called = place("arena", 2);
        for place in [&arena, &other, &called] {
            bench.subscribe(place, "fan").await;
        }
        bench.call(&[&called]).await;
        let pushes = bench.seats.line_pushes();
        while pushes.purge(Some(&arena.event), 0).await.unwrap() {}
        assert_eq!(bench.subscription(&arena).await, None);
        assert!(bench.subscription(&called).await.is_some());
        assert!(bench.subscription(&other).await.is_some());
        bench.clock.advance_ms(120_000);
        while pushes.purge(Some(&arena.event), 0).await.unwrap() {}
        assert_eq!(bench.subscription(&called).await, None);
        bench.subscribe(&arena, "fan").await;
        while pushes.purge(None, 120_000).await.unwrap() {}
        assert_eq!(bench.subscription(&other).await, None);
        assert!(bench.subscription(&arena).await.is_some());
        bench.seats.remove(&arena.event).await.unwrap();
        assert_eq!(bench.subscription(&arena).await, None);
    }
}
