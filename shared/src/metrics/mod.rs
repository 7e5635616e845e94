//! Metrics of a process. Each is described once, where it is registered: its full name, its
//! meaning, its type and labels. `docs/metrics.md` is the table of all of them, and a test compares
//! it with what a sale leaves in `/metrics`.

pub mod http;
pub mod load;
pub(crate) mod method;
pub mod process;
pub(crate) mod purges;
mod registry;
pub mod sockets;
pub(crate) mod spans;
pub mod stores;
pub mod writers;

pub use registry::{EVENTS_MEASURED_MAX, Reading, Registry, Rendered, seconds, wait_seconds};

use crate::context::AppContext;

/// Registers the metrics that both services have.
pub fn register(registry: &mut Registry, site: &AppContext) {
    process::register(registry, &site.clock);
    http::register(registry);
    load::register(registry);
    purges::register(registry);
    sockets::register(registry);
    spans::register(registry);
    stores::register(registry);
    writers::register(registry);
}
