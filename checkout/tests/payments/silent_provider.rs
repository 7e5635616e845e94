//! A provider that answers nothing: payments that are due are asked about side by side, and the seats
//! of others are released meanwhile.

use crate::stage::ProviderStage;
use axum::http::Method;
use serde_json::json;
use shared::http::load::Class;
use std::time::{Duration, Instant};
use testkit::LastRequest;

/// Number of payments that are due: asked about one after the other, each for the ten seconds that
/// the checkout waits for an answer, they take far longer than `PATIENCE`.
const PAYMENTS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// Beyond the end of a hold.
const PAST_HOLD_MS: i64 = 130_000;

/// Returns a stage for each provider and engine with payments that wait for their fans, and a seat
/// that is held, whose provider answers nothing any more.
async fn silent() -> Vec<ProviderStage> {
    let stages = ProviderStage::all().await;
    for stage in &stages {
        let plan = json!({"categories": [{"id": "c", "name": "C", "price": 4500}],
            "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 40}]});
        let (status, answer) = stage.put_plan("arena/seating", &plan).await;
        assert!(status.is_success(), "{answer}");
        for seat in 1..=PAYMENTS {
            let order = stage.order(&[&format!("s-A-{seat}")]).await;
            assert_ne!(stage.told(&order).await, "");
        }
        stage.hold(&["s-A-40"]).await;
        stage.provider.take_events();
        stage.provider.fall_silent(0, LastRequest::Undone);
    }
    stages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_that_are_due_do_not_wait_for_the_answer_about_another() {
    for stage in silent().await {
        let before = stage.provider.look_ups();
        stage.clock.advance_ms(20_000);
        let shop = stage.node.shop.clone();
        let reconciling = tokio::spawn(async move { shop.reconcile_due().await });
        let from = Instant::now();
        while stage.provider.look_ups() < before + PAYMENTS {
            assert!(from.elapsed() < PATIENCE, "one after the other");
            tokio::task::yield_now().await;
        }
        reconciling.abort();
        let _ = reconciling.await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_are_released_while_a_provider_has_yet_to_answer_about_payments() {
    for stage in silent().await {
        tokio::spawn(checkout::run(stage.node.shop.clone()));
        let before = stage.provider.look_ups();
        stage.clock.advance_ms(20_000);
        let from = Instant::now();
        while stage.provider.look_ups() == before {
            assert!(from.elapsed() < PATIENCE, "never asked");
            tokio::task::yield_now().await;
        }
        // Once an answer is given up, the provider counts as away, and holds are kept.
        stage.clock.advance_ms(PAST_HOLD_MS);
        let from = Instant::now();
        while stage.counts().await[1] > PAYMENTS as u32 {
            assert!(from.elapsed() < PATIENCE, "never released");
            tokio::task::yield_now().await;
        }
        stage.node.stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_waits_for_its_provider_takes_no_place_of_others_in_flight() {
    for stage in ProviderStage::all().await {
        let asked = stage.provider.fall_silent(0, LastRequest::Undone);
        let load = &stage.node.shop.site.load;
        let mut taken = Vec::new();
        while let Ok(place) = load.enter(Class::Purchase, &Method::GET) {
            taken.push(place);
        }
        // One place is left, which the order takes.
        taken.pop();
        let mut ordering = Box::pin(stage.order(&["s-A-1"]));
        tokio::select! {
            order = &mut ordering => panic!("answered: {order}"),
            () = asked.notified() => {}
        }
        let hold = load.enter(Class::Purchase, &Method::POST);
        assert!(hold.is_ok(), "the hold of another fan is refused");
    }
}
