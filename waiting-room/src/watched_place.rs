//! The place that a socket shows: kept up to date by the view of the line, by the line itself where
//! that does not suffice, and recorded in the line as watched.

use crate::line::{Life, Line, LineView, Refused, Returned, Spot};
use crate::pass::Pass;
use crate::place::{ahead_in, find_place, is_drawn_since};
use shared::ids::EventId;

/// A place that a socket at this node shows.
#[derive(Clone, Debug)]
pub struct WatchedPlace {
    pub spot: Spot,
    /// Life of the line in which the visitor has the number of `spot`, or an earlier one.
    pub life: Life,
    /// Whether the line has recorded that the socket is open.
    pub is_recorded: bool,
}

/// Outcome of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// The place is as the view has it, or as it was where the line could not be asked.
    Kept,
    /// The line has told the place.
    Told,
    /// The place no longer exists.
    Gone,
}

impl WatchedPlace {
    /// Creates the place of a socket that was just opened, as it was told in this life of the line or in
    /// a later one.
    pub fn new(spot: Spot, life: Life) -> WatchedPlace {
        WatchedPlace {
            spot,
            life,
            is_recorded: false,
        }
    }

    /// Returns the proof of the place.
    pub fn pass(&self) -> Pass {
        Pass::of(&self.spot, self.life)
    }

    /// Updates the place: from the view while the visitor waits, from the line once that says nothing
    /// of their number. In another life of the line that number may be another visitor's: nothing is read
    /// from the view until the store has confirmed it. Has the line record the socket if it has not.
    /// `as_drawn` gives a pass from before the draw the number drawn since.
    pub async fn update(
        &mut self,
        line: &dyn Line,
        event: &EventId,
        front: &LineView,
        as_drawn: impl Fn(&Pass) -> Pass,
    ) -> Update {
        let mut outcome = Update::Kept;
        // The visitor may have left and joined again, so that the line knows no socket of the place
        // that was drawn. To record it again also tells the number.
        self.is_recorded &= !is_drawn_since(front, &self.spot);
        if !self.is_recorded
            && let Some(spot) = record(line, event, &self.pass(), &as_drawn).await
        {
            self.take(spot, front.life);
            self.is_recorded = true;
            outcome = Update::Told;
        }
        if let Some(ahead) = ahead_in(front, &self.spot) {
            match self.returned(line, event, front.life) {
                Returned::Confirmed => {
                    self.life = front.life;
                    self.spot.ahead = ahead;
                    return outcome;
                }
                Returned::Pending => return outcome,
                Returned::Unknown => {}
            }
        }
        match find_place(line, event, &self.pass(), as_drawn).await {
            Ok(Some(spot)) => {
                self.is_recorded &= keeps_socket(&self.spot, &spot);
                self.take(spot, front.life);
                Update::Told
            }
            // The store is unreachable: the socket stays open and is updated once it is back.
            Err(Refused::Unavailable(_)) => outcome,
            Ok(None) | Err(_) => Update::Gone,
        }
    }

    /// Returns whether the number is the visitor's in this life of the line.
    fn returned(&self, line: &dyn Line, event: &EventId, life: Life) -> Returned {
        if self.life == life {
            return Returned::Confirmed;
        }
        line.returned(event, &self.spot, life)
    }

    fn take(&mut self, spot: Spot, life: Life) {
        self.spot = spot;
        self.life = life;
    }
}

/// Records in the line that a socket for the place of a pass is open at this node, and returns the
/// place; none if that has to be tried again. A place that the store has lost is given back first, also
/// where it has an older one.
async fn record(
    line: &dyn Line,
    event: &EventId,
    pass: &Pass,
    as_drawn: impl FnOnce(&Pass) -> Pass,
) -> Option<Spot> {
    let recorded = line.back(event, pass.visitor).await.ok()?;
    if recorded.is_none_or(|spot| spot.is_older_than(pass)) {
        drop(find_place(line, event, pass, as_drawn).await);
        return None;
    }
    recorded
}

/// Returns whether the line knows that a place has the socket which was recorded for an earlier answer.
/// A visitor who joined again has a new place without a socket; after a draw it cannot be told whether
/// its number is that of the new one.
fn keeps_socket(before: &Spot, now: &Spot) -> bool {
    (before.number, before.is_provisional) == (now.number, now.is_provisional)
}
