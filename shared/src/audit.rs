//! The audit log: who changed what, when, from what to what. One JSON object a line, on disk before
//! the change is answered.

use crate::time::Time;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Number of the newest entries that are kept in memory for reading; the file keeps them all.
pub const ENTRIES_MAX: usize = 10_000;

/// One change by one organiser.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Entry {
    /// Time of the change.
    pub at: Time,
    /// The name of the organiser key.
    pub by: String,
    /// The action, for example `event.update`.
    pub action: String,
    /// The event that it was done to.
    pub event: String,
    /// The state before.
    pub from: Value,
    /// The state after.
    pub to: Value,
}

/// A store that all nodes share: there the log is read, while each node's file keeps what was done
/// at that node.
#[async_trait]
pub trait SharedAuditLog: Send + Sync {
    /// Keeps a line.
    ///
    /// # Errors
    /// If the store does not answer.
    async fn keep(&self, line: String) -> Result<(), String>;

    /// Returns the newest lines, newest first.
    ///
    /// # Errors
    /// If the store does not answer.
    async fn newest(&self, count: usize) -> Result<Vec<String>, String>;
}

/// A handle to the log.
#[derive(Clone)]
pub struct Audit {
    log: Arc<Mutex<Log>>,
    shared: Arc<OnceLock<Arc<dyn SharedAuditLog>>>,
}

struct Log {
    file: File,
    newest: VecDeque<Entry>,
}

impl Audit {
    /// Opens the log at `path`. A last line that broke off (the power went) is skipped.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open(path: &Path) -> Result<Audit, String> {
        let failed = |error| format!("the audit log {} cannot be opened: {error}", path.display());
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let mut newest = VecDeque::new();
        for line in BufReader::new(file.try_clone().map_err(failed)?).lines() {
            let Ok(entry) = serde_json::from_str(&line.map_err(failed)?) else {
                continue;
            };
            if newest.len() == ENTRIES_MAX {
                newest.pop_front();
            }
            newest.push_back(entry);
        }
        Ok(Audit {
            log: Arc::new(Mutex::new(Log { file, newest })),
            shared: Arc::default(),
        })
    }

    /// Keeps the log in a store that all nodes share as well, from now on, and reads it from there.
    pub fn share(&self, store: Arc<dyn SharedAuditLog>) {
        let _ = self.shared.set(store);
    }

    /// Writes one entry. Failure to write is logged, never hidden; the change itself stands.
    pub async fn record(&self, entry: Entry) {
        let log = self.log.clone();
        let line = serde_json::to_string(&entry).unwrap_or_default();
        if let Some(store) = self.shared.get()
            && let Err(error) = store.keep(line.clone()).await
        {
            tracing::error!(error, "the audit log is not in the shared store");
        }
        // Off the async threads: the write waits for the disk.
        let written = tokio::task::spawn_blocking(move || {
            let mut log = log.lock();
            let line = format!("{line}\n");
            if log.newest.len() == ENTRIES_MAX {
                log.newest.pop_front();
            }
            log.newest.push_back(entry);
            log.file.write_all(line.as_bytes())?;
            log.file.sync_data()
        })
        .await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "the audit log could not be written");
        }
    }

    /// Returns the newest entries, newest first.
    pub async fn newest(&self, count: usize) -> Vec<Entry> {
        if let Some(store) = self.shared.get()
            && let Ok(lines) = store.newest(count).await
        {
            let read = |line: String| serde_json::from_str(&line).ok();
            return lines.into_iter().filter_map(read).collect();
        }
        let log = self.log.lock();
        log.newest.iter().rev().take(count).cloned().collect()
    }
}
