//! The connection to Redis: a single server, one found through Sentinels, or a cluster. Multiplexed, and reconnected
//! after growing pauses. A command that is not answered in time may have been carried out.

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo as _, RedisError, Value,
};
use shared::group_commit::Unavailable;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Time after which a server without an answer counts as unreachable.
const ANSWER: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(2);
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Maximum number of concurrent commands on one connection.
const IN_FLIGHT_MAX: usize = 1024;

/// Address of the server, in one of three forms.
enum Source {
    Single(Box<Client>),
    Sentinel(Box<tokio::sync::Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
}

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
}

/// A connection that is re-established when it breaks.
pub(super) struct Connection {
    source: Source,
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
    /// Parses `redis://…`, `redis+sentinel://host:port,…/name` and `redis+cluster://host:port,…`. Does not connect.
    ///
    /// # Errors
    /// When the URL is invalid. The message does not contain its password.
    pub(super) fn new(url: &str) -> Result<Connection, String> {
        let failed = |error: RedisError| format!("FAIRLINE_LINE: {}", error.category());
        let source = if let Some(rest) = url.strip_prefix("redis+cluster://") {
            let (login, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
            let nodes = hosts_of(hosts.trim_end_matches('/'))?;
            let urls = nodes.iter().map(|(host, port)| match login {
                "" => format!("redis://{host}:{port}"),
                login => format!("redis://{login}@{host}:{port}"),
            });
            let builder = ClusterClientBuilder::new(urls.collect::<Vec<_>>())
                .connection_timeout(CONNECT)
                .response_timeout(ANSWER)
                .retries(3)
                .min_retry_wait(20)
                .max_retry_wait(300);
            Source::Cluster(Box::new(builder.build().map_err(failed)?))
        } else if let Some(rest) = url.strip_prefix("redis+sentinel://") {
            Source::Sentinel(Box::new(tokio::sync::Mutex::new(sentinel(rest)?)))
        } else if url.starts_with("redis://") || url.starts_with("redis+unix://") {
            Source::Single(Box::new(Client::open(url).map_err(failed)?))
        } else {
            let wanted = "redis://, redis+unix://, redis+sentinel:// or redis+cluster://";
            return Err(format!("FAIRLINE_LINE: neither 'embedded' nor {wanted}"));
        };
        Ok(Connection {
            source,
            held: Mutex::new(Held {
                wire: None,
                made: 0,
                retry_at: None,
                pause: PAUSE_MIN,
            }),
            connecting: tokio::sync::Mutex::new(()),
        })
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
                held.made += 1;
                held.wire = Some(wire.clone());
                Some((wire, held.made))
            }
            failed => {
                let error = failed.map_or("no answer in time".to_owned(), |outcome| {
                    outcome.err().map_or_else(String::new, |e| e.to_string())
                });
                tracing::warn!(error, "Redis cannot be reached");
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
        match &self.source {
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
        self.forget(made, &error.to_string());
        Trouble::Away
    }

    fn forget(&self, made: u64, why: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.made == made && held.wire.take().is_some() {
            tracing::warn!(why, "connection to Redis dropped");
        }
    }
}

impl From<Trouble> for Unavailable {
    fn from(_: Trouble) -> Unavailable {
        Unavailable
    }
}

fn sentinel(rest: &str) -> Result<SentinelClient, String> {
    let failed = |error: RedisError| format!("FAIRLINE_LINE: {}", error.category());
    let (login, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (hosts, name) = rest
        .split_once('/')
        .filter(|(_, name)| !name.is_empty())
        .ok_or("FAIRLINE_LINE: redis+sentinel://host:port,…/master-name needs the master's name")?;
    let addresses = hosts_of(hosts)?
        .into_iter()
        .map(|(host, port)| ConnectionAddr::Tcp(host, port));
    let builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master);
    let mut builder = builder.map_err(failed)?;
    if !login.is_empty() {
        // Parses user and password the same way as any redis:// URL.
        let info = format!("redis://{login}@localhost")
            .into_connection_info()
            .map_err(failed)?;
        if let Some(user) = info.redis_settings().username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = info.redis_settings().password() {
            builder = builder.set_client_to_redis_password(password);
        }
    }
    builder.build().map_err(failed)
}

fn hosts_of(hosts: &str) -> Result<Vec<(String, u16)>, String> {
    hosts
        .split(',')
        .map(|host| {
            let (name, port) = host.rsplit_once(':').unwrap_or((host, "6379"));
            match port.parse() {
                Ok(port) if !name.is_empty() => Ok((name.to_owned(), port)),
                _ => Err(format!("FAIRLINE_LINE: '{host}' is not host:port")),
            }
        })
        .collect()
}
