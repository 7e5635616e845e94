//! Logs and what programs print: text for people, or one JSON object a line with `--log-format
//! json`. Never a secret.

use crate::trace::with_current;
use std::fmt::{self, Display};
use std::io::Write as _;
use std::sync::mpsc;
use std::time::Duration;
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Most lines that wait to be written; further ones are dropped.
const WAITING_LINES_MAX: usize = 10_000;

/// Clients of message brokers log each connection, and messages with all that is in them. The relay
/// reports their failures. A filter that names them comes later, and wins.
const QUIET: &str = "async_nats=off,lapin=off,rskafka=off";

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

impl LogFormat {
    /// Reads a format by its name.
    ///
    /// # Errors
    /// The end of a sentence for the operator.
    pub fn parse(text: &str) -> Result<LogFormat, String> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(format!("'{other}' is neither text nor json")),
        }
    }
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
    let filter = EnvFilter::try_new(format!("{QUIET},{level}"));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},info")));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Reporting a failed write would print to the very stream that failed, which panics.
        .log_internal_errors(false)
        .with_writer(writer);
    // A second start (two services in one test process) keeps the first one's settings.
    let _ = match format {
        LogFormat::Text => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let format = Format::default().compact().with_ansi(is_terminal);
            lines.event_format(WithIds::text(format)).try_init()
        }
        LogFormat::Json => {
            let format = Format::default().json().flatten_event(true);
            let format = format.with_current_span(false).with_span_list(false);
            lines.event_format(WithIds::json(format)).try_init()
        }
    };
    LogGuard(Some(guard))
}

/// Adds the ids of the request to each line of a format, which has no place for such fields: as its
/// last fields, between the end of what it wrote and `end`.
struct WithIds<F> {
    format: F,
    end: &'static str,
    has_quotes: bool,
}

impl<F> WithIds<F> {
    fn text(format: F) -> WithIds<F> {
        WithIds {
            format,
            end: "\n",
            has_quotes: false,
        }
    }

    fn json(format: F) -> WithIds<F> {
        WithIds {
            format,
            end: "}\n",
            has_quotes: true,
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for WithIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        let into = Writer::new(&mut line);
        self.format.format_event(context, into, event)?;
        let ids = with_current(|scope| (scope.request_id(), scope.trace_id()));
        let Some(((request_id, trace_id), start)) = ids.zip(line.strip_suffix(self.end)) else {
            return to.write_str(&line);
        };
        to.write_str(start)?;
        if self.has_quotes {
            write!(
                to,
                r#","request_id":"{request_id}","trace_id":"{trace_id}""#
            )?;
        } else {
            write!(to, " request_id={request_id} trace_id={trace_id}")?;
        }
        to.write_str(self.end)
    }
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
