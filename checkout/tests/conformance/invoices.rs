//! Invoices and credit notes: issued with what they are for, and numbered without gaps.

use crate::bench::*;
use checkout::inventory::*;
use futures_util::future::join_all;
use serde_json::json;
use shared::group_commit::Unavailable;
use shared::ids::EventId;

impl Bench {
    /// Has invoices of a series issued for an event.
    async fn invoice(&self, event: &EventId, series: &str) {
        let rules = json!({"invoicing": {"seller": "Arena Ltd\n1 Hall Street", "series": series}});
        let rules = serde_json::from_value(rules).unwrap();
        self.seats.set_rules(event, rules).await.unwrap();
    }

    async fn invoices(&self, order: &Order) -> Vec<Invoice> {
        let found = self.seats.invoices(&order.event, &order.id).await;
        found.unwrap()
    }

    async fn numbers(&self, order: &Order) -> Vec<String> {
        let invoices = self.invoices(order).await.into_iter();
        invoices.map(|invoice| invoice.number).collect()
    }

    async fn give_back(&self, order: &Order, seats: Option<&[&str]>) {
        let seats = seats.map(|seats| seats.iter().map(|seat| (*seat).to_owned()).collect());
        let inventory = &self.seats;
        let begun = inventory.begin_refund_of(&self.event, &order.id, seats);
        let refund = begun.await.unwrap();
        // An answer that comes twice counts once.
        for _ in 0..2 {
            inventory.refunded(&refund).await.unwrap();
        }
    }

    /// Makes every booking fail once it has its number, or ends that.
    fn break_bookings(&self, is_broken: bool) {
        if self.is_sqlite() {
            let file = rusqlite::Connection::open(self.file()).unwrap();
            let sql = if is_broken {
                "create trigger broken before insert on ticket begin select raise(abort, 'broken'); end"
            } else {
                "drop trigger broken"
            };
            return file.execute_batch(sql).unwrap();
        }
        // The last row that a batch writes.
        let sql = if is_broken {
            "create function fairline.broken() returns trigger language plpgsql as
                'begin if exists (select from fairline.invoice i where i.order_id not in
                    (select v.id from fairline.known v)) then raise exception ''broken''; end if; return new; end';
             create table fairline.known as select o.id from fairline.orders o where o.state = 'confirmed';
             create trigger broken before insert on fairline.change for each row execute function fairline.broken()"
        } else {
            "drop trigger broken on fairline.change; drop function fairline.broken; drop table fairline.known"
        };
        self.by_hand(sql).unwrap();
    }
}

/// Returns the name, the number and the sum of each line.
fn shown(invoice: &Invoice) -> Vec<(&str, u32, i64)> {
    let mut shown = Vec::new();
    for line in &invoice.lines {
        shown.push((line.name.as_str(), line.quantity, line.amount.amount));
    }
    shown
}

#[tokio::test]
async fn an_order_has_an_invoice_once_it_is_confirmed_and_a_credit_note_for_each_refund() {
    for mut bench in halls().await {
        let event = bench.event.clone();
        let fees = json!({"fees": [{"name": "Service", "per": "ticket", "amount": 300},
            {"name": "Booking fee", "per": "order", "amount": 200}]});
        let fees = serde_json::from_value(fees).unwrap();
        bench.seats.set_rules(&event, fees).await.unwrap();
        // Sold before invoices were issued: it has none, and no credit note.
        let ben = bench.fan(2).await;
        let before = bench.buy(&ben, &["st-B-1"]).await;
        bench.invoice(&event, "ARENA").await;
        bench.give_back(&before, None).await;
        assert_eq!(bench.invoices(&before).await, []);

        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1", "st-A-2", "fl-1"])).await;
        let order = bench.order(&ada, &hold.unwrap()).await.unwrap();
        assert_eq!(bench.invoices(&order).await, []);
        let paid = bench.pay(&ada, &order, Verdict::Captured).await.unwrap();
        bench.reopen().await;
        let [invoice] = &bench.invoices(&paid).await[..] else {
            panic!("there is one invoice");
        };
        assert_eq!(invoice.number, "ARENA-I-000001");
        assert_eq!(
            (invoice.kind, &invoice.cancels),
            (InvoiceKind::Invoice, &None)
        );
        assert_eq!(invoice.issued_at, bench.clock.now());
        assert_eq!(invoice.seller, "Arena Ltd\n1 Hall Street");
        assert_eq!((&invoice.lines, invoice.total), (&paid.lines, paid.total));

        bench.give_back(&paid, Some(&["st-A-2"])).await;
        // Another series of later orders changes nothing.
        bench.invoice(&event, "OTHER").await;
        bench.give_back(&paid, None).await;
        let all = bench.invoices(&paid).await;
        let numbers: Vec<&str> = all.iter().map(|one| one.number.as_str()).collect();
        assert_eq!(
            numbers,
            ["ARENA-I-000001", "ARENA-C-000001", "ARENA-C-000002"]
        );
        assert_eq!(&all[0], invoice);
        assert_eq!(shown(&all[1]), [("Stalls", 1, 4500), ("Service", 1, 300)]);
        let rest = [
            ("Stalls", 1, 4500),
            ("Floor", 1, 2000),
            ("Service", 1, 300),
            ("Service", 1, 300),
            ("Booking fee", 1, 200),
        ];
        assert_eq!(shown(&all[2]), rest);
        for note in &all[1..] {
            assert_eq!(note.cancels.as_ref(), Some(&invoice.number));
            assert_eq!(note.seller, invoice.seller);
        }
        let credited: i64 = all[1..].iter().map(|note| note.total.amount).sum();
        assert_eq!(credited, paid.total.amount);
    }
}

#[tokio::test]
async fn money_that_bought_nothing_and_orders_that_cost_nothing_have_no_invoice() {
    for bench in halls().await {
        bench.invoice(&bench.event, "ARENA").await;
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        let keys = ada.clone();
        let begun = bench.seats.begin_payment(keys, &order.payment.id, None);
        let Begun::Ask(payment) = begun.await.unwrap() else {
            panic!("it was not asked for before");
        };
        bench.clock.advance_ms(601_000);
        bench.seats.sweep().await.unwrap();
        let ben = bench.fan(2).await;
        let sold = bench.buy(&ben, &["st-A-1"]).await;
        let late = bench.seats.settle(&payment, Verdict::Captured, None).await;
        assert_eq!(late.unwrap().state, "refunding");
        for refund in bench.refunds().await {
            bench.seats.refunded(&refund).await.unwrap();
        }
        assert_eq!(bench.see(&ada, &order).await.state, "refunded");
        assert_eq!(bench.invoices(&order).await, []);
        assert_eq!(bench.numbers(&sold).await, ["ARENA-I-000001"]);
    }
}

#[tokio::test]
async fn numbers_of_two_nodes_and_two_events_have_no_gap_and_none_twice() {
    for (one, other) in pairs().await {
        let second = EventId::parse("second").unwrap();
        one.seats.set_seating(&second, hall()).await.unwrap();
        for event in [&one.event, &second] {
            one.invoice(event, "ARENA").await;
        }
        let seats = ["st-A-1", "st-A-2", "st-A-3", "st-A-4", "st-A-5", "st-A-6"];
        let mut buying = Vec::new();
        for (at, seat) in (0..).zip(seats) {
            for (event, offset) in [(&one.event, 0), (&second, 100)] {
                let bench = if at % 2 == 0 { &one } else { &other };
                buying.push(async move {
                    let here = bench.on(event);
                    let fan = here.admit_number(offset + at).await;
                    here.buy(&fan, &[seat]).await
                });
            }
        }
        let mut numbers = Vec::new();
        for order in join_all(buying).await {
            numbers.extend(other.numbers(&order).await);
        }
        numbers.sort();
        let wanted: Vec<String> = (1..=12).map(|at| format!("ARENA-I-{at:06}")).collect();
        assert_eq!(numbers, wanted);
    }
}

#[tokio::test]
async fn a_booking_that_could_not_be_committed_leaves_no_gap() {
    for bench in halls().await {
        bench.invoice(&bench.event, "ARENA").await;
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let first = bench.buy(&ada, &["st-A-1"]).await;
        let hold = bench.hold(&ben, named(&["st-A-2"])).await.unwrap();
        let order = bench.order(&ben, &hold).await.unwrap();
        let keys = ben.clone();
        let begun = bench.seats.begin_payment(keys, &order.payment.id, None);
        let Begun::Ask(payment) = begun.await.unwrap() else {
            panic!("it was not asked for before");
        };
        bench.break_bookings(true);
        let failed = bench.seats.settle(&payment, Verdict::Captured, None).await;
        assert_eq!(failed, Err(Unavailable.into()));
        bench.break_bookings(false);
        assert_eq!(bench.invoices(&order).await, []);
        let paid = bench.seats.settle(&payment, Verdict::Captured, None).await;
        assert_eq!(paid.unwrap().state, "confirmed");
        assert_eq!(bench.numbers(&first).await, ["ARENA-I-000001"]);
        assert_eq!(bench.numbers(&order).await, ["ARENA-I-000002"]);
    }
}
