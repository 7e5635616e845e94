//! WebSocket of a fan's place: one task per socket, one `select!`. Each fan is updated when it
//! matters to them; a slow reader skips to the newest update.

use crate::app::{App, Room};
use crate::credentials::pass_of;
use crate::error::no_pass;
use crate::hub::{EventHub, OpenSocket};
use crate::instruments::ToldWait;
use crate::line::{LineView, Phase, VisitorState, Wait};
use crate::pass::Pass;
use crate::place::{Place, due_after, told_wait};
use crate::watched_place::{Update, WatchedPlace};
use axum::extract::{Extension, Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use shared::http::credentials::check_origin;
use shared::http::openapi::Refusals;
use shared::http::permit::ConnectionPermit;
use shared::http::problem::Problem;
use shared::http::socket::{
    Beat, FRAMES_MAX, Handshake, Heard, MESSAGE_BYTES_MAX, NoHandshake, Pulse, Socket,
    SocketLimits, close, hear, ping, send_text, tick,
};
use shared::ids::EventId;
use shared::metrics::sockets::{self, Closed};
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Buffers and limits of a socket. Most are idle most of the time.
const LIMITS: SocketLimits = SocketLimits {
    read_bytes: 256,
    write_bytes_max: 16 * 1024,
    message_bytes_max: MESSAGE_BYTES_MAX,
    frames_max: FRAMES_MAX,
};
/// Time over which an update for all fans is spread, so that nothing bursts.
const SPREAD_MS: u64 = 600;
/// Time over which fans of a node that shuts down reconnect.
const RETURN_MS: u64 = 10_000;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(watch_place))
}

/// Watch the caller's place in line: a WebSocket of `place`, `notice`, `tick` and `reconnect`
/// messages.
#[utoipa::path(get, path = "/api/v1/events/{event}/line/ws", tag = "line",
    params(("event" = String, Path)), security(("pass" = [])),
    responses((status = 101, description = "The socket is open"),
        (status = 426, description = "Not a WebSocket handshake"), Refusals))]
async fn watch_place(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
    connection: Option<Extension<Arc<ConnectionPermit>>>,
    handshake: Result<Handshake, NoHandshake>,
) -> Result<Response, Problem> {
    let event = EventId::parse(&event).map_err(|_| Problem::no_such_event())?;
    let hub = room.hub(&event).await?;
    let pass = pass_of(&room, &headers, &event).ok_or_else(no_pass)?;
    check_origin(&room.site, &headers, pass.by_cookie)?;
    let handshake = match handshake {
        Ok(handshake) => handshake,
        Err(refusal) => return Ok(refusal.into_response()),
    };
    // Before the place, which may be of a later life.
    let life = hub.front().life;
    let spot = room.find_place(&event, &pass.content).await?;
    let watched = WatchedPlace::new(spot.ok_or_else(no_pass)?, life);
    let fan = FanSocket {
        connection: connection.map(|Extension(connection)| connection),
        room,
        hub,
        event,
        watched,
        shown: None,
        shown_message: None,
        told: None,
        pulse: Pulse::start(),
    };
    // Boxed, so that a waiting fan's task holds two pointers instead of everything the handshake
    // needed.
    let fan = Box::new(fan);
    Ok(handshake.accept(LIMITS, move |socket| Box::pin(fan.run(Box::new(socket)))))
}

/// Socket of a fan who watches their place.
struct FanSocket {
    room: Arc<Room>,
    hub: Arc<EventHub>,
    event: EventId,
    watched: WatchedPlace,
    /// Last place sent.
    shown: Option<ShownPlace>,
    shown_message: Option<String>,
    /// First expected wait that was sent since the organiser last changed the pace.
    told: Option<ToldWait>,
    pulse: Pulse,
    /// Permit of this connection, kept until the socket ends, so that the drain waits for it.
    connection: Option<Arc<ConnectionPermit>>,
}

/// Parts of a place whose change is worth a message.
#[derive(PartialEq)]
struct ShownPlace {
    standing: VisitorState,
    ahead: u64,
    /// Number of waiting visitors, which matters before a draw; else 0.
    waiting: u64,
    /// Revision of the view: phase, message and settings.
    revision: u64,
    seats_available: Option<u32>,
    is_stale: bool,
    /// Expected wait, in steps of five seconds.
    wait: Wait,
    /// Deadline of the turn, which an outage moves.
    claim_by: Option<Time>,
}

impl FanSocket {
    /// Serves a socket from its opening to its close.
    async fn run(mut self: Box<FanSocket>, mut socket: Box<Socket>) {
        let visitor = self.watched.spot.visitor;
        let mut open = sockets::PLACE.open();
        open.closed = match self.hub.sockets.enter(visitor) {
            None => Closed::Crowded,
            Some(entered) => {
                let closed = self.run_until_end(&mut socket, &entered).await;
                if self.hub.sockets.exit(visitor, &entered) {
                    Box::pin(self.record_away()).await;
                }
                closed
            }
        };
        Box::pin(close(&mut socket, open.closed)).await;
        drop(self.connection);
    }

    /// Records in the line that the fan is away, unless a newer socket of theirs was opened at this
    /// moment.
    async fn record_away(&self) {
        let visitor = self.watched.spot.visitor;
        let _ = self.room.line.away(&self.event, visitor).await;
        if self.hub.sockets.contains(visitor) {
            let _ = self.room.line.back(&self.event, visitor).await;
        }
    }

    /// Runs the socket until it ends. Every arm of the `select!` is safe to drop: the receivers
    /// keep what they have, and a message is sent completely before the next iteration.
    async fn run_until_end(&mut self, socket: &mut Socket, entered: &OpenSocket) -> Closed {
        let mut revision = self.hub.revision.subscribe();
        let stop = self.room.site.stop.clone();
        let mut due = Instant::now();
        let jitter_ms = (self.watched.spot.visitor.0 % u128::from(SPREAD_MS)) as u64;
        loop {
            tokio::select! {
                () = sleep_until(due) => {
                    // Boxed: its memory is held during the update, not for the life of the socket.
                    if let Err(closed) = Box::pin(self.send_update(socket, entered)).await {
                        return closed;
                    }
                    let rest = due_after(&self.hub.front.borrow(), &self.watched.spot);
                    due = Instant::now() + rest.min(self.pulse.rest());
                }
                _ = revision.changed() => {
                    due = due.min(Instant::now() + Duration::from_millis(jitter_ms));
                }
                () = stop.cancelled() => {
                    let after_ms = (self.watched.spot.visitor.0 % u128::from(RETURN_MS)) as u64;
                    let text = json!({"type": "reconnect", "after_ms": after_ms}).to_string();
                    Box::pin(send_text(socket, text)).await;
                    return Closed::Leaving;
                }
                heard = hear(socket) => match heard {
                    Ok(heard) => {
                        self.pulse.hear();
                        entered.hear();
                        if heard == Heard::Question {
                            let now = self.room.now(&self.event);
                            if !Box::pin(tick(socket, now)).await {
                                return Closed::Gone;
                            }
                        }
                    }
                    Err(closed) => return closed,
                }
            }
        }
    }

    /// Sends the place if it changed.
    ///
    /// # Errors
    /// The reason for which the socket ends.
    async fn send_update(
        &mut self,
        socket: &mut Socket,
        entered: &OpenSocket,
    ) -> Result<(), Closed> {
        if self.hub.is_gone() {
            return Err(Closed::Ended);
        }
        let beat = self.pulse.beat();
        // The line knows one node of each visitor. Once another tab was opened at another node, this
        // one records itself again from time to time, in case that tab is closed.
        if beat == Beat::Ping && entered.take_moved() {
            self.watched.is_recorded = false;
        }
        let front = self.hub.front();
        // Here and not in the handshake: a socket that never opened must not keep a place.
        if self.update_place(&front).await == Update::Gone {
            return Err(Closed::Ended);
        }
        if !self.keep_alive(socket, beat).await {
            return Err(Closed::Gone);
        }
        let message = &front.settings.message;
        let is_new_message = self.shown.is_some() && self.shown_message != *message;
        self.shown_message.clone_from(message);
        if let Some(text) = message.as_ref().filter(|_| is_new_message) {
            let notice = json!({"type": "notice", "message": text}).to_string();
            if !send_text(socket, notice).await {
                return Err(Closed::Gone);
            }
        }
        let wait = told_wait(&front, &self.watched.spot);
        self.calibrate(&front, wait);
        let shown = Some(ShownPlace {
            standing: self.watched.spot.standing,
            ahead: self.watched.spot.ahead,
            waiting: front.waiting * u64::from(self.watched.spot.is_provisional),
            revision: front.revision,
            seats_available: front.availability.map(|seats| seats.available),
            is_stale: self.room.is_stale(&self.event),
            wait: Wait {
                range: wait.range.map(|(low, high)| (low / 5, high / 5)),
                ..wait
            },
            claim_by: self.watched.spot.slot.map(|slot| slot.claim_by),
        });
        if self.shown == shown {
            return Ok(());
        }
        self.shown = shown;
        let place = self.room.place(&self.event, &self.watched.spot, &front);
        let text = serde_json::to_string(&PlaceMessage {
            r#type: "place",
            now: place.claim_by.map(|_| self.room.now(&self.event)),
            place,
        })
        .unwrap_or_default();
        let is_taken = send_text(socket, text).await;
        is_taken.then_some(()).ok_or(Closed::Gone)
    }

    /// Keeps the first wait that is told, until the organiser changes the pace, and compares it with
    /// the true one once the fan is admitted.
    fn calibrate(&mut self, front: &LineView, wait: Wait) {
        let admission = &front.settings.admission;
        match self.watched.spot.standing {
            VisitorState::Waiting => {
                let is_valid = front.phase == Phase::Open;
                self.told = self
                    .told
                    .take()
                    .filter(|told| is_valid && told.holds(admission));
                if self.told.is_none() {
                    self.told = wait.range.map(|range| ToldWait::now(range, admission));
                }
            }
            VisitorState::Admitted => {
                if let Some(told) = self.told.take() {
                    self.hub.metrics.compare(&told);
                }
            }
            _ => {}
        }
    }

    /// Sends a ping if one is due; returns false when the client is gone.
    async fn keep_alive(&self, socket: &mut Socket, beat: Beat) -> bool {
        match beat {
            Beat::Rest => true,
            Beat::Ping => ping(socket, self.room.now(&self.event)).await,
            Beat::Gone => false,
        }
    }

    async fn update_place(&mut self, front: &LineView) -> Update {
        let (room, event) = (&self.room, &self.event);
        let as_drawn = |pass: &Pass| room.as_drawn(event, pass);
        let updating = self.watched.update(&*room.line, event, front, as_drawn);
        updating.await
    }
}

/// A place as pushed.
#[derive(serde::Serialize)]
struct PlaceMessage {
    r#type: &'static str,
    /// The server's time, if there is a deadline to count down to.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<Time>,
    #[serde(flatten)]
    place: Place,
}
