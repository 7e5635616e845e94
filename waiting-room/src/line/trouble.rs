//! Reasons that keep a line from moving, in words.

use serde::Serialize;

/// Kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TroubleKind {
    /// The store cannot be reached.
    Unreachable,
    /// The store has no memory left.
    MemoryFull,
    /// A replica answers.
    ReadOnly,
    /// The store reads its data after a start.
    Loading,
    /// The store runs a script that does not end.
    Busy,
    /// Part of the cluster has no master.
    ClusterDown,
    /// The store refuses changes for another reason.
    Refusing,
    /// This node has not heard of the line for a while.
    Behind,
    /// The store may have lost data, and the nodes report what they know.
    Recovering,
}

impl TroubleKind {
    /// Returns the trouble in a sentence for organisers, without names of servers.
    pub fn words(self) -> &'static str {
        match self {
            TroubleKind::Unreachable => {
                "The store of the line cannot be reached: no one is let in, and no one can join."
            }
            TroubleKind::MemoryFull => {
                "The store of the line has no memory left: no one is let in, and no one can join."
            }
            TroubleKind::ReadOnly => {
                "The store of the line is read-only: no one is let in, and no one can join."
            }
            TroubleKind::Loading => {
                "The store of the line was started and reads its data: no one is let in meanwhile."
            }
            TroubleKind::Busy => {
                "The store of the line is busy with something else: no one is let in meanwhile."
            }
            TroubleKind::ClusterDown => {
                "Part of the store of the line is down: no one is let in, and no one can join."
            }
            TroubleKind::Refusing => {
                "The store of the line takes no changes: no one is let in, and no one can join."
            }
            TroubleKind::Behind => {
                "This node has not heard of the line for some seconds: these figures are old."
            }
            TroubleKind::Recovering => {
                "The store of the line was restarted or replaced: places are being restored, then it goes on."
            }
        }
    }

    /// Returns whether nothing can be changed in any line.
    pub(crate) fn is_everywhere(self) -> bool {
        !matches!(self, TroubleKind::Behind | TroubleKind::Recovering)
    }
}

/// Trouble, and what the operator should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its kind.
    pub kind: TroubleKind,
    /// A sentence for the operator.
    pub detail: String,
}
