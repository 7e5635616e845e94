//! The events that follow from the changes of a decision.

use super::payload::{
    EventPayload, HoldPayload, OrderPayload, OutboxEntry, PaymentPayload, SCHEMA_VERSION,
    TicketPayload, TicketSeat,
};
use super::{CategorySummary, EventType, SeatingSummary};
use crate::inventory::Layout;
use crate::inventory::commands::{UnitOfWork, json};
use crate::inventory::door_ticket::IssuedTicket;
use crate::inventory::model::{Currency, HoldState, Money, PaymentState};
use crate::inventory::records::{
    ChangeSet, HoldChange, OrderRow, OrderState, OrderTicket, PaymentChange, PaymentRow, TicketRow,
};
use crate::inventory::rules::Rules;
use serde::Serialize;
use shared::crypto::random_id;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use shared::trace::Parent;

/// Returns an event to be written.
fn entry(
    event_type: EventType,
    aggregate: &str,
    payload: &impl Serialize,
    at: Time,
) -> OutboxEntry {
    OutboxEntry {
        id: random_id("evt_"),
        event_type,
        aggregate: aggregate.to_owned(),
        payload: json(payload),
        traceparent: None,
        at,
    }
}

/// Returns an event about an event as a whole.
pub(in crate::inventory) fn about_event(
    event_type: EventType,
    event: &EventId,
    offer: Option<(Currency, Option<&Layout>)>,
    at: Time,
) -> OutboxEntry {
    let payload = EventPayload {
        schema: SCHEMA_VERSION,
        event: event.as_str().to_owned(),
        currency: offer.map(|(currency, _)| currency),
        seating: offer.and_then(|(currency, layout)| Some(summary(layout?, currency))),
        reason: None,
    };
    entry(event_type, event.as_str(), &payload, at)
}

/// Returns the event that tells of new selling rules: that the show was cancelled, or else that they
/// have changed; none if they have not.
pub(in crate::inventory) fn about_rules(
    event: &EventId,
    (before, after): (&Rules, &Rules),
    at: Time,
) -> Option<OutboxEntry> {
    if before == after {
        return None;
    }
    let cancelled = after.cancelled.as_ref();
    let Some(cancelled) = cancelled.filter(|_| before.cancelled.is_none()) else {
        let offer = Some((after.currency, None));
        return Some(about_event(EventType::EventChanged, event, offer, at));
    };
    let payload = EventPayload {
        schema: SCHEMA_VERSION,
        event: event.as_str().to_owned(),
        currency: None,
        seating: None,
        reason: Some(cancelled.reason.clone()),
    };
    let event_type = EventType::EventCancelled;
    Some(entry(event_type, event.as_str(), &payload, at))
}

/// Returns an event about a ticket at the door.
pub(in crate::inventory) fn about_ticket(
    event_type: EventType,
    event: &EventId,
    ticket: &IssuedTicket,
    visitor: VisitorId,
    at: Time,
) -> OutboxEntry {
    let payload = TicketPayload {
        schema: SCHEMA_VERSION,
        event: event.as_str().to_owned(),
        ticket: ticket.id.clone(),
        seat: ticket.seat.clone(),
        order: ticket.order.clone(),
        visitor,
        checked_in_at: ticket.used_at,
        door: ticket.door.clone(),
        moved: false,
    };
    entry(event_type, &ticket.order, &payload, at)
}

fn summary(layout: &Layout, currency: Currency) -> SeatingSummary {
    let mut seats = vec![0; layout.categories.len()];
    for seat in &layout.seats {
        if let Some(count) = seats.get_mut(seat.category as usize) {
            *count += 1;
        }
    }
    let categories = layout.categories.iter().zip(seats);
    let categories = categories.map(|(category, seats)| CategorySummary {
        id: category.id.to_string(),
        name: category.name.clone(),
        price: Money {
            amount: category.price,
            currency,
        },
        seats,
    });
    SeatingSummary {
        capacity: layout.seats.len() as u32,
        categories: categories.collect(),
    }
}

impl ChangeSet {
    /// Returns whether events can follow from it: none does from a hold alone.
    fn may_have_events(&self) -> bool {
        !(self.orders.is_empty()
            && self.new_orders.is_empty()
            && self.payments.is_empty()
            && self.tickets_void.is_empty()
            && self.holds.is_empty())
    }

    /// Returns the state of an order before the changes, and after them; `None` before it was made.
    fn transition(&self, order: &OrderRow) -> (Option<OrderState>, OrderState) {
        let is_new = self.new_orders.iter().any(|new| new.id == order.id);
        let mut changes = self.orders.iter();
        let before = match changes.find(|change| change.id == order.id) {
            _ if is_new => None,
            Some(change) => Some(change.from),
            None => Some(order.state),
        };
        (before, order.state)
    }
}

impl UnitOfWork<'_> {
    /// Adds the events that follow from the changes: of a payment first, then of its order, then of
    /// the tickets.
    ///
    /// Each event of an order comes with a change of the order's row, if only to the same state:
    /// two transactions with events of one order hold that row one after the other.
    pub(in crate::inventory) fn add_events(&mut self, trace: &Parent) {
        if !self.changes.may_have_events() {
            return;
        }
        let mut entries = Vec::new();
        self.payment_events(&mut entries);
        self.order_events(&mut entries);
        self.ticket_events(&mut entries);
        let expired =
            self.changes.holds.iter().filter(|change| {
                change.from == HoldState::Active && change.to == HoldState::Expired
            });
        entries.extend(expired.filter_map(|change| self.hold_expired(change)));
        for entry in &entries {
            let order = self.records.order(&entry.aggregate);
            let changed = &self.changes.orders;
            let is_changed = changed.iter().any(|change| change.id == entry.aggregate);
            if let Some(order) = order.filter(|_| !is_changed) {
                let (state, decline) = (order.state, order.decline.clone());
                self.set_order(&entry.aggregate, state, decline);
            }
        }
        let traceparent = trace.traceparent();
        for entry in &mut entries {
            entry.traceparent.clone_from(&traceparent);
        }
        self.changes.outbox = entries;
    }

    fn payment_events(&self, entries: &mut Vec<OutboxEntry>) {
        let new = self.changes.new_payments.iter();
        let none = Vec::new();
        let new = new.map(|new| (&new.order, PaymentState::Created, 0, &none, &new.payment));
        let changed = self.changes.payments.iter();
        let changed = changed.map(|change| {
            let PaymentChange {
                order,
                from,
                refunded,
                disputes,
                to,
                ..
            } = change;
            (order, *from, *refunded, disputes, to)
        });
        for (order, from, refunded, disputes, to) in new.chain(changed) {
            let mut add = |event_type: EventType, returned: Option<i64>| {
                let payload = self.payment_payload(order, to, event_type, returned);
                entries.push(entry(event_type, order, &payload, self.now));
            };
            if !is_taken(from) && is_taken(to.state) {
                add(EventType::PaymentCaptured, None);
            }
            let is_refunded = from != to.state && to.state == PaymentState::Refunded;
            if is_refunded || to.refunded > refunded {
                add(EventType::PaymentRefunded, Some(to.refunded - refunded));
            }
            match to.state {
                // Nothing is told of one that no fan began.
                PaymentState::Failed if from != to.state && to.begun_at.is_some() => {
                    add(EventType::PaymentFailed, None)
                }
                PaymentState::Voided if from != to.state => add(EventType::PaymentVoided, None),
                _ => {}
            }
            let disputed = to
                .disputes
                .iter()
                .filter(|dispute| dispute.has_news(disputes));
            for dispute in disputed {
                let event_type = EventType::PaymentDisputed;
                let mut payload = self.payment_payload(order, to, event_type, None);
                payload.dispute = Some(dispute.report.clone());
                let Money { currency, .. } = to.amount;
                let id = &dispute.report.id;
                let before = disputes.iter().find(|before| before.report.id == *id);
                let before = before.map_or(0, |before| before.charged_back(currency));
                let amount = dispute.charged_back(currency) - before;
                payload.charged_back = (amount != 0).then_some(Money { amount, currency });
                entries.push(entry(event_type, order, &payload, self.now));
            }
        }
    }

    fn payment_payload(
        &self,
        order: &str,
        row: &PaymentRow,
        event_type: EventType,
        returned: Option<i64>,
    ) -> PaymentPayload {
        let money = |amount: i64| Money {
            amount,
            ..row.amount
        };
        let declined = self.records.order(order);
        let declined = declined.filter(|order| order.state == OrderState::Declined);
        let reason = declined.and_then(|order| order.decline.clone());
        PaymentPayload {
            schema: SCHEMA_VERSION,
            event: self.event_state.event.as_str().to_owned(),
            payment: row.id.clone(),
            order: order.to_owned(),
            provider: row.provider.as_str().to_owned(),
            reference: row.reference.clone(),
            attempt: row.attempt,
            amount: row.amount,
            refunded: money(row.refunded),
            returned: returned.map(money),
            reason: reason.filter(|_| event_type == EventType::PaymentFailed),
            dispute: None,
            charged_back: None,
        }
    }

    fn order_events(&self, entries: &mut Vec<OutboxEntry>) {
        let new = self.changes.new_orders.iter().map(|new| &new.id);
        let changed = self.changes.orders.iter().map(|change| &change.id);
        for order in new.chain(changed) {
            let Some(order) = self.records.order(order) else {
                continue;
            };
            let (before, after) = self.changes.transition(order);
            if before == Some(after) {
                continue;
            }
            let event_type = match after {
                // A refund that was withdrawn: nothing has changed for the buyer.
                OrderState::Confirmed if before == Some(OrderState::Refunding) => continue,
                OrderState::Confirmed => EventType::OrderConfirmed,
                OrderState::Refunded => EventType::OrderRefunded,
                OrderState::Cancelled => EventType::OrderCancelled,
                OrderState::Expired => EventType::OrderExpired,
                _ => continue,
            };
            let payload = self.order_payload(order);
            entries.push(entry(event_type, &order.id, &payload, self.now));
            if event_type == EventType::OrderConfirmed {
                let issued = order.tickets.iter();
                let issued = issued.filter_map(|ticket| {
                    let payload = self.ticket_payload(&order.id, ticket)?;
                    Some(entry(
                        EventType::TicketIssued,
                        &order.id,
                        &payload,
                        self.now,
                    ))
                });
                entries.extend(issued);
            }
        }
    }

    fn order_payload(&self, order: &OrderRow) -> OrderPayload {
        let payment = order.payment();
        let is_confirmed = order.state == OrderState::Confirmed;
        let tickets = order.tickets.iter().filter(|_| is_confirmed);
        OrderPayload {
            schema: SCHEMA_VERSION,
            event: self.event_state.event.as_str().to_owned(),
            order: order.id.clone(),
            visitor: order.visitor,
            seats: order.seats.clone(),
            total: order.total,
            refunded: Money {
                amount: payment.refunded,
                ..order.total
            },
            payment: payment.id.clone(),
            provider: payment.provider.as_str().to_owned(),
            tickets: tickets
                .filter_map(|ticket| {
                    Some(TicketSeat {
                        id: ticket.id.clone(),
                        seat: self.seat_name(ticket.seat)?,
                    })
                })
                .collect(),
            created_at: order.created_at,
            again: is_confirmed && self.has_other_confirmed(order),
        }
    }

    fn has_other_confirmed(&self, order: &OrderRow) -> bool {
        let mut orders = self.records.orders.iter();
        orders.any(|other| other.id != order.id && other.state == OrderState::Confirmed)
    }

    /// Adds the tickets that are not valid any more, and those that an order got in place of them. Those
    /// of an order that was booked and then not paid for never were valid.
    fn ticket_events(&self, entries: &mut Vec<OutboxEntry>) {
        for OrderTicket { order, ticket } in &self.changes.tickets_void {
            let Some(row) = self.records.order(order) else {
                continue;
            };
            let (before, _) = self.changes.transition(row);
            let was_issued = matches!(before, Some(OrderState::Confirmed | OrderState::Refunding));
            if let Some(mut payload) = self.ticket_payload(order, ticket).filter(|_| was_issued) {
                payload.moved = self.moves_tickets(row);
                entries.push(entry(EventType::TicketVoided, order, &payload, self.now));
            }
        }
        for OrderTicket { order, ticket } in &self.changes.new_tickets {
            let row = self.records.order(order);
            let is_moved = row.is_some_and(|row| self.moves_tickets(row));
            if let Some(mut payload) = self.ticket_payload(order, ticket).filter(|_| is_moved) {
                payload.moved = true;
                entries.push(entry(EventType::TicketIssued, order, &payload, self.now));
            }
        }
    }

    /// Returns whether tickets of an order are replaced by others. Those of an order that is confirmed
    /// just now are new, and are told with it.
    fn moves_tickets(&self, order: &OrderRow) -> bool {
        let confirmed = OrderState::Confirmed;
        let stays_confirmed = self.changes.transition(order) == (Some(confirmed), confirmed);
        let mut new = self.changes.new_tickets.iter();
        stays_confirmed && new.any(|ticket| ticket.order == order.id)
    }

    fn ticket_payload(&self, order: &str, ticket: &TicketRow) -> Option<TicketPayload> {
        Some(TicketPayload {
            schema: SCHEMA_VERSION,
            event: self.event_state.event.as_str().to_owned(),
            ticket: ticket.id.clone(),
            seat: self.seat_name(ticket.seat)?,
            order: order.to_owned(),
            visitor: self.records.order(order)?.visitor,
            checked_in_at: None,
            door: None,
            moved: false,
        })
    }

    fn seat_name(&self, seat: u32) -> Option<String> {
        let plan = self.event_state.plan.as_ref()?;
        let seat = plan.layout.seats.get(seat as usize)?;
        Some(seat.id.to_string())
    }

    fn hold_expired(&self, change: &HoldChange) -> Option<OutboxEntry> {
        let hold = self.records.hold(&change.id)?;
        let payload = HoldPayload {
            schema: SCHEMA_VERSION,
            event: self.event_state.event.as_str().to_owned(),
            hold: hold.id.clone(),
            visitor: self.records.visitor?,
            seats: hold.seats.clone(),
            total: hold.total,
            expires_at: hold.expires_at,
        };
        Some(entry(EventType::HoldExpired, &hold.id, &payload, self.now))
    }
}

/// Returns whether the money of a payment has been taken, whatever became of it since.
fn is_taken(state: PaymentState) -> bool {
    matches!(
        state,
        PaymentState::Captured | PaymentState::Refunding | PaymentState::Refunded
    )
}
