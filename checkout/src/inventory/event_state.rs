//! One event in memory: its rules, its plan with the state of every seat, and what is known of those who were here lately.

use super::best_available::SeatIndex;
use super::layout::{Layout, parse};
use super::model::*;
use super::records::{Key, NEVER, OrderRow, OrderState, SeatChange, SessionRow, VisitorRecords};
use super::rules::Rules;
use super::seat_map::SeatMap;
use foldhash::fast::RandomState;
use shared::crypto::{RandomPool, Secret, encode};
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use std::collections::HashMap;
use std::sync::Arc;

/// Visits kept in memory; up to twice as many.
pub(super) const VISITS_MAX: usize = 20_000;

/// One event.
pub(super) struct EventState {
    pub(super) event: EventId,
    pub(super) rules: Rules,
    pub(super) secret: Secret,
    pub(super) plan: Option<Plan>,
    pub(super) visits: VisitorCache,
    /// Which of how many nodes this is: each begins the best seats in rows of its own, so that they do not collide.
    pub(super) share: (u32, u32),
    /// What holds are called.
    pub(super) dice: RandomPool,
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
            event,
            rules,
            secret: Secret::derive(secret, "tickets"),
            plan: None,
            visits: VisitorCache::default(),
            share: (0, 1),
            dice: RandomPool::default(),
        }
    }

    /// Takes over what a request changes of the seats.
    pub(super) fn take(&mut self, changes: &[SeatChange]) {
        let Some(plan) = &mut self.plan else { return };
        for change in changes {
            let state = change.to.state;
            plan.states
                .set(&plan.layout, change.seat, state, change.lapses_at);
        }
    }

    /// Takes over which seats no longer lapse.
    pub(super) fn freeze(&mut self, seats: &[u32]) {
        if let Some(plan) = &mut self.plan {
            for seat in seats {
                plan.states.lapses_at[*seat as usize] = NEVER;
            }
        }
    }

    /// Whether the time of some seat may be over.
    pub(super) fn has_lapsed(&mut self, now: Time) -> bool {
        self.plan
            .as_mut()
            .is_some_and(|plan| plan.states.has_lapsed(now.0))
    }

    /// Seats whose time is over, at most so many.
    pub(super) fn lapsed(&self, now: Time, limit: usize) -> Vec<u32> {
        let Some(plan) = &self.plan else {
            return Vec::new();
        };
        let lapsed = plan.states.lapses_at.iter().enumerate();
        lapsed
            .filter(|(_, at)| **at != 0 && **at <= now.0)
            .map(|(seat, _)| seat as u32)
            .take(limit)
            .collect()
    }

    /// An order as it is shown.
    pub(super) fn show(&self, row: &OrderRow) -> Order {
        let payment = row.payment();
        let is_confirmed = row.state == OrderState::Confirmed;
        Order {
            id: row.id.clone(),
            event: self.event.clone(),
            state: row.state.as_str().to_owned(),
            seats: row.seats.clone(),
            total: row.total,
            buyer: row.buyer.clone(),
            payment: PaymentView {
                provider: "simulated".to_owned(),
                id: payment.id.clone(),
                client_secret: payment.client_secret.clone(),
            },
            decline_reason: row.decline.clone(),
            created_at: row.created_at,
            pay_by: row.pay_by,
            tickets: is_confirmed.then(|| self.tickets(row)),
            link: is_confirmed.then(|| self.link(&row.id)),
        }
    }

    fn tickets(&self, row: &OrderRow) -> Vec<Ticket> {
        let Some(plan) = &self.plan else {
            return Vec::new();
        };
        let event = &self.event;
        let show = |ticket: &super::records::TicketRow| {
            let id = ticket.id.clone();
            let seat = plan.layout.seats.get(ticket.seat as usize)?.id.to_string();
            let text = format!("ticket\n{event}\n{id}\n{seat}");
            let mac = self.secret.sign(text.as_bytes());
            let code = format!("FL1.{event}.{id}.{}", encode(&mac[..16]));
            Some(Ticket { id, seat, code })
        };
        row.tickets.iter().filter_map(show).collect()
    }

    /// The signed link to an order's page.
    fn link(&self, order: &str) -> String {
        let mac = self.secret.sign(format!("order\n{order}").as_bytes());
        format!("/orders/{order}?key=lnk_{}.{}", self.event, encode(&mac))
    }

    /// Whether a link's word is this order's.
    pub(super) fn opens(&self, word: &LinkWord, order: &str) -> bool {
        self.secret
            .verify(format!("order\n{order}").as_bytes(), &word.mac)
    }
}

/// The word of a signed link.
pub(super) struct LinkWord {
    pub(super) event: EventId,
    mac: Vec<u8>,
}

impl LinkWord {
    pub(super) fn parse(word: &str) -> Option<LinkWord> {
        let (event, mac) = word.strip_prefix("lnk_")?.rsplit_once('.')?;
        Some(LinkWord {
            event: EventId::parse(event).ok()?,
            mac: shared::crypto::decode(mac)?,
        })
    }
}

impl Plan {
    /// A stored plan with the stored state of its seats, on the board that shows it already if that is of the same version.
    pub(super) fn load(
        event: &EventId,
        text: &str,
        seats: Vec<(SeatState, i64)>,
        seat_map: impl FnOnce(Arc<Layout>, Vec<SeatState>) -> Arc<SeatMap>,
    ) -> Result<Plan, String> {
        let layout = parse(text.as_bytes())
            .map(Arc::new)
            .map_err(|problem| format!("the plan of {event}: {}", problem.into_value()))?;
        if seats.len() != layout.seats.len() {
            return Err(format!(
                "{event} has {} seats, its plan {}",
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

    /// Seats with their prices.
    pub(super) fn priced(&self, seats: &[u32], currency: Currency) -> Vec<SeatPrice> {
        let price = |seat: &super::layout::LayoutSeat| {
            let category = &self.layout.categories[seat.category as usize];
            SeatPrice {
                id: seat.id.clone(),
                category: category.id.clone(),
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

    /// The seats of an order or a hold, by their places; none when the plan has not all of them.
    pub(super) fn places(&self, seats: &[SeatPrice]) -> Option<Vec<u32>> {
        seats
            .iter()
            .map(|seat| self.layout.find(&seat.id))
            .collect()
    }
}

/// When a seat of a hold lapses, for the seats as they are loaded.
pub(super) fn lapses_at(state: SeatState, active_until: Option<i64>) -> i64 {
    match (state, active_until) {
        (SeatState::Held, Some(at)) => at,
        (SeatState::Held | SeatState::Booked, _) => NEVER,
        _ => 0,
    }
}

/// The visits that were looked at lately, in two generations: the older goes when the younger is full.
#[derive(Default)]
pub(super) struct VisitorCache {
    young: Generation,
    old: Generation,
    /// How many generations there were.
    age: u32,
}

#[derive(Default)]
struct Generation {
    /// Boxed: the table is looked at for every request, and is small then.
    visits: HashMap<VisitorId, Box<VisitorRecords>, RandomState>,
    sessions: HashMap<Key, VisitorId, RandomState>,
    orders: HashMap<String, VisitorId, RandomState>,
}

impl VisitorCache {
    pub(super) fn get(&self, visitor: VisitorId) -> Option<&VisitorRecords> {
        let both = [&self.young, &self.old];
        both.into_iter()
            .find_map(|kept| kept.visits.get(&visitor))
            .map(|visit| &**visit)
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

    /// Takes a visit out, to be changed and put back.
    pub(super) fn take(&mut self, visitor: VisitorId) -> Option<Box<VisitorRecords>> {
        let young = self.young.visits.remove(&visitor);
        young.or_else(|| self.old.visits.remove(&visitor))
    }

    /// Hears of a session that was opened elsewhere. What else the visitor has is read when it matters: whoever decides
    /// without knowing it is refused by the store.
    pub(super) fn learn(&mut self, session: SessionRow) {
        let known = self.take(session.visitor);
        let mut visit = known.unwrap_or_else(|| Box::new(VisitorRecords::of(session.visitor)));
        if visit.session(&session.key).is_none() {
            visit.sessions.reserve_exact(1);
            visit.sessions.push(session);
        }
        self.put(visit);
    }

    pub(super) fn put(&mut self, mut visit: Box<VisitorRecords>) {
        let Some(visitor) = visit.visitor else { return };
        if self.young.visits.len() >= VISITS_MAX {
            self.old = std::mem::take(&mut self.young);
            self.age += 1;
        }
        let found_by = Some((self.age, visit.sessions.len(), visit.orders.len()));
        if visit.found_by != found_by {
            for session in &visit.sessions {
                self.young.sessions.insert(session.key, visitor);
            }
            for order in &visit.orders {
                if !self.young.orders.contains_key(&order.id) {
                    self.young.orders.insert(order.id.clone(), visitor);
                }
            }
            visit.found_by = found_by;
        }
        // Younger than what the old generation may still have.
        self.young.visits.insert(visitor, visit);
    }
}
