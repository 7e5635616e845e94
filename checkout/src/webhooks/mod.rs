//! Webhooks: events are posted to systems that organisers name, signed as Standard Webhooks has it.
//! The sale never waits for them.
//!
//! `intake` follows the outbox with a place of its own there, and adds a row for each delivery in the
//! transaction that moves it. `deliverer` takes the rows that are due, which any number of nodes share.

mod attempt;
mod deliverer;
mod instruments;
mod intake;
mod lanes;
mod message;

mod settings;
mod signature;
mod watch;

pub(crate) use instruments::register;
pub(crate) use intake::CONSUMER;
pub(crate) use message::test_message;
pub use settings::WebhookArgs;
pub(crate) use signature::new_secret;

use crate::app::Shop;
use shared::outbound::PATIENCE;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait at the shutdown: what is under way then has its outcome in that time.
const DRAIN: Duration = Duration::from_secs(PATIENCE.as_secs() + 2);

/// Delivers until the stop signal.
pub(crate) async fn run(shop: &Arc<Shop>) {
    tokio::join!(intake::run(shop), deliverer::run(shop), watch::run(shop));
}

/// Waits, for a bounded time, until the deliveries that are under way have their outcome.
pub(crate) async fn drain(shop: &Shop) {
    shop.delivering.close();
    let _ = timeout(DRAIN, shop.delivering.wait()).await;
}
