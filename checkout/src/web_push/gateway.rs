//! Posts a notification to the push service of a browser, and reads its answer.

use super::encryption::Recipient;
use super::settings::Pusher;
use crate::app::Shop;
use crate::line_messages::{FailureKind, Gateway, Handover, TurnMessage};
use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use shared::event_details::day_and_time;
use shared::line_contact::{Channel, LineContact};
use shared::line_push::LinePush;
use shared::outbound::{OutboundAnswer, OutboundFailureKind};
use shared::texts::Language;

/// Longest name of an event in a notification, in characters.
const NAME_CHARS_MAX: usize = 200;

#[async_trait]
impl Gateway for Pusher {
    fn channel(&self) -> Channel {
        Channel::Push
    }

    async fn send(&self, shop: &Shop, message: &TurnMessage<'_>) -> Handover {
        let LineContact::Push(push) = message.contact else {
            return Handover::Never(FailureKind::Refused);
        };
        match self.post(shop, push, message).await {
            Ok(answer) => of_answer(message, &answer),
            Err(FailureKind::Unreachable) => Handover::Later(FailureKind::Unreachable, None),
            Err(kind) => Handover::Never(kind),
        }
    }
}

impl Pusher {
    async fn post(
        &self,
        shop: &Shop,
        push: &LinePush,
        message: &TurnMessage<'_>,
    ) -> Result<OutboundAnswer, FailureKind> {
        let refused = |_| FailureKind::Refused;
        // The networks and services that may be reached are fewer by now, or the row was changed by hand.
        let url = shop.outbound.check(&push.endpoint).map_err(refused)?;
        if !self.posts_to(&url) {
            return Err(FailureKind::Refused);
        }
        let recipient = Recipient::read(&push.keys);
        let recipient = recipient.map_err(|_| FailureKind::Refused)?;
        let body = recipient.encrypt(content(push, message).as_bytes());
        let body = body.map_err(|_| FailureKind::Refused)?;
        let authorization = self.authorization(&url, message.now).map_err(refused)?;
        let seconds = message.seconds_left();
        let pairs = [
            (header::AUTHORIZATION, authorization),
            (header::CONTENT_ENCODING, "aes128gcm".to_owned()),
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (HeaderName::from_static("ttl"), seconds.to_string()),
            (HeaderName::from_static("urgency"), "high".to_owned()),
        ];
        let pairs = pairs.into_iter().filter_map(|(name, value)| {
            let value = HeaderValue::try_from(value).ok()?;
            Some((name, value))
        });
        let headers: HeaderMap = pairs.collect();
        let posted = shop.outbound.post(&url, headers, body.into()).await;
        posted.map_err(|failure| match failure.kind {
            OutboundFailureKind::Forbidden => FailureKind::Refused,
            OutboundFailureKind::Unreachable
            | OutboundFailureKind::Lost
            | OutboundFailureKind::Timeout => FailureKind::Unreachable,
        })
    }
}

/// Writes the notification, as the service worker shows it.
fn content(push: &LinePush, message: &TurnMessage<'_>) -> String {
    let language = Language::parse(&push.language).unwrap_or_default();
    let time = day_and_time(message.claim_by, message.zone(), language);
    let name: String = message.facts.name.chars().take(NAME_CHARS_MAX).collect();
    let content = json!({
        "event": message.event,
        "title": language.phrase("mail.turn", &[("event", &name)]),
        "body": language.phrase("mail.turn.text", &[("time", &time)]),
        "language": language.code(),
    });
    content.to_string()
}

fn of_answer(message: &TurnMessage<'_>, answer: &OutboundAnswer) -> Handover {
    let status = answer.status;
    match status {
        _ if status.is_success() => Handover::Sent,
        StatusCode::NOT_FOUND | StatusCode::GONE => Handover::Never(FailureKind::Gone),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Handover::Later(FailureKind::Deferred, answer.retry_after(message.now))
        }
        _ if status.is_server_error() => {
            Handover::Later(FailureKind::Deferred, answer.retry_after(message.now))
        }
        _ => {
            let (event, status) = (message.event, status.as_u16());
            tracing::warn!(%event, status, "a push service refuses a notification for good");
            Handover::Never(FailureKind::Refused)
        }
    }
}
