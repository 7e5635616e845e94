//! Visitors with open sockets at this node: their numbers, and which life of the store has confirmed
//! them.

use crate::line::{Life, Spot, VisitorState};
use shared::ids::VisitorId;

/// A visitor's number as last known to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) number: u64,
    /// It is that of the arrival, before the draw.
    pub(super) is_provisional: bool,
}

impl Number {
    /// Returns the number of a place.
    pub(super) fn of(spot: &Spot) -> Number {
        Number {
            number: spot.number,
            is_provisional: spot.is_provisional,
        }
    }
}

/// A visitor with an open socket at this node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connected {
    pub(super) number: Number,
    /// Life of the store in which the visitor waited with this number; none if it is not known. In any
    /// other life the number may be that of another visitor.
    confirmed_in: Option<u64>,
}

impl Connected {
    /// Returns a visitor whose place the store has told in this life or in a later one.
    pub(super) fn new(spot: &Spot, life: Option<Life>) -> Connected {
        Connected {
            number: Number::of(spot),
            confirmed_in: life.map(|life| life.store),
        }
    }

    /// Takes the number of a place that was told, unless that is an older one of the visitor, of a store
    /// that has lost the newer one.
    pub(super) fn renew(&mut self, spot: &Spot, life: Option<Life>) {
        let kept = self.number;
        if Number::of(spot) == kept {
            self.confirm(spot, life);
        } else if spot.is_provisional != kept.is_provisional || spot.number > kept.number {
            *self = Connected::new(spot, life);
        }
    }

    /// Records that the store has told this place in a life.
    pub(super) fn confirm(&mut self, spot: &Spot, life: Option<Life>) {
        let waits = spot.standing == VisitorState::Waiting;
        if let Some(life) = life.filter(|_| waits && Number::of(spot) == self.number) {
            self.confirmed_in = Some(life.store);
        }
    }

    /// Returns whether the store has confirmed the number of a place in this life.
    pub(super) fn is_confirmed(&self, spot: &Spot, life: Life) -> bool {
        self.number == Number::of(spot) && self.confirmed_in == Some(life.store)
    }
}

/// A visitor whose place is to be restored.
pub(super) struct Returning {
    pub(super) visitor: VisitorId,
    /// That of the arrival says nothing of the drawn one; the next request of the socket brings that.
    pub(super) number: Number,
}
