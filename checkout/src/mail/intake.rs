//! The mails' place in the outbox: rows for new mails are added in the transaction that moves it, so
//! that each event has its mail once.

use crate::app::Shop;
use crate::inventory::Refused;
use crate::inventory::mail::{MailKind, MailQueue, NewMail};
use crate::inventory::outbox::{
    EventType, OUTBOX_ROWS_MAX, OrderPayload, OutboxRow, PaymentPayload, TicketPayload,
};
use crate::outbox_intake::{self, Batch, Intake};
use async_trait::async_trait;
use std::sync::Arc;

/// Name under which mail has its place in the outbox.
pub(crate) const CONSUMER: &str = "mail";

/// Runs until the stop signal.
pub(super) async fn run(shop: &Arc<Shop>) {
    let intake = MailIntake(shop.inventory.mails());
    outbox_intake::run(&intake, shop.inventory.outbox(), &shop.site.stop).await;
}

struct MailIntake<'a>(&'a dyn MailQueue);

#[async_trait]
impl Intake for MailIntake<'_> {
    const CONSUMER: &'static str = CONSUMER;
    const ROWS_MAX: u32 = OUTBOX_ROWS_MAX;

    async fn is_wanted(&self) -> Result<bool, Refused> {
        Ok(true)
    }

    async fn take_in(&self, batch: Batch<'_>) -> Result<bool, Refused> {
        let mails = batch.rows.iter().filter_map(mail_of).collect();
        self.0
            .take_in(CONSUMER, batch.owner, batch.shard, batch.position, mails)
            .await
    }
}

/// Returns the mail that follows from an event, if one does.
fn mail_of(row: &OutboxRow) -> Option<NewMail> {
    let mut id = row.id.clone();
    let is = |event_type: EventType| row.event_type == event_type.as_str();
    let (kind, detail) = match () {
        () if is(EventType::OrderConfirmed) => (MailKind::Confirmed, String::new()),
        () if is(EventType::TicketIssued) => {
            let ticket: TicketPayload = serde_json::from_str(&row.payload).ok()?;
            // All tickets of one move have the same time, and one mail.
            id = format!("mail_moved_{}_{}", row.aggregate_id, row.at.0);
            ticket
                .moved
                .then_some((MailKind::Confirmed, String::new()))?
        }
        () if is(EventType::OrderCancelled) => (MailKind::Cancelled, String::new()),
        () if is(EventType::PaymentRefunded) => {
            let payment: PaymentPayload = serde_json::from_str(&row.payload).ok()?;
            (
                MailKind::Refunded,
                serde_json::to_string(&payment.returned?).ok()?,
            )
        }
        // An order that cost nothing has no payment whose refund would tell.
        () if is(EventType::OrderRefunded) => {
            let order: OrderPayload = serde_json::from_str(&row.payload).ok()?;
            let is_free = order.total.amount == 0;
            (
                MailKind::Refunded,
                serde_json::to_string(&is_free.then_some(order.total)?).ok()?,
            )
        }
        () => return None,
    };
    Some(NewMail {
        id,
        event: row.event.clone(),
        order: row.aggregate_id.clone(),
        kind,
        detail,
        created_at: row.at,
    })
}
