//! Sales of each hour, counted from the events in the outbox: orders, tickets, money, holds, and the
//! funnel from the line to them.

use super::funnel::{Funnel, FunnelFigure, FunnelHour, bound_of};
use super::model::{Currency, Money, Refused};
use super::outbox::{
    AdmissionPayload, EventType, NewPlace, OrderPayload, OutboxRow, PaymentPayload, TicketPayload,
};
use super::payment::ProviderId;
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::ids::EventId;
use shared::time::Time;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Length of an hour.
pub const HOUR_MS: i64 = 3_600_000;

/// Sales of an event in one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct SalesHour {
    /// Beginning of the hour.
    pub hour: Time,
    /// Number of orders that were confirmed.
    pub orders_confirmed: i64,
    /// Number of orders all of whose money was given back.
    pub orders_refunded: i64,
    /// Number of orders that were given up before they were paid for.
    pub orders_cancelled: i64,
    /// Number of orders whose time to pay ran out.
    pub orders_expired: i64,
    /// Number of tickets of the orders that were confirmed.
    pub tickets_sold: i64,
    /// Number of tickets that were valid and are not any more; those that were moved to another seat do
    /// not count.
    pub tickets_voided: i64,
    /// Number of holds whose time ran out without an order.
    pub holds_expired: i64,
    /// Money that was taken and given back, for each currency in which some was.
    pub money: Vec<MoneyInHour>,
    /// The tickets that were sold, for each category of which some were.
    pub categories: Vec<CategoryInHour>,
}

/// Money of an event in one hour and currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MoneyInHour {
    /// Sum of the payments that were taken, with fees and taxes.
    pub gross: Money,
    /// Sum of what was given back, whenever it had been taken.
    pub refunded: Money,
    /// Sum of what the bank charged back, whenever it had been taken; less what came back from it.
    pub charged_back: Money,
}

/// Tickets of one category that were sold in one hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CategoryInHour {
    /// Id of the category.
    pub category: String,
    /// Number of tickets.
    pub tickets_sold: i64,
    /// Sum of their prices, without fees that are added to them.
    pub prices: Money,
}

/// A figure as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Figure {
    OrdersConfirmed,
    OrdersRefunded,
    OrdersCancelled,
    OrdersExpired,
    TicketsVoided,
    HoldsExpired,
    /// In minor units, by currency.
    Gross,
    /// In minor units, by currency.
    Refunded,
    /// In minor units, by currency.
    ChargedBack,
    /// By category and currency.
    TicketsSold,
    /// In minor units, by category and currency.
    Prices,
    /// Of the funnel.
    Funnel(FunnelFigure),
}

impl Figure {
    /// Those of the sales.
    const SALES: [Figure; 11] = [
        Figure::OrdersConfirmed,
        Figure::OrdersRefunded,
        Figure::OrdersCancelled,
        Figure::OrdersExpired,
        Figure::TicketsVoided,
        Figure::HoldsExpired,
        Figure::Gross,
        Figure::Refunded,
        Figure::ChargedBack,
        Figure::TicketsSold,
        Figure::Prices,
    ];

    /// Returns its name, as it is stored.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Figure::OrdersConfirmed => "orders_confirmed",
            Figure::OrdersRefunded => "orders_refunded",
            Figure::OrdersCancelled => "orders_cancelled",
            Figure::OrdersExpired => "orders_expired",
            Figure::TicketsVoided => "tickets_voided",
            Figure::HoldsExpired => "holds_expired",
            Figure::Gross => "gross",
            Figure::Refunded => "refunded",
            Figure::ChargedBack => "charged_back",
            Figure::TicketsSold => "tickets_sold",
            Figure::Prices => "prices",
            Figure::Funnel(figure) => figure.as_str(),
        }
    }
}

/// Key of a stored sum.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SumKey {
    pub(super) event: String,
    /// Beginning of the hour.
    pub(super) hour: Time,
    pub(super) figure: Figure,
    /// Empty where the figure has none.
    pub(super) category: String,
    /// Empty where the figure has none.
    pub(super) currency: String,
}

/// Additions to the stored sums by some events, in the order of the keys: nodes that add to the same
/// ones wait for each other, and never in a circle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HourlySums(pub(super) BTreeMap<SumKey, i64>);

impl HourlySums {
    /// Counts events. One whose payload cannot be read counts for nothing.
    pub fn of(rows: &[OutboxRow]) -> HourlySums {
        let mut sums = HourlySums::default();
        for row in rows {
            sums.count(row);
        }
        sums
    }

    fn count(&mut self, row: &OutboxRow) {
        let mut types = EventType::ALL.into_iter();
        let Some(event_type) = types.find(|known| known.as_str() == row.event_type) else {
            return;
        };
        let one = match event_type {
            EventType::OrderConfirmed => return self.count_confirmed(row),
            EventType::PaymentCaptured => {
                let payment: Option<PaymentPayload> = payload(row);
                return self.add_money(row, Figure::Gross, payment.map(|it| it.amount));
            }
            EventType::PaymentRefunded => {
                let payment: Option<PaymentPayload> = payload(row);
                return self.add_money(row, Figure::Refunded, payment.and_then(|it| it.returned));
            }
            EventType::PaymentDisputed => {
                let payment: Option<PaymentPayload> = payload(row);
                let moved = payment.and_then(|it| it.charged_back);
                return self.add_money(row, Figure::ChargedBack, moved);
            }
            EventType::OrderRefunded => Figure::OrdersRefunded,
            EventType::OrderCancelled => Figure::OrdersCancelled,
            EventType::OrderExpired => Figure::OrdersExpired,
            EventType::TicketVoided => {
                let ticket: Option<TicketPayload> = payload(row);
                if ticket.is_some_and(|ticket| ticket.moved) {
                    return;
                }
                Figure::TicketsVoided
            }
            EventType::HoldExpired => Figure::HoldsExpired,
            EventType::AdmissionAdmitted => return self.count_admitted(row),
            EventType::AdmissionMissed => Figure::Funnel(FunnelFigure::Missed),
            EventType::AdmissionFinished => {
                let end = payload::<AdmissionPayload>(row).and_then(|it| it.how);
                let Some(end) = end else { return };
                Figure::Funnel(FunnelFigure::of_end(end))
            }
            _ => return,
        };
        self.add(row, one, "", "", 1);
    }

    fn count_confirmed(&mut self, row: &OutboxRow) {
        let Some(order) = payload::<OrderPayload>(row) else {
            return;
        };
        self.add(row, Figure::OrdersConfirmed, "", "", 1);
        let is_at_desk = ProviderId::named(&order.provider).is_some_and(ProviderId::is_at_desk);
        if !is_at_desk && !order.again {
            self.add(row, Figure::Funnel(FunnelFigure::Buyers), "", "", 1);
        }
        for ticket in &order.tickets {
            let mut seats = order.seats.iter();
            let Some(seat) = seats.find(|seat| *seat.id == *ticket.seat) else {
                continue;
            };
            let currency = seat.price.currency.as_str();
            self.add(row, Figure::TicketsSold, &seat.category, currency, 1);
            let price = seat.price.amount;
            self.add(row, Figure::Prices, &seat.category, currency, price);
        }
    }

    fn count_admitted(&mut self, row: &OutboxRow) {
        let Some(admission) = payload::<AdmissionPayload>(row) else {
            return;
        };
        let mut add = |figure, bound: &str, value| {
            self.add(row, Figure::Funnel(figure), bound, "", value);
        };
        add(FunnelFigure::Admitted, "", 1);
        if let Some(waited) = admission.waited_seconds {
            add(FunnelFigure::Waits, &bound_of(waited), 1);
            add(FunnelFigure::WaitedSeconds, "", waited as i64);
        }
    }

    fn add_money(&mut self, row: &OutboxRow, figure: Figure, money: Option<Money>) {
        if let Some(money) = money {
            self.add(row, figure, "", money.currency.as_str(), money.amount);
        }
    }

    fn add(&mut self, row: &OutboxRow, figure: Figure, category: &str, currency: &str, value: i64) {
        if value != 0 {
            let key = SumKey {
                event: row.event.clone(),
                hour: Time(row.at.0 - row.at.0.rem_euclid(HOUR_MS)),
                figure,
                category: category.to_owned(),
                currency: currency.to_owned(),
            };
            *self.0.entry(key).or_default() += value;
        }
    }
}

fn payload<T: DeserializeOwned>(row: &OutboxRow) -> Option<T> {
    serde_json::from_str(&row.payload).ok()
}

/// A stored sum of an event, as it is read.
pub struct StoredSum {
    pub(super) hour: Time,
    pub(super) figure: String,
    pub(super) category: String,
    pub(super) currency: String,
    pub(super) value: i64,
}

/// Returns the hours that have sums of sales, in order. Sums of one key, as of several databases, are
/// added; a figure that another version counts is left out.
fn hours_of(sums: Vec<StoredSum>) -> Vec<SalesHour> {
    let mut hours: BTreeMap<Time, SalesHour> = BTreeMap::new();
    for sum in sums {
        let mut known = Figure::SALES.into_iter();
        let Some(figure) = known.find(|figure| figure.as_str() == sum.figure) else {
            continue;
        };
        let hour = hours.entry(sum.hour).or_insert_with(|| SalesHour {
            hour: sum.hour,
            ..SalesHour::default()
        });
        hour.add(figure, &sum);
    }
    let mut hours: Vec<SalesHour> = hours.into_values().collect();
    for hour in &mut hours {
        hour.money
            .sort_by(|a, b| a.gross.currency.as_str().cmp(b.gross.currency.as_str()));
        hour.categories.sort_by(|a, b| a.category.cmp(&b.category));
    }
    hours
}

/// Returns the hours that have sums of the funnel, in order, added as those of sales.
fn funnel_of(sums: Vec<StoredSum>) -> Vec<FunnelHour> {
    let mut hours: BTreeMap<Time, Funnel> = BTreeMap::new();
    for sum in sums {
        let mut known = FunnelFigure::ALL.into_iter();
        if let Some(figure) = known.find(|figure| figure.as_str() == sum.figure) {
            let funnel = hours.entry(sum.hour).or_default();
            funnel.add(figure, &sum.category, sum.value);
        }
    }
    let hours = hours.into_iter();
    hours
        .map(|(hour, funnel)| FunnelHour { hour, funnel })
        .collect()
}

impl SalesHour {
    fn add(&mut self, figure: Figure, sum: &StoredSum) {
        let currency = Currency::parse(&sum.currency).unwrap_or(Currency::NONE);
        let count = match figure {
            Figure::OrdersConfirmed => &mut self.orders_confirmed,
            Figure::OrdersRefunded => &mut self.orders_refunded,
            Figure::OrdersCancelled => &mut self.orders_cancelled,
            Figure::OrdersExpired => &mut self.orders_expired,
            Figure::TicketsVoided => &mut self.tickets_voided,
            Figure::HoldsExpired => &mut self.holds_expired,
            Figure::Gross => &mut self.money_in(currency).gross.amount,
            Figure::Refunded => &mut self.money_in(currency).refunded.amount,
            Figure::ChargedBack => &mut self.money_in(currency).charged_back.amount,
            Figure::TicketsSold => {
                self.tickets_sold += sum.value;
                &mut self.category(&sum.category, currency).tickets_sold
            }
            Figure::Prices => &mut self.category(&sum.category, currency).prices.amount,
            Figure::Funnel(_) => return,
        };
        *count += sum.value;
    }

    fn money_in(&mut self, currency: Currency) -> &mut MoneyInHour {
        let mut known = self.money.iter();
        let at = known.position(|money| money.gross.currency == currency);
        let at = at.unwrap_or_else(|| {
            let amount = Money {
                amount: 0,
                currency,
            };
            self.money.push(MoneyInHour {
                gross: amount,
                refunded: amount,
                charged_back: amount,
            });
            self.money.len() - 1
        });
        &mut self.money[at]
    }

    fn category(&mut self, category: &str, currency: Currency) -> &mut CategoryInHour {
        let mut known = self.categories.iter();
        let at = known.position(|it| it.category == category && it.prices.currency == currency);
        let at = at.unwrap_or_else(|| {
            self.categories.push(CategoryInHour {
                category: category.to_owned(),
                tickets_sold: 0,
                prices: Money {
                    amount: 0,
                    currency,
                },
            });
            self.categories.len() - 1
        });
        &mut self.categories[at]
    }
}

/// The stored sums. Any number of nodes share the counting.
#[async_trait]
pub trait HourlySalesStore: Send + Sync {
    /// Adds to the sums, and moves the place of the consumer that has counted, in one transaction.
    /// With `after` events that are read twice count once. Returns false if the place or its lease is
    /// another by now, or another server answers; nothing is added then.
    async fn add_sales(&self, place: NewPlace<'_>, sums: HourlySums) -> Result<bool, Refused>;

    /// Returns the sales of an event, for each hour that begins at `from` or later and before `to`
    /// and in which something happened, in order.
    async fn sales_between(
        &self,
        event: &EventId,
        from: Time,
        to: Time,
    ) -> Result<Vec<SalesHour>, Refused> {
        Ok(hours_of(self.sums_between(event, from, to).await?))
    }

    /// Returns the funnel of an event, of the same hours, in order.
    async fn funnel_between(
        &self,
        event: &EventId,
        from: Time,
        to: Time,
    ) -> Result<Vec<FunnelHour>, Refused> {
        Ok(funnel_of(self.sums_between(event, from, to).await?))
    }

    /// Returns the sums of an event, of the same hours, in any order.
    async fn sums_between(
        &self,
        event: &EventId,
        from: Time,
        to: Time,
    ) -> Result<Vec<StoredSum>, Refused>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_ticket_that_was_moved_to_another_seat_is_not_one_less() {
        let voided = |moved: bool| {
            OutboxRow {
            position: 1,
            id: "evt_1".into(),
            event: "night".into(),
            aggregate_type: "order".into(),
            aggregate_id: "ord_1".into(),
            event_type: EventType::TicketVoided.as_str().into(),
            payload: json!({"schema": 1, "event": "night", "ticket": "tix_1", "seat": "A-1", "order": "ord_1",
                "visitor": "vis_00000000000000000000000000000001", "moved": moved})
            .to_string(),
            traceparent: None,
            at: Time(HOUR_MS),
        }
        };
        let sums = HourlySums::of(&[voided(true), voided(false)]);
        let counted: Vec<_> = sums.0.into_iter().collect();
        assert_eq!(counted.len(), 1);
        assert_eq!(
            (counted[0].0.figure, counted[0].1),
            (Figure::TicketsVoided, 1)
        );
    }

    #[test]
    fn money_that_was_charged_back_counts_in_the_hour_and_its_return_counts_against_it() {
        let disputed = |charged_back: i64| OutboxRow {
            position: 1,
            id: "evt_1".into(),
            event: "night".into(),
            aggregate_type: "payment".into(),
            aggregate_id: "ord_1".into(),
            event_type: EventType::PaymentDisputed.as_str().into(),
            payload: json!({"schema": 1, "event": "night", "payment": "pay_1", "order": "ord_1",
                "provider": "stripe", "attempt": 1, "amount": {"amount": 9000, "currency": "EUR"},
                "refunded": {"amount": 0, "currency": "EUR"},
                "charged_back": {"amount": charged_back, "currency": "EUR"}})
            .to_string(),
            traceparent: None,
            at: Time(HOUR_MS),
        };
        let sums = HourlySums::of(&[disputed(9000), disputed(-9000), disputed(4500)]);
        let stored = sums.0.into_iter().map(|(key, value)| StoredSum {
            hour: key.hour,
            figure: key.figure.as_str().to_owned(),
            category: key.category,
            currency: key.currency,
            value,
        });
        let hours = hours_of(stored.collect());
        assert_eq!(hours[0].money[0].charged_back.amount, 4500);
    }
}
