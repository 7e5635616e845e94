//! Reads the log in which the scripts of a line keep what they decided.

use super::event_line::EventLine;
use super::reply::{bytes, list};
use super::script;
use crate::draw;
use crate::line::{Outcome, Refused, unreadable};
use redis::Value;
use shared::group_commit::Unavailable;
use shared::ids::VisitorId;
use shared::line_log::{AdmissionEnd, LOG_ENTRIES_MAX, LineDecision, LogEntry, LogPage, LogPlace};
use shared::time::Time;
use std::iter::Peekable;
use std::str::SplitAsciiWhitespace;
use std::sync::Arc;

impl EventLine {
    /// Returns what was decided after a place.
    pub(super) async fn decisions(
        self: &Arc<EventLine>,
        place: &LogPlace,
        limit: usize,
    ) -> Result<LogPage, Refused> {
        let last = place.entry.to_string();
        let limit = limit.min(LOG_ENTRIES_MAX).to_string();
        let arguments = [place.life.as_bytes(), last.as_bytes(), limit.as_bytes()];
        let reply = self.call(&script::DECISIONS, &arguments).await?;
        let fields = reply.fields();
        let entries = fields.list("units").iter();
        let skip = |entry| unreadable::skip(&self.event, entry);
        let entries: Option<Vec<LogEntry>> = entries.map(|unit| read_entry(unit, &skip)).collect();
        let page = LogPage {
            life: fields.text("lives"),
            after: fields.count("after"),
            entries: entries.ok_or(Unavailable)?,
            is_over: self.cache().view().is_some_and(|view| view.is_over),
        };
        self.learn_draw(&page).await?;
        Ok(page)
    }

    /// Sees that this node knows of a draw before it tells of it: a store that loses the draw learns it
    /// again from nodes, and holds no other one with a seed that is published.
    async fn learn_draw(self: &Arc<EventLine>, page: &LogPage) -> Result<(), Refused> {
        let mut decisions = page.entries.iter().flat_map(|entry| &entry.decisions);
        let drawn = decisions.find_map(|decision| match decision {
            LineDecision::Drawn { seed, .. } => Some(seed),
            _ => None,
        });
        let Some(seed) = drawn else {
            return Ok(());
        };
        Box::pin(self.fetch_view()).await?;
        let is_unknown = self
            .draw_state()
            .is_some_and(|draw| draw.outcome.is_none() && shared::crypto::hex(&draw.seed) == *seed);
        match is_unknown {
            true => Err(Unavailable.into()),
            false => Ok(()),
        }
    }
}

/// Reads an entry of the stream; none if it is not one. `skip` is told of an entry of which something
/// cannot be read: it has the decisions before that alone, and keeps its place.
fn read_entry(value: &Value, skip: &impl Fn(u64)) -> Option<LogEntry> {
    let [id, fields] = list(value)? else {
        return None;
    };
    let (entry, _) = text(id)?.split_once('-')?;
    let mut read = LogEntry {
        entry: entry.parse().ok()?,
        life: String::new(),
        at: Time::default(),
        decisions: Vec::new(),
    };
    if read_fields(fields, &mut read).is_none() {
        skip(read.entry);
    }
    Some(read)
}

/// Reads the fields of an entry; none if that ends before the last one.
fn read_fields(fields: &Value, into: &mut LogEntry) -> Option<()> {
    let fields = list(fields)?.chunks_exact(2);
    let fields: Option<Vec<(&str, &str)>> = fields
        .map(|pair| Some((text(&pair[0])?, text(&pair[1])?)))
        .collect();
    let fields = fields?;
    let field = |name: &str| {
        let mut found = fields.iter().filter(|field| field.0 == name);
        found.next().map(|field| field.1)
    };
    into.life = field("life")?.to_owned();
    into.at = Time(field("at")?.parse().ok()?);
    let mut decisions = fields
        .iter()
        .filter(|(name, _)| !["life", "at", "seed"].contains(name));
    decisions.try_for_each(|(kind, words)| {
        read_decisions(kind, words, field("seed"), &mut into.decisions)
    })
}

fn text(value: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(value)).ok()
}

/// Reads the decisions of one kind; none if one of them cannot be read, or no such kind is known.
fn read_decisions(
    kind: &str,
    words: &str,
    seed: Option<&str>,
    into: &mut Vec<LineDecision>,
) -> Option<()> {
    let read = match kind {
        "admitted" => read_admitted,
        "missed" => read_missed,
        "finished" => read_finished,
        "drawn" => {
            into.push(read_drawn(words, seed?)?);
            return Some(());
        }
        _ => return None,
    };
    let mut words = words.split_ascii_whitespace().peekable();
    while words.peek().is_some() {
        into.push(read(&mut words)?);
    }
    Some(())
}

/// Words of decisions.
type DecisionWords<'a> = Peekable<SplitAsciiWhitespace<'a>>;

fn read_drawn(outcome: &str, seed: &str) -> Option<LineDecision> {
    let outcome: Outcome = serde_json::from_str(outcome).ok()?;
    Some(LineDecision::Drawn {
        commitment: draw::commitment(&draw::unhex(seed)?),
        seed: seed.to_owned(),
        entries: outcome.entries,
        root: outcome.root,
    })
}

/// Reads the number and the visitor with which each decision begins.
fn read_visitor(words: &mut DecisionWords<'_>) -> Option<(u64, VisitorId)> {
    let number = words.next()?.parse().ok()?;
    Some((number, VisitorId::parse(words.next()?)?))
}

fn read_admitted(words: &mut DecisionWords<'_>) -> Option<LineDecision> {
    let (number, visitor) = read_visitor(words)?;
    let waited_seconds = words.next()?.parse().ok();
    let mut time = || words.next()?.parse().ok().map(Time);
    Some(LineDecision::Admitted {
        visitor,
        number,
        waited_seconds,
        admitted_at: time()?,
        claim_by: time()?,
    })
}

fn read_missed(words: &mut DecisionWords<'_>) -> Option<LineDecision> {
    let (number, visitor) = read_visitor(words)?;
    Some(LineDecision::Missed { visitor, number })
}

fn read_finished(words: &mut DecisionWords<'_>) -> Option<LineDecision> {
    let (number, visitor) = read_visitor(words)?;
    let how = match words.next()? {
        "finished" => AdmissionEnd::Finished,
        "left" => AdmissionEnd::Left,
        "ejected" => AdmissionEnd::Ejected,
        _ => AdmissionEnd::Expired,
    };
    Some(LineDecision::Finished {
        visitor,
        number,
        how,
    })
}
