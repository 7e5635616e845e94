//! Codes of tickets: signed by the key of their event, so that a door can tell a forged one without
//! a connection.

use super::door_ticket::IssuedTicket;
use super::model::Refused;
use crate::text::is_id;
use shared::crypto::{Secret, SignatureKey, decode, encode, hex, same, sha256};
use shared::ids::EventId;

/// Makes and checks the codes of one event's tickets.
pub(super) struct TicketCodes {
    event: EventId,
    key: SignatureKey,
    /// Signed the codes of version 0.1.0, which name the seat.
    mac: Secret,
}

impl TicketCodes {
    pub(super) fn new(event: EventId, secret: &[u8]) -> TicketCodes {
        TicketCodes {
            event,
            key: SignatureKey::derive(secret, "ticket codes"),
            mac: Secret::derive(secret, "tickets"),
        }
    }

    /// Returns the code of a ticket, as its QR code has it.
    pub(super) fn code(&self, id: &str) -> String {
        let signed = format!("FL2.{}.{id}", self.event);
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }

    /// Returns the SHA-256 of the code that version 0.1.0 gave a ticket, in hex.
    pub(super) fn old_code_sha256(&self, id: &str, seat: &str) -> String {
        hex(&sha256(self.old_code(id, seat).as_bytes()))
    }

    fn old_code(&self, id: &str, seat: &str) -> String {
        let event = &self.event;
        let mac = self
            .mac
            .sign(format!("ticket\n{event}\n{id}\n{seat}").as_bytes());
        format!("FL1.{event}.{id}.{}", encode(&mac[..16]))
    }

    /// Returns the public key, in base64 for URLs.
    pub(super) fn public_key(&self) -> String {
        encode(self.key.public_key())
    }

    /// Returns the code of a ticket for people who type, such as `5E88-40F3-9C1D`: the beginning of
    /// its id, and four digits that only the server knows.
    pub(super) fn short_code(&self, id: &str) -> String {
        let digits = id.get(ID_START..ID_START + ID_DIGITS).unwrap_or_default();
        let (one, two) = digits.split_at(digits.len() / 2);
        format!("{one}-{two}-{}", self.short_proof(id)).to_ascii_uppercase()
    }

    fn short_proof(&self, id: &str) -> String {
        let mac = self.mac.sign(format!("short code\n{id}").as_bytes());
        hex(&mac[..2])
    }

    /// Returns whether a code was made for its ticket, which is the one that was found, if it is
    /// known.
    pub(super) fn is_genuine(&self, code: &TicketCode, found: Option<&IssuedTicket>) -> bool {
        match code.version {
            Version::Short => {
                found.is_some_and(|found| same(&self.short_proof(&found.id), &code.proof))
            }
            Version::Signed => {
                let (signed, _) = code.text.rsplit_once('.').unwrap_or_default();
                let signature = decode(&code.proof).unwrap_or_default();
                self.key.verify(signed.as_bytes(), &signature)
            }
            Version::Old => {
                let own = found.map(|found| self.old_code(&found.id, &found.seat));
                own.is_some_and(|own| same(&own, &code.text))
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Version {
    /// That of version 0.1.0, with a key that only the server has.
    Old,
    Signed,
    /// The one that people type.
    Short,
}

/// Index of the first digit of a ticket's id, after `tix_`.
const ID_START: usize = 4;
/// Number of them in a short code.
const ID_DIGITS: usize = 8;
/// Number of all digits of a short code.
const SHORT_DIGITS: usize = 12;

/// A code as it was read, genuine or not.
#[derive(Clone)]
pub(super) struct TicketCode {
    text: String,
    version: Version,
    /// Id of its ticket, or the beginning of one.
    pub(super) ticket: String,
    proof: String,
}

impl TicketCode {
    /// Reads a code of an event's ticket.
    ///
    /// # Errors
    /// If it is no code, or names another event.
    pub(super) fn read(event: &EventId, text: &str) -> Result<TicketCode, Refused> {
        // Scanners that type end a code with a line break.
        let text = text.trim();
        if let Some(short) = TicketCode::read_short(text) {
            return Ok(short);
        }
        let mut parts = text.split('.');
        let version = match parts.next() {
            Some("FL1") => Version::Old,
            Some("FL2") => Version::Signed,
            _ => return Err(Refused::NoSuchTicket),
        };
        let (Some(named), Some(ticket), Some(proof), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refused::NoSuchTicket);
        };
        let named = EventId::parse(named).map_err(|_| Refused::NoSuchTicket)?;
        if !is_id(ticket) {
            return Err(Refused::NoSuchTicket);
        }
        if named != *event {
            return Err(Refused::TicketOfOtherEvent(named));
        }
        Ok(TicketCode {
            text: text.to_owned(),
            version,
            ticket: ticket.to_owned(),
            proof: proof.to_owned(),
        })
    }

    /// Reads a short code, such as `5E88-40F3-9C1D`.
    fn read_short(text: &str) -> Option<TicketCode> {
        let digits = text.trim().replace(['-', ' '], "").to_ascii_lowercase();
        let is_short = digits.len() == SHORT_DIGITS;
        let is_short = is_short && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_short.then(|| TicketCode {
            text: text.to_owned(),
            version: Version::Short,
            ticket: format!("tix_{}", &digits[..ID_DIGITS]),
            proof: digits[ID_DIGITS..].to_owned(),
        })
    }

    pub(super) fn is_short(&self) -> bool {
        matches!(self.version, Version::Short)
    }
}
