//! Queue of a writer: its messages, and the requests waiting for a decision.

use crate::inventory::command::Command;
use shared::group_commit::Unavailable;
use tokio::sync::oneshot;

/// Number of races a request may lose to other nodes before it is given up.
const TRIES_MAX: u8 = 10;

/// Message to a writer.
pub(super) enum WriterMessage {
    /// A request to be decided.
    Command(Box<Command>),
    /// Publish committed changes and apply those of other nodes.
    Tick(oneshot::Sender<()>),
    /// Return lapsed seats, at most this many.
    Lapsed(usize, oneshot::Sender<Vec<i32>>),
    /// The plan or the rules have changed: load the event again.
    Reload(oneshot::Sender<Result<(), Unavailable>>),
}

/// Marks a command to be decided on loaded records, as those in memory may be why it failed.
pub(super) fn load_first(mut command: Box<Command>) -> Box<Command> {
    command.must_load = true;
    command
}

/// Returns a command to be decided again, or `None` after too many attempts.
pub(super) fn again(mut command: Box<Command>) -> Option<Box<Command>> {
    command.tries += 1;
    if command.tries > TRIES_MAX {
        refuse([command]);
        return None;
    }
    Some(command)
}

pub(super) fn refuse(commands: impl IntoIterator<Item = Box<Command>>) {
    for mut command in commands {
        command.decision.answer(Err(Unavailable));
    }
}
