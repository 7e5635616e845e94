//! Changes of a plan while seats are held and sold, on every engine.

use crate::bench::*;
use checkout::inventory::{
    Block, Hold, Order, OrderPage, OrderSeatState, PlanDifference, Refused, SeatState, Verdict,
    layout,
};
use shared::group_commit::Unavailable;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Seats of a row, as lines of a list: their numbers, and their category.
type Row<'a> = (&'a str, &'a [u32], &'a str);

const FEW: &[u32] = &[1, 2, 3, 4];
const SIX: &[u32] = &[1, 2, 3, 4, 5, 6];

fn plan(rows: &[Row<'_>], prices: &str) -> layout::Layout {
    let lines = rows.iter().flat_map(|(row, numbers, category)| {
        let line = move |number: &u32| format!("Hall,{row},{number},{category},{row}-{number}\\n");
        numbers.iter().map(line)
    });
    let lines: String = lines.collect();
    let plan =
        format!(r#"{{"plan": "section,row,seat,category,id\n{lines}", "prices": {prices}}}"#);
    layout::parse(plan.as_bytes()).unwrap()
}

fn before() -> layout::Layout {
    let rows = [
        ("A", SIX, "stalls"),
        ("B", SIX, "stalls"),
        ("C", FEW, "floor"),
    ];
    plan(&rows, r#"{"stalls": 4500, "floor": 2000}"#)
}

/// A row more in front, so that every seat has another place; a seat less; two of the stalls on the
/// floor; and the stalls are dearer.
fn after() -> layout::Layout {
    let rows = [
        ("Z", &[1, 2][..], "stalls"),
        ("A", &[1, 2, 3, 4, 5], "stalls"),
        ("B", &[1, 5], "floor"),
        ("B", &[2, 3, 4, 6], "stalls"),
        ("C", FEW, "floor"),
    ];
    plan(&rows, r#"{"stalls": 5000, "floor": 2000}"#)
}

impl Bench {
    async fn set_plan(&self, layout: layout::Layout) {
        let set = self.seats.set_seating(&self.event, layout).await;
        set.unwrap();
    }

    /// Changes the plan with a confirmation that is of no difference, and returns the one of now.
    async fn difference(&self, layout: layout::Layout) -> PlanDifference {
        match self.seats.change_seating(&self.event, layout, "none").await {
            Err(Refused::PlanDiffers(difference)) => *difference,
            other => panic!("{other:?}"),
        }
    }

    async fn change_plan(&self, layout: layout::Layout) -> u32 {
        let confirmation = self.difference(layout.clone()).await.confirmation;
        let changed = self
            .seats
            .change_seating(&self.event, layout, &confirmation);
        changed.await.unwrap()
    }

    async fn show_hold(&self, fan: &checkout::inventory::SessionKeys, hold: &Hold) -> Hold {
        self.seats.show_hold(fan.clone(), &hold.id).await.unwrap()
    }

    fn state(&self, seat: &str) -> SeatState {
        let map = self.seats.seat_map(&self.event).unwrap();
        let place = map.layout.find(seat).unwrap();
        map.current().states[place as usize]
    }

    async fn newest_orders(&self) -> Vec<Order> {
        let page = OrderPage::newest(100);
        self.seats.orders(&self.event, &page).await.unwrap()
    }
}

/// Returns the seats of an order's tickets, with their labels.
fn tickets(order: &Order) -> Vec<(String, String)> {
    let tickets = order.tickets.iter().flatten();
    let shown = tickets.map(|ticket| (ticket.seat.clone(), ticket.place.label.clone()));
    shown.collect()
}

fn ticket(seat: &str) -> (String, String) {
    let (row, number) = seat.split_once('-').unwrap();
    (seat.to_owned(), format!("Hall, row {row}, seat {number}"))
}

#[tokio::test]
async fn a_plan_that_is_in_use_changes_around_what_is_held_and_sold() {
    for mut bench in halls().await {
        bench.set_plan(before()).await;
        let (ada, ben, cleo) = (bench.fan(1).await, bench.fan(2).await, bench.fan(3).await);
        let hold = bench.hold(&ada, named(&["A-1", "A-2"])).await.unwrap();
        let bens = bench.buy(&ben, &["B-1", "C-4"]).await;
        let cleos = bench.buy(&cleo, &["B-3", "B-4"]).await;
        bench.refund(&cleos, Some(&["B-4"])).await;
        let blocked = ["A-4", "A-6"].map(str::to_owned).to_vec();
        bench
            .seats
            .block(&bench.event, blocked, Block::Block, None)
            .await
            .unwrap();
        assert_eq!(bench.counts().await, [9, 2, 3, 2]);
        let refused = bench.seats.set_seating(&bench.event, after()).await;
        assert_eq!(refused, Err(Refused::InUse));
        let difference = bench.difference(after()).await;
        assert_eq!((difference.capacity_before, difference.capacity), (16, 17));
        let added = &difference.added[..];
        assert_eq!((&*added[0].category, added[0].seats), ("stalls", 2));
        assert_eq!(
            added[0].examples,
            ["Hall, row Z, seat 1", "Hall, row Z, seat 2"]
        );
        let removed = &difference.removed[0];
        assert_eq!((removed.seats, removed.blocked), (1, 1));
        assert_eq!(removed.examples, ["Hall, row A, seat 6"]);
        let repriced = &difference.repriced[0];
        assert_eq!((repriced.from, repriced.to), (Some(4500), Some(5000)));
        assert_eq!((repriced.seats, repriced.sold), (9, 1));
        let moved = &difference.moved[0];
        assert_eq!((&*moved.from, &*moved.to), ("stalls", "floor"));
        assert_eq!((moved.seats, moved.sold), (2, 1));
        assert_eq!(difference.removed.len() + difference.repriced.len(), 2);
        bench.change_plan(after()).await;
        for is_again in [false, true] {
            assert_eq!(bench.counts().await, [11, 2, 3, 1], "{is_again}");
            assert_eq!(bench.state("A-4"), SeatState::Blocked);
            let seen = bench.see(&ben, &bens).await;
            assert_eq!(tickets(&seen), [ticket("B-1"), ticket("C-4")]);
            assert_eq!(seen.seats[0].price.amount, 4500);
            assert_eq!(&*seen.seats[0].category, "stalls");
            assert_eq!(tickets(&bench.see(&cleo, &cleos).await), [ticket("B-3")]);
            let kept = bench.show_hold(&ada, &hold).await;
            assert_eq!((kept.total, &kept.seats), (hold.total, &hold.seats));
            let details = bench.seats.order_details(&bench.event, &cleos.id).await;
            let states = details.unwrap().seats;
            let states: Vec<OrderSeatState> = states.iter().map(|seat| seat.state).collect();
            assert_eq!(states, [OrderSeatState::Sold, OrderSeatState::Refunded]);
            bench.reopen().await;
        }
        let order = bench.order(&ada, &hold).await.unwrap();
        assert_eq!(order.total.amount, 9000);
        let paid = bench.pay(&ada, &order, Verdict::Captured).await.unwrap();
        assert_eq!(tickets(&paid), [ticket("A-1"), ticket("A-2")]);
        let (amount, _) = bench.refund(&bens, Some(&["B-1"])).await;
        assert_eq!(amount, 4500);
        assert_eq!(
            bench.state("B-1"),
            SeatState::Booked,
            "the map is a moment old"
        );
        bench.show().await;
        assert_eq!(bench.state("B-1"), SeatState::Available);
        let dora = bench.fan(4).await;
        let hold = bench.hold(&dora, named(&["B-1", "B-4"])).await.unwrap();
        let prices: Vec<i64> = hold.seats.iter().map(|seat| seat.price.amount).collect();
        assert_eq!(prices, [2000, 5000]);
    }
}

#[tokio::test]
async fn doors_know_tickets_after_a_change_also_of_seats_that_are_gone() {
    for bench in halls().await {
        bench.set_plan(before()).await;
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["A-6", "B-2"]).await;
        let codes = order.tickets.as_ref().unwrap();
        bench.refund(&order, Some(&["A-6"])).await;
        bench.change_plan(after()).await;
        let gone = bench.seats.check_ticket(&bench.event, &codes[0].code).await;
        assert_eq!(gone, Err(Refused::TicketVoid));
        let gone = bench
            .seats
            .check_ticket(&bench.event, &codes[0].short_code)
            .await;
        assert_eq!(gone, Err(Refused::TicketVoid));
        let valid = bench.seats.check_ticket(&bench.event, &codes[1].code).await;
        assert_eq!(valid.unwrap().label, "Hall, row B, seat 2");
        let bundle = bench.seats.door_bundle(&bench.event, "").await.unwrap();
        let mut listed: Vec<(&str, bool)> = bundle
            .tickets
            .iter()
            .map(|ticket| (&*ticket.label, ticket.void))
            .collect();
        listed.sort_unstable();
        assert_eq!(listed, [("", true), ("Hall, row B, seat 2", false)]);
    }
}

#[tokio::test]
async fn all_that_a_change_would_take_away_from_fans_is_named_at_once() {
    for bench in halls().await {
        bench.set_plan(before()).await;
        bench.buy(&bench.fan(1).await, &["A-1", "A-2", "C-1"]).await;
        let ada = bench.fan(2).await;
        bench.hold(&ada, named(&["B-1", "B-2"])).await.unwrap();
        let lines = "Hall,A,1,stalls,A-2\\nHall,B,1,floor,B-1\\nHall,C,1,kept,C-1\\n";
        let other = format!(
            r#"{{"plan": "section,row,seat,category,id\n{lines}", "prices": {{"stalls": 1, "floor": 2, "kept": null}}}}"#
        );
        let other = layout::parse(other.as_bytes()).unwrap();
        let refused = bench.seats.change_seating(&bench.event, other, "").await;
        let Err(Refused::Invalid(faults)) = refused else {
            panic!("{refused:?}");
        };
        let faults: Vec<String> = faults.into_iter().map(|(_, why)| why).collect();
        let expected = [
            "Hall, row A, seat 1 is sold: the plan must keep it",
            "Hall, row A, seat 2 is sold: the plan must not call it \"Hall, row A, seat 1\"",
            "Hall, row B, seat 1 is in a basket or being paid for: it can come into another category only once it is sold or free",
            "Hall, row B, seat 2 is in a basket or being paid for: the plan must keep it",
            "Hall, row C, seat 1 is sold: it cannot go to 'kept', which is not for sale",
        ];
        assert_eq!(faults, expected);
        assert_eq!(bench.counts().await, [11, 2, 3, 0], "nothing changed");
    }
}

#[tokio::test]
async fn a_sale_between_the_difference_and_its_confirmation_is_noticed() {
    for bench in halls().await {
        bench.set_plan(before()).await;
        let shown = bench.difference(after()).await;
        assert_eq!(shown.repriced[0].sold, 0);
        bench.buy(&bench.fan(1).await, &["B-2"]).await;
        let refused = bench
            .seats
            .change_seating(&bench.event, after(), &shown.confirmation)
            .await;
        let Err(Refused::PlanDiffers(now)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(now.repriced[0].sold, 1);
        // What is sold elsewhere makes no difference.
        bench.buy(&bench.fan(2).await, &["C-2"]).await;
        let changed = bench
            .seats
            .change_seating(&bench.event, after(), &now.confirmation);
        changed.await.unwrap();
        // The same change again is none.
        let none = bench.difference(after()).await;
        let parts = [
            none.added.len(),
            none.removed.len(),
            none.repriced.len(),
            none.moved.len(),
        ];
        assert_eq!(parts, [0; 4]);
    }
}

#[tokio::test]
async fn another_node_goes_on_by_the_new_plan() {
    for (one, other) in pairs().await {
        one.set_plan(before()).await;
        other.seats.publish().await.unwrap();
        let ada = other.fan(1).await;
        let order = other.buy(&ada, &["A-5", "B-6"]).await;
        let hold = other
            .hold(&other.fan(2).await, named(&["C-1"]))
            .await
            .unwrap();
        one.change_plan(after()).await;
        // It knew these records in the plan before.
        let (_, refunded) = other.refund(&order, Some(&["B-6"])).await;
        assert_eq!(tickets(&refunded), [ticket("A-5")]);
        let released = other.seats.release(one_of(&other, 2).await, &hold.id).await;
        released.unwrap();
        assert_eq!(other.counts().await, [16, 0, 1, 0]);
        assert_eq!(other.state("A-5"), SeatState::Booked);
        assert_eq!(tickets(&one.newest_orders().await[0]), [ticket("A-5")]);
    }
}

#[tokio::test]
async fn a_plan_stays_as_it_is_while_its_event_moves_to_another_database() {
    for bench in halls().await.into_iter().skip(1) {
        bench.set_plan(before()).await;
        let shown = bench.difference(after()).await;
        bench
            .by_hand("update fairline.event set is_moving = true")
            .unwrap();
        let refused = bench
            .seats
            .change_seating(&bench.event, after(), &shown.confirmation)
            .await;
        assert_eq!(refused, Err(Unavailable.into()));
        let refused = bench.seats.set_seating(&bench.event, after()).await;
        assert_eq!(refused, Err(Unavailable.into()));
        bench
            .by_hand("update fairline.event set is_moving = false")
            .unwrap();
        bench.change_plan(after()).await;
    }
}

#[tokio::test]
async fn what_keeps_its_place_is_not_written_again() {
    let rows = [
        ("A", SIX, "stalls"),
        ("B", SIX, "stalls"),
        ("C", FEW, "floor"),
        ("D", FEW, "floor"),
    ];
    for bench in halls().await.into_iter().skip(1) {
        bench.set_plan(before()).await;
        bench.buy(&bench.fan(1).await, &["A-1", "C-1"]).await;
        let ada = bench.fan(2).await;
        let hold = bench.hold(&ada, named(&["B-1"])).await.unwrap();
        let blocked = vec!["B-2".to_owned()];
        let blocked = bench.seats.block(&bench.event, blocked, Block::Block, None);
        blocked.await.unwrap();
        let written = |table: &str| {
            let select = format!(
                "select string_agg(xmin::text, ' ' order by seat) from fairline.{table} where seat < 16"
            );
            bench.by_hand(&select).unwrap()
        };
        let rows_before = ["seat", "ticket"].map(written);
        let dearer = plan(&rows, r#"{"stalls": 5000, "floor": 2000}"#);
        bench.change_plan(dearer).await;
        assert_eq!(["seat", "ticket"].map(written), rows_before);
        assert_eq!(bench.counts().await, [16, 1, 2, 1]);
        assert_eq!(bench.show_hold(&ada, &hold).await.total, hold.total);
    }
}

#[tokio::test]
async fn seats_go_out_of_the_sale_and_into_it_while_others_are_sold() {
    let hall = |front: &[u32], kept: [&[u32]; 3]| {
        let [low, middle, high] = kept;
        let rows = [
            ("Z", front, "stalls"),
            ("A", FEW, "stalls"),
            ("B", low, "stalls"),
            ("B", middle, "kept"),
            ("B", high, "stalls"),
        ];
        plan(&rows, r#"{"stalls": 4500, "kept": null}"#)
    };
    for mut bench in halls().await {
        bench.set_plan(hall(&[], [&[], &[1, 2], &[3, 4]])).await;
        bench.buy(&bench.fan(1).await, &["A-1"]).await;
        let blocked = vec!["A-2".to_owned()];
        let blocked = bench.seats.block(&bench.event, blocked, Block::Block, None);
        blocked.await.unwrap();
        // Once every seat keeps its place, and once none does.
        for front in [&[][..], &[1, 2]] {
            bench.change_plan(hall(front, [&[1], &[2, 3], &[4]])).await;
            bench.reopen().await;
            let available = 4 + front.len() as u32;
            assert_eq!(bench.counts().await, [available, 0, 1, 3]);
            let states = ["A-2", "B-1", "B-2", "B-3"].map(|seat| bench.state(seat));
            let (free, blocked) = (SeatState::Available, SeatState::Blocked);
            assert_eq!(states, [blocked, free, blocked, blocked]);
            bench.change_plan(hall(&[], [&[], &[1, 2], &[3, 4]])).await;
            assert_eq!(bench.counts().await, [4, 0, 1, 3]);
        }
    }
}

#[tokio::test]
async fn a_refunded_seat_stays_so_when_it_was_removed_and_is_added_again() {
    for bench in halls().await {
        bench.set_plan(before()).await;
        let order = bench.buy(&bench.fan(1).await, &["A-5", "A-6"]).await;
        bench.refund(&order, Some(&["A-6"])).await;
        for next in [after(), before()] {
            bench.change_plan(next).await;
            bench.show().await;
        }
        bench.buy(&bench.fan(2).await, &["A-6"]).await;
        let details = bench.seats.order_details(&bench.event, &order.id).await;
        let states = details.unwrap().seats;
        let states: Vec<OrderSeatState> = states.iter().map(|seat| seat.state).collect();
        assert_eq!(states, [OrderSeatState::Sold, OrderSeatState::Refunded]);
    }
}

#[tokio::test]
async fn a_difference_is_told_without_the_database() {
    for bench in halls().await.into_iter().skip(1) {
        bench.set_plan(before()).await;
        let shown = bench.difference(after()).await;
        let mut other = bench.connect().await;
        other.run("begin; lock fairline.event").await;
        let layout = after();
        let told = tokio::select! {
            told = bench.seats.plan_difference(&bench.event, &layout) => told.unwrap(),
            () = bench.until_one_waits() => panic!("it asks the database"),
        };
        assert_eq!(told, Some(shown));
        other.run("rollback").await;
    }
}

async fn one_of(bench: &Bench, visitor: u8) -> checkout::inventory::SessionKeys {
    bench
        .admit(visitor, &format!("again-{visitor}"))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_stay_with_their_orders_while_the_plan_changes_under_a_sale() {
    for bench in halls().await {
        bench.set_plan(before()).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, fans) = (is_over.clone(), bench.on(&bench.event));
        let selling = tokio::spawn(async move {
            let mut sold: Vec<Order> = Vec::new();
            for visitor in 1_u8..=60 {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let fan = fans.fan(visitor).await;
                let Ok(hold) = fans.hold(&fan, best(1)).await else {
                    // The hall is full: someone gives a seat back.
                    fans.refund(&sold.remove(0), None).await;
                    continue;
                };
                let order = fans.order(&fan, &hold).await.unwrap();
                sold.push(fans.pay(&fan, &order, Verdict::Captured).await.unwrap());
            }
            sold
        });
        let wider = [
            ("Y", FEW, "stalls"),
            ("A", SIX, "stalls"),
            ("B", SIX, "stalls"),
            ("C", FEW, "floor"),
        ];
        let prices = r#"{"stalls": 4500, "floor": 2000}"#;
        let mut changes = 0;
        while changes < 20 && !selling.is_finished() {
            // What is sold of the row in front keeps it there.
            for next in [plan(&wider, prices), before()] {
                let Err(Refused::PlanDiffers(now)) = bench
                    .seats
                    .change_seating(&bench.event, next.clone(), "none")
                    .await
                else {
                    continue;
                };
                let changed = bench
                    .seats
                    .change_seating(&bench.event, next, &now.confirmation);
                changes += u32::from(changed.await.is_ok());
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let sold = selling.await.unwrap();
        assert!(changes > 0);
        let orders = bench.newest_orders().await;
        let mut seats = HashSet::new();
        for order in &sold {
            let now = orders.iter().find(|now| now.id == order.id).unwrap();
            assert_eq!(tickets(now), tickets(order));
            assert_eq!(tickets(order)[0].0, *order.seats[0].id);
            assert!(seats.insert(order.seats[0].id.clone()));
        }
        assert_eq!(bench.counts().await[2] as usize, sold.len());
        for seat in &seats {
            assert_eq!(bench.state(seat), SeatState::Booked);
        }
    }
}
