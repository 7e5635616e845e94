//! What must hold at the store after each step: counters that agree with the sets, dense numbers,
//! the order of admission, its rate and its limit, places that are told as they are.

use super::crowd::Crowd;
use super::draw_state::{HELD, TO_BE_HELD, UNDER_WAY};
use super::drawn;
use super::history::StoreHistory;
use super::log_check::{LogReader, wrong_log};
use super::stored::{OVER, Stored, visitor};
use crate::pass::Pass;
use simulation::{Database, Reply};
use std::collections::{BTreeMap, BTreeSet};

/// A script that ran.
pub(super) struct Step<'a> {
    /// Time since the beginning, in ms.
    pub(super) at_ms: u64,
    /// Time of the store's clock, in ms.
    pub(super) store_ms: i64,
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
const QUIET: [&str; 14] = [
    "now",
    "is_new_node",
    "phase",
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
    pub(super) history: StoreHistory,
    /// Outcomes of the draws that were published, by their seeds.
    published: BTreeMap<String, String>,
    /// Part of its newest report that each node sent last.
    reports: BTreeMap<usize, ReportPart>,
    /// A checkout that reads the log of decisions.
    pub(super) reader: LogReader,
}

/// Part of a report after a loss, in the order in which nodes send them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ReportPart {
    Numbers,
    Slots,
    Order,
    End,
}

impl Oracle {
    pub(super) fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }

    /// Takes the data of a store that has lost some or was restarted. Returns whether it has gone back
    /// to an event that was deleted.
    pub(super) fn restarted(&mut self, database: &Database) -> bool {
        let before = self.stored.take().and_then(|stored| stored.creation);
        self.stored = Stored::read(database, None);
        let now = self.stored.as_ref().and_then(|stored| stored.creation);
        before.zip(now).is_some_and(|(before, now)| before != now)
    }

    /// Records that a node knows the outcome of a draw, and with it the seed, and may publish both.
    pub(super) fn publish(&mut self, seed: &str, outcome: &str, crowd: &Crowd) {
        let before = self.published.insert(seed.to_owned(), outcome.to_owned());
        if let Some(before) = before.filter(|before| before != outcome && crowd.excuse.is_none()) {
            let why = format!("the draw with the seed {seed} gave {before}, and then {outcome}");
            self.fail(why);
        }
    }

    /// Returns whether the store is in the middle of a draw.
    pub(super) fn is_drawing(&self) -> bool {
        let stored = self.stored.as_ref();
        stored.is_some_and(|stored| stored.draw.stage == UNDER_WAY)
    }

    /// Returns the identity of the event that the store has; none without one.
    pub(super) fn creation(&self) -> Option<u64> {
        self.stored.as_ref().and_then(|stored| stored.creation)
    }

    /// Returns whether a pass is of another event than the store has.
    pub(super) fn is_of_another_event(&self, pass: &Pass) -> bool {
        self.creation()
            .is_some_and(|creation| creation != pass.life.creation)
    }

    /// Returns whether the outcome of the draw that the store has may be known to anyone.
    pub(super) fn is_published(&self) -> bool {
        let seed = self.stored.as_ref().map(|stored| &stored.draw.seed);
        let seed = seed.and_then(|seed| std::str::from_utf8(seed).ok());
        seed.is_some_and(|seed| self.published.contains_key(seed))
    }

    /// Forgets the event.
    pub(super) fn begin_anew(&mut self) {
        let failure = self.failure.take();
        *self = Oracle {
            failure,
            published: std::mem::take(&mut self.published),
            ..Oracle::default()
        };
    }

    /// Forgets the rate measured so far: the store's clock was set.
    pub(super) fn clock_stepped(&mut self) {
        self.batches.clear();
    }

    /// Looks at a step and the line after it.
    pub(super) fn look(&mut self, step: &Step<'_>, database: &Database, crowd: &mut Crowd) {
        if let Reply::Error(text) = step.reply {
            self.fail(format!("script {} failed: {text}", step.name));
        }
        let before = self.stored.take();
        let stored = Stored::read(database, before.as_ref());
        if let Some(after) = &stored {
            // Nodes report in several steps.
            if let Some(why) = after.disagreement().filter(|_| !after.is_settling) {
                self.fail(format!("after {}: {why}", step.name));
            }
            self.check_places(step, after);
            self.check_report(step);
            if let Some(before) = &before {
                self.check_numbers(step, before, after);
                self.check_draw(step, before, after, crowd);
                self.check_admission(step, before, after, crowd);
                if let Some(why) = wrong_log(step.name, before, after) {
                    self.fail(why);
                }
            }
            self.history.remember(step.at_ms, after);
        }
        self.stored = stored;
    }

    /// Checks that a node reports an order, which may take longer than the recovery, after all else,
    /// and counts as one that has reported once that is over.
    fn check_report(&mut self, step: &Step<'_>) {
        let part = match (step.name, step.arguments) {
            ("recover", _) => ReportPart::Numbers,
            ("recover_slots", [_, _, _, _, b"0", ..]) => ReportPart::Slots,
            ("recover_draw", _) => ReportPart::Order,
            ("recover_slots", _) => ReportPart::End,
            _ => return,
        };
        let before = self.reports.insert(step.node, part);
        if part != ReportPart::Numbers && before.is_some_and(|before| part < before) {
            self.fail(format!("{part:?} was reported after {before:?}"));
        }
    }

    /// Checks what a step does to the draw.
    fn check_draw(&mut self, step: &Step<'_>, before: &Stored, after: &Stored, crowd: &mut Crowd) {
        let is_armed = after.draw.stage == TO_BE_HELD && before.draw.stage != TO_BE_HELD;
        if step.name == "configure" && is_armed {
            if before.numbers > 0 {
                self.fail("a draw was armed with visitors in line".to_owned());
            }
            self.history.forget_draw();
        }
        if step.name == "recover" && after.draw.stage == HELD {
            self.history.recall_draw();
        }
        if !before.draw.is_undrawn() || before.is_settling || after.is_settling {
            return;
        }
        if let Err(why) = drawn::check_step(before, after, step.store_ms) {
            self.fail(format!("{}: {why}", step.name));
        }
        if (before.draw.stage, after.draw.stage) != (UNDER_WAY, HELD) {
            if before.draw.stage == TO_BE_HELD && after.draw.stage == HELD {
                self.fail("a draw was over before it began".to_owned());
            }
            return;
        }
        let seed = String::from_utf8_lossy(&after.draw.seed);
        if self.published.contains_key(&*seed) && crowd.excuse.is_none() {
            let why = format!("a draw was held with the seed {seed}, which is published");
            return self.fail(why);
        }
        match drawn::check_order(before, after) {
            Ok(order) => {
                self.history.draw(order, after.list.len() as u64);
                crowd.drawn(&self.history, step.at_ms);
            }
            Err(why) => self.fail(why),
        }
    }

    /// Checks the places in a reply against the line.
    fn check_places(&mut self, step: &Step<'_>, after: &Stored) {
        let Reply::Array(values) = step.reply else {
            return;
        };
        if let Some(Reply::Array(units)) = field(values.get(1..).unwrap_or_default(), "units") {
            for (at, unit) in units.iter().enumerate() {
                let wrong = match unit {
                    Reply::Array(place) => wrong_place(place, after),
                    Reply::Integer(lives) if step.name == "living" => {
                        let whose = step.arguments.get(2 + at).and_then(|word| visitor(word));
                        let truth = whose.is_some_and(|whose| after.has(whose));
                        (truth != (*lives == 1)).then(|| format!("{whose:?} lives: {truth}"))
                    }
                    Reply::Bulk(none) if none.is_empty() && is_look_up(step.name) => {
                        let whose = step.arguments.get(2 + at).and_then(|word| visitor(word));
                        let lives = whose.filter(|whose| after.has(*whose));
                        lives.map(|whose| format!("none of {whose:?}"))
                    }
                    _ => None,
                };
                if let Some(why) = wrong {
                    self.fail(format!("{} tells a place wrong: {why}", step.name));
                }
            }
        }
        let is_done = values.first() == Some(&Reply::Bulk(b"ok".to_vec()));
        if step.name == "report" && is_done && !after.has_seats(&step.arguments[3..]) {
            self.fail("the seats are not those reported".to_owned());
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
        if let Reply::Array(values) = step.reply
            && let Some(told) = integer(&values[1..], "is_undrawn")
            && (told == 1) != after.draw.is_undrawn()
        {
            self.fail(format!("join says of new numbers, undrawn: {told}"));
        }
        if after.waiting.is(&before.waiting) && after.numbers == before.numbers {
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
        if after.inside.is(&before.inside) {
            return;
        }
        let is_new = |number: &&u64| !before.inside.contains_key(number);
        let admitted: BTreeSet<u64> = after.inside.keys().filter(is_new).copied().collect();
        let Some(last) = admitted.last().copied().filter(|_| step.name == "tick") else {
            return;
        };
        if after.draw.is_undrawn() {
            self.fail("a visitor was admitted before the draw".to_owned());
        }
        for number in &admitted {
            self.history.admit(*number, step.at_ms);
        }
        if let Some(first) = after.waiting.first().filter(|first| **first < last) {
            self.fail(format!("number {last} was admitted before {first}"));
        }
        let inside = after.inside.len() as i64;
        let most = after.inside_max(step.store_ms);
        if inside > most {
            self.fail(format!("{inside} are inside, at most {most} may be"));
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

/// Returns whether a script answers with the place of each visitor.
fn is_look_up(name: &str) -> bool {
    matches!(name, "place" | "back" | "peek")
}

/// Returns what is wrong with a place that a reply has.
fn wrong_place(place: &[Reply], after: &Stored) -> Option<String> {
    let (number, state) = (integer(place, "number")?, integer(place, "state")?);
    let truth = after.state(number as u64);
    if truth != state && (truth < OVER || state < OVER) {
        return Some(format!(
            "number {number} is in state {state}, truth {truth}"
        ));
    }
    let is_undrawn = integer(place, "is_provisional") == Some(1);
    if is_undrawn != (number > 0 && after.draw.is_undrawn()) {
        let stage = after.draw.stage;
        return Some(format!(
            "number {number} in stage {stage} of the draw, undrawn: {is_undrawn}"
        ));
    }
    if let Some(Reply::Bulk(whose)) = field(place, "visitor") {
        let truth = after.visitor(number as u64);
        if visitor(whose) != truth {
            return Some(format!("number {number} is that of {truth:?}"));
        }
    }
    let ahead = integer(place, "ahead")?;
    let truth = after.ahead(number as u64) as i64;
    (ahead != truth).then(|| format!("{ahead} ahead of {number}, truth {truth}"))
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
