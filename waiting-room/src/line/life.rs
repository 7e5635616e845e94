//! Identity of a line's life.

use serde::{Deserialize, Serialize};

/// Identity of one life of a line: random values, which are compared and have no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Identity of the event since it was created: the next one with its id has another.
    pub creation: u64,
    /// Identity of the store since it may have lost data.
    pub store: u64,
}

impl Life {
    /// Returns a new life.
    pub fn random() -> Life {
        let random = || u64::from_be_bytes(shared::crypto::random());
        Life {
            creation: random(),
            store: random(),
        }
    }

    /// Returns an identity as text.
    pub(super) fn hex(identity: u64) -> String {
        format!("{identity:016x}")
    }

    /// Reads an identity; none if it is not one.
    pub(super) fn parse(text: &str) -> Option<u64> {
        u64::from_str_radix(text, 16).ok()
    }
}
