//! Prices, fees and taxes of an event, and how the lines of a price are made of them.

mod lines;
mod percent;
mod ticket_types;

pub(super) use lines::{ChargeLine, Lines, kept, seat_total, set_prices, ticket_lines, total};
pub use percent::Percent;
pub use ticket_types::{CategoryPrices, Prices, TicketTypePrice};

use super::money::Currency;
use super::price_line::LineKind;
use super::seat_price::SeatPrice;
use lines::groups;
use percent::WHOLE;
use serde::{Deserialize, Serialize};
use shared::plain_text::check_line;
use utoipa::ToSchema;

/// Largest number of fees, and of taxes, of an event.
const CHARGES_MAX: usize = 10;
const NAME_CHARS_MAX: usize = 100;
/// A fee on top of the prices: a fixed amount, or a share of the price. What costs nothing bears no
/// fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fee {
    /// Name that fans read, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Whether each ticket bears it, or each order once.
    pub per: FeePer,
    /// Fixed amount in minor units of the event's currency. Either this or `percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub amount: Option<i64>,
    /// Share of the price of a ticket, or of the tickets of an order, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>,
        pattern = "^(100(\\.0{1,3})?|[0-9]{1,2}(\\.[0-9]{1,3})?)$")]
    pub percent: Option<Percent>,
}

/// Bearer of a fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeePer {
    /// Each ticket.
    Ticket,
    /// Each order.
    Order,
}

/// A tax on tickets, fees, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tax {
    /// Name that fans read, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Rate in percent.
    #[schema(value_type = String, pattern = "^(100(\\.0{1,3})?|[0-9]{1,2}(\\.[0-9]{1,3})?)$")]
    pub percent: Percent,
    /// Whether prices and fees contain it. Otherwise it comes on top of them.
    pub included: bool,
    /// Taxed amounts; tickets and fees if absent.
    #[serde(default = "tickets_and_fees")]
    #[schema(min_items = 1)]
    pub on: Vec<Taxed>,
}

/// Amount that a tax is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Taxed {
    /// The prices of the tickets.
    Tickets,
    /// The fees.
    Fees,
}

fn tickets_and_fees() -> Vec<Taxed> {
    vec![Taxed::Tickets, Taxed::Fees]
}

/// Policy for the fees of an order when it is refunded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderFeeRefund {
    /// They are given back with the last seat of the order.
    #[default]
    LastSeat,
    /// They are not given back.
    Never,
}

/// Prices, fees and taxes of an event, beside the prices of its plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Charges {
    /// Prices of categories, and their ticket types.
    #[schema(value_type = Vec<CategoryPrices>)]
    pub prices: Prices,
    /// Fees, at most 10.
    pub fees: Vec<Fee>,
    /// Taxes, at most 10.
    pub taxes: Vec<Tax>,
    /// Policy for the fees of an order when it is refunded.
    pub order_fee_refund: OrderFeeRefund,
}

impl Charges {
    /// Returns whether the prices of the plan are all that there is.
    pub(super) fn are_none(&self) -> bool {
        self.fees.is_empty() && self.taxes.is_empty() && self.prices.0.is_empty()
    }

    /// Returns those of them that the layout shows.
    pub(super) fn shown(&self) -> (&Prices, &[Fee], &[Tax]) {
        (&self.prices, &self.fees, &self.taxes)
    }

    /// Returns the lines of these seats: tickets, fees, taxes. What a ticket bears is rounded for one
    /// ticket, so that it can be given back alone.
    pub(super) fn lines(
        &self,
        seats: &[SeatPrice],
        currency: Currency,
        name: impl Fn(&str) -> String,
    ) -> Vec<ChargeLine> {
        let step = currency.step();
        let mut lines = ticket_lines(seats, name);
        let mut tickets = 0;
        for group in groups(seats) {
            tickets += group.price * i64::from(group.quantity);
            let own = self.borne(FeePer::Ticket, group.price, step);
            lines.extend(own.into_iter().map(|line| ChargeLine {
                category: Some(group.category.clone()),
                ticket_type: group.ticket_type.clone(),
                quantity: group.quantity,
                ..line
            }));
        }
        let is_kept = self.order_fee_refund == OrderFeeRefund::Never;
        let own = self.borne(FeePer::Order, tickets, step);
        lines.extend(own.into_iter().map(|line| ChargeLine {
            kept: is_kept && !line.included,
            ..line
        }));
        lines.sort_by_key(|line| (line.kind, line.included));
        lines
    }

    /// Returns the lines of one ticket.
    pub(super) fn ticket(&self, seat: &SeatPrice, name: &str) -> Vec<ChargeLine> {
        let seats = std::slice::from_ref(seat);
        let mut lines = self.lines(seats, seat.price.currency, |_| name.to_owned());
        lines.retain(|line| line.category.is_some());
        lines
    }

    /// Returns the fees and taxes that one ticket of this price bears, or an order of tickets whose
    /// prices have this sum. Taxes on prices are in the lines of tickets, not of the order.
    fn borne(&self, per: FeePer, price: i64, step: i64) -> Vec<ChargeLine> {
        let mut lines = Vec::new();
        for fee in self.fees.iter().filter(|fee| fee.per == per && price > 0) {
            let share = |percent: Percent| portion(&[(price, percent.0, WHOLE)], step);
            let amount = fee.percent.map(share).or(fee.amount).unwrap_or(0);
            lines.push(ChargeLine::of(LineKind::Fee, &fee.name, amount));
        }
        let fees = lines.iter().map(ChargeLine::amount).sum();
        let prices = if per == FeePer::Ticket { price } else { 0 };
        for tax in &self.taxes {
            let parts = [(Taxed::Tickets, prices), (Taxed::Fees, fees)];
            let parts = parts.iter().filter(|(on, _)| tax.on.contains(on));
            let parts: Vec<(i64, u32, u32)> = parts
                .map(|(on, amount)| {
                    let contained = if tax.included { self.included(*on) } else { 0 };
                    (*amount, tax.percent.0, WHOLE + contained)
                })
                .collect();
            lines.push(ChargeLine {
                included: tax.included,
                ..ChargeLine::of(LineKind::Tax, &tax.name, portion(&parts, step))
            });
        }
        lines.retain(|line| line.unit > 0);
        lines
    }

    /// Returns the sum of the rates of the taxes that such an amount contains.
    fn included(&self, on: Taxed) -> u32 {
        let taxes = self.taxes.iter();
        let included = taxes.filter(|tax| tax.included && tax.on.contains(&on));
        included.map(|tax| tax.percent.0).sum()
    }

    /// Returns the invalid fields, each with a reason.
    pub(super) fn mistakes(&self, currency: Currency) -> Vec<(String, String)> {
        let mut wrong = self.prices.mistakes(currency);
        let mut check = |is_fine: bool, field: String, why: String| {
            if !is_fine {
                wrong.push((field, why));
            }
        };
        for (list, count) in [("fees", self.fees.len()), ("taxes", self.taxes.len())] {
            let why = format!("at most {CHARGES_MAX}");
            check(count <= CHARGES_MAX, list.to_owned(), why);
        }
        for (at, fee) in self.fees.iter().enumerate() {
            let why = check_line(&fee.name, NAME_CHARS_MAX)
                .err()
                .unwrap_or_default();
            check(why.is_empty(), format!("fees[{at}].name"), why);
            let is_one = fee.amount.is_some() != fee.percent.is_some();
            let why = "either amount or percent".to_owned();
            check(is_one, format!("fees[{at}]"), why);
            let checked = currency.check_price(fee.amount.unwrap_or(0));
            let why = checked.err().unwrap_or_default();
            check(why.is_empty(), format!("fees[{at}].amount"), why);
        }
        for (at, tax) in self.taxes.iter().enumerate() {
            let why = check_line(&tax.name, NAME_CHARS_MAX)
                .err()
                .unwrap_or_default();
            check(why.is_empty(), format!("taxes[{at}].name"), why);
            let why = "tickets, fees or both".to_owned();
            let is_on = matches!(tax.on[..], [_]) || matches!(tax.on[..], [a, b] if a != b);
            check(is_on, format!("taxes[{at}].on"), why);
        }
        wrong
    }
}

/// Returns the sum of shares (an amount, times a numerator, by a denominator), rounded half up to a
/// multiple of `step`.
fn portion(shares: &[(i64, u32, u32)], step: i64) -> i64 {
    let common: i128 = shares.iter().map(|(_, _, by)| i128::from(*by)).product();
    let sum: i128 = shares
        .iter()
        .map(|(amount, times, by)| {
            i128::from(*amount) * i128::from(*times) * (common / i128::from(*by))
        })
        .sum();
    let unit = common * i128::from(step);
    let steps = (2 * sum + unit) / (2 * unit);
    i64::try_from(steps).unwrap_or(i64::MAX / step) * step
}

#[cfg(test)]
mod tests;
