//! Keys and secrets that an operator sets: how they are read, and which are refused because they
//! can be guessed.

use crate::crypto::same;
use crate::mistakes::Mistakes;
use crate::organiser::{Key, Role};
use std::collections::HashSet;

/// Smallest length of an organiser key.
const ORGANISER_KEY_LENGTH_MIN: usize = 16;
/// Smallest length of a secret between processes.
const SECRET_LENGTH_MIN: usize = 32;
/// Smallest number of characters that do not follow from those before them.
const FRESH_CHARACTERS_MIN: usize = 12;
/// Smallest number of different characters.
const DIFFERENT_CHARACTERS_MIN: usize = 5;
/// Smallest number of characters that count as a repetition of earlier ones.
const REPETITION_LENGTH_MIN: usize = 3;

/// A key or secret, and the setting it came from.
#[derive(Clone, Copy)]
pub struct NamedSecret<'a> {
    /// Name of the setting.
    pub setting: &'a str,
    /// Its value, if it is set.
    pub value: Option<&'a str>,
}

/// Returns the two secrets that processes share, with their settings.
pub fn shared_secrets<'a>(
    pass_secret: Option<&'a str>,
    service_key: Option<&'a str>,
) -> [NamedSecret<'a>; 2] {
    let named = |setting, value| NamedSecret { setting, value };
    [
        named("FAIRLINE_PASS_SECRET", pass_secret),
        named("FAIRLINE_SERVICE_KEY", service_key),
    ]
}

/// Records what is wrong with a secret between processes, if it is set.
pub fn check_secret(secret: NamedSecret, mistakes: &mut Mistakes) {
    let weakness = |value| weakness(value, SECRET_LENGTH_MIN);
    if let Some(why) = secret.value.and_then(weakness) {
        mistakes.add(format!("{}: {why}", secret.setting));
    }
}

/// Records which of these secrets are equal: the bearer of one must not hold another.
pub fn check_distinct(secrets: &[NamedSecret], mistakes: &mut Mistakes) {
    for (at, secret) in secrets.iter().enumerate() {
        let is_same = |other: &&NamedSecret| {
            let both = secret.value.zip(other.value);
            both.is_some_and(|(a, b)| same(a, b))
        };
        if let Some(earlier) = secrets[..at].iter().find(is_same) {
            mistakes.add(format!(
                "{}: the same as {}: each needs a word of its own",
                secret.setting, earlier.setting
            ));
        }
    }
}

/// Reads FAIRLINE_ORGANISER_KEY.
pub fn read_admin_key(text: Option<&str>, mistakes: &mut Mistakes) -> Option<String> {
    let key = text?;
    if let Some(why) = weakness(key, ORGANISER_KEY_LENGTH_MIN) {
        mistakes.add(format!("FAIRLINE_ORGANISER_KEY: {why}"));
    }
    Some(key.to_owned())
}

/// Reads FAIRLINE_ORGANISER_KEYS: name:role:key, separated by commas or line breaks.
pub fn read_more_keys(text: Option<&str>, mistakes: &mut Mistakes) -> Vec<Key> {
    let mut keys = Vec::new();
    // Files have an entry a line.
    let entries = text.unwrap_or("").split([',', '\n']).map(str::trim);
    let entries = entries.filter(|entry| !entry.is_empty());
    for (at, entry) in entries.enumerate() {
        match read_key(entry) {
            Ok(key) => keys.push(key),
            Err(why) => {
                mistakes.add(format!("FAIRLINE_ORGANISER_KEYS: entry {} {why}", at + 1));
            }
        }
    }
    keys
}

fn read_key(entry: &str) -> Result<Key, String> {
    let mut parts = entry.splitn(3, ':');
    let (name, role, key) = (parts.next(), parts.next(), parts.next());
    let role = match role {
        Some("door") => Role::Door,
        Some("viewer") => Role::Viewer,
        Some("operator") => Role::Operator,
        Some("admin") => Role::Admin,
        _ => return Err("is not name:door|viewer|operator|admin:key".to_owned()),
    };
    let name = name.filter(|name| !name.is_empty());
    let (Some(name), Some(key)) = (name, key) else {
        return Err("needs a name and a key".to_owned());
    };
    if let Some(why) = weakness(key, ORGANISER_KEY_LENGTH_MIN) {
        return Err(format!("has a weak key: {why}"));
    }
    Ok(Key {
        name: name.to_owned(),
        role,
        key: key.to_owned(),
    })
}

/// Returns the parts of a list separated by commas.
pub(crate) fn split(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or("")
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Returns why a word can be guessed or not be sent, in a sentence that does not repeat it.
fn weakness(word: &str, length_min: usize) -> Option<String> {
    let is_fit = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if word.trim() != word || !word.bytes().all(is_fit) {
        return Some(
            "only visible ASCII characters, no blanks at its ends and no line breaks, as it must fit into a header"
                .to_owned(),
        );
    }
    let characters: Vec<char> = word.chars().collect();
    if characters.len() < length_min {
        return Some(format!(
            "at least {length_min} characters, so that it cannot be guessed"
        ));
    }
    let different = characters.iter().collect::<HashSet<_>>().len();
    let is_weak = different < DIFFERENT_CHARACTERS_MIN || fresh(&characters) < FRESH_CHARACTERS_MIN;
    is_weak.then(|| {
        "too easy to guess: it repeats itself, or has few different characters; make one with: openssl rand -hex 32"
            .to_owned()
    })
}

/// Counts the characters of a word, a repetition of what was there before as one. Such words are
/// short: at most a few hundred characters, so that looking everywhere is cheap.
fn fresh(characters: &[char]) -> usize {
    let mut count = 0;
    let mut at = 0;
    while at < characters.len() {
        let repeated = (0..at)
            .map(|from| {
                let pairs = characters[from..].iter().zip(&characters[at..]);
                pairs.take_while(|(before, now)| before == now).count()
            })
            .max()
            .unwrap_or(0);
        at += if repeated >= REPETITION_LENGTH_MIN {
            repeated
        } else {
            1
        };
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{encode, hex, random, random_id};

    fn is_weak(word: &str) -> bool {
        weakness(word, ORGANISER_KEY_LENGTH_MIN).is_some()
    }

    #[test]
    fn keys_that_repeat_themselves_are_refused_without_being_repeated() {
        for word in [
            "short",
            "aaaaaaaaaaaaaaaa",
            "abababababababab",
            "1234123412341234",
            "1234567890123456",
            "0000000000000001",
            "passwordpassword",
            "changemechangeme",
            "aaaaaaaabbbbbbbbccccccccdddddddd",
            "adminadminadmin1",
            "0110100110010110",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabcdefgh",
        ] {
            let mut mistakes = Mistakes::default();
            read_admin_key(Some(word), &mut mistakes);
            read_more_keys(Some(&format!("a:viewer:{word}")), &mut mistakes);
            assert_eq!(mistakes.0.len(), 2, "{word}");
            assert!(mistakes.0.iter().all(|text| !text.contains(word)));
        }
    }

    #[test]
    fn keys_that_no_header_can_carry_are_refused() {
        let good = "f3a1c09d7e52b8460f3a";
        assert!(!is_weak(good) && !is_weak("correct horse battery staple"));
        for word in [
            format!("{good}\n"),
            format!("{good}\r"),
            format!(" {good}"),
            format!("{good}\t"),
            format!("{good}\nsecond line"),
            format!("\u{feff}{good}"),
            format!("{good}\u{e9}"),
            format!("{good}\0"),
        ] {
            let mut mistakes = Mistakes::default();
            read_admin_key(Some(&word), &mut mistakes);
            let secret = NamedSecret {
                setting: "FAIRLINE_SERVICE_KEY",
                value: Some(&word),
            };
            check_secret(secret, &mut mistakes);
            assert_eq!(mistakes.0.len(), 2, "{word:?}");
            let says_why = |text: &String| text.contains("header") && !text.contains(good);
            assert!(mistakes.0.iter().all(says_why), "{mistakes:?}");
        }
    }

    #[test]
    fn a_file_of_keys_may_have_one_a_line() {
        let text = "desk:operator:f3a1c09d7e52b8460f3a\r\n\n  press:viewer:0b7d52e8c1946a3f20d8,\n";
        let mut mistakes = Mistakes::default();
        let keys = read_more_keys(Some(text), &mut mistakes);
        let read: Vec<_> = keys.iter().map(|it| [&*it.name, &*it.key]).collect();
        let desk = ["desk", "f3a1c09d7e52b8460f3a"];
        assert_eq!(read, [desk, ["press", "0b7d52e8c1946a3f20d8"]]);
        assert!(mistakes.0.is_empty());
    }

    #[test]
    fn keys_that_generators_make_are_taken() {
        for _ in 0..2000 {
            let bytes = random::<16>();
            let digits: String = bytes
                .iter()
                .map(|byte| char::from(b'0' + byte % 10))
                .collect();
            let uuid = uuid_of(&bytes);
            for word in [
                hex(&bytes),
                encode(&random::<12>()),
                encode(&random::<32>()),
                random_id("org_"),
                digits + &hex(&random::<4>()),
                uuid,
            ] {
                assert!(!is_weak(&word), "{word}");
            }
        }
    }

    fn uuid_of(bytes: &[u8; 16]) -> String {
        let text = hex(bytes);
        let parts = [
            &text[..8],
            &text[8..12],
            &text[12..16],
            &text[16..20],
            &text[20..],
        ];
        parts.join("-")
    }

    #[test]
    fn a_word_that_serves_twice_is_refused_by_the_names_of_both() {
        let mut mistakes = Mistakes::default();
        let words = [
            ("A", Some("one")),
            ("B", None),
            ("C", Some("two")),
            ("D", Some("one")),
        ]
        .map(|(setting, value)| NamedSecret { setting, value });
        check_distinct(&words, &mut mistakes);
        assert_eq!(
            mistakes.0,
            ["D: the same as A: each needs a word of its own"]
        );
    }
}
