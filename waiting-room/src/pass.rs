//! Passes: signed proofs of a place. A pass is a bearer credential, so it appears in no URL and no
//! log.

use crate::line::Spot;
use crate::line::life::Life;
use shared::crypto::Secret;
use shared::ids::{EventId, VisitorId};

/// Lifetime of a pass cookie, in seconds.
pub const PASS_SECONDS: u32 = 7 * 24 * 3600;

/// First byte of a pass: the kind of its number.
const DRAWN: u8 = 3;
const PROVISIONAL: u8 = 4;
/// The same in passes of earlier versions, which name an epoch instead of a life.
const DRAWN_OF_EPOCH: u8 = 1;
const PROVISIONAL_OF_EPOCH: u8 = 2;
/// The same in links of mails, which are no passes.
const LINK_DRAWN: u8 = 5;
const LINK_PROVISIONAL: u8 = 6;

/// Content of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Its visitor.
    pub visitor: VisitorId,
    /// Their number.
    pub number: u64,
    /// Whether the draw was still to come, so that the number is the order of arrival.
    pub is_provisional: bool,
    /// Life of the line in which the number was given.
    pub life: Life,
}

impl Pass {
    /// Returns the proof of a place in a life of the line.
    pub(crate) fn of(spot: &Spot, life: Life) -> Pass {
        Pass {
            visitor: spot.visitor,
            number: spot.number,
            is_provisional: spot.is_provisional,
            life,
        }
    }
}

/// Signs and reads passes.
pub struct Passes(Secret);

impl Passes {
    /// Creates a signer from the secret.
    pub fn new(secret: &[u8]) -> Passes {
        Passes(Secret::derive(secret, "pass"))
    }

    /// Encodes a pass for an event: visitor, number, life and event, signed.
    pub fn write(&self, event: &EventId, pass: &Pass) -> String {
        let kind = if pass.is_provisional {
            PROVISIONAL
        } else {
            DRAWN
        };
        self.write_as(kind, event, pass)
    }

    /// Encodes the link of a mail to a place. It opens that place alone, and only while it lasts.
    pub fn write_link(&self, event: &EventId, pass: &Pass) -> String {
        let kind = if pass.is_provisional {
            LINK_PROVISIONAL
        } else {
            LINK_DRAWN
        };
        self.write_as(kind, event, pass)
    }

    fn write_as(&self, kind: u8, event: &EventId, pass: &Pass) -> String {
        let mut message = vec![kind];
        message.extend(pass.visitor.0.to_be_bytes());
        message.extend(pass.number.to_be_bytes());
        message.extend(pass.life.creation.to_be_bytes());
        message.extend(pass.life.store.to_be_bytes());
        message.extend(event.as_str().as_bytes());
        self.0.seal(&message)
    }

    /// Decodes a pass if it is valid for this event.
    pub fn read(&self, event: &EventId, word: &str) -> Option<Pass> {
        let (kind, pass) = self.read_any(event, word)?;
        let is_link = [LINK_DRAWN, LINK_PROVISIONAL].contains(&kind);
        (!is_link).then_some(pass)
    }

    /// Decodes the link of a mail if it is valid for this event.
    pub fn read_link(&self, event: &EventId, word: &str) -> Option<Pass> {
        let (kind, pass) = self.read_any(event, word)?;
        let is_link = [LINK_DRAWN, LINK_PROVISIONAL].contains(&kind);
        is_link.then_some(pass)
    }

    fn read_any(&self, event: &EventId, word: &str) -> Option<(u8, Pass)> {
        if word.len() > 300 {
            return None;
        }
        let message = self.0.unseal(word)?;
        let (kind, rest) = message.split_first()?;
        let (visitor, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (life, named) = match *kind {
            DRAWN | PROVISIONAL | LINK_DRAWN | LINK_PROVISIONAL => {
                let (store, named) = rest.split_first_chunk()?;
                let life = Life {
                    creation: u64::from_be_bytes(*first),
                    store: u64::from_be_bytes(*store),
                };
                (life, named)
            }
            DRAWN_OF_EPOCH | PROVISIONAL_OF_EPOCH => (Life::default(), rest),
            _ => return None,
        };
        let pass = Pass {
            is_provisional: [PROVISIONAL, PROVISIONAL_OF_EPOCH, LINK_PROVISIONAL].contains(kind),
            visitor: VisitorId(u128::from_be_bytes(*visitor)),
            number: u64::from_be_bytes(*number),
            life,
        };
        (named == event.as_str().as_bytes()).then_some((*kind, pass))
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
            life: Life::random(),
        };
        let word = passes.write(&arena, &pass);
        assert_eq!(passes.read(&arena, &word), Some(pass));
        assert_eq!(
            passes.read(&EventId::parse("arena-2").unwrap(), &word),
            None
        );
        assert_eq!(Passes::new(b"two").read(&arena, &word), None);
        let link = passes.write_link(&arena, &pass);
        assert_eq!(passes.read_link(&arena, &link), Some(pass));
        assert_eq!(passes.read(&arena, &link), None);
        assert_eq!(passes.read_link(&arena, &word), None);
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
