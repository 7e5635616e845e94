//! Calls of scripts on one event's line. If another server than before answers, the line is
//! recovered and the script called again.

use super::batch::{Answer, Units};
use super::event_line::EventLine;
use super::operations::Operation;
use super::reply::Reply;
use super::script::{self, Script};
use super::store::CallError;
use crate::draw::{Beacon, Round};
use crate::line::Refused;
use shared::group_commit::Unavailable;
use shared::ids::Availability;
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

    /// Records the seat counts that the checkout reports.
    pub(super) async fn report_seats(
        self: &Arc<EventLine>,
        seats: Availability,
    ) -> Result<(), Refused> {
        let counts = [seats.capacity, seats.available, seats.held].map(|count| count.to_string());
        let json = serde_json::to_vec(&seats).unwrap_or_default();
        let [capacity, available, held] = counts.each_ref().map(String::as_bytes);
        let arguments = [json.as_slice(), capacity, available, held];
        self.call(&script::REPORT, &arguments).await.map(drop)
    }

    /// Stores the round of a beacon, if that is still the one that the draw waits for.
    pub(super) async fn give_beacon(
        self: &Arc<EventLine>,
        named: &Beacon,
        round: &Round,
    ) -> Result<(), Refused> {
        let json = serde_json::to_vec(round).unwrap_or_default();
        self.fetch_view().await?;
        let seed = self.cache().seed_for(named).ok_or(Unavailable)?;
        let arguments = [json.as_slice(), seed.as_bytes()];
        self.call(&script::BEACON, &arguments).await.map(drop)
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
