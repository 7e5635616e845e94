//! Checks of a request's head that hyper leaves to us (RFC 9110 and 9112).

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};

/// Returns the status with which a request of HTTP/1 must be refused, if it must.
pub(super) fn bad_head<B>(request: &Request<B>) -> Option<StatusCode> {
    let headers = request.headers();
    if request.version() > Version::HTTP_11 {
        None
    } else if !has_valid_host(headers, request.version()) {
        Some(StatusCode::BAD_REQUEST)
    } else if !is_known_coding(headers) {
        Some(StatusCode::NOT_IMPLEMENTED)
    } else if !is_known_expectation(headers) {
        Some(StatusCode::EXPECTATION_FAILED)
    } else {
        None
    }
}

/// Returns whether there is exactly one valid `Host`; HTTP/1.0 may do without.
fn has_valid_host(headers: &HeaderMap, version: Version) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    }
}

fn is_host(host: &HeaderValue) -> bool {
    let is_plain = |text: &&str| !text.contains('@');
    let text = host.to_str().ok().filter(is_plain);
    let authority = text.and_then(|text| text.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let port = authority.as_str()[authority.host().len()..].strip_prefix(':');
        let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
        !authority.host().is_empty() && port.is_none_or(is_port)
    })
}

/// Returns whether a body is sent as it is or in chunks: it is read in no other coding.
fn is_known_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

fn is_known_expectation(headers: &HeaderMap) -> bool {
    let mut expected = headers.get_all(header::EXPECT).iter();
    expected.all(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(heads: &[(&str, &str)], version: Version) -> Option<u16> {
        let mut request = Request::builder().version(version);
        for (name, value) in heads {
            request = request.header(*name, *value);
        }
        bad_head(&request.body(()).unwrap()).map(|bad| bad.as_u16())
    }

    #[test]
    fn a_request_has_one_host_that_is_one() {
        for host in ["a", "a.example:8080", "[::1]:443", "192.0.2.1", "a:"] {
            let heads = [("host", host)];
            assert_eq!(refused(&heads, Version::HTTP_11), None, "{host}");
        }
        for host in [
            "", "a/b@c", "a b", "u@a", "a:x", "a:70000", "http://a", ":80", "a,b/c",
        ] {
            let heads = [("host", host)];
            assert_eq!(refused(&heads, Version::HTTP_11), Some(400), "{host}");
        }
        let twice = [("host", "a"), ("host", "a")];
        assert_eq!(refused(&twice, Version::HTTP_11), Some(400));
        assert_eq!(refused(&[], Version::HTTP_11), Some(400));
        assert_eq!(refused(&[], Version::HTTP_10), None);
    }

    #[test]
    fn only_chunks_and_100_continue_are_understood() {
        let with = |name, value| refused(&[("host", "a"), (name, value)], Version::HTTP_11);
        assert_eq!(with("transfer-encoding", "Chunked"), None);
        assert_eq!(with("transfer-encoding", "gzip, chunked"), Some(501));
        assert_eq!(with("transfer-encoding", "identity"), Some(501));
        assert_eq!(with("expect", "100-Continue"), None);
        assert_eq!(with("expect", "200-ok"), Some(417));
    }
}
