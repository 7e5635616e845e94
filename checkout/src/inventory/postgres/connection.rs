//! The connection of a writer: one statement at a time, prepared once.

use super::database::{ANSWER, CONNECT, Health, IDLE, NO_JIT, QueryError, Statement};
use crate::instruments::PoolMetrics;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
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
    metrics: PoolMetrics,
    /// Held while a statement runs; others wait for it.
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    /// `None` also while a statement runs. So one that is given up is dropped together with its
    /// connection, which would be of no use until the answer had come.
    connection: Option<PgConnection>,
    used_at: Option<Instant>,
    failed_at: Option<Instant>,
}

impl Connection {
    pub(super) fn new(options: PgConnectOptions) -> Connection {
        Connection {
            health: Health::new(&options),
            metrics: PoolMetrics::new("writer", 1),
            options,
            slot: Mutex::default(),
        }
    }

    /// Returns whether the last statement had no answer.
    pub(super) fn is_away(&self) -> bool {
        self.health.is_away()
    }

    /// Executes a statement and returns its rows.
    pub(super) async fn fetch(&self, query: Statement<'_>) -> Result<Vec<PgRow>, QueryError> {
        let slot = self.metrics.wait(self.slot.lock()).await;
        let _busy = self.metrics.enter();
        self.execute(slot, query).await
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
        query: Statement<'_>,
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
                // A statement that had no answer may only have waited for a lock: the others need
                // not wait for its end.
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
    /// Takes the connection, if it still answers: one that was idle may have been closed by the
    /// other side.
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

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Row as _;
    use std::str::FromStr as _;
    use testkit::{Shared, shared_postgres};

    /// A connection to a new database, with its name.
    fn connection(servers: &Shared) -> (Connection, String) {
        let database = servers.postgres.database();
        let options = PgConnectOptions::from_str(&servers.postgres.url(&database)).unwrap();
        (Connection::new(options), database)
    }

    /// Returns the server's process, unless there is no answer at once.
    async fn process(connection: &Connection) -> Result<i32, QueryError> {
        let asking = connection.fetch(query("select pg_backend_pid()"));
        let rows = timeout(CONNECT, asking).await.unwrap()?;
        Ok(rows[0].get(0))
    }

    #[tokio::test]
    async fn a_statement_whose_caller_is_gone_takes_its_connection_with_it() {
        let servers = shared_postgres();
        let (connection, _) = connection(&servers);
        let before = process(&connection).await.unwrap();
        let asking = connection.fetch(query("select pg_sleep(30)"));
        assert!(timeout(Duration::from_millis(200), asking).await.is_err());
        assert_ne!(process(&connection).await.unwrap(), before);
    }

    #[tokio::test]
    async fn a_rejected_statement_leaves_the_connection_as_it_was() {
        let servers = shared_postgres();
        let (connection, _) = connection(&servers);
        let before = process(&connection).await.unwrap();
        let rejected = connection.fetch(query("select 1 / 0")).await;
        assert!(matches!(rejected, Err(QueryError::Rejected(_))));
        assert!(!connection.is_away());
        assert_eq!(process(&connection).await.unwrap(), before);
    }

    #[tokio::test]
    async fn a_connection_that_broke_while_it_was_idle_is_made_anew_without_an_error() {
        let servers = shared_postgres();
        let (connection, database) = connection(&servers);
        let before = process(&connection).await.unwrap();
        let end = format!("select pg_terminate_backend({before}, 5000)");
        assert_eq!(servers.postgres.run(&database, &end).unwrap(), "t");
        connection.slot.lock().await.used_at = None;
        assert_ne!(process(&connection).await.unwrap(), before);
        assert!(!connection.is_away());
    }

    #[tokio::test]
    async fn a_statement_that_waits_for_a_lock_too_long_keeps_the_others_waiting_no_longer() {
        let servers = shared_postgres();
        let (connection, database) = connection(&servers);
        let make = "create table locked (number integer)";
        servers.postgres.run(&database, make).unwrap();
        let url = servers.postgres.url(&database);
        let mut other = PgConnection::connect(&url).await.unwrap();
        other.execute("begin; lock table locked").await.unwrap();
        let late = connection.fetch(query("select * from locked")).await;
        assert!(matches!(late, Err(QueryError::Unreachable)));
        assert!(connection.is_away());
        // Right after a failure no connection is tried.
        let soon = process(&connection).await;
        assert!(matches!(soon, Err(QueryError::Unreachable)));
        while connection.is_away() {
            connection.probe().await;
            tokio::task::yield_now().await;
        }
        process(&connection).await.unwrap();
    }

    #[tokio::test]
    async fn a_probe_does_not_wait_for_a_statement_that_runs() {
        let servers = shared_postgres();
        let (connection, _) = connection(&servers);
        let asking = connection.fetch(query("select pg_sleep(30)"));
        let probing = async {
            while connection.slot.try_lock().is_ok() {
                tokio::task::yield_now().await;
            }
            connection.probe().await;
        };
        tokio::select! {
            _ = asking => panic!("the probe waited"),
            () = probing => {}
        }
    }
}
