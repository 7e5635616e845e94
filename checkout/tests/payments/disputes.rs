//! Disputes of payments, such as chargebacks: recorded, looked at by a person, and in the books.

use crate::stage::{PRICE, ProviderStage};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::process::ExitCode;

async fn only_review(stage: &ProviderStage) -> Value {
    let reviews = stage.reviews().await;
    assert_eq!(reviews.as_array().map(Vec::len), Some(1), "{reviews}");
    reviews[0].clone()
}

async fn settle(stage: &ProviderStage, how: &Value) -> Value {
    let review = only_review(stage).await;
    let (status, details) = stage.settle(&review, "settle", how).await;
    assert_eq!(status, StatusCode::OK, "{details}");
    details
}

async fn tickets(stage: &ProviderStage, order: &str) -> usize {
    let order = stage.see_order(order).await;
    order.tickets.map_or(0, |tickets| tickets.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispute_is_recorded_once_needs_a_look_and_leaves_the_tickets_valid() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        let paid = stage.provider.newest();
        stage.provider.dispute(&paid, PRICE);
        assert_eq!(stage.reconcile().await, ExitCode::from(1), "not heard of");
        let events = stage.provider.take_events();
        for event in events.iter().chain(&events) {
            assert_eq!(stage.webhook(event).await, StatusCode::NO_CONTENT);
        }
        assert_eq!(tickets(&stage, &bought.id).await, 2);
        let review = only_review(&stage).await;
        assert_eq!(review["reason"], "disputed");
        assert_eq!(review["settlements"], json!(["keep", "take_back_seats"]));
        let details = stage.details(&bought.id).await;
        let payment = &details["payments"][0];
        assert_eq!(payment["charged_back"]["amount"], 0);
        let dispute = &payment["disputes"][0];
        assert_eq!(dispute["state"], "open");
        assert_eq!(dispute["amount"]["amount"], PRICE);
        assert!(dispute["due_at"].is_string() && dispute["reason"] != "");
        let audit = stage.node.shop.site.audit.newest(10).await;
        let told = audit
            .iter()
            .filter(|entry| entry.action == "payment.disputed");
        let told: Vec<_> = told.collect();
        assert_eq!(told.len(), 1, "once");
        assert_eq!(told[0].from["order"], *bought.id);
        assert_eq!(
            told[0].to["dispute"],
            json!({"id": dispute["id"], "amount": dispute["amount"],
            "reason": dispute["reason"], "due_at": dispute["due_at"], "state": "open"})
        );
        let (status, _) = stage.refund(&bought.id, None).await;
        assert_eq!(status, StatusCode::CONFLICT, "it is looked at");
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispute_that_is_won_needs_no_look_and_one_that_is_lost_is_money_that_went_back() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1"]).await;
        let paid = stage.provider.newest();
        stage.provider.dispute(&paid, PRICE);
        let begun = stage.provider.take_events();
        stage.provider.end_dispute(&paid, "won");
        stage.deliver().await;
        // A webhook sent before the end arrives after it.
        for event in &begun {
            assert_eq!(stage.webhook(event).await, StatusCode::NO_CONTENT);
        }
        assert_eq!(stage.reviews().await, json!([]));
        stage.check_books().await;

        stage.provider.dispute(&paid, PRICE);
        stage.deliver().await;
        settle(&stage, &json!({"how": "keep"})).await;
        assert_eq!(stage.reviews().await, json!([]));
        stage.provider.end_dispute(&paid, "lost");
        stage.deliver().await;
        let review = only_review(&stage).await;
        assert!(review["detail"].as_str().unwrap().ends_with(": lost"));
        let details = stage.details(&bought.id).await;
        let payment = &details["payments"][0];
        let states = [
            &payment["disputes"][0]["state"],
            &payment["disputes"][1]["state"],
        ];
        assert_eq!(states, ["won", "lost"]);
        assert_eq!(payment["charged_back"]["amount"], PRICE);
        assert_eq!(payment["refunded"]["amount"], 0);
        assert_eq!(details["refundable"]["amount"], 0);
        assert_eq!(tickets(&stage, &bought.id).await, 1);
        stage.check_books().await;
        // The ticket stays valid: it is the organiser's loss.
        settle(&stage, &json!({"how": "keep"})).await;
        assert_eq!(stage.counts().await, [5, 0, 1]);
        stage.check_books().await;
        // It is given back without money later.
        let (status, order) = stage.refund(&bought.id, None).await;
        assert_eq!(status, StatusCode::OK, "{order}");
        assert_eq!(order["state"], "refunded");
        assert_eq!(stage.counts().await, [6, 0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_of_a_disputed_payment_are_made_void_by_the_organiser_some_or_all() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1", "s-A-2", "s-A-3"]).await;
        let paid = stage.provider.newest();
        stage.provider.dispute(&paid, PRICE);
        stage.deliver().await;
        let one = json!({"how": "take_back_seats", "seats": ["s-A-2"]});
        let details = settle(&stage, &one).await;
        let dispute = &details["payments"][0]["disputes"][0];
        assert_eq!(dispute["taken_back"]["amount"], PRICE);
        assert_eq!(stage.counts().await, [4, 0, 2]);
        stage.check_books().await;
        stage.provider.end_dispute(&paid, "lost");
        stage.deliver().await;
        stage.check_books().await;
        settle(&stage, &json!({"how": "keep"})).await;
        stage.provider.dispute(&paid, 2 * PRICE);
        stage.provider.end_dispute(&paid, "lost");
        stage.deliver().await;
        let details = settle(&stage, &json!({"how": "take_back_seats"})).await;
        assert_eq!(details["order"]["state"], "refunded");
        assert_eq!(tickets(&stage, &bought.id).await, 0);
        assert_eq!(stage.counts().await, [6, 0, 0]);
        let payment = &stage.details(&bought.id).await["payments"][0];
        assert_eq!(payment["charged_back"]["amount"], 3 * PRICE);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispute_that_comes_while_a_payment_is_looked_at_is_looked_at_after_it() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        let paid = stage.provider.newest();
        stage.provider.refund_elsewhere(&paid, 1000);
        stage.deliver().await;
        stage.provider.dispute(&paid, PRICE);
        stage.deliver().await;
        assert_eq!(only_review(&stage).await["reason"], "refunded_elsewhere");
        settle(&stage, &json!({"how": "keep"})).await;
        assert_eq!(only_review(&stage).await["reason"], "disputed");
        settle(&stage, &json!({"how": "keep"})).await;
        assert_eq!(stage.reviews().await, json!([]));
        assert_eq!(tickets(&stage, &bought.id).await, 2);
        // A thousand went back for no seat.
        stage.leave_difference();
    }
}
