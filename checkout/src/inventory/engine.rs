//! The contract of a storage engine.

use super::block_note::StoredBlocks;
use super::command::{Command, Subject};
use super::commands::UnitOfWork;
use super::door_ticket::{CheckIn, DoorFigures, DoorTicket};
use super::hourly_sales::HourlySalesStore;
use super::line_mail::LineMailStore;
use super::line_messages::LineMessageStore;
use super::mail::MailQueue;
use super::model::*;
use super::order_page::OrderPage;
use super::outbox::{LineLogStore, Outbox, OutboxEntry};
use super::personal::{BuyerChange, OrderKey, StoredBuyer};
use super::refund_sums::RefundSum;
use super::rules::{Rules, RulesPatch};
use super::sales::Sales;
use super::webhooks::WebhookStore;
use super::{Invoice, Layout, SeatMap};
use async_trait::async_trait;
use shared::group_commit::{ANSWER_SECONDS_MAX, Unavailable};
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Largest number of lapsed holds, and of late orders, in one sweep.
pub(super) const SWEEP_MAX: usize = 500;
/// Time after which a payment provider that has not answered is asked about the payment.
pub(super) const SILENCE_MS: i64 = 15_000;
/// Largest number of payments found by one sweep.
pub(super) const DUE_MAX: i64 = 200;
/// Largest number of payments in a list of those that need a look, of each database.
pub(super) const REVIEWS_MAX: i64 = 200;

/// Largest number of buyers in one step.
pub(super) const BUYERS_MAX: usize = 500;
/// Largest number of sessions, and of holds, deleted by one step.
pub(super) const VISITS_MAX: i64 = 500;

/// Time after `pay_by` at which seats are released though a provider has not answered whether their
/// payment is cancelled. Money that comes later is given back, or books what is free.
pub(super) const VOIDING_MS_MAX: i64 = 15 * 60_000;
/// Longest pause before the provider is asked about a payment again; it doubles each time.
const PAUSE_MS_MAX: i64 = 5 * 60_000;
/// Largest number of parked webhooks that are looked at in one round.
pub(super) const PARKED_MAX: i64 = 100;
/// Time for which webhooks are kept, longer than any provider sends one again.
pub(super) const INBOX_SECONDS: i64 = 30 * 24 * 3600;

/// Returns the time for which a payment is left to the node that asks about it, and after which it
/// is asked about again.
pub(super) fn lease_ms(tries: i64) -> i64 {
    (SILENCE_MS << tries.clamp(0, 10)).min(PAUSE_MS_MAX)
}

/// An order whose time to pay is over.
pub struct LateOrder {
    pub(super) event: EventId,
    pub(super) id: String,
}

/// A visitor with seats whose hold is over.
pub struct LapsedVisitor {
    pub(super) event: EventId,
    pub(super) visitor: VisitorId,
}

/// A storage engine: runs decisions, one at a time for a visitor, and makes their changes durable
/// before it answers. Every operation is one atomic step, timed by the store's clock.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Returns the current time of the store's clock.
    fn now(&self) -> Time;

    /// Returns the layout and the state of every seat, from memory, at most one second old.
    fn seat_map(&self, event: &EventId) -> Option<Arc<SeatMap>>;

    /// Returns all seat maps.
    fn seat_maps(&self) -> Vec<Arc<SeatMap>>;

    /// Returns whether the seat map may be out of date because the store cannot be reached.
    fn is_stale(&self, event: &EventId) -> bool;

    /// Returns the time for which the event's store has answered this node without a break.
    fn reached_for(&self, event: &EventId) -> Duration;

    /// Has a command decided; its answer is sent once its changes are durable. The decision may be
    /// made again, when the records it was made on turned out to be old.
    ///
    /// # Errors
    /// If there is no such event, or the store cannot be reached. No answer is sent then.
    async fn submit(&self, command: Box<Command>) -> Result<(), Refused>;

    /// Sets the seating plan and returns its version. A plan is replaced only while none of its
    /// seats is held or booked.
    async fn set_seating(&self, event: &EventId, layout: Layout) -> Result<u32, Refused>;

    /// Replaces the seating plan while seats may be held or sold, if the difference is the one that
    /// was confirmed, and returns its version. Seats that are held or sold stay so, with their
    /// labels and prices.
    ///
    /// # Errors
    /// `Invalid` with all faults; `PlanDiffers` with the difference of now; `NoSuchEvent` without a
    /// plan.
    async fn change_seating(
        &self,
        event: &EventId,
        layout: Layout,
        confirmation: &str,
    ) -> Result<u32, Refused>;

    /// Returns the selling rules.
    async fn rules(&self, event: &EventId) -> Result<Rules, Refused>;

    /// Changes selling rules and returns the rules before and after.
    async fn set_rules(
        &self,
        event: &EventId,
        patch: RulesPatch,
    ) -> Result<(Rules, Rules), Refused>;

    /// Returns a page of an event's orders, the newest first. No sale waits for it.
    async fn orders(&self, event: &EventId, page: &OrderPage) -> Result<Vec<Order>, Refused>;

    /// Returns the blocked seats with their notes. No sale waits for it.
    async fn blocks(&self, event: &EventId) -> Result<StoredBlocks, Refused>;

    /// Returns the sales figures.
    async fn sales(&self, event: &EventId) -> Result<Sales, Refused>;

    /// Returns what went back of an event's money and what has yet to, by currency. No sale waits for
    /// it.
    async fn refund_sums(&self, event: &EventId) -> Result<Vec<RefundSum>, Refused>;

    /// Removes all data of an event, including ended sessions and holds. Refused for good once
    /// there has been a booking or a payment, and for the time being while seats are held or a
    /// payment is under way; a refusal changes nothing.
    async fn remove(&self, event: &EventId) -> Result<(), Refused>;

    /// Returns visitors with seats whose hold is over, or whose show was cancelled, of one event or of
    /// all, at most `SWEEP_MAX`.
    async fn lapsed(&self, event: Option<&EventId>) -> Result<Vec<LapsedVisitor>, Refused>;

    /// Returns orders whose time to pay is over, at most `SWEEP_MAX`.
    async fn late(&self) -> Result<Vec<LateOrder>, Refused>;

    /// Takes payments whose next step is due, at most `DUE_MAX`. Each is left to the caller for a
    /// while, which grows with every time it is taken without a change.
    async fn due(&self) -> Result<Vec<DuePayment>, Refused>;

    /// Returns the payments that a provider has heard of in this period, from the first instant to
    /// before the last.
    async fn payments(&self, from: Time, to: Time) -> Result<Vec<BookedPayment>, Refused>;

    /// Returns payments that need a look, at most `REVIEWS_MAX` of each database.
    async fn in_review(&self) -> Result<Vec<PaymentRef>, Refused>;

    /// Returns whether a webhook has acted, or is parked.
    async fn has_received(&self, id: &str) -> Result<bool, Refused>;

    /// Records a webhook. Recording it again changes only whether it is parked.
    async fn receive(&self, event: InboxEvent) -> Result<(), Refused>;

    /// Takes parked webhooks, at most `PARKED_MAX`, the oldest first. Each comes again after a
    /// while.
    async fn parked(&self) -> Result<Vec<InboxEvent>, Refused>;

    /// Deletes outdated data, a bounded number of rows.
    async fn prune(&self) -> Result<(), Refused>;

    /// Publishes new versions of the seat maps.
    async fn publish(&self) -> Result<(), Refused>;

    /// Returns the admission token of a session: the one that it was extended by, if it was. None
    /// where there is no such session, or it is over.
    async fn admission(&self, session: &SessionKey) -> Result<Option<String>, Refused>;

    /// Lets a session last until this time, by the admission token that does, unless it is over or
    /// lasts as long already.
    async fn extend_session(
        &self,
        session: &SessionKey,
        token: &str,
        until: Time,
    ) -> Result<(), Refused>;

    /// Returns the reports that the waiting room has not received yet.
    async fn reports(&self) -> Result<Vec<Report>, Refused>;

    /// Marks reports as received by the waiting room.
    async fn reported(&self, reports: Vec<Report>) -> Result<(), Refused>;

    /// Returns a ticket by its id, also one that was given back.
    async fn ticket(&self, event: &EventId, id: &str) -> Result<Option<DoorTicket>, Refused>;

    /// Checks a valid ticket in, if it is not, or takes that back, if it is; `told` is written if
    /// that changes something. Returns the check-in of before.
    ///
    /// # Errors
    /// `TicketVoid` if the ticket is not valid.
    async fn set_check_in(
        &self,
        event: &EventId,
        id: &str,
        check_in: Option<CheckIn>,
        told: OutboxEntry,
    ) -> Result<Option<CheckIn>, Refused>;

    /// Returns the tickets after an id, in order of ids, also those that were given back, at most
    /// `limit`.
    async fn tickets(
        &self,
        event: &EventId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<DoorTicket>, Refused>;

    /// Counts the check-ins.
    async fn door_figures(&self, event: &EventId) -> Result<DoorFigures, Refused>;

    /// Returns the invoice of an order, if it has one, and its credit notes.
    async fn invoices(&self, event: &EventId, order: &str) -> Result<Vec<Invoice>, Refused>;

    /// Returns orders with a buyer, in order of event and id, after this one, at most `BUYERS_MAX`.
    /// No sale waits for it.
    async fn buyers(&self, after: Option<&OrderKey>) -> Result<Vec<StoredBuyer>, Refused>;

    /// Returns the buyer of an order as stored, unless there is no such order.
    async fn buyer(&self, order: &OrderKey) -> Result<Option<StoredBuyer>, Refused>;

    /// Stores buyers anew, sealed with the current key, or erases them. One that was changed
    /// meanwhile stays as it is.
    async fn set_buyers(&self, changes: Vec<BuyerChange>) -> Result<(), Refused>;

    /// Deletes sessions that ended so long ago, and ended holds of visitors who have no session
    /// left, at most `VISITS_MAX` of each. Returns whether there may be more.
    async fn purge_visits(&self, kept_ms: i64) -> Result<bool, Refused>;

    /// Returns the events for other systems.
    fn outbox(&self) -> &dyn Outbox;

    /// Returns the mails to buyers.
    fn mails(&self) -> &dyn MailQueue;

    /// Returns the addresses of fans in line.
    fn line_mails(&self) -> &dyn LineMailStore;

    /// Returns the messages to fans in line, with their subscriptions and numbers.
    fn line_messages(&self) -> &dyn LineMessageStore;

    /// Returns the webhooks.
    fn webhooks(&self) -> &dyn WebhookStore;

    /// Returns the sales by the hour.
    fn hourly_sales(&self) -> &dyn HourlySalesStore;

    /// Returns the place of the outbox in the logs of the lines.
    fn line_log(&self) -> &dyn LineLogStore;

    /// Returns the databases over which events are distributed; empty for SQLite.
    async fn shards(&self) -> Result<Vec<ShardView>, Refused>;

    /// Moves all data of an event to another database. Refused while fans are inside, hold seats or
    /// pay.
    async fn move_event(&self, event: &EventId, shard: &str) -> Result<(), Refused>;
}

/// Has a decision made by an engine, and waits for its answer.
pub(super) async fn decide_with<T: Send + 'static>(
    engine: &dyn Engine,
    subject: Subject,
    decide: impl FnMut(&mut UnitOfWork<'_>) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let (command, answer) = subject.decided_by(decide);
    engine.submit(command).await?;
    match timeout(Duration::from_secs(ANSWER_SECONDS_MAX), answer).await {
        Ok(Ok(answer)) => answer,
        _ => Err(Unavailable.into()),
    }
}
