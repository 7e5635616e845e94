//! Tests of the inventory under failures: clients that disconnect, a database killed during a rush,
//! histories that must be linearisable.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod aborted;
mod away;
mod crowd;
mod history;
mod killed;
mod set_back;
