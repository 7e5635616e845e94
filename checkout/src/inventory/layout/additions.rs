//! Prices and other additions to a plan, beside it or in it: pretix's format has none of them.

use super::Category;
use super::findings::{Findings, Object, Spot, whole};
use serde_json::Value;
use shared::http::problem::MINOR_UNITS;
use std::collections::HashMap;

/// Names of the additions.
pub(super) const ADDITIONS: [&str; 5] =
    ["prices", "not_for_sale", "accessible", "companion", "focus"];
/// Price of a category whose price is not known yet.
pub(super) const NO_PRICE: i64 = -1;
/// Largest price in any currency, in minor units; that of the event may have a lower limit.
const PRICE_MAX: i64 = 10_000_000_000;

/// Additions to a plan.
#[derive(Default)]
pub(super) struct Additions {
    /// Prices by category in minor units; `None` for what is not for sale.
    prices: Vec<(String, Option<i64>)>,
    /// Ids of seats that are allocated only on request.
    pub(super) accessible: Vec<String>,
    pub(super) companion: Vec<String>,
    /// Point that the best seats are near to, in the plan's own units.
    pub(super) focus: Option<(f64, f64)>,
}

impl Additions {
    /// Reads the additions that an object has.
    pub(super) fn read(&mut self, from: &Object, findings: &mut Findings) {
        let at = &|| Spot {
            path: String::new(),
            words: String::new(),
        };
        match from.get("prices") {
            None | Some(Value::Null) => {}
            Some(Value::Object(prices)) => {
                for (category, value) in prices {
                    let field = format!("prices.{category}");
                    let known = price(value, category, &field, findings);
                    self.prices.push((category.clone(), known));
                }
            }
            Some(_) => {
                let why = "prices are given by category, such as {\"Stalls\": 4500}";
                findings.fault("prices", why);
            }
        }
        let mut texts = |name: &str| -> Vec<String> {
            let list = findings.list(from, name, at);
            let texts: Vec<String> = list
                .iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect();
            if texts.len() < list.len() {
                findings.fault(name, format!("{name} is a list of names in quotes"));
            }
            texts
        };
        let not_for_sale = texts("not_for_sale");
        self.accessible.extend(texts("accessible"));
        self.companion.extend(texts("companion"));
        self.prices
            .extend(not_for_sale.into_iter().map(|category| (category, None)));
        if from.get("focus").is_some_and(|focus| !focus.is_null()) {
            self.focus = Some(findings.point(from, "focus", at));
        }
    }

    /// Returns a category for each price, for plans that have none.
    pub(super) fn categories(&self) -> Vec<Category> {
        let named = self.prices.iter();
        named.map(|(name, _)| category(name, name)).collect()
    }

    /// Gives categories the prices that stand beside the plan. A category without a price, and a
    /// price without its category, are faults.
    pub(super) fn set_prices(&self, categories: &mut [Category], findings: &mut Findings) {
        let mut index: HashMap<String, usize> = HashMap::new();
        for (at, category) in categories.iter().enumerate() {
            index.entry(category.name.clone()).or_insert(at);
        }
        for (at, category) in categories.iter().enumerate() {
            index.insert(category.id.to_string(), at);
        }
        for (name, price) in &self.prices {
            match index.get(name) {
                Some(at) => match price {
                    Some(price) => categories[*at].price = *price,
                    None => categories[*at].is_not_for_sale = true,
                },
                None => {
                    let why = format!("the plan has no category '{name}'");
                    findings.fault("prices", why);
                }
            }
        }
        for category in categories.iter_mut() {
            if category.price == NO_PRICE && !category.is_not_for_sale {
                findings.unpriced(&category.name);
            }
            category.price = category.price.max(0);
        }
    }
}

/// Returns a category whose price is not known yet.
pub(super) fn category(id: &str, name: &str) -> Category {
    Category {
        id: id.into(),
        name: name.to_owned(),
        price: NO_PRICE,
        color: None,
        is_not_for_sale: false,
    }
}

/// Reads a price in minor units; nothing if there is none.
pub(super) fn price(
    value: &Value,
    category: &str,
    field: &str,
    findings: &mut Findings,
) -> Option<i64> {
    if value.is_null() {
        return None;
    }
    // An earlier version took 45.0 for 45: what it stored keeps its price.
    let price = whole(value).filter(|price| (0..=PRICE_MAX).contains(price));
    let is_decimal = value.is_f64();
    if price.is_none() || is_decimal {
        let why = match is_decimal {
            true => format!("the price of '{category}' is {value}: {MINOR_UNITS}"),
            false => format!(
                "the price of '{category}' is no whole number from 0 to {PRICE_MAX}: {MINOR_UNITS}"
            ),
        };
        findings.fault(field, why);
    }
    price.or(Some(0))
}

/// Reads what a category of a plan says beside its name.
pub(super) fn finish_category(
    category: &mut Category,
    from: &Object,
    field: &str,
    findings: &mut Findings,
) {
    let value = from.get("price").unwrap_or(&Value::Null);
    let known = price(value, &category.name, &format!("{field}.price"), findings);
    category.price = known.unwrap_or(NO_PRICE);
    let at = || Spot {
        path: field.to_owned(),
        words: format!("category '{}'", category.name),
    };
    let is_not_for_sale = findings.flag(from, "not_for_sale", &at);
    let color = findings.name(from, "color", &at);
    let known = super::shapes::color(&color);
    if known.is_none() && !color.is_empty() {
        let why = format!("the colour '{color}' of '{}' is not known", category.name);
        findings.warn(why);
    }
    category.color = known;
    category.is_not_for_sale = is_not_for_sale;
}
