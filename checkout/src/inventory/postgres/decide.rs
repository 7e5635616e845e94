//! The decision on one request, on the records in memory.

use super::batch::DecidedChanges;
use super::event_cache::EventCache;
use super::read::Loaded;
use crate::inventory::command::{Command, Decision};
use crate::inventory::commands::{Target, UnitOfWork};
use crate::inventory::records::VisitorRecords;
use shared::time::Time;

/// Decides a command on the visitor's records, which are taken out of the cache.
pub(super) fn decide_one(
    cache: &mut EventCache,
    command: &mut Command,
    loaded: &Loaded,
    now: Time,
) -> (Decision, DecidedChanges) {
    let known = command
        .visitor
        .and_then(|visitor| cache.event_state.visitors.take(visitor));
    let new = || command.visitor.map(VisitorRecords::of).unwrap_or_default();
    let records = known.unwrap_or_else(|| Box::new(new()));
    let mut work = UnitOfWork::new(&mut cache.event_state, records, now);
    if let Target::Newcomer(_, jti) = &command.target {
        work.opened = loaded.opened.get(jti.as_str()).cloned();
    }
    let answer = command.attempt.as_ref();
    work.answer = answer.and_then(|id| loaded.answers.get(id)).cloned();
    let decision = command.decision.decide(&mut work);
    if decision == Decision::Granted {
        work.add_events(&command.trace);
    }
    let content = DecidedChanges {
        records: work.records,
        changes: work.changes,
    };
    (decision, content)
}
