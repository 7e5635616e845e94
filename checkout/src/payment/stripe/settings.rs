//! Settings of Stripe.

use super::api::ApiKey;
use super::signature::check_secret;
use crate::payment::provider::is_word;
use crate::payment::secrets::WebhookSecrets;
use shared::mistakes::Mistakes;
use shared::web_url::is_web_url;

/// Address of Stripe's API.
const URL: &str = "https://api.stripe.com";
/// Address of Stripe's script.
const SCRIPT: &str = "https://js.stripe.com/v3/";

/// Settings of Stripe, as written by the operator.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct StripeArgs {
    /// Secret or restricted key of the account at Stripe, sk_… or rk_…
    #[arg(
        long,
        env = "FAIRLINE_STRIPE_KEY",
        hide_env_values = true,
        global = true
    )]
    pub stripe_key: Option<String>,
    /// Signing secret of the webhook endpoint, whsec_…; several, separated by commas, while one is
    /// rotated
    #[arg(
        long,
        env = "FAIRLINE_STRIPE_WEBHOOK_SECRET",
        hide_env_values = true,
        global = true
    )]
    pub stripe_webhook_secret: Option<String>,
    /// Publishable key of the account, pk_…: the page shows Stripe's form for cards with it
    #[arg(
        long,
        env = "FAIRLINE_STRIPE_PUBLISHABLE_KEY",
        hide_env_values = true,
        global = true
    )]
    pub stripe_publishable_key: Option<String>,
    /// Address of Stripe's API, for tests [default: the public one]
    #[arg(long, env = "FAIRLINE_STRIPE_URL", global = true)]
    pub stripe_url: Option<String>,
    /// Address of Stripe's script with the form for cards, for tests [default: the public one]
    #[arg(long, env = "FAIRLINE_STRIPE_SCRIPT_URL", global = true)]
    pub stripe_script_url: Option<String>,
}

/// Settings of Stripe that were checked.
#[derive(Clone, Debug)]
pub(crate) struct StripeSettings {
    pub(super) url: String,
    pub(super) script: String,
    pub(super) key: ApiKey,
    pub(super) publishable_key: Option<String>,
    pub(super) webhook_secrets: WebhookSecrets,
}

impl StripeArgs {
    /// Checks the settings, and records every mistake.
    pub(crate) fn read(&self, mistakes: &mut Mistakes) -> Option<StripeSettings> {
        let url = self.stripe_url.as_deref().unwrap_or(URL);
        if !is_web_url(url) {
            mistakes.add("FAIRLINE_STRIPE_URL: a web address, http(s)://host");
        }
        let script = self.stripe_script_url.as_deref().unwrap_or(SCRIPT);
        let key = self.stripe_key.as_deref().unwrap_or("");
        if let Err(why) = check_script(script, key) {
            mistakes.add(format!("FAIRLINE_STRIPE_SCRIPT_URL: {why}"));
        }
        if let Err(why) = check_key(key, url) {
            mistakes.add(format!("FAIRLINE_STRIPE_KEY: {why}"));
        }
        let publishable_key = self.stripe_publishable_key.clone();
        if let Err(why) = check_publishable(publishable_key.as_deref(), key) {
            mistakes.add(format!("FAIRLINE_STRIPE_PUBLISHABLE_KEY: {why}"));
        }
        let secrets = self.stripe_webhook_secret.as_deref().unwrap_or("");
        match WebhookSecrets::parse(secrets, check_secret) {
            Ok(webhook_secrets) => Some(StripeSettings {
                url: url.to_owned(),
                script: script.to_owned(),
                key: ApiKey(key.to_owned()),
                publishable_key,
                webhook_secrets,
            }),
            Err(why) => {
                mistakes.add(format!("FAIRLINE_STRIPE_WEBHOOK_SECRET: {why}"));
                None
            }
        }
    }
}

/// Checks a key. One that moves money goes to Stripe alone.
fn check_key(key: &str, url: &str) -> Result<(), &'static str> {
    let of_kind = |mode: &str| {
        let mut kinds = ["sk_", "rk_"].iter();
        kinds.any(|kind| {
            key.strip_prefix(kind)
                .is_some_and(|key| key.starts_with(mode))
        })
    };
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    match (of_kind("live_"), of_kind("test_")) {
        (false, false) if key.is_empty() => Err("needed with FAIRLINE_PAYMENTS=stripe"),
        (false, false) => Err("a secret key of Stripe begins with 'sk_' or 'rk_'"),
        _ if !is_visible || key.len() < 12 => Err("it is cut off, or has blanks in it"),
        (true, _) if url.trim_end_matches('/') != URL => {
            Err("a live key is not sent anywhere but to https://api.stripe.com")
        }
        _ => Ok(()),
    }
}

/// Checks the address of the script. Cards that move money are typed into Stripe's form alone.
fn check_script(script: &str, key: &str) -> Result<(), &'static str> {
    let ends_a_header = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'"' | b';' | b',');
    if !is_web_url(script) || script.bytes().any(ends_a_header) {
        return Err("a web address, http(s)://host/path");
    }
    if !key.contains("_test_") && script != SCRIPT {
        return Err("with a live key the form is that of https://js.stripe.com/v3/ alone");
    }
    Ok(())
}

/// Checks a publishable key against the secret one: both are for tests, or both for money.
fn check_publishable(publishable: Option<&str>, key: &str) -> Result<(), &'static str> {
    let Some(publishable) = publishable else {
        return Ok(());
    };
    let (is_live, is_test) = (
        publishable.starts_with("pk_live_"),
        publishable.starts_with("pk_test_"),
    );
    if !(is_live || is_test) || !is_word(publishable) {
        return Err("a publishable key of Stripe begins with 'pk_'");
    }
    if is_live == key.contains("_test_") {
        return Err("it is of another mode than FAIRLINE_STRIPE_KEY: test or live");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(key: &str, secret: &str, url: Option<&str>) -> Vec<String> {
        let args = StripeArgs {
            stripe_key: Some(key.to_owned()),
            stripe_webhook_secret: Some(secret.to_owned()),
            stripe_url: url.map(str::to_owned),
            ..StripeArgs::default()
        };
        let mut mistakes = Mistakes::default();
        args.read(&mut mistakes);
        mistakes.into_result().err().unwrap_or_default()
    }

    #[test]
    fn wrong_keys_missing_secrets_and_a_live_key_for_another_address_stop_the_start() {
        let (test, live) = ("sk_test_0123456789", "rk_live_0123456789");
        let (secret, stand_in) = ("whsec_0123456789", Some("http://127.0.0.1:1"));
        assert_eq!(mistakes(test, secret, stand_in).len(), 0);
        assert_eq!(mistakes(test, secret, None).len(), 0);
        assert_eq!(mistakes(live, secret, None).len(), 0);
        assert_eq!(mistakes(live, secret, stand_in).len(), 1);
        assert_eq!(mistakes("pk_test_0123456789", secret, None).len(), 1);
        assert_eq!(mistakes("sk_test_", secret, None).len(), 1);
        assert_eq!(mistakes("", "", Some("stripe")).len(), 3);
        for (publishable, is_right) in [
            ("pk_test_1", true),
            ("pk_live_1", false),
            ("sk_test_1", false),
            ("pk_test_\"", false),
        ] {
            let checked = check_publishable(Some(publishable), test);
            assert_eq!(checked.is_ok(), is_right, "{publishable}");
        }
        for (script, key, is_right) in [
            (SCRIPT, live, true),
            ("http://127.0.0.1:1/v3/", test, true),
            ("http://127.0.0.1:1/v3/", live, false),
            ("stripe.js", test, false),
            ("http://a.example/;script-src *", test, false),
        ] {
            assert_eq!(check_script(script, key).is_ok(), is_right, "{script}");
        }
        let told = mistakes("sk_test_", "", None).join(" ");
        assert!(!told.contains("sk_test_"), "{told}");
    }
}
