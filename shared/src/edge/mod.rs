//! Caching at the edge: what CDNs and other shared caches may keep, for how long, and the key by
//! which it is purged.

mod purge;

pub use purge::{PurgeTarget, Purger};

use purge::SURROGATE_KEY;

use crate::ids::EventId;
use axum::http::header::{CACHE_CONTROL, ORIGIN, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;

/// For CDNs that implement RFC 9213, such as Cloudflare.
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
/// For Fastly, Akamai and Varnish. Both take precedence over `Cache-Control`.
const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");
/// The key of a purge at Cloudflare.
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// Key of the public list of events.
const EVENTS: &str = "events";
/// Key of the files under `/static/`.
pub const STATIC: &str = "static";

/// Caches that may keep a public response, and the time they may keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Figures that change by the second: shared caches, for a second.
    Live,
    /// A page that is the same for all who ask as this request does: CDNs alone, since browsers and
    /// caches that do not know which cookies count must ask again.
    Page,
    /// A seating layout.
    Layout,
    /// The result of a draw, which stays as long as its event.
    Drawn,
    /// Files that change with the program alone.
    Static,
}

/// The edge in front of this process.
pub struct Edge {
    /// Whether there is a proxy in front, which may be a CDN. Without one, nothing is said to CDNs.
    is_proxied: bool,
    purger: Option<Arc<Purger>>,
}

impl Edge {
    /// The edge behind so many proxies of ours, and the purger that tells it of changes; without
    /// one lifetimes are short.
    pub fn new(trusted_hops: usize, purger: Option<Purger>) -> Edge {
        Edge {
            is_proxied: trusted_hops > 0,
            purger: purger.map(Arc::new),
        }
    }

    /// Returns the purger, if there is one.
    pub fn purger(&self) -> Option<Arc<Purger>> {
        self.purger.clone()
    }

    /// Lets a public response of an event be kept.
    pub fn keep(&self, headers: &mut HeaderMap, lifetime: Lifetime, event: &EventId) {
        self.keep_as(headers, lifetime, &format!("event-{event}"));
    }

    /// Lets the public list of events be kept, and a page that is made of it.
    pub fn keep_list(&self, headers: &mut HeaderMap) {
        self.keep_as(headers, Lifetime::Live, EVENTS);
    }

    /// Lets a public response that belongs to no event be kept, under this key.
    pub fn keep_as(&self, headers: &mut HeaderMap, lifetime: Lifetime, key: &str) {
        let for_all = match lifetime {
            Lifetime::Live => "public, max-age=0, s-maxage=1",
            Lifetime::Page => "no-store",
            Lifetime::Layout => "public, max-age=5",
            Lifetime::Drawn => "public, max-age=3600",
            Lifetime::Static => "public, max-age=60",
        };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(for_all));
        if matches!(
            lifetime,
            Lifetime::Live | Lifetime::Layout | Lifetime::Drawn
        ) {
            // The API's answers say which origin may read them.
            headers.append(VARY, ORIGIN.into());
        }
        if self.is_proxied {
            self.keep_at_edge(headers, lifetime, key);
        }
    }

    fn keep_at_edge(&self, headers: &mut HeaderMap, lifetime: Lifetime, key: &str) {
        let has_purges = self.purger.is_some();
        // One request refreshes a copy while others get the old one, for at most a second.
        let for_edge = match lifetime {
            Lifetime::Page | Lifetime::Layout if has_purges => {
                "max-age=60, stale-while-revalidate=1"
            }
            Lifetime::Live | Lifetime::Page => "max-age=1, stale-while-revalidate=1",
            Lifetime::Layout => "max-age=5, stale-while-revalidate=1",
            Lifetime::Drawn => "max-age=3600, stale-while-revalidate=1",
            Lifetime::Static => "max-age=60, stale-while-revalidate=1",
        };
        headers.insert(CDN_CACHE_CONTROL, HeaderValue::from_static(for_edge));
        headers.insert(SURROGATE_CONTROL, HeaderValue::from_static(for_edge));
        if let Ok(key) = HeaderValue::try_from(key) {
            headers.insert(CACHE_TAG, key.clone());
            headers.insert(SURROGATE_KEY, key);
        }
    }

    /// Says that a response depends on the credentials of its request.
    pub fn vary_on_credentials(&self, headers: &mut HeaderMap) {
        if self.is_proxied {
            headers.append(VARY, HeaderValue::from_static("cookie, authorization"));
        }
    }

    /// Purges an event and the list of events. They are fetched again at the next request.
    pub fn purge(&self, event: &EventId) {
        if let Some(purger) = &self.purger {
            purger.purge([format!("event-{event}"), EVENTS.to_owned()]);
        }
    }
}
