//! Differences of Razorpay: results of its window, attempts that cannot be cancelled, and
//! webhooks that name an order alone.

use crate::at_provider::{AtProvider, Card, Webhook};
use crate::stage::{PRICE, ProviderStage};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::process::ExitCode;
use testkit::{RAZORPAY_KEY_ID, RazorpayEvent, RazorpayStandIn};

fn stand_in(stage: &ProviderStage) -> &RazorpayStandIn {
    match &*stage.provider {
        AtProvider::Razorpay(stand_in) => stand_in,
        AtProvider::Stripe(_) => unreachable!("this stage is of Razorpay"),
    }
}

/// Returns a webhook about an order.
fn about(order: &Value) -> Webhook {
    Webhook::Razorpay(RazorpayEvent {
        id: "event_1".into(),
        kind: "order.paid".into(),
        body: json!({"event": "order.paid", "payload": {"order": {"entity": order}}}).to_string(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_window_returns_confirms_an_order_before_any_webhook() {
    for stage in ProviderStage::razorpay().await {
        let order = stage.order(&["s-A-1"]).await;
        let payment = &order["payment"];
        assert_eq!(payment["key_id"], RAZORPAY_KEY_ID);
        assert_eq!(payment["client_secret"], "");
        let order_id = payment["order_id"].as_str().unwrap();
        let returned = stand_in(&stage).pay(order_id, "card").unwrap();
        for _ in 0..2 {
            let (status, bought) = stage.return_to(&order, &returned).await;
            assert_eq!(
                (status, &bought["state"]),
                (StatusCode::OK, &"confirmed".into())
            );
        }
        assert_eq!(stage.provider.captures(), 1);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_window_of_another_order_returned_or_nobody_signed_is_refused() {
    for stage in ProviderStage::razorpay().await {
        let order = stage.order(&["s-A-1"]).await;
        let other = stage.order(&["s-A-2"]).await;
        let pay = |order: &Value| {
            let order_id = order["payment"]["order_id"].as_str().unwrap();
            stand_in(&stage).pay(order_id, "card").unwrap()
        };
        // The other is paid; this one is not yet.
        let of_other = pay(&other);
        let with = |name: &str, value: &str| {
            let mut changed = of_other.clone();
            changed[name] = value.into();
            changed
        };
        let own = order["payment"]["order_id"].as_str().unwrap();
        let signature = of_other["razorpay_signature"].as_str().unwrap();
        let cases = [
            of_other.clone(),
            with("razorpay_order_id", own),
            with("razorpay_signature", &signature[..62]),
            with("razorpay_signature", ""),
        ];
        for wrong in cases {
            let (status, problem) = stage.return_to(&order, &wrong).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong} {problem}");
            assert_eq!(problem["type"], "/problems/bad-signature");
        }
        let upper = with("razorpay_signature", &signature.to_ascii_uppercase());
        let (status, _) = stage.return_to(&other, &upper).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let (status, _) = stage.return_to(&order, &json!({})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(stage.see(&order).await.state, "paying");
        assert_eq!(stage.provider.captures(), 0);
        // A payment of another fan is not known to this one.
        let mut mixed = order.clone();
        mixed["payment"] = other["payment"].clone();
        let (status, _) = stage.return_to(&mixed, &of_other).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let (status, _) = stage.return_to(&other, &of_other).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(stage.see(&other).await.state, "confirmed");
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_paid_in_two_windows_is_charged_once() {
    for stage in ProviderStage::razorpay().await {
        let order = stage.order(&["s-A-1"]).await;
        let told = stage.told(&order).await;
        stage.provider.pay(&told, Card::Good).unwrap();
        stage.provider.pay(&told, Card::Good).unwrap();
        stage.deliver().await;
        stage.settle_all().await;
        assert_eq!(stage.see(&order).await.state, "confirmed");
        assert_eq!(stage.provider.taken(), 1);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_failed_and_was_good_after_all_is_not_taken() {
    for stage in ProviderStage::razorpay().await {
        let order = stage.order(&["s-A-1"]).await;
        let told = stage.told(&order).await;
        stage.provider.pay(&told, Card::NoFunds).unwrap_err();
        stage.deliver().await;
        let declined = serde_json::to_value(stage.see(&order).await).unwrap();
        let failed = stand_in(&stage).payments()[0]["id"].clone();
        stage.provider.authenticate(failed.as_str().unwrap(), true);
        stage.deliver().await;
        let told = stage.told(&declined).await;
        stage.provider.pay(&told, Card::Good).unwrap();
        stage.deliver().await;
        assert_eq!(stage.see(&order).await.state, "confirmed");
        assert_eq!(stage.provider.taken(), 1);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_answered_by_the_inbox_whatever_its_unsigned_id_says() {
    for stage in ProviderStage::razorpay().await {
        let order = stage.order(&["s-A-1"]).await;
        let told = stage.told(&order).await;
        stage.provider.pay(&told, Card::Good).unwrap();
        let events = stage.provider.take_events();
        let Some(Webhook::Razorpay(event)) = events.first() else {
            panic!("an event of Razorpay")
        };
        stage.webhook(&events[0]).await;
        let asked = stand_in(&stage).calls().len();
        for id in ["event_2", "event_3"] {
            let again = Webhook::Razorpay(RazorpayEvent {
                id: id.to_owned(),
                ..event.clone()
            });
            assert_eq!(stage.webhook(&again).await, StatusCode::NO_CONTENT);
        }
        assert_eq!(stand_in(&stage).calls().len(), asked, "nothing was asked");
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_about_an_unknown_payment_is_parked_and_one_of_others_ignored() {
    for stage in ProviderStage::razorpay().await {
        let make = |notes: Value| {
            let order = json!({"amount": PRICE, "currency": "EUR", "notes": notes});
            stand_in(&stage).create(&order).unwrap()
        };
        let unknown = make(json!({"event": "arena", "order": "ord_1", "payment": "pay_1"}));
        let of_others = make(json!({"shop": "another"}));
        let events = [
            about(&unknown),
            about(&of_others),
            about(&json!({"id": "order_../1"})),
            about(&json!({"id": "order_none"})),
        ];
        for event in &events {
            assert_eq!(
                stage.webhook(event).await,
                StatusCode::NO_CONTENT,
                "{event:?}"
            );
        }
        stage.clock.advance_ms(60_000);
        let parked = stage.node.shop.inventory.parked().await.unwrap();
        let parked: Vec<String> = parked.into_iter().map(|event| event.id).collect();
        assert_eq!(parked, [events[0].inbox_id()]);
        // The money of others is no difference of ours; that of an order of ours is one.
        stage
            .provider
            .pay(of_others["id"].as_str().unwrap(), Card::Good)
            .unwrap();
        assert_eq!(stage.reconcile().await, ExitCode::SUCCESS);
        stage.check_books().await;
    }
}
