//! Amounts of money, and how many decimals their currencies have.

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// The code of an ISO 4217 currency: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The euro.
    pub const EUR: Currency = Currency(*b"EUR");
    /// No currency, as ISO 4217 has it.
    pub const NONE: Currency = Currency(*b"XXX");

    /// Reads a code: any three capital letters. What is stored may have been accepted by an earlier version; whether a
    /// currency may be chosen, `is_listed` tells.
    pub fn parse(text: &str) -> Option<Currency> {
        let code: [u8; 3] = text.as_bytes().try_into().ok()?;
        let is_one = code.iter().all(u8::is_ascii_uppercase);
        is_one.then_some(Currency(code))
    }

    /// Whether ISO 4217 lists this currency with a minor unit: neither made-up codes, nor metals and test codes.
    pub fn is_listed(&self) -> bool {
        self.listed_exponent().is_some()
    }

    /// How many decimals an amount has: 4500 minor units are 45.00 EUR (2), 4500 JPY (0), 4.500 KWD (3). 2 for codes that
    /// ISO 4217 does not list.
    pub fn exponent(&self) -> u16 {
        self.listed_exponent().unwrap_or(2)
    }

    fn listed_exponent(&self) -> Option<u16> {
        iso_currency::Currency::from_code(self.as_str())?.exponent()
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("they are letters")
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

/// An amount in minor units of an ISO 4217 currency. As JSON it has a third member, `exponent`, how many of the amount's
/// digits are decimals: `{"amount": 4500, "currency": "EUR", "exponent": 2}` is 45.00 EUR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Money {
    /// Minor units.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_struct("Money", 3)?;
        members.serialize_field("amount", &self.amount)?;
        members.serialize_field("currency", &self.currency)?;
        members.serialize_field("exponent", &self.currency.exponent())?;
        members.end()
    }
}

/// The JSON of `Money`, for the OpenAPI document.
#[derive(ToSchema)]
#[schema(as = Money)]
#[expect(dead_code, reason = "the document alone reads it")]
struct MoneyBody {
    /// Minor units.
    #[schema(example = 4500)]
    amount: i64,
    /// An ISO 4217 code: three capital letters.
    #[schema(example = "EUR", min_length = 3, max_length = 3)]
    currency: String,
    /// How many of the amount's digits are decimals.
    #[schema(example = 2)]
    exponent: u16,
}

impl utoipa::PartialSchema for Money {
    fn schema() -> RefOr<Schema> {
        MoneyBody::schema()
    }
}

impl ToSchema for Money {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_says_how_many_decimals_it_has() {
        for (code, exponent) in [
            ("EUR", 2),
            ("USD", 2),
            ("HUF", 2),
            ("INR", 2),
            ("JPY", 0),
            ("ISK", 0),
            ("KRW", 0),
            ("CLP", 0),
            ("XOF", 0),
            ("UGX", 0),
            ("VND", 0),
            ("KWD", 3),
            ("BHD", 3),
            ("JOD", 3),
            ("TND", 3),
            ("IQD", 3),
            ("CLF", 4),
            ("UYW", 4),
        ] {
            let currency = Currency::parse(code).unwrap();
            assert!(currency.is_listed(), "{code}");
            let amount = serde_json::json!(Money {
                amount: 4500,
                currency
            });
            let wanted =
                serde_json::json!({"amount": 4500, "currency": code, "exponent": exponent});
            assert_eq!(amount, wanted);
        }
    }

    #[test]
    fn codes_without_money_are_not_listed_and_still_read() {
        for code in ["ZZZ", "XXX", "XTS", "XAU", "XDR", "AAA"] {
            assert!(!Currency::parse(code).unwrap().is_listed(), "{code}");
        }
        assert_eq!(Currency::parse("eur"), None);
        assert_eq!(Currency::parse("EURO"), None);
    }
}
