//! What the OpenAPI documents of both services have in common.

use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// A refusal, RFC 9457.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// A stable relative URI, such as `/problems/seats-taken`.
    pub r#type: String,
    /// What it means, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: Option<String>,
}

/// The refusals that any call may answer with.
pub struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let known = [
            ("400", "The request is malformed"),
            ("401", "A credential is missing or wrong"),
            ("403", "Not allowed"),
            ("404", "Not found"),
            ("405", "No such method here"),
            ("409", "Somebody or something was first"),
            ("410", "Gone"),
            ("413", "The body is too large"),
            ("415", "The body is not JSON"),
            ("422", "A value is wrong; errors[] names it"),
            ("429", "Too many requests; see Retry-After"),
            ("503", "The store cannot be reached; see Retry-After"),
        ];
        let body = Ref::from_schema_name("Problem");
        known
            .into_iter()
            .map(|(status, description)| {
                let content = ContentBuilder::new().schema(Some(body.clone())).build();
                let response = ResponseBuilder::new()
                    .description(description)
                    .content("application/problem+json", content)
                    .build();
                (status.to_owned(), response.into())
            })
            .collect()
    }
}
