//! Admission tokens: compact JWS, EdDSA over Ed25519, `typ` `admission+jwt`. The waiting room
//! signs, the checkout and the gate verify.

use crate::crypto::Secret;
use crate::ids::{EventId, VisitorId};
use crate::time::Time;
use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use pem::{EncodeConfig, LineEnding, Pem};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const TYPE: &str = "admission+jwt";
/// Largest length of a token that is read.
const TOKEN_BYTES_MAX: usize = 2048;
/// Largest tolerated difference between the clocks of two hosts.
const SKEW_SECONDS: i64 = 5;
const PEM_TAG: &str = "PRIVATE KEY";

/// Claims of an admission token, all of them required.
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
    /// Issued, in seconds since 1970.
    pub iat: i64,
    /// Not before.
    pub nbf: i64,
    /// Not after.
    pub exp: i64,
    /// The visitor's number in line.
    pub number: u64,
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

fn pem_of(der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(PEM_TAG, der), config)
}

/// Private keys: the first signs, all are published.
pub struct Signer {
    key: EncodingKey,
    header: Header,
    published: JwkSet,
}

impl Signer {
    /// Generates a private key, as PEM (PKCS #8).
    ///
    /// # Errors
    /// If the machine has no randomness.
    pub fn generate_pem() -> Result<String, String> {
        let made = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1());
        let der = made.map_err(|_| "no Ed25519 key could be made".to_owned())?;
        Ok(pem_of(der.as_ref()))
    }

    /// Derives a private key from a secret, as PEM (PKCS #8): nodes that share the secret share the
    /// key.
    ///
    /// # Errors
    /// If the key cannot be written down.
    pub fn derive_pem(secret: &[u8]) -> Result<String, String> {
        let seed = Secret::derive(secret, "signing key").sign(b"1");
        let failed = "no Ed25519 key could be derived";
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| failed.to_owned())?;
        let der = pair.to_pkcs8v1().map_err(|_| failed.to_owned())?;
        Ok(pem_of(der.as_ref()))
    }

    /// Reads one or more private keys in PEM.
    ///
    /// # Errors
    /// If there is none, or one is not an Ed25519 key.
    pub fn from_pem(text: &str) -> Result<Signer, String> {
        let blocks = pem::parse_many(text).map_err(|_| "the signing key is not PEM".to_owned())?;
        let blocks = blocks.iter().filter(|block| block.tag() == PEM_TAG);
        let pairs = blocks.map(|block| read_pair(block.contents()));
        let (mut keys, published): (Vec<_>, Vec<_>) =
            pairs.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        if keys.is_empty() {
            return Err(format!(
                "the signing key has no '-----BEGIN {PEM_TAG}-----'"
            ));
        }
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid.clone_from(&published[0].common.key_id);
        Ok(Signer {
            key: keys.swap_remove(0),
            header,
            published: JwkSet { keys: published },
        })
    }

    /// Signs a token. The same claims give the same token.
    pub fn sign(&self, claims: &Claims) -> String {
        jsonwebtoken::encode(&self.header, claims, &self.key)
            .expect("the key was read from PKCS #8 and the claims are plain JSON")
    }

    /// Returns the public keys as a JWK set.
    pub fn jwks(&self) -> Value {
        serde_json::to_value(&self.published).expect("a JWK set is plain JSON")
    }
}

/// Reads an Ed25519 private key (PKCS #8), and the JWK of its public half, whose id is its RFC 7638
/// thumbprint.
fn read_pair(der: &[u8]) -> Result<(EncodingKey, Jwk), String> {
    let wrong = "the signing key is not an Ed25519 private key";
    // Written anew, as the library reads version 1 alone.
    let pair = Ed25519KeyPair::from_pkcs8(der).and_then(|pair| Ok(pair.to_pkcs8v1()?));
    let key = EncodingKey::from_ed_der(pair.map_err(|_| wrong)?.as_ref());
    let read_public = || {
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA)?;
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256)?);
        Ok::<_, jsonwebtoken::errors::Error>(jwk)
    };
    let jwk = read_public().map_err(|_| wrong)?;
    Ok((key, jwk))
}

/// Public keys, and the issuer whose tokens are believed.
pub struct Verifier {
    keys: Vec<(String, DecodingKey)>,
    validation: Validation,
}

impl Verifier {
    /// Takes the Ed25519 keys of a JWK set.
    ///
    /// # Errors
    /// If it has none.
    pub fn from_jwks(jwks: &Value, issuer: &str) -> Result<Verifier, String> {
        let listed = jwks["keys"].as_array().ok_or("the JWK set has no keys")?;
        let keys: Vec<_> = listed
            .iter()
            .filter(|key| key["kty"] == "OKP" && key["crv"] == "Ed25519")
            .filter_map(|key| {
                let public = DecodingKey::from_ed_components(key["x"].as_str()?).ok()?;
                Some((key["kid"].as_str()?.to_owned(), public))
            })
            .collect();
        if keys.is_empty() {
            return Err("the JWK set has no Ed25519 key".to_owned());
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        // The crate asks the machine's clock; ours is checked below, and the audience with it.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        Ok(Verifier { keys, validation })
    }

    /// Checks everything but whether the token was used before.
    ///
    /// # Errors
    /// The reason for refusing it.
    pub fn verify(&self, token: &str, event: &EventId, now: Time) -> Result<Claims, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::Forged);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Forged)?;
        if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return Err(Refused::Forged);
        }
        let kid = header.kid.ok_or(Refused::Forged)?;
        let (_, key) = self
            .keys
            .iter()
            .find(|(known, _)| *known == kid)
            .ok_or(Refused::UnknownKey)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation)
            .map_err(|_| Refused::Forged)?
            .claims;
        if claims.aud != event.as_str() {
            return Err(Refused::OtherEvent);
        }
        let seconds = now.seconds();
        let starts = claims.nbf.max(claims.iat) - SKEW_SECONDS;
        if seconds < starts || seconds >= claims.exp.saturating_add(SKEW_SECONDS) {
            return Err(Refused::OutOfTime);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::encode;

    const NOW: Time = Time(1_800_000_000_000);

    fn claims() -> Claims {
        Claims {
            iss: "http://fairline.test".into(),
            aud: "arena-night".into(),
            sub: VisitorId(7),
            jti: "adm_1".into(),
            iat: NOW.seconds(),
            nbf: NOW.seconds(),
            exp: NOW.seconds() + 600,
            number: 3,
        }
    }

    fn both() -> (Signer, Verifier) {
        let signer = Signer::from_pem(&Signer::generate_pem().unwrap()).unwrap();
        let verifier = Verifier::from_jwks(&signer.jwks(), "http://fairline.test").unwrap();
        (signer, verifier)
    }

    fn arena() -> EventId {
        EventId::parse("arena-night").unwrap()
    }

    #[test]
    fn a_signed_token_verifies_and_says_what_was_signed() {
        let (signer, verifier) = both();
        let token = signer.sign(&claims());
        assert_eq!(verifier.verify(&token, &arena(), NOW), Ok(claims()));
        assert_eq!(token, signer.sign(&claims()));
    }

    #[test]
    fn tokens_out_of_time_or_for_another_event_or_issuer_are_refused() {
        let (signer, verifier) = both();
        let token = signer.sign(&claims());
        let late = Time(NOW.0 + 606_000);
        assert_eq!(
            verifier.verify(&token, &arena(), late),
            Err(Refused::OutOfTime)
        );
        let early = Time(NOW.0 - 6_000);
        assert_eq!(
            verifier.verify(&token, &arena(), early),
            Err(Refused::OutOfTime)
        );
        let other = EventId::parse("other").unwrap();
        assert_eq!(
            verifier.verify(&token, &other, NOW),
            Err(Refused::OtherEvent)
        );
        let foreign = signer.sign(&Claims {
            iss: "http://evil.test".into(),
            ..claims()
        });
        assert_eq!(
            verifier.verify(&foreign, &arena(), NOW),
            Err(Refused::Forged)
        );
    }

    #[test]
    fn forged_swapped_and_mistyped_tokens_are_refused() {
        let (signer, verifier) = both();
        let (stranger, _) = both();
        let good = signer.sign(&claims());
        let refused = |token: &str| verifier.verify(token, &arena(), NOW).unwrap_err();
        assert_eq!(refused(&stranger.sign(&claims())), Refused::UnknownKey);
        let parts: Vec<&str> = good.split('.').collect();
        let none = encode(br#"{"alg":"none","typ":"admission+jwt"}"#);
        assert_eq!(refused(&format!("{none}.{}.", parts[1])), Refused::Forged);
        let mut raised = claims();
        raised.number = 1;
        let body = encode(serde_json::to_string(&raised).unwrap().as_bytes());
        assert_eq!(
            refused(&format!("{}.{body}.{}", parts[0], parts[2])),
            Refused::Forged
        );
        let kid = signer.header.kid.clone().unwrap();
        for head in [
            format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"HS256","typ":"admission+jwt","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"EdDSA","typ":"admission+jwt","kid":"{kid}","crit":["b64"]}}"#),
        ] {
            let token = format!("{}.{}.{}", encode(head.as_bytes()), parts[1], parts[2]);
            assert_eq!(refused(&token), Refused::Forged, "{head}");
        }
        // Signed with our own key, but as another kind of token, or with something to be understood
        // that is not.
        for change in [
            (Some("JWT"), None),
            (None, None),
            (Some(TYPE), Some(vec!["b64".to_owned()])),
        ] {
            let mut header = signer.header.clone();
            header.typ = change.0.map(str::to_owned);
            header.crit = change.1;
            let token = jsonwebtoken::encode(&header, &claims(), &signer.key).unwrap();
            assert_eq!(refused(&token), Refused::Forged, "{header:?}");
        }
        for junk in ["", ".", "..", "a.b", "a.b.c", &"x".repeat(5000)] {
            assert_eq!(refused(junk), Refused::Forged);
        }
    }

    #[test]
    fn a_token_without_one_of_its_claims_is_refused() {
        let (signer, verifier) = both();
        for missing in ["iss", "aud", "sub", "jti", "iat", "nbf", "exp", "number"] {
            let mut body = serde_json::to_value(claims()).unwrap();
            body.as_object_mut().unwrap().remove(missing);
            let token = jsonwebtoken::encode(&signer.header, &body, &signer.key).unwrap();
            assert_eq!(
                verifier.verify(&token, &arena(), NOW),
                Err(Refused::Forged),
                "{missing}"
            );
        }
    }

    #[test]
    fn all_keys_are_published_and_the_first_signs() {
        let pem = [
            Signer::generate_pem().unwrap(),
            Signer::generate_pem().unwrap(),
        ];
        let old = Signer::from_pem(&pem[0]).unwrap();
        let rotated = Signer::from_pem(&format!("{}{}", pem[1], pem[0])).unwrap();
        let verifier = Verifier::from_jwks(&rotated.jwks(), "http://fairline.test").unwrap();
        assert!(verifier.verify(&old.sign(&claims()), &arena(), NOW).is_ok());
        assert!(
            verifier
                .verify(&rotated.sign(&claims()), &arena(), NOW)
                .is_ok()
        );
        assert!(Signer::from_pem("no key").is_err());
    }
}
