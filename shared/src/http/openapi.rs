//! Parts common to the OpenAPI documents of both services.

use super::document::Document;
use super::path_prefix::PathPrefix;
use super::static_files;
use crate::context::AppContext;
use axum::Router;
use axum::http::{HeaderMap, header};
use axum::routing::get;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Server,
};
use utoipa::{IntoResponses, PartialSchema as _, ToSchema};

/// Returns the routes `/api/openapi.json`, `/api/asyncapi.json` and the reader page.
pub fn routes(description: OpenApi, site: &Arc<AppContext>) -> Router {
    let under = format!("{}{}", site.public_url, site.path_prefix);
    let under = rendered(complete(description.clone(), &under));
    let document = rendered(complete(description, &site.public_url));
    let json = [(header::CONTENT_TYPE, "application/json")];
    let openapi = async move |prefix: PathPrefix, headers: HeaderMap| {
        let is_plain = prefix.as_str().is_empty();
        let document = if is_plain { document } else { under };
        document.response(&headers, json).await
    };
    let asyncapi = async |headers: HeaderMap| static_files::serve("asyncapi.json", &headers).await;
    Router::new()
        .route("/api/openapi.json", get(openapi))
        .route("/api/asyncapi.json", get(asyncapi))
        .route(
            "/api/docs",
            get(|prefix: PathPrefix| async move { static_files::page(&prefix, "docs.html", &[]) }),
        )
}

fn rendered(description: OpenApi) -> Document {
    let text = description.to_json();
    Document::new(text.expect("a description can always be serialised"))
}

/// Adds what no single handler can say.
fn complete(mut document: OpenApi, server: &str) -> OpenApi {
    document.servers = Some(vec![Server::new(server)]);
    document.info = InfoBuilder::new()
        .title("Fairline")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "A virtual waiting room with a checkout gateway behind it. An answer with a deadline has the server's time in \
             `X-Fairline-Time`: count down from that, as a client's clock may be wrong by minutes.",
        ))
        .build();
    let components = document.components.get_or_insert_default();
    components
        .schemas
        .insert("Problem".to_owned(), ProblemBody::schema());
    for (name, what) in [
        ("pass", "The pass of a place in line"),
        ("admission", "The admission token"),
        ("session", "The session of a fan inside"),
        ("link", "The key of an order's signed link"),
        ("organiser", "An organiser key"),
        ("service", "The service key"),
    ] {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(what))
            .build();
        components
            .security_schemes
            .insert(name.to_owned(), SecurityScheme::Http(scheme).into());
    }
    document
}

/// A refusal, RFC 9457.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// A stable relative URI, such as `/problems/seats-taken`.
    pub r#type: String,
    /// The meaning, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A sentence on this occurrence.
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
            ("409", "In conflict with the present state"),
            ("410", "Gone"),
            ("413", "The body is too large"),
            ("415", "The body is not JSON"),
            ("422", "A value is wrong; errors[] names it"),
            ("429", "Too many requests; see Retry-After"),
            (
                "503",
                "The store cannot be reached, or the server is overloaded; see Retry-After",
            ),
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
