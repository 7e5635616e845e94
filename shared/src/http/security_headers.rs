//! Security headers of all responses.

use crate::context::AppContext;
use crate::crypto::sha256;
use crate::trace::Scope;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use data_encoding::BASE64;
use std::collections::BTreeSet;

const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// Longest list of origins of pictures, in bytes: proxies take only so much of a head.
const ORIGINS_BYTES_MAX: usize = 1500;

/// Returns the content security policy of a page that shows pictures of these origins and has one
/// style sheet in its head. Origins beyond a limit are left out, and their pictures not shown.
pub fn page_policy(pictures: &BTreeSet<String>, style: &str) -> HeaderValue {
    let mut origins = String::new();
    for origin in pictures {
        if origins.len() + origin.len() < ORIGINS_BYTES_MAX {
            origins.push(' ');
            origins.push_str(origin);
        }
    }
    let mut policy = POLICY.replacen(" data:", &format!(" data:{origins}"), 1);
    if !style.is_empty() {
        let hash = BASE64.encode(&sha256(style.as_bytes()));
        policy.push_str(&format!("; style-src 'self' 'sha256-{hash}'"));
    }
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static(POLICY))
}

/// What our pages have no use for.
const FEATURES: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
    magnetometer=(), microphone=(), midi=(), serial=(), usb=()";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");
/// Largest number of headers that are set here.
const SET_MAX: usize = 11;

/// Types of which no browser makes a document, given `nosniff`. What says something of documents
/// alone is left out there, because its bytes count where a page is first loaded; and from answers
/// without content.
const NO_DOCUMENTS: [&str; 4] = [
    "application/json",
    "application/problem+json",
    "text/css",
    "text/javascript",
];

/// Sets the headers that a response does not have yet: security, and the ids of the request.
pub(super) fn set_headers(site: &AppContext, response: &mut Response, scope: &Scope) {
    let has_content = response.status() != StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let is_document = has_content
        && headers.get(header::CONTENT_TYPE).is_none_or(|kind| {
            let kind = kind.to_str().unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            !NO_DOCUMENTS.contains(&kind)
        });
    // Room for all of them at once: they come one by one, and the map would grow twice.
    headers.reserve(SET_MAX);
    let mut set = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    let fixed = HeaderValue::from_static;
    if is_document {
        set(header::CONTENT_SECURITY_POLICY, fixed(POLICY));
        set(header::X_FRAME_OPTIONS, fixed("DENY"));
        set(header::REFERRER_POLICY, fixed("same-origin"));
        set(OPENER_POLICY, fixed("same-origin"));
        set(PERMISSIONS_POLICY, fixed(FEATURES));
    }
    set(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    set(RESOURCE_POLICY, fixed("same-origin"));
    set(header::CACHE_CONTROL, fixed("no-store"));
    if site.https {
        set(header::STRICT_TRANSPORT_SECURITY, fixed("max-age=31536000"));
    }
    if let Ok(value) = HeaderValue::try_from(scope.request_id().to_string()) {
        set(REQUEST_ID, value);
    }
    if let Some(value) = scope.response_header() {
        set(TRACE_RESPONSE, value);
    }
}
