//! Completion of a batch: answers its requests, and queues those the store refused to be decided
//! again.

use super::batch::{DecidedChanges, InFlight};
use super::database::QueryError;
use super::queue::{again, load_first, refuse};
use super::write::{Applied, WriteResult, send};
use super::writer::{IN_FLIGHT_MAX, Writer};
use crate::inventory::command::Command;
use shared::metrics::writers;
use std::sync::atomic::Ordering;
use tokio::task::{Id, JoinError};

pub(super) type Completed = Result<(Id, (Vec<DecidedChanges>, WriteResult)), JoinError>;

impl Writer {
    /// Completes a batch: answers its requests, and keeps those that the store refused to be
    /// decided again.
    pub(super) async fn complete(&mut self, completed: Completed, waiting: &mut Vec<Box<Command>>) {
        let (id, mut contents, outcome) = match completed {
            Ok((id, (contents, outcome))) => (id, contents, outcome),
            // The task panicked, so the outcome of the batch is unknown.
            Err(error) => (error.id(), Vec::new(), Err(QueryError::Unreachable)),
        };
        let Some(batch) = self.in_flight.remove(&id) else {
            return;
        };
        let InFlight {
            mut commands,
            visitors,
            config,
            ..
        } = batch;
        for visitor in &visitors {
            self.locked.remove(visitor);
        }
        match outcome {
            Ok(Some(applied)) => {
                self.settle((&mut commands, &mut contents), &applied, waiting)
                    .await;
                if self.buffers.len() < IN_FLIGHT_MAX {
                    self.buffers.push((commands, contents));
                }
            }
            Ok(None) => {
                // The plan or the rules have changed: everything is decided again on the new ones.
                self.forget();
                waiting.extend(commands.into_iter().map(load_first).filter_map(again));
            }
            Err(QueryError::Unreachable) => {
                self.forget();
                refuse(commands);
            }
            Err(error) => {
                error.log();
                self.forget();
                if commands.len() == 1 {
                    return refuse(commands);
                }
                // One of the requests cannot be written. Each is tried by itself, so that only that
                // one is refused.
                for (mut command, content) in commands.into_iter().zip(contents) {
                    let one = [content];
                    let header = self.header(config);
                    let sent = send((&self.shard, 0), &self.handle, &one, &header).await;
                    match sent {
                        Ok(Some(applied)) if applied.refused.is_empty() => {
                            self.took(&applied);
                            command.decision.answer(Ok(()))
                        }
                        Ok(_) => waiting.extend(again(load_first(command))),
                        Err(error) => {
                            error.log();
                            refuse([command]);
                        }
                    }
                }
            }
        }
    }

    /// Records that the database took a batch.
    fn took(&self, applied: &Applied) {
        self.shard.clock.set(applied.now);
        self.handle.is_dirty.store(true, Ordering::Relaxed);
        if self.shard.is_server_new(&applied.server) {
            // Memory may hold commits that are lost, and the poll that tells all events is due only
            // once a second.
            self.handle.must_start_over.store(true, Ordering::Relaxed);
            self.shard.must_poll.store(true, Ordering::Relaxed);
        }
    }

    async fn settle(
        &mut self,
        (commands, contents): (&mut Vec<Box<Command>>, &mut Vec<DecidedChanges>),
        applied: &Applied,
        waiting: &mut Vec<Box<Command>>,
    ) {
        self.took(applied);
        let mut refused: Vec<(Box<Command>, DecidedChanges)> = Vec::new();
        for (at, (mut command, content)) in commands.drain(..).zip(contents.drain(..)).enumerate() {
            if applied.refused.contains(&(at as i32)) {
                if let Some(cache) = &mut self.cache {
                    cache.refused(&content.changes);
                }
                refused.push((command, content));
                continue;
            }
            if let Some(cache) = &mut self.cache {
                cache.committed(&content.changes, applied.seq);
                cache.event_state.visitors.put(content.records);
            }
            command.decision.answer(Ok(()));
        }
        if let Some(cache) = &mut self.cache {
            cache.apply_remote(&applied.others);
        }
        if !refused.is_empty() {
            writers::INVENTORY.conflicts.inc_by(refused.len() as u64);
            self.decide_again(refused, waiting).await;
        }
    }

    /// Queues refused requests to be decided again. Usually another node was faster and its changes
    /// are known by now; otherwise the rows are read.
    async fn decide_again(
        &mut self,
        refused: Vec<(Box<Command>, DecidedChanges)>,
        waiting: &mut Vec<Box<Command>>,
    ) {
        let Some(cache) = &mut self.cache else {
            let commands = refused.into_iter().map(|(command, _)| load_first(command));
            return waiting.extend(commands.filter_map(again));
        };
        let mut unknown: Vec<i32> = Vec::new();
        for (command, DecidedChanges { records, changes }) in refused {
            let before = cache.explains(&changes).then(|| records.without(&changes));
            if let Some(records) = before.flatten() {
                cache.event_state.visitors.put(records);
                waiting.extend(again(command));
            } else {
                unknown.extend(changes.seats.iter().map(|change| change.seat as i32));
                waiting.extend(again(load_first(command)));
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
