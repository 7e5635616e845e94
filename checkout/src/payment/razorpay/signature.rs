//! Signatures of Razorpay, HMAC-SHA256 in small hex digits: of webhooks, by a secret of their own,
//! and of what a browser is given once it has paid, by the secret of the account's key.

use crate::payment::provider::is_word;
use crate::payment::secrets::WebhookSecrets;
use serde::{Deserialize, Serialize};
use shared::crypto::{Secret, unhex_lower};

/// Smallest number of characters of a webhook's secret, which the operator makes up.
const SECRET_CHARS_MIN: usize = 16;
/// Number of characters of a signature.
const SIGNATURE_CHARS: usize = 64;

/// Result of Razorpay's checkout, as it gives it to the page once a payment was made.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::payment) struct RazorpayReturn {
    /// `pay_…`
    #[schema(max_length = 64)]
    razorpay_payment_id: String,
    /// `order_…`
    #[schema(max_length = 64)]
    razorpay_order_id: String,
    /// 64 hex digits: signs both.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    razorpay_signature: String,
}

impl RazorpayReturn {
    /// Returns whether it says that this order was paid. The order's id is the one in the books:
    /// that of the browser has to be the same, and only then is signed.
    pub(super) fn confirms(&self, order: &str, key: &Secret) -> bool {
        let signed = format!("{order}|{}", self.razorpay_payment_id);
        self.razorpay_order_id == order
            && self.razorpay_payment_id.starts_with("pay_")
            && is_word(&self.razorpay_payment_id)
            && read(&self.razorpay_signature).is_some_and(|mac| key.verify(signed.as_bytes(), &mac))
    }
}

/// Returns whether a header `X-Razorpay-Signature` signs this body.
pub(super) fn accepts(secrets: &WebhookSecrets, header: &str, body: &[u8]) -> bool {
    read(header).is_some_and(|mac| secrets.verify(body, &mac))
}

/// Reads a signature, in the one form in which Razorpay writes it.
fn read(text: &str) -> Option<Vec<u8>> {
    let is_whole = text.len() == SIGNATURE_CHARS;
    unhex_lower(text).filter(|_| is_whole)
}

/// Checks the form of a secret.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn check_secret(word: &str) -> Result<(), &'static str> {
    if word.len() >= SECRET_CHARS_MIN {
        Ok(())
    } else {
        Err("each secret has at least 16 characters; it is made up by you and entered at Razorpay")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::crypto::hex;

    const KEY: &str = "secret_of_the_key_0000";

    fn sign(secret: &str, message: &str) -> String {
        hex(&Secret::of_another_system(secret.as_bytes()).sign(message.as_bytes()))
    }

    fn returned(payment: &str, order: &str, signature: &str) -> RazorpayReturn {
        RazorpayReturn {
            razorpay_payment_id: payment.to_owned(),
            razorpay_order_id: order.to_owned(),
            razorpay_signature: signature.to_owned(),
        }
    }

    #[test]
    fn a_payment_is_confirmed_by_the_signature_of_its_own_order_alone() {
        let key = Secret::of_another_system(KEY.as_bytes());
        let good = sign(KEY, "order_1|pay_1");
        assert!(returned("pay_1", "order_1", &good).confirms("order_1", &key));
        let of_webhooks = sign("webhook_secret_0000", "order_1|pay_1");
        let cases = [
            // Of another order, whether it says so or not.
            returned("pay_2", "order_2", &sign(KEY, "order_2|pay_2")),
            returned("pay_2", "order_1", &sign(KEY, "order_2|pay_2")),
            // Another payment.
            returned("pay_2", "order_1", &good),
            returned("pay_1", "order_1", &good[..62]),
            returned("pay_1", "order_1", &format!("{good}00")),
            returned("pay_1", "order_1", &good.to_ascii_uppercase()),
            returned("pay_1", "order_1", &of_webhooks),
            returned("pay_1", "order_1", ""),
            // The separator moved.
            returned("1|pay_1", "order_1", &sign(KEY, "order_1|1|pay_1")),
            returned("pay_1|", "order_1", &sign(KEY, "order_1|pay_1|")),
        ];
        for wrong in cases {
            let text = serde_json::to_string(&wrong).unwrap();
            assert!(!wrong.confirms("order_1", &key), "{text}");
        }
    }

    #[test]
    fn a_webhook_is_accepted_by_any_of_the_secrets_and_not_otherwise() {
        let (old, new) = ("old_secret_000000", "new_secret_000000");
        let secrets = WebhookSecrets::parse(&format!("{old},{new}"), check_secret).unwrap();
        let body = r#"{"event": "payment.authorized"}"#;
        for secret in [old, new] {
            assert!(accepts(&secrets, &sign(secret, body), body.as_bytes()));
            assert!(!accepts(&secrets, &sign(secret, body), b"{}"));
        }
        let signed = sign(new, body);
        for wrong in [
            String::new(),
            signed[..62].to_owned(),
            signed.to_ascii_uppercase(),
            format!(" {signed}"),
            sign("secret_of_another", body),
        ] {
            assert!(!accepts(&secrets, &wrong, body.as_bytes()), "{wrong:?}");
        }
        for wrong in ["", " , ", "too_short"] {
            assert!(WebhookSecrets::parse(wrong, check_secret).is_err());
        }
    }
}
