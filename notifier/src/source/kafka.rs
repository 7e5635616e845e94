//! Kafka: the client has no consumer groups, so the next offset of each partition is in the notifier's
//! own file.

use super::{ANSWER, BATCH, IDLE, Source};
use crate::event::Delivery;
use crate::store::{Position, Store};
use async_trait::async_trait;
use brokers::kafka::{connect, failure, no_topic};
use brokers::{Address, CONNECT, Deadline, Failure, FailureKind};
use futures_util::future::join_all;
use rskafka::chrono::DateTime;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::record::RecordAndOffset;
use shared::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Kinds of aggregates that consumers act on, each with a topic.
const TOPICS: [&str; 2] = ["order", "event"];
/// Wait for messages while there are some elsewhere. Without any wait some servers answer nothing.
const BUSY: Duration = Duration::from_millis(50);
/// Time after which partitions that were added are noticed.
const LIST_AGAIN: Duration = Duration::from_secs(300);
/// Largest size of what is read of a partition at a time, in bytes.
const BYTES_MAX: i32 = 1_000_000;

/// Partitions of the topics.
pub struct KafkaSource {
    address: Arc<Address>,
    consumer: &'static str,
    store: Store,
    partitions: Vec<Partition>,
    opened_at: Instant,
    /// True if the last batch had messages: the wait for the next one is short then.
    is_busy: bool,
    /// Position behind each message of the batch.
    batch: Vec<Position>,
}

struct Partition {
    name: String,
    reader: PartitionClient,
    /// Next offset.
    next: i64,
    /// End of the partition, as far as it is known.
    end: i64,
}

impl KafkaSource {
    /// Returns the source of a consumer, which connects with the first call.
    pub fn new(address: Arc<Address>, consumer: &'static str, store: Store) -> KafkaSource {
        KafkaSource {
            address,
            consumer,
            store,
            partitions: Vec::new(),
            opened_at: Instant::now(),
            is_busy: false,
            batch: Vec::new(),
        }
    }

    async fn open(&mut self) -> Result<(), Failure> {
        if self.opened_at.elapsed() > LIST_AGAIN {
            self.partitions.clear();
        }
        if self.partitions.is_empty() {
            let positions = self.store.positions(self.consumer).await.map_err(of_file)?;
            let deadline = Deadline::within(CONNECT + ANSWER, "Kafka");
            let opened = partitions(&self.address, &positions);
            self.partitions = deadline.wait(opened).await??;
            self.opened_at = Instant::now();
        }
        Ok(())
    }

    async fn fetch(&mut self) -> Result<Vec<Delivery>, Failure> {
        self.open().await?;
        let deadline = Deadline::within(IDLE + ANSWER, "Kafka");
        let wait = match self.is_busy {
            true => BUSY,
            false => IDLE,
        };
        let reading = self.partitions.iter_mut();
        let reading = reading.map(|partition| partition.read(wait));
        let read = deadline.wait(join_all(reading)).await?;
        let (mut deliveries, mut batch) = (Vec::new(), Vec::new());
        for (partition, records) in self.partitions.iter().zip(read) {
            let room = BATCH - deliveries.len();
            for found in records?.into_iter().take(room) {
                batch.push(Position {
                    place: partition.name.clone(),
                    next: found.offset + 1,
                });
                deliveries.push(delivery(&partition.name, found));
            }
        }
        self.batch = batch;
        self.is_busy = !deliveries.is_empty();
        Ok(deliveries)
    }
}

#[async_trait]
impl Source for KafkaSource {
    async fn next(&mut self) -> Result<Vec<Delivery>, Failure> {
        let fetched = self.fetch().await;
        if fetched.is_err() {
            self.partitions.clear();
        }
        // The partition that was first is last next time, so that a full one keeps back no other.
        if !self.partitions.is_empty() {
            self.partitions.rotate_left(1);
        }
        fetched
    }

    async fn done(&mut self, count: usize) -> Result<(), Failure> {
        let done = self.batch.drain(..count.min(self.batch.len()));
        let ends: BTreeMap<String, i64> = done.map(|done| (done.place, done.next)).collect();
        for partition in &mut self.partitions {
            partition.next = ends.get(&partition.name).copied().unwrap_or(partition.next);
        }
        let ends = ends.into_iter();
        let ends = ends.map(|(place, next)| Position { place, next });
        let advanced = self.store.advance(self.consumer, ends.collect()).await;
        advanced.map_err(of_file)
    }

    async fn give_back(&mut self) {
        self.batch.clear();
    }

    async fn waiting(&mut self) -> Option<u64> {
        let behind = self.partitions.iter();
        let behind = behind.map(|partition| (partition.end - partition.next).max(0));
        u64::try_from(behind.sum::<i64>()).ok()
    }

    async fn replay(&mut self, from: Time) -> Result<(), Failure> {
        self.open().await?;
        let deadline = Deadline::within(ANSWER, "Kafka");
        let at = DateTime::from_timestamp_millis(from.0).unwrap_or_default();
        let mut positions = Vec::new();
        for Partition {
            name, reader, next, ..
        } in &self.partitions
        {
            let asked = reader.get_offset(OffsetAt::Timestamp(at));
            let asked = deadline.wait(asked).await?;
            let found = asked.map_err(|error| failure(&error))?;
            // -1: there is no message from then on.
            if found >= 0 {
                // Events that were not consumed yet are not left out.
                let (place, next) = (name.clone(), found.min(*next));
                positions.push(Position { place, next });
            }
        }
        let advanced = self.store.advance(self.consumer, positions).await;
        self.partitions.clear();
        advanced.map_err(of_file)
    }
}

impl Partition {
    /// Returns records from the next offset on. A partition that no longer has it is read from its
    /// oldest record.
    async fn read(&mut self, wait: Duration) -> Result<Vec<RecordAndOffset>, Failure> {
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let read = self.reader.fetch_records(self.next, 1..BYTES_MAX, wait);
        match read.await {
            Ok((records, end)) => {
                self.end = end;
                Ok(records)
            }
            Err(error) if is_out_of_range(&error) => {
                let oldest = self.reader.get_offset(OffsetAt::Earliest).await;
                let oldest = oldest.map_err(|error| failure(&error))?;
                let (partition, missing) = (&self.name, oldest - self.next);
                tracing::warn!(
                    partition,
                    missing,
                    "Kafka has deleted events that were not consumed"
                );
                self.next = oldest;
                Ok(Vec::new())
            }
            Err(error) => Err(failure(&error)),
        }
    }
}

async fn partitions(address: &Address, positions: &[Position]) -> Result<Vec<Partition>, Failure> {
    let client = connect(address).await?;
    let all = client.list_topics().await;
    let all = all.map_err(|error| failure(&error))?;
    let mut partitions = Vec::new();
    for kind in TOPICS {
        let topic = format!("{}.{kind}", address.prefix);
        let found = all.iter().find(|found| found.name == topic);
        let found = found.ok_or_else(|| no_topic(&topic))?;
        for number in &found.partitions {
            let name = format!("{topic}/{number}");
            let how = UnknownTopicHandling::Error;
            let reader = client.partition_client(&topic, *number, how).await;
            let reader = reader.map_err(|error| failure(&error))?;
            let known = positions.iter().find(|position| position.place == name);
            let next = match known {
                Some(position) => position.next,
                None => {
                    let oldest = reader.get_offset(OffsetAt::Earliest).await;
                    oldest.map_err(|error| failure(&error))?
                }
            };
            partitions.push(Partition {
                name,
                reader,
                next,
                end: next,
            });
        }
    }
    Ok(partitions)
}

/// Reads the headers of the Kafka protocol binding.
fn delivery(partition: &str, found: RecordAndOffset) -> Delivery {
    let headers = found.record.headers.into_iter();
    let attributes = headers.filter_map(|(name, value)| {
        let name = name.strip_prefix("ce_")?.to_owned();
        Some((name, String::from_utf8(value).ok()?))
    });
    Delivery {
        place: format!("{partition}@{}", found.offset),
        attributes: attributes.collect(),
        data: found.record.value.unwrap_or_default(),
    }
}

fn is_out_of_range(error: &Error) -> bool {
    matches!(
        error,
        Error::ServerError {
            protocol_error: ProtocolError::OffsetOutOfRange,
            ..
        }
    )
}

fn of_file(why: String) -> Failure {
    Failure::new(FailureKind::Away, why)
}
