//! Sales figures of an event.

use super::money::{Currency, Money};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Sales figures of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sales {
    /// Number of all seats.
    pub capacity: u32,
    /// Number of available seats.
    pub available: u32,
    /// Number of held seats.
    pub held: u32,
    /// Number of booked seats.
    pub booked: u32,
    /// Number of blocked seats.
    pub blocked: u32,
    /// Number of orders by state.
    pub orders: BTreeMap<String, u32>,
    /// Sum of the confirmed orders in the event's currency, less what was refunded and charged back of
    /// them, with what stayed of orders that were refunded.
    pub revenue: Money,
    /// Sums of the confirmed orders in other currencies, which an earlier version let be mixed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_revenue: Vec<Money>,
    /// The same by how the orders were paid: a provider, or a method of the desk.
    pub methods: Vec<MethodSales>,
}

/// Orders of one payment method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MethodSales {
    /// As `payment.provider` of an order: `stripe`, `cash`, `comp` and so on.
    pub method: String,
    /// Number of confirmed orders.
    pub orders: u32,
    /// Sum of their payments, less what was refunded and charged back, with what stayed of orders that
    /// were refunded.
    pub revenue: Money,
}

/// Number and sum of an event's orders of a state and currency.
pub(super) struct OrderSum {
    pub(super) state: String,
    pub(super) currency: Currency,
    pub(super) count: u32,
    pub(super) amount: i64,
}

impl Sales {
    /// Builds the figures from the number of seats by state and the sums of the orders.
    pub(super) fn of(
        [available, held, booked, blocked]: [u32; 4],
        sums: Vec<OrderSum>,
        currency: Currency,
        methods: Vec<MethodSales>,
    ) -> Sales {
        let mut orders = BTreeMap::new();
        let mut revenue = Money {
            amount: 0,
            currency,
        };
        let mut other_revenue = Vec::new();
        for sum in sums {
            if sum.state == "confirmed" {
                let confirmed = Money {
                    amount: sum.amount,
                    currency: sum.currency,
                };
                let mut others = other_revenue.iter_mut();
                if sum.currency == currency {
                    revenue.amount += confirmed.amount;
                } else if let Some(other) =
                    others.find(|other: &&mut Money| other.currency == sum.currency)
                {
                    other.amount += confirmed.amount;
                } else {
                    other_revenue.push(confirmed);
                }
            }
            *orders.entry(sum.state).or_insert(0) += sum.count;
        }
        Sales {
            capacity: available + held + booked + blocked,
            available,
            held,
            booked,
            blocked,
            orders,
            revenue,
            other_revenue,
            methods,
        }
    }
}
