//! HTTP: the listener, the middleware, and what handlers read and answer with.

pub mod client_address;
mod connection;
pub mod cors;
pub mod credentials;
mod delivery;
pub mod document;
pub mod idempotency;
mod lingering;
pub mod listener;
pub mod load;
pub mod middleware;
pub mod openapi;
pub mod operations;
mod overloaded;
pub mod path_prefix;
pub mod permit;
pub mod problem;
mod proxy_check;
pub mod proxy_protocol;
pub mod rate_limit;
mod request_body;
mod request_head;
mod security_headers;
pub mod socket;
pub mod static_files;
pub mod tls;
mod undeclared;
