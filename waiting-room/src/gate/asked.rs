//! The request to the site that a proxy asks about, as far as it tells.

use axum::http::{HeaderMap, HeaderName, header};
use shared::http::front::{Question, after_segment};
use shared::ids::EventId;
use std::fmt::Write as _;

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// Longest address in bytes that a fan comes back to. Proxies have small buffers for headers.
const TARGET_BYTES_MAX: usize = 4096;
/// Headers in which proxies tell the address.
const TARGET_HEADERS: [&str; 3] = ["x-original-uri", "x-original-url", "x-forwarded-uri"];
/// Headers in which proxies tell the method.
const METHOD_HEADERS: [&str; 2] = ["x-original-method", "x-forwarded-method"];

/// A request to the site.
pub(super) struct Asked {
    /// The event of the gate; none if its name cannot be one.
    pub(super) event: Option<EventId>,
    /// Path and query, in visible ASCII; none if the proxy does not tell.
    pub(super) target: Option<String>,
    /// A browser loads a page, so that it follows a redirect to the queue.
    pub(super) is_navigation: bool,
    /// A browser asks whether it may send the actual request, without any cookie.
    pub(super) is_preflight: bool,
    /// The proxy takes no other refusal than 401.
    pub(super) refuses_with_401: bool,
    /// The proxy takes no other success than 200.
    pub(super) needs_200: bool,
    /// The response may set a cookie: it is that of a page, and kept by no cache.
    pub(super) can_set_cookie: bool,
}

impl Asked {
    /// Reads the question at `/gate/{event}`, at `/gate/{event}/…` with the path and the query of
    /// the request appended, or at `/auth-request/{event}/{method}`.
    ///
    /// Headers of methods and queries may be a client's: what lets a request pass is read from
    /// nothing but the method and the path.
    pub(super) fn read(question: &Question<'_>) -> Asked {
        let Question {
            method,
            path,
            query,
            headers,
            ..
        } = *question;
        let auth_request = after_segment(path, "/auth-request");
        let gate = after_segment(path, "/gate").unwrap_or_default();
        let path = auth_request.unwrap_or(gate);
        let (event, rest) = match path.split_once('/') {
            Some((event, rest)) => (event, Some(rest)),
            None => (path, None),
        };
        let appended = rest.filter(|_| auth_request.is_none());
        let actual = match auth_request {
            Some(_) => rest.unwrap_or("GET"),
            None => method.as_str(),
        };
        let mut told = METHOD_HEADERS
            .iter()
            .filter_map(|name| headers.get(*name)?.to_str().ok());
        let told = match auth_request {
            Some(_) => actual,
            None => told.next().unwrap_or(actual),
        };
        let is_navigation = is_navigation(told, headers);
        Asked {
            event: EventId::parse(event).ok(),
            target: target(appended, query, headers),
            is_navigation,
            is_preflight: actual == "OPTIONS"
                && headers.contains_key(header::ORIGIN)
                && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
            refuses_with_401: auth_request.is_some(),
            // Envoy appends the path, or says that it is Envoy.
            needs_200: appended.is_some() || headers.contains_key("x-envoy-internal"),
            can_set_cookie: is_navigation || !headers.contains_key(SEC_FETCH_MODE),
        }
    }
}

/// Returns whether a browser loads a page. Those that do not say so accept HTML first of all.
fn is_navigation(method: &str, headers: &HeaderMap) -> bool {
    if let Some(mode) = headers.get(SEC_FETCH_MODE) {
        return mode == "navigate" && matches!(method, "GET" | "HEAD" | "POST");
    }
    let accept = headers.get(header::ACCEPT).map(|accept| accept.as_bytes());
    let takes_page = accept.is_some_and(|accept| accept.starts_with(b"text/html"));
    let is_script = headers.contains_key("x-requested-with");
    takes_page && !is_script && matches!(method, "GET" | "HEAD")
}

fn target(rest: Option<&str>, query: Option<&str>, headers: &HeaderMap) -> Option<String> {
    let appended = rest.map(|rest| match query {
        Some(query) => format!("/{rest}?{query}"),
        None => format!("/{rest}"),
    });
    let is_empty = appended.as_deref().is_none_or(|target| target == "/");
    let mut told = TARGET_HEADERS.iter().filter_map(|name| headers.get(*name));
    match told.next() {
        Some(told) if is_empty => in_ascii(told.as_bytes()),
        _ => in_ascii(appended?.as_bytes()),
    }
}

/// Returns path and query as a browser would send them: what is no visible ASCII, or is written
/// otherwise in an address, percent-encoded. None if it is too long or no path.
fn in_ascii(address: &[u8]) -> Option<String> {
    let path = without_origin(address);
    if path.first() != Some(&b'/') || path.len() > TARGET_BYTES_MAX {
        return None;
    }
    let is_kept = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\".contains(&byte);
    Some(percent_encoded(path, is_kept))
}

fn without_origin(address: &[u8]) -> &[u8] {
    for scheme in [&b"http://"[..], b"https://"] {
        if let Some(rest) = address.strip_prefix(scheme) {
            let path = rest.iter().position(|byte| *byte == b'/');
            return path.map_or(b"/", |at| &rest[at..]);
        }
    }
    address
}

fn percent_encoded(bytes: &[u8], is_kept: impl Fn(u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if is_kept(byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Returns the query that makes the queue page lead back to an address of the site.
pub(crate) fn return_query(target: &str) -> String {
    // Some proxies, such as Traefik, turn a `;` in the query of any request into `&`.
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/?:@!$'()*,=".contains(&byte);
    format!("?return_to={}", percent_encoded(target.as_bytes(), is_kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::Query;
    use axum::http::{HeaderValue, Method, Uri};

    fn ask(method: Method, uri: &str, heads: &[(&'static str, &str)]) -> Asked {
        let mut headers = HeaderMap::new();
        for (name, value) in heads {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.insert(*name, value);
        }
        let uri: Uri = uri.parse().unwrap();
        Asked::read(&Question {
            method: &method,
            path: uri.path(),
            query: uri.query(),
            headers: &headers,
            address: None,
            prefix: "",
        })
    }

    #[test]
    fn the_address_is_the_path_behind_the_event_or_what_a_header_tells() {
        let target = |uri, heads: &[(&'static str, &str)]| ask(Method::GET, uri, heads).target;
        for (uri, heads, wanted) in [
            ("/gate/night", &[][..], None),
            ("/gate/night/", &[], Some("/")),
            ("/gate/night/?a=1", &[], Some("/?a=1")),
            (
                "/gate/night/a%2Fb/c?d=%26&e=+",
                &[],
                Some("/a%2Fb/c?d=%26&e=+"),
            ),
            ("/gate/night//evil.example", &[], Some("//evil.example")),
            (
                "/gate/night",
                &[("x-original-uri", "/a?b=c&d=e%20f")],
                Some("/a?b=c&d=e%20f"),
            ),
            ("/gate/night/", &[("x-forwarded-uri", "/a")], Some("/a")),
            ("/gate/night/x", &[("x-forwarded-uri", "/a")], Some("/x")),
            (
                "/gate/night",
                &[("x-original-url", "https://shop.example/a?b")],
                Some("/a?b"),
            ),
            (
                "/gate/night",
                &[("x-original-url", "https://shop.example")],
                Some("/"),
            ),
            (
                "/gate/night",
                &[("x-original-uri", "/café?q=\"a b\"\\#<")],
                Some("/caf%C3%A9?q=%22a%20b%22%5C%23%3C"),
            ),
            ("/gate/night", &[("x-original-uri", "nonsense")], None),
        ] {
            assert_eq!(target(uri, heads).as_deref(), wanted, "{uri} {heads:?}");
        }
        let long = format!("/{}", "x".repeat(TARGET_BYTES_MAX));
        assert_eq!(target("/gate/night", &[("x-original-uri", &long)]), None);
    }

    #[test]
    fn a_return_query_is_read_as_it_was_written() {
        for target in [
            "/",
            "/a?b=c&d=%26+%2B#x",
            "/ä?\u{1f39f}=1",
            "//x?y=/'\"<>",
            "/a;b=1?c;d",
        ] {
            let uri: Uri = format!("/e/night{}", return_query(target)).parse().unwrap();
            let Query(read) = Query::<Vec<(String, String)>>::try_from_uri(&uri).unwrap();
            assert_eq!(read, [("return_to".to_owned(), target.to_owned())]);
            let others = uri.query().unwrap().replace(';', "&");
            assert_eq!(uri.query(), Some(others.as_str()), "some end a value there");
        }
    }

    #[test]
    fn pages_are_navigations_and_what_scripts_and_pictures_ask_for_is_not() {
        let html = ("accept", "text/html,application/xhtml+xml");
        let navigate = ("sec-fetch-mode", "navigate");
        let of = |method, heads: &[(&'static str, &str)]| {
            ask(method, "/gate/night", heads).is_navigation
        };
        assert!(of(Method::GET, &[html]));
        assert!(of(Method::HEAD, &[html]));
        assert!(of(Method::GET, &[navigate]));
        assert!(of(Method::POST, &[navigate]), "a form");
        assert!(of(Method::GET, &[html, ("x-forwarded-method", "HEAD")]));
        assert!(!of(Method::GET, &[html, ("x-forwarded-method", "POST")]));
        assert!(!of(Method::POST, &[html]));
        assert!(!of(
            Method::GET,
            &[html, ("x-requested-with", "XMLHttpRequest")]
        ));
        assert!(!of(Method::GET, &[html, ("sec-fetch-mode", "cors")]));
        assert!(!of(Method::GET, &[("accept", "*/*")]));
        assert!(!of(Method::DELETE, &[navigate]));
        assert!(!of(Method::GET, &[]));
    }

    #[test]
    fn no_header_of_a_client_makes_a_preflight_of_another_request() {
        let cors = [
            ("origin", "https://shop.example"),
            ("access-control-request-method", "PUT"),
        ];
        let of = |method, uri: &str, heads: &[(&'static str, &str)]| {
            ask(method, uri, heads).is_preflight
        };
        assert!(of(Method::OPTIONS, "/gate/night", &cors));
        assert!(of(Method::OPTIONS, "/gate/night/a", &cors));
        assert!(of(Method::GET, "/auth-request/night/OPTIONS", &cors));
        for query in ["?method=OPTIONS", "/OPTIONS?x"] {
            let uri = format!("/gate/night{query}");
            assert!(!of(Method::GET, &uri, &cors), "{query}");
        }
        assert!(!of(
            Method::GET,
            "/auth-request/night/GET?x=/OPTIONS",
            &cors
        ));
        assert!(!of(Method::OPTIONS, "/gate/night", &[]));
        for forged in METHOD_HEADERS {
            let heads = [cors[0], cors[1], (forged, "OPTIONS")];
            for uri in ["/gate/night", "/gate/night/", "/auth-request/night/GET"] {
                assert!(!of(Method::GET, uri, &heads), "{uri} {forged}");
            }
        }
    }
}
