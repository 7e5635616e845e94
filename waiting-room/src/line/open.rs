//! Opens the engine of a line that a URL names.

use super::{Embedded, Line, Redis, Store};
use shared::data_dir::DataFolder;
use shared::time::Clock;
use std::sync::Arc;

/// Returns whether the URL names a store that several nodes can share.
pub fn is_shared(url: &str) -> bool {
    url != "embedded"
}

/// Checks the URL of a line.
///
/// # Errors
/// A message for the operator.
pub fn check(url: &str) -> Result<(), String> {
    if is_shared(url) {
        Redis::check(url)
    } else {
        Ok(())
    }
}

/// An opened line, and the store that nodes share, which also keeps the audit log and the
/// sign-outs.
pub struct Opened {
    /// The line.
    pub line: Arc<dyn Line>,
    /// The shared store; none for the embedded engine.
    pub shared: Option<Arc<Store>>,
}

/// Opens only the store named by the URL, if it is one that several nodes can share.
///
/// # Errors
/// A message for the operator.
pub fn open_store(url: &str, clock: Clock) -> Result<Option<Store>, String> {
    is_shared(url)
        .then(|| Redis::store_at(url, clock))
        .transpose()
}

/// Opens the engine named by the URL.
///
/// # Errors
/// A message for the operator.
pub fn open(url: &str, folder: &DataFolder, clock: Clock) -> Result<Opened, String> {
    if is_shared(url) {
        let line = Arc::new(Redis::open(url, folder.join("line-redis"), clock)?);
        return Ok(Opened {
            shared: Some(line.store()),
            line,
        });
    }
    Ok(Opened {
        line: Arc::new(Embedded::open(folder.join("line"), clock)?),
        shared: None,
    })
}
