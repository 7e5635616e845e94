//! Statements to a database over a pool of connections. Each is one transaction, and is planned
//! anew every time: tables grow a thousandfold within minutes, so that a plan made a minute ago may
//! be the wrong one.

use crate::instruments::PoolMetrics;
use shared::trace::Span;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{Connection as _, Error, Execute as _, Executor as _, query_with};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// Largest number of connections for ordinary statements, which take milliseconds.
pub(super) const READERS_MAX: u32 = 4;
/// The same for lists and figures, which read many rows: no sale waits for one of them.
pub(super) const LISTS_MAX: u32 = 2;
/// The same for deliveries to webhooks: no sale waits for one of them.
pub(super) const WEBHOOKS_MAX: u32 = 2;
/// The same for statements about a whole event, such as its plan.
pub(super) const SLOW_MAX: u32 = 1;
/// The same to a replica.
pub(super) const REPLICA_MAX: u32 = 2;
/// Longest time in which a connection is made or becomes free.
pub(super) const CONNECT: Duration = Duration::from_secs(2);
/// Longest time for a statement. After it the database counts as unreachable.
pub(super) const ANSWER: Duration = Duration::from_secs(3);
/// The same for a statement about a whole event, less than a handler has.
pub(super) const SLOW_ANSWER: Duration = Duration::from_secs(25);
/// A connection that was idle for longer is tested before it is used.
pub(super) const IDLE: Duration = Duration::from_secs(1);
/// Switches the compiling of plans off, which takes a hundred times as long as running one of ours.
/// A statement of its own, as a pooler in session mode accepts no options.
pub(super) const NO_JIT: &str = "set jit = off";

/// A statement with its parameters.
pub(super) type Statement<'q> = sqlx::query::Query<'q, sqlx::Postgres, PgArguments>;

/// Reason why a statement was not executed.
#[derive(Debug)]
pub(super) enum QueryError {
    /// There was no answer. The statement may have taken effect.
    Unreachable,
    /// The database rejected it. Nothing happened.
    Rejected(String),
}

impl QueryError {
    /// Logs a rejection, which is a fault of this program.
    pub(super) fn log(&self) {
        if let QueryError::Rejected(error) = self {
            tracing::error!(error, "the database rejected a statement");
        }
    }
}

/// Whether a database answers.
pub(super) struct Health {
    name: String,
    is_away: AtomicBool,
}

impl Health {
    pub(super) fn new(options: &PgConnectOptions) -> Health {
        Health {
            name: super::config::shown(options),
            is_away: AtomicBool::new(false),
        }
    }

    /// Returns whether the last statement had no answer.
    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Records an outcome and takes its error apart.
    pub(super) fn record<T>(
        &self,
        outcome: Result<Result<T, Error>, Elapsed>,
    ) -> Result<T, QueryError> {
        let outcome = match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if is_rejection(&error) => Err(QueryError::Rejected(error.to_string())),
            Ok(Err(error)) => return Err(self.unreachable(&error.to_string())),
            Err(_) => return Err(self.unreachable("no answer in time")),
        };
        self.reached();
        outcome
    }

    /// Records that the database answers.
    pub(super) fn reached(&self) {
        if self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!(database = self.name, "the database answers again");
        }
    }

    /// Records that there was no answer.
    pub(super) fn unreachable(&self, error: &str) -> QueryError {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                database = self.name,
                error,
                "the database cannot be reached"
            );
        }
        QueryError::Unreachable
    }
}

/// Returns whether an error is an answer of the database, unlike one of a server that is shutting
/// down or starting up, has no connection left, or is a standby that only reads.
fn is_rejection(error: &Error) -> bool {
    match error {
        Error::Database(error) => !error.code().is_some_and(|state| {
            state.starts_with("57P")
                || state.starts_with("08")
                || state.starts_with("53")
                || state == "25006"
        }),
        Error::Encode(_) | Error::TypeNotFound { .. } => true,
        _ => false,
    }
}

/// A pool of connections to one database.
pub(super) struct Database {
    pool: PgPool,
    /// One permit for each connection. Whoever waits for one waits for this node, not for the
    /// database.
    permits: Semaphore,
    answer: Duration,
    health: Health,
    metrics: PoolMetrics,
    /// Held by the only statement that tries the database while it is away.
    trial: Mutex<()>,
}

impl Database {
    /// Makes a pool of at most `connections`, each made when it is needed, for statements that take
    /// at most `answer`. Metrics show it by its name.
    pub(super) fn new(
        name: &'static str,
        options: PgConnectOptions,
        connections: u32,
        answer: Duration,
    ) -> Database {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(CONNECT)
            // Every statement would cost another round trip.
            .test_before_acquire(false)
            .before_acquire(|connection, usage| {
                Box::pin(async move {
                    if usage.idle_for > IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(NO_JIT).await.map(drop) })
            });
        Database {
            health: Health::new(&options),
            metrics: PoolMetrics::new(name, connections),
            pool: pool.connect_lazy_with(options),
            permits: Semaphore::new(connections as usize),
            answer,
            trial: Mutex::new(()),
        }
    }

    /// Returns whether the last statement had no answer.
    pub(super) fn is_away(&self) -> bool {
        self.health.is_away()
    }

    /// Executes a statement and returns its rows.
    pub(super) async fn fetch(&self, query: Statement<'_>) -> Result<Vec<PgRow>, QueryError> {
        // While the database is away, one statement at a time waits for it, and the others fail at
        // once.
        let _trial = match self.is_away().then(|| self.trial.try_lock()) {
            Some(Err(_)) => return Err(QueryError::Unreachable),
            trial => trial,
        };
        let permit = timeout(CONNECT, self.permits.acquire());
        let Ok(Ok(_permit)) = self.metrics.wait(permit).await else {
            return Err(QueryError::Unreachable);
        };
        let _busy = self.metrics.enter();
        let connection = match self.pool.acquire().await {
            Ok(connection) => connection,
            Err(error) => return Err(self.health.unreachable(&error.to_string())),
        };
        let mut lease = Lease(Some(connection));
        let (query, mut span) = traced(query);
        let outcome = self
            .health
            .record(timeout(self.answer, lease.execute(query)).await);
        match outcome {
            Err(QueryError::Unreachable) => span.fail("unanswered"),
            Err(QueryError::Rejected(_)) => span.fail("rejected"),
            Ok(_) => {}
        }
        if !matches!(outcome, Err(QueryError::Unreachable)) {
            lease.give_back();
        }
        outcome
    }

    /// Executes a statement and returns its first row, if any.
    pub(super) async fn fetch_optional(
        &self,
        query: Statement<'_>,
    ) -> Result<Option<PgRow>, QueryError> {
        Ok(self.fetch(query).await?.into_iter().next())
    }
}

/// Begins the span of a statement, with its text, in which parameters have no values.
fn traced(mut statement: Statement<'_>) -> (Statement<'_>, Span) {
    let mut span = Span::store("postgresql", "statement");
    if !span.is_recorded() {
        return (statement, span);
    }
    let Ok(arguments) = statement.take_arguments() else {
        return (statement, span);
    };
    let text = statement.sql();
    let words: Vec<&str> = text.as_str().split_whitespace().collect();
    span.text("db.query.text", &words.join(" "));
    (query_with(text, arguments.unwrap_or_default()), span)
}

/// A connection in use. Unless it is given back it is closed, as its statement may still run: the
/// next one would wait for it.
struct Lease(Option<PoolConnection<sqlx::Postgres>>);

impl Lease {
    async fn execute(&mut self, query: Statement<'_>) -> Result<Vec<PgRow>, Error> {
        let connection = self.0.as_mut().expect("the lease has not ended");
        let connection: &mut PgConnection = &mut *connection;
        query.persistent(false).fetch_all(connection).await
    }

    /// Returns the connection to the pool, which tests it in a task of its own first.
    fn give_back(&mut self) {
        if let Some(mut connection) = self.0.take() {
            // Ends within the time limit: a peer that vanished just now must not keep the
            // connection's place.
            tokio::spawn(timeout(CONNECT, connection.return_to_pool()));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{Row as _, query};
    use std::str::FromStr as _;
    use testkit::{Shared, shared_postgres};

    /// A pool of one connection.
    fn single(servers: &Shared, answer: Duration) -> Database {
        let url = servers.postgres.url(&servers.postgres.database());
        Database::new("test", PgConnectOptions::from_str(&url).unwrap(), 1, answer)
    }

    /// Fails unless another statement is answered at once.
    async fn goes_on(database: &Database) {
        let next = timeout(Duration::from_secs(2), database.fetch(query("select 7")));
        let rows = next.await.unwrap().unwrap();
        assert_eq!(rows[0].get::<i32, _>(0), 7);
    }

    #[tokio::test]
    async fn a_statement_that_is_given_up_does_not_hold_up_the_next_one() {
        let servers = shared_postgres();
        let database = single(&servers, Duration::from_millis(200));
        let late = database.fetch(query("select pg_sleep(30)")).await;
        assert!(matches!(late, Err(QueryError::Unreachable)));
        assert!(database.is_away());
        goes_on(&database).await;
        assert!(!database.is_away());
    }

    #[tokio::test]
    async fn a_statement_whose_caller_is_gone_does_not_hold_up_the_next_one() {
        let servers = shared_postgres();
        let database = single(&servers, ANSWER);
        let asking = database.fetch(query("select pg_sleep(30)"));
        assert!(timeout(Duration::from_millis(200), asking).await.is_err());
        goes_on(&database).await;
    }

    #[tokio::test]
    async fn a_rejected_statement_leaves_the_connection_as_it_was() {
        let servers = shared_postgres();
        let database = single(&servers, ANSWER);
        let pid = async || {
            let rows = database.fetch(query("select pg_backend_pid()")).await;
            rows.unwrap()[0].get::<i32, _>(0)
        };
        let before = pid().await;
        let rejected = database.fetch(query("select 1 / 0")).await;
        assert!(matches!(rejected, Err(QueryError::Rejected(error)) if error.contains("division")));
        assert!(!database.is_away());
        assert_eq!(pid().await, before);
    }

    #[tokio::test]
    async fn a_full_pool_refuses_a_statement_and_does_not_count_as_a_database_that_is_away() {
        let servers = shared_postgres();
        let database = single(&servers, SLOW_ANSWER);
        let running = database.fetch(query("select pg_sleep(20)"));
        let asking = async {
            while database.permits.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            database.fetch(query("select 7")).await
        };
        tokio::select! {
            _ = running => panic!("the statement waited for the other"),
            refused = asking => assert!(matches!(refused, Err(QueryError::Unreachable))),
        }
        assert!(!database.is_away());
    }

    #[tokio::test]
    async fn a_standby_that_only_reads_counts_as_away() {
        let servers = shared_postgres();
        let url = servers.postgres.url(&servers.postgres.database());
        let options = PgConnectOptions::from_str(&url).unwrap();
        // Rejects what is written with the same code.
        let options = options.options([("default_transaction_read_only", "on")]);
        let database = Database::new("test", options, 1, ANSWER);
        let refused = database.fetch(query("create table new (number integer)"));
        assert!(matches!(refused.await, Err(QueryError::Unreachable)));
        assert!(database.is_away());
    }

    #[tokio::test]
    async fn plans_are_not_compiled() {
        let servers = shared_postgres();
        let rows = single(&servers, ANSWER).fetch(query("show jit")).await;
        assert_eq!(rows.unwrap()[0].get::<&str, _>(0), "off");
    }
}
