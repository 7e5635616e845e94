//! The mails' place in the outbox: rows for new mails are added in the transaction that moves it, so
//! that each event has its mail once. Many nodes share the work by leases on shards of the outbox.

use crate::app::Shop;
use crate::inventory::Refused;
use crate::inventory::mail::{MailKind, MailQueue, NewMail};
use crate::inventory::outbox::{
    EventType, LEASE_SECONDS, OUTBOX_ROWS_MAX, OrderPayload, Outbox, OutboxLease, OutboxRow,
    PaymentPayload,
};
use shared::crypto::random_id;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Name under which mail has its place in the outbox.
pub(crate) const CONSUMER: &str = "mail";
/// Pause while there is nothing new.
const IDLE: Duration = Duration::from_millis(500);
/// Time after which leases are renewed: a third of the time for which they are given.
const RENEW_AFTER: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 3);

/// Runs until the stop signal.
pub(super) async fn run(shop: &Arc<Shop>) {
    let mut intake = Intake::new(shop.inventory.outbox(), shop.inventory.mails());
    while !shop.site.stop.is_cancelled() {
        let wait = match intake.round().await {
            Ok(true) => Duration::ZERO,
            // While the store is away it says so itself.
            Ok(false) | Err(_) => IDLE,
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = shop.site.stop.cancelled() => {}
        }
    }
    // Otherwise they end by themselves.
    let _ = intake.outbox.release(CONSUMER, &intake.owner).await;
}

/// The work of this node.
struct Intake<'a> {
    outbox: &'a dyn Outbox,
    mails: &'a dyn MailQueue,
    /// Name by which this process holds its leases.
    owner: String,
    leases: Vec<OutboxLease>,
    leased_at: Option<Instant>,
}

impl<'a> Intake<'a> {
    fn new(outbox: &'a dyn Outbox, mails: &'a dyn MailQueue) -> Intake<'a> {
        Intake {
            outbox,
            mails,
            owner: random_id("mail_"),
            leases: Vec::new(),
            leased_at: None,
        }
    }

    /// Takes the next events of each shard in. Returns whether there may be more.
    async fn round(&mut self) -> Result<bool, Refused> {
        let is_due = |at: Instant| at.elapsed() >= RENEW_AFTER;
        if self.leased_at.is_none_or(is_due) {
            let asked_at = Instant::now();
            self.leases = self.outbox.lease(CONSUMER, &self.owner).await?;
            self.leased_at = Some(asked_at);
        }
        let mut has_more = false;
        for OutboxLease { shard, position } in &mut self.leases {
            let rows = match self.outbox.read(*shard, *position, OUTBOX_ROWS_MAX).await {
                Ok(rows) => rows,
                // Another server answers, or one does not: its leases are asked for anew.
                Err(_) => {
                    self.leased_at = None;
                    continue;
                }
            };
            let Some(last) = rows.last().map(|row| row.position) else {
                continue;
            };
            let mails = rows.iter().filter_map(mail_of).collect();
            let taken = self
                .mails
                .take_in(CONSUMER, &self.owner, *shard, last, mails);
            if taken.await? {
                *position = last;
                has_more |= rows.len() == OUTBOX_ROWS_MAX as usize;
            } else {
                self.leased_at = None;
            }
        }
        Ok(has_more)
    }
}

/// Returns the mail that follows from an event, if one does.
fn mail_of(row: &OutboxRow) -> Option<NewMail> {
    let is = |event_type: EventType| row.event_type == event_type.as_str();
    let (kind, detail) = match () {
        () if is(EventType::OrderConfirmed) => (MailKind::Confirmed, String::new()),
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
        id: row.id.clone(),
        event: row.event.clone(),
        order: row.aggregate_id.clone(),
        kind,
        detail,
        created_at: row.at,
    })
}
