//! Detects a pooler that hands the statements of one connection to several servers. Behind one,
//! sqlx would get the answers to other statements, without an error: it sends a statement in two
//! steps.

use shared::crypto::random_id;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Error, Row as _, raw_sql};
use std::time::Duration;
use tokio::time::timeout;

/// Longest time for the check, which makes several connections.
const CHECK: Duration = Duration::from_secs(10);

/// Longest time for a notification to arrive.
const NOTIFIED: Duration = Duration::from_secs(2);
/// Number of servers that are kept from the connection under test.
const OTHERS: usize = 4;
/// Returns the process that answers.
const SERVER: &str = "select pg_backend_pid()";
/// Returns the process that answers, and keeps it.
const BEGIN_SERVER: &str = "begin; select pg_backend_pid()";

/// Fails unless one server answers everything that is sent over a connection. Two tests, as a
/// pooler of several processes behind one address may pass the first by chance.
///
/// # Errors
/// A sentence for the operator.
pub(super) async fn check(options: &PgConnectOptions) -> Result<(), String> {
    let checking = async { Ok(is_shared(options).await? || !is_notified(options).await?) };
    match timeout(CHECK, checking).await {
        Ok(Ok(false)) => Ok(()),
        Ok(Ok(true)) => Err(
            "a pooler hands statements to several servers: set `listen=` in the URL to the database's own address"
                .to_owned(),
        ),
        Ok(Err(error)) => Err(Error::to_string(&error)),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// Returns whether a connection may move to another server. Others begin transactions, each of
/// which keeps its server for itself: if one gets the server of the first connection, or the first
/// gets another afterwards, they are shared.
pub(super) async fn is_shared(options: &PgConnectOptions) -> Result<bool, Error> {
    let mut first = PgConnection::connect_with(options).await?;
    let server = server_of(&mut first, SERVER).await?;
    let mut others = Vec::with_capacity(OTHERS);
    for _ in 0..OTHERS {
        let mut other = PgConnection::connect_with(options).await?;
        if server_of(&mut other, BEGIN_SERVER).await? == server {
            return Ok(true);
        }
        others.push(other);
    }
    Ok(server_of(&mut first, SERVER).await? != server)
}

/// Returns whether a notification arrives over a connection that sends nothing. With a pooler in
/// between none does, as the server that listens is not the connection's any more.
async fn is_notified(options: &PgConnectOptions) -> Result<bool, Error> {
    let pool = PgPoolOptions::new().max_connections(1);
    let mut listener = PgListener::connect_with(&pool.connect_lazy_with(options.clone())).await?;
    let channel = random_id("check_");
    listener.listen(&channel).await?;
    let mut other = PgConnection::connect_with(options).await?;
    let notify = AssertSqlSafe(format!("notify {channel}"));
    raw_sql(notify).execute(&mut other).await?;
    let received = timeout(NOTIFIED, listener.try_recv()).await;
    Ok(received.is_ok_and(|received| matches!(received, Ok(Some(_)))))
}

/// Executes `SERVER` or `BEGIN_SERVER`: simple queries, which a pooler passes on as a whole.
async fn server_of(connection: &mut PgConnection, sql: &'static str) -> Result<i32, Error> {
    raw_sql(sql).fetch_one(connection).await?.try_get(0)
}
