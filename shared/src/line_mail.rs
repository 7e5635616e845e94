//! A fan's wish for a mail once it is their turn, as the waiting room hands it to the checkout.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Addresses that a client address may leave with places in an hour.
pub const LINE_MAILS_PER_HOUR: u32 = 100;

/// The address of a fan in line, and the link by which the mail leads back to the place.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineMail {
    /// E-mail address.
    #[schema(format = Email, max_length = 254)]
    pub email: String,
    /// Code of the mail's language, such as `de`.
    pub language: String,
    /// Proof of the place, behind the `#` of the link.
    pub link: String,
}

impl fmt::Debug for LineMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineMail(…)")
    }
}
