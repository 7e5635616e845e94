//! The connection of a writer: one statement at a time, prepared once.

use super::database::{ANSWER, CONNECT, Health, IDLE, NO_JIT, QueryError};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, Error, Executor as _, query};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};

/// Pause after a failure before the next attempt to connect.
const REST: Duration = Duration::from_millis(200);

/// A connection that is made when it is needed, and made anew after it broke.
pub(super) struct Connection {
    options: PgConnectOptions,
    health: Health,
    /// Held while a statement runs; others wait for it.
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    /// `None` also while a statement runs. So one that is given up is dropped together with its connection, which
    /// would be of no use until the answer had come.
    connection: Option<PgConnection>,
    used_at: Option<Instant>,
    failed_at: Option<Instant>,
}

impl Connection {
    pub(super) fn new(options: PgConnectOptions) -> Connection {
        Connection {
            health: Health::new(&options),
            options,
            slot: Mutex::default(),
        }
    }

    /// Returns whether the last statement had no answer.
    pub(super) fn is_away(&self) -> bool {
        self.health.is_away()
    }

    /// Executes a statement and returns its rows.
    pub(super) async fn fetch(
        &self,
        query: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, QueryError> {
        self.execute(self.slot.lock().await, query).await
    }

    /// Tries to reach the database, unless a statement is being executed.
    pub(super) async fn probe(&self) {
        if let Ok(slot) = self.slot.try_lock() {
            // The outcome is recorded.
            let _ = self.execute(slot, query("select 1")).await;
        }
    }

    async fn execute(
        &self,
        mut slot: MutexGuard<'_, Slot>,
        query: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, QueryError> {
        let mut connection = match slot.take_tested().await {
            Some(connection) => connection,
            None => self.connect(&mut slot).await?,
        };
        let executed = timeout(ANSWER, query.fetch_all(&mut connection)).await;
        let outcome = self.health.record(executed);
        match &outcome {
            Err(QueryError::Unreachable) => slot.failed_at = Some(Instant::now()),
            _ => {
                slot.connection = Some(connection);
                slot.used_at = Some(Instant::now());
            }
        }
        outcome
    }

    async fn connect(&self, slot: &mut Slot) -> Result<PgConnection, QueryError> {
        if slot.failed_at.is_some_and(|at| at.elapsed() < REST) {
            return Err(QueryError::Unreachable);
        }
        let connecting = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            connection.execute(NO_JIT).await?;
            Ok::<_, Error>(connection)
        };
        let error = match timeout(CONNECT, connecting).await {
            Ok(Ok(connection)) => {
                // A statement that had no answer may only have waited for a lock: the others need not wait for its end.
                self.health.reached();
                return Ok(connection);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        slot.failed_at = Some(Instant::now());
        Err(self.health.unreachable(&error))
    }
}

impl Slot {
    /// Takes the connection, if it still answers: one that was idle may have been closed by the other side.
    async fn take_tested(&mut self) -> Option<PgConnection> {
        let mut connection = self.connection.take()?;
        if self.used_at.is_some_and(|at| at.elapsed() < IDLE) {
            return Some(connection);
        }
        let tested = timeout(CONNECT, connection.ping()).await;
        tested
            .is_ok_and(|pinged| pinged.is_ok())
            .then_some(connection)
    }
}
