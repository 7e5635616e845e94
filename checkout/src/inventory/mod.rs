//! The inventory: domain types, the contract of every engine, and `open(url)`, the only place that knows which
//! engine runs.

mod best_available;
mod commands;
mod event_state;
pub mod layout;
mod model;
mod money;
mod postgres;
mod records;
mod rules;
pub mod seat_map;
mod service;
mod sqlite;

pub use layout::Layout;
pub use model::*;
pub use postgres::Postgres;
pub use rules::{Orphans, Rules, RulesPatch};
pub use seat_map::SeatMap;
pub use sqlite::Sqlite;

use async_trait::async_trait;
use shared::audit::SharedAuditLog;
use shared::data_dir::DataFolder;
use shared::http::idempotency::Attempt;
use shared::ids::EventId;
use shared::time::{Clock, Time};
use std::sync::Arc;
use std::time::Duration;

/// The seats, sessions, holds, orders and payments of all events. Every operation is one atomic step, timed by the
/// store's clock, and durable before it returns. With an `Attempt` it happens once, and repetitions get the same
/// answer.
#[async_trait]
pub trait Inventory: Send + Sync {
    /// Returns the current time of the store's clock.
    fn now(&self) -> Time;

    /// Sets the seating plan and returns its version. A plan is replaced only while none of its seats is held or
    /// booked.
    async fn set_seating(&self, event: &EventId, layout: Layout) -> Result<u32, Refused>;

    /// Returns the layout and the state of every seat, from memory, at most one second old.
    fn seat_map(&self, event: &EventId) -> Option<Arc<SeatMap>>;

    /// Returns all seat maps.
    fn seat_maps(&self) -> Vec<Arc<SeatMap>>;

    /// Returns whether the seat map may be out of date because the store cannot be reached.
    fn is_stale(&self, event: &EventId) -> bool;

    /// Returns the time for which the event's store has answered this node without a break.
    fn reached_for(&self, event: &EventId) -> Duration;

    /// Publishes new versions of the seat maps.
    async fn publish(&self) -> Result<(), Refused>;

    /// Returns the selling rules.
    async fn rules(&self, event: &EventId) -> Result<Rules, Refused>;

    /// Changes selling rules and returns the rules before and after.
    async fn set_rules(
        &self,
        event: &EventId,
        patch: RulesPatch,
    ) -> Result<(Rules, Rules), Refused>;

    /// Opens a session for an admission, once. A second session with the same `jti` is refused; repeating the
    /// request for the same session is not.
    async fn open_session(&self, session: NewSession) -> Result<Once<Session>, Refused>;

    /// Returns the session with one of these keys, whether it is over or not.
    async fn session(&self, keys: SessionKeys, event: Option<EventId>) -> Result<Session, Refused>;

    /// Ends a session: releases its active holds and reports its end to the waiting room.
    async fn end_session(&self, keys: SessionKeys, event: &EventId) -> Result<(), Refused>;

    /// Holds all of the seats or none. Seats of lapsed holds may be taken.
    async fn hold(
        &self,
        keys: SessionKeys,
        event: &EventId,
        wish: Wish,
        attempt: Option<Attempt>,
    ) -> Result<Once<Hold>, Refused>;

    /// Returns a hold of the session's visitor.
    async fn show_hold(&self, keys: SessionKeys, hold: &str) -> Result<Hold, Refused>;

    /// Releases the seats of a hold. An order that is not being paid is cancelled first. Releasing twice is not an
    /// error.
    async fn release(&self, keys: SessionKeys, hold: &str) -> Result<(), Refused>;

    /// Converts an active hold into an order and freezes its seats for the payment.
    async fn order(
        &self,
        keys: SessionKeys,
        hold: &str,
        buyer: Buyer,
        attempt: Option<Attempt>,
    ) -> Result<Once<Order>, Refused>;

    /// Returns an order.
    async fn show_order(&self, reader: Reader, order: &str) -> Result<Order, Refused>;

    /// Returns the orders of the visitors with these sessions, newest first, across the events of the sessions.
    async fn own_orders(&self, keys: SessionKeys) -> Result<Vec<Order>, Refused>;

    /// Marks a payment as requested from the provider. The provider is called only after this is committed.
    async fn begin_payment(
        &self,
        keys: SessionKeys,
        payment: &str,
        attempt: Option<Attempt>,
    ) -> Result<Begun, Refused>;

    /// Applies the provider's verdict. The order is then booked, declined or still waiting, or the money must be
    /// refunded. A decline that was asked for before the provider promised to decide later changes nothing.
    async fn settle(
        &self,
        payment: &PaymentRef,
        verdict: Verdict,
        attempt: Option<Attempt>,
    ) -> Result<Order, Refused>;

    /// Marks a confirmed order as being refunded. The provider is called only after this is committed.
    async fn begin_refund(&self, event: &EventId, order: &str) -> Result<PaymentRef, Refused>;

    /// Records that the money was refunded, and makes the seats available again.
    async fn refunded(&self, payment: &PaymentRef) -> Result<Order, Refused>;

    /// Returns the newest orders, at most `limit`.
    async fn orders(&self, event: &EventId, limit: u32) -> Result<Vec<Order>, Refused>;

    /// Returns the sales figures.
    async fn sales(&self, event: &EventId) -> Result<Sales, Refused>;

    /// Withdraws available seats from sale, or puts blocked ones back; all of them or none.
    async fn block(
        &self,
        event: &EventId,
        seats: Vec<String>,
        change: Block,
    ) -> Result<(), Refused>;

    /// Performs one bounded step of the work caused by time: releases lapsed holds and orders, and returns the
    /// payments about which the provider must be asked.
    async fn sweep(&self) -> Result<Swept, Refused>;

    /// Returns the reports that the waiting room has not received yet.
    async fn reports(&self) -> Result<Vec<Report>, Refused>;

    /// Marks reports as received by the waiting room.
    async fn reported(&self, reports: Vec<Report>) -> Result<(), Refused>;

    /// Returns the databases over which events are distributed; empty for SQLite.
    async fn shards(&self) -> Result<Vec<ShardView>, Refused>;

    /// Moves all data of an event to another database. Refused while fans are inside, hold seats or pay.
    async fn move_event(&self, event: &EventId, shard: &str) -> Result<(), Refused>;

    /// Removes all data of an event, including ended sessions and holds. Refused for good once there has been a
    /// booking or a payment, and for the time being while seats are held or a payment is under way; a refusal
    /// changes nothing.
    async fn remove(&self, event: &EventId) -> Result<(), Refused>;
}

/// Opens the engine that a URL names, with the audit log shared by all nodes, if the engine has one.
///
/// # Errors
/// A sentence for the operator.
pub async fn open(
    url: &str,
    folder: &DataFolder,
    clock: Clock,
) -> Result<(Arc<dyn Inventory>, Option<Arc<dyn SharedAuditLog>>), String> {
    match url {
        "sqlite" => {
            let sqlite = Sqlite::open(&folder.join("inventory.sqlite"), clock)?;
            Ok((Arc::new(sqlite), None))
        }
        url if is_postgres(url) => {
            let postgres = Arc::new(Postgres::open(url, clock).await?);
            Ok((postgres.clone(), Some(postgres)))
        }
        _ => Err("FAIRLINE_INVENTORY: 'sqlite' or 'postgres://…'".to_owned()),
    }
}

/// Checks a URL without opening it.
///
/// # Errors
/// A sentence for the operator.
pub fn check_url(url: &str) -> Result<(), String> {
    if url == "sqlite" {
        Ok(())
    } else {
        postgres::check(url)
    }
}

/// Returns whether a URL names a Postgres database.
pub fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}
