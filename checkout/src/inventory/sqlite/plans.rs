//! Changes of an event as a whole in SQLite: its plan, its rules, its removal; each with the event
//! that tells of it.

use super::{Step, Store};
use crate::inventory::Layout;
use crate::inventory::best_available::SeatIndex;
use crate::inventory::commands::json;
use crate::inventory::event_state::Plan;
use crate::inventory::model::*;
use crate::inventory::outbox::{EventType, about_event, about_rules};
use crate::inventory::rules::{Rules, RulesPatch};
use crate::inventory::seat_map::{PublishedLayout, blocked_by_hand};
use rusqlite::params;
use shared::ids::EventId;
use std::sync::Arc;

/// Reason why an event may not be changed as a whole.
struct InUse {
    /// Seats are held.
    is_held: bool,
    /// Seats are booked.
    is_booked: bool,
    /// Money is on its way in either direction, also for an order that expired meanwhile.
    is_paying: bool,
    /// Seats were ever booked, or money was ever taken.
    is_sold: bool,
    /// There are orders in any state.
    is_ordered: bool,
}

impl Store {
    pub(super) fn set_seating(&mut self, event: &EventId, layout: Layout) -> Step<u32> {
        // Money that comes late may yet book seats of it.
        let in_use = self.in_use(event)?;
        if in_use.is_held || in_use.is_booked || in_use.is_paying {
            return Ok(Err(Refused::InUse));
        }
        let event_state = self.event_state(event)?;
        let was_sold_out = event_state.is_sold_out();
        let plan = event_state.plan.as_ref();
        let version = plan.map_or(1, |plan| plan.seat_map.layout_version + 1);
        let by_hand = plan.map(|plan| blocked_by_hand(&plan.layout, &plan.states.seats));
        let places = plan.map_or_else(Vec::new, |plan| plan.layout.places_in(&layout));
        let blocked = layout.blocked_with(by_hand.into_iter().flatten());
        let mut seats = vec![SeatState::Available; layout.seats.len()];
        for seat in blocked {
            seats[seat as usize] = SeatState::Blocked;
        }
        let notes = self.block_notes(event, &places)?;
        self.write()?;
        self.db
            .execute("delete from seat where event = ?1", [event.as_str()])?;
        {
            let mut insert = self
                .db
                .prepare_cached("insert into seat (event, seat, state) values (?1, ?2, ?3)")?;
            for (seat, state) in (0_u32..).zip(&seats) {
                insert.execute(params![event.as_str(), seat, *state as u8])?;
            }
        }
        self.keep_block_notes(event, &notes)?;
        let states = seats.iter().map(|state| (*state, 0)).collect();
        self.install(event, layout, version, states)?;
        if was_sold_out {
            self.tell(EventType::EventOnSale, event, None)?;
        }
        Ok(Ok(version))
    }

    /// Stores a plan whose seats are stored, with their states and when they lapse, and shows it.
    pub(super) fn install(
        &mut self,
        event: &EventId,
        layout: Layout,
        version: u32,
        states: Vec<(SeatState, i64)>,
    ) -> rusqlite::Result<()> {
        self.db.execute(
            "update event set plan = ?2, plan_version = ?3 where event = ?1",
            params![event.as_str(), layout.plan, version],
        )?;
        let event_type = match version {
            1 => EventType::EventPublished,
            _ => EventType::EventChanged,
        };
        let rules = self.event_state(event)?.rules.clone();
        self.tell(event_type, event, Some((rules.currency, Some(&layout))))?;
        let layout = Arc::new(layout);
        let published = PublishedLayout {
            layout: layout.clone(),
            version,
            currency: rules.currency,
            charges: rules.charges,
            cancelled: rules.cancelled,
        };
        let shown = states.iter().map(|(state, _)| *state).collect();
        let seat_map = self.replace_seat_map(event, published, shown);
        let states = SeatIndex::new(&layout, states);
        self.event_state(event)?.plan = Some(Plan {
            layout,
            states,
            seat_map,
        });
        Ok(())
    }

    pub(super) fn set_rules(&mut self, event: &EventId, patch: RulesPatch) -> Step<(Rules, Rules)> {
        let before = self.event_state(event)?.rules.clone();
        let after = match before.with(patch) {
            Ok(rules) => rules,
            Err(mistakes) => return Ok(Err(Refused::Invalid(mistakes))),
        };
        if after.currency != before.currency {
            let in_use = self.in_use(event)?;
            if in_use.is_held || in_use.is_paying || in_use.is_sold || in_use.is_ordered {
                return Ok(Err(Refused::fixed_currency()));
            }
        }
        self.write()?;
        self.db.execute(
            "update event set rules = ?2 where event = ?1",
            params![event.as_str(), json(&after)],
        )?;
        let event_state = self.event_state(event)?;
        event_state.rules = after.clone();
        let has_plan = event_state.plan.is_some();
        let told = about_rules(event, (&before, &after), self.clock.now());
        if let Some(told) = told.filter(|_| has_plan) {
            self.insert_events(event.as_str(), &[told])?;
        }
        let is_shown_alike = after.currency == before.currency
            && after.charges.shown() == before.charges.shown()
            && after.cancelled == before.cancelled;
        if !is_shown_alike {
            self.publish_rules(event, &after)?;
        }
        Ok(Ok((before, after)))
    }

    /// Publishes the layout with what it shows of other rules, as a new version.
    fn publish_rules(&mut self, event: &EventId, rules: &Rules) -> rusqlite::Result<()> {
        let Some(plan) = self
            .event_states
            .get(event)
            .and_then(|event_state| event_state.plan.as_ref())
        else {
            return Ok(());
        };
        let version = plan.seat_map.layout_version + 1;
        let seats = plan.states.seats.clone();
        let published = PublishedLayout {
            layout: plan.layout.clone(),
            version,
            currency: rules.currency,
            charges: rules.charges.clone(),
            cancelled: rules.cancelled.clone(),
        };
        let seat_map = self.replace_seat_map(event, published, seats);
        let update = "update event set plan_version = ?2 where event = ?1";
        self.db.execute(update, params![event.as_str(), version])?;
        if let Some(plan) = self
            .event_states
            .get_mut(event)
            .and_then(|event_state| event_state.plan.as_mut())
        {
            plan.seat_map = seat_map;
        }
        Ok(())
    }

    /// Adds an event about an event as a whole.
    pub(super) fn tell(
        &mut self,
        event_type: EventType,
        event: &EventId,
        offer: Option<(Currency, Option<&Layout>)>,
    ) -> rusqlite::Result<()> {
        let told = about_event(event_type, event, offer, self.clock.now());
        self.insert_events(event.as_str(), &[told])
    }

    fn in_use(&self, event: &EventId) -> rusqlite::Result<InUse> {
        let mut query = self.db.prepare_cached(
            "with paid as (select distinct state from payment where event = ?1),
                ordered as (select distinct state from orders where event = ?1),
                owned as (select distinct state from seat where event = ?1)
             select exists (select 1 from owned where state = 1),
                exists (select 1 from owned where state = 2),
                exists (select 1 from paid where state in ('requires_action', 'processing', 'authorised', 'capturing',
                                                           'voiding', 'refunding')),
                exists (select 1 from owned where state = 2)
                    or exists (select 1 from ordered
                               where state in ('confirmed', 'refunding', 'refunded', 'needs_review'))
                    or exists (select 1 from paid where state in ('captured', 'refunding', 'refunded')),
                exists (select 1 from ordered)",
        )?;
        query.query_row([event.as_str()], |row| {
            Ok(InUse {
                is_held: row.get(0)?,
                is_booked: row.get(1)?,
                is_paying: row.get(2)?,
                is_sold: row.get(3)?,
                is_ordered: row.get(4)?,
            })
        })
    }

    pub(super) fn remove(&mut self, event: &EventId) -> Step<()> {
        if !self.event_states.contains_key(event) {
            return Ok(Err(Refused::NoSuchEvent));
        }
        let in_use = self.in_use(event)?;
        if in_use.is_sold {
            return Ok(Err(Refused::HasOrders));
        }
        if in_use.is_held || in_use.is_paying {
            return Ok(Err(Refused::EventInUse));
        }
        self.write()?;
        for table in [
            "ticket",
            "payment",
            "orders",
            "hold",
            "session",
            "answer",
            "seat",
            "sales_hour",
            "line_mail",
            "line_message",
            "line_count",
            "event",
        ] {
            let delete = format!("delete from {table} where event = ?1");
            self.db.execute(&delete, [event.as_str()])?;
        }
        self.tell(EventType::EventRemoved, event, None)?;
        self.event_states.remove(event);
        self.note_version(event);
        self.replaced.push((event.clone(), None));
        Ok(Ok(()))
    }
}
