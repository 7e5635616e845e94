//! One event in memory, as the database has it: read whole, then kept current by this node's own batches and by what others
//! did, each seat by the newest batch that changed it.

use super::link::{Failed, Param};
use super::{Desk, Shard};
use crate::inventory::board::Board;
use crate::inventory::desk::Whose;
use crate::inventory::house::{House, Plan, lapses_at};
use crate::inventory::rows::Changes;
use crate::inventory::words::*;
use shared::time::Time;
use shared::words::{EventId, VisitorId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_postgres::types::Type;

const EVENT: &str = "select plan, plan_version, rules, secret, config, version, version_seq, seq, \
    (extract(epoch from clock_timestamp()) * 1000)::bigint from fairline.event where event = $1";

/// Each hold is looked up by its key, whatever the planner thinks of the tables.
const SEATS: &str = "select s.seat, s.state, case when s.state = 1 then (select h.lapses_at from fairline.hold h \
        where h.event = s.event and h.visitor = s.visitor and h.id = s.hold and h.state = 'active') end \
    from fairline.seat s where s.event = $1 order by s.seat";

const SOME_SEATS: &str = "select s.seat, s.state, case when s.state = 1 then (select h.lapses_at from fairline.hold h \
        where h.event = s.event and h.visitor = s.visitor and h.id = s.hold and h.state = 'active') end \
    from fairline.seat s where s.event = $1 and s.seat = any($2)";

const CHANGES: &str = "select seq, seats, states, lapses_at from fairline.change where event = $1 and seq > $2 order by seq";

const NEWS: &str = "select v.version, v.to_seq, c.seq, c.seats, c.states, c.lapses_at from fairline.version v \
    left join fairline.change c on c.event = v.event and c.seq > v.after_seq and c.seq <= v.to_seq \
    where v.event = $1 and v.version > $2 order by v.version, c.seq";

/// One event.
pub(super) struct Hall {
    pub(super) house: House,
    /// Rises with the plan and the rules.
    pub(super) config: i64,
    /// The newest batch that changed each seat, as far as this node knows.
    seqs: Vec<i64>,
    /// All batches up to this one are in the states of the seats.
    seen_seq: i64,
    version: i64,
}

impl Hall {
    /// Reads an event. The event first, then its seats: these may be newer, and what is heard of them again is no harm.
    pub(super) async fn load(shard: &Shard, desk: &Desk) -> Result<Hall, Failed> {
        let link = shard.reader();
        let id = desk.event.as_str();
        let rows = link.ask(EVENT, &[(&id, Type::TEXT)]).await?;
        let Some(row) = rows.first() else {
            return Err(Failed::Refused(format!("there is no event {id} any more")));
        };
        let damaged = |error: String| Failed::Refused(format!("the event {id}: {error}"));
        let rules: String = row.get(2);
        let rules: Rules =
            serde_json::from_str(&rules).map_err(|error| damaged(error.to_string()))?;
        let (version, now): (i64, Time) = (row.get(5), Time(row.get(8)));
        shard.clock.hear(now);
        let mut house = House::new(desk.event.clone(), rules, row.get(3));
        let mut seqs = Vec::new();
        if let Some(plan) = row.get::<_, Option<String>>(0) {
            let seats = link.ask(SEATS, &[(&id, Type::TEXT)]).await?;
            let seats: Vec<(SeatState, i64)> = seats.iter().map(|row| read_seat(row).1).collect();
            seqs = vec![row.get::<_, i64>(7); seats.len()];
            let plan_version: i32 = row.get(1);
            let at = (version as u64, shard.clock.now());
            let currency = house.rules.currency.clone();
            let plan = Plan::load(&desk.event, &plan, seats, |layout, states| {
                desk.show((layout, plan_version as u32), currency, states, at)
            });
            house.plan = Some(plan.map_err(damaged)?);
        }
        let config: i64 = row.get(4);
        desk.config.store(config, Ordering::Relaxed);
        desk.version.store(version, Ordering::Relaxed);
        Ok(Hall {
            house,
            config,
            seqs,
            seen_seq: row.get(7),
            version,
        })
    }

    /// Whether the visitor of a request is in memory. A newcomer need not be: the admission's own row decides.
    pub(super) fn knows(&self, whose: &Whose) -> bool {
        let visits = &self.house.visits;
        match whose {
            Whose::Session(key) => visits
                .of_session(key)
                .is_some_and(|visitor| visits.get(visitor).is_some()),
            Whose::Order(order) => visits
                .of_order(order)
                .is_some_and(|visitor| visits.get(visitor).is_some()),
            Whose::Visitor(visitor) => visits.get(*visitor).is_some(),
            Whose::Newcomer(..) | Whose::Nobody => true,
        }
    }

    /// The visitor of a request.
    pub(super) fn visitor(&self, whose: &Whose) -> Option<VisitorId> {
        let visits = &self.house.visits;
        match whose {
            Whose::Session(key) => visits.of_session(key),
            Whose::Order(order) => visits.of_order(order),
            Whose::Visitor(visitor) | Whose::Newcomer(visitor, _) => Some(*visitor),
            Whose::Nobody => None,
        }
    }

    /// A batch of this node was written as `seq`. False when others wrote before it, which is not known yet.
    pub(super) fn follows(&mut self, seq: i64) -> bool {
        let follows = seq <= self.seen_seq + 1;
        if follows {
            self.seen_seq = self.seen_seq.max(seq);
        }
        follows
    }

    /// Takes what other nodes changed of the seats, as they wrote it.
    pub(super) async fn catch_up(&mut self, shard: &Shard, desk: &Desk) -> Result<(), Failed> {
        let id = desk.event.as_str();
        let params: [Param<'_>; 2] = [(&id, Type::TEXT), (&self.seen_seq, Type::INT8)];
        for row in shard.reader().ask(CHANGES, &params).await? {
            let seq: i64 = row.get(0);
            self.take(seq, &row, 1);
            self.seen_seq = seq;
        }
        Ok(())
    }

    /// Takes the seats of a batch, from three columns of a row; each only if nothing newer is known of it. Answers them.
    fn take(&mut self, seq: i64, row: &tokio_postgres::Row, at: usize) -> Vec<(u32, SeatState)> {
        let Some(plan) = &mut self.house.plan else {
            return Vec::new();
        };
        let seats: Vec<i32> = row.get(at);
        let states: Vec<i16> = row.get(at + 1);
        let lapses: Vec<i64> = row.get(at + 2);
        let mut taken = Vec::with_capacity(seats.len());
        for ((seat, state), lapses_at) in seats.into_iter().zip(states).zip(lapses) {
            let (seat, state) = (seat as u32, SeatState::of(state.into()));
            taken.push((seat, state));
            let newest = &mut self.seqs[seat as usize];
            if seq > *newest {
                *newest = seq;
                plan.states.set(&plan.layout, seat, state, lapses_at);
            }
        }
        taken
    }

    /// What a request changed was written with batch `seq`.
    pub(super) fn committed(&mut self, changes: &Changes, seq: i64) {
        self.house.freeze(&changes.frozen);
        for change in &changes.seats {
            if let Some(newest) = self.seqs.get_mut(change.seat as usize) {
                *newest = seq.max(*newest);
            }
        }
    }

    /// Reads some seats anew.
    pub(super) async fn read_seats(
        &mut self,
        shard: &Shard,
        event: &EventId,
        seats: &[i32],
    ) -> Result<(), Failed> {
        let id = event.as_str();
        let params: [Param<'_>; 2] = [(&id, Type::TEXT), (&seats, Type::INT4_ARRAY)];
        let rows = shard.reader().ask(SOME_SEATS, &params).await?;
        if let Some(plan) = &mut self.house.plan {
            for row in rows {
                let (seat, (state, lapses_at)) = read_seat(&row);
                plan.states.set(&plan.layout, seat, state, lapses_at);
            }
        }
        Ok(())
    }

    /// Takes what others did and shows the versions since. False when that cannot be followed.
    pub(super) async fn follow(&mut self, shard: &Shard, desk: &Desk) -> Result<bool, Failed> {
        if desk.config.load(Ordering::Relaxed) != self.config {
            return Ok(false);
        }
        let id = desk.event.as_str();
        let params: [Param<'_>; 2] = [(&id, Type::TEXT), (&self.version, Type::INT8)];
        let rows = shard.reader().ask(NEWS, &params).await?;
        let now = shard.clock.now();
        let mut versions: BTreeMap<i64, Vec<(u32, SeatState)>> = BTreeMap::new();
        for row in &rows {
            versions.entry(row.get(0)).or_default();
            if let Some(seq) = row.get::<_, Option<i64>>(2) {
                let taken = self.take(seq, row, 3);
                versions.entry(row.get(0)).or_default().extend(taken);
            }
        }
        let Some(plan) = &self.house.plan else {
            return Ok(true);
        };
        for (version, changes) in versions {
            if version != self.version + 1 {
                return Ok(false);
            }
            plan.board.follow(&changes, (version as u64, now));
            self.version = version;
        }
        desk.version.store(self.version, Ordering::Relaxed);
        Ok(true)
    }
}

fn read_seat(row: &tokio_postgres::Row) -> (u32, (SeatState, i64)) {
    let state = SeatState::of(row.get::<_, i16>(1).into());
    let seat: i32 = row.get(0);
    (seat as u32, (state, lapses_at(state, row.get(2))))
}

impl Desk {
    /// The board that shows this plan: the one that is there, if it is of the same version.
    fn show(
        &self,
        (layout, plan_version): (Arc<crate::inventory::Layout>, u32),
        currency: String,
        states: Vec<SeatState>,
        at: (u64, Time),
    ) -> Arc<Board> {
        let mut board = self
            .board
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(board) = board
            .as_ref()
            .filter(|board| board.layout_version == plan_version)
        {
            board.jump(states, at);
            return board.clone();
        }
        let new = Board::at(
            (self.event.clone(), currency),
            (layout, plan_version),
            states,
            at,
        );
        let new = Arc::new(new);
        *board = Some(new.clone());
        new
    }
}
