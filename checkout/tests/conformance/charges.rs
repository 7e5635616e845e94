//! Fees and taxes: lines of holds and orders, frozen with the hold, and given back with refunds.

use crate::bench::*;
use axum::body::to_bytes;
use axum::http::HeaderMap;
use checkout::inventory::*;

/// Two fees and two taxes: a seat of 45.00 costs 48.00, and 0.48 on top; an order 2.00, and 0.02.
fn charges() -> RulesPatch {
    serde_json::from_value(serde_json::json!({
        "fees": [{"name": "Service", "per": "ticket", "amount": 300},
            {"name": "Booking fee", "per": "order", "amount": 200}],
        "taxes": [{"name": "VAT", "percent": "19", "included": true},
            {"name": "City tax", "percent": "1", "included": false}],
    }))
    .unwrap()
}

/// Price of a seat of the stalls with what its ticket bears, and fees of an order with their tax.
const SEAT: i64 = 4500 + 300 + 48;
const ORDER: i64 = 200 + 2;

impl Bench {
    async fn set(&self, rules: RulesPatch) {
        self.seats.set_rules(&self.event, rules).await.unwrap();
    }
}

/// Returns the name, the number and the sum of each line.
fn shown(lines: &[PriceLine]) -> Vec<(&str, u32, i64)> {
    let mut shown = Vec::new();
    for line in lines {
        shown.push((line.name.as_str(), line.quantity, line.amount.amount));
    }
    shown
}

fn sum(lines: &[PriceLine]) -> i64 {
    let added = lines.iter().filter(|line| !line.included);
    added.map(|line| line.amount.amount).sum()
}

#[tokio::test]
async fn a_hold_and_its_order_have_lines_that_add_up_to_what_is_paid() {
    for mut bench in halls().await {
        bench.set(charges()).await;
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1", "st-A-2"])).await;
        let hold = hold.unwrap();
        let wanted = [
            ("Stalls", 2, 9000),
            ("Service", 2, 600),
            ("Booking fee", 1, 200),
            ("City tax", 2, 96),
            ("City tax", 1, 2),
            // 19/119 of 48.00 and of 2.00
            ("VAT", 2, 2 * 766),
            ("VAT", 1, 32),
        ];
        assert_eq!(shown(&hold.lines), wanted);
        assert_eq!(hold.total.amount, 2 * SEAT + ORDER);
        assert_eq!(sum(&hold.lines), hold.total.amount);
        // As another process reads it.
        bench.reopen().await;
        let read = bench.seats.show_hold(ada.clone(), &hold.id).await;
        assert_eq!(read.unwrap(), hold);
        let order = bench.order(&ada, &hold).await.unwrap();
        assert_eq!((&order.lines, order.total), (&hold.lines, hold.total));
        let keys = ada.clone();
        let begun = bench.seats.begin_payment(keys, &order.payment.id, None);
        let Begun::Ask(payment) = begun.await.unwrap() else {
            panic!("it was not asked for before");
        };
        assert_eq!(payment.amount, hold.total);
        let paid = bench.seats.settle(&payment, Verdict::Captured, None).await;
        let paid = paid.unwrap();
        bench.reopen().await;
        assert_eq!(bench.see(&ada, &paid).await, paid);
        assert_eq!(paid.lines, hold.lines);
        let listed = bench.seats.orders(&bench.event, 10).await.unwrap();
        assert_eq!(listed[0].lines, hold.lines);
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!(sales.revenue, hold.total);
    }
}

#[tokio::test]
async fn an_order_pays_what_its_hold_said_though_the_fees_have_changed_since() {
    for bench in halls().await {
        bench.set(charges()).await;
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let layout = async || {
            let map = bench.seats.seat_map(&bench.event).unwrap();
            let document = map.layout_document().await.unwrap().json;
            let answer = document.response(&HeaderMap::new(), ()).await.unwrap();
            let json = to_bytes(answer.into_body(), 100_000).await.unwrap();
            let layout: serde_json::Value = serde_json::from_slice(&json).unwrap();
            (
                map.layout_version,
                layout["categories"][0]["total"]["amount"].clone(),
            )
        };
        let (version, total) = layout().await;
        assert_eq!(total, SEAT);
        let none = RulesPatch {
            fees: Some(Vec::new()),
            taxes: Some(Vec::new()),
            ..RulesPatch::default()
        };
        bench.set(none).await;
        assert_eq!(layout().await, (version + 1, 4500.into()));
        let order = bench.order(&ada, &hold).await.unwrap();
        assert_eq!((&order.lines, order.total), (&hold.lines, hold.total));
        let new = bench.hold(&ada, named(&["st-A-2"])).await.unwrap();
        assert_eq!(shown(&new.lines), [("Stalls", 1, 4500)]);
        assert_eq!(new.total.amount, 4500);
    }
}

#[tokio::test]
async fn refunds_of_single_seats_give_back_their_fees_and_the_last_one_those_of_the_order() {
    for bench in halls().await {
        bench.set(charges()).await;
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2", "fl-1"]).await;
        // 20.00 and 3.00, and 0.23 on top.
        let floor = 2000 + 300 + 23;
        assert_eq!(order.total.amount, 2 * SEAT + floor + ORDER);
        let (back, left) = bench.refund(&order, Some(&["st-A-2"])).await;
        assert_eq!((back, left.state.as_str()), (SEAT, "confirmed"));
        let (back, left) = bench.refund(&order, Some(&["fl-1"])).await;
        assert_eq!((back, left.state.as_str()), (floor, "confirmed"));
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!(sales.revenue.amount, SEAT + ORDER);
        let (back, left) = bench.refund(&order, Some(&["st-A-1"])).await;
        assert_eq!((back, left.state.as_str()), (SEAT + ORDER, "refunded"));
        assert_eq!(left.refunded, Some(order.total));
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!(sales.revenue.amount, 0);
    }
}

#[tokio::test]
async fn a_fee_that_is_kept_stays_when_only_a_free_seat_is_left_to_refund() {
    for bench in halls().await {
        let plan = br#"{"categories": [{"id": "c", "name": "C", "price": 4500}, {"id": "free", "name": "F", "price": 0}],
            "sections": [{"id": "st", "category": "c", "rows": 1, "seats_per_row": 2},
                {"id": "fl", "category": "free", "rows": 1, "seats_per_row": 2}]}"#;
        let plan = layout::parse(plan).unwrap();
        bench.seats.set_seating(&bench.event, plan).await.unwrap();
        let rules = RulesPatch {
            order_fee_refund: Some(OrderFeeRefund::Never),
            ..charges()
        };
        bench.set(rules).await;
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "fl-A-1"]).await;
        let (back, _) = bench.refund(&order, Some(&["st-A-1"])).await;
        assert_eq!(back, SEAT);
        let details = bench.seats.order_details(&bench.event, &order.id).await;
        assert_eq!(details.unwrap().refundable.amount, 0);
        let (back, left) = bench.refund(&order, None).await;
        assert_eq!((back, left.state.as_str()), (0, "refunded"));
        assert_eq!(left.refunded.unwrap().amount, SEAT);
    }
}

#[tokio::test]
async fn fees_of_an_order_that_are_never_refunded_are_kept_and_counted() {
    for bench in halls().await {
        let rules = RulesPatch {
            order_fee_refund: Some(OrderFeeRefund::Never),
            ..charges()
        };
        bench.set(rules).await;
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        // A rule of later holds.
        bench.set(charges()).await;
        let (back, _) = bench.refund(&order, Some(&["st-A-2"])).await;
        assert_eq!(back, SEAT);
        let details = bench.seats.order_details(&bench.event, &order.id).await;
        let details = details.unwrap();
        assert_eq!(details.refundable.amount, SEAT);
        let refunds = details.seats.iter().map(|seat| seat.refund.amount);
        assert_eq!(refunds.collect::<Vec<_>>(), [SEAT, SEAT]);
        let (back, left) = bench.refund(&order, None).await;
        assert_eq!((back, left.state.as_str()), (SEAT, "refunded"));
        assert_eq!(left.refunded.unwrap().amount, 2 * SEAT);
        assert_eq!(bench.counts().await, [16, 0, 0, 0]);
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!(sales.revenue.amount, ORDER);
        let again = bench.seats.begin_refund(&bench.event, &order.id).await;
        assert_eq!(again, Err(Refused::OrderState("refunded".to_owned())));
        // Its fan may have as many seats as before.
        let more = bench.admit(1, "adm-again").await.unwrap();
        let six = ["st-A-1", "st-A-2", "st-A-3", "st-A-4", "st-A-5", "st-A-6"];
        bench.hold(&more, named(&six)).await.unwrap();
    }
}

#[tokio::test]
async fn a_hold_with_fees_is_bought_at_another_node() {
    for (one, other) in pairs().await {
        one.set(charges()).await;
        let ada = one.fan(1).await;
        let hold = one.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let order = other.order(&ada, &hold).await.unwrap();
        assert_eq!((&order.lines, order.total), (&hold.lines, hold.total));
        let paid = one.pay(&ada, &order, Verdict::Captured).await.unwrap();
        assert_eq!(paid.total.amount, SEAT + ORDER);
        let (back, left) = other.refund(&order, None).await;
        assert_eq!((back, left.state.as_str()), (SEAT + ORDER, "refunded"));
    }
}
