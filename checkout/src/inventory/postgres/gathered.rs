//! Requests that share statements.

use crate::inventory::model::Refused;
use parking_lot::Mutex;
use shared::group_commit::Unavailable;
use tokio::sync::oneshot;

/// Requests of one kind: while a statement is executed for some, others gather for the next one. As
/// many wait as the node has requests in work.
pub(super) struct Gathered<T, A> {
    waiting: Mutex<Vec<(T, oneshot::Sender<A>)>>,
    /// Held by the request that executes a statement for all.
    turn: tokio::sync::Mutex<()>,
}

impl<T, A> Default for Gathered<T, A> {
    fn default() -> Gathered<T, A> {
        Gathered {
            waiting: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl<T, A> Gathered<T, A> {
    /// Has a request answered together with others, by the `work` of one of them, which answers each
    /// in its place.
    ///
    /// # Errors
    /// If the work failed, or whoever did it went away.
    pub(super) async fn answer<F>(
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
        let (gathered, gate) = (Arc::new(Gathered::default()), Arc::new(Semaphore::new(0)));
        let lots = Arc::new(AtomicUsize::new(0));
        let asking = (0..100).map(|number| {
            let (gathered, gate, lots) = (gathered.clone(), gate.clone(), lots.clone());
            tokio::spawn(async move {
                let work = async |numbers| {
                    lots.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    doubled(numbers).await
                };
                gathered.answer(number, work).await
            })
        });
        let asking: Vec<_> = asking.collect();
        // All but the first wait behind it.
        while gathered.waiting.lock().len() < 99 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        for (number, answer) in (0..).zip(asking) {
            assert_eq!(answer.await.unwrap(), Ok(number * 2));
        }
        assert_eq!(lots.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn work_that_fails_or_goes_away_refuses_all_it_was_for_and_nobody_else() {
        let gathered: Arc<Gathered<u32, u32>> = Arc::default();
        let failing = async |_| Err(Unavailable.into());
        let refused = Err(Refused::from(Unavailable));
        assert_eq!(gathered.answer(1, failing).await, refused);
        let endless = async |_| std::future::pending().await;
        tokio::select! {
            _ = gathered.answer(1, endless) => panic!("it is endless"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(gathered.answer(2, doubled).await, Ok(4));
    }
}
