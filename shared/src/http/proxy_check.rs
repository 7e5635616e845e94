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
    let host = headers.get("x-forwarded-host");
    let host = host.or_else(|| headers.get(header::HOST));
    if is_of_host(origin, host) {
        OTHER_NAME.call_once(|| {
            tracing::warn!(
                ?origin,
                allowed = ?site.origins,
                "a page of ours was opened by a name that is not allowed, so its requests are refused: set FAIRLINE_PUBLIC_URL to it, or add it to FAIRLINE_ALLOWED_ORIGINS"
            );
        });
    }
}

fn is_of_host(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let origin = origin.as_bytes();
    let name = origin.strip_prefix(b"https://");
    let name = name.or_else(|| origin.strip_prefix(b"http://"));
    name.is_some() && name == host.map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_the_host_that_was_asked_is_ours() {
        let value = |text: &'static str| HeaderValue::from_static(text);
        let host = value("other.example:8080");
        assert!(is_of_host(&value("http://other.example:8080"), Some(&host)));
        assert!(is_of_host(
            &value("https://other.example:8080"),
            Some(&host)
        ));
        for origin in ["null", "", "http://other.example", "http://evil.example"] {
            assert!(!is_of_host(&value(origin), Some(&host)), "{origin}");
        }
        assert!(!is_of_host(&value("null"), None));
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
