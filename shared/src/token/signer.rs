//! The waiting room's side of admission tokens: signing them, and publishing the public keys.

use super::keys::{PrivateKey, SigningAlgorithm, read_pem};
use super::{Claims, TYPE};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::Value;

/// Private keys: the first signs, all are published.
pub struct Signer {
    pub(super) key: EncodingKey,
    pub(super) header: Header,
    algorithm: SigningAlgorithm,
    published: JwkSet,
}

impl Signer {
    /// Reads one or more private keys in PEM: Ed25519 keys sign with EdDSA, P-256 keys with ES256.
    ///
    /// # Errors
    /// If there is none, or one is of another kind.
    pub fn from_pem(text: &str) -> Result<Signer, String> {
        let mut keys = read_pem(text)?;
        let published = keys.iter().map(|key| key.public.clone()).collect();
        let PrivateKey {
            algorithm,
            key,
            public,
        } = keys.swap_remove(0);
        let mut header = Header::new(algorithm.jose());
        header.typ = Some(TYPE.to_owned());
        header.kid = public.common.key_id;
        Ok(Signer {
            key,
            header,
            algorithm,
            published: JwkSet { keys: published },
        })
    }

    /// Signs a token. With EdDSA the same claims give the same token, with ES256 another one each
    /// time.
    pub fn sign(&self, claims: &Claims) -> String {
        jsonwebtoken::encode(&self.header, claims, &self.key)
            .expect("the key was read from PKCS #8 and the claims are plain JSON")
    }

    /// Returns the algorithm of the tokens.
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// Returns the public keys as a JWK set.
    pub fn jwks(&self) -> Value {
        serde_json::to_value(&self.published).expect("a JWK set is plain JSON")
    }
}
