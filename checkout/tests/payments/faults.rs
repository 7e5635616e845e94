//! Whatever goes wrong between the checkout and Stripe, the books of both agree in the end.

use crate::stripe_stage::{PRICE, StripeStage};
use std::time::Duration;
use testkit::ApiFault;

const FAULTS: [ApiFault; 5] = [
    ApiFault::AnswerLost,
    ApiFault::FailedAfter,
    ApiFault::FailedBefore,
    ApiFault::TooMany,
    ApiFault::Delayed(Duration::from_millis(50)),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_order_is_charged_and_refunded_once_whatever_goes_wrong_once() {
    for stage in StripeStage::both().await {
        for operation in ["create", "capture", "refund"] {
            for fault in FAULTS {
                stage.stripe.fail(operation, fault);
                let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
                assert_eq!(bought.state, "confirmed", "{operation} {fault:?}");
                stage.check_books().await;
                stage.refund(&bought.id, Some(&["s-A-1"])).await;
                stage.settle_all().await;
                let left = stage.see_order(&bought.id).await;
                let refunded = left.refunded.map(|refunded| refunded.amount);
                assert_eq!(refunded, Some(PRICE), "{operation} {fault:?}");
                stage.check_books().await;
                stage.refund(&bought.id, None).await;
                stage.settle_all().await;
                assert_eq!(stage.see_order(&bought.id).await.state, "refunded");
                stage.check_books().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_whose_failure_is_repeated_to_its_key_is_made_once_it_is_sure_that_it_was_not() {
    for stage in StripeStage::both().await {
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        // With every key of the operation.
        for _ in 0..2 {
            stage.stripe.fail("refund", ApiFault::FailedBefore);
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
    for stage in StripeStage::both().await {
        for _ in 0..3 {
            stage.stripe.fail("create", ApiFault::TooMany);
        }
        let order = stage.order(&["s-A-1"]).await;
        assert_eq!(order["state"], "paying");
        assert_eq!(order["payment"]["client_secret"], "");
        stage.settle_all().await;
        stage.settle_all().await;
        let secret = stage.see(&order).await.payment.client_secret;
        stage.stripe.confirm(&secret, "pm_card_visa").unwrap();
        stage.settle_all().await;
        assert_eq!(stage.see(&order).await.state, "confirmed");
        stage.check_books().await;
    }
}
