//! Payments that need a look, each settled by an organiser with one request.

use crate::at_provider::{AtProvider, Card, Operation};
use crate::stage::{PRICE, ProviderStage};
use axum::http::StatusCode;
use checkout::inventory::Order;
use serde_json::{Value, json};
use std::process::ExitCode;
use testkit::ApiFault;

/// Returns the only payment that needs a look.
async fn only_review(stage: &ProviderStage) -> Value {
    let all = stage.reviews().await;
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
    all[0].clone()
}

/// Settles it through the provider.
async fn settle(stage: &ProviderStage, review: &Value, how: &str) -> Value {
    let (status, details) = stage.settle(review, "settle", &json!({"how": how})).await;
    assert_eq!(status, StatusCode::OK, "{how}: {details}");
    details
}

/// Orders a seat whose money is reserved and not taken.
async fn not_captured(stage: &ProviderStage) -> Value {
    let order = stage.order(&["s-A-1"]).await;
    let told = stage.told(&order).await;
    stage.provider.fail(Operation::Capture, ApiFault::Refused);
    stage.provider.pay(&told, Card::Good).unwrap();
    stage.deliver().await;
    assert_eq!(stage.see(&order).await.state, "needs_review");
    order
}

/// Buys two seats, and has the refund of the first refused.
async fn not_refunded(stage: &ProviderStage) -> Order {
    let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
    stage.provider.fail(Operation::Refund, ApiFault::Refused);
    let (status, _) = stage.refund(&bought.id, Some(&["s-A-1"])).await;
    assert_eq!(status, StatusCode::OK);
    bought
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_the_provider_does_not_take_is_asked_for_again_or_let_go() {
    for stage in ProviderStage::all().await {
        let order = not_captured(&stage).await;
        let review = only_review(&stage).await;
        assert_eq!(review["reason"], "not_captured");
        assert_eq!(review["order"], order["id"]);
        assert_eq!(review["settlements"], json!(["ask_again", "give_back"]));
        assert!(review["detail"].as_str().unwrap().contains("dispute"));
        // The provider refuses once more, then takes it.
        stage.provider.fail(Operation::Capture, ApiFault::Refused);
        let details = settle(&stage, &review, "ask_again").await;
        assert_eq!(details["order"]["state"], "needs_review");
        let again = only_review(&stage).await;
        let details = settle(&stage, &again, "ask_again").await;
        assert_eq!(details["order"]["state"], "confirmed");
        assert_eq!(details["payments"][0]["review"], Value::Null);
        assert_eq!(stage.reviews().await, json!([]));
        stage.check_books().await;
        // It is settled: there is nothing left to be done about it.
        for how in ["ask_again", "give_back", "keep"] {
            let (status, problem) = stage.settle(&review, "settle", &json!({"how": how})).await;
            assert_eq!(status, StatusCode::CONFLICT, "{problem}");
            assert_eq!(problem["type"], "/problems/cannot-settle");
        }
        stage.refund(order["id"].as_str().unwrap(), None).await;

        let order = not_captured(&stage).await;
        let review = only_review(&stage).await;
        let details = settle(&stage, &review, "give_back").await;
        assert_eq!(details["order"]["state"], "cancelled");
        assert_eq!(details["seats"][0]["state"], "released");
        if let AtProvider::Stripe(stand_in) = &*stage.provider {
            assert_eq!(stand_in.intents()[0]["status"], "canceled");
        }
        assert_eq!(stage.see(&order).await.tickets, None);
        assert_eq!(stage.counts().await, [6, 0, 0]);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_the_provider_does_not_make_is_asked_for_again_or_withdrawn() {
    for stage in ProviderStage::all().await {
        let bought = not_refunded(&stage).await;
        let review = only_review(&stage).await;
        assert_eq!(review["reason"], "not_refunded");
        assert_eq!(review["settlements"], json!(["ask_again", "keep"]));
        // Nothing else is begun meanwhile.
        let (status, problem) = stage.refund(&bought.id, None).await;
        assert_eq!(status, StatusCode::CONFLICT, "{problem}");
        assert_eq!(problem["type"], "/problems/payment-in-review");
        let code = bought.tickets.as_ref().unwrap()[0].code.clone();
        assert_eq!(stage.check_ticket(&code).await, StatusCode::CONFLICT);
        let details = settle(&stage, &review, "keep").await;
        assert_eq!(details["order"]["refunded"], Value::Null);
        assert_eq!(details["seats"][0]["state"], "sold");
        assert_eq!(stage.check_ticket(&code).await, StatusCode::OK);
        assert_eq!(stage.see_order(&bought.id).await.tickets, bought.tickets);
        stage.check_books().await;

        stage.provider.fail(Operation::Refund, ApiFault::Refused);
        stage.refund(&bought.id, None).await;
        let review = only_review(&stage).await;
        assert_eq!(review["order_state"], "refunding");
        let details = settle(&stage, &review, "keep").await;
        assert_eq!(details["order"]["state"], "confirmed");
        stage.provider.fail(Operation::Refund, ApiFault::Refused);
        stage.refund(&bought.id, Some(&["s-A-2"])).await;
        let review = only_review(&stage).await;
        let details = settle(&stage, &review, "ask_again").await;
        assert_eq!(details["order"]["refunded"]["amount"], PRICE);
        assert_eq!(details["seats"][1]["state"], "refunded");
        assert_eq!(stage.counts().await, [5, 0, 1]);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_the_provider_does_not_take_is_offered_again_or_its_order_cancelled() {
    for stage in ProviderStage::all().await {
        for (how, state) in [("ask_again", "paying"), ("give_back", "cancelled")] {
            stage.provider.fail(Operation::Offer, ApiFault::Refused);
            let order = stage.order(&["s-A-1"]).await;
            let review = only_review(&stage).await;
            assert_eq!(review["reason"], "not_offered");
            let details = settle(&stage, &review, how).await;
            assert_eq!(details["order"]["state"], state);
            let seen = stage.see(&order).await;
            let payment = &seen.payment;
            let is_offered = !payment.client_secret.is_empty() || payment.order_id.is_some();
            assert_eq!(is_offered, how == "ask_again");
            if is_offered {
                stage.release(&order).await;
                stage.settle_all().await;
            }
            assert_eq!(stage.counts().await, [6, 0, 0]);
        }
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_of_another_amount_is_let_go_or_settled_outside_and_then_no_difference() {
    for stage in ProviderStage::all().await {
        for (how, state) in [
            ("give_back", "cancelled"),
            ("paid", "confirmed"),
            ("returned", "cancelled"),
        ] {
            let order = stage.order(&["s-A-1"]).await;
            let told = stage.told(&order).await;
            let paid = stage.provider.pay(&told, Card::Good).unwrap();
            let wrong = stage.provider.misstate(&paid, 1, "EUR");
            stage.provider.take_events();
            assert_eq!(stage.webhook(&wrong).await, StatusCode::NO_CONTENT);
            let review = only_review(&stage).await;
            assert_eq!(review["reason"], "other_amount");
            assert_eq!(stage.reconcile().await, ExitCode::from(1));
            let details = if how == "give_back" {
                settle(&stage, &review, how).await
            } else {
                let body = json!({"outcome": how, "note": "By cash at the box office"});
                let (status, details) = stage.settle(&review, "settle-outside", &body).await;
                assert_eq!(status, StatusCode::OK, "{details}");
                assert_eq!(
                    details["payments"][0]["outside"],
                    "By cash at the box office"
                );
                let history = details["payments"][0]["history"].as_array().unwrap();
                assert_eq!(history.last().unwrap()["note"], "By cash at the box office");
                details
            };
            assert_eq!(details["order"]["state"], state, "{how}");
            assert_eq!(stage.reviews().await, json!([]));
            // Nothing that the provider says about it counts any more.
            stage.settle_all().await;
            assert_eq!(stage.reconcile().await, ExitCode::SUCCESS, "{how}");
            let seen = stage.see(&order).await;
            assert_eq!(seen.state, state);
            if how == "paid" {
                assert_eq!(seen.tickets.map(|tickets| tickets.len()), Some(1));
                // Money that was paid outside is given back outside.
                let (status, _) = stage.refund(&seen.id, None).await;
                assert_eq!(status, StatusCode::CONFLICT);
                let body = json!({"outcome": "returned", "note": "Cash handed back"});
                let (status, details) = stage.settle(&review, "settle-outside", &body).await;
                assert_eq!(status, StatusCode::OK, "{details}");
                assert_eq!(details["order"]["state"], "refunded");
            }
            assert_eq!(stage.counts().await, [6, 0, 0], "{how}");
        }
        let review = json!({"order": "ord_1", "payment": "pay_1"});
        for note in ["", " ", "two\nlines", &"x".repeat(501)] {
            let body = json!({"outcome": "paid", "note": note});
            let (status, _) = stage.settle(&review, "settle-outside", &body).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{note:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_in_the_providers_dashboard_is_recorded_and_its_seats_named_by_the_organiser() {
    for stage in ProviderStage::all().await {
        let seats = ["s-A-1", "s-A-2", "s-A-3"];
        let bought = stage.buy(&seats).await;
        let paid = stage.provider.newest();
        stage.provider.refund_elsewhere(&paid, PRICE);
        assert_eq!(stage.reconcile().await, ExitCode::from(1));
        stage.deliver().await;
        let newest = &stage.node.shop.site.audit.newest(1).await[0];
        assert_eq!(newest.action, "payment.refunded-elsewhere");
        assert_eq!(newest.by, stage.provider.name());
        assert_eq!(newest.from["order"], *bought.id);
        assert_eq!(newest.to["amount"]["amount"], PRICE);
        assert_eq!(stage.reconcile().await, ExitCode::SUCCESS);
        let seen = stage.see_order(&bought.id).await;
        assert_eq!(seen.refunded.unwrap().amount, PRICE);
        assert_eq!(seen.tickets.as_ref().map(Vec::len), Some(3));
        let review = only_review(&stage).await;
        assert_eq!(review["reason"], "refunded_elsewhere");
        assert_eq!(review["settlements"], json!(["keep", "take_back_seats"]));
        let all = json!({"how": "take_back_seats", "seats": seats});
        let (status, _) = stage.settle(&review, "settle", &all).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let one = json!({"how": "take_back_seats", "seats": ["s-A-2"]});
        let (status, details) = stage.settle(&review, "settle", &one).await;
        assert_eq!(status, StatusCode::OK, "{details}");
        assert_eq!(details["seats"][1]["state"], "refunded");
        assert_eq!(stage.counts().await, [4, 0, 2]);
        stage.check_books().await;

        // A part that is no seat's, and what is left of the money with the seats that are left.
        stage.provider.refund_elsewhere(&paid, 1000);
        stage.deliver().await;
        let review = only_review(&stage).await;
        settle(&stage, &review, "keep").await;
        assert_eq!(
            stage
                .see_order(&bought.id)
                .await
                .tickets
                .map(|tickets| tickets.len()),
            Some(2)
        );
        let (status, refunded) = stage.refund(&bought.id, Some(&["s-A-1"])).await;
        assert_eq!(status, StatusCode::OK, "{refunded}");
        assert_eq!(refunded["refunded"]["amount"], 2 * PRICE + 1000);
        stage.deliver().await;
        assert_eq!(stage.reviews().await, json!([]), "that one was ours");
        stage.provider.refund_elsewhere(&paid, PRICE - 1000);
        stage.deliver().await;
        assert_eq!(stage.see_order(&bought.id).await.state, "refunded");
        assert_eq!(stage.counts().await, [6, 0, 0]);
        assert_eq!(stage.reconcile().await, ExitCode::SUCCESS);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_opens_no_door_from_the_moment_on_that_its_refund_begins() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        let codes: Vec<String> = bought
            .tickets
            .unwrap()
            .into_iter()
            .map(|ticket| ticket.code)
            .collect();
        // The provider does not answer.
        stage.provider.fail(Operation::Refund, ApiFault::TooMany);
        stage.refund(&bought.id, Some(&["s-A-1"])).await;
        assert_eq!(stage.counts().await, [4, 0, 2], "it is not made yet");
        assert_eq!(stage.check_ticket(&codes[0]).await, StatusCode::CONFLICT);
        assert_eq!(stage.check_ticket(&codes[1]).await, StatusCode::OK);
        assert_eq!(stage.listed_tickets().await, 1);
        stage.settle_all().await;
        assert_eq!(stage.counts().await, [5, 0, 1]);
        stage.provider.fail(Operation::Refund, ApiFault::TooMany);
        stage.refund(&bought.id, None).await;
        assert_eq!(stage.check_ticket(&codes[1]).await, StatusCode::CONFLICT);
        assert_eq!(stage.listed_tickets().await, 0);
        stage.settle_all().await;
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_shown_with_what_became_of_its_seats_and_every_attempt_to_pay_it() {
    for stage in ProviderStage::all().await {
        let order = stage.order(&["s-A-1", "s-A-2"]).await;
        let told = stage.told(&order).await;
        stage.provider.pay(&told, Card::NoFunds).unwrap_err();
        stage.deliver().await;
        let declined = serde_json::to_value(stage.see(&order).await).unwrap();
        let told = stage.told(&declined).await;
        stage.provider.pay(&told, Card::Good).unwrap();
        stage.deliver().await;
        let id = order["id"].as_str().unwrap();
        stage.refund(id, Some(&["s-A-2"])).await;
        let details = stage.details(id).await;
        let states = |list: &Value| -> Vec<Value> {
            let entries = list.as_array().unwrap().iter();
            entries.map(|entry| entry["state"].clone()).collect()
        };
        assert_eq!(states(&details["seats"]), ["sold", "refunded"]);
        assert_eq!(states(&details["payments"]), ["failed", "captured"]);
        let first = &details["payments"][0]["history"];
        assert_eq!(states(first), ["created", "requires_action", "failed"]);
        assert_eq!(first[2]["note"], "insufficient_funds");
        let second = &details["payments"][1];
        let all = [
            "created",
            "requires_action",
            "authorised",
            "capturing",
            "captured",
            "refunding",
            "captured",
        ];
        assert_eq!(states(&second["history"]), all);
        assert_eq!(second["refunds"][0]["seats"], json!(["s-A-2"]));
        assert_eq!(second["refunded"]["amount"], PRICE);
        let of_stripe = if stage.provider.is_stripe() {
            &told
        } else {
            "lnk_"
        };
        let secrets = ["client_secret", "FL2.", "lnk_", of_stripe];
        let text = details.to_string();
        assert!(
            secrets.iter().all(|secret| !text.contains(secret)),
            "{text}"
        );
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_fails_after_it_was_accepted_needs_a_look_and_is_a_difference() {
    for stage in ProviderStage::all().await {
        let bought = stage.buy(&["s-A-1"]).await;
        stage.refund(&bought.id, None).await;
        stage.check_books().await;
        stage.provider.fail_refund(&stage.provider.newest());
        stage.deliver().await;
        assert_eq!(stage.see_order(&bought.id).await.state, "refunded");
        let reviews = stage.reviews().await;
        assert_eq!(reviews.as_array().map(Vec::len), Some(1), "{reviews}");
        assert_eq!(stage.reconcile().await, ExitCode::from(1));
        // The organiser has not settled it yet.
        stage.leave_difference();
    }
}
