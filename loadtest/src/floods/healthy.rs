//! A client that does nothing wrong, during an attack.

use crate::report::histogram;
use crate::wire::Wire;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

/// Time between two requests.
const INTERVAL: Duration = Duration::from_millis(10);

/// A request, and the status of its answer.
pub(super) struct Asked {
    pub(super) request: Vec<u8>,
    pub(super) status: u16,
}

/// A client with a connection of its own for each request.
pub(super) struct Healthy {
    pub(super) address: String,
    /// Sent in turn.
    pub(super) asked: Arc<[Asked]>,
}

/// Answers to a client.
pub(super) struct Seen {
    /// In microseconds.
    pub(super) latency: Histogram<u64>,
    /// Numbers of requests without the answer that they should have had, by what came instead.
    pub(super) failures: BTreeMap<String, usize>,
}

impl Seen {
    pub(super) fn p99_ms(&self) -> f64 {
        self.latency.value_at_quantile(0.99) as f64 / 1000.0
    }

    /// Says which requests failed, if any did.
    pub(super) fn failed(&self) -> Option<String> {
        let failures = self.failures.iter();
        let words: Vec<String> = failures
            .map(|(why, count)| format!("{count} × {why}"))
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

impl Healthy {
    /// Sends requests for a time.
    pub(super) async fn ask_for(&self, span: Duration) -> Seen {
        let stop = CancellationToken::new();
        let (seen, ()) = tokio::join!(self.ask_until(&stop), async {
            tokio::time::sleep(span).await;
            stop.cancel();
        });
        seen
    }

    /// Sends requests until told to stop, each whether or not the one before was answered.
    pub(super) async fn ask_until(&self, stop: &CancellationToken) -> Seen {
        let mut ticks = interval(INTERVAL);
        let mut under_way = JoinSet::new();
        let mut turn = 0;
        while !stop.is_cancelled() {
            ticks.tick().await;
            let (mut wire, asked) = (Wire::new(&self.address), self.asked.clone());
            let at = turn % asked.len();
            turn += 1;
            under_way.spawn(async move {
                let began = Instant::now();
                let answer = wire.send(&asked[at].request).await;
                let failure = match answer {
                    Ok(status) if status == asked[at].status => None,
                    Ok(status) => Some(format!("status {status}")),
                    Err(why) => Some(why),
                };
                (began.elapsed(), failure)
            });
        }
        let mut seen = Seen {
            latency: histogram(),
            failures: BTreeMap::new(),
        };
        for (took, failure) in under_way.join_all().await {
            seen.latency.saturating_record(took.as_micros() as u64);
            if let Some(why) = failure {
                *seen.failures.entry(why).or_default() += 1;
            }
        }
        seen
    }
}
