//! The books of disputes: what the bank took back is in every figure, in no refund, and credited once.

use crate::stage::{PRICE, ProviderStage};
use axum::http::StatusCode;
use checkout::inventory::{DisputeReport, DisputeState, HeardDispute, Order, PaymentRef};
use serde_json::{Value, json};
use std::process::ExitCode;
use testkit::LastRequest;

async fn payment(stage: &ProviderStage, order: &Order) -> Value {
    stage.details(&order.id).await["payments"][0].clone()
}

/// Has the cardholder dispute an amount, and the bank decide for them.
async fn charge_back(stage: &ProviderStage, amount: i64) {
    let paid = stage.provider.newest();
    stage.provider.dispute(&paid, amount);
    stage.provider.end_dispute(&paid, "lost");
    stage.deliver().await;
}

/// Settles the only payment that needs a look, which needs it for this reason.
async fn settle(stage: &ProviderStage, reason: &str, how: &str) {
    let reviews = stage.reviews().await;
    assert_eq!(reviews.as_array().map(Vec::len), Some(1), "{reviews}");
    assert_eq!(reviews[0]["reason"], reason, "{reviews}");
    let how = json!({"how": how});
    let (status, details) = stage.settle(&reviews[0], "settle", &how).await;
    assert_eq!(status, StatusCode::OK, "{details}");
}

/// Returns the totals of the credit notes of an order.
async fn credited(stage: &ProviderStage, order: &Order) -> Vec<i64> {
    let path = format!(
        "/api/v1/organiser/events/arena/orders/{}/invoices",
        order.id
    );
    let listed = stage.get(&path).await;
    let listed = listed.as_array().unwrap().iter();
    let notes = listed.filter(|document| document["kind"] == "credit_note");
    notes
        .map(|note| note["total"]["amount"].as_i64().unwrap())
        .collect()
}

async fn issue_invoices(stage: &ProviderStage) {
    let invoicing = json!({"seller": "Arena Ltd", "series": "ARENA"});
    stage.set_rules(json!({"invoicing": invoicing})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_was_sent_keeps_its_amount_though_a_dispute_is_lost_before_its_answer() {
    for stage in ProviderStage::all().await {
        issue_invoices(&stage).await;
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        stage.provider.lose_refund(LastRequest::Done);
        let (_, order) = stage.refund(&bought.id, None).await;
        assert_eq!(order["state"], "refunding");
        let late = stage.provider.take_events();
        charge_back(&stage, PRICE).await;
        let open = payment(&stage, &bought).await["refunds"][0].clone();
        assert_eq!(open["amount"]["amount"], 2 * PRICE);
        settle(&stage, "disputed", "ask_again").await;
        for event in late {
            assert_eq!(stage.webhook(&event).await, StatusCode::NO_CONTENT);
        }
        let paid = payment(&stage, &bought).await;
        assert_eq!(paid["refunded"]["amount"], 2 * PRICE);
        assert_eq!(paid["charged_back"]["amount"], PRICE);
        assert_eq!(paid["refunds"], json!([]));
        // The bank can be told that the money had gone back.
        settle(&stage, "disputed", "keep").await;
        assert_eq!(credited(&stage, &bought).await, [PRICE, PRICE]);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refund_of_an_order_that_was_not_made_leaves_out_what_was_charged_back_since() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        stage.deliver().await;
        stage.provider.lose_refund(LastRequest::Undone);
        let (_, order) = stage.refund(&bought.id, None).await;
        assert_eq!(order["state"], "refunding");
        let open = payment(&stage, &bought).await["refunds"][0].clone();
        assert_eq!(open["amount"]["amount"], 2 * PRICE);
        charge_back(&stage, PRICE).await;
        assert_eq!(payment(&stage, &bought).await["refunds"][0], open);
        settle(&stage, "disputed", "ask_again").await;
        let anew = payment(&stage, &bought).await["refunds"][0].clone();
        assert_eq!(anew["amount"]["amount"], PRICE);
        assert_ne!(anew["id"], open["id"]);
        // Neither provider refunds what is disputed.
        stage.settle_all().await;
        settle(&stage, "not_refunded", "keep").await;
        settle(&stage, "disputed", "keep").await;
        assert_eq!(payment(&stage, &bought).await["refunded"]["amount"], 0);
        assert_eq!(stage.counts().await, [4, 0, 2]);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refund_of_seats_is_not_asked_for_again_once_money_was_charged_back() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        stage.deliver().await;
        stage.provider.lose_refund(LastRequest::Undone);
        stage.refund(&bought.id, Some(&["s-A-1"])).await;
        charge_back(&stage, PRICE).await;
        let asked = stage.provider.refunds();
        settle(&stage, "disputed", "ask_again").await;
        stage.settle_all().await;
        assert_eq!(stage.provider.refunds(), asked);
        // For which seats the money went back is not known.
        settle(&stage, "disputed", "keep").await;
        assert_eq!(payment(&stage, &bought).await["refunds"], json!([]));
        assert_eq!(stage.counts().await, [4, 0, 2]);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_charged_back_is_in_no_figure_and_no_export() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        charge_back(&stage, PRICE).await;
        settle(&stage, "disputed", "keep").await;
        stage.buy(&["s-A-3"]).await;
        let sales = stage.get("/api/v1/organiser/events/arena/sales").await;
        assert_eq!(sales["revenue"]["amount"], 2 * PRICE);
        assert_eq!(sales["methods"][0]["revenue"]["amount"], 2 * PRICE);
        assert_eq!(sales["methods"][0]["orders"], 2);
        let sums = stage.get("/api/v1/organiser/events/arena/cancel").await["money"][0].clone();
        assert_eq!(sums["outstanding"]["amount"], 2 * PRICE);
        assert_eq!(sums["charged_back"]["amount"], PRICE);
        assert_eq!(sums["refunded"]["amount"], 0);
        for table in ["orders", "payments"] {
            let path = format!("/api/v1/organiser/events/arena/exports/{table}.csv");
            let (_, exported) = stage.get_as_organiser(&path).await;
            let exported = String::from_utf8(exported).unwrap();
            assert!(exported.contains(",given back,charged back,currency\r\n"));
            assert!(exported.contains(",90.00,,45.00,EUR\r\n"), "{exported}");
            assert!(exported.contains(",45.00,,,EUR\r\n"), "{exported}");
        }
        let order = &stage.details(&bought.id).await["order"];
        assert_eq!(order["charged_back"]["amount"], PRICE);
        assert_eq!(stage.reconcile().await, ExitCode::SUCCESS);
        // All of it: what stays of an order without tickets is nothing.
        let paid = stage.provider.newest();
        stage.provider.dispute(&paid, PRICE);
        stage.deliver().await;
        settle(&stage, "disputed", "take_back_seats").await;
        let sales = stage.get("/api/v1/organiser/events/arena/sales").await;
        assert_eq!(
            sales["revenue"]["amount"],
            2 * PRICE,
            "nothing has left yet"
        );
        stage.provider.end_dispute(&paid, "lost");
        stage.deliver().await;
        settle(&stage, "disputed", "keep").await;
        let sales = stage.get("/api/v1/organiser/events/arena/sales").await;
        assert_eq!(sales["revenue"]["amount"], PRICE);
        assert_eq!(sales["methods"][0]["revenue"]["amount"], PRICE);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_was_charged_back_in_another_currency_is_not_added_and_settled_outside() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1"]).await;
        let paid = stage.provider.newest();
        stage.provider.dispute_in(&paid, PRICE, Some("USD"));
        stage.provider.end_dispute(&paid, "lost");
        stage.deliver().await;
        let lost = payment(&stage, &bought).await;
        assert_eq!(
            lost["charged_back"],
            json!({"amount": 0, "currency": "EUR"})
        );
        let sales = stage.get("/api/v1/organiser/events/arena/sales").await;
        assert_eq!(sales["revenue"]["amount"], PRICE);
        let review = &lost["review"];
        assert_eq!(review["reason"], "disputed");
        let detail = review["detail"].as_str().unwrap();
        assert!(detail.contains("another currency"), "{detail}");
        // Neither kept nor refunded: either would count money that is not there.
        assert_eq!(review["settlements"], json!([]));
        let (status, _) = stage.refund(&bought.id, None).await;
        assert_eq!(status, StatusCode::CONFLICT);
        let outside = json!({"outcome": "paid", "note": "45 USD were charged back"});
        let (status, details) = stage.settle(review, "settle-outside", &outside).await;
        assert_eq!(status, StatusCode::OK, "{details}");
        assert_eq!(stage.reviews().await, json!([]));
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credit_note_follows_the_money_and_is_issued_once_for_what_left() {
    for stage in ProviderStage::all().await {
        issue_invoices(&stage).await;
        let bought = stage.buy(&["s-A-1", "s-A-2", "s-A-3"]).await;
        let paid = stage.provider.newest();
        // The seat is taken back, and the money stays.
        stage.provider.dispute(&paid, PRICE);
        stage.deliver().await;
        let review = stage.reviews().await[0].clone();
        let one = json!({"how": "take_back_seats", "seats": ["s-A-2"]});
        stage.settle(&review, "settle", &one).await;
        assert_eq!(credited(&stage, &bought).await, [0; 0]);
        stage.provider.end_dispute(&paid, "won");
        stage.deliver().await;
        assert_eq!(credited(&stage, &bought).await, [0; 0]);
        // The ticket is kept, and the money leaves.
        charge_back(&stage, PRICE).await;
        assert_eq!(credited(&stage, &bought).await, [PRICE]);
        settle(&stage, "disputed", "keep").await;
        assert_eq!(credited(&stage, &bought).await, [PRICE]);
        // The bank changes its mind twice. Webhooks of Razorpay in the same words are taken for one.
        if stage.provider.is_stripe() {
            stage.provider.end_dispute(&paid, "won");
            stage.deliver().await;
            assert_eq!(stage.reviews().await, json!([]));
            stage.provider.end_dispute(&paid, "lost");
            stage.deliver().await;
            assert_eq!(credited(&stage, &bought).await, [PRICE]);
            settle(&stage, "disputed", "keep").await;
        }
        // All that is left is charged back, and its seats are taken back after that.
        charge_back(&stage, 2 * PRICE).await;
        settle(&stage, "disputed", "take_back_seats").await;
        assert_eq!(credited(&stage, &bought).await, [PRICE, 2 * PRICE]);
        assert_eq!(stage.counts().await, [6, 0, 0]);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inquiry_that_was_closed_and_is_opened_again_needs_a_look() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1"]).await;
        let paid = stage.provider.newest();
        stage.provider.dispute(&paid, PRICE);
        stage.deliver().await;
        stage.provider.end_dispute(&paid, "closed");
        stage.deliver().await;
        assert_eq!(stage.reviews().await, json!([]));
        stage.provider.end_dispute(&paid, "open");
        assert_eq!(stage.reconcile().await, ExitCode::from(1), "not heard of");
        stage.deliver().await;
        let again = payment(&stage, &bought).await;
        assert_eq!(again["disputes"].as_array().map(Vec::len), Some(1));
        assert_eq!(again["disputes"][0]["state"], "open");
        settle(&stage, "disputed", "keep").await;
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_from_before_the_end_of_a_dispute_does_not_open_it_again() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1"]).await;
        charge_back(&stage, PRICE).await;
        let lost = payment(&stage, &bought).await["disputes"][0].clone();
        let end: DisputeReport = serde_json::from_value(lost).unwrap();
        let open = DisputeReport {
            state: DisputeState::Open,
            ..end.clone()
        };
        let asked = PaymentRef {
            event: stage.event.clone(),
            order: bought.id.clone(),
            id: bought.payment.id.clone(),
            amount: bought.total,
            promised_at: None,
            provider: stage.provider.id(),
            reference: None,
            refund: None,
        };
        let hear = async |report: &DisputeReport, known: Option<&DisputeReport>| {
            let inventory = &stage.node.shop.inventory;
            let heard = inventory.disputed(&asked, report.clone(), known.cloned());
            heard.await.unwrap()
        };
        let ended = HeardDispute::Ended(end.clone());
        assert_eq!(hear(&open, None).await, ended);
        assert_eq!(hear(&open, Some(&open)).await, ended);
        let paid = payment(&stage, &bought).await;
        assert_eq!(paid["charged_back"]["amount"], PRICE);
        // It was asked for after that end was recorded.
        assert_eq!(hear(&open, Some(&end)).await, HeardDispute::New);
        let paid = payment(&stage, &bought).await;
        assert_eq!(paid["disputes"][0]["state"], "open");
        assert_eq!(paid["charged_back"]["amount"], 0);
        assert_eq!(hear(&end, None).await, HeardDispute::New);
        assert_eq!(hear(&end, None).await, HeardDispute::Known);
    }
}
