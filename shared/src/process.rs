//! A service's process, from its first log line to the end of its drain.

use crate::http::front::Front;
use crate::http::operations::{Listeners, Operations};
use crate::log::{self, LogGuard};
use crate::settings::Settings;
use crate::signals::stop_on_signal;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// A process that logs and has its listeners bound.
pub struct Process {
    /// Set when the process shuts down.
    pub stop: CancellationToken,
    listeners: Listeners,
    _log: LogGuard,
}

impl Process {
    /// Starts the log, and binds the listeners before anything is opened.
    ///
    /// # Errors
    /// If an address cannot be listened on.
    pub async fn start(settings: &Settings) -> Result<Process, String> {
        let log = log::start(settings.log_format, &settings.log);
        for warning in &settings.unknown {
            tracing::warn!(warning, "a variable is no setting");
        }
        for warning in &settings.warnings {
            tracing::warn!(warning, "the settings are not fit for a sale");
        }
        Ok(Process {
            _log: log,
            stop: CancellationToken::new(),
            listeners: Listeners::bind(settings).await?,
        })
    }

    /// Serves until SIGTERM or Ctrl-C, drains, and then runs `last` to its end.
    pub async fn serve(
        self,
        app: impl Into<Front>,
        operations: Operations,
        last: impl Future<Output = ()>,
    ) {
        stop_on_signal(self.stop);
        let site = operations.site.clone();
        self.listeners.run(app.into(), operations).await;
        last.await;
        site.traces.finish().await;
    }
}

/// Ends a program: with 2, and every mistake on a line of its own, if it could not start.
pub fn exit(program: &str, outcome: Result<(), Vec<String>>) -> ExitCode {
    let Err(mistakes) = outcome else {
        return ExitCode::SUCCESS;
    };
    for mistake in mistakes {
        log::print_error(format_args!("{program}: {mistake}"));
    }
    ExitCode::from(2)
}
