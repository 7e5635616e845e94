//! Security headers of all responses.

use crate::context::AppContext;
use crate::trace::Scope;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// What our pages have no use for.
const FEATURES: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
    magnetometer=(), microphone=(), midi=(), serial=(), usb=()";

/// Types of which no browser makes a document, given `nosniff`. What says something of documents
/// alone is left out there, because its bytes count where a page is first loaded.
const NO_DOCUMENTS: [&str; 4] = [
    "application/json",
    "application/problem+json",
    "text/css",
    "text/javascript",
];

/// Sets the headers that a response does not have yet: security, and the ids of the request.
pub(super) fn set_headers(site: &AppContext, response: &mut Response, scope: &Scope) {
    let headers = response.headers_mut();
    let is_document = headers.get(header::CONTENT_TYPE).is_none_or(|kind| {
        let kind = kind.to_str().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        !NO_DOCUMENTS.contains(&kind)
    });
    let mut set = |name: &'static str, value: HeaderValue| {
        headers
            .entry(HeaderName::from_static(name))
            .or_insert(value);
    };
    if is_document {
        set("content-security-policy", HeaderValue::from_static(POLICY));
        set("x-frame-options", HeaderValue::from_static("DENY"));
        set("referrer-policy", HeaderValue::from_static("same-origin"));
        set(
            "cross-origin-opener-policy",
            HeaderValue::from_static("same-origin"),
        );
        set("permissions-policy", HeaderValue::from_static(FEATURES));
    }
    set(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    set(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    set("cache-control", HeaderValue::from_static("no-store"));
    if site.https {
        let year = HeaderValue::from_static("max-age=31536000");
        set("strict-transport-security", year);
    }
    if let Ok(value) = HeaderValue::try_from(scope.request_id().to_string()) {
        set("x-request-id", value);
    }
    if let Some(value) = scope.response_header() {
        set("traceresponse", value);
    }
}
