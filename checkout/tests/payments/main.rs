//! Payments through the router, on both engines.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod faults;
mod node;
mod reviews;
mod stripe;
mod stripe_stage;
mod verdicts;
mod webhooks;
