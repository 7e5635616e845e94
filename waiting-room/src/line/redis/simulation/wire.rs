//! Faults of messages between a node and the store.

use redis::RedisError;
use simulation::Dice;
use std::time::Duration;
use tokio::time::Instant;

/// Fate of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    LostBefore,
    LostAfter,
    StalledBefore,
    StalledAfter,
    Repeated,
}

/// A node's end of a wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) node: usize,
    /// Life of the node.
    pub(super) life: u64,
    /// Number of the connection among all; 0 before there is one.
    pub(super) connection: u64,
}

/// Error of a connection that broke.
pub(super) fn broken() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()
}

/// Error of a server that is not there.
pub(super) fn refused() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()
}

/// The way of one message.
pub(super) struct Passage {
    pub(super) arrives_at: Instant,
    pub(super) back: Duration,
    pub(super) fate: Fate,
}

/// How bad the wires are: chances in a thousand.
#[derive(Clone, Debug, Default)]
pub(super) struct Wires {
    pub(super) delay_ms_max: u64,
    pub(super) lost_before: u64,
    pub(super) lost_after: u64,
    pub(super) stalled: u64,
    pub(super) repeated: u64,
}

impl Wires {
    pub(super) fn fate(&self, dice: &mut Dice) -> Fate {
        let mut rest = dice.below(1000);
        let half = self.stalled / 2;
        let chances = [
            (self.lost_before, Fate::LostBefore),
            (self.lost_after, Fate::LostAfter),
            (half, Fate::StalledBefore),
            (self.stalled - half, Fate::StalledAfter),
            (self.repeated, Fate::Repeated),
        ];
        for (chance, fate) in chances {
            if rest < chance {
                return fate;
            }
            rest -= chance;
        }
        Fate::Answered
    }
}
