//! Organiser keys that stand in files: they are read again when those change, so that a key is given
//! out or taken away without a restart.

use super::key_source::KeySource;
use crate::audit::Entry;
use crate::context::AppContext;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows the files until the stop signal. Keys that are wrong are not taken, and the log says
/// why.
pub(crate) async fn follow(site: Arc<AppContext>) {
    let mut source = site.key_source.clone();
    let mut seen = source.look();
    while !seen.is_empty() {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = site.stop.cancelled() => return,
        }
        let now = source.look();
        if now == seen {
            continue;
        }
        seen = now;
        match source.read() {
            Ok(read) => {
                source = read;
                take(&site, &source).await;
            }
            Err(mistakes) => {
                let mistakes = mistakes.join("; ");
                tracing::error!(mistakes, "the organiser keys stay as they were");
            }
        }
    }
}

async fn take(site: &AppContext, source: &KeySource) {
    let keys = source.keys();
    let names = keys
        .iter()
        .map(|key| json!({"name": key.name, "role": key.role}));
    let to = Value::Array(names.collect());
    site.organisers.replace(keys);
    tracing::info!("the organiser keys were read again");
    let entry = Entry {
        at: site.clock.now(),
        by: "fairline".to_owned(),
        action: "keys.change".to_owned(),
        event: String::new(),
        address: None,
        from: Value::Null,
        to,
    };
    site.audit.record(entry).await;
}
