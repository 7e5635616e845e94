//! Settings of Razorpay.

use super::signature::check_secret;
use crate::payment::provider::is_word;
use crate::payment::secrets::WebhookSecrets;
use shared::crypto::Secret;
use shared::mistakes::Mistakes;
use shared::web_url::is_web_url;
use std::fmt;

/// Address of Razorpay's API.
const URL: &str = "https://api.razorpay.com";

/// Settings of Razorpay, as written by the operator.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RazorpayArgs {
    /// Id of the account's key at Razorpay, rzp_…; the page opens Razorpay's checkout with it
    #[arg(
        long,
        env = "FAIRLINE_RAZORPAY_KEY_ID",
        hide_env_values = true,
        global = true
    )]
    pub razorpay_key_id: Option<String>,
    /// Secret of that key
    #[arg(
        long,
        env = "FAIRLINE_RAZORPAY_KEY_SECRET",
        hide_env_values = true,
        global = true
    )]
    pub razorpay_key_secret: Option<String>,
    /// Secrets of the webhook, at least 16 characters each; several, separated by commas, while one
    /// is rotated
    #[arg(
        long,
        env = "FAIRLINE_RAZORPAY_WEBHOOK_SECRETS",
        hide_env_values = true,
        global = true
    )]
    pub razorpay_webhook_secrets: Option<String>,
    /// Address of Razorpay's API, for tests [default: the public one]
    #[arg(long, env = "FAIRLINE_RAZORPAY_URL", global = true)]
    pub razorpay_url: Option<String>,
}

/// Settings of Razorpay that were checked.
#[derive(Clone, Debug)]
pub(crate) struct RazorpaySettings {
    pub(super) url: String,
    pub(super) key_id: String,
    pub(super) key_secret: KeySecret,
    pub(super) webhook_secrets: WebhookSecrets,
}

/// Secret of a key, which cannot be printed.
#[derive(Clone)]
pub(super) struct KeySecret(String);

impl KeySecret {
    /// Returns it as it is sent to Razorpay.
    pub(super) fn exposed(&self) -> &str {
        &self.0
    }

    /// Returns it as the key of signatures.
    pub(super) fn signing(&self) -> Secret {
        Secret::of_another_system(self.0.as_bytes())
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("KeySecret(…)")
    }
}

impl RazorpayArgs {
    /// Checks the settings, and records every mistake.
    pub(crate) fn read(&self, mistakes: &mut Mistakes) -> Option<RazorpaySettings> {
        let url = self.razorpay_url.as_deref().unwrap_or(URL);
        if !is_web_url(url) {
            mistakes.add("FAIRLINE_RAZORPAY_URL: a web address, http(s)://host");
        }
        let key_id = self.razorpay_key_id.as_deref().unwrap_or("");
        if let Err(why) = check_key_id(key_id, url) {
            mistakes.add(format!("FAIRLINE_RAZORPAY_KEY_ID: {why}"));
        }
        let key_secret = self.razorpay_key_secret.as_deref().unwrap_or("");
        let is_visible = key_secret.bytes().all(|byte| byte.is_ascii_graphic());
        if key_secret.len() < 12 || !is_visible {
            mistakes
                .add("FAIRLINE_RAZORPAY_KEY_SECRET: needed; Razorpay shows it once, with the key");
        }
        let secrets = self.razorpay_webhook_secrets.as_deref().unwrap_or("");
        match WebhookSecrets::parse(secrets, check_secret) {
            Ok(webhook_secrets) => Some(RazorpaySettings {
                url: url.to_owned(),
                key_id: key_id.to_owned(),
                key_secret: KeySecret(key_secret.to_owned()),
                webhook_secrets,
            }),
            Err(why) => {
                mistakes.add(format!("FAIRLINE_RAZORPAY_WEBHOOK_SECRETS: {why}"));
                None
            }
        }
    }
}

/// Checks the id of a key. One that moves money goes to Razorpay alone.
fn check_key_id(key_id: &str, url: &str) -> Result<(), &'static str> {
    let (is_live, is_test) = (
        key_id.starts_with("rzp_live_"),
        key_id.starts_with("rzp_test_"),
    );
    match (is_live, is_test) {
        (false, false) if key_id.is_empty() => Err("needed with FAIRLINE_PAYMENTS=razorpay"),
        (false, false) => Err("the id of a key begins with 'rzp_live_' or 'rzp_test_'"),
        _ if !is_word(key_id) || key_id.len() < 12 => {
            Err("it is cut off, or has signs that no id has")
        }
        (true, _) if url.trim_end_matches('/') != URL => {
            Err("a live key is not sent anywhere but to https://api.razorpay.com")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(key_id: &str, key_secret: &str, secrets: &str, url: Option<&str>) -> Vec<String> {
        let args = RazorpayArgs {
            razorpay_key_id: Some(key_id.to_owned()),
            razorpay_key_secret: Some(key_secret.to_owned()),
            razorpay_webhook_secrets: Some(secrets.to_owned()),
            razorpay_url: url.map(str::to_owned),
        };
        let mut mistakes = Mistakes::default();
        args.read(&mut mistakes);
        mistakes.into_result().err().unwrap_or_default()
    }

    #[test]
    fn wrong_keys_missing_secrets_and_a_live_key_for_another_address_stop_the_start() {
        let (test, live, secret) = (
            "rzp_test_0123456789",
            "rzp_live_0123456789",
            "0123456789abcdef",
        );
        let stand_in = Some("http://127.0.0.1:1");
        assert_eq!(mistakes(test, secret, secret, stand_in).len(), 0);
        assert_eq!(mistakes(live, secret, secret, None).len(), 0);
        assert_eq!(mistakes(live, secret, secret, stand_in).len(), 1);
        assert_eq!(
            mistakes("sk_test_0123456789", secret, secret, None).len(),
            1
        );
        assert_eq!(
            mistakes("rzp_test_\"<0123456789", secret, secret, None).len(),
            1
        );
        assert_eq!(mistakes("rzp_test_", secret, secret, None).len(), 1);
        assert_eq!(mistakes(test, "", secret, None).len(), 1);
        assert_eq!(mistakes(test, secret, "short", None).len(), 1);
        assert_eq!(mistakes("", "", "", Some("razorpay")).len(), 4);
        let told = mistakes("rzp_test_", "of_mine", "short", None).join(" ");
        assert!(
            !told.contains("of_mine") && !told.contains("short "),
            "{told}"
        );
    }
}
