//! The checkout's and the gate's side of admission tokens: verifying them.

use super::keys::SigningAlgorithm;
use super::{Claims, Refused, SKEW_SECONDS, TOKEN_BYTES_MAX, TYPE};
use crate::ids::EventId;
use crate::time::Time;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::Value;

/// Public keys, and the issuer whose tokens are believed.
pub struct Verifier {
    keys: Vec<KnownKey>,
}

/// A public key.
struct KnownKey {
    id: String,
    key: DecodingKey,
    /// Accepts the algorithm of this key and no other.
    validation: Validation,
}

impl Verifier {
    /// Takes the Ed25519 and P-256 keys of a JWK set.
    ///
    /// # Errors
    /// If it has none.
    pub fn from_jwks(jwks: &Value, issuer: &str) -> Result<Verifier, String> {
        let listed = jwks["keys"].as_array().ok_or("the JWK set has no keys")?;
        let keys: Vec<_> = listed
            .iter()
            .filter_map(|key| read_key(key, issuer))
            .collect();
        if keys.is_empty() {
            return Err("the JWK set has neither an Ed25519 nor a P-256 key".to_owned());
        }
        Ok(Verifier { keys })
    }

    /// Checks everything but whether the token was used before.
    ///
    /// # Errors
    /// The reason for refusing it.
    pub fn verify(&self, token: &str, event: &EventId, now: Time) -> Result<Claims, Refused> {
        let claims = self.read(token)?;
        claims.check(event, now)?;
        Ok(claims)
    }

    /// Reads the claims of a token that is signed by a known key. They count only once
    /// [`Claims::check`] has passed as well.
    ///
    /// # Errors
    /// The reason for refusing it.
    pub fn read(&self, token: &str) -> Result<Claims, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::Forged);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Forged)?;
        if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return Err(Refused::Forged);
        }
        let kid = header.kid.ok_or(Refused::Forged)?;
        let known = self.keys.iter().find(|known| known.id == kid);
        let known = known.ok_or(Refused::UnknownKey)?;
        // The key, not the token, says which algorithm counts.
        let read = jsonwebtoken::decode::<Claims>(token, &known.key, &known.validation);
        read.map(|read| read.claims).map_err(|_| Refused::Forged)
    }
}

impl Claims {
    /// Checks that the token is for this event and for this time.
    ///
    /// # Errors
    /// The reason for refusing it.
    pub fn check(&self, event: &EventId, now: Time) -> Result<(), Refused> {
        if self.aud != event.as_str() {
            return Err(Refused::OtherEvent);
        }
        let seconds = now.seconds();
        let starts = self.nbf.max(self.iat).saturating_sub(SKEW_SECONDS);
        if seconds < starts || seconds >= self.exp.saturating_add(SKEW_SECONDS) {
            return Err(Refused::OutOfTime);
        }
        Ok(())
    }
}

/// Reads a key of a JWK set. Keys of other kinds or for other purposes are passed over.
fn read_key(jwk: &Value, issuer: &str) -> Option<KnownKey> {
    let text = |name: &str| jwk[name].as_str();
    let (algorithm, key) = match (text("kty")?, text("crv")?) {
        ("OKP", "Ed25519") => {
            let key = DecodingKey::from_ed_components(text("x")?);
            (SigningAlgorithm::EdDsa, key.ok()?)
        }
        ("EC", "P-256") => {
            let key = DecodingKey::from_ec_components(text("x")?, text("y")?);
            (SigningAlgorithm::Es256, key.ok()?)
        }
        _ => return None,
    };
    let is = |name: &str, expected: &str| jwk[name].is_null() || jwk[name] == expected;
    if !is("use", "sig") || !is("alg", algorithm.name()) {
        return None;
    }
    Some(KnownKey {
        id: text("kid")?.to_owned(),
        key,
        validation: validation(algorithm, issuer),
    })
}

fn validation(algorithm: SigningAlgorithm, issuer: &str) -> Validation {
    let mut validation = Validation::new(algorithm.jose());
    // The crate asks the machine's clock; ours is checked by `Claims::check`, with the audience.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    validation
}
