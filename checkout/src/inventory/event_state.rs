//! In-memory state of an event: its rules, its plan with the state of every seat, and the records
//! of recent visitors.

use super::best_available::{Peer, SeatIndex};
use super::charges::{self, ChargeLine, Lines, ticket_lines};
use super::layout::Layout;
use super::model::*;
use super::records::{
    Indexed, Key, NEVER, OrderRow, OrderState, SeatChange, SessionRow, VisitorRecords,
};
use super::rules::Rules;
use super::seat_map::SeatMap;
use super::ticket_codes::TicketCodes;
use foldhash::fast::RandomState;
use shared::crypto::{RandomPool, Secret, encode};
use shared::group_commit::Unavailable;
use shared::http::problem::Problem;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use std::collections::HashMap;
use std::slice;
use std::sync::Arc;

/// Visitors per cache generation; the cache holds up to twice as many.
pub(super) const VISITORS_MAX: usize = 20_000;

/// In-memory state of one event.
pub(super) struct EventState {
    pub(super) event: EventId,
    pub(super) rules: Rules,
    /// Signs links to orders.
    pub(super) secret: Secret,
    pub(super) codes: TicketCodes,
    pub(super) plan: Option<Plan>,
    pub(super) visitors: VisitorCache,
    /// Nodes search disjoint rows first to avoid conflicts.
    pub(super) peer: Peer,
    /// Random bytes for the ids of holds.
    pub(super) random: RandomPool,
}

/// A seating plan and its seats.
pub(super) struct Plan {
    pub(super) layout: Arc<Layout>,
    pub(super) states: SeatIndex,
    pub(super) seat_map: Arc<SeatMap>,
}

impl EventState {
    pub(super) fn new(event: EventId, rules: Rules, secret: &[u8]) -> EventState {
        EventState {
            codes: TicketCodes::new(event.clone(), secret),
            event,
            rules,
            secret: Secret::derive(secret, "tickets"),
            plan: None,
            visitors: VisitorCache::default(),
            peer: Peer::ALONE,
            random: RandomPool::default(),
        }
    }

    /// Checks that what was read names seats by their places in the plan of now. It is not known for
    /// a moment after the plan was changed.
    pub(super) fn check_plan(&self, version: u32) -> Result<(), Refused> {
        let plan = self.plan.as_ref();
        let known = plan.map_or(0, |plan| plan.seat_map.layout_version);
        if known == version {
            Ok(())
        } else {
            Err(Unavailable.into())
        }
    }

    /// Applies a request's changes to the seats.
    pub(super) fn take(&mut self, changes: &[SeatChange]) {
        let Some(plan) = &mut self.plan else { return };
        for change in changes {
            let state = change.to.state;
            plan.states
                .set(&plan.layout, change.seat, state, change.lapses_at);
        }
    }

    /// Returns whether it has seats, none of which is available or held.
    pub(super) fn is_sold_out(&self) -> bool {
        let plan = self.plan.as_ref();
        plan.is_some_and(|plan| !plan.layout.seats.is_empty() && plan.states.is_sold_out())
    }

    /// Marks seats as never lapsing.
    pub(super) fn freeze(&mut self, seats: &[u32]) {
        if let Some(plan) = &mut self.plan {
            for seat in seats {
                plan.states.lapses_at[*seat as usize] = NEVER;
            }
        }
    }

    /// Returns whether the show was cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.rules.cancelled.is_some()
    }

    /// Returns the fees of an order that are kept when it is refunded: none once the show was
    /// cancelled.
    pub(super) fn kept(&self, lines: &Lines) -> i64 {
        if self.is_cancelled() {
            0
        } else {
            charges::kept(lines)
        }
    }

    /// Returns the time up to which seats have lapsed: all that can once the show was cancelled.
    fn lapsed_until(&self, now: Time) -> i64 {
        if self.is_cancelled() {
            NEVER - 1
        } else {
            now.0
        }
    }

    /// Returns whether a seat may have lapsed.
    pub(super) fn has_lapsed(&mut self, now: Time) -> bool {
        let until = self.lapsed_until(now);
        self.plan
            .as_mut()
            .is_some_and(|plan| plan.states.has_lapsed(until))
    }

    /// Returns seats that have lapsed, at most `limit`.
    pub(super) fn lapsed(&self, now: Time, limit: usize) -> Vec<u32> {
        let Some(plan) = &self.plan else {
            return Vec::new();
        };
        let until = self.lapsed_until(now);
        let lapsed = plan.states.lapses_at.iter().enumerate();
        lapsed
            .filter(|(_, at)| **at != 0 && **at <= until)
            .map(|(seat, _)| seat as u32)
            .take(limit)
            .collect()
    }

    /// Returns the public view of an order.
    pub(super) fn show(&self, row: &OrderRow) -> Order {
        let payment = row.payment();
        let is_confirmed = row.state == OrderState::Confirmed;
        let has_tickets = is_confirmed && !self.is_cancelled();
        let some_money = |amount: i64| {
            let currency = row.total.currency;
            (amount > 0).then_some(Money { amount, currency })
        };
        Order {
            id: row.id.clone(),
            event: self.event.clone(),
            state: row.state.as_str().to_owned(),
            seats: self.labelled(&row.seats),
            lines: self.lines(&row.lines, &row.seats, row.total.currency),
            total: row.total,
            buyer: row.buyer.clone(),
            language: row.language.clone(),
            payment: payment.view(),
            decline_reason: row.decline.clone(),
            created_at: row.created_at,
            pay_by: row.pay_by,
            instead_of_labels: self.labels(&payment.instead_of()),
            instead_of: payment.instead_of(),
            tickets: has_tickets.then(|| self.tickets(row)),
            refunded: some_money(payment.refunded),
            charged_back: some_money(payment.charged_back()),
            link: is_confirmed.then(|| self.link(&row.id)),
            event_cancelled: self.rules.cancelled.clone(),
        }
    }

    /// Returns the labels of seats; the id of one that the plan does not have.
    fn labels(&self, ids: &[String]) -> Vec<String> {
        let layout = self.plan.as_ref().map(|plan| &plan.layout);
        let label = |id: &String| {
            let layout = layout?;
            Some(layout.label(&layout.seats[layout.find(id)? as usize]))
        };
        let labels = ids.iter().map(|id| label(id).unwrap_or_else(|| id.clone()));
        labels.collect()
    }

    /// Returns seats with their labels. Those of orders that are older than labels have none, and get
    /// the plan's: a seat that is sold keeps its label under a new plan.
    pub(super) fn labelled(&self, seats: &Arc<Vec<SeatPrice>>) -> Arc<Vec<SeatPrice>> {
        if seats.iter().all(|seat| !seat.label.is_empty()) {
            return seats.clone();
        }
        let ids: Vec<String> = seats.iter().map(|seat| seat.id.to_string()).collect();
        let labelled = seats.iter().zip(self.labels(&ids));
        let labelled = labelled.map(|(seat, label)| SeatPrice {
            label: label.into(),
            ..seat.clone()
        });
        Arc::new(labelled.collect())
    }

    /// Returns the public view of the lines of a hold or an order.
    pub(super) fn lines(
        &self,
        lines: &Lines,
        seats: &[SeatPrice],
        currency: Currency,
    ) -> Vec<PriceLine> {
        match lines {
            Some(lines) => lines.iter().map(|line| line.show(currency)).collect(),
            None => {
                let tickets = ticket_lines(seats, |id| self.category_name(id));
                tickets.iter().map(|line| line.show(currency)).collect()
            }
        }
    }

    /// Returns the lines of what the ticket of a seat of an order was sold for.
    pub(super) fn ticket_lines(&self, order: &OrderRow, seat: &SeatPrice) -> Vec<ChargeLine> {
        let Some(lines) = &order.lines else {
            return ticket_lines(slice::from_ref(seat), |id| self.category_name(id));
        };
        let own = lines.iter().filter(|line| line.is_for(seat));
        let one = own.map(|line| ChargeLine {
            quantity: 1,
            ..line.clone()
        });
        one.collect()
    }

    /// Returns the name of a category; its id if the plan has none.
    pub(super) fn category_name(&self, id: &str) -> String {
        let layout = self.plan.as_ref().map(|plan| &plan.layout);
        let category = layout.and_then(|layout| {
            let at = layout.category(id)?;
            layout.categories.get(usize::from(at))
        });
        category.map_or_else(|| id.to_owned(), |category| category.name.clone())
    }

    fn tickets(&self, row: &OrderRow) -> Vec<Ticket> {
        let Some(plan) = &self.plan else {
            return Vec::new();
        };
        // A ticket ends when its refund begins.
        let given_back: Vec<u32> = row.payment().seats_given_back().collect();
        let show = |ticket: &super::records::TicketRow| {
            let id = ticket.id.clone();
            let seat = plan.layout.seats.get(ticket.seat as usize)?.id.to_string();
            let priced = row.seats.iter().find(|priced| *priced.id == *seat);
            Some(Ticket {
                ticket_type: priced.and_then(|priced| priced.ticket_type.clone()),
                place: plan.layout.place(ticket.seat),
                code: self.codes.code(&id),
                short_code: self.codes.short_code(&id),
                id,
                seat,
            })
        };
        let valid = row.tickets.iter();
        valid
            .filter(|ticket| !given_back.contains(&ticket.seat))
            .filter_map(show)
            .collect()
    }

    /// Returns the signed link to an order's page.
    fn link(&self, order: &str) -> String {
        let mac = self.secret.sign(format!("order\n{order}").as_bytes());
        format!("/orders/{order}?key=lnk_{}.{}", self.event, encode(&mac))
    }

    /// Returns whether a link's key belongs to this order.
    pub(super) fn opens(&self, key: &LinkKey, order: &str) -> bool {
        self.secret
            .verify(format!("order\n{order}").as_bytes(), &key.mac)
    }
}

/// Key of a signed link, as it stands in an address.
pub(super) struct LinkKey {
    pub(super) event: EventId,
    mac: Vec<u8>,
}

impl LinkKey {
    pub(super) fn parse(key: &str) -> Option<LinkKey> {
        let (event, mac) = key.strip_prefix("lnk_")?.rsplit_once('.')?;
        Some(LinkKey {
            event: EventId::parse(event).ok()?,
            mac: shared::crypto::decode(mac)?,
        })
    }
}

impl Plan {
    /// Joins a stored layout with the stored states of its seats. An existing seat map of the same
    /// version is kept.
    pub(super) fn load(
        event: &EventId,
        layout: Result<Layout, Problem>,
        seats: Vec<(SeatState, i64)>,
        seat_map: impl FnOnce(Arc<Layout>, Vec<SeatState>) -> Arc<SeatMap>,
    ) -> Result<Plan, String> {
        let layout = layout
            .map(Arc::new)
            .map_err(|problem| format!("the plan of {event}: {}", problem.into_value()))?;
        if seats.len() != layout.seats.len() {
            return Err(format!(
                "{event} has {} stored seats but {} in its plan",
                seats.len(),
                layout.seats.len()
            ));
        }
        let shown = seats.iter().map(|(state, _)| *state).collect();
        let seat_map = seat_map(layout.clone(), shown);
        let states = SeatIndex::new(&layout, seats);
        Ok(Plan {
            layout,
            states,
            seat_map,
        })
    }

    /// Returns seats with the prices of the plan.
    pub(super) fn priced(&self, seats: &[u32], currency: Currency) -> Vec<SeatPrice> {
        let price = |seat: &super::layout::LayoutSeat| {
            let category = &self.layout.categories[seat.category as usize];
            SeatPrice {
                id: seat.id.clone(),
                label: self.layout.label(seat).into(),
                category: category.id.clone(),
                ticket_type: None,
                price: Money {
                    amount: category.price,
                    currency,
                },
            }
        };
        let known = |seat: &u32| self.layout.seats.get(*seat as usize);
        let mut priced = Vec::with_capacity(seats.len());
        priced.extend(seats.iter().filter_map(known).map(price));
        priced
    }

    /// Returns the layout indices of the seats of an order or a hold, or `None` if one is not in
    /// the plan.
    pub(super) fn places(&self, seats: &[SeatPrice]) -> Option<Vec<u32>> {
        seats
            .iter()
            .map(|seat| self.layout.find(&seat.id))
            .collect()
    }
}

/// Returns the time at which a loaded seat of a hold lapses.
pub(super) fn lapses_at(state: SeatState, active_until: Option<i64>) -> i64 {
    match (state, active_until) {
        (SeatState::Held, Some(at)) => at,
        (SeatState::Held | SeatState::Booked, _) => NEVER,
        _ => 0,
    }
}

/// Cache of recently used visitor records, in two generations: when the younger is full it replaces
/// the older.
#[derive(Default)]
pub(super) struct VisitorCache {
    young: Generation,
    old: Generation,
    /// Number of completed generations.
    age: u32,
}

#[derive(Default)]
struct Generation {
    /// Boxed to keep the table small, since every request looks it up.
    visitors: HashMap<VisitorId, Box<VisitorRecords>, RandomState>,
    sessions: HashMap<Key, VisitorId, RandomState>,
    orders: HashMap<String, VisitorId, RandomState>,
}

impl VisitorCache {
    pub(super) fn get(&self, visitor: VisitorId) -> Option<&VisitorRecords> {
        let both = [&self.young, &self.old];
        both.into_iter()
            .find_map(|kept| kept.visitors.get(&visitor))
            .map(|records| &**records)
    }

    pub(super) fn of_session(&self, key: &Key) -> Option<VisitorId> {
        let both = [&self.young, &self.old];
        both.into_iter()
            .find_map(|kept| kept.sessions.get(key).copied())
    }

    pub(super) fn of_order(&self, order: &str) -> Option<VisitorId> {
        let both = [&self.young, &self.old];
        both.into_iter()
            .find_map(|kept| kept.orders.get(order).copied())
    }

    /// Removes the records of a visitor, to be changed and put back.
    pub(super) fn take(&mut self, visitor: VisitorId) -> Option<Box<VisitorRecords>> {
        let young = self.young.visitors.remove(&visitor);
        young.or_else(|| self.old.visitors.remove(&visitor))
    }

    /// Adds a session that was opened by another node. Other records of the visitor are read when
    /// needed: the store refuses a decision made without knowing them.
    pub(super) fn learn(&mut self, session: SessionRow) {
        let known = self.take(session.visitor);
        let mut records = known.unwrap_or_else(|| Box::new(VisitorRecords::of(session.visitor)));
        if records.session(&session.key).is_none() {
            records.sessions.reserve_exact(1);
            records.sessions.push(session);
        }
        self.put(records);
    }

    /// Lets a session that is in memory last until this time.
    pub(super) fn extend_session(&mut self, key: &Key, until: Time) {
        let Some(mut records) = self.of_session(key).and_then(|visitor| self.take(visitor)) else {
            return;
        };
        for session in &mut records.sessions {
            if session.key == *key {
                session.expires_at = until;
            }
        }
        self.put(records);
    }

    pub(super) fn put(&mut self, mut records: Box<VisitorRecords>) {
        let Some(visitor) = records.visitor else {
            return;
        };
        if self.young.visitors.len() >= VISITORS_MAX {
            self.old = std::mem::take(&mut self.young);
            self.age += 1;
        }
        let indexed_as = Some(Indexed {
            generation: self.age,
            sessions: records.sessions.len(),
            orders: records.orders.len(),
        });
        if records.indexed_as != indexed_as {
            for session in &records.sessions {
                self.young.sessions.insert(session.key, visitor);
            }
            for order in &records.orders {
                if !self.young.orders.contains_key(&order.id) {
                    self.young.orders.insert(order.id.clone(), visitor);
                }
            }
            records.indexed_as = indexed_as;
        }
        // Shadows an outdated entry in the old generation.
        self.young.visitors.insert(visitor, records);
    }
}
