//! Percentages, without rounding.

use serde::{Deserialize, Serialize};

/// Thousandths of a percent in one percent, and in the whole.
const PERCENT: u32 = 1000;
pub(super) const WHOLE: u32 = 100 * PERCENT;

/// A share from 0 to 100 percent, with up to three decimals. It is written as a decimal number in a
/// string, such as `"19"` or `"8.875"`, so that no reader rounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Percent(pub(super) u32);

impl Percent {
    /// Parses a decimal number from 0 to 100 with up to three decimals.
    pub fn parse(text: &str) -> Option<Percent> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| {
            (1..=3).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_digit())
        };
        if !is_number(whole) || !is_number(decimals) {
            return None;
        }
        let decimals: u32 = format!("{decimals:0<3}").parse().ok()?;
        let share = whole.parse::<u32>().ok()? * PERCENT + decimals;
        (share <= WHOLE).then_some(Percent(share))
    }
}

impl TryFrom<String> for Percent {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Percent, &'static str> {
        Percent::parse(&text)
            .ok_or("a percentage is a number from 0 to 100 as text, such as \"7.5\"")
    }
}

impl Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (whole, decimals) = (self.0 / PERCENT, self.0 % PERCENT);
        let decimals = format!(".{decimals:03}");
        let decimals = decimals.trim_end_matches('0').trim_end_matches('.');
        serializer.serialize_str(&format!("{whole}{decimals}"))
    }
}
