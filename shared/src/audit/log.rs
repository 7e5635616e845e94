//! A handle to the audit log, for all who write and read it.

use super::chain::{Link, entry_of};
use super::check::Checked;
use super::entry::{ENTRIES_MAX, Entry};
use super::file::LogFile;
use super::incidents::{Incident, Incidents};
use crate::time::Time;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::task::JoinHandle;

/// A store that all nodes share: there the log is read, while each node's file keeps what was done
/// at that node. The lines of each node are a chain of their own.
#[async_trait]
pub trait SharedAuditLog: Send + Sync {
    /// Keeps a line. May be repeated.
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
pub struct Audit(Arc<Inner>);

struct Inner {
    file: Mutex<LogFile>,
    incidents: Mutex<Incidents>,
    shared: OnceLock<Arc<dyn SharedAuditLog>>,
    /// Lines that the shared store has not taken yet, oldest first.
    unsent: Mutex<VecDeque<String>>,
    /// Held while lines are sent, so that they arrive in order. Whether the store was compared with
    /// the file since the start.
    sending: tokio::sync::Mutex<bool>,
}

impl Audit {
    /// Opens the log at `path`, and checks it. If it is not as it was written, the log of the
    /// process and an entry say so, and it goes on: a sale does not stop for it.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open(path: &Path, now: Time) -> Result<Audit, String> {
        let (mut file, checked) = LogFile::open(path, now)?;
        let shown = path.display();
        if checked.faults.is_empty() {
            let Checked { lines, head, .. } = &checked;
            tracing::debug!(lines, head, file = %shown, "the audit log is whole");
        } else {
            let faults = checked.faults.join("; ");
            tracing::error!(faults, file = %shown, "the audit log was tampered with");
            let entry = Entry {
                at: now,
                by: "fairline".to_owned(),
                action: "audit.broken".to_owned(),
                event: String::new(),
                address: None,
                from: Value::Null,
                to: json!({"faults": checked.faults}),
            };
            let (_, written) = file.append(entry);
            written.map_err(|error| format!("{shown} cannot be written: {error}"))?;
        }
        Ok(Audit(Arc::new(Inner {
            file: Mutex::new(file),
            incidents: Mutex::default(),
            shared: OnceLock::new(),
            unsent: Mutex::default(),
            sending: tokio::sync::Mutex::new(false),
        })))
    }

    /// Keeps the log in a store that all nodes share as well, from now on, and reads it from there.
    pub fn share(&self, store: Arc<dyn SharedAuditLog>) {
        let _ = self.0.shared.set(store);
    }

    /// Writes one entry. Failure to write is logged, never hidden; the change itself stands.
    pub async fn record(&self, entry: Entry) {
        let inner = self.0.clone();
        // Off the async threads: the write waits for the disk. To its end, whatever becomes of the
        // request.
        let written = tokio::task::spawn_blocking(move || {
            let mut file = inner.file.lock();
            let (line, written) = file.append(entry);
            if inner.shared.get().is_some() {
                let mut unsent = inner.unsent.lock();
                if unsent.len() == ENTRIES_MAX {
                    unsent.pop_front();
                }
                unsent.push_back(line);
            }
            written
        });
        if let Ok(Err(error)) = written.await {
            tracing::error!(%error, "the audit log could not be written; it is tried again with the next entry");
        }
        if let Err(error) = self.send().await {
            tracing::error!(error, "the audit log is not in the shared store");
        }
    }

    /// Records an incident, or counts it if there are many. The task is to be awaited where the
    /// answer must wait for the entry.
    pub fn note(&self, incident: Incident, now: Time) -> Option<JoinHandle<()>> {
        let entry = self.0.incidents.lock().note(incident, now)?;
        let audit = self.clone();
        Some(tokio::spawn(async move { audit.record(entry).await }))
    }

    /// Writes the sums of incidents that are due, and sends what the shared store does not have.
    /// Called now and then, and at the end of the process.
    pub async fn settle(&self, now: Time, is_last: bool) {
        let due = self.0.incidents.lock().due(now, is_last);
        for entry in due {
            self.record(entry).await;
        }
        if let Err(error) = self.send().await {
            tracing::debug!(error, "the audit log is not in the shared store yet");
        }
    }

    /// Sends lines to the shared store, in their order.
    async fn send(&self) -> Result<(), String> {
        let Some(store) = self.0.shared.get() else {
            return Ok(());
        };
        let mut is_compared = self.0.sending.lock().await;
        if !*is_compared {
            self.compare(&store.newest(ENTRIES_MAX).await?);
            *is_compared = true;
        }
        loop {
            let line = self.0.unsent.lock().front().cloned();
            let Some(line) = line else { return Ok(()) };
            store.keep(line.clone()).await?;
            let mut unsent = self.0.unsent.lock();
            if unsent.front() == Some(&line) {
                unsent.pop_front();
            }
        }
    }

    /// Lists what the store does not have of this log: lines that were not sent before the process
    /// ended, or all if it has lost them.
    fn compare(&self, stored: &[String]) {
        let file = self.0.file.lock();
        let mut unsent = self.0.unsent.lock();
        let links = stored.iter().filter_map(|line| Link::parse(line));
        let of_this = links.filter(|link| link.log == file.id());
        let last = of_this.map(|link| link.seq).max().unwrap_or(0);
        let is_missing = |line: &&String| Link::parse(line).is_some_and(|link| link.seq > last);
        *unsent = file.newest().take_while(is_missing).cloned().collect();
        unsent.make_contiguous().reverse();
    }

    /// Returns the newest entries, newest first.
    pub async fn newest(&self, count: usize) -> Vec<Entry> {
        if let Some(store) = self.0.shared.get()
            && let Ok(lines) = store.newest(count).await
        {
            let mut entries: Vec<Entry> = lines.iter().filter_map(|line| entry_of(line)).collect();
            // Lines that a node could not send for a while come late.
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
            return entries;
        }
        let file = self.0.file.lock();
        let newest = file.newest().filter_map(|line| entry_of(line));
        newest.take(count).collect()
    }
}
