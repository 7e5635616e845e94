//! Detects a pooler that hands the statements of one connection to several servers. Behind one, sqlx would get the
//! answers to other statements, without an error: it sends a statement in two steps.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Error, Row as _, raw_sql};
use std::time::Duration;
use tokio::time::timeout;

/// Longest time for the check, which makes several connections.
const CHECK: Duration = Duration::from_secs(10);

/// Number of servers that are kept from the connection under test.
const OTHERS: usize = 4;
/// Returns the process that answers.
const SERVER: &str = "select pg_backend_pid()";
/// Returns the process that answers, and keeps it.
const BEGIN_SERVER: &str = "begin; select pg_backend_pid()";

/// Fails unless one server answers everything that is sent over a connection.
///
/// # Errors
/// A sentence for the operator.
pub(super) async fn check(options: &PgConnectOptions) -> Result<(), String> {
    match timeout(CHECK, is_shared(options)).await {
        Ok(Ok(false)) => Ok(()),
        Ok(Ok(true)) => Err(
            "a pooler hands statements to several servers: set `listen=` in the URL to the database's own address"
                .to_owned(),
        ),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// Returns whether a connection may move to another server. Others begin transactions, each of which keeps its server
/// for itself: if one gets the server of the first connection, or the first gets another afterwards, they are shared.
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

/// Executes `SERVER` or `BEGIN_SERVER`: simple queries, which a pooler passes on as a whole.
async fn server_of(connection: &mut PgConnection, sql: &'static str) -> Result<i32, Error> {
    raw_sql(sql).fetch_one(connection).await?.try_get(0)
}
