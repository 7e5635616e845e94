//! Group commit: requests that queue while one commit is under way form the next batch, and each is
//! answered only after its batch is on disk.

use crate::metrics::writers::WriterMetrics;
use crate::trace::Span;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Largest number of requests in one batch.
pub const BATCH_MAX: usize = 1000;
/// Largest number of waiting requests; one more is refused at once.
pub const QUEUE_MAX: usize = 20_000;
/// Longest time for which a request waits for its answer.
pub const ANSWER_SECONDS_MAX: u64 = 5;

/// The store did not take the batch, or did not answer in time. Then the request may have happened:
/// operations are such that asking again is no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be reached just now")]
pub struct Unavailable;

/// State with a journal. One thread owns it; a batch of requests changes it, then one `commit`
/// makes all of that durable.
pub trait Durable: Send + 'static {
    /// Name of a commit as a span.
    const COMMIT: &'static str;

    /// Metrics of the writer.
    fn metrics() -> &'static WriterMetrics;

    /// Writes what the batch changed and waits until it is on disk. With nothing changed it must
    /// cost nothing.
    ///
    /// # Errors
    /// If the disk did not take it. `recover` follows.
    fn commit(&mut self) -> Result<(), String>;

    /// Discards uncommitted changes: the state becomes what is on disk.
    ///
    /// # Errors
    /// If that cannot be read either; it is tried again before the next batch.
    fn recover(&mut self) -> Result<(), String>;
}

type Answer = Box<dyn FnOnce(bool) + Send>;
type Job<S> = Box<dyn FnOnce(&mut S) -> Answer + Send>;

/// A handle to the thread that owns `S`. Dropping the last one ends the thread.
pub struct GroupCommit<S> {
    jobs: mpsc::Sender<Job<S>>,
}

impl<S> Clone for GroupCommit<S> {
    fn clone(&self) -> Self {
        GroupCommit {
            jobs: self.jobs.clone(),
        }
    }
}

impl<S: Durable> GroupCommit<S> {
    /// Starts the thread that owns `state`.
    ///
    /// # Errors
    /// If the machine has no thread left.
    pub fn start(name: &str, state: S) -> std::io::Result<GroupCommit<S>> {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(state, queue))?;
        Ok(GroupCommit { jobs })
    }

    /// Runs `change` on the state and answers once its effect is on disk. A caller that goes away
    /// leaves nothing half done: a change that has begun happens, one that has not never does, so
    /// that under overload no work is done for those who have given up.
    ///
    /// # Errors
    /// If the batch could not be committed, the queue is full, or no answer came in time.
    pub async fn run<R: Send + 'static>(
        &self,
        change: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let job: Job<S> = Box::new(move |state| {
            if reply.is_closed() {
                return Box::new(|_| {});
            }
            let result = change(state);
            Box::new(move |committed| {
                let _ = reply.send(committed.then_some(result));
            })
        });
        let mut span = Span::store("sqlite", S::COMMIT);
        self.jobs.try_send(job).map_err(|_| Unavailable)?;
        match tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS_MAX), answer).await {
            Ok(Ok(Some(result))) => Ok(result),
            _ => {
                span.fail("unavailable");
                Err(Unavailable)
            }
        }
    }
}

fn work<S: Durable>(mut state: S, mut queue: mpsc::Receiver<Job<S>>) {
    let metrics = S::metrics();
    let mut healthy = true;
    let mut batch: Vec<Job<S>> = Vec::new();
    let mut answers: Vec<Answer> = Vec::new();
    while let Some(first) = queue.blocking_recv() {
        batch.push(first);
        while batch.len() < BATCH_MAX {
            let Ok(next) = queue.try_recv() else { break };
            batch.push(next);
        }
        if !healthy {
            healthy = report("recover", state.recover());
        }
        if !healthy {
            batch.clear();
            // Nothing can be read or written: fail fast, without spinning.
            continue;
        }
        metrics.batch_requests.observe(batch.len() as f64);
        let begun = Instant::now();
        // A panic in one request must not take the line down: its batch is refused and the state
        // read back from disk.
        let ran = catch_unwind(AssertUnwindSafe(|| {
            answers.extend(batch.drain(..).map(|job| job(&mut state)));
        }));
        batch.clear();
        let committed = match ran {
            Ok(()) => report("commit", state.commit()),
            Err(_) => report("batch", Err("a request panicked".to_owned())),
        };
        if !committed {
            healthy = report("recover", state.recover());
        }
        let flight = begun.elapsed().as_secs_f64();
        metrics.flight_seconds.observe(flight);
        for answer in answers.drain(..) {
            answer(committed);
        }
    }
}

fn report(step: &str, outcome: Result<(), String>) -> bool {
    match outcome {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(step, error, "the journal failed; the batch is refused");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::writers;
    use std::pin::Pin;
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    struct Numbers(Vec<u32>);

    impl Durable for Numbers {
        const COMMIT: &'static str = "commit numbers";

        fn metrics() -> &'static WriterMetrics {
            &writers::LINE
        }

        fn commit(&mut self) -> Result<(), String> {
            Ok(())
        }

        fn recover(&mut self) -> Result<(), String> {
            Ok(())
        }
    }

    fn is_pending(future: Pin<&mut impl Future>) -> bool {
        future
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }

    #[tokio::test]
    async fn a_change_whose_caller_left_before_it_began_never_happens() {
        let numbers = GroupCommit::start("numbers", Numbers(Vec::new())).unwrap();
        let (begun, has_begun) = oneshot::channel();
        let (release, released) = mpsc::channel::<()>();
        // The first has begun when its caller leaves, the second has not.
        let first = tokio::spawn({
            let numbers = numbers.clone();
            async move {
                let change = move |state: &mut Numbers| {
                    begun.send(()).unwrap();
                    released.recv().unwrap();
                    state.0.push(1);
                };
                numbers.run(change).await
            }
        });
        has_begun.await.unwrap();
        first.abort();
        let mut second = Box::pin(numbers.run(|state| state.0.push(2)));
        assert!(is_pending(second.as_mut()));
        drop(second);
        let third = numbers.run(|state| {
            state.0.push(3);
            state.0.clone()
        });
        let mut third = Box::pin(third);
        assert!(is_pending(third.as_mut()));
        release.send(()).unwrap();
        assert_eq!(third.await, Ok(vec![1, 3]));
    }
}
