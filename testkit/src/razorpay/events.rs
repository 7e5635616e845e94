//! Webhooks, signed as Razorpay signs them.

use crate::endpoint::{Signed, sign};

/// Secret of the stand-in's webhooks.
pub const WEBHOOK_SECRET: &str = "webhook_secret_stand_in";

/// An event of Razorpay, as it is sent.
#[derive(Clone, Debug)]
pub struct RazorpayEvent {
    /// Its id, sent in a header beside the signature.
    pub id: String,
    /// Its type, such as `payment.authorized`.
    pub kind: String,
    /// Its body.
    pub body: String,
}

impl RazorpayEvent {
    /// Returns the header `X-Razorpay-Signature` of this event.
    pub fn signature(&self) -> String {
        sign(WEBHOOK_SECRET, &self.body)
    }
}

impl Signed for RazorpayEvent {
    fn body(&self) -> &str {
        &self.body
    }

    fn headers(&self) -> String {
        let signature = self.signature();
        let id = &self.id;
        format!("X-Razorpay-Signature: {signature}\r\nX-Razorpay-Event-Id: {id}\r\n")
    }
}
