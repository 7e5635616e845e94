//! Private keys of admission tokens: made, derived from a secret, and read from PEM.

use crate::crypto::Secret;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use pem::{EncodeConfig, LineEnding, Pem};

/// PKCS #8.
const PEM_TAG: &str = "PRIVATE KEY";
/// RFC 5915, as `openssl ecparam -genkey` writes it.
const EC_PEM_TAG: &str = "EC PRIVATE KEY";
/// What RFC 5915 puts before the 32 bytes of a P-256 key whose public half is left out.
const EC_KEY_HEAD: [u8; 7] = [0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20];

/// Algorithm of a signing key, and of the tokens that it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// EdDSA with an Ed25519 key.
    EdDsa,
    /// ECDSA with a P-256 key and SHA-256, for verifiers that do not know Ed25519.
    Es256,
}

impl SigningAlgorithm {
    /// All algorithms, the default first.
    pub const ALL: [SigningAlgorithm; 2] = [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256];

    /// Returns the name in a token's `alg`.
    pub fn name(self) -> &'static str {
        match self {
            SigningAlgorithm::EdDsa => "EdDSA",
            SigningAlgorithm::Es256 => "ES256",
        }
    }

    /// Returns the algorithm of this name.
    pub fn named(name: &str) -> Option<SigningAlgorithm> {
        SigningAlgorithm::ALL
            .into_iter()
            .find(|known| known.name() == name)
    }

    /// Returns the algorithm as the JWT library names it.
    pub(super) fn jose(self) -> Algorithm {
        match self {
            SigningAlgorithm::EdDsa => Algorithm::EdDSA,
            SigningAlgorithm::Es256 => Algorithm::ES256,
        }
    }

    /// Generates a private key, as PEM (PKCS #8).
    ///
    /// # Errors
    /// If the machine has no randomness.
    pub fn generate_pem(self) -> Result<String, String> {
        let made = match self {
            SigningAlgorithm::EdDsa => {
                Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1())
            }
            SigningAlgorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1()),
        };
        let der = made.map_err(|_| format!("no {} key could be made", self.name()))?;
        Ok(pem_of(der.as_ref()))
    }

    /// Derives a private key from a secret, as PEM (PKCS #8): nodes that share the secret share the
    /// key.
    ///
    /// # Errors
    /// If the key cannot be written down.
    pub fn derive_pem(self, secret: &[u8]) -> Result<String, String> {
        let derived = match self {
            SigningAlgorithm::EdDsa => {
                let seed = Secret::derive(secret, "signing key").sign(b"1");
                let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok();
                pair.and_then(|pair| pair.to_pkcs8v1().ok())
            }
            SigningAlgorithm::Es256 => {
                let derived = Secret::derive(secret, "signing key ES256");
                // One scalar in 2^32 is not below the order of the curve.
                let pairs =
                    (b'1'..=b'9').filter_map(|attempt| p256_pair(derived.sign(&[attempt])).ok());
                let pair = { pairs }.next();
                pair.and_then(|pair| pair.to_pkcs8v1().ok())
            }
        };
        let der = derived.ok_or_else(|| format!("no {} key could be derived", self.name()))?;
        Ok(pem_of(der.as_ref()))
    }
}

fn p256_pair(scalar: [u8; 32]) -> Result<EcdsaKeyPair, aws_lc_rs::error::KeyRejected> {
    let der = [&EC_KEY_HEAD[..], &scalar].concat();
    EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
}

fn pem_of(der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(PEM_TAG, der), config)
}

/// A private key with its public half.
pub(super) struct PrivateKey {
    pub(super) algorithm: SigningAlgorithm,
    pub(super) key: EncodingKey,
    /// The public half. Its id is its RFC 7638 thumbprint.
    pub(super) public: Jwk,
}

/// Reads all private keys of a PEM text.
///
/// # Errors
/// If there is none, or one of them is neither an Ed25519 nor a P-256 key.
pub(super) fn read_pem(text: &str) -> Result<Vec<PrivateKey>, String> {
    let blocks = pem::parse_many(text).map_err(|_| "the signing key is not PEM".to_owned())?;
    let blocks = blocks
        .iter()
        .filter(|block| [PEM_TAG, EC_PEM_TAG].contains(&block.tag()));
    let keys = blocks
        .map(|block| read_der(block.contents()))
        .collect::<Option<Vec<_>>>()
        .ok_or("the signing key is neither an Ed25519 nor a P-256 private key")?;
    if keys.is_empty() {
        return Err(format!(
            "the signing key has no '-----BEGIN {PEM_TAG}-----'"
        ));
    }
    Ok(keys)
}

fn read_der(der: &[u8]) -> Option<PrivateKey> {
    // Written anew, as the library reads version 1 of PKCS #8 alone.
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
        let key = EncodingKey::from_ed_der(pair.to_pkcs8v1().ok()?.as_ref());
        return with_public(SigningAlgorithm::EdDsa, key);
    }
    let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok()?;
    let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().ok()?.as_ref());
    with_public(SigningAlgorithm::Es256, key)
}

fn with_public(algorithm: SigningAlgorithm, key: EncodingKey) -> Option<PrivateKey> {
    let mut public = Jwk::from_encoding_key(&key, algorithm.jose()).ok()?;
    public.common.public_key_use = Some(PublicKeyUse::Signature);
    public.common.key_id = Some(public.thumbprint(ThumbprintHash::SHA256).ok()?);
    Some(PrivateKey {
        algorithm,
        key,
        public,
    })
}
