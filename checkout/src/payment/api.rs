//! Requests to the HTTP API of a provider, answered in JSON.

use super::provider::Answer;
use axum::http::request::Builder;
use axum::http::{Method, StatusCode, header};
use serde::de::DeserializeOwned;

use shared::http::load::elsewhere;
use shared::remote::RemoteService;
use std::time::Duration;

/// Longest time for an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// The API of a provider, with the key of an account.
pub(super) struct Api {
    name: &'static str,
    remote: RemoteService,
    authorization: String,
    /// Reads the reason from the body of a refusal.
    reason: fn(&[u8]) -> String,
}

/// Outcome of a request.
#[derive(Clone, Debug)]
pub(super) enum Reply<T> {
    /// It was done.
    Done(T),
    /// It was refused, and will be again.
    Refused(String),
    /// The server failed, or has refused before what was asked for with this idempotency key: the
    /// request had an effect or not.
    Failed,
    /// Nothing came back, or that it is to be asked again. It may be under way still.
    Lost,
}

impl<T> Reply<T> {
    /// Returns what it says, where a failure says nothing.
    pub(super) fn into_answer(self) -> Answer<T> {
        match self {
            Reply::Done(value) => Answer::Known(value),
            Reply::Refused(why) => Answer::Refused(why),
            Reply::Failed | Reply::Lost => Answer::Unknown,
        }
    }
}

impl Api {
    /// Returns the API at `url`. `authorization` is the value of that header.
    pub(super) fn new(
        name: &'static str,
        url: &str,
        authorization: String,
        reason: fn(&[u8]) -> String,
    ) -> Api {
        Api {
            name,
            remote: RemoteService::new(name, url, ANSWER),
            authorization,
            reason,
        }
    }

    /// Begins a request, for headers of its own.
    pub(super) fn request(&self, method: Method, path: &str) -> Builder {
        let request = self.remote.request(method, path);
        request.header(header::AUTHORIZATION, &self.authorization)
    }

    /// Sends a request that `request` began.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        request: Builder,
        body: Option<String>,
    ) -> Reply<T> {
        let asking = self.remote.send_for_response(request, body);
        let Some(response) = elsewhere(asking).await else {
            return Reply::Lost;
        };
        let is_replayed = response.headers().contains_key("idempotent-replayed");
        let (status, body) = (response.status(), response.into_body());
        if status.is_success() {
            return match serde_json::from_slice(&body) {
                Ok(value) => Reply::Done(value),
                Err(error) => {
                    let provider = self.name;
                    tracing::error!(provider, %error, "the provider answered what cannot be read");
                    Reply::Lost
                }
            };
        }
        match self.refusal(status, (self.reason)(&body)) {
            // It says how things were, and not how they are.
            Reply::Refused(_) if is_replayed => Reply::Failed,
            reply => reply,
        }
    }

    /// Reads an answer that is no success.
    fn refusal<T>(&self, status: StatusCode, reason: String) -> Reply<T> {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let provider = self.name;
                tracing::error!(provider, %status, reason, "the provider does not accept its key");
                Reply::Lost
            }
            // Too many requests, or another one with this idempotency key or on this object is under
            // way.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT => Reply::Lost,
            _ if reason == "lock_timeout" => Reply::Lost,
            status if status.is_server_error() => Reply::Failed,
            status => Reply::Refused(format!("{} {reason}", status.as_u16())),
        }
    }
}
