//! Consumers of each broker, which take everything from the beginning on.

use async_nats::jetstream;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use rskafka::client::partition::UnknownTopicHandling;
use rskafka::client::{Client as KafkaClient, ClientBuilder};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::timeout;

pub(crate) const TOPICS: [&str; 5] = [
    "fairline.order",
    "fairline.hold",
    "fairline.admission",
    "fairline.draw",
    "fairline.event",
];
const QUEUE: &str = "everything";

/// An event as a consumer has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// Topic and partition, subject, or routing key.
    pub(crate) place: String,
    pub(crate) key: Option<String>,
    pub(crate) content_type: String,
    /// Attributes of CloudEvents, by their names without prefix.
    pub(crate) attributes: HashMap<String, String>,
    pub(crate) data: Value,
}

impl Event {
    pub(crate) fn attribute(&self, name: &str) -> &str {
        let value = self.attributes.get(name);
        value.unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }
}

/// A consumer at an address, and all that it has received.
pub(crate) struct Inbox {
    broker: Kind,
    address: String,
    pub(crate) received: Vec<Event>,
    /// Next offset by topic and partition.
    offsets: HashMap<(String, i32), i64>,
    /// Next sequence number of the stream.
    sequence: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nats,
    RabbitMq,
    Kafka,
}

impl Inbox {
    pub(crate) fn nats(server: &testkit::Nats) -> Inbox {
        Inbox::new(Kind::Nats, server.address())
    }

    /// Binds a durable queue to all events.
    pub(crate) async fn rabbit(server: &testkit::RabbitMq) -> Inbox {
        let inbox = Inbox::new(Kind::RabbitMq, server.address());
        inbox.bind("#").await;
        inbox
    }

    /// Makes these of the topics.
    pub(crate) async fn kafka(server: &testkit::Kafka, topics: &[&str]) -> Inbox {
        let inbox = Inbox::new(Kind::Kafka, server.address());
        for topic in topics {
            inbox.create_topic(topic).await;
        }
        inbox
    }

    /// Makes a topic of Kafka.
    pub(crate) async fn create_topic(&self, topic: &str) {
        let controller = self.kafka_client().await.controller_client().unwrap();
        let created = controller.create_topic(topic, 4, 1, 5_000);
        created.await.unwrap();
    }

    fn new(broker: Kind, address: String) -> Inbox {
        Inbox {
            broker,
            address,
            received: Vec::new(),
            offsets: HashMap::new(),
            sequence: 1,
        }
    }

    /// Value of `FAIRLINE_EVENTS` for it.
    pub(crate) fn url(&self) -> String {
        let scheme = match self.broker {
            Kind::Nats => "nats",
            Kind::RabbitMq => "amqp",
            Kind::Kafka => "kafka",
        };
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        let (_, port) = self.address.rsplit_once(':').unwrap();
        port.parse().unwrap()
    }

    /// Takes what has come since. Does nothing while the broker is away.
    pub(crate) async fn collect(&mut self) {
        let limit = Duration::from_secs(10);
        let _ = match self.broker {
            Kind::Nats => timeout(limit, self.collect_nats()).await,
            Kind::RabbitMq => timeout(limit, self.collect_rabbit()).await,
            Kind::Kafka => timeout(limit, self.collect_kafka()).await,
        };
    }

    async fn collect_nats(&mut self) -> Option<()> {
        let client = async_nats::connect(format!("nats://{}", self.address));
        let context = jetstream::new(client.await.ok()?);
        let mut stream = context.get_stream("fairline").await.ok()?;
        let last = stream.info().await.ok()?.state.last_sequence;
        while self.sequence <= last {
            let message = stream.get_raw_message(self.sequence).await.ok()?;
            self.sequence += 1;
            let attributes: HashMap<String, String> = message
                .headers
                .iter()
                .filter_map(|(name, values)| {
                    let name = name.to_string();
                    let name = name.strip_prefix("ce-")?.to_owned();
                    Some((name, values.first()?.to_string()))
                })
                .collect();
            let id = message.headers.get("Nats-Msg-Id").map(ToString::to_string);
            assert_eq!(id.as_ref(), attributes.get("id"));
            self.received.push(Event {
                place: message.subject.to_string(),
                key: None,
                content_type: attributes["datacontenttype"].clone(),
                attributes,
                data: serde_json::from_slice(&message.payload).unwrap(),
            });
        }
        Some(())
    }

    async fn rabbit_connection(&self) -> Option<Connection> {
        let url = format!("amqp://{}", self.address);
        Connection::connect(&url, ConnectionProperties::default())
            .await
            .ok()
    }

    /// Binds the queue to the events of a pattern.
    pub(crate) async fn bind(&self, pattern: &str) {
        let connection = self.rabbit_connection().await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let (exchange, table) = ("fairline".into(), FieldTable::default());
        let declared =
            channel.exchange_declare(exchange, ExchangeKind::Topic, durable, table.clone());
        declared.await.unwrap();
        let options = QueueDeclareOptions::durable();
        let queue = channel.queue_declare(QUEUE.into(), options, table.clone());
        queue.await.unwrap();
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(
            QUEUE.into(),
            "fairline".into(),
            pattern.into(),
            options,
            table,
        );
        bound.await.unwrap();
    }

    /// Takes a binding of the queue away.
    pub(crate) async fn unbind(&self, pattern: &str) {
        let connection = self.rabbit_connection().await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let (exchange, table) = ("fairline".into(), FieldTable::default());
        let unbound = channel.queue_unbind(QUEUE.into(), exchange, pattern.into(), table);
        unbound.await.unwrap();
    }

    async fn collect_rabbit(&mut self) -> Option<()> {
        let connection = self.rabbit_connection().await?;
        let channel = connection.create_channel().await.ok()?;
        loop {
            let options = BasicGetOptions::default();
            let message = channel.basic_get(QUEUE.into(), options).await.ok()??;
            let delivery = message.delivery;
            let properties = &delivery.properties;
            let headers = properties.headers().clone().unwrap();
            let attributes: HashMap<String, String> = headers
                .inner()
                .iter()
                .filter_map(|(name, value)| {
                    let name = name.as_str().strip_prefix("cloudEvents_")?;
                    let AMQPValue::LongString(value) = value else {
                        panic!("{name} is no text");
                    };
                    Some((name.to_owned(), value.to_string()))
                })
                .collect();
            let id = properties.message_id().as_ref().map(ToString::to_string);
            assert_eq!(id.as_ref(), attributes.get("id"));
            assert_eq!(*properties.delivery_mode(), Some(2), "on disk");
            let content_type = properties.content_type().as_ref();
            self.received.push(Event {
                place: delivery.routing_key.to_string(),
                key: None,
                content_type: content_type.map(ToString::to_string).unwrap(),
                attributes,
                data: serde_json::from_slice(&delivery.data).unwrap(),
            });
            delivery.acker.ack(BasicAckOptions::default()).await.ok()?;
        }
    }

    async fn kafka_client(&self) -> KafkaClient {
        let builder = ClientBuilder::new(vec![self.address.clone()]);
        builder.build().await.unwrap()
    }

    async fn collect_kafka(&mut self) -> Option<()> {
        let client = self.kafka_client().await;
        let topics = client.list_topics().await.ok()?;
        for topic in topics.iter().filter(|t| TOPICS.contains(&&*t.name)) {
            for partition in &topic.partitions {
                let how = UnknownTopicHandling::Retry;
                let reader = client.partition_client(&topic.name, *partition, how);
                let reader = reader.await.ok()?;
                let offset = self.offsets.entry((topic.name.clone(), *partition));
                let offset = offset.or_default();
                loop {
                    let fetched = reader.fetch_records(*offset, 1..1_000_000, 50).await;
                    let (records, _) = fetched.ok()?;
                    if records.is_empty() {
                        break;
                    }
                    for found in records {
                        *offset = found.offset + 1;
                        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
                        let headers = &found.record.headers;
                        self.received.push(Event {
                            place: format!("{}/{partition}", topic.name),
                            key: found.record.key.as_ref().map(text),
                            content_type: text(&headers["content-type"]),
                            attributes: headers
                                .iter()
                                .filter_map(|(name, value)| {
                                    Some((name.strip_prefix("ce_")?.to_owned(), text(value)))
                                })
                                .collect(),
                            data: serde_json::from_slice(&found.record.value?).unwrap(),
                        });
                    }
                }
            }
        }
        Some(())
    }
}
