//! RabbitMQ, by AMQP 0.9.1: a durable topic exchange, the type of the event as the routing key,
//! publisher confirms, and `mandatory`: a message that no queue takes comes back, though it is
//! acknowledged, and does not count as sent.

use super::broker::{Broker, Outcome, PUBLISH, all_failed};
use super::message::{CONTENT_TYPE, Message};
use super::parts::{PublishPart, in_order, publish_in_parts};
use async_trait::async_trait;
use brokers::amqp::{self, failure};
use brokers::{Address, CONNECT, Deadline, Failure, FailureKind, Host};
use futures_util::future::join_all;
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use std::collections::HashSet;
use std::sync::Arc;

/// Messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

pub(super) struct RabbitMq {
    address: Arc<Address>,
    /// Index of the host to try next.
    host: usize,
    session: Option<RabbitMqSession>,
}

/// A connection with one channel, which ends with it.
struct RabbitMqSession {
    _connection: Connection,
    channel: Channel,
    exchange: String,
}

impl RabbitMq {
    pub(super) fn new(address: Arc<Address>) -> RabbitMq {
        RabbitMq {
            address,
            host: 0,
            session: None,
        }
    }

    async fn take_session(&mut self) -> Result<RabbitMqSession, Failure> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => self.open().await,
        }
    }

    /// Connects to the first host that answers, from the one on that was the last to do so. Where
    /// one takes all the time, the next call begins with the host after it.
    async fn open(&mut self) -> Result<RabbitMqSession, Failure> {
        let deadline = Deadline::within(CONNECT, "RabbitMQ");
        let mut failed = deadline.late();
        for _ in 0..self.address.hosts.len() {
            let host = &self.address.hosts[self.host];
            match deadline
                .wait(RabbitMqSession::open(&self.address, host))
                .await
            {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(failure)) => failed = failure,
                Err(_) => {}
            }
            self.host = (self.host + 1) % self.address.hosts.len();
            if deadline.is_over() {
                break;
            }
        }
        Err(failed)
    }
}

#[async_trait]
impl PublishPart for RabbitMq {
    /// A message that is rejected ends the channel, and so takes along all that are not confirmed.
    async fn publish_part(&mut self, messages: &[Message], part: &[usize]) -> Vec<Outcome> {
        // Taken, so that it ends where this is given up in the middle.
        let session = match self.take_session().await {
            Ok(session) => session,
            Err(failure) => return all_failed(part.len(), &failure),
        };
        let part: Vec<&Message> = part.iter().map(|index| &messages[*index]).collect();
        // Where some are late all fail: that a message came back may be told with the confirmation
        // of another.
        let deadline = Deadline::within(PUBLISH, "RabbitMQ");
        let outcomes = deadline.wait(session.publish(&part)).await;
        let outcomes = outcomes.unwrap_or_else(|late| all_failed(part.len(), &late));
        let is_over = |outcome: &Outcome| {
            outcome.as_ref().is_err_and(|failure| {
                failure.is_of_connection() || failure.kind == FailureKind::Rejected
            })
        };
        if !outcomes.iter().any(is_over) {
            self.session = Some(session);
        }
        outcomes
    }
}

#[async_trait]
impl Broker for RabbitMq {
    async fn connect(&mut self) -> Outcome {
        self.session = Some(self.take_session().await?);
        Ok(())
    }

    async fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        let all = vec![(0..messages.len()).collect()];
        let deadline = Deadline::within(CONNECT + PUBLISH, "RabbitMQ");
        let published = publish_in_parts(self, messages, all, &deadline).await;
        in_order(messages.len(), published)
    }
}

impl RabbitMqSession {
    async fn open(address: &Address, host: &Host) -> Result<RabbitMqSession, Failure> {
        let connection = amqp::connect(address, host).await?;
        let channel = connection.create_channel().await.map_err(|e| failure(&e))?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        confirms.await.map_err(|error| failure(&error))?;
        let exchange = address.prefix.clone();
        amqp::declare_exchange(&channel, &exchange).await?;
        Ok(RabbitMqSession {
            _connection: connection,
            channel,
            exchange,
        })
    }

    async fn publish(&self, messages: &[&Message]) -> Vec<Outcome> {
        let mut confirms = Vec::with_capacity(messages.len());
        for message in messages {
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let sent = self.channel.basic_publish(
                self.exchange.as_str().into(),
                message.event_type.as_str().into(),
                options,
                &message.data,
                properties(message),
            );
            confirms.push(sent.await);
        }
        let confirmed = join_all(confirms.into_iter().map(confirmation)).await;
        let mut returned = HashSet::new();
        let outcomes: Vec<Outcome> = confirmed
            .into_iter()
            .map(|confirmed| outcome(confirmed, &mut returned))
            .collect();
        // The client gives a message that came back with the next confirmation that it gets, which
        // need not be that of the same message.
        let outcomes = messages.iter().zip(outcomes).map(|(message, outcome)| {
            match outcome.is_ok() && returned.contains(&message.id) {
                true => Err(unroutable(&message.event_type)),
                false => outcome,
            }
        });
        outcomes.collect()
    }
}

async fn confirmation(sent: lapin::Result<PublisherConfirm>) -> lapin::Result<Confirmation> {
    sent?.await
}

/// Returns what a confirmation says, and notes the id of the message that came back with it.
fn outcome(confirmed: lapin::Result<Confirmation>, returned: &mut HashSet<String>) -> Outcome {
    let mut note = |message: BasicReturnMessage| {
        let id = message.delivery.properties.message_id().as_ref();
        returned.extend(id.map(|id| id.as_str().to_owned()));
    };
    match confirmed {
        Ok(Confirmation::Ack(message)) => {
            message.into_iter().for_each(&mut note);
            Ok(())
        }
        Ok(Confirmation::Nack(message)) => {
            message.into_iter().for_each(&mut note);
            let detail = "RabbitMQ did not take the event: a queue is full, or failed";
            Err(Failure::new(FailureKind::Away, detail))
        }
        Ok(Confirmation::NotRequested) => Err(Failure::new(
            FailureKind::Away,
            "RabbitMQ confirms nothing on this channel",
        )),
        Err(error) => Err(failure(&error)),
    }
}

fn unroutable(event_type: &str) -> Failure {
    let detail = format!("RabbitMQ has no queue for {event_type}: bind one to the exchange");
    Failure::new(FailureKind::Unroutable, detail)
}

/// Returns the properties by the AMQP protocol binding of CloudEvents, whose application properties
/// are headers in AMQP 0.9.1. Of its two prefixes this is the one that JMS can read, too.
fn properties(message: &Message) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &message.attributes {
        let value = AMQPValue::LongString(value.as_str().into());
        headers.insert(format!("cloudEvents_{name}").into(), value);
    }
    let seconds = u64::try_from(message.at_ms / 1000).unwrap_or_default();
    BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(message.id.as_str().into())
        .with_timestamp(seconds)
        .with_headers(headers)
}
