//! Prices of categories that are set beside the plan, and ticket types: further prices of a category
//! for some people, such as children.

use crate::inventory::layout::Layout;
use crate::inventory::model::Refused;
use crate::inventory::money::Currency;
use crate::inventory::seat_price::{ChosenTypes, SeatPrice, TicketType};
use serde::{Deserialize, Serialize};
use shared::plain_text::check_line;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Id of the type that a ticket has if none is chosen: the one at the price of the category.
const STANDARD: &str = "standard";
/// Name of that type where the organiser gave none.
const STANDARD_NAME: &str = "Standard";
/// Largest number of categories whose prices are set, and of ticket types of a category.
const CATEGORIES_MAX: usize = 100;
const TYPES_MAX: usize = 20;
const ID_BYTES_MAX: usize = 40;
const NAME_CHARS_MAX: usize = 100;
const NOTE_CHARS_MAX: usize = 200;
/// Largest limit of a type in one order: no order has more seats.
const PER_ORDER_MAX: u32 = 100;

/// Prices of a category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CategoryPrices {
    /// Id of the category.
    #[schema(min_length = 1, max_length = 200)]
    pub category: String,
    /// Price in minor units of the event's currency, in place of the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub price: Option<i64>,
    /// Name of the tickets at that price, where there are other types; "Standard" if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100)]
    pub standard_name: Option<String>,
    /// Further types of tickets, at most 20.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub ticket_types: Vec<TicketTypePrice>,
}

/// A type of tickets of a category, with its price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketTypePrice {
    /// Id: 1 to 40 letters of a to z, digits, `-` and `_`; not `standard`.
    #[schema(pattern = "^[a-z0-9_-]{1,40}$")]
    pub id: String,
    /// Name that fans and doors read, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Price in minor units of the event's currency.
    #[schema(minimum = 0)]
    pub price: i64,
    /// Largest number of them in one order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub max_per_order: Option<u32>,
    /// Whether an order needs a ticket beside it that is of a type without this, such as an adult's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accompanied: bool,
    /// Sentence that fans read beside it, such as "up to 12 years", up to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub note: Option<String>,
}

impl TicketTypePrice {
    fn ticket_type(&self) -> Arc<TicketType> {
        Arc::new(TicketType {
            id: self.id.clone(),
            name: self.name.clone(),
        })
    }
}

impl CategoryPrices {
    /// Returns the type of the tickets at the price of the category, if there are others.
    pub(in crate::inventory) fn standard(&self) -> Option<Arc<TicketType>> {
        let name = self.standard_name.as_deref().unwrap_or(STANDARD_NAME);
        (!self.ticket_types.is_empty()).then(|| {
            Arc::new(TicketType {
                id: STANDARD.to_owned(),
                name: name.to_owned(),
            })
        })
    }

    /// Returns the price of a type, that of the category being `standard`.
    fn price_of(&self, ticket_type: &TicketType, standard: i64) -> Option<i64> {
        if ticket_type.id == STANDARD {
            return Some(standard);
        }
        let mut types = self.ticket_types.iter();
        let own = types.find(|own| own.id == ticket_type.id)?;
        Some(own.price)
    }

    fn mistakes(&self, at: &str, currency: Currency) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut check = |checked: Result<(), String>, field: String| {
            wrong.extend(checked.err().map(|why| (field, why)));
        };
        let line =
            |text: Option<&str>, most: usize| text.map_or(Ok(()), |text| check_line(text, most));
        let is_few = self.ticket_types.len() <= TYPES_MAX;
        let few = is_few.then_some(());
        check(
            few.ok_or_else(|| format!("at most {TYPES_MAX}")),
            format!("{at}.ticket_types"),
        );
        let price = currency.check_price(self.price.unwrap_or(0));
        check(price, format!("{at}.price"));
        let name = line(self.standard_name.as_deref(), NAME_CHARS_MAX);
        check(name, format!("{at}.standard_name"));
        for (index, own) in self.ticket_types.iter().enumerate() {
            let at = format!("{at}.ticket_types[{index}]");
            let alike = self.ticket_types.iter().filter(|other| other.id == own.id);
            let is_own = own.id != STANDARD && alike.count() == 1;
            check(check_id(&own.id, is_own), format!("{at}.id"));
            let name = line(Some(&own.name), NAME_CHARS_MAX);
            check(name, format!("{at}.name"));
            check(currency.check_price(own.price), format!("{at}.price"));
            let is_limit = (1..=PER_ORDER_MAX).contains(&own.max_per_order.unwrap_or(1));
            let limit = is_limit.then_some(());
            check(
                limit.ok_or_else(|| format!("1 to {PER_ORDER_MAX}")),
                format!("{at}.max_per_order"),
            );
            let note = line(own.note.as_deref(), NOTE_CHARS_MAX);
            check(note, format!("{at}.note"));
        }
        wrong
    }
}

fn check_id(id: &str, is_own: bool) -> Result<(), String> {
    let is_letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    let is_sound = (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_letter);
    let why = "1 to 40 letters of a to z, digits, '-' and '_'; each one once, and not 'standard'";
    (is_sound && is_own)
        .then_some(())
        .ok_or_else(|| why.to_owned())
}

/// Prices of the categories of an event, at most 100.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Prices(pub Vec<CategoryPrices>);

impl Prices {
    /// Returns the prices that are set of a category.
    pub(crate) fn of(&self, category: &str) -> Option<&CategoryPrices> {
        self.0.iter().find(|prices| prices.category == category)
    }

    /// Gives seats the prices that are set in place of the plan's, with tickets of the standard type.
    pub(in crate::inventory) fn set(&self, seats: &mut [SeatPrice]) {
        if self.0.is_empty() {
            return;
        }
        for seat in seats {
            if let Some(prices) = self.of(&seat.category) {
                seat.price.amount = prices.price.unwrap_or(seat.price.amount);
                seat.ticket_type = prices.standard();
            }
        }
    }

    /// Gives a seat the price that is set for a ticket of this type, or of the standard one if its
    /// category has no such type.
    pub(in crate::inventory) fn set_as_sold(
        &self,
        seat: &mut SeatPrice,
        sold: Option<&TicketType>,
    ) {
        self.set(std::slice::from_mut(seat));
        let own = sold.and_then(|sold| self.find(&seat.category, &sold.id).ok());
        if let Some((_, own)) = own {
            seat.price.amount = own.price;
            seat.ticket_type = Some(own.ticket_type());
        }
    }

    /// Gives seats of a hold the ticket types that a fan chose. Those of the standard type keep the
    /// price that they were held for.
    ///
    /// # Errors
    /// If a seat is not one of these, has no such type, or a type is not sold so.
    pub(in crate::inventory) fn choose(
        &self,
        seats: &mut [SeatPrice],
        chosen: &ChosenTypes,
    ) -> Result<(), Refused> {
        let own = |id: &String| seats.iter().any(|seat| *seat.id == **id);
        let unknown: Vec<String> = chosen.keys().filter(|id| !own(id)).cloned().collect();
        if !unknown.is_empty() {
            return Err(Refused::UnknownSeats(unknown));
        }
        let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        let mut only_accompanied = None;
        let mut is_accompanied = false;
        for seat in seats {
            let id = chosen.get(&*seat.id).filter(|id| *id != STANDARD);
            let Some(id) = id else {
                is_accompanied = true;
                continue;
            };
            let own = self.find(&seat.category, id)?;
            let (category, own) = own;
            let count = counts.entry((&category.category, &own.id)).or_default();
            *count += 1;
            if let Some(limit) = own.max_per_order.filter(|limit| *count > *limit) {
                let name = own.name.clone();
                return Err(Refused::TooManyOfType { name, limit });
            }
            match own.accompanied {
                true => only_accompanied = Some(own.name.clone()),
                false => is_accompanied = true,
            }
            seat.price.amount = own.price;
            seat.ticket_type = Some(own.ticket_type());
        }
        match only_accompanied {
            Some(name) if !is_accompanied => Err(Refused::Unaccompanied(name)),
            _ => Ok(()),
        }
    }

    fn find(
        &self,
        category: &str,
        id: &str,
    ) -> Result<(&CategoryPrices, &TicketTypePrice), Refused> {
        let named = |prices: &CategoryPrices| prices.ticket_types.iter().any(|own| own.id == id);
        let own = self.of(category).and_then(|prices| {
            let mut types = prices.ticket_types.iter();
            Some((prices, types.find(|own| own.id == id)?))
        });
        own.ok_or_else(|| match self.0.iter().any(named) {
            true => Refused::TypeOfOtherCategory(id.to_owned()),
            false => Refused::UnknownType(id.to_owned()),
        })
    }

    /// Returns whether the price that a ticket was sold for is that of its type now. `now` is its seat
    /// as it is sold now, with a ticket of the standard type.
    pub(in crate::inventory) fn is_current(&self, sold: &SeatPrice, now: &SeatPrice) -> bool {
        let standard = now.price.amount;
        let price = match (&sold.ticket_type, self.of(&now.category)) {
            (Some(own), Some(prices)) => prices.price_of(own, standard),
            (Some(own), None) if own.id != STANDARD => None,
            _ => Some(standard),
        };
        price == Some(sold.price.amount)
    }

    /// Returns the invalid fields, each with a reason.
    pub(super) fn mistakes(&self, currency: Currency) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        if self.0.len() > CATEGORIES_MAX {
            let why = format!("at most {CATEGORIES_MAX} categories");
            wrong.push(("prices".to_owned(), why));
        }
        for (at, prices) in self.0.iter().enumerate() {
            let at = format!("prices[{at}]");
            let alike = self.0.iter();
            let alike = alike.filter(|other| other.category == prices.category);
            if alike.count() > 1 {
                let why = "each category is named once".to_owned();
                wrong.push((format!("{at}.category"), why));
            }
            wrong.extend(prices.mistakes(&at, currency));
        }
        wrong
    }

    /// Returns the names of ticket types that another type of the category has, with their fields:
    /// fans could not tell them apart. An earlier version took them.
    pub(crate) fn repeated_names(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for (at, prices) in self.0.iter().enumerate() {
            let standard = prices.standard_name.as_deref().unwrap_or(STANDARD_NAME);
            let mut names = vec![standard.trim()];
            for (index, own) in prices.ticket_types.iter().enumerate() {
                let name = own.name.trim();
                if names.contains(&name) {
                    let field = format!("prices[{at}].ticket_types[{index}].name");
                    let why = format!("another ticket of this category is called '{name}' as well");
                    wrong.push((field, why));
                }
                names.push(name);
            }
        }
        wrong
    }

    /// Returns the invalid fields with regard to a plan, each with a reason.
    pub(crate) fn mistakes_in(&self, layout: &Layout) -> Vec<(String, String)> {
        let prices = self.0.iter().enumerate();
        let unknown = prices.filter(|(_, prices)| layout.category(&prices.category).is_none());
        unknown
            .map(|(at, prices)| {
                let field = format!("prices[{at}].category");
                let why = format!("the seating plan has no category '{}'", prices.category);
                (field, why)
            })
            .collect()
    }

    /// Returns all amounts, each with the field that has it.
    pub(crate) fn amounts(&self) -> Vec<(String, i64)> {
        let mut amounts = Vec::new();
        for (at, prices) in self.0.iter().enumerate() {
            let own = prices
                .price
                .map(|price| (format!("prices[{at}].price"), price));
            amounts.extend(own);
            for (index, own) in prices.ticket_types.iter().enumerate() {
                let field = format!("prices[{at}].ticket_types[{index}].price");
                amounts.push((field, own.price));
            }
        }
        amounts
    }
}
