//! Settings of the checkout.

use crate::app::Shop;
use crate::inventory::{check_url, open};
use crate::jwks::Jwks;
use crate::payment::{Provider, Unsettled};
use crate::waiting_room::WaitingRoom;
use shared::context::AppContext;
use shared::data_dir::DataFolder;
use shared::mistakes::Mistakes;
use std::sync::Arc;

/// Settings of the checkout, as written by the operator.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "seat settings")]
pub struct SeatsArgs {
    /// Storage of the seats: sqlite or postgres://…; several URLs, separated by blanks, are shards
    /// [default: sqlite]
    #[arg(
        long,
        env = "FAIRLINE_INVENTORY",
        hide_env_values = true,
        global = true
    )]
    pub inventory: Option<String>,
    /// Payment provider: simulated [default: simulated]
    #[arg(long, env = "FAIRLINE_PAYMENTS", global = true)]
    pub payments: Option<String>,
    /// Address for publishing the outbox: not built into this version
    #[arg(long, env = "FAIRLINE_EVENTS", hide_env_values = true, global = true)]
    pub events: Option<String>,
}

impl SeatsArgs {
    /// Records mistakes in the settings without opening anything.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if let Err(error) = Provider::named(self.payments.as_deref().unwrap_or("simulated")) {
            mistakes.add(error);
        }
        if self.events.is_some() {
            mistakes.add("FAIRLINE_EVENTS: this version publishes no events");
        }
        if let Err(error) = check_url(self.url()) {
            mistakes.add(error);
        }
    }

    fn url(&self) -> &str {
        self.inventory.as_deref().unwrap_or("sqlite")
    }

    /// Returns which store is not in the data folder.
    pub fn elsewhere(&self) -> Option<&'static str> {
        (self.url() != "sqlite").then_some("The inventory in Postgres")
    }

    /// Opens the shop. The service key is given if the waiting room is another process.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn open(
        &self,
        folder: &DataFolder,
        site: Arc<AppContext>,
        keys: Jwks,
        waiting_room: Arc<dyn WaitingRoom>,
        service_key: Option<String>,
    ) -> Result<Arc<Shop>, String> {
        let (inventory, log) = open(self.url(), folder, site.clock.clone()).await?;
        if let Some(log) = log {
            site.audit.share(log);
        }
        Ok(Arc::new(Shop {
            inventory,
            provider: Provider::named(self.payments.as_deref().unwrap_or("simulated"))?,
            site,
            keys,
            waiting_room,
            service_key,
            unsettled: Unsettled::default(),
            to_report: tokio::sync::Notify::new(),
        }))
    }
}
