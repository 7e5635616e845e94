//! Access to the notifier's file.

use super::schema;
use parking_lot::Mutex;
use rusqlite::{Connection, Transaction};
use shared::sqlite;
use shared::time::{Clock, Time};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for another process that writes to the file.
const BUSY: Duration = Duration::from_secs(5);

/// Result of an operation on the file; the error is a sentence for the operator.
pub type Stored<T> = Result<T, String>;

/// The file. Other processes may use it at the same time.
#[derive(Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
    clock: Clock,
}

impl Store {
    /// Opens the file, and makes it if there is none.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(path: &Path, clock: Clock) -> Stored<Store> {
        let failed = |error: rusqlite::Error| format!("{}: {error}", path.display());
        let mut connection = sqlite::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        schema::bring_up_to_date(&mut connection).map_err(failed)?;
        Ok(Store {
            connection: Arc::new(Mutex::new(connection)),
            clock,
        })
    }

    /// Returns the time.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Runs a transaction on a thread on which it may wait for the disk.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, Time) -> rusqlite::Result<T> + Send + 'static,
    ) -> Stored<T> {
        let (connection, now) = (self.connection.clone(), self.clock.now());
        let run = move || {
            let mut connection = connection.lock();
            let transaction = connection.transaction()?;
            let result = work(&transaction, now)?;
            transaction.commit()?;
            Ok(result)
        };
        let ran = tokio::task::spawn_blocking(run).await;
        let ran = ran.map_err(|error| format!("the notifier's file: {error}"))?;
        ran.map_err(|error: rusqlite::Error| format!("the notifier's file: {error}"))
    }
}
