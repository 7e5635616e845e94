//! Kafka: a topic for each kind of aggregate, the aggregate as the key, all in-sync replicas
//! (`acks=all`) before a message counts as sent. Topics are the operator's to make.

use super::broker::{Broker, Outcome, PUBLISH, all_failed};
use super::message::{CONTENT_TYPE, Message};
use super::partition::partition_of;
use super::parts::{PublishPart, in_order, publish_in_parts};
use crate::inventory::outbox::Aggregate;
use async_trait::async_trait;
use brokers::kafka::{self, failure, no_topic};
use brokers::{Address, CONNECT, Deadline, Failure, FailureKind};
use futures_util::future::join_all;
use rskafka::chrono::DateTime;
use rskafka::client::Client;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::record::Record;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Largest size of a request to one partition, in bytes; brokers take 1 MiB unless told otherwise.
const REQUEST_BYTES_MAX: usize = 500_000;

pub(super) struct Kafka {
    address: Arc<Address>,
    session: Option<KafkaSession>,
}

/// A connection to the cluster, and what is known of it.
struct KafkaSession {
    client: Client,
    prefix: String,
    /// Number of partitions by topic.
    partitions: HashMap<String, i32>,
    writers: HashMap<TopicPartition, Arc<PartitionClient>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TopicPartition {
    topic: String,
    partition: i32,
}

impl Kafka {
    pub(super) fn new(address: Arc<Address>) -> Kafka {
        Kafka {
            address,
            session: None,
        }
    }

    async fn session(&mut self) -> Result<&mut KafkaSession, Failure> {
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                let deadline = Deadline::within(CONNECT, "Kafka");
                deadline.wait(KafkaSession::open(&self.address)).await??
            }
        };
        Ok(self.session.insert(session))
    }
}

#[async_trait]
impl Broker for Kafka {
    async fn connect(&mut self) -> Outcome {
        let session = self.session().await?;
        let deadline = Deadline::within(CONNECT, "Kafka");
        deadline.wait(session.know_topics()).await??;
        session.check_topics()
    }

    async fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        let session = match self.session().await {
            Ok(session) => session,
            Err(failure) => return all_failed(messages.len(), &failure),
        };
        let outcomes = session.publish(messages).await;
        let is_away = |outcome: &Outcome| outcome.as_ref().is_err_and(Failure::is_of_connection);
        if outcomes.iter().any(is_away) {
            self.session = None;
        }
        outcomes
    }
}

impl KafkaSession {
    async fn open(address: &Address) -> Result<KafkaSession, Failure> {
        let client = kafka::connect(address).await?;
        let mut session = KafkaSession {
            client,
            prefix: address.prefix.clone(),
            partitions: HashMap::new(),
            writers: HashMap::new(),
        };
        session.know_topics().await?;
        Ok(session)
    }

    /// Reads which topics there are, unless that is known.
    async fn know_topics(&mut self) -> Outcome {
        if !self.partitions.is_empty() {
            return Ok(());
        }
        let topics = self.client.list_topics().await;
        let topics = topics.map_err(|error| failure(&error))?.into_iter();
        let topics = topics.map(|topic| {
            let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            (topic.name, partitions)
        });
        self.partitions = topics.filter(|(_, partitions)| *partitions > 0).collect();
        Ok(())
    }

    /// Checks that there is a topic for each kind of aggregate.
    fn check_topics(&self) -> Outcome {
        let topics = Aggregate::ALL.map(|aggregate| self.topic(aggregate.as_str()));
        let missing = topics.iter().map(String::as_str);
        let missing = missing.filter(|topic| !self.partitions.contains_key(*topic));
        let missing: Vec<&str> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(no_topic(&missing.join(", ")))
    }

    fn topic(&self, aggregate_type: &str) -> String {
        format!("{}.{aggregate_type}", self.prefix)
    }

    async fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        let deadline = Deadline::within(PUBLISH, "Kafka");
        if let Err(failure) = deadline.wait(self.know_topics()).await.flatten() {
            return all_failed(messages.len(), &failure);
        }
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut indexes: HashMap<TopicPartition, Vec<usize>> = HashMap::new();
        for (index, message) in messages.iter().enumerate() {
            let topic = self.topic(&message.aggregate_type);
            match self.partitions.get(&topic) {
                Some(partitions) => {
                    let partition = partition_of(message.key.as_bytes(), *partitions);
                    let place = TopicPartition { topic, partition };
                    indexes.entry(place).or_default().push(index);
                }
                None => outcomes.push((index, Err(no_topic(&topic)))),
            }
        }
        let writing = indexes.into_iter().map(async |(place, indexes)| {
            match deadline.wait(self.writer(&place)).await.flatten() {
                Ok(mut writer) => {
                    let parts = requests(messages, &indexes);
                    let published = publish_in_parts(&mut writer, messages, parts, &deadline);
                    let published = published.await;
                    (Some((place, writer)), published)
                }
                Err(failure) => {
                    let failed = indexes.into_iter();
                    (
                        None,
                        failed.map(|index| (index, Err(failure.clone()))).collect(),
                    )
                }
            }
        });
        for (writer, published) in join_all(writing).await {
            self.writers.extend(writer);
            outcomes.extend(published);
        }
        let is_unroutable = |(_, outcome): &(usize, Outcome)| {
            let failure = outcome.as_ref().err();
            failure.is_some_and(|failure| failure.kind == FailureKind::Unroutable)
        };
        if outcomes.iter().any(is_unroutable) {
            // The topics are read anew before the next attempt.
            self.partitions.clear();
            self.writers.clear();
        }
        in_order(messages.len(), outcomes)
    }

    async fn writer(&self, place: &TopicPartition) -> Result<Arc<PartitionClient>, Failure> {
        if let Some(writer) = self.writers.get(place) {
            return Ok(writer.clone());
        }
        let TopicPartition { topic, partition } = place;
        let how = UnknownTopicHandling::Error;
        let writer = self.client.partition_client(topic, *partition, how).await;
        writer.map(Arc::new).map_err(|error| failure(&error))
    }
}

#[async_trait]
impl PublishPart for Arc<PartitionClient> {
    /// Writes messages with one request.
    async fn publish_part(&mut self, messages: &[Message], part: &[usize]) -> Vec<Outcome> {
        let records = part.iter().map(|index| record(&messages[*index]));
        let produced = self.produce(records.collect(), Compression::NoCompression);
        match produced.await {
            Ok(_) => vec![Ok(()); part.len()],
            Err(error) => all_failed(part.len(), &refusal(&error, part.len())),
        }
    }
}

/// Divides messages into requests that are not too large.
fn requests(messages: &[Message], indexes: &[usize]) -> Vec<Vec<usize>> {
    let mut requests = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, index) in indexes.iter().enumerate() {
        let size = messages[*index].data.len() + 500;
        if at > from && bytes + size > REQUEST_BYTES_MAX {
            requests.push(indexes[from..at].to_vec());
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    requests.push(indexes[from..].to_vec());
    requests
}

/// Returns the record of a message, by the Kafka protocol binding of CloudEvents.
fn record(message: &Message) -> Record {
    let attributes = message.attributes.iter();
    let attributes = attributes.map(|(name, value)| (format!("ce_{name}"), value.clone().into()));
    let mut headers: BTreeMap<String, Vec<u8>> = attributes.collect();
    headers.insert("content-type".to_owned(), CONTENT_TYPE.into());
    Record {
        key: Some(message.key.clone().into_bytes()),
        value: Some(message.data.clone()),
        headers,
        timestamp: DateTime::from_timestamp_millis(message.at_ms).unwrap_or_default(),
    }
}

/// Returns the failure of a request with so many records. Of several one may be too old for the
/// topic; an old one alone waits until the operator lets the topic take it.
fn refusal(error: &Error, records: usize) -> Failure {
    let mut failure = failure(error);
    let is_too_old = matches!(
        error,
        Error::ServerError {
            protocol_error: ProtocolError::InvalidTimestamp,
            ..
        }
    );
    if is_too_old && records > 1 {
        failure.kind = FailureKind::Rejected;
    }
    failure
}
