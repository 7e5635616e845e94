//! The inventory's operations on cancelled shows.

use super::command::Subject;
use super::commands::Target;
use super::model::*;
use super::records::OrderState;
use super::refund_sums::RefundSum;
use super::rules::RulesPatch;
use super::service::Inventory;
use serde::Serialize;
use shared::cancellation::Cancellation;
use shared::ids::EventId;
use utoipa::ToSchema;

/// Outcome of a cancellation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCancelled {
    /// The cancellation that holds: the first one.
    pub cancellation: Cancellation,
    /// Whether it is this one.
    pub is_new: bool,
}

/// Progress of a cancellation: what became of the orders and their money.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CancellationProgress {
    /// The event.
    pub event: EventId,
    /// The cancellation; null if the show was not cancelled: the figures then say what would be
    /// refunded.
    pub cancelled: Option<Cancellation>,
    /// Whether nothing is left to do: no order waits, is being paid or refunded, or needs a look, and
    /// no seat is held.
    pub done: bool,
    /// Number of orders that were sold, also of those that were refunded before.
    pub orders: u32,
    /// Number of confirmed orders whose refund has not begun.
    pub waiting: u32,
    /// Number of orders that are being refunded, without those that need a look.
    pub refunding: u32,
    /// Number of orders that were refunded.
    pub refunded: u32,
    /// Number of orders that are not paid for, and are being given up.
    pub paying: u32,
    /// Number of held seats.
    pub held: u32,
    /// Number of payments that need a look.
    pub failed: u32,
    /// These payments, each with the reason and what may be done about it. Some hundred at most.
    pub failures: Vec<PaymentReview>,
    /// Money by currency.
    pub money: Vec<RefundSum>,
}

impl Inventory {
    /// Cancels a show: from now on nothing of it is held, sold or checked in. Cancelling it again
    /// changes nothing.
    pub async fn cancel_event(
        &self,
        event: &EventId,
        reason: &str,
    ) -> Result<EventCancelled, Refused> {
        let own = Cancellation {
            reason: reason.to_owned(),
            at: self.now(),
        };
        let patch = RulesPatch {
            cancelled: Some(own.clone()),
            ..RulesPatch::default()
        };
        let (before, after) = self.set_rules(event, patch).await?;
        Ok(EventCancelled {
            cancellation: after.cancelled.unwrap_or(own),
            is_new: before.cancelled.is_none(),
        })
    }

    /// Gives up an order of a cancelled show that is not paid for, as if its time to pay were over.
    /// Returns the number of seats freed.
    pub async fn give_up_order(&self, event: &EventId, order: &str) -> Result<u32, Refused> {
        let order = order.to_owned();
        let subject = Subject::new(event, Target::Order(order.clone()));
        self.decide(subject, move |work| Ok(work.expire_order(&order)))
            .await
    }

    /// Returns what became of the orders of a show and of their money.
    pub async fn cancellation(&self, event: &EventId) -> Result<CancellationProgress, Refused> {
        let sales = self.sales(event).await?;
        let cancelled = self.rules(event).await?.cancelled;
        let failures = self.reviews_of(Some(event)).await?;
        let count = |state: OrderState| sales.orders.get(state.as_str()).copied().unwrap_or(0);
        let is_refunding =
            |failure: &&PaymentReview| failure.order_state == OrderState::Refunding.as_str();
        let stuck = failures.iter().filter(is_refunding).count() as u32;
        let waiting = count(OrderState::Confirmed);
        let all_refunding = count(OrderState::Refunding);
        let refunding = all_refunding.saturating_sub(stuck);
        let refunded = count(OrderState::Refunded);
        let unpaid = [
            OrderState::Paying,
            OrderState::Declined,
            OrderState::Confirming,
        ];
        let paying = unpaid.into_iter().map(count).sum();
        let is_left = waiting + refunding + paying + sales.held > 0 || !failures.is_empty();
        Ok(CancellationProgress {
            event: event.clone(),
            done: cancelled.is_some() && !is_left,
            cancelled,
            orders: waiting + all_refunding + refunded,
            waiting,
            refunding,
            refunded,
            paying,
            held: sales.held,
            failed: failures.len() as u32,
            failures,
            money: self.refund_sums(event).await?,
        })
    }
}
