//! Counts the instructions of SQLite in tests: they do not depend on the machine.

use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of instructions that SQLite has executed on the connections of one engine.
#[derive(Clone, Default)]
pub(super) struct Steps(Arc<AtomicU64>);

impl Steps {
    pub(super) fn count(db: &Connection) -> Steps {
        let steps = Steps::default();
        steps.count_too(db).unwrap();
        steps
    }

    pub(super) fn count_too(&self, db: &Connection) -> rusqlite::Result<()> {
        let count = self.0.clone();
        let each = move || {
            count.fetch_add(1, Ordering::Relaxed);
            false
        };
        db.progress_handler(1, Some(each))
    }

    /// Returns the number since it was asked for last.
    pub(super) fn taken(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}
