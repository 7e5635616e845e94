//! Logs and what programs print: text for people, or one JSON object a line with `--log-format
//! json`. Never a secret.

use std::fmt::Display;
use std::io::Write as _;
use std::sync::mpsc;
use std::time::Duration;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Most lines that wait to be written; further ones are dropped.
const WAITING_LINES_MAX: usize = 10_000;

/// Longest wait at the end of the program for the last lines to be written.
const FLUSH: Duration = Duration::from_secs(1);

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Starts logging to standard error. `level` is a filter such as `info` or
/// `waiting_room=debug,info`.
///
/// A thread of its own writes the lines, so that a reader that has stopped or gone away holds up
/// nothing but the log. The returned guard is kept to the end of the program: dropping it writes
/// what is left.
pub fn start(format: LogFormat, level: &str) -> LogGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES_MAX)
        .lossy(true)
        .finish(std::io::stderr());
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        // Reporting a failed write would print to the very stream that failed, which panics.
        .log_internal_errors(false)
        .with_writer(writer);
    // A second start (two services in one test process) keeps the first one's settings.
    let _ = match format {
        LogFormat::Text => lines.compact().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    LogGuard(Some(guard))
}

/// Ends the log when it is dropped, once its last lines are written or `FLUSH` has passed.
#[must_use = "dropping the guard ends the log"]
pub struct LogGuard(Option<WorkerGuard>);

impl Drop for LogGuard {
    fn drop(&mut self) {
        let guard = self.0.take();
        let (ended, has_ended) = mpsc::channel();
        // The library's guard prints where it cannot flush, which blocks or panics on a dead
        // standard output: it does so in a thread that ends with the program at the latest.
        std::thread::spawn(move || {
            drop(guard);
            let _ = ended.send(());
        });
        let _ = has_ended.recv_timeout(FLUSH);
    }
}

/// Writes a line to standard output. Unlike `println!` it does not panic where the reader is gone.
pub fn print(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to standard error. Unlike `eprintln!` it does not panic where the reader is gone.
pub fn print_error(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
