//! What fans do, through the nodes: as the routes of `fan.rs` and the sockets of `push.rs` do it.

use super::fan_state::{Fan, SimulatedSocket, Times, is_over};
use super::world::World;
use crate::hub::EventHub;
use crate::line::redis::Redis;
use crate::line::{Claimed, Joined, Line as _, Refused, Spot, VisitorState};
use crate::pass::Pass;
use crate::place::find_place;
use crate::watched_place::{Update, WatchedPlace};
use shared::ids::{EventId, VisitorId};
use shared::line_log::LOG_ENTRIES_MAX;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Result of a draw: visitors with the numbers that they drew.
pub(super) type DrawnList = BTreeMap<VisitorId, u64>;

/// A node as fans reach it.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) world: Arc<World>,
    pub(super) event: EventId,
    pub(super) node: usize,
    /// Life of the node.
    pub(super) life: u64,
    pub(super) line: Arc<Redis>,
    /// The result of the draw, once this node has read it.
    pub(super) list: Arc<parking_lot::Mutex<Option<DrawnList>>>,
    /// The event at this node; none before its first tick.
    pub(super) hub: Arc<parking_lot::Mutex<Option<Arc<EventHub>>>>,
}

impl Door {
    /// Forgets the event and ends its sockets, of which the line is told as of others.
    pub(super) fn forget(&self) {
        *self.hub.lock() = None;
        *self.list.lock() = None;
        let connected = self.world.lock().crowd.connected(self.node, self.life);
        for visitor in connected {
            let door = self.clone();
            tokio::spawn(async move { door.line.away(&door.event, visitor).await });
        }
        let now_ms = self.world.now_ms();
        self.world.lock().crowd.node_died(self.node, now_ms);
    }
}

/// Reads the log of decisions at a node as a checkout does, up to its end.
pub(super) async fn read_log(door: &Door) {
    loop {
        let place = door.world.lock().oracle.reader.place.clone();
        let page = door.line.decisions(&door.event, &place, LOG_ENTRIES_MAX);
        let Ok(page) = page.await else { return };
        let wrong = door.world.lock().oracle.reader.take(&place, &page);
        if let Some(why) = wrong {
            door.world.lock().oracle.fail(why);
        }
        if page.entries.is_empty() {
            return;
        }
    }
}

/// A request of a fan at a node, which is one of a kind at a time.
pub(super) struct FanRequest {
    pub(super) door: Door,
    pub(super) fan: usize,
    asked_ms: u64,
    /// By how many ms the store's clock was set then.
    asked_clock_ms: i64,
}

impl Drop for FanRequest {
    fn drop(&mut self) {
        self.door.world.lock().crowd.fans[self.fan].is_busy = false;
    }
}

impl FanRequest {
    /// Begins a request unless the fan has one under way. A node ticks before it serves any.
    pub(super) fn begin(door: &Door, fan: usize) -> Option<FanRequest> {
        if door.hub.lock().is_none() {
            return None;
        }
        let asked_ms = door.world.now_ms();
        let mut inner = door.world.lock();
        let kept = &mut inner.crowd.fans[fan];
        if std::mem::replace(&mut kept.is_busy, true) {
            return None;
        }
        drop(inner);
        Some(FanRequest {
            door: door.clone(),
            fan,
            asked_ms,
            asked_clock_ms: door.world.clock_ms(),
        })
    }

    fn fan(&self) -> Fan {
        self.door.world.lock().crowd.fans[self.fan].clone()
    }

    fn change(&self, change: impl FnOnce(&mut Fan)) {
        change(&mut self.door.world.lock().crowd.fans[self.fan]);
    }

    fn line(&self) -> &Arc<Redis> {
        &self.door.line
    }

    fn event(&self) -> &EventId {
        &self.door.event
    }

    /// Returns the pass of a place, as the node makes it.
    fn pass_of(&self, spot: &Spot) -> Option<Pass> {
        let hub = self.door.hub.lock().clone()?;
        Some(Pass {
            visitor: spot.visitor,
            number: spot.number,
            is_provisional: spot.is_provisional,
            life: hub.front().life,
        })
    }

    /// Returns whether the node shows another event than the store has.
    fn is_of_another_event(&self) -> bool {
        let hub = self.door.hub.lock().clone();
        let shown = hub.map(|hub| hub.front().life.creation);
        let stored = self.door.world.lock().oracle.creation();
        shown
            .zip(stored)
            .is_some_and(|(shown, stored)| shown != stored)
    }

    fn times(&self) -> Times {
        Times {
            node: self.door.node,
            asked_ms: self.asked_ms,
            now_ms: self.door.world.now_ms(),
            clocks_ms: [self.asked_clock_ms, self.door.world.clock_ms()],
            is_of_another_event: self.is_of_another_event(),
        }
    }

    /// Hands an answer to the fan's socket, which may be that of an earlier place of theirs.
    fn tell_socket(&self, spot: &Spot) {
        if self.fan().is_behind(spot) {
            self.tell(Some(spot));
        }
    }

    /// Hands an answer to the fan.
    fn tell(&self, spot: Option<&Spot>) {
        let world = &self.door.world;
        let times = self.times();
        let pass = spot.and_then(|spot| self.pass_of(spot));
        world.tell(|| format!("fan {} is told {spot:?}", self.fan));
        let mut inner = world.lock();
        let inner = &mut *inner;
        if inner.crowd.is_outdated(self.asked_ms) {
            return;
        }
        match spot {
            Some(spot) => inner
                .crowd
                .told(self.fan, spot, times, &inner.oracle.history),
            None => inner.crowd.told_nothing(self.fan, &inner.oracle.history),
        }
        if let Some(pass) = pass {
            let fan = &mut inner.crowd.fans[self.fan];
            fan.pass = Some(pass);
            fan.is_pass_of_no_use = inner.oracle.is_of_another_event(&pass);
        }
    }

    /// Returns a pass of before the draw with the number drawn since, if the node has the list.
    fn as_drawn(&self, pass: &Pass) -> Pass {
        let list = self.door.list.lock();
        let drawn = list.as_ref().filter(|_| pass.is_provisional);
        let number = drawn.and_then(|list| list.get(&pass.visitor).copied());
        number.map_or(*pass, |number| Pass {
            number,
            is_provisional: false,
            ..*pass
        })
    }

    /// Finds the place of a pass.
    async fn find_place(&self, pass: &Pass) -> Result<Option<Spot>, Refused> {
        let line = &**self.line();
        find_place(line, self.event(), pass, |pass| self.as_drawn(pass)).await
    }

    /// Counts the request as a sign of life where the store is away.
    fn hear(&self) {
        let (world, node) = (&self.door.world, self.door.node);
        let now_ms = world.now_ms();
        if let Some(from_ms) = world.away_from_ms().filter(|_| !world.is_cut(node)) {
            let mut inner = world.lock();
            inner.crowd.asked_in_vain(self.fan, node, now_ms, from_ms);
        }
    }

    /// Joins the line.
    pub(super) async fn join(self) {
        self.hear();
        if let Some(pass) = self.fan().pass {
            match self.find_place(&pass).await {
                Ok(Some(spot)) => {
                    self.tell(Some(&spot));
                    if !spot.may_rejoin() {
                        return;
                    }
                }
                Ok(None) => self.tell(None),
                Err(_) => return,
            }
        }
        let visitor = self.fan().visitor;
        self.change(|fan| fan.unknown.joined = true);
        let joined = self.line().join(self.event(), &[visitor]).await;
        self.door
            .world
            .tell(|| format!("fan {} joined: {joined:?}", self.fan));
        match joined {
            Ok(joined) => {
                for Joined::New(spot) | Joined::Known(spot) in &joined {
                    self.tell(Some(spot));
                }
            }
            Err(Refused::Unavailable(_)) => self.change(|fan| fan.unknown.joined_late = true),
            Err(_) => self.change(|fan| fan.unknown.joined = false),
        }
    }

    /// Polls the place.
    pub(super) async fn poll(self) {
        self.hear();
        let Some(pass) = self.fan().pass else { return };
        if let Ok(spot) = self.find_place(&pass).await {
            self.tell(spot.as_ref());
        }
    }

    /// Opens a socket.
    pub(super) async fn open(self) {
        self.hear();
        let Some(pass) = self.fan().pass else { return };
        let Some(hub) = self.door.hub.lock().clone() else {
            return;
        };
        let life = hub.front().life;
        let Ok(Some(spot)) = self.find_place(&pass).await else {
            return;
        };
        self.tell(Some(&spot));
        let is_gone = self.door.hub.lock().is_none();
        if is_gone || !self.door.world.is_alive(self.door.node, self.door.life) {
            return;
        }
        let socket = SimulatedSocket {
            node: self.door.node,
            life: self.door.life,
            watched: WatchedPlace::new(spot, life),
            is_cut_off: self.door.world.is_cut(self.door.node),
        };
        self.change(|fan| fan.socket = Some(socket));
        self.update_socket().await;
    }

    /// Closes the socket.
    pub(super) async fn close(self) {
        let visitor = self.fan().visitor;
        let now_ms = self.door.world.now_ms();
        self.door.world.lock().crowd.close(self.fan, now_ms);
        let _ = self.line().away(self.event(), visitor).await;
    }

    /// Sends the socket an update.
    pub(super) async fn update(self) {
        self.update_socket().await;
    }

    fn socket(&self) -> Option<SimulatedSocket> {
        let socket = self.fan().socket?;
        (socket.node == self.door.node && socket.life == self.door.life).then_some(socket)
    }

    async fn update_socket(&self) {
        let Some(mut socket) = self.socket() else {
            return;
        };
        let Some(hub) = self.door.hub.lock().clone() else {
            return;
        };
        let watched = &mut socket.watched;
        let before = watched.spot;
        // A socket of a place that is over asks now and then whether the fan has joined again; here
        // it does so once they may have.
        let (fan, spot) = (self.fan(), &watched.spot);
        let is_newer = (fan.number, fan.is_provisional) != (spot.number, spot.is_provisional);
        let may_have_joined = is_newer || fan.unknown.joined || fan.unknown.joined_late;
        if watched.is_recorded && is_over(spot.standing) && !may_have_joined {
            return;
        }
        let front = hub.front();
        let as_drawn = |pass: &Pass| self.as_drawn(pass);
        let updating = watched.update(&**self.line(), self.event(), &front, as_drawn);
        let outcome = updating.await;
        self.check_newest(&before, &socket.watched.spot);
        match outcome {
            Update::Kept => {}
            Update::Told => self.tell_socket(&socket.watched.spot),
            // A socket of an older place says nothing of the newer one, whose pass the fan shows next.
            Update::Gone if self.fan().has_socket() => self.tell(None),
            Update::Gone => {}
        }
        self.change(|fan| {
            if let Some(kept) = &mut fan.socket
                && kept.node == socket.node
                && kept.life == socket.life
            {
                *kept = socket;
            }
            if outcome == Update::Gone {
                fan.socket = None;
            }
        });
        if outcome == Update::Gone {
            let visitor = self.fan().visitor;
            let _ = self.line().away(self.event(), visitor).await;
        }
    }

    /// Checks that a socket does not go back to an older place of its fan.
    fn check_newest(&self, before: &Spot, now: &Spot) {
        let mut inner = self.door.world.lock();
        let is_same_order = before.is_provisional == now.is_provisional;
        if is_same_order && now.number < before.number && inner.crowd.excuse.is_none() {
            let why = format!("fan {}: a socket shows {now:?} after {before:?}", self.fan);
            inner.oracle.fail(why);
        }
    }

    /// Leaves the line, or gives the slot back.
    pub(super) async fn leave(self) {
        self.hear();
        let Some(pass) = self.fan().pass else { return };
        match self.find_place(&pass).await {
            Ok(Some(spot)) => self.tell(Some(&spot)),
            Ok(None) | Err(_) => return,
        }
        self.change(|fan| fan.unknown.left = true);
        if self.line().leave(self.event(), pass.visitor).await.is_ok() {
            self.end(VisitorState::Left);
        }
    }

    /// Records that the fan knows their place to be over.
    fn end(&self, state: VisitorState) {
        self.door
            .world
            .tell(|| format!("fan {} is {state:?}", self.fan));
        self.change(|fan| {
            let is_inside = fan.state.is_some_and(VisitorState::is_inside);
            if is_inside || fan.state == Some(VisitorState::Waiting) {
                fan.state = Some(state);
                fan.slot = None;
            }
        });
    }

    /// Enters the checkout with the token of the fan's number.
    pub(super) async fn claim(self) {
        let fan = self.fan();
        if fan.slot.is_none() || !fan.state.is_some_and(VisitorState::is_inside) {
            return;
        }
        self.change(|fan| fan.unknown.claimed = true);
        let claimed = self
            .line()
            .claim(self.event(), fan.visitor, fan.number)
            .await;
        self.take_claim(claimed, false);
    }

    /// Asks for more time in the checkout; again for the same, as pages do.
    pub(super) async fn extend(self) {
        let by_ms = self.door.world.lock().crowd.terms.extension_ms();
        let mut until = None;
        self.change(|fan| until = fan.extend(by_ms));
        let (Some(until), fan) = (until, self.fan()) else {
            return;
        };
        let extended = self
            .line()
            .extend(self.event(), fan.visitor, fan.number, until)
            .await;
        self.take_claim(extended, true);
    }

    /// Takes the answer to a claim, or to an extension.
    fn take_claim(&self, claimed: Result<Claimed, Refused>, is_extension: bool) {
        self.door.world.tell(|| {
            let what = if is_extension { "extended" } else { "claimed" };
            format!("fan {} {what}: {claimed:?}", self.fan)
        });
        let times = self.times();
        let mut inner = self.door.world.lock();
        let inner = &mut *inner;
        if inner.crowd.is_outdated(self.asked_ms) {
            return;
        }
        match claimed {
            Ok(Claimed::Until(until)) => {
                inner.crowd.told_claimed(self.fan, until, times);
                if is_extension {
                    inner.crowd.fans[self.fan].told_extended(times.clock_ms());
                }
            }
            Ok(Claimed::Lapsed) => {
                let history = &inner.oracle.history;
                inner.crowd.told_lapsed(self.fan, times, history);
            }
            Err(_) => {}
        }
    }

    /// Is done shopping; says so again afterwards, as checkouts do.
    pub(super) async fn finish(self) {
        let fan = self.fan();
        if fan.number == 0 || fan.is_provisional {
            return;
        }
        self.change(|fan| fan.unknown.finished = true);
        let finished = self
            .line()
            .finish(self.event(), fan.visitor, fan.number)
            .await;
        if finished.is_ok() {
            self.end(VisitorState::Finished);
        }
    }

    /// Tries to enter the checkout again after the turn is over.
    pub(super) async fn claim_again(self) {
        let fan = self.fan();
        let is_over = matches!(fan.state, Some(VisitorState::Finished | VisitorState::Left));
        if !is_over || fan.number == 0 || fan.is_provisional {
            return;
        }
        let claimed = self
            .line()
            .claim(self.event(), fan.visitor, fan.number)
            .await;
        if let Ok(Claimed::Until(_)) = claimed {
            let mut inner = self.door.world.lock();
            if inner.crowd.excuse.is_none() {
                let why = format!(
                    "fan {} entered the checkout after the turn: {fan:?}",
                    self.fan
                );
                inner.oracle.fail(why);
            }
        }
    }
}

/// Removes a visitor.
pub(super) async fn eject(door: Door, fan: usize, visitor: VisitorId) {
    door.world.lock().crowd.fans[fan].unknown.ejected = true;
    let _ = door.line.eject(&door.event, visitor).await;
}
