//! The inventory: its words, the promises that every engine keeps, and `open(url)`, the only place that knows which engine runs.

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

/// The seats, sessions, holds, orders and payments of all events. Every operation is one atomic step, by the store's
/// clock, and durable before it is answered; with an `Attempt` it happens once and is answered the same again.
#[async_trait]
pub trait Inventory: Send + Sync {
    /// The instant it is now, by the store's clock.
    fn now(&self) -> Time;

    /// Sets the seating plan, replacing one of which nothing is held or booked. Answers its version.
    async fn set_seating(&self, event: &EventId, layout: Layout) -> Result<u32, Refused>;

    /// The layout and the state of every seat, from memory, at most a second old.
    fn seat_map(&self, event: &EventId) -> Option<Arc<SeatMap>>;

    /// All boards.
    fn seat_maps(&self) -> Vec<Arc<SeatMap>>;

    /// Whether the board may be old, because the store cannot be reached.
    fn is_stale(&self, event: &EventId) -> bool;

    /// Shows new versions of the boards.
    async fn publish(&self) -> Result<(), Refused>;

    /// The selling rules.
    async fn rules(&self, event: &EventId) -> Result<Rules, Refused>;

    /// Changes selling rules and answers what they were and what they are.
    async fn set_rules(
        &self,
        event: &EventId,
        patch: RulesPatch,
    ) -> Result<(Rules, Rules), Refused>;

    /// Opens a session for an admission, once: the second with the same `jti` is refused, unless it is the same session,
    /// asked for again.
    async fn open_session(&self, session: NewSession) -> Result<Once<Session>, Refused>;

    /// The session that a word opens, over or not.
    async fn session(&self, keys: SessionKeys, event: Option<EventId>) -> Result<Session, Refused>;

    /// Ends a session: its active holds are released, and the waiting room is told.
    async fn end_session(&self, keys: SessionKeys, event: &EventId) -> Result<(), Refused>;

    /// Takes all of the seats or none. Seats of lapsed holds may be taken.
    async fn hold(
        &self,
        keys: SessionKeys,
        event: &EventId,
        wish: Wish,
        attempt: Option<Attempt>,
    ) -> Result<Once<Hold>, Refused>;

    /// A hold of this session's visitor.
    async fn show_hold(&self, keys: SessionKeys, hold: &str) -> Result<Hold, Refused>;

    /// Gives the seats back. An order that is not being paid is cancelled first. Releasing twice is no error.
    async fn release(&self, keys: SessionKeys, hold: &str) -> Result<(), Refused>;

    /// Makes an order of an active hold and freezes its seats for the payment.
    async fn order(
        &self,
        keys: SessionKeys,
        hold: &str,
        buyer: Buyer,
        attempt: Option<Attempt>,
    ) -> Result<Once<Order>, Refused>;

    /// An order.
    async fn show_order(&self, reader: Reader, order: &str) -> Result<Order, Refused>;

    /// The orders of the visitors whose sessions these are, the newest first; of as many events as there are sessions.
    async fn own_orders(&self, keys: SessionKeys) -> Result<Vec<Order>, Refused>;

    /// Marks a payment as being asked of the provider. The provider is called after this has been committed.
    async fn begin_payment(
        &self,
        keys: SessionKeys,
        payment: &str,
        attempt: Option<Attempt>,
    ) -> Result<Begun, Refused>;

    /// Takes what the provider said, and decides: booked, declined, waiting, or money that must go back.
    async fn settle(
        &self,
        payment: &PaymentRef,
        verdict: Verdict,
        attempt: Option<Attempt>,
    ) -> Result<Order, Refused>;

    /// Marks a confirmed order as being refunded. The provider is called after this has been committed.
    async fn begin_refund(&self, event: &EventId, order: &str) -> Result<PaymentRef, Refused>;

    /// The money went back: the seats are free again.
    async fn refunded(&self, payment: &PaymentRef) -> Result<Order, Refused>;

    /// The newest orders, at most `limit`.
    async fn orders(&self, event: &EventId, limit: u32) -> Result<Vec<Order>, Refused>;

    /// The figures of the sale.
    async fn sales(&self, event: &EventId) -> Result<Sales, Refused>;

    /// Takes available seats out of the sale, all or none; or puts blocked ones back.
    async fn block(
        &self,
        event: &EventId,
        seats: Vec<String>,
        change: Block,
    ) -> Result<(), Refused>;

    /// One bounded step of what time does: lapsed holds and orders are released; says what the provider must be asked.
    async fn sweep(&self) -> Result<Swept, Refused>;

    /// What the waiting room has yet to hear.
    async fn reports(&self) -> Result<Vec<Report>, Refused>;

    /// The waiting room has heard it.
    async fn reported(&self, reports: Vec<Report>) -> Result<(), Refused>;

    /// The databases that events are spread over; none where there is one file.
    async fn shards(&self) -> Result<Vec<ShardView>, Refused>;

    /// Moves everything about an event to another database, while nobody is inside.
    async fn move_event(&self, event: &EventId, shard: &str) -> Result<(), Refused>;

    /// Removes everything about an event: sessions and holds that ended too. Refused for good once something was booked or
    /// paid, and for now while seats are held or money is on its way; then nothing happens.
    async fn remove(&self, event: &EventId) -> Result<(), Refused>;
}

/// Opens the engine that a URL names; with where all nodes keep their audit log, if it is one that they share.
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

/// Whether `open` can make anything of a URL, without opening it.
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

/// Whether a URL names a Postgres database.
pub fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}
