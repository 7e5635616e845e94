//! Kafka: a topic for each kind of aggregate, the aggregate as the key, all in-sync replicas
//! (`acks=all`) before a message counts as sent. Topics are the operator's to make.

use super::address::{Address, Login, Protocol, Sasl};
use super::broker::{Broker, CONNECT, Failure, FailureKind, Outcome, PUBLISH, all_failed};
use super::message::{CONTENT_TYPE, Message};
use super::partition::partition_of;
use crate::inventory::outbox::Aggregate;
use async_trait::async_trait;
use futures_util::future::join_all;
use rskafka::BackoffConfig;
use rskafka::chrono::DateTime;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Time after which the client gives up, so that the reason is known before `CONNECT` is over.
const GIVE_UP: Duration = Duration::from_secs(3);
/// Largest size of a request to one partition, in bytes; brokers take 1 MiB unless told otherwise.
const REQUEST_BYTES_MAX: usize = 500_000;
/// Largest size of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) struct Kafka {
    address: Arc<Address>,
    session: Option<Session>,
}

/// A connection to the cluster, and what is known of it.
struct Session {
    client: Client,
    prefix: String,
    /// Number of partitions by topic.
    partitions: HashMap<String, i32>,
    writers: HashMap<Place, Arc<PartitionClient>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
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

    async fn session(&mut self) -> Result<&mut Session, Failure> {
        let session = match self.session.take() {
            Some(session) => session,
            None => match timeout(CONNECT, Session::open(&self.address)).await {
                Ok(opened) => opened?,
                Err(_) => return Err(Failure::late("Kafka", CONNECT)),
            },
        };
        Ok(self.session.insert(session))
    }
}

#[async_trait]
impl Broker for Kafka {
    async fn connect(&mut self) -> Outcome {
        self.session().await.map(|_| ())
    }

    async fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        let session = match self.session().await {
            Ok(session) => session,
            Err(failure) => return all_failed(messages.len(), &failure),
        };
        let outcomes = match timeout(PUBLISH, session.publish(messages)).await {
            Ok(outcomes) => outcomes,
            Err(_) => all_failed(messages.len(), &Failure::late("Kafka", PUBLISH)),
        };
        // Also for a topic that is missing: what is known of topics is read again.
        let is_fine = |outcome: &Outcome| match outcome {
            Ok(()) => true,
            Err(failure) => failure.kind == FailureKind::Rejected,
        };
        if !outcomes.iter().all(is_fine) {
            self.session = None;
        }
        outcomes
    }
}

impl Session {
    async fn open(address: &Address) -> Result<Session, Failure> {
        let hosts = address.hosts.iter();
        let hosts = hosts.map(|host| format!("{}:{}", host.name, host.port));
        let mut builder = ClientBuilder::new(hosts.collect())
            .client_id("fairline")
            .max_message_size(ANSWER_BYTES_MAX)
            .backoff_config(BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(1),
                base: 3.0,
                deadline: Some(GIVE_UP),
            });
        if let Some(tls) = &address.tls {
            builder = builder.tls_config(tls.clone());
        }
        if let Some(sasl) = sasl(address) {
            builder = builder.sasl_config(sasl);
        }
        let client = builder.build().await.map_err(|error| failure(&error))?;
        let topics = client.list_topics().await.map_err(|e| failure(&e))?;
        let partitions = topics.into_iter().map(|topic| {
            let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            (topic.name, partitions)
        });
        let session = Session {
            client,
            prefix: address.prefix.clone(),
            partitions: partitions.collect(),
            writers: HashMap::new(),
        };
        session.check_topics()?;
        Ok(session)
    }

    /// Checks that there is a topic for each kind of aggregate.
    fn check_topics(&self) -> Outcome {
        let topics = Aggregate::ALL.map(|aggregate| self.topic(aggregate.as_str()));
        let missing = topics.iter().filter(|topic| {
            let partitions = self.partitions.get(*topic);
            partitions.is_none_or(|partitions| *partitions == 0)
        });
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let detail = format!("Kafka has no topic {}: create it", missing.join(", "));
        Err(Failure::new(FailureKind::Unroutable, detail))
    }

    fn topic(&self, aggregate_type: &str) -> String {
        format!("{}.{aggregate_type}", self.prefix)
    }

    async fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = vec![Ok(()); messages.len()];
        let mut indexes: HashMap<Place, Vec<usize>> = HashMap::new();
        for (index, message) in messages.iter().enumerate() {
            let topic = self.topic(&message.aggregate_type);
            match self.partitions.get(&topic) {
                Some(partitions) => {
                    let partition = partition_of(message.key.as_bytes(), *partitions);
                    let place = Place { topic, partition };
                    indexes.entry(place).or_default().push(index);
                }
                None => {
                    let detail = format!("Kafka has no topic {topic}: create it");
                    outcomes[index] = Err(Failure::new(FailureKind::Unroutable, detail));
                }
            }
        }
        let mut parts = Vec::new();
        for (place, indexes) in indexes {
            match self.writer(&place).await {
                Ok(writer) => parts.push(write(writer, messages, indexes)),
                Err(failure) => indexes
                    .into_iter()
                    .for_each(|index| outcomes[index] = Err(failure.clone())),
            }
        }
        for (index, outcome) in join_all(parts).await.into_iter().flatten() {
            outcomes[index] = outcome;
        }
        outcomes
    }

    async fn writer(&mut self, place: &Place) -> Result<Arc<PartitionClient>, Failure> {
        if let Some(writer) = self.writers.get(place) {
            return Ok(writer.clone());
        }
        let Place { topic, partition } = place;
        let how = UnknownTopicHandling::Error;
        let writer = self.client.partition_client(topic, *partition, how).await;
        let writer = Arc::new(writer.map_err(|error| failure(&error))?);
        self.writers.insert(place.clone(), writer.clone());
        Ok(writer)
    }
}

/// Writes those of the messages that belong into one partition, in as few requests as may be.
async fn write(
    writer: Arc<PartitionClient>,
    messages: &[Message],
    indexes: Vec<usize>,
) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::with_capacity(indexes.len());
    for request in requests(messages, &indexes) {
        let records = request.iter().map(|index| record(&messages[*index]));
        let produced = writer.produce(records.collect(), Compression::NoCompression);
        let outcome = match produced.await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(&error)),
        };
        match outcome {
            // One of them is refused, and the answer does not say which.
            Err(refused) if refused.kind == FailureKind::Rejected && request.len() > 1 => {
                for index in request {
                    let records = vec![record(&messages[*index])];
                    let produced = writer.produce(records, Compression::NoCompression).await;
                    let outcome = produced.map(|_| ()).map_err(|error| failure(&error));
                    outcomes.push((*index, outcome));
                }
            }
            outcome => outcomes.extend(request.iter().map(|index| (*index, outcome.clone()))),
        }
    }
    outcomes
}

/// Divides messages into requests that are not too large.
fn requests<'a>(messages: &[Message], indexes: &'a [usize]) -> Vec<&'a [usize]> {
    let mut requests = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, index) in indexes.iter().enumerate() {
        let size = messages[*index].data.len() + 500;
        if at > from && bytes + size > REQUEST_BYTES_MAX {
            requests.push(&indexes[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    requests.push(&indexes[from..]);
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

fn sasl(address: &Address) -> Option<SaslConfig> {
    let Protocol::Kafka(sasl) = address.protocol else {
        return None;
    };
    let Login { user, password } = address.login.as_ref()?;
    let credentials = Credentials::new(user.clone(), password.clone().unwrap_or_default());
    Some(match sasl {
        Sasl::Plain => SaslConfig::Plain(credentials),
        Sasl::ScramSha256 => SaslConfig::ScramSha256(credentials),
        Sasl::ScramSha512 => SaslConfig::ScramSha512(credentials),
    })
}

fn failure(error: &Error) -> Failure {
    let kind = match error {
        Error::ServerError { protocol_error, .. } => kind_of(*protocol_error),
        // The reason why no connection stands is known as text alone.
        other if is_refusal(&other.to_string()) => FailureKind::Denied,
        _ => FailureKind::Away,
    };
    Failure::new(kind, format!("Kafka: {error}"))
}

fn kind_of(error: ProtocolError) -> FailureKind {
    use ProtocolError as P;
    match error {
        P::MessageTooLarge | P::RecordListTooLarge | P::InvalidRecord | P::InvalidTimestamp => {
            FailureKind::Rejected
        }
        P::UnknownTopicOrPartition | P::InvalidTopicException => FailureKind::Unroutable,
        P::TopicAuthorizationFailed
        | P::ClusterAuthorizationFailed
        | P::SaslAuthenticationFailed
        | P::UnsupportedSaslMechanism => FailureKind::Denied,
        _ => FailureKind::Away,
    }
}

/// Returns whether connections failed because of the login or the certificate.
fn is_refusal(text: &str) -> bool {
    [
        "Sasl handshake failed: API error",
        "unsupported sasl",
        "SaslAuthenticationFailed",
    ]
    .iter()
    .any(|part| text.contains(part))
        || text.contains("invalid peer certificate")
}
