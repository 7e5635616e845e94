//! Warnings of set-ups that are fine for a first look and not for a sale.

use std::net::{IpAddr, SocketAddr};
use url::{Host, Url};

/// Endings of names in private networks. Names without a dot are, too.
const PRIVATE_ENDINGS: [&str; 6] = [".localhost", ".local", ".internal", ".svc", ".lan", ".test"];

/// Returns what to warn of in the addresses of a process.
pub(crate) fn of_addresses(public_url: &str, ops_listen: SocketAddr) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_clear_in_public(public_url) {
        warnings.push(format!(
            "FAIRLINE_PUBLIC_URL: {public_url} is not https: passes, sessions and organiser keys can be read and taken on the way"
        ));
    }
    let ip = ops_listen.ip();
    if ip.is_unspecified() {
        warnings.push(format!(
            "FAIRLINE_OPS_LISTEN: {ops_listen} is on all addresses: let a firewall or a network policy keep the public from it"
        ));
    } else if is_public(ip) {
        warnings.push(format!(
            "FAIRLINE_OPS_LISTEN: {ops_listen} is a public address: metrics and the state of the stores are for you alone"
        ));
    }
    warnings
}

/// Returns what to warn of in the address by which one service reaches the other.
pub fn warn_of_clear_link(setting: &str, url: &str) -> Option<String> {
    is_clear_in_public(url).then(|| {
        format!(
            "{setting}: the service key is sent there without TLS: use https or a private network"
        )
    })
}

/// Returns whether a URL leads over the public internet without TLS.
pub fn is_clear_in_public(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let is_host_public = match url.host() {
        Some(Host::Ipv4(ip)) => is_public(ip.into()),
        Some(Host::Ipv6(ip)) => is_public(ip.into()),
        Some(Host::Domain(name)) => {
            name.contains('.') && !PRIVATE_ENDINGS.iter().any(|end| name.ends_with(end))
        }
        None => false,
    };
    url.scheme() == "http" && is_host_public
}

fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let octets = v4.octets();
            let is_shared = octets[0] == 100 && octets[1] & 0xc0 == 64;
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || is_shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_public_reaches_without_tls_is_warned_of() {
        for url in [
            "http://tickets.example",
            "http://tickets.example:8080",
            "http://203.0.113.7",
            "http://[2001:db8::1]:8080",
        ] {
            assert!(is_clear_in_public(url), "{url}");
        }
        for url in [
            "https://tickets.example",
            "http://127.0.0.1:8080",
            "http://localhost:8080",
            "http://shop.localhost",
            "http://10.1.2.3",
            "http://192.168.0.7:8080",
            "http://[::1]:8080",
            "http://[fd00::1]",
            "http://waiting-room:8080",
            "http://checkout.fairline.svc.cluster.local",
        ] {
            assert!(!is_clear_in_public(url), "{url}");
        }
        let count =
            |listen: &str| of_addresses("https://tickets.example", listen.parse().unwrap()).len();
        for (listen, warnings) in [
            ("127.0.0.1:9464", 0),
            ("10.0.0.1:9464", 0),
            ("[::1]:9464", 0),
            ("0.0.0.0:9464", 1),
            ("[::]:9464", 1),
            ("203.0.113.7:9464", 1),
        ] {
            assert_eq!(count(listen), warnings, "{listen}");
        }
    }
}
