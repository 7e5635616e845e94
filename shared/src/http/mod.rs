//! HTTP: the listener, the middleware, and what handlers read and answer with.

pub mod client_address;
pub mod credentials;
pub mod idempotency;
pub mod listener;
pub mod middleware;
pub mod openapi;
pub mod operations;
pub mod problem;
pub mod rate_limit;
mod request_body;
mod security_headers;
pub mod socket;
pub mod static_files;
mod undeclared;
