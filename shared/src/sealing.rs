//! Text sealed at rest with AES-256-GCM, by keys that can be changed.

use crate::crypto::{decode, encode, hex, sha256, unhex};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use std::fmt;

/// First character of a sealed text. Texts with control characters are not taken from anyone.
const MARK: char = '\u{1}';
/// Length of a key's id in a sealed text, in characters.
const ID_CHARS: usize = 8;

/// Keys that seal and open texts: the first seals, each opens what it sealed. Without keys texts
/// are stored as they are.
#[derive(Default)]
pub struct SealingKeys {
    keys: Vec<SealingKey>,
}

struct SealingKey {
    id: String,
    key: RandomizedNonceKey,
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKeys({} keys)", self.keys.len())
    }
}

impl SealingKeys {
    /// Parses keys of 64 hex digits, separated by commas or line breaks.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(text: &str) -> Result<SealingKeys, String> {
        let words = text.split([',', '\n']).map(str::trim);
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Err("has no key".to_owned());
        }
        let mut keys: Vec<SealingKey> = Vec::new();
        for word in words {
            let key = SealingKey::parse(word);
            let key =
                key.ok_or("each key is 64 hex digits, as `openssl rand -hex 32` writes them")?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err("names a key twice".to_owned());
            }
            keys.push(key);
        }
        Ok(SealingKeys { keys })
    }

    /// Returns the ids of the keys, that of the sealing one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// Seals a text together with what it is about, so that it opens in no other place.
    pub fn seal(&self, about: &str, text: &str) -> String {
        match self.keys.first() {
            Some(key) if !text.is_empty() => key.seal(about, text),
            _ => text.to_owned(),
        }
    }

    /// Opens a stored text; one that was stored before there were keys is returned as it is. `None`
    /// without its key, or if it was changed or moved.
    pub fn open(&self, about: &str, stored: &str) -> Option<String> {
        let Some(sealed) = stored.strip_prefix(MARK) else {
            return Some(stored.to_owned());
        };
        let (id, sealed) = sealed.split_once('.')?;
        let key = self.keys.iter().find(|key| key.id == id)?;
        key.open(about, sealed)
    }

    /// Returns whether a stored text is as these keys would store it now.
    pub fn is_current(&self, stored: &str) -> bool {
        stored.is_empty() || sealed_by(stored) == self.ids().next()
    }
}

/// Returns the id of the key that sealed a stored text, if one did.
pub fn sealed_by(stored: &str) -> Option<&str> {
    let sealed = stored.strip_prefix(MARK)?;
    sealed.split_once('.').map(|(id, _)| id)
}

/// Returns the beginning of all texts that the key with this id sealed.
pub fn prefix_of(id: &str) -> String {
    format!("{MARK}{id}.")
}

impl SealingKey {
    fn parse(word: &str) -> Option<SealingKey> {
        let bytes: [u8; 32] = unhex(word)?;
        let named = [b"id of a sealing key\n".as_slice(), &bytes].concat();
        let mut id = hex(&sha256(&named));
        id.truncate(ID_CHARS);
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok()?;
        Some(SealingKey { id, key })
    }

    fn seal(&self, about: &str, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(about.as_bytes()), &mut bytes)
            .expect("a text is short enough to be sealed, and there are random bytes");
        let sealed = [nonce.as_ref().as_slice(), &bytes].concat();
        format!("{}{}", prefix_of(&self.id), encode(&sealed))
    }

    fn open(&self, about: &str, sealed: &str) -> Option<String> {
        let mut sealed = decode(sealed)?;
        let (nonce, bytes) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let aad = Aad::from(about.as_bytes());
        let text = self.key.open_in_place(nonce, aad, bytes).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(words: &[&str]) -> SealingKeys {
        let words: Vec<String> = words.iter().map(|word| word.repeat(32)).collect();
        SealingKeys::parse(&words.join(",\n")).unwrap()
    }

    #[test]
    fn a_sealed_text_shows_nothing_and_opens_in_its_place_alone() {
        let keys = keys(&["0a"]);
        let sealed = keys.seal("ord_1 name", "Ada Lovelace");
        assert!(!sealed.contains("Ada") && !sealed.contains(&encode(b"Ada Lovelace")));
        assert_ne!(sealed, keys.seal("ord_1 name", "Ada Lovelace"));
        assert_eq!(keys.open("ord_1 name", &sealed).unwrap(), "Ada Lovelace");
        assert_eq!(keys.open("ord_2 name", &sealed), None);
        let changed = format!("{}A", &sealed[..sealed.len() - 1]);
        assert!(sealed == changed || keys.open("ord_1 name", &changed).is_none());
        assert_eq!(
            keys.open("ord_1 name", &prefix_of(keys.ids().next().unwrap())),
            None
        );
        assert_eq!(keys.seal("ord_1 name", ""), "");
    }

    #[test]
    fn keys_are_changed_by_putting_a_new_one_first() {
        let (old, both, new) = (keys(&["0a"]), keys(&["0b", "0a"]), keys(&["0b"]));
        let sealed = old.seal("x", "text");
        assert_eq!(both.open("x", &sealed).unwrap(), "text");
        assert!(old.is_current(&sealed) && !both.is_current(&sealed));
        assert_eq!(new.open("x", &sealed), None);
        let resealed = both.seal("x", "text");
        assert_eq!(new.open("x", &resealed).unwrap(), "text");
        assert_eq!(sealed_by(&resealed), new.ids().next());
        // A text that was stored before there was a key.
        assert_eq!(new.open("x", "text").unwrap(), "text");
        assert!(!new.is_current("text") && new.is_current(""));
        let none = SealingKeys::default();
        assert_eq!(none.seal("x", "text"), "text");
        assert!(none.is_current("text") && none.open("x", &sealed).is_none());
    }

    #[test]
    fn keys_that_cannot_be_read_are_refused() {
        let good = "0a".repeat(32);
        for text in ["", ",", "0a", &"x".repeat(64), &format!("{good},{good}")] {
            assert!(SealingKeys::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(format!("{:?}", keys(&["0a"])), "SealingKeys(1 keys)");
    }
}
