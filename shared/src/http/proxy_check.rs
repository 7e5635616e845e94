//! Signs of a proxy in front that is set up otherwise than the settings say, and their list for
//! organisers.

use super::openapi::Refusals;
use super::proxy_signs::{ProxySign, ProxySigns, SignKind};
use crate::context::AppContext;
use crate::organiser::Organiser;
use crate::remote::SERVICE_AGENT;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::{Json, Router};
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Records what the headers of a proxy say that does not fit the settings.
pub(super) fn check_proxy(site: &AppContext, headers: &HeaderMap, address: Option<IpAddr>) {
    let addresses = addresses_told(headers);
    let agent = headers.get(header::USER_AGENT);
    if addresses == 0 && agent.is_some_and(|agent| agent == SERVICE_AGENT) {
        return;
    }
    if let Some(kind) = check_hops(&site.proxy_signs, site.trusted_hops, addresses, address) {
        notice(site, kind, String::new);
    }
    if let Some(scheme) = headers.get("x-forwarded-proto") {
        check_scheme(site, scheme);
    }
}

fn notice(site: &AppContext, kind: SignKind, seen: impl FnOnce() -> String) {
    site.proxy_signs.notice(kind, site.clock.now(), seen);
}

/// Returns the number of addresses in `X-Forwarded-For`, of which there may be several.
fn addresses_told(headers: &HeaderMap) -> usize {
    let lines = headers.get_all("x-forwarded-for").iter();
    lines
        .map(|line| line.as_bytes().split(|byte| *byte == b',').count())
        .sum()
}

fn check_hops(
    signs: &ProxySigns,
    trusted_hops: usize,
    addresses: usize,
    address: Option<IpAddr>,
) -> Option<SignKind> {
    if trusted_hops == 0 {
        return (addresses > 0).then_some(SignKind::ForwardedNotTrusted);
    }
    // One without the header came past all proxies.
    if addresses > 0 && signs.are_many_short(addresses < trusted_hops) {
        return Some(SignKind::TooManyHops);
    }
    let Some(address) = address else {
        return Some(SignKind::NoAddress);
    };
    let is_proxy = addresses > trusted_hops && is_private(address);
    is_proxy.then_some(SignKind::TooFewHops)
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

fn check_scheme(site: &AppContext, scheme: &HeaderValue) {
    // The first of several is that of the browser.
    let mut schemes = scheme.as_bytes().split(|byte| *byte == b',');
    let is_https = match schemes.next().map(<[u8]>::trim_ascii) {
        Some(b"https") => true,
        Some(b"http") => false,
        _ => return,
    };
    if is_https != site.https {
        notice(site, SignKind::OtherScheme, || text(scheme));
    }
}

/// Records a page that this server itself showed and refuses: it was opened by another name. Pages
/// of other sites are none of our business.
pub(super) fn check_refused_origin(site: &AppContext, headers: &HeaderMap) {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return;
    };
    if is_of_asked_host(origin, headers) {
        notice(site, SignKind::OtherName, || text(origin));
    }
}

/// Records a handshake that a proxy passed on without the headers that make it one.
pub(super) fn check_lost_upgrade(site: &AppContext, headers: &HeaderMap) {
    if headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        notice(site, SignKind::LostUpgrade, String::new);
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Returns whether an origin has the host that a request asked for. Ports are not compared: some
/// proxies drop them.
pub(super) fn is_of_asked_host(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get("x-forwarded-host");
    let host = host.or_else(|| headers.get(header::HOST));
    let origin = origin.as_bytes();
    let name = origin.strip_prefix(b"https://");
    let name = name.or_else(|| origin.strip_prefix(b"http://"));
    name.is_some() && name.map(without_port) == host.map(|host| without_port(host.as_bytes()))
}

/// Returns a host without its port. That of an IPv6 address stands behind a bracket.
fn without_port(host: &[u8]) -> &[u8] {
    let colon = host.iter().rposition(|byte| *byte == b':');
    let port = colon.filter(|at| !host[*at..].contains(&b']'));
    port.map_or(host, |at| &host[..at])
}

/// Returns the route of the list, and its description.
pub(super) fn routes() -> (Router<Arc<AppContext>>, OpenApi) {
    OpenApiRouter::new()
        .routes(routes!(list_proxy_signs))
        .split_for_parts()
}

/// List what the node that answers noticed of a proxy in front that does not fit the settings.
#[utoipa::path(get, path = "/api/v1/organiser/proxy-signs", tag = "organiser",
    security(("organiser" = ["viewer"])),
    responses((status = 200, description = "The signs, none where all is well", body = Vec<ProxySign>), Refusals))]
async fn list_proxy_signs(
    State(site): State<Arc<AppContext>>,
    _: Organiser,
) -> Json<Vec<ProxySign>> {
    Json(site.proxy_signs.list())
}

#[cfg(test)]
mod tests {
    use super::super::proxy_signs::SHORT_MIN;
    use super::*;

    #[test]
    fn only_a_page_of_the_host_that_was_asked_is_ours() {
        let is_ours = |origin: &'static str, host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            is_of_asked_host(&HeaderValue::from_static(origin), &headers)
        };
        for (origin, host) in [
            ("http://other.example:8080", "other.example:8080"),
            ("https://other.example:8080", "other.example:8080"),
            ("https://other.example:8443", "other.example"),
            ("http://[2001:db8::1]:8080", "[2001:db8::1]:8080"),
            ("http://[2001:db8::1]", "[2001:db8::1]:80"),
        ] {
            assert!(is_ours(origin, host), "{origin}");
        }
        for origin in [
            "null",
            "",
            "other.example",
            "http://evil.example",
            "http://other.example.evil.example",
            "http://evil.example:other.example",
        ] {
            assert!(!is_ours(origin, "other.example:8080"), "{origin}");
        }
        assert!(!is_ours("http://[2001:db8::1]", "[2001:db8::2]"));
        let none = HeaderMap::new();
        assert!(!is_of_asked_host(&HeaderValue::from_static("null"), &none));
    }

    #[test]
    fn a_private_address_behind_more_entries_is_a_proxy() {
        let hops = |hops, address: Option<&str>| {
            let address = address.map(|text| text.parse().unwrap());
            check_hops(&ProxySigns::default(), hops, 2, address)
        };
        assert_eq!(hops(0, None), Some(SignKind::ForwardedNotTrusted));
        assert_eq!(hops(1, Some("10.0.0.2")), Some(SignKind::TooFewHops));
        assert_eq!(hops(1, None), Some(SignKind::NoAddress));
        assert_eq!(hops(2, Some("203.0.113.7")), None);
        assert_eq!(hops(2, Some("10.0.0.2")), None);
        let private = |text: &str| is_private(text.parse().unwrap());
        assert!(private("10.0.0.2") && private("fd00::1") && private("127.0.0.1"));
        assert!(!private("203.0.113.7") && !private("2001:db8::1"));
    }

    #[test]
    fn many_requests_in_a_row_with_fewer_entries_than_proxies_show_that_too_many_are_trusted() {
        let signs = ProxySigns::default();
        let fan = Some(IpAddr::from([203, 0, 113, 7]));
        let check = |addresses, address| check_hops(&signs, 2, addresses, address);
        for _ in 0..3 {
            for _ in 1..SHORT_MIN {
                assert_eq!(check(1, None), Some(SignKind::NoAddress));
                assert_eq!(check(0, None), Some(SignKind::NoAddress), "no header");
            }
            assert_eq!(check(2, fan), None);
        }
        for _ in 1..SHORT_MIN {
            check(1, None);
        }
        assert_eq!(check(1, None), Some(SignKind::TooManyHops));
        assert_eq!(check(1, None), Some(SignKind::TooManyHops));
    }

    #[test]
    fn the_entries_of_all_lines_count() {
        let mut headers = HeaderMap::new();
        assert_eq!(addresses_told(&headers), 0);
        for line in ["203.0.113.7, 10.0.0.2", "10.0.0.3"] {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        assert_eq!(addresses_told(&headers), 3);
    }
}
