//! The Lua scripts: one file per operation, each preceded by the files it shares with others.

use super::connection::{CommandError, Connection};
use crate::instruments::script_seconds;
use prometheus_client::metrics::histogram::Histogram;
use redis::{Cmd, Value};
use shared::trace::{Parent, Span};
use std::sync::LazyLock;
use tokio::time::Instant;

/// An operation of the line as a Lua script.
pub(super) struct Script {
    name: &'static str,
    /// Name of a call as a span.
    span: String,
    text: String,
    hash: String,
    seconds: Histogram,
}

impl Script {
    fn new(name: &'static str, files: &[&str]) -> Script {
        let text = files.concat();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        let seconds = script_seconds(name);
        Script {
            name,
            span: format!("EVALSHA {name}"),
            text,
            hash,
            seconds,
        }
    }

    /// Returns the hash and the text, each with the name.
    #[cfg(test)]
    pub(super) fn named(&self) -> [(&[u8], &'static str); 2] {
        [&self.hash, &self.text].map(|by| (by.as_bytes(), self.name))
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Runs the script with one key, or prefix of keys. Sends its whole text if the server does not
    /// have it loaded.
    pub(super) async fn run<'a>(
        &self,
        connection: &Connection,
        key: &str,
        arguments: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Result<Value, CommandError> {
        let command = |name: &str, script: &str| {
            let mut command = Cmd::new();
            command.arg(name).arg(script).arg(1).arg(key);
            for argument in arguments.clone() {
                command.arg(argument);
            }
            command
        };
        let begun = Instant::now();
        let mut span = Span::store("redis", &self.span);
        span.text("db.stored_procedure.name", self.name);
        let answer = match connection.send(&command("EVALSHA", &self.hash)).await {
            Err(CommandError::NoScript) => connection.send(&command("EVAL", &self.text)).await,
            answer => answer,
        };
        self.seconds.observe(begun.elapsed().as_secs_f64());
        if answer.is_err() {
            span.fail("unanswered");
        }
        answer
    }

    /// Begins a span in the trace of each request that shares a call.
    pub(super) fn spans<'a>(
        &self,
        requests: impl ExactSizeIterator<Item = &'a Parent>,
    ) -> Vec<Span> {
        let mut spans = Parent::store_for_each(requests, "redis", &self.span);
        for span in &mut spans {
            span.text("db.stored_procedure.name", self.name);
        }
        spans
    }
}

/// Names of an event's keys.
const KEYS: &str = include_str!("keys.lua");
/// Reads the time.
const CLOCK: &str = include_str!("clock.lua");
/// Reads the state of the line.
const HEAD: &str = include_str!("head.lua");
/// Writes the state of the line, and the log of decisions.
const SAVE: &str = include_str!("save.lua");
/// Helpers of the scripts on a line.
const NUMBERS: &str = include_str!("numbers.lua");
const PLACES: &str = include_str!("places.lua");
/// Helper of the scripts that nodes are registered by.
const NODES: &str = include_str!("nodes.lua");
/// Helpers of the scripts of a draw.
const DRAW: &str = include_str!("draw.lua");
/// Helper of the scripts that set places waiting.
const ALIVE: &str = include_str!("alive.lua");

/// Creates a script on a line that exists, from its files.
fn on_line(name: &'static str, files: &[&str]) -> Script {
    let before = [
        "local IS_TICK = false\n",
        KEYS,
        CLOCK,
        HEAD,
        SAVE,
        NUMBERS,
        PLACES,
    ];
    Script::new(name, &[&before, files].concat())
}

pub(super) static CREATE: LazyLock<Script> =
    LazyLock::new(|| Script::new("create", &[KEYS, CLOCK, include_str!("create.lua")]));
pub(super) static TICK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "tick",
        &[
            "local IS_TICK = true\n",
            KEYS,
            CLOCK,
            HEAD,
            SAVE,
            NUMBERS,
            PLACES,
            NODES,
            include_str!("reap.lua"),
            include_str!("lapse.lua"),
            include_str!("admit.lua"),
            include_str!("sweep.lua"),
            include_str!("changes.lua"),
            include_str!("tick.lua"),
        ],
    )
});
pub(super) static JOIN: LazyLock<Script> =
    LazyLock::new(|| on_line("join", &[ALIVE, include_str!("join.lua")]));
pub(super) static PLACE: LazyLock<Script> =
    LazyLock::new(|| on_line("place", &[include_str!("place.lua")]));
pub(super) static PEEK: LazyLock<Script> =
    LazyLock::new(|| on_line("peek", &[include_str!("peek.lua")]));
pub(super) static BACK: LazyLock<Script> = LazyLock::new(|| {
    on_line(
        "back",
        &[NODES, include_str!("hold.lua"), include_str!("back.lua")],
    )
});
pub(super) static AWAY: LazyLock<Script> =
    LazyLock::new(|| on_line("away", &[NODES, include_str!("away.lua")]));
pub(super) static CLAIM: LazyLock<Script> =
    LazyLock::new(|| on_line("claim", &[include_str!("claim.lua")]));
pub(super) static FINISH: LazyLock<Script> =
    LazyLock::new(|| on_line("finish", &[include_str!("finish.lua")]));
pub(super) static LEAVE: LazyLock<Script> =
    LazyLock::new(|| on_line("leave", &[include_str!("leave.lua")]));
pub(super) static EJECT: LazyLock<Script> =
    LazyLock::new(|| on_line("eject", &[include_str!("eject.lua")]));
pub(super) static FIND: LazyLock<Script> =
    LazyLock::new(|| on_line("find", &[include_str!("find.lua")]));
pub(super) static REPORT: LazyLock<Script> =
    LazyLock::new(|| on_line("report", &[include_str!("report.lua")]));
pub(super) static WAITS: LazyLock<Script> =
    LazyLock::new(|| on_line("waits", &[include_str!("waits.lua")]));
pub(super) static CONFIGURE: LazyLock<Script> =
    LazyLock::new(|| on_line("configure", &[include_str!("configure.lua")]));
pub(super) static RECOVER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "recover",
        &[KEYS, CLOCK, ALIVE, include_str!("recover.lua")],
    )
});
pub(super) static RECOVER_SLOTS: LazyLock<Script> =
    LazyLock::new(|| on_line("recover_slots", &[include_str!("recover_slots.lua")]));
pub(super) static RECOVER_DRAW: LazyLock<Script> =
    LazyLock::new(|| on_line("recover_draw", &[include_str!("recover_draw.lua")]));
pub(super) static REENTER: LazyLock<Script> = LazyLock::new(|| {
    on_line(
        "reenter",
        &[
            ALIVE,
            NODES,
            include_str!("hold.lua"),
            include_str!("reenter.lua"),
        ],
    )
});
pub(super) static DRAW_BEGIN: LazyLock<Script> =
    LazyLock::new(|| on_line("draw_begin", &[DRAW, include_str!("draw_begin.lua")]));
pub(super) static DRAW_WRITE: LazyLock<Script> =
    LazyLock::new(|| on_line("draw_write", &[DRAW, include_str!("draw_write.lua")]));
pub(super) static DRAW_COMMIT: LazyLock<Script> =
    LazyLock::new(|| on_line("draw_commit", &[DRAW, include_str!("draw_commit.lua")]));
pub(super) static CLIENTS: LazyLock<Script> =
    LazyLock::new(|| Script::new("clients", &[KEYS, CLOCK, include_str!("clients.lua")]));
pub(super) static SIGN_OUT: LazyLock<Script> =
    LazyLock::new(|| Script::new("sign_out", &[CLOCK, include_str!("sign_out.lua")]));
pub(super) static LIMIT: LazyLock<Script> =
    LazyLock::new(|| Script::new("limit", &[CLOCK, include_str!("limit.lua")]));
pub(super) static LIST: LazyLock<Script> =
    LazyLock::new(|| Script::new("list", &[CLOCK, include_str!("list.lua")]));
pub(super) static LIVING: LazyLock<Script> =
    LazyLock::new(|| on_line("living", &[include_str!("living.lua")]));
pub(super) static DECISIONS: LazyLock<Script> =
    LazyLock::new(|| on_line("decisions", &[include_str!("decisions.lua")]));
pub(super) static REMOVE: LazyLock<Script> =
    LazyLock::new(|| Script::new("remove", &[KEYS, DRAW, include_str!("remove.lua")]));
pub(super) static REGISTER: LazyLock<Script> =
    LazyLock::new(|| Script::new("register", &[include_str!("register.lua")]));
pub(super) static BEACON: LazyLock<Script> =
    LazyLock::new(|| on_line("beacon", &[include_str!("beacon.lua")]));

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Returns what follows each `before` in a text, up to the end of the word.
    fn words_after<'a>(text: &'a str, before: &'a str) -> BTreeSet<&'a str> {
        let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let found = text.match_indices(before).map(|(at, _)| {
            let rest = &text[at + before.len()..];
            &rest[..rest.find(ends).unwrap_or(rest.len())]
        });
        found.filter(|word| !word.is_empty()).collect()
    }

    #[test]
    fn each_script_is_headed_by_the_keys_that_it_touches() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/line/redis");
        let names = fs::read_to_string(folder.join("keys.lua")).unwrap();
        let names = words_after(&names, "\n  ");
        for file in fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|kind| kind != "lua") || path.ends_with("keys.lua") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let is_comment = |line: &&str| line.starts_with("--");
            let code: Vec<&str> = text.lines().filter(|line| !is_comment(line)).collect();
            let code = code.join("\n");
            let listed = words_after(&text, "\n--   ");
            let listed: BTreeSet<_> = listed.intersection(&names).copied().collect();
            let touched = words_after(&code, "keys.");
            let touched: BTreeSet<_> = touched.into_iter().collect();
            assert_eq!(listed, touched, "{}", path.display());
            assert!(touched.is_subset(&names), "{}", path.display());
        }
    }
}
