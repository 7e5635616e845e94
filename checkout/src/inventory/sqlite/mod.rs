//! SQLite engine: one writer thread and one transaction for all queued requests, with
//! `synchronous=FULL`, so that an acknowledged order survives a power failure. Decisions use state
//! in memory, so that refused requests cost no statement.

mod blocks;
mod engine;
mod hourly_sales;
mod invoices;
mod keys;
mod line_log;
mod line_mail;
mod line_messages;
mod mail;
mod orders;
mod outbox;
mod payments;
mod people;
mod plan_changes;
mod plans;
mod read;
mod sessions;
#[cfg(test)]
mod steps;
mod tickets;
mod webhooks;
mod write;

use super::command::{Command, Decision};
use super::commands::{Target, UnitOfWork, json};
use super::event_state::{EventState, Plan, lapses_at};
use super::layout::restore;
use super::model::*;
use super::outbox::{EventType, about_event};
use super::records::VisitorRecords;
use super::seat_map::{PublishedLayout, SeatMap, VersionStamp};
use crate::inventory::rules::Rules;
use parking_lot::RwLock;
use rusqlite::{Connection, params};
use shared::crypto::random;
use shared::group_commit::{Durable, GroupCommit, Unavailable};
use shared::ids::EventId;
use shared::metrics::writers::{self, WriterMetrics};
use shared::sealing::SealingKeys;
use shared::sqlite;
use shared::time::{Clock, Time};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SETUP: [&str; 24] = [
    include_str!("../../../migrations/sqlite/1_setup.sql"),
    include_str!("../../../migrations/sqlite/2_visits.sql"),
    include_str!("../../../migrations/sqlite/3_in_use.sql"),
    include_str!("../../../migrations/sqlite/4_people.sql"),
    include_str!("../../../migrations/sqlite/5_payments.sql"),
    include_str!("../../../migrations/sqlite/6_reviews.sql"),
    include_str!("../../../migrations/sqlite/7_outbox.sql"),
    include_str!("../../../migrations/sqlite/8_charges.sql"),
    include_str!("../../../migrations/sqlite/9_invoices.sql"),
    include_str!("../../../migrations/sqlite/10_door.sql"),
    include_str!("../../../migrations/sqlite/11_mail.sql"),
    include_str!("../../../migrations/sqlite/12_webhooks.sql"),
    include_str!("../../../migrations/sqlite/13_blocks.sql"),
    include_str!("../../../migrations/sqlite/14_hourly_sales.sql"),
    include_str!("../../../migrations/sqlite/15_line_log.sql"),
    include_str!("../../../migrations/sqlite/16_inbox_claims.sql"),
    include_str!("../../../migrations/sqlite/17_disputes.sql"),
    include_str!("../../../migrations/sqlite/18_charged_back.sql"),
    include_str!("../../../migrations/sqlite/19_line_mail.sql"),
    include_str!("../../../migrations/sqlite/20_order_language.sql"),
    include_str!("../../../migrations/sqlite/21_line_mail_soon.sql"),
    include_str!("../../../migrations/sqlite/22_line_push.sql"),
    include_str!("../../../migrations/sqlite/23_mail_bounces.sql"),
    include_str!("../../../migrations/sqlite/24_line_message.sql"),
];

type SeatMaps = Arc<RwLock<HashMap<EventId, Arc<SeatMap>>>>;
/// Changes to be published on a seat map.
struct SeatMapChange {
    seat_map: Arc<SeatMap>,
    seats: Vec<(u32, SeatState)>,
}
/// The outer error is a failure of the store and fails the whole batch; the inner one is an
/// outcome.
type Step<T> = rusqlite::Result<Result<T, Refused>>;

/// The SQLite engine.
pub struct Sqlite {
    writer: GroupCommit<Store>,
    clock: Clock,
    path: PathBuf,
    keys: Arc<SealingKeys>,
    /// Locked for reading by look-ups and for writing when a plan is set; never held across an
    /// await.
    seat_maps: SeatMaps,
    /// Instructions that SQLite has executed for this engine.
    #[cfg(test)]
    steps: steps::Steps,
}

/// State owned by the writer thread.
struct Store {
    db: Connection,
    clock: Clock,
    /// Seal personal data.
    keys: Arc<SealingKeys>,
    event_states: HashMap<EventId, EventState>,
    seat_maps: SeatMaps,
    /// New maps of this batch, and `None` for those of deleted events, published once it is
    /// committed.
    replaced: Vec<(EventId, Option<Arc<SeatMap>>)>,
    /// Changes of this batch, published once it is committed.
    changed: Vec<SeatMapChange>,
    /// Newest version of the maps that were replaced or deleted. A new map begins after it.
    newest_version: u64,
    is_writing: bool,
    failure: Option<String>,
}

impl Durable for Store {
    const COMMIT: &'static str = "commit inventory";

    fn metrics() -> &'static WriterMetrics {
        &writers::INVENTORY
    }

    fn commit(&mut self) -> Result<(), String> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.is_writing {
            self.db
                .execute_batch("commit")
                .map_err(|error| error.to_string())?;
            self.is_writing = false;
        }
        if !self.replaced.is_empty() {
            let mut seat_maps = self.seat_maps.write();
            for (event, seat_map) in self.replaced.drain(..) {
                match seat_map {
                    Some(seat_map) => seat_maps.insert(event, seat_map),
                    None => seat_maps.remove(&event),
                };
            }
        }
        for change in self.changed.drain(..) {
            change.seat_map.change(&change.seats);
        }
        Ok(())
    }

    fn recover(&mut self) -> Result<(), String> {
        self.failure = None;
        self.replaced.clear();
        self.changed.clear();
        // On a full disk SQLite may have rolled the transaction back already.
        let _ = self.db.execute_batch("rollback");
        self.is_writing = false;
        self.load()
    }
}

impl Sqlite {
    /// Opens the file, or creates it if it does not exist.
    ///
    /// # Errors
    /// Fails if the file is damaged or was made by another version. Nothing is overwritten.
    pub fn open(path: &Path, clock: Clock) -> Result<Sqlite, String> {
        Sqlite::open_sealed(path, clock, Arc::default())
    }

    /// As `open`, with keys that seal personal data.
    ///
    /// # Errors
    /// As for `open`, and if a key is missing.
    pub fn open_sealed(
        path: &Path,
        clock: Clock,
        keys: Arc<SealingKeys>,
    ) -> Result<Sqlite, String> {
        let shown = path.display();
        let db = open_migrated(path).map_err(|error| {
            format!("the inventory {shown} is damaged or cannot be opened: {error}")
        })?;
        keys::check(&db, &keys)?;
        let seat_maps = SeatMaps::default();
        #[cfg(test)]
        let steps = steps::Steps::count(&db);
        let mut store = Store {
            db,
            clock: clock.clone(),
            keys: keys.clone(),
            event_states: HashMap::new(),
            seat_maps: seat_maps.clone(),
            replaced: Vec::new(),
            changed: Vec::new(),
            newest_version: 0,
            is_writing: false,
            failure: None,
        };
        store
            .load()
            .map_err(|error| format!("the inventory {shown} is damaged: {error}"))?;
        let writer = GroupCommit::start("inventory", store)
            .map_err(|error| format!("cannot start the thread of the inventory: {error}"))?;
        Ok(Sqlite {
            writer,
            clock,
            path: path.to_owned(),
            keys,
            seat_maps,
            #[cfg(test)]
            steps,
        })
    }

    async fn step<R: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Store, Time) -> Step<R> + Send + 'static,
    ) -> Result<R, Refused> {
        let answer = self.writer.run(move |store| {
            let now = store.clock.now();
            step(store, now).unwrap_or_else(|error| {
                store.failure = Some(error.to_string());
                Err(Unavailable.into())
            })
        });
        answer.await?
    }
}

fn open_migrated(path: &Path) -> rusqlite::Result<Connection> {
    let db = sqlite::open(path)?;
    db.set_prepared_statement_cache_capacity(128);
    let version = sqlite::schema_version(&db, SETUP.len() as u32)?;
    for (at, setup) in SETUP.iter().enumerate().skip(version as usize) {
        let version = at + 1;
        db.execute_batch(&format!(
            "begin;{setup};pragma user_version = {version};commit;"
        ))?;
    }
    Ok(db)
}

impl Store {
    /// Begins the batch's transaction at its first write.
    fn write(&mut self) -> rusqlite::Result<()> {
        if !self.is_writing {
            self.db.execute_batch("begin immediate")?;
            self.is_writing = true;
        }
        Ok(())
    }

    /// Makes a decision and writes its changes.
    fn decide(&mut self, command: &mut Command, now: Time) -> Step<()> {
        if let Target::Newcomer(..) = &command.target {
            self.event_state(&command.event)?;
        }
        if !self.event_states.contains_key(&command.event) {
            return Ok(Err(command.target.without_event()));
        }
        let mut records = self.records(&command.event, &command.target)?;
        if let (Some(hold), Some(visitor)) = (&command.hold, records.visitor)
            && records.hold(hold).is_none()
        {
            records
                .holds
                .extend(self.load_hold(&command.event, visitor, hold)?);
        }
        let opened = match &command.target {
            Target::Newcomer(_, jti) => self.load_opened(&command.event, jti)?,
            _ => None,
        };
        let answer = match &command.attempt {
            Some(id) => self.load_answer(id)?,
            None => None,
        };
        let event_state = self
            .event_states
            .get_mut(&command.event)
            .expect("its presence was checked above");
        let mut work = UnitOfWork::new(event_state, records, now);
        (work.answer, work.opened) = (answer, opened);
        let decision = command.decision.decide(&mut work);
        if decision == Decision::Granted {
            work.add_events(&command.trace);
        }
        let (changes, records) = (work.changes, work.records);
        if decision == Decision::Granted {
            event_state.freeze(&changes.frozen);
            if !changes.is_empty() {
                self.apply(&command.event, &changes, &records)?;
                let event_state = self
                    .event_states
                    .get_mut(&command.event)
                    .expect("its presence was checked above");
                let was_sold_out = event_state.is_sold_out();
                event_state.take(&changes.seats);
                let is_sold_out = event_state.is_sold_out();
                // Seats that come back after the show was cancelled are not on sale.
                let is_cancelled = event_state.is_cancelled();
                if let Some(plan) = &event_state.plan
                    && !changes.seats.is_empty()
                {
                    let seats = changes.seats.iter();
                    self.changed.push(SeatMapChange {
                        seat_map: plan.seat_map.clone(),
                        seats: seats.map(|change| (change.seat, change.to.state)).collect(),
                    });
                }
                event_state.visitors.put(records);
                if was_sold_out != is_sold_out && !is_cancelled {
                    let event_type = EventType::of_sale(is_sold_out);
                    let told = about_event(event_type, &command.event, None, now);
                    self.insert_events(command.event.as_str(), &[told])?;
                }
            }
        }
        Ok(Ok(()))
    }

    /// Returns all records of a visitor, from memory or from the file.
    fn records(
        &mut self,
        event: &EventId,
        target: &Target,
    ) -> rusqlite::Result<Box<VisitorRecords>> {
        let Some(event_state) = self.event_states.get(event) else {
            return Ok(Box::default());
        };
        let visitor = match target.visitor(&event_state.visitors) {
            Some(visitor) => visitor,
            None => match self.find_visitor(event, target)? {
                Some(visitor) => visitor,
                None => return Ok(Box::default()),
            },
        };
        if let Some(records) = event_state.visitors.get(visitor) {
            return Ok(Box::new(records.clone()));
        }
        let records = Box::new(self.load_records(event, visitor)?);
        if let Some(event_state) = self.event_states.get_mut(event) {
            event_state.visitors.put(records.clone());
        }
        Ok(records)
    }

    /// Loads all state kept in memory.
    fn load(&mut self) -> Result<(), String> {
        let failed = |error: rusqlite::Error| error.to_string();
        self.event_states.clear();
        let mut query = self
            .db
            .prepare("select event, plan, plan_version, rules, secret from event")
            .map_err(failed)?;
        let rows = query
            .query_map([], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, Option<String>>(1)?,
                    row.get::<_, u32>(2)?,
                    row.get::<_, String>(3)?,
                    row.get::<_, Vec<u8>>(4)?,
                ))
            })
            .map_err(failed)?;
        for row in rows {
            let (event, plan, version, rules, secret) = row.map_err(failed)?;
            let event = EventId::parse(&event)?;
            let rules: Rules = serde_json::from_str(&rules).map_err(|error| error.to_string())?;
            let plan = match plan {
                Some(plan) => Some(self.load_plan(&event, &plan, version, &rules)?),
                None => None,
            };
            let mut event_state = EventState::new(event.clone(), rules, &secret);
            event_state.plan = plan;
            self.event_states.insert(event, event_state);
        }
        Ok(())
    }

    fn load_plan(
        &self,
        event: &EventId,
        text: &str,
        version: u32,
        rules: &Rules,
    ) -> Result<Plan, String> {
        let seats = self.load_states(event).map_err(|error| error.to_string())?;
        Plan::load(event, restore(text), seats, |layout, states| {
            let seat_maps = self.seat_maps.read();
            let known = seat_maps.get(event).cloned();
            drop(seat_maps);
            match known.filter(|seat_map| seat_map.layout_version == version) {
                Some(seat_map) => {
                    seat_map.reset(states);
                    seat_map
                }
                None => {
                    let layout = PublishedLayout {
                        layout,
                        version,
                        currency: rules.currency,
                        charges: rules.charges.clone(),
                        cancelled: rules.cancelled.clone(),
                    };
                    let seat_map = self.new_seat_map(event, layout, states);
                    let mut seat_maps = self.seat_maps.write();
                    seat_maps.insert(event.clone(), seat_map.clone());
                    seat_map
                }
            }
        })
    }

    fn new_seat_map(
        &self,
        event: &EventId,
        layout: PublishedLayout,
        seats: Vec<SeatState>,
    ) -> Arc<SeatMap> {
        let stamp = VersionStamp::after(self.newest_version, &self.clock);
        let seat_map = SeatMap::with_version(event.clone(), layout, seats, stamp);
        Arc::new(seat_map)
    }

    /// Notes the version of a map that is about to go.
    fn note_version(&mut self, event: &EventId) {
        let seat_maps = self.seat_maps.read();
        let version = seat_maps.get(event).map(|map| map.current().version);
        self.newest_version = self.newest_version.max(version.unwrap_or(0));
    }

    /// Returns a new map, published once the batch is committed.
    fn replace_seat_map(
        &mut self,
        event: &EventId,
        layout: PublishedLayout,
        seats: Vec<SeatState>,
    ) -> Arc<SeatMap> {
        self.note_version(event);
        let seat_map = self.new_seat_map(event, layout, seats);
        let replaced = (event.clone(), Some(seat_map.clone()));
        self.replaced.push(replaced);
        seat_map
    }

    fn load_states(&self, event: &EventId) -> rusqlite::Result<Vec<(SeatState, i64)>> {
        let mut query = self.db.prepare(
            "select s.state, case h.state when 'active' then h.lapses_at end
             from seat s left join hold h on h.event = s.event and h.id = s.hold
             where s.event = ?1 order by s.seat",
        )?;
        let states = query.query_map([event.as_str()], |row| {
            let state = SeatState::of(row.get(0)?);
            Ok((state, lapses_at(state, row.get(1)?)))
        })?;
        states.collect()
    }

    /// Returns the event, created with the default rules if it is new.
    fn event_state(&mut self, event: &EventId) -> rusqlite::Result<&mut EventState> {
        if !self.event_states.contains_key(event) {
            self.write()?;
            let rules = Rules::default();
            let secret: [u8; 32] = random();
            self.db
                .prepare_cached("insert into event (event, rules, secret) values (?1, ?2, ?3)")?
                .execute(params![event.as_str(), json(&rules), secret])?;
            self.event_states.insert(
                event.clone(),
                EventState::new(event.clone(), rules, &secret),
            );
        }
        Ok(self
            .event_states
            .get_mut(event)
            .expect("it was inserted above"))
    }
}

/// Checks that an update changed one row. Otherwise memory and disk disagree: the batch fails and
/// the state is read again.
fn must_change(rows: usize) -> rusqlite::Result<()> {
    if rows == 1 {
        Ok(())
    } else {
        Err(rusqlite::Error::StatementChangedRows(rows))
    }
}

#[cfg(test)]
mod tests;
