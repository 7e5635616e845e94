//! Texts of all pages, mails and documents: the catalogue of each language under `shared/texts/`,
//! compiled in. A further language is a further file.

use rust_embed::RustEmbed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;

#[derive(RustEmbed)]
#[folder = "texts"]
struct CatalogueFiles;

static CATALOGUES: LazyLock<BTreeMap<String, Catalogue>> = LazyLock::new(|| {
    let files = CatalogueFiles::iter().filter_map(|path| {
        let code = path.strip_suffix(".json")?.to_owned();
        let phrases = serde_json::from_slice(&CatalogueFiles::get(&path)?.data);
        let phrases = phrases.expect("a test reads all catalogues");
        Some((code.clone(), Catalogue { code, phrases }))
    });
    files.collect()
});

struct Catalogue {
    code: String,
    phrases: BTreeMap<String, Phrase>,
}

/// Group of the texts for dates, which the queue page brings before the sale only.
pub const DATE: &str = "date";
/// Group of the texts that the queue page brings where the order is drawn.
pub const UNDRAWN: &str = "undrawn";
/// Group of the texts that pages do not bring: scripts fetch them where they are needed.
pub const LATER: &str = "later";

/// A text with its values in braces, or its forms by the number that it speaks of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Phrase {
    Plain(String),
    Forms(BTreeMap<String, String>),
}

/// A language with a catalogue.
#[derive(Clone, Copy)]
pub struct Language(&'static Catalogue);

impl PartialEq for Language {
    fn eq(&self, other: &Language) -> bool {
        self.0.code == other.0.code
    }
}

impl Eq for Language {}

impl std::fmt::Debug for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.code)
    }
}

impl Default for Language {
    fn default() -> Language {
        Language::english()
    }
}

impl Language {
    /// Returns English, the language of the API.
    pub fn english() -> Language {
        Language::parse("en").expect("English has a catalogue")
    }

    /// Returns the language with this code, such as `de`; none if it has no catalogue.
    pub fn parse(code: &str) -> Option<Language> {
        CATALOGUES.get(code).map(Language)
    }

    /// Returns all languages by their codes.
    pub fn all() -> impl Iterator<Item = Language> {
        CATALOGUES.values().map(Language)
    }

    /// Returns the codes of all languages, in words for a refusal.
    pub fn choice() -> String {
        let codes: Vec<&str> = Language::all().map(Language::code).collect();
        format!("one of {}", codes.join(", "))
    }

    /// Returns the first language of an `Accept-Language` header that has a catalogue.
    pub fn accepted(header: &str) -> Option<Language> {
        let mut ranges: Vec<(f32, &str)> = header
            .split(',')
            .filter_map(|range| {
                let (tag, quality) = range.split_once(';').unwrap_or((range, "q=1"));
                let quality = quality.trim().strip_prefix("q=")?.parse().ok()?;
                (quality > 0.0).then_some((quality, tag.trim()))
            })
            .collect();
        ranges.sort_by(|one, other| other.0.total_cmp(&one.0));
        let codes = ranges.into_iter().filter_map(|(_, tag)| {
            let code = tag.split('-').next()?.to_ascii_lowercase();
            Language::parse(&code)
        });
        codes.into_iter().next()
    }

    /// Returns the code, as `<html lang>` has it.
    pub fn code(self) -> &'static str {
        &self.0.code
    }

    /// Returns a text with its values. The key itself is the text of a key that there is not.
    pub fn phrase(self, key: &str, values: &[(&str, &str)]) -> String {
        filled(self.form(key, None), values)
    }

    /// Returns a text that speaks of a number of things, with that number as `{count}`.
    pub fn phrase_of(self, key: &str, count: u64) -> String {
        let number = self.number(count);
        filled(self.form(key, Some(count)), &[("count", &number)])
    }

    fn form<'a>(self, key: &'a str, count: Option<u64>) -> &'a str
    where
        'static: 'a,
    {
        match self.0.phrases.get(key) {
            Some(Phrase::Plain(text)) => text,
            Some(Phrase::Forms(forms)) => {
                let form = count.map_or("other", |count| plural(self.code(), count));
                let form = forms.get(form).or_else(|| forms.get("other"));
                form.map_or(key, String::as_str)
            }
            None => key,
        }
    }

    /// Returns the text of a key without values; none if there is none.
    pub fn find(self, key: &str) -> Option<&'static str> {
        match self.0.phrases.get(key)? {
            Phrase::Plain(text) => Some(text),
            Phrase::Forms(_) => None,
        }
    }

    /// Returns a whole number with its digits in groups.
    pub fn number(self, number: u64) -> String {
        self.grouped(&number.to_string())
    }

    fn grouped(self, digits: &str) -> String {
        let group = self.form("language.group", None);
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push_str(group);
            }
            text.push(digit);
        }
        text
    }

    /// Returns an amount of money, given with a decimal point and without groups.
    pub fn money(self, decimal: &str, code: &str, symbol: &str) -> String {
        let pattern = self.form("language.money", None);
        if !pattern.contains("{symbol}") {
            return filled(pattern, &[("amount", decimal), ("code", code)]);
        }
        let (sign, digits) = match decimal.strip_prefix('-') {
            Some(digits) => ("−", digits),
            None => ("", decimal),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let mut amount = format!("{sign}{}", self.grouped(whole));
        if !part.is_empty() {
            amount.push_str(self.form("language.decimal", None));
            amount.push_str(part);
        }
        filled(pattern, &[("amount", &amount), ("symbol", symbol)])
    }

    /// Returns the texts of some groups as JSON for a page's scripts. The group of a key is its first
    /// word.
    pub fn json_of(self, groups: &[&str]) -> String {
        let is_asked = |key: &str| groups.iter().any(|group| group_of(key) == *group);
        let texts: BTreeMap<&String, &Phrase> = (self.0.phrases.iter())
            .filter(|(key, _)| is_asked(key))
            .collect();
        let json = serde_json::to_string(&texts).expect("texts are strings");
        json.replace('<', "\\u003c")
    }
}

fn group_of(key: &str) -> &str {
    key.split_once('.').map_or(key, |(group, _)| group)
}

/// Puts values into the braces of a text.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        filled.push_str(before);
        let value = values.iter().find(|(known, _)| *known == name);
        filled.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    filled + rest
}

/// Returns the form that a language has for a whole number, as CLDR names it and `Intl.PluralRules`
/// answers it.
fn plural(code: &str, count: u64) -> &'static str {
    let (ones, tens) = (count % 10, count % 100);
    let is_teen = (11..=14).contains(&tens);
    match code {
        "id" | "ja" | "ko" | "th" | "vi" | "zh" => "other",
        "fr" | "pt" if count < 2 => "one",
        "cs" | "sk" if (2..=4).contains(&count) => "few",
        "ru" | "uk" if ones == 1 && !is_teen => "one",
        "pl" | "ru" | "uk" if (2..=4).contains(&ones) && !is_teen => "few",
        "pl" if count != 1 => "many",
        "ru" | "uk" => "many",
        _ if count == 1 => "one",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
