//! Sends the messages of a channel that are due, a bounded number at one time, and records their outcomes.

use super::failure::FailureKind;
use super::gateway::{Gateway, Handover, TurnMessage};
use super::instruments::{count_failure, count_sent};
use crate::app::Shop;
use crate::inventory::QueuedMessage;
use shared::crypto::random;
use shared::outbound::PATIENCE;
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Largest number of messages of a channel that are sent at one time.
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

/// The work of this node for a channel.
struct MessageSender {
    shop: Arc<Shop>,
    gateway: Arc<dyn Gateway>,
}

/// Next step of a message after an attempt.
enum MessageOutcome {
    /// The subscription or the number is of no further use.
    Done,
    /// It is tried again at this time.
    Again(Time),
}

/// Runs until the stop signal. What is being sent then is tracked, and ends by itself.
pub(super) async fn run(shop: &Arc<Shop>, gateway: &Arc<dyn Gateway>) {
    let sender = Arc::new(MessageSender {
        shop: shop.clone(),
        gateway: gateway.clone(),
    });
    let permits = Arc::new(Semaphore::new(SENDING_MAX));
    let sending = sender.send_all(&permits);
    let _ = shop.site.stop.run_until_cancelled(sending).await;
}

impl MessageSender {
    async fn send_all(self: &Arc<Self>, permits: &Arc<Semaphore>) {
        let (messages, channel) = (self.shop.inventory.line_messages(), self.gateway.channel());
        // The semaphore is never closed.
        while let Ok(permit) = permits.clone().acquire_owned().await {
            let room = u32::try_from(1 + permits.available_permits()).unwrap_or(1);
            let claimed = messages.claim(channel, room, LEASE_MS).await;
            // While the store is away it says so itself.
            let claimed = claimed.unwrap_or_default();
            if claimed.is_empty() {
                sleep(IDLE).await;
            }
            let mut permit = Some(permit);
            for message in claimed {
                let permit = permit.take();
                let permit = permit.or_else(|| permits.clone().try_acquire_owned().ok());
                self.begin(message, permit);
            }
        }
    }

    /// Sends a message in a task of its own, which goes on after the stop signal.
    fn begin(self: &Arc<Self>, message: QueuedMessage, permit: Option<OwnedSemaphorePermit>) {
        let sender = self.clone();
        self.shop.delivering.spawn(async move {
            let _permit = permit;
            let outcome = sender.deliver(&message).await;
            sender.settle(&message, outcome).await;
        });
    }

    async fn deliver(&self, queued: &QueuedMessage) -> MessageOutcome {
        let Some(contact) = &queued.contact else {
            // Its key is gone.
            count_failure(queued.channel, FailureKind::Refused);
            return MessageOutcome::Done;
        };
        let event = &queued.place.event;
        let facts = self.shop.event_facts(event).await;
        let now = self.shop.inventory.now();
        if queued.claim_by <= now {
            count_failure(queued.channel, FailureKind::Missed);
            return MessageOutcome::Done;
        }
        let Some(facts) = facts else {
            // The waiting room does not answer.
            return again(queued, now, None);
        };
        let message = TurnMessage {
            event,
            facts: &facts,
            contact,
            claim_by: queued.claim_by,
            now,
        };
        match self.gateway.send(&self.shop, &message).await {
            Handover::Sent => {
                count_sent(queued.channel);
                MessageOutcome::Done
            }
            Handover::Later(kind, asked_for) => {
                count_failure(queued.channel, kind);
                again(queued, now, asked_for)
            }
            Handover::Never(kind) => {
                count_failure(queued.channel, kind);
                MessageOutcome::Done
            }
        }
    }

    /// Records an outcome, also where the store is away for a while: an unrecorded message is sent again.
    async fn settle(&self, message: &QueuedMessage, outcome: MessageOutcome) {
        let again_at = match outcome {
            MessageOutcome::Done => None,
            MessageOutcome::Again(at) => Some(at),
        };
        for _ in 0..SETTLE_TRIES {
            let messages = self.shop.inventory.line_messages();
            if messages.settle(message, again_at).await.is_ok() {
                return;
            }
            sleep(SETTLE_AGAIN).await;
        }
    }
}

/// Returns when a message is tried again, unless the turn is over by then.
fn again(queued: &QueuedMessage, now: Time, asked_for: Option<Time>) -> MessageOutcome {
    let doublings = (queued.attempts - 1).clamp(0, 20);
    let wait = (RETRY_FIRST_MS << doublings).min(RETRY_MAX_MS);
    let [random] = random::<1>();
    let own = Time(now.0 + wait / 2 + wait / 2 * i64::from(random) / 255);
    let at = asked_for.unwrap_or(own).max(own);
    if at >= queued.claim_by {
        count_failure(queued.channel, FailureKind::Missed);
        return MessageOutcome::Done;
    }
    MessageOutcome::Again(at)
}
