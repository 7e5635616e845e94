//! Refusals as RFC 9457 `application/problem+json`, and JSON bodies read so that a wrong one names
//! what is wrong.

pub use super::mistyped::MINOR_UNITS;
use super::mistyped::{in_words, is_money};
use super::strict_json::Strict;
use crate::line_contact::Channel;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use std::error::Error as _;
use utoipa::ToSchema;

/// Largest size of a request body in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Largest size of a seating plan in bytes.
pub const PLAN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How to authenticate: whatever answers 401 takes a bearer (RFC 6750). Browsers ask the fan for
/// nothing then.
const CHALLENGE: &str = r#"Bearer realm="fairline""#;

/// A refusal: a stable type, a title, a status, and what a client can do about it.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
    retry_after_seconds: Option<u32>,
}

impl Problem {
    /// Creates a problem of type `/problems/{kind}`.
    pub fn new(status: StatusCode, kind: &str, title: &str) -> Problem {
        let mut members = Map::new();
        members.insert("type".into(), format!("/problems/{kind}").into());
        members.insert("title".into(), title.into());
        members.insert("status".into(), status.as_u16().into());
        Problem {
            status,
            members,
            retry_after_seconds: None,
        }
    }

    /// Creates a problem that says no more than its status.
    pub fn of_status(status: StatusCode) -> Problem {
        let title = status.canonical_reason().unwrap_or("refused");
        let kind = title.to_ascii_lowercase().replace([' ', '\''], "-");
        Problem::new(status, &kind, title)
    }

    /// Creates the problem of a well-formed body with a wrong value: 422, naming the field.
    pub fn invalid(field: &str, detail: impl Into<String>) -> Problem {
        Problem::invalid_all(vec![(field.to_owned(), detail.into())])
    }

    /// Creates the problem of several wrong values.
    pub fn invalid_all(errors: Vec<(String, String)>) -> Problem {
        let list: Vec<Value> = errors
            .iter()
            .map(|(field, detail)| json!({"field": field, "detail": detail}))
            .collect();
        let detail = errors
            .iter()
            .map(|(field, detail)| format!("{field}: {detail}"))
            .collect::<Vec<_>>()
            .join("; ");
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "A value is wrong",
        )
        .detail(detail)
        .with("errors", list)
    }

    /// Creates the problem of a store that did not answer: 503, try again in a moment.
    pub fn unavailable() -> Problem {
        let title = "The store cannot be reached just now";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title).retry_after(2)
    }

    /// Creates the problem of an overloaded server, which did nothing: 503.
    pub fn overloaded(retry_after_seconds: u32) -> Problem {
        let title = "Too busy just now: nothing was done, try again in a moment";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", title)
            .retry_after(retry_after_seconds)
    }

    /// Creates the problem of too many requests: 429.
    pub fn too_many(retry_after_seconds: u32) -> Problem {
        let title = "Too many requests from here";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", title)
            .retry_after(retry_after_seconds)
    }

    /// Creates the problem of an unknown event.
    pub fn no_such_event() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "no-such-event", "No such event")
    }

    /// Creates the problem of a mail that is asked for where none is sent.
    pub fn no_mail() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "no-mail", "This site sends no mail")
    }

    /// Creates the problem of a site that sends no messages to fans in line by a channel.
    pub fn no_channel(channel: Channel) -> Problem {
        let status = StatusCode::NOT_FOUND;
        match channel {
            Channel::Push => Problem::new(status, "no-push", "This site sends no notifications"),
            Channel::Sms => Problem::new(status, "no-sms", "This site sends no text messages"),
        }
    }

    /// Creates the problem of a missing or invalid admission token.
    pub fn bad_admission() -> Problem {
        let title = "This is no valid admission to this event";
        Problem::new(StatusCode::UNAUTHORIZED, "bad-admission", title)
    }

    /// Creates the problem of an admission whose slot has lapsed.
    pub fn slot_lapsed() -> Problem {
        Problem::new(StatusCode::GONE, "slot-lapsed", "This slot is gone")
    }

    /// Sets the detail: a sentence on this occurrence.
    pub fn detail(mut self, detail: impl Into<String>) -> Problem {
        self.members.insert("detail".into(), detail.into().into());
        self
    }

    /// Adds a member.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.members.insert(name.into(), value.into());
        self
    }

    /// Sets `Retry-After`.
    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the body as JSON.
    pub fn into_value(self) -> Value {
        Value::Object(self.members)
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        // Clients may rely on a detail, also where there is no more to say.
        if !self.members.contains_key("detail") {
            let title = self.members["title"].clone();
            self.members.insert("detail".into(), title);
        }
        let body = Value::Object(self.members).to_string();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(CHALLENGE),
            );
        }
        response
    }
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// 413 when it is longer, 400 when it breaks off.
pub async fn read_body(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    match to_bytes(body, limit).await {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error)
            if error
                .source()
                .is_some_and(|source| source.is::<LengthLimitError>()) =>
        {
            let title = "The body is too large";
            let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title);
            Err(problem.detail(format!("at most {limit} bytes")))
        }
        Err(_) => Err(malformed("the body broke off")),
    }
}

/// Reads JSON: 400 when it is not JSON, with line and column; 422 when a value is wrong, with the
/// field's path.
///
/// # Errors
/// 400 or 422.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let wrong = match serde_path_to_error::deserialize(Strict(&mut reader)) {
        Ok(value) => {
            let end = reader.end();
            end.map_err(|error| malformed(&error.to_string()))?;
            return Ok(value);
        }
        Err(wrong) => wrong,
    };
    // A wrong type may be met before a key that is given twice, and before the place where the text
    // stops being JSON at all.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let any: Result<Value, _> = serde_path_to_error::deserialize(Strict(&mut reader));
    let value = any.map_err(
        |wrong| match serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
            true => mistyped(wrong),
            false => malformed(&wrong.into_inner().to_string()),
        },
    )?;
    let end = reader.end();
    end.map_err(|error| malformed(&error.to_string()))?;
    let read = T::deserialize(Strict(with_whole_numbers(value)));
    read.map_err(|_| mistyped(wrong))
}

/// Returns the problem of a value that is JSON and not what is needed.
fn mistyped(wrong: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = wrong.path().to_string();
    let path = if path == "." { "" } else { path.as_str() };
    let inner = wrong.into_inner();
    let (field, detail) = in_words("body", path, strip_position(&inner.to_string()));
    Problem::invalid(&field, detail)
        .with("line", inner.line())
        .with("column", inner.column())
}

/// Returns JSON with `16.0` as `16`: a whole number in JSON Schema, where clients write it so that
/// know no other numbers. Not so amounts of money: 45.0 is meant as 4500 minor units.
fn with_whole_numbers(mut value: Value) -> Value {
    fn visit(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(visit),
            Value::Object(members) => {
                let others = members.iter_mut().filter(|(name, _)| !is_money(name));
                others.for_each(|(_, value)| visit(value));
            }
            Value::Number(number) => {
                let float = number.as_f64().filter(|_| number.is_f64());
                let whole = float.filter(|it| it.fract() == 0.0 && it.abs() <= WHOLE_MAX);
                if let Some(whole) = whole {
                    *value = (whole as i64).into();
                }
            }
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    visit(&mut value);
    value
}

/// Up to here every whole number is a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

fn strip_position(text: &str) -> &str {
    text.rfind(" at line ").map_or(text, |at| &text[..at])
}

fn malformed(detail: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed",
        "The request is malformed",
    )
    .detail(detail)
}

/// A JSON request body, and its bytes for the idempotency record. An empty body reads as `{}`.
pub struct Input<T>(pub T, pub Vec<u8>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = match request.headers().get(header::CONTENT_TYPE) {
            None => true,
            // As bytes: parameters that cannot be read change nothing.
            Some(kind) => {
                let mut parts = kind.as_bytes().split(|byte| *byte == b';');
                let kind = parts.next().unwrap_or_default().trim_ascii();
                kind.eq_ignore_ascii_case(b"application/json")
            }
        };
        let bytes = read_body(request.into_body(), BODY_BYTES_MAX).await?;
        if bytes.is_empty() {
            return Ok(Input(parse_json(b"{}")?, bytes));
        }
        if !is_json {
            let title = "Send JSON with Content-Type: application/json";
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                title,
            ));
        }
        Ok(Input(parse_json(&bytes)?, bytes))
    }
}

/// A body without members: nothing at all, or `{}`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The query parameters of a request; what cannot be read is refused with 422, naming the
/// parameter.
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        let Query(value) = read.map_err(|refused| {
            let text = refused.body_text();
            let text = text.trim_start_matches("Failed to deserialize query string: ");
            let (path, text) = text.split_once(": ").unwrap_or(("", text));
            let (field, detail) = in_words("query", path, text);
            Problem::invalid(&field, detail)
        })?;
        Ok(Parameters(value))
    }
}

/// Distinguishes an absent field from one that is null, for `deserialize_with`.
///
/// # Errors
/// Those of the field.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    reader: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

/// Refuses null for a field that may be absent, for `deserialize_with`.
///
/// # Errors
/// Those of the field.
pub fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    reader: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(reader).map(Some)
}

/// Reads a number of a query, for `deserialize_with`: a count or a position, of which one too large
/// for any answer is as good as the largest.
///
/// # Errors
/// If it is no whole number from 0 on.
pub fn saturating<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(reader)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(D::Error::custom("a whole number from 0 on is needed"));
    }
    Ok(Some(text.parse().unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wish {
        quantity: u32,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wishes {
        first: Wish,
        second: Option<Wish>,
        others: Vec<Wish>,
        named: HashMap<String, Wish>,
    }

    #[tokio::test]
    async fn each_refusal_says_a_detail_which_is_its_title_unless_there_is_more_to_say() {
        let gone = Problem::slot_lapsed();
        for (refused, detail) in [
            (gone.clone(), "This slot is gone"),
            (gone.detail("It ended at noon"), "It ended at noon"),
        ] {
            let body = to_bytes(refused.into_response().into_body(), 1000).await;
            let told: Value = serde_json::from_slice(&body.unwrap()).unwrap();
            assert_eq!(told["detail"], detail);
            assert_eq!(told["title"], "This slot is gone");
        }
    }

    #[test]
    fn a_list_is_not_read_as_the_members_of_an_object_at_any_depth() {
        let (wish, list) = (r#"{"quantity": 2}"#, "[2]");
        let text = |first, second, other, named| {
            format!(
                r#"{{"first": {first}, "second": {second}, "others": [{other}], "named": {{"a": {named}}}}}"#
            )
        };
        let read = |text: &str| parse_json::<Wishes>(text.as_bytes());
        let good = read(&text(wish, wish, wish, wish)).unwrap();
        assert_eq!(good.second, Some(Wish { quantity: 2 }));
        assert_eq!(good.others, [Wish { quantity: 2 }]);
        for (text, field) in [
            (text(list, wish, wish, wish), "first"),
            (text(wish, list, wish, wish), "second"),
            (text(wish, wish, list, wish), "others[0]"),
            (text(wish, wish, wish, list), "named.a"),
            // Also where a number is read as a whole one.
            (text("[2.0]", wish, wish, wish), "first"),
            ("[2]".to_owned(), "body"),
            (
                text(wish, wish, wish, wish).replace(r#"{"a": {"quantity": 2}}"#, list),
                "named",
            ),
        ] {
            let refused = read(&text).unwrap_err();
            assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{text}");
            let told = refused.into_value();
            assert_eq!(told["errors"][0]["field"], field, "{text}");
            let detail = &told["errors"][0]["detail"];
            assert_eq!(detail, "an object is needed, not a list", "{text}");
        }
    }

    #[test]
    fn a_whole_number_may_have_a_point_and_a_broken_one_is_refused_by_its_place() {
        for text in [
            r#"{"quantity": 2}"#,
            r#"{"quantity": 2.0}"#,
            r#"{"quantity": 2e0}"#,
        ] {
            let read = parse_json::<Wish>(text.as_bytes()).unwrap();
            assert_eq!(read, Wish { quantity: 2 }, "{text}");
        }
        for text in [
            r#"{"quantity": 2.5}"#,
            r#"{"quantity": -2.0}"#,
            r#"{"quantity": 1e300}"#,
            r#"{"quantity": "2.0"}"#,
        ] {
            let refused = parse_json::<Wish>(text.as_bytes()).unwrap_err();
            assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{text}");
            assert_eq!(refused.into_value()["errors"][0]["field"], "quantity");
        }
        let broken = parse_json::<Wish>(br#"{"quantity": 2.0"#).unwrap_err();
        assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    }
}
