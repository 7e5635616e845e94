//! Rules common to both WebSockets: pings, the `tick` message, and the silence after which a client
//! counts as gone.

use crate::metrics::sockets;
use crate::time::Time;
use axum::extract::ws::{Message, WebSocket};
use serde_json::json;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Longest time in which a client takes a message, or it is gone.
const SEND: Duration = Duration::from_secs(20);
/// Largest number of messages from a client, which has no reason to send any.
pub const MESSAGES_MAX: u32 = 100;
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
fn steady_seconds() -> u32 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u32::try_from(START.elapsed().as_secs()).unwrap_or(u32::MAX)
}

/// Sends a ping, whose pong shows that the client is there, and a `tick` with the server's time,
/// which shows the same of the server to code that sees no pings. Returns `false` if the client is
/// gone.
pub async fn ping(socket: &mut WebSocket, now: Time) -> bool {
    let tick = json!({"type": "tick", "now": now}).to_string();
    send(socket, Message::Ping(Vec::new().into())).await && send(socket, Message::text(tick)).await
}

/// Sends a message. Returns `false` if the client is gone.
pub async fn send(socket: &mut WebSocket, message: Message) -> bool {
    let bytes = match &message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    };
    sockets::SENT_MESSAGES.inc();
    sockets::SENT_BYTES.inc_by(bytes as u64);
    matches!(timeout(SEND, socket.send(message)).await, Ok(Ok(())))
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
