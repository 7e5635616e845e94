//! Connections to Kafka.

use crate::{Address, Failure, FailureKind, Login, Protocol, Sasl};
use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use std::time::Duration;

/// Time after which the client gives up, so that the reason is known before `CONNECT` is over.
const GIVE_UP: Duration = Duration::from_secs(3);
/// Largest size of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Connects, and logs in.
///
/// # Errors
/// Why there is no connection.
pub async fn connect(address: &Address) -> Result<Client, Failure> {
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
    builder.build().await.map_err(|error| failure(&error))
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

/// Returns the failure of a topic that is missing.
pub fn no_topic(topic: &str) -> Failure {
    let detail = format!("Kafka has no topic {topic}: create it");
    Failure::new(FailureKind::Unroutable, detail)
}

/// Returns what an error of the client means.
pub fn failure(error: &Error) -> Failure {
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
        P::MessageTooLarge | P::RecordListTooLarge | P::InvalidRecord => FailureKind::Rejected,
        // All of these are of one topic, and the others go on.
        P::UnknownTopicOrPartition
        | P::InvalidTopicException
        | P::InvalidTimestamp
        | P::TopicAuthorizationFailed => FailureKind::Unroutable,
        P::ClusterAuthorizationFailed
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
