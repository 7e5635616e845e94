//! Notifications to fans in line whose turn has come, by the push services of their browsers (Web Push:
//! RFC 8030, 8291 and 8292). The sale never waits for them.
//!
//! `intake` follows the outbox with a place of its own there, and makes the messages due of those who were
//! admitted. `sender` takes the messages that are due, which any number of nodes share.

mod encryption;
mod instruments;
mod intake;
mod sender;
mod settings;

pub(crate) use instruments::register;
pub(crate) use intake::CONSUMER;
pub use settings::PushArgs;
pub(crate) use settings::Pusher;

use crate::app::Shop;
use encryption::Recipient;
use shared::line_push::PushKeys;
use std::sync::Arc;

/// Checks the keys of a subscription.
///
/// # Errors
/// Name of the field that is wrong, and what it has to be.
pub(crate) fn check_keys(keys: &PushKeys) -> Result<(), (&'static str, &'static str)> {
    Recipient::read(keys).map(drop)
}

/// Sends notifications until the stop signal. Nothing to do where no key is set.
pub(crate) async fn run(shop: &Arc<Shop>) {
    if let Some(pusher) = &shop.pusher {
        tokio::join!(intake::run(shop), sender::run(shop, pusher));
    }
}
