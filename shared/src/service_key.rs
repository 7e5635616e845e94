//! The service key: how one of our services shows the other that it is no stranger.

use crate::context::AppContext;
use crate::crypto::same;
use crate::guesses::{KeyKind, compare};
use crate::http::client_address::ClientAddress;
use crate::http::credentials::bearer;
use crate::http::problem::Problem;
use axum::http::{StatusCode, request::Parts};

/// Checks that a request came with the service key as its bearer. Wrong keys count against their
/// address, and are not even compared beyond the limit. Where no key is set, every key is wrong.
///
/// # Errors
/// 401, or 429 after too many wrong keys.
pub async fn require_service_key(
    site: &AppContext,
    parts: &Parts,
    key: Option<&str>,
) -> Result<(), Problem> {
    let word = bearer(&parts.headers).ok_or_else(unauthorised)?;
    let address = parts.extensions.get::<ClientAddress>();
    let address = address.map(|address| address.0);
    let is_right = || key.is_some_and(|key| same(key, &word)).then_some(());
    let found = compare(site, KeyKind::Service, address, &word, is_right).await?;
    found.ok_or_else(unauthorised)
}

fn unauthorised() -> Problem {
    let title = "The service key is needed";
    Problem::new(StatusCode::UNAUTHORIZED, "no-service-key", title)
}
