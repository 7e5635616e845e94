//! The checkout as a service of its own: asked before an event is deleted, and told who wants a message.

use crate::app::Checkout;
use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use serde_json::Value;
use shared::http::problem::Problem;
use shared::ids::{EventId, VisitorId};
use shared::line_contact::{Channel, LineContact, LineOffers};
use shared::line_mail::LineMail;
use shared::remote::RemoteService;
use std::time::Duration;

/// Longest time for the checkout to remove an event.
const ANSWER: Duration = Duration::from_secs(4);

/// A checkout in another process.
pub struct RemoteCheckout {
    remote: RemoteService,
    service_key: String,
}

impl RemoteCheckout {
    /// Returns the checkout at `base`, which knows the waiting room by the service key.
    pub fn new(base: &str, service_key: &str) -> RemoteCheckout {
        RemoteCheckout {
            remote: RemoteService::new("checkout", base, ANSWER),
            service_key: service_key.to_owned(),
        }
    }
}

impl RemoteCheckout {
    /// Hands over, or takes back, what a visitor wishes to be told by: `line-mail`, `line-push` or `line-sms`.
    async fn ask_wish(
        &self,
        method: Method,
        wish: &str,
        event: &EventId,
        visitor: VisitorId,
        body: Option<String>,
    ) -> Result<StatusCode, Problem> {
        let path = format!("/api/v1/events/{event}/{wish}/{visitor}");
        let answer = self.remote.ask(method, &path, &self.service_key, body);
        let (status, _) = answer.await.ok_or_else(Problem::unavailable)?;
        if status == StatusCode::UNAUTHORIZED {
            tracing::error!("the checkout refuses this FAIRLINE_SERVICE_KEY");
        }
        Ok(status)
    }
}

fn taken(status: StatusCode) -> Result<(), Problem> {
    let is_taken = status.is_success();
    is_taken.then_some(()).ok_or_else(Problem::unavailable)
}

#[async_trait]
impl Checkout for RemoteCheckout {
    async fn delete_event(&self, event: &EventId) -> Result<bool, Problem> {
        let path = format!("/api/v1/events/{event}/seating");
        let answer = self
            .remote
            .ask(Method::DELETE, &path, &self.service_key, None)
            .await;
        let Some((status, body)) = answer else {
            return Err(unknown_outcome("the checkout does not answer"));
        };
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let kind = problem["type"].as_str().unwrap_or_default();
        match (status, kind.strip_prefix("/problems/")) {
            (StatusCode::NO_CONTENT, _) => Ok(true),
            (StatusCode::NOT_FOUND, Some("no-such-event")) => Ok(false),
            (StatusCode::CONFLICT, Some(kind)) => {
                let title = problem["title"].as_str().unwrap_or_default();
                Err(Problem::new(status, kind, title))
            }
            (StatusCode::UNAUTHORIZED, _) => {
                tracing::error!("the checkout refuses this FAIRLINE_SERVICE_KEY");
                Err(unreachable(
                    "the checkout has another service key: nothing was removed",
                ))
            }
            // Something else is at that address, or the checkout's own store did not answer in
            // time.
            _ => Err(unknown_outcome(&format!("the checkout answers {status}"))),
        }
    }

    async fn sends_mail(&self) -> Option<bool> {
        // The page of those who have lost their orders, which is there where mail is sent.
        let answer = self.remote.ask(Method::GET, "/orders/find", "", None);
        match answer.await?.0 {
            StatusCode::OK => Some(true),
            StatusCode::NOT_FOUND => Some(false),
            _ => None,
        }
    }

    async fn keep_mail(
        &self,
        event: &EventId,
        visitor: VisitorId,
        mail: &LineMail,
    ) -> Result<(), Problem> {
        let body = serde_json::to_string(mail).ok();
        let asked = self.ask_wish(Method::PUT, "line-mail", event, visitor, body);
        match asked.await? {
            StatusCode::NOT_FOUND => Err(Problem::no_mail()),
            StatusCode::UNPROCESSABLE_ENTITY => Err(Problem::invalid(
                "email",
                "an address such as ada@example.org",
            )),
            status => taken(status),
        }
    }

    async fn forget_mail(&self, event: &EventId, visitor: VisitorId) -> Result<(), Problem> {
        let asked = self.ask_wish(Method::DELETE, "line-mail", event, visitor, None);
        match asked.await? {
            StatusCode::NOT_FOUND => Ok(()),
            status => taken(status),
        }
    }

    async fn line_offers(&self) -> Option<LineOffers> {
        let path = "/api/v1/line-offers";
        let asked = self.remote.ask(Method::GET, path, &self.service_key, None);
        match asked.await? {
            (StatusCode::OK, body) => serde_json::from_slice(&body).ok(),
            _ => None,
        }
    }

    async fn keep_contact(
        &self,
        event: &EventId,
        visitor: VisitorId,
        contact: &LineContact,
    ) -> Result<(), Problem> {
        let (body, field, why) = match contact {
            LineContact::Push(push) => (
                serde_json::to_string(push),
                "endpoint",
                "a subscription as a browser makes it",
            ),
            LineContact::Sms(sms) => (
                serde_json::to_string(sms),
                "phone",
                "a number with + and country code, of a country to which this site sends text messages",
            ),
        };
        let channel = contact.channel();
        let asked = self.ask_wish(Method::PUT, wish(channel), event, visitor, body.ok());
        match asked.await? {
            StatusCode::NOT_FOUND => Err(Problem::no_channel(channel)),
            StatusCode::UNPROCESSABLE_ENTITY => Err(Problem::invalid(field, why)),
            status => taken(status),
        }
    }

    async fn forget_contact(
        &self,
        event: &EventId,
        visitor: VisitorId,
        channel: Channel,
    ) -> Result<(), Problem> {
        let asked = self.ask_wish(Method::DELETE, wish(channel), event, visitor, None);
        match asked.await? {
            StatusCode::NOT_FOUND => Ok(()),
            status => taken(status),
        }
    }
}

fn wish(channel: Channel) -> &'static str {
    match channel {
        Channel::Push => "line-push",
        Channel::Sms => "line-sms",
    }
}

/// Returns the refusal after which the checkout may still do what it was asked for.
fn unknown_outcome(why: &str) -> Problem {
    unreachable(&format!(
        "{why}: whether it removed the sale is not known, repeat the request"
    ))
}

fn unreachable(why: &str) -> Problem {
    let title = "The event is not deleted yet: the checkout cannot be asked just now";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "checkout-unreachable", title)
        .detail(why)
        .retry_after(2)
}

/// Returns the refusal if a checkout sells for this event and its address is not known.
pub(crate) fn unknown() -> Problem {
    let title = "A checkout sells for this event, and has to be asked: set FAIRLINE_CHECKOUT";
    Problem::new(StatusCode::CONFLICT, "checkout-unknown", title)
}
