//! The organiser's operations and the public seat map.

use crate::bench::*;
use checkout::inventory::{Begun, Block, Money, Refused, SeatState, Verdict};

#[tokio::test]
async fn blocked_seats_are_nobodys_and_owned_seats_cannot_be_blocked() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let names = |seats: &[&str]| {
            seats
                .iter()
                .map(|seat| (*seat).to_owned())
                .collect::<Vec<_>>()
        };
        for _ in 0..2 {
            bench
                .seats
                .block(
                    &bench.event,
                    names(&["st-A-1", "st-A-2"]),
                    Block::Block,
                    None,
                )
                .await
                .unwrap();
        }
        assert_eq!(bench.counts().await, [14, 0, 0, 2]);
        assert!(bench.hold(&ada, named(&["st-A-1"])).await.is_err());
        bench.hold(&ada, named(&["st-B-1"])).await.unwrap();
        let taken = bench
            .seats
            .block(
                &bench.event,
                names(&["st-B-2", "st-B-1"]),
                Block::Block,
                None,
            )
            .await;
        assert_eq!(taken, Err(Refused::SeatsTaken(names(&["st-B-1"]))));
        bench
            .seats
            .block(&bench.event, names(&["st-A-1"]), Block::Unblock, None)
            .await
            .unwrap();
        assert_eq!(bench.counts().await, [14, 1, 0, 1]);
    }
}

#[tokio::test]
async fn amounts_of_different_currencies_are_never_added_up() {
    for mut bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        bench.buy(&ada, &["st-A-1"]).await;
        bench.buy(&ben, &["st-A-2", "st-A-3"]).await;
        // As an earlier version let it happen.
        bench
            .change_orders("currency = 'JPY' where total = 4500")
            .await;
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        let shown = |money: &Money| (money.amount, money.currency.as_str().to_owned());
        assert_eq!(shown(&sales.revenue), (9000, "EUR".to_owned()));
        let other: Vec<_> = sales.other_revenue.iter().map(shown).collect();
        assert_eq!(other, [(4500, "JPY".to_owned())]);
        assert_eq!(sales.orders["confirmed"], 2);
    }
}

#[tokio::test]
async fn a_plan_is_replaced_only_while_nothing_is_held_or_booked() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        assert_eq!(
            bench.seats.set_seating(&bench.event, hall()).await,
            Err(Refused::InUse)
        );
        bench.seats.release(ada.clone(), &hold.id).await.unwrap();
        let before = bench
            .seats
            .seat_map(&bench.event)
            .unwrap()
            .current()
            .version;
        assert_eq!(bench.seats.set_seating(&bench.event, hall()).await, Ok(2));
        assert!(
            bench
                .seats
                .seat_map(&bench.event)
                .unwrap()
                .current()
                .version
                >= before
        );
        bench.buy(&ada, &["st-A-1"]).await;
        assert_eq!(
            bench.seats.remove(&bench.event).await,
            Err(Refused::HasOrders)
        );
    }
}

#[tokio::test]
async fn a_plan_is_not_replaced_while_money_may_yet_come_for_seats_of_it() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        let paying = bench
            .seats
            .begin_payment(ada.clone(), &order.payment.id, None);
        let Ok(Begun::Ask(payment)) = paying.await else {
            panic!("the payment should begin");
        };
        bench.sweep_after(601).await;
        assert_eq!(bench.counts().await, [16, 0, 0, 0], "the seat is free");
        let replaced = bench.seats.set_seating(&bench.event, hall()).await;
        assert_eq!(replaced, Err(Refused::InUse));
        let late = bench.seats.settle(&payment, Verdict::Captured, None).await;
        assert_eq!(late.unwrap().tickets.unwrap().len(), 1);
        assert_eq!(bench.see(&ada, &order).await.tickets.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn the_boards_versions_have_no_gap_and_lead_from_any_map_to_the_newest() {
    for bench in halls().await {
        let seat_map = bench.seats.seat_map(&bench.event).unwrap();
        let first = seat_map.current();
        let mut map = first.states.clone();
        let ada = bench.fan(1).await;
        let hold = bench
            .hold(&ada, named(&["st-A-1", "st-A-2"]))
            .await
            .unwrap();
        bench.show().await;
        let shown = seat_map.current().version;
        bench.show().await;
        assert_eq!(seat_map.current().version, shown, "nothing changed");
        bench.seats.release(ada.clone(), &hold.id).await.unwrap();
        bench.buy(&ada, &["st-B-6"]).await;
        bench.show().await;
        let messages = seat_map.since(first.version).unwrap();
        let versions: Vec<u64> = messages.iter().map(|message| message.version).collect();
        assert_eq!(versions, [first.version + 1, first.version + 2]);
        for message in &messages {
            let message: serde_json::Value = serde_json::from_str(&message.text).unwrap();
            for change in message["changes"].as_array().unwrap() {
                let seat = seat_map.layout.find(change[0].as_str().unwrap()).unwrap();
                let state: SeatState = serde_json::from_value(change[1].clone()).unwrap();
                map[seat as usize] = state;
            }
        }
        assert_eq!(map, seat_map.current().states);
        assert!(
            seat_map.since(first.version - 1).is_none(),
            "too old to be followed"
        );
        let bits = seat_map.current().to_bits();
        let read: Vec<u8> = (0..16)
            .map(|seat| (bits[seat / 4] >> (seat % 4 * 2)) & 3)
            .collect();
        let states: Vec<u8> = map.iter().map(|state| *state as u8).collect();
        assert_eq!(read, states);
    }
}
