//! Changes of an event as a whole in Postgres: its plan, its rules, its removal; each with the event
//! that tells of it, in one statement.

use super::Postgres;
use super::event_handle::EventHandle;
use super::outbox_columns::OutboxColumns;
use crate::inventory::Layout;
use crate::inventory::commands::json;
use crate::inventory::engine::Engine as _;
use crate::inventory::model::*;
use crate::inventory::outbox::{EventType, OutboxEntry, about_event, about_rules};
use crate::inventory::plan_change::{PlanChange, confirmed};
use crate::inventory::rules::{Rules, RulesPatch};
use crate::inventory::seat_map::{SeatMap, blocked_by_hand};
use shared::group_commit::Unavailable;
use shared::ids::EventId;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use std::sync::atomic::Ordering;

/// Largest number of attempts to change rules that others change at the same time.
const RULES_TRIES_MAX: usize = 10;
/// Largest number of attempts to change a plan while seats are sold.
const PLAN_TRIES_MAX: usize = 5;

/// Sets a plan. The first event is that of an event's first plan, the second that of any other.
const SET_PLAN: &str = "with done as materialized (select fairline.set_plan($1, $2, $3, $4, $5) as version)
    select version, case when version > 0 then fairline.write_outbox(
        $1, array[case when version = 1 then 1 else 0 end], $6, $7, $8, $9, $10, $11, $12, $13) end from done";

/// Replaces a plan in use, with the event that tells of it.
const CHANGE_PLAN: &str = "with done as materialized (
        select fairline.change_plan($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) as version)
    select version, case when version > 0 then fairline.write_outbox(
        $1, '{}', $16, $17, $18, $19, $20, $21, $22, $23) end from done";

/// Sets rules. Nothing is told of an event that has no plan yet.
const SET_RULES: &str = "with done as materialized (select fairline.set_rules($1, $2, $3, $4) as is_set)
    select is_set, case when is_set and exists (select from fairline.event where event = $1 and plan is not null)
        then fairline.write_outbox($1, '{}', $5, $6, $7, $8, $9, $10, $11, $12) end from done";

const REMOVE: &str = "with done as materialized (select fairline.remove($1) as outcome)
    select outcome, case when outcome = 'removed'
        then fairline.write_outbox($1, '{}', $2, $3, $4, $5, $6, $7, $8, $9) end from done";

impl Postgres {
    pub(super) async fn replace_plan(
        &self,
        event: &EventId,
        layout: &Layout,
    ) -> Result<u32, Refused> {
        let mut version = self.set_plan(event, layout).await?;
        if version.is_none() {
            // Another node removed the event that this one still knew.
            self.forget(event);
            version = self.set_plan(event, layout).await?;
        }
        version.ok_or_else(|| Unavailable.into())
    }

    /// Sets a plan and returns its version, or `None` if the event is gone.
    async fn set_plan(&self, event: &EventId, layout: &Layout) -> Result<Option<u32>, Refused> {
        let handle = self.make(event).await?;
        let stored = self.stored_rules(event).await?;
        let rules = stored.map_or_else(Rules::default, |(rules, _)| rules);
        let offer = Some((rules.currency, Some(layout)));
        let now = handle.shard.clock.now();
        let told = [EventType::EventPublished, EventType::EventChanged]
            .map(|event_type| about_event(event_type, event, offer, now));
        let columns = OutboxColumns::of(&told);
        let (blocked, places) = self.blocked_after(&handle, layout).await?;
        let set = query(SET_PLAN)
            .bind(event.as_str())
            .bind(&layout.plan)
            .bind(layout.seats.len() as i32)
            .bind(blocked)
            .bind(places);
        let row = handle.shard.slow.fetch_optional(columns.bind(set)).await?;
        match row.and_then(|row| row.get::<Option<i32>, _>(0)) {
            None => Err(Refused::InUse),
            Some(0) => Ok(None),
            Some(version) => {
                self.load_again(&handle).await?;
                Ok(Some(version as u32))
            }
        }
    }

    /// Replaces the plan while seats are held or sold, if the difference is the one that was
    /// confirmed.
    pub(super) async fn change_plan(
        &self,
        event: &EventId,
        layout: &Layout,
        confirmation: &str,
    ) -> Result<u32, Refused> {
        for _ in 0..PLAN_TRIES_MAX {
            let handle = self.handle(event).await?.ok_or(Refused::NoSuchEvent)?;
            self.load_again(&handle).await?;
            let map = self.seat_map(event).ok_or(Refused::NoSuchEvent)?;
            let now = map.current();
            let change = confirmed((&map.layout, &now.states), layout, confirmation)?;
            let version = self
                .write_plan_change(&handle, (&map, &now.states), layout, &change)
                .await?;
            // Otherwise something was sold, or another request changed the plan or the rules.
            if version > 0 {
                self.load_again(&handle).await?;
                return Ok(version as u32);
            }
        }
        Err(Unavailable.into())
    }

    /// Writes the change of a plan and returns its version; none above 0 if it is not what it was.
    async fn write_plan_change(
        &self,
        handle: &EventHandle,
        (map, states): (&SeatMap, &[SeatState]),
        layout: &Layout,
        change: &PlanChange,
    ) -> Result<i32, Refused> {
        let offer = Some((map.currency, Some(layout)));
        let now = handle.shard.clock.now();
        let told = [about_event(
            EventType::EventChanged,
            &handle.event,
            offer,
            now,
        )];
        let columns = OutboxColumns::of(&told);
        let (watched, sold): (Vec<u32>, Vec<bool>) = change.watched.iter().copied().unzip();
        let before = &map.layout;
        let seats = before.seats.iter();
        // Arrays in SQL begin with 1.
        let categories: Vec<i32> = seats.map(|seat| i32::from(seat.category) + 1).collect();
        let of_all = before.categories.iter();
        let ids: Vec<&str> = of_all.clone().map(|category| &*category.id).collect();
        let names: Vec<&str> = of_all.clone().map(|category| &*category.name).collect();
        let prices: Vec<i64> = of_all.map(|category| category.price).collect();
        let blocked = layout.blocked_with(blocked_by_hand(before, states));
        let set = query(CHANGE_PLAN)
            .bind(handle.event.as_str())
            .bind(map.layout_version as i32)
            .bind(&before.plan)
            .bind(&layout.plan)
            .bind(layout.seats.len() as i32)
            .bind(numbers(&blocked))
            .bind(numbers(&change.places))
            .bind(numbers(&change.free))
            .bind(numbers(&change.not_held))
            .bind(numbers(&watched))
            .bind(sold)
            .bind(categories)
            .bind(ids)
            .bind(names)
            .bind(prices);
        let row = handle.shard.slow.fetch_optional(columns.bind(set)).await?;
        Ok(row.map_or(0, |row| row.get(0)))
    }

    /// Returns the seats that are blocked once a plan is set: those that it keeps out of the sale, and
    /// those that an organiser blocked in the plan before; and for each seat of that its place then.
    async fn blocked_after(
        &self,
        handle: &EventHandle,
        layout: &Layout,
    ) -> Result<(Vec<i32>, Vec<i32>), Refused> {
        self.load_again(handle).await?;
        let before = self.seat_map(&handle.event);
        let before = before.as_ref().map(|map| (&map.layout, map.current()));
        let by_hand = before
            .as_ref()
            .map(|(layout, now)| blocked_by_hand(layout, &now.states));
        let blocked = layout.blocked_with(by_hand.into_iter().flatten());
        let places = before.as_ref().map(|(before, _)| before.places_in(layout));
        Ok((numbers(&blocked), numbers(&places.unwrap_or_default())))
    }

    /// Loads the event again, or the one of the same id that was created after it was removed.
    async fn load_again(&self, handle: &EventHandle) -> Result<(), Refused> {
        match self.reload(handle).await {
            Err(_) if handle.is_gone.load(Ordering::Relaxed) => {
                self.forget(&handle.event);
                self.handle(&handle.event).await.map(drop)
            }
            reloaded => reloaded,
        }
    }

    pub(super) async fn change_rules(
        &self,
        event: &EventId,
        patch: RulesPatch,
    ) -> Result<(Rules, Rules), Refused> {
        for _ in 0..RULES_TRIES_MAX {
            let handle = self.make(event).await?;
            let Some((before, config)) = self.stored_rules(event).await? else {
                // Another node removed the event that this one still knew.
                self.forget(event);
                continue;
            };
            let after = before.with(patch.clone()).map_err(Refused::Invalid)?;
            let told = about_rules(event, (&before, &after), self.now());
            let told: Vec<OutboxEntry> = told.into_iter().collect();
            let columns = OutboxColumns::of(&told);
            let set = query(SET_RULES)
                .bind(event.as_str())
                .bind(config)
                .bind(json(&after))
                .bind(before.currency != after.currency);
            let row = handle.shard.reader().fetch_optional(columns.bind(set));
            match row.await?.and_then(|row| row.get::<Option<bool>, _>(0)) {
                None => return Err(Refused::fixed_currency()),
                // Another request changed them meanwhile, in every round.
                Some(false) => {}
                Some(true) => {
                    self.load_again(&handle).await?;
                    return Ok((before, after));
                }
            }
        }
        Err(Unavailable.into())
    }

    pub(super) async fn stored_rules(
        &self,
        event: &EventId,
    ) -> Result<Option<(Rules, i64)>, Refused> {
        let select = "select rules, config from fairline.event where event = $1";
        let shard = self.shard_of(event).await?;
        let select = query(select).bind(event.as_str());
        let row = shard.reader().fetch_optional(select).await?;
        let read = |row: PgRow| Some((serde_json::from_str(row.get(0)).ok()?, row.get(1)));
        Ok(row.and_then(read))
    }

    pub(super) async fn remove_event(&self, event: &EventId) -> Result<(), Refused> {
        let shard = self.shard_of(event).await?;
        let told = [about_event(
            EventType::EventRemoved,
            event,
            None,
            shard.clock.now(),
        )];
        let columns = OutboxColumns::of(&told);
        let remove = columns.bind(query(REMOVE).bind(event.as_str()));
        let row = shard.slow.fetch_optional(remove).await?;
        match row.as_ref().map(|row| row.get(0)) {
            Some("removed") => {
                self.forget(event);
                Ok(())
            }
            Some("missing") => Err(Refused::NoSuchEvent),
            Some("used") => Err(Refused::EventInUse),
            _ => Err(Refused::HasOrders),
        }
    }
}

/// Returns indices of seats as Postgres has them.
fn numbers(seats: &[u32]) -> Vec<i32> {
    seats.iter().map(|seat| *seat as i32).collect()
}
