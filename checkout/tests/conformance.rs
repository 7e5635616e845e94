//! Every promise of `Inventory`, on every engine. The next engine adds its name to `benches` and nothing else.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

use checkout::inventory::{
    Begun, Block, Buyer, Hold, Inventory, Keys, NewSession, Once, Order, Reader, Refused, Rules,
    RulesPatch, SeatState, Sqlite, Verdict, Wish, layout,
};
use shared::idempotency::Attempt;
use shared::time::{Clock, Time};
use shared::words::{EventId, VisitorId};
use std::sync::Arc;

const START: Time = Time(1_800_000_000_000);

/// An engine under test, its clock, and a way to open it anew on what it kept.
struct Bench {
    seats: Arc<dyn Inventory>,
    clock: Clock,
    folder: tempfile::TempDir,
    event: EventId,
}

fn benches() -> Vec<Bench> {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let seats =
        Arc::new(Sqlite::open(&folder.path().join("inventory.sqlite"), clock.clone()).unwrap());
    vec![Bench {
        seats,
        clock,
        folder,
        event: EventId::parse("arena").unwrap(),
    }]
}

/// Benches with a hall of 12 seats (rows A and B of 6) and an area of 4.
async fn halls() -> Vec<Bench> {
    let benches = benches();
    for bench in &benches {
        bench.seats.set_seating(&bench.event, hall()).await.unwrap();
    }
    benches
}

fn hall() -> layout::Layout {
    let plan = br#"{"categories": [{"id": "stalls", "name": "Stalls", "price": 4500}, {"id": "floor", "name": "Floor", "price": 2000}],
        "sections": [{"id": "st", "category": "stalls", "rows": 2, "seats_per_row": 6}],
        "areas": [{"id": "fl", "category": "floor", "capacity": 4}]}"#;
    layout::parse(plan).unwrap()
}

fn named(seats: &[&str]) -> Wish {
    Wish::Seats(seats.iter().map(|seat| (*seat).to_owned()).collect())
}

fn buyer() -> Buyer {
    Buyer {
        name: "Ada".into(),
        email: "ada@example.org".into(),
    }
}

fn attempt(id: &str, body: &str) -> Option<Attempt> {
    Some(Attempt {
        id: id.into(),
        body: body.into(),
    })
}

impl Bench {
    fn reopen(&mut self) {
        let path = self.folder.path().join("inventory.sqlite");
        self.seats = Arc::new(Sqlite::open(&path, self.clock.clone()).unwrap());
    }

    /// A session of a visitor of their own.
    async fn fan(&self, visitor: u8) -> Keys {
        self.admit(visitor, &format!("adm-{visitor}"))
            .await
            .unwrap()
    }

    async fn admit(&self, visitor: u8, jti: &str) -> Result<Keys, Refused> {
        let key = shared::secret::random();
        let session = NewSession {
            key,
            event: self.event.clone(),
            visitor: VisitorId(u128::from(visitor)),
            number: u64::from(visitor),
            jti: jti.to_owned(),
            token: format!("token-{jti}"),
            expires_at: self.clock.now().plus_seconds(3600),
            is_reported: true,
        };
        self.seats.open_session(session).await.map(|_| vec![key])
    }

    async fn hold(&self, fan: &Keys, wish: Wish) -> Result<Hold, Refused> {
        self.seats
            .hold(fan.clone(), &self.event, wish, None)
            .await
            .map(|once| once.value)
    }

    async fn order(&self, fan: &Keys, hold: &Hold) -> Result<Order, Refused> {
        self.seats
            .order(fan.clone(), &hold.id, buyer(), None)
            .await
            .map(|once| once.value)
    }

    async fn pay(&self, fan: &Keys, order: &Order, verdict: Verdict) -> Result<Order, Refused> {
        match self
            .seats
            .begin_payment(fan.clone(), &order.payment.id, None)
            .await?
        {
            Begun::Ask(payment) => self.seats.settle(&payment, verdict, None).await,
            Begun::Replayed(order) => Ok(*order),
        }
    }

    async fn buy(&self, fan: &Keys, seats: &[&str]) -> Order {
        let hold = self.hold(fan, named(seats)).await.unwrap();
        let order = self.order(fan, &hold).await.unwrap();
        self.pay(fan, &order, Verdict::Captured).await.unwrap()
    }

    async fn see(&self, fan: &Keys, order: &Order) -> Order {
        self.seats
            .show_order(Reader::Session(fan.clone()), &order.id)
            .await
            .unwrap()
    }

    /// Available, held, booked, blocked: by the figures and by the board, which must agree and add up.
    async fn counts(&self) -> [u32; 4] {
        let sales = self.seats.sales(&self.event).await.unwrap();
        assert_eq!(
            sales.available + sales.held + sales.booked + sales.blocked,
            sales.capacity
        );
        let board = self.seats.board(&self.event).unwrap();
        board.publish(self.clock.now());
        let counts = [sales.available, sales.held, sales.booked, sales.blocked];
        assert_eq!(board.shown().counts, counts);
        counts
    }

    async fn sweep_after(&self, seconds: i64) -> u32 {
        self.clock.advance_ms(seconds * 1000);
        self.seats.sweep().await.unwrap().seats_released
    }
}

#[tokio::test]
async fn an_admission_opens_one_session_however_often_and_at_once_it_is_tried() {
    for bench in halls().await {
        let bench = Arc::new(bench);
        let mut trying = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let bench = bench.clone();
            trying.spawn(async move { bench.admit(1, "adm-1").await });
        }
        let opened = trying.join_all().await;
        assert_eq!(opened.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(
            opened
                .iter()
                .filter(|outcome| outcome.is_err())
                .all(|outcome| *outcome == Err(Refused::AdmissionUsed))
        );
    }
}

#[tokio::test]
async fn the_same_session_asked_for_again_is_answered_again() {
    for bench in halls().await {
        let open = |key| {
            bench.seats.open_session(NewSession {
                key,
                event: bench.event.clone(),
                visitor: VisitorId(1),
                number: 1,
                jti: "adm-1".into(),
                token: "token".into(),
                expires_at: START.plus_seconds(60),
                is_reported: true,
            })
        };
        let first = open([1; 32]).await.unwrap();
        let again = open([1; 32]).await.unwrap();
        assert_eq!((first.is_replayed, again.is_replayed), (false, true));
        assert_eq!(first.value, again.value);
        assert_eq!(open([2; 32]).await, Err(Refused::AdmissionUsed));
    }
}

#[tokio::test]
async fn a_hold_takes_all_of_the_seats_or_none_and_names_those_that_are_gone() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let hold = bench
            .hold(&ada, named(&["st-A-1", "st-A-2"]))
            .await
            .unwrap();
        assert_eq!(
            (hold.state.as_str(), hold.total.amount, hold.seats.len()),
            ("active", 9000, 2)
        );
        assert_eq!(hold.expires_at, START.plus_seconds(120));
        let refused = bench
            .hold(&ben, named(&["st-A-3", "st-A-2", "st-A-1"]))
            .await;
        assert_eq!(
            refused,
            Err(Refused::SeatsTaken(vec!["st-A-1".into(), "st-A-2".into()]))
        );
        assert_eq!(bench.counts().await, [14, 2, 0, 0]);
        let unknown = bench.hold(&ben, named(&["st-A-3", "st-Z-9"])).await;
        assert_eq!(unknown, Err(Refused::UnknownSeats(vec!["st-Z-9".into()])));
        assert!(matches!(
            bench.hold(&ben, named(&["st-A-3", "st-A-3"])).await,
            Err(Refused::Invalid(_))
        ));
        assert!(matches!(
            bench.hold(&ben, named(&[])).await,
            Err(Refused::Invalid(_))
        ));
        assert_eq!(bench.counts().await, [14, 2, 0, 0]);
    }
}

#[tokio::test]
async fn of_fifty_who_want_one_seat_exactly_one_gets_it() {
    for bench in halls().await {
        let bench = Arc::new(bench);
        let mut wanting = tokio::task::JoinSet::new();
        for visitor in 0..50 {
            let bench = bench.clone();
            wanting.spawn(async move {
                let fan = bench.fan(visitor).await;
                bench.hold(&fan, named(&["st-B-3", "st-B-4"])).await
            });
        }
        let outcomes = wanting.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert_eq!(bench.counts().await, [14, 2, 0, 0]);
    }
}

#[tokio::test]
async fn a_crowd_that_asks_for_two_together_gets_different_pairs() {
    for bench in halls().await {
        let bench = Arc::new(bench);
        let mut wanting = tokio::task::JoinSet::new();
        for visitor in 0..10 {
            let bench = bench.clone();
            wanting.spawn(async move {
                let fan = bench.fan(visitor).await;
                bench
                    .hold(
                        &fan,
                        Wish::Best {
                            quantity: 2,
                            category: None,
                        },
                    )
                    .await
            });
        }
        let outcomes = wanting.join_all().await;
        let held: std::collections::BTreeSet<String> = outcomes
            .iter()
            .flatten()
            .flat_map(|hold| hold.seats.iter().map(|seat| seat.id.clone()))
            .collect();
        assert_eq!((outcomes.iter().flatten().count(), held.len()), (8, 16));
        assert!(
            outcomes
                .iter()
                .filter(|outcome| outcome.is_err())
                .all(|outcome| *outcome == Err(Refused::NotEnoughSeats))
        );
        assert_eq!(bench.counts().await, [0, 16, 0, 0]);
    }
}

#[tokio::test]
async fn the_limits_hold_per_order_and_per_visitor_over_several_holds_and_sessions() {
    for bench in halls().await {
        let patch = RulesPatch {
            max_seats_per_order: Some(3),
            max_seats_per_visitor: Some(4),
            ..RulesPatch::default()
        };
        let (before, after) = bench.seats.set_rules(&bench.event, patch).await.unwrap();
        assert_eq!((before, after.max_seats_per_order), (Rules::default(), 3));
        let ada = bench.fan(1).await;
        let four = bench
            .hold(&ada, named(&["st-A-1", "st-A-2", "st-A-3", "st-A-4"]))
            .await;
        assert_eq!(four, Err(Refused::TooManySeats(3)));
        let three = bench
            .hold(&ada, named(&["st-A-1", "st-A-2", "st-A-3"]))
            .await
            .unwrap();
        assert_eq!(
            bench.hold(&ada, named(&["st-B-1", "st-B-2"])).await,
            Err(Refused::TooManySeats(4))
        );
        let again = bench.admit(1, "adm-again").await.unwrap();
        assert_eq!(
            bench.hold(&again, named(&["st-B-1", "st-B-2"])).await,
            Err(Refused::TooManySeats(4))
        );
        bench.seats.release(ada.clone(), &three.id).await.unwrap();
        assert!(bench.hold(&ada, named(&["st-B-1", "st-B-2"])).await.is_ok());
    }
}

#[tokio::test]
async fn releasing_gives_the_seats_back_and_twice_is_no_error() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        assert_eq!(
            bench.seats.release(ben.clone(), &hold.id).await,
            Err(Refused::NoSuchHold),
            "not theirs"
        );
        for _ in 0..2 {
            bench.seats.release(ada.clone(), &hold.id).await.unwrap();
        }
        assert_eq!(
            bench
                .seats
                .show_hold(ada.clone(), &hold.id)
                .await
                .unwrap()
                .state,
            "released"
        );
        assert_eq!(bench.counts().await, [16, 0, 0, 0]);
        assert!(bench.hold(&ben, named(&["st-A-1"])).await.is_ok());
        assert_eq!(
            bench.order(&ada, &hold).await,
            Err(Refused::HoldOver("released".into()))
        );
    }
}

#[tokio::test]
async fn a_lapsed_hold_may_be_taken_over_before_the_sweep_and_is_released_by_it() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let first = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        bench.hold(&ada, named(&["st-A-2"])).await.unwrap();
        assert_eq!(bench.sweep_after(119).await, 0);
        assert!(bench.hold(&ben, named(&["st-A-1"])).await.is_err());
        bench.clock.advance_ms(1000);
        assert!(
            bench.hold(&ben, named(&["st-A-1"])).await.is_ok(),
            "taken over"
        );
        assert_eq!(
            bench.order(&ada, &first).await,
            Err(Refused::HoldOver("expired".into()))
        );
        bench.sweep_after(0).await;
        assert_eq!(bench.counts().await, [15, 1, 0, 0]);
    }
}

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
        bench.seats.reported(&reports[0]).await.unwrap();
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
        assert_eq!(bench.seats.sweep().await.unwrap().due, []);
        bench.clock.advance_ms(120_000);
        assert!(
            bench.hold(&ben, named(&["st-A-1"])).await.is_err(),
            "frozen, though the hold's time is over"
        );
        let due = bench.seats.sweep().await.unwrap().due;
        assert_eq!((due.len(), due[0].1), (1, Some(promised)));
        for _ in 0..3 {
            let order = bench
                .seats
                .settle(&due[0].0, Verdict::Captured, None)
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
            let refunds = bench.seats.sweep().await.unwrap().refunds;
            assert_eq!(refunds.len(), 1, "asked for until it is done");
            for _ in 0..2 {
                assert_eq!(
                    bench.seats.refunded(&refunds[0]).await.unwrap().state,
                    "refunded"
                );
            }
            assert_eq!(bench.seats.sweep().await.unwrap().refunds, []);
        }
        assert_eq!(bench.counts().await, [14, 0, 2, 0]);
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
        bench.clock.advance_ms(4 * 24 * 3600 * 1000 - 1);
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
                .block(&bench.event, names(&["st-A-1", "st-A-2"]), Block::Block)
                .await
                .unwrap();
        }
        assert_eq!(bench.counts().await, [14, 0, 0, 2]);
        assert!(bench.hold(&ada, named(&["st-A-1"])).await.is_err());
        bench.hold(&ada, named(&["st-B-1"])).await.unwrap();
        let taken = bench
            .seats
            .block(&bench.event, names(&["st-B-2", "st-B-1"]), Block::Block)
            .await;
        assert_eq!(taken, Err(Refused::SeatsTaken(names(&["st-B-1"]))));
        bench
            .seats
            .block(&bench.event, names(&["st-A-1"]), Block::Unblock)
            .await
            .unwrap();
        assert_eq!(bench.counts().await, [14, 1, 0, 1]);
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
        let before = bench.seats.board(&bench.event).unwrap().shown().version;
        assert_eq!(bench.seats.set_seating(&bench.event, hall()).await, Ok(2));
        assert!(bench.seats.board(&bench.event).unwrap().shown().version >= before);
        bench.buy(&ada, &["st-A-1"]).await;
        assert_eq!(
            bench.seats.remove(&bench.event).await,
            Err(Refused::HasOrders)
        );
    }
}

#[tokio::test]
async fn leaving_the_checkout_releases_the_holds_and_reports_the_slot() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let ordered = bench.hold(&ada, named(&["st-A-2"])).await.unwrap();
        bench.order(&ada, &ordered).await.unwrap();
        bench
            .seats
            .end_session(ada.clone(), &bench.event)
            .await
            .unwrap();
        assert_eq!(bench.counts().await, [16, 0, 0, 0]);
        assert!(bench.seats.reports().await.unwrap()[0].is_finished);
        assert_eq!(
            bench.hold(&ada, named(&["st-A-1"])).await,
            Err(Refused::SessionOver)
        );
    }
}

#[tokio::test]
async fn a_session_past_its_end_holds_nothing_new_but_pays_what_it_has() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        bench.clock.advance_ms(3_590_000);
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        bench.clock.advance_ms(20_000);
        assert_eq!(
            bench.hold(&ada, named(&["st-A-2"])).await,
            Err(Refused::SessionOver)
        );
        let order = bench.order(&ada, &hold).await.unwrap();
        assert_eq!(
            bench
                .pay(&ada, &order, Verdict::Captured)
                .await
                .unwrap()
                .state,
            "confirmed"
        );
        assert_eq!(
            bench.hold(&vec![[7; 32]], named(&["st-A-2"])).await,
            Err(Refused::NoSession)
        );
    }
}

#[tokio::test]
async fn whatever_was_acknowledged_is_there_after_a_restart() {
    for mut bench in halls().await {
        let (ada, ben, cleo) = (bench.fan(1).await, bench.fan(2).await, bench.fan(3).await);
        let bought = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let held = bench.hold(&ben, named(&["st-B-1"])).await.unwrap();
        let hold = bench.hold(&cleo, named(&["st-B-2"])).await.unwrap();
        let order = bench.order(&cleo, &hold).await.unwrap();
        bench
            .seats
            .block(&bench.event, vec!["fl-1".into()], Block::Block)
            .await
            .unwrap();
        let version = bench.seats.board(&bench.event).unwrap().shown().version;
        bench.reopen();
        assert_eq!(bench.counts().await, [11, 2, 2, 1]);
        assert!(bench.seats.board(&bench.event).unwrap().shown().version >= version);
        assert_eq!(bench.see(&ada, &bought).await, bought);
        assert_eq!(
            bench.seats.show_hold(ben.clone(), &held.id).await.unwrap(),
            held
        );
        assert_eq!(
            bench
                .pay(&cleo, &order, Verdict::Captured)
                .await
                .unwrap()
                .state,
            "confirmed"
        );
        assert_eq!(bench.admit(9, "adm-1").await, Err(Refused::AdmissionUsed));
        assert_eq!(
            bench.sweep_after(121).await,
            1,
            "Ben's hold lapses as it would have"
        );
    }
}

#[tokio::test]
async fn a_payment_that_the_process_died_over_is_found_and_resolved() {
    for mut bench in halls().await {
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        bench
            .seats
            .begin_payment(ada.clone(), &order.payment.id, attempt("p", "b"))
            .await
            .unwrap();
        bench.reopen();
        bench.clock.advance_ms(16_000);
        let due = bench.seats.sweep().await.unwrap().due;
        assert_eq!((due.len(), due[0].1), (1, None));
        let told = bench
            .seats
            .settle(&due[0].0, Verdict::Declined("interrupted".into()), None)
            .await
            .unwrap();
        assert_eq!(told.state, "declined");
        assert_eq!(
            bench
                .pay(&ada, &told, Verdict::Captured)
                .await
                .unwrap()
                .state,
            "confirmed"
        );
    }
}

#[tokio::test]
async fn the_boards_versions_have_no_gap_and_lead_from_any_map_to_the_newest() {
    for bench in halls().await {
        let board = bench.seats.board(&bench.event).unwrap();
        let first = board.shown();
        let mut map = first.states.clone();
        let ada = bench.fan(1).await;
        let hold = bench
            .hold(&ada, named(&["st-A-1", "st-A-2"]))
            .await
            .unwrap();
        assert!(board.publish(bench.clock.now()));
        assert!(!board.publish(bench.clock.now()), "nothing changed");
        bench.seats.release(ada.clone(), &hold.id).await.unwrap();
        bench.buy(&ada, &["st-B-6"]).await;
        assert!(board.publish(bench.clock.now()));
        let messages = board.since(first.version).unwrap();
        let versions: Vec<u64> = messages.iter().map(|(version, _)| *version).collect();
        assert_eq!(versions, [first.version + 1, first.version + 2]);
        for (_, text) in &messages {
            let message: serde_json::Value = serde_json::from_str(text).unwrap();
            for change in message["changes"].as_array().unwrap() {
                let seat = board.layout.find(change[0].as_str().unwrap()).unwrap();
                let state: SeatState = serde_json::from_value(change[1].clone()).unwrap();
                map[seat as usize] = state;
            }
        }
        assert_eq!(map, board.shown().states);
        assert!(
            board.since(first.version - 1).is_none(),
            "too old to be followed"
        );
        let bits = board.shown().to_bits();
        let read: Vec<u8> = (0..16)
            .map(|seat| (bits[seat / 4] >> (seat % 4 * 2)) & 3)
            .collect();
        let states: Vec<u8> = map.iter().map(|state| *state as u8).collect();
        assert_eq!(read, states);
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.sqlite");
    std::fs::write(
        &path,
        b"this is not a database, it only looks like a file of one",
    )
    .unwrap();
    let refused = Sqlite::open(&path, Clock::manual(START)).err().unwrap();
    assert!(refused.contains("damaged"), "{refused}");
    assert!(
        std::fs::read(&path)
            .unwrap()
            .starts_with(b"this is not a database")
    );
}
