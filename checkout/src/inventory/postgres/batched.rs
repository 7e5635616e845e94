//! Requests that are answered in batches, by one statement each.

use crate::inventory::model::Refused;
use parking_lot::Mutex;
use shared::group_commit::Unavailable;
use tokio::sync::oneshot;

/// Requests of one kind: while a statement is executed for some, others wait for the next one. At most
/// as many wait as the node answers at once.
pub(super) struct Batched<T, A> {
    waiting: Mutex<Vec<(T, oneshot::Sender<A>)>>,
    /// Held by the request that executes the statement of a batch.
    turn: tokio::sync::Mutex<()>,
}

impl<T, A> Default for Batched<T, A> {
    fn default() -> Batched<T, A> {
        Batched {
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl<T, A> Batched<T, A> {
    /// Answers a request in a batch with those that wait: one of them runs `work`, which returns an answer
    /// for each, in order.
    ///
    /// # Errors
    /// If the work failed, or the request that ran it went away.
    pub(super) async fn run<F>(
        &self,
        request: T,
        work: impl FnOnce(Vec<T>) -> F,
    ) -> Result<A, Refused>
    where
        F: Future<Output = Result<Vec<A>, Refused>>,
    {
        let (answer, mut answered) = oneshot::channel();
        self.waiting.lock().push((request, answer));
        let turn = tokio::select! {
            biased;
            answer = &mut answered => return answer.map_err(|_| Unavailable.into()),
            turn = self.turn.lock() => turn,
        };
        // It may have been answered just now. Then what waits is work for others.
        let (requests, answers): (Vec<_>, Vec<_>) = std::mem::take(&mut *self.waiting.lock())
            .into_iter()
            .unzip();
        if !requests.is_empty() {
            for (to, answer) in answers.into_iter().zip(work(requests).await?) {
                let _ = to.send(answer);
            }
        }
        drop(turn);
        answered.await.map_err(|_| Unavailable.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    async fn doubled(numbers: Vec<u32>) -> Result<Vec<u32>, Refused> {
        Ok(numbers.iter().map(|number| number * 2).collect())
    }

    #[tokio::test]
    async fn those_who_come_while_one_is_answered_are_answered_together() {
        let (batched, gate) = (Arc::new(Batched::default()), Arc::new(Semaphore::new(0)));
        let batches = Arc::new(AtomicUsize::new(0));
        let asking = (0..100).map(|number| {
            let (batched, gate, batches) = (batched.clone(), gate.clone(), batches.clone());
            tokio::spawn(async move {
                let work = async |numbers| {
                    batches.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    doubled(numbers).await
                };
                batched.run(number, work).await
            })
        });
        let asking: Vec<_> = asking.collect();
        // All but the first wait behind it.
        while batched.waiting.lock().len() < 99 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        for (number, answer) in (0..).zip(asking) {
            assert_eq!(answer.await.unwrap(), Ok(number * 2));
        }
        assert_eq!(batches.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn work_that_fails_or_goes_away_refuses_its_batch_and_nobody_else() {
        let batched: Arc<Batched<u32, u32>> = Arc::default();
        let busy = batched.turn.lock().await;
        let run = |number: u32| {
            let batched = batched.clone();
            tokio::spawn(
                async move { batched.run(number, async |_| Err(Unavailable.into())).await },
            )
        };
        let failing = [run(1), run(2)];
        while batched.waiting.lock().len() < 2 {
            tokio::task::yield_now().await;
        }
        drop(busy);
        let refused = Err(Refused::from(Unavailable));
        for request in failing {
            assert_eq!(request.await.unwrap(), refused);
        }
        let endless = async |_| std::future::pending().await;
        tokio::select! {
            _ = batched.run(3, endless) => panic!("it is endless"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(batched.run(4, doubled).await, Ok(8));
    }
}
