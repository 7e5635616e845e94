//! The fans: what each of them was told, and whether what they are told next keeps the promises.

use super::fan_state::{Fan, Times, Unknown, Vain, is_over, rank};
use super::history::StoreHistory;
use super::stored::Stored;
use crate::line::{Spot, VisitorState};
use shared::ids::VisitorId;
use shared::time::Time;
use std::collections::{BTreeMap, BTreeSet};

/// Time that a node may have been silent for when it fails, in ms.
const BEAT_MS: u64 = 3_000;

/// What the fans of an event may expect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) away_ms: u64,
    pub(super) claim_ms: u64,
    pub(super) session_ms: u64,
}

impl Terms {
    /// Returns by how much a fan may extend their session, in ms.
    pub(super) fn extension_ms(self) -> u64 {
        self.session_ms
    }

    /// Returns how long after the admission a fan may shop, in ms.
    fn inside_ms(self, fan: &Fan) -> u64 {
        let extension_ms = if fan.is_extended() {
            self.extension_ms()
        } else {
            0
        };
        self.claim_ms + self.session_ms + extension_ms
    }
}

/// All fans.
pub(super) struct Crowd {
    pub(super) fans: Vec<Fan>,
    pub(super) terms: Terms,
    /// Why promises about places do not hold any more: more was lost than the documents allow.
    pub(super) excuse: Option<String>,
    pub(super) failure: Option<String>,
    holders: BTreeMap<u64, usize>,
    /// When the event was created, in ms since the beginning.
    created_ms: u64,
    /// The event is being deleted.
    pub(super) is_being_removed: bool,
}

impl Crowd {
    pub(super) fn new(visitors: impl Iterator<Item = VisitorId>, terms: Terms) -> Crowd {
        Crowd {
            fans: visitors.map(Fan::new).collect(),
            terms,
            excuse: None,
            failure: None,
            holders: BTreeMap::new(),
            created_ms: 0,
            is_being_removed: false,
        }
    }

    fn fail(&mut self, at: usize, why: &str) {
        if self.excuse.is_none() {
            let text = format!("fan {at}: {why}; {:?}", self.fans[at]);
            self.failure.get_or_insert(text);
        }
    }

    /// Gives up the promises about places.
    pub(super) fn excuse(&mut self, why: &str) {
        self.excuse.get_or_insert_with(|| why.to_owned());
    }

    /// Returns the visitors.
    pub(super) fn visitors(&self) -> Vec<VisitorId> {
        self.fans.iter().map(|fan| fan.visitor).collect()
    }

    /// Returns whether a fan was told the number that they drew.
    pub(super) fn is_anyone_drawn(&self) -> bool {
        let mut fans = self.fans.iter();
        fans.any(|fan| fan.number > 0 && !fan.is_provisional)
    }

    /// Forgets all places, of an event that was deleted. Sockets stay open until they are told.
    pub(super) fn begin_anew(&mut self, now_ms: u64) {
        self.created_ms = now_ms;
        self.is_being_removed = false;
        self.holders.clear();
        for fan in &mut self.fans {
            fan.forget();
            fan.unknown = Unknown {
                joined: fan.is_busy,
                ..Unknown::default()
            };
        }
    }

    /// Returns whether an answer may be about an event that was deleted since it was asked for.
    pub(super) fn is_outdated(&self, asked_ms: u64) -> bool {
        let is_of_before = self.created_ms > 0 && asked_ms <= self.created_ms;
        self.is_being_removed || is_of_before
    }

    /// Takes note of a loss of data. Who came between the opening and the draw, and has not asked
    /// since, is in no list and has no number to show; nor has who joined at a node that had yet to
    /// hear that the event is another one.
    pub(super) fn lost(&mut self, history: &StoreHistory) {
        for fan in &mut self.fans {
            let is_unlisted = fan.is_provisional && history.is_unlisted(fan.visitor);
            if is_unlisted || fan.is_pass_of_no_use && fan.socket.is_none() {
                fan.forget();
                fan.unknown.joined = true;
            }
        }
    }

    /// Takes note of a draw. Those who were in line at the opening are in it, except who has not
    /// come back since the store lost its data.
    pub(super) fn drawn(&mut self, history: &StoreHistory, now_ms: u64) {
        for at in 0..self.fans.len() {
            let fan = &self.fans[at];
            let Some(state) = fan.state.filter(|_| fan.is_provisional) else {
                continue;
            };
            let is_silent = fan.unknown.missed || self.is_silent(fan, now_ms);
            let may_have_ended =
                is_over(state) || fan.unknown.left || fan.unknown.ejected || is_silent;
            if history.drawn_number(fan.visitor).is_some() {
                continue;
            }
            if history.has_lost_since(fan.told_ms) && (may_have_ended || !fan.is_connected()) {
                let fan = &mut self.fans[at];
                fan.forget();
                fan.unknown.joined = true;
            } else if !may_have_ended {
                self.fail(at, "was in line and is not drawn");
            }
        }
    }

    /// Records that a node is gone with its sockets.
    pub(super) fn node_died(&mut self, node: usize, now_ms: u64) {
        self.forget_vain(node);
        for at in 0..self.fans.len() {
            let fan = &self.fans[at];
            if fan
                .socket
                .as_ref()
                .is_some_and(|socket| socket.node == node)
            {
                self.close(at, now_ms);
            }
        }
    }

    /// Closes the socket of a fan. One of an older place may be no sign of life for the newer one, which
    /// may be missed already.
    pub(super) fn close(&mut self, at: usize, now_ms: u64) {
        let is_silent = self.is_silent(&self.fans[at], now_ms);
        let fan = &mut self.fans[at];
        fan.unknown.missed |= is_silent;
        fan.close(now_ms);
    }

    /// Returns the visitors whose sockets are open at a node in one of its lives.
    pub(super) fn connected(&self, node: usize, life: u64) -> Vec<VisitorId> {
        let is_there = |fan: &&Fan| {
            let socket = fan.socket.as_ref();
            socket.is_some_and(|socket| (socket.node, socket.life) == (node, life))
        };
        let fans = self.fans.iter().filter(is_there);
        fans.map(|fan| fan.visitor).collect()
    }

    /// Records that a node cannot reach the store, or has reached it again.
    pub(super) fn cut_off(&mut self, node: usize, is_cut_off: bool, now_ms: u64) {
        self.forget_vain(node);
        for at in 0..self.fans.len() {
            let is_silent = self.is_silent(&self.fans[at], now_ms);
            let fan = &mut self.fans[at];
            let socket = fan.socket.as_mut().filter(|socket| socket.node == node);
            if let Some(socket) = socket.filter(|socket| socket.is_cut_off != is_cut_off) {
                socket.is_cut_off = is_cut_off;
                fan.heard_ms = now_ms;
                fan.unknown.missed |= is_silent;
            }
        }
    }

    /// Records that a fan asked a node while the store did not answer, which it is told later. A fan
    /// who was silent for too long before that may be missed already, also one who asked in vain in an
    /// earlier outage.
    pub(super) fn asked_in_vain(&mut self, at: usize, node: usize, now_ms: u64, away_from_ms: u64) {
        let away_ms = self.terms.away_ms;
        let fan = &mut self.fans[at];
        if fan.heard_ms + away_ms <= away_from_ms + BEAT_MS {
            return;
        }
        let heard_ms = fan.vain.map_or(fan.heard_ms, |vain| vain.heard_ms);
        fan.vain = Some(Vain { node, heard_ms });
        fan.heard_ms = now_ms;
    }

    /// Records that a node will not tell the store who asked it in vain.
    fn forget_vain(&mut self, node: usize) {
        for fan in &mut self.fans {
            if let Some(vain) = fan.vain.take_if(|vain| vain.node == node) {
                fan.heard_ms = vain.heard_ms;
            }
        }
    }

    /// Takes an answer without a place.
    pub(super) fn told_nothing(&mut self, at: usize, history: &StoreHistory) {
        let fan = &mut self.fans[at];
        let had_number = fan.number > 0 && !fan.is_provisional;
        if fan.state.is_some_and(is_over) && !had_number && history.has_lost_since(0) {
            // A place that was over before the draw.
            fan.forget();
            fan.unknown.joined = true;
        } else if fan.state.is_some() {
            self.fail(at, "has no place any more");
        }
    }

    /// Takes an answer with a place, which is complete if the fan asked for it.
    pub(super) fn told(&mut self, at: usize, spot: &Spot, times: Times, history: &StoreHistory) {
        if let Err(why) = self.judge(at, spot, times, history) {
            self.fail(at, &format!("{why}: told {spot:?}"));
        }
        self.take(at, spot, history);
        let fan = &mut self.fans[at];
        // The node tells the store of it after the draw.
        let is_deaf = history.has_drawn_since(times.asked_ms);
        let heard_ms = fan.vain.map_or(fan.heard_ms, |vain| vain.heard_ms);
        fan.vain = is_deaf.then_some(Vain {
            node: times.node,
            heard_ms,
        });
        fan.heard_ms = times.now_ms;
        fan.told_ms = times.asked_ms;
        fan.unknown.missed = false;
        fan.clock_ms = times.clock_ms();
    }

    /// Takes the answer that the slot of a fan is claimed until then.
    pub(super) fn told_claimed(&mut self, at: usize, until: Time, times: Times) {
        let fan = &mut self.fans[at];
        fan.state = Some(VisitorState::Shopping);
        let clocks = fan.clock_ms.zip(times.clock_ms());
        if let (Some(slot), Some((before, now))) = (&mut fan.slot, clocks) {
            slot.claim_by.0 += now - before;
            slot.expires_at = until;
            fan.clock_ms = Some(now);
        }
    }

    /// Takes the answer that the slot of a fan has lapsed.
    pub(super) fn told_lapsed(&mut self, at: usize, times: Times, history: &StoreHistory) {
        let fan = &self.fans[at];
        let Unknown {
            left,
            finished,
            ejected,
            ..
        } = fan.unknown;
        let is_inside = fan.state.is_some_and(VisitorState::is_inside);
        if is_inside && !(left || finished || ejected || self.may_be_missed(fan, times, history)) {
            self.fail(at, "the slot of an admitted fan is gone");
        }
    }

    fn take(&mut self, at: usize, spot: &Spot, history: &StoreHistory) {
        let fan = &mut self.fans[at];
        let is_drawn = fan.is_provisional && !spot.is_provisional;
        let is_new = fan.state.is_none() || fan.number != spot.number && !is_drawn;
        if is_new {
            fan.unknown = Unknown {
                ejected: fan.unknown.ejected,
                joined_late: fan.unknown.joined_late,
                ..Unknown::default()
            };
            fan.extension = None;
        }
        fan.state = Some(spot.standing);
        fan.number = spot.number;
        fan.is_provisional = spot.is_provisional;
        fan.slot = spot.slot;
        if spot.is_provisional {
            fan.arrival = spot.number;
        } else if history.drawn_number(fan.visitor) != Some(spot.number) {
            // A new place, of which a socket of before the draw knows nothing.
            fan.arrival = 0;
        }
        if spot.is_provisional || spot.number == 0 {
            return;
        }
        let holder = *self.holders.entry(spot.number).or_insert(at);
        if holder != at {
            let why = format!("number {} is that of fan {holder}, too", spot.number);
            self.fail(at, &why);
        }
    }

    /// Returns which promise an answer breaks.
    fn judge(
        &self,
        at: usize,
        spot: &Spot,
        times: Times,
        history: &StoreHistory,
    ) -> Result<(), String> {
        let fan = &self.fans[at];
        let is_drawn = fan.is_provisional && !spot.is_provisional;
        let Some(state) = fan.state else {
            let may_be = fan.unknown.joined || fan.unknown.joined_late;
            return if may_be {
                Ok(())
            } else {
                Err("never joined".to_owned())
            };
        };
        let drawn = history.drawn_number(fan.visitor).filter(|_| is_drawn);
        let may_be_newer = fan.unknown.joined || fan.unknown.joined_late;
        if drawn.is_some_and(|drawn| drawn != spot.number) && !may_be_newer {
            return Err(format!("drew {drawn:?}, and has another number"));
        }
        if state == VisitorState::Ejected && spot.standing != VisitorState::Ejected {
            return Err("was ejected and is back".to_owned());
        }
        if is_drawn && is_over(state) && may_be_newer {
            return Ok(());
        }
        if spot.number != fan.number && !is_drawn {
            let may_have_ended = is_over(state)
                || self.may_end(fan, VisitorState::Missed, times, history)
                || fan.unknown.left
                || fan.unknown.finished;
            let has_joined = fan.unknown.joined || fan.unknown.joined_late;
            let is_later = has_joined && spot.number > fan.number && may_have_ended;
            return if is_later {
                Ok(())
            } else {
                Err("another number".to_owned())
            };
        }
        if rank(spot.standing) < rank(state) {
            return Err("a place goes back".to_owned());
        }
        if is_over(state) {
            return Ok(());
        }
        if is_over(spot.standing) && !self.may_end(fan, spot.standing, times, history) {
            return Err("a place is lost".to_owned());
        }
        let claims = spot.standing == VisitorState::Shopping && state != VisitorState::Shopping;
        if claims && !fan.unknown.claimed {
            return Err("shopping without having claimed".to_owned());
        }
        // Deadlines move with the clock.
        let clocks = fan.clock_ms.zip(times.clock_ms());
        if let (Some(before), Some(now), Some((set_before, set_now))) =
            (fan.slot, spot.slot, clocks)
        {
            let set_ms = set_now - set_before;
            if now.claim_by.0 - set_ms < before.claim_by.0
                || now.expires_at.0 - set_ms < before.expires_at.0
            {
                return Err("a deadline came nearer".to_owned());
            }
        }
        let waits = spot.standing == VisitorState::Waiting && !spot.is_provisional;
        let is_counted = waits && !times.is_of_another_event;
        if is_counted && !history.was_ahead(spot.number, spot.ahead, times.asked_ms) {
            return Err("so many were never ahead".to_owned());
        }
        Ok(())
    }

    /// Returns whether a place may have ended in this way.
    fn may_end(&self, fan: &Fan, how: VisitorState, times: Times, history: &StoreHistory) -> bool {
        match how {
            VisitorState::Left => fan.unknown.left,
            VisitorState::Finished => fan.unknown.finished,
            VisitorState::Ejected => fan.unknown.ejected,
            _ => self.may_be_missed(fan, times, history),
        }
    }

    fn may_be_missed(&self, fan: &Fan, times: Times, history: &StoreHistory) -> bool {
        let claim_ms = self.terms.claim_ms;
        let now = times.now_ms;
        let admitted_ms = history.admitted_ms(history.number_of(fan));
        let inside_ms = admitted_ms.map(|at| now.saturating_sub(at));
        if fan.state == Some(VisitorState::Shopping) {
            return inside_ms.is_some_and(|inside| inside >= self.terms.inside_ms(fan));
        }
        let waits = fan.state == Some(VisitorState::Waiting);
        let is_silent = fan.unknown.missed || self.is_silent(fan, now);
        waits && is_silent || inside_ms.is_some_and(|inside| inside >= claim_ms)
    }

    /// Returns whether a fan gave no sign of life for so long that the place may be over.
    fn is_silent(&self, fan: &Fan, now_ms: u64) -> bool {
        !fan.is_connected() && now_ms + BEAT_MS >= fan.heard_ms + self.terms.away_ms
    }

    /// Returns a socket that shows the number of another visitor. Whatever was lost, none may go on doing
    /// that.
    pub(super) fn shown_of_another(&self, stored: &Stored) -> Option<String> {
        let sockets = self.fans.iter().filter_map(|fan| {
            let shown = fan.socket.as_ref()?.watched.spot;
            let is_shown = shown.standing == VisitorState::Waiting && !shown.is_provisional;
            is_shown.then_some((fan.visitor, shown.number))
        });
        let mut others = sockets.filter(|(visitor, number)| {
            let holder = stored.visitor(*number);
            holder.is_some_and(|holder| holder != *visitor)
        });
        let (visitor, number) = others.next()?;
        let holder = stored.visitor(number);
        Some(format!(
            "a socket of {visitor} shows number {number}, which is that of {holder:?}"
        ))
    }

    /// Returns the promise to fans that an admission breaks.
    pub(super) fn broken_by(
        &self,
        admitted: &BTreeSet<u64>,
        after: &Stored,
        history: &StoreHistory,
        now_ms: u64,
    ) -> Option<String> {
        if self.excuse.is_some() {
            return None;
        }
        let told = self.fans.iter().filter(|fan| {
            let is_inside = fan.state.is_some_and(VisitorState::is_inside);
            let may_be_done = fan.unknown.left || fan.unknown.finished || fan.unknown.ejected;
            is_inside
                && !may_be_done
                && !admitted.contains(&history.number_of(fan))
                && self.is_valid(fan, history, now_ms)
        });
        let inside = told.count() + admitted.len();
        if inside as i64 > after.max_active {
            return Some(format!(
                "{inside} fans hold an admission, at most {} may",
                after.max_active
            ));
        }
        let last = admitted.last()?;
        for (at, fan) in self.fans.iter().enumerate() {
            let number = history.number_of(fan);
            let has_it = admitted.contains(&number);
            // A join whose answer was lost may have acted before the draw: the number is that of a new place.
            let may_be_new = fan.is_provisional && (fan.unknown.joined || fan.unknown.joined_late);
            match fan.state {
                Some(state) if is_over(state) && has_it && !may_be_new => {
                    return Some(format!("fan {at} gets a second turn: {fan:?}"));
                }
                Some(VisitorState::Waiting) if !has_it && number < *last => {
                    let is_silent =
                        !fan.is_connected() && now_ms >= fan.heard_ms + self.terms.away_ms / 2;
                    let was_admitted = history.admitted_ms(number).is_some();
                    let unknown = fan.unknown;
                    let was_ended = unknown.left || unknown.missed || unknown.ejected;
                    let may_have_ended = was_ended || is_silent || was_admitted;
                    let is_known = after.visitor(number) == Some(fan.visitor);
                    if !may_have_ended && !is_known && number > 0 {
                        return Some(format!("fan {at} was overtaken: {fan:?}"));
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Returns whether the admission that a fan was told of is valid for certain.
    fn is_valid(&self, fan: &Fan, history: &StoreHistory, now_ms: u64) -> bool {
        let Some(admitted_ms) = history.admitted_ms(history.number_of(fan)) else {
            return false;
        };
        let lasts_ms = match fan.state {
            Some(VisitorState::Admitted) => self.terms.claim_ms,
            Some(VisitorState::Shopping) => self.terms.inside_ms(fan),
            _ => 0,
        };
        now_ms < admitted_ms + lasts_ms
    }
}
