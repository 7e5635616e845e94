//! The work of an operation does not grow with the orders that were made before. SQLite has no
//! statistics here, so that its planner may choose to read all rows of an event instead of one.

use super::super::steps::Steps;
use super::super::*;
use crate::inventory::layout::parse;
use crate::inventory::{Begun, Best, Buyer, Inventory, Order, Scan, Verdict, Wish};
use shared::ids::VisitorId;

fn inventory(folder: &tempfile::TempDir, clock: &Clock) -> (Inventory, Steps) {
    let path = folder.path().join("inventory.sqlite");
    let sqlite = Sqlite::open(&path, clock.clone()).unwrap();
    let steps = sqlite.steps.clone();
    steps.taken();
    (Inventory::from(sqlite), steps)
}

struct GrowingSale {
    inventory: Inventory,
    steps: Steps,
    clock: Clock,
    event: EventId,
    fans: u64,
    folder: tempfile::TempDir,
}

impl GrowingSale {
    async fn open() -> GrowingSale {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Time(1_000_000_000_000));
        let (inventory, steps) = inventory(&folder, &clock);
        let sale = GrowingSale {
            inventory,
            steps,
            clock,
            event: EventId::parse("e").unwrap(),
            fans: 0,
            folder,
        };
        let plan = br#"{"categories": [{"id": "c", "name": "C", "price": 10}],
            "sections": [{"id": "s", "category": "c", "rows": 50, "seats_per_row": 100}]}"#;
        let layout = parse(plan).unwrap();
        sale.inventory
            .set_seating(&sale.event, layout)
            .await
            .unwrap();
        sale
    }

    async fn fan(&mut self) -> SessionKeys {
        self.fans += 1;
        let session = NewSession {
            key: shared::crypto::random(),
            event: self.event.clone(),
            visitor: VisitorId(u128::from(self.fans)),
            number: self.fans,
            jti: format!("adm-{}", self.fans),
            token: "token".into(),
            expires_at: self.clock.now().plus_seconds(3600),
            is_reported: true,
        };
        let keys = vec![SessionKey {
            event: self.event.clone(),
            hash: session.key,
        }];
        self.inventory.open_session(session).await.unwrap();
        keys
    }

    async fn hold(&self, fan: &SessionKeys) -> Hold {
        let two = Wish::Best(Best {
            quantity: 2,
            ..Best::default()
        });
        let held = self.inventory.hold(fan.clone(), &self.event, two, None);
        held.await.unwrap().value
    }

    async fn order(&self, fan: &SessionKeys, hold: &Hold) -> Order {
        let buyer = Buyer {
            name: "Ada".into(),
            email: "ada@example.org".into(),
        };
        let ordered = self.inventory.order(fan.clone(), &hold.id, buyer, None);
        ordered.await.unwrap().value
    }

    async fn begin(&self, fan: &SessionKeys, order: &Order) -> PaymentRef {
        let begun = self
            .inventory
            .begin_payment(fan.clone(), &order.payment.id, None);
        match begun.await.unwrap() {
            Begun::Ask(payment) => payment,
            Begun::Replayed(_) => panic!("no payment was begun before"),
        }
    }

    async fn settle(&self, payment: &PaymentRef, verdict: Verdict) -> Order {
        let settled = self.inventory.settle(payment, verdict, None);
        settled.await.unwrap()
    }

    async fn refund(&self, order: &Order, seats: Option<Vec<String>>) {
        let begun = self
            .inventory
            .begin_refund_of(&self.event, &order.id, seats);
        let refund = begun.await.unwrap();
        self.inventory.refunded(&refund).await.unwrap();
    }

    /// Makes fans who buy, give back all or half, are declined, let their order lapse, or let their hold go.
    async fn make_history(&mut self, rounds: usize) {
        for round in 0..6 * rounds {
            let fan = self.fan().await;
            let hold = self.hold(&fan).await;
            if round % 6 == 0 {
                self.inventory.release(fan, &hold.id).await.unwrap();
                continue;
            }
            let order = self.order(&fan, &hold).await;
            if round % 6 == 1 {
                continue;
            }
            let payment = self.begin(&fan, &order).await;
            if round % 6 == 2 {
                self.settle(&payment, Verdict::Declined("card_declined".into()))
                    .await;
                continue;
            }
            let order = self.settle(&payment, Verdict::Captured).await;
            if round % 6 == 3 {
                self.refund(&order, None).await;
            } else if round % 6 == 4 {
                let seat = order.tickets.as_ref().unwrap()[0].seat.clone();
                self.refund(&order, Some(vec![seat])).await;
            }
        }
        self.clock.advance_ms(3_600_000);
        while self.inventory.sweep().await.unwrap().has_more {}
    }

    /// Returns the steps of each operation of a fan, of a door and of the sweep.
    async fn measure(&mut self) -> Vec<(&'static str, u64)> {
        let mut noted = Vec::new();
        self.steps.taken();
        let fan = self.fan().await;
        noted.push(("open a session", self.steps.taken()));
        let hold = self.hold(&fan).await;
        noted.push(("hold", self.steps.taken()));
        let order = self.order(&fan, &hold).await;
        noted.push(("order", self.steps.taken()));
        let payment = self.begin(&fan, &order).await;
        noted.push(("begin a payment", self.steps.taken()));
        self.settle(&payment, Verdict::Captured).await;
        noted.push(("settle a payment", self.steps.taken()));
        // Nothing is in memory after it is opened anew.
        (self.inventory, self.steps) = inventory(&self.folder, &self.clock);
        let inventory = self.inventory.clone();
        let own = inventory.own_orders(fan.clone()).await.unwrap();
        noted.push(("own orders", self.steps.taken()));
        let tickets = own[0].tickets.clone().unwrap();
        let scan = Scan {
            code: tickets[0].code.clone(),
            door: "North".into(),
            scan: None,
            at: None,
        };
        inventory.check_in(&self.event, &scan).await.unwrap();
        noted.push(("check in", self.steps.taken()));
        let id = &tickets[0].id;
        inventory.undo_check_in(&self.event, id).await.unwrap();
        noted.push(("undo a check-in", self.steps.taken()));
        self.refund(&order, None).await;
        noted.push(("refund", self.steps.taken()));
        // Two that lapse: a payment was begun for one of them.
        let (ben, cleo) = (self.fan().await, self.fan().await);
        self.hold(&ben).await;
        let hold = self.hold(&cleo).await;
        let order = self.order(&cleo, &hold).await;
        self.begin(&cleo, &order).await;
        self.clock.advance_ms(3_600_000);
        self.steps.taken();
        assert_eq!(inventory.sweep().await.unwrap().seats_released, 4);
        noted.push(("sweep", self.steps.taken()));
        assert_eq!(inventory.due().await.unwrap().len(), 1);
        noted.push(("payments due", self.steps.taken()));
        noted
    }
}

#[tokio::test]
async fn no_operation_does_more_work_the_more_orders_there_were() {
    let mut small = GrowingSale::open().await;
    small.make_history(5).await;
    let mut large = GrowingSale::open().await;
    large.make_history(50).await;
    let (small, large) = (small.measure().await, large.measure().await);
    let mut grown = Vec::new();
    for ((operation, few), (_, many)) in small.into_iter().zip(large) {
        assert!(few > 0, "{operation}: nothing was counted");
        if many > few + few / 4 {
            grown.push(format!(
                "{operation}: {many} steps after 300 fans, {few} after 30"
            ));
        }
    }
    assert!(grown.is_empty(), "{}", grown.join("; "));
}
