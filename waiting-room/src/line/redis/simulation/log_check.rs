//! The log of decisions: that each step writes what it decided and nothing else, and that a reader
//! that goes on where it stopped reads each entry once.

use super::draw_state::{HELD, UNDER_WAY};
use super::logged::LoggedEntry;
use super::stored::Stored;
use shared::ids::VisitorId;
use shared::line_log::{LogPage, LogPlace};
use std::collections::BTreeSet;

/// Returns what a step wrote to the log and should not have, or the other way round.
pub(super) fn wrong_log(script: &str, before: &Stored, after: &Stored) -> Option<String> {
    let last = before.log.last().map_or(0, |entry| entry.entry);
    let new: Vec<&LoggedEntry> = after.log.iter().filter(|it| it.entry > last).collect();
    let is_dense = new
        .iter()
        .zip(last + 1..)
        .all(|(entry, number)| entry.entry == number);
    if !is_dense {
        return Some(format!(
            "{script} wrote other entries than those after {last}"
        ));
    }
    if new.iter().any(|entry| entry.life != after.life) {
        return Some(format!("{script} wrote an entry of another life"));
    }
    let of_kind = |kind: &str| {
        let entries = new.iter().filter(|entry| entry.kind == kind);
        let mut whose: Vec<_> = entries.flat_map(|entry| entry.whose.clone()).collect();
        whose.sort_unstable();
        whose
    };
    let wrong = |kind: &str, expected: Vec<(u64, VisitorId)>| {
        let logged = of_kind(kind);
        let differs = logged != expected;
        differs.then(|| format!("{script} logged {logged:?} as {kind}, not {expected:?}"))
    };
    let drawn = new.iter().filter(|entry| entry.kind == "drawn").count();
    let is_drawn = (before.draw.stage, after.draw.stage) == (UNDER_WAY, HELD);
    if (drawn == 1) != (is_drawn && script == "draw_commit") {
        return Some(format!("{script} logged {drawn} draws"));
    }
    wrong("admitted", admitted(script, before, after)).or_else(|| {
        // Ends that nodes report are no decisions of this step.
        let is_sweep = before.is_settling || after.is_settling || is_drawn;
        if is_sweep || before.inside.is(&after.inside) {
            return None;
        }
        let [missed, finished] = ended(script, before, after);
        wrong("missed", missed).or_else(|| {
            // An end by a token may be of a visitor whose admission the store has lost.
            let expected = of_kind("finished").len() > finished.len() && script == "finish";
            (!expected).then(|| wrong("finished", finished)).flatten()
        })
    })
}

/// Returns those who were admitted by a step, and those whose number was admitted before its visitor
/// was known.
fn admitted(script: &str, before: &Stored, after: &Stored) -> Vec<(u64, VisitorId)> {
    match script {
        // A claim makes a slot anew that the store has lost.
        "tick" | "claim" => {
            let is_new = |number: &u64| !before.inside.contains_key(number);
            let new = after.inside.iter().filter(|(number, _)| is_new(number));
            new.filter_map(|(number, slot)| Some((*number, slot.visitor?)))
                .collect()
        }
        "reenter" | "finish" => {
            let unknown = before
                .inside
                .iter()
                .filter(|(_, slot)| slot.visitor.is_none());
            unknown
                .filter_map(|(number, _)| Some((*number, after.visitor(*number)?)))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Returns whose admissions ended: not claimed in time, and otherwise.
fn ended(script: &str, before: &Stored, after: &Stored) -> [Vec<(u64, VisitorId)>; 2] {
    let gone = before
        .inside
        .iter()
        .filter(|(number, _)| !after.inside.contains_key(number));
    // Also a visitor who is known only by this step.
    let known = gone.filter_map(|(number, slot)| {
        let visitor = slot.visitor.or_else(|| after.visitor(*number))?;
        Some((*number, visitor, script == "tick" && !slot.is_shopping))
    });
    let (missed, finished): (Vec<_>, Vec<_>) = known.partition(|(_, _, is_missed)| *is_missed);
    [missed, finished].map(|ends| {
        ends.into_iter()
            .map(|(n, visitor, _)| (n, visitor))
            .collect()
    })
}

/// A checkout that reads the log.
#[derive(Default)]
pub(super) struct LogReader {
    pub(super) place: LogPlace,
    /// Entries that it has read, by life.
    read: BTreeSet<(String, u64)>,
}

impl LogReader {
    /// Takes a page that was asked for at a place, unless it has come further since; returns what is
    /// wrong with it.
    pub(super) fn take(&mut self, asked_at: &LogPlace, page: &LogPage) -> Option<String> {
        if self.place != *asked_at {
            return None;
        }
        self.place = page.end();
        let mut entries = page.entries.iter();
        let again = entries.find(|entry| !self.read.insert((entry.life.clone(), entry.entry)));
        again.map(|entry| format!("entry {} of the log was read twice", entry.entry))
    }

    /// Returns an entry of the log that was not read.
    pub(super) fn unread(&self, stored: &Stored) -> Option<String> {
        let mut entries = stored.log.iter();
        let is_unread = |it: &&LoggedEntry| !self.read.contains(&(it.life.clone(), it.entry));
        let unread = entries.find(is_unread)?;
        Some(format!("entry {} of the log was never read", unread.entry))
    }
}
