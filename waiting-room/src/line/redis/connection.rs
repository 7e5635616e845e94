//! The connection to Redis: a single server, one found through Sentinels, or a cluster. Multiplexed, and reconnected
//! after growing pauses. A command that is not answered in time may have been carried out.

use super::address::{ANSWER, Address, CONNECT, Source};
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, Value};
use shared::group_commit::Unavailable;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Maximum number of concurrent commands on one connection.
const IN_FLIGHT_MAX: usize = 1024;

#[derive(Clone)]
enum Wire {
    One(MultiplexedConnection),
    Many(ClusterConnection),
}

/// The connection if there is one, and when to try again if there is none.
struct Held {
    wire: Option<Wire>,
    /// Counts connections, so that an error of an old one does not drop its successor.
    made: u64,
    retry_at: Option<Instant>,
    pause: Duration,
    /// Why there is none, for the operator.
    failure: Option<String>,
}

/// A connection that is re-established when it breaks.
pub(super) struct Connection {
    address: Address,
    held: Mutex<Held>,
    /// One task connects, the others wait for it.
    connecting: tokio::sync::Mutex<()>,
}

/// Failure of one command.
pub(super) enum Trouble {
    /// The script is not loaded at that server.
    NoScript,
    /// No answer; the command may have been carried out.
    Away,
}

impl Connection {
    /// Creates a connection that is made when it is first needed.
    pub(super) fn new(address: Address) -> Connection {
        Connection {
            address,
            held: Mutex::new(Held {
                wire: None,
                made: 0,
                retry_at: None,
                pause: PAUSE_MIN,
                failure: None,
            }),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    /// Returns why there is no connection, in a sentence for the operator; none while there is one.
    pub(super) fn failure(&self) -> Option<String> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.failure.clone()
    }

    /// Sends a command and waits for its answer, connecting first if necessary. Dropping the future leaves the
    /// connection usable; the command may still run.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, Trouble> {
        let (wire, made) = self.wire().await.ok_or(Trouble::Away)?;
        let answer = match wire {
            Wire::One(mut wire) => timeout(ANSWER, wire.req_packed_command(command)).await,
            // The cluster client follows changes of the cluster by itself, which takes longer.
            Wire::Many(mut wire) => timeout(2 * ANSWER, wire.req_packed_command(command)).await,
        };
        match answer {
            Ok(Ok(Value::ServerError(error))) => Err(self.broken(&error.into(), made)),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.broken(&error, made)),
            Err(_) => {
                self.forget(made, "no answer in time");
                Err(Trouble::Away)
            }
        }
    }

    /// Returns the connection, reconnecting if there is none and the pause is over.
    async fn wire(&self) -> Option<(Wire, u64)> {
        if let Some(found) = self.found() {
            return Some(found);
        }
        let _turn = self.connecting.lock().await;
        if let Some(found) = self.found() {
            return Some(found);
        }
        {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if held.retry_at.is_some_and(|at| Instant::now() < at) {
                return None;
            }
        }
        let made = timeout(2 * CONNECT, self.connect()).await;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match made {
            Ok(Ok(wire)) => {
                tracing::info!("connected to Redis");
                held.pause = PAUSE_MIN;
                held.retry_at = None;
                held.failure = None;
                held.made += 1;
                held.wire = Some(wire.clone());
                Some((wire, held.made))
            }
            failed => {
                let peers = &self.address.peers;
                let why = failed.map_or("no answer in time".to_owned(), |outcome| {
                    let error = outcome.err();
                    error.map_or_else(String::new, |error| self.explain(&error))
                });
                tracing::warn!(peers, why, "Redis cannot be reached");
                held.failure = Some(format!("Redis at {peers} cannot be reached: {why}"));
                // Half to all of the pause, so that nodes do not reconnect in step.
                let [jitter] = shared::crypto::random::<1>();
                let share = 0.5 + f64::from(jitter) / 512.0;
                held.retry_at = Some(Instant::now() + held.pause.mul_f64(share));
                held.pause = (held.pause * 2).min(PAUSE_MAX);
                None
            }
        }
    }

    fn found(&self) -> Option<(Wire, u64)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.wire.clone().map(|wire| (wire, held.made))
    }

    async fn connect(&self) -> Result<Wire, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER))
            .set_pipeline_buffer_size(IN_FLIGHT_MAX);
        match &self.address.source {
            Source::Single(client) => {
                let wire = client.get_multiplexed_async_connection_with_config(&config);
                Ok(Wire::One(wire.await?))
            }
            Source::Sentinel(client) => {
                let mut client = client.lock().await;
                let wire = client.get_async_connection_with_config(&config).await?;
                Ok(Wire::One(wire))
            }
            Source::Cluster(client) => Ok(Wire::Many(client.get_async_connection().await?)),
        }
    }

    /// Returns an error in words for the operator.
    fn explain(&self, error: &RedisError) -> String {
        let is_unannounced = error.kind() == ErrorKind::ClusterConnectionNotFound;
        let may_want_tls = error.is_connection_dropped() && !error.is_connection_refusal();
        let hint = match self.address.has_tls {
            true if is_unannounced => {
                "; the certificates of its servers must name the addresses that they announce"
            }
            true if error.is_timeout() => {
                "; if it does not speak TLS, its URL begins with redis instead of rediss"
            }
            false if may_want_tls => {
                "; if it speaks TLS, its URL begins with rediss instead of redis"
            }
            _ => "",
        };
        format!("{error}{hint}")
    }

    /// Classifies an error. Drops the connection if it broke, and also if the server is no longer a master or is
    /// loading.
    fn broken(&self, error: &RedisError, made: u64) -> Trouble {
        match error.code() {
            Some("NOSCRIPT") => return Trouble::NoScript,
            Some("READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "UNBLOCKED") => {}
            Some(_) => {
                // The server answered with a refusal: BUSY, OOM, NOPERM, a script error.
                tracing::error!(%error, "Redis refused a command");
                return Trouble::Away;
            }
            None => {}
        }
        self.forget(made, &self.explain(error));
        Trouble::Away
    }

    fn forget(&self, made: u64, why: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.made == made && held.wire.take().is_some() {
            let peers = &self.address.peers;
            tracing::warn!(peers, why, "connection to Redis dropped");
            held.failure = Some(format!("connection to Redis at {peers} dropped: {why}"));
        }
    }
}

impl From<Trouble> for Unavailable {
    fn from(_: Trouble) -> Unavailable {
        Unavailable
    }
}
