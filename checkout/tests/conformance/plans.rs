//! Seating plans on every engine: seats that are not for sale, labels, plans of every format.

use crate::bench::*;
use checkout::inventory::{Block, OrderPage, Refused, layout};

/// A hall of one row with a seat of each kind, in pretix's format, with prices beside it.
fn picture() -> layout::Layout {
    let seat = |number: u32, category: &str| {
        format!(
            r#"{{"seat_guid": "g-{number}", "seat_number": "{number}", "category": "{category}",
                "position": {{"x": {}, "y": 0}}}}"#,
            number * 25
        )
    };
    let seats = [1, 2, 3].map(|number| seat(number, "A"));
    let kept = [4, 5].map(|number| seat(number, "NOT AVAILABLE"));
    let plan = format!(
        r#"{{"plan": {{"categories": [{{"name": "A"}}, {{"name": "NOT AVAILABLE"}}],
            "zones": [{{"name": "Parkett", "door": "3", "rows": [{{"row_number": "AB", "row_label": "Reihe %s",
                "seats": [{}]}}]}}]}}, "prices": {{"A": 1200, "NOT AVAILABLE": null}}}}"#,
        [seats.join(","), kept.join(",")].join(",")
    );
    layout::parse(plan.as_bytes()).unwrap()
}

#[tokio::test]
async fn seats_that_the_plan_keeps_out_of_the_sale_are_blocked_and_stay_so() {
    for mut bench in halls().await {
        let set = bench.seats.set_seating(&bench.event, picture()).await;
        assert_eq!(set, Ok(2));
        assert_eq!(bench.counts().await, [3, 0, 0, 2]);
        let ada = bench.fan(1).await;
        let taken = bench.hold(&ada, named(&["g-4"])).await;
        assert_eq!(taken, Err(Refused::SeatsTaken(vec!["g-4".to_owned()])));
        assert_eq!(
            bench.hold(&ada, best(4)).await,
            Err(Refused::NotEnoughSeats)
        );
        let unblock = bench
            .seats
            .block(&bench.event, vec!["g-5".to_owned()], Block::Unblock, None);
        assert!(matches!(unblock.await, Err(Refused::Invalid(_))));
        bench.reopen().await;
        assert_eq!(bench.counts().await, [3, 0, 0, 2]);
    }
}

#[tokio::test]
async fn seats_that_an_organiser_blocked_stay_so_under_a_new_plan() {
    for mut bench in halls().await {
        bench
            .seats
            .set_seating(&bench.event, picture())
            .await
            .unwrap();
        let two = ["g-1", "g-3"].map(str::to_owned).to_vec();
        bench
            .seats
            .block(&bench.event, two, Block::Block, None)
            .await
            .unwrap();
        assert_eq!(bench.counts().await, [1, 0, 0, 4]);
        // In the new plan g-1 is the last, g-3 is none, and g-4 is for sale.
        let plan = r#"{"plan": "section,row,seat,category,id\nP,A,1,A,g-4\nP,A,2,A,g-2\nP,A,3,A,g-1\n",
            "prices": {"A": 900}}"#;
        let layout = layout::parse(plan.as_bytes()).unwrap();
        bench.seats.set_seating(&bench.event, layout).await.unwrap();
        bench.reopen().await;
        assert_eq!(bench.counts().await, [2, 0, 0, 1]);
        let ada = bench.fan(1).await;
        let taken = bench.hold(&ada, named(&["g-1"])).await;
        assert_eq!(taken, Err(Refused::SeatsTaken(vec!["g-1".to_owned()])));
        let hold = bench.hold(&ada, named(&["g-2", "g-4"])).await;
        assert_eq!(hold.unwrap().seats.len(), 2);
    }
}

#[tokio::test]
async fn holds_orders_and_tickets_say_where_a_seat_is() {
    for mut bench in halls().await {
        bench
            .seats
            .set_seating(&bench.event, picture())
            .await
            .unwrap();
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["g-2"])).await.unwrap();
        let label = "Parkett, Reihe AB, seat 2";
        assert_eq!(&*hold.seats[0].label, label);
        let order = bench.buy(&bench.fan(2).await, &["g-3"]).await;
        assert_eq!(&*order.seats[0].label, "Parkett, Reihe AB, seat 3");
        bench.reopen().await;
        let newest = OrderPage::newest(10);
        let order = &bench.seats.orders(&bench.event, &newest).await.unwrap()[0];
        assert_eq!(&*order.seats[0].label, "Parkett, Reihe AB, seat 3");
        let ticket = &order.tickets.as_ref().unwrap()[0];
        let place = &ticket.place;
        assert_eq!(place.label, "Parkett, Reihe AB, seat 3");
        let parts = [&place.section, &place.row, &place.number, &place.door];
        let parts = parts.map(|part| part.as_deref().unwrap());
        assert_eq!(parts, ["Parkett", "AB", "3", "3"]);
        let at_the_door = bench.seats.check_ticket(&bench.event, &ticket.code).await;
        assert_eq!(at_the_door.unwrap().label, place.label);
        let listed = bench.seats.door_bundle(&bench.event, "").await.unwrap();
        assert_eq!(listed.tickets[0].label, place.label);
        let details = bench.seats.order_details(&bench.event, &order.id).await;
        assert_eq!(&*details.unwrap().seats[0].label, place.label);
    }
}
