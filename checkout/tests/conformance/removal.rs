//! Conditions for changing or removing a whole event, and that nothing of a removed event is left.

use crate::bench::*;
use checkout::inventory::{Begun, PaymentRef, Refused, RulesPatch, Verdict};

async fn begin(bench: &Bench, fan: &checkout::inventory::SessionKeys, seat: &str) -> PaymentRef {
    let hold = bench.hold(fan, named(&[seat])).await.unwrap();
    let order = bench.order(fan, &hold).await.unwrap();
    let id = &order.payment.id;
    match bench.seats.begin_payment(fan.clone(), id, None).await {
        Ok(Begun::Ask(payment)) => payment,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_event_stays_while_seats_are_held_or_money_is_on_its_way_and_for_good_once_it_was_sold()
{
    for bench in halls().await {
        let remove = async || bench.seats.remove(&bench.event).await;
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        assert_eq!(remove().await, Err(Refused::EventInUse), "held");
        bench.seats.release(ada.clone(), &hold.id).await.unwrap();
        let payment = begin(&bench, &ada, "st-A-1").await;
        assert_eq!(remove().await, Err(Refused::EventInUse), "asked");
        let later = Verdict::Pending(bench.clock.now().plus_seconds(3600));
        let order = bench.seats.settle(&payment, later, None).await.unwrap();
        assert_eq!(order.state, "confirming");
        assert_eq!(remove().await, Err(Refused::EventInUse), "confirming");
        assert_eq!(bench.sweep_after(601).await, 1);
        assert_eq!(bench.see(&ada, &order).await.state, "expired");
        assert_eq!(remove().await, Err(Refused::EventInUse), "yet to come");
        let paid = bench.seats.settle(&payment, Verdict::Captured, None).await;
        assert_eq!(paid.unwrap().state, "confirmed");
        assert_eq!(remove().await, Err(Refused::HasOrders), "confirmed");
        let refund = bench.seats.begin_refund(&bench.event, &order.id).await;
        assert_eq!(remove().await, Err(Refused::HasOrders), "going back");
        bench.seats.refunded(&refund.unwrap()).await.unwrap();
        assert_eq!(remove().await, Err(Refused::HasOrders), "it was sold once");
        assert_eq!(bench.see(&ada, &order).await.state, "refunded");
    }
}

#[tokio::test]
async fn an_event_that_was_never_paid_for_goes_with_all_that_it_had_and_is_made_anew() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let ask = || {
            let wish = named(&["st-A-1"]);
            let attempt = attempt("k", "b");
            bench.seats.hold(ada.clone(), &bench.event, wish, attempt)
        };
        let hold = ask().await.unwrap().value;
        let order = bench.order(&ada, &hold).await.unwrap();
        bench
            .pay(&ada, &order, Verdict::Declined("poor".into()))
            .await
            .unwrap();
        bench.seats.release(ada.clone(), &hold.id).await.unwrap();
        bench.seats.remove(&bench.event).await.unwrap();
        let again = bench.seats.remove(&bench.event).await;
        assert_eq!(again, Err(Refused::NoSuchEvent));
        assert!(bench.seats.seat_map(&bench.event).is_none());
        bench.seats.set_seating(&bench.event, hall()).await.unwrap();
        assert_eq!(ask().await, Err(Refused::NoSession), "not even an answer");
        let session = bench.seats.session(ada.clone(), None).await;
        assert_eq!(session, Err(Refused::NoSession));
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!((sales.available, sales.orders.len()), (16, 0));
        bench.fan(1).await;
    }
}

#[tokio::test]
async fn the_currency_stays_while_seats_are_held_in_it_or_were_ordered() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let change = async |currency: &str| {
            let patch = RulesPatch {
                currency: Some(currency.to_owned()),
                ..RulesPatch::default()
            };
            let changed = bench.seats.set_rules(&bench.event, patch).await;
            changed.map(|(_, after)| after.currency.as_str().to_owned())
        };
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        assert!(matches!(change("JPY").await, Err(Refused::Invalid(_))));
        bench.seats.release(ada.clone(), &hold.id).await.unwrap();
        assert_eq!(change("JPY").await, Ok("JPY".to_owned()));
        let order = bench.buy(&ada, &["st-A-2"]).await;
        assert_eq!(order.total.currency.as_str(), "JPY");
        assert!(matches!(change("EUR").await, Err(Refused::Invalid(_))));
    }
}

#[tokio::test]
async fn versions_of_the_map_go_on_for_a_plan_that_is_replaced_and_an_event_that_is_made_again() {
    for bench in halls().await {
        let version = || {
            bench
                .seats
                .seat_map(&bench.event)
                .unwrap()
                .current()
                .version
        };
        let mut before = version();
        for (visitor, is_removed) in [(1, false), (2, true), (3, true)] {
            let ada = bench.fan(visitor).await;
            let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
            bench.show().await;
            bench.seats.release(ada, &hold.id).await.unwrap();
            bench.show().await;
            assert!(version() > before);
            before = version();
            if is_removed {
                bench.seats.remove(&bench.event).await.unwrap();
            }
            bench.seats.set_seating(&bench.event, hall()).await.unwrap();
            assert!(version() > before, "{} after {before}", version());
            before = version();
        }
    }
}

#[tokio::test]
async fn a_node_that_has_not_heard_of_it_sells_nothing_of_an_event_that_was_made_again() {
    for (here, there) in pairs().await {
        let ada = there.fan(1).await;
        here.seats.remove(&here.event).await.unwrap();
        here.seats.set_seating(&here.event, hall()).await.unwrap();
        assert!(there.hold(&ada, named(&["st-A-1"])).await.is_err());
        there.show().await;
        let late = there.hold(&ada, named(&["st-A-1"])).await;
        assert_eq!(late, Err(Refused::NoSession));
        assert_eq!(here.counts().await, [16, 0, 0, 0]);
        let ben = there.fan(2).await;
        there.hold(&ben, named(&["st-A-1"])).await.unwrap();
        there.show().await;
        assert_eq!(here.counts().await, [15, 1, 0, 0]);
    }
}

#[tokio::test]
async fn a_plan_and_rules_set_at_a_node_that_has_not_heard_of_the_removal_make_the_event_anew() {
    let patch = || RulesPatch {
        hold_seconds: Some(7),
        ..RulesPatch::default()
    };
    for (here, there) in pairs().await {
        for is_made_again in [false, true] {
            here.seats.remove(&here.event).await.unwrap();
            if is_made_again {
                here.seats.set_seating(&here.event, hall()).await.unwrap();
            }
            let set = there.seats.set_seating(&there.event, hall()).await;
            set.unwrap();
            assert_eq!(there.counts().await, [16, 0, 0, 0]);
            let ada = there.fan(1).await;
            let hold = there.hold(&ada, named(&["st-A-1"])).await.unwrap();
            here.show().await;
            assert_eq!(here.counts().await, [15, 1, 0, 0]);
            there.seats.release(ada, &hold.id).await.unwrap();
            here.seats.remove(&here.event).await.unwrap();
            if is_made_again {
                here.seats.set_seating(&here.event, hall()).await.unwrap();
            }
            let (_, rules) = there.seats.set_rules(&there.event, patch()).await.unwrap();
            assert_eq!(rules.hold_seconds, 7);
            here.show().await;
        }
        let orphans = "select count(*) from fairline.seat s
            where not exists (select from fairline.event e where e.event = s.event)";
        assert_eq!(here.by_hand(orphans).unwrap(), "0");
    }
}

#[tokio::test]
async fn a_hold_that_is_written_while_the_event_is_removed_keeps_the_event() {
    for (here, _) in pairs().await {
        let config = here.by_hand("select config from fairline.event").unwrap();
        let mut slow = here.connect().await;
        let apply = hold_by_hand(&config, "slow");
        slow.run(&format!("begin; {apply}")).await;
        let removing = here.seats.remove(&here.event);
        let waiting = async {
            while here.by_hand(WAITING_FOR_THE_EVENT).unwrap() == "0" {
                tokio::task::yield_now().await;
            }
        };
        tokio::pin!(removing);
        tokio::select! {
            outcome = &mut removing => panic!("it did not wait: {outcome:?}"),
            () = waiting => {}
        }
        slow.run("commit").await;
        assert_eq!(removing.await, Err(Refused::EventInUse));
        let sales = here.seats.sales(&here.event).await.unwrap();
        assert_eq!((sales.available, sales.held), (15, 1));
    }
}
