//! The log of decisions: that each step writes what it decided and nothing else, and that a reader
//! that goes on where it stopped reads each entry once.

use super::draw_state::{HELD, UNDER_WAY};
use super::fan::Door;
use super::oracle::Step;
use super::stored::{Stored, visitor};
use crate::line::Line as _;
use shared::ids::VisitorId;
use shared::line_log::{LOG_ENTRIES_MAX, LogPage, LogPlace};
use simulation::Value;
use std::collections::BTreeSet;

/// An entry of the log.
#[derive(Clone)]
pub(super) struct LoggedEntry {
    entry: u64,
    life: String,
    /// Kind of the decisions, such as `admitted`.
    kind: String,
    /// Numbers with their visitors.
    whose: Vec<(u64, VisitorId)>,
}

/// Reads the stream.
pub(super) fn read_log(value: &Value) -> Vec<LoggedEntry> {
    let Value::Stream(stream) = value else {
        return Vec::new();
    };
    let entries = stream.entries.iter().map(|(id, fields)| {
        let text = |at: usize| String::from_utf8_lossy(&fields[at]).into_owned();
        let words = text(5);
        let words: Vec<&str> = words.split(' ').collect();
        let numbered = words
            .windows(2)
            .filter_map(|pair| Some((pair[0].parse().ok()?, visitor(pair[1].as_bytes())?)));
        LoggedEntry {
            entry: id.0,
            life: text(1),
            kind: text(4),
            whose: numbered.collect(),
        }
    });
    entries.collect()
}

/// Returns what a step wrote to the log and should not have, or the other way round.
pub(super) fn wrong_log(step: &Step<'_>, before: &Stored, after: &Stored) -> Option<String> {
    let last = before.log.last().map_or(0, |entry| entry.entry);
    let new: Vec<&LoggedEntry> = after.log.iter().filter(|it| it.entry > last).collect();
    let is_dense = new
        .iter()
        .zip(last + 1..)
        .all(|(entry, number)| entry.entry == number);
    if !is_dense {
        return Some(format!(
            "{} wrote other entries than those after {last}",
            step.name
        ));
    }
    if new.iter().any(|entry| entry.life != after.life) {
        return Some(format!("{} wrote an entry of another life", step.name));
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
        differs.then(|| {
            format!(
                "{} logged {logged:?} as {kind}, not {expected:?}",
                step.name
            )
        })
    };
    let drawn = new.iter().filter(|entry| entry.kind == "drawn").count();
    let is_drawn = (before.draw.stage, after.draw.stage) == (UNDER_WAY, HELD);
    if (drawn == 1) != (is_drawn && step.name == "draw_commit") {
        return Some(format!("{} logged {drawn} draws", step.name));
    }
    wrong("admitted", admitted(step, before, after)).or_else(|| {
        // Ends that nodes report are no decisions of this step.
        let is_sweep = before.is_settling || after.is_settling || is_drawn;
        if is_sweep || before.inside.is(&after.inside) {
            return None;
        }
        let [missed, finished] = ended(step, before, after);
        wrong("missed", missed).or_else(|| {
            // An end by a token may be of a visitor whose admission the store has lost.
            let expected = of_kind("finished").len() > finished.len() && step.name == "finish";
            (!expected).then(|| wrong("finished", finished)).flatten()
        })
    })
}

/// Returns those who were admitted by a step, and those whose number was admitted before its visitor
/// was known.
fn admitted(step: &Step<'_>, before: &Stored, after: &Stored) -> Vec<(u64, VisitorId)> {
    match step.name {
        "tick" => {
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
fn ended(step: &Step<'_>, before: &Stored, after: &Stored) -> [Vec<(u64, VisitorId)>; 2] {
    let gone = before
        .inside
        .iter()
        .filter(|(number, _)| !after.inside.contains_key(number));
    // Also a visitor who is known only by this step.
    let known = gone.filter_map(|(number, slot)| {
        let visitor = slot.visitor.or_else(|| after.visitor(*number))?;
        Some((*number, visitor, step.name == "tick" && !slot.is_shopping))
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
    place: LogPlace,
    /// Entries that it has read, by life.
    read: BTreeSet<(String, u64)>,
}

impl LogReader {
    /// Takes a page that was asked for at a place, unless it has come further since; returns what is
    /// wrong with it.
    fn take(&mut self, asked_at: &LogPlace, page: &LogPage) -> Option<String> {
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

/// Reads the log at a node, up to its end.
pub(super) async fn read_on(door: &Door) {
    loop {
        let place = door.world.lock().oracle.reader.place.clone();
        let page = door
            .line
            .decisions(&door.event, &place, LOG_ENTRIES_MAX)
            .await;
        let Ok(page) = page else { return };
        let wrong = door.world.lock().oracle.reader.take(&place, &page);
        if let Some(why) = wrong {
            door.world.lock().oracle.fail(why);
        }
        if page.entries.is_empty() {
            return;
        }
    }
}
