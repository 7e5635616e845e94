//! The connection of a writer: one statement at a time, prepared once.

use super::database::{ANSWER, CONNECT, Health, QueryError};
use sqlx::Connection as _;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::query::Query;
use std::time::Duration;
use tokio::sync::Mutex;
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
        let mut slot = self.slot.lock().await;
        let mut connection = match slot.connection.take() {
            Some(connection) => connection,
            None => self.connect(&mut slot).await?,
        };
        let executed = timeout(ANSWER, query.fetch_all(&mut connection)).await;
        let outcome = self.health.record(executed);
        match &outcome {
            Err(QueryError::Unreachable) => slot.failed_at = Some(Instant::now()),
            _ => slot.connection = Some(connection),
        }
        outcome
    }

    async fn connect(&self, slot: &mut Slot) -> Result<PgConnection, QueryError> {
        if slot.failed_at.is_some_and(|at| at.elapsed() < REST) {
            return Err(QueryError::Unreachable);
        }
        let error = match timeout(CONNECT, PgConnection::connect_with(&self.options)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        slot.failed_at = Some(Instant::now());
        Err(self.health.unreachable(&error))
    }
}
