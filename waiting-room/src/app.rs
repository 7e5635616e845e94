//! Shared state of the waiting room's handlers, and the interface to the checkout.

use crate::draw::List;
use crate::gate::passed::Passed;
use crate::gate::settings::GateSettings;
use crate::gate::verified::VerifiedTokens;
use crate::hub::EventHub;
use crate::line::{Line, Trouble, TroubleKind};
use crate::pass::Passes;
use async_trait::async_trait;
use axum::extract::FromRef;
use parking_lot::{Mutex, RwLock};
use shared::context::AppContext;
use shared::crypto::Secret;
use shared::http::problem::Problem;
use shared::ids::{EventId, VisitorId};
use shared::line_contact::{Channel, LineContact, LineOffers};
use shared::line_mail::LineMail;
use shared::metrics::stores;
use shared::time::Time;
use shared::token::{Signer, Verifier};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The checkout, in this process or remote; asked before an event is deleted.
#[async_trait]
pub trait Checkout: Send + Sync {
    /// Removes all data of an event from the checkout and returns whether there was any. A refusal
    /// removes nothing.
    ///
    /// # Errors
    /// 409 `/problems/event-has-orders` once a seat was booked or paid, 409
    /// `/problems/event-in-use` while seats are held or a payment is under way, 503 when the
    /// checkout gave no answer: it may have removed the data then.
    async fn delete_event(&self, event: &EventId) -> Result<bool, Problem>;

    /// Returns whether it sends mail; none without an answer.
    async fn sends_mail(&self) -> Option<bool>;

    /// Keeps the address to which a visitor is told of their turn, in place of the one from before.
    ///
    /// # Errors
    /// 404 `no-mail` where no mail is sent, 422 for an address that is none, 503.
    async fn keep_mail(
        &self,
        event: &EventId,
        visitor: VisitorId,
        mail: &LineMail,
    ) -> Result<(), Problem>;

    /// Forgets the address of a visitor, if there is one.
    ///
    /// # Errors
    /// 503.
    async fn forget_mail(&self, event: &EventId, visitor: VisitorId) -> Result<(), Problem>;

    /// Returns the ways in which fans are told of their turn beside mail; none without an answer.
    async fn line_offers(&self) -> Option<LineOffers>;

    /// Keeps the subscription or the number by which a visitor is told of their turn, in place of the one
    /// from before.
    ///
    /// # Errors
    /// 404 `no-push` or `no-sms` where no such messages are sent, 422 for one that cannot be, 503.
    async fn keep_contact(
        &self,
        event: &EventId,
        visitor: VisitorId,
        contact: &LineContact,
    ) -> Result<(), Problem>;

    /// Forgets the subscription or the number of a visitor, if there is one.
    ///
    /// # Errors
    /// 503.
    async fn forget_contact(
        &self,
        event: &EventId,
        visitor: VisitorId,
        channel: Channel,
    ) -> Result<(), Problem>;
}

/// Shared state of the waiting room's handlers.
pub struct Room {
    /// Application context: public URL, clock, limits, health, stop signal.
    pub site: Arc<AppContext>,
    /// The line.
    pub line: Arc<dyn Line>,
    /// Signs and reads passes.
    pub passes: Passes,
    /// Signs admission tokens.
    pub signer: Arc<Signer>,
    /// Verifies admission tokens at the gate.
    pub verifier: Verifier,
    /// Key that a remote checkout presents when it reports its seats.
    pub service_key: String,
    /// The checkout, if one is configured.
    pub checkout: Option<Arc<dyn Checkout>>,
    /// Whether the checkout sends mail, as it last said.
    pub(crate) sends_mail: AtomicBool,
    /// Ways in which fans are told of their turn beside mail, as the checkout last said. Locked for a look-up.
    pub(crate) offers: RwLock<Arc<LineOffers>>,
    /// Derives visitor ids from idempotency keys.
    pub join_keys: Secret,
    /// Troubles of the store and of lines. Locked for a look-up.
    trouble: Mutex<Option<TroubleKind>>,
    /// Hubs by event. Locked for a look-up, never across an await.
    pub(crate) hubs: RwLock<HashMap<EventId, Arc<EventHub>>>,
    /// What the gate does where an event's line does not say.
    pub(crate) gate: GateSettings,
    /// Clients that passed the gate within the last second.
    pub(crate) passed: Passed,
    /// Tokens whose signature was verified at the gate.
    pub(crate) verified: VerifiedTokens,
    /// Results of draws that were read at this node. Locked for a look-up, never across an await.
    pub(crate) lists: RwLock<HashMap<EventId, Arc<List>>>,
    /// Held while one of them is read, so that one is read at a time.
    pub(crate) list_reading: tokio::sync::Mutex<()>,
    /// Folder of the archives of events that were removed.
    pub(crate) archives: PathBuf,
}

/// Constructor arguments of [`Room`].
pub struct Parts {
    /// Application context: public URL, clock, limits, health, stop signal.
    pub site: Arc<AppContext>,
    /// The line.
    pub line: Arc<dyn Line>,
    /// Secret that signs passes.
    pub pass_secret: String,
    /// Key that a remote checkout presents when it reports its seats.
    pub service_key: String,
    /// Signs admission tokens.
    pub signer: Arc<Signer>,
    /// The checkout, if one is configured.
    pub checkout: Option<Arc<dyn Checkout>>,
    /// What the gate does where an event's line does not say.
    pub gate: GateSettings,
    /// Folder of the archives of events that were removed.
    pub archives: PathBuf,
}

impl Room {
    /// Creates a room.
    ///
    /// # Errors
    /// If the signer's public keys cannot be used to verify tokens.
    pub fn new(parts: Parts) -> Result<Arc<Room>, String> {
        let verifier = Verifier::from_jwks(&parts.signer.jwks(), &parts.site.public_url)?;
        Ok(Arc::new(Room {
            passes: Passes::new(parts.pass_secret.as_bytes()),
            join_keys: Secret::derive(parts.pass_secret.as_bytes(), "join keys"),
            verifier,
            site: parts.site,
            line: parts.line,
            signer: parts.signer,
            service_key: parts.service_key,
            checkout: parts.checkout,
            sends_mail: AtomicBool::new(false),
            offers: RwLock::default(),
            gate: parts.gate,
            trouble: Mutex::default(),
            hubs: RwLock::default(),
            passed: Passed::default(),
            verified: VerifiedTokens::default(),
            lists: RwLock::default(),
            list_reading: tokio::sync::Mutex::default(),
            archives: parts.archives,
        }))
    }

    /// Returns the time that slots and tokens are checked against: the store's clock, so that a
    /// wrong clock of this node does no harm. Falls back to this node's clock for events without a
    /// hub.
    pub(crate) fn now(&self, event: &EventId) -> Time {
        let store = self.known_hub(event).and_then(|_| self.line.now(event));
        store.unwrap_or_else(|| self.site.clock.now())
    }

    /// Returns whether the line's store is unreachable at the moment.
    pub(crate) fn is_line_away(&self) -> bool {
        self.site.health.is_line_away.load(Ordering::Relaxed)
    }

    /// Publishes what is wrong with the store, or else with a line at this node.
    pub(crate) fn note_trouble(&self, trouble: Option<Trouble>) {
        let trouble = trouble.or_else(|| self.trouble_of_lines());
        let is_away = trouble
            .as_ref()
            .is_some_and(|trouble| trouble.kind.is_everywhere());
        let health = &self.site.health;
        health.is_line_away.store(is_away, Ordering::Relaxed);
        stores::LINE.set((!is_away).into());
        *self.trouble.lock() = trouble.as_ref().map(|trouble| trouble.kind);
        *health.line_trouble.lock() = trouble.map(|trouble| trouble.detail);
    }

    /// Returns what is wrong with the first line that something is wrong with.
    fn trouble_of_lines(&self) -> Option<Trouble> {
        let hubs = self.hubs.read();
        let mut troubled = hubs
            .iter()
            .filter_map(|(event, hub)| Some((event, hub.trouble()?)));
        let (event, kind) = troubled.next()?;
        let more = match troubled.count() {
            0 => String::new(),
            others => format!(" and of {others} others"),
        };
        let detail = format!("the line of {event}{more}: {}", kind.words());
        Some(Trouble { kind, detail })
    }

    /// Returns what keeps an event's line from moving, as far as this node knows.
    pub(crate) fn trouble(&self, hub: &EventHub) -> Option<TroubleKind> {
        let of_store = *self.trouble.lock();
        of_store
            .filter(|kind| kind.is_everywhere())
            .or(hub.trouble())
    }

    /// Returns whether places can only be shown as they were.
    pub(crate) fn is_stale(&self, event: &EventId) -> bool {
        let hub = self.known_hub(event);
        self.is_line_away() || hub.is_none_or(|hub| hub.trouble().is_some())
    }

    /// Returns an event's hub if it has one.
    pub(crate) fn known_hub(&self, event: &EventId) -> Option<Arc<EventHub>> {
        let hubs = self.hubs.read();
        hubs.get(event).cloned()
    }

    /// Drops all state of a deleted event and ends its sockets.
    pub(crate) fn forget(&self, event: &EventId) {
        self.passed.clear();
        let mut hubs = self.hubs.write();
        if let Some(hub) = hubs.remove(event) {
            hub.end();
        }
        let mut lists = self.lists.write();
        lists.remove(event);
    }
}

/// Router state: a newtype, so that [`FromRef`] can be implemented for its parts.
#[derive(Clone)]
pub(crate) struct App(pub(crate) Arc<Room>);

impl FromRef<App> for Arc<Room> {
    fn from_ref(app: &App) -> Arc<Room> {
        app.0.clone()
    }
}

impl FromRef<App> for Arc<AppContext> {
    fn from_ref(app: &App) -> Arc<AppContext> {
        app.0.site.clone()
    }
}
