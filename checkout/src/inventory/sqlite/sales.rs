//! The organiser's side and the passing of time: plans, rules, blocked seats, figures, the sweep.

use super::{Plan, Step, Store, json, must_change};
use crate::inventory::best::States;
use crate::inventory::layout::Layout;
use crate::inventory::words::*;
use rusqlite::params;
use shared::idempotency::KEPT_SECONDS;
use shared::time::Time;
use shared::words::EventId;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// A provider that has not answered for this long is asked what became of the payment.
const SILENCE_MS: i64 = 15_000;
const SWEEP_MAX: u32 = 500;

impl Store {
    pub(super) fn set_seating(&mut self, event: &EventId, layout: Layout) -> Step<u32> {
        let house = self.house(event)?;
        let mut version = 1;
        if let Some(plan) = &house.plan {
            let [_, held, booked, _] = plan.states.counts;
            if held + booked > 0 {
                return Ok(Err(Refused::InUse));
            }
            version = plan.board.layout_version + 1;
        }
        let currency = house.rules.currency.clone();
        self.write()?;
        let event_id = event.as_str();
        self.db
            .execute("delete from seat where event = ?1", [event_id])?;
        {
            let mut insert = self
                .db
                .prepare_cached("insert into seat (event, seat) values (?1, ?2)")?;
            for seat in 0..layout.seats.len() as u32 {
                insert.execute(params![event_id, seat])?;
            }
        }
        self.db.execute(
            "update event set plan = ?2, plan_version = ?3 where event = ?1",
            params![event_id, layout.plan, version],
        )?;
        let layout = Arc::new(layout);
        let seats = vec![SeatState::Available; layout.seats.len()];
        let board = self.new_board(event, (layout.clone(), version), &currency, seats.clone());
        let states = States::new(&layout, seats);
        self.house(event)?.plan = Some(Plan {
            layout,
            states,
            board,
            changed: Vec::new(),
        });
        Ok(Ok(version))
    }

    pub(super) fn set_rules(&mut self, event: &EventId, patch: RulesPatch) -> Step<(Rules, Rules)> {
        let before = self.house(event)?.rules.clone();
        let after = match before.with(patch) {
            Ok(rules) => rules,
            Err(mistakes) => return Ok(Err(Refused::Invalid(mistakes))),
        };
        if after.currency != before.currency {
            let has_orders = self
                .db
                .prepare_cached("select 1 from orders where event = ?1 limit 1")?
                .exists([event.as_str()])?;
            if has_orders {
                let why = "cannot be changed once there are orders".to_owned();
                return Ok(Err(Refused::Invalid(vec![("currency".to_owned(), why)])));
            }
        }
        self.write()?;
        self.db.execute(
            "update event set rules = ?2 where event = ?1",
            params![event.as_str(), json(&after)],
        )?;
        self.house(event)?.rules = after.clone();
        if after.currency != before.currency {
            self.show_new_currency(event, &after.currency)?;
        }
        Ok(Ok((before, after)))
    }

    /// The layout's prices are shown in the new currency: it gets a new version.
    fn show_new_currency(&mut self, event: &EventId, currency: &str) -> rusqlite::Result<()> {
        let Some(plan) = self.houses.get(event).and_then(|house| house.plan.as_ref()) else {
            return Ok(());
        };
        let version = plan.board.layout_version + 1;
        let seats = plan.states.seats.clone();
        let board = self.new_board(event, (plan.layout.clone(), version), currency, seats);
        let update = "update event set plan_version = ?2 where event = ?1";
        self.db.execute(update, params![event.as_str(), version])?;
        if let Some(plan) = self
            .houses
            .get_mut(event)
            .and_then(|house| house.plan.as_mut())
        {
            plan.board = board;
        }
        Ok(())
    }

    pub(super) fn block(&mut self, event: &EventId, ids: &[String], change: Block) -> Step<()> {
        let Some(plan) = self.houses.get(event).and_then(|house| house.plan.as_ref()) else {
            return Ok(Err(Refused::NoSuchEvent));
        };
        let unknown: Vec<String> = ids
            .iter()
            .filter(|id| plan.layout.find(id).is_none())
            .cloned()
            .collect();
        if !unknown.is_empty() {
            return Ok(Err(Refused::UnknownSeats(unknown)));
        }
        let (from, to) = match change {
            Block::Block => (SeatState::Available, SeatState::Blocked),
            Block::Unblock => (SeatState::Blocked, SeatState::Available),
        };
        let mut wanted: Vec<u32> = ids.iter().filter_map(|id| plan.layout.find(id)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        // What is so already needs nothing; what is somebody's cannot be blocked.
        wanted.retain(|seat| plan.states.seats[*seat as usize] != to);
        let taken: Vec<String> = wanted
            .iter()
            .filter(|seat| plan.states.seats[**seat as usize] != from)
            .map(|seat| plan.layout.seats[*seat as usize].id.to_string())
            .collect();
        if !taken.is_empty() {
            return Ok(Err(Refused::SeatsTaken(taken)));
        }
        self.write()?;
        let mut update = self.db.prepare_cached(
            "update seat set state = ?4 where event = ?1 and seat = ?2 and state = ?3",
        )?;
        let plan = self
            .houses
            .get_mut(event)
            .and_then(|house| house.plan.as_mut());
        let plan = plan.expect("it was there above");
        for seat in wanted {
            must_change(
                update.execute(params![event.as_str(), seat, from as i64, to as i64])?,
                1,
            )?;
            plan.set(seat, to);
        }
        Ok(Ok(()))
    }

    pub(super) fn sales(&self, event: &EventId) -> Step<Sales> {
        let Some(house) = self.houses.get(event) else {
            return Ok(Err(Refused::NoSuchEvent));
        };
        let [available, held, booked, blocked] = house
            .plan
            .as_ref()
            .map_or([0; 4], |plan| plan.states.counts);
        let mut orders = BTreeMap::new();
        let mut revenue = 0;
        let mut query = self.db.prepare_cached(
            "select state, count(*), sum(total) from orders where event = ?1 group by state",
        )?;
        let mut rows = query.query([event.as_str()])?;
        while let Some(row) = rows.next()? {
            let state: String = row.get(0)?;
            if state == "confirmed" {
                revenue = row.get(2)?;
            }
            orders.insert(state, row.get(1)?);
        }
        Ok(Ok(Sales {
            capacity: available + held + booked + blocked,
            available,
            held,
            booked,
            blocked,
            orders,
            revenue: Money {
                amount: revenue,
                currency: house.rules.currency.clone(),
            },
        }))
    }

    pub(super) fn sweep(&mut self, now: Time) -> Step<Swept> {
        let mut swept = Swept {
            seats_released: self.release_lapsed(now)?,
            ..Swept::default()
        };
        let late: Vec<(EventId, String)> = {
            let mut query = self.db.prepare_cached(
                "select event, id from orders where state in ('paying', 'declined', 'confirming') and pay_by <= ?1
                 order by pay_by limit ?2",
            )?;
            let rows = query.query_map(params![now.0, SWEEP_MAX], |row| {
                Ok((super::sessions::event_of(row, 0)?, row.get(1)?))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (event, order) in &late {
            swept.seats_released += self.expire_order(event, order)?;
        }
        swept.has_more = swept.seats_released >= SWEEP_MAX || late.len() as u32 == SWEEP_MAX;
        swept.due = self.payments(
            "select event, id, amount, settles_at from payment where state = 'processing'
             and coalesce(settles_at, begun_at + ?2) <= ?1 limit 200",
            params![now.0, SILENCE_MS],
        )?;
        let refunds = self.payments(
            "select event, id, amount, settles_at from payment where state = 'refunding' limit 200",
            [],
        )?;
        swept.refunds = refunds.into_iter().map(|(payment, _)| payment).collect();
        self.prune(now)?;
        Ok(Ok(swept))
    }

    fn payments(
        &self,
        query: &str,
        params: impl rusqlite::Params,
    ) -> rusqlite::Result<Vec<(PaymentRef, Option<Time>)>> {
        let mut query = self.db.prepare_cached(query)?;
        let rows = query.query_map(params, |row| {
            let amount = Money {
                amount: row.get(2)?,
                currency: String::new(),
            };
            let event = super::sessions::event_of(row, 0)?;
            let settles_at: Option<i64> = row.get(3)?;
            Ok((
                PaymentRef {
                    event,
                    id: row.get(1)?,
                    amount,
                },
                settles_at.map(Time),
            ))
        })?;
        rows.collect()
    }

    /// Forgets answers after their four days. Looked for first, so that an idle sweep writes nothing.
    fn prune(&mut self, now: Time) -> rusqlite::Result<()> {
        let before = now.0 - i64::from(KEPT_SECONDS) * 1000;
        let has_old = self
            .db
            .prepare_cached("select 1 from answer where at < ?1 limit 1")?
            .exists([before])?;
        if has_old {
            self.write()?;
            self.db
                .prepare_cached("delete from answer where id in (select id from answer where at < ?1 limit 1000)")?
                .execute([before])?;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, event: &EventId) -> Step<()> {
        let booked = "select 1 from orders where event = ?1
                      and state in ('confirmed', 'refunding', 'refunded', 'needs_review') limit 1";
        if self.db.prepare_cached(booked)?.exists([event.as_str()])? {
            return Ok(Err(Refused::HasOrders));
        }
        self.write()?;
        for table in [
            "ticket", "payment", "orders", "hold", "session", "seat", "event",
        ] {
            self.db.execute(
                &format!("delete from {table} where event = ?1"),
                [event.as_str()],
            )?;
        }
        self.houses.remove(event);
        self.boards
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(event);
        Ok(Ok(()))
    }
}
