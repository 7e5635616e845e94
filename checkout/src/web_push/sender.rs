//! Sends the messages that are due, a bounded number at one time, and records their outcomes.

use super::encryption::Recipient;
use super::instruments::{PushFailureKind, count_failure, count_sent};
use super::settings::Pusher;
use crate::app::Shop;
use crate::inventory::QueuedPush;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use shared::crypto::random;
use shared::event_details::day_and_time;
use shared::line_push::LinePush;
use shared::outbound::{OutboundAnswer, OutboundFailureKind, PATIENCE};
use shared::texts::Language;
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Largest number of messages that are sent at one time.
const SENDING_MAX: usize = 32;
/// Pause while nothing is due.
const IDLE: Duration = Duration::from_millis(250);
/// Time after which a message that was taken counts as not sent.
const LEASE_MS: i64 = 3 * PATIENCE.as_millis() as i64;
/// Time before a message is tried again. It doubles with each attempt, up to the longest, and half of it
/// is random.
const RETRY_FIRST_MS: i64 = 1_000;
const RETRY_MAX_MS: i64 = 15_000;
/// Pause before an outcome is offered to the store again, and how often it is.
const SETTLE_AGAIN: Duration = Duration::from_millis(500);
const SETTLE_TRIES: usize = 30;
/// Longest name of an event in a notification, in characters.
const NAME_CHARS_MAX: usize = 200;

/// The work of this node.
struct PushSender {
    shop: Arc<Shop>,
    pusher: Arc<Pusher>,
}

/// Outcome of an attempt.
enum PushOutcome {
    /// The subscription is of no further use.
    Done,
    /// It is tried again at this time.
    Again(Time),
}

/// Runs until the stop signal. What is being sent then is tracked, and ends by itself.
pub(super) async fn run(shop: &Arc<Shop>, pusher: &Arc<Pusher>) {
    let sender = Arc::new(PushSender {
        shop: shop.clone(),
        pusher: pusher.clone(),
    });
    let permits = Arc::new(Semaphore::new(SENDING_MAX));
    let sending = sender.send_all(&permits);
    let _ = shop.site.stop.run_until_cancelled(sending).await;
}

impl PushSender {
    async fn send_all(self: &Arc<Self>, permits: &Arc<Semaphore>) {
        // The semaphore is never closed.
        while let Ok(permit) = permits.clone().acquire_owned().await {
            let room = u32::try_from(1 + permits.available_permits()).unwrap_or(1);
            let claimed = self.shop.inventory.line_pushes().claim(room, LEASE_MS);
            // While the store is away it says so itself.
            let claimed = claimed.await.unwrap_or_default();
            if claimed.is_empty() {
                sleep(IDLE).await;
            }
            let mut permit = Some(permit);
            for push in claimed {
                let permit = permit.take();
                let permit = permit.or_else(|| permits.clone().try_acquire_owned().ok());
                self.begin(push, permit);
            }
        }
    }

    /// Sends a message in a task of its own, which goes on after the stop signal.
    fn begin(self: &Arc<Self>, push: QueuedPush, permit: Option<OwnedSemaphorePermit>) {
        let sender = self.clone();
        self.shop.delivering.spawn(async move {
            let _permit = permit;
            let outcome = sender.deliver(&push).await;
            sender.settle(&push, outcome).await;
        });
    }

    async fn deliver(&self, queued: &QueuedPush) -> PushOutcome {
        let Some(push) = &queued.push else {
            return PushOutcome::Done;
        };
        let now = self.now();
        if queued.claim_by <= now {
            count_failure(PushFailureKind::Missed);
            return PushOutcome::Done;
        }
        let Some(message) = self.message(queued, push).await else {
            // The waiting room does not answer.
            return again(queued, now, None);
        };
        match self.post(queued, push, &message, now).await {
            Ok(answer) => of_answer(queued, &answer, now),
            Err(PushFailureKind::Unreachable) => {
                count_failure(PushFailureKind::Unreachable);
                again(queued, now, None)
            }
            Err(kind) => {
                count_failure(kind);
                PushOutcome::Done
            }
        }
    }

    /// Writes the notification, as the service worker shows it; none if the event is not known now.
    async fn message(&self, queued: &QueuedPush, push: &LinePush) -> Option<String> {
        let event = &queued.place.event;
        let facts = self.shop.event_facts(event).await?;
        let language = Language::parse(&push.language).unwrap_or_default();
        let details = facts.details.as_ref();
        let zone = details.and_then(|details| details.time_zone.as_deref());
        let time = day_and_time(queued.claim_by, zone, language);
        let name: String = facts.name.chars().take(NAME_CHARS_MAX).collect();
        let message = json!({
            "event": event,
            "title": language.phrase("mail.turn", &[("event", &name)]),
            "body": language.phrase("mail.turn.text", &[("time", &time)]),
            "language": language.code(),
        });
        Some(message.to_string())
    }

    async fn post(
        &self,
        queued: &QueuedPush,
        push: &LinePush,
        message: &str,
        now: Time,
    ) -> Result<OutboundAnswer, PushFailureKind> {
        let refused = |_| PushFailureKind::Refused;
        // The networks and services that may be reached are fewer by now, or the row was changed by hand.
        let url = self.shop.outbound.check(&push.endpoint).map_err(refused)?;
        if !self.pusher.posts_to(&url) {
            return Err(PushFailureKind::Refused);
        }
        let recipient = Recipient::read(&push.keys);
        let recipient = recipient.map_err(|_| PushFailureKind::Refused)?;
        let body = recipient.encrypt(message.as_bytes());
        let body = body.map_err(|_| PushFailureKind::Refused)?;
        let authorization = self.pusher.authorization(&url, now).map_err(refused)?;
        let seconds = (queued.claim_by.0 - now.0).max(0) / 1000;
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
        let posted = self.shop.outbound.post(&url, headers, body.into()).await;
        posted.map_err(|failure| match failure.kind {
            OutboundFailureKind::Forbidden => PushFailureKind::Refused,
            OutboundFailureKind::Unreachable | OutboundFailureKind::Timeout => {
                PushFailureKind::Unreachable
            }
        })
    }

    /// Records an outcome, also where the store is away for a while: an unrecorded message is sent again.
    async fn settle(&self, push: &QueuedPush, outcome: PushOutcome) {
        let again_at = match outcome {
            PushOutcome::Done => None,
            PushOutcome::Again(at) => Some(at),
        };
        for _ in 0..SETTLE_TRIES {
            let settled = self.shop.inventory.line_pushes().settle(push, again_at);
            if settled.await.is_ok() {
                return;
            }
            sleep(SETTLE_AGAIN).await;
        }
    }

    fn now(&self) -> Time {
        self.shop.inventory.now()
    }
}

fn of_answer(queued: &QueuedPush, answer: &OutboundAnswer, now: Time) -> PushOutcome {
    let status = answer.status;
    if status.is_success() {
        count_sent();
        return PushOutcome::Done;
    }
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            count_failure(PushFailureKind::Gone);
            PushOutcome::Done
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            count_failure(PushFailureKind::Deferred);
            again(queued, now, answer.retry_after(now))
        }
        _ if status.is_server_error() => {
            count_failure(PushFailureKind::Deferred);
            again(queued, now, answer.retry_after(now))
        }
        _ => {
            let (event, status) = (&queued.place.event, status.as_u16());
            tracing::warn!(%event, status, "a push service refuses a notification for good");
            count_failure(PushFailureKind::Refused);
            PushOutcome::Done
        }
    }
}

/// Returns when a message is tried again, unless the turn is over by then.
fn again(queued: &QueuedPush, now: Time, asked_for: Option<Time>) -> PushOutcome {
    let doublings = (queued.attempts - 1).clamp(0, 20);
    let wait = (RETRY_FIRST_MS << doublings).min(RETRY_MAX_MS);
    let [random] = random::<1>();
    let own = Time(now.0 + wait / 2 + wait / 2 * i64::from(random) / 255);
    let at = asked_for.unwrap_or(own).max(own);
    if at >= queued.claim_by {
        count_failure(PushFailureKind::Missed);
        return PushOutcome::Done;
    }
    PushOutcome::Again(at)
}
