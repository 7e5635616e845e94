//! Completion of a batch: answers its requests, and queues those the store refused to be decided again.

use super::connection::Failed;
use super::queue::{Job, again, load_first, refuse};
use super::write::{Applied, send};
use super::writer::{Content, FLIGHTS_MAX, InFlight, Writer, log};
use std::sync::atomic::Ordering;
use tokio::task::{Id, JoinError};

/// Result of sending a batch; `None` if the event's plan or rules had changed.
pub(super) type Outcome = Result<Option<Applied>, Failed>;
pub(super) type Landed = Result<(Id, (Vec<Content>, Outcome)), JoinError>;

impl Writer {
    /// Completes a batch: answers its requests, and keeps those that the store refused to be decided again.
    pub(super) async fn land(&mut self, landed: Landed, waiting: &mut Vec<Box<Job>>) {
        let (id, mut contents, outcome) = match landed {
            Ok((id, (contents, outcome))) => (id, contents, outcome),
            // The task panicked, so the outcome of the batch is unknown.
            Err(error) => (error.id(), Vec::new(), Err(Failed::Away)),
        };
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        let InFlight {
            mut jobs, visitors, ..
        } = flight;
        for visitor in &visitors {
            self.busy.remove(visitor);
        }
        match outcome {
            Ok(Some(applied)) => {
                self.settle((&mut jobs, &mut contents), &applied, waiting)
                    .await;
                if self.spare.len() < FLIGHTS_MAX {
                    self.spare.push((jobs, contents));
                }
            }
            Ok(None) => {
                // The plan or the rules have changed: everything is decided again on the new ones.
                self.forget();
                waiting.extend(jobs.into_iter().map(load_first).filter_map(again));
            }
            Err(Failed::Away) => {
                self.forget();
                refuse(jobs);
            }
            Err(failed) => {
                log(&failed);
                self.forget();
                if jobs.len() == 1 {
                    return refuse(jobs);
                }
                // One of the requests cannot be written. Each is tried by itself, so that only that one is refused.
                let config = self.shard.config_of(&self.handle).await;
                for (mut job, content) in jobs.into_iter().zip(contents) {
                    let one = [content];
                    let header = self.header(config);
                    let sent = send((&self.shard, 0), &self.handle, &one, &header).await;
                    match sent {
                        Ok(Some(applied)) if applied.refused.is_empty() => job.step.answer(Ok(())),
                        Ok(_) => waiting.extend(again(load_first(job))),
                        Err(failed) => {
                            log(&failed);
                            refuse([job]);
                        }
                    }
                }
            }
        }
    }

    async fn settle(
        &mut self,
        (jobs, contents): (&mut Vec<Box<Job>>, &mut Vec<Content>),
        applied: &Applied,
        waiting: &mut Vec<Box<Job>>,
    ) {
        self.shard.clock.hear(applied.now);
        self.handle.is_dirty.store(true, Ordering::Relaxed);
        let mut refused: Vec<(Box<Job>, Content)> = Vec::new();
        for (at, (mut job, content)) in jobs.drain(..).zip(contents.drain(..)).enumerate() {
            if applied.refused.contains(&(at as i32)) {
                if let Some(cache) = &mut self.cache {
                    cache.refused(&content.changes);
                }
                refused.push((job, content));
                continue;
            }
            if let Some(cache) = &mut self.cache {
                cache.committed(&content.changes, applied.seq);
                cache.event_state.visits.put(content.visit);
            }
            job.step.answer(Ok(()));
        }
        if let Some(cache) = &mut self.cache {
            cache.hear(&applied.others);
        }
        if !refused.is_empty() {
            metrics::counter!("fairline_batch_collisions_total").increment(refused.len() as u64);
            self.decide_again(refused, waiting).await;
        }
    }

    /// Queues refused requests to be decided again. Usually another node was faster and its changes are known by
    /// now; otherwise the rows are read.
    async fn decide_again(
        &mut self,
        refused: Vec<(Box<Job>, Content)>,
        waiting: &mut Vec<Box<Job>>,
    ) {
        let Some(cache) = &mut self.cache else {
            let jobs = refused.into_iter().map(|(job, _)| load_first(job));
            return waiting.extend(jobs.filter_map(again));
        };
        let mut unknown: Vec<i32> = Vec::new();
        for (job, Content { visit, changes }) in refused {
            let before = cache.explains(&changes).then(|| visit.without(&changes));
            if let Some(visit) = before.flatten() {
                cache.event_state.visits.put(visit);
                waiting.extend(again(job));
            } else {
                unknown.extend(changes.seats.iter().map(|change| change.seat as i32));
                waiting.extend(again(load_first(job)));
            }
        }
        if !unknown.is_empty() {
            let read = cache.read_seats(&self.shard, &self.handle.event, &unknown);
            if read.await.is_err() {
                self.forget();
            }
        }
    }
}
