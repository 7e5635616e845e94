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

/// Most units in one call, so that no script takes over 5 ms. Joins are cheaper.
const UNITS_MAX: usize = 50;
pub(super) const JOIN: Operation = operation(1, 500, &script::JOIN);
pub(super) const PLACE: Operation = operation(2, UNITS_MAX, &script::PLACE);
pub(super) const BACK: Operation = operation(3, UNITS_MAX, &script::BACK);
pub(super) const AWAY: Operation = operation(4, UNITS_MAX, &script::AWAY);
pub(super) const CLAIM: Operation = operation(5, UNITS_MAX, &script::CLAIM);
pub(super) const FINISH: Operation = operation(6, UNITS_MAX, &script::FINISH);
pub(super) const LEAVE: Operation = operation(7, UNITS_MAX, &script::LEAVE);
pub(super) const EJECT: Operation = operation(8, UNITS_MAX, &script::EJECT);
pub(super) const FIND: Operation = operation(9, 8, &script::FIND);
pub(super) const REENTER: Operation = operation(10, UNITS_MAX, &script::REENTER);
pub(super) const PEEK: Operation = operation(11, UNITS_MAX, &script::PEEK);
pub(super) const LIVING: Operation = operation(12, UNITS_MAX, &script::LIVING);
