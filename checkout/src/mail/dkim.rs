//! Signs mails for the domain of their sender (DKIM, RFC 6376), with RSA or Ed25519 (RFC 8463). Spaces
//! and folds may change on the way, of the header and of the body: both are signed as `relaxed`.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use shared::crypto::{encode_base64, sha256};
use shared::time::Time;

/// Smallest RSA key, in bits.
const RSA_BITS_MIN: usize = 2048;
/// Fields of the header that are signed, where they are there.
const SIGNED: [&str; 11] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
    "Auto-Submitted",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];
/// Field that no one may add another of: it is signed once more than it is there.
const ONLY_ONCE: &str = "From";
/// Characters of the signature in one line.
const LINE_CHARS: usize = 72;
/// Largest length of the selector.
const SELECTOR_CHARS_MAX: usize = 63;

enum SigningKey {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// The key with which mails are signed, and the selector under which its public half is found.
pub(crate) struct DkimKey {
    selector: String,
    domain: String,
    key: SigningKey,
}

impl DkimKey {
    /// Reads the key of a domain.
    ///
    /// # Errors
    /// The wrong setting's name without its prefix, and why.
    pub(super) fn read(
        selector: &str,
        pem: &str,
        domain: &str,
    ) -> Result<DkimKey, (&'static str, String)> {
        let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'.';
        if selector.len() > SELECTOR_CHARS_MAX || !selector.bytes().all(is_word) {
            let why = format!("up to {SELECTOR_CHARS_MAX} letters, digits, '-' and '.'");
            return Err(("DKIM_SELECTOR", why));
        }
        let key = SigningKey::read(pem).map_err(|why| ("DKIM_KEY", why))?;
        Ok(DkimKey {
            selector: selector.to_owned(),
            domain: domain.to_owned(),
            key,
        })
    }

    /// Returns a mail with its signature in front.
    ///
    /// # Errors
    /// Why it cannot be signed.
    pub(super) fn sign(&self, mail: &[u8], now: Time) -> Result<Vec<u8>, String> {
        let end = mail.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.ok_or("the mail has no body")?;
        let (head, body) = (&mail[..end + 2], &mail[end + 4..]);
        let fields = fields_of(head);
        let find = |name: &str| {
            let is_it = |field: &&(String, Vec<u8>)| field.0 == name.to_ascii_lowercase();
            fields.iter().find(is_it)
        };
        let present: Vec<&str> = { SIGNED }
            .into_iter()
            .filter(|name| find(name).is_some())
            .collect();
        let mut signed: Vec<u8> = Vec::new();
        for (_, line) in present.iter().filter_map(|name| find(name)) {
            signed.extend_from_slice(line);
            signed.extend_from_slice(b"\r\n");
        }
        let names = present.join(":");
        let hash = encode_base64(&sha256(&relaxed_body(body)));
        let (domain, selector) = (&self.domain, &self.selector);
        let (algorithm, at) = (self.key.algorithm(), now.seconds());
        let field = format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed; d={domain}; s={selector};\r\n \
             t={at}; h={names}:{ONLY_ONCE};\r\n bh={hash};\r\n b="
        );
        for (_, line) in fields_of(field.as_bytes()) {
            signed.extend_from_slice(&line);
        }
        let signature = encode_base64(&self.key.sign(&signed)?);
        let lines: Vec<&str> = (0..signature.len())
            .step_by(LINE_CHARS)
            .map(|at| &signature[at..signature.len().min(at + LINE_CHARS)])
            .collect();
        let field = format!("{field}{}\r\n", lines.join("\r\n "));
        Ok([field.as_bytes(), mail].concat())
    }
}

impl SigningKey {
    fn read(text: &str) -> Result<SigningKey, String> {
        let read = pem::parse(text).map_err(|_| "not a private key in PEM")?;
        if read.tag() == "PRIVATE KEY"
            && let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(read.contents())
        {
            return Ok(SigningKey::Ed25519(key));
        }
        let key = match read.tag() {
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(read.contents()),
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(read.contents()),
            _ => return Err("not a private key in PEM".to_owned()),
        };
        let is_large = |key: &RsaKeyPair| key.public_modulus_len() * 8 >= RSA_BITS_MIN;
        match key.ok().filter(is_large) {
            Some(key) => Ok(SigningKey::Rsa(key)),
            None => Err(format!(
                "neither an RSA key of {RSA_BITS_MIN} bits or more nor an Ed25519 key"
            )),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            SigningKey::Rsa(_) => "rsa-sha256",
            SigningKey::Ed25519(_) => "ed25519-sha256",
        }
    }

    fn sign(&self, signed: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            SigningKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    signed,
                    &mut signature,
                )
                .map_err(|_| "the mail cannot be signed")?;
                Ok(signature)
            }
            SigningKey::Ed25519(key) => Ok(key.sign(&sha256(signed)).as_ref().to_vec()),
        }
    }
}

/// Returns the fields of a header as they are signed, each with its name in small letters.
fn fields_of(head: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in lines_of(head) {
        match (line.first(), fields.last_mut()) {
            (Some(b' ' | b'\t'), Some(field)) => field.extend_from_slice(line),
            _ => fields.push(line.to_vec()),
        }
    }
    let split = |field: Vec<u8>| {
        let colon = field.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&field[..colon]);
        let name = name.trim_end().to_ascii_lowercase();
        let mut line = name.clone().into_bytes();
        line.push(b':');
        let value = single_spaced(&field[colon + 1..]);
        line.extend_from_slice(value.strip_prefix(b" ").unwrap_or(&value));
        Some((name, line))
    };
    fields.into_iter().filter_map(split).collect()
}

/// Returns a body as it is signed.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut relaxed = Vec::with_capacity(body.len());
    let mut empty = 0;
    for line in lines_of(body) {
        let line = single_spaced(line);
        if line.is_empty() {
            empty += 1;
            continue;
        }
        // Empty lines at the end do not count.
        relaxed.extend(b"\r\n".repeat(empty));
        empty = 0;
        relaxed.extend_from_slice(&line);
        relaxed.extend_from_slice(b"\r\n");
    }
    relaxed
}

/// Returns lines without their ends.
fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Returns a line with one space where it has several or tabs, and none at its end.
fn single_spaced(line: &[u8]) -> Vec<u8> {
    let mut single: Vec<u8> = Vec::with_capacity(line.len());
    for byte in line {
        match byte {
            b' ' | b'\t' if single.last() == Some(&b' ') => {}
            b' ' | b'\t' => single.push(b' '),
            byte => single.push(*byte),
        }
    }
    if single.last() == Some(&b' ') {
        single.pop();
    }
    single
}
