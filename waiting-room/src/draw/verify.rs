//! Verification of a draw from its published data alone.

use super::beacon::{Beacon, Round};
use super::{ALGORITHM, Entry, Tree, commitment, order, root_of};
use serde::{Deserialize, Serialize};
use shared::crypto::unhex;
use shared::time::Time;

/// Published data of a draw; only algorithm, commitment and beacon before it is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Draw)]
pub struct Drawn {
    /// Name of the algorithm: `hmac-sha256-sort/1`.
    pub algorithm: String,
    /// SHA-256 of the seed, hex, fixed before the first fan joined.
    pub commitment: String,
    /// Public randomness mixed in, if a beacon was named.
    pub beacon: Option<Mixed>,
    /// Time of the draw.
    pub drawn_at: Option<Time>,
    /// The seed, hex.
    pub seed: Option<String>,
    /// Number of entries drawn.
    pub entries: Option<u64>,
    /// The Merkle tree hash (RFC 6962, SHA-256) of the entries in ascending order, hex.
    pub entries_root: Option<String>,
}

/// The named round, and its content once it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DrawBeacon)]
pub struct Mixed {
    /// Name of the drand beacon.
    pub name: String,
    /// Number of the round, named in advance.
    pub round: u64,
    /// Its signature, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The signature of the round before, hex, if rounds are chained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_signature: Option<String>,
    /// SHA-256 of the signature, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub randomness: Option<String>,
}

/// Proof that an entry was among those drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DrawProof)]
pub struct Proof {
    /// The entry.
    pub entry: String,
    /// The number that it drew.
    pub number: u64,
    /// Its index among the entries in ascending order, from 0.
    pub index: u64,
    /// The inclusion proof of RFC 6962, from the leaf up, hex.
    pub audit_path: Vec<String>,
}

/// Checks that a draw was held as committed to, with every entry at the number that the seed gives
/// it. Returns the number of entries.
///
/// # Errors
/// The first deviation found.
pub fn verify(drawn: &Drawn, list: &str) -> Result<u64, String> {
    if drawn.algorithm != ALGORITHM {
        return Err(format!(
            "the algorithm is '{}', not {ALGORITHM}",
            drawn.algorithm
        ));
    }
    let (Some(seed), Some(root)) = (&drawn.seed, &drawn.entries_root) else {
        return Err("the draw was not held yet: there is no seed".to_owned());
    };
    let seed: [u8; 32] = unhex(seed).ok_or("the seed is not 64 hex digits")?;
    if commitment(&seed) != drawn.commitment {
        return Err("the seed is not the one that was promised: its hash differs".to_owned());
    }
    let randomness = match &drawn.beacon {
        Some(mixed) => mixed_in(mixed)?.to_vec(),
        None => Vec::new(),
    };
    let entries = read_list(list)?;
    if drawn.entries != Some(entries.len() as u64) {
        return Err(format!(
            "the list has {} entries, not {}",
            entries.len(),
            drawn.entries.unwrap_or_default()
        ));
    }
    let mut sorted = entries.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("an entry stands in the list twice".to_owned());
    }
    if Tree::of(&sorted).root() != *root {
        return Err("the list is not the one that was published: its root differs".to_owned());
    }
    for (place, index) in order(&seed, &randomness, &sorted).into_iter().enumerate() {
        if sorted[index as usize] != entries[place] {
            return Err(format!(
                "number {} belongs to {}, not to {}",
                place + 1,
                sorted[index as usize],
                entries[place]
            ));
        }
    }
    Ok(entries.len() as u64)
}

fn mixed_in(mixed: &Mixed) -> Result<[u8; 32], String> {
    let round = Round {
        round: mixed.round,
        signature: mixed.signature.clone().unwrap_or_default(),
        previous_signature: mixed.previous_signature.clone().unwrap_or_default(),
        randomness: mixed.randomness.clone().unwrap_or_default(),
    };
    let named = Beacon {
        name: mixed.name.clone(),
        round: mixed.round,
    };
    let outcome = round.randomness(&named);
    outcome.map_err(|(field, why)| format!("the beacon's {field}: {why}"))
}

/// Parses `entry number` lines into entries ordered by number.
fn read_list(list: &str) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for (line, expected) in list.lines().zip(1u64..) {
        let read = line.split_once(' ').and_then(|(entry, number)| {
            let number: u64 = number.parse().ok()?;
            Some((Entry::parse(entry)?, number))
        });
        match read {
            Some((entry, number)) if number == expected => entries.push(entry),
            Some((_, number)) => return Err(format!("line {expected} has number {number}")),
            None => return Err(format!("line {expected} is not 'entry number'")),
        }
    }
    Ok(entries)
}

/// Checks that a proof shows its entry to be among those drawn.
///
/// # Errors
/// Why it does not.
pub fn verify_proof(drawn: &Drawn, proof: &Proof) -> Result<(), String> {
    let entry = Entry::parse(&proof.entry).ok_or("the proof's entry is not one")?;
    let path: Option<Vec<[u8; 32]>> = proof.audit_path.iter().map(|hash| unhex(hash)).collect();
    let path = path.ok_or("a hash of the audit path is not 64 hex digits")?;
    let size = drawn.entries.unwrap_or_default() as usize;
    let root = root_of(&entry, proof.index as usize, size, &path);
    if root.is_some() && root == drawn.entries_root {
        Ok(())
    } else {
        Err("the audit path does not lead to the published root".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::crypto::hex;
    use shared::ids::VisitorId;

    fn held(count: u128) -> (Drawn, String, Vec<Entry>) {
        let seed = [9; 32];
        let mut sorted: Vec<Entry> = (0..count).map(|id| Entry::of(VisitorId(id))).collect();
        sorted.sort_unstable();
        let round = "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92";
        let beacon = Mixed {
            name: "quicknet".to_owned(),
            round: 123,
            signature: Some(round.to_owned()),
            previous_signature: None,
            randomness: None,
        };
        let randomness = mixed_in(&beacon).unwrap();
        let by_number = order(&seed, &randomness, &sorted);
        let by_number: Vec<Entry> = by_number
            .into_iter()
            .map(|at| sorted[at as usize])
            .collect();
        let drawn = Drawn {
            algorithm: ALGORITHM.to_owned(),
            commitment: commitment(&seed),
            beacon: Some(beacon),
            drawn_at: None,
            seed: Some(hex(&seed)),
            entries: Some(count as u64),
            entries_root: Some(Tree::of(&sorted).root()),
        };
        (drawn, text(&by_number), by_number)
    }

    fn text(entries: &[Entry]) -> String {
        let lines = entries.iter().zip(1..);
        lines
            .map(|(entry, number)| format!("{entry} {number}\n"))
            .collect()
    }

    #[test]
    fn a_fair_draw_passes_and_any_tampering_is_caught() {
        let (drawn, list, entries) = held(100);
        assert_eq!(verify(&drawn, &list), Ok(100));
        let mut swapped = entries.clone();
        swapped.swap(3, 70);
        let refused = |drawn: &Drawn, list: &str| verify(drawn, list).unwrap_err();
        assert!(refused(&drawn, &text(&swapped)).contains("number 4 belongs to"));
        let mut replaced = entries.clone();
        replaced[5] = Entry::of(VisitorId(999));
        assert!(refused(&drawn, &text(&replaced)).contains("root differs"));
        assert!(refused(&drawn, &text(&entries[..99])).contains("99 entries"));
        let mut doubled = entries.clone();
        doubled[5] = doubled[6];
        assert!(refused(&drawn, &text(&doubled)).contains("twice"));
        assert!(refused(&drawn, &list.replacen(" 7\n", " 8\n", 1)).contains("line 7"));
        assert!(refused(&drawn, &list.replacen("ent_", "tne_", 1)).contains("line 1"));
        let with = |change: fn(&mut Drawn)| {
            let mut drawn = drawn.clone();
            change(&mut drawn);
            verify(&drawn, &list).unwrap_err()
        };
        assert!(with(|drawn| drawn.seed = Some("00".repeat(32))).contains("hash differs"));
        assert!(with(|drawn| drawn.beacon = None).contains("belongs to"));
        assert!(with(|drawn| drawn.algorithm.push('x')).contains("algorithm"));
        assert!(with(|drawn| drawn.seed = None).contains("not held yet"));
        let other_round = |drawn: &mut Drawn| drawn.beacon.as_mut().unwrap().round = 124;
        assert!(with(other_round).contains("signature"));
        // Another seed with a matching commitment: then the order differs.
        let other_seed = |drawn: &mut Drawn| {
            drawn.seed = Some("11".repeat(32));
            drawn.commitment = commitment(&[0x11; 32]);
        };
        assert!(with(other_seed).contains("belongs to"));
    }

    #[test]
    fn a_proof_is_good_for_its_entry_alone() {
        let (drawn, _, mut sorted) = held(77);
        sorted.sort_unstable();
        let path = Tree::of(&sorted).path(41);
        let proof = Proof {
            entry: sorted[41].to_string(),
            number: 1,
            index: 41,
            audit_path: path.iter().map(|hash| hex(hash)).collect(),
        };
        assert_eq!(verify_proof(&drawn, &proof), Ok(()));
        let mut other = proof.clone();
        other.entry = sorted[40].to_string();
        assert!(verify_proof(&drawn, &other).is_err());
        other = proof.clone();
        other.index = 40;
        assert!(verify_proof(&drawn, &other).is_err());
        other = proof;
        other.audit_path.pop();
        assert!(verify_proof(&drawn, &other).is_err());
    }
}
