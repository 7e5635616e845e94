//! Events in the outbox: exactly those of what happened, in order.

use crate::bench::*;
use checkout::inventory::outbox::{
    EventPayload, HoldPayload, OrderPayload, OutboxRow, PaymentPayload, TicketPayload,
};
use checkout::inventory::*;
use serde::de::DeserializeOwned;

impl Bench {
    /// Returns all events that are kept, shard by shard.
    pub(crate) async fn events(&self) -> Vec<OutboxRow> {
        let outbox = self.seats.outbox();
        let mut events = Vec::new();
        for (shard, _) in outbox.newest().await.unwrap() {
            events.extend(outbox.read(shard, 0, 1_000).await.unwrap());
        }
        events
    }

    /// Returns the events of an aggregate, in order.
    pub(crate) async fn events_of(&self, aggregate: &str) -> Vec<OutboxRow> {
        let events = self.events().await.into_iter();
        events.filter(|row| row.aggregate_id == aggregate).collect()
    }

    /// Returns the types of the events of an aggregate, in order.
    pub(crate) async fn types_of(&self, aggregate: &str) -> Vec<String> {
        let events = self.events_of(aggregate).await.into_iter();
        events.map(|row| row.event_type).collect()
    }

    async fn ask(&self, fan: &SessionKeys, order: &Order) -> PaymentRef {
        let id = &order.payment.id;
        let begun = self.seats.begin_payment(fan.clone(), id, None);
        match begun.await.unwrap() {
            Begun::Ask(payment) => payment,
            Begun::Replayed(_) => panic!("it was answered before"),
        }
    }

    /// Has the store refuse tickets, or take them again.
    fn refuse_tickets(&self, are_refused: bool) {
        let postgres = if are_refused {
            "create function public.no() returns trigger language plpgsql as 'begin raise exception ''no''; end';
             create trigger no before insert on fairline.ticket for each row execute function public.no()"
        } else {
            "drop trigger no on fairline.ticket; drop function public.no()"
        };
        let sqlite = if are_refused {
            "create trigger no before insert on ticket begin select raise(abort, 'no'); end"
        } else {
            "drop trigger no"
        };
        self.change_store(postgres, sqlite);
    }
}

fn payload<T: DeserializeOwned>(row: &OutboxRow) -> T {
    serde_json::from_str(&row.payload).unwrap()
}

/// Events of an order of two seats that is paid for.
pub(crate) const SOLD: [&str; 4] = [
    "payment.captured",
    "order.confirmed",
    "ticket.issued",
    "ticket.issued",
];

#[tokio::test]
async fn a_paid_order_gives_its_events_once_and_in_order() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let hold = bench
            .hold(&ada, named(&["st-A-1", "st-A-2"]))
            .await
            .unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        assert_eq!(bench.types_of(&order.id).await, [""; 0]);
        let payment = bench.ask(&ada, &order).await;
        for _ in 0..2 {
            let settled = bench.seats.settle(&payment, Verdict::Captured, None);
            settled.await.unwrap();
        }
        assert_eq!(bench.types_of(&order.id).await, SOLD);
        let events = bench.events_of(&order.id).await;
        let mut ids: Vec<&str> = events.iter().map(|row| row.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4);
        for row in &events {
            assert!(row.id.starts_with("evt_"));
            assert_eq!(
                (row.aggregate_type.as_str(), row.event.as_str(), row.at),
                ("order", "arena", START)
            );
        }
        let captured: PaymentPayload = payload(&events[0]);
        assert_eq!(
            (captured.payment.as_str(), captured.amount.amount),
            (payment.id.as_str(), 9000)
        );
        let confirmed: OrderPayload = payload(&events[1]);
        assert_eq!((confirmed.schema, &confirmed.order), (1, &order.id));
        assert_eq!(
            (
                confirmed.seats.len(),
                confirmed.total.amount,
                confirmed.tickets.len()
            ),
            (2, 9000, 2)
        );
        let issued: Vec<TicketPayload> = events[2..].iter().map(payload).collect();
        let sold = bench.see(&ada, &order).await.tickets.unwrap();
        for (ticket, issued) in sold.iter().zip(&issued) {
            assert_eq!((&ticket.id, &ticket.seat), (&issued.ticket, &issued.seat));
            assert_eq!(issued.order, order.id);
        }
        // Neither the buyer nor what opens a door.
        for row in bench.events().await {
            for secret in ["Ada", "ada@example.org", sold[0].code.as_str()] {
                assert!(!row.payload.contains(secret), "{}", row.payload);
            }
        }
    }
}

#[tokio::test]
async fn a_declined_card_and_a_capture_that_fails_issue_no_tickets() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        let declined = Verdict::Declined("insufficient_funds".into());
        let order = bench.pay(&ada, &order, declined).await.unwrap();
        let payment = bench.ask(&ada, &order).await;
        let settle = async |verdict| bench.seats.settle(&payment, verdict, None).await.unwrap();
        // The seats are booked, and the money is not taken after all.
        settle(Verdict::Authorised).await;
        let order = settle(Verdict::Declined("expired".into())).await;
        assert_eq!(
            bench.types_of(&order.id).await,
            ["payment.failed", "payment.failed"]
        );
        let failed: PaymentPayload = payload(&bench.events_of(&order.id).await[0]);
        assert_eq!(
            (failed.reason.as_deref(), failed.attempt),
            (Some("insufficient_funds"), 1)
        );
        bench.pay(&ada, &order, Verdict::Captured).await.unwrap();
        assert_eq!(bench.types_of(&order.id).await[2..], SOLD[..3]);
    }
}

#[tokio::test]
async fn money_that_goes_back_is_told_with_the_tickets_that_end() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2", "st-A-3"]).await;
        bench.refund(&order, Some(&["st-A-2"])).await;
        let events = bench.events_of(&order.id).await;
        let types = |rows: &[OutboxRow]| -> Vec<String> {
            rows.iter().map(|row| row.event_type.clone()).collect()
        };
        assert_eq!(types(&events[5..]), ["payment.refunded", "ticket.voided"]);
        let part: PaymentPayload = payload(&events[5]);
        assert_eq!(
            (part.refunded.amount, part.returned.unwrap().amount),
            (4500, 4500)
        );
        let voided: TicketPayload = payload(&events[6]);
        assert_eq!(voided.seat, "st-A-2");
        bench.refund(&order, None).await;
        let events = bench.events_of(&order.id).await;
        let rest = [
            "payment.refunded",
            "order.refunded",
            "ticket.voided",
            "ticket.voided",
        ];
        assert_eq!(types(&events[7..]), rest);
        let rest: PaymentPayload = payload(&events[7]);
        assert_eq!(
            (rest.refunded.amount, rest.returned.unwrap().amount),
            (13_500, 9000)
        );
    }
}

#[tokio::test]
async fn what_ends_without_money_is_told_by_how_it_ended() {
    for bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let (cleo, dan) = (bench.fan(3).await, bench.fan(4).await);
        let lapsing = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let given_back = bench.hold(&ben, named(&["st-A-2"])).await.unwrap();
        let released = bench.seats.release(ben.clone(), &given_back.id);
        released.await.unwrap();
        let hold = bench.hold(&cleo, named(&["st-A-3"])).await.unwrap();
        let cancelled = bench.order(&cleo, &hold).await.unwrap();
        let released = bench.seats.release(cleo.clone(), &hold.id);
        released.await.unwrap();
        let hold = bench.hold(&dan, named(&["st-A-4"])).await.unwrap();
        let late = bench.order(&dan, &hold).await.unwrap();
        bench.sweep_after(120 + SLACK_SECONDS).await;
        bench.sweep_after(600).await;
        assert_eq!(bench.types_of(&lapsing.id).await, ["hold.expired"]);
        let expired: HoldPayload = payload(&bench.events_of(&lapsing.id).await[0]);
        assert_eq!(
            (expired.seats[0].id.as_ref(), expired.expires_at),
            ("st-A-1", lapsing.expires_at)
        );
        assert_eq!(bench.types_of(&given_back.id).await, [""; 0]);
        assert_eq!(bench.types_of(&cancelled.id).await, ["order.cancelled"]);
        assert_eq!(bench.types_of(&late.id).await, ["order.expired"]);
        assert_eq!(bench.types_of(&hold.id).await, [""; 0]);
    }
}

#[tokio::test]
async fn an_event_tells_of_its_plan_its_rules_the_end_of_its_seats_and_its_own() {
    for bench in halls().await {
        let rules = |hold_seconds| RulesPatch {
            hold_seconds: Some(hold_seconds),
            max_seats_per_order: Some(16),
            max_seats_per_visitor: Some(16),
            ..RulesPatch::default()
        };
        for hold_seconds in [60, 60] {
            let set = bench.seats.set_rules(&bench.event, rules(hold_seconds));
            set.await.unwrap();
        }
        bench.seats.set_seating(&bench.event, hall()).await.unwrap();
        let told = ["event.published", "event.changed", "event.changed"];
        assert_eq!(bench.types_of("arena").await, told);
        let events = bench.events_of("arena").await;
        let [first, second] = [0, 1].map(|at| payload::<EventPayload>(&events[at]));
        let seating = first.seating.unwrap();
        assert_eq!(seating.capacity, 16);
        assert_eq!(seating.categories[1].seats, 4);
        assert_eq!(
            (second.seating, second.currency),
            (None, Some(Currency::EUR))
        );
        let ada = bench.fan(1).await;
        let rows = ["st-A-", "st-B-"].map(|row| (1..=6).map(move |n| format!("{row}{n}")));
        let floor = (1..=4).map(|n| format!("fl-{n}"));
        let all = rows.into_iter().flatten().chain(floor).collect();
        let hold = bench.hold(&ada, Wish::Seats(all)).await.unwrap();
        bench.show().await;
        let order = bench.order(&ada, &hold).await.unwrap();
        assert_eq!(bench.types_of("arena").await, told);
        bench.pay(&ada, &order, Verdict::Captured).await.unwrap();
        bench.show().await;
        bench.refund(&order, Some(&["st-A-1"])).await;
        bench.show().await;
        bench.refund(&order, Some(&["st-A-2"])).await;
        bench.show().await;
        let told = [&told[..], &["event.sold_out", "event.on_sale"]].concat();
        assert_eq!(bench.types_of("arena").await, told);
        let removed = bench.seats.remove(&bench.event).await;
        assert_eq!(removed, Err(Refused::HasOrders));
        assert_eq!(bench.types_of("arena").await, told);
        let other = shared::ids::EventId::parse("other").unwrap();
        bench.seats.set_seating(&other, hall()).await.unwrap();
        bench.seats.remove(&other).await.unwrap();
        assert_eq!(
            bench.types_of("other").await,
            ["event.published", "event.removed"]
        );
    }
}

#[tokio::test]
async fn what_is_refused_or_fails_gives_no_event_and_what_is_committed_outlives_the_process() {
    for mut bench in halls().await {
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let held = bench.hold(&ada, named(&["st-A-1", "st-A-2"])).await;
        let order = bench.order(&ada, &held.unwrap()).await.unwrap();
        let taken = bench.hold(&ben, named(&["st-A-1"])).await;
        assert!(taken.is_err());
        let before = bench.events().await;
        let payment = bench.ask(&ada, &order).await;
        bench.refuse_tickets(true);
        let failed = bench.seats.settle(&payment, Verdict::Captured, None).await;
        assert!(failed.is_err(), "{failed:?}");
        assert_eq!(bench.events().await, before);
        bench.refuse_tickets(false);
        let settled = bench.seats.settle(&payment, Verdict::Captured, None).await;
        assert_eq!(settled.unwrap().state, "confirmed");
        let events = bench.events().await;
        assert_eq!(events.len(), before.len() + SOLD.len());
        assert_eq!(bench.types_of(&order.id).await, SOLD);
        bench.reopen().await;
        assert_eq!(bench.events().await, events);
    }
}

#[tokio::test]
async fn of_two_nodes_that_settle_a_payment_one_tells_of_it() {
    for (here, there) in pairs().await {
        let ada = here.fan(1).await;
        let hold = here.hold(&ada, named(&["st-A-1", "st-A-2"])).await.unwrap();
        let order = here.order(&ada, &hold).await.unwrap();
        let payment = here.ask(&ada, &order).await;
        let settle = |bench: &'_ Bench| {
            let (seats, payment) = (bench.seats.clone(), payment.clone());
            async move { seats.settle(&payment, Verdict::Captured, None).await }
        };
        let (one, other) = tokio::join!(settle(&here), settle(&there));
        assert_eq!(one.unwrap().state, other.unwrap().state);
        assert_eq!(here.types_of(&order.id).await, SOLD);
    }
}
