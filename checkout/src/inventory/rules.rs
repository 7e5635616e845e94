//! Selling rules of an event.

use super::charges::{CategoryPrices, Charges, Fee, OrderFeeRefund, Prices, Tax};
use super::invoices::Invoicing;
use super::model::Currency;
use serde::{Deserialize, Serialize};
use shared::cancellation::Cancellation;
use shared::http::problem::present;
use utoipa::ToSchema;

/// Selling rules of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rules {
    /// Length of a hold, in seconds.
    #[schema(minimum = 1, maximum = 86_400)]
    pub hold_seconds: u32,
    /// Longest time, in seconds from the hold, for which seats are kept for a payment.
    #[schema(minimum = 1, maximum = 86_400)]
    pub hold_max_seconds: u32,
    /// Largest number of seats in one hold.
    #[schema(minimum = 1, maximum = 100)]
    pub max_seats_per_order: u32,
    /// Largest number of seats held and booked by one visitor.
    #[schema(minimum = 1, maximum = 1000)]
    pub max_seats_per_visitor: u32,
    /// Currency of the prices.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$")]
    pub currency: Currency,
    /// Whether a single free seat may be left between taken ones.
    #[serde(default)]
    pub orphans: Orphans,
    /// Rule for money that comes after its seats went back on sale.
    #[serde(default)]
    pub late_payment: LatePayment,
    /// Prices, fees and taxes. Those at the time of a hold are those that its order pays.
    #[serde(default, flatten)]
    pub charges: Charges,
    /// Issuer of invoices; none are issued if null.
    #[serde(default)]
    pub invoicing: Option<Invoicing>,
    /// Cancellation of the show, once it was cancelled: nothing is sold any more, and what was sold
    /// is refunded whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Cancellation>,
}

/// Policy for money that comes after the seats it was for went back on sale. It never buys more than
/// a visitor may have, nor beside what the fan bought instead; what buys nothing goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatePayment {
    /// It buys the same seats, if all of them are still free.
    #[default]
    ExactSeats,
    /// It buys the same seats, or else the best ones of the same categories.
    SameCategory,
    /// It buys nothing.
    Void,
}

/// Policy for a single free seat left between taken ones. Near the end of the sale, when less than
/// a tenth of the seats is left, `forbid` acts as `avoid`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Orphans {
    /// Best-available search prefers seats that leave no single one.
    #[default]
    Avoid,
    /// Seats that leave a single one are also refused when they are named.
    Forbid,
    /// Single seats are not considered.
    Allow,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            hold_seconds: 120,
            hold_max_seconds: 600,
            max_seats_per_order: 6,
            max_seats_per_visitor: 6,
            currency: Currency::EUR,
            orphans: Orphans::Avoid,
            late_payment: LatePayment::ExactSeats,
            charges: Charges::default(),
            invoicing: None,
            cancelled: None,
        }
    }
}

/// A partial change of the selling rules.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of Rules")]
pub struct RulesPatch {
    #[schema(minimum = 1, maximum = 86_400)]
    pub hold_seconds: Option<u32>,
    #[schema(minimum = 1, maximum = 86_400)]
    pub hold_max_seconds: Option<u32>,
    #[schema(minimum = 1, maximum = 100)]
    pub max_seats_per_order: Option<u32>,
    #[schema(minimum = 1, maximum = 1000)]
    pub max_seats_per_visitor: Option<u32>,
    #[schema(schema_with = shared::currencies::schema)]
    pub currency: Option<String>,
    pub orphans: Option<Orphans>,
    pub late_payment: Option<LatePayment>,
    #[schema(value_type = Option<Vec<CategoryPrices>>, max_items = 100)]
    pub prices: Option<Prices>,
    #[schema(max_items = 10)]
    pub fees: Option<Vec<Fee>>,
    #[schema(max_items = 10)]
    pub taxes: Option<Vec<Tax>>,
    pub order_fee_refund: Option<OrderFeeRefund>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Invoicing>)]
    pub invoicing: Option<Option<Invoicing>>,
    /// Cancels the show; of a show that was cancelled before, the first cancellation stays. It is
    /// not set by the selling rules.
    #[serde(skip)]
    pub cancelled: Option<Cancellation>,
}

impl Rules {
    /// Returns these rules with a change applied.
    ///
    /// # Errors
    /// The invalid fields, each with a reason.
    pub fn with(&self, patch: RulesPatch) -> Result<Rules, Vec<(String, String)>> {
        let letters = patch.currency.as_deref().map(Currency::parse);
        let currency = letters.flatten();
        let own = &self.charges;
        let next = Rules {
            hold_seconds: patch.hold_seconds.unwrap_or(self.hold_seconds),
            hold_max_seconds: patch.hold_max_seconds.unwrap_or(self.hold_max_seconds),
            max_seats_per_order: patch
                .max_seats_per_order
                .unwrap_or(self.max_seats_per_order),
            max_seats_per_visitor: patch
                .max_seats_per_visitor
                .unwrap_or(self.max_seats_per_visitor),
            currency: currency.unwrap_or(self.currency),
            orphans: patch.orphans.unwrap_or(self.orphans),
            late_payment: patch.late_payment.unwrap_or(self.late_payment),
            charges: Charges {
                prices: patch.prices.unwrap_or_else(|| own.prices.clone()),
                fees: patch.fees.unwrap_or_else(|| own.fees.clone()),
                taxes: patch.taxes.unwrap_or_else(|| own.taxes.clone()),
                order_fee_refund: patch.order_fee_refund.unwrap_or(own.order_fee_refund),
            },
            invoicing: patch.invoicing.unwrap_or_else(|| self.invoicing.clone()),
            cancelled: self.cancelled.clone().or(patch.cancelled),
        };
        let mut wrong = next.charges.mistakes(next.currency);
        wrong.extend(next.invoicing.iter().flat_map(Invoicing::mistakes));
        let mut check = |is_fine: bool, field: &str, why: &str| {
            if !is_fine {
                wrong.push((field.to_owned(), why.to_owned()));
            }
        };
        check(
            (1..=86_400).contains(&next.hold_seconds),
            "hold_seconds",
            "1 to 86400",
        );
        let max = (next.hold_seconds..=86_400).contains(&next.hold_max_seconds);
        check(max, "hold_max_seconds", "hold_seconds to 86400");
        check(
            (1..=100).contains(&next.max_seats_per_order),
            "max_seats_per_order",
            "1 to 100",
        );
        let visitor = (1..=1000).contains(&next.max_seats_per_visitor);
        check(visitor, "max_seats_per_visitor", "1 to 1000");
        check(
            letters.is_none_or(|letters| letters.is_some_and(|currency| currency.is_listed())),
            "currency",
            "the code of a currency in ISO 4217, such as EUR",
        );
        if wrong.is_empty() {
            Ok(next)
        } else {
            Err(wrong)
        }
    }
}
