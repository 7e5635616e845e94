//! The path prefix under which all routes answer as well, for sites that have paths of the same
//! names. What a request finds there leads on under the prefix.

use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{Uri, uri};
use std::convert::Infallible;
use std::sync::Arc;
use tower::util::MapRequest;

/// Longest prefix in bytes.
const PREFIX_BYTES_MAX: usize = 100;
/// First segments of our own paths: a prefix that begins with one would hide them.
const OWN_SEGMENTS: [&str; 10] = [
    "api",
    "auth-request",
    "door",
    "e",
    "gate",
    "orders",
    "organiser",
    "static",
    "webhooks",
    ".well-known",
];

/// Prefix under which a request came; empty for none.
#[derive(Clone, Debug, Default)]
pub struct PathPrefix(Option<Arc<str>>);

impl PathPrefix {
    /// Returns the prefix, without a slash at the end.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Returns a path of ours as the client of this request asks for it.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.as_str())
    }
}

impl<S: Sync> FromRequestParts<S> for PathPrefix {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<PathPrefix, Infallible> {
        let found = parts.extensions.get::<PathPrefix>();
        Ok(found.cloned().unwrap_or_default())
    }
}

/// Reads a prefix such as `/.fairline`, without a slash at the end; none is an empty text.
///
/// # Errors
/// The rule that the text breaks.
pub(crate) fn parse_prefix(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let is_segment = |segment: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain)
    };
    let mut segments = text.strip_prefix('/').unwrap_or(text).split('/');
    let is_path = text.starts_with('/') && segments.clone().all(is_segment);
    if text.is_empty() {
        Ok(String::new())
    } else if !is_path || text.len() > PREFIX_BYTES_MAX {
        Err(format!("'{text}' is not a path such as /.fairline"))
    } else if segments.any(|first| OWN_SEGMENTS.contains(&first)) {
        Err(format!("'{text}' has the name of a path of ours"))
    } else {
        Ok(text.to_owned())
    }
}

/// Returns a router that answers under `prefix` as it does without.
pub(crate) fn with_prefix(router: Router, prefix: &str) -> Router {
    if prefix.is_empty() {
        return router;
    }
    let prefix: Arc<str> = prefix.into();
    // Before routing, so that routes keep the names by which they are classed and counted.
    let strip = move |mut request: Request| {
        if let Some(uri) = without_prefix(request.uri(), &prefix) {
            *request.uri_mut() = uri;
            let under = PathPrefix(Some(prefix.clone()));
            request.extensions_mut().insert(under);
        }
        request
    };
    Router::new().fallback_service(MapRequest::new(router, strip))
}

fn without_prefix(uri: &Uri, prefix: &str) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(prefix)?;
    let rest: PathAndQuery = match rest.bytes().next() {
        None => PathAndQuery::from_static("/"),
        Some(b'/') => rest.parse().ok()?,
        Some(b'?') => format!("/{rest}").parse().ok()?,
        Some(_) => return None,
    };
    let mut parts: uri::Parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_path_that_hides_none_of_ours() {
        for (text, prefix) in [
            ("", ""),
            ("/", ""),
            ("/.fairline", "/.fairline"),
            ("/.fairline/", "/.fairline"),
            ("/shop/line", "/shop/line"),
        ] {
            assert_eq!(parse_prefix(text).as_deref(), Ok(prefix), "{text}");
        }
        let long = format!("/{}", "x".repeat(PREFIX_BYTES_MAX));
        for text in [
            "fairline",
            "/a//b",
            "/../x",
            "/.",
            "/a b",
            "/ä",
            "/a?b",
            "/api",
            "/e/x",
            "/x/static",
            "//x",
            &long,
        ] {
            assert!(parse_prefix(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_rest_of_a_path_and_its_query_stay_as_they_are() {
        let stripped = |uri: &str| {
            let uri: Uri = uri.parse().unwrap();
            without_prefix(&uri, "/.fairline").map(|uri| uri.to_string())
        };
        for (uri, rest) in [
            ("/.fairline", Some("/")),
            ("/.fairline/", Some("/")),
            ("/.fairline?a=1", Some("/?a=1")),
            (
                "/.fairline/e/x?return_to=%2F%2520",
                Some("/e/x?return_to=%2F%2520"),
            ),
            ("https://x.example/.fairline/e", Some("https://x.example/e")),
            ("/.fairlines/e", None),
            ("/e/.fairline", None),
        ] {
            assert_eq!(stripped(uri).as_deref(), rest, "{uri}");
        }
    }
}
