//! The Redis engine: any number of nodes share one line. Each operation is one script, sent in batches; positions
//! come from the bitmap that every tick returns, so that no request asks Redis for a rank.

mod address;
mod audit;
mod backup;
mod batch;
mod cache;
mod connection;
mod drawing;
mod event_line;
mod registry;
mod script;
mod sign_outs;

use super::{
    Claimed, DrawState, EventSettings, Joined, LINE_LENGTH_MAX, Line, LineView, Patch, Phase,
    Refused, Slot, Spot, Stats, VisitorState, Waited,
};
use crate::draw::Round;
use crate::pass::Pass;
use ::redis::Value;
use address::Address;
use async_trait::async_trait;
use batch::{Failed, Operation, Unit, Units, number};
use cache::{bytes, list};
use connection::Connection;
use event_line::EventLine;
use shared::group_commit::Unavailable;
use shared::ids::{Availability, EventId, VisitorId};
use shared::time::{Clock, Time};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// Age at which a view is fetched again before positions are read from it.
const FRONT_AGE_MAX: Duration = Duration::from_secs(1);

const JOIN: Operation = operation(1, 1000, 4, &script::JOIN);
const PLACE: Operation = operation(2, 125, 0, &script::PLACE);
const BACK: Operation = operation(3, 125, 0, &script::BACK);
const AWAY: Operation = operation(4, 125, 0, &script::AWAY);
const CLAIM: Operation = operation(5, 125, 0, &script::CLAIM);
const FINISH: Operation = operation(6, 125, 0, &script::FINISH);
const LEAVE: Operation = operation(7, 125, 0, &script::LEAVE);
const EJECT: Operation = operation(8, 125, 0, &script::EJECT);
const FIND: Operation = operation(9, 8, 0, &script::FIND);
const REENTER: Operation = operation(10, 125, 0, &script::REENTER);

const fn operation(
    id: u8,
    units_max: usize,
    header: usize,
    script: &'static std::sync::LazyLock<script::Script>,
) -> Operation {
    Operation {
        id,
        units_max,
        header,
        script,
    }
}

/// The lines of all events at one node.
pub struct Redis {
    link: Arc<Connection>,
    clock: Clock,
    /// Prefix of all keys, so that installations can share a Redis.
    prefix: String,
    /// Id of this process among the nodes.
    node: String,
    /// Folder of this node's backups.
    folder: PathBuf,
    /// Locked for a look-up by every operation and for writing when an event is added or dropped; never held across
    /// an await.
    lines: RwLock<HashMap<EventId, Arc<EventLine>>>,
}

impl Redis {
    /// Parses the URL. Connects on first use, so that a node can start while Redis is unreachable.
    ///
    /// # Errors
    /// When the URL is invalid or the folder cannot be used.
    pub fn open(url: &str, folder: PathBuf, clock: Clock) -> Result<Redis, String> {
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("the folder {} cannot be used: {error}", folder.display()))?;
        let address = Address::parse(url)?;
        let engine = Redis {
            clock,
            prefix: address.prefix.clone(),
            link: Arc::new(Connection::new(address)),
            node: shared::crypto::hex(&shared::crypto::random::<8>()),
            folder,
            lines: RwLock::default(),
        };
        for event in backup::noted(&engine.folder) {
            engine.here(&event);
        }
        Ok(engine)
    }

    /// Checks the URL of a Redis line.
    ///
    /// # Errors
    /// A message for the operator.
    pub fn check(url: &str) -> Result<(), String> {
        Address::parse(url).map(drop)
    }

    /// Returns an event's line at this node, creating it at the first call.
    fn here(&self, event: &EventId) -> Arc<EventLine> {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = lines.get(event) {
            return here.clone();
        }
        drop(lines);
        let mut lines = self.lines.write().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(EventLine::new(self, event.clone()));
        lines.entry(event.clone()).or_insert_with(made).clone()
    }

    fn forget(&self, event: &EventId) {
        let mut lines = self.lines.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = lines.remove(event) {
            here.forget_file();
        }
    }

    /// Runs an operation on a line. If a different server than before answered, recovers the line and runs it again.
    async fn run(
        &self,
        event: &EventId,
        operation: Operation,
        units: Units,
    ) -> Result<batch::Answers, Refused> {
        let here = self.here(event);
        match here.batches.run(operation, units.clone()).await {
            Err(Failed::Lost | Failed::Gone) => {
                self.tick(event).await?;
                let again = here.batches.run(operation, units).await;
                Ok(again.map_err(Unavailable::from)?)
            }
            outcome => Ok(outcome.map_err(Unavailable::from)?),
        }
    }

    /// Runs an operation that returns one spot for one visitor, as `place.lua` does. If the script left `ahead` to
    /// the node, it is read from a view no older than `front_from`.
    async fn visit(
        &self,
        event: &EventId,
        operation: Operation,
        visitor: VisitorId,
        front_from: Instant,
    ) -> Result<Option<Spot>, Refused> {
        let asked = Units::One(Unit::of(visitor));
        let answers = self.run(event, operation, asked).await?;
        let here = self.here(event);
        let told = answers.answers.first();
        let Some(mut spot) = told.and_then(|value| spot(visitor, value)) else {
            return Ok(None);
        };
        self.fill(&here, event, &mut spot, front_from).await?;
        here.note_number(&spot.0);
        Ok(Some(spot.0))
    }

    /// Sets `ahead` from this node's view if the script did not count it.
    async fn fill(
        &self,
        here: &EventLine,
        event: &EventId,
        told: &mut Told,
        front_from: Instant,
    ) -> Result<(), Refused> {
        let Told(spot, ahead) = told;
        if spot.standing == VisitorState::Waiting && *ahead < 0 {
            here.look_since(self, event, front_from).await?;
            spot.ahead = here.ahead(spot.number);
        }
        Ok(())
    }

    async fn each(
        &self,
        event: &EventId,
        operation: Operation,
        unit: Unit,
    ) -> Result<i64, Refused> {
        let answers = self.run(event, operation, Units::One(unit)).await?;
        Ok(answers.answers.first().map_or(0, number))
    }
}

/// A spot, and the number of visitors ahead if the script counted them, else -1.
struct Told(Spot, i64);

fn spot(visitor: VisitorId, value: &Value) -> Option<Told> {
    let values = list(value)?;
    let at = |index: usize| values.get(index).map_or(0, number);
    let standing = *VisitorState::ALL.get(usize::try_from(at(1)).ok()?)?;
    let slot = (at(2) > 0).then(|| Slot {
        admitted_at: Time(at(2)),
        claim_by: Time(at(3)),
        expires_at: Time(at(4)),
    });
    let spot = Spot {
        visitor,
        number: at(0).unsigned_abs(),
        is_provisional: at(0) < 0,
        standing,
        ahead: at(5).max(0).unsigned_abs(),
        slot,
    };
    Some(Told(spot, at(5)))
}

/// Oldest time of a view that is good enough for a request that only reads.
fn recently() -> Instant {
    let now = Instant::now();
    now.checked_sub(FRONT_AGE_MAX).unwrap_or(now)
}

/// Returns a random seed for a draw, in hex.
fn new_seed() -> String {
    shared::crypto::hex(&shared::crypto::random::<32>())
}

#[async_trait]
impl Line for Redis {
    async fn create(&self, settings: EventSettings) -> Result<(), Refused> {
        registry::create(self, settings).await
    }

    async fn configure(
        &self,
        event: &EventId,
        patch: Patch,
    ) -> Result<(EventSettings, EventSettings), Refused> {
        registry::configure(self, event, &patch).await
    }

    async fn remove(&self, event: &EventId) -> Result<(), Refused> {
        registry::remove(self, event).await
    }

    async fn events(&self) -> Result<Vec<Arc<EventSettings>>, Refused> {
        registry::list(self).await
    }

    async fn join(&self, event: &EventId, visitors: &[VisitorId]) -> Result<Vec<Joined>, Refused> {
        let here = self.here(event);
        let mut joined = Vec::with_capacity(visitors.len());
        for some in visitors.chunks(JOIN.units_max) {
            let units = match some {
                [visitor] => Units::One(Unit::of(*visitor)),
                many => Units::Many(many.iter().copied().map(Unit::of).collect()),
            };
            let answers = self.run(event, JOIN, units).await?;
            let [phase, is_undrawn, ahead, before] = *answers.header else {
                return Err(Unavailable.into());
            };
            for (value, visitor) in answers.answers.iter().zip(some) {
                let Value::Int(number) = value else {
                    let refused = match bytes(value) {
                        b"refused" => Some(refusal(&here, phase)),
                        b"full" => Some(Refused::Full("this line gives out no more places")),
                        _ => None,
                    };
                    if let Some(refused) = refused {
                        return Err(refused);
                    }
                    let told = spot(*visitor, value);
                    let mut told = told.ok_or(Unavailable)?;
                    self.fill(&here, event, &mut told, recently()).await?;
                    joined.push(Joined::Known(told.0));
                    continue;
                };
                let spot = Spot {
                    visitor: *visitor,
                    number: number.unsigned_abs(),
                    is_provisional: is_undrawn == 1,
                    standing: VisitorState::Waiting,
                    ahead: (ahead + number - before - 1).max(0).unsigned_abs(),
                    slot: None,
                };
                here.note_joined(&spot);
                joined.push(Joined::New(spot));
            }
        }
        Ok(joined)
    }

    async fn tick(&self, event: &EventId) -> Result<Arc<LineView>, Refused> {
        self.here(event).tick(self, event).await
    }

    async fn place(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused> {
        self.visit(event, PLACE, visitor, recently()).await
    }

    async fn reenter(&self, event: &EventId, pass: &Pass) -> Result<Option<Spot>, Refused> {
        let here = self.here(event);
        // The epoch is only as new as the last tick: a loss of data at the server may not have been noticed yet.
        self.tick(event).await?;
        // A number from before the draw says nothing about the place after it.
        let is_of_no_use = pass.is_provisional && !here.is_undrawn();
        let is_earlier = here.is_of_an_earlier_epoch(pass.epoch);
        if is_of_no_use || !is_earlier || pass.number > LINE_LENGTH_MAX {
            return Ok(None);
        }
        let unit = Unit {
            is_connected: Some(false),
            ..Unit::with(pass.visitor, pass.number)
        };
        let answers = self.run(event, REENTER, Units::One(unit)).await?;
        let told = answers.answers.first();
        let Some(mut told) = told.and_then(|value| spot(pass.visitor, value)) else {
            return Ok(None);
        };
        self.fill(&here, event, &mut told, recently()).await?;
        Ok(Some(told.0))
    }

    async fn claim(
        &self,
        event: &EventId,
        visitor: VisitorId,
        number: u64,
    ) -> Result<Claimed, Refused> {
        let until = self.each(event, CLAIM, Unit::with(visitor, number)).await?;
        Ok(match until {
            0 => Claimed::Lapsed,
            until => Claimed::Until(Time(until)),
        })
    }

    async fn finish(
        &self,
        event: &EventId,
        visitor: VisitorId,
        number: u64,
    ) -> Result<(), Refused> {
        let done = self.each(event, FINISH, Unit::with(visitor, number)).await;
        done.map(drop)
    }

    async fn leave(&self, event: &EventId, visitor: VisitorId) -> Result<(), Refused> {
        self.each(event, LEAVE, Unit::of(visitor)).await.map(drop)
    }

    async fn away(&self, event: &EventId, visitor: VisitorId) -> Result<(), Refused> {
        self.here(event).disconnected(visitor);
        self.each(event, AWAY, Unit::of(visitor)).await.map(drop)
    }

    async fn back(&self, event: &EventId, visitor: VisitorId) -> Result<Option<Spot>, Refused> {
        // A fan who comes from another node must not see an older view than that node showed.
        let spot = self.visit(event, BACK, visitor, Instant::now()).await?;
        if let Some(spot) = &spot {
            self.here(event).connected(spot);
        }
        Ok(spot)
    }

    async fn eject(&self, event: &EventId, visitor: VisitorId) -> Result<bool, Refused> {
        Ok(self.each(event, EJECT, Unit::of(visitor)).await? == 1)
    }

    async fn find(&self, event: &EventId, number: u64) -> Result<Option<Spot>, Refused> {
        let asked = Units::One(Unit::numbered(number));
        let answers = self.run(event, FIND, asked).await?;
        let value = answers.answers.first().and_then(list);
        let Some(id) = value.and_then(|values| bytes(values.get(6)?).try_into().ok()) else {
            return Ok(None);
        };
        let visitor = VisitorId(u128::from_be_bytes(id));
        let told = answers
            .answers
            .first()
            .and_then(|value| spot(visitor, value));
        Ok(told.map(|told| told.0))
    }

    async fn report(&self, event: &EventId, seats: Availability) -> Result<(), Refused> {
        let counts = [seats.capacity, seats.available, seats.held].map(|count| count.to_string());
        let json = serde_json::to_vec(&seats).unwrap_or_default();
        let [capacity, available, held] = counts.each_ref().map(String::as_bytes);
        let arguments = [json.as_slice(), capacity, available, held];
        self.call(event, &script::REPORT, &arguments)
            .await
            .map(drop)
    }

    async fn draw(&self, event: &EventId) -> Result<Option<DrawState>, Refused> {
        let here = self.here(event);
        here.look(self, event).await?;
        Ok(here.known().draw_state())
    }

    async fn give_beacon(&self, event: &EventId, round: &Round) -> Result<(), Refused> {
        let json = serde_json::to_vec(round).unwrap_or_default();
        self.call(event, &script::BEACON, &[&json]).await.map(drop)
    }

    async fn drawn(
        &self,
        event: &EventId,
        first: u64,
        count: usize,
    ) -> Result<Vec<VisitorId>, Refused> {
        let here = self.here(event);
        let generation = here.known().keys;
        let visitors = drawing::visitors(&here.caller, generation, first, count).await;
        Ok(visitors.map_err(Unavailable::from)?)
    }

    fn replaced(&self, event: &EventId) -> Vec<VisitorId> {
        self.here(event).replaced()
    }

    fn store_failure(&self) -> Option<String> {
        self.link.failure()
    }

    fn now(&self, event: &EventId) -> Option<Time> {
        let is_by_hand = self.clock.hand().is_some();
        self.here(event).now().filter(|_| !is_by_hand)
    }

    async fn stats(&self, event: &EventId) -> Result<Stats, Refused> {
        let here = self.here(event);
        let front = here.look(self, event).await?;
        let waits = self.call(event, &script::WAITS, &[]).await?;
        let waits = waits.first().and_then(list).unwrap_or_default();
        let seconds = waits.iter().map(number).collect();
        Ok(here.stats(&front, Waited::of(seconds)))
    }
}

fn refusal(here: &EventLine, phase: i64) -> Refused {
    let phase = usize::try_from(phase)
        .ok()
        .and_then(|at| Phase::ALL.get(at));
    match phase {
        Some(Phase::Scheduled) => Refused::NotOpen(here.line_opens_at()),
        Some(phase) => Refused::Closed(*phase),
        None => Unavailable.into(),
    }
}

impl Redis {
    /// Calls a script that takes no units.
    async fn call(
        &self,
        event: &EventId,
        script: &script::Script,
        arguments: &[&[u8]],
    ) -> Result<Vec<Value>, Refused> {
        let here = self.here(event);
        match here.caller.call(script, arguments).await {
            Err(Failed::Lost | Failed::Gone) => {
                self.tick(event).await?;
                let again = here.caller.call(script, arguments).await;
                Ok(again.map_err(Unavailable::from)?)
            }
            outcome => Ok(outcome.map_err(Unavailable::from)?),
        }
    }

    /// Returns the events that this node has a backup of.
    fn noted(&self) -> Vec<EventId> {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        let noted = lines.iter().filter(|(_, here)| here.settings().is_some());
        noted.map(|(event, _)| event.clone()).collect()
    }
}
