//! Holds requests to what the description of their operation declares. Organisers whose role is too
//! low are refused first, before anything else is looked at; then a body where none is taken, and a
//! query parameter of another name.
//!
//! Ignoring them would do something other than what was asked: refund a whole order where a part
//! was named, answer every order where one was searched for.

use crate::context::AppContext;
use crate::deadline;
use crate::http::problem::{BODY_BYTES_MAX, Nothing, Problem, parse_json, read_body};
use crate::organiser::{Role, authorise};
use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Query, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::either::Either;
use tower::{Layer, Service, ServiceExt as _};
use tracing::Instrument as _;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{OpenApi, RefOr};

/// The input that each described operation takes, by path.
#[derive(Default)]
struct Declared(HashMap<String, Vec<(Method, Takes)>>);

struct Takes {
    parameters: Vec<String>,
    has_body: bool,
    /// The operation cannot be called without a credential.
    needs_credential: bool,
    /// Role that the operation needs, if it is one for organisers.
    role: Option<Role>,
}

impl Declared {
    /// Reads what the operations of a description take.
    fn of(description: &OpenApi) -> Declared {
        let mut declared = Declared::default();
        for (path, item) in &description.paths.paths {
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

    /// Returns the request if its sender may make it, and it has nothing that its operation does
    /// not declare.
    async fn check(&self, mut request: Request, site: &AppContext) -> Result<Request, Problem> {
        let Some(takes) = self.takes(&request) else {
            return Ok(request);
        };
        if let Some(role) = takes.role {
            let (mut parts, body) = request.into_parts();
            let organiser = authorise(site, &parts, role).await?;
            parts.extensions.insert(organiser);
            request = Request::from_parts(parts, body);
        }
        // Callers without a credential are refused by the handler, before anything else.
        if takes.needs_credential && !has_credential(request.headers()) {
            return Ok(request);
        }
        if let Some(refusal) = undeclared_parameters(takes, &request) {
            return Err(refusal);
        }
        if takes.has_body || request.body().is_end_stream() {
            return Ok(request);
        }
        let (parts, body) = request.into_parts();
        let bytes = read_body(body, BODY_BYTES_MAX).await?;
        // Some clients send an empty object instead of no body.
        if !bytes.is_empty() && parse_json::<Nothing>(&bytes).is_err() {
            return Err(Problem::invalid("body", "this request takes no body"));
        }
        Ok(Request::from_parts(parts, Body::empty()))
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
        role: role(operation),
    }
}

/// Returns the role that an operation needs, which its requirement `organiser` names. One that
/// names none is for admins.
fn role(operation: &Operation) -> Option<Role> {
    let requirements = serde_json::to_value(&operation.security).ok()?;
    let mut requirements = requirements.as_array()?.iter();
    let roles = requirements.find_map(|one| one.get("organiser"))?;
    let role = roles.get(0).cloned().map(serde_json::from_value);
    Some(role.and_then(Result::ok).unwrap_or(Role::Admin))
}

/// Layer that answers 401 or 403 to whom an operation is not for, and 422 to what is not declared.
/// Requests that no description names pass: pages keep whatever parameters a link to them carries.
#[derive(Clone)]
pub(crate) struct RefuseUndeclared {
    declared: Arc<Declared>,
    site: Arc<AppContext>,
}

impl RefuseUndeclared {
    pub(crate) fn new(description: &OpenApi, site: &Arc<AppContext>) -> RefuseUndeclared {
        RefuseUndeclared {
            declared: Arc::new(Declared::of(description)),
            site: site.clone(),
        }
    }
}

impl<S> Layer<S> for RefuseUndeclared {
    type Service = Refusing<S>;

    fn layer(&self, inner: S) -> Refusing<S> {
        Refusing {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service behind [`RefuseUndeclared`].
#[derive(Clone)]
pub(crate) struct Refusing<S> {
    layer: RefuseUndeclared,
    inner: S,
}

impl<S> Service<Request> for Refusing<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future =
        Either<S::Future, Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    /// Passes a request on. Only one that may have to be refused is checked in a boxed future.
    fn call(&mut self, request: Request) -> Self::Future {
        let Some(takes) = self.layer.declared.takes(&request) else {
            return Either::Left(self.inner.call(request));
        };
        let is_body_fine = takes.has_body || request.body().is_end_stream();
        let is_for_organisers = takes.role.is_some();
        if is_body_fine && request.uri().query().is_none() && !is_for_organisers {
            return Either::Left(self.inner.call(request));
        }
        let RefuseUndeclared { declared, site } = self.layer.clone();
        let inner = self.inner.clone();
        Either::Right(Box::pin(async move {
            let request = match declared.check(request, &site).await {
                Ok(request) => request,
                Err(problem) => return Ok(problem.into_response()),
            };
            if !is_for_organisers || request.method().is_safe() {
                return inner.oneshot(request).await;
            }
            // In a task of its own, to its end: a change must not go without its entry in the audit
            // log because a client hangs up.
            let answering = deadline::carried(inner.oneshot(request)).in_current_span();
            let answering = tokio::spawn(answering);
            answering.await.unwrap_or_else(|_| {
                let problem = Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR);
                Ok(problem.into_response())
            })
        }))
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

/// Largest number of unknown parameters that a refusal names.
const ERRORS_MAX: usize = 10;
