//! The relay: publishes the rows of the outbox to a message broker, at least once, in order for
//! each aggregate. Many nodes share the work by leases on shards of the outbox.
//!
//! Each round reads the next rows of the shards that this node has a lease on, and publishes them in
//! waves: a wave has the first unsent row of each aggregate, and is acknowledged before the next
//! goes out. So no event overtakes an earlier one of its aggregate, also where that one fails. A
//! crash, or a lease that moved, repeats events, which is why consumers remove duplicates by id: a
//! repeated event never comes before its predecessors were published once.

mod broker;
#[cfg(test)]
mod example;
mod health;
mod instruments;
mod kafka;
mod message;
mod nats;
mod partition;
mod parts;
mod rabbitmq;
mod round;
mod window;

pub(crate) use health::{LastRefusal, routes};
pub(crate) use instruments::register;

use crate::app::Shop;
use crate::backlog;
use broker::Broker;
use brokers::{Address, Failure, FailureKind, Protocol};
use instruments::{OLDEST_SECONDS, UNSENT};
pub(crate) use round::CONSUMER;
use round::{Relay, Round};
use shared::crypto::random;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Pause while there is nothing to send.
const IDLE: Duration = Duration::from_millis(200);
/// Shortest and longest pause after a failure. It doubles with each.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Longest wait at the shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// Checks that events can be published, so that a setting that cannot work stops the start. A
/// broker that is only away does not.
///
/// # Errors
/// A sentence for the operator.
pub(crate) async fn check(address: &Arc<Address>) -> Result<(), String> {
    let named = |why: String| format!("FAIRLINE_EVENTS: {why}");
    address.look_up().await.map_err(named)?;
    let connected = open(address).connect().await;
    match connected {
        Err(failure) if failure.kind != FailureKind::Away => Err(named(failure.detail)),
        _ => Ok(()),
    }
}

/// Publishes until the stop signal. Nothing to do where no broker is set.
pub(crate) async fn run(shop: &Arc<Shop>) {
    if let Some(address) = &shop.events {
        let publish = shop.relay.track_future(publish(shop, address));
        let measuring = backlog::measure_outbox(shop, CONSUMER, &UNSENT, &OLDEST_SECONDS);
        tokio::join!(publish, measuring);
    }
}

/// Waits, for a bounded time, until the relay has ended its round and given its leases back.
pub(crate) async fn drain(shop: &Shop) {
    shop.relay.close();
    let _ = timeout(DRAIN, shop.relay.wait()).await;
}

fn open(address: &Arc<Address>) -> Box<dyn Broker> {
    let address = address.clone();
    match address.protocol {
        Protocol::Kafka(_) => Box::new(kafka::Kafka::new(address)),
        Protocol::Nats => Box::new(nats::Nats::new(address)),
        Protocol::Amqp(_) => Box::new(rabbitmq::RabbitMq::new(address)),
    }
}

async fn publish(shop: &Arc<Shop>, address: &Arc<Address>) {
    let (outbox, source) = (shop.inventory.outbox(), &shop.site.public_url);
    let mut relay = Relay::new(outbox, source, open(address));
    let mut pause = PAUSE_MIN;
    while !shop.site.stop.is_cancelled() {
        // A round ends by itself, so the stop signal waits for it: what it sent is acknowledged.
        let round = relay.round().await;
        // While the store is away nothing new is known of the broker.
        if !matches!(round, Ok(Round::Unread)) {
            note_trouble(shop, address, round.as_ref().err().or(relay.unroutable()));
        }
        if let Some(failure) = relay.take_failure().or(round.as_ref().err().cloned()) {
            let refusal = LastRefusal::new(shop.site.clock.now(), failure);
            *shop.last_refusal.lock() = Some(refusal);
        }
        let wait = match round {
            Ok(Round::Sent) => Duration::ZERO,
            Ok(Round::Idle | Round::Unread) => IDLE,
            Err(_) => jittered(pause),
        };
        pause = match round {
            Ok(_) => PAUSE_MIN,
            Err(_) => (2 * pause).min(PAUSE_MAX),
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = shop.site.stop.cancelled() => {}
        }
    }
    relay.end().await;
}

/// Returns half to all of a pause, so that nodes do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let [byte] = random::<1>();
    pause.mul_f64(0.5 + f64::from(byte) / 512.0)
}

/// Tells the operator when events cannot be published, and when they can again.
fn note_trouble(shop: &Shop, address: &Address, failure: Option<&Failure>) {
    let broker = address.broker_name();
    let mut trouble = shop.site.health.event_trouble.lock();
    match failure {
        Some(failure) => {
            let why = &failure.detail;
            if trouble.is_none() {
                let kind = failure.kind.name();
                tracing::warn!(broker, kind, why, "events wait until they can be published");
            }
            *trouble = Some(format!("events are not published, and wait: {why}"));
        }
        None => {
            if trouble.take().is_some() {
                tracing::info!(broker, "events are published again");
            }
        }
    }
}
