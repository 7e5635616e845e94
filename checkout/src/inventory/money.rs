//! Amounts of money.

use serde::{Deserialize, Serialize};
use shared::texts::Language;
use std::fmt;
use utoipa::ToSchema;

const MILLION: i64 = 1_000_000;

/// Code of an ISO 4217 currency: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The euro.
    pub const EUR: Currency = Currency(*b"EUR");
    /// The ISO 4217 code for "no currency".
    pub const NONE: Currency = Currency(*b"XXX");

    /// Parses a code of any three capital letters. Stored codes may have been accepted by an
    /// earlier version; use `is_listed` to check whether a currency may be chosen.
    pub fn parse(text: &str) -> Option<Currency> {
        let code: [u8; 3] = text.as_bytes().try_into().ok()?;
        let is_one = code.iter().all(u8::is_ascii_uppercase);
        is_one.then_some(Currency(code))
    }

    /// Returns whether an event may sell in this currency.
    pub fn is_listed(&self) -> bool {
        shared::currencies::exponent(self.as_str()).is_some()
    }

    /// Returns the smallest difference between amounts of fees and taxes, in minor units: ten where
    /// there are three decimals, as payment providers take the third only as 0.
    pub(super) fn step(&self) -> i64 {
        match shared::currencies::exponent(self.as_str()) {
            Some(3) => 10,
            _ => 1,
        }
    }

    /// Returns the largest price of a seat, and the largest fee, in minor units: a million, or a
    /// hundred million of a currency without decimals.
    pub fn price_max(&self) -> i64 {
        match shared::currencies::exponent(self.as_str()) {
            Some(0) => 100 * MILLION,
            exponent => MILLION * 10_i64.pow(u32::from(exponent.unwrap_or(2))),
        }
    }

    /// Checks that an amount can be that of a price or a fee.
    ///
    /// # Errors
    /// The amounts that can be.
    pub(super) fn check_price(&self, amount: i64) -> Result<(), String> {
        let (most, step) = (self.price_max(), self.step());
        if (0..=most).contains(&amount) && amount % step == 0 {
            return Ok(());
        }
        Err(match step {
            1 => format!("0 to {most} minor units"),
            step => format!("0 to {most} minor units, in steps of {step}"),
        })
    }

    /// Returns the three letters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("a currency code consists of ASCII letters")
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Currency, &'static str> {
        Currency::parse(&text).ok_or("a currency is three capital letters, as in ISO 4217")
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An amount in minor units of an ISO 4217 currency: 4500 is 45.00 EUR, 4500 JPY or 4.500 KWD,
/// according to `shared::currencies::exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Money {
    /// Amount in minor units.
    pub amount: i64,
    /// Currency code: three capital letters.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$")]
    pub currency: Currency,
}

impl Money {
    /// Returns the amount and the code of its currency, such as `45.00 EUR`.
    pub fn for_people(&self) -> String {
        format!("{} {}", self.decimal(), self.currency.as_str())
    }

    /// Returns the amount as a language writes it, such as `45,00 €`.
    pub fn in_language(&self, language: Language) -> String {
        let code = self.currency.as_str();
        let symbol = shared::currencies::symbol(code);
        language.money(&self.decimal(), code, symbol.as_deref().unwrap_or(code))
    }

    /// Returns how many decimals amounts of its currency have.
    pub fn decimals(&self) -> u16 {
        shared::currencies::exponent(self.currency.as_str()).unwrap_or(0)
    }

    /// Returns the amount with the decimals of its currency, after a point.
    pub fn decimal(&self) -> String {
        let decimals = usize::from(self.decimals());
        let digits = format!("{:0width$}", self.amount, width = decimals + 1);
        let (whole, part) = digits.split_at(digits.len() - decimals);
        match part {
            "" => whole.to_owned(),
            part => format!("{whole}.{part}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        for (code, minor, text) in [
            ("EUR", 4500, "45.00 EUR"),
            ("EUR", 5, "0.05 EUR"),
            ("JPY", 4500, "4500 JPY"),
            ("KWD", 4510, "4.510 KWD"),
        ] {
            let currency = Currency::parse(code).unwrap();
            let money = Money {
                amount: minor,
                currency,
            };
            assert_eq!(money.for_people(), text);
            assert_eq!(money.in_language(Language::english()), text);
        }
    }

    #[test]
    fn german_amounts_have_a_comma_groups_and_their_symbol_behind_them() {
        let german = Language::parse("de").unwrap();
        for (code, minor, text) in [
            ("EUR", 19_500, "195,00\u{a0}€"),
            ("EUR", 123_456_789, "1.234.567,89\u{a0}€"),
            ("CHF", 5, "0,05\u{a0}CHF"),
        ] {
            let currency = Currency::parse(code).unwrap();
            let money = Money {
                amount: minor,
                currency,
            };
            assert_eq!(money.in_language(german), text);
        }
    }
}
