//! A connection to a database: made when it is needed, made anew after it broke, and not tried again at once when that fails.
//! Every statement is one round trip and commits by itself. Where a pooler may hand them to any server none is named; where
//! there is none, what a writer sends over and over is, and is parsed and planned once.

use shared::time::{Clock, Time};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row, Socket, Statement};

/// How long a connection may take, and a statement: then the database counts as away.
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(3);
/// The same for a statement about a whole event, as its plan: less than a handler has.
const LONG_ANSWER: Duration = Duration::from_secs(25);
/// Pause after a failure before the next attempt to connect.
const REST: Duration = Duration::from_millis(200);

/// Why a statement was not done.
#[derive(Debug)]
pub(super) enum Failed {
    /// No answer. The statement may have taken effect.
    Away,
    /// The database refused it. Nothing happened.
    Refused(String),
}

pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// The database's clock as it was heard last, carried on by a steady clock.
pub(super) struct StoreClock {
    hand: Clock,
    heard: Mutex<Option<(Time, Instant)>>,
}

impl StoreClock {
    pub(super) fn new(hand: Clock) -> StoreClock {
        StoreClock {
            hand,
            heard: Mutex::new(None),
        }
    }

    pub(super) fn is_manual(&self) -> bool {
        self.hand.hand().is_some()
    }

    pub(super) fn now(&self) -> Time {
        if let Some(hand) = self.hand.hand() {
            return hand;
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match *heard {
            Some((time, at)) => Time(time.0 + at.elapsed().as_millis() as i64),
            None => Time(0),
        }
    }

    pub(super) fn hear(&self, time: Time) {
        if self.is_manual() {
            return;
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = Some((time, Instant::now()));
    }
}

/// One connection.
pub(super) struct Connection {
    config: Config,
    limit: Duration,
    /// Held across the connecting, so that one caller connects and the others wait for it.
    client: tokio::sync::Mutex<Option<Arc<Session>>>,
    failed_at: Mutex<Option<Instant>>,
    is_away: AtomicBool,
    notified: Option<tokio::sync::mpsc::Sender<String>>,
    /// Whether it always talks to one server, so that a statement may have a name there.
    is_direct: AtomicBool,
    /// A pooler is between that takes no options.
    is_plain: AtomicBool,
}

/// A connection, and the one statement that it has a name for.
struct Session {
    client: Client,
    named: OnceCell<Statement>,
}

impl Connection {
    pub(super) fn new(config: Config) -> Connection {
        Connection {
            config,
            limit: ANSWER,
            client: tokio::sync::Mutex::new(None),
            failed_at: Mutex::new(None),
            is_away: AtomicBool::new(false),
            notified: None,
            is_direct: AtomicBool::new(false),
            is_plain: AtomicBool::new(false),
        }
    }

    /// A connection for statements about whole events.
    pub(super) fn patient(config: Config) -> Connection {
        Connection {
            limit: LONG_ANSWER,
            ..Connection::new(config)
        }
    }

    /// A connection for one statement that is sent over and over; `is_direct` unless a pooler is known to be between.
    pub(super) fn writing(config: Config, is_direct: bool) -> Connection {
        Connection {
            is_direct: AtomicBool::new(is_direct),
            ..Connection::new(config)
        }
    }

    /// A connection whose notifications are passed on.
    pub(super) fn listening(
        config: Config,
        notified: tokio::sync::mpsc::Sender<String>,
    ) -> Connection {
        Connection {
            notified: Some(notified),
            ..Connection::new(config)
        }
    }

    /// Whether the last that was heard was a failure.
    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// One statement.
    pub(super) async fn ask(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
        let session = self.session().await?;
        // A statement that is given up goes on at the server, alone and by itself: it leaves no transaction open.
        let outcome = timeout(self.limit, session.client.query_typed(sql, params)).await;
        self.heard(&session, outcome).await
    }

    /// The one statement that this connection is for; all nodes that share a schema send the same, so that a name which another
    /// gave at a server behind a pooler is no harm.
    pub(super) async fn repeat(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
        if !self.is_direct.load(Ordering::Relaxed) {
            return self.ask(sql, params).await;
        }
        let session = self.session().await?;
        let outcome = timeout(self.limit, session.repeat(sql, params)).await;
        if let Ok(Err(error)) = &outcome
            && is_of_another(error)
        {
            // A pooler is between after all: this is another server than the one that was told the name.
            tracing::warn!(
                "a pooler hands statements to several servers: `listen` should be set in FAIRLINE_INVENTORY"
            );
            self.is_direct.store(false, Ordering::Relaxed);
            return self.ask(sql, params).await;
        }
        self.heard(&session, outcome).await
    }

    async fn heard(
        &self,
        session: &Arc<Session>,
        outcome: Result<Result<Vec<Row>, tokio_postgres::Error>, Elapsed>,
    ) -> Result<Vec<Row>, Failed> {
        match outcome {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => match error.as_db_error() {
                // The server is going down or coming up: as good as away.
                Some(refusal) if !is_going(refusal.code().code()) => {
                    Err(Failed::Refused(refusal.to_string()))
                }
                _ => Err(self.broken(session, &error.to_string()).await),
            },
            Err(_) => Err(self.broken(session, "no answer in time").await),
        }
    }

    /// Several statements at once, without parameters.
    pub(super) async fn run(&self, sql: &str) -> Result<(), String> {
        let session = self.session().await.map_err(|_| "it cannot be reached")?;
        let outcome = session.client.batch_execute(sql).await;
        outcome.map_err(|error| match error.as_db_error() {
            Some(refusal) => refusal.to_string(),
            None => error.to_string(),
        })
    }

    async fn session(&self) -> Result<Arc<Session>, Failed> {
        let mut client = self.client.lock().await;
        if let Some(known) = client.as_ref().filter(|known| !known.client.is_closed()) {
            return Ok(known.clone());
        }
        let failed_at = *self
            .failed_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if failed_at.is_some_and(|at| at.elapsed() < REST) {
            return Err(Failed::Away);
        }
        match timeout(CONNECT, self.connect()).await {
            Ok(Ok(connected)) => {
                let connected = Arc::new(Session {
                    client: connected,
                    named: OnceCell::new(),
                });
                *client = Some(connected.clone());
                if self.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the database answers again");
                }
                Ok(connected)
            }
            outcome => {
                *client = None;
                let error = match outcome {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer in time".to_owned(),
                };
                self.note(&error);
                Err(Failed::Away)
            }
        }
    }

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, mut connection) = match self.connect_with_options().await {
            Err(error) if error.code().is_some_and(may_be_options) => {
                let connected = self.config.connect(NoTls).await?;
                self.is_plain.store(true, Ordering::Relaxed);
                connected
            }
            connected => connected?,
        };
        let notified = self.notified.clone();
        // Ends with the connection, which ends with its client.
        tokio::spawn(async move {
            while let Some(message) =
                futures_util::future::poll_fn(|context| connection.poll_message(context)).await
            {
                match (message, &notified) {
                    (Ok(AsyncMessage::Notification(news)), Some(notified)) => {
                        // Full: then the next look at all events finds it.
                        let _ = notified.try_send(news.payload().to_owned());
                    }
                    (Ok(_), _) => {}
                    (Err(_), _) => break,
                }
            }
        });
        if self.notified.is_some() {
            client.batch_execute("listen fairline").await?;
        }
        Ok(client)
    }

    /// Connects without the compiling of plans, which takes a hundred times as long as running ours, unless a pooler refused
    /// that there are options.
    async fn connect_with_options(
        &self,
    ) -> Result<(Client, tokio_postgres::Connection<Socket, NoTlsStream>), tokio_postgres::Error>
    {
        if self.is_plain.load(Ordering::Relaxed) {
            return self.config.connect(NoTls).await;
        }
        let mut config = self.config.clone();
        let own = config.get_options().unwrap_or_default();
        let options = format!("-c jit=off {own}");
        config.options(options.trim_end());
        config.connect(NoTls).await
    }

    async fn broken(&self, broken: &Arc<Session>, error: &str) -> Failed {
        let mut client = self.client.lock().await;
        if client
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, broken))
        {
            *client = None;
        }
        self.note(error);
        Failed::Away
    }

    fn note(&self, error: &str) {
        *self
            .failed_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(error, "the database cannot be reached");
        }
    }
}

impl Session {
    async fn repeat(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let types: Vec<Type> = params.iter().map(|(_, of)| of.clone()).collect();
        let prepared = self.client.prepare_typed(sql, &types);
        let named = self.named.get_or_try_init(|| prepared).await?;
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
        self.client.query(named, &values).await
    }
}

/// Whether a server said that it has no statement of that name, or one already. Nothing was done then; of a protocol violation
/// that is not certain, as PgBouncer calls a server that it lost in the middle of a statement one.
fn is_of_another(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT)
    )
}

/// Whether a connection may have been refused for its options: each pooler says that in its own way. What is wrong with the
/// password or the name of the database, or that the server is not ready, is not about them.
fn may_be_options(state: &SqlState) -> bool {
    let code = state.code();
    let is_of_user = code.starts_with("28") || code.starts_with("3D");
    *state == SqlState::PROTOCOL_VIOLATION || !is_of_user && !is_going(code)
}

/// SQLSTATE classes of a server that goes down, comes up, or has no connection left.
fn is_going(code: &str) -> bool {
    code.starts_with("57P") || code.starts_with("08") || code.starts_with("53")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// A pooler that refuses a connection with options with this state, and has counted how many came.
    async fn connect_through_pooler(state: &str) -> (bool, u32) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("postgres://postgres@127.0.0.1:{port}/seats");
        let link = Connection::new(url.parse().unwrap());
        let mut count = 0;
        let pooler = async {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                count += 1;
                let length = socket.read_u32().await.unwrap() as usize;
                let mut startup = vec![0; length - 4];
                socket.read_exact(&mut startup).await.unwrap();
                let has_options = startup.windows(8).any(|part| part == b"options\0");
                let answer = if has_options {
                    let fields = format!("SFATAL\0C{state}\0Mno options here\0\0");
                    let mut answer = vec![b'E'];
                    answer.extend((fields.len() as u32 + 4).to_be_bytes());
                    answer.extend(fields.as_bytes());
                    answer
                } else {
                    b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I".to_vec()
                };
                socket.write_all(&answer).await.unwrap();
                // Kept open for as long as the client wants it.
                tokio::spawn(async move { socket.read_u8().await });
            }
        };
        let is_connected = tokio::select! {
            connected = link.connect() => connected.is_ok(),
            () = pooler => false,
        };
        (is_connected, count)
    }

    #[tokio::test]
    async fn a_pooler_that_takes_no_options_is_used_without_whatever_it_calls_that() {
        for state in ["08P01", "0A000", "22023", "58000", "XX000"] {
            assert_eq!(connect_through_pooler(state).await, (true, 2), "{state}");
        }
        for state in ["28P01", "28000", "3D000", "57P03", "53300"] {
            assert_eq!(connect_through_pooler(state).await, (false, 1), "{state}");
        }
    }
}
