//! Watches the load: a thread of its own, as a task would wait in the queue that it measures.

use super::limit::AdaptiveLimit;
use super::retry::RetryAfter;
use super::{Load, Totals};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Time between two measurements.
const SAMPLE: Duration = Duration::from_millis(100);
/// Time between two adjustments of `Retry-After`.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Time between two log lines about refusals.
const LOG_EVERY: Duration = Duration::from_secs(10);

impl Load {
    /// Measures the delay of this runtime's queue and the wait for the stores until the stop
    /// signal.
    pub(in crate::http) fn watch(self: Arc<Load>, stop: CancellationToken) {
        let runtime = Handle::current();
        let watching = move || self.run(&runtime, &stop);
        let thread = std::thread::Builder::new().name("load".to_owned());
        if let Err(error) = thread.spawn(watching) {
            tracing::error!(%error, "no thread for the load, which stays unlimited by delays");
        }
    }

    fn run(&self, runtime: &Handle, stop: &CancellationToken) {
        let mut probe = QueueProbe::send(runtime);
        let mut adaptive = AdaptiveLimit::new(self.limits.in_flight_max);
        let (mut retry, mut log) = (Since::now(self), Since::now(self));
        let mut retry_after = RetryAfter::new();
        let mut measured_at = Instant::now();
        while !stop.is_cancelled() {
            std::thread::sleep(SAMPLE);
            let delay = match probe.took.try_recv() {
                Ok(took) => {
                    probe = QueueProbe::send(runtime);
                    took
                }
                // Not through yet.
                Err(TryRecvError::Empty) => probe.sent_at.elapsed(),
                // The runtime is gone.
                Err(TryRecvError::Disconnected) => return,
            };
            let span = measured_at.elapsed();
            measured_at = Instant::now();
            self.observe(delay, span);
            self.adapt(&mut adaptive, span);
            if let Some(counted) = retry.after(RETRY_EVERY, self) {
                let seconds = retry_after.observe(counted.refused, counted.answered);
                self.retry_seconds.store(seconds, Ordering::Relaxed);
            }
            if let Some(counted) = log.after(LOG_EVERY, self)
                && counted.refused > 0
            {
                let refused = counted.refused;
                tracing::warn!(refused, "requests were refused because of overload");
            }
        }
    }
}

/// A task that measures how long a request that arrives now waits for a processor.
struct QueueProbe {
    sent_at: Instant,
    took: Receiver<Duration>,
}

impl QueueProbe {
    /// Sends one through both queues of the runtime, where a request may be: the one that takes
    /// what comes from other threads, and what does not fit into the other; and that of a worker.
    fn send(runtime: &Handle) -> QueueProbe {
        let sent_at = Instant::now();
        let (sender, took) = channel();
        runtime.spawn(async move {
            tokio::task::yield_now().await;
            let _ = sender.send(sent_at.elapsed());
        });
        QueueProbe { sent_at, took }
    }
}

/// Counts since a moment.
struct Since {
    at: Instant,
    totals: Totals,
}

impl Since {
    fn now(load: &Load) -> Since {
        Since {
            at: Instant::now(),
            totals: load.totals(),
        }
    }

    /// Returns what was counted, and counts anew, once so much time has passed.
    fn after(&mut self, span: Duration, load: &Load) -> Option<Totals> {
        if self.at.elapsed() < span {
            return None;
        }
        let before = std::mem::replace(self, Since::now(load)).totals;
        Some(Totals {
            answered: self.totals.answered - before.answered,
            refused: self.totals.refused - before.refused,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Class, LoadLimits};
    use super::*;
    use axum::http::Method;

    fn load() -> Arc<Load> {
        Load::new(LoadLimits {
            in_flight_max: 8,
            enter_max: 6,
            browse_max: 4,
            delay_max: Duration::from_millis(250),
        })
    }

    /// Awaits a state without a worker of the runtime, which may be busy.
    fn until(what: &str, is_so: impl Fn() -> bool) {
        let from = Instant::now();
        while !is_so() {
            assert!(from.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn browsing_is_refused_while_the_runtime_is_behind_and_only_then() {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let load = load();
        let stop = CancellationToken::new();
        let _entered = runtime.enter();
        load.clone().watch(stop.clone());
        let busy = CancellationToken::new();
        for _ in 0..20 {
            let busy = busy.clone();
            runtime.spawn(async move {
                while !busy.is_cancelled() {
                    std::thread::sleep(Duration::from_millis(30));
                    tokio::task::yield_now().await;
                }
            });
        }
        let is_refused = |class| load.enter(class, &Method::GET).is_err();
        until("refused", || is_refused(Class::Browse));
        assert!(!is_refused(Class::Purchase));
        busy.cancel();
        until("let in again", || {
            load.pressure_ms.load(Ordering::Relaxed) == 0
        });
        assert!(!is_refused(Class::Browse));
        stop.cancel();
    }

    #[test]
    fn a_runtime_that_gets_to_no_task_at_all_is_noticed() {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let load = load();
        let stop = CancellationToken::new();
        let _entered = runtime.enter();
        let (release, released) = channel::<()>();
        runtime.spawn(async move { released.recv() });
        load.clone().watch(stop.clone());
        until("noticed", || load.pressure_ms.load(Ordering::Relaxed) > 0);
        release.send(()).unwrap();
        stop.cancel();
    }
}
