//! The stop signal of a process.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` on SIGTERM or Ctrl-C. Both are listened for from now on: a signal that comes before
/// the task runs would end the process at once.
///
/// # Panics
/// Panics outside Tokio's runtime.
pub fn stop_on_signal(stop: CancellationToken) {
    let listen = |kind| signal(kind).expect("a process may listen for its signals");
    let mut terminate = listen(SignalKind::terminate());
    let mut interrupt = listen(SignalKind::interrupt());
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // The signal counts even where the log cannot be written.
        stop.cancel();
        tracing::info!("stopping");
    });
}
