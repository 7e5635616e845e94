//! An inventory that stops for ever before a chosen operation, as at the death of its process.

use async_trait::async_trait;
use checkout::inventory::hourly_sales::HourlySalesStore;
use checkout::inventory::mail::MailQueue;
use checkout::inventory::outbox::{LineLogStore, Outbox, OutboxEntry};
use checkout::inventory::webhooks::WebhookStore;
use checkout::inventory::*;
use shared::ids::EventId;
use shared::time::Time;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Notify;

/// The death of a process, at an operation on its store.
pub(crate) struct Death {
    /// Number of operations that are still carried out.
    left: AtomicUsize,
    has_come: AtomicBool,
    /// Notified once it has come.
    pub(crate) come: Arc<Notify>,
}

impl Default for Death {
    /// Returns one that does not come.
    fn default() -> Death {
        Death {
            left: AtomicUsize::new(usize::MAX),
            has_come: AtomicBool::new(false),
            come: Arc::default(),
        }
    }
}

impl Death {
    /// Lets it come before the operation after so many.
    pub(crate) fn come_after(&self, operations: usize) {
        self.left.store(operations, SeqCst);
    }

    /// Counts an operation that changes what is stored.
    async fn pass(&self) {
        let less = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(SeqCst, SeqCst, less).is_err() {
            self.come.notify_one();
            self.has_come.store(true, SeqCst);
        }
        self.stop().await;
    }

    /// Stops whatever goes on after it.
    async fn stop(&self) {
        if self.has_come.load(SeqCst) {
            pending::<()>().await;
        }
    }
}

/// An inventory whose process dies.
pub(crate) struct Mortal {
    pub(crate) living: Inventory,
    pub(crate) death: Arc<Death>,
}

#[async_trait]
impl Engine for Mortal {
    fn now(&self) -> Time {
        self.living.now()
    }
    fn seat_map(&self, event: &EventId) -> Option<Arc<SeatMap>> {
        self.living.seat_map(event)
    }
    fn seat_maps(&self) -> Vec<Arc<SeatMap>> {
        self.living.seat_maps()
    }
    fn is_stale(&self, event: &EventId) -> bool {
        self.living.is_stale(event)
    }
    fn reached_for(&self, event: &EventId) -> Duration {
        self.living.reached_for(event)
    }
    async fn submit(&self, command: Box<Command>) -> Result<(), Refused> {
        self.death.pass().await;
        self.living.submit(command).await
    }
    async fn set_seating(&self, event: &EventId, layout: Layout) -> Result<u32, Refused> {
        self.death.stop().await;
        self.living.set_seating(event, layout).await
    }
    async fn change_seating(
        &self,
        event: &EventId,
        layout: Layout,
        confirmation: &str,
    ) -> Result<u32, Refused> {
        self.death.stop().await;
        let living = &self.living;
        living.change_seating(event, layout, confirmation).await
    }
    async fn blocks(&self, event: &EventId) -> Result<StoredBlocks, Refused> {
        self.death.stop().await;
        self.living.blocks(event).await
    }
    async fn rules(&self, event: &EventId) -> Result<Rules, Refused> {
        self.death.stop().await;
        self.living.rules(event).await
    }
    async fn set_rules(
        &self,
        event: &EventId,
        patch: RulesPatch,
    ) -> Result<(Rules, Rules), Refused> {
        self.death.stop().await;
        self.living.set_rules(event, patch).await
    }
    async fn orders(&self, event: &EventId, page: &OrderPage) -> Result<Vec<Order>, Refused> {
        self.death.stop().await;
        self.living.orders(event, page).await
    }
    async fn sales(&self, event: &EventId) -> Result<Sales, Refused> {
        self.death.stop().await;
        self.living.sales(event).await
    }
    async fn refund_sums(&self, event: &EventId) -> Result<Vec<RefundSum>, Refused> {
        self.death.stop().await;
        self.living.refund_sums(event).await
    }
    async fn remove(&self, event: &EventId) -> Result<(), Refused> {
        self.death.stop().await;
        self.living.remove(event).await
    }
    async fn lapsed(&self, event: Option<&EventId>) -> Result<Vec<LapsedVisitor>, Refused> {
        self.death.stop().await;
        self.living.lapsed(event).await
    }
    async fn late(&self) -> Result<Vec<LateOrder>, Refused> {
        self.death.stop().await;
        self.living.late().await
    }
    async fn due(&self) -> Result<Vec<DuePayment>, Refused> {
        self.death.stop().await;
        self.living.due().await
    }
    async fn payments(&self, from: Time, to: Time) -> Result<Vec<BookedPayment>, Refused> {
        self.death.stop().await;
        self.living.payments(from, to).await
    }
    async fn in_review(&self) -> Result<Vec<PaymentRef>, Refused> {
        self.death.stop().await;
        self.living.in_review().await
    }
    async fn has_received(&self, id: &str) -> Result<bool, Refused> {
        self.death.stop().await;
        self.living.has_received(id).await
    }
    async fn receive(&self, event: InboxEvent) -> Result<(), Refused> {
        self.death.pass().await;
        self.living.receive(event).await
    }
    async fn parked(&self) -> Result<Vec<InboxEvent>, Refused> {
        self.death.stop().await;
        self.living.parked().await
    }
    async fn prune(&self) -> Result<(), Refused> {
        self.death.stop().await;
        self.living.prune().await
    }
    async fn publish(&self) -> Result<(), Refused> {
        self.death.stop().await;
        self.living.publish().await
    }
    async fn admission(&self, session: &SessionKey) -> Result<Option<String>, Refused> {
        self.death.stop().await;
        self.living.admission(session).await
    }
    async fn extend_session(
        &self,
        session: &SessionKey,
        token: &str,
        until: Time,
    ) -> Result<(), Refused> {
        self.death.stop().await;
        self.living.extend_session(session, token, until).await
    }
    async fn reports(&self) -> Result<Vec<Report>, Refused> {
        self.death.stop().await;
        self.living.reports().await
    }
    async fn reported(&self, reports: Vec<Report>) -> Result<(), Refused> {
        self.death.stop().await;
        self.living.reported(reports).await
    }
    async fn ticket(&self, event: &EventId, id: &str) -> Result<Option<DoorTicket>, Refused> {
        self.death.stop().await;
        self.living.ticket(event, id).await
    }
    async fn set_check_in(
        &self,
        event: &EventId,
        id: &str,
        check_in: Option<CheckIn>,
        told: OutboxEntry,
    ) -> Result<Option<CheckIn>, Refused> {
        self.death.stop().await;
        self.living.set_check_in(event, id, check_in, told).await
    }
    async fn tickets(
        &self,
        event: &EventId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<DoorTicket>, Refused> {
        self.death.stop().await;
        self.living.tickets(event, after, limit).await
    }
    async fn door_figures(&self, event: &EventId) -> Result<DoorFigures, Refused> {
        self.death.stop().await;
        self.living.door_figures(event).await
    }
    async fn invoices(&self, event: &EventId, order: &str) -> Result<Vec<Invoice>, Refused> {
        self.death.stop().await;
        self.living.invoices(event, order).await
    }
    async fn buyers(&self, after: Option<&OrderKey>) -> Result<Vec<StoredBuyer>, Refused> {
        self.death.stop().await;
        self.living.buyers(after).await
    }
    async fn buyer(&self, order: &OrderKey) -> Result<Option<StoredBuyer>, Refused> {
        self.death.stop().await;
        self.living.buyer(order).await
    }
    async fn set_buyers(&self, changes: Vec<BuyerChange>) -> Result<(), Refused> {
        self.death.stop().await;
        self.living.set_buyers(changes).await
    }
    async fn purge_visits(&self, kept_ms: i64) -> Result<bool, Refused> {
        self.death.stop().await;
        self.living.purge_visits(kept_ms).await
    }
    fn outbox(&self) -> &dyn Outbox {
        self.living.outbox()
    }
    fn mails(&self) -> &dyn MailQueue {
        self.living.mails()
    }
    fn line_mails(&self) -> &dyn LineMailStore {
        self.living.line_mails()
    }

    fn line_messages(&self) -> &dyn LineMessageStore {
        self.living.line_messages()
    }

    fn webhooks(&self) -> &dyn WebhookStore {
        self.living.webhooks()
    }
    fn hourly_sales(&self) -> &dyn HourlySalesStore {
        self.living.hourly_sales()
    }
    fn line_log(&self) -> &dyn LineLogStore {
        self.living.line_log()
    }
    async fn shards(&self) -> Result<Vec<ShardView>, Refused> {
        self.death.stop().await;
        self.living.shards().await
    }
    async fn move_event(&self, event: &EventId, shard: &str) -> Result<(), Refused> {
        self.death.stop().await;
        self.living.move_event(event, shard).await
    }
}
