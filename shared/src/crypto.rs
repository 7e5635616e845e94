//! Secrets that cannot be printed, what is signed with them, and random bytes.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use aws_lc_rs::{constant_time, digest, hmac, rand};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use std::fmt;

/// A key for HMAC-SHA256. Ours are bound to one purpose each, so that a signature for one thing is
/// never one for another.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// Derives the key of `purpose` from the bytes that the operator set or the data folder keeps.
    pub fn derive(master: &[u8], purpose: &str) -> Secret {
        let root = hmac::Key::new(hmac::HMAC_SHA256, master);
        let derived = hmac::sign(&root, purpose.as_bytes());
        Secret(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// Takes a key that another system gave us as it is, bound to no purpose.
    pub fn of_another_system(key: &[u8]) -> Secret {
        Secret(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// Returns the signature of `message`: 32 bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&self.0, message).as_ref());
        mac
    }

    /// Returns whether `mac` signs `message`, compared in constant time.
    pub fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.0, message, mac).is_ok()
    }

    /// Returns `message` and its signature as one URL-safe word, `base64.base64`.
    pub fn seal(&self, message: &[u8]) -> String {
        format!("{}.{}", encode(message), encode(&self.sign(message)))
    }

    /// Returns the message inside a sealed word, if this key sealed it.
    pub fn unseal(&self, word: &str) -> Option<Vec<u8>> {
        let (message, mac) = word.split_once('.')?;
        let message = decode(message)?;
        self.verify(&message, &decode(mac)?).then_some(message)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// An Ed25519 key pair. Signatures of one message are the same each time.
pub struct SignatureKey(Ed25519KeyPair);

impl SignatureKey {
    /// Derives the key pair of `purpose` from secret bytes.
    pub fn derive(master: &[u8], purpose: &str) -> SignatureKey {
        let seed = Secret::derive(master, purpose).sign(b"1");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        SignatureKey(pair.expect("any 32 bytes are a seed"))
    }

    /// Returns the signature of `message`: 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }

    /// Returns whether `signature` is of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let public = UnparsedPublicKey::new(&ED25519, self.public_key());
        public.verify(message, signature).is_ok()
    }

    /// Returns the public key: 32 bytes.
    pub fn public_key(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }
}

/// Returns random bytes from the operating system's generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

/// Random bytes that are fetched many at a time: for ids of which many are made, not for keys.
pub struct RandomPool {
    bytes: [u8; 1024],
    used: usize,
}

impl Default for RandomPool {
    fn default() -> Self {
        RandomPool {
            bytes: [0; 1024],
            used: 1024,
        }
    }
}

impl RandomPool {
    /// Takes bytes that were not given out before.
    pub fn take_bytes<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 1024) };
        if self.used + N > self.bytes.len() {
            self.bytes = random();
            self.used = 0;
        }
        let mut given = [0; N];
        given.copy_from_slice(&self.bytes[self.used..self.used + N]);
        self.used += N;
        given
    }
}

/// Returns an id as the server makes them: an unguessable word of 160 bits after a prefix.
pub fn random_id(prefix: &str) -> String {
    format!("{prefix}{}", hex(&random::<20>()))
}

/// Encodes bytes as URL-safe base64 without padding.
pub fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// Reads URL-safe base64 without padding.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

/// Encodes bytes as base64 with padding.
pub fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Reads base64 with padding.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).ok()
}

/// Returns the value of the header `Authorization` with a name and a password (Basic, RFC 7617).
pub fn basic_authorization(name: &str, password: &str) -> String {
    let both = format!("{name}:{password}");
    format!("Basic {}", encode_base64(both.as_bytes()))
}

/// Encodes bytes as lowercase hex.
pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Reads exactly `N` bytes of hex, in small or capital letters.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex_all(text)?.try_into().ok()
}

/// Reads hex, in small or capital letters.
pub fn unhex_all(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

/// Reads hex in small letters alone.
pub fn unhex_lower(text: &str) -> Option<Vec<u8>> {
    HEXLOWER.decode(text.as_bytes()).ok()
}

/// Returns the SHA-256 hash of bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// Returns whether two words are the same, in time that does not depend on where they differ.
pub fn same(a: &str, b: &str) -> bool {
    constant_time::verify_slices_are_equal(&sha256(a.as_bytes()), &sha256(b.as_bytes())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn random_bytes_are_never_given_out_twice() {
        let mut pool = RandomPool::default();
        let given: HashSet<[u8; 18]> = (0..1000).map(|_| pool.take_bytes()).collect();
        assert_eq!(given.len(), 1000);
        assert!(!given.contains(&[0; 18]));
    }
}
