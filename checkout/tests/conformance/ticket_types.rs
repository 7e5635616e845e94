//! Ticket types: several prices of a category, chosen by seat when the order is made, and prices that
//! change while seats are held and sold.

use crate::bench::*;
use axum::body::to_bytes;
use axum::http::HeaderMap;
use checkout::inventory::*;
use serde_json::{Value, json};
use std::sync::Arc;

/// A child costs 20.00 in the stalls, where two may come with an adult, and nothing on the floor.
fn prices() -> Value {
    json!({"prices": [
        {"category": "stalls", "standard_name": "Adult", "ticket_types": [
            {"id": "child", "name": "Child", "price": 2000, "max_per_order": 2, "accompanied": true,
                "note": "up to 12 years"},
            {"id": "student", "name": "Student", "price": 3000}]},
        {"category": "floor", "ticket_types": [{"id": "baby", "name": "Baby", "price": 0}]}]})
}

/// Fees of 10 % a ticket and of 2.00 an order.
fn fees() -> Value {
    json!({"fees": [{"name": "Service", "per": "ticket", "percent": "10"},
        {"name": "Booking fee", "per": "order", "amount": 200}]})
}

fn types(of: &[(&str, &str)]) -> ChosenTypes {
    let own = |(seat, name): &(&str, &str)| ((*seat).to_owned(), (*name).to_owned());
    of.iter().map(own).collect()
}

impl Bench {
    async fn change(&self, rules: Value) {
        let rules = serde_json::from_value(rules).unwrap();
        self.seats.set_rules(&self.event, rules).await.unwrap();
    }

    async fn purchase(
        &self,
        fan: &SessionKeys,
        hold: &Hold,
        of: &[(&str, &str)],
        total: Option<Money>,
    ) -> Result<Order, Refused> {
        let purchase = Purchase {
            ticket_types: types(of),
            total,
            ..Purchase::of(&hold.id, buyer())
        };
        let id = shared::crypto::random_id("ord_");
        let made = self.seats.order_as(&id, fan.clone(), &purchase, None);
        made.await.map(|once| once.value)
    }

    async fn price(
        &self,
        fan: &SessionKeys,
        hold: &Hold,
        of: &[(&str, &str)],
    ) -> Result<Hold, Refused> {
        let chosen = types(of);
        self.seats.price_hold(fan.clone(), &hold.id, &chosen).await
    }

    async fn categories(&self) -> (u32, Value) {
        let map = self.seats.seat_map(&self.event).unwrap();
        let document = map.layout_document().await.unwrap().json;
        let answer = document.response(&HeaderMap::new(), ()).await.unwrap();
        let json = to_bytes(answer.into_body(), 100_000).await.unwrap();
        let layout: Value = serde_json::from_slice(&json).unwrap();
        (map.layout_version, layout["categories"].clone())
    }
}

/// Returns the seat, the name of the type and the price of each seat.
fn shown(seats: &[SeatPrice]) -> Vec<(&str, &str, i64)> {
    let mut shown = Vec::new();
    for seat in seats {
        let own = seat.ticket_type.as_ref().map_or("", |own| &own.name);
        shown.push((&*seat.id, own, seat.price.amount));
    }
    shown
}

#[tokio::test]
async fn an_order_pays_the_price_of_the_type_that_was_chosen_for_each_seat() {
    for mut bench in halls().await {
        bench.change(prices()).await;
        bench.change(fees()).await;
        let ada = bench.fan(1).await;
        let wanted = named(&["st-A-1", "st-A-2", "fl-1"]);
        let hold = bench.hold(&ada, wanted).await.unwrap();
        let seats = [
            ("st-A-1", "Adult", 4500),
            ("st-A-2", "Adult", 4500),
            ("fl-1", "Standard", 2000),
        ];
        assert_eq!(shown(&hold.seats), seats);
        let chosen = [("st-A-2", "child"), ("fl-1", "baby")];
        let priced = bench.price(&ada, &hold, &chosen).await.unwrap();
        // It was only asked.
        bench.reopen().await;
        let kept = bench.seats.show_hold(ada.clone(), &hold.id).await;
        assert_eq!(kept.unwrap(), hold);
        let order = bench.purchase(&ada, &hold, &chosen, Some(priced.total));
        let order = order.await.unwrap();
        assert_eq!((&order.seats, &order.lines), (&priced.seats, &priced.lines));
        assert_eq!(order.total, priced.total);
        let seats = [
            ("st-A-1", "Adult", 4500),
            ("st-A-2", "Child", 2000),
            ("fl-1", "Baby", 0),
        ];
        assert_eq!(shown(&order.seats), seats);
        let lines: Vec<(String, u32, i64)> = order
            .lines
            .iter()
            .map(|line| (line.label(), line.quantity, line.amount.amount))
            .collect();
        let line = |name: &str, amount| (name.to_owned(), 1, amount);
        let wanted = [
            line("Stalls, Adult", 4500),
            line("Stalls, Child", 2000),
            line("Floor, Baby", 0),
            line("Service", 450),
            line("Service", 200),
            line("Booking fee", 200),
        ];
        assert_eq!(lines, wanted);
        assert_eq!(order.total.amount, 4500 + 2000 + 450 + 200 + 200);
        let paid = bench.pay(&ada, &order, Verdict::Captured).await.unwrap();
        bench.reopen().await;
        assert_eq!(bench.see(&ada, &paid).await, paid);
        let tickets = paid.tickets.as_ref().unwrap();
        let names = tickets
            .iter()
            .map(|own| &*own.ticket_type.as_ref().unwrap().name);
        assert_eq!(names.collect::<Vec<_>>(), ["Adult", "Child", "Baby"]);
        // Each seat gives back its own price, and the last one the rest.
        let (back, _) = bench.refund(&order, Some(&["st-A-2"])).await;
        assert_eq!(back, 2000 + 200);
        let details = bench.seats.order_details(&bench.event, &order.id).await;
        let refunds = details.unwrap().seats;
        let refunds = refunds.iter().map(|seat| seat.refund.amount);
        assert_eq!(refunds.collect::<Vec<_>>(), [4950, 2200, 0]);
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!(sales.revenue.amount, order.total.amount - 2200);
        let (back, _) = bench.refund(&order, None).await;
        assert_eq!(back, 4500 + 450 + 200);
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!(sales.revenue.amount, 0);
    }
}

#[tokio::test]
async fn a_type_that_cannot_be_sold_so_is_refused_and_the_seats_stay_held() {
    for bench in halls().await {
        bench.change(prices()).await;
        let ada = bench.fan(1).await;
        let seats = ["st-A-1", "st-A-2", "st-A-3", "fl-1"];
        let hold = bench.hold(&ada, named(&seats)).await.unwrap();
        let child = |count: usize| -> Vec<(&str, &str)> {
            seats[..count].iter().map(|seat| (*seat, "child")).collect()
        };
        let cases = [
            (
                vec![("st-A-1", "senior")],
                Refused::UnknownType("senior".to_owned()),
            ),
            (
                vec![("st-A-1", "baby")],
                Refused::TypeOfOtherCategory("baby".to_owned()),
            ),
            (
                vec![("st-B-1", "child")],
                Refused::UnknownSeats(vec!["st-B-1".to_owned()]),
            ),
            (
                child(3),
                Refused::TooManyOfType {
                    name: "Child".to_owned(),
                    limit: 2,
                },
            ),
        ];
        for (chosen, refused) in cases {
            let priced = bench.price(&ada, &hold, &chosen).await;
            assert_eq!(priced, Err(refused.clone()));
            let order = bench.purchase(&ada, &hold, &chosen, None).await;
            assert_eq!(order, Err(refused));
        }
        // With a ticket of the floor beside them children are not alone.
        bench.price(&ada, &hold, &child(2)).await.unwrap();
        bench.seats.release(ada.clone(), &hold.id).await.unwrap();
        let two = bench.hold(&ada, named(&seats[..2])).await.unwrap();
        let alone = bench.price(&ada, &two, &child(2)).await;
        assert_eq!(alone, Err(Refused::Unaccompanied("Child".to_owned())));
        let with_student = [("st-A-1", "child"), ("st-A-2", "student")];
        let priced = bench.price(&ada, &two, &with_student).await.unwrap();
        assert_eq!(priced.total.amount, 5000);
        // Another total than the one that was shown.
        let shown = Some(two.total);
        let order = bench.purchase(&ada, &two, &with_student, shown).await;
        assert_eq!(order, Err(Refused::PriceChanged(priced.total)));
        let standard = [("st-A-1", "standard")];
        let order = bench.purchase(&ada, &two, &standard, shown).await;
        assert_eq!(order.unwrap().total, two.total);
    }
}

#[tokio::test]
async fn a_new_price_is_shown_and_changes_nothing_that_is_held_or_sold() {
    for mut bench in halls().await {
        let (version, _) = bench.categories().await;
        let (ada, ben, cleo) = (bench.fan(1).await, bench.fan(2).await, bench.fan(3).await);
        // By the price of the plan alone.
        let plain = bench.hold(&cleo, named(&["st-B-1"])).await.unwrap();
        bench.change(prices()).await;
        let (shown_version, shown) = bench.categories().await;
        assert_eq!(shown_version, version + 1);
        let adult = json!({"amount": 4500, "currency": "EUR"});
        let child = json!({"amount": 2000, "currency": "EUR"});
        let student = json!({"amount": 3000, "currency": "EUR"});
        assert_eq!(
            shown[0]["ticket_types"],
            json!([{"id": "standard", "name": "Adult", "price": adult, "total": adult},
                {"id": "child", "name": "Child", "price": child, "total": child, "max_per_order": 2,
                    "accompanied": true, "note": "up to 12 years"},
                {"id": "student", "name": "Student", "price": student, "total": student}])
        );
        let chosen = [("st-A-2", "child")];
        let sold = bench.hold(&ada, named(&["st-A-1", "st-A-2"])).await;
        let sold = bench.purchase(&ada, &sold.unwrap(), &chosen, None).await;
        let sold = bench.pay(&ada, &sold.unwrap(), Verdict::Captured).await;
        let sold = sold.unwrap();
        let held = bench.hold(&ben, named(&["st-A-3", "st-A-4"])).await;
        let held = held.unwrap();
        let mut dearer = prices();
        dearer["prices"][0]["price"] = json!(5000);
        dearer["prices"][0]["ticket_types"][0]["price"] = json!(2500);
        bench.change(dearer).await;
        let (_, shown) = bench.categories().await;
        assert_eq!(shown[0]["price"]["amount"], 5000);
        bench.reopen().await;
        assert_eq!(bench.see(&ada, &sold).await, sold);
        for (fan, hold) in [(&ben, &held), (&cleo, &plain)] {
            let seen = bench.seats.show_hold(fan.clone(), &hold.id).await;
            assert_eq!(seen.unwrap(), *hold);
        }
        // A type that is chosen now has the price of now, which the fan has to see first.
        let was = Money {
            amount: 4500 + 2000,
            ..held.total
        };
        let now = Money {
            amount: 4500 + 2500,
            ..held.total
        };
        let chosen = [("st-A-4", "child")];
        let order = bench.purchase(&ben, &held, &chosen, Some(was)).await;
        assert_eq!(order, Err(Refused::PriceChanged(now)));
        let order = bench.purchase(&ben, &held, &[], Some(held.total)).await;
        assert_eq!(order.unwrap().total.amount, 9000);
        let order = bench.purchase(&cleo, &plain, &[], Some(plain.total)).await;
        assert_eq!(order.unwrap().total.amount, 4500);
        let (back, _) = bench.refund(&sold, Some(&["st-A-2"])).await;
        assert_eq!(back, 2000);
        let dave = bench.fan(4).await;
        let new = bench.hold(&dave, named(&["st-B-2"])).await.unwrap();
        assert_eq!(new.total.amount, 5000);
    }
}

#[tokio::test]
async fn a_door_reads_the_type_of_a_ticket() {
    for bench in halls().await {
        bench.change(prices()).await;
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1", "st-A-2"])).await;
        let chosen = [("st-A-2", "child")];
        let order = bench.purchase(&ada, &hold.unwrap(), &chosen, None).await;
        let order = bench.pay(&ada, &order.unwrap(), Verdict::Captured).await;
        let order = order.unwrap();
        let tickets = order.tickets.as_ref().unwrap();
        let child = tickets.iter().find(|own| own.seat == "st-A-2").unwrap();
        let scan = Scan {
            code: child.code.clone(),
            door: "North".to_owned(),
            ..Scan::default()
        };
        let own = Some(Arc::new(TicketType {
            id: "child".to_owned(),
            name: "Child".to_owned(),
        }));
        let checked = bench.seats.check_ticket(&bench.event, &child.code).await;
        assert_eq!(checked.unwrap().ticket_type, own);
        let checked = bench.seats.check_in(&bench.event, &scan).await.unwrap();
        assert_eq!(checked.ticket.ticket_type, own);
        let figures = bench.seats.check_ins(&bench.event).await.unwrap();
        assert_eq!(figures.latest[0].ticket_type, own);
        bench.refund(&order, Some(&["st-A-2"])).await;
        let bundle = bench.seats.door_bundle(&bench.event, "").await.unwrap();
        let mut listed: Vec<(bool, &str)> = Vec::new();
        for ticket in &bundle.tickets {
            let own = ticket.ticket_type.as_ref().unwrap();
            listed.push((ticket.void, &own.name));
        }
        listed.sort_unstable();
        assert_eq!(listed, [(false, "Adult"), (true, "Child")]);
    }
}

#[tokio::test]
async fn an_order_of_free_types_alone_is_confirmed_without_a_card() {
    for bench in halls().await {
        bench.change(prices()).await;
        bench.change(fees()).await;
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["fl-1", "fl-2"])).await.unwrap();
        let chosen = [("fl-1", "baby"), ("fl-2", "baby")];
        let order = bench.purchase(&ada, &hold, &chosen, None).await.unwrap();
        assert_eq!(order.total.amount, 0);
        let state = (order.state.as_str(), order.payment.provider.as_str());
        assert_eq!(state, ("confirmed", "free"));
        assert_eq!(order.tickets.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn late_money_buys_other_seats_with_the_types_that_were_ordered() {
    for bench in halls().await {
        bench.change(prices()).await;
        bench.change(json!({"late_payment": "same_category"})).await;
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let hold = bench.hold(&ada, named(&["st-A-1", "st-A-2"])).await;
        let chosen = [("st-A-2", "child")];
        let order = bench.purchase(&ada, &hold.unwrap(), &chosen, None).await;
        let order = order.unwrap();
        let begun = bench
            .seats
            .begin_payment(ada.clone(), &order.payment.id, None);
        let Begun::Ask(payment) = begun.await.unwrap() else {
            panic!("it was not asked for before");
        };
        let later = bench.clock.now().plus_seconds(1000);
        let pending = Verdict::Pending(later);
        bench.seats.settle(&payment, pending, None).await.unwrap();
        bench.sweep_after(700).await;
        bench.hold(&ben, named(&["st-A-2"])).await.unwrap();
        let asked = bench.due().await;
        let payment = asked.first().unwrap_or(&payment);
        let paid = bench.seats.settle(payment, Verdict::Captured, None).await;
        let paid = paid.unwrap();
        assert_eq!(paid.state, "confirmed");
        assert_eq!(paid.instead_of, ["st-A-1", "st-A-2"]);
        let sold = shown(&paid.seats);
        let sold: Vec<(&str, i64)> = sold.iter().map(|(_, own, price)| (*own, *price)).collect();
        assert_eq!(sold, [("Adult", 4500), ("Child", 2000)]);
        assert_eq!(bench.see(&ada, &paid).await, paid);
    }
}

#[tokio::test]
async fn a_type_is_chosen_at_another_node_than_the_one_that_held_the_seats() {
    for (one, other) in pairs().await {
        one.change(prices()).await;
        // It may not have heard of them yet, and would refuse what it does not know.
        other.change(prices()).await;
        let ada = one.fan(1).await;
        let hold = one.hold(&ada, named(&["st-A-1", "st-A-2"])).await.unwrap();
        let chosen = [("st-A-1", "child")];
        let priced = other.price(&ada, &hold, &chosen).await.unwrap();
        assert_eq!(priced.total.amount, 6500);
        let total = Some(priced.total);
        let order = other.purchase(&ada, &hold, &chosen, total).await.unwrap();
        assert_eq!(one.see(&ada, &order).await, order);
        let again = one.purchase(&ada, &hold, &chosen, total).await;
        assert_eq!(again, Err(Refused::HoldConverted(order.id)));
    }
}

#[tokio::test]
async fn prices_that_are_wrong_are_refused_with_their_fields() {
    for bench in halls().await.into_iter().take(1) {
        let wrong = json!({"prices": [
            {"category": "stalls", "price": -1, "standard_name": " ", "ticket_types": [
                {"id": "standard", "name": "Child", "price": 1},
                {"id": "Child", "name": "", "price": 100_000_001, "max_per_order": 0, "note": "a\nb"},
                {"id": "one", "name": "One", "price": 1}, {"id": "one", "name": "One", "price": 1}]},
            {"category": "stalls", "ticket_types": []}]});
        let wrong = serde_json::from_value(wrong).unwrap();
        let Err(Refused::Invalid(mistakes)) = bench.seats.set_rules(&bench.event, wrong).await
        else {
            panic!("they were taken");
        };
        let fields: Vec<&str> = mistakes.iter().map(|(field, _)| field.as_str()).collect();
        let types = "prices[0].ticket_types";
        let wanted = [
            "prices[0].category".to_owned(),
            "prices[0].price".to_owned(),
            "prices[0].standard_name".to_owned(),
            format!("{types}[0].id"),
            format!("{types}[1].id"),
            format!("{types}[1].name"),
            format!("{types}[1].price"),
            format!("{types}[1].max_per_order"),
            format!("{types}[1].note"),
            format!("{types}[2].id"),
            format!("{types}[3].id"),
            "prices[1].category".to_owned(),
        ];
        assert_eq!(fields, wanted);
    }
}
