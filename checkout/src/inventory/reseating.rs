//! The operation that moves tickets of a confirmed order to other seats.

use super::command::Subject;
use super::commands::Target;
use super::model::*;
use super::reseat::{Reseat, Reseated};
use super::service::Inventory;
use shared::http::idempotency::Attempt;
use shared::ids::EventId;

impl Inventory {
    /// Moves tickets of a confirmed order to other seats, all or none, or shows what that would come to.
    /// Old seats are released and new ones booked in one step; a refund of the difference begins with
    /// it, and is returned.
    pub async fn reseat(
        &self,
        event: &EventId,
        order: &str,
        reseat: &Reseat,
        attempt: Option<Attempt>,
    ) -> Result<(Once<Reseated>, Option<PaymentRef>), Refused> {
        let (order, reseat) = (order.to_owned(), reseat.clone());
        let subject = Subject::fresh(event, Target::Order(order.clone())).once(attempt.as_ref());
        self.decide(subject, move |work| {
            let once = work.reseat(&order, &reseat, attempt.as_ref())?;
            Ok((once, work.open_refund_of(&order)))
        })
        .await
    }
}
