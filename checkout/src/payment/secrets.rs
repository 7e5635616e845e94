//! Secrets with which providers sign their webhooks: several, so that they can be rotated.

use shared::crypto::Secret;

/// Largest number of secrets.
const SECRETS_MAX: usize = 5;

/// Secrets of which each signs webhooks.
#[derive(Clone, Debug)]
pub(crate) struct WebhookSecrets(Vec<Secret>);

impl WebhookSecrets {
    /// Reads secrets, separated by commas or blanks. `check` says what is wrong with one.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn parse(
        text: &str,
        check: fn(&str) -> Result<(), &'static str>,
    ) -> Result<WebhookSecrets, &'static str> {
        let words = text.split([',', ' ', '\n', '\r']);
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Err(
                "needed, or anyone could report payments; it belongs to the webhook's endpoint",
            );
        }
        if words.len() > SECRETS_MAX {
            return Err("at most 5 secrets");
        }
        for word in &words {
            check(word)?;
        }
        let keys = words
            .iter()
            .map(|word| Secret::of_another_system(word.as_bytes()));
        Ok(WebhookSecrets(keys.collect()))
    }

    /// Returns whether one of the secrets signs this message; each is compared in constant time.
    pub(super) fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        self.0.iter().any(|key| key.verify(message, mac))
    }
}
