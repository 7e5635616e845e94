//! Signs of a proxy in front that is set up otherwise than the settings say. Each is logged once,
//! with the setting to change.

use crate::context::AppContext;
use axum::http::{HeaderMap, HeaderValue, header};
use std::net::IpAddr;
use std::sync::Once;

/// Warns if the headers of a proxy do not fit the settings.
pub(super) fn check_proxy(site: &AppContext, headers: &HeaderMap, address: Option<IpAddr>) {
    if let Some(forwarded) = headers.get("x-forwarded-for") {
        check_hops(site.trusted_hops, forwarded, address);
    }
    if let Some(scheme) = headers.get("x-forwarded-proto") {
        check_scheme(site, scheme);
    }
}

fn check_hops(trusted_hops: usize, forwarded: &HeaderValue, address: Option<IpAddr>) {
    static UNTRUSTED: Once = Once::new();
    static TOO_FEW: Once = Once::new();
    if trusted_hops == 0 {
        UNTRUSTED.call_once(|| {
            tracing::warn!(
                "X-Forwarded-For arrives and is not believed: if a proxy in front writes it, set FAIRLINE_TRUSTED_HOPS to the number of proxies, or all fans share the limits of one address"
            );
        });
    } else if has_more(forwarded, trusted_hops) && address.is_some_and(is_private) {
        TOO_FEW.call_once(|| {
            tracing::warn!(
                trusted_hops,
                ?address,
                "X-Forwarded-For names a private address where the client's should be, and more addresses before it: if that is a proxy of yours, raise FAIRLINE_TRUSTED_HOPS"
            );
        });
    }
}

/// Returns whether a header lists more than so many addresses.
fn has_more(forwarded: &HeaderValue, count: usize) -> bool {
    let entries = forwarded.as_bytes().split(|byte| *byte == b',');
    entries.count() > count
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

fn check_scheme(site: &AppContext, scheme: &HeaderValue) {
    static OTHER_SCHEME: Once = Once::new();
    // The first of several is that of the browser.
    let mut schemes = scheme.as_bytes().split(|byte| *byte == b',');
    let is_https = match schemes.next().map(<[u8]>::trim_ascii) {
        Some(b"https") => true,
        Some(b"http") => false,
        _ => return,
    };
    if is_https != site.https {
        OTHER_SCHEME.call_once(|| {
            tracing::warn!(
                public_url = site.public_url,
                ?scheme,
                "X-Forwarded-Proto says otherwise than FAIRLINE_PUBLIC_URL: set it to the address that browsers use, or their joins and sockets are refused"
            );
        });
    }
}

/// Warns if a page that this server itself showed is refused: it was opened by another name. Pages
/// of other sites are none of our business.
pub(super) fn check_refused_origin(site: &AppContext, headers: &HeaderMap) {
    static OTHER_NAME: Once = Once::new();
    let Some(origin) = headers.get(header::ORIGIN) else {
        return;
    };
    if is_of_asked_host(origin, headers) {
        OTHER_NAME.call_once(|| {
            tracing::warn!(
                ?origin,
                allowed = ?site.origins,
                "a page of ours was opened by a name that is not allowed, so its requests are refused: set FAIRLINE_PUBLIC_URL to it, or add it to FAIRLINE_ALLOWED_ORIGINS"
            );
        });
    }
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

#[cfg(test)]
mod tests {
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
        let forwarded = HeaderValue::from_static("203.0.113.7, 10.0.0.2");
        assert!(has_more(&forwarded, 1) && !has_more(&forwarded, 2));
        let private = |text: &str| is_private(text.parse().unwrap());
        assert!(private("10.0.0.2") && private("fd00::1") && private("127.0.0.1"));
        assert!(!private("203.0.113.7") && !private("2001:db8::1"));
    }
}
