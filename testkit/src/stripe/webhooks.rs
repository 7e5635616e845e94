//! Webhooks, signed as Stripe signs them.

use crate::endpoint::{Signed, now, sign};

/// Signing secret of the stand-in's webhooks.
pub const WEBHOOK_SECRET: &str = "whsec_stand_in_00000000";

/// An event, as it is sent.
#[derive(Clone, Debug)]
pub struct WebhookEvent {
    /// Its type, such as `payment_intent.succeeded`.
    pub kind: String,
    /// Its body.
    pub body: String,
}

impl WebhookEvent {
    /// Returns the header `Stripe-Signature` of this event, sent now.
    pub fn signature(&self) -> String {
        self.signature_at(now())
    }

    /// Returns the header of this event, sent at this time in seconds.
    pub fn signature_at(&self, at: u64) -> String {
        let signed = format!("{at}.{}", self.body);
        format!("t={at},v1={}", sign(WEBHOOK_SECRET, &signed))
    }
}

impl Signed for WebhookEvent {
    fn body(&self) -> &str {
        &self.body
    }

    fn headers(&self) -> String {
        format!("Stripe-Signature: {}\r\n", self.signature())
    }
}
