//! Commands on holds: all of the seats or none, for a limited time.

use super::UnitOfWork;
use crate::inventory::best_available::SeatQuery;
use crate::inventory::charges::{self, Lines};
use crate::inventory::desk_visit::is_for_blocked;
use crate::inventory::event_state::{EventState, Plan};
use crate::inventory::model::*;
use crate::inventory::records::{HoldChange, HoldRow, Key, Owner, SeatChange, hold_id};
use crate::inventory::rules::Orphans;
use crate::inventory::seat_price::ChosenTypes;
use shared::http::idempotency::Attempt;
use shared::time::Time;
use std::sync::Arc;
use uuid::Uuid;

/// Divisor of a hold's length that gives its longest slack, the time from its end until others may
/// take its seats.
const SLACK_OF_LENGTH: u32 = 20;
const SLACK_MS_MAX: u32 = 5_000;
/// Largest number of holds a visitor may make in one event, including ended ones: each remains a
/// row that is read with the visitor's other records.
pub(in crate::inventory) const HOLDS_PER_VISITOR_MAX: u32 = 500;
/// Largest number of holds and unpaid orders that a visitor may have at one time.
const OPEN_HOLDS_PER_VISITOR_MAX: u32 = 50;
/// Divisor of the capacity: the end of the sale begins once fewer seats than the quotient are left.
const END_OF_SALE: u32 = 10;

impl Plan {
    /// Returns the seats with these ids, if all of them exist and are in this state.
    fn choose_named(&self, ids: &[String], state: SeatState) -> Result<Vec<u32>, Refused> {
        let unknown: Vec<String> = ids
            .iter()
            .filter(|id| self.layout.find(id).is_none())
            .cloned()
            .collect();
        if !unknown.is_empty() {
            return Err(Refused::UnknownSeats(unknown));
        }
        let mut seats: Vec<u32> = ids.iter().filter_map(|id| self.layout.find(id)).collect();
        seats.sort_unstable();
        seats.dedup();
        if seats.len() < ids.len() {
            let why = "a seat is named twice".to_owned();
            return Err(Refused::Invalid(vec![("seats".to_owned(), why)]));
        }
        let taken: Vec<String> = seats
            .iter()
            .filter(|seat| self.states.seats[**seat as usize] != state)
            .map(|seat| self.layout.seats[*seat as usize].id.to_string())
            .collect();
        if taken.is_empty() {
            Ok(seats)
        } else {
            Err(Refused::SeatsTaken(taken))
        }
    }
}

pub(in crate::inventory) fn show(event_state: &EventState, row: &HoldRow) -> Hold {
    Hold {
        id: row.id.clone(),
        event: event_state.event.clone(),
        state: row.state,
        seats: event_state.labelled(&row.seats),
        lines: event_state.lines(&row.lines, &row.seats, row.total.currency),
        total: row.total,
        expires_at: row.expires_at,
        kept_until: None,
    }
}

/// Shows a hold to its fan, with its cap while holds are kept longer.
pub(in crate::inventory) fn show_kept(
    event_state: &EventState,
    row: &HoldRow,
    are_kept_longer: bool,
) -> Hold {
    let is_kept = are_kept_longer && row.state == HoldState::Active;
    Hold {
        kept_until: is_kept.then_some(row.max_expires_at),
        ..show(event_state, row)
    }
}

impl UnitOfWork<'_> {
    pub(in crate::inventory) fn hold(
        &mut self,
        key: &Key,
        wish: &Wish,
        attempt: Option<&Attempt>,
    ) -> Result<Once<Hold>, Refused> {
        self.once(attempt, |work| {
            let session = work.session(key)?;
            work.check_goes_on()?;
            if session.is_over || session.expires_at <= work.now {
                return Err(Refused::SessionOver);
            }
            if work.records.next >= HOLDS_PER_VISITOR_MAX as i32 {
                return Err(Refused::TooManyHolds(HOLDS_PER_VISITOR_MAX));
            }
            if work.records.unpaid_holds().count() >= OPEN_HOLDS_PER_VISITOR_MAX as usize {
                return Err(Refused::TooManyOpenHolds(OPEN_HOLDS_PER_VISITOR_MAX));
            }
            let seats = work.choose(wish)?;
            Ok(work.take(key, &seats))
        })
    }

    /// Returns the seats to be held, without taking them.
    fn choose(&self, wish: &Wish) -> Result<Vec<u32>, Refused> {
        match wish {
            Wish::Seats(ids) => self.choose_named(ids),
            Wish::Best(best) => self.choose_best(best),
            Wish::Blocked(ids) => {
                let plan = self.plan()?;
                self.check_count(ids.len() as u32, "seats")?;
                plan.check_for_sale(ids)?;
                plan.choose_named(ids, SeatState::Blocked)
            }
            Wish::AnyOf(lists, fallback) => {
                let mut refused = Refused::NotEnoughSeats;
                for ids in lists {
                    match self.choose_named(ids) {
                        Err(Refused::SeatsTaken(taken)) => refused = Refused::SeatsTaken(taken),
                        chosen => return chosen,
                    }
                }
                match fallback {
                    Some(best) => self.choose_best(best),
                    None => Err(refused),
                }
            }
        }
    }

    fn check_count(&self, count: u32, field: &str) -> Result<(), Refused> {
        let rules = &self.event_state.rules;
        if count == 0 {
            let why = "at least one seat".to_owned();
            return Err(Refused::Invalid(vec![(field.to_owned(), why)]));
        }
        if count > rules.max_seats_per_order {
            return Err(Refused::TooManySeats(rules.max_seats_per_order));
        }
        if self.records.seats_owned() + count > rules.max_seats_per_visitor {
            return Err(Refused::TooManySeats(rules.max_seats_per_visitor));
        }
        Ok(())
    }

    /// Returns the policy for single seats that applies at the current number of available seats.
    pub(super) fn orphans(&self, plan: &Plan) -> Orphans {
        let [available, ..] = plan.states.counts;
        let capacity = plan.layout.seats.len() as u32;
        match self.event_state.rules.orphans {
            Orphans::Forbid if available * END_OF_SALE < capacity => Orphans::Avoid,
            orphans => orphans,
        }
    }

    fn choose_named(&self, ids: &[String]) -> Result<Vec<u32>, Refused> {
        let plan = self.plan()?;
        self.check_count(ids.len() as u32, "seats")?;
        let seats = plan.choose_named(ids, SeatState::Available)?;
        if self.orphans(plan) == Orphans::Forbid {
            let left = plan.states.orphaned(&plan.layout, &seats);
            if !left.is_empty() {
                let name = |seat: u32| plan.layout.seats[seat as usize].id.to_string();
                return Err(Refused::LeavesSingle(left.into_iter().map(name).collect()));
            }
        }
        Ok(seats)
    }

    fn choose_best(&self, best: &Best) -> Result<Vec<u32>, Refused> {
        let plan = self.plan()?;
        self.check_count(best.quantity, "best_available.quantity")?;
        let category = best.category.as_ref().map(|id| plan.layout.category(id));
        if category == Some(None) {
            let field = "best_available.category".to_owned();
            let why = "there is no such category".to_owned();
            return Err(Refused::Invalid(vec![(field, why)]));
        }
        let query = SeatQuery {
            quantity: best.quantity,
            category: category.flatten(),
            is_accessible: best.accessible,
            orphans: self.orphans(plan),
            peer: self.event_state.peer,
        };
        let best = plan.states.best(&plan.layout, &query);
        best.ok_or(Refused::NotEnoughSeats)
    }

    fn take(&mut self, session: &Key, seats: &[u32]) -> Hold {
        // 128 bits for the id and 16 for the slack.
        let [id @ .., high, low] = self.event_state.random.take_bytes::<18>();
        let plan = self.event_state.plan.as_ref();
        let plan = plan.expect("the seats were chosen from it");
        let rules = &self.event_state.rules;
        let mut priced = plan.priced(seats, rules.currency);
        rules.charges.prices.set(&mut priced);
        let expires_at = self.now.plus_seconds(rules.hold_seconds);
        let (lines, total) = self.lines_of(&priced);
        let slack_max = (rules.hold_seconds * 1000 / SLACK_OF_LENGTH).min(SLACK_MS_MAX);
        let slack = (i64::from(slack_max) * i64::from(u16::from_be_bytes([high, low]))) >> 16;
        let row = HoldRow {
            id: hold_id(Uuid::from_bytes(id)),
            session: *session,
            state: HoldState::Active,
            total,
            lines,
            seats: Arc::new(priced),
            expires_at,
            lapses_at: Time(expires_at.0 + slack),
            max_expires_at: self.now.plus_seconds(rules.hold_max_seconds),
            order: None,
        };
        let hold = show(self.event_state, &row);
        let states = seats.iter().map(|seat| plan.states.seats[*seat as usize]);
        let states: Vec<SeatState> = states.collect();
        self.changes.seats.reserve_exact(seats.len());
        for (seat, state) in seats.iter().zip(states) {
            self.give(SeatChange {
                seat: *seat,
                from: Owner::none(state),
                to: Owner::hold(SeatState::Held, &row.id),
                order: None,
                lapses_at: row.lapses_at.0,
            });
        }
        // Ended holds are read again when they are requested.
        self.records.holds.retain(HoldRow::is_kept);
        // Most visitors have one hold, and there are many visitors: reserve no more than needed.
        self.records.holds.reserve_exact(1);
        self.records.holds.push(row);
        self.changes.new_hold = Some(self.records.take_sequence());
        hold
    }

    /// Returns the lines of seats and their total, by the charges of now.
    fn lines_of(&self, seats: &[SeatPrice]) -> (Lines, Money) {
        let rules = &self.event_state.rules;
        let currency = rules.currency;
        let lines = (!rules.charges.are_none()).then(|| {
            let name = |id: &str| self.event_state.category_name(id);
            Arc::new(rules.charges.lines(seats, currency, name))
        });
        let amount = match &lines {
            Some(lines) => charges::total(lines),
            None => seats.iter().map(|seat| seat.price.amount).sum(),
        };
        (lines, Money { amount, currency })
    }

    /// Returns a hold with the ticket types that a fan chose, at the prices of now. One of the
    /// standard type alone stays as it was held.
    pub(super) fn with_types(
        &self,
        hold: HoldRow,
        chosen: &ChosenTypes,
    ) -> Result<HoldRow, Refused> {
        if chosen.is_empty() {
            return Ok(hold);
        }
        let mut seats = Vec::clone(&hold.seats);
        self.event_state
            .rules
            .charges
            .prices
            .choose(&mut seats, chosen)?;
        if seats == *hold.seats {
            return Ok(hold);
        }
        let (lines, total) = self.lines_of(&seats);
        Ok(HoldRow {
            lines,
            total,
            seats: Arc::new(seats),
            ..hold
        })
    }

    /// Returns a hold with seats that cost nothing.
    pub(super) fn given_away(&self, hold: HoldRow) -> HoldRow {
        let mut seats = Vec::clone(&hold.seats);
        for seat in &mut seats {
            seat.price.amount = 0;
        }
        let (lines, total) = self.lines_of(&seats);
        HoldRow {
            lines,
            total,
            seats: Arc::new(seats),
            ..hold
        }
    }

    /// Returns a hold of the session's visitor.
    pub(super) fn find_hold(&self, key: &Key, id: &str) -> Result<&HoldRow, Refused> {
        self.session(key)?;
        self.records.hold(id).ok_or(Refused::NoSuchHold)
    }

    pub(in crate::inventory) fn show_hold(
        &self,
        key: &Key,
        id: &str,
        are_kept_longer: bool,
    ) -> Result<Hold, Refused> {
        let row = self.find_hold(key, id)?;
        Ok(show_kept(self.event_state, row, are_kept_longer))
    }

    /// Returns a hold as an order with these ticket types would cost.
    pub(in crate::inventory) fn price_hold(
        &self,
        key: &Key,
        id: &str,
        chosen: &ChosenTypes,
    ) -> Result<Hold, Refused> {
        let hold = self.with_types(self.find_hold(key, id)?.clone(), chosen)?;
        Ok(show(self.event_state, &hold))
    }

    pub(in crate::inventory) fn release(&mut self, key: &Key, id: &str) -> Result<(), Refused> {
        let hold = self.find_hold(key, id)?;
        match (hold.state, hold.id.clone()) {
            (HoldState::Active, id) => {
                self.end_hold(&id, HoldState::Released);
                Ok(())
            }
            (HoldState::Converted, id) => self.cancel_order_of(&id),
            _ => Ok(()),
        }
    }

    /// Ends a hold whose seats are held, and frees them.
    pub(super) fn end_hold(&mut self, id: &Arc<str>, to: HoldState) {
        self.free(id, SeatState::Held);
        self.set_hold(id, to, None);
    }

    /// Frees the seats of a hold.
    fn free(&mut self, id: &Arc<str>, from: SeatState) {
        let hold = self.records.hold(id).expect("the hold was just found");
        let plan = self.event_state.plan.as_ref();
        let Some(seats) = plan.and_then(|plan| plan.places(&hold.seats)) else {
            return;
        };
        self.free_seats(id, from, seats);
    }

    /// Frees some seats of a hold. Blocked ones that were not sold at the desk are blocked again.
    pub(super) fn free_seats(&mut self, id: &Arc<str>, from: SeatState, seats: Vec<u32>) {
        let hold = self.records.hold(id);
        let session = hold.and_then(|hold| self.records.session(&hold.session));
        let is_of_blocked = session.is_some_and(|session| is_for_blocked(&session.jti));
        let to = match from == SeatState::Held && is_of_blocked {
            true => SeatState::Blocked,
            false => SeatState::Available,
        };
        for seat in seats {
            self.give(SeatChange {
                seat,
                from: Owner::hold(from, id),
                to: Owner::none(to),
                order: None,
                lapses_at: 0,
            });
        }
    }

    pub(super) fn set_hold(&mut self, id: &Arc<str>, to: HoldState, order: Option<String>) {
        let mut holds = self.records.holds.iter_mut();
        let row = holds.find(|hold| hold.id == *id);
        let row = row.expect("the hold was just found");
        let from = std::mem::replace(&mut row.state, to);
        row.order = order.or(row.order.take());
        self.changes.holds.push(HoldChange {
            id: id.clone(),
            from,
            to,
            order: row.order.clone(),
            exchanged: None,
        });
    }

    /// Marks the seats of a hold that became an order as never lapsing.
    pub(super) fn freeze(&mut self, id: &str) {
        let hold = self.records.hold(id).expect("the hold was just found");
        let plan = self.event_state.plan.as_ref();
        let seats = plan.and_then(|plan| plan.places(&hold.seats));
        self.changes.frozen.extend(seats.into_iter().flatten());
    }

    /// Ends the visitor's lapsed holds, or all that are not ordered once the show was cancelled.
    /// Returns the number of seats freed. Holds that are kept longer, as nothing can be paid just
    /// now, end at their cap.
    pub(in crate::inventory) fn expire_holds(&mut self, are_kept_longer: bool) -> u32 {
        let now = self.now;
        let is_cancelled = self.event_state.is_cancelled();
        let active = self.records.holds.iter();
        let active = active.filter(|hold| hold.state == HoldState::Active);
        let ending: Vec<(Arc<str>, HoldState)> = active
            .filter_map(|hold| {
                let is_kept = are_kept_longer && now < hold.max_expires_at;
                let state = match hold.lapses_at <= now && !is_kept {
                    true => HoldState::Expired,
                    false if is_cancelled => HoldState::Released,
                    false => return None,
                };
                Some((hold.id.clone(), state))
            })
            .collect();
        for (id, state) in &ending {
            self.end_hold(id, *state);
        }
        // Holds that other nodes converted into orders are frozen here too.
        let frozen = self.records.holds.iter();
        let frozen: Vec<Arc<str>> = frozen
            .filter(|hold| hold.state == HoldState::Converted)
            .map(|hold| hold.id.clone())
            .collect();
        for id in frozen {
            self.freeze(&id);
        }
        self.changes.seats.len() as u32
    }
}
