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
use crate::inventory::plan_change::{PlanChange, compare_on_a_thread};
use crate::inventory::rules::{Rules, RulesPatch};
use crate::inventory::seat_map::SeatMap;
use shared::group_commit::Unavailable;
use shared::ids::EventId;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Largest number of attempts to change rules that others change at the same time.
const RULES_TRIES_MAX: usize = 10;
/// Largest number of attempts to replace a plan that others change, or whose seats are sold, at the
/// same time.
const PLAN_TRIES_MAX: usize = 5;

/// Sets a plan. The first event is that of an event's first plan, the second that of any other.
const SET_PLAN: &str = "with done as materialized (select fairline.set_plan($1, $2, $3, $4, $5, $6, $7, $8) as version)
    select version, case when version > 0 then fairline.write_outbox(
        $1, array[case when version = 1 then 1 else 0 end], $9, $10, $11, $12, $13, $14, $15, $16) end from done";

/// Replaces a plan in use, with the event that tells of it.
const CHANGE_PLAN: &str = "with done as materialized (
        select fairline.change_plan($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) as version)
    select version, case when version > 0 then fairline.write_outbox(
        $1, '{}', $17, $18, $19, $20, $21, $22, $23, $24) end from done";

/// Sets rules. Nothing is told of an event that has no plan yet.
const SET_RULES: &str = "with done as materialized (select fairline.set_rules($1, $2, $3, $4) as is_set)
    select is_set, case when is_set and exists (select from fairline.event where event = $1 and plan is not null)
        then fairline.write_outbox($1, '{}', $5, $6, $7, $8, $9, $10, $11, $12) end from done";

const REMOVE: &str = "with done as materialized (select fairline.remove($1) as outcome),
    gone as (delete from fairline.sales_hour where event = $1 and (select outcome from done) = 'removed'),
    no_mails as (delete from fairline.line_mail where event = $1 and (select outcome from done) = 'removed'),
    no_pushes as (delete from fairline.line_push where event = $1 and (select outcome from done) = 'removed'),
    no_messages as (delete from fairline.line_message where event = $1 and (select outcome from done) = 'removed'),
    no_counts as (delete from fairline.line_count where event = $1 and (select outcome from done) = 'removed')
    select outcome, case when outcome = 'removed'
        then fairline.write_outbox($1, '{}', $2, $3, $4, $5, $6, $7, $8, $9) end from done";

impl Postgres {
    pub(super) async fn replace_plan(
        &self,
        event: &EventId,
        layout: &Layout,
    ) -> Result<u32, Refused> {
        for _ in 0..PLAN_TRIES_MAX {
            if let Some(version) = self.set_plan(event, layout).await? {
                return Ok(version);
            }
        }
        Err(Unavailable.into())
    }

    /// Sets a plan and returns its version, or `None` if the event is gone, is being moved, or has
    /// another plan by now.
    async fn set_plan(&self, event: &EventId, layout: &Layout) -> Result<Option<u32>, Refused> {
        let handle = self.make(event).await?;
        let stored = self.stored_rules(event).await?;
        let rules = stored.map_or_else(Rules::default, |(rules, _)| rules);
        let offer = Some((rules.currency, Some(layout)));
        let now = handle.shard.clock.now();
        let told = [EventType::EventPublished, EventType::EventChanged]
            .map(|event_type| about_event(event_type, event, offer, now));
        let columns = OutboxColumns::of(&told);
        self.load_again(&handle).await?;
        let map = self.seat_map(event);
        let before = map.as_ref().map(|map| &map.layout);
        let places = before.map(|before| before.places_in(layout));
        let set = query(SET_PLAN)
            .bind(event.as_str())
            .bind(map.as_ref().map_or(0, |map| map.layout_version as i32))
            .bind(before.map(|before| &before.plan))
            .bind(&layout.plan)
            .bind(layout.seats.len() as i32)
            .bind(numbers(layout.blocked()))
            .bind(numbers(places.into_iter().flatten()))
            .bind(numbers(
                before.into_iter().flat_map(|before| before.blocked()),
            ));
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
        layout: Arc<Layout>,
        confirmation: &str,
    ) -> Result<u32, Refused> {
        for _ in 0..PLAN_TRIES_MAX {
            let handle = self.handle(event).await?.ok_or(Refused::NoSuchEvent)?;
            self.load_again(&handle).await?;
            let map = self.seat_map(event).ok_or(Refused::NoSuchEvent)?;
            let change = compare_on_a_thread(&map, layout.clone()).await?;
            let change = change.confirmed_by(confirmation)?;
            let version = self
                .write_plan_change(&handle, &map, &layout, change)
                .await?;
            // Otherwise something was sold, another request changed the plan or the rules, or the event
            // is being moved.
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
        map: &SeatMap,
        layout: &Layout,
        change: PlanChange,
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
        let (watched, sold): (Vec<u32>, Vec<bool>) = change.watched.into_iter().unzip();
        let before = &map.layout;
        let seats = before.seats.iter();
        // Arrays in SQL begin with 1.
        let categories: Vec<i32> = seats.map(|seat| i32::from(seat.category) + 1).collect();
        let of_all = before.categories.iter();
        let ids: Vec<&str> = of_all.clone().map(|category| &*category.id).collect();
        let names: Vec<&str> = of_all.clone().map(|category| &*category.name).collect();
        let prices: Vec<i64> = of_all.map(|category| category.price).collect();
        let set = query(CHANGE_PLAN)
            .bind(handle.event.as_str())
            .bind(map.layout_version as i32)
            .bind(&before.plan)
            .bind(&layout.plan)
            .bind(layout.seats.len() as i32)
            .bind(numbers(layout.blocked()))
            .bind(numbers(change.places))
            .bind(numbers(before.blocked()))
            .bind(numbers(change.free))
            .bind(numbers(change.not_held))
            .bind(numbers(watched))
            .bind(sold)
            .bind(categories)
            .bind(ids)
            .bind(names)
            .bind(prices);
        let row = handle.shard.slow.fetch_optional(columns.bind(set)).await?;
        Ok(row.map_or(0, |row| row.get(0)))
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
fn numbers(seats: impl IntoIterator<Item = u32>) -> Vec<i32> {
    seats.into_iter().map(|seat| seat as i32).collect()
}
