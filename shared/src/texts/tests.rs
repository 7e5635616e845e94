use super::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Groups of which Rust has no other words in quotation marks, such as types of events.
const RUST_GROUPS: [&str; 3] = ["page", "calendar", "language"];

fn phrases(code: &str) -> &'static BTreeMap<String, Phrase> {
    &CATALOGUES[code].phrases
}

/// Returns the texts of a key: one, or one for each form.
fn texts(phrase: &Phrase) -> Vec<&str> {
    match phrase {
        Phrase::Plain(text) => vec![text],
        Phrase::Forms(forms) => forms.values().map(String::as_str).collect(),
    }
}

fn placeholders(text: &str) -> BTreeSet<&str> {
    let names = text.split('{').skip(1);
    names.map(|rest| rest.split('}').next().unwrap()).collect()
}

/// Returns the names of the values of all forms. A form for one thing may be without its number.
fn values(phrase: &Phrase) -> BTreeSet<&str> {
    texts(phrase).into_iter().flat_map(placeholders).collect()
}

/// Returns the files with one of the endings under a folder of the repository.
fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders: Vec<PathBuf> = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) && name != "tests.rs" {
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

fn sources() -> Vec<(String, String)> {
    let folders = ["shared/src", "waiting-room/src", "checkout/src"];
    folders
        .into_iter()
        .flat_map(|folder| files(folder, &[".rs"]))
        .collect()
}

/// Returns the keys that a text has between `open` and `close`, with their values still in braces.
fn mentions<'a>(text: &'a str, open: &str, close: &str) -> BTreeSet<&'a str> {
    // Between two quotation marks of one kind there may as well be code: it is no key.
    let words = text.split(open).skip(1);
    let words = words.filter_map(|rest| match open == close {
        true => Some(rest),
        false => Some(rest.split_once(close)?.0),
    });
    let groups: BTreeSet<&str> = phrases("en").keys().map(|key| group_of(key)).collect();
    let is_key = |word: &&str| {
        let is_short = word.len() < 80 && groups.contains(group_of(word)) && word.contains('.');
        let is_file = [".js", ".html", ".json", ".rs"]
            .iter()
            .any(|end| word.ends_with(end));
        let is_word = |c: char| c.is_ascii_lowercase() || "._-".contains(c);
        is_short && !is_file && pieces(word).concat().chars().all(is_word)
    };
    words.filter(is_key).collect()
}

/// Returns the parts of a key around its values.
fn pieces(key: &str) -> Vec<&str> {
    let mut parts = key.split('{');
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.split_once('}').map_or("", |(_, rest)| rest));
    std::iter::once(first)
        .chain(rest)
        .map(|part| part.trim_end_matches('$'))
        .collect()
}

/// Returns whether a key may be one that is mentioned: values are words without a point.
fn is_meant(mention: &str, key: &str) -> bool {
    let parts = pieces(mention);
    let (first, rest) = parts.split_first().unwrap();
    let Some(mut key) = key.strip_prefix(first) else {
        return false;
    };
    for part in rest {
        let value = key.split('.').next().unwrap_or_default();
        let end = match part.is_empty() {
            true => value.len(),
            false => match key.find(part) {
                Some(end) if end <= value.len() => end,
                _ => return false,
            },
        };
        if end == 0 {
            return false;
        }
        key = &key[end + part.len()..];
    }
    key.is_empty()
}

/// Returns all mentions of keys in pages, scripts and Rust, each with the file.
fn all_mentions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |file: &str, found: BTreeSet<&str>| {
        all.extend(
            found
                .into_iter()
                .map(|key| (file.to_owned(), key.to_owned())),
        );
    };
    for (name, text) in files("static", &[".html"]) {
        add(&name, mentions(&text, "{{", "}}"));
    }
    for (name, text) in files("static", &[".js"]) {
        add(&name, mentions(&text, "\"", "\""));
        add(&name, mentions(&text, "`", "`"));
    }
    for (name, text) in sources() {
        let found = mentions(&text, "\"", "\"");
        let is_of_rust = |key: &&str| RUST_GROUPS.contains(&group_of(key));
        let is_asked = |key: &&str| {
            let calls = ["phrase(", "phrase_of(", "say(", "named(", "message("];
            calls
                .iter()
                .any(|call| text.contains(&format!("{call}\"{key}\"")))
        };
        let is_known = |key: &&str| phrases("en").keys().any(|known| is_meant(key, known));
        let found = found.into_iter();
        add(
            &name,
            found
                .filter(|key| is_of_rust(key) || is_asked(key) || is_known(key))
                .collect(),
        );
    }
    all
}

#[test]
fn all_languages_have_the_same_keys_with_the_same_values() {
    let english = phrases("en");
    for language in Language::all() {
        let own = phrases(language.code());
        let keys = |all: &BTreeMap<String, Phrase>| all.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(keys(own), keys(english), "{language:?}");
        for (key, phrase) in own.iter().filter(|(key, _)| *key != "language.money") {
            assert_eq!(values(phrase), values(&english[key]), "{language:?}: {key}");
            let is_written = |text: &&str| !text.trim().is_empty();
            assert!(texts(phrase).iter().all(is_written), "{language:?}: {key}");
            if let Phrase::Forms(forms) = phrase {
                assert!(forms.contains_key("other"), "{language:?}: {key}");
            }
        }
        assert_eq!(own["language.weekdays"].words(), 7, "{language:?}");
        assert_eq!(own["language.months"].words(), 12, "{language:?}");
    }
}

impl Phrase {
    fn words(&self) -> usize {
        texts(self).iter().map(|text| text.split(' ').count()).sum()
    }
}

#[test]
fn each_text_is_used_and_each_that_is_used_is_there() {
    let mentioned = all_mentions();
    for key in phrases("en").keys() {
        let is_used = mentioned.iter().any(|(_, mention)| is_meant(mention, key));
        assert!(is_used, "{key} is used nowhere");
    }
    for (file, mention) in &mentioned {
        let is_there = phrases("en").keys().any(|key| is_meant(mention, key));
        assert!(is_there, "{mention} in {file} is in no catalogue");
    }
}

/// Returns the scripts that a script imports, at once or later, and itself.
fn with_imports(name: &str, scripts: &BTreeMap<String, String>, found: &mut BTreeSet<String>) {
    if !found.insert(name.to_owned()) {
        return;
    }
    for start in ["from \"./", "import(\"./"] {
        for rest in scripts[name].split(start).skip(1) {
            with_imports(rest.split('"').next().unwrap(), scripts, found);
        }
    }
}

#[test]
fn each_page_brings_the_texts_that_its_scripts_use() {
    let scripts: BTreeMap<String, String> = files("static", &[".js"]).into_iter().collect();
    let mentioned = all_mentions();
    for (page, html) in files("static", &[".html"]) {
        let mut used = BTreeSet::new();
        for rest in html.split("<script type=\"module\" src=\"/static/").skip(1) {
            with_imports(rest.split('"').next().unwrap(), &scripts, &mut used);
        }
        let of_page = mentioned.iter().filter(|(file, _)| used.contains(file));
        let asked: BTreeSet<&str> = of_page.map(|(_, key)| group_of(key)).collect();
        let brought = html
            .split_once("<!--texts ")
            .map_or("", |(_, rest)| rest.split_once("-->").unwrap().0);
        let brought: BTreeSet<&str> = brought.split_whitespace().collect();
        let elsewhere: &[&str] = match page.ends_with("queue.html") {
            true => &[LATER, UNDRAWN, DATE],
            false => &[LATER],
        };
        let asked = asked.into_iter().filter(|group| !elsewhere.contains(group));
        let asked: BTreeSet<&str> = asked.collect();
        assert_eq!(asked, brought, "{page}");
    }
}

#[test]
fn a_text_has_the_form_of_its_number_with_groups() {
    let [english, german] = ["en", "de"].map(|code| Language::parse(code).unwrap());
    assert_eq!(
        english.phrase_of("queue.ahead", 12_345),
        "12,345 ahead of you"
    );
    assert_eq!(german.phrase_of("queue.ahead", 1), "1 Person vor Ihnen");
    assert_eq!(
        german.phrase_of("queue.ahead", 1_234_567),
        "1.234.567 Personen vor Ihnen"
    );
    assert_eq!(
        german.phrase("queue.on", &[("time", "{time}")]),
        "am {time}"
    );
    for (code, count, form) in [
        ("fr", 0, "one"),
        ("pl", 22, "few"),
        ("pl", 12, "many"),
        ("pl", 1, "one"),
        ("ru", 21, "one"),
        ("ru", 11, "many"),
        ("cs", 5, "other"),
        ("ja", 1, "other"),
    ] {
        assert_eq!(plural(code, count), form, "{code} {count}");
    }
}

#[test]
fn the_accepted_language_is_the_first_that_there_is() {
    let accepted = |header| Language::accepted(header).map(Language::code);
    assert_eq!(accepted("de-DE,de;q=0.9,en;q=0.8"), Some("de"));
    assert_eq!(accepted("tlh, en-GB;q=0.5, de ; q=0.7"), Some("de"));
    assert_eq!(accepted("de;q=0, en"), Some("en"));
    assert_eq!(accepted("tlh, *"), None);
    assert_eq!(accepted(";q=,,"), None);
}

#[test]
fn texts_for_scripts_cannot_end_their_element() {
    for language in Language::all() {
        let json = language.json_of(&["queue", "seats"]);
        assert!(!json.contains('<') && json.contains("queue.ahead"));
        assert!(!json.contains("\"mail."));
    }
}

/// Kinds of refusals that no script shows to a fan.
const SHOWN_TO_NO_FAN: [&str; 54] = [
    // The queue page and the pages without scripts have words of their own for them.
    "line-closed",
    "line-not-open",
    "no-draw",
    "no-mail",
    "no-pass",
    "no-push",
    "no-sms",
    "not-waiting",
    "other-place",
    "too-many-places",
    // The checkout acts on them: it goes back to the line, or looks at the session.
    "admission-already-used",
    "bad-admission",
    "not-extendable",
    "slot-lapsed",
    // No page of ours sends such requests.
    "foreign-origin",
    "idempotency-mismatch",
    "malformed",
    "not-drawn",
    "not-in-draw",
    "not-json",
    "too-large",
    // Answers to organisers, doors, payment providers, gates and other services.
    "admission-shared",
    "bad-signature",
    "buyer-erased",
    "cannot-settle",
    "checkout-unknown",
    "checkout-unreachable",
    "event-exists",
    "event-has-orders",
    "event-in-use",
    "event-not-changed",
    "event-on-sale",
    "no-beacon",
    "no-buyer",
    "no-organiser",
    "no-service-key",
    "no-such-delivery",
    "no-such-mail",
    "no-such-shard",
    "no-such-visitor",
    "no-such-webhook",
    "not-confirmed",
    "plan-differs",
    "reseat-differs",
    "role-too-low",
    "seating-in-use",
    "ticket-of-another-event",
    "ticket-used",
    "ticket-void",
    "too-many-webhooks",
    "unknown-cursor",
    "webhook-changed",
    "webhook-disabled",
    "webhook-sealed",
];

/// Returns the kinds of refusals that a source names, where it makes a problem or in a table of them.
fn refusal_kinds(source: &str) -> BTreeSet<&str> {
    let tested = source.find("#[cfg(test)]").unwrap_or(source.len());
    let named = ["Problem::new(", "=> (S::", "(status, "].into_iter();
    let rest = named.flat_map(|start| source[..tested].split(start).skip(1));
    let kinds = rest.filter_map(|rest| {
        let (before, rest) = rest.split_once('"')?;
        let (kind, _) = rest.split_once('"')?;
        let is_path = |c: char| c.is_ascii_alphanumeric() || "_:, \n".contains(c);
        let is_word = |c: char| c.is_ascii_lowercase() || c == '-';
        let is_kind = before.matches(',').count() < 2 && before.chars().all(is_path);
        (is_kind && !kind.is_empty() && kind.chars().all(is_word)).then_some(kind)
    });
    kinds.collect()
}

#[test]
fn each_refusal_that_a_fan_may_read_has_a_text() {
    let sources = sources();
    let kinds: BTreeSet<&str> = sources
        .iter()
        .flat_map(|(_, source)| refusal_kinds(source))
        .collect();
    for kind in &kinds {
        let has_text = phrases("en").contains_key(&format!("refusal.{kind}"));
        let is_left_out = SHOWN_TO_NO_FAN.contains(kind);
        assert!(
            has_text != is_left_out,
            "{kind}: a text {has_text}, left out {is_left_out}"
        );
    }
    for kind in SHOWN_TO_NO_FAN {
        assert!(kinds.contains(kind), "no refusal is '{kind}'");
    }
    let texts = phrases("en")
        .keys()
        .filter_map(|key| key.strip_prefix("refusal."));
    for text in texts {
        let kind = text.trim_end_matches("-to").trim_end_matches("-here");
        assert!(kinds.contains(kind), "no refusal is '{kind}'");
    }
}

#[test]
fn a_text_with_a_limit_has_a_form_for_each_plural() {
    for language in Language::all() {
        for (key, phrase) in phrases(language.code()) {
            if values(phrase).contains("limit") {
                let has_forms = matches!(phrase, Phrase::Forms(forms) if forms.contains_key("one"));
                assert!(has_forms, "{language:?}: {key}");
            }
        }
    }
}
