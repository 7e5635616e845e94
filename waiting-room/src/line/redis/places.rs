//! Operations on the visitors of one event's line.

use super::batch::{Unit, Units};
use super::connected::Number;
use super::event_line::EventLine;
use super::operations::{
    AWAY, BACK, CLAIM, EJECT, FIND, FINISH, JOIN, LEAVE, LIVING, Operation, PEEK, PLACE, REENTER,
};
use super::reply::{Fields, PlaceReply, bytes, number};
use super::view_reply::phase;
use crate::line::{Claimed, Joined, NUMBERS_MAX, Phase, Refused, Spot, VisitorState};
use crate::pass::Pass;
use redis::Value;
use shared::group_commit::Unavailable;
use shared::ids::VisitorId;
use shared::time::Time;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Age at which a view is fetched again before positions are read from it.
const VIEW_AGE_MAX: Duration = Duration::from_secs(1);

/// Returns the oldest time of a view that is good enough for a request that only reads.
pub(super) fn recently() -> Instant {
    let now = Instant::now();
    now.checked_sub(VIEW_AGE_MAX).unwrap_or(now)
}

impl EventLine {
    pub(super) async fn join(
        self: &Arc<EventLine>,
        visitors: &[VisitorId],
    ) -> Result<Vec<Joined>, Refused> {
        let mut joined = Vec::with_capacity(visitors.len());
        for some in visitors.chunks(JOIN.units_max) {
            let units = match some {
                [visitor] => Units::One(Unit::of(*visitor)),
                many => Units::Many(many.iter().copied().map(Unit::of).collect()),
            };
            let answer = self.run(JOIN, units).await?;
            let fields = answer.reply.fields();
            let header = JoinHeader::read(fields);
            for (value, visitor) in answer.units.iter().zip(some) {
                joined.push(self.read_joined(*visitor, value, &header, fields).await?);
            }
        }
        Ok(joined)
    }

    async fn read_joined(
        self: &Arc<EventLine>,
        visitor: VisitorId,
        value: &Value,
        header: &JoinHeader,
        fields: Fields<'_>,
    ) -> Result<Joined, Refused> {
        match value {
            Value::Int(number) => {
                let number = number.unsigned_abs();
                let spot = Spot {
                    visitor,
                    number,
                    is_provisional: header.is_undrawn,
                    standing: VisitorState::Waiting,
                    ahead: (header.ahead + number).saturating_sub(header.numbers + 1),
                    slot: None,
                };
                self.learn_order(header.is_undrawn).await?;
                self.record_joined(&spot);
                Ok(Joined::New(spot))
            }
            value if bytes(value) == b"refused" => Err(self.refusal(phase(fields))),
            value if bytes(value) == b"full" => Err(Refused::Full("this line is full")),
            value => {
                let place = PlaceReply::read(visitor, value).ok_or(Unavailable)?;
                let spot = self.complete(place, recently()).await?;
                self.record(&spot);
                Ok(Joined::Known(spot))
            }
        }
    }

    /// Returns why visitors cannot join in a phase.
    fn refusal(&self, phase: Option<Phase>) -> Refused {
        match phase {
            Some(Phase::Scheduled) => {
                let settings = self.settings();
                Refused::NotOpen(settings.and_then(|settings| settings.line_opens_at()))
            }
            Some(phase) => Refused::Closed(phase),
            None => Unavailable.into(),
        }
    }

    /// Completes a place: if the script did not count the visitors ahead, counts them in a view no
    /// older than `from`.
    async fn complete(
        self: &Arc<EventLine>,
        place: PlaceReply,
        from: Instant,
    ) -> Result<Spot, Refused> {
        let PlaceReply { mut spot, is_exact } = place;
        if spot.number > 0 {
            self.learn_order(spot.is_provisional).await?;
        }
        if spot.standing == VisitorState::Waiting && !is_exact {
            // Boxed: every request would move the space for a tick with it otherwise.
            Box::pin(self.fetch_view_since(from)).await?;
            spot.ahead = self.cache().ahead(spot.number);
        }
        Ok(spot)
    }

    /// Reads the line again if it was drawn since this node read it, or has lost the draw: numbers are
    /// others then. What this node learned of one by the order that it knows would be lost with the
    /// store.
    ///
    /// # Errors
    /// [`Refused::Unavailable`] if the store has lost data meanwhile, and with it what was answered.
    async fn learn_order(self: &Arc<EventLine>, is_undrawn: bool) -> Result<(), Refused> {
        if self.is_undrawn() == is_undrawn {
            return Ok(());
        }
        let reports = &self.caller.reports;
        let before = reports.load(Ordering::Acquire);
        // Boxed: every request would move the space for a tick with it otherwise.
        Box::pin(self.fetch_view_since(Instant::now())).await?;
        if reports.load(Ordering::Acquire) == before {
            Ok(())
        } else {
            Err(Unavailable.into())
        }
    }

    /// Runs an operation that returns one visitor's place. If the script did not count the visitors
    /// ahead, they are counted in a view no older than `from`.
    async fn locate(
        self: &Arc<EventLine>,
        operation: Operation,
        visitor: VisitorId,
        from: Instant,
    ) -> Result<Option<Spot>, Refused> {
        let units = Units::One(Unit::of(visitor));
        let answer = self.run(operation, units).await?;
        if answer.reply.fields().number("is_deaf") == 1 {
            self.cache().hear(visitor);
        }
        let value = answer.units.first();
        let Some(place) = value.and_then(|value| PlaceReply::read(visitor, value)) else {
            return Ok(None);
        };
        let spot = self.complete(place, from).await?;
        self.record(&spot);
        Ok(Some(spot))
    }

    pub(super) async fn place(
        self: &Arc<EventLine>,
        visitor: VisitorId,
    ) -> Result<Option<Spot>, Refused> {
        match self.locate(PLACE, visitor, recently()).await {
            // There is no memory to keep the sign of life in; nor does time pass for the line.
            Err(Refused::Unavailable(_)) if self.store().connection.is_full() => {
                self.peek(visitor).await
            }
            outcome => outcome,
        }
    }

    pub(super) async fn peek(
        self: &Arc<EventLine>,
        visitor: VisitorId,
    ) -> Result<Option<Spot>, Refused> {
        self.locate(PEEK, visitor, recently()).await
    }

    pub(super) async fn back(
        self: &Arc<EventLine>,
        visitor: VisitorId,
    ) -> Result<Option<Spot>, Refused> {
        let life = self.cache().life();
        // A fan who comes from another node must not see an older view than that node showed.
        let spot = self.locate(BACK, visitor, Instant::now()).await?;
        if let Some(spot) = &spot {
            self.cache().connect(spot, life);
        }
        Ok(spot)
    }

    pub(super) async fn away(self: &Arc<EventLine>, visitor: VisitorId) -> Result<(), Refused> {
        self.cache().disconnect(visitor);
        let units = Units::One(Unit::of(visitor));
        let recorded = self.run(AWAY, units).await.map(drop);
        if recorded.is_ok() {
            self.cache().leaving.remove(&visitor);
        }
        recorded
    }

    pub(super) async fn reenter(
        self: &Arc<EventLine>,
        pass: &Pass,
    ) -> Result<Option<Spot>, Refused> {
        // The life is only as new as the last tick: a loss of data at the server may not have been
        // noticed yet.
        self.tick_since(Instant::now()).await?;
        if !self.is_earlier(pass.life) || pass.number > NUMBERS_MAX {
            return Ok(None);
        }
        // A number from before the draw says nothing about the place after it. But another node may
        // have given the place back before the draw, which was held since the caller looked for it.
        if pass.is_provisional && !self.is_undrawn() {
            return self.place(pass.visitor).await;
        }
        // The store has lost their socket as well.
        let is_connected = self.cache().connected.contains_key(&pass.visitor);
        let number = Number {
            number: pass.number,
            is_provisional: pass.is_provisional,
        };
        let unit = Unit::returning(pass.visitor, number, pass.life.creation, is_connected);
        let answer = self.run(REENTER, Units::One(unit)).await?;
        if is_connected {
            self.cache().note_if_left(pass.visitor);
        }
        let value = answer.units.first();
        let Some(place) = value.and_then(|value| PlaceReply::read(pass.visitor, value)) else {
            return Ok(None);
        };
        let spot = self.complete(place, recently()).await?;
        self.record(&spot);
        Ok(Some(spot))
    }

    /// Runs an operation that returns a number for one unit. Its reply says whether that is one of
    /// before the draw, or says nothing where it is none.
    async fn run_one(
        self: &Arc<EventLine>,
        operation: Operation,
        unit: Unit,
    ) -> Result<i64, Refused> {
        let answer = self.run(operation, Units::One(unit)).await?;
        let number = answer.units.first().map_or(0, number);
        if number > 0 {
            let is_undrawn = answer.reply.fields().number("is_undrawn") == 1;
            self.learn_order(is_undrawn).await?;
        }
        Ok(number)
    }

    pub(super) async fn extend(
        self: &Arc<EventLine>,
        visitor: VisitorId,
        number: u64,
        until: Time,
    ) -> Result<Claimed, Refused> {
        let unit = Unit::until(visitor, number, until);
        let answer = self.run(CLAIM, Units::One(unit)).await?;
        let place = answer.units.first();
        let place = place.and_then(|value| PlaceReply::read(visitor, value));
        let spot = place.map(|place| place.spot);
        let Some((spot, slot)) = spot.and_then(|spot| Some((spot, spot.slot?))) else {
            return Ok(Claimed::Lapsed);
        };
        self.learn_order(spot.is_provisional).await?;
        self.record(&spot);
        Ok(Claimed::Until(slot.expires_at))
    }

    pub(super) async fn finish(
        self: &Arc<EventLine>,
        visitor: VisitorId,
        number: u64,
    ) -> Result<(), Refused> {
        let unit = Unit::with(visitor, number);
        let ended = self.run_one(FINISH, unit).await?;
        self.cache().end(ended, VisitorState::Finished);
        Ok(())
    }

    pub(super) async fn leave(self: &Arc<EventLine>, visitor: VisitorId) -> Result<(), Refused> {
        let reports = &self.caller.reports;
        let before = reports.load(Ordering::Acquire);
        let ended = self.run_one(LEAVE, Unit::of(visitor)).await?;
        if ended == 0 && reports.load(Ordering::Acquire) != before {
            // The store has lost whose place it is, and learns that by the pass of the next attempt.
            return Err(Unavailable.into());
        }
        self.cache().end(ended, VisitorState::Left);
        Ok(())
    }

    pub(super) async fn eject(self: &Arc<EventLine>, visitor: VisitorId) -> Result<bool, Refused> {
        let ended = self.run_one(EJECT, Unit::of(visitor)).await?;
        self.cache().end(ended, VisitorState::Ejected);
        Ok(ended >= 0)
    }

    pub(super) async fn living(
        self: &Arc<EventLine>,
        visitors: &[VisitorId],
    ) -> Result<Vec<VisitorId>, Refused> {
        let mut living = Vec::new();
        for some in visitors.chunks(LIVING.units_max) {
            let units = some.iter().copied().map(Unit::of).collect();
            let answer = self.run(LIVING, Units::Many(units)).await?;
            let told = some.iter().zip(&answer.units);
            let live = told.filter(|(_, lives)| number(lives) == 1);
            living.extend(live.map(|(visitor, _)| *visitor));
        }
        Ok(living)
    }

    pub(super) async fn find(self: &Arc<EventLine>, number: u64) -> Result<Option<Spot>, Refused> {
        let answer = self.run(FIND, Units::One(Unit::numbered(number))).await?;
        let place = answer.units.first().and_then(PlaceReply::read_with_visitor);
        Ok(place.map(|place| place.spot))
    }
}

/// Common part of the replies of `join.lua`.
struct JoinHeader {
    /// The new numbers are still to be drawn.
    is_undrawn: bool,
    /// Visitors ahead of the first new one.
    ahead: u64,
    /// Numbers given out before.
    numbers: u64,
}

impl JoinHeader {
    fn read(fields: Fields<'_>) -> JoinHeader {
        JoinHeader {
            is_undrawn: fields.number("is_undrawn") == 1,
            ahead: fields.count("ahead"),
            numbers: fields.count("numbers"),
        }
    }
}
