//! The connection to Redis: a single server, one found through Sentinels, or a cluster.
//! Multiplexed, and reconnected after growing pauses, by one caller while the others fail at once.
//! A command that is not answered in time may have been carried out.

use super::address::{ANSWER, Address, CONNECT, Source};
use super::keys::Keys;
use super::reply::number;
#[cfg(test)]
use super::simulation::link::Link;
use crate::instruments::REDIS_FAILURES;
use crate::line::{Trouble, TroubleKind};
use parking_lot::{Mutex, MutexGuard};
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, Value};
use shared::breaker::Breaker;
use shared::deadline;
use shared::group_commit::Unavailable;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// Version of the names and values of all keys. It rises when another version of the program could
/// not go on with them: nodes of both must not share a line.
const FORMAT: i64 = 3;
/// Maximum number of concurrent commands on one connection.
const IN_FLIGHT_MAX: usize = 1024;

/// A connection of the client to one server or to a cluster.
#[derive(Clone)]
enum Channel {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
    #[cfg(test)]
    Simulated(Link),
}

impl Channel {
    async fn send(&mut self, command: &Cmd) -> Result<Result<Value, RedisError>, Elapsed> {
        match self {
            Channel::Server(server) => timeout(ANSWER, server.req_packed_command(command)).await,
            // The cluster client follows changes of the cluster by itself, which takes longer.
            Channel::Cluster(cluster) => {
                timeout(2 * ANSWER, cluster.req_packed_command(command)).await
            }
            #[cfg(test)]
            Channel::Simulated(link) => timeout(ANSWER, link.send(command)).await,
        }
    }
}

/// A channel and its number, so that an error of an old one does not drop its successor.
#[derive(Clone)]
struct Numbered {
    channel: Channel,
    number: u64,
}

/// The channel, if there is one.
struct Current {
    channel: Option<Numbered>,
    /// Number of channels so far.
    count: u64,
    /// Why there is none, for the operator.
    failure: Option<Failure>,
    /// The last refusal of a server, and its kind that was logged last.
    refusal: Option<Trouble>,
    logged: Option<TroubleKind>,
}

/// Reason for having no channel.
#[derive(Clone)]
pub(super) enum Failure {
    /// There is no connection.
    Unreachable(String),
    /// Another version of the program has written there.
    OtherFormat(String),
}

/// A connection that is re-established when it breaks.
pub(super) struct Connection {
    address: Address,
    /// Locked for a look-up or a change, never across an await.
    current: Mutex<Current>,
    /// One task connects, the others wait for it.
    connecting: tokio::sync::Mutex<()>,
    /// Open from a command without an answer, or an attempt to connect that failed, until there is
    /// a connection, whose first command the server has answered.
    breaker: Breaker,
}

/// Failure of one command.
pub(super) enum CommandError {
    /// The script is not loaded at that server.
    NoScript,
    /// No answer; the command may have been carried out.
    Away,
}

impl Connection {
    /// Creates a connection that is made when it is first needed.
    pub(super) fn new(address: Address) -> Connection {
        let breaker = Breaker::new("redis", 1);
        #[cfg(test)]
        let breaker = match &address.servers.source {
            Source::Simulated(link) => Breaker::seeded("redis", 1, link.seed()),
            _ => breaker,
        };
        Connection {
            address,
            current: Mutex::new(Current {
                channel: None,
                count: 0,
                failure: None,
                refusal: None,
                logged: None,
            }),
            connecting: tokio::sync::Mutex::new(()),
            breaker,
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock()
    }

    /// Has the store write what is there already, which costs nothing and is not kept in any log,
    /// and returns why it does not. Without a connection returns why there is none.
    pub(super) async fn trouble(&self) -> Option<Trouble> {
        let has_channel = self.current().channel.is_some();
        if has_channel {
            self.current().refusal = None;
            let key = Keys::new(self.address.prefix.clone()).format();
            if self.send(&mark(&key)).await.is_ok() {
                self.current().logged = None;
                return None;
            }
        }
        let current = self.current();
        if !has_channel && current.failure.is_none() {
            return None;
        }
        let unreachable = || {
            let detail = match &current.failure {
                Some(Failure::Unreachable(why) | Failure::OtherFormat(why)) => why.clone(),
                None => self.unanswered(),
            };
            Trouble {
                kind: TroubleKind::Unreachable,
                detail,
            }
        };
        Some(current.refusal.clone().unwrap_or_else(unreachable))
    }

    /// Returns whether the server refused a command because it has no memory left.
    pub(super) fn is_full(&self) -> bool {
        let current = self.current();
        let refusal = current.refusal.as_ref();
        refusal.is_some_and(|refusal| refusal.kind == TroubleKind::MemoryFull)
    }

    fn unanswered(&self) -> String {
        format!(
            "Redis at {} gives no answer in time",
            self.address.servers.peers
        )
    }

    /// Connects if it is possible.
    ///
    /// # Errors
    /// A sentence for the operator when another version of the program has written there.
    pub(super) async fn check_format(&self) -> Result<(), String> {
        self.channel().await;
        match self.current().failure.clone() {
            Some(Failure::OtherFormat(why)) => Err(why),
            _ => Ok(()),
        }
    }

    /// Returns the number of connections so far.
    pub(super) fn count(&self) -> u64 {
        self.current().count
    }

    /// Returns whether Redis did not answer, and has not answered since.
    pub(super) fn is_away(&self) -> bool {
        self.breaker.is_open()
    }

    /// Sends a command and waits for its answer, connecting first if necessary. Dropping the future
    /// leaves the connection usable; the command may still run.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, CommandError> {
        let answer = deadline::within(self.exchange(command)).await;
        let answer = answer.unwrap_or(Err(CommandError::Away));
        if matches!(answer, Err(CommandError::Away)) {
            REDIS_FAILURES.inc();
        }
        answer
    }

    async fn exchange(&self, command: &Cmd) -> Result<Value, CommandError> {
        let Numbered {
            mut channel,
            number,
        } = self.channel().await.ok_or(CommandError::Away)?;
        match channel.send(command).await {
            Ok(Ok(Value::ServerError(error))) => Err(self.classify(&error.into(), number)),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.classify(&error, number)),
            Err(_) => {
                self.give_up(number, "no answer in time");
                Err(CommandError::Away)
            }
        }
    }

    /// Returns the channel, reconnecting if there is none.
    async fn channel(&self) -> Option<Numbered> {
        let found = self.current().channel.clone();
        if found.is_some() {
            return found;
        }
        // Boxed: every request would move the space for a connection with it otherwise.
        Box::pin(self.reconnect()).await
    }

    /// Reconnects. While Redis is away one caller tries to, after a pause, and the others fail at
    /// once.
    async fn reconnect(&self) -> Option<Numbered> {
        let call = self.breaker.call()?;
        let _connecting = self.connecting.lock().await;
        let found = self.current().channel.clone();
        if found.is_some() || call.is_overtaken() {
            return found;
        }
        let peers = &self.address.servers.peers;
        self.current().refusal = None;
        let made = timeout(2 * CONNECT, self.connect()).await;
        let made = match made {
            Ok(Ok(channel)) => self.accept(channel).await,
            Ok(Err(error)) => {
                self.note_refusal(&error);
                Err(self.unreachable(&self.explain(&error)))
            }
            Err(_) => Err(self.unreachable("no answer in time")),
        };
        let mut current = self.current();
        match made {
            Ok(channel) => {
                tracing::info!(peers, "connected to Redis");
                call.succeeded();
                current.failure = None;
                current.count += 1;
                let number = current.count;
                current.channel = Some(Numbered { channel, number });
                current.channel.clone()
            }
            Err(failure) => {
                let (Failure::Unreachable(why) | Failure::OtherFormat(why)) = &failure;
                tracing::warn!(why, "Redis cannot be used");
                current.failure = Some(failure);
                call.failed();
                None
            }
        }
    }

    fn unreachable(&self, why: &str) -> Failure {
        let peers = &self.address.servers.peers;
        Failure::Unreachable(format!("Redis at {peers} cannot be reached: {why}"))
    }

    /// Returns a channel unless another version of the program has written there. Marks a store
    /// that has no mark.
    async fn accept(&self, mut channel: Channel) -> Result<Channel, Failure> {
        let key = Keys::new(self.address.prefix.clone()).format();
        let kept = channel.send(Cmd::new().arg("GET").arg(&key)).await;
        let value = match kept {
            Ok(Ok(value)) => value,
            // Of a cluster only the server with this key does not answer.
            _ if self.is_cluster() => return Ok(channel),
            Err(_) => return Err(self.unreachable("no answer in time")),
            Ok(Err(error)) if error.is_timeout() || error.is_connection_dropped() => {
                return Err(self.unreachable(&self.explain(&error)));
            }
            // The commands that follow find out what is wrong with the server.
            Ok(Err(_)) => return Ok(channel),
        };
        let format = number(&value);
        if format != 0 && format != FORMAT {
            let peers = &self.address.servers.peers;
            return Err(Failure::OtherFormat(format!(
                "Redis at {peers} has data of version {format}, this program knows {FORMAT}"
            )));
        }
        if format == 0 {
            let _ = channel.send(&mark(&key)).await;
        }
        Ok(channel)
    }

    async fn connect(&self) -> Result<Channel, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER))
            .set_pipeline_buffer_size(IN_FLIGHT_MAX);
        match &self.address.servers.source {
            Source::Single(client) => {
                let server = client.get_multiplexed_async_connection_with_config(&config);
                Ok(Channel::Server(server.await?))
            }
            Source::Sentinel(client) => {
                let mut client = client.lock().await;
                let server = client.get_async_connection_with_config(&config).await?;
                Ok(Channel::Server(server))
            }
            Source::Cluster(client) => Ok(Channel::Cluster(client.get_async_connection().await?)),
            #[cfg(test)]
            Source::Simulated(link) => Ok(Channel::Simulated(link.connect().await?)),
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

    /// Classifies an error. Drops the channel if it broke, and also if the server is no longer a
    /// master or is loading.
    fn classify(&self, error: &RedisError, number: u64) -> CommandError {
        self.note_refusal(error);
        match error.code() {
            Some("NOSCRIPT") => return CommandError::NoScript,
            Some("READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "UNBLOCKED") => {}
            Some(_) => {
                // The server answered with a refusal: BUSY, OOM, NOPERM, a script error.
                return CommandError::Away;
            }
            None if error.is_timeout() => {
                self.give_up(number, "no answer in time");
                return CommandError::Away;
            }
            None => {}
        }
        self.drop_channel(number, &self.explain(error));
        CommandError::Away
    }

    /// Notes why the server refused a command, and logs it unless that is known already: every
    /// command is refused for the same reason then.
    fn note_refusal(&self, error: &RedisError) {
        let kind = match error.code() {
            None | Some("NOSCRIPT" | "UNBLOCKED") => return,
            Some("OOM") => TroubleKind::MemoryFull,
            Some("READONLY") => TroubleKind::ReadOnly,
            Some("LOADING" | "MASTERDOWN") => TroubleKind::Loading,
            Some("BUSY") => TroubleKind::Busy,
            Some("CLUSTERDOWN") => TroubleKind::ClusterDown,
            Some(_) => TroubleKind::Refusing,
        };
        let peers = &self.address.servers.peers;
        let detail = format!("Redis at {peers} {}: {error}", does(kind));
        let mut current = self.current();
        if current.logged != Some(kind) {
            current.logged = Some(kind);
            tracing::error!(%error, "Redis refused a command");
        }
        current.refusal = Some(Trouble { kind, detail });
    }

    /// Drops the channel to a server that did not answer, and has no caller wait for it any more.
    fn give_up(&self, number: u64, why: &str) {
        let mut current = self.current();
        // Of a cluster the other servers may answer. The lock is kept: a caller that finds no
        // channel also finds the breaker open.
        if self.drop_current(&mut current, number, why) && !self.is_cluster() {
            self.breaker.open();
        }
    }

    fn drop_channel(&self, number: u64, why: &str) {
        self.drop_current(&mut self.current(), number, why);
    }

    /// Drops a channel, and returns whether it was the current one: another may have replaced it.
    fn drop_current(&self, current: &mut Current, number: u64, why: &str) -> bool {
        let is_current = |channel: &mut Numbered| channel.number == number;
        let was_current = current.channel.take_if(is_current).is_some();
        if was_current {
            let peers = &self.address.servers.peers;
            tracing::warn!(peers, why, "connection to Redis dropped");
            let why = format!("connection to Redis at {peers} dropped: {why}");
            current.failure = Some(Failure::Unreachable(why));
        }
        was_current
    }

    fn is_cluster(&self) -> bool {
        matches!(self.address.servers.source, Source::Cluster(_))
    }
}

/// Returns the command that marks a store with the version of its data, once.
fn mark(key: &str) -> Cmd {
    let mut mark = Cmd::new();
    mark.arg("SET").arg(key).arg(FORMAT).arg("NX");
    mark
}

/// Returns what a server does that refuses commands.
fn does(kind: TroubleKind) -> &'static str {
    match kind {
        TroubleKind::MemoryFull => "has no memory left (maxmemory)",
        TroubleKind::ReadOnly => "is read-only, a replica",
        TroubleKind::Loading => "is still reading its data",
        TroubleKind::Busy => "is busy with a script",
        TroubleKind::ClusterDown => "is part of a cluster that is down",
        _ => "refuses commands",
    }
}

impl From<CommandError> for Unavailable {
    fn from(_: CommandError) -> Unavailable {
        Unavailable
    }
}
