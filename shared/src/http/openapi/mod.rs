//! Parts common to the OpenAPI documents of both services.

mod bodies;
mod examples;

use super::cors::FOR_ANYONE;
use super::document::Document;
use super::page_request::PageRequest;
use super::path_prefix::PathPrefix;
use super::static_files;
use crate::context::AppContext;
use crate::texts::Language;
use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::routing::{MethodRouter, get};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, License, OpenApi, Ref, RefOr, Response, ResponseBuilder, Server,
    Tag,
};
use utoipa::{IntoResponses, PartialSchema as _, ToSchema};

/// Returns the routes `/api/openapi.json`, `/api/asyncapi.json` and the reader page. Documents that
/// are asked for under the path prefix describe what is there.
pub fn routes(description: OpenApi, site: &AppContext) -> Router {
    let openapi = |server: &str| {
        let document = complete(description.clone(), server);
        serde_json::to_string(&document).expect("the description is plain JSON")
    };
    Router::new()
        .route("/api/openapi.json", json_for_anyone(site, openapi))
        .route(
            "/api/asyncapi.json",
            json_for_anyone(site, |server| sockets(server).to_string()),
        )
        .route(
            "/api/docs",
            get(async |request: PageRequest| {
                static_files::page(&request, Language::english(), "docs.html", &[])
            }),
        )
}

/// Returns the route of a document, made of the address of the server that it describes.
fn json_for_anyone(site: &AppContext, make: impl Fn(&str) -> String) -> MethodRouter {
    let plain = Document::new(make(&site.public_url));
    let under = Document::new(make(&format!("{}{}", site.public_url, site.path_prefix)));
    get(async move |prefix: PathPrefix, headers: HeaderMap| {
        let is_plain = prefix.as_str().is_empty();
        let document = if is_plain { plain } else { under };
        let (allow, value) = FOR_ANYONE;
        let kind = (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        document.response(&headers, [(allow, value), kind]).await
    })
}

/// Returns the AsyncAPI document of a server.
fn sockets(server: &str) -> Value {
    let text = include_str!("../../../../static/asyncapi.json");
    let mut document: Value = serde_json::from_str(text).expect("a test reads the file");
    let (scheme, rest) = server.split_once("://").unwrap_or(("http", server));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let protocol = scheme.replace("http", "ws");
    document["servers"] = json!({"site": {"host": host, "protocol": protocol}});
    if !path.is_empty() {
        document["servers"]["site"]["pathname"] = path.into();
    }
    document
}

/// Adds what no single handler can say.
fn complete(mut document: OpenApi, server: &str) -> OpenApi {
    let mut license = License::new("Apache License 2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    document.info = InfoBuilder::new()
        .title("Fairline")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "A virtual waiting room with a checkout gateway behind it. An answer with a deadline has the server's time in \
             `X-Fairline-Time`: count down from that, as a client's clock may be wrong by minutes.",
        ))
        .license(Some(license))
        .build();
    document.servers = Some(vec![Server::new(server)]);
    document.tags = Some(
        TAGS.iter()
            .map(|(name, what)| {
                let mut tag = Tag::new(*name);
                tag.description = Some((*what).to_owned());
                tag
            })
            .collect(),
    );
    let components = document.components.get_or_insert_default();
    components
        .schemas
        .insert("Problem".to_owned(), ProblemBody::schema());
    components.responses.extend(refusals());
    for (name, what) in SECURITY_SCHEMES {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(what))
            .build();
        components
            .security_schemes
            .insert(name.to_owned(), SecurityScheme::Http(scheme).into());
    }
    examples::add(&mut document);
    bodies::make_optional(&mut document);
    document
}

const TAGS: [(&str, &str); 7] = [
    ("line", "The line: a fan's place from joining to the turn"),
    (
        "draw",
        "The draw of an event with `order: draw`, and its proof",
    ),
    ("checkout", "Seats, holds, orders and payments"),
    ("organiser", "Sales, as organisers steer and watch them"),
    ("door", "Tickets at the door"),
    ("console", "Signing in and out of the console"),
    ("integration", "For other people's sites, shops and proxies"),
];

const SECURITY_SCHEMES: [(&str, &str); 6] = [
    ("pass", "The pass of a place in line"),
    ("admission", "The admission token"),
    ("session", "The session of a fan inside"),
    ("link", "The key of an order's signed link"),
    ("organiser", "An organiser key"),
    ("service", "The service key"),
];

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
    /// A sentence on this occurrence; the title where there is no more to say.
    pub detail: String,
}

/// The refusals that any call may answer with.
pub struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let refusals = REFUSALS.into_iter();
        let by_reference = refusals.map(|(status, ..)| {
            let reference = Ref::from_response_name(response_name(status));
            (status.to_string(), reference.into())
        });
        by_reference.collect()
    }
}

fn response_name(status: u16) -> String {
    format!("Problem{status}")
}

/// Returns the refusals, to which operations refer.
fn refusals() -> impl Iterator<Item = (String, RefOr<Response>)> {
    REFUSALS.into_iter().map(|(status, kind, description)| {
        let example = json!({
            "type": format!("/problems/{kind}"), "title": description, "status": status, "detail": description
        });
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .example(Some(example))
            .build();
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", content)
            .build();
        (response_name(status), response.into())
    })
}

/// Status, a type that comes with it, and its meaning.
const REFUSALS: [(u16, &str, &str); 12] = [
    (400, "malformed", "The request is malformed"),
    (401, "no-pass", "A credential is missing or wrong"),
    (403, "foreign-origin", "Not allowed"),
    (404, "no-such-event", "Not found"),
    (405, "method-not-allowed", "No such method here"),
    (409, "line-closed", "In conflict with the present state"),
    (410, "slot-lapsed", "Gone"),
    (413, "too-large", "The body is too large"),
    (415, "not-json", "The body is not JSON"),
    (422, "invalid", "A value is wrong; errors[] names it"),
    (
        429,
        "too-many-requests",
        "Too many requests; see Retry-After",
    ),
    (
        503,
        "unavailable",
        "The store cannot be reached, or the server is overloaded; see Retry-After",
    ),
];
