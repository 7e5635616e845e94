//! The `Idempotency-Key` of a request.

use crate::crypto::{hex, sha256};
use crate::http::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::{HeaderValue, request::Parts};
use axum::response::Response;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// The header that says an answer is a stored one.
pub const REPLAYED: &str = "idempotency-replayed";
/// Largest number of characters of a key.
const CHARS_MAX: usize = 255;
/// Time for which answers are kept.
pub const KEPT_SECONDS: u32 = 4 * 24 * 3600;

/// The `Idempotency-Key` that was sent, if any: 1 to 255 characters.
#[derive(Debug, Clone)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(IdempotencyKey(None));
        };
        let text = value.to_str().unwrap_or("");
        if text.is_empty() || text.len() > CHARS_MAX {
            let detail = "1 to 255 visible ASCII characters";
            return Err(Problem::invalid("Idempotency-Key", detail));
        }
        Ok(IdempotencyKey(Some(text.to_owned())))
    }
}

impl utoipa::IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(CHARS_MAX))
            .pattern(Some("^[!-~]([ -~]*[!-~])?$"));
        let what = "Makes the request safe to repeat: with the same key and body it is answered \
                    as before and does nothing twice.";
        let header = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .description(Some(what))
            .schema(Some(schema))
            .example(Some("2f1c7b9e-54c1-4c39-9d0a-1f6f4be5d9a1".into()));
        vec![header.build()]
    }
}

/// A request under an idempotency key: its subject (a value that no other caller has), its route,
/// its key and its body.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Hash of caller, operation and key.
    pub id: String,
    /// The body, hashed.
    pub body: String,
}

impl IdempotencyKey {
    /// Returns the attempt that this key names, if one was sent.
    pub fn attempt(&self, subject: &str, route: &str, body: &[u8]) -> Option<Attempt> {
        let key = self.0.as_ref()?;
        Some(Attempt {
            id: hex(&sha256(format!("{subject}\n{route}\n{key}").as_bytes())),
            body: hex(&sha256(body)),
        })
    }
}

/// Marks an answer if it is a stored one.
pub fn mark_replayed(mut response: Response, is_replayed: bool) -> Response {
    if is_replayed {
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, yes);
    }
    response
}

/// Returns the refusal of the same key with another body.
pub fn mismatch() -> Problem {
    Problem::new(
        axum::http::StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency-mismatch",
        "This Idempotency-Key was used with another body",
    )
}
