//! Public randomness: rounds of drand's beacons, verified offline with the beacon's public key.

use drand_verify::{G1Pubkey, G2PubkeyRfc, Pubkey as _, derive_randomness};
use serde::{Deserialize, Serialize};
use shared::crypto::{hex, unhex, unhex_all};
use shared::time::Time;

/// A chain of rounds.
struct Chain {
    name: &'static str,
    /// Public key, in hex.
    key: &'static str,
    /// Time of the first round, in seconds since 1970.
    begins_at: u64,
    seconds_between: u64,
}

/// Supported beacons of the League of Entropy, as published at `/info` of each chain.
const CHAINS: [Chain; 2] = [
    Chain {
        name: "quicknet",
        key: "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
        begins_at: 1_692_803_367,
        seconds_between: 3,
    },
    Chain {
        name: "default",
        key: "868f005eb8e6e4ca0a47c8a77ceaa5309a47978a7c71bc5cce96366b5d7a569937c529eeda66c7293784a9402801af31",
        begins_at: 1_595_431_050,
        seconds_between: 30,
    },
];

fn chain(name: &str) -> Option<&'static Chain> {
    CHAINS.iter().find(|chain| chain.name == name)
}

/// Round of public randomness that is mixed into the draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Beacon {
    /// Name of the drand beacon: `quicknet` or `default`.
    #[schema(pattern = "^(quicknet|default)$")]
    pub name: String,
    /// Number of the round.
    #[schema(minimum = 1)]
    pub round: u64,
}

impl Beacon {
    /// Returns when the round is published; none if there is no such beacon or round.
    pub(crate) fn published_at(&self) -> Option<Time> {
        let chain = chain(&self.name)?;
        let passed = self
            .round
            .checked_sub(1)?
            .checked_mul(chain.seconds_between)?;
        let seconds = chain.begins_at.checked_add(passed)?;
        Some(Time(i64::try_from(seconds).ok()?.checked_mul(1000)?))
    }

    /// Returns the first round of the same beacon that is published at this time or later; none of
    /// an unknown beacon.
    pub(crate) fn first_round_at(&self, time: Time) -> Option<u64> {
        let chain = chain(&self.name)?;
        let seconds = u64::try_from(time.0).ok()?.div_ceil(1000);
        let passed = seconds.saturating_sub(chain.begins_at);
        Some(passed.div_ceil(chain.seconds_between) + 1)
    }
}

/// A round as the beacon published it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = BeaconRound)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// The round's number.
    pub round: u64,
    /// The signature, hex.
    pub signature: String,
    /// The signature of the round before, hex; only where rounds are chained (`default`).
    #[serde(default)]
    pub previous_signature: String,
    /// SHA-256 of the signature, hex. Optional.
    #[serde(default)]
    pub randomness: String,
}

impl Round {
    /// Returns the randomness of the round if it is the one named for the draw and has a valid
    /// signature.
    ///
    /// # Errors
    /// The invalid field and the reason.
    pub fn randomness(&self, named: &Beacon) -> Result<[u8; 32], (&'static str, String)> {
        if self.round != named.round {
            let why = format!("round {} was named for this draw", named.round);
            return Err(("round", why));
        }
        let wrong = |field| (field, "not hex".to_owned());
        let signature = unhex_all(&self.signature).ok_or_else(|| wrong("signature"))?;
        let previous = unhex_all(&self.previous_signature);
        let previous = previous.ok_or_else(|| wrong("previous_signature"))?;
        let is_genuine = is_signed(&named.name, self.round, &previous, &signature);
        if is_genuine != Some(true) {
            let why = format!(
                "not the signature of round {} by {}",
                self.round, named.name
            );
            return Err(("signature", why));
        }
        let randomness = derive_randomness(&signature);
        if !self.randomness.is_empty() && self.randomness != hex(&randomness) {
            let why = "not the SHA-256 of the signature".to_owned();
            return Err(("randomness", why));
        }
        Ok(randomness)
    }
}

fn is_signed(name: &str, round: u64, previous: &[u8], signature: &[u8]) -> Option<bool> {
    let key = chain(name)?.key;
    if name == "default" {
        let key = G1Pubkey::from_fixed(unhex(key)?).ok()?;
        key.verify(round, previous, signature).ok()
    } else {
        let key = G2PubkeyRfc::from_fixed(unhex(key)?).ok()?;
        // Rounds of this beacon are not chained.
        key.verify(round, b"", signature).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_round_follows_from_its_number_and_back() {
        let round = |name: &str, round| Beacon {
            name: name.to_owned(),
            round,
        };
        for (name, number, time) in [
            ("default", 1, "2020-07-22T15:17:30Z"),
            ("default", 72_785, "2020-08-16T21:49:30Z"),
            ("quicknet", 1, "2023-08-23T15:09:27Z"),
            ("quicknet", 123, "2023-08-23T15:15:33Z"),
            ("quicknet", 37_030_612, "2027-03-01T10:00:00Z"),
        ] {
            let beacon = round(name, number);
            let published = beacon.published_at().unwrap();
            assert_eq!(published.to_string(), time);
            assert_eq!(beacon.first_round_at(published), Some(number));
            assert_eq!(
                beacon.first_round_at(Time(published.0 + 1)),
                Some(number + 1)
            );
        }
        assert_eq!(round("quicknet", u64::MAX).published_at(), None);
        assert_eq!(round("mine", 5).published_at(), None);
    }

    /// Published rounds of the beacons.
    #[test]
    fn a_published_round_is_accepted_and_nothing_else() {
        let chained = Beacon {
            name: "default".to_owned(),
            round: 72_785,
        };
        let round = Round {
            round: 72_785,
            previous_signature: "a609e19a03c2fcc559e8dae14900aaefe517cb55c840f6e69bc8e4f66c8d18e8a609685d9917efbfb0c37f058c2de88f13d297c7e19e0ab24813079efe57a182554ff054c7638153f9b26a60e7111f71a0ff63d9571704905d3ca6df0b031747".to_owned(),
            signature: "82f5d3d2de4db19d40a6980e8aa37842a0e55d1df06bd68bddc8d60002e8e959eb9cfa368b3c1b77d18f02a54fe047b80f0989315f83b12a74fd8679c4f12aae86eaf6ab5690b34f1fddd50ee3cc6f6cdf59e95526d5a5d82aaa84fa6f181e42".to_owned(),
            randomness: String::new(),
        };
        let randomness = hex(&round.randomness(&chained).unwrap());
        assert_eq!(
            randomness,
            "8b676484b5fb1f37f9ec5c413d7d29883504e5b669f604a1ce68b3388e9ae3d9"
        );
        let refused = |round: &Round, named: &Beacon| round.randomness(named).unwrap_err().0;
        let other = Beacon {
            round: 72_786,
            ..chained.clone()
        };
        assert_eq!(refused(&round, &other), "round");
        let mut forged = round.clone();
        forged.signature.replace_range(10..12, "00");
        assert_eq!(refused(&forged, &chained), "signature");
        let mut unchained = round.clone();
        unchained.previous_signature.clear();
        assert_eq!(refused(&unchained, &chained), "signature");
        let mut lying = round.clone();
        lying.randomness = "00".repeat(32);
        assert_eq!(refused(&lying, &chained), "randomness");
        let quick = Beacon {
            name: "quicknet".to_owned(),
            ..chained
        };
        assert_eq!(refused(&round, &quick), "signature");
    }
}
