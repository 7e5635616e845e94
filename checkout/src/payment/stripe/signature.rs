//! Signatures of Stripe's webhooks: HMAC-SHA256 of the time and the body as it was sent.

use crate::payment::secrets::WebhookSecrets;
use shared::crypto::unhex_all;
use shared::time::Time;

/// Largest difference between the time of a signature and ours, in seconds.
const TOLERANCE_SECONDS: i64 = 300;
/// Largest number of signatures looked at in one header.
const SIGNATURES_MAX: usize = 10;

/// Checks the form of a secret.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn check_secret(word: &str) -> Result<(), &'static str> {
    if word.starts_with("whsec_") && word.len() >= 16 {
        Ok(())
    } else {
        Err("each secret begins with 'whsec_'")
    }
}

/// Returns whether a header `Stripe-Signature` signs this body, now.
pub(super) fn accepts(secrets: &WebhookSecrets, header: &str, body: &[u8], now: Time) -> bool {
    let parts = || {
        header
            .split(',')
            .filter_map(|part| part.trim().split_once('='))
    };
    let time = parts()
        .find(|(name, _)| *name == "t")
        .map(|(_, value)| value);
    let Some((text, at)) = time.and_then(|text| Some((text, text.parse::<i64>().ok()?))) else {
        return false;
    };
    let apart = now.0.div_euclid(1000).abs_diff(at);
    if apart > TOLERANCE_SECONDS as u64 {
        return false;
    }
    let mut signed = Vec::with_capacity(text.len() + 1 + body.len());
    signed.extend_from_slice(text.as_bytes());
    signed.push(b'.');
    signed.extend_from_slice(body);
    let sent = parts().filter(|(name, _)| *name == "v1");
    let mut sent = sent
        .take(SIGNATURES_MAX)
        .filter_map(|(_, mac)| unhex_all(mac));
    sent.any(|mac| secrets.verify(&signed, &mac))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::crypto::{Secret, hex};

    const NOW: Time = Time(1_800_000_000_000);
    const OLD: &str = "whsec_old_00000000";
    const NEW: &str = "whsec_new_00000000";
    const BODY: &[u8] = br#"{"id": "evt_1"}"#;

    fn sign(secret: &str, at: i64, body: &[u8]) -> String {
        let signed = [format!("{at}.").as_bytes(), body].concat();
        hex(&Secret::of_another_system(secret.as_bytes()).sign(&signed))
    }

    #[test]
    fn a_body_is_accepted_by_any_of_the_secrets_within_five_minutes_and_not_otherwise() {
        let secrets = WebhookSecrets::parse(&format!("{OLD}, {NEW}"), check_secret).unwrap();
        let now = NOW.0 / 1000;
        for secret in [OLD, NEW] {
            for at in [now - 300, now, now + 300] {
                let header = format!("t={at},v1={},v0=ff", sign(secret, at, BODY));
                assert!(accepts(&secrets, &header, BODY, NOW), "{header}");
                assert!(!accepts(&secrets, &header, b"{}", NOW));
            }
            for at in [now - 301, now + 301] {
                let header = format!("t={at},v1={}", sign(secret, at, BODY));
                assert!(!accepts(&secrets, &header, BODY, NOW), "{header}");
            }
        }
        // Stripe signs with both while a secret is rotated.
        let both = format!("t={now},v1={},v1={}", "00".repeat(32), sign(NEW, now, BODY));
        assert!(accepts(&secrets, &both, BODY, NOW));
        let signed = sign(NEW, now, BODY);
        for header in [
            String::new(),
            "t=,v1=".to_owned(),
            format!("v1={signed}"),
            format!("t={now},v0={signed}"),
            format!("t={},v1={signed}", now - 1),
            format!("t={now},v1={}", &signed[..62]),
            format!("t={now},v1={}", sign("whsec_of_another", now, BODY)),
            format!("t={}9999999999,v1={signed}", i64::MAX),
        ] {
            assert!(!accepts(&secrets, &header, BODY, NOW), "{header}");
        }
    }

    #[test]
    fn secrets_are_needed_and_have_the_form_that_stripe_gives_them() {
        for wrong in [
            "",
            " , ",
            "secret_of_mine_0000",
            "whsec_",
            "sk_test_0123456789",
        ] {
            assert!(
                WebhookSecrets::parse(wrong, check_secret).is_err(),
                "{wrong:?}"
            );
        }
        let six = format!("{NEW} ").repeat(6);
        assert!(WebhookSecrets::parse(&six, check_secret).is_err());
    }
}
