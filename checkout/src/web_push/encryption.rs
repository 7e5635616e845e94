//! Encrypts messages for one browser: RFC 8291, with the content coding `aes128gcm` of RFC 8188 in a
//! single record. Crates that do this bring OpenSSL, or a second set of ciphers beside aws-lc-rs.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use shared::crypto::{Secret, decode, random};
use shared::line_push::PushKeys;

/// Bytes of a point on P-256, uncompressed.
pub(super) const POINT_BYTES: usize = 65;
const AUTH_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
/// Size of a record, which every browser takes (RFC 8291, section 4).
const RECORD_BYTES: u32 = 4096;
/// Largest message: with the tag and the delimiter it fills a record.
const MESSAGE_BYTES_MAX: usize = 3_993;
/// End of the last record.
const LAST_RECORD: u8 = 2;

/// The browser of a subscription.
pub(super) struct Recipient {
    public: Vec<u8>,
    auth: Vec<u8>,
}

impl Recipient {
    /// Reads the keys of a subscription.
    ///
    /// # Errors
    /// Name of the field that is wrong, and what it has to be.
    pub(super) fn read(keys: &PushKeys) -> Result<Recipient, (&'static str, &'static str)> {
        // Some browsers pad.
        let read = |text: &str, bytes: usize| {
            let found = decode(text.trim_end_matches('='));
            found.filter(|found| found.len() == bytes)
        };
        let wrong_point = (
            "keys.p256dh",
            "a point on P-256, uncompressed, in URL-safe base64",
        );
        let public = read(&keys.p256dh, POINT_BYTES).ok_or(wrong_point)?;
        let auth = read(&keys.auth, AUTH_BYTES);
        let auth = auth.ok_or(("keys.auth", "16 bytes in URL-safe base64"))?;
        let recipient = Recipient { public, auth };
        // A point that is not on the curve agrees on nothing.
        recipient.encrypt(b"").map_err(|_| wrong_point)?;
        Ok(recipient)
    }

    /// Encrypts a message, with a key pair and a salt of its own.
    ///
    /// # Errors
    /// If the message is too long, or the browser's key is none.
    pub(super) fn encrypt(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let own = PrivateKey::generate(&ECDH_P256)?;
        self.encrypt_with(message, &own, random())
    }

    fn encrypt_with(
        &self,
        message: &[u8],
        own: &PrivateKey,
        salt: [u8; SALT_BYTES],
    ) -> Result<Vec<u8>, Unspecified> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(Unspecified);
        }
        let own_public = own.compute_public_key()?;
        let own_public = own_public.as_ref();
        let peer = UnparsedPublicKey::new(&ECDH_P256, &self.public);
        let key = agree(own, peer, Unspecified, |agreed| {
            // RFC 8291, section 3.3: the secret of the subscription counts as well.
            let info = [b"WebPush: info\0", &self.public[..], own_public].concat();
            Ok(derive(&self.auth, agreed, &info))
        })?;
        let content_key = derive(&salt, &key, b"Content-Encoding: aes128gcm\0");
        let nonce = derive(&salt, &key, b"Content-Encoding: nonce\0");
        let content_key = UnboundKey::new(&AES_128_GCM, &content_key[..KEY_BYTES])?;
        let nonce = Nonce::try_assume_unique_for_key(&nonce[..NONCE_BYTES])?;
        let mut record = [message, &[LAST_RECORD]].concat();
        LessSafeKey::new(content_key).seal_in_place_append_tag(nonce, Aad::empty(), &mut record)?;
        let key_id_bytes = [POINT_BYTES as u8];
        let head = [
            &salt[..],
            &RECORD_BYTES.to_be_bytes(),
            &key_id_bytes,
            own_public,
        ];
        Ok([head.concat(), record].concat())
    }
}

/// Derives 32 bytes (HKDF with SHA-256, RFC 5869), of which the first are those of a shorter key.
fn derive(salt: &[u8], secret: &[u8], info: &[u8]) -> [u8; 32] {
    let extracted = Secret::of_another_system(salt).sign(secret);
    Secret::of_another_system(&extracted).sign(&[info, &[1]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::crypto::encode;

    fn keys(p256dh: &str, auth: &str) -> PushKeys {
        PushKeys {
            p256dh: p256dh.to_owned(),
            auth: auth.to_owned(),
        }
    }

    const PUBLIC: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    #[test]
    fn a_message_is_encrypted_as_in_appendix_a_of_rfc_8291() {
        let recipient = Recipient::read(&keys(PUBLIC, AUTH)).unwrap();
        let own = decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw").unwrap();
        let own = PrivateKey::from_private_key(&ECDH_P256, &own).unwrap();
        let salt = decode("DGv6ra1nlYgDCS1FRnbzlw").unwrap();
        let message = b"When I grow up, I want to be a watermelon";
        let sealed = recipient.encrypt_with(message, &own, salt.try_into().unwrap());
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIg\
            Dll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(encode(&sealed.unwrap()), expected);
    }

    #[test]
    fn keys_that_are_none_are_named_and_a_message_that_fills_no_record_is_refused() {
        let mut off_curve = decode(PUBLIC).unwrap();
        off_curve[64] ^= 1;
        let mut compressed = decode(PUBLIC).unwrap()[..33].to_vec();
        compressed[0] = 2;
        let long = "A".repeat(4096);
        for (p256dh, auth, field) in [
            ("", AUTH, "keys.p256dh"),
            (&*encode(&off_curve), AUTH, "keys.p256dh"),
            (&*encode(&compressed), AUTH, "keys.p256dh"),
            (&*encode(&[0; 65]), AUTH, "keys.p256dh"),
            (&*encode(&[4; 65]), AUTH, "keys.p256dh"),
            (&*long, AUTH, "keys.p256dh"),
            ("not base64!", AUTH, "keys.p256dh"),
            (PUBLIC, "", "keys.auth"),
            (PUBLIC, "AAAA", "keys.auth"),
            (PUBLIC, &*long, "keys.auth"),
        ] {
            let refused = Recipient::read(&keys(p256dh, auth)).err();
            assert_eq!(refused.map(|(name, _)| name), Some(field), "{p256dh}");
        }
        let padded = keys(&format!("{PUBLIC}="), &format!("{AUTH}=="));
        let recipient = Recipient::read(&padded).unwrap();
        let full = recipient.encrypt(&[b' '; MESSAGE_BYTES_MAX]).unwrap();
        assert_eq!(full.len(), 16 + 4 + 1 + 65 + 4096 - 86);
        assert!(recipient.encrypt(&[b' '; MESSAGE_BYTES_MAX + 1]).is_err());
    }
}
