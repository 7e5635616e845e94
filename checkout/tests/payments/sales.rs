//! Seats bought, declined, let go and refunded through a provider.

use crate::at_provider::{AtProvider, Card, Operation};
use crate::stage::{PRICE, ProviderStage};
use axum::http::StatusCode;
use checkout::inventory::LatePayment;
use testkit::ApiFault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_seats_are_bought_with_3d_secure_and_one_of_them_is_refunded() {
    for stage in ProviderStage::all().await {
        let order = stage.order(&["s-A-1", "s-A-2"]).await;
        assert_eq!(order["payment"]["provider"], stage.provider.name());
        let told = stage.told(&order).await;
        let waits = stage.provider.pay(&told, Card::Secure).unwrap();
        stage.deliver().await;
        assert_eq!(stage.see(&order).await.state, "paying");
        stage.provider.authenticate(&waits, true);
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
    for stage in ProviderStage::all().await {
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
    for stage in ProviderStage::all().await {
        let order = stage.order(&["s-A-1"]).await;
        let told = stage.told(&order).await;
        stage.provider.pay(&told, Card::NoFunds).unwrap_err();
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
        // A declined payment cannot be paid any more, or its money is not taken.
        let late = stage.provider.pay(&told, Card::Good);
        assert_eq!(late.is_err(), stage.provider.is_stripe());
        stage.deliver().await;
        assert_eq!(stage.see(&order).await.state, "declined");
        // Every decline is told, and followed by another attempt.
        let next = serde_json::to_value(&declined).unwrap();
        let told = stage.told(&next).await;
        stage.provider.pay(&told, Card::Expired).unwrap_err();
        stage.deliver().await;
        let again = stage.see(&order).await;
        assert_eq!(again.decline_reason.as_deref(), Some("expired_card"));
        assert_ne!(again.payment.id, declined.payment.id);
        let again = serde_json::to_value(&again).unwrap();
        let told = stage.told(&again).await;
        stage.provider.pay(&told, Card::Good).unwrap();
        stage.deliver().await;
        assert_eq!(stage.see(&order).await.state, "confirmed");
        assert_eq!(stage.provider.offers(), 3);
        assert_eq!(stage.provider.taken(), 1);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_authentication_is_a_decline() {
    for stage in ProviderStage::all().await {
        let order = stage.order(&["s-A-1"]).await;
        let told = stage.told(&order).await;
        let waits = stage.provider.pay(&told, Card::Secure).unwrap();
        stage.provider.authenticate(&waits, false);
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
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_not_paid_in_time_is_cancelled_at_the_provider_before_its_seats_are_free()
{
    for stage in ProviderStage::all().await {
        let order = stage.order(&["s-A-1"]).await;
        let told = stage.told(&order).await;
        for _ in 0..2 {
            stage
                .provider
                .fail(Operation::Cancel, ApiFault::FailedBefore);
        }
        stage.expire().await;
        stage.node.shop.reconcile_due().await;
        assert_eq!(stage.counts().await, [5, 1, 0], "it may be paid still");
        assert_eq!(stage.see(&order).await.state, "paying");
        stage.settle_all().await;
        assert_eq!(stage.see(&order).await.state, "expired");
        assert_eq!(stage.counts().await, [6, 0, 0]);
        let late = stage.provider.pay(&told, Card::Good);
        assert_eq!(late.is_err(), stage.provider.is_stripe());
        stage.deliver().await;
        assert_eq!(stage.see(&order).await.state, "expired");
        assert_eq!(stage.provider.taken(), 0);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_are_free_at_the_hard_cap_whatever_the_provider_says_and_late_money_is_let_go() {
    for stage in ProviderStage::all().await {
        let order = stage.order(&["s-A-1"]).await;
        let told = stage.told(&order).await;
        for _ in 0..100 {
            stage.provider.fail(Operation::Cancel, ApiFault::TooMany);
        }
        stage.expire().await;
        stage.settle_all().await;
        assert_eq!(stage.counts().await, [5, 1, 0]);
        stage.clock.advance_ms(15 * 60_000);
        stage.node.shop.inventory.sweep().await.unwrap();
        assert_eq!(stage.see(&order).await.state, "expired");
        assert_eq!(stage.counts().await, [6, 0, 0]);
        // The fan pays after all, and another has the seat by then.
        stage.provider.pay(&told, Card::Good).unwrap();
        stage.provider.heal();
        let other = stage.buy(&["s-A-1"]).await;
        assert_eq!(other.state, "confirmed");
        stage.clock.advance_ms(10 * 60_000);
        stage.settle_all().await;
        assert_eq!(stage.see(&order).await.state, "expired");
        assert_eq!(stage.provider.taken(), 1);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_is_reserved_after_the_hard_cap_buys_the_same_seats_or_others_by_the_policy() {
    for stage in ProviderStage::stripe().await {
        for (policy, seat) in [
            (LatePayment::ExactSeats, Some("s-A-1")),
            (LatePayment::SameCategory, Some("s-A-4")),
            (LatePayment::Void, None),
        ] {
            stage.set_late_payment(policy).await;
            let order = stage.order(&["s-A-1"]).await;
            let told = stage.told(&order).await;
            for _ in 0..100 {
                stage.provider.fail(Operation::Cancel, ApiFault::TooMany);
            }
            stage.expire().await;
            stage.clock.advance_ms(15 * 60_000);
            stage.node.shop.inventory.sweep().await.unwrap();
            assert_eq!(stage.see(&order).await.state, "expired");
            stage.deliver().await;
            stage.provider.pay(&told, Card::Good).unwrap();
            if policy == LatePayment::SameCategory {
                // Another fan holds the seat by then.
                let other = stage.order(&["s-A-1"]).await;
                stage.deliver().await;
                stage.provider.heal();
                stage.release(&other).await;
            }
            stage.deliver().await;
            stage.provider.heal();
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
    for stage in ProviderStage::all().await {
        let order = stage.order(&["s-A-1"]).await;
        stage.release(&order).await;
        stage.node.shop.reconcile_due().await;
        assert_eq!(stage.see(&order).await.state, "cancelled");
        assert_eq!(stage.counts().await, [6, 0, 0]);
        if let AtProvider::Stripe(stand_in) = &*stage.provider {
            assert_eq!(stand_in.intents()[0]["status"], "canceled");
        }
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_is_reserved_and_cannot_be_taken_leaves_the_seats_to_another_card() {
    for stage in ProviderStage::all().await {
        let order = stage.order(&["s-A-1"]).await;
        let told = stage.told(&order).await;
        let paid = stage.provider.pay(&told, Card::Good).unwrap();
        // The reservation is gone before the money is taken for seats that are booked.
        for _ in 0..3 {
            stage.provider.fail(Operation::Capture, ApiFault::TooMany);
        }
        stage.deliver().await;
        assert_eq!(stage.see(&order).await.state, "confirming");
        assert_eq!(stage.counts().await, [5, 0, 1]);
        stage.provider.heal();
        stage.provider.lapse(&paid);
        stage.settle_all().await;
        let declined = stage.see(&order).await;
        assert_eq!(declined.state, "declined");
        assert_eq!(declined.tickets, None);
        assert_eq!(stage.counts().await, [5, 1, 0]);
        let declined = serde_json::to_value(&declined).unwrap();
        let told = stage.told(&declined).await;
        stage.provider.pay(&told, Card::Good).unwrap();
        stage.settle_all().await;
        assert_eq!(stage.see(&order).await.state, "confirmed");
        stage.check_books().await;
    }
}
