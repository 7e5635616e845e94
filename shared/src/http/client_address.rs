//! Client addresses, told by trusted proxies.

use super::rate_limit::folded;
use axum::http::HeaderMap;
use std::net::{IpAddr, Ipv4Addr};

/// The address that a request counts for. A request without this extension has none that its proxy
/// would tell.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// Returns the address that a request counts for: the peer's, or with `trusted_hops` proxies in
/// front the entry that the outermost of them wrote, counted from the right end of
/// `X-Forwarded-For`. Anyone can write the entries further left.
///
/// Returns `None` if that entry is missing or names no address: the peer is then a proxy that all
/// visitors share.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted_hops: usize) -> Option<IpAddr> {
    if trusted_hops == 0 {
        return Some(folded(peer));
    }
    // As bytes: what a client wrote further left must not hide the proxy's entry.
    let entries: Vec<&[u8]> = headers
        .get_all("x-forwarded-for")
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .collect();
    let entry = entries
        .len()
        .checked_sub(trusted_hops)
        .map(|at| entries[at]);
    entry.and_then(address_of).map(folded)
}

/// Reads an entry of `X-Forwarded-For`. Some proxies write the port as well: `192.0.2.1:443`,
/// `[2001:db8::1]:443`.
fn address_of(entry: &[u8]) -> Option<IpAddr> {
    let entry = str::from_utf8(entry).ok()?.trim().trim_matches('"');
    if let Some(bracketed) = entry.strip_prefix('[') {
        return bracketed.split_once(']')?.0.parse().ok();
    }
    let v4 = || entry.split_once(':')?.0.parse::<Ipv4Addr>().ok();
    entry.parse().ok().or_else(|| v4().map(IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn forwarded(value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_bytes(value).unwrap());
        headers
    }

    #[test]
    fn a_forged_forwarded_for_changes_nothing() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let address = |value: &[u8], hops| {
            let address = client_address(peer, &forwarded(value), hops);
            address.map(|address| address.to_string())
        };
        assert_eq!(address(b"1.2.3.4", 0).as_deref(), Some("10.0.0.1"));
        for forged in [
            &b"6.6.6.6"[..],
            b"unknown",
            b"\xff\xfe",
            b", ,",
            b"[",
            b"\"x",
        ] {
            let line = [forged, b", 203.0.113.7"].concat();
            assert_eq!(address(&line, 1).as_deref(), Some("203.0.113.7"));
        }
        let two = address(b"6.6.6.6, 203.0.113.7, 10.0.0.2", 2);
        assert_eq!(two.as_deref(), Some("203.0.113.7"));
    }

    #[test]
    fn an_entry_may_have_a_port_or_brackets() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        for (entry, address) in [
            ("198.51.100.7:40007", "198.51.100.7"),
            ("198.51.100.7:", "198.51.100.7"),
            ("[2001:db8:1:2::7]:443", "2001:db8:1:2::"),
            ("[2001:db8:1:2::7]", "2001:db8:1:2::"),
            ("2001:db8:1:2::7", "2001:db8:1:2::"),
            ("\"[2001:db8:1:2::7]:443\"", "2001:db8:1:2::"),
            ("[::ffff:198.51.100.7]:443", "198.51.100.7"),
            ("  198.51.100.7\t", "198.51.100.7"),
        ] {
            let read = client_address(peer, &forwarded(entry.as_bytes()), 1);
            assert_eq!(read.map(|read| read.to_string()).as_deref(), Some(address));
        }
    }

    #[test]
    fn behind_a_proxy_an_entry_that_is_no_address_stands_for_nobody() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        for entry in [
            &b"unknown"[..],
            b"garbage",
            b"",
            b"_hidden:1",
            b"\xe9",
            b"[2001:db8::1",
        ] {
            assert_eq!(client_address(peer, &forwarded(entry), 1), None);
        }
        assert_eq!(client_address(peer, &forwarded(b"1.2.3.4"), 2), None);
        assert_eq!(client_address(peer, &HeaderMap::new(), 1), None);
    }

    #[test]
    fn ipv6_counts_by_its_64() {
        let a = client_address("2001:db8::1".parse().unwrap(), &HeaderMap::new(), 0);
        let b = client_address("2001:db8::ffff".parse().unwrap(), &HeaderMap::new(), 0);
        assert_eq!(a, b);
    }
}
