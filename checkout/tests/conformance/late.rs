//! Money that comes for an order that expired.

use crate::bench::*;
use checkout::inventory::{
    Begun, LatePayment, Order, PaymentRef, Rules, RulesPatch, SessionKeys, Verdict,
};

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

async fn set_policy(bench: &Bench, policy: LatePayment) {
    let rules = RulesPatch {
        late_payment: Some(policy),
        ..RulesPatch::default()
    };
    bench.seats.set_rules(&bench.event, rules).await.unwrap();
}

fn seats_of(order: &Order) -> Vec<String> {
    let tickets = order.tickets.iter().flatten();
    tickets.map(|ticket| ticket.seat.clone()).collect()
}

#[tokio::test]
async fn late_money_buys_the_same_seats_or_by_the_policy_the_best_of_the_same_category() {
    assert_eq!(Rules::default().late_payment, LatePayment::ExactSeats);
    for bench in halls().await {
        for (number, policy, state) in [
            (1, LatePayment::ExactSeats, "refunding"),
            (2, LatePayment::SameCategory, "confirmed"),
        ] {
            set_policy(&bench, policy).await;
            let fan = bench.fan(number).await;
            let late = expired(&bench, &fan, &["st-A-1", "st-A-2"]).await;
            // One of the two is another's by then.
            let other = bench.fan(number + 10).await;
            let taken = bench.hold(&other, named(&["st-A-2"])).await.unwrap();
            let order = paid_late(&bench, &late).await;
            assert_eq!(order.state, state, "{policy:?}");
            bench.seats.release(other, &taken.id).await.unwrap();
            if policy == LatePayment::ExactSeats {
                continue;
            }
            let seats = seats_of(&order);
            assert_eq!(seats.len(), 2);
            assert!(!seats.contains(&"st-A-2".to_owned()), "{seats:?}");
            let own: Vec<&str> = order.seats.iter().map(|seat| &*seat.id).collect();
            assert_eq!(own, seats);
            assert_eq!(order.instead_of, ["st-A-1", "st-A-2"]);
            assert!(order.seats.iter().all(|seat| &*seat.category == "stalls"));
            assert_eq!(order.total, late.amount);
            // The store has them, and no one is sold them again.
            assert_eq!(bench.see(&fan, &order).await, order);
            assert_eq!(bench.counts().await, [14, 0, 2, 0]);
            let refused = bench.hold(&bench.fan(20).await, named(&[&seats[0]])).await;
            assert!(refused.is_err());
            let refund =
                bench
                    .seats
                    .begin_refund_of(&bench.event, &order.id, Some(vec![seats[0].clone()]));
            bench.seats.refunded(&refund.await.unwrap()).await.unwrap();
            assert_eq!(bench.counts().await, [15, 0, 1, 0]);
            let refund = bench
                .seats
                .begin_refund(&bench.event, &order.id)
                .await
                .unwrap();
            bench.seats.refunded(&refund).await.unwrap();
            assert_eq!(bench.counts().await, [16, 0, 0, 0]);
        }
    }
}

#[tokio::test]
async fn late_money_goes_back_where_the_policy_says_so_and_where_the_category_is_sold_out() {
    for bench in halls().await {
        set_policy(&bench, LatePayment::Void).await;
        let ada = bench.fan(1).await;
        let late = expired(&bench, &ada, &["st-A-1"]).await;
        assert_eq!(paid_late(&bench, &late).await.state, "refunding");
        // Money for seats that are still held is not late.
        let ben = bench.fan(2).await;
        let bought = bench.buy(&ben, &["st-A-1"]).await;
        assert_eq!(bought.state, "confirmed");

        set_policy(&bench, LatePayment::SameCategory).await;
        let cleo = bench.fan(3).await;
        let late = expired(&bench, &cleo, &["st-B-1"]).await;
        let layout = bench.seats.seat_map(&bench.event).unwrap();
        let free: Vec<String> = layout
            .layout
            .seats
            .iter()
            .map(|seat| seat.id.to_string())
            .collect();
        let free = free
            .into_iter()
            .filter(|id| id.starts_with("st-") && id != "st-A-1")
            .collect();
        let block = checkout::inventory::Block::Block;
        bench
            .seats
            .block(&bench.event, free, block, None)
            .await
            .unwrap();
        assert_eq!(paid_late(&bench, &late).await.state, "refunding");
        let [_, _, booked, _] = bench.counts().await;
        assert_eq!(booked, 1);
    }
}
