//! Seats of an order that is paid: booked, or taken back.

use super::UnitOfWork;
use crate::inventory::best_available::SeatQuery;
use crate::inventory::event_state::Plan;
use crate::inventory::model::*;
use crate::inventory::payment_state::PaymentEvent;
use crate::inventory::records::{
    Exchanged, NEVER, OrderRow, OrderState, OrderTicket, Owner, SeatChange, TicketRow,
};
use crate::inventory::rules::LatePayment;
use shared::crypto::random_id;
use std::sync::Arc;

impl UnitOfWork<'_> {
    /// Confirms a new order that costs nothing: no provider is asked.
    pub(super) fn confirm_free(&mut self, id: &str) {
        let payment = self.order_row(id).payment().id.clone();
        self.advance(id, &payment, PaymentEvent::Captured);
        if self.book(id) {
            self.confirm(id);
        }
    }

    /// Takes the booking of an order back, as its money could not be taken: the seats are held for
    /// another attempt.
    pub(super) fn unbook(&mut self, id: &str) {
        let order = self.order_row(id);
        let hold = order.hold.clone();
        let tickets = std::mem::take(&mut order.tickets);
        for ticket in &tickets {
            self.give(SeatChange {
                seat: ticket.seat,
                from: Owner::hold(SeatState::Booked, &hold),
                to: Owner::hold(SeatState::Held, &hold),
                order: None,
                lapses_at: NEVER,
            });
        }
        self.void(id, tickets);
    }

    /// Records that tickets which an order has lost become void.
    pub(super) fn void(&mut self, id: &str, tickets: Vec<TicketRow>) {
        let void = tickets.into_iter().map(|ticket| OrderTicket {
            order: id.to_owned(),
            ticket,
        });
        self.changes.tickets_void.extend(void);
    }

    /// Books a seat for an order, which gets a ticket for it.
    pub(super) fn book_seat(&mut self, id: &str, seat: u32, from: Owner) {
        let hold = self.order_row(id).hold.clone();
        self.give(SeatChange {
            seat,
            from,
            to: Owner::hold(SeatState::Booked, &hold),
            order: Some(id.to_owned()),
            lapses_at: NEVER,
        });
        let ticket = TicketRow {
            seat,
            id: random_id("tix_"),
            is_used: false,
        };
        let tickets = &mut self.order_row(id).tickets;
        tickets.push(ticket.clone());
        tickets.sort_by_key(|ticket| ticket.seat);
        self.changes.new_tickets.push(OrderTicket {
            order: id.to_owned(),
            ticket,
        });
    }

    /// Books the seats of an order, all or none: those that its own hold has, which only the owner
    /// can change, or free ones, which are taken as by any other fan. None is booked once the show was
    /// cancelled.
    pub(super) fn book(&mut self, id: &str) -> bool {
        if self.event_state.is_cancelled() {
            return false;
        }
        let order = self
            .records
            .order(id)
            .expect("the order was just looked at");
        let (hold, is_held) = (order.hold.clone(), order.state.is_open());
        let Some(plan) = &self.event_state.plan else {
            return false;
        };
        let own = plan.places(&order.seats);
        let seats = match own.as_ref().filter(|_| !is_held) {
            Some(own) => self.late_seats(plan, order, own),
            None => own.clone(),
        };
        let Some(seats) = seats else { return false };
        let is_exchanged = own.as_ref() != Some(&seats);
        let from = if is_held {
            Owner::hold(SeatState::Held, &hold)
        } else {
            Owner::none(SeatState::Available)
        };
        for seat in &seats {
            self.book_seat(id, *seat, from.clone());
        }
        if !is_held {
            self.set_hold(&hold, HoldState::Converted, None);
            // The seats count again, so a hold that does not know of them must fail.
            let sequence = self.records.take_sequence();
            self.changes.sequences.push(sequence);
        }
        if is_exchanged {
            self.exchange(id, &hold, seats);
        }
        true
    }

    /// Returns the seats that late money buys for an order, by the policy of the event.
    fn late_seats(&self, plan: &Plan, order: &OrderRow, own: &[u32]) -> Option<Vec<u32>> {
        let policy = self.event_state.rules.late_payment;
        if policy == LatePayment::Void || !self.may_buy_late(order) {
            return None;
        }
        let is_free = |seat: &u32| plan.states.seats[*seat as usize] == SeatState::Available;
        if own.iter().all(is_free) {
            return Some(own.to_vec());
        }
        if policy == LatePayment::ExactSeats {
            return None;
        }
        let seats = self.best_of_same_categories(plan, own)?;
        self.as_ordered(plan, order, &seats).map(|_| seats)
    }

    /// Returns seats with the prices and ticket types of an order, category by category; `None` if they
    /// are of other categories, or cost another price by now.
    fn as_ordered(&self, plan: &Plan, order: &OrderRow, seats: &[u32]) -> Option<Vec<SeatPrice>> {
        let prices = &self.event_state.rules.charges.prices;
        let mut seats = plan.priced(seats, order.total.currency);
        prices.set(&mut seats);
        let mut ordered: Vec<&SeatPrice> = order.seats.iter().collect();
        for seat in &mut seats {
            let alike = |own: &&SeatPrice| own.category == seat.category;
            let sold = ordered.remove(ordered.iter().position(alike)?);
            if !prices.is_current(sold, seat) {
                return None;
            }
            seat.price = sold.price;
            seat.ticket_type.clone_from(&sold.ticket_type);
        }
        ordered.is_empty().then_some(seats)
    }

    /// Returns as many seats of each category, the best ones.
    fn best_of_same_categories(&self, plan: &Plan, own: &[u32]) -> Option<Vec<u32>> {
        let seat_of = |seat: &u32| &plan.layout.seats[*seat as usize];
        let mut categories: Vec<u16> = own.iter().map(|seat| seat_of(seat).category).collect();
        categories.sort_unstable();
        categories.dedup();
        let mut seats = Vec::with_capacity(own.len());
        for category in categories {
            let alike = own.iter().map(seat_of);
            let alike = alike.filter(|seat| seat.category == category);
            let query = SeatQuery {
                quantity: alike.clone().count() as u32,
                category: Some(category),
                is_accessible: alike.clone().any(|seat| seat.is_accessible),
                orphans: self.orphans(plan),
                peer: self.event_state.peer,
            };
            seats.extend(plan.states.best(&plan.layout, &query)?);
        }
        Some(seats)
    }

    /// Records that an order and its hold have other seats now.
    fn exchange(&mut self, id: &str, hold: &Arc<str>, places: Vec<u32>) {
        let plan = self.event_state.plan.as_ref();
        let plan = plan.expect("the seats were chosen from it");
        let order = self.records.order(id);
        let seats = order.and_then(|order| self.as_ordered(plan, order, &places));
        let seats = Arc::new(seats.expect("they were chosen for their prices"));
        let now = self.now;
        let row = self.order_row(id);
        let chosen = std::mem::replace(&mut row.seats, seats.clone());
        let (state, decline) = (row.state, row.decline.clone());
        let payment = row.payment().id.clone();
        let chosen = chosen.iter().map(|seat| seat.id.to_string()).collect();
        self.change_payment(id, &payment, |row| row.note_exchange(now, chosen));
        self.set_order(id, state, decline);
        let changed = self.changes.orders.iter_mut();
        for change in changed.filter(|change| change.id == id) {
            change.seats = Some(seats.clone());
        }
        for row in &mut self.records.holds {
            if row.id == *hold {
                row.seats = seats.clone();
            }
        }
        let changed = self.changes.holds.iter_mut();
        for change in changed.filter(|change| change.id == *hold) {
            let (seats, places) = (seats.clone(), places.clone());
            change.exchanged = Some(Exchanged { seats, places });
        }
    }

    /// Returns whether an order that expired may be booked after all: within the limit of its
    /// visitor, and unless the visitor bought, or is about to buy, something else instead.
    fn may_buy_late(&self, order: &OrderRow) -> bool {
        let rules = &self.event_state.rules;
        let seats = order.seats.len() as u32;
        let is_instead = |other: &&OrderRow| {
            other.id != order.id
                && (other.state == OrderState::Confirmed || other.state.is_open())
                && (other.session == order.session || other.created_at >= order.created_at)
        };
        self.records.seats_owned() + seats <= rules.max_seats_per_visitor
            && !self.records.orders.iter().any(|other| is_instead(&other))
    }
}
