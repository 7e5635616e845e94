//! Faults and warnings found while a plan is read, and readers of JSON values that note them.

use serde_json::{Map, Value};
use shared::http::problem::Problem;
use shared::plain_text::{disturbs_text, has_visible, one_line};
use std::borrow::Cow;

/// Largest number of faults, and of warnings, that are listed; the rest is counted.
const LISTED_MAX: usize = 100;
/// Number of faults that stand in the sentence of a refusal; all others only in its list.
const TOLD_MAX: usize = 5;
/// Longest name of a category, section or area, and longest label of a row or seat.
const NAME_CHARS_MAX: usize = 200;
/// Longest text about the door of a seat, or notes on it.
const NOTES_CHARS_MAX: usize = 500;
/// Up to here every whole number is a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Part of a plan, for a fault in it.
pub(super) struct Spot {
    /// Its path in the file, such as `zones[0].rows[4]`.
    pub(super) path: String,
    /// Its name in words, such as "Stalls, row A"; empty for the plan as a whole.
    pub(super) words: String,
}

/// Returns the part of the plan that is being read. It is called only if there is a fault.
pub(super) type Where<'a> = &'a dyn Fn() -> Spot;

/// An object of a plan.
pub(super) type Object = Map<String, Value>;

/// Faults and warnings of a plan.
#[derive(Default)]
pub(super) struct Findings {
    faults: Vec<(String, String)>,
    faults_count: usize,
    warnings: Vec<String>,
    warnings_count: usize,
    unpriced: Vec<String>,
    is_forgiving: bool,
}

impl Findings {
    /// Notes a fault of a field.
    pub(super) fn fault(&mut self, field: &str, why: impl Into<String>) {
        self.faults_count += 1;
        if self.faults.len() < LISTED_MAX {
            self.faults.push((field.to_owned(), why.into()));
        }
    }

    /// Notes a fault of a part of the plan, in one of its fields.
    pub(super) fn fault_at(&mut self, at: Where<'_>, name: &str, why: &str) {
        self.faults_count += 1;
        if self.faults.len() < LISTED_MAX {
            let Spot { path, words } = at();
            let dot = if path.is_empty() || name.is_empty() {
                ""
            } else {
                "."
            };
            let colon = if words.is_empty() { "" } else { ": " };
            let fault = (format!("{path}{dot}{name}"), format!("{words}{colon}{why}"));
            self.faults.push(fault);
        }
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.warnings_count += 1;
        if self.warnings.len() < LISTED_MAX {
            self.warnings.push(text.into());
        }
    }

    /// Returns the warnings, the last of which counts those that are not listed.
    pub(super) fn into_warnings(self) -> Vec<String> {
        let mut warnings = self.warnings;
        let rest = self.warnings_count - warnings.len();
        if rest > 0 {
            warnings.push(format!("and {rest} more"));
        }
        warnings
    }

    /// Notes a category without a price.
    pub(super) fn unpriced(&mut self, name: &str) {
        self.unpriced.push(name.to_owned());
    }

    /// Lets a plan pass whose categories have no prices yet.
    pub(super) fn forgive_unpriced(&mut self) {
        self.is_forgiving = true;
    }

    /// Returns the names of the categories without a price.
    pub(super) fn take_unpriced(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unpriced)
    }

    /// Returns the refusal of the plan, if it has faults: all of them, up to a limit.
    pub(super) fn refusal(&mut self) -> Option<Problem> {
        if !self.is_forgiving {
            for name in self.take_unpriced() {
                let why = format!(
                    "the category '{name}' has no price: give it beside the plan, as \
                     {{\"plan\": …, \"prices\": {{\"{name}\": 4500}}}}, or null if it is not for sale"
                );
                self.fault("prices", why);
            }
        }
        if self.faults.is_empty() {
            return None;
        }
        let told = self.faults.iter().take(TOLD_MAX);
        let mut detail: Vec<String> = told.map(|(_, why)| why.clone()).collect();
        let rest = self.faults_count - detail.len();
        if rest > 0 {
            detail.push(format!("and {rest} more"));
        }
        let unlisted = self.faults_count - self.faults.len();
        let problem = Problem::invalid_all(self.faults.clone()).detail(detail.join("; "));
        Some(match unlisted {
            0 => problem,
            _ => problem.with("more", unlisted),
        })
    }

    /// Reads a text as it stands, for ids. A number counts as text; nothing as an empty one.
    pub(super) fn id<'v>(&mut self, from: &'v Object, name: &str, at: Where<'_>) -> Cow<'v, str> {
        match from.get(name) {
            None | Some(Value::Null) => Cow::Borrowed(""),
            Some(Value::String(text)) => Cow::Borrowed(text),
            Some(Value::Number(number)) => Cow::Owned(number.to_string()),
            Some(_) => {
                self.fault_at(at, name, &format!("{} is no text", spoken(name)));
                Cow::Borrowed("")
            }
        }
    }

    /// Reads a name or a label: on one line, without blanks around it.
    pub(super) fn name<'v>(&mut self, from: &'v Object, name: &str, at: Where<'_>) -> Cow<'v, str> {
        self.line(from, name, NAME_CHARS_MAX, at)
    }

    /// Reads notes.
    pub(super) fn notes(&mut self, from: &Object, name: &str, at: Where<'_>) -> Option<String> {
        let text = self.line(from, name, NOTES_CHARS_MAX, at);
        (!text.is_empty()).then(|| text.into_owned())
    }

    fn line<'v>(
        &mut self,
        from: &'v Object,
        name: &str,
        chars_max: usize,
        at: Where<'_>,
    ) -> Cow<'v, str> {
        let text = on_one_line(self.id(from, name, at));
        if text.len() > chars_max && text.chars().count() > chars_max {
            let why = format!("{} has more than {chars_max} characters", spoken(name));
            self.fault_at(at, name, &why);
            return Cow::Borrowed("");
        }
        if !text.is_empty() && !has_visible(&text) {
            let why = format!("{} has nothing that can be seen", spoken(name));
            self.fault_at(at, name, &why);
        }
        text
    }

    /// Reads a number, or one that is written as text.
    pub(super) fn number(&mut self, from: &Object, name: &str, at: Where<'_>) -> Option<f64> {
        let number = match from.get(name) {
            None | Some(Value::Null) => return None,
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        let number = number.filter(|number: &f64| number.is_finite());
        if number.is_none() {
            self.fault_at(at, name, &format!("{} is no number", spoken(name)));
        }
        number
    }

    /// Reads a whole number of a range.
    pub(super) fn count(
        &mut self,
        from: &Object,
        name: &str,
        (least, most): (u32, u32),
        at: Where<'_>,
    ) -> Option<u32> {
        let value = from.get(name).filter(|value| !value.is_null())?;
        let count = whole(value).and_then(|count| u32::try_from(count).ok());
        let count = count.filter(|count| (least..=most).contains(count));
        if count.is_none() {
            let why = format!("{} is no whole number from {least} to {most}", spoken(name));
            self.fault_at(at, name, &why);
        }
        count
    }

    /// Reads whether something is so.
    pub(super) fn flag(&mut self, from: &Object, name: &str, at: Where<'_>) -> bool {
        match from.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(is)) => *is,
            Some(_) => {
                let why = format!("{} is neither true nor false", spoken(name));
                self.fault_at(at, name, &why);
                false
            }
        }
    }

    /// Reads a position; the origin if there is none.
    pub(super) fn point(&mut self, from: &Object, name: &str, at: Where<'_>) -> (f64, f64) {
        match from.get(name) {
            None | Some(Value::Null) => (0.0, 0.0),
            Some(Value::Object(point)) => {
                let mut part = |name| self.number(point, name, at).unwrap_or(0.0);
                (part("x"), part("y"))
            }
            Some(_) => {
                let why = format!("{} is no position with x and y", spoken(name));
                self.fault_at(at, name, &why);
                (0.0, 0.0)
            }
        }
    }

    /// Reads a list; an empty one if there is none.
    pub(super) fn list<'v>(&mut self, from: &'v Object, name: &str, at: Where<'_>) -> &'v [Value] {
        match from.get(name) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.fault_at(at, name, &format!("{} is no list", spoken(name)));
                &[]
            }
        }
    }

    /// Reads an element of a list as an object.
    pub(super) fn object<'v>(&mut self, value: &'v Value, at: Where<'_>) -> Option<&'v Object> {
        let object = value.as_object();
        if object.is_none() {
            let why = match value {
                Value::Array(_) => "an object is needed, not a list",
                _ => "this is no object with names and values",
            };
            self.fault_at(at, "", why);
        }
        object
    }

    /// Notes the fields that the format does not have.
    pub(super) fn no_others(&mut self, from: &Object, known: &[&str], at: Where<'_>) {
        for name in from.keys() {
            if !known.contains(&name.as_str()) {
                let short: String = name.chars().take(NAME_CHARS_MAX).collect();
                let why = format!("there is no field '{short}' here, but {}", known.join(", "));
                self.fault_at(at, &short, &why);
            }
        }
    }

    /// Warns of the fields that are not used.
    pub(super) fn warn_of_others(&mut self, from: &Object, known: &[&str], of: &str) {
        for name in from.keys().filter(|name| !known.contains(&name.as_str())) {
            let short: String = name.chars().take(NAME_CHARS_MAX).collect();
            self.warn(format!("the field '{short}' of {of} is not used"));
        }
    }
}

/// Returns a whole number, also of `16.0`: clients write it so that know no other numbers.
pub(super) fn whole(value: &Value) -> Option<i64> {
    let float = || {
        let float = value.as_f64()?;
        (float.fract() == 0.0 && float.abs() <= WHOLE_MAX).then_some(float as i64)
    };
    value.as_i64().or_else(float)
}

/// Returns the name of a field as a person reads it.
fn spoken(name: &str) -> String {
    name.replace('_', " ")
}

/// Returns a text without what ends its line or turns its direction, and without blanks around it.
pub(super) fn on_one_line(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.chars().any(disturbs_text) {
        return Cow::Owned(one_line(&text).trim().to_owned());
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}
