//! The waiting room: who is where in line, who may go in now, the queue page, the gate for other people's sites.

pub mod admit;
pub mod checkout;
pub mod draw;
pub mod error;
mod fan;
mod gate;
pub mod line;
mod organiser;
pub mod pass;
mod place;
mod push;
mod queue_page;
mod service;
pub mod settings;

use admit::EventHub;
use async_trait::async_trait;
use axum::Router;
use axum::extract::FromRef;
use line::{Line, Refused};
use pass::Passes;
use shared::context::AppContext;
use shared::crypto::Secret;
use shared::http::problem::Problem;
use shared::ids::EventId;
use shared::time::Time;
use shared::token::{Signer, Verifier};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use utoipa_axum::router::OpenApiRouter;

/// The checkout, in this process or elsewhere: asked before an event is deleted.
#[async_trait]
pub trait Shop: Send + Sync {
    /// Removes everything that the checkout has of an event, and answers whether there was anything. Nothing is removed where
    /// it is refused.
    ///
    /// # Errors
    /// 409 `/problems/event-has-orders` once something was booked or paid, 409 `/problems/event-in-use` while seats are held
    /// or money is on its way, 503 when the checkout gave no answer: then it may have removed it.
    async fn delete_event(&self, event: &EventId) -> Result<bool, Problem>;
}

/// What every handler of the waiting room needs.
pub struct Room {
    /// The site.
    pub site: Arc<AppContext>,
    /// The line.
    pub line: Arc<dyn Line>,
    /// Signs and reads passes.
    pub passes: Passes,
    /// Signs admission tokens.
    pub signer: Signer,
    /// Reads them back at the gate.
    pub verifier: Verifier,
    /// What a checkout elsewhere shows to report its seats.
    pub service_key: String,
    /// The checkout, where it is known.
    pub shop: Option<Arc<dyn Shop>>,
    /// Makes visitor ids out of idempotency keys.
    pub join_keys: Secret,
    /// What this node keeps of each event. Locked for a look-up, never across an await.
    hubs: RwLock<HashMap<EventId, Arc<EventHub>>>,
    /// Who passed the gate just now.
    passed: gate::Passed,
    /// Who was drawn, for events whose list was asked for here. Locked for a look-up, never across an await.
    lists: RwLock<HashMap<EventId, Arc<draw::List>>>,
}

/// The parts that a room is made of.
pub struct Parts {
    /// The site.
    pub site: Arc<AppContext>,
    /// The line.
    pub line: Arc<dyn Line>,
    /// The secret that signs passes.
    pub pass_secret: String,
    /// What a checkout elsewhere shows to report its seats.
    pub service_key: String,
    /// Signs admission tokens.
    pub signer: Signer,
    /// The checkout, where it is known.
    pub shop: Option<Arc<dyn Shop>>,
}

impl Room {
    /// Puts a room together.
    ///
    /// # Errors
    /// When the signing keys publish nothing that verifies.
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
            shop: parts.shop,
            hubs: RwLock::default(),
            passed: gate::Passed::default(),
            lists: RwLock::default(),
        }))
    }

    /// What this node keeps of an event, taking it up if this is the first time that it is asked for.
    pub(crate) async fn hub(self: &Arc<Room>, event: &EventId) -> Result<Arc<EventHub>, Refused> {
        if let Some(hub) = self.known_hall(event) {
            return Ok(hub);
        }
        let front = self.line.tick(event).await?;
        let mut hubs = self.hubs.write().unwrap_or_else(PoisonError::into_inner);
        let hub = hubs
            .entry(event.clone())
            .or_insert_with(|| admit::start(self, event.clone(), front));
        Ok(hub.clone())
    }

    /// The time by which turns and tokens are judged: the store's, so that a node whose clock is wrong judges no other.
    /// Of events that this node does not know it is its own.
    pub(crate) fn now(&self, event: &EventId) -> Time {
        let store = self.known_hall(event).and_then(|_| self.line.now(event));
        store.unwrap_or_else(|| self.site.clock.now())
    }

    /// Whether the line's store does not answer at the moment.
    pub(crate) fn is_line_away(&self) -> bool {
        let health = &self.site.health;
        health
            .is_line_away
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    fn known_hall(&self, event: &EventId) -> Option<Arc<EventHub>> {
        let hubs = self.hubs.read().unwrap_or_else(PoisonError::into_inner);
        hubs.get(event).cloned()
    }

    pub(crate) fn forget(&self, event: &EventId) {
        self.passed.clear();
        let mut hubs = self.hubs.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = hubs.remove(event) {
            hub.end();
        }
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        lists.remove(event);
    }
}

/// A room as the state of a router.
#[derive(Clone)]
pub struct App(Arc<Room>);

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

/// All routes of the waiting room, and their OpenAPI description. The caller puts `shared::http::middleware::with_middleware` around them.
pub fn router(room: Arc<Room>) -> (Router, utoipa::openapi::OpenApi) {
    let (router, description) = OpenApiRouter::new()
        .merge(fan::routes())
        .merge(push::routes())
        .merge(gate::routes())
        .merge(draw::routes())
        .merge(organiser::routes())
        .merge(service::routes())
        .split_for_parts();
    let router = router.merge(queue_page::routes());
    (router.with_state(App(room)), description)
}
