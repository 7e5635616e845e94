//! The mails' place in the outbox: rows for new mails are added in the transaction that moves it, so
//! that each event has its mail once.

use crate::app::Shop;
use crate::inventory::mail::{MailKind, NewMail};
use crate::inventory::outbox::{
    EventType, OUTBOX_ROWS_MAX, OrderPayload, OutboxRow, PaymentPayload, TicketPayload,
};
use crate::inventory::{InLine, Inventory, Refused};
use crate::outbox_intake::{self, Batch, Intake};
use async_trait::async_trait;
use std::sync::Arc;

/// Name under which mail has its place in the outbox.
pub(crate) const CONSUMER: &str = "mail";

/// Runs until the stop signal.
pub(super) async fn run(shop: &Arc<Shop>) {
    let intake = MailIntake {
        inventory: &shop.inventory,
    };
    outbox_intake::run(&intake, shop.inventory.outbox(), &shop.site.stop).await;
}

struct MailIntake<'a> {
    inventory: &'a Inventory,
}

#[async_trait]
impl Intake for MailIntake<'_> {
    const CONSUMER: &'static str = CONSUMER;
    const ROWS_MAX: u32 = OUTBOX_ROWS_MAX;

    async fn is_wanted(&self) -> Result<bool, Refused> {
        Ok(true)
    }

    async fn take_in(&self, batch: Batch<'_>) -> Result<bool, Refused> {
        let mut mails: Vec<NewMail> = batch.rows.iter().filter_map(mail_of).collect();
        mails.extend(self.turns(&batch).await?);
        self.inventory
            .mails()
            .take_in(CONSUMER, batch.owner, batch.shard, batch.position, mails)
            .await
    }
}

impl MailIntake<'_> {
    /// Returns the mails to those admitted who left an address.
    async fn turns(&self, batch: &Batch<'_>) -> Result<Vec<NewMail>, Refused> {
        let turns = batch.rows.iter().filter_map(turn_of);
        let turns: Vec<(InLine, NewMail)> = turns.collect();
        if turns.is_empty() {
            return Ok(Vec::new());
        }
        let places = turns.iter().map(|(place, _)| place.clone()).collect();
        let known = self.inventory.line_mails().known(places).await?;
        let wanted = turns.into_iter().filter(|(place, _)| known.contains(place));
        Ok(wanted.map(|(_, mail)| mail).collect())
    }
}

/// Returns the place and the mail that follow from an admission.
fn turn_of(row: &OutboxRow) -> Option<(InLine, NewMail)> {
    let (place, admission) = InLine::admitted(row)?;
    let mail = NewMail {
        id: row.id.clone(),
        event: row.event.clone(),
        order: admission.visitor.to_string(),
        kind: MailKind::Turn,
        detail: serde_json::to_string(&admission.claim_by?).ok()?,
        created_at: row.at,
    };
    Some((place, mail))
}

/// Returns the mail that follows from an event of an order, if one does.
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
