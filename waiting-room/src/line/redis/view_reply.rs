//! The reply of `tick.lua`: the line as the store has it.

use super::reply::{Fields, Reply, bytes, number, visitor};
use super::served::Change;
use crate::line::throughput::Rates;
use crate::line::{EventSettings, Life, Phase};
use redis::Value;
use shared::ids::{Availability, VisitorId};
use shared::time::Time;

/// Reply of the tick script.
pub(super) struct ViewReply {
    pub(super) life: Life,
    /// Of this node; another one if the store did not know the node, or not any more.
    pub(super) registration: u64,
    pub(super) at: Time,
    /// Milliseconds by which the line's time is behind that.
    pub(super) unheard_ms: i64,
    /// Number of visitors who may be admitted now.
    pub(super) room: u64,
    pub(super) revision: u64,
    pub(super) phase: Phase,
    pub(super) draw: DrawStage,
    /// Nodes are still reporting what they know, since the store may have lost data.
    pub(super) is_settling: bool,
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
    /// When the seats were counted; 0 if they never were.
    pub(super) seats_at: Time,
    /// The number after the last that takes part in the draw, once it is fixed; else 0.
    pub(super) draw_last: u64,
    /// Count of changes that this node has read with this reply.
    pub(super) changes: u64,
    /// Changes since; none if there were more than the store keeps.
    pub(super) changed: Option<Vec<Change>>,
    /// Sent if the life or the revision is not the one that this node has.
    pub(super) definition: Option<Definition>,
    /// Visitors whose sockets here were replaced by newer ones elsewhere.
    pub(super) replaced: Vec<VisitorId>,
}

/// Properties of a line that change rarely.
pub(super) struct Definition {
    pub(super) settings: EventSettings,
    /// When they were changed.
    pub(super) changed_at: Time,
    pub(super) constants: EventConstants,
}

/// Properties of an event's draw. They change when it is held, and when it becomes another one.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct EventConstants {
    /// The seed of the draw, as hex, which every event has.
    pub(super) seed: String,
    /// The round of the beacon (JSON); empty until it was given.
    pub(super) beacon: String,
    /// Outcome of the draw (JSON); empty until it was held.
    pub(super) drawn: String,
}

impl EventConstants {
    /// Reads what a reply has of them.
    pub(super) fn read(fields: Fields<'_>) -> EventConstants {
        EventConstants {
            seed: fields.text("seed"),
            beacon: fields.text("beacon"),
            drawn: fields.text("drawn"),
        }
    }
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
            life: Life {
                creation: Life::parse(&fields.text("creation"))?,
                store: Life::parse(&fields.text("life"))?,
            },
            registration: fields.count("registration"),
            at: fields.time("now"),
            unheard_ms: fields.number("unheard"),
            room: fields.count("room"),
            revision: fields.count("revision"),
            phase: phase(fields)?,
            draw: DrawStage::from_code(fields.number("draw")),
            is_settling: fields.number("is_settling") == 1,
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
            seats_at: fields.time("seats_at"),
            draw_last: fields.count("draw_last"),
            changes: fields.count("changes"),
            changed: (fields.number("is_behind") == 0).then(|| changes(fields)),
            definition: match fields.bytes("settings") {
                [] => None,
                settings => Some(Definition {
                    settings: serde_json::from_slice(settings).ok()?,
                    changed_at: fields.time("changed_at"),
                    constants: EventConstants::read(fields),
                }),
            },
            replaced: fields.list("replaced").iter().filter_map(visitor).collect(),
        })
    }
}

fn changes(fields: Fields<'_>) -> Vec<Change> {
    let pairs = fields.list("changed").chunks_exact(2);
    let read = pairs.map(|pair| {
        let number = u64::try_from(number(&pair[0])).ok()?;
        Change::read(number, std::str::from_utf8(bytes(&pair[1])).ok()?)
    });
    read.flatten().collect()
}

/// Reads the phase of a reply.
pub(super) fn phase(fields: Fields<'_>) -> Option<Phase> {
    let code = usize::try_from(fields.number("phase")).ok()?;
    Phase::ALL.get(code).copied()
}
