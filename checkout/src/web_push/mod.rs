//! Notifications to fans in line, by the push services of their browsers (Web Push: RFC 8030, 8291 and 8292).

mod encryption;
mod gateway;
mod settings;

pub use settings::PushArgs;
pub(crate) use settings::Pusher;

use encryption::Recipient;
use shared::line_push::PushKeys;

/// Checks the keys of a subscription.
///
/// # Errors
/// Name of the field that is wrong, and what it has to be.
pub(crate) fn check_keys(keys: &PushKeys) -> Result<(), (&'static str, &'static str)> {
    Recipient::read(keys).map(drop)
}
