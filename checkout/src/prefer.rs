//! The `Prefer` of a request ([RFC 7240](https://www.rfc-editor.org/rfc/rfc7240)).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use shared::http::problem::Problem;
use std::time::Duration;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Seconds that a request waits for its order, unless it says otherwise, and at most.
const WAIT_SECONDS: u64 = 1;
const WAIT_SECONDS_MAX: u64 = 4;

/// How a request wants to be answered, by its `Prefer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preference {
    /// Once the order is made.
    Made,
    /// After this time at the latest, though the order is not made yet.
    Accepted { wait: Duration },
}

impl Preference {
    /// Reads the preferences that are known here; others are ignored.
    fn read(headers: &HeaderMap) -> Preference {
        let lines = headers.get_all(PREFER).iter();
        let words = lines.filter_map(|line| line.to_str().ok());
        let words = words.flat_map(|line| line.split(','));
        let words = words.map(|word| word.split(';').next().unwrap_or("").trim());
        let (mut is_async, mut wait) = (false, WAIT_SECONDS);
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => is_async = true,
                "wait" => wait = value.trim().trim_matches('"').parse().unwrap_or(wait),
                _ => {}
            }
        }
        if is_async {
            let wait = Duration::from_secs(wait.min(WAIT_SECONDS_MAX));
            Preference::Accepted { wait }
        } else {
            Preference::Made
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Preference {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Preference::read(&parts.headers))
    }
}

impl utoipa::IntoParams for Preference {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        let what = "`respond-async, wait=2`: if the order is not made within so many seconds \
                    (0 to 4; 1 unless given), the answer is 202, and the order is made later. Needs \
                    an `Idempotency-Key`; ignored without.";
        let header = ParameterBuilder::new()
            .name("Prefer")
            .parameter_in(ParameterIn::Header)
            .description(Some(what))
            .schema(Some(schema))
            .example(Some("respond-async".into()));
        vec![header.build()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Preference {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, line.parse().unwrap());
        }
        Preference::read(&headers)
    }

    #[test]
    fn preferences_are_read_from_all_lines_and_unknown_ones_ignored() {
        let accepted = |seconds| Preference::Accepted {
            wait: Duration::from_secs(seconds),
        };
        assert_eq!(read(&[]), Preference::Made);
        assert_eq!(read(&["wait=2"]), Preference::Made);
        assert_eq!(
            read(&["return=minimal, respond-asynchronously"]),
            Preference::Made
        );
        assert_eq!(read(&["respond-async"]), accepted(1));
        assert_eq!(read(&["Respond-Async; x=1 , WAIT = \"3\""]), accepted(3));
        assert_eq!(read(&["wait=0", "foo, respond-async"]), accepted(0));
        assert_eq!(read(&["respond-async, wait=1e9, wait=600"]), accepted(4));
        assert_eq!(read(&["respond-async, wait=-1"]), accepted(1));
    }
}
