//! Result of a draw: the entries by number, and the proof of each.

use super::verify::Proof;
use super::{Entry, Tree};
use axum::body::Bytes;
use shared::crypto::hex;
use shared::http::document::{Compression, MadeOnce, gzip};
use shared::http::problem::Problem;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

/// Number of entries that are listed in one piece.
pub(crate) const LINES: usize = 5_000;

/// Result of a draw, kept by a node after the first request: 20 bytes per entry, 64 more after the
/// first request for a proof, and about 24 more after the first for the compressed list.
pub(crate) struct List {
    by_number: Vec<Entry>,
    numbers: HashMap<Entry, u32>,
    sorted: OnceLock<SortedEntries>,
    compressed: MadeOnce<Bytes>,
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
            compressed: MadeOnce::default(),
        }
    }

    /// Returns the number that an entry drew.
    pub(crate) fn number_of(&self, entry: &Entry) -> Option<u64> {
        self.numbers.get(entry).copied().map(u64::from)
    }

    /// Returns the next `LINES` entries after the first `skipped`, a line `entry number` each; none
    /// after the last.
    pub(crate) fn lines_after(&self, skipped: usize) -> Option<String> {
        let rest = self.by_number.get(skipped..).unwrap_or_default();
        if rest.is_empty() {
            return None;
        }
        let listed = rest.iter().take(LINES).zip(skipped + 1..);
        let mut text = String::with_capacity(rest.len().min(LINES) * 50);
        for (entry, number) in listed {
            let _ = writeln!(text, "{entry} {number}");
        }
        Some(text)
    }

    /// Returns all lines, compressed for the first who asks.
    ///
    /// # Errors
    /// 500 if compressing them panicked.
    pub(crate) async fn compressed(list: &Arc<List>) -> Result<Bytes, Problem> {
        let lines = list.clone();
        let make = move || {
            let pieces = (0..).step_by(LINES);
            let pieces = pieces.map_while(|skipped| lines.lines_after(skipped));
            gzip(pieces, Compression::fast())
        };
        list.compressed.get(make).await
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
