//! NATS JetStream: a subject for each type of event, in a stream on disk; the id of the event as
//! `Nats-Msg-Id`, by which the stream drops what it has had lately.

use super::broker::{Broker, Outcome, PUBLISH, all_failed};
use super::message::{CONTENT_TYPE, Message, percent_encoded};
use async_nats::HeaderMap;
use async_nats::jetstream::context::{
    ContextBuilder, CreateStreamErrorKind, GetStreamByNameErrorKind, PublishError, PublishErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use async_trait::async_trait;
use brokers::nats::{self, IN_FLIGHT_MAX, no_jetstream};
use brokers::{Address, CONNECT, Deadline, Failure, FailureKind};
use futures_util::future::join_all;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

/// Time for which a stream that the relay makes keeps events.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) struct Nats {
    address: Arc<Address>,
    jetstream: Option<Context>,
}

impl Nats {
    pub(super) fn new(address: Arc<Address>) -> Nats {
        Nats {
            address,
            jetstream: None,
        }
    }

    async fn jetstream(&mut self) -> Result<&Context, Failure> {
        let jetstream = match self.jetstream.take() {
            Some(jetstream) => jetstream,
            None => {
                let deadline = Deadline::within(CONNECT, "NATS");
                deadline.wait(open(&self.address)).await??
            }
        };
        Ok(self.jetstream.insert(jetstream))
    }
}

#[async_trait]
impl Broker for Nats {
    async fn connect(&mut self) -> Outcome {
        self.jetstream().await.map(|_| ())
    }

    async fn publish(&mut self, messages: &[Message]) -> Vec<Outcome> {
        let prefix = self.address.prefix.clone();
        let jetstream = match self.jetstream().await {
            Ok(jetstream) => jetstream,
            Err(failure) => return all_failed(messages.len(), &failure),
        };
        let deadline = Deadline::within(PUBLISH, "NATS");
        // Each waits for itself: what is acknowledged counts, whatever becomes of the others.
        let sent = messages
            .iter()
            .map(async |message| deadline.wait(send(jetstream, &prefix, message)).await?);
        let outcomes = join_all(sent).await;
        // The client would reconnect by itself, and then send what it still has, out of order. A
        // stream that is missing is made with the next connection.
        let is_over = |outcome: &Outcome| {
            outcome.as_ref().is_err_and(|failure| {
                failure.is_of_connection() || failure.kind == FailureKind::Unroutable
            })
        };
        if outcomes.iter().any(is_over) {
            self.jetstream = None;
        }
        outcomes
    }
}

async fn open(address: &Address) -> Result<Context, Failure> {
    let client = nats::connect(address).await?;
    let jetstream = ContextBuilder::new()
        .timeout(PUBLISH)
        .max_ack_inflight(IN_FLIGHT_MAX)
        .backpressure_on_inflight(true)
        .build(client);
    make_stream(&jetstream, &address.prefix).await?;
    Ok(jetstream)
}

/// Makes a stream for the subjects, unless the operator has made one.
async fn make_stream(jetstream: &Context, prefix: &str) -> Outcome {
    let subjects = format!("{prefix}.>");
    let found = jetstream.stream_by_subject(subjects.clone()).await;
    let error = match found {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    if error.kind() != GetStreamByNameErrorKind::NotFound {
        return Err(no_jetstream(&error.to_string()));
    }
    let made = jetstream.create_stream(Config {
        name: prefix.replace('.', "_"),
        subjects: vec![subjects],
        storage: StorageType::File,
        num_replicas: 1,
        max_age: KEPT,
        ..Config::default()
    });
    match made.await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), CreateStreamErrorKind::TimedOut) => {
            Err(Failure::new(FailureKind::Away, format!("NATS: {error}")))
        }
        Err(error) => {
            let detail = format!("NATS made no stream for {prefix}.>: {error}");
            Err(Failure::new(FailureKind::Denied, detail))
        }
    }
}

async fn send(jetstream: &Context, prefix: &str, message: &Message) -> Outcome {
    let subject = format!("{prefix}.{}", message.event_type);
    let sent = jetstream.send_publish(subject.clone(), wire(message)).await;
    let acknowledged = match sent {
        Ok(acknowledgement) => acknowledgement.await,
        Err(error) => Err(error),
    };
    acknowledged
        .map(|_| ())
        .map_err(|error| failure(&subject, &error))
}

/// Returns the message by the NATS protocol binding of CloudEvents.
fn wire(message: &Message) -> PublishMessage {
    let mut headers = HeaderMap::new();
    for (name, value) in &message.attributes {
        headers.insert(format!("ce-{name}"), percent_encoded(value));
    }
    headers.insert("ce-datacontenttype", CONTENT_TYPE);
    PublishMessage::build()
        .payload(message.data.clone().into())
        .headers(headers)
        .message_id(&message.id)
}

fn failure(subject: &str, error: &PublishError) -> Failure {
    let source = error.source();
    let refusal = source.and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    let code = refusal.map(|refusal| refusal.error_code());
    match error.kind() {
        PublishErrorKind::StreamNotFound => {
            let detail = format!("NATS has no stream for {subject}");
            Failure::new(FailureKind::Unroutable, detail)
        }
        PublishErrorKind::MaxPayloadExceeded => {
            Failure::new(FailureKind::Rejected, format!("NATS: {error}"))
        }
        _ if code == Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM) => {
            Failure::new(FailureKind::Rejected, format!("NATS: {error}"))
        }
        _ => Failure::new(FailureKind::Away, format!("NATS: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::row;
    use super::*;

    #[tokio::test]
    async fn what_was_acknowledged_counts_where_another_message_has_no_answer() {
        let server = testkit::Nats::start();
        let address = Address::parse(&format!("nats://{}", server.address())).unwrap();
        let client = async_nats::connect(server.address()).await.unwrap();
        // A subscriber takes the request, and never answers.
        let _silent = client.subscribe("fairline.hold.>").await.unwrap();
        let stream = Config {
            name: "orders".to_owned(),
            subjects: vec!["fairline.order.>".to_owned()],
            ..Config::default()
        };
        let jetstream = async_nats::jetstream::new(client);
        jetstream.create_stream(stream).await.unwrap();
        let mut hold = row(2, "hold_1");
        hold.event_type = "hold.expired".to_owned();
        let rows = [row(1, "ord_1"), hold];
        let messages = rows.map(|row| Message::of(&row, ""));
        let outcomes = Nats::new(Arc::new(address)).publish(&messages).await;
        assert_eq!(outcomes[0], Ok(()));
        assert!(outcomes[1].as_ref().is_err_and(Failure::is_of_connection));
    }
}
