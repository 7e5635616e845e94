//! The thread of one event's line in the embedded engine: state machine and journal.

use super::Life;
use super::journal::Journal;
use super::state::State;
use super::unreadable;
use parking_lot::Mutex;
use shared::group_commit::{Durable, GroupCommit};
use shared::ids::EventId;
use shared::line_log::{LogEntry, LogPage, LogPlace};
use shared::metrics::writers::{self, WriterMetrics};
use shared::time::Clock;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why the journals of some events cannot be written. Locked for a look-up or a change.
pub(super) type Failures = Arc<Mutex<BTreeMap<EventId, String>>>;

/// The state machine of one event with its journal.
pub(super) struct Engine {
    pub(super) state: State,
    journal: Journal,
    pub(super) clock: Clock,
    failures: Failures,
    has_failed: bool,
}

impl Durable for Engine {
    const COMMIT: &'static str = "commit line";

    fn metrics() -> &'static WriterMetrics {
        &writers::LINE
    }

    fn commit(&mut self) -> Result<(), String> {
        let is_change = self.state.has_new_memory || !self.state.changed.is_empty();
        let written = self.journal.write(&self.state);
        let event = &self.state.settings.id;
        if let Err(error) = written {
            let error = error.to_string();
            self.has_failed = true;
            self.failures.lock().insert(event.clone(), error.clone());
            return Err(error);
        }
        if is_change && std::mem::take(&mut self.has_failed) {
            self.failures.lock().remove(event);
        }
        self.state.changed.clear();
        self.state.decided.clear();
        self.state.has_new_memory = false;
        self.state.is_renumbered = false;
        Ok(())
    }

    fn recover(&mut self) -> Result<(), String> {
        let state = self.journal.read(self.clock.now())?;
        let mut state = state.ok_or("the journal is empty")?;
        state.take_over(&self.state);
        self.state = state;
        Ok(())
    }
}

impl Engine {
    /// Returns what was decided after a place, as far as it is durable; none if the journal cannot be
    /// read.
    pub(super) fn decisions(&self, place: &LogPlace, limit: usize) -> Option<LogPage> {
        let front = self.state.front(self.clock.now());
        let life = Life::hex(front.life.creation);
        let newest = self.journal.newest_decision();
        let newest = newest.inspect_err(|error| tracing::warn!(%error, "log cannot be read"));
        // A journal that was restored from a copy may have less than was read.
        let is_known = place.life == life && place.entry <= newest.ok()?;
        let after = if is_known { place.entry } else { 0 };
        Some(LogPage {
            entries: self.read_log(&life, after, limit).ok()?,
            life,
            after,
            is_over: front.is_over,
        })
    }

    fn read_log(&self, life: &str, after: u64, limit: usize) -> rusqlite::Result<Vec<LogEntry>> {
        let event = &self.state.settings.id;
        let skip = |entry| unreadable::skip(event, entry);
        self.journal.decisions(life, after, limit, skip)
    }
}

/// Starts the thread of an event.
pub(super) fn start(
    state: State,
    journal: Journal,
    clock: &Clock,
    failures: &Failures,
) -> Result<GroupCommit<Engine>, String> {
    let name = format!("line-{}", state.settings.id);
    let engine = Engine {
        state,
        journal,
        clock: clock.clone(),
        failures: failures.clone(),
        has_failed: false,
    };
    GroupCommit::start(&name, engine).map_err(|error| format!("no thread for {name}: {error}"))
}
