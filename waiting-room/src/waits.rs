//! The waits of visitors who are to be told before their turn, as the checkout asks for them.

use crate::line::{Line, Phase, Refused, VisitorState};
use crate::place::told_wait;
use futures_util::future::try_join_all;
use shared::ids::{EventId, VisitorId};
use shared::line_mail::{LineWaits, VisitorWait, WaitRange};

/// Returns the waits that these visitors are told, of those who wait. It is no sign of life of them.
///
/// # Errors
/// As [`Line::view`] and [`Line::peek`].
pub async fn waits(
    line: &dyn Line,
    event: &EventId,
    visitors: &[VisitorId],
) -> Result<LineWaits, Refused> {
    let front = line.view(event).await?;
    // If nothing is told of the wait of the first, then nothing of those of others.
    let is_told = front.phase == Phase::Open && front.forecast.wait(0).range.is_some();
    if !is_told || front.is_recovering {
        return Ok(LineWaits::untold());
    }
    let peeks = visitors.iter().map(|visitor| line.peek(event, *visitor));
    let spots = try_join_all(peeks).await?;
    let waiting = spots.into_iter().flatten();
    let waiting = waiting.filter(|spot| spot.standing == VisitorState::Waiting);
    Ok(LineWaits {
        is_told: true,
        waits: waiting
            .map(|spot| VisitorWait {
                visitor: spot.visitor,
                number: (!spot.is_provisional).then_some(spot.number),
                seconds: told_wait(&front, &spot)
                    .range
                    .map(|(low, high)| WaitRange { low, high }),
            })
            .collect(),
    })
}
