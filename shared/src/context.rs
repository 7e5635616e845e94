//! Context of all handlers: the public URL, organisers, limits, the clock, the stop signal, the
//! health of the stores.

use crate::audit::Audit;
use crate::crypto::Secret;
use crate::edge::Edge;
use crate::failures::Failures;
use crate::http::load::Load;
use crate::http::problem::Problem;
use crate::http::proxy_signs::ProxySigns;
use crate::http::rate_limit::{
    AddressLimiter, Cap, KeyLimiter, SharedBuckets, SharedCount, SharedLimits, SharedLists,
};
use crate::organiser::{KeySource, Organisers};
use crate::time::Clock;
use crate::trace::Traces;
use crate::web_url::link_origin;
use parking_lot::Mutex;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// One per process, shared by all handlers.
pub struct AppContext {
    /// The origin that browsers see, without a slash at the end; `iss` of the tokens.
    pub public_url: String,
    /// Path under which all routes answer as well, such as `/.fairline`; empty for none.
    pub path_prefix: String,
    /// The public URL is https: cookies are `Secure` and `__Host-`.
    pub https: bool,
    /// Origins whose pages may act for a fan: the public URL's own and those that were allowed.
    pub origins: Vec<String>,
    /// Proxies in front whose `X-Forwarded-For` entry is believed.
    pub trusted_hops: usize,
    /// Organisers, their keys and sessions.
    pub organisers: Organisers,
    /// Where their keys come from.
    pub key_source: KeySource,
    /// The audit log.
    pub audit: Audit,
    /// Rate limits.
    pub limits: Limits,
    /// Hashes client addresses, alike in all processes that share a store.
    pub address_secret: Secret,
    /// Signs ids of mails and links that withdraw an address, and hashes addresses to which mails came back and
    /// numbers of phones. Stays the same.
    pub mail_secret: Secret,
    /// Requests in flight.
    pub load: Arc<Load>,
    /// The time.
    pub clock: Clock,
    /// Set when the process is about to go.
    pub stop: CancellationToken,
    /// Whether the stores answered when they were last asked.
    pub health: Health,
    /// Signs of a proxy in front that does not fit the settings.
    pub proxy_signs: ProxySigns,
    /// Warnings of the settings, as they were logged at the start.
    pub settings_warnings: Vec<String>,
    /// Caches in front.
    pub edge: Edge,
    /// Which requests are traced.
    pub traces: Traces,
}

/// Health of the stores. Each service reports on its own, a few times a minute at least.
#[derive(Debug, Default)]
pub struct Health {
    /// The line's store does not answer.
    pub is_line_away: AtomicBool,
    /// Why it does not, or what else is wrong with a line, in a sentence for the operator.
    pub line_trouble: Mutex<Option<String>>,
    /// The inventory's store does not answer, or takes no writes.
    pub is_inventory_away: AtomicBool,
    /// Why the waiting room takes no reports of this checkout, in a sentence for the operator: it
    /// would admit fans without knowing how many seats are left.
    pub report_trouble: Mutex<Option<String>>,
    /// Why events are not published, in a sentence for the operator. They wait, and sales go on.
    pub event_trouble: Mutex<Option<String>>,
    /// Why mails are not sent, in a sentence for the operator. They wait, and sales go on.
    pub mail_trouble: Mutex<Option<String>>,
    /// Why nothing is posted to a webhook any more, in a sentence for the operator.
    pub webhook_trouble: Mutex<Option<String>>,
}

impl Health {
    /// Returns whether all stores answer, and the other service takes what it is told.
    pub fn is_ready(&self) -> bool {
        !self.is_line_away.load(Ordering::Relaxed)
            && !self.is_inventory_away.load(Ordering::Relaxed)
            && self.report_trouble.lock().is_none()
    }

    /// Returns why a store does not answer, or what else is wrong, if that is known.
    pub fn trouble(&self) -> Option<String> {
        [
            &self.line_trouble,
            &self.report_trouble,
            &self.event_trouble,
            &self.mail_trouble,
            &self.webhook_trouble,
        ]
        .into_iter()
        .find_map(|trouble| trouble.lock().clone())
    }
}

impl AppContext {
    /// Returns whether a URL leads to a page of this site or of an allowed one.
    pub fn is_allowed_url(&self, url: &str) -> bool {
        link_origin(&self.public_url, url).is_some_and(|origin| self.origins.contains(&origin))
    }
}

/// The rate limits, each with its key.
pub struct Limits {
    /// All requests of a client address.
    pub requests: AddressLimiter,
    /// New places in line of a client address, and of a visitor who has had one.
    pub places: SharedLimits,
    /// Live places in line of a client address.
    pub live_places: Cap<16>,
    /// Sessions of a client address that hold seats.
    pub seat_holders: Cap<32>,
    /// Requests of one visitor.
    pub visitors: KeyLimiter,
    /// Mail addresses that a client address leaves with places in line.
    pub line_mails: AddressLimiter,
    /// Wrong organiser keys and one-time codes.
    pub organiser_keys: Failures,
    /// Wrong service keys.
    pub service_key: Failures,
}

impl Limits {
    /// Counts requests together with all processes that have the same store and secret.
    pub fn share_requests<S: SharedBuckets + 'static>(&self, store: &Arc<S>, secret: &Secret) {
        self.requests.share(store.clone(), secret.clone());
        self.visitors.share(store.clone(), secret.clone());
        self.line_mails.share(store.clone(), secret.clone());
    }

    /// Reports requests to the store that they are counted in, until the stop signal.
    pub async fn report(&self, stop: &CancellationToken) {
        tokio::join!(
            self.requests.report(stop),
            self.visitors.report(stop),
            self.line_mails.report(stop)
        );
    }

    /// Counts wrong keys together with all processes that have the same store and secret.
    pub fn share_failures<S: SharedLists + 'static>(&self, store: &Arc<S>, secret: &Secret) {
        for failures in [&self.organiser_keys, &self.service_key] {
            failures.share(SharedCount::new(store.clone(), secret.clone()));
        }
    }
}

/// Counts one against a limit, for a key whose text is the same at all nodes.
///
/// # Errors
/// 429 with `Retry-After`.
pub fn check(limiter: &KeyLimiter, key: impl Display) -> Result<(), Problem> {
    limiter.check(key).map_err(Problem::too_many)
}
