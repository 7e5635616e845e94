//! Hands a message to Twilio (Programmable Messaging, the resource `Messages`), and reads the answer.

use super::settings::SmsGateway;
use super::text::text;
use crate::app::Shop;
use crate::inventory::SmsCount;
use crate::line_messages::{FailureKind, Gateway, Handover, TurnMessage};
use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use shared::crypto::encode;
use shared::ids::EventId;
use shared::line_contact::{Channel, LineContact, LineSms, check_phone};
use shared::outbound::{OutboundAnswer, OutboundFailureKind};
use url::form_urlencoded;

/// Longest time for which Twilio keeps a message that it cannot deliver yet, in seconds.
const VALIDITY_SECONDS_MAX: i64 = 36_000;
/// Code of an account or a token that is wrong.
const DENIED: u32 = 20_003;
/// Codes of an invalid number, of a phone that takes no text messages, and of one whose owner has opted out.
const GONE: [u32; 3] = [21_211, 21_610, 21_614];
/// Code of a queue that is full.
const BUSY: u32 = 21_611;

/// Outcome of an attempt, by whether the gateway may have the message.
enum Handed {
    /// It has the message, or may have it.
    Perhaps(Handover),
    /// It certainly has not.
    Not(Handover),
}

/// An error of Twilio's.
#[derive(Deserialize)]
struct ErrorBody {
    code: u32,
}

#[async_trait]
impl Gateway for SmsGateway {
    fn channel(&self) -> Channel {
        Channel::Sms
    }

    async fn send(&self, shop: &Shop, message: &TurnMessage<'_>) -> Handover {
        let LineContact::Sms(sms) = message.contact else {
            return Handover::Never(FailureKind::Refused);
        };
        // The prefixes are fewer by now, or the row was changed by hand.
        if check_phone(&sms.phone, &self.prefixes).is_err() {
            return Handover::Never(FailureKind::Refused);
        }
        let (messages, event, at) = (shop.inventory.line_messages(), message.event, message.now);
        let number = number_hash(shop, message.event, &sms.phone);
        let counted = messages.count_sms(event, &number, at, self.bounds);
        match counted.await {
            Ok(SmsCount::Counted) => {}
            Ok(SmsCount::NumberIsFull) => return Handover::Never(FailureKind::NumberFull),
            Ok(SmsCount::DayIsFull) => {
                self.tell_day_full();
                return Handover::Never(FailureKind::DayFull);
            }
            // The store is away, and says so itself.
            Err(_) => return Handover::Later(FailureKind::Deferred, None),
        }
        self.told.lock().is_day_full = false;
        let body = self.body(shop, sms, message);
        match self.post(message, body).await {
            Handed::Perhaps(attempt) => attempt,
            Handed::Not(attempt) => {
                // If that fails, one message less is sent.
                let _ = messages.uncount_sms(event, &number, at).await;
                attempt
            }
        }
    }
}

/// Returns the keyed hash of a number, by which messages to it are counted. It stays the same when the keys that seal
/// personal data are changed.
fn number_hash(shop: &Shop, event: &EventId, phone: &str) -> String {
    let hashed = format!("sms number\n{event}\n{phone}");
    encode(&shop.site.mail_secret.sign(hashed.as_bytes()))
}

impl SmsGateway {
    fn body(&self, shop: &Shop, sms: &LineSms, message: &TurnMessage<'_>) -> String {
        let text = text(message, &sms.language, &shop.site.public_url);
        let validity = message.seconds_left().clamp(1, VALIDITY_SECONDS_MAX);
        let (sender, value) = &self.sender;
        form_urlencoded::Serializer::new(String::new())
            .append_pair("To", &sms.phone)
            .append_pair(sender, value)
            .append_pair("Body", &text)
            .append_pair("ValidityPeriod", &validity.to_string())
            .finish()
    }

    async fn post(&self, message: &TurnMessage<'_>, body: String) -> Handed {
        let mut headers = HeaderMap::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        if let Ok(mut value) = HeaderValue::try_from(&self.authorization) {
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let unanswered = Handover::Later(FailureKind::Unreachable, None);
        match self.outbound.post(&self.url, headers, body.into()).await {
            Ok(answer) => self.of_answer(message, &answer),
            Err(failure) => match failure.kind {
                OutboundFailureKind::Lost | OutboundFailureKind::Timeout => {
                    Handed::Perhaps(unanswered)
                }
                OutboundFailureKind::Forbidden | OutboundFailureKind::Unreachable => {
                    Handed::Not(unanswered)
                }
            },
        }
    }

    fn of_answer(&self, message: &TurnMessage<'_>, answer: &OutboundAnswer) -> Handed {
        let status = answer.status;
        let body = serde_json::from_str::<ErrorBody>(&answer.excerpt);
        let code = body.map_or(0, |body| body.code);
        let deferred = Handover::Later(FailureKind::Deferred, answer.retry_after(message.now));
        if status.is_success() {
            self.tell_denied(false);
            return Handed::Perhaps(Handover::Sent);
        }
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.denied(),
            _ if code == DENIED => self.denied(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Handed::Not(deferred)
            }
            _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Handed::Perhaps(deferred)
            }
            _ if code == BUSY => Handed::Not(deferred),
            _ if GONE.contains(&code) => Handed::Not(Handover::Never(FailureKind::Gone)),
            _ => {
                let (event, status) = (message.event, status.as_u16());
                tracing::warn!(%event, status, code, "the SMS gateway refuses a message for good");
                Handed::Not(Handover::Never(FailureKind::Refused))
            }
        }
    }

    /// Returns that the account or the token is wrong: the operator can change it while the turn lasts.
    fn denied(&self) -> Handed {
        self.tell_denied(true);
        Handed::Not(Handover::Later(FailureKind::Denied, None))
    }

    fn tell_denied(&self, is_denied: bool) {
        let before = std::mem::replace(&mut self.told.lock().is_denied, is_denied);
        match (before, is_denied) {
            (false, true) => {
                tracing::error!("the SMS gateway refuses the account or FAIRLINE_SMS_TOKEN")
            }
            (true, false) => tracing::info!("the SMS gateway takes messages again"),
            _ => {}
        }
    }

    fn tell_day_full(&self) {
        let before = std::mem::replace(&mut self.told.lock().is_day_full, true);
        if !before {
            let per_day = self.bounds.in_day;
            tracing::error!(per_day, "no text messages are sent any more today");
        }
    }
}
