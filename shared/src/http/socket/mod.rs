//! Rules common to both WebSockets: the handshake, limits on what a client sends, pings, the `tick`
//! message, the silence after which a client counts as gone, and how a socket ends.

pub mod frames;
mod handshake;

pub use handshake::{Handshake, NoHandshake, SocketLimits};

use self::frames::{Violation, WatchedStream};
use crate::metrics::sockets::{self, Closed};
use crate::time::Time;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::io;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

/// A WebSocket of a client.
pub type Socket = WebSocketStream<WatchedStream<TokioIo<Upgraded>>>;

/// Longest time in which a client takes a message, or it is gone.
const SEND: Duration = Duration::from_secs(20);
/// Longest wait for a client to take our close and answer it.
const END: Duration = Duration::from_secs(2);
/// Most bytes that are read from a client while it takes our close.
const END_BYTES_MAX: u64 = 1024 * 1024;
/// Largest message of a client, which has no reason to send any, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4096;
/// Frames of any kind that a client may send at once; one more each second.
pub const FRAMES_MAX: u32 = 100;
/// Time between a ping with its `tick` and the next.
pub const PING_SECONDS: u32 = 25;
/// Longest time without a sign of a client, such as a pong, or it is gone.
pub const SILENCE_SECONDS_MAX: u32 = 80;

/// Times at which a client was last heard and last pinged. Whole seconds: four bytes each, where an
/// instant takes sixteen.
pub struct Pulse {
    heard_at: u32,
    pinged_at: u32,
}

/// An action that a pulse asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing yet.
    Rest,
    /// A ping is due.
    Ping,
    /// The client has been silent for too long.
    Gone,
}

impl Pulse {
    /// Returns the pulse of a socket that opens now.
    pub fn start() -> Pulse {
        Pulse::start_at(steady_seconds())
    }

    /// Records that the client was heard.
    pub fn hear(&mut self) {
        self.heard_at = steady_seconds();
    }

    /// Returns the action due now. A ping counts as sent.
    pub fn beat(&mut self) -> Beat {
        self.beat_at(steady_seconds())
    }

    /// Returns the time until something is due.
    pub fn rest(&self) -> Duration {
        self.rest_at(steady_seconds())
    }

    fn start_at(now: u32) -> Pulse {
        Pulse {
            heard_at: now,
            pinged_at: now,
        }
    }

    fn beat_at(&mut self, now: u32) -> Beat {
        if now.saturating_sub(self.heard_at) > SILENCE_SECONDS_MAX {
            return Beat::Gone;
        }
        if now.saturating_sub(self.pinged_at) < PING_SECONDS {
            return Beat::Rest;
        }
        self.pinged_at = now;
        Beat::Ping
    }

    fn rest_at(&self, now: u32) -> Duration {
        let ping = (self.pinged_at + PING_SECONDS).saturating_sub(now);
        let silence = (self.heard_at + SILENCE_SECONDS_MAX + 1).saturating_sub(now);
        Duration::from_secs(ping.min(silence).into())
    }
}

/// Returns the seconds since this process first asked, by its steady clock.
pub fn steady_seconds() -> u32 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u32::try_from(START.elapsed().as_secs()).unwrap_or(u32::MAX)
}

/// Sends a ping, whose pong shows that the client is there, and a `tick` with the server's time,
/// which shows the same of the server to code that sees no pings. Returns `false` if the client is
/// gone.
pub async fn ping(socket: &mut Socket, now: Time) -> bool {
    send(socket, Message::Ping(Vec::new().into())).await && tick(socket, now).await
}

/// Sends a `tick` with the server's time. Returns `false` if the client is gone.
pub async fn tick(socket: &mut Socket, now: Time) -> bool {
    let tick = json!({"type": "tick", "now": now}).to_string();
    send_text(socket, tick).await
}

/// Sends a text. Returns `false` if the client is gone.
pub async fn send_text(socket: &mut Socket, text: impl Into<String>) -> bool {
    send(socket, Message::text(text.into())).await
}

async fn send(socket: &mut Socket, message: Message) -> bool {
    sockets::SENT_MESSAGES.inc();
    sockets::SENT_BYTES.inc_by(message.len() as u64);
    matches!(timeout(SEND, socket.send(message)).await, Ok(Ok(())))
}

/// Sign of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A pong or the like.
    Sign,
    /// A text, whatever it says: the client asks whether the server is there.
    Question,
}

/// Waits for a sign of the client. The content of its messages does not matter.
///
/// # Errors
/// The reason for which the socket ends. A close of the client is answered.
pub async fn hear(socket: &mut Socket) -> Result<Heard, Closed> {
    match socket.next().await {
        None => Err(Closed::Gone),
        Some(Ok(Message::Close(_))) => {
            // The answer is queued. Where this is dropped, the next read sends it.
            let _ = timeout(SEND, socket.flush()).await;
            Err(Closed::Gone)
        }
        Some(Ok(Message::Text(_))) => Ok(Heard::Question),
        Some(Ok(_)) => Ok(Heard::Sign),
        Some(Err(error)) => Err(reason_of(&error)),
    }
}

/// Returns the reason for which an error of reading ends a socket.
fn reason_of(error: &Error) -> Closed {
    match error {
        Error::Capacity(_) => Closed::TooLong,
        Error::Utf8(_) => Closed::NotText,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Closed::Gone,
        Error::Protocol(_) => Closed::Malformed,
        Error::Io(error) => match violation_of(error) {
            Some(Violation::TooMany) => Closed::TooMany,
            Some(Violation::NotMinimal) => Closed::Malformed,
            None => Closed::Gone,
        },
        _ => Closed::Gone,
    }
}

fn violation_of(error: &io::Error) -> Option<Violation> {
    error.get_ref()?.downcast_ref().copied()
}

/// Ends a socket: says why, and waits briefly for the client's answer, so that what we said is read
/// before the connection goes.
pub async fn close(socket: &mut Socket, closed: Closed) {
    let Some(code) = code_of(closed) else { return };
    let reason = closed.reason().into();
    let frame = CloseFrame {
        code: code.into(),
        reason,
    };
    let _ = timeout(END, async {
        if !send(socket, Message::Close(Some(frame))).await {
            return;
        }
        // After an error nothing more is read here; else the client's close ends it.
        for _ in 0..FRAMES_MAX {
            if !matches!(socket.next().await, Some(Ok(_))) {
                break;
            }
        }
        // Closing with bytes unread resets the connection, which can overtake the close.
        let stream = socket.get_mut().unwatched();
        if stream.shutdown().await.is_ok() {
            let _ = tokio::io::copy(&mut stream.take(END_BYTES_MAX), &mut tokio::io::sink()).await;
        }
    })
    .await;
}

/// Returns the close code of RFC 6455, or our own; none where the client is gone already.
fn code_of(closed: Closed) -> Option<u16> {
    Some(match closed {
        Closed::Gone => return None,
        Closed::Ended => 1000,
        Closed::Malformed => 1002,
        Closed::NotText => 1007,
        Closed::TooMany => 1008,
        Closed::TooLong => 1009,
        Closed::Leaving => 1012,
        Closed::Crowded => 4001,
        Closed::Behind => 4002,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_answers_is_pinged_every_25_seconds() {
        let mut pulse = Pulse::start_at(7);
        for ping in 1..100 {
            let due = 7 + ping * PING_SECONDS;
            assert_eq!(pulse.beat_at(due - 1), Beat::Rest);
            assert_eq!(pulse.rest_at(due - 1), Duration::from_secs(1));
            assert_eq!(pulse.beat_at(due), Beat::Ping);
            pulse.heard_at = due;
        }
    }

    #[test]
    fn a_client_that_answers_nothing_is_gone_after_80_seconds() {
        let mut pulse = Pulse::start_at(7);
        for seconds in 0..=SILENCE_SECONDS_MAX {
            assert_ne!(pulse.beat_at(7 + seconds), Beat::Gone);
        }
        assert_eq!(
            pulse.rest_at(7 + SILENCE_SECONDS_MAX),
            Duration::from_secs(1)
        );
        assert_eq!(pulse.beat_at(7 + SILENCE_SECONDS_MAX + 1), Beat::Gone);
    }
}
