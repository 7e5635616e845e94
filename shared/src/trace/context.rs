//! W3C trace context: reads `traceparent` and `tracestate` strictly, and writes the former.
//! <https://www.w3.org/TR/trace-context-2/>

use axum::http::{HeaderMap, HeaderName};
use std::fmt;
use std::sync::Arc;

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Longest `tracestate` that is passed on, and its most members; both are the specification's.
const STATE_BYTES_MAX: usize = 512;
const STATE_MEMBERS_MAX: usize = 32;
/// Longest key, and longest value, of a member.
const MEMBER_BYTES_MAX: usize = 256;

/// A span's place: the trace, and the span in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: u64,
    /// Whether the caller records the trace.
    pub(crate) is_sampled: bool,
}

/// Makes an id of a span.
pub(super) fn random_id() -> u64 {
    rand::random::<u64>().max(1)
}

/// Id of a request, as its answer's `X-Request-Id` shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestId(pub(crate) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:016x}", self.0)
    }
}

/// Id of a trace; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceId(pub(crate) u128);

impl fmt::Display for TraceId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:032x}", self.0)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(to, "00-{}-{:016x}-{flags:02x}", self.trace_id, self.span_id)
    }
}

impl TraceContext {
    /// Reads the `traceparent` of a request. Returns `None` if there is none, it is invalid, or
    /// there are several: then a new trace begins.
    pub(crate) fn read(headers: &HeaderMap) -> Option<TraceContext> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let only = all.next()?;
        match all.next() {
            None => TraceContext::parse(only.to_str().ok()?),
            Some(_) => None,
        }
    }

    fn parse(text: &str) -> Option<TraceContext> {
        let mut fields = text.splitn(5, '-');
        let mut next = |digits| hex(fields.next()?, digits);
        let version = next(2)?;
        let trace_id = next(32)?;
        let span_id = next(16)? as u64;
        let flags = next(2)?;
        // A later version may add fields.
        let is_known = match version {
            0 => fields.next().is_none(),
            version => version != 0xff,
        };
        (is_known && trace_id != 0 && span_id != 0).then_some(TraceContext {
            trace_id: TraceId(trace_id),
            span_id,
            is_sampled: flags & 1 == 1,
        })
    }
}

/// Reads a number of so many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

/// Reads the `tracestate` of a request, to be passed on. An invalid one is dropped as a whole.
pub(crate) fn read_state(headers: &HeaderMap) -> Option<Arc<str>> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    for header in headers.get_all(TRACESTATE) {
        for member in header.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            let is_repeated = members.iter().any(|(known, _)| *known == key);
            let is_full = members.len() == STATE_MEMBERS_MAX;
            if !is_key(key) || !is_value(value) || is_repeated || is_full {
                return None;
            }
            members.push((key, value));
        }
    }
    let members = members.iter().map(|(key, value)| format!("{key}={value}"));
    let state = members.collect::<Vec<_>>().join(",");
    (1..=STATE_BYTES_MAX)
        .contains(&state.len())
        .then(|| state.into())
}

fn is_key(key: &str) -> bool {
    let first = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let other = |byte: u8| first(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@');
    key.len() <= MEMBER_BYTES_MAX && key.bytes().next().is_some_and(first) && key.bytes().all(other)
}

fn is_value(value: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    (1..=MEMBER_BYTES_MAX).contains(&value.len()) && value.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use std::iter::repeat_n;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let values = values
            .iter()
            .map(|value| HeaderValue::from_str(value).unwrap());
        repeat_n(name, values.len()).zip(values).collect()
    }

    fn state(values: &[&str]) -> Option<String> {
        let state = read_state(&headers(TRACESTATE, values));
        state.map(|state| state.to_string())
    }

    #[test]
    fn a_traceparent_is_written_as_it_was_read() {
        for flags in ["00", "01"] {
            let text = format!("00-{TRACE}-{SPAN}-{flags}");
            let read = TraceContext::read(&headers(TRACEPARENT, &[&text])).unwrap();
            assert_eq!(read.is_sampled, flags == "01");
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn flags_without_a_meaning_and_fields_of_later_versions_are_no_mistakes() {
        for (text, is_sampled) in [
            (format!("00-{TRACE}-{SPAN}-03"), true),
            (format!("00-{TRACE}-{SPAN}-fe"), false),
            (format!("01-{TRACE}-{SPAN}-01"), true),
            (format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings"), true),
        ] {
            let read = TraceContext::parse(&text);
            assert_eq!(read.map(|read| read.is_sampled), Some(is_sampled), "{text}");
        }
    }

    #[test]
    fn an_invalid_traceparent_is_none() {
        let zero_trace = "0".repeat(32);
        for text in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("00-{zero_trace}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}-{SPAN}0-01"),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(TraceContext::parse(&text), None, "{text}");
        }
        let text = format!("00-{TRACE}-{SPAN}-01");
        let twice = headers(TRACEPARENT, &[&text, &text]);
        assert_eq!(TraceContext::read(&twice), None);
        assert_eq!(TraceContext::read(&HeaderMap::new()), None);
    }

    #[test]
    fn a_tracestate_is_passed_on_in_one_header_in_its_order() {
        let longest = format!("{}={}", "k".repeat(255), "v".repeat(256));
        for (values, expected) in [
            (
                vec!["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"],
                "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            ),
            (vec!["a=1 , b=2\t", ",c=3,"], "a=1,b=2,c=3"),
            (vec!["0tenant@system=a b !~"], "0tenant@system=a b !~"),
            (vec![&longest], &longest),
        ] {
            assert_eq!(state(&values).as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_invalid_tracestate_is_dropped() {
        let many: Vec<String> = (0..33).map(|number| format!("k{number}=v")).collect();
        let long_key = format!("{}=v", "k".repeat(257));
        let long_value = format!("k={}", "v".repeat(257));
        let long = format!("a={0},b={0}", "v".repeat(256));
        for text in [
            "",
            " , ",
            "a",
            "a=",
            "=1",
            "A=1",
            "_a=1",
            "a b=1",
            "a=1=2",
            "a=1,a=2",
            "a=\u{7f}",
            &many.join(","),
            &long_key,
            &long_value,
            &long,
        ] {
            let value = HeaderValue::from_bytes(text.as_bytes());
            let Ok(value) = value else { continue };
            let headers = HeaderMap::from_iter([(TRACESTATE, value)]);
            assert_eq!(read_state(&headers), None, "{text}");
        }
        assert_eq!(state(&["a=1", "a=1"]), None);
        assert!(state(&[&many[1..].join(",")]).is_some());
    }
}
