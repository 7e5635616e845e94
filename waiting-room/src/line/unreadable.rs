//! Entries of the logs of the lines that cannot be read.

use crate::instruments::LOG_UNREADABLE;
use shared::ids::EventId;

/// Counts an entry that is skipped, in whole or in part, and tells the operator of it.
pub(super) fn skip(event: &EventId, entry: u64) {
    LOG_UNREADABLE.inc();
    tracing::warn!(%event, entry, "entry of a line's log cannot be read and is skipped");
}
