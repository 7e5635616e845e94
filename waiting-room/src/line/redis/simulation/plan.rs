//! What happens in a run: the event, the nodes, the fans, and the faults that may strike. All of it
//! follows from the seed.

use super::crowd::Terms;
use super::drawn::DrawPlan;
use super::wire::Wires;
use serde_json::{Value, json};
use simulation::{Dice, Rewrite};
use std::collections::BTreeSet;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// Connections break before or after a command has acted.
    MessagesLost,
    /// Commands or answers stay on their way for longer than a caller waits.
    MessagesStalled,
    /// Commands act twice.
    MessagesRepeated,
    /// The store is killed and started with all of its data.
    StoreRestarted,
    /// The store is killed and started with an earlier state.
    StoreRolledBack,
    /// The store is killed, and started without data.
    StoreStartedEmpty,
    /// The store's data is removed while it runs.
    StoreFlushed,
    /// The store does not answer for a while.
    StoreFrozen,
    /// The store is away for a while.
    StoreStopped,
    /// A replica takes over, with an earlier state; at the second time the first server does.
    FailedOver,
    /// A node is killed and started again in its folder.
    NodeKilled,
    /// A node is killed and started without its folder.
    NodeReplaced,
    /// A node cannot reach the store for a while.
    NodeCutOff,
    /// The store's clock is set forward.
    ClockForward,
    /// The store's clock is set back.
    ClockBack,
    /// The organiser deletes the event and creates it again.
    EventCreatedAgain,
}

impl Fault {
    /// Returns whether the store goes back to an earlier state.
    pub(super) fn rolls_back(self) -> bool {
        matches!(self, Fault::StoreRolledBack | Fault::FailedOver)
    }

    /// Returns whether nodes end by it, or seem to.
    pub(super) fn ends_nodes(self) -> bool {
        matches!(
            self,
            Fault::NodeKilled | Fault::NodeReplaced | Fault::NodeCutOff
        )
    }
}

/// Every kind of fault.
pub(super) const FAULTS: [Fault; 16] = [
    Fault::MessagesLost,
    Fault::MessagesStalled,
    Fault::MessagesRepeated,
    Fault::StoreRestarted,
    Fault::StoreRolledBack,
    Fault::StoreStartedEmpty,
    Fault::StoreFlushed,
    Fault::StoreFrozen,
    Fault::StoreStopped,
    Fault::FailedOver,
    Fault::NodeKilled,
    Fault::NodeReplaced,
    Fault::NodeCutOff,
    Fault::ClockForward,
    Fault::ClockBack,
    Fault::EventCreatedAgain,
];

/// How a run is made.
#[derive(Clone, Default)]
pub(super) struct RunMode {
    pub(super) faults: Vec<Fault>,
    pub(super) steps: usize,
    pub(super) rewrite: Option<Rewrite>,
    /// Chance that a run has a draw, in a thousand.
    pub(super) draws: u64,
    /// Steps that are left out.
    pub(super) skipped: BTreeSet<usize>,
    /// Whether the story is wanted.
    pub(super) tells: bool,
    /// Whether the commands are wanted.
    pub(super) records: bool,
}

/// Steps of the organiser alone, where fans come late.
const LATE_STEPS: usize = 40;

/// Plan of a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) nodes: usize,
    pub(super) fans: usize,
    pub(super) steps: usize,
    pub(super) admission: Value,
    pub(super) terms: Terms,
    /// None: first come, first served.
    pub(super) draw: Option<DrawPlan>,
    /// A checkout reports its seats.
    pub(super) has_seats: bool,
    /// Step from which on fans come.
    pub(super) fans_from: usize,
    pub(super) faults: Vec<Fault>,
    /// Chance of a fault at a step, in a thousand.
    pub(super) fault_chance: u64,
}

impl Plan {
    /// Makes a plan with some of these faults.
    pub(super) fn new(dice: &mut Dice, mode: &RunMode) -> Plan {
        let faults = &mode.faults;
        let seconds = |dice: &mut Dice, choices: &[u64]| dice.pick(choices);
        let claim = seconds(dice, &[3, 6, 10]);
        let session = seconds(dice, &[5, 10, 30]);
        let away = seconds(dice, &[8, 15, 40]);
        let admission = json!({
            "rate_per_minute": dice.pick(&[30, 60, 120, 600]),
            "batch_seconds": dice.pick(&[1, 2, 5]),
            "max_active": dice.pick(&[1, 2, 3, 5, 10]),
            "claim_seconds": claim,
            "session_seconds": session,
            "away_seconds": away,
        });
        let count = match dice.below(4) {
            0 => 0,
            1 | 2 => 1,
            _ => dice.between(2, 3) as usize,
        };
        let mut chosen = Vec::new();
        for _ in 0..count {
            if !faults.is_empty() {
                chosen.push(dice.pick(faults));
            }
        }
        chosen.sort_unstable();
        chosen.dedup();
        let draw = dice.chance(mode.draws).then(|| DrawPlan::new(dice));
        let is_late = draw.is_some() && dice.chance(100);
        Plan {
            nodes: dice.between(1, 4) as usize,
            fans: dice.between(3, 24) as usize,
            steps: mode.steps,
            admission,
            terms: Terms {
                away_ms: away * 1000,
                claim_ms: claim * 1000,
                session_ms: session * 1000,
            },
            draw,
            has_seats: dice.chance(250),
            fans_from: if is_late { LATE_STEPS } else { 0 },
            faults: chosen,
            fault_chance: dice.between(5, 30),
        }
    }

    /// Returns the wires for the faults of messages among those of the plan.
    pub(super) fn wires(&self, dice: &mut Dice) -> Wires {
        let mut chance = |fault, most| match self.faults.contains(&fault) {
            true => dice.between(1, most),
            false => 0,
        };
        let lost = chance(Fault::MessagesLost, 30);
        Wires {
            stalled: chance(Fault::MessagesStalled, 10),
            repeated: chance(Fault::MessagesRepeated, 60),
            lost_before: lost / 2,
            lost_after: lost - lost / 2,
            delay_ms_max: dice.pick(&[0, 2, 20, 80]),
        }
    }
}
