//! Orders and money: booked once it is received, refunded if the seats are gone, everything exactly
//! once.

use crate::bench::*;
use checkout::inventory::{Begun, Once, Order, PaymentRef, Reader, Refused, SessionKeys, Verdict};

#[tokio::test]
async fn whoever_still_owns_the_seats_may_buy_them_however_late() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        bench.clock.advance_ms(125_000);
        let order = bench.order(&ada, &hold).await.unwrap();
        assert_eq!(bench.sweep_after(0).await, 0, "frozen for the payment");
        assert_eq!(
            bench
                .pay(&ada, &order, Verdict::Captured)
                .await
                .unwrap()
                .state,
            "confirmed"
        );
    }
}

#[tokio::test]
async fn an_order_is_booked_once_the_money_is_there_and_has_a_ticket_for_every_seat() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2", "fl-3"]).await;
        assert_eq!(
            (order.state.as_str(), order.total.amount),
            ("confirmed", 11_000)
        );
        let tickets = order.tickets.clone().unwrap();
        let seats: Vec<&str> = tickets.iter().map(|ticket| ticket.seat.as_str()).collect();
        assert_eq!(seats, ["st-A-1", "st-A-2", "fl-3"]);
        assert_eq!(bench.counts().await, [13, 0, 3, 0]);
        assert!(
            bench
                .seats
                .session(ada.clone(), None)
                .await
                .unwrap()
                .is_over
        );
        assert_eq!(
            bench.hold(&ada, named(&["st-B-1"])).await,
            Err(Refused::SessionOver)
        );
        let reports = bench.seats.reports().await.unwrap();
        assert!(reports.len() == 1 && reports[0].is_finished && reports[0].token == "token-adm-1");
        bench.seats.reported(reports).await.unwrap();
        assert_eq!(bench.seats.reports().await.unwrap(), []);
        let link = order.link.clone().unwrap();
        let word = link.split_once("key=").unwrap().1.to_owned();
        let by_link = bench
            .seats
            .show_order(Reader::Link(word.clone()), &order.id)
            .await
            .unwrap();
        assert_eq!(by_link, bench.see(&ada, &order).await);
        let other = bench.fan(2).await;
        let foreign = bench.buy(&other, &["st-B-1"]).await;
        assert_eq!(
            bench
                .seats
                .show_order(Reader::Link(word), &foreign.id)
                .await,
            Err(Refused::NoSession)
        );
        let theirs = bench
            .seats
            .show_order(Reader::Session(other), &order.id)
            .await;
        assert_eq!(theirs, Err(Refused::NoSuchOrder));
    }
}

#[tokio::test]
async fn a_declined_card_keeps_the_seats_and_another_may_pay_under_the_old_id_too() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        let declined = bench
            .pay(&ada, &order, Verdict::Declined("card_declined".into()))
            .await
            .unwrap();
        assert_eq!(
            (declined.state.as_str(), declined.decline_reason.as_deref()),
            ("declined", Some("card_declined"))
        );
        assert_ne!(
            declined.payment.id, order.payment.id,
            "an attempt to pay is one row"
        );
        assert_eq!(bench.counts().await, [15, 1, 0, 0]);
        assert_eq!(
            bench
                .pay(&ada, &order, Verdict::Captured)
                .await
                .unwrap()
                .state,
            "confirmed"
        );
        let twice = bench.pay(&ada, &declined, Verdict::Captured).await;
        assert_eq!(twice, Err(Refused::OrderState("confirmed".into())));
        assert_eq!(
            bench
                .seats
                .sales(&bench.event)
                .await
                .unwrap()
                .revenue
                .amount,
            4500
        );
    }
}

#[tokio::test]
async fn there_is_one_order_for_a_hold_and_cancelling_it_gives_the_seats_back() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        assert_eq!(
            bench.order(&ada, &hold).await,
            Err(Refused::HoldConverted(order.id.clone()))
        );
        bench.seats.release(ada.clone(), &hold.id).await.unwrap();
        assert_eq!(bench.see(&ada, &order).await.state, "cancelled");
        assert_eq!(bench.counts().await, [16, 0, 0, 0]);
        let dead = bench.pay(&ada, &order, Verdict::Captured).await;
        assert_eq!(dead, Err(Refused::OrderState("cancelled".into())));
    }
}

#[tokio::test]
async fn while_a_payment_is_under_way_nothing_releases_the_seats_before_the_cap() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        let promised = bench.clock.now().plus_seconds(20);
        let late = bench
            .pay(&ada, &order, Verdict::Pending(promised))
            .await
            .unwrap();
        assert_eq!(late.state, "confirming");
        assert_eq!(
            bench.seats.release(ada.clone(), &hold.id).await,
            Err(Refused::PaymentRunning)
        );
        let again = bench
            .seats
            .begin_payment(ada.clone(), &late.payment.id, None)
            .await;
        assert!(matches!(again, Err(Refused::PaymentRunning)));
        bench.clock.advance_ms(19_000);
        assert_eq!(bench.due().await, []);
        bench.clock.advance_ms(120_000);
        assert!(
            bench.hold(&ben, named(&["st-A-1"])).await.is_err(),
            "frozen, though the hold's time is over"
        );
        let due = bench.due().await;
        assert_eq!((due.len(), due[0].promised_at), (1, Some(promised)));
        for _ in 0..3 {
            let order = bench
                .seats
                .settle(&due[0], Verdict::Captured, None)
                .await
                .unwrap();
            assert_eq!(
                order.state, "confirmed",
                "heard three times, it happened once"
            );
        }
        assert_eq!(bench.counts().await, [15, 0, 1, 0]);
        assert_eq!(bench.see(&ada, &order).await.tickets.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_order_that_nobody_pays_is_let_go_at_the_cap() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let hold = bench
            .hold(&ada, named(&["st-A-1", "st-A-2"]))
            .await
            .unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        assert_eq!(order.pay_by, START.plus_seconds(600));
        assert_eq!(bench.sweep_after(599).await, 0);
        assert_eq!(bench.sweep_after(1).await, 2);
        assert_eq!(bench.see(&ada, &order).await.state, "expired");
        assert_eq!(bench.counts().await, [16, 0, 0, 0]);
        let late = bench.pay(&ada, &order, Verdict::Captured).await;
        assert_eq!(late, Err(Refused::OrderState("expired".into())));
    }
}

#[tokio::test]
async fn money_that_comes_too_late_buys_the_seats_if_they_are_free_and_else_goes_back() {
    for bench in halls().await {
        for (visitor, seat, is_taken) in [(1, "st-A-1", false), (2, "st-B-1", true)] {
            let fan = bench.fan(visitor).await;
            let hold = bench.hold(&fan, named(&[seat])).await.unwrap();
            let order = bench.order(&fan, &hold).await.unwrap();
            let Ok(Begun::Ask(payment)) = bench
                .seats
                .begin_payment(fan.clone(), &order.payment.id, None)
                .await
            else {
                panic!("the payment should begin");
            };
            bench.sweep_after(601).await;
            assert_eq!(bench.see(&fan, &order).await.state, "expired");
            let other = bench.fan(visitor + 10).await;
            if is_taken {
                bench.buy(&other, &[seat]).await;
            }
            let settled = bench
                .seats
                .settle(&payment, Verdict::Captured, None)
                .await
                .unwrap();
            if !is_taken {
                assert_eq!(settled.state, "confirmed");
                continue;
            }
            assert_eq!(settled.state, "refunding");
            let refunds = bench.refunds().await;
            assert_eq!(refunds.len(), 1, "asked for until it is done");
            for _ in 0..2 {
                assert_eq!(
                    bench.seats.refunded(&refunds[0]).await.unwrap().state,
                    "refunded"
                );
            }
            assert_eq!(bench.refunds().await, []);
        }
        assert_eq!(bench.counts().await, [14, 0, 2, 0]);
    }
}

#[tokio::test]
async fn money_for_a_payment_that_counted_as_failed_goes_back_and_changes_nothing_else() {
    for bench in halls().await {
        let late = || Verdict::Pending(bench.clock.now().plus_seconds(20));
        for (visitor, seat, verdict, is_paid_again) in [
            (1, "st-A-1", Verdict::Captured, false),
            (2, "st-A-2", Verdict::Captured, true),
            (3, "st-A-3", late(), true),
        ] {
            let fan = bench.fan(visitor).await;
            let hold = bench.hold(&fan, named(&[seat])).await.unwrap();
            let order = bench.order(&fan, &hold).await.unwrap();
            let id = &order.payment.id;
            let begun = bench.seats.begin_payment(fan.clone(), id, None).await;
            let Ok(Begun::Ask(first)) = begun else {
                panic!("the payment should begin");
            };
            let failed = Verdict::Declined("interrupted".into());
            let told = bench.seats.settle(&first, failed, None).await.unwrap();
            let mut state = "declined";
            if is_paid_again {
                bench.pay(&fan, &told, Verdict::Captured).await.unwrap();
                state = "confirmed";
            }
            // The provider's answer to the first payment arrives only now, and twice.
            for _ in 0..2 {
                let heard = bench.seats.settle(&first, verdict.clone(), None).await;
                assert_eq!(heard.unwrap().state, state);
            }
            let refunds = bench.refunds().await;
            assert_eq!(refunds.len(), 1);
            assert_eq!(refunds[0].id, first.id);
            bench.seats.refunded(&refunds[0]).await.unwrap();
            assert_eq!(bench.refunds().await, []);
            assert_eq!(bench.see(&fan, &order).await.state, state);
        }
        assert_eq!(bench.counts().await, [13, 1, 2, 0]);
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!(sales.revenue.amount, 2 * 4500);
    }
}

fn interrupted() -> Verdict {
    Verdict::Declined("interrupted".into())
}

/// An order of st-A-1 whose payment the provider is being asked for.
async fn paying(bench: &Bench, fan: &SessionKeys) -> (Order, PaymentRef) {
    let hold = bench.hold(fan, named(&["st-A-1"])).await.unwrap();
    let order = bench.order(fan, &hold).await.unwrap();
    let id = &order.payment.id;
    match bench.seats.begin_payment(fan.clone(), id, None).await {
        Ok(Begun::Ask(payment)) => (order, payment),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_decline_that_was_asked_for_before_the_money_was_promised_changes_nothing() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let (order, asked) = paying(&bench, &ada).await;
        bench.clock.advance_ms(16_000);
        let due = bench.due().await;
        assert_eq!(due, std::slice::from_ref(&asked));
        let later = Verdict::Pending(bench.clock.now().plus_seconds(20));
        bench.seats.settle(&asked, later, None).await.unwrap();
        let told = bench.seats.settle(&asked, interrupted(), None).await;
        assert_eq!(told.unwrap().state, "confirming");
        bench.clock.advance_ms(20_000);
        let due = bench.due().await;
        assert_eq!(due.len(), 1, "the promised money is still expected");
        let paid = bench.seats.settle(&due[0], Verdict::Captured, None).await;
        assert_eq!(paid.unwrap().state, "confirmed");
        assert_eq!(bench.see(&ada, &order).await.state, "confirmed");
    }
}

#[tokio::test]
async fn a_node_that_has_not_heard_of_a_promise_cannot_end_the_payment_of_an_expired_order() {
    for (here, there) in pairs().await {
        let ada = here.fan(1).await;
        let (order, asked) = paying(&here, &ada).await;
        assert_eq!(there.sweep_after(601).await, 1);
        let later = Verdict::Pending(here.clock.now().plus_seconds(20));
        here.seats.settle(&asked, later, None).await.unwrap();
        let told = there.seats.settle(&asked, interrupted(), None).await;
        assert_eq!(told.unwrap().state, "expired");
        here.clock.advance_ms(20_000);
        let due = there.due().await;
        assert_eq!(due.len(), 1, "the promised money is still expected");
        let paid = there.seats.settle(&due[0], Verdict::Captured, None).await;
        assert_eq!(paid.unwrap().state, "confirmed");
        assert_eq!(here.see(&ada, &order).await.state, "confirmed");
    }
}

#[tokio::test]
async fn a_refund_frees_the_seats_once() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let order = bench.buy(&ada, &["st-A-1"]).await;
        let payment = bench
            .seats
            .begin_refund(&bench.event, &order.id)
            .await
            .unwrap();
        let twice = bench.seats.begin_refund(&bench.event, &order.id).await;
        assert_eq!(twice, Err(Refused::OrderState("refunding".into())));
        bench.seats.refunded(&payment).await.unwrap();
        assert_eq!(bench.counts().await, [16, 0, 0, 0]);
        bench.buy(&ben, &["st-A-1"]).await;
        bench.seats.refunded(&payment).await.unwrap();
        assert_eq!(
            bench.counts().await,
            [15, 0, 1, 0],
            "Ben's seat stays Ben's"
        );
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!((sales.revenue.amount, sales.orders["refunded"]), (4500, 1));
    }
}

#[tokio::test]
async fn with_an_idempotency_key_everything_happens_once() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let wish = || named(&["st-A-1"]);
        let ask = |body: &'static str| {
            bench
                .seats
                .hold(ada.clone(), &bench.event, wish(), attempt("h", body))
        };
        let first = ask("b").await.unwrap();
        assert!(!first.is_replayed);
        assert_eq!(
            ask("b").await.unwrap(),
            Once {
                value: first.value.clone(),
                is_replayed: true
            }
        );
        assert_eq!(ask("other").await, Err(Refused::Mismatch));
        let order = |body: &'static str| {
            bench
                .seats
                .order(ada.clone(), &first.value.id, buyer(), attempt("o", body))
        };
        let made = order("b").await.unwrap().value;
        assert_eq!(
            order("b").await.unwrap(),
            Once {
                value: made.clone(),
                is_replayed: true
            }
        );
        let begin = || {
            bench
                .seats
                .begin_payment(ada.clone(), &made.payment.id, attempt("p", "b"))
        };
        let Ok(Begun::Ask(payment)) = begin().await else {
            panic!("the payment should begin")
        };
        assert!(matches!(begin().await, Err(Refused::StillRunning)));
        let paid = bench
            .seats
            .settle(&payment, Verdict::Captured, attempt("p", "b"))
            .await
            .unwrap();
        let Ok(Begun::Replayed(again)) = begin().await else {
            panic!("the answer should be a stored one")
        };
        assert_eq!(*again, paid);
        assert_eq!(bench.counts().await, [15, 0, 1, 0]);
        bench.clock.advance_ms(4 * 24 * 3600 * 1000 - 1000);
        bench.seats.sweep().await.unwrap();
        assert!(order("b").await.unwrap().is_replayed, "kept for four days");
    }
}

#[tokio::test]
async fn an_order_refused_leaves_the_key_free_to_try_again() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let theirs = bench.hold(&ben, named(&["st-A-1"])).await.unwrap();
        let ask = || {
            bench.seats.hold(
                ada.clone(),
                &bench.event,
                named(&["st-A-1"]),
                attempt("k", "b"),
            )
        };
        assert!(ask().await.is_err());
        bench.seats.release(ben, &theirs.id).await.unwrap();
        assert!(ask().await.is_ok());
    }
}
