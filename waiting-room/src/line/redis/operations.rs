//! The operations on visitors, each a script that takes many at once.

use super::script::{self, Script};
use std::sync::LazyLock;

/// An operation that takes units.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    /// Identifies the operation; unique.
    pub(super) id: u8,
    /// Maximum number of units in one call.
    pub(super) units_max: usize,
    pub(super) script: &'static LazyLock<Script>,
}

const fn operation(id: u8, units_max: usize, script: &'static LazyLock<Script>) -> Operation {
    Operation {
        id,
        units_max,
        script,
    }
}

pub(super) const JOIN: Operation = operation(1, 1000, &script::JOIN);
pub(super) const PLACE: Operation = operation(2, 125, &script::PLACE);
pub(super) const BACK: Operation = operation(3, 125, &script::BACK);
pub(super) const AWAY: Operation = operation(4, 125, &script::AWAY);
pub(super) const CLAIM: Operation = operation(5, 125, &script::CLAIM);
pub(super) const FINISH: Operation = operation(6, 125, &script::FINISH);
pub(super) const LEAVE: Operation = operation(7, 125, &script::LEAVE);
pub(super) const EJECT: Operation = operation(8, 125, &script::EJECT);
pub(super) const FIND: Operation = operation(9, 8, &script::FIND);
pub(super) const REENTER: Operation = operation(10, 125, &script::REENTER);
pub(super) const PEEK: Operation = operation(11, 125, &script::PEEK);
pub(super) const LIVING: Operation = operation(12, 125, &script::LIVING);
