//! Settings of the checkout.

use crate::accepted_orders::AcceptedOrders;
use crate::app::Shop;
use crate::cancellation::Endings;
use crate::inventory::{Inventory, Postgres, check_url, is_postgres, open_beside, open_sealed};
use crate::jwks::Jwks;
use crate::known_events::KnownEvents;
use crate::mail::{self, MailArgs};
use crate::payment::declines::Declines;
use crate::payment::{PaymentArgs, Providers, ReconcileArgs, Unsettled, reconcile};
use crate::pdf::Fonts;
use crate::relay;
use crate::retention::{DAYS_MAX, EVENTS_HOURS_MAX, Retention};
use crate::sms::SmsArgs;
use crate::tail::{self, TailArgs};
use crate::waiting_room::WaitingRoom;
use crate::web_push::PushArgs;
use crate::webhooks::WebhookArgs;
use shared::arguments::filled;
use shared::audit::SharedAuditLog as _;
use shared::context::AppContext;
use shared::data_dir::DataFolder;
use shared::http::rate_limit::SharedCount;
use shared::mistakes::Mistakes;
use shared::outbound::Outbound;
use shared::process::exit;
use shared::sealing::SealingKeys;
use shared::time::Clock;
use shared::verify_audit::SharedLines;
use shared::warnings::is_clear_in_public;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

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
    #[command(flatten)]
    pub payments: PaymentArgs,
    /// Keys that seal names and addresses of buyers, 64 hex digits each, comma-separated: the first
    /// seals, the others open what they sealed [default: with sqlite generated, with Postgres none]
    #[arg(
        long,
        env = "FAIRLINE_PERSONAL_KEYS",
        hide_env_values = true,
        global = true
    )]
    pub personal_keys: Option<String>,
    /// Days for which sessions that ended and their holds are kept; 0: for ever [default: 30]
    #[arg(long, env = "FAIRLINE_KEEP_VISITS_DAYS", global = true)]
    pub keep_visits_days: Option<String>,
    /// Days for which buyers of settled orders are kept; 0: for ever [default: 0]
    #[arg(long, env = "FAIRLINE_KEEP_BUYERS_DAYS", global = true)]
    pub keep_buyers_days: Option<String>,
    /// Hours for which events are kept after they were published, or without a broker after they
    /// happened [default: 72]
    #[arg(long, env = "FAIRLINE_EVENTS_RETENTION_HOURS", global = true)]
    pub events_retention_hours: Option<String>,
    /// Message broker to which events are published: kafka://…, nats:// or amqp:// (RabbitMQ), with
    /// TLS kafkas://, tls:// (NATS) or amqps:// [default: none]
    #[arg(long, env = "FAIRLINE_EVENTS", hide_env_values = true, global = true)]
    pub events: Option<String>,
    #[command(flatten)]
    pub mail: MailArgs,
    #[command(flatten)]
    pub push: PushArgs,
    #[command(flatten)]
    pub sms: SmsArgs,
    #[command(flatten)]
    pub webhooks: WebhookArgs,
    /// Font files (TrueType, OpenType) for letters that the built-in font lacks on tickets and invoices
    /// as PDF, such as Chinese, comma-separated [default: none]
    #[arg(long, env = "FAIRLINE_PDF_FONTS", global = true)]
    pub pdf_fonts: Option<String>,
}

impl SeatsArgs {
    /// Records mistakes in the settings without opening anything.
    pub fn check(&self, mistakes: &mut Mistakes) {
        self.payments.read(mistakes);
        mistakes.take("FAIRLINE_EVENTS", self.broker());
        self.mail.read(mistakes);
        self.push.read(mistakes);
        self.sms.read(mistakes);
        mistakes.take("FAIRLINE_WEBHOOK_NETWORKS", self.webhooks.networks());
        mistakes.take("FAIRLINE_PDF_FONTS", self.fonts());
        if let Err(error) = check_url(self.url()) {
            mistakes.add(error);
        }
        mistakes.take("FAIRLINE_PERSONAL_KEYS", self.set_keys());
        self.retention(mistakes);
    }

    /// Returns the address of the message broker, if one is set.
    fn broker(&self) -> Result<Option<brokers::Address>, String> {
        filled(self.events.as_deref())
            .map(brokers::Address::parse)
            .transpose()
    }

    fn fonts(&self) -> Result<Fonts, String> {
        Fonts::read(self.pdf_fonts.as_deref())
    }

    /// Returns the keys that are set, if any are.
    fn set_keys(&self) -> Result<Option<SealingKeys>, String> {
        let keys = self.personal_keys.as_deref();
        keys.map(SealingKeys::parse).transpose()
    }

    /// Returns the keys that are set, or one that the data folder keeps with the file that it is
    /// for. Nodes that share a database have no folder in common.
    fn sealing_keys(&self, folder: &DataFolder) -> Result<SealingKeys, String> {
        match self.set_keys() {
            Ok(Some(keys)) => Ok(keys),
            Ok(None) if is_postgres(self.url()) => Ok(SealingKeys::default()),
            Ok(None) => SealingKeys::parse(&folder.secret("personal-key")?),
            Err(error) => Err(format!("FAIRLINE_PERSONAL_KEYS: {error}")),
        }
    }

    fn retention(&self, mistakes: &mut Mistakes) -> Retention {
        let mut days = |name: &str, text: &Option<String>, default: u32| {
            let days: u32 = mistakes.parse(name, text.as_deref(), default);
            if days > DAYS_MAX {
                mistakes.add(format!("{name}: at most {DAYS_MAX}"));
            }
            (days > 0).then_some(days)
        };
        let visits_days = days("FAIRLINE_KEEP_VISITS_DAYS", &self.keep_visits_days, 30);
        let buyers_days = days("FAIRLINE_KEEP_BUYERS_DAYS", &self.keep_buyers_days, 0);
        let name = "FAIRLINE_EVENTS_RETENTION_HOURS";
        let events_hours = mistakes.parse(name, self.events_retention_hours.as_deref(), 72);
        if !(1..=EVENTS_HOURS_MAX).contains(&events_hours) {
            mistakes.add(format!("{name}: 1 to {EVENTS_HOURS_MAX}"));
        }
        Retention {
            visits_days,
            buyers_days,
            events_hours,
        }
    }

    /// Returns what to warn of where the site is served at this URL.
    pub fn warnings(&self, public_url: &str) -> Vec<String> {
        let is_simulated = self.payments.are_simulated();
        let is_for_fans = public_url.starts_with("https://") || is_clear_in_public(public_url);
        let warning = "FAIRLINE_PAYMENTS: payments are simulated: everyone can buy with a test card, and no money moves";
        let applies = is_simulated && is_for_fans;
        let clear = "FAIRLINE_PERSONAL_KEYS: not set: names and addresses of buyers are in clear in Postgres";
        let is_clear = self.personal_keys.is_none() && is_postgres(self.url());
        let broker = self.broker().ok().flatten();
        let mailer = self.mail.read(&mut Mistakes::default());
        [(applies, warning), (is_clear && is_for_fans, clear)]
            .into_iter()
            .filter(|(applies, _)| *applies)
            .map(|(_, warning)| warning.to_owned())
            .chain(broker.and_then(|broker| broker.warning()))
            .chain(mailer.and_then(|mailer| mailer.server.warning()))
            .collect()
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
        let keys = self.set_keys()?.unwrap_or_default();
        let store = Postgres::open_sealed(url, Clock::system(), Arc::new(keys)).await?;
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

    fn providers(&self) -> Result<Providers, String> {
        let mut mistakes = Mistakes::default();
        let providers = self.payments.read(&mut mistakes);
        providers.ok_or_else(|| mistakes.0.join("; "))
    }

    /// Compares the payments in the books with the provider's list, while the program runs or not.
    pub async fn reconcile(&self, data: &Path, args: &ReconcileArgs) -> ExitCode {
        let opened = async { Ok::<_, String>((self.open_beside(data).await?, self.providers()?)) };
        match opened.await {
            Ok((inventory, providers)) => reconcile(&inventory, &providers, args).await,
            Err(error) => exit("reconcile", Err(vec![error])),
        }
    }

    /// Prints events as they happen, while the program runs.
    pub async fn tail(&self, data: &Path, args: &TailArgs) -> ExitCode {
        match self.open_beside(data).await {
            Ok(inventory) => tail::run(inventory.outbox(), args).await,
            Err(error) => exit("tail", Err(vec![error])),
        }
    }

    /// Opens the store of the seats to read from it beside a program that runs.
    async fn open_beside(&self, data: &Path) -> Result<Inventory, String> {
        let keys = match self.set_keys()? {
            Some(keys) => keys,
            None if is_postgres(self.url()) => SealingKeys::default(),
            None => generated_keys(data)?,
        };
        open_beside(self.url(), data, Arc::new(keys)).await
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
        let sealing = Arc::new(self.sealing_keys(folder)?);
        let opened = open_sealed(self.url(), folder, site.clock.clone(), sealing);
        let (inventory, shared) = opened.await?;
        let providers = self.providers()?;
        let events = self.broker()?.map(Arc::new);
        if let Some(address) = &events {
            relay::check(address).await?;
        }
        let mail = self.mail.read(&mut Mistakes::default()).map(Arc::new);
        if let Some(mailer) = &mail {
            mail::check(mailer).await?;
        }
        let declines = Declines::default();
        if let Some(store) = shared {
            site.audit.share(store.clone());
            site.limits.share_requests(&store, &site.address_secret);
            site.limits.seat_holders.share(store.clone());
            site.limits.share_failures(&store, &site.address_secret);
            if let Some(mailer) = &mail {
                mailer.share_limits(&store, &site.address_secret);
            }
            declines.share(SharedCount::new(store, site.address_secret.clone()));
        }
        Ok(Arc::new(Shop {
            inventory: inventory.paid_by(providers.chosen().id()),
            providers,
            site,
            keys,
            waiting_room,
            service_key,
            retention: self.retention(&mut Mistakes::default()),
            unsettled: Unsettled::default(),
            accepted: AcceptedOrders::default(),
            declines,
            events,
            relay: TaskTracker::new(),
            last_refusal: Default::default(),
            mail,
            pusher: self.push.read(&mut Mistakes::default()).map(Arc::new),
            sms: self.sms.read(&mut Mistakes::default()).map(Arc::new),
            fonts: Arc::new(self.fonts()?),
            known_events: KnownEvents::default(),
            mailing: TaskTracker::new(),
            outbound: Outbound::new(self.webhooks.networks()?),
            delivering: TaskTracker::new(),
            to_report: Notify::new(),
            endings: Endings::default(),
            to_end: Notify::new(),
            to_reconcile: Notify::new(),
        }))
    }
}

/// Reads the key that was generated in a data folder, if there is one.
fn generated_keys(data: &Path) -> Result<SealingKeys, String> {
    let path = data.join("personal-key");
    if !path.exists() {
        return Ok(SealingKeys::default());
    }
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| format!("{} {error}", path.display()))?;
    SealingKeys::parse(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_days_that_cannot_be_used_are_named() {
        let args = SeatsArgs {
            personal_keys: Some("secret".into()),
            events: Some("rabbit://secret@host".into()),
            keep_visits_days: Some("36501".into()),
            keep_buyers_days: Some("a week".into()),
            events_retention_hours: Some("0".into()),
            ..SeatsArgs::default()
        };
        let mut mistakes = Mistakes::default();
        args.check(&mut mistakes);
        let named = [
            "EVENTS",
            "PERSONAL_KEYS",
            "KEEP_VISITS_DAYS",
            "KEEP_BUYERS_DAYS",
            "EVENTS_RETENTION_HOURS",
        ];
        assert_eq!(mistakes.0.len(), named.len(), "{mistakes:?}");
        for (mistake, name) in mistakes.0.iter().zip(named) {
            assert!(
                mistake.starts_with(&format!("FAIRLINE_{name}: ")),
                "{mistake}"
            );
            assert!(!mistake.contains("secret"), "{mistake}");
        }
        let mut mistakes = Mistakes::default();
        let kept = SeatsArgs::default().retention(&mut mistakes);
        assert_eq!((kept.visits_days, kept.buyers_days), (Some(30), None));
        assert_eq!(kept.events_hours, 72);
        assert!(mistakes.0.is_empty());
    }

    #[test]
    fn a_public_site_on_postgres_is_warned_of_buyers_in_clear() {
        let mut args = SeatsArgs {
            inventory: Some("postgres://localhost/fairline".into()),
            ..SeatsArgs::default()
        };
        let warns = |args: &SeatsArgs, url| {
            let warnings = args.warnings(url);
            warnings.iter().any(|text| text.contains("PERSONAL_KEYS"))
        };
        assert!(warns(&args, "https://tickets.example"));
        assert!(!warns(&args, "http://127.0.0.1:8080"));
        args.personal_keys = Some("0a".repeat(32));
        assert!(!warns(&args, "https://tickets.example"));
        assert!(!warns(&SeatsArgs::default(), "https://tickets.example"));
    }
}
