//! The setting of webhooks.

use shared::outbound::Networks;

/// Settings of webhooks, as written by the operator.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct WebhookArgs {
    /// Networks beside the public internet to which webhooks may be posted, also by http://, such as
    /// 10.1.0.0/16, comma-separated [default: none]
    #[arg(long, env = "FAIRLINE_WEBHOOK_NETWORKS", global = true)]
    pub webhook_networks: Option<String>,
}

impl WebhookArgs {
    /// Reads the networks.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn networks(&self) -> Result<Networks, String> {
        Networks::parse(self.webhook_networks.as_deref().unwrap_or_default())
    }
}
