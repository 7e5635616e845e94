//! Admission tokens: compact JWS, `typ` `admission+jwt`, signed with EdDSA over Ed25519 or with
//! ES256. The waiting room signs, the checkout and the gate verify.

mod keys;
mod signer;
mod verifier;

pub use keys::SigningAlgorithm;
pub use signer::Signer;
pub use verifier::Verifier;

use crate::ids::VisitorId;
use serde::{Deserialize, Serialize};

const TYPE: &str = "admission+jwt";
/// Largest length of a token that is read.
const TOKEN_BYTES_MAX: usize = 2048;
/// Largest tolerated difference between the clocks of two hosts. Tokens begin this much before they
/// are issued, for verifiers that tolerate none.
pub const SKEW_SECONDS: i64 = 5;

/// Claims of an admission token, all of them required but the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The public URL of the waiting room.
    pub iss: String,
    /// The event.
    pub aud: String,
    /// The visitor.
    pub sub: VisitorId,
    /// One admission; good for one session.
    pub jti: String,
    /// Issued, in seconds since 1970, less [`SKEW_SECONDS`].
    pub iat: i64,
    /// Not before: as issued.
    pub nbf: i64,
    /// Not after.
    pub exp: i64,
    /// The visitor's number in line.
    pub number: u64,
    /// Seconds by which the admission may be extended, once; absent where it may not, or was.
    #[serde(default, skip_serializing_if = "is_none")]
    pub extension_seconds: u32,
}

fn is_none(seconds: &u32) -> bool {
    *seconds == 0
}

impl Claims {
    /// Reads the claims of a token that was verified before, and does not check them again.
    pub fn of_verified(token: &str) -> Option<Claims> {
        jsonwebtoken::dangerous::insecure_decode_claims(token).ok()
    }

    /// Returns the claims of the admission once it is extended, unless it may not be, or was.
    pub fn extended(&self) -> Option<Claims> {
        let seconds = self.extension_seconds;
        (seconds > 0).then(|| Claims {
            exp: self.exp.saturating_add(i64::from(seconds)),
            extension_seconds: 0,
            ..self.clone()
        })
    }
}

/// Reason why a token is not accepted, for logs; clients are told only that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a token of ours at all, or with a wrong signature, type or algorithm.
    #[error("not an admission token of ours")]
    Forged,
    /// Signed with a key that is not known here.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// The keys are not available at the moment, so the token can be neither accepted nor refused.
    #[error("the keys cannot be had")]
    NoKeys,
    /// Past its end, or not yet begun.
    #[error("out of time")]
    OutOfTime,
    /// For another event.
    #[error("for another event")]
    OtherEvent,
}

#[cfg(test)]
mod tests;
