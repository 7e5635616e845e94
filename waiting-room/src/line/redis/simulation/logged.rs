//! The log of decisions as the store has it.

use shared::ids::VisitorId;
use simulation::Value;

/// An entry of the log.
#[derive(Clone)]
pub(super) struct LoggedEntry {
    pub(super) entry: u64,
    pub(super) life: String,
    /// Kind of the decisions, such as `admitted`.
    pub(super) kind: String,
    /// Numbers with their visitors.
    pub(super) whose: Vec<(u64, VisitorId)>,
}

/// Reads the stream.
pub(super) fn read_stream(value: &Value) -> Vec<LoggedEntry> {
    let Value::Stream(stream) = value else {
        return Vec::new();
    };
    let entries = stream.entries.iter().map(|(id, fields)| {
        let text = |at: usize| String::from_utf8_lossy(&fields[at]).into_owned();
        let words = text(5);
        let words: Vec<&str> = words.split(' ').collect();
        let numbered = words
            .windows(2)
            .filter_map(|pair| Some((pair[0].parse().ok()?, VisitorId::parse(pair[1])?)));
        LoggedEntry {
            entry: id.0,
            life: text(1),
            kind: text(4),
            whose: numbered.collect(),
        }
    });
    entries.collect()
}
