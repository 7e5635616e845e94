//! Signatures of Standard Webhooks: HMAC-SHA256 of the id, the time and the body
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use crate::inventory::webhooks::{EndpointSettings, SigningSecret};
use shared::crypto::{Secret, decode_base64, encode_base64, random};
use shared::time::Time;

/// Beginning of a secret; its key follows in base64.
const PREFIX: &str = "whsec_";

/// Returns a new secret of 32 random bytes.
pub(crate) fn new_secret() -> SigningSecret {
    SigningSecret(format!("{PREFIX}{}", encode_base64(&random::<32>())))
}

/// Returns the header `webhook-signature`: the signature by each secret that holds at this time,
/// separated by blanks.
pub(super) fn sign(settings: &EndpointSettings, id: &str, now: Time, body: &str) -> String {
    let old = settings.old_secret.as_ref();
    let old = old.filter(|(_, until)| now < *until);
    let secrets = [&settings.secret].into_iter();
    let secrets = secrets.chain(old.map(|(secret, _)| secret));
    let signed = format!("{id}.{}.{body}", now.seconds());
    let signatures = secrets.filter_map(|secret| {
        let key = decode_base64(secret.0.strip_prefix(PREFIX)?)?;
        let mac = Secret::of_another_system(&key).sign(signed.as_bytes());
        Some(format!("v1,{}", encode_base64(&mac)))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification_and_both_secrets_sign_until_the_old_one_ends() {
        // The example that the official libraries are tested with.
        let secret = SigningSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let body = r#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let now = Time(1_614_265_330_000);
        let mut settings = EndpointSettings {
            secret: secret.clone(),
            ..EndpointSettings::default()
        };
        assert_eq!(sign(&settings, id, now, body), signature);
        settings.secret = new_secret();
        settings.old_secret = Some((secret, now.plus_seconds(1)));
        let both = sign(&settings, id, now, body);
        assert!(both.ends_with(&format!(" {signature}")), "{both}");
        assert_eq!(both.matches("v1,").count(), 2);
        settings.old_secret = settings.old_secret.map(|(secret, _)| (secret, now));
        assert!(!sign(&settings, id, now, body).contains(' '));
        assert_ne!(new_secret(), new_secret());
    }
}
