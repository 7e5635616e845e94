//! NATS JetStream: a durable pull consumer with explicit acknowledgements.

use super::{ANSWER, BATCH, IDLE, Source};
use crate::event::Delivery;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, AckKind, Message};
use async_trait::async_trait;
use brokers::nats::{connect, no_jetstream};
use brokers::{Address, CONNECT, Deadline, Failure, FailureKind, percent_decoded};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// Time after which a message that is not acknowledged comes again. `keep` begins it anew.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// A consumer of a stream.
pub struct NatsSource {
    address: Arc<Address>,
    name: String,
    session: Option<NatsSession>,
    batch: Vec<Message>,
}

struct NatsSession {
    client: async_nats::Client,
    stream: Stream,
    consumer: PullConsumer,
}

impl NatsSource {
    /// Returns the source of a consumer, which connects with the first call.
    pub fn new(address: Arc<Address>, consumer: &str) -> NatsSource {
        NatsSource {
            name: format!("{}-{consumer}", address.prefix.replace('.', "_")),
            address,
            session: None,
            batch: Vec::new(),
        }
    }

    async fn session(&mut self) -> Result<&mut NatsSession, Failure> {
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                let deadline = Deadline::within(CONNECT + ANSWER, "NATS");
                let opened = NatsSession::open(&self.address, &self.name);
                deadline.wait(opened).await??
            }
        };
        Ok(self.session.insert(session))
    }

    async fn fetch(&mut self) -> Result<Vec<Message>, Failure> {
        let session = self.session().await?;
        let deadline = Deadline::within(IDLE + ANSWER, "NATS");
        let fetched = async {
            let batch = session.consumer.batch();
            let batch = batch.max_messages(BATCH).expires(IDLE).messages();
            let mut batch = batch.await.map_err(away)?;
            let mut messages = Vec::new();
            while let Some(message) = batch.next().await {
                messages.push(message.map_err(away)?);
            }
            Ok(messages)
        };
        let messages = deadline.wait(fetched).await??;
        // The client reconnects by itself and says nothing: an empty batch may be a dead broker.
        if messages.is_empty() {
            let alive = session.consumer.info();
            deadline.wait(alive).await?.map_err(away)?;
        }
        Ok(messages)
    }
}

#[async_trait]
impl Source for NatsSource {
    async fn next(&mut self) -> Result<Vec<Delivery>, Failure> {
        let fetched = self.fetch().await;
        if fetched.is_err() {
            self.session = None;
        }
        self.batch = fetched?;
        Ok(self.batch.iter().map(delivery).collect())
    }

    async fn done(&mut self, count: usize) -> Result<(), Failure> {
        let deadline = Deadline::within(ANSWER, "NATS");
        let acknowledged = self.batch.iter().take(count).map(Message::double_ack);
        let acknowledged = deadline.wait(join_all(acknowledged)).await;
        let failed = match acknowledged {
            Ok(all) => all.into_iter().find_map(Result::err).map(away),
            Err(late) => Some(late),
        };
        if let Some(failure) = failed {
            self.session = None;
            self.batch.clear();
            return Err(failure);
        }
        self.batch.drain(..count.min(self.batch.len()));
        Ok(())
    }

    async fn keep(&mut self) {
        let deadline = Deadline::within(ANSWER, "NATS");
        let kept = self.batch.iter();
        let kept = kept.map(|message| message.ack_with(AckKind::Progress));
        // If this fails messages come twice, which does no harm.
        let _ = deadline.wait(join_all(kept)).await;
    }

    /// The messages come again to the next session, which makes its consumer anew for them.
    async fn give_back(&mut self) {
        self.batch.clear();
        self.session = None;
    }

    async fn waiting(&mut self) -> Option<u64> {
        let session = self.session.as_mut()?;
        let info = session.consumer.info();
        let deadline = Deadline::within(ANSWER, "NATS");
        let info = deadline.wait(info).await.ok()?.ok()?;
        Some(info.num_pending + info.num_ack_pending as u64)
    }

    async fn replay(&mut self, from: Time) -> Result<(), Failure> {
        let name = self.name.clone();
        let session = self.session().await?;
        let deadline = Deadline::within(ANSWER, "NATS");
        let text = serde_json::json!({
            "deliver_policy": "by_start_time",
            "opt_start_time": from.to_string(),
        });
        let policy: DeliverPolicy = serde_json::from_value(text)
            .map_err(|error| Failure::new(FailureKind::Rejected, error))?;
        let again = async {
            let asked = session.sequence_of(policy).await?;
            let info = session.consumer.info().await.map_err(away)?;
            // Events that were not consumed yet are not left out.
            let next = info.ack_floor.stream_sequence + 1;
            let start_sequence = asked.min(next);
            let policy = DeliverPolicy::ByStartSequence { start_sequence };
            session.begin(&name, policy).await
        };
        let again = deadline.wait(again).await?;
        self.session = None;
        again
    }
}

impl NatsSession {
    async fn open(address: &Address, name: &str) -> Result<NatsSession, Failure> {
        let client = connect(address).await?;
        let context = jetstream::new(client.clone());
        let subjects = format!("{}.>", address.prefix);
        let found = context.stream_by_subject(subjects.clone()).await;
        let stream = match found {
            Ok(stream) => stream,
            Err(error) if error.to_string().contains("not found") => {
                let detail = format!("NATS has no stream for {subjects}: the checkout makes it");
                return Err(Failure::new(FailureKind::Unroutable, detail));
            }
            Err(error) => return Err(no_jetstream(&error.to_string())),
        };
        let stream = context.get_stream(stream).await.map_err(away)?;
        let config = config(name, DeliverPolicy::All);
        let consumer = stream.get_or_create_consumer(name, config).await;
        let consumer = consumer.map_err(away)?;
        let mut session = NatsSession {
            client,
            stream,
            consumer,
        };
        // Messages that another session was working on would come after newer ones, and out of order.
        let info = session.consumer.info().await.map_err(away)?;
        if info.num_ack_pending > 0 {
            let start_sequence = info.ack_floor.stream_sequence + 1;
            let policy = DeliverPolicy::ByStartSequence { start_sequence };
            session.begin(name, policy).await?;
        }
        Ok(session)
    }

    /// Returns the sequence with which a consumer of a policy begins.
    async fn sequence_of(&self, policy: DeliverPolicy) -> Result<u64, Failure> {
        let config = pull::Config {
            deliver_policy: policy,
            ack_policy: AckPolicy::Explicit,
            inactive_threshold: ANSWER,
            ..pull::Config::default()
        };
        let probe = self.stream.create_consumer(config).await.map_err(away)?;
        let info = probe.cached_info();
        let (name, sequence) = (info.name.clone(), info.delivered.stream_sequence + 1);
        // Otherwise it ends by itself.
        let _ = self.stream.delete_consumer(&name).await;
        Ok(sequence)
    }

    /// Makes the consumer anew, which begins elsewhere. If it is gone in between it begins with the
    /// oldest message, and what is done is skipped by its id.
    async fn begin(&mut self, name: &str, policy: DeliverPolicy) -> Result<(), Failure> {
        self.stream.delete_consumer(name).await.map_err(away)?;
        let made = self.stream.create_consumer(config(name, policy)).await;
        self.consumer = made.map_err(away)?;
        Ok(())
    }
}

impl Drop for NatsSession {
    fn drop(&mut self) {
        let client = self.client.clone();
        // The client would go on, and reconnect for ever.
        tokio::spawn(async move { client.drain().await });
    }
}

fn config(name: &str, deliver_policy: DeliverPolicy) -> pull::Config {
    pull::Config {
        durable_name: Some(name.to_owned()),
        deliver_policy,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: i64::try_from(BATCH).unwrap_or(i64::MAX),
        ..pull::Config::default()
    }
}

/// Reads the headers of the NATS protocol binding, which are percent-encoded.
fn delivery(message: &Message) -> Delivery {
    let headers = message.headers.iter().flat_map(|headers| headers.iter());
    let attributes = headers.filter_map(|(name, values)| {
        let name = name.to_string().to_ascii_lowercase();
        let name = name.strip_prefix("ce-")?.to_owned();
        Some((name, percent_decoded(values.first()?.as_str())))
    });
    let place = match message.info() {
        Ok(info) => format!("{}/{}", info.stream, info.stream_sequence),
        Err(_) => message.subject.to_string(),
    };
    Delivery {
        place,
        attributes: attributes.collect(),
        data: message.payload.to_vec(),
    }
}

fn away(error: impl ToString) -> Failure {
    Failure::new(FailureKind::Away, format!("NATS: {}", error.to_string()))
}
