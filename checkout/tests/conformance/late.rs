//! Money that comes for an order that expired.

use crate::bench::*;
use checkout::inventory::{Begun, Order, PaymentRef, RulesPatch, SessionKeys, Verdict};

/// Orders these seats, begins to pay, and lets the time to pay pass.
async fn expired(bench: &Bench, fan: &SessionKeys, seats: &[&str]) -> PaymentRef {
    let hold = bench.hold(fan, named(seats)).await.unwrap();
    let order = bench.order(fan, &hold).await.unwrap();
    let id = &order.payment.id;
    let Ok(Begun::Ask(payment)) = bench.seats.begin_payment(fan.clone(), id, None).await else {
        panic!("the payment should begin");
    };
    bench.sweep_after(601).await;
    let order = bench.see(fan, &order).await;
    assert_eq!(
        (order.state.as_str(), order.payment.pending),
        ("expired", true)
    );
    payment
}

async fn paid_late(bench: &Bench, payment: &PaymentRef) -> Order {
    let settled = bench.seats.settle(payment, Verdict::Captured, None).await;
    settled.unwrap()
}

#[tokio::test]
async fn money_that_comes_too_late_buys_no_more_than_a_visitor_may_have() {
    for bench in halls().await {
        let rules = RulesPatch {
            max_seats_per_visitor: Some(2),
            ..RulesPatch::default()
        };
        bench.seats.set_rules(&bench.event, rules).await.unwrap();
        let ada = bench.fan(1).await;
        let mut payments = Vec::new();
        for seats in [
            ["st-A-1", "st-A-2"],
            ["st-A-3", "st-A-4"],
            ["st-B-1", "st-B-2"],
        ] {
            payments.push(expired(&bench, &ada, &seats).await);
        }
        let mut states = Vec::new();
        for payment in &payments {
            let order = paid_late(&bench, payment).await;
            assert!(!order.payment.pending);
            states.push(order.state);
        }
        assert_eq!(states, ["confirmed", "refunding", "refunding"]);
        assert_eq!(bench.counts().await, [14, 0, 2, 0]);
    }
}

#[tokio::test]
async fn money_that_comes_too_late_goes_back_once_something_else_was_bought_instead() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let late = expired(&bench, &ada, &["st-A-1"]).await;
        bench.buy(&ada, &["st-A-2"]).await;
        assert_eq!(paid_late(&bench, &late).await.state, "refunding");

        let ben = bench.fan(2).await;
        let late = expired(&bench, &ben, &["st-A-3"]).await;
        let hold = bench.hold(&ben, named(&["st-A-4"])).await.unwrap();
        let order = bench.order(&ben, &hold).await.unwrap();
        assert_eq!(paid_late(&bench, &late).await.state, "refunding");
        let paid = bench.pay(&ben, &order, Verdict::Captured).await.unwrap();
        assert_eq!(paid.state, "confirmed");

        // A purchase of an earlier visit does not count.
        let cleo = bench.fan(3).await;
        bench.buy(&cleo, &["st-B-1"]).await;
        bench.clock.advance_ms(1000);
        let cleo = bench.admit(3, "again").await.unwrap();
        let late = expired(&bench, &cleo, &["st-B-2"]).await;
        assert_eq!(paid_late(&bench, &late).await.state, "confirmed");
    }
}
