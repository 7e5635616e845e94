//! Names of all keys in Redis. keys.lua has the same names for the scripts.

use shared::ids::{EventId, VisitorId};
use std::ops::Range;

/// Numbers per key of an array.
pub(super) const CHUNK: usize = 512;
/// Largest index of a node.
const NODE_INDEX_MAX: usize = 250;
/// Largest generation that is looked for when an event is deleted: a draw starts the second, a draw
/// that the store lost the third or fourth.
const GENERATION_MAX: u64 = 4;

/// Names of the keys of one installation.
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// Creates the names of an installation with this prefix.
    pub(super) fn new(prefix: String) -> Keys {
        Keys { prefix }
    }

    /// Returns the hash of all events: id to whether it exists.
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

    /// Returns the hash of settings and counters, without which the event does not exist.
    pub(super) fn meta(&self) -> String {
        format!("{}:meta", self.prefix)
    }

    /// Returns the clients of a visitor's admission; gone by itself with the admission.
    pub(super) fn clients(&self, visitor: VisitorId) -> String {
        format!("{}:clients:{visitor}", self.prefix)
    }

    /// Returns the hash of the admissions that several clients use, by visitor.
    pub(super) fn shared(&self) -> String {
        format!("{}:shared", self.prefix)
    }

    /// Returns the names of the keys of one generation.
    pub(super) fn generation(&self, generation: u64) -> GenerationKeys {
        GenerationKeys {
            prefix: format!("{}:{generation}", self.prefix),
        }
    }

    /// Returns every key other than `meta` that an event with this many numbers may have.
    pub(super) fn all_but_meta(&self, numbers: usize) -> Vec<String> {
        let singles = [
            "slots", "lapses", "waits", "nodes", "beats", "reaping", "told", "shared",
        ];
        let singles = singles.map(|name| format!("{}:{name}", self.prefix));
        let inboxes = (1..=NODE_INDEX_MAX).map(|index| format!("{}:in:{index}", self.prefix));
        let generations = (1..=GENERATION_MAX)
            .flat_map(|generation| self.generation(generation).all(0..numbers / CHUNK + 1));
        singles
            .into_iter()
            .chain(inboxes)
            .chain(generations)
            .collect()
    }
}

/// Names of the keys that a draw replaces by those of the next generation.
pub(super) struct GenerationKeys {
    prefix: String,
}

impl GenerationKeys {
    /// Returns the bitmap of waiting numbers.
    pub(super) fn alive(&self) -> String {
        format!("{}:alive", self.prefix)
    }

    /// Returns the array of records of a chunk of numbers.
    pub(super) fn records(&self, chunk: usize) -> String {
        format!("{}:p:{chunk}", self.prefix)
    }

    /// Returns the array of the nodes that hold the sockets.
    pub(super) fn owners(&self, chunk: usize) -> String {
        format!("{}:o:{chunk}", self.prefix)
    }

    /// Returns the array of deadlines.
    pub(super) fn deadlines(&self, chunk: usize) -> String {
        format!("{}:d:{chunk}", self.prefix)
    }

    /// Returns all keys of this generation with the arrays of these chunks.
    pub(super) fn all(&self, chunks: Range<usize>) -> Vec<String> {
        let singles = ["visitors", "aways"].map(|name| format!("{}:{name}", self.prefix));
        let arrays = chunks.flat_map(|chunk| {
            [
                self.records(chunk),
                self.owners(chunk),
                self.deadlines(chunk),
            ]
        });
        let alive = std::iter::once(self.alive());
        alive.chain(singles).chain(arrays).collect()
    }
}
