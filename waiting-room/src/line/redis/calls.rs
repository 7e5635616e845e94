//! Calls of scripts on one event's line. If another server than before answers, the line is
//! recovered and the script called again.

use super::batch::{Answer, Units};
use super::event_line::EventLine;
use super::operations::Operation;
use super::reply::Reply;
use super::script::Script;
use super::store::CallError;
use crate::line::Refused;
use shared::group_commit::Unavailable;
use std::sync::Arc;

impl EventLine {
    /// Runs an operation on visitors. If a different server than before answered, recovers the line
    /// and runs it again. While Redis is away, ticks probe it, and no operation waits for that.
    pub(super) async fn run(
        self: &Arc<EventLine>,
        operation: Operation,
        units: Units,
    ) -> Result<Answer, Refused> {
        if self.store().connection.is_away() {
            return Err(Unavailable.into());
        }
        match self.batches.run(operation, units.clone()).await {
            Err(CallError::Lost | CallError::Gone) => {
                // Boxed: every request would move the space for a tick with it otherwise.
                Box::pin(self.tick()).await?;
                let again = self.batches.run(operation, units).await;
                Ok(again.map_err(Unavailable::from)?)
            }
            outcome => Ok(outcome.map_err(Unavailable::from)?),
        }
    }

    /// Calls a script that takes no units, as [`EventLine::run`] does.
    pub(super) async fn call(
        self: &Arc<EventLine>,
        script: &Script,
        arguments: &[&[u8]],
    ) -> Result<Reply, Refused> {
        match self.caller.call(script, arguments).await {
            Err(CallError::Lost | CallError::Gone) => {
                // Boxed, as there.
                Box::pin(self.tick()).await?;
                let again = self.caller.call(script, arguments).await;
                Ok(again.map_err(Unavailable::from)?)
            }
            outcome => Ok(outcome.map_err(Unavailable::from)?),
        }
    }
}
