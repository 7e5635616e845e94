//! SQLite: one writer thread, one transaction for all requests that queued, `synchronous=FULL`: an acknowledged order survives
//! the power going. The states of the seats are kept in memory too, so that losers are answered without a statement.

mod holds;
mod orders;
mod payments;
mod sales;
mod sessions;
mod steps;

use super::best::States;
use super::board::Board;
use super::layout::{Layout, parse};
use super::words::*;
use rusqlite::{Connection, OptionalExtension as _, params};
use shared::combine::{Combiner, Journaled, Unavailable};
use shared::idempotency::Attempt;
use shared::secret::{Secret, random};
use shared::time::{Clock, Time};
use shared::words::EventId;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

const SETUP: &str = include_str!("../../../migrations/sqlite/1_setup.sql");
const SCHEMA_VERSION: i64 = 1;

type Boards = Arc<RwLock<HashMap<EventId, Arc<Board>>>>;
/// The outer error is the store's, and fails the whole batch; the inner is an outcome.
type Step<T> = rusqlite::Result<Result<T, Refused>>;

/// The engine.
pub struct Sqlite {
    writer: Combiner<Store>,
    /// Read for a look-up, written when a plan is set; never held across an await.
    boards: Boards,
}

/// What the writer thread owns.
struct Store {
    db: Connection,
    clock: Clock,
    houses: HashMap<EventId, House>,
    boards: Boards,
    is_writing: bool,
    failure: Option<String>,
}

/// One event.
struct House {
    rules: Rules,
    secret: Secret,
    plan: Option<Plan>,
}

struct Plan {
    layout: Arc<Layout>,
    states: States,
    board: Arc<Board>,
    /// Changes of this batch, shown once it is committed.
    changed: Vec<(u32, SeatState)>,
}

impl Plan {
    fn set(&mut self, seat: u32, state: SeatState) {
        self.states.set(&self.layout, seat, state);
        self.changed.push((seat, state));
    }
}

impl Journaled for Store {
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
        for house in self.houses.values_mut() {
            if let Some(plan) = house.plan.as_mut().filter(|plan| !plan.changed.is_empty()) {
                plan.board.change(&plan.changed);
                plan.changed.clear();
            }
        }
        Ok(())
    }

    fn recover(&mut self) -> Result<(), String> {
        self.failure = None;
        // A full disk may have ended the transaction already.
        let _ = self.db.execute_batch("rollback");
        self.is_writing = false;
        self.load()
    }
}

impl Sqlite {
    /// Opens the file, making it if it does not exist.
    ///
    /// # Errors
    /// When it is damaged or of another version. Nothing is overwritten.
    pub fn open(path: &Path, clock: Clock) -> Result<Sqlite, String> {
        let shown = path.display();
        let db = open_checked(path).map_err(|error| {
            format!("the inventory {shown} is damaged or cannot be opened: {error}")
        })?;
        let boards = Boards::default();
        let mut store = Store {
            db,
            clock,
            houses: HashMap::new(),
            boards: boards.clone(),
            is_writing: false,
            failure: None,
        };
        // What was running when the process went will never be answered; who asks again may try again.
        store
            .db
            .execute("delete from answer where answer is null", [])
            .map_err(|error| format!("the inventory {shown} cannot be written: {error}"))?;
        store
            .load()
            .map_err(|error| format!("the inventory {shown} is damaged: {error}"))?;
        let writer = Combiner::start("inventory", store)
            .map_err(|error| format!("no thread for the inventory: {error}"))?;
        Ok(Sqlite { writer, boards })
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

fn open_checked(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "wal_autocheckpoint", 4000)?;
    db.set_prepared_statement_cache_capacity(128);
    let failed = |text: String| {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        rusqlite::Error::SqliteFailure(code, Some(text))
    };
    let verdict: String = db.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(failed(verdict));
    }
    let version: i64 = db.query_row("pragma user_version", [], |row| row.get(0))?;
    match version {
        0 => db.execute_batch(&format!(
            "begin;{SETUP};pragma user_version = {SCHEMA_VERSION};commit;"
        ))?,
        SCHEMA_VERSION => {}
        other => {
            return Err(failed(format!(
                "its schema has version {other}, this program knows {SCHEMA_VERSION}"
            )));
        }
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

    /// Reads everything that is kept in memory.
    fn load(&mut self) -> Result<(), String> {
        let failed = |error: rusqlite::Error| error.to_string();
        self.houses.clear();
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
                Some(plan) => Some(self.load_plan(&event, &plan, version, &rules.currency)?),
                None => None,
            };
            let secret = Secret::derive(&secret, "tickets");
            self.houses.insert(
                event,
                House {
                    rules,
                    secret,
                    plan,
                },
            );
        }
        Ok(())
    }

    fn load_plan(
        &self,
        event: &EventId,
        text: &str,
        version: u32,
        currency: &str,
    ) -> Result<Plan, String> {
        let layout = parse(text.as_bytes())
            .map(Arc::new)
            .map_err(|problem| format!("the plan of {event}: {}", problem.into_value()))?;
        let seats = self.load_states(event).map_err(|error| error.to_string())?;
        if seats.len() != layout.seats.len() {
            return Err(format!(
                "{event} has {} seats, its plan {}",
                seats.len(),
                layout.seats.len()
            ));
        }
        let known = self
            .boards
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(event)
            .cloned();
        let board = match known.filter(|board| board.layout_version == version) {
            Some(board) => {
                board.reset(seats.clone());
                board
            }
            None => self.new_board(event, (layout.clone(), version), currency, seats.clone()),
        };
        let states = States::new(&layout, seats);
        Ok(Plan {
            layout,
            states,
            board,
            changed: Vec::new(),
        })
    }

    fn new_board(
        &self,
        event: &EventId,
        plan: (Arc<Layout>, u32),
        currency: &str,
        seats: Vec<SeatState>,
    ) -> Arc<Board> {
        let board = Board::new(event.clone(), plan, currency.to_owned(), seats, &self.clock);
        let board = Arc::new(board);
        let mut boards = self.boards.write().unwrap_or_else(PoisonError::into_inner);
        boards.insert(event.clone(), board.clone());
        board
    }

    fn load_states(&self, event: &EventId) -> rusqlite::Result<Vec<SeatState>> {
        let mut query = self
            .db
            .prepare("select state from seat where event = ?1 order by seat")?;
        let states = query.query_map([event.as_str()], |row| Ok(SeatState::of(row.get(0)?)))?;
        states.collect()
    }

    /// The event, made with the default rules if it is new here.
    fn house(&mut self, event: &EventId) -> rusqlite::Result<&mut House> {
        if !self.houses.contains_key(event) {
            self.write()?;
            let rules = Rules::default();
            let secret: [u8; 32] = random();
            self.db
                .prepare_cached("insert into event (event, rules, secret) values (?1, ?2, ?3)")?
                .execute(params![event.as_str(), json(&rules), secret])?;
            let secret = Secret::derive(&secret, "tickets");
            self.houses.insert(
                event.clone(),
                House {
                    rules,
                    secret,
                    plan: None,
                },
            );
        }
        Ok(self.houses.get_mut(event).expect("it was just put in"))
    }

    /// Sets seats free that belong to a hold, and says how many.
    fn free(&mut self, event: &EventId, hold: &str) -> rusqlite::Result<u32> {
        self.write()?;
        let mut update = self.db.prepare_cached(
            "update seat set state = 0, hold = null, order_id = null, visitor = null
             where event = ?1 and seat = ?2 and hold = ?3 and state in (1, 2)",
        )?;
        let Some(plan) = self
            .houses
            .get_mut(event)
            .and_then(|house| house.plan.as_mut())
        else {
            return Ok(0);
        };
        let seats: String = self
            .db
            .prepare_cached("select seats from hold where event = ?1 and id = ?2")?
            .query_row([event.as_str(), hold], |row| row.get(0))?;
        let mut freed = 0;
        for seat in read_seats(&seats) {
            let Some(seat) = plan.layout.find(&seat.id) else {
                continue;
            };
            if update.execute(params![event.as_str(), seat, hold])? == 1 {
                plan.set(seat, SeatState::Available);
                freed += 1;
            }
        }
        Ok(freed)
    }

    /// The stored answer of an attempt: none yet, still running, of another body, or the answer.
    fn answered<T: serde::de::DeserializeOwned>(
        &self,
        attempt: Option<&Attempt>,
    ) -> Step<Option<T>> {
        let Some(attempt) = attempt else {
            return Ok(Ok(None));
        };
        let row: Option<(String, Option<String>)> = self
            .db
            .prepare_cached("select body_hash, answer from answer where id = ?1")?
            .query_row([&attempt.id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(match row {
            None => Ok(None),
            Some((body, _)) if body != attempt.body => Err(Refused::Mismatch),
            Some((_, None)) => Err(Refused::StillRunning),
            Some((_, Some(answer))) => Ok(serde_json::from_str(&answer).ok()),
        })
    }

    /// Keeps the answer of an attempt; `None` marks it as running.
    fn keep<T: serde::Serialize>(
        &mut self,
        attempt: Option<&Attempt>,
        answer: Option<&T>,
        now: Time,
    ) -> rusqlite::Result<()> {
        let Some(attempt) = attempt else {
            return Ok(());
        };
        self.write()?;
        self.db
            .prepare_cached(
                "insert or replace into answer (id, body_hash, answer, at) values (?1, ?2, ?3, ?4)",
            )?
            .execute(params![attempt.id, attempt.body, answer.map(json), now.0])?;
        Ok(())
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("what is stored is plain data")
}

fn read_seats(text: &str) -> Vec<SeatPrice> {
    serde_json::from_str(text).expect("the seats of a hold were written by this program")
}

/// The row that an update must have changed. If it did not, memory and disk disagree: the batch fails and is read back.
fn must_change(rows: usize, wanted: usize) -> rusqlite::Result<()> {
    if rows == wanted {
        Ok(())
    } else {
        Err(rusqlite::Error::StatementChangedRows(rows))
    }
}
