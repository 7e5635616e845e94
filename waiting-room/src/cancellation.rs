//! The end of a line whose show the checkout cancelled.

use crate::line::{Line, Patch, Refused};
use shared::cancellation::Cancellation;
use shared::ids::EventId;

/// Closes the line for good, with the organiser's reason as its message. Repeated, it changes nothing.
///
/// # Errors
/// If there is no such event, or the line cannot be reached.
pub async fn cancel(
    line: &dyn Line,
    event: &EventId,
    cancellation: &Cancellation,
) -> Result<(), Refused> {
    let view = line.view(event).await?;
    if view.settings.cancelled.is_some() {
        return Ok(());
    }
    let patch = Patch {
        cancelled: Some(cancellation.clone()),
        ..Patch::default()
    };
    line.configure(event, patch).await.map(drop)
}
