//! Seats bought, declined, let go and refunded through Stripe.

use crate::stripe_stage::{PRICE, StripeStage};
use axum::http::StatusCode;
use checkout::inventory::LatePayment;
use testkit::ApiFault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_seats_are_bought_with_3d_secure_and_one_of_them_is_refunded() {
    for stage in StripeStage::both().await {
        let order = stage.order(&["s-A-1", "s-A-2"]).await;
        assert_eq!(order["payment"]["provider"], "stripe");
        let secret = stage.secret(&order).await;
        let waits = stage
            .stripe
            .confirm(&secret, "pm_card_threeDSecure2Required");
        let waits = waits.unwrap();
        stage.deliver().await;
        assert_eq!(stage.see(&order).await.state, "paying");
        let paid = stage
            .stripe
            .authenticate(waits["id"].as_str().unwrap(), true);
        assert_eq!(paid.unwrap()["status"], "requires_capture");
        stage.deliver().await;
        let bought = stage.see(&order).await;
        assert_eq!(bought.state, "confirmed");
        assert_eq!(bought.tickets.as_ref().unwrap().len(), 2);
        assert_eq!(stage.counts().await, [4, 0, 2]);
        stage.check_books().await;

        let (status, refunded) = stage.refund(&bought.id, Some(&["s-A-1"])).await;
        assert_eq!(
            (status, &refunded["state"]),
            (StatusCode::OK, &"confirmed".into())
        );
        assert_eq!(refunded["refunded"]["amount"], PRICE);
        let left = stage.see(&order).await.tickets.unwrap();
        assert_eq!((left.len(), left[0].seat.as_str()), (1, "s-A-2"));
        assert_eq!(stage.counts().await, [5, 0, 1]);
        stage.check_books().await;
        let sales = stage
            .node
            .shop
            .inventory
            .sales(&bought.event)
            .await
            .unwrap();
        assert_eq!(sales.revenue.amount, PRICE);

        // Neither the same seat again, nor one of others.
        for seat in ["s-A-1", "s-A-3", "nothing"] {
            let (status, problem) = stage.refund(&bought.id, Some(&[seat])).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        }
        let (status, problem) = stage.refund(&bought.id, Some(&[])).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        let (status, refunded) = stage.refund(&bought.id, None).await;
        assert_eq!(
            (status, &refunded["state"]),
            (StatusCode::OK, &"refunded".into())
        );
        assert_eq!(refunded["refunded"]["amount"], 2 * PRICE);
        assert_eq!(stage.counts().await, [6, 0, 0]);
        stage.check_books().await;
        let (status, _) = stage.refund(&bought.id, None).await;
        assert_eq!(status, StatusCode::CONFLICT, "nothing is refunded twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seat_that_was_refunded_alone_is_sold_again_and_stays_sold_when_the_rest_is_refunded() {
    for stage in StripeStage::both().await {
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        stage.refund(&bought.id, Some(&["s-A-1"])).await;
        let other = stage.buy(&["s-A-1"]).await;
        assert_eq!(other.state, "confirmed");
        let (status, _) = stage.refund(&bought.id, None).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(stage.counts().await, [5, 0, 1]);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decline_is_told_in_our_words_and_another_card_pays() {
    for stage in StripeStage::both().await {
        let order = stage.order(&["s-A-1"]).await;
        let secret = stage.secret(&order).await;
        let card = "pm_card_chargeDeclinedInsufficientFunds";
        stage.stripe.confirm(&secret, card).unwrap_err();
        stage.deliver().await;
        let declined = stage.see(&order).await;
        assert_eq!(declined.state, "declined");
        assert_eq!(
            declined.decline_reason.as_deref(),
            Some("insufficient_funds")
        );
        assert_ne!(
            declined.payment.id,
            order["payment"]["id"].as_str().unwrap()
        );
        // A declined payment cannot be paid any more.
        let late = stage.stripe.confirm(&secret, "pm_card_visa").unwrap_err();
        assert_eq!(late["error"]["code"], "payment_intent_unexpected_state");
        // Every decline is told, and followed by another attempt.
        let secret = &declined.payment.client_secret;
        let card = "pm_card_chargeDeclinedExpiredCard";
        stage.stripe.confirm(secret, card).unwrap_err();
        stage.deliver().await;
        let again = stage.see(&order).await;
        assert_eq!(again.decline_reason.as_deref(), Some("expired_card"));
        assert_ne!(again.payment.id, declined.payment.id);
        let secret = &again.payment.client_secret;
        stage.stripe.confirm(secret, "pm_card_visa").unwrap();
        stage.deliver().await;
        assert_eq!(stage.see(&order).await.state, "confirmed");
        assert_eq!(stage.stripe.intents().len(), 3);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_authentication_is_a_decline() {
    for stage in StripeStage::both().await {
        let order = stage.order(&["s-A-1"]).await;
        let secret = stage.secret(&order).await;
        let waits = stage
            .stripe
            .confirm(&secret, "pm_card_threeDSecure2Required");
        let id = waits.unwrap()["id"].as_str().unwrap().to_owned();
        stage.stripe.authenticate(&id, false).unwrap();
        stage.deliver().await;
        let declined = stage.see(&order).await;
        assert_eq!(
            declined.decline_reason.as_deref(),
            Some("not_authenticated")
        );
        assert_eq!(
            stage.counts().await,
            [5, 1, 0],
            "the seat is kept for another card"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_not_paid_in_time_is_cancelled_at_the_provider_before_its_seats_are_free()
{
    for stage in StripeStage::both().await {
        let order = stage.order(&["s-A-1"]).await;
        let secret = stage.secret(&order).await;
        for _ in 0..2 {
            stage.stripe.fail("cancel", ApiFault::FailedBefore);
        }
        stage.expire().await;
        stage.node.shop.reconcile_due().await;
        assert_eq!(stage.counts().await, [5, 1, 0], "it may be paid still");
        assert_eq!(stage.see(&order).await.state, "paying");
        stage.settle_all().await;
        assert_eq!(stage.see(&order).await.state, "expired");
        assert_eq!(stage.counts().await, [6, 0, 0]);
        stage.stripe.confirm(&secret, "pm_card_visa").unwrap_err();
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_are_free_at_the_hard_cap_whatever_the_provider_says_and_late_money_is_let_go() {
    for stage in StripeStage::both().await {
        let order = stage.order(&["s-A-1"]).await;
        let secret = stage.secret(&order).await;
        for _ in 0..100 {
            stage.stripe.fail("cancel", ApiFault::TooMany);
        }
        stage.expire().await;
        stage.settle_all().await;
        assert_eq!(stage.counts().await, [5, 1, 0]);
        stage.clock.advance_ms(15 * 60_000);
        stage.node.shop.inventory.sweep().await.unwrap();
        assert_eq!(stage.see(&order).await.state, "expired");
        assert_eq!(stage.counts().await, [6, 0, 0]);
        // The fan pays after all, and another has the seat by then.
        stage.stripe.confirm(&secret, "pm_card_visa").unwrap();
        let other = stage.buy(&["s-A-1"]).await;
        assert_eq!(other.state, "confirmed");
        stage.stripe.heal();
        stage.clock.advance_ms(10 * 60_000);
        stage.settle_all().await;
        let cancelled = stage.stripe.intents().into_iter();
        let cancelled = cancelled.filter(|intent| intent["status"] == "canceled");
        assert_eq!(cancelled.count(), 1);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_is_reserved_after_the_hard_cap_buys_the_same_seats_or_others_by_the_policy() {
    for stage in StripeStage::both().await {
        for (policy, seat) in [
            (LatePayment::ExactSeats, Some("s-A-1")),
            (LatePayment::SameCategory, Some("s-A-4")),
            (LatePayment::Void, None),
        ] {
            stage.set_late_payment(policy).await;
            let order = stage.order(&["s-A-1"]).await;
            let secret = stage.secret(&order).await;
            for _ in 0..100 {
                stage.stripe.fail("cancel", ApiFault::TooMany);
            }
            stage.expire().await;
            stage.clock.advance_ms(15 * 60_000);
            stage.node.shop.inventory.sweep().await.unwrap();
            assert_eq!(stage.see(&order).await.state, "expired");
            stage.deliver().await;
            stage.stripe.confirm(&secret, "pm_card_visa").unwrap();
            if policy == LatePayment::SameCategory {
                // Another fan holds the seat by then.
                let other = stage.order(&["s-A-1"]).await;
                stage.deliver().await;
                stage.stripe.heal();
                stage.release(&other).await;
            }
            stage.deliver().await;
            stage.stripe.heal();
            stage.clock.advance_ms(10 * 60_000);
            stage.settle_all().await;
            let seen = stage.see(&order).await;
            let tickets = seen.tickets.iter().flatten();
            let seats: Vec<&str> = tickets.map(|ticket| ticket.seat.as_str()).collect();
            assert_eq!(seats.first().copied(), seat, "{policy:?} {seen:?}");
            stage.check_books().await;
            if seat.is_some() {
                stage.refund(&seen.id, None).await;
            }
            assert_eq!(stage.counts().await, [6, 0, 0], "{policy:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_a_fan_lets_go_is_cancelled_at_the_provider() {
    for stage in StripeStage::both().await {
        let order = stage.order(&["s-A-1"]).await;
        stage.release(&order).await;
        stage.node.shop.reconcile_due().await;
        assert_eq!(stage.see(&order).await.state, "cancelled");
        assert_eq!(stage.counts().await, [6, 0, 0]);
        assert_eq!(stage.stripe.intents()[0]["status"], "canceled");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_is_reserved_and_cannot_be_taken_leaves_the_seats_to_another_card() {
    for stage in StripeStage::both().await {
        let order = stage.order(&["s-A-1"]).await;
        let secret = stage.secret(&order).await;
        let paid = stage.stripe.confirm(&secret, "pm_card_visa").unwrap();
        // The reservation is gone before the seats are booked.
        let told = stage.stripe.take_events();
        stage.stripe.cancel(paid["id"].as_str().unwrap()).unwrap();
        stage.webhook(told.last().unwrap()).await;
        let declined = stage.see(&order).await;
        assert_eq!(declined.state, "declined");
        assert_eq!(declined.tickets, None);
        assert_eq!(stage.counts().await, [5, 1, 0]);
        let secret = stage
            .secret(&serde_json::to_value(&declined).unwrap())
            .await;
        stage.stripe.confirm(&secret, "pm_card_visa").unwrap();
        stage.settle_all().await;
        assert_eq!(stage.see(&order).await.state, "confirmed");
        stage.check_books().await;
    }
}
