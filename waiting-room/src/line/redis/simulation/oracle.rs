//! What must hold at the store after each step: counters that agree with the sets, dense numbers,
//! the order of admission, its rate and its limit, positions that are true.

use super::crowd::Crowd;
use super::history::History;
use super::stored::Stored;
use simulation::Reply;
use std::collections::BTreeSet;

/// A script that ran.
pub(super) struct Step<'a> {
    /// Time since the beginning, in ms.
    pub(super) at_ms: u64,
    pub(super) node: usize,
    pub(super) name: &'static str,
    /// Its arguments, the time and the node included.
    pub(super) arguments: &'a [&'a [u8]],
    pub(super) reply: &'a Reply,
}

impl Step<'_> {
    /// Describes the step in a line.
    pub(super) fn describe(&self) -> String {
        let arguments = self.arguments.get(2..).unwrap_or_default();
        let arguments: Vec<String> = arguments.iter().map(|word| shown(word)).collect();
        format!(
            "{:>7}   node {} {} {} -> {}",
            self.at_ms,
            self.node,
            self.name,
            arguments.join(" "),
            if self.name == "tick" {
                shown_view(self.reply)
            } else {
                shown_reply(self.reply)
            }
        )
    }
}

fn shown(bytes: &[u8]) -> String {
    let is_plain = bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
    match std::str::from_utf8(bytes) {
        Ok(text) if is_plain && text.len() > 60 => format!("{}…", &text[..60]),
        Ok(text) if is_plain => text.to_owned(),
        _ if bytes.len() == 16 => {
            let id = u128::from_be_bytes(bytes.try_into().unwrap_or_default());
            format!("v{id:x}")
        }
        _ => format!("<{} bytes>", bytes.len()),
    }
}

/// Fields of a view that a story leaves out.
const QUIET: [&str; 15] = [
    "now",
    "is_new_node",
    "phase",
    "draw",
    "generation",
    "total_joined",
    "total_admitted",
    "total_finished",
    "total_missed",
    "total_left",
    "availability",
    "nodes",
    "settings",
    "born",
    "seed",
];

/// Shows a reply, of a view what matters.
fn shown_view(reply: &Reply) -> String {
    let Reply::Array(values) = reply else {
        return shown_reply(reply);
    };
    let pairs = values.get(1..).unwrap_or_default().chunks_exact(2);
    let loud = pairs.filter_map(|pair| {
        let name = shown_reply(&pair[0]);
        let is_quiet = QUIET.contains(&name.as_str());
        (!is_quiet).then(|| format!("{name} {}", shown_reply(&pair[1])))
    });
    let loud: Vec<String> = loud.collect();
    format!(
        "{} {}",
        values.first().map_or(String::new(), shown_reply),
        loud.join(" ")
    )
}

fn shown_reply(reply: &Reply) -> String {
    match reply {
        Reply::Nil => "nil".to_owned(),
        Reply::Integer(number) => number.to_string(),
        Reply::Bulk(bytes) => shown(bytes),
        Reply::Status(word) => word.clone(),
        Reply::Error(text) => format!("error {text}"),
        Reply::Array(replies) => {
            let replies: Vec<String> = replies.iter().map(shown_reply).collect();
            format!("[{}]", replies.join(" "))
        }
    }
}

/// Visitors admitted in one step.
#[derive(Clone, Copy, Debug)]
struct Batch {
    at_ms: u64,
    count: i64,
    rate: i64,
}

/// Judge of what the store does.
#[derive(Default)]
pub(super) struct Oracle {
    /// The first promise that was broken.
    pub(super) failure: Option<String>,
    stored: Option<Stored>,
    batches: Vec<Batch>,
    pub(super) history: History,
}

impl Oracle {
    pub(super) fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }

    /// Takes the line as it is after the store lost data.
    pub(super) fn store_lost(&mut self, stored: Option<Stored>) {
        self.stored = stored;
    }

    /// Forgets the event.
    pub(super) fn begin_anew(&mut self) {
        let failure = self.failure.take();
        *self = Oracle {
            failure,
            ..Oracle::default()
        };
    }

    /// Forgets the rate measured so far: the store's clock was set.
    pub(super) fn clock_stepped(&mut self) {
        self.batches.clear();
    }

    /// Looks at a step and the line after it.
    pub(super) fn look(&mut self, step: &Step<'_>, stored: Option<Stored>, crowd: &Crowd) {
        if let Reply::Error(text) = step.reply {
            self.fail(format!("script {} failed: {text}", step.name));
        }
        let before = self.stored.take();
        if let Some(after) = &stored {
            // Nodes report in several steps.
            if let Some(why) = after.disagreement().filter(|_| !after.is_settling) {
                self.fail(format!("after {}: {why}", step.name));
            }
            self.check_positions(step, after);
            if let Some(before) = &before {
                self.check_numbers(step, before, after);
                self.check_admission(step, before, after, crowd);
            }
            self.history.remember(step.at_ms, after);
        }
        self.stored = stored;
    }

    /// Checks the positions in a reply against the line.
    fn check_positions(&mut self, step: &Step<'_>, after: &Stored) {
        let Reply::Array(values) = step.reply else {
            return;
        };
        if let Some(Reply::Array(units)) = field(values.get(1..).unwrap_or_default(), "units") {
            for unit in units {
                let Reply::Array(place) = unit else { continue };
                let told = (integer(place, "number"), integer(place, "ahead"));
                let (Some(number), Some(ahead)) = told else {
                    continue;
                };
                let truth = after.ahead(number as u64) as i64;
                if ahead != truth {
                    let name = step.name;
                    self.fail(format!(
                        "{name} says {ahead} ahead of {number}, truth {truth}"
                    ));
                }
            }
        }
        if step.name == "tick"
            && let Some(waiting) = integer(&values[1..], "waiting")
            && waiting != after.waiting.len() as i64
        {
            let truth = after.waiting.len();
            self.fail(format!("tick says that {waiting} wait, truth {truth}"));
        }
    }

    fn check_numbers(&mut self, step: &Step<'_>, before: &Stored, after: &Stored) {
        if step.name != "join" {
            return;
        }
        let new: Vec<u64> = after.waiting.difference(&before.waiting).copied().collect();
        let expected: Vec<u64> = (before.numbers + 1..=after.numbers).collect();
        if new != expected {
            self.fail(format!(
                "join gave the numbers {new:?} after {}",
                before.numbers
            ));
        }
        if !new.is_empty() && before.is_settling {
            self.fail("a number was given while nodes had still to report".to_owned());
        }
    }

    fn check_admission(&mut self, step: &Step<'_>, before: &Stored, after: &Stored, crowd: &Crowd) {
        let is_new = |number: &&u64| !before.inside.contains_key(number);
        let admitted: BTreeSet<u64> = after.inside.keys().filter(is_new).copied().collect();
        let Some(last) = admitted.last().copied().filter(|_| step.name == "tick") else {
            return;
        };
        for number in &admitted {
            self.history.admit(*number, step.at_ms);
        }
        if let Some(first) = after.waiting.first().filter(|first| **first < last) {
            self.fail(format!("number {last} was admitted before {first}"));
        }
        let inside = after.inside.len() as i64;
        if inside > after.max_active {
            self.fail(format!(
                "{inside} are inside, at most {} may be",
                after.max_active
            ));
        }
        if after.is_paused {
            self.fail("a visitor was admitted while admission was paused".to_owned());
        }
        if let Some(why) = crowd.broken_by(&admitted, after, &self.history, step.at_ms) {
            self.fail(why);
        }
        self.check_rate(step, admitted.len() as i64, after);
    }

    /// Checks that a step admitted one batch at most, and that no span of time had more admissions
    /// than the highest rate in it allows.
    fn check_rate(&mut self, step: &Step<'_>, count: i64, after: &Stored) {
        let (at_ms, rate) = (step.at_ms, after.rate);
        let batch = rate * after.batch_ms.max(60_000 / rate.max(1)) / 60_000 + 1;
        if count > batch {
            self.fail(format!(
                "{count} were admitted at once, a batch has {batch}"
            ));
        }
        self.batches.push(Batch { at_ms, count, rate });
        let (mut sum, mut rate) = (0, rate);
        for batch in self.batches.iter().rev() {
            let span = (at_ms - batch.at_ms) as i64;
            rate = rate.max(batch.rate);
            if sum * 60_000 > rate * span + 60_000 {
                let why = format!("{sum} were admitted within {span} ms, at a rate of {rate}");
                self.failure.get_or_insert(why);
                return;
            }
            sum += batch.count;
        }
    }
}

fn field<'a>(values: &'a [Reply], name: &str) -> Option<&'a Reply> {
    let mut pairs = values.chunks_exact(2);
    let is_it = |key: &Reply| matches!(key, Reply::Bulk(key) if key == name.as_bytes());
    pairs.find(|pair| is_it(&pair[0])).map(|pair| &pair[1])
}

fn integer(values: &[Reply], name: &str) -> Option<i64> {
    match field(values, name)? {
        Reply::Integer(number) => Some(*number),
        Reply::Bulk(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}
