//! Passes: signed proofs of a place. Whoever holds the pass holds the place, so it stands in no URL and no log.

use crate::line::{Spot, VisitorState};
use shared::crypto::Secret;
use shared::ids::{EventId, VisitorId};

/// How long a browser keeps a pass.
pub const PASS_SECONDS: u32 = 7 * 24 * 3600;

/// The first byte tells what the number is.
const DRAWN: u8 = 1;
const PROVISIONAL: u8 = 2;

/// What a pass says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Whose it is.
    pub visitor: VisitorId,
    /// Their number.
    pub number: u64,
    /// The draw was yet to come: the number is that of their arrival.
    pub is_provisional: bool,
    /// The life of the line that the number was given in.
    pub epoch: u64,
}

impl Pass {
    /// Whether the pass is of a newer place than this one, which is over: then its visitor joined again, and the store
    /// has forgotten it.
    pub fn is_newer_than(&self, spot: &Spot) -> bool {
        let is_over = matches!(
            spot.standing,
            VisitorState::Finished | VisitorState::Missed | VisitorState::Left
        );
        is_over && self.number > spot.number && self.is_provisional == spot.is_provisional
    }
}

/// Signs and reads passes.
pub struct Passes(Secret);

impl Passes {
    /// Takes the secret that signs passes.
    pub fn new(secret: &[u8]) -> Passes {
        Passes(Secret::derive(secret, "pass"))
    }

    /// A pass as one word: visitor, number, epoch and event, signed.
    pub fn write(&self, event: &EventId, pass: &Pass) -> String {
        let kind = if pass.is_provisional {
            PROVISIONAL
        } else {
            DRAWN
        };
        let mut message = vec![kind];
        message.extend(pass.visitor.0.to_be_bytes());
        message.extend(pass.number.to_be_bytes());
        message.extend(pass.epoch.to_be_bytes());
        message.extend(event.as_str().as_bytes());
        self.0.seal(&message)
    }

    /// What a word says, if it is a pass for this event.
    pub fn read(&self, event: &EventId, word: &str) -> Option<Pass> {
        if word.len() > 300 {
            return None;
        }
        let message = self.0.unseal(word)?;
        let (kind, rest) = message.split_first()?;
        let (visitor, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (epoch, named) = rest.split_first_chunk()?;
        let is_known = [DRAWN, PROVISIONAL].contains(kind);
        (is_known && named == event.as_str().as_bytes()).then(|| Pass {
            is_provisional: *kind == PROVISIONAL,
            visitor: VisitorId(u128::from_be_bytes(*visitor)),
            number: u64::from_be_bytes(*number),
            epoch: u64::from_be_bytes(*epoch),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_reads_back_for_its_event_and_key_alone() {
        let passes = Passes::new(b"one");
        let arena = EventId::parse("arena").unwrap();
        let pass = Pass {
            visitor: VisitorId(9),
            number: 50_231,
            is_provisional: false,
            epoch: 1,
        };
        let word = passes.write(&arena, &pass);
        assert_eq!(passes.read(&arena, &word), Some(pass));
        assert_eq!(
            passes.read(&EventId::parse("arena-2").unwrap(), &word),
            None
        );
        assert_eq!(Passes::new(b"two").read(&arena, &word), None);
        for at in 0..word.len() {
            let mut bent = word.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bent).unwrap();
            assert!(bent == word || passes.read(&arena, &bent).is_none_or(|read| read == pass));
        }
        assert_eq!(passes.read(&arena, ""), None);
        assert_eq!(passes.read(&arena, &"A".repeat(1000)), None);
    }
}
