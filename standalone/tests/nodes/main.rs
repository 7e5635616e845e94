//! Many nodes as separate processes: waiting rooms on one Redis, a checkout, nginx in front.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod journey;
mod keys;
mod site;
mod survive;
