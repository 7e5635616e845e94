//! Webhooks: signed, each acting once, in any order.

use crate::at_provider::{Card, Webhook};
use crate::stage::ProviderStage;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::process::ExitCode;
use testkit::WebhookEvent;

fn event(id: &str, intent: &Value) -> Webhook {
    let kind = "payment_intent.amount_capturable_updated";
    let body = json!({"id": id, "object": "event", "type": kind, "data": {"object": intent}});
    Webhook::Stripe(WebhookEvent {
        kind: kind.into(),
        body: body.to_string(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_act_once_in_any_order_however_often_they_come_and_if_they_never_come() {
    for stage in ProviderStage::all().await {
        for order_of_events in 0..4 {
            let order = stage.order(&["s-A-1"]).await;
            let told = stage.told(&order).await;
            stage.provider.pay(&told, Card::Good).unwrap();
            let mut events = stage.provider.take_events();
            match order_of_events {
                0 => {}
                1 => events.reverse(),
                2 => events = [events.clone(), events].concat(),
                _ => events.clear(),
            }
            for event in &events {
                assert_eq!(stage.webhook(event).await, StatusCode::NO_CONTENT);
            }
            stage.settle_all().await;
            let bought = stage.see(&order).await;
            assert_eq!(bought.state, "confirmed", "{order_of_events}");
            // Those of the capture come late, and those of before once more.
            events.extend(stage.provider.take_events());
            events.reverse();
            for event in &events {
                assert_eq!(stage.webhook(event).await, StatusCode::NO_CONTENT);
            }
            assert_eq!(stage.see(&order).await.state, "confirmed");
            assert_eq!(stage.provider.captures(), order_of_events + 1);
            stage.check_books().await;
            stage.refund(&bought.id, None).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_webhook_sent_at_once_from_many_connections_has_one_effect() {
    for stage in ProviderStage::all().await {
        let order = stage.order(&["s-A-1"]).await;
        let told = stage.told(&order).await;
        stage.provider.pay(&told, Card::Good).unwrap();
        let events = stage.provider.take_events();
        let last = events.last().unwrap();
        let all = futures_util::future::join_all((0..8).map(|_| stage.webhook(last))).await;
        assert!(all.iter().all(|status| *status == StatusCode::NO_CONTENT));
        stage.settle_all().await;
        assert_eq!(stage.see(&order).await.state, "confirmed");
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_is_not_signed_by_the_provider_now_is_refused_and_does_nothing() {
    for stage in ProviderStage::all().await {
        let order = stage.order(&["s-A-1"]).await;
        let told = stage.told(&order).await;
        stage.provider.pay(&told, Card::Good).unwrap();
        let events = stage.provider.take_events();
        let event = events.last().unwrap();
        for signature in event.bad_signatures(stage.seconds()) {
            let status = stage.send_webhook(event, &signature).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{signature}");
        }
        assert_eq!(stage.see(&order).await.state, "paying");
        let inventory = &stage.node.shop.inventory;
        assert!(!inventory.has_received(&event.inbox_id()).await.unwrap());
        assert_eq!(stage.webhook(event).await, StatusCode::NO_CONTENT);
        assert!(inventory.has_received(&event.inbox_id()).await.unwrap());
        assert_eq!(stage.see(&order).await.state, "confirmed");
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_of_stripe_about_an_unknown_payment_is_parked_and_one_of_others_ignored() {
    for stage in ProviderStage::stripe().await {
        let metadata = json!({"event": "arena", "order": "ord_1", "payment": "pay_1"});
        let unknown = json!({"id": "pi_1", "object": "payment_intent", "status": "requires_capture",
            "amount": 4500, "currency": "eur", "metadata": metadata});
        let of_others = json!({"id": "pi_2", "object": "payment_intent", "status": "succeeded",
            "amount": 4500, "currency": "eur", "metadata": {"shop": "another"}});
        let account = json!({"id": "acct_1", "object": "account"});
        for (id, object) in [("evt_a", unknown), ("evt_b", of_others), ("evt_c", account)] {
            let status = stage.webhook(&event(id, &object)).await;
            assert_eq!(status, StatusCode::NO_CONTENT, "{id}");
        }
        stage.clock.advance_ms(60_000);
        let parked = stage.node.shop.inventory.parked().await.unwrap();
        let parked: Vec<&str> = parked.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(parked, ["evt_a"]);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_of_another_amount_or_currency_than_ours_needs_a_look_and_keeps_the_seats() {
    for stage in ProviderStage::all().await {
        for (seat, amount, currency) in [("s-A-1", 1, "EUR"), ("s-A-2", 4500, "USD")] {
            let order = stage.order(&[seat]).await;
            let told = stage.told(&order).await;
            let paid = stage.provider.pay(&told, Card::Good).unwrap();
            let wrong = stage.provider.misstate(&paid, amount, currency);
            assert_eq!(stage.webhook(&wrong).await, StatusCode::NO_CONTENT);
            assert_eq!(stage.see(&order).await.state, "needs_review");
            // Nothing is done by itself from then on.
            stage.deliver().await;
            stage.settle_all().await;
            assert_eq!(stage.see(&order).await.state, "needs_review");
        }
        assert_eq!(stage.counts().await, [4, 2, 0]);
        assert_eq!(stage.provider.captures(), 0);
        assert_eq!(
            stage.reconcile().await,
            ExitCode::from(1),
            "money is reserved there"
        );
        stage.leave_difference();
    }
}
