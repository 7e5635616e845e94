//! Webhooks about payments that are not known yet, as after a restore of the database: what they say
//! counts once the payment is known.

use crate::at_provider::Card;
use crate::stage::ProviderStage;
use axum::http::StatusCode;
use serde_json::Value;

/// Has the store know no payment by its provider's id, or know them all again.
async fn set_known(stage: &mut ProviderStage, is_known: bool) {
    let reference = match is_known {
        true => "substr(reference, 6)",
        false => "'lost_' || reference",
    };
    let sqlite = format!("update payment set reference = {reference}");
    let postgres = format!("update fairline.payment set reference = {reference}");
    stage.change_store(&sqlite, &postgres).await;
}

async fn reviews(stage: &ProviderStage) -> Vec<Value> {
    let reviews = stage.reviews().await;
    reviews.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_failed_needs_a_look_though_its_webhook_came_before_the_payment_was_known() {
    for mut stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1"]).await;
        stage.refund(&bought.id, None).await;
        stage.deliver().await;
        set_known(&mut stage, false).await;
        stage.provider.fail_refund(&stage.provider.newest());
        stage.deliver().await;
        stage.settle_all().await;
        assert_eq!(reviews(&stage).await, Vec::<Value>::new());
        set_known(&mut stage, true).await;
        stage.clock.advance_ms(3_600_000);
        stage.settle_all().await;
        let reviews = reviews(&stage).await;
        assert_eq!(reviews.len(), 1, "{}", stage.provider.name());
        let detail = reviews[0]["detail"].as_str().unwrap();
        assert!(detail.starts_with("a refund of 4500 failed"), "{detail}");
        stage.leave_difference();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_amount_needs_a_look_later_if_the_provider_says_it_still_when_it_is_asked() {
    for mut stage in ProviderStage::all().await {
        let order = stage.order(&["s-A-1"]).await;
        let told = stage.told(&order).await;
        let paid = stage.provider.pay(&told, Card::Good).unwrap();
        set_known(&mut stage, false).await;
        let wrong = stage.provider.misstate(&paid, 1, "EUR");
        assert_eq!(stage.webhook(&wrong).await, StatusCode::NO_CONTENT);
        assert_eq!(stage.see(&order).await.state, "paying");
        set_known(&mut stage, true).await;
        stage.clock.advance_ms(30_000);
        stage.node.shop.reconcile_due().await;
        stage.node.shop.reconcile_due().await;
        let reviews = reviews(&stage).await;
        // Stripe's own books are right, and count for more than the webhook.
        if stage.provider.is_stripe() {
            assert_eq!(reviews, Vec::<Value>::new());
            stage.settle_all().await;
            assert_eq!(stage.see(&order).await.state, "confirmed");
            stage.check_books().await;
            continue;
        }
        assert_eq!(reviews.len(), 1);
        assert_eq!(reviews[0]["reason"], "other_amount");
        stage.leave_difference();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complaint_about_a_payment_that_is_looked_at_already_stands_in_its_history() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        stage.refund(&bought.id, Some(&["s-A-1"])).await;
        let paid = stage.provider.newest();
        stage.provider.refund_elsewhere(&paid, 1000);
        stage.deliver().await;
        assert_eq!(reviews(&stage).await[0]["reason"], "refunded_elsewhere");
        stage.provider.fail_refund(&paid);
        stage.deliver().await;
        let details = stage.details(&bought.id).await;
        let history = details["payments"][0]["history"].as_array().unwrap().iter();
        let mut notes = history.filter_map(|entry| entry["note"].as_str());
        assert!(
            notes.any(|note| note.starts_with("a refund of 1000 failed")),
            "{details}"
        );
        stage.leave_difference();
    }
}
