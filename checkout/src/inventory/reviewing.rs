//! The inventory's operations on payments that need a look.

use super::command::Subject;
use super::commands::Target;
use super::model::*;
use super::order_details::{OrderDetails, review};
use super::service::Inventory;
use futures_util::future::try_join_all;
use shared::ids::EventId;

/// How a payment that needs a look is settled through its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settling {
    /// The order.
    pub order: String,
    /// The payment.
    pub payment: String,
    /// The settlement.
    pub how: Settlement,
    /// Seats whose money was given back, for `TakeBackSeats`.
    pub seats: Vec<String>,
}

/// How a payment is settled outside of its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlingOutside {
    /// The order.
    pub order: String,
    /// The payment.
    pub payment: String,
    /// The outcome.
    pub outcome: OutsideOutcome,
    /// Note of the organiser on how it was settled.
    pub note: String,
}

impl Inventory {
    /// Returns an order with everything about its money.
    pub async fn order_details(
        &self,
        event: &EventId,
        order: &str,
    ) -> Result<OrderDetails, Refused> {
        let order = order.to_owned();
        let subject = Subject::fresh(event, Target::Order(order.clone()));
        self.decide(subject, move |work| {
            let row = work.records.order(&order).ok_or(Refused::NoSuchOrder)?;
            Ok(OrderDetails::of(work.event_state, row))
        })
        .await
    }

    /// Returns the payments of all events that need a look, a bounded number.
    pub async fn reviews(&self) -> Result<Vec<PaymentReview>, Refused> {
        self.reviews_of(None).await
    }

    /// As `reviews`, of one event or of all.
    pub(super) async fn reviews_of(
        &self,
        event: Option<&EventId>,
    ) -> Result<Vec<PaymentReview>, Refused> {
        let found = self.in_review().await?.into_iter();
        let found = found.filter(|payment| event.is_none_or(|event| payment.event == *event));
        let each = found.map(async |payment| {
            let subject = Subject::fresh(&payment.event, Target::Order(payment.order.clone()));
            let shown = self.decide(subject, move |work| {
                let row = work.records.order(&payment.order);
                let row = row.ok_or(Refused::NoSuchOrder)?;
                let paid = work.payment_row(&payment.order, &payment.id);
                Ok(paid.and_then(|paid| review(work.event_state, row, paid)))
            });
            match shown.await {
                // It was settled, or removed, meanwhile.
                Err(Refused::NoSuchOrder | Refused::NoSuchEvent) => Ok(None),
                shown => shown,
            }
        });
        let shown: Vec<Option<PaymentReview>> = try_join_all(each).await?;
        Ok(shown.into_iter().flatten().collect())
    }

    /// Settles a payment that needs a look. The provider is asked only after this is committed.
    pub async fn settle_review(
        &self,
        event: &EventId,
        settling: Settling,
    ) -> Result<Settled, Refused> {
        let subject = Subject::fresh(event, Target::Order(settling.order.clone()));
        self.decide(subject, move |work| work.settle_review(&settling))
            .await
    }

    /// Settles a payment that needs a look outside of its provider.
    pub async fn settle_outside(
        &self,
        event: &EventId,
        settling: SettlingOutside,
    ) -> Result<Order, Refused> {
        let subject = Subject::fresh(event, Target::Order(settling.order.clone()));
        self.decide(subject, move |work| work.settle_outside(&settling))
            .await
    }

    /// Records a dispute of a payment as its provider tells it. `end` is the end of the dispute that
    /// the books had before the provider was asked, if they had one.
    pub async fn disputed(
        &self,
        payment: &PaymentRef,
        report: DisputeReport,
        end: Option<DisputeReport>,
    ) -> Result<HeardDispute, Refused> {
        let payment = payment.clone();
        let subject = Subject::fresh(&payment.event, Target::Order(payment.order.clone()));
        self.decide(subject, move |work| {
            work.disputed(&payment, &report, end.as_ref())
        })
        .await
    }

    /// Records what was refunded at the provider itself, of which `theirs` is the sum that it has
    /// given back, in minor units. Returns what is new of it; `None` if that is to be asked again, as
    /// a refund of ours is under way.
    pub async fn refunded_elsewhere(
        &self,
        payment: &PaymentRef,
        theirs: i64,
    ) -> Result<Option<i64>, Refused> {
        let payment = payment.clone();
        let subject = Subject::fresh(&payment.event, Target::Order(payment.order.clone()));
        self.decide(subject, move |work| {
            work.refunded_elsewhere(&payment, theirs)
        })
        .await
    }
}
