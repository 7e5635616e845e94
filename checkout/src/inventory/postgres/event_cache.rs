//! In-memory copy of one event in the database: loaded once, then kept current by this node's own
//! batches and the change log of other nodes. For each seat the newest batch that changed it wins.

use super::change_log::ChangeLogEntry;
use super::database::QueryError;
use super::event_handle::EventHandle;
use super::shard::Shard;
use crate::inventory::Layout;
use crate::inventory::commands::Target;
use crate::inventory::event_state::{EventState, Plan, VISITORS_MAX, lapses_at};
use crate::inventory::layout::restore_on_a_thread;
use crate::inventory::model::*;
use crate::inventory::records::{ChangeSet, SessionRow};
use crate::inventory::rules::Rules;
use crate::inventory::seat_map::{PublishedLayout, VersionStamp};
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use uuid::Uuid;

const EVENT: &str = "select plan, plan_version, rules, secret, config, version, version_seq, \
    (extract(epoch from clock_timestamp()) * 1000)::bigint from fairline.event where event = $1";

/// The subquery looks up each hold by its key, whatever the planner makes of the table statistics.
const SEATS: &str = "select s.seat, s.state, case when s.state = 1 then (select h.lapses_at from fairline.hold h \
        where h.event = s.event and h.visitor = s.visitor and h.id = s.hold and h.state = 0) end \
    from fairline.seat s where s.event = $1 order by s.seat";

const SOME_SEATS: &str = "select s.seat, s.state, case when s.state = 1 then (select h.lapses_at from fairline.hold h \
        where h.event = s.event and h.visitor = s.visitor and h.id = s.hold and h.state = 0) end \
    from fairline.seat s where s.event = $1 and s.seat = any($2)";

const VERSIONS: &str = "select v.version, v.to_seq, c.seq, c.refused, c.changes, c.opened from fairline.version v \
    left join fairline.change c on c.event = v.event and c.seq > v.after_seq and c.seq <= v.to_seq \
    where v.event = $1 and v.version > $2 order by v.version, c.seq";

/// Usual largest distance between the numbers of batches written concurrently. An entry outside it
/// arrives with the next version.
const WINDOW: i64 = 32;

/// Open sessions. No index covers them, as each node reads them only once.
const SESSIONS: &str = "select key, visitor, number, jti, expires_at from fairline.session \
    where event = $1 and not is_over and expires_at > $2 limit $3";

/// In-memory copy of one event.
pub(super) struct EventCache {
    pub(super) event_state: EventState,
    /// Configuration number, increased with every change of the plan or the rules.
    pub(super) config: i64,
    /// For each seat, the newest batch known to have changed it.
    seqs: Vec<i64>,
    /// For each seat, the number of requests in flight that change it.
    pending: Vec<u16>,
    /// Number of the newest batch in the published version; all batches up to it are applied.
    horizon: i64,
    /// Batches of other nodes after `horizon` that are applied too.
    seen: BTreeSet<i64>,
    version: i64,
}

impl EventCache {
    /// Loads an event, then its seats. The seats may be newer than the event; applying their log
    /// entries again is harmless.
    pub(super) async fn load(
        shard: &Shard,
        handle: &EventHandle,
    ) -> Result<EventCache, QueryError> {
        let id = handle.event.as_str();
        let row = shard.reader().fetch_optional(query(EVENT).bind(id)).await?;
        let row = row.filter(|row| handle.is_of(row.get(3)));
        let Some(row) = row else {
            handle.is_gone.store(true, Ordering::Relaxed);
            return Err(QueryError::Rejected(format!(
                "the event {id} no longer exists"
            )));
        };
        let damaged = |error: String| QueryError::Rejected(format!("the event {id}: {error}"));
        let rules: String = row.get(2);
        let rules: Rules =
            serde_json::from_str(&rules).map_err(|error| damaged(error.to_string()))?;
        let (version, now): (i64, Time) = (row.get(5), Time(row.get(7)));
        shard.clock.set(now);
        if version < handle.version.load(Ordering::Relaxed) {
            // The database lost commits, and the poll that notices that has yet to come. Nothing
            // older than what was shown is shown until versions were skipped.
            handle.must_start_over.store(true, Ordering::Relaxed);
            return Err(QueryError::Unreachable);
        }
        let mut event_state = EventState::new(handle.event.clone(), rules, row.get(3));
        let mut seqs = Vec::new();
        if let Some(plan) = row.get::<Option<String>, _>(0) {
            let seats = shard.reader().fetch(query(SEATS).bind(id)).await?;
            let seats: Vec<(SeatState, i64)> = seats.iter().map(|row| read_seat(row).1).collect();
            seqs = vec![row.get::<i64, _>(6); seats.len()];
            let plan_version: i32 = row.get(1);
            let stamp = VersionStamp {
                version: version as u64,
                at: shard.clock.now(),
            };
            let rules = &event_state.rules;
            let (currency, charges) = (rules.currency, rules.charges.clone());
            let cancelled = rules.cancelled.clone();
            let layout = restore_on_a_thread(plan).await;
            let plan = Plan::load(&handle.event, layout, seats, |layout, states| {
                let layout = PublishedLayout {
                    layout,
                    version: plan_version as u32,
                    currency,
                    charges,
                    cancelled,
                };
                handle.show(layout, states, stamp)
            });
            event_state.plan = Some(plan.map_err(damaged)?);
        } else {
            handle.show_none();
        }
        let config: i64 = row.get(4);
        handle.config.store(config, Ordering::Relaxed);
        handle.version.store(version, Ordering::Relaxed);
        Ok(EventCache {
            event_state,
            config,
            pending: vec![0; seqs.len()],
            seqs,
            horizon: row.get(6),
            seen: BTreeSet::new(),
            version,
        })
    }

    /// Loads the open sessions, so that a node that starts later need not look up every fan.
    pub(super) async fn read_sessions(&mut self, shard: &Shard) -> Result<(), QueryError> {
        let (event, now) = (self.event_state.event.clone(), shard.clock.now().0);
        let select = query(SESSIONS).bind(event.as_str());
        let select = select.bind(now).bind(VISITORS_MAX as i64);
        for row in shard.reader().fetch(select).await? {
            self.event_state.visitors.learn(SessionRow {
                key: row.get::<&[u8], _>(0).try_into().unwrap_or_default(),
                visitor: VisitorId(row.get::<Uuid, _>(1).as_u128()),
                number: row.get::<i64, _>(2) as u64,
                jti: row.get(3),
                token: String::new(),
                expires_at: Time(row.get(4)),
                is_over: false,
                report: 0,
            });
        }
        Ok(())
    }

    /// Returns the layout of the event's plan, if it has one.
    pub(super) fn layout(&self) -> Option<Arc<Layout>> {
        let plan = self.event_state.plan.as_ref();
        plan.map(|plan| plan.layout.clone())
    }

    /// Returns the version of the event's plan, 0 if it has none.
    pub(super) fn plan_version(&self) -> u32 {
        let plan = self.event_state.plan.as_ref();
        plan.map_or(0, |plan| plan.seat_map.layout_version)
    }

    /// Returns whether the visitor of a request is in memory. A new visitor need not be: the unique
    /// row of the admission decides.
    pub(super) fn knows(&self, target: &Target, visitor: Option<VisitorId>) -> bool {
        match target {
            Target::Newcomer(..) | Target::Event => true,
            Target::Session(_) | Target::Order(_) | Target::Visitor(_) => {
                visitor.is_some_and(|visitor| self.event_state.visitors.get(visitor).is_some())
            }
        }
    }

    /// Returns the batches of other nodes known here: all up to the first number, and those listed.
    pub(super) fn known(&self) -> (i64, Vec<i64>) {
        let newest = self.seen.last().copied().unwrap_or(0);
        let known = self.horizon.max(newest - WINDOW);
        (known, self.seen.range(known + 1..).copied().collect())
    }

    /// Applies change-log entries of other nodes.
    pub(super) fn apply_remote(&mut self, others: &[ChangeLogEntry]) {
        for written in others {
            self.apply(written);
            self.seen.insert(written.seq);
        }
    }

    /// Applies the sessions and seats of an entry and returns its seats. A seat with a newer known
    /// change keeps it.
    fn apply(&mut self, written: &ChangeLogEntry) -> Vec<(u32, SeatState)> {
        for session in written.sessions() {
            self.event_state.visitors.learn(session);
        }
        let Some(plan) = &mut self.event_state.plan else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        for (seat, state, lapses_at) in written.seats() {
            taken.push((seat, state));
            if let Some(newest) = self.seqs.get_mut(seat as usize)
                && written.seq > *newest
            {
                *newest = written.seq;
                plan.states.set(&plan.layout, seat, state, lapses_at);
            }
        }
        taken
    }

    /// Records that a request is in flight. A seat it takes counts as taken at once; a seat it
    /// frees stays taken until the commit, so that no decision relies on a change that may yet
    /// fail.
    pub(super) fn send(&mut self, changes: &ChangeSet) {
        let Some(plan) = &mut self.event_state.plan else {
            return;
        };
        for change in &changes.seats {
            let (seat, state) = (change.seat, change.to.state);
            if state != SeatState::Available {
                plan.states.set(&plan.layout, seat, state, change.lapses_at);
            }
            self.pending[seat as usize] += 1;
        }
    }

    /// Records that a request is no longer in flight.
    fn completed(&mut self, changes: &ChangeSet) {
        for change in &changes.seats {
            if let Some(pending) = self.pending.get_mut(change.seat as usize) {
                *pending = pending.saturating_sub(1);
            }
        }
    }

    /// Reverts a request that was refused. Seats without a newer change return to their previous
    /// state.
    pub(super) fn refused(&mut self, changes: &ChangeSet) {
        self.completed(changes);
        let Some(plan) = &mut self.event_state.plan else {
            return;
        };
        for change in changes.takes() {
            let at = change.seat as usize;
            let is_ours = plan.states.seats.get(at) == Some(&change.to.state)
                && plan.states.lapses_at[at] == change.lapses_at;
            if is_ours && self.pending[at] == 0 {
                plan.states
                    .set(&plan.layout, change.seat, change.from.state, 0);
            }
        }
    }

    /// Returns whether a seat that the request tried to take is now known to be taken, which
    /// explains a refusal.
    pub(super) fn explains(&self, changes: &ChangeSet) -> bool {
        let states = self
            .event_state
            .plan
            .as_ref()
            .map(|plan| &plan.states.seats);
        let state = |seat: u32| states.and_then(|states| states.get(seat as usize));
        changes
            .takes()
            .any(|change| state(change.seat) != Some(&change.from.state))
    }

    /// Applies a request that was written with batch `seq`. Seats with a newer known change keep
    /// it.
    pub(super) fn committed(&mut self, changes: &ChangeSet, seq: i64) {
        self.completed(changes);
        let Some(plan) = &mut self.event_state.plan else {
            return;
        };
        for change in &changes.seats {
            let at = change.seat as usize;
            let Some(newest) = self.seqs.get_mut(at).filter(|newest| seq > **newest) else {
                continue;
            };
            *newest = seq;
            if self.pending[at] == 0 {
                let (state, lapses_at) = (change.to.state, change.lapses_at);
                plan.states.set(&plan.layout, change.seat, state, lapses_at);
            }
        }
        self.event_state.freeze(&changes.frozen);
    }

    /// Reads some seats again.
    pub(super) async fn read_seats(
        &mut self,
        shard: &Shard,
        event: &EventId,
        seats: &[i32],
    ) -> Result<(), QueryError> {
        let select = query(SOME_SEATS).bind(event.as_str()).bind(seats);
        let rows = shard.reader().fetch(select).await?;
        if let Some(plan) = &mut self.event_state.plan {
            for row in rows {
                let (seat, (state, lapses_at)) = read_seat(&row);
                plan.states.set(&plan.layout, seat, state, lapses_at);
            }
        }
        Ok(())
    }

    /// Applies the changes of other nodes and publishes the versions since. Returns `false` if a
    /// version is missing or the configuration has changed, so that the event must be loaded again.
    /// Versions are skipped by a node that noticed that the database went back, so all that is known
    /// here may be of commits that are lost.
    pub(super) async fn follow(
        &mut self,
        shard: &Shard,
        handle: &EventHandle,
    ) -> Result<bool, QueryError> {
        if handle.config.load(Ordering::Relaxed) != self.config {
            return Ok(false);
        }
        let select = query(VERSIONS).bind(handle.event.as_str());
        let rows = shard.reader().fetch(select.bind(self.version)).await?;
        let now = shard.clock.now();
        let mut versions: BTreeMap<i64, (i64, Vec<(u32, SeatState)>)> = BTreeMap::new();
        for row in &rows {
            let (version, to_seq): (i64, i64) = (row.get(0), row.get(1));
            let (_, changes) = versions.entry(version).or_insert((to_seq, Vec::new()));
            if let Some(seq) = row.get::<Option<i64>, _>(2) {
                changes.extend(self.apply(&ChangeLogEntry {
                    seq,
                    refused: row.get(3),
                    changes: row.get(4),
                    opened: row.get(5),
                }));
            }
        }
        let Some(plan) = &self.event_state.plan else {
            return Ok(true);
        };
        for (version, (to_seq, changes)) in versions {
            if version != self.version + 1 {
                handle.must_start_over.store(true, Ordering::Relaxed);
                return Ok(false);
            }
            let stamp = VersionStamp {
                version: version as u64,
                at: now,
            };
            plan.seat_map.apply(&changes, stamp);
            self.version = version;
            self.horizon = to_seq;
        }
        self.seen = self.seen.split_off(&(self.horizon + 1));
        handle.version.store(self.version, Ordering::Relaxed);
        let is_missing = self.version < handle.polled_version.load(Ordering::Relaxed);
        if is_missing {
            handle.must_start_over.store(true, Ordering::Relaxed);
        }
        Ok(!is_missing)
    }
}

fn read_seat(row: &PgRow) -> (u32, (SeatState, i64)) {
    let state = SeatState::of(row.get::<i16, _>(1).into());
    let seat: i32 = row.get(0);
    (seat as u32, (state, lapses_at(state, row.get(2))))
}
