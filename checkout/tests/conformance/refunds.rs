//! Orders that cost nothing, and refunds of some seats.

use crate::bench::*;
use checkout::inventory::*;

#[tokio::test]
async fn an_order_that_costs_nothing_is_confirmed_at_once_and_refunded_without_money() {
    for bench in halls().await {
        let plan = br#"{"categories": [{"id": "free", "name": "Free", "price": 0}],
            "sections": [{"id": "st", "category": "free", "rows": 1, "seats_per_row": 4}]}"#;
        let plan = layout::parse(plan).unwrap();
        bench.seats.set_seating(&bench.event, plan).await.unwrap();
        let ada = bench.fan(1).await;
        let hold = bench
            .hold(&ada, named(&["st-A-1", "st-A-2"]))
            .await
            .unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        assert_eq!(
            (order.state.as_str(), order.payment.provider.as_str()),
            ("confirmed", "free")
        );
        assert_eq!(order.tickets.as_ref().unwrap().len(), 2);
        assert_eq!(bench.counts().await, [2, 0, 2, 0]);
        assert_eq!(bench.see(&ada, &order).await, order);
        let more = bench.hold(&ada, named(&["st-A-3"])).await;
        assert_eq!(more, Err(Refused::SessionOver));
        let refund = bench
            .seats
            .begin_refund(&bench.event, &order.id)
            .await
            .unwrap();
        assert_eq!(
            bench.seats.refunded(&refund).await.unwrap().state,
            "refunded"
        );
        assert_eq!(bench.counts().await, [4, 0, 0, 0]);
    }
}

#[tokio::test]
async fn a_refund_that_is_repeated_under_its_key_gives_nothing_more_back() {
    for mut bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2", "st-A-3"]).await;
        let begin = async |bench: &Bench, id: &str, body: &str, seats: &[&str]| {
            let seats = seats.iter().map(|seat| (*seat).to_owned()).collect();
            let begun = bench.seats.begin_refund_once(
                &bench.event,
                &order.id,
                Some(seats),
                attempt(id, body),
            );
            let (amount, refund, order) = begun.await?;
            Ok::<_, Refused>((amount.value, amount.is_replayed, refund, order.refunded))
        };
        let (amount, is_replayed, refund, _) =
            begin(&bench, "one", "A-2", &["st-A-2"]).await.unwrap();
        assert_eq!((amount, is_replayed), (4500, false));
        let again = begin(&bench, "one", "A-2", &["st-A-2"]).await.unwrap();
        assert_eq!((again.0, again.1, &again.2), (4500, true, &refund));
        bench.seats.refunded(&refund.unwrap()).await.unwrap();
        for _ in 0..2 {
            let again = begin(&bench, "one", "A-2", &["st-A-2"]).await.unwrap();
            assert_eq!((again.0, again.1, again.2), (4500, true, None));
            assert_eq!(again.3.unwrap().amount, 4500);
            bench.reopen().await;
        }
        assert_eq!(bench.refunds().await, []);
        let another = begin(&bench, "one", "A-3", &["st-A-3"]).await;
        assert_eq!(another.unwrap_err(), Refused::Mismatch);
        let (amount, is_replayed, ..) = begin(&bench, "two", "A-3", &["st-A-3"]).await.unwrap();
        assert_eq!((amount, is_replayed), (4500, false));
    }
}

#[tokio::test]
async fn a_seat_is_refunded_alone_once_and_no_more_than_was_paid_goes_back() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2", "st-A-3"]).await;
        let begin = async |seats: &[&str]| {
            let seats = seats.iter().map(|seat| (*seat).to_owned()).collect();
            let inventory = &bench.seats;
            inventory
                .begin_refund_of(&bench.event, &order.id, Some(seats))
                .await
        };
        let first = begin(&["st-A-2", "st-A-2"]).await.unwrap();
        assert_eq!(first.refund.as_ref().unwrap().amount, 4500);
        // Its ticket has ended; its seat is free once the money is back.
        let seen = bench.see(&ada, &order).await;
        assert_eq!(
            (seen.state.as_str(), seen.tickets.unwrap().len()),
            ("confirmed", 2)
        );
        assert_eq!(bench.counts().await, [13, 0, 3, 0]);
        assert_eq!(begin(&["st-A-1"]).await, Err(Refused::PaymentRunning));
        // A process that dies now leaves it to the reconciler.
        let due = bench.refunds().await;
        assert_eq!(due, std::slice::from_ref(&first));
        for _ in 0..2 {
            let refunded = bench.seats.refunded(&first).await.unwrap();
            assert_eq!(refunded.refunded.unwrap().amount, 4500);
        }
        assert_eq!(bench.counts().await, [14, 0, 2, 0]);
        let again = begin(&["st-A-2"]).await;
        assert_eq!(again, Err(Refused::UnknownSeats(vec!["st-A-2".into()])));
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!(sales.revenue.amount, 2 * 4500);
        // Another fan has the seat; what is left of the order goes back without it.
        let ben = bench.fan(2).await;
        bench.buy(&ben, &["st-A-2"]).await;
        let rest = begin(&["st-A-1", "st-A-3"]).await.unwrap();
        assert_eq!(rest.refund.as_ref().unwrap().amount, 2 * 4500);
        let refunded = bench.seats.refunded(&rest).await.unwrap();
        assert_eq!(refunded.state, "refunded");
        assert_eq!(refunded.refunded.unwrap().amount, 3 * 4500);
        assert_eq!(bench.counts().await, [15, 0, 1, 0]);
    }
}

#[tokio::test]
async fn seats_are_refunded_one_after_the_other_each_for_its_own_price() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2", "st-A-3"]).await;
        for (at, seat) in (1..).zip(["st-A-2", "st-A-1", "st-A-3"]) {
            let seats = Some(vec![seat.to_owned()]);
            let inventory = &bench.seats;
            let refund = inventory
                .begin_refund_of(&bench.event, &order.id, seats)
                .await;
            let refund = refund.unwrap();
            assert_eq!(refund.refund.as_ref().unwrap().amount, 4500, "{seat}");
            let refunded = inventory.refunded(&refund).await.unwrap();
            assert_eq!(refunded.refunded.unwrap().amount, at * 4500);
            let state = if at == 3 { "refunded" } else { "confirmed" };
            assert_eq!(refunded.state, state, "{seat}");
        }
        assert_eq!(bench.counts().await, [16, 0, 0, 0]);
    }
}

#[tokio::test]
async fn seats_that_were_refunded_do_not_count_for_the_limit_of_their_fan() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let seats = ["st-A-1", "st-A-2", "st-A-3", "st-A-4", "st-A-5", "st-A-6"];
        let order = bench.buy(&ada, &seats).await;
        let back = Some(vec!["st-A-1".to_owned(), "st-A-2".to_owned()]);
        let inventory = &bench.seats;
        let refund = inventory
            .begin_refund_of(&bench.event, &order.id, back)
            .await;
        inventory.refunded(&refund.unwrap()).await.unwrap();
        let again = bench.admit(1, "adm-again").await.unwrap();
        let too_many = bench
            .hold(&again, named(&["st-B-1", "st-B-2", "st-B-3"]))
            .await;
        assert_eq!(too_many, Err(Refused::TooManySeats(6)));
        bench
            .hold(&again, named(&["st-B-1", "st-B-2"]))
            .await
            .unwrap();
    }
}
