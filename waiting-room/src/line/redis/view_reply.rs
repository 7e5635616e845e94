//! The reply of `tick.lua`: the line as the store has it.

use super::reply::{Fields, Reply, visitor};
use crate::line::throughput::Rates;
use crate::line::{EventSettings, Phase};
use redis::Value;
use shared::ids::{Availability, VisitorId};
use shared::time::Time;

/// Reply of the tick script.
pub(super) struct ViewReply {
    /// The store did not know this node.
    pub(super) is_new_node: bool,
    pub(super) at: Time,
    pub(super) epoch: u64,
    pub(super) step: u64,
    pub(super) revision: u64,
    pub(super) phase: Phase,
    pub(super) draw: DrawStage,
    /// Generation of the keys in use; a draw begins another.
    pub(super) generation: u64,
    pub(super) numbers: u64,
    /// Number of nodes that tick this line.
    pub(super) nodes: u64,
    pub(super) waiting: u64,
    pub(super) admitted: u64,
    pub(super) shopping: u64,
    pub(super) connected: u64,
    pub(super) total: Rates,
    /// First byte of the bitmap.
    pub(super) head: u64,
    pub(super) bitmap: Vec<u8>,
    pub(super) availability: Option<Availability>,
    /// Sent if the revision is not the one that this node has.
    pub(super) definition: Option<Definition>,
    /// Visitors whose sockets here were replaced by newer ones elsewhere.
    pub(super) replaced: Vec<VisitorId>,
}

/// Properties of a line that change rarely.
pub(super) struct Definition {
    pub(super) settings: EventSettings,
    pub(super) constants: EventConstants,
}

/// Properties that are fixed for the life of an event, or change once.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct EventConstants {
    /// The first epoch: passes of an earlier event of the same name are no use.
    pub(super) born: u64,
    /// The seed of the draw, as hex; empty without one.
    pub(super) seed: String,
    /// The randomness of the beacon, as hex, once it was given.
    pub(super) beacon: String,
    /// Outcome of the draw (JSON), once it was held.
    pub(super) drawn: String,
}

/// Stage of a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrawStage {
    /// First come, first served.
    None,
    /// Before the draw.
    Waiting,
    /// Being drawn.
    Drawing,
    /// Drawn.
    Drawn,
}

impl DrawStage {
    /// Reads the code of a stage as scripts and backups have it.
    pub(super) fn from_code(code: i64) -> DrawStage {
        match code {
            1 => DrawStage::Waiting,
            2 => DrawStage::Drawing,
            3 => DrawStage::Drawn,
            _ => DrawStage::None,
        }
    }

    /// Returns the code of the stage that a line is restored to: a draw that was under way is held
    /// again.
    pub(super) fn recovery_code(self) -> u8 {
        match self {
            DrawStage::None => 0,
            DrawStage::Waiting | DrawStage::Drawing => 1,
            DrawStage::Drawn => 3,
        }
    }

    /// Returns whether the numbers are still to be drawn.
    pub(super) fn is_undrawn(self) -> bool {
        matches!(self, DrawStage::Waiting | DrawStage::Drawing)
    }
}

impl ViewReply {
    /// Reads the reply; none if it is not one.
    pub(super) fn read(mut reply: Reply) -> Option<ViewReply> {
        let bitmap = match reply.take("bitmap") {
            Value::BulkString(bytes) => bytes,
            _ => return None,
        };
        let fields = reply.fields();
        let total = Rates {
            joined: fields.count("total_joined"),
            admitted: fields.count("total_admitted"),
            finished: fields.count("total_finished"),
            missed: fields.count("total_missed"),
            left: fields.count("total_left"),
        };
        Some(ViewReply {
            is_new_node: fields.number("is_new_node") == 1,
            at: fields.time("now"),
            epoch: fields.count("epoch"),
            step: fields.count("step"),
            revision: fields.count("revision"),
            phase: phase(fields)?,
            draw: DrawStage::from_code(fields.number("draw")),
            generation: fields.count("generation"),
            numbers: fields.count("numbers"),
            nodes: fields.count("nodes"),
            waiting: fields.count("waiting"),
            admitted: fields.count("admitted"),
            shopping: fields.count("shopping"),
            connected: fields.count("connected"),
            total,
            head: fields.count("head"),
            bitmap,
            availability: serde_json::from_slice(fields.bytes("availability")).ok(),
            definition: match fields.bytes("settings") {
                [] => None,
                settings => Some(Definition {
                    settings: serde_json::from_slice(settings).ok()?,
                    constants: constants(fields),
                }),
            },
            replaced: fields.list("replaced").iter().filter_map(visitor).collect(),
        })
    }
}

fn constants(fields: Fields<'_>) -> EventConstants {
    EventConstants {
        born: fields.count("born"),
        seed: fields.text("seed"),
        beacon: fields.text("beacon"),
        drawn: fields.text("drawn"),
    }
}

/// Reads the phase of a reply.
pub(super) fn phase(fields: Fields<'_>) -> Option<Phase> {
    let code = usize::try_from(fields.number("phase")).ok()?;
    Phase::ALL.get(code).copied()
}
