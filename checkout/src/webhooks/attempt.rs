//! One attempt to deliver: the request, and what follows from its answer.

use super::instruments::DeliveryFailureKind;
use super::signature::sign;
use crate::inventory::webhooks::{DeliveryNext, DeliveryOutcome, EndpointSettings, QueuedDelivery};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use shared::crypto::random;
use shared::outbound::{Outbound, OutboundAnswer, OutboundFailure, OutboundFailureKind};
use shared::plain_text::one_line;
use shared::time::Time;

/// Time before a delivery is tried again. It doubles with each attempt, up to the longest, and half
/// of it is random.
const RETRY_FIRST_MS: i64 = 5_000;
const RETRY_MAX_MS: i64 = 6 * 3_600_000;
/// Longest time for which an endpoint may ask to be left alone.
const ASKED_MAX_MS: i64 = 24 * 3_600_000;
/// Time after which a delivery is given up.
const GIVE_UP_MS: i64 = 3 * 24 * 3_600_000;
/// Characters that are kept of an answer.
const ANSWER_CHARS_MAX: usize = 300;
const USER_AGENT: &str = concat!("Fairline-Webhooks/", env!("CARGO_PKG_VERSION"));

/// Outcome of an attempt.
pub(super) struct DeliveryAttempt {
    /// The outcome to be recorded of the delivery.
    pub(super) outcome: DeliveryOutcome,
    /// The kind of its failure, if it failed.
    pub(super) failure: Option<DeliveryFailureKind>,
    /// Time before which the endpoint wants no request.
    pub(super) asked_for: Option<Time>,
    /// Whether the endpoint says that it is gone for good.
    pub(super) is_gone: bool,
}

impl DeliveryAttempt {
    /// Returns one that was not made, as the endpoint is disabled.
    pub(super) fn of_disabled() -> DeliveryAttempt {
        DeliveryAttempt {
            outcome: DeliveryOutcome {
                next: DeliveryNext::Failed,
                status: None,
                answer: "not sent: the webhook is disabled".to_owned(),
            },
            failure: None,
            asked_for: None,
            is_gone: false,
        }
    }
}

/// Posts a delivery at this time.
pub(super) async fn post(
    outbound: &Outbound,
    settings: &EndpointSettings,
    delivery: &QueuedDelivery,
    now: Time,
) -> DeliveryAttempt {
    let answered = match outbound.check(&settings.url) {
        Ok(url) => {
            let headers = headers(settings, delivery, now);
            outbound
                .post(&url, headers, delivery.body.clone().into())
                .await
        }
        // The networks that may be reached are fewer by now.
        Err(why) => Err(OutboundFailure {
            kind: OutboundFailureKind::Forbidden,
            why: format!("the URL may not be posted to any more; it must be {why}"),
        }),
    };
    match answered {
        Ok(answer) => of_answer(delivery, &answer, now),
        Err(failure) => DeliveryAttempt {
            outcome: DeliveryOutcome {
                next: next(delivery, now, None),
                status: None,
                answer: bounded(&failure.why),
            },
            failure: Some(DeliveryFailureKind::of(failure.kind)),
            asked_for: None,
            is_gone: false,
        },
    }
}

fn headers(settings: &EndpointSettings, delivery: &QueuedDelivery, now: Time) -> HeaderMap {
    let signature = sign(settings, &delivery.id, now, &delivery.body);
    let pairs = [
        (HeaderName::from_static("webhook-id"), delivery.id.clone()),
        (
            HeaderName::from_static("webhook-timestamp"),
            now.seconds().to_string(),
        ),
        (HeaderName::from_static("webhook-signature"), signature),
        (header::USER_AGENT, USER_AGENT.to_owned()),
    ];
    let pairs = pairs.into_iter().filter_map(|(name, value)| {
        let value = HeaderValue::try_from(value).ok()?;
        Some((name, value))
    });
    pairs.collect()
}

fn of_answer(delivery: &QueuedDelivery, answer: &OutboundAnswer, now: Time) -> DeliveryAttempt {
    let status = answer.status;
    let is_gone = status == StatusCode::GONE;
    let asked_for = asked_for(answer, now).filter(|_| !status.is_success());
    let next = match () {
        () if status.is_success() => DeliveryNext::Delivered,
        () if is_gone => DeliveryNext::Failed,
        () => next(delivery, now, asked_for),
    };
    DeliveryAttempt {
        outcome: DeliveryOutcome {
            next,
            status: Some(status.as_u16()),
            answer: bounded(&answer.excerpt),
        },
        failure: (!status.is_success()).then_some(DeliveryFailureKind::Status),
        asked_for,
        is_gone,
    }
}

/// Returns when a delivery is tried again, or that it is given up.
fn next(delivery: &QueuedDelivery, now: Time, asked_for: Option<Time>) -> DeliveryNext {
    if now.0 - delivery.queued_at.0 >= GIVE_UP_MS {
        return DeliveryNext::Failed;
    }
    let doublings = (delivery.attempts - 1).clamp(0, 20);
    let wait = (RETRY_FIRST_MS << doublings).min(RETRY_MAX_MS);
    let [random] = random::<1>();
    let own = Time(now.0 + wait / 2 + wait / 2 * i64::from(random) / 255);
    DeliveryNext::Later(asked_for.unwrap_or(own).max(own))
}

/// Returns the time before which an endpoint wants no request, if it says so.
fn asked_for(answer: &OutboundAnswer, now: Time) -> Option<Time> {
    let at = answer.retry_after(now)?;
    Some(at.min(Time(now.0 + ASKED_MAX_MS)))
}

/// Returns the beginning of an answer on one line.
fn bounded(answer: &str) -> String {
    let line = one_line(answer);
    line.trim().chars().take(ANSWER_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    fn asked(text: &str) -> Option<i64> {
        let headers = [(header::RETRY_AFTER, text.parse().unwrap())];
        let answer = OutboundAnswer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers: headers.into_iter().collect(),
            excerpt: String::new(),
        };
        let at = asked_for(&answer, NOW)?;
        Some(at.0 - NOW.0)
    }

    #[test]
    fn a_wait_that_is_asked_for_is_seconds_or_a_date_and_a_day_at_most() {
        assert_eq!(asked("120"), Some(120_000));
        assert_eq!(asked("Fri, 15 Jan 2027 08:01:00 GMT"), Some(60_000));
        assert_eq!(asked("4000000"), Some(ASKED_MAX_MS));
        assert_eq!(asked("Wed, 15 Jan 2127 08:01:00 GMT"), Some(ASKED_MAX_MS));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-5"), None);
    }
}
