//! Purges by surrogate key: bounded, coalesced, and repeated until the edge has taken them or its
//! copies have ended anyway.

use crate::metrics::purges::{FAILED, SENT};
use crate::mistakes::Mistakes;
use crate::remote::RemoteService;
use crate::web_url::is_web_url;
use axum::http::{HeaderName, HeaderValue, Method, header};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The key of a purge at Fastly and Varnish.
pub(super) const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
/// Most keys that wait to be purged; more than events can be.
const PENDING_MAX: usize = 1000;
/// Most keys of one request, which CDNs limit.
const KEYS_MAX: usize = 30;
/// A key is purged this often: a copy that was on its way to the edge as the first purge came is
/// gone after the second.
const ROUNDS: u32 = 2;
/// Time between two requests. Changes that come meanwhile share the next.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest time for the edge to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// A purge that fails for so long is given up: the copies it is about have ended.
const GIVE_UP: Duration = Duration::from_secs(61);

/// The address that takes purges, from the settings.
#[derive(Clone, Debug)]
pub struct PurgeTarget {
    url: String,
    header: Option<PurgeHeader>,
}

/// Header that shows that purges come from us.
#[derive(Clone, Debug)]
struct PurgeHeader {
    name: HeaderName,
    /// A secret, marked as sensitive.
    value: HeaderValue,
}

impl PurgeTarget {
    /// Reads the settings. The header is given as `Name: value`.
    pub fn read(
        url: Option<&str>,
        header: Option<&str>,
        mistakes: &mut Mistakes,
    ) -> Option<PurgeTarget> {
        let Some(url) = url else {
            if header.is_some() {
                mistakes.add("FAIRLINE_PURGE_URL: needed with FAIRLINE_PURGE_HEADER");
            }
            return None;
        };
        if !is_web_url(url) {
            mistakes.add(
                "FAIRLINE_PURGE_URL: an http:// or https:// address without a password is needed",
            );
        }
        let header = header.and_then(|line| {
            let read = PurgeHeader::parse(line);
            if read.is_none() {
                // The line is a secret and not shown.
                mistakes.add("FAIRLINE_PURGE_HEADER: a header is needed, such as 'Fastly-Key: …'");
            }
            read
        });
        Some(PurgeTarget {
            url: url.to_owned(),
            header,
        })
    }
}

impl PurgeHeader {
    fn parse(line: &str) -> Option<PurgeHeader> {
        let (name, value) = line.split_once(':')?;
        let name = name.trim().parse().ok()?;
        let mut value = HeaderValue::try_from(value.trim()).ok()?;
        value.set_sensitive(true);
        Some(PurgeHeader { name, value })
    }
}

/// Sends purges in the background.
pub struct Purger {
    target: PurgeTarget,
    remote: RemoteService,
    pending: Mutex<BTreeMap<String, Pending>>,
    changed: Notify,
}

#[derive(Clone, Copy)]
struct Pending {
    rounds: u32,
    /// Time of the change.
    since: Instant,
    /// Time of the last request with this key, or of the first change.
    tried: Instant,
}

impl Purger {
    /// A purger whose purges `run` sends.
    pub fn new(target: PurgeTarget) -> Purger {
        Purger {
            remote: RemoteService::new("edge", &target.url, ANSWER),
            target,
            pending: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Takes keys to be purged soon.
    pub(super) fn purge(&self, keys: impl IntoIterator<Item = String>) {
        let mut pending = self.pending.lock();
        for key in keys {
            let known = pending.get(&key);
            if known.is_some() || pending.len() < PENDING_MAX {
                let since = Instant::now();
                let entry = Pending {
                    rounds: ROUNDS,
                    since,
                    tried: known.map_or(since, |known| known.tried),
                };
                pending.insert(key, entry);
            }
        }
        drop(pending);
        self.changed.notify_one();
    }

    /// Sends purges until the stop signal.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut is_failing = false;
        loop {
            // Nothing is lost at the end of a wait: keys stay until they are taken.
            let is_idle = self.pending.lock().is_empty();
            tokio::select! {
                () = self.changed.notified(), if is_idle => {}
                () = tokio::time::sleep(PAUSE), if !is_idle => {}
                () = stop.cancelled() => return,
            }
            let due = self.due();
            if due.is_empty() {
                continue;
            }
            let keys: Vec<&str> = due.iter().map(|(key, _)| key.as_str()).collect();
            let outcome = self.send(&keys).await;
            self.settle(&due, outcome.is_ok());
            let counted = if outcome.is_ok() { &SENT } else { &FAILED };
            counted.inc();
            match outcome {
                Err(error) if !is_failing => {
                    tracing::warn!(%error, "purging fails: the edge shows changes up to a minute late");
                    is_failing = true;
                }
                Ok(()) if is_failing => {
                    tracing::info!("purging works again");
                    is_failing = false;
                }
                _ => {}
            }
        }
    }

    /// Sends one request: the keys in a header as Fastly and Varnish take them, and in a body as
    /// Cloudflare does.
    async fn send(&self, keys: &[&str]) -> Result<(), String> {
        let mut request = self
            .remote
            .request(Method::POST, "")
            .header(header::CONTENT_TYPE, "application/json")
            .header(SURROGATE_KEY, keys.join(" "));
        if let Some(PurgeHeader { name, value }) = &self.target.header {
            request = request.header(name, value);
        }
        let body = json!({"tags": keys}).to_string();
        match self.remote.send(request, Some(body)).await {
            Some((status, _)) if status.is_success() => Ok(()),
            Some((status, _)) => Err(format!("the edge answers {status}")),
            None => Err("the edge does not answer".to_owned()),
        }
    }

    /// Returns the keys of the next request: those that have waited longest since they were last
    /// tried.
    fn due(&self) -> Vec<(String, Pending)> {
        let pending = self.pending.lock();
        let mut due: Vec<(String, Pending)> = pending
            .iter()
            .map(|(key, entry)| (key.clone(), *entry))
            .collect();
        due.sort_by_key(|(_, entry)| entry.tried);
        due.truncate(KEYS_MAX);
        due
    }

    /// Notes that keys were sent, or that they could not be. A key that changed meanwhile begins
    /// anew: the copy that came of the change may still be on its way.
    fn settle(&self, keys: &[(String, Pending)], is_sent: bool) {
        let mut pending = self.pending.lock();
        for (key, before) in keys {
            let Some(entry) = pending.get_mut(key) else {
                continue;
            };
            entry.tried = Instant::now();
            if entry.since != before.since {
                continue;
            }
            entry.rounds -= u32::from(is_sent);
            if entry.rounds == 0 || entry.since.elapsed() > GIVE_UP {
                pending.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purger() -> Purger {
        Purger::new(PurgeTarget {
            url: "http://127.0.0.1:1".to_owned(),
            header: None,
        })
    }

    #[tokio::test]
    async fn a_change_during_a_purge_is_purged_twice_from_then_on() {
        let purger = purger();
        purger.purge(["seats".to_owned()]);
        let sent = purger.due();
        purger.purge(["seats".to_owned()]);
        purger.settle(&sent, true);
        for _ in 0..ROUNDS {
            let due = purger.due();
            assert_eq!(due.len(), 1);
            purger.settle(&due, true);
        }
        assert!(purger.due().is_empty());
    }

    #[tokio::test]
    async fn every_key_has_its_turn_however_often_others_change() {
        let purger = purger();
        let busy = || (0..KEYS_MAX).map(|number| format!("event-{number:02}"));
        purger.purge(busy().chain(["events".to_owned()]));
        let mut tried: Vec<String> = Vec::new();
        for _ in 0..2 {
            let due = purger.due();
            assert_eq!(due.len(), KEYS_MAX);
            purger.settle(&due, false);
            purger.purge(busy());
            tried.extend(due.into_iter().map(|(key, _)| key));
        }
        assert!(tried.contains(&"events".to_owned()), "{tried:?}");
    }
}
