//! A fan's wish for a notification once it is their turn, as the waiting room hands it to the checkout.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Keys of a browser's subscription, in URL-safe base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushKeys {
    /// Public key of the browser: a point on P-256, uncompressed.
    #[schema(max_length = 88)]
    pub p256dh: String,
    /// Secret of the subscription: 16 bytes.
    #[schema(max_length = 24)]
    pub auth: String,
}

/// The subscription of a fan in line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinePush {
    /// Address at the browser's push service.
    #[schema(max_length = 1000)]
    pub endpoint: String,
    /// Keys with which messages are encrypted.
    pub keys: PushKeys,
    /// Code of the notification's language, such as `de`.
    pub language: String,
}

impl fmt::Debug for PushKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushKeys(…)")
    }
}

impl fmt::Debug for LinePush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinePush(…)")
    }
}
