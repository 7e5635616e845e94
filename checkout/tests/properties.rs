//! Property test of the inventory against a naive model: a list of seats, holds and orders. In
//! every case no seat has two owners, the sums agree, no order is confirmed without money, and no
//! money is kept without an order or a refund.

#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

use checkout::inventory::{
    Begun, Best, Buyer, Inventory, NewSession, Order, PaymentState, Purchase, Reader, Refused,
    RulesPatch, SeatState, SessionKey, SessionKeys, Verdict, Wish, layout, open,
};
use proptest::prelude::*;
use shared::data_dir::DataFolder;
use shared::ids::{EventId, VisitorId};
use shared::time::{Clock, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use testkit::shared_postgres;

const START: Time = Time(1_800_000_000_000);
const FANS: u8 = 4;
const SEATS: u8 = 6;

#[derive(Clone, Debug)]
enum Step {
    Hold(u8, Vec<u8>),
    Best(u8, u8),
    Release(u8),
    /// With a ticket type for each seat, in turn.
    Order(u8, [u8; 2]),
    Pay(u8, u8),
    Settle(u8),
    Refund(u8),
    Wait(u16),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let fan = 0..FANS;
    prop_oneof![
        5 => (fan.clone(), proptest::collection::btree_set(0..SEATS, 1..3)).prop_map(|(fan, seats)| Step::Hold(fan, seats.into_iter().collect())),
        2 => (fan.clone(), 1u8..3).prop_map(|(fan, count)| Step::Best(fan, count)),
        2 => fan.clone().prop_map(Step::Release),
        5 => (fan.clone(), any::<[u8; 2]>()).prop_map(|(fan, types)| Step::Order(fan, types)),
        5 => (fan.clone(), 0u8..4).prop_map(|(fan, verdict)| Step::Pay(fan, verdict)),
        2 => fan.clone().prop_map(Step::Settle),
        1 => fan.prop_map(Step::Refund),
        4 => (1u16..300).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// Model state: the latest requests of each fan, and the provider's view of every payment.
#[derive(Default)]
struct World {
    hold: BTreeMap<u8, Arc<str>>,
    order: BTreeMap<u8, Order>,
    orders: Vec<(u8, String)>,
    pending: BTreeMap<u8, checkout::inventory::PaymentRef>,
    captured: i64,
    refunded: i64,
}

struct Bench {
    seats: Inventory,
    clock: Clock,
    event: EventId,
    fans: Vec<SessionKeys>,
}

async fn apply(bench: &Bench, world: &mut World, step: &Step) {
    let keys = |fan: u8| bench.fans[fan as usize].clone();
    match step {
        Step::Hold(fan, seats) => {
            let wish = Wish::Seats(
                seats
                    .iter()
                    .map(|seat| format!("s-A-{}", seat + 1))
                    .collect(),
            );
            take(bench, world, *fan, wish).await;
        }
        Step::Best(fan, count) => {
            take(
                bench,
                world,
                *fan,
                Wish::Best(Best {
                    quantity: u32::from(*count),
                    ..Best::default()
                }),
            )
            .await;
        }
        Step::Release(fan) => {
            if let Some(hold) = world.hold.get(fan) {
                let _ = bench.seats.release(keys(*fan), hold).await;
            }
        }
        Step::Order(fan, types) => {
            if let Some(hold) = world.hold.get(fan) {
                let buyer = Buyer {
                    name: "N".into(),
                    email: "n@example.org".into(),
                };
                let mut purchase = Purchase::of(hold, buyer);
                let held = bench.seats.show_hold(keys(*fan), hold).await.unwrap();
                for (seat, at) in held.seats.iter().zip(types.iter().cycle()) {
                    let name = ["standard", "child", "baby"][usize::from(at % 3)];
                    let seat = seat.id.to_string();
                    purchase.ticket_types.insert(seat, name.to_owned());
                }
                let id = shared::crypto::random_id("ord_");
                let made = bench.seats.order_as(&id, keys(*fan), &purchase, None);
                if let Ok(once) = made.await {
                    let sum = once.value.seats.iter().map(|seat| seat.price.amount);
                    assert_eq!(sum.sum::<i64>(), once.value.total.amount);
                    world.orders.push((*fan, once.value.id.clone()));
                    world.order.insert(*fan, once.value);
                }
            }
        }
        Step::Pay(fan, verdict) => {
            let Some(order) = world.order.get(fan) else {
                return;
            };
            let begun = bench
                .seats
                .begin_payment(keys(*fan), &order.payment.id, None)
                .await;
            let Ok(Begun::Ask(payment)) = begun else {
                return;
            };
            let verdict = match verdict {
                0 | 1 => Verdict::Captured,
                2 => Verdict::Declined("card_declined".into()),
                _ => {
                    world.pending.insert(*fan, payment.clone());
                    Verdict::Pending(bench.clock.now().plus_seconds(20))
                }
            };
            if verdict == Verdict::Captured {
                world.captured += payment.amount.amount;
            }
            let order = bench.seats.settle(&payment, verdict, None).await.unwrap();
            world.order.insert(*fan, order);
        }
        Step::Settle(fan) => {
            if let Some(payment) = world.pending.remove(fan) {
                world.captured += payment.amount.amount;
                bench
                    .seats
                    .settle(&payment, Verdict::Captured, None)
                    .await
                    .unwrap();
            }
        }
        Step::Refund(fan) => {
            let Some(order) = world.order.get(fan) else {
                return;
            };
            if let Ok(payment) = bench.seats.begin_refund(&bench.event, &order.id).await {
                world.refunded += payment.amount.amount;
                bench.seats.refunded(&payment).await.unwrap();
            }
        }
        Step::Wait(seconds) => {
            bench.clock.advance_ms(i64::from(*seconds) * 1000);
            bench.seats.sweep().await.unwrap();
            for due in bench.seats.due().await.unwrap() {
                if due.state == PaymentState::Refunding {
                    world.refunded += due.payment.amount.amount;
                    bench.seats.refunded(&due.payment).await.unwrap();
                }
            }
        }
        Step::Restart => {}
    }
}

async fn take(bench: &Bench, world: &mut World, fan: u8, wish: Wish) {
    let keys = bench.fans[fan as usize].clone();
    match bench.seats.hold(keys, &bench.event, wish, None).await {
        Ok(once) => {
            world.hold.insert(fan, once.value.id);
        }
        Err(
            Refused::SeatsTaken(_)
            | Refused::NotEnoughSeats
            | Refused::TooManySeats(_)
            | Refused::SessionOver,
        ) => {}
        Err(other) => panic!("{other:?}"),
    }
}

/// Checks the invariants on the engine's own view of every order and seat.
async fn check(bench: &Bench, world: &World) {
    let seat_map = bench.seats.seat_map(&bench.event).unwrap();
    bench.clock.advance_ms(200);
    bench.seats.publish().await.unwrap();
    let shown = seat_map.current();
    let sales = bench.seats.sales(&bench.event).await.unwrap();
    assert_eq!(shown.counts.iter().sum::<u32>(), u32::from(SEATS));
    assert_eq!(
        [sales.available, sales.held, sales.booked, sales.blocked],
        shown.counts
    );
    let mut owner: BTreeMap<String, String> = BTreeMap::new();
    let mut revenue = 0;
    let mut owed = 0;
    for (fan, id) in &world.orders {
        let reader = Reader::Session(bench.fans[*fan as usize].clone());
        let order = bench.seats.show_order(reader, id).await.unwrap();
        match order.state.as_str() {
            "confirmed" => {
                revenue += order.total.amount;
                for ticket in order.tickets.unwrap() {
                    let before = owner.insert(ticket.seat.clone(), id.clone());
                    assert_eq!(before, None, "{} has two owners", ticket.seat);
                    let seat = seat_map.layout.find(&ticket.seat).unwrap();
                    assert_eq!(shown.states[seat as usize], SeatState::Booked);
                }
            }
            "refunding" => owed += order.total.amount,
            "paying" | "declined" | "confirming" => {
                for seat in order.seats.iter() {
                    let seat = seat_map.layout.find(&seat.id).unwrap();
                    assert_eq!(
                        shown.states[seat as usize],
                        SeatState::Held,
                        "frozen for the payment"
                    );
                }
            }
            _ => assert!(order.tickets.is_none()),
        }
    }
    assert_eq!(
        owner.len() as u32,
        sales.booked,
        "every booked seat has a ticket"
    );
    assert_eq!(sales.revenue.amount, revenue);
    assert_eq!(
        world.captured,
        revenue + owed + world.refunded,
        "money is a seat, owed back, or given back"
    );
}

async fn run(url: &str, steps: Vec<Step>) {
    let kept = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(kept.path()).unwrap();
    let clock = Clock::manual(START);
    let seats = || async { open(url, &folder, clock.clone()).await.unwrap().0 };
    let mut bench = Bench {
        seats: seats().await,
        clock: clock.clone(),
        event: EventId::parse("e").unwrap(),
        fans: Vec::new(),
    };
    let plan = format!(
        r#"{{"categories": [{{"id": "c", "name": "C", "price": 10}}],
        "sections": [{{"id": "s", "category": "c", "rows": 1, "seats_per_row": {SEATS}}}]}}"#
    );
    bench
        .seats
        .set_seating(&bench.event, layout::parse(plan.as_bytes()).unwrap())
        .await
        .unwrap();
    let prices = serde_json::json!({"prices": [{"category": "c", "ticket_types": [
        {"id": "child", "name": "Child", "price": 4}, {"id": "baby", "name": "Baby", "price": 0}]}]});
    let prices: RulesPatch = serde_json::from_value(prices).unwrap();
    bench.seats.set_rules(&bench.event, prices).await.unwrap();
    for fan in 0..FANS {
        let key = [fan; 32];
        let session = NewSession {
            key,
            event: bench.event.clone(),
            visitor: VisitorId(u128::from(fan)),
            number: 1,
            jti: format!("{fan}"),
            token: String::new(),
            expires_at: START.plus_seconds(80_000),
            is_reported: true,
        };
        bench.seats.open_session(session).await.unwrap();
        bench.fans.push(vec![SessionKey {
            event: bench.event.clone(),
            hash: key,
        }]);
    }
    let mut world = World::default();
    for step in &steps {
        if matches!(step, Step::Restart) {
            bench.seats = seats().await;
        }
        apply(&bench, &mut world, step).await;
        check(&bench, &world).await;
    }
}

fn check_all(url: &str, steps: Vec<Step>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(run(url, steps));
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_happens_the_books_of_sqlite_are_right(steps in steps()) {
        check_all("sqlite", steps);
    }
}

proptest! {
    // Each case has a database of its own.
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn whatever_happens_the_books_of_postgres_are_right(steps in steps()) {
        let servers = shared_postgres();
        check_all(&servers.postgres.url(&servers.postgres.database()), steps);
    }

    #[test]
    fn whatever_happens_the_books_of_postgres_18_are_right(steps in steps()) {
        let servers = shared_postgres();
        check_all(&servers.postgres_18.url(&servers.postgres_18.database()), steps);
    }
}
