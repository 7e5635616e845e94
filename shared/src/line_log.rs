//! The log in which a line keeps what it decided, as the waiting room tells it to the checkout.

use crate::ids::VisitorId;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Largest number of entries of a page.
pub const LOG_ENTRIES_MAX: usize = 20;
/// Largest number of decisions of an entry.
pub const ENTRY_DECISIONS_MAX: usize = 50;
/// Number of entries that a line keeps at least.
pub const LOG_ENTRIES_KEPT: u64 = 10_000;

/// A reader's place in the log of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPlace {
    /// Lives of the line, as the last page had them; empty if it has read nothing.
    pub life: String,
    /// The last entry that it read.
    pub entry: u64,
}

/// A part of the log of a line, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// Identities of the line's newest lives, the present one last, and before them of those that the
    /// reader knows and the line does not (`life:entry`). Others than before mean that its store may
    /// have lost entries.
    pub life: String,
    /// Entry after which this part begins: the one asked for, unless this life does not know it.
    pub after: u64,
    /// The entries, at most 20.
    pub entries: Vec<LogEntry>,
    /// True if the line is closed and no visitor is inside, so that next to nothing will follow.
    pub is_over: bool,
}

impl LogPage {
    /// Returns the place of a reader that has read this part.
    pub fn end(&self) -> LogPlace {
        LogPlace {
            life: self.life.clone(),
            entry: self.entries.last().map_or(self.after, |last| last.entry),
        }
    }
}

/// Decisions of one kind that a line made in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogEntry {
    /// Number of the entry, dense in a life of the line. One that is missing is not kept any more.
    pub entry: u64,
    /// Identity of the life in which it was written.
    pub life: String,
    /// When it was written.
    pub at: Time,
    /// The decisions, at most 50.
    pub decisions: Vec<LineDecision>,
}

/// A decision of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LineDecision {
    /// A visitor was admitted.
    Admitted {
        /// The visitor.
        #[schema(value_type = String)]
        visitor: VisitorId,
        /// Their number.
        number: u64,
        /// When they were admitted.
        admitted_at: Time,
        /// Until when they may enter the checkout.
        claim_by: Time,
        /// Time for which they had waited since they joined or since the draw, in seconds, if it is
        /// known.
        waited_seconds: Option<u64>,
    },
    /// A visitor did not claim their turn in time.
    Missed {
        /// The visitor.
        #[schema(value_type = String)]
        visitor: VisitorId,
        /// Their number.
        number: u64,
    },
    /// The admission of a visitor ended.
    Finished {
        /// The visitor.
        #[schema(value_type = String)]
        visitor: VisitorId,
        /// Their number.
        number: u64,
        /// The kind of its end.
        how: AdmissionEnd,
    },
    /// The draw was held.
    Drawn {
        /// The seed, in hex.
        seed: String,
        /// Hash of the seed, which was published before.
        commitment: String,
        /// Number of visitors who took part.
        entries: u64,
        /// Root of the Merkle tree over their entries, in hex.
        root: String,
    },
}

/// Cause of the end of an admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdmissionEnd {
    /// The visitor was done: they bought, or ended their visit.
    Finished,
    /// The visitor gave up their place.
    Left,
    /// The organiser removed the visitor.
    Ejected,
    /// The time of the session ran out.
    Expired,
}
