//! Conformance tests for every promise of `Inventory`, on every engine. A new engine adds its name
//! to `benches` and nothing else.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod bench;
mod bounds;
mod holds;
mod nodes;
mod orders;
mod pooler;
mod removal;
mod sale;
mod survival;
mod tls;
mod upgrade;
