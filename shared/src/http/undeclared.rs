//! Refuses what an operation's description does not declare: a body where none is taken, a query parameter of another name.
//!
//! Ignoring them would do something else than was asked: refund a whole order where a part was named, answer every order
//! where one was searched for.

use crate::http::middleware::is_gate;
use crate::http::problem::{BODY_BYTES_MAX, Nothing, Problem, parse_json, read_body};
use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{OpenApi, RefOr};

/// The input that each described operation takes, by path.
#[derive(Default)]
pub(crate) struct Declared(HashMap<String, Vec<(Method, Takes)>>);

struct Takes {
    parameters: Vec<String>,
    has_body: bool,
    /// The operation cannot be called without a credential.
    needs_credential: bool,
}

impl Declared {
    /// Reads what the operations of a description take.
    pub(crate) fn of(description: &OpenApi) -> Declared {
        let mut declared = Declared::default();
        let all = description.paths.paths.iter();
        for (path, item) in all.filter(|(path, _)| !is_gate(path)) {
            let operations = [
                (Method::GET, &item.get),
                (Method::HEAD, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            let takes = operations
                .into_iter()
                .filter_map(|(method, operation)| Some((method, takes(operation.as_ref()?))));
            declared.0.insert(path.clone(), takes.collect());
        }
        declared
    }

    fn takes(&self, request: &Request) -> Option<&Takes> {
        let path = request.extensions().get::<MatchedPath>()?;
        let operations = self.0.get(path.as_str())?;
        let found = operations
            .iter()
            .find(|(method, _)| method == request.method());
        found.map(|(_, takes)| takes)
    }
}

fn takes(operation: &Operation) -> Takes {
    let parameters = operation.parameters.iter().flatten();
    let in_query = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => {
            Some(parameter.name.clone())
        }
        _ => None,
    });
    Takes {
        parameters: in_query.collect(),
        has_body: operation.request_body.is_some(),
        needs_credential: operation
            .security
            .as_ref()
            .is_some_and(|security| !security.contains(&SecurityRequirement::default())),
    }
}

/// Middleware that answers 422 to what is not declared. Requests that no description names pass: pages keep whatever
/// parameters a link to them carries.
pub(crate) async fn refuse_undeclared(
    State(declared): State<Arc<Declared>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(takes) = declared.takes(&request) else {
        return next.run(request).await;
    };
    // Strangers are told that they are, by the handler, before anything else.
    if takes.needs_credential && !has_credential(request.headers()) {
        return next.run(request).await;
    }
    if let Some(refusal) = undeclared_parameters(takes, &request) {
        return refusal.into_response();
    }
    if takes.has_body || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match read_body(body, BODY_BYTES_MAX).await {
        // Some clients send an empty object where there is nothing to say.
        Ok(bytes) if bytes.is_empty() || parse_json::<Nothing>(&bytes).is_ok() => {
            let request = Request::from_parts(parts, Body::empty());
            next.run(request).await
        }
        Ok(_) => Problem::invalid("body", "this request takes no body").into_response(),
        Err(problem) => problem.into_response(),
    }
}

fn has_credential(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION) || headers.contains_key(header::COOKIE)
}

fn undeclared_parameters(takes: &Takes, request: &Request) -> Option<Problem> {
    request.uri().query()?;
    let Ok(Query(sent)) = Query::<Vec<(String, String)>>::try_from_uri(request.uri()) else {
        return Some(Problem::invalid("query", "it cannot be read"));
    };
    let known = match takes.parameters.as_slice() {
        [] => "this request takes no parameters".to_owned(),
        names => format!("no such parameter; there are: {}", names.join(", ")),
    };
    let unknown = sent
        .into_iter()
        .filter(|(name, _)| !takes.parameters.contains(name))
        .map(|(name, _)| (name, known.clone()));
    let errors: Vec<(String, String)> = unknown.take(ERRORS_MAX).collect();
    (!errors.is_empty()).then(|| Problem::invalid_all(errors))
}

/// The most unknown parameters that a refusal names.
const ERRORS_MAX: usize = 10;
