//! The chain of the audit log: each entry carries a number and a hash of itself and all before it,
//! so that a line that was changed, removed or put in is noticed.
//!
//! A line is a JSON object that ends with `,"hash":"…"}`. The hash is the SHA-256 of the hash of
//! the line before (32 bytes, zero for the first) and the line without its last member.

use super::entry::Entry;
use crate::crypto::{hex, random_id, sha256, unhex};
use serde::{Deserialize, Serialize};

/// What the last member of a line begins with.
const HASH_MEMBER: &str = ",\"hash\":\"";

/// A SHA-256 hash.
pub(super) type Hash = [u8; 32];

/// A line as it is written and read.
#[derive(Serialize, Deserialize)]
struct Line {
    log: String,
    seq: u64,
    #[serde(flatten)]
    entry: Entry,
}

/// The end of a chain: what the next line continues from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Id of the log, made with its first line: nodes write logs of their own.
    pub(super) log: String,
    /// Number of the last line; 0 before the first.
    pub(super) seq: u64,
    /// Hash of the last line.
    pub(super) hash: Hash,
}

impl Head {
    /// Returns the head of a chain without lines.
    pub(super) fn new() -> Head {
        Head {
            log: random_id("log_"),
            seq: 0,
            hash: [0; 32],
        }
    }

    /// Returns the next line of the chain, and moves the head there.
    pub(super) fn append(&mut self, entry: Entry) -> String {
        let line = Line {
            log: self.log.clone(),
            seq: self.seq + 1,
            entry,
        };
        let body = serde_json::to_string(&line).expect("an entry is plain data");
        self.seq += 1;
        self.hash = hash_of(&self.hash, &body);
        let open = &body[..body.len() - 1];
        format!("{open}{HASH_MEMBER}{}\"}}", hex(&self.hash))
    }
}

fn hash_of(previous: &Hash, body: &str) -> Hash {
    sha256(&[previous, body.as_bytes()].concat())
}

/// Returns the entry of a line, chained or not.
pub(super) fn entry_of(line: &str) -> Option<Entry> {
    serde_json::from_str(line).ok()
}

/// A line of a chain, as it claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) log: String,
    pub(super) seq: u64,
    /// The hash that stands in the line.
    pub(super) hash: Hash,
    /// The line without its last member.
    body: String,
}

impl Link {
    /// Reads a line; none if it is not one of a chain.
    pub(super) fn parse(line: &str) -> Option<Link> {
        let (open, end) = line.rsplit_once(HASH_MEMBER)?;
        let hash = unhex(end.strip_suffix("\"}")?)?;
        let body = format!("{open}}}");
        let Line { log, seq, .. } = serde_json::from_str(&body).ok()?;
        Some(Link {
            log,
            seq,
            hash,
            body,
        })
    }

    /// Returns whether the line is as it was written after a line with this hash.
    pub(super) fn follows(&self, previous: &Hash) -> bool {
        hash_of(previous, &self.body) == self.hash
    }

    /// Returns the head of the chain at this line.
    pub(super) fn head(&self) -> Head {
        Head {
            log: self.log.clone(),
            seq: self.seq,
            hash: self.hash,
        }
    }
}
