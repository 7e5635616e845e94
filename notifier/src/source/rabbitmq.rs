//! RabbitMQ: a durable queue that is bound to all events, a limit of messages that are on their way,
//! acknowledgements.

use super::{ANSWER, BATCH, IDLE, Source};
use crate::event::Delivery;
use async_trait::async_trait;
use brokers::amqp::{connect, declare_exchange, failure};
use brokers::{Address, CONNECT, Deadline, Failure, FailureKind};
use futures_util::StreamExt as _;
use lapin::message::Delivery as Message;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use shared::crypto::{hex, sha256};
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Wait for more messages once there is one.
const MORE: Duration = Duration::from_millis(50);

/// A queue.
pub struct RabbitMqSource {
    address: Arc<Address>,
    queue: String,
    /// Index of the host to try next.
    host: usize,
    session: Option<RabbitMqSession>,
    batch: Vec<Message>,
}

struct RabbitMqSession {
    _connection: Connection,
    channel: Channel,
    consumer: Consumer,
}

impl RabbitMqSource {
    /// Returns the source of a consumer, which connects with the first call.
    pub fn new(address: Arc<Address>, consumer: &str) -> RabbitMqSource {
        RabbitMqSource {
            queue: format!("{}-{consumer}", address.prefix),
            address,
            host: 0,
            session: None,
            batch: Vec::new(),
        }
    }

    async fn session(&mut self) -> Result<&mut RabbitMqSession, Failure> {
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                let host = &self.address.hosts[self.host % self.address.hosts.len()];
                self.host += 1;
                let deadline = Deadline::within(CONNECT + ANSWER, "RabbitMQ");
                let opened = RabbitMqSession::open(&self.address, host, &self.queue);
                let session = deadline.wait(opened).await??;
                // It works: the next connection goes there as well.
                self.host -= 1;
                session
            }
        };
        Ok(self.session.insert(session))
    }

    async fn fetch(&mut self) -> Result<Vec<Message>, Failure> {
        let session = self.session().await?;
        let mut messages = Vec::new();
        let mut wait = IDLE;
        while messages.len() < BATCH {
            match timeout(wait, session.consumer.next()).await {
                Err(_) => break,
                Ok(None) => return Err(away("RabbitMQ has ended the consumer")),
                Ok(Some(message)) => messages.push(message.map_err(|error| failure(&error))?),
            }
            wait = MORE;
        }
        if messages.is_empty() && !session.channel.status().connected() {
            return Err(away("RabbitMQ has closed the connection"));
        }
        Ok(messages)
    }
}

#[async_trait]
impl Source for RabbitMqSource {
    async fn next(&mut self) -> Result<Vec<Delivery>, Failure> {
        let fetched = self.fetch().await;
        if fetched.is_err() {
            self.session = None;
        }
        self.batch = fetched?;
        Ok(self.batch.iter().map(delivery).collect())
    }

    async fn done(&mut self, count: usize) -> Result<(), Failure> {
        let deadline = Deadline::within(ANSWER, "RabbitMQ");
        let done = self.batch.drain(..count.min(self.batch.len()));
        let done: Vec<Message> = done.collect();
        let Some(last) = done.last() else {
            return Ok(());
        };
        // All that were delivered before it are acknowledged with it.
        let acknowledged = last.acker.ack(BasicAckOptions { multiple: true });
        let acknowledged = deadline.wait(acknowledged).await;
        let failed = match acknowledged {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => failure(&error),
            Err(late) => late,
        };
        self.give_back().await;
        Err(failed)
    }

    /// The messages go back to their places in the queue when the connection ends.
    async fn give_back(&mut self) {
        self.batch.clear();
        self.session = None;
    }

    async fn waiting(&mut self) -> Option<u64> {
        let session = self.session.as_ref()?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let name = self.queue.as_str().into();
        let queue = session
            .channel
            .queue_declare(name, options, FieldTable::default());
        let deadline = Deadline::within(ANSWER, "RabbitMQ");
        let queue = deadline.wait(queue).await.ok()?.ok()?;
        Some(u64::from(queue.message_count()) + self.batch.len() as u64)
    }

    async fn replay(&mut self, _: Time) -> Result<(), Failure> {
        let detail = "RabbitMQ keeps no events that were taken, and cannot repeat any";
        Err(Failure::new(FailureKind::Rejected, detail))
    }
}

impl RabbitMqSession {
    async fn open(
        address: &Address,
        host: &brokers::Host,
        queue: &str,
    ) -> Result<RabbitMqSession, Failure> {
        let connection = connect(address, host).await?;
        // A queue of the operator's own kind is taken as it is. A refusal ends the channel.
        let asking = connection.create_channel().await.map_err(|e| failure(&e))?;
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let found = asking.queue_declare(queue.into(), passive, FieldTable::default());
        let is_there = found.await.is_ok();
        let channel = connection.create_channel().await.map_err(|e| failure(&e))?;
        if !is_there {
            let options = QueueDeclareOptions::durable();
            let made = channel.queue_declare(queue.into(), options, FieldTable::default());
            made.await.map_err(|error| failure(&error))?;
        }
        let exchange = address.prefix.as_str();
        declare_exchange(&channel, exchange).await?;
        let (options, table) = (QueueBindOptions::default(), FieldTable::default());
        let bound = channel.queue_bind(queue.into(), exchange.into(), "#".into(), options, table);
        bound.await.map_err(|error| failure(&error))?;
        let prefetch = u16::try_from(BATCH).unwrap_or(u16::MAX);
        let limited = channel.basic_qos(prefetch, BasicQosOptions::default());
        limited.await.map_err(|error| failure(&error))?;
        let (options, table) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(queue.into(), "".into(), options, table);
        Ok(RabbitMqSession {
            consumer: consumer.await.map_err(|error| failure(&error))?,
            _connection: connection,
            channel,
        })
    }
}

/// Reads the headers of the AMQP protocol binding, in either of its two forms.
fn delivery(message: &Message) -> Delivery {
    let headers = message.properties.headers().as_ref();
    let headers = headers.iter().flat_map(|table| table.inner().iter());
    let attributes = headers.filter_map(|(name, value)| {
        let name = name.as_str();
        let name = name
            .strip_prefix("cloudEvents_")
            .or(name.strip_prefix("cloudEvents:"))?;
        let value = match value {
            AMQPValue::LongString(text) => text.to_string(),
            AMQPValue::ShortString(text) => text.to_string(),
            _ => return None,
        };
        Some((name.to_owned(), value))
    });
    // A message has no place that lasts: equal ones are one.
    let digest = hex(&sha256(&message.data)[..16]);
    Delivery {
        place: format!("{}/{digest}", message.routing_key),
        attributes: attributes.collect(),
        data: message.data.clone(),
    }
}

fn away(detail: &str) -> Failure {
    Failure::new(FailureKind::Away, detail)
}
