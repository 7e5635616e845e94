//! Requests to Stripe's API: form-encoded, answered in JSON.

use crate::payment::api::{Api, Reply};
use axum::http::{Method, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;
use url::form_urlencoded::Serializer;

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

/// Stripe's API, with the key of an account.
pub(super) struct StripeApi(Api);

#[derive(Deserialize)]
struct StripeErrorBody {
    error: StripeError,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StripeError {
    #[serde(rename = "type")]
    kind: String,
    code: Option<String>,
    decline_code: Option<String>,
}

/// Form of a request.
#[derive(Default)]
pub(super) struct FormBody(Vec<(&'static str, String)>);

impl FormBody {
    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> FormBody {
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

impl StripeApi {
    pub(super) fn new(url: &str, key: &ApiKey) -> StripeApi {
        let authorization = format!("Bearer {}", key.0);
        StripeApi(Api::new("stripe", url, authorization, reason))
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, query: &FormBody) -> Reply<T> {
        let path = match query.encode() {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        };
        let request = self.0.request(Method::GET, &path);
        self.0
            .send(request.header("stripe-version", VERSION), None)
            .await
    }

    /// Posts a form. To an idempotency key whose request failed, Stripe repeats that failure for as
    /// long as it remembers the key, whether the request had an effect or not.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        form: &FormBody,
        idempotency_key: &str,
    ) -> Reply<T> {
        let kind = "application/x-www-form-urlencoded";
        let request = self.0.request(Method::POST, path);
        let request = request
            .header("stripe-version", VERSION)
            .header(header::CONTENT_TYPE, kind)
            .header("idempotency-key", idempotency_key);
        self.0.send(request, Some(form.encode())).await
    }
}

/// Returns the reason of a refusal.
fn reason(body: &[u8]) -> String {
    let error = serde_json::from_slice::<StripeErrorBody>(body);
    let error = error.map(|body| body.error).unwrap_or_default();
    error.decline_code.or(error.code).unwrap_or(error.kind)
}
