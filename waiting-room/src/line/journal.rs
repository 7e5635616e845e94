//! The journal of one event's line: a SQLite file with one row per place and one for settings and
//! counters. WAL with `synchronous=FULL`, so that a commit survives a power failure.

use super::event_settings::EventSettings;
use super::state::{Counters, State, StoredPlace};
use super::{Slot, VisitorState};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use shared::ids::VisitorId;
use shared::line_log::{
    ENTRY_DECISIONS_MAX, LOG_ENTRIES_KEPT, LOG_ENTRIES_MAX, LineDecision, LogEntry,
};
use shared::sqlite;
use shared::time::Time;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::mem::discriminant;
use std::path::Path;

/// Version of the schema. Files made before versions were kept have 0, and the first schema.
const VERSION: u32 = 2;
/// Extension of a removed journal.
const REMOVED: &str = "removed";

const SCHEMA: &str = "
    create table if not exists place (
        number integer primary key,
        visitor blob not null,
        standing integer not null,
        joined_at integer not null,
        admitted_at integer,
        claim_by integer,
        expires_at integer
    ) strict;
    create table if not exists numberless (
        visitor blob primary key,
        standing integer not null
    ) strict;
    create table if not exists memory (
        only integer primary key check (only = 1),
        settings text not null,
        memory text not null
    ) strict;
    create table if not exists decision (
        entry integer primary key,
        at integer not null,
        decisions text not null
    ) strict;
";

pub(super) struct Journal(Connection);

impl Journal {
    /// Opens the file, creating it if it does not exist.
    pub(super) fn open(path: &Path) -> Result<Journal, String> {
        open_current(path).map(Journal).map_err(|error| {
            format!(
                "the journal {} is damaged or cannot be opened: {error}",
                path.display()
            )
        })
    }

    /// Writes the changed places and counters in one transaction.
    pub(super) fn write(&mut self, state: &State) -> rusqlite::Result<()> {
        if state.changed.is_empty() && !state.has_new_memory {
            return Ok(());
        }
        let transaction = self.0.transaction()?;
        if state.is_renumbered {
            transaction.execute_batch("delete from place; delete from numberless;")?;
            let mut gone = transaction.prepare("insert into numberless values (?1, ?2)")?;
            for (visitor, standing) in &state.numberless {
                gone.execute(params![visitor.0.to_be_bytes(), code(*standing)])?;
            }
        }
        {
            let mut place = transaction.prepare_cached(
                "insert into place values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 on conflict (number) do update set standing = excluded.standing,
                     admitted_at = excluded.admitted_at, claim_by = excluded.claim_by,
                     expires_at = excluded.expires_at",
            )?;
            for number in &state.changed {
                let Some(entry) = state.entry_of(*number) else {
                    continue;
                };
                place.execute(params![
                    *number as i64,
                    entry.visitor.0.to_be_bytes(),
                    code(entry.standing),
                    entry.joined_at.0,
                    entry.slot.map(|slot| slot.admitted_at.0),
                    entry.slot.map(|slot| slot.claim_by.0),
                    entry.slot.map(|slot| slot.expires_at.0),
                ])?;
            }
        }
        write_decisions(&transaction, &state.decided)?;
        if state.has_new_memory {
            transaction
                .prepare_cached("insert or replace into memory values (1, ?1, ?2)")?
                .execute([json(&*state.settings), json(&state.memory)])?;
        }
        transaction.commit()
    }

    /// Restores the line from the file; none when it was created but never written.
    pub(super) fn read(&self, now: Time) -> Result<Option<State>, String> {
        let failed = |error: rusqlite::Error| error.to_string();
        let row: Option<(String, String)> = self
            .0
            .query_row("select settings, memory from memory", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(failed)?;
        let Some((settings, memory)) = row else {
            return Ok(None);
        };
        let settings: EventSettings =
            serde_json::from_str(&settings).map_err(|error| error.to_string())?;
        let memory: Counters = serde_json::from_str(&memory).map_err(|error| error.to_string())?;
        let places = self.read_places().map_err(failed)?;
        let mut state = State::restore(settings, memory, places?, now);
        state.numberless = self.read_numberless().map_err(failed)?;
        Ok(Some(state))
    }

    /// Returns the number of the newest entry of the log; 0 without one.
    pub(super) fn newest_decision(&self) -> rusqlite::Result<u64> {
        let select = "select coalesce(max(entry), 0) from decision";
        self.0
            .query_row(select, [], |row| row.get::<_, i64>(0))
            .map(|entry| entry as u64)
    }

    /// Returns the entries of the log after one, all of this life. One that cannot be read has no decisions,
    /// and `skip` is told of it.
    pub(super) fn decisions(
        &self,
        life: &str,
        after: u64,
        limit: usize,
        skip: impl Fn(u64),
    ) -> rusqlite::Result<Vec<LogEntry>> {
        let select =
            "select entry, at, decisions from decision where entry > ?1 order by entry limit ?2";
        let mut select = self.0.prepare_cached(select)?;
        let limit = limit.min(LOG_ENTRIES_MAX) as i64;
        let entries = select.query_map(params![after as i64, limit], |row| {
            let (entry, decisions) = (row.get::<_, i64>(0)? as u64, row.get::<_, String>(2)?);
            let decisions = serde_json::from_str(&decisions);
            Ok(LogEntry {
                entry,
                life: life.to_owned(),
                at: Time(row.get(1)?),
                decisions: decisions.unwrap_or_else(|_| {
                    skip(entry);
                    Vec::new()
                }),
            })
        })?;
        entries.collect()
    }

    fn read_numberless(&self) -> rusqlite::Result<BTreeMap<VisitorId, VisitorState>> {
        let mut query = self.0.prepare("select visitor, standing from numberless")?;
        let gone = query.query_map([], |row| {
            let visitor: [u8; 16] = row.get(0)?;
            let standing = VisitorState::ALL.get(row.get::<_, i64>(1)? as usize);
            let standing = standing.copied().unwrap_or(VisitorState::Left);
            Ok((VisitorId(u128::from_be_bytes(visitor)), standing))
        })?;
        gone.collect()
    }

    fn read_places(&self) -> rusqlite::Result<Result<Vec<StoredPlace>, String>> {
        let mut query = self.0.prepare("select * from place order by number")?;
        let mut rows = query.query([])?;
        let mut places: Vec<StoredPlace> = Vec::new();
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            let visitor: [u8; 16] = row.get(1)?;
            let standing = VisitorState::ALL
                .get(row.get::<_, i64>(2)? as usize)
                .copied();
            let Some(standing) = standing.filter(|_| number == places.len() as i64 + 1) else {
                return Ok(Err(format!("the places are not dense at number {number}")));
            };
            let slot = match (row.get(4)?, row.get(5)?, row.get(6)?) {
                (Some(admitted), Some(claim), Some(expires)) => Some(Slot {
                    admitted_at: Time(admitted),
                    claim_by: Time(claim),
                    expires_at: Time(expires),
                }),
                _ => None,
            };
            let visitor = VisitorId(u128::from_be_bytes(visitor));
            places.push(State::entry(visitor, standing, Time(row.get(3)?), slot));
        }
        Ok(Ok(places))
    }
}

/// Adds decisions to the log, and deletes what is more than it keeps.
fn write_decisions(
    transaction: &Transaction<'_>,
    decided: &[(Time, LineDecision)],
) -> rusqlite::Result<()> {
    if decided.is_empty() {
        return Ok(());
    }
    let mut add =
        transaction.prepare_cached("insert into decision (at, decisions) values (?1, ?2)")?;
    let is_alike = |one: &(Time, LineDecision), next: &(Time, LineDecision)| {
        one.0 == next.0 && discriminant(&one.1) == discriminant(&next.1)
    };
    for together in decided.chunk_by(is_alike) {
        for some in together.chunks(ENTRY_DECISIONS_MAX) {
            let decisions: Vec<&LineDecision> = some.iter().map(|(_, decision)| decision).collect();
            add.execute(params![some[0].0.0, json(&decisions)])?;
        }
    }
    let oldest = transaction.last_insert_rowid() - LOG_ENTRIES_KEPT as i64;
    transaction
        .prepare_cached("delete from decision where entry <= ?1")?
        .execute([oldest])?;
    Ok(())
}

/// Removes a journal: under another name it is not read again, whatever becomes of its files. May be
/// repeated.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    match fs::rename(path, path.with_extension(REMOVED)) {
        // By an attempt that failed later.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        renamed => renamed?,
    }
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Deletes the files of a removed journal, if there is one. Its own goes last, so that a deletion
/// that failed is noticed by the next start, and by the next creation of the event.
pub(super) fn delete_removed(path: &Path) -> std::io::Result<()> {
    if !path.with_extension(REMOVED).exists() {
        return Ok(());
    }
    for extension in ["sqlite-wal", "sqlite-shm", REMOVED] {
        match fs::remove_file(path.with_extension(extension)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn open_current(path: &Path) -> rusqlite::Result<Connection> {
    let connection = sqlite::open(path)?;
    if sqlite::schema_version(&connection, VERSION)? < VERSION {
        connection.execute_batch(SCHEMA)?;
        connection.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(connection)
}

fn code(standing: VisitorState) -> i64 {
    let at = VisitorState::ALL
        .iter()
        .position(|known| *known == standing);
    at.unwrap_or(0) as i64
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("settings and memory are plain data")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn an_entry_that_cannot_be_read_has_no_decisions_and_keeps_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("night.sqlite")).unwrap();
        let missed = json(&[LineDecision::Missed {
            visitor: VisitorId(1),
            number: 1,
        }]);
        for decisions in [&*missed, r#"[{"type": "unheard_of"}]"#, &*missed] {
            let add = "insert into decision (at, decisions) values (1, ?1)";
            journal.0.execute(add, [decisions]).unwrap();
        }
        let skipped = RefCell::new(Vec::new());
        let skip = |entry| skipped.borrow_mut().push(entry);
        let entries = journal.decisions("life", 0, 10, skip).unwrap();
        let counts = entries.iter().map(|it| (it.entry, it.decisions.len()));
        assert_eq!(counts.collect::<Vec<_>>(), [(1, 1), (2, 0), (3, 1)]);
        assert_eq!(*skipped.borrow(), [2]);
    }
}
