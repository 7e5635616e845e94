//! The draw: shuffles the fans in line at the opening of the sale once, in a way that anyone can
//! check.
//!
//! The algorithm is `hmac-sha256-sort/1`: the entries are sorted by HMAC-SHA256 with the key seed ‖
//! randomness of the beacon and the entry's text as the message; the first is number 1. The hash of
//! the seed is public before anyone can join. The list of entries is bound by a Merkle tree hash as
//! in RFC 6962, section 2.1.

mod beacon;
mod list;
mod verify;

pub use beacon::{Beacon, Round};
pub(crate) use list::{LINES, List};
pub use verify::{Drawn, Mixed, Proof, verify, verify_proof};

use aws_lc_rs::hmac;
use shared::crypto::{hex, sha256};
pub(crate) use shared::crypto::{unhex, unhex_all};
use shared::ids::VisitorId;

/// Name of the algorithm.
pub const ALGORITHM: &str = "hmac-sha256-sort/1";

/// Public id of a visitor in the draw: unguessable, and it does not reveal the visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry([u8; 16]);

impl Entry {
    /// Returns the entry of a visitor. It is derived from their id, so that no node has to store
    /// it.
    pub fn of(visitor: VisitorId) -> Entry {
        let mut text = b"fairline entry 1".to_vec();
        text.extend(visitor.0.to_be_bytes());
        let mut entry = [0; 16];
        entry.copy_from_slice(&sha256(&text)[..16]);
        Entry(entry)
    }

    /// Reads `ent_` and 32 hex digits.
    pub fn parse(text: &str) -> Option<Entry> {
        let digits = text.strip_prefix("ent_").filter(|rest| rest.len() == 32)?;
        let is_lower = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if !digits.bytes().all(is_lower) {
            return None;
        }
        let number = u128::from_str_radix(digits, 16).ok()?;
        Some(Entry(number.to_be_bytes()))
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ent_{}", hex(&self.0))
    }
}

/// Returns the commitment to a seed, published before the draw.
pub fn commitment(seed: &[u8; 32]) -> String {
    hex(&sha256(seed))
}

/// Returns the drawn order as indexes into `entries`: the first gets number 1, the second number 2,
/// and so on.
pub fn order(seed: &[u8; 32], randomness: &[u8], entries: &[Entry]) -> Vec<u32> {
    let key = [seed.as_slice(), randomness].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let mut drawn: Vec<([u8; 32], Entry, u32)> = entries
        .iter()
        .zip(0..)
        .map(|(entry, index)| {
            let mut mac = [0; 32];
            mac.copy_from_slice(hmac::sign(&key, entry.to_string().as_bytes()).as_ref());
            (mac, *entry, index)
        })
        .collect();
    drawn.sort_unstable();
    drawn.into_iter().map(|(_, _, index)| index).collect()
}

/// Merkle tree over a list of entries, from the leaves to the root.
pub struct Tree {
    levels: Vec<Vec<[u8; 32]>>,
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut text = [1; 65];
    text[1..33].copy_from_slice(left);
    text[33..].copy_from_slice(right);
    sha256(&text)
}

fn leaf(entry: &Entry) -> [u8; 32] {
    let mut text = vec![0];
    text.extend(entry.to_string().into_bytes());
    sha256(&text)
}

impl Tree {
    /// Builds the tree over entries in ascending order. A node without a sibling rises as it is,
    /// which gives the tree of RFC 6962.
    pub fn of(sorted: &[Entry]) -> Tree {
        let mut levels = vec![sorted.iter().map(leaf).collect::<Vec<_>>()];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(2).map(|pair| match pair {
                [left, right] => node(left, right),
                alone => alone[0],
            });
            let above = above.collect();
            levels.push(above);
        }
        Tree { levels }
    }

    /// Returns the root, in hex; that of no entries is the hash of an empty string.
    pub fn root(&self) -> String {
        let top = self.levels.last().and_then(|level| level.first());
        hex(&top.copied().unwrap_or_else(|| sha256(b"")))
    }

    /// Returns the audit path of the leaf at `index`, from the leaf up.
    pub fn path(&self, index: usize) -> Vec<[u8; 32]> {
        let mut at = index;
        let mut path = Vec::new();
        for level in &self.levels {
            if let Some(sibling) = level.get(at ^ 1) {
                path.push(*sibling);
            }
            at /= 2;
        }
        path
    }
}

/// Returns the root of the tree over entries in any order.
pub(crate) fn root(mut entries: Vec<Entry>) -> String {
    entries.sort_unstable();
    Tree::of(&entries).root()
}

/// Returns the root of the tree over the entries of these visitors.
pub fn root_of_visitors(visitors: &[VisitorId]) -> String {
    root(visitors.iter().copied().map(Entry::of).collect())
}

/// Computes the root from a leaf and its path (RFC 9162, section 2.1.3.2); none when the path does
/// not fit the size.
pub fn root_of(entry: &Entry, index: usize, size: usize, path: &[[u8; 32]]) -> Option<String> {
    let (mut at, mut last) = (index, size.checked_sub(1)?);
    if at > last {
        return None;
    }
    let mut hash = leaf(entry);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at % 2 == 1 || at == last {
            hash = node(sibling, &hash);
            while at.is_multiple_of(2) && at != 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at /= 2;
        last /= 2;
    }
    (last == 0).then(|| hex(&hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u128) -> Vec<Entry> {
        let mut all: Vec<Entry> = (0..count).map(|id| Entry::of(VisitorId(id))).collect();
        all.sort_unstable();
        all
    }

    /// The definition of RFC 6962, literally.
    fn tree_hash(entries: &[Entry]) -> [u8; 32] {
        match entries {
            [] => sha256(b""),
            [one] => leaf(one),
            many => {
                let split = many.len().next_power_of_two() / 2;
                node(&tree_hash(&many[..split]), &tree_hash(&many[split..]))
            }
        }
    }

    #[test]
    fn the_tree_is_that_of_the_rfc_and_every_path_leads_to_its_root() {
        for size in 0..70 {
            let entries = entries(size);
            let tree = Tree::of(&entries);
            assert_eq!(tree.root(), hex(&tree_hash(&entries)), "{size} entries");
            for (index, entry) in entries.iter().enumerate() {
                let path = tree.path(index);
                let root = root_of(entry, index, entries.len(), &path);
                assert_eq!(root, Some(tree.root()), "{index} of {size}");
                if let Some(other) = entries.get(index + 1) {
                    let root = root_of(other, index, entries.len(), &path);
                    assert_ne!(root, Some(tree.root()), "another entry has another path");
                }
            }
        }
    }

    /// A known answer, computed with Python's hashlib and hmac.
    #[test]
    fn the_order_is_by_hmac_of_the_text_under_seed_and_randomness() {
        let entries = entries(5);
        let seed = [7; 32];
        let order = |randomness: &[u8]| order(&seed, randomness, &entries);
        let mut by_hand: Vec<(Vec<u8>, u32)> = entries
            .iter()
            .zip(0..)
            .map(|(entry, index)| {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &[seed.as_slice(), b"r"].concat());
                let mac = hmac::sign(&key, entry.to_string().as_bytes());
                (mac.as_ref().to_vec(), index)
            })
            .collect();
        by_hand.sort();
        let by_hand: Vec<u32> = by_hand.into_iter().map(|(_, index)| index).collect();
        assert_eq!(order(b"r"), by_hand);
        assert_ne!(order(b"r"), order(b""));
    }

    /// Each of five entries is at each of five places 2,000 times in 10,000 draws: chi-square with
    /// 16 degrees of freedom is below 45 in all but one of ten thousand fair runs.
    #[test]
    fn ten_thousand_draws_favour_nobody() {
        let entries = entries(5);
        let mut counts = [[0u32; 5]; 5];
        for draw in 0..10_000u32 {
            let seed = sha256(&draw.to_be_bytes());
            for (place, index) in order(&seed, b"", &entries).into_iter().enumerate() {
                counts[place][index as usize] += 1;
            }
        }
        let chi: f64 = counts
            .iter()
            .flatten()
            .map(|count| (f64::from(*count) - 2000.0).powi(2) / 2000.0)
            .sum();
        assert!(chi < 45.0, "chi-square {chi}: {counts:?}");
    }
}
