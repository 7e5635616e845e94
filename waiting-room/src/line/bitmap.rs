//! The waiting visitors as a bitmap: one bit per number, exact ranks by popcount over blocks of
//! 512.

const WORDS_PER_BLOCK: usize = 8;
const BITS_PER_BLOCK: u64 = 512;

/// Mutable bitmap with the count of every block.
#[derive(Default)]
pub(super) struct Alive {
    words: Vec<u64>,
    blocks: Vec<u32>,
    /// All blocks before this one are empty.
    head_block: usize,
    count: u64,
}

impl Alive {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let (word, bit) = position(number);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn insert(&mut self, number: u64) {
        let (word, bit) = position(number);
        let block = word / WORDS_PER_BLOCK;
        if self.blocks.len() <= block {
            self.blocks.resize(block + 1, 0);
            self.words.resize((block + 1) * WORDS_PER_BLOCK, 0);
        }
        if self.words[word] & bit == 0 {
            self.words[word] |= bit;
            self.blocks[block] += 1;
            self.count += 1;
            self.head_block = self.head_block.min(block);
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        if !self.contains(number) {
            return;
        }
        let (word, bit) = position(number);
        self.words[word] &= !bit;
        self.blocks[word / WORDS_PER_BLOCK] -= 1;
        self.count -= 1;
        while self.blocks.get(self.head_block) == Some(&0) {
            self.head_block += 1;
        }
    }

    /// Returns the lowest waiting number.
    pub(super) fn first(&self) -> Option<u64> {
        let start = self.head_block * WORDS_PER_BLOCK;
        let words = self.words.get(start..)?;
        let at = words.iter().position(|word| *word != 0)?;
        let bit = u64::from(words[at].trailing_zeros());
        Some((start + at) as u64 * 64 + bit + 1)
    }

    /// Returns how many waiting visitors have a lower number.
    pub(super) fn ahead(&self, number: u64) -> u64 {
        let (word, bit) = position(number);
        let block = word / WORDS_PER_BLOCK;
        if block >= self.blocks.len() {
            return self.count;
        }
        let full = self.blocks.get(self.head_block..block).unwrap_or(&[]);
        let before: u64 = full.iter().map(|count| u64::from(*count)).sum();
        before + within(&self.words, block * WORDS_PER_BLOCK, word, bit)
    }

    /// Copies the bitmap from its first waiting block on, with running counts.
    pub(super) fn snapshot(&self) -> Snapshot {
        let head = self.head_block.min(self.blocks.len());
        let mut running = 0;
        let before = self.blocks[head..]
            .iter()
            .map(|count| {
                running += count;
                running - count
            })
            .collect();
        Snapshot {
            base: head as u64 * BITS_PER_BLOCK,
            words: self.words[head * WORDS_PER_BLOCK..].into(),
            before,
            count: self.count,
        }
    }
}

/// Returns the word index and the bit mask of a number; numbers begin at 1.
fn position(number: u64) -> (usize, u64) {
    let at = number.saturating_sub(1);
    ((at / 64) as usize, 1 << (at % 64))
}

fn within(words: &[u64], from: usize, word: usize, bit: u64) -> u64 {
    let whole: u32 = words[from..word].iter().map(|word| word.count_ones()).sum();
    u64::from(whole + (words[word] & (bit - 1)).count_ones())
}

/// The bitmap at one instant, from the first block with a waiting visitor on. Every fan's `ahead`
/// is read from it without asking the store: two additions and at most eight popcounts.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    base: u64,
    words: Box<[u64]>,
    before: Box<[u32]>,
    count: u64,
}

impl Snapshot {
    /// Reads a bitmap in the bit order of Redis (the highest bit of the first byte comes first),
    /// without its first `head` bytes.
    pub(super) fn from_bitmap(head: u64, bytes: &[u8]) -> Snapshot {
        let blocks = bytes.len().div_ceil(WORDS_PER_BLOCK * 8);
        let mut words = vec![0u64; blocks * WORDS_PER_BLOCK];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_be_bytes(whole).reverse_bits();
        }
        let mut count = 0;
        let before = words
            .chunks(WORDS_PER_BLOCK)
            .map(|block| {
                let waiting: u32 = block.iter().map(|word| word.count_ones()).sum();
                count += waiting;
                count - waiting
            })
            .collect();
        Snapshot {
            base: head * 8,
            words: words.into(),
            before,
            count: u64::from(count),
        }
    }

    /// Returns whether the number was waiting at that instant. A number given out later was not.
    pub fn contains(&self, number: u64) -> bool {
        let Some(offset) = number.checked_sub(self.base + 1) else {
            return false;
        };
        let word = self.words.get((offset / 64) as usize);
        word.is_some_and(|word| word & (1 << (offset % 64)) != 0)
    }

    /// Returns how many visitors were waiting at that instant.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns how many visitors waiting at that instant have a lower number.
    pub fn ahead(&self, number: u64) -> u64 {
        let Some(offset) = number.checked_sub(self.base + 1) else {
            return 0;
        };
        let word = (offset / 64) as usize;
        let block = word / WORDS_PER_BLOCK;
        match self.before.get(block) {
            None => self.count,
            Some(before) => {
                let bit = 1 << (offset % 64);
                u64::from(*before) + within(&self.words, block * WORDS_PER_BLOCK, word, bit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranks_are_those_of_a_plain_list(
            changes in proptest::collection::vec((1u64..3000, any::<bool>()), 0..600),
            asked in proptest::collection::vec(1u64..4000, 1..50),
        ) {
            let mut alive = Alive::default();
            let mut list = std::collections::BTreeSet::new();
            for (number, is_join) in changes {
                if is_join {
                    alive.insert(number);
                    list.insert(number);
                } else {
                    alive.remove(number);
                    list.remove(&number);
                }
                prop_assert_eq!(alive.first(), list.first().copied());
            }
            let snapshot = alive.snapshot();
            let mut bytes = vec![0u8; 400];
            for number in &list {
                bytes[(*number as usize - 1) / 8] |= 128 >> ((number - 1) % 8);
            }
            let head = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(head, |at| at + 1);
            let read = Snapshot::from_bitmap(head as u64, &bytes[head..end]);
            prop_assert_eq!(alive.count(), list.len() as u64);
            for number in asked {
                let ahead = list.range(..number).count() as u64;
                prop_assert_eq!(alive.ahead(number), ahead);
                for snapshot in [&snapshot, &read] {
                    prop_assert_eq!(snapshot.ahead(number), ahead);
                    prop_assert_eq!(snapshot.contains(number), list.contains(&number));
                }
            }
        }
    }
}
