//! Names of all keys in Redis. keys.lua has the same names for the scripts.

use shared::ids::{EventId, VisitorId};

/// Numbers in a chunk of the published draw.
pub(super) const CHUNK: usize = 512;
/// Names of the keys of one installation.
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// Creates the names of an installation with this prefix.
    pub(super) fn new(prefix: String) -> Keys {
        Keys { prefix }
    }

    /// Returns the hash of all events: id to the identity of its creation, or to `gone`.
    pub(super) fn events(&self) -> String {
        format!("{}:events", self.prefix)
    }

    /// Returns the version of all names and values.
    pub(super) fn format(&self) -> String {
        format!("{}:format", self.prefix)
    }

    /// Returns the list of the audit log, the newest entry first.
    pub(super) fn audit(&self) -> String {
        format!("{}:audit", self.prefix)
    }

    /// Returns the sorted set of signed-out console sessions, by their ends.
    pub(super) fn sign_outs(&self) -> String {
        format!("{}:signed-out", self.prefix)
    }

    /// Returns the prefix of the buckets of rate limits. The braces keep them in one slot of a
    /// cluster, and no event's id begins with a hyphen.
    pub(super) fn limits(&self) -> String {
        format!("{}:{{-limits}}", self.prefix)
    }

    /// Returns a list of what a network has. No event's id begins with a hyphen.
    pub(super) fn list(&self, number: u64) -> String {
        format!("{}:{{-list}}:{number:016x}", self.prefix)
    }

    /// Returns the names of an event's keys. The braces keep them in one slot of a cluster.
    pub(super) fn event(&self, event: &EventId) -> EventKeys {
        EventKeys {
            prefix: format!("{}:{{{event}}}", self.prefix),
        }
    }
}

/// Names of the keys of one event.
pub(super) struct EventKeys {
    prefix: String,
}

impl EventKeys {
    /// Returns the prefix of all of them, which the scripts take.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    /// Returns the clients of a visitor's admission; gone by itself with the admission.
    pub(super) fn clients(&self, visitor: VisitorId) -> String {
        self.key(&format!("clients:{visitor}"))
    }

    /// Returns the hash of the admissions that several clients use, by visitor.
    pub(super) fn shared(&self) -> String {
        self.key("shared")
    }

    /// Returns the sorted set of the visitors who wait, by number.
    pub(super) fn waiting(&self) -> String {
        self.key("waiting")
    }

    /// Returns the hash of slots by holder.
    pub(super) fn slots(&self) -> String {
        self.key("slots")
    }

    /// Returns the string that has how places ended, a byte for each number.
    pub(super) fn codes(&self) -> String {
        self.key("codes")
    }

    /// Returns the string that has the index of the node with the socket, a byte for each number.
    pub(super) fn owners(&self) -> String {
        self.key("owners")
    }

    /// Returns the string that has the deadlines, six bytes for each number.
    pub(super) fn deadlines(&self) -> String {
        self.key("deadlines")
    }

    /// Returns the hash of the published draw, by chunk.
    pub(super) fn drawn(&self) -> String {
        self.key("drawn")
    }
}
