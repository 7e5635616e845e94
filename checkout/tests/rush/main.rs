//! The inventory while everything goes wrong: clients that hang up, a database that dies in a rush, histories that must have
//! an order.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod aborted;
mod away;
mod crowd;
mod history;
mod killed;
