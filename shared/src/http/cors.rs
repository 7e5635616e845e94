//! Cross-origin requests (CORS): pages of the allowed origins may call the API and read what it
//! answers.

use crate::context::AppContext;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header, request::Parts};
use axum::response::Response;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_util::either::Either;
use tower::{Layer, Service};
use tower_http::cors::{AllowCredentials, AllowOrigin, Cors, CorsLayer};

/// Time for which a browser need not ask again whether a request is allowed; none keeps it longer.
const PREFLIGHT: Duration = Duration::from_secs(7200);
/// Paths that pages of other origins may call.
const API: &str = "/api/v1/";
/// Paths where the cookie of the console's session counts.
const ORGANISER: &str = "/api/v1/organiser/";

/// For what everyone may read, from wherever: the documents and the public keys.
pub const FOR_ANYONE: (HeaderName, HeaderValue) = (
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    HeaderValue::from_static("*"),
);

/// Layer that lets pages of the allowed origins call the API. It belongs outside of whatever
/// refuses requests, or a page could not read why.
#[derive(Clone)]
pub(super) struct AllowOrigins {
    origins: Arc<[HeaderValue]>,
    cors: Arc<CorsLayer>,
}

impl AllowOrigins {
    pub(super) fn new(site: &AppContext) -> AllowOrigins {
        let origins: Vec<HeaderValue> = site
            .origins
            .iter()
            .filter_map(|origin| origin.parse().ok())
            .collect();
        // A page of another origin brings an organiser key of its own: who can put a script into a
        // shop's page must not read what the organiser sees who visits it.
        let with_cookies =
            |_: &HeaderValue, request: &Parts| !request.uri.path().starts_with(ORGANISER);
        let cors = CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.clone()))
            .allow_credentials(AllowCredentials::predicate(with_cookies))
            .allow_methods([
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_NONE_MATCH,
                HeaderName::from_static("idempotency-key"),
            ])
            .expose_headers([
                header::ETAG,
                header::RETRY_AFTER,
                header::WWW_AUTHENTICATE,
                HeaderName::from_static("idempotency-replayed"),
                HeaderName::from_static("x-fairline-time"),
                HeaderName::from_static("x-layout"),
                HeaderName::from_static("x-request-id"),
                HeaderName::from_static("x-stale"),
                HeaderName::from_static("x-version"),
            ])
            .max_age(PREFLIGHT)
            .vary([header::ORIGIN]);
        AllowOrigins {
            origins: origins.into(),
            cors: Arc::new(cors),
        }
    }
}

impl<S> Layer<S> for AllowOrigins {
    type Service = AllowingOrigins<S>;

    fn layer(&self, inner: S) -> AllowingOrigins<S> {
        let layer = self.clone();
        AllowingOrigins { layer, inner }
    }
}

/// A service behind [`AllowOrigins`].
#[derive(Clone)]
pub(super) struct AllowingOrigins<S> {
    layer: AllowOrigins,
    inner: S,
}

impl<S> Service<Request> for AllowingOrigins<S>
where
    S: Service<Request, Response = Response> + Clone,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<<Cors<S> as Service<Request>>::Future, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    /// Passes a request on. One of another origin is answered as if there were no CORS, and so is
    /// one that no page made.
    fn call(&mut self, request: Request) -> Self::Future {
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        let origin = origins.next();
        let AllowOrigins {
            origins: known,
            cors,
        } = &self.layer;
        let is_allowed =
            origin.is_some_and(|origin| known.contains(origin)) && origins.next().is_none();
        if is_allowed && request.uri().path().starts_with(API) {
            // Made only where it is needed: a clone of it costs a dozen allocations, and routers
            // clone their layers for each request. The inner service is ready, as routes always
            // are.
            let inner = self.inner.clone();
            let inner = std::mem::replace(&mut self.inner, inner);
            Either::Left(cors.layer(inner).call(request))
        } else {
            Either::Right(self.inner.call(request))
        }
    }
}
