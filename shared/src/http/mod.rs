//! HTTP: the listener, and what every service does with a request before its handlers.

pub mod listener;
mod request_body;
pub(crate) mod undeclared;
