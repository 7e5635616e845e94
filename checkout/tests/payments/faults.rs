//! Whatever goes wrong between the checkout and a provider, the books of both agree in the end.

use crate::at_provider::{Card, Operation};
use crate::stage::{PRICE, ProviderStage};
use checkout::inventory::{HoldState, Refused};
use futures_util::future::join_all;
use serde_json::Value;
use std::time::Duration;
use testkit::ApiFault;

/// Longer than a hold lasts, and than it may last at most.
const PAST_HOLD_MS: i64 = 130_000;
const PAST_CAP_MS: i64 = 600_000;

const FAULTS: [ApiFault; 5] = [
    ApiFault::AnswerLost,
    ApiFault::FailedAfter,
    ApiFault::FailedBefore,
    ApiFault::TooMany,
    ApiFault::Delayed(Duration::from_millis(50)),
];

const OPERATIONS: [Operation; 4] = [
    Operation::Offer,
    Operation::LookUp,
    Operation::Capture,
    Operation::Refund,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_order_is_charged_and_refunded_once_whatever_goes_wrong_once() {
    let stages = ProviderStage::all().await;
    join_all(stages.iter().map(survives_all_faults)).await;
}

async fn survives_all_faults(stage: &ProviderStage) {
    for operation in OPERATIONS {
        for fault in FAULTS {
            stage.provider.fail(operation, fault);
            let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
            assert_eq!(bought.state, "confirmed", "{operation:?} {fault:?}");
            stage.check_books().await;
            stage.refund(&bought.id, Some(&["s-A-1"])).await;
            stage.settle_all().await;
            let left = stage.see_order(&bought.id).await;
            let refunded = left.refunded.map(|refunded| refunded.amount);
            assert_eq!(refunded, Some(PRICE), "{operation:?} {fault:?}");
            stage.check_books().await;
            stage.refund(&bought.id, None).await;
            stage.settle_all().await;
            assert_eq!(stage.see_order(&bought.id).await.state, "refunded");
            stage.check_books().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_whose_failure_is_repeated_to_its_key_is_made_once_it_is_sure_that_it_was_not() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        // With every key of the operation.
        for _ in 0..2 {
            stage
                .provider
                .fail(Operation::Refund, ApiFault::FailedBefore);
        }
        stage.refund(&bought.id, Some(&["s-A-1"])).await;
        stage.settle_all().await;
        let refunded = stage.see_order(&bought.id).await.refunded;
        assert_eq!(refunded.map(|refunded| refunded.amount), Some(PRICE));
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_provider_is_away_seats_are_held_and_ordered_and_the_payment_follows() {
    for stage in ProviderStage::all().await {
        for _ in 0..3 {
            stage.provider.fail(Operation::Offer, ApiFault::TooMany);
        }
        let order = stage.order(&["s-A-1"]).await;
        assert_eq!(order["state"], "paying");
        assert_eq!(order["payment"]["client_secret"], "");
        assert_eq!(order["payment"]["order_id"], Value::Null);
        stage.settle_all().await;
        let told = stage.told(&order).await;
        stage.provider.pay(&told, Card::Good).unwrap();
        stage.settle_all().await;
        assert_eq!(stage.see(&order).await.state, "confirmed");
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_provider_is_away_holds_are_kept_up_to_their_cap_and_no_longer() {
    for stage in ProviderStage::all().await {
        let (_, waiting) = stage.hold(&["s-A-5"]).await;
        stage.clock.advance_ms(PAST_HOLD_MS);
        stage.sweep().await;
        assert_eq!(stage.counts().await, [6, 0, 0], "{waiting}");
        // Nothing that is asked of the provider is answered.
        for _ in 0..20 {
            stage.provider.fail(Operation::Offer, ApiFault::TooMany);
        }
        let order = stage.order(&["s-A-1"]).await;
        stage.settle_all().await;
        let (keys, hold) = stage.hold(&["s-A-3"]).await;
        stage.clock.advance_ms(PAST_HOLD_MS);
        stage.sweep().await;
        assert_eq!(stage.counts().await, [4, 2, 0]);
        // Nor does another fan get the seat.
        let taken = stage.try_hold(&["s-A-3"]).await;
        assert!(matches!(taken, Err(Refused::SeatsTaken(_))), "{taken:?}");
        let inventory = &stage.node.shop.inventory;
        let kept = inventory.show_hold(keys.clone(), &hold).await.unwrap();
        assert_eq!(kept.state, HoldState::Active);
        // Its fan is told so.
        let cap = Some(kept.expires_at.plus_seconds(480));
        assert_eq!(kept.kept_until, cap);
        let own = inventory.own_holds(keys.clone(), &stage.event).await;
        assert_eq!(own.unwrap()[0].kept_until, cap);
        stage.clock.advance_ms(PAST_CAP_MS);
        stage.sweep().await;
        assert_eq!(stage.counts().await, [6, 0, 0]);
        // It is back, and holds end in time again.
        stage.provider.heal();
        assert_eq!(stage.see(&order).await.state, "expired");
        let ended = inventory.show_hold(keys, &hold).await.unwrap();
        assert_eq!(ended.kept_until, None);
        stage.order(&["s-A-1"]).await;
        let (keys, hold) = stage.hold(&["s-A-3"]).await;
        let held = inventory.show_hold(keys, &hold).await.unwrap();
        assert_eq!(held.kept_until, None);
        stage.clock.advance_ms(PAST_HOLD_MS);
        stage.sweep().await;
        assert_eq!(stage.counts().await, [5, 1, 0]);
        stage.check_books().await;
    }
}
