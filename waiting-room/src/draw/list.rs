//! Result of a draw: the entries by number, and the proof of each.

use super::verify::Proof;
use super::{Entry, Tree};
use shared::crypto::hex;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Result of a draw, kept by a node after the first request: 20 bytes per entry, and 64 more after
/// the first request for a proof.
pub(crate) struct List {
    by_number: Vec<Entry>,
    numbers: HashMap<Entry, u32>,
    sorted: OnceLock<SortedEntries>,
}

/// Entries in ascending order, and the tree over them.
struct SortedEntries {
    entries: Vec<Entry>,
    tree: Tree,
}

impl List {
    /// Takes the entries in the order of the numbers that they drew.
    pub(crate) fn new(by_number: Vec<Entry>) -> List {
        List {
            numbers: by_number.iter().copied().zip(1..).collect(),
            by_number,
            sorted: OnceLock::new(),
        }
    }

    /// Returns the number that an entry drew.
    pub(crate) fn number_of(&self, entry: &Entry) -> Option<u64> {
        self.numbers.get(entry).copied().map(u64::from)
    }

    /// Returns at most `count` entries after the first `skipped`, ordered by number.
    pub(crate) fn entries_after(&self, skipped: usize, count: usize) -> &[Entry] {
        let rest = self.by_number.get(skipped..).unwrap_or_default();
        &rest[..rest.len().min(count)]
    }

    /// Returns the root of the tree over the entries, in hex.
    pub(crate) fn root(&self) -> String {
        self.sorted().tree.root()
    }

    /// Returns the proof that an entry was drawn; none if it was not.
    pub(crate) fn prove(&self, entry: &Entry) -> Option<Proof> {
        let number = self.number_of(entry)?;
        let SortedEntries { entries, tree } = self.sorted();
        let index = entries.binary_search(entry).ok()?;
        Some(Proof {
            entry: entry.to_string(),
            number,
            index: index as u64,
            audit_path: tree.path(index).iter().map(|hash| hex(hash)).collect(),
        })
    }

    /// Sorts the entries and builds the tree on first use.
    fn sorted(&self) -> &SortedEntries {
        self.sorted.get_or_init(|| {
            let mut entries = self.by_number.clone();
            entries.sort_unstable();
            let tree = Tree::of(&entries);
            SortedEntries { entries, tree }
        })
    }
}
