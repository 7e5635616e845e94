//! Connections to RabbitMQ, by AMQP 0.9.1.

use crate::amqp_stream::{self, runtime};
use crate::{Address, Failure, FailureKind, Host, Protocol};
use lapin::options::ExchangeDeclareOptions;
use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind, ExchangeKind};

/// Connects to one host, and logs in.
///
/// # Errors
/// Why there is no connection.
pub async fn connect(address: &Address, host: &Host) -> Result<Connection, Failure> {
    let (target, tls) = (host.clone(), address.tls.clone());
    let connection = Connection::connector(
        uri(address, host),
        runtime(),
        async move |_, _| {
            Ok(AsyncTcpStream::Plain(
                amqp_stream::connect(&target, tls.clone()).await?,
            ))
        },
        ConnectionProperties::default().with_connection_name("fairline".into()),
    );
    connection.await.map_err(|error| failure(&error))
}

/// Makes the durable topic exchange to which events are published, unless it is there.
///
/// # Errors
/// Why it is not there; `Denied` if there is one of another kind.
pub async fn declare_exchange(channel: &Channel, exchange: &str) -> Result<(), Failure> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let declared = channel.exchange_declare(
        exchange.into(),
        ExchangeKind::Topic,
        durable,
        FieldTable::default(),
    );
    declared.await.map_err(|error| {
        let Failure { kind, detail } = failure(&error);
        let kind = match kind {
            // It is there, and of another kind.
            FailureKind::Rejected => FailureKind::Denied,
            kind => kind,
        };
        Failure::new(kind, format!("exchange '{exchange}': {detail}"))
    })
}

fn uri(address: &Address, host: &Host) -> AMQPUri {
    let login = address.login.as_ref();
    let userinfo = login.map(|login| AMQPUserInfo {
        username: login.user.clone(),
        password: login.password.clone().unwrap_or_default(),
    });
    AMQPUri {
        scheme: match address.tls {
            Some(_) => AMQPScheme::AMQPS,
            None => AMQPScheme::AMQP,
        },
        authority: AMQPAuthority {
            userinfo: userinfo.unwrap_or_default(),
            host: host.name.clone(),
            port: host.port,
        },
        vhost: match &address.protocol {
            Protocol::Amqp(vhost) => vhost.clone(),
            Protocol::Kafka(_) | Protocol::Nats => "/".to_owned(),
        },
        ..AMQPUri::default()
    }
}

/// Returns what an error of the client means.
pub fn failure(error: &lapin::Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::ProtocolError(refusal) => kind_of(refusal),
        _ if error.to_string().contains("invalid peer certificate") => FailureKind::Denied,
        _ => FailureKind::Away,
    };
    Failure::new(kind, format!("RabbitMQ: {error}"))
}

fn kind_of(refusal: &AMQPError) -> FailureKind {
    match refusal.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
        | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => FailureKind::Denied,
        // The exchange is gone; it is made anew with the next connection.
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => FailureKind::Away,
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED | AMQPSoftError::CONTENTTOOLARGE) => {
            FailureKind::Rejected
        }
        _ => FailureKind::Away,
    }
}
