//! The stored records and the provider's, changed by the real decisions.

use super::super::{NewOrder, UnitOfWork};
use crate::inventory::best_available::SeatIndex;
use crate::inventory::engine::VOIDING_MS_MAX;
use crate::inventory::event_state::{EventState, Plan};
use crate::inventory::layout::{Layout, parse};
use crate::inventory::model::*;
use crate::inventory::purchase::Purchase;
use crate::inventory::records::{NEVER, SessionRow, VisitorRecords};
use crate::inventory::reseat::{Reseat, SeatMove};
use crate::inventory::reviewing::Settling;
use crate::inventory::rules::Rules;
use crate::inventory::seat_map::{PublishedLayout, SeatMap, VersionStamp};
use shared::crypto::random_id;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const BUYERS: usize = 2;
/// Attempts of each buyer to pay; more are not made.
pub(super) const ATTEMPTS_MAX: usize = 2;
/// Price of each seat.
pub(super) const PRICE: i64 = 100;

/// State of a payment at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum AtProvider {
    Waiting,
    Declined,
    Reserved,
    Taken { given_back: i64 },
    Cancelled,
}

/// A step of a buyer, the provider or the checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A buyer holds and orders the seats they want.
    Order(usize),
    /// … lets them go.
    Release(usize),
    /// … pays, with this attempt: the provider reserves the money.
    Pay(usize, usize),
    /// … is declined.
    Decline(usize, usize),
    /// The time to pay is over, or the hard cap.
    TimePasses,
    /// The sweep looks at an order.
    Sweep(usize),
    /// A step at the provider whose outcome is recorded.
    Step(usize, usize),
    /// A step at the provider of which the answer is lost, or whose process dies.
    StepLost(usize, usize),
    /// A webhook or a look-up: how the payment is at the provider.
    Look(usize, usize),
    /// An old webhook: the money was reserved.
    LookBack(usize, usize),
    /// An organiser refunds an order: one seat, or all.
    Refund(usize, bool),
    /// An organiser moves the ticket of this seat to the other one.
    Reseat(usize, usize),
    /// The provider refuses the next step, so that the payment needs a look; once.
    Refuse(usize, usize),
    /// An organiser settles it.
    Settle(usize, usize, Settlement),
    /// Anyone else takes or leaves a seat that is not the buyer's.
    Others(usize, SeatState),
}

/// The stored records, and the provider's.
#[derive(Clone, Debug)]
pub(super) struct World {
    layout: Arc<Layout>,
    seats: Vec<(SeatState, i64)>,
    /// Whether anyone but the buyers has a seat.
    is_others: Vec<bool>,
    records: [VisitorRecords; BUYERS],
    now: Time,
    provider: BTreeMap<String, AtProvider>,
    /// Payments whose money was reserved once.
    was_reserved: Vec<String>,
    has_refused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ShownWorld {
    pub(super) now: i64,
    pub(super) has_refused: bool,
    pub(super) seats: Vec<u8>,
    pub(super) is_others: Vec<bool>,
    pub(super) orders: Vec<ShownOrder>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ShownOrder {
    pub(super) state: &'static str,
    pub(super) tickets: Vec<u32>,
    pub(super) payments: Vec<ShownPayment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ShownPayment {
    pub(super) state: PaymentState,
    pub(super) amount: i64,
    pub(super) is_known: bool,
    pub(super) refunded: i64,
    pub(super) open_refund: i64,
    pub(super) provider: Option<AtProvider>,
    pub(super) was_reserved: bool,
    pub(super) review: bool,
}

fn event() -> EventId {
    EventId::parse("e").unwrap()
}

impl World {
    pub(super) fn new() -> World {
        let plan = br#"{"categories": [{"id": "c", "name": "C", "price": 100}],
            "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 2}]}"#;
        let records = [1_u8, 2].map(|number| VisitorRecords {
            visitor: Some(VisitorId(u128::from(number))),
            sessions: vec![SessionRow {
                key: [number; 32],
                visitor: VisitorId(u128::from(number)),
                number: u64::from(number),
                jti: String::new(),
                token: String::new(),
                expires_at: Time(i64::MAX),
                is_over: false,
                report: 0,
            }],
            ..VisitorRecords::default()
        });
        World {
            layout: Arc::new(parse(plan).unwrap()),
            seats: vec![(SeatState::Available, 0); 2],
            is_others: vec![false; 2],
            records,
            now: Time(0),
            provider: BTreeMap::new(),
            was_reserved: Vec::new(),
            has_refused: false,
        }
    }

    fn event_state(&self) -> EventState {
        let rules = Rules::default();
        let published = PublishedLayout {
            layout: self.layout.clone(),
            version: 1,
            currency: rules.currency,
            charges: rules.charges.clone(),
            cancelled: None,
        };
        let states = self.seats.iter().map(|(state, _)| *state).collect();
        let stamp = VersionStamp {
            version: 1,
            at: Time(0),
        };
        let mut event_state = EventState::new(event(), rules, b"secret");
        event_state.plan = Some(Plan {
            layout: self.layout.clone(),
            states: SeatIndex::new(&self.layout, self.seats.clone()),
            seat_map: Arc::new(SeatMap::with_version(event(), published, states, stamp)),
        });
        event_state
    }

    /// Has a decision made and committed.
    fn decide<T>(
        &mut self,
        buyer: usize,
        decide: impl FnOnce(&mut UnitOfWork<'_>) -> Result<T, Refused>,
    ) -> Option<T> {
        let records = Box::new(self.records[buyer].clone());
        let mut event_state = self.event_state();
        let mut work = UnitOfWork::new(&mut event_state, records, self.now);
        let decided = decide(&mut work);
        let (changes, records) = (work.changes, work.records);
        let value = decided.ok()?;
        for seat in &changes.frozen {
            self.seats[*seat as usize].1 = NEVER;
        }
        // A store writes each row once.
        let mut changed: Vec<u32> = changes.seats.iter().map(|change| change.seat).collect();
        changed.sort_unstable();
        changed.dedup();
        assert_eq!(changed.len(), changes.seats.len(), "a seat changes twice");
        assert!(changes.holds.len() <= 1, "a hold changes twice");
        for change in &changes.seats {
            let seat = &mut self.seats[change.seat as usize];
            assert_eq!(seat.0, change.from.state, "the store would refuse it");
            let is_others = self.is_others[change.seat as usize];
            assert!(!is_others, "it is another's");
            *seat = (change.to.state, change.lapses_at);
        }
        self.records[buyer] = *records;
        Some(value)
    }

    fn due(&self, buyer: usize, attempt: usize) -> Option<DuePayment> {
        let order = self.records[buyer].orders.first()?;
        let row = order.payments.get(attempt)?;
        Some(DuePayment {
            payment: row.as_ref(event(), order.id.clone()),
            state: row.state,
        })
    }

    fn order_id(&self, buyer: usize) -> Option<String> {
        let order = self.records[buyer].orders.first()?;
        Some(order.id.clone())
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Order(buyer) => self.order(buyer),
            Action::Release(buyer) => {
                let hold = self.records[buyer]
                    .holds
                    .first()
                    .map(|hold| hold.id.clone());
                if let Some(hold) = hold {
                    self.decide(buyer, |work| work.release(&[buyer as u8 + 1; 32], &hold));
                }
            }
            Action::Pay(buyer, attempt) => {
                if let Some(due) = self.due(buyer, attempt)
                    && self.provider.get(&due.payment.id) == Some(&AtProvider::Waiting)
                {
                    self.was_reserved.push(due.payment.id.clone());
                    self.provider.insert(due.payment.id, AtProvider::Reserved);
                }
            }
            Action::Decline(buyer, attempt) => {
                if let Some(due) = self.due(buyer, attempt)
                    && self.provider.get(&due.payment.id) == Some(&AtProvider::Waiting)
                {
                    self.provider.insert(due.payment.id, AtProvider::Declined);
                }
            }
            Action::TimePasses => {
                self.now = if self.now.0 == 0 {
                    Time(600_000)
                } else {
                    Time(600_000 + VOIDING_MS_MAX)
                };
            }
            Action::Sweep(buyer) => {
                if let Some(id) = self.order_id(buyer) {
                    self.decide(buyer, |work| Ok(work.expire_order(&id)));
                }
            }
            Action::Step(buyer, attempt) => self.step(buyer, attempt, true),
            Action::StepLost(buyer, attempt) => self.step(buyer, attempt, false),
            Action::Look(buyer, attempt) => {
                if let Some(due) = self.due(buyer, attempt)
                    && let Some(known) = self.provider.get(&due.payment.id)
                {
                    let verdict = verdict(*known);
                    self.record(buyer, &due.payment, &verdict);
                }
            }
            Action::LookBack(buyer, attempt) => {
                if let Some(due) = self.due(buyer, attempt)
                    && self.was_reserved.contains(&due.payment.id)
                {
                    self.record(buyer, &due.payment, &Verdict::Authorised);
                }
            }
            Action::Refund(buyer, is_whole) => {
                if let Some(id) = self.order_id(buyer) {
                    let one = ["s-A-2".to_owned()];
                    let seats = (!is_whole).then_some(&one[..]);
                    self.decide(buyer, |work| work.begin_refund(&id, seats));
                }
            }
            Action::Reseat(buyer, from) => self.reseat(buyer, from),
            Action::Refuse(buyer, attempt) => self.refuse(buyer, attempt),
            Action::Settle(buyer, attempt, how) => self.settle(buyer, attempt, how),
            Action::Others(seat, to) => self.have_others(seat, to),
        }
    }

    fn reseat(&mut self, buyer: usize, from: usize) {
        let Some(id) = self.order_id(buyer) else {
            return;
        };
        let seats = ["s-A-1".to_owned(), "s-A-2".to_owned()];
        let nothing = Money {
            amount: 0,
            currency: Rules::default().currency,
        };
        let reseat = Reseat {
            moves: vec![SeatMove {
                from: seats[from].clone(),
                to: seats[1 - from].clone(),
            }],
            takes_blocked: false,
            confirmed: Some((nothing, None)),
        };
        self.decide(buyer, |work| work.reseat(&id, &reseat, None));
    }

    fn have_others(&mut self, seat: usize, to: SeatState) {
        let (state, lapses_at) = &mut self.seats[seat];
        if *state == SeatState::Available || self.is_others[seat] {
            (*state, *lapses_at) = (to, NEVER);
            self.is_others[seat] = to != SeatState::Available;
        }
    }

    fn refuse(&mut self, buyer: usize, attempt: usize) {
        if let Some(due) = self.due(buyer, attempt)
            && self.is_undone(buyer, &due)
            && !self.has_refused
        {
            self.has_refused = true;
            let verdict = Verdict::Contradiction("refused".into());
            self.record(buyer, &due.payment, &verdict);
        }
    }

    fn settle(&mut self, buyer: usize, attempt: usize, how: Settlement) {
        if let Some(due) = self.due(buyer, attempt) {
            let settling = Settling {
                order: due.payment.order,
                payment: due.payment.id,
                how,
                seats: Vec::new(),
            };
            self.decide(buyer, |work| work.settle_review(&settling));
        }
    }

    /// The first buyer wants both seats, the second the first one.
    fn order(&mut self, buyer: usize) {
        let key = [buyer as u8 + 1; 32];
        let wanted = if buyer == 0 {
            vec!["s-A-1".to_owned(), "s-A-2".to_owned()]
        } else {
            vec!["s-A-1".to_owned()]
        };
        let held = self.decide(buyer, |work| work.hold(&key, &Wish::Seats(wanted), None));
        let Some(hold) = held else { return };
        let person = Buyer {
            name: "N".into(),
            email: "n@example.org".into(),
        };
        self.decide(buyer, |work| {
            let new = NewOrder {
                id: &random_id("ord_"),
                purchase: &Purchase::of(&hold.value.id, person.clone()),
                provider: ProviderId::Stripe,
            };
            work.order(&key, &new, None)
        });
    }

    fn record(&mut self, buyer: usize, payment: &PaymentRef, verdict: &Verdict) {
        self.decide(buyer, |work| work.settle(payment, verdict, None));
    }

    /// Asks the provider for what is next, and records the outcome unless the answer is lost.
    fn step(&mut self, buyer: usize, attempt: usize, is_heard: bool) {
        let Some(due) = self.due(buyer, attempt) else {
            return;
        };
        let orders = &self.records[buyer].orders;
        if orders
            .iter()
            .any(|order| order.payments[attempt].review.is_some())
        {
            return;
        }
        let id = due.payment.id.clone();
        let known = self.provider.get(&id).copied();
        let next = match (due.state, known) {
            (PaymentState::Created, None) => AtProvider::Waiting,
            (PaymentState::Created, Some(known)) => known,
            (PaymentState::Capturing, Some(AtProvider::Reserved)) => {
                AtProvider::Taken { given_back: 0 }
            }
            (
                PaymentState::Voiding,
                Some(AtProvider::Waiting | AtProvider::Declined | AtProvider::Reserved),
            ) => AtProvider::Cancelled,
            (PaymentState::Refunding, Some(AtProvider::Taken { .. })) => {
                return self.refund(buyer, &due, is_heard);
            }
            (PaymentState::Capturing | PaymentState::Voiding, Some(known)) => known,
            _ => return,
        };
        self.provider.insert(id.clone(), next);
        if !is_heard {
            return;
        }
        if due.state == PaymentState::Created {
            let offer = Offer {
                reference: id,
                client_secret: "secret".into(),
            };
            self.decide(buyer, |work| work.offered(&due.payment, &offer));
        } else {
            self.record(buyer, &due.payment, &verdict(next));
        }
    }

    /// Returns whether the provider has not done the next step: what it did, it does not refuse.
    fn is_undone(&self, buyer: usize, due: &DuePayment) -> bool {
        let known = self.provider.get(&due.payment.id);
        let mut rows = self.records[buyer]
            .orders
            .iter()
            .flat_map(|order| &order.payments);
        let refunded = rows
            .find(|row| row.id == due.payment.id)
            .map(|row| row.refunded);
        match (due.state, known) {
            (PaymentState::Created, None) => true,
            (PaymentState::Capturing, Some(AtProvider::Reserved)) => true,
            (PaymentState::Voiding, Some(known)) => {
                !matches!(known, AtProvider::Taken { .. } | AtProvider::Cancelled)
            }
            (PaymentState::Refunding, Some(AtProvider::Taken { given_back })) => {
                Some(*given_back) == refunded
            }
            _ => false,
        }
    }

    /// Refunds once for each refund, whatever answers were lost.
    fn refund(&mut self, buyer: usize, due: &DuePayment, is_heard: bool) {
        let Some(refund) = &due.payment.refund else {
            return;
        };
        let row = &self.records[buyer].orders[0];
        let row = row.payments.iter().find(|row| row.id == due.payment.id);
        // The provider knows by the refund's key what was given back before.
        let goal = row.map_or(0, |row| row.refunded) + refund.amount;
        let taken = AtProvider::Taken { given_back: goal };
        self.provider.insert(due.payment.id.clone(), taken);
        if is_heard {
            self.decide(buyer, |work| work.refunded(&due.payment));
        }
    }

    pub(super) fn show(&self) -> ShownWorld {
        let orders = self.records.iter().map(|records| {
            let Some(order) = records.orders.first() else {
                return ShownOrder {
                    state: "none",
                    tickets: Vec::new(),
                    payments: Vec::new(),
                };
            };
            let payments = order.payments.iter().map(|row| ShownPayment {
                state: row.state,
                amount: row.amount.amount,
                is_known: row.reference.is_some(),
                refunded: row.refunded,
                open_refund: row.open_refund().map_or(0, |refund| refund.amount),
                provider: self.provider.get(&row.id).copied(),
                was_reserved: self.was_reserved.contains(&row.id),
                review: row.review.is_some(),
            });
            ShownOrder {
                state: order.state.as_str(),
                tickets: order.tickets.iter().map(|ticket| ticket.seat).collect(),
                payments: payments.collect(),
            }
        });
        ShownWorld {
            now: self.now.0,
            has_refused: self.has_refused,
            seats: self.seats.iter().map(|(state, _)| *state as u8).collect(),
            is_others: self.is_others.clone(),
            orders: orders.collect(),
        }
    }
}

fn verdict(known: AtProvider) -> Verdict {
    match known {
        AtProvider::Waiting => Verdict::RequiresAction,
        AtProvider::Declined => Verdict::Declined("card_declined".into()),
        AtProvider::Reserved => Verdict::Authorised,
        AtProvider::Taken { .. } => Verdict::Captured,
        AtProvider::Cancelled => Verdict::Voided,
    }
}
