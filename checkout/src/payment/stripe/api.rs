//! Requests to Stripe's API: form-encoded, answered in JSON.

use axum::http::{Method, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::remote::RemoteService;
use std::fmt;
use std::time::Duration;
use url::form_urlencoded::Serializer;

/// Longest time for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Version of the API that requests and answers are in.
const VERSION: &str = "2024-06-20";

/// Key of the API, which cannot be printed.
#[derive(Clone)]
pub(super) struct ApiKey(pub(super) String);

impl fmt::Debug for ApiKey {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("ApiKey(…)")
    }
}

/// The API, with the key of an account.
pub(super) struct Api {
    remote: RemoteService,
    authorization: String,
}

/// Outcome of a request.
#[derive(Clone, Debug)]
pub(super) enum Reply<T> {
    /// It was done.
    Done(T),
    /// It was refused, and will be again.
    Refused(String),
    /// The server failed, or has refused before what was asked for with this idempotency key. Stripe
    /// repeats this for as long as it remembers the key, whether the request had an effect or not.
    Failed,
    /// Nothing came back, or that it is to be asked again. It may be under way still.
    Lost,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ApiError,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiError {
    #[serde(rename = "type")]
    kind: String,
    code: Option<String>,
    decline_code: Option<String>,
}

/// Form of a request.
#[derive(Default)]
pub(super) struct Form(Vec<(&'static str, String)>);

impl Form {
    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Form {
        self.0.push((name, value.to_string()));
        self
    }

    pub(super) fn encode(&self) -> String {
        let mut form = Serializer::new(String::new());
        for (name, value) in &self.0 {
            form.append_pair(name, value);
        }
        form.finish()
    }
}

impl Api {
    pub(super) fn new(url: &str, key: &ApiKey) -> Api {
        Api {
            remote: RemoteService::new("stripe", url, ANSWER),
            authorization: format!("Bearer {}", key.0),
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, query: &Form) -> Reply<T> {
        let path = match query.encode() {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        };
        self.send(Method::GET, &path, None, None).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        form: &Form,
        idempotency_key: &str,
    ) -> Reply<T> {
        let form = Some(form.encode());
        self.send(Method::POST, path, form, Some(idempotency_key))
            .await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        form: Option<String>,
        key: Option<&str>,
    ) -> Reply<T> {
        let mut request = self
            .remote
            .request(method, path)
            .header(header::AUTHORIZATION, &self.authorization)
            .header("stripe-version", VERSION);
        if form.is_some() {
            let kind = "application/x-www-form-urlencoded";
            request = request.header(header::CONTENT_TYPE, kind);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let Some(response) = self.remote.send_for_response(request, form).await else {
            return Reply::Lost;
        };
        let is_replayed = response.headers().contains_key("idempotent-replayed");
        let (status, body) = (response.status(), response.into_body());
        if status.is_success() {
            return match serde_json::from_slice(&body) {
                Ok(value) => Reply::Done(value),
                Err(error) => {
                    tracing::error!(%error, "stripe answered what cannot be read");
                    Reply::Lost
                }
            };
        }
        match refusal(status, &body) {
            // It says how things were, and not how they are.
            Reply::Refused(_) if is_replayed => Reply::Failed,
            reply => reply,
        }
    }
}

/// Reads an answer that is no success.
fn refusal<T>(status: StatusCode, body: &[u8]) -> Reply<T> {
    let error = serde_json::from_slice::<ErrorBody>(body);
    let error = error.map(|body| body.error).unwrap_or_default();
    let code = error.decline_code.or(error.code).unwrap_or(error.kind);
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            tracing::error!(%status, code, "stripe does not accept FAIRLINE_STRIPE_KEY");
            Reply::Lost
        }
        // Too many requests, or another one with this idempotency key or on this object is under
        // way.
        StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT => Reply::Lost,
        _ if code == "lock_timeout" => Reply::Lost,
        status if status.is_server_error() => Reply::Failed,
        status => Reply::Refused(format!("{} {code}", status.as_u16())),
    }
}
