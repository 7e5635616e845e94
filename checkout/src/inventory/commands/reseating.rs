//! Commands that move tickets of a confirmed order to other seats.

use super::UnitOfWork;
use crate::inventory::charges::{ChargeLine, total};
use crate::inventory::event_state::Plan;
use crate::inventory::layout::NOWHERE;
use crate::inventory::model::*;
use crate::inventory::payment_row::DifferenceRow;
use crate::inventory::payment_state::PaymentEvent;
use crate::inventory::records::{Exchanged, OrderRow, OrderState, Owner, RefundRow, TicketRow};
use crate::inventory::reseat::{DifferenceSettlement, Reseat, Reseated, ReseatedTicket, SeatMove};
use shared::http::idempotency::Attempt;
use std::collections::HashSet;
use std::sync::Arc;

/// A move with its seats by their indices in the layout.
struct PlacedMove {
    from: u32,
    to: u32,
    /// State of the new seat.
    state: SeatState,
}

impl UnitOfWork<'_> {
    /// Moves tickets if the difference in price is the one that was confirmed, or shows it.
    pub(in crate::inventory) fn reseat(
        &mut self,
        id: &str,
        reseat: &Reseat,
        attempt: Option<&Attempt>,
    ) -> Result<Once<Reseated>, Refused> {
        let Some((expected, settlement)) = reseat.confirmed else {
            let (_, value) = self.plan_reseat(id, reseat)?;
            return Ok(Once {
                value,
                is_replayed: false,
            });
        };
        self.once(attempt, |work| {
            let (placed, mut reseated) = work.plan_reseat(id, reseat)?;
            if reseated.difference != expected {
                return Err(Refused::ReseatDiffers(Box::new(reseated)));
            }
            check_settlement(reseated.difference, settlement)?;
            if settlement != Some(DifferenceSettlement::Refund) {
                reseated.refund.amount = 0;
            }
            reseated.done = true;
            work.move_tickets(id, &placed, &reseated.tickets);
            work.note_reseat(id, &reseated);
            work.begin_difference_refund(id, &reseated);
            Ok(reseated)
        })
    }

    /// Returns the refund of an order that is under way.
    pub(in crate::inventory) fn open_refund_of(&self, id: &str) -> Option<PaymentRef> {
        let payment = self.records.order(id)?.payment();
        let payment = self.payment_ref(id, payment);
        payment.refund.is_some().then_some(payment)
    }

    /// Checks a reseat, and returns its seats and what it comes to.
    fn plan_reseat(
        &self,
        id: &str,
        reseat: &Reseat,
    ) -> Result<(Vec<PlacedMove>, Reseated), Refused> {
        let order = self.records.order(id).ok_or(Refused::NoSuchOrder)?;
        self.check_goes_on()?;
        if order.state != OrderState::Confirmed {
            return Err(Refused::OrderState(order.state.as_str().to_owned()));
        }
        let payment = order.payment();
        if payment.is_left_alone() {
            return Err(Refused::InReview);
        }
        if payment.state != PaymentState::Captured {
            return Err(Refused::PaymentRunning);
        }
        let plan = self.plan()?;
        check_named_once(&reseat.moves)?;
        let placed = place(plan, order, reseat)?;
        let moves = reseat.moves.iter().zip(&placed);
        let tickets: Vec<ReseatedTicket> = moves
            .map(|(wanted, placed)| self.price_move(plan, order, wanted, placed))
            .collect();
        check_one_way(&tickets)?;
        let currency = order.total.currency;
        let money = |amount| Money { amount, currency };
        let difference: i64 = tickets.iter().map(|moved| moved.difference.amount).sum();
        let left = payment.left() - self.event_state.kept(&order.lines);
        let reseated = Reseated {
            tickets,
            difference: money(difference),
            refund: money((-difference).clamp(0, left.max(0))),
            done: false,
        };
        Ok((placed, reseated))
    }

    /// Returns a move with its prices. Within the category that it was sold in a ticket costs what it
    /// was sold for, whatever the price is now.
    fn price_move(
        &self,
        plan: &Plan,
        order: &OrderRow,
        wanted: &SeatMove,
        placed: &PlacedMove,
    ) -> ReseatedTicket {
        let currency = order.total.currency;
        let money = |amount| Money { amount, currency };
        let show = |lines: &[ChargeLine]| lines.iter().map(|line| line.show(currency)).collect();
        let sold = order.seats.iter().find(|seat| *seat.id == *wanted.from);
        let sold = sold.expect("the seat was just found");
        let sold_lines = self.event_state.ticket_lines(order, sold);
        let mut next = plan.priced(&[placed.to], currency).remove(0);
        let to_label = next.label.to_string();
        let charges = &self.event_state.rules.charges;
        let costs = if next.category == sold.category {
            sold_lines.clone()
        } else {
            charges
                .prices
                .set_as_sold(&mut next, sold.ticket_type.as_deref());
            if order.payment().provider == ProviderId::Comp {
                next.price.amount = 0;
            }
            charges.ticket(&next, &self.event_state.category_name(&next.category))
        };
        let paid = order.worth(sold);
        ReseatedTicket {
            from: wanted.from.clone(),
            from_label: plan.layout.label(&plan.layout.seats[placed.from as usize]),
            to: wanted.to.clone(),
            to_label,
            sold_for: show(&sold_lines),
            paid: money(paid),
            difference: money(total(&costs) - paid),
            costs: show(&costs),
        }
    }

    /// Books the new seats, frees the old ones, and gives the order other tickets for them. They keep the
    /// category, the type and the price that they were sold for.
    fn move_tickets(&mut self, id: &str, placed: &[PlacedMove], tickets: &[ReseatedTicket]) {
        let order = self.order_row(id);
        let hold = order.hold.clone();
        let is_moved =
            |ticket: &mut TicketRow| placed.iter().any(|moved| moved.from == ticket.seat);
        let void: Vec<TicketRow> = order.tickets.extract_if(.., is_moved).collect();
        self.void(id, void);
        self.changes.voids_only_unused = true;
        let from = placed.iter().map(|moved| moved.from).collect();
        self.free_seats(&hold, SeatState::Booked, from);
        for moved in placed {
            self.book_seat(id, moved.to, Owner::none(moved.state));
        }
        self.rename_seats(id, &hold, tickets);
    }

    /// Records that an order and its hold have other seats now.
    fn rename_seats(&mut self, id: &str, hold: &Arc<str>, tickets: &[ReseatedTicket]) {
        let order = self.order_row(id);
        let mut seats = Vec::clone(&order.seats);
        for seat in &mut seats {
            if let Some(moved) = tickets.iter().find(|moved| *moved.from == *seat.id) {
                seat.id = moved.to.as_str().into();
                seat.label = moved.to_label.as_str().into();
            }
        }
        let seats = Arc::new(seats);
        order.seats = seats.clone();
        let (state, decline) = (order.state, order.decline.clone());
        self.set_order(id, state, decline);
        let changed = self.changes.orders.iter_mut();
        for change in changed.filter(|change| change.id == id) {
            change.seats = Some(seats.clone());
        }
        self.set_hold(hold, HoldState::Converted, None);
        for row in &mut self.records.holds {
            if row.id == *hold {
                row.seats = seats.clone();
            }
        }
        let plan = self.event_state.plan.as_ref();
        let places = plan.map_or_else(Vec::new, |plan| plan.known_places(&seats));
        let changed = self.changes.holds.iter_mut();
        for change in changed.filter(|change| change.id == *hold) {
            let (seats, places) = (seats.clone(), places.clone());
            change.exchanged = Some(Exchanged { seats, places });
        }
    }

    /// Adds the moves to the history of the payment, and has what was given back for a seat before
    /// belong to its new one. The change of the payment refuses nodes that know the order as it was.
    fn note_reseat(&mut self, id: &str, reseated: &Reseated) {
        let moves = reseated.tickets.iter();
        let moves: Vec<String> = moves
            .map(|moved| format!("{} was moved to {}", moved.from, moved.to))
            .collect();
        let mut note = moves.join(", ");
        let amount = reseated.difference.amount;
        if amount != 0 && reseated.refund.amount == 0 {
            let money = Money {
                amount: amount.abs(),
                ..reseated.difference
            };
            let (money, more) = (money.for_people(), if amount > 0 { "more" } else { "less" });
            note.push_str(&format!("; it costs {money} {more}, which was waived"));
        }
        let (now, payment) = (self.now, self.order_row(id).payment().id.clone());
        self.change_payment(id, &payment, |row| {
            row.note(now, Some(note));
            for known in row.refunds.iter_mut().flat_map(|row| &mut row.differences) {
                let moved = reseated
                    .tickets
                    .iter()
                    .find(|moved| moved.from == known.seat);
                if let Some(moved) = moved {
                    known.seat.clone_from(&moved.to);
                }
            }
        });
    }

    /// Begins the refund of the difference, as far as the payment leaves it.
    fn begin_difference_refund(&mut self, id: &str, reseated: &Reseated) {
        let mut left = reseated.refund.amount;
        if left == 0 {
            return;
        }
        let mut differences = Vec::new();
        for moved in &reseated.tickets {
            let amount = (-moved.difference.amount).clamp(0, left);
            left -= amount;
            if amount > 0 {
                let seat = moved.to.clone();
                differences.push(DifferenceRow { seat, amount });
            }
        }
        let payment = self.order_row(id).payment().id.clone();
        self.change_payment(id, &payment, |row| {
            row.refunds.push(RefundRow {
                differences,
                ..row.new_refund(reseated.refund.amount)
            });
        });
        self.advance(id, &payment, PaymentEvent::RefundBegun);
    }
}

impl Plan {
    /// Returns the layout indices of seats; `NOWHERE` for one that the plan does not have.
    fn known_places(&self, seats: &[SeatPrice]) -> Vec<u32> {
        let place = |seat: &SeatPrice| self.layout.find(&seat.id).unwrap_or(NOWHERE);
        seats.iter().map(place).collect()
    }
}

/// Checks that no seat is named twice.
fn check_named_once(moves: &[SeatMove]) -> Result<(), Refused> {
    let mut named = HashSet::new();
    let mut mistakes = Vec::new();
    for (at, wanted) in moves.iter().enumerate() {
        for (field, seat) in [("from", &wanted.from), ("to", &wanted.to)] {
            if !named.insert(seat) {
                let why = format!("'{seat}' is named twice");
                mistakes.push((format!("seats[{at}].{field}"), why));
            }
        }
    }
    if moves.is_empty() {
        mistakes.push((
            "seats".to_owned(),
            "at least one seat of the order".to_owned(),
        ));
    }
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(Refused::Invalid(mistakes)),
    }
}

/// Checks that not some seats cost more and others less: what is given back is noted for the seat that
/// costs less, and another that costs more would not be part of it.
fn check_one_way(tickets: &[ReseatedTicket]) -> Result<(), Refused> {
    let mut differences = tickets.iter().map(|moved| moved.difference.amount);
    if differences.clone().any(|amount| amount < 0) && differences.any(|amount| amount > 0) {
        let why = "some of the new seats cost more and others less: move them one after the other";
        return Err(Refused::Invalid(vec![("seats".to_owned(), why.to_owned())]));
    }
    Ok(())
}

/// Finds the seats of a reseat: those of the order with tickets that were not used, and free ones.
fn place(plan: &Plan, order: &OrderRow, reseat: &Reseat) -> Result<Vec<PlacedMove>, Refused> {
    let given_back: Vec<u32> = order.payment().seats_given_back().collect();
    let ticket = |id: &str| {
        let seat = plan.layout.find(id)?;
        let mut tickets = order.tickets.iter();
        let own = tickets.find(|ticket| ticket.seat == seat && !given_back.contains(&seat))?;
        let is_listed = order.seats.iter().any(|priced| *priced.id == *id);
        is_listed.then_some(own)
    };
    let (mut unknown, mut used, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    let mut placed = Vec::new();
    for wanted in &reseat.moves {
        let (own, to) = (ticket(&wanted.from), plan.layout.find(&wanted.to));
        let (Some(own), Some(to)) = (own, to) else {
            let missing = if own.is_none() {
                &wanted.from
            } else {
                &wanted.to
            };
            unknown.push(missing.clone());
            continue;
        };
        if own.is_used {
            used.push(wanted.from.clone());
        }
        let state = plan.states.seats[to as usize];
        let is_free = match state {
            SeatState::Available => true,
            SeatState::Blocked => reseat.takes_blocked,
            _ => false,
        };
        if given_back.contains(&to) {
            let why = format!("'{}' was of this order and was given back", wanted.to);
            return Err(Refused::Invalid(vec![("seats".to_owned(), why)]));
        }
        if !is_free {
            taken.push(wanted.to.clone());
        }
        placed.push(PlacedMove {
            from: own.seat,
            to,
            state,
        });
    }
    if !unknown.is_empty() {
        return Err(Refused::UnknownSeats(unknown));
    }
    if !used.is_empty() {
        return Err(Refused::SeatsUsed(used));
    }
    if !taken.is_empty() {
        return Err(Refused::SeatsTaken(taken));
    }
    let wanted: Vec<String> = reseat.moves.iter().map(|moved| moved.to.clone()).collect();
    plan.check_for_sale(&wanted)?;
    Ok(placed)
}

/// Checks that a difference is settled in a way that there is: no card is charged again.
fn check_settlement(
    difference: Money,
    settlement: Option<DifferenceSettlement>,
) -> Result<(), Refused> {
    let money = Money {
        amount: difference.amount.abs(),
        ..difference
    };
    let money = money.for_people();
    let why = match (difference.amount, settlement) {
        (0, _) | (_, Some(DifferenceSettlement::Waive)) => return Ok(()),
        (..0, Some(DifferenceSettlement::Refund)) => return Ok(()),
        (..0, None) => format!("the seats cost {money} less: 'refund' or 'waive'"),
        (1.., _) => format!(
            "the seats cost {money} more, and no card is charged again: 'waive' moves the tickets without charge"
        ),
    };
    Err(Refused::Invalid(vec![("settlement".to_owned(), why)]))
}
