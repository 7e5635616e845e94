//! Settings of the checkout.

use crate::app::Shop;
use crate::inventory::{Postgres, check_url, is_postgres, open};
use crate::jwks::Jwks;
use crate::payment::declines::Declines;
use crate::payment::{Provider, Unsettled};
use crate::waiting_room::WaitingRoom;
use shared::audit::SharedAuditLog as _;
use shared::context::AppContext;
use shared::data_dir::DataFolder;
use shared::mistakes::Mistakes;
use shared::time::Clock;
use shared::verify_audit::SharedLines;
use shared::warnings::is_clear_in_public;
use std::sync::Arc;

/// Largest number of lines in Postgres that `verify-audit` reads.
const AUDIT_LINES_MAX: usize = 1_000_000;

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

    /// Returns what to warn of where the site is served at this URL.
    pub fn warnings(&self, public_url: &str) -> Vec<String> {
        let is_simulated = self.payments.as_deref().unwrap_or("simulated") == "simulated";
        let is_for_fans = public_url.starts_with("https://") || is_clear_in_public(public_url);
        let warning = "FAIRLINE_PAYMENTS: payments are simulated: everyone can buy with a test card, and no money moves";
        let applies = is_simulated && is_for_fans;
        applies.then(|| warning.to_owned()).into_iter().collect()
    }

    /// Returns the audit log that all nodes share, if the seats are in a store that keeps one.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn shared_audit(&self) -> Result<Option<SharedLines>, String> {
        let url = self.url();
        if !is_postgres(url) {
            return Ok(None);
        }
        let store = Postgres::open(url, Clock::system()).await?;
        let lines = store.newest(AUDIT_LINES_MAX).await?;
        Ok(Some(SharedLines {
            name: "the audit log in Postgres",
            is_whole: lines.len() < AUDIT_LINES_MAX,
            lines,
        }))
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
        let (inventory, shared) = open(self.url(), folder, site.clock.clone()).await?;
        let declines = Declines::default();
        if let Some(store) = shared {
            site.audit.share(store.clone());
            site.limits.seat_holders.share(store.clone());
            declines.share(store, site.address_secret.clone());
        }
        Ok(Arc::new(Shop {
            inventory,
            provider: Provider::named(self.payments.as_deref().unwrap_or("simulated"))?,
            site,
            keys,
            waiting_room,
            service_key,
            unsettled: Unsettled::default(),
            declines,
            to_report: tokio::sync::Notify::new(),
        }))
    }
}
