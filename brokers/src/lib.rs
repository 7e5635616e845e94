//! Connections to message brokers (Kafka, NATS, RabbitMQ): their addresses, logins, TLS and failures.
//! The checkout publishes events over them, the notifier consumes events.

mod address;
pub mod amqp;
mod amqp_stream;
mod failure;
pub mod kafka;
pub mod nats;

pub use address::{Address, Host, Login, Protocol, Sasl, percent_decoded};
pub use failure::{CONNECT, Deadline, Failure, FailureKind};
