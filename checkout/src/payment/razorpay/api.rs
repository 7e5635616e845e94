//! Requests to Razorpay's API, in JSON.

use super::settings::RazorpaySettings;
use crate::payment::api::{Api, Reply};
use axum::http::{Method, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::crypto::basic_authorization;
use url::form_urlencoded::Serializer;

/// Razorpay's API, with the key of an account.
pub(super) struct RazorpayApi(Api);

#[derive(Deserialize)]
struct RazorpayErrorBody {
    error: RazorpayError,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RazorpayError {
    code: String,
    description: Option<String>,
    reason: Option<String>,
}

impl RazorpayApi {
    pub(super) fn new(settings: &RazorpaySettings) -> RazorpayApi {
        let authorization = basic_authorization(&settings.key_id, settings.key_secret.exposed());
        RazorpayApi(Api::new("razorpay", &settings.url, authorization, reason))
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Reply<T> {
        self.0.send(self.0.request(Method::GET, path), None).await
    }

    /// Posts a body; of refunds with an idempotency key.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        idempotency_key: Option<&str>,
    ) -> Reply<T> {
        let request = self.0.request(Method::POST, path);
        let mut request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = idempotency_key {
            request = request.header("x-refund-idempotency", key);
        }
        self.0.send(request, Some(body.to_string())).await
    }
}

/// Returns a query.
pub(super) fn query(fields: &[(&str, String)]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in fields {
        query.append_pair(name, value);
    }
    query.finish()
}

/// Returns the reason of a refusal. All have the same code, so that it is the description that says
/// something.
fn reason(body: &[u8]) -> String {
    let error = serde_json::from_slice::<RazorpayErrorBody>(body);
    let error = error.map(|body| body.error).unwrap_or_default();
    error.description.or(error.reason).unwrap_or(error.code)
}
