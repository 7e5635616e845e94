//! Several who say something about one payment at the same instant.

use crate::at_provider::{AtProvider, Card};
use crate::stage::{PRICE, ProviderStage};
use axum::http::StatusCode;
use futures_util::future::join_all;
use serde_json::{Value, json};

/// Number of times that a race is run.
const ROUNDS: usize = 6;

/// Returns what Razorpay's window gives the browser for an order that was paid.
async fn pay(stage: &ProviderStage, order: &Value) -> Option<Value> {
    let told = stage.told(order).await;
    match &*stage.provider {
        AtProvider::Razorpay(stand_in) => Some(stand_in.pay(&told, "card").unwrap()),
        AtProvider::Stripe(_) => {
            stage.provider.pay(&told, Card::Good).unwrap();
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_the_page_and_the_reconciler_that_tell_of_one_payment_at_once_have_one_effect() {
    for stage in ProviderStage::all().await {
        let invoicing = json!({"seller": "Arena Ltd", "tax_id": "DE 123", "series": "ARENA"});
        stage.set_rules(json!({"invoicing": invoicing})).await;
        for round in 1..=ROUNDS {
            let order = stage.order(&["s-A-1"]).await;
            let returned = pay(&stage, &order).await;
            let events = stage.provider.take_events();
            // The reconciler finds it due.
            stage.clock.advance_ms(20_000);
            let webhooks = join_all(events.iter().map(|event| stage.webhook(event)));
            let page = async {
                if let Some(returned) = &returned {
                    stage.return_to(&order, returned).await;
                }
            };
            let ((), (), webhooks) = tokio::join!(page, stage.node.shop.reconcile_due(), webhooks);
            assert!(
                webhooks
                    .iter()
                    .all(|status| *status == StatusCode::NO_CONTENT)
            );
            stage.settle_all().await;
            let bought = stage.see(&order).await;
            assert_eq!(bought.state, "confirmed");
            assert_eq!(stage.provider.taken(), round, "taken once each");
            let inventory = &stage.node.shop.inventory;
            let invoices = inventory.invoices(&stage.event, &bought.id).await;
            assert_eq!(invoices.unwrap().len(), 1);
            stage.check_books().await;
            stage.refund(&bought.id, None).await;
            stage.deliver().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_comes_while_its_order_expires_is_taken_for_the_seats_or_let_go() {
    for stage in ProviderStage::all().await {
        for round in 0..ROUNDS {
            let order = stage.order(&["s-A-1"]).await;
            pay(&stage, &order).await;
            stage.clock.advance_ms(601_000);
            // Both come first in turn.
            if round % 2 == 0 {
                tokio::join!(stage.sweep(), stage.deliver());
            } else {
                tokio::join!(stage.deliver(), stage.sweep());
            }
            stage.settle_all().await;
            stage.deliver().await;
            let ended = stage.see(&order).await;
            match ended.state.as_str() {
                "confirmed" => {
                    assert_eq!(stage.counts().await, [5, 0, 1]);
                    stage.check_books().await;
                    stage.refund(&ended.id, None).await;
                }
                "expired" => assert_eq!(stage.counts().await, [6, 0, 0]),
                state => panic!("{state}"),
            }
            stage.check_books().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_that_are_asked_for_at_once_give_back_no_more_than_was_paid() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1", "s-A-2", "s-A-3"]).await;
        let one: &[&str] = &["s-A-1"];
        let part = join_all((0..6).map(|_| stage.refund(&bought.id, Some(one)))).await;
        assert!(
            part.iter().any(|(status, _)| *status == StatusCode::OK),
            "{part:?}"
        );
        stage.settle_all().await;
        let left = stage.see_order(&bought.id).await;
        assert_eq!(left.refunded.map(|refunded| refunded.amount), Some(PRICE));
        stage.check_books().await;
        let whole = join_all((0..6).map(|_| stage.refund(&bought.id, None))).await;
        assert!(
            whole.iter().any(|(status, _)| *status == StatusCode::OK),
            "{whole:?}"
        );
        stage.settle_all().await;
        let refunded = stage.details(&bought.id).await;
        assert_eq!(refunded["order"]["state"], "refunded");
        assert_eq!(refunded["order"]["refunded"], json!(bought.total));
        assert_eq!(stage.counts().await, [6, 0, 0]);
        stage.check_books().await;
    }
}
