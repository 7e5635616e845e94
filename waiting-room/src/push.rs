//! WebSocket of a fan's place: one task per socket, one `select!`. Each fan is updated when it
//! matters to them; a slow reader skips to the newest update.

use crate::app::{App, Room};
use crate::credentials::pass_of;
use crate::error::no_pass;
use crate::hub::EventHub;
use crate::instruments::ToldWait;
use crate::line::{LineView, Refused, Spot, VisitorState};
use crate::pass::Pass;
use crate::place::{Place, due_after, eta};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;
use shared::http::credentials::check_origin;
use shared::http::openapi::Refusals;
use shared::http::permit::ConnectionPermit;
use shared::http::problem::Problem;
use shared::http::socket::{Beat, MESSAGES_MAX, Pulse, ping, send};
use shared::ids::EventId;
use shared::metrics::sockets::{self, Closed};
use shared::time::Time;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::CapacityError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Maximum length of a client's message, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Time over which an update for all fans is spread, so that nothing bursts.
const SPREAD_MS: u64 = 600;
/// Time over which fans of a node that shuts down reconnect.
const RETURN_MS: u64 = 10_000;

const REPLACED: u16 = 4001;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(watch_place))
}

/// Watch the caller's place in line: a WebSocket of `place`, `notice`, `tick` and `reconnect`
/// messages.
#[utoipa::path(get, path = "/api/v1/events/{event}/line/ws", tag = "line",
    params(("event" = String, Path)), security(("pass" = [])),
    responses((status = 101, description = "The socket is open"), (status = 426, description = "Not a WebSocket handshake"), Refusals))]
async fn watch_place(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
    connection: Option<Extension<Arc<ConnectionPermit>>>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let event = EventId::parse(&event).map_err(|_| Problem::no_such_event())?;
    let hub = room.hub(&event).await?;
    let pass = pass_of(&room, &headers, &event).ok_or_else(no_pass)?;
    check_origin(&room.site, &headers, pass.by_cookie)?;
    let upgrade = upgrade.map_err(|rejection| Problem::of_status(rejection.status()))?;
    let spot = room.find_place(&event, &pass.content).await?;
    let spot = spot.ok_or_else(no_pass)?;
    let epoch = hub.front().epoch;
    let upgrade = upgrade
        .read_buffer_size(256)
        .write_buffer_size(0)
        .max_write_buffer_size(16 * 1024)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX);
    let fan = FanSocket {
        connection: connection.map(|Extension(connection)| connection),
        room,
        hub,
        event,
        spot,
        epoch,
        shown: None,
        shown_message: None,
        is_recorded: false,
        told: None,
        messages: 0,
        pulse: Pulse::start(),
    };
    // Boxed, so that a waiting fan's task holds two pointers instead of everything the handshake
    // needed.
    let fan = Box::new(fan);
    Ok(upgrade.on_upgrade(move |socket| Box::pin(fan.run(Box::new(socket)))))
}

/// Socket of a fan who watches their place.
struct FanSocket {
    room: Arc<Room>,
    hub: Arc<EventHub>,
    event: EventId,
    spot: Spot,
    /// Epoch of the line that `spot` is from.
    epoch: u64,
    /// Last place sent.
    shown: Option<ShownPlace>,
    shown_message: Option<String>,
    /// Whether the line has recorded that the fan is connected.
    is_recorded: bool,
    /// First expected wait that was sent.
    told: Option<ToldWait>,
    messages: u32,
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
    eta: Option<(u32, u32)>,
}

impl FanSocket {
    /// Serves a socket from its opening to its close.
    async fn run(mut self: Box<FanSocket>, mut socket: Box<WebSocket>) {
        let visitor = self.spot.visitor;
        let id = u64::from_be_bytes(shared::crypto::random());
        let mut replaced = self.hub.sockets.enter(visitor, id);
        let mut open = sockets::PLACE.open();
        open.closed = self.run_until_end(&mut socket, &mut replaced).await;
        if self.hub.sockets.exit(visitor, id) {
            Box::pin(self.record_away()).await;
        }
        let (code, reason) = match open.closed {
            Closed::Gone | Closed::Behind => return,
            Closed::Replaced => (REPLACED, "another tab or device took over this place"),
            Closed::Leaving => (1012, "this node is about to go"),
            Closed::TooLong => (1009, "a message may have 4096 bytes"),
            Closed::TooMany => (1008, "too many messages"),
        };
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        send(&mut socket, Message::Close(Some(frame))).await;
        // Wait briefly for the client's close frame, so that ours is read before the connection
        // goes.
        let _ = timeout(Duration::from_secs(1), socket.recv()).await;
        drop(self.connection);
    }

    /// Records in the line that the fan is away, unless a newer socket of theirs was opened at this
    /// moment.
    async fn record_away(&self) {
        let visitor = self.spot.visitor;
        let _ = self.room.line.away(&self.event, visitor).await;
        if self.hub.sockets.contains(visitor) {
            let _ = self.room.line.back(&self.event, visitor).await;
        }
    }

    /// Runs the socket until it ends. Every arm of the `select!` is safe to drop: the receivers
    /// keep what they have, and a message is sent completely before the next iteration.
    async fn run_until_end(
        &mut self,
        socket: &mut WebSocket,
        replaced: &mut oneshot::Receiver<()>,
    ) -> Closed {
        let mut revision = self.hub.revision.subscribe();
        let stop = self.room.site.stop.clone();
        let mut due = Instant::now();
        let jitter_ms = (self.spot.visitor.0 % u128::from(SPREAD_MS)) as u64;
        loop {
            tokio::select! {
                () = sleep_until(due) => {
                    // Boxed: its memory is held during the update, not for the life of the socket.
                    if !Box::pin(self.send_update(socket)).await {
                        return Closed::Gone;
                    }
                    let rest = due_after(&self.hub.front.borrow(), &self.spot);
                    due = Instant::now() + rest.min(self.pulse.rest());
                }
                _ = revision.changed() => {
                    due = due.min(Instant::now() + Duration::from_millis(jitter_ms));
                }
                _ = &mut *replaced => return Closed::Replaced,
                () = stop.cancelled() => {
                    let after_ms = (self.spot.visitor.0 % u128::from(RETURN_MS)) as u64;
                    let text = json!({"type": "reconnect", "after_ms": after_ms}).to_string();
                    Box::pin(send(socket, Message::text(text))).await;
                    return Closed::Leaving;
                }
                received = socket.recv() => {
                    if let Some(end) = self.on_message(received) {
                        return end;
                    }
                }
            }
        }
    }

    /// Handles a message of the client. Only pongs are expected; others are counted against
    /// [`MESSAGES_MAX`].
    fn on_message(&mut self, received: Option<Result<Message, axum::Error>>) -> Option<Closed> {
        match received {
            None | Some(Ok(Message::Close(_))) => Some(Closed::Gone),
            Some(Err(error)) if is_too_long(&error) => Some(Closed::TooLong),
            Some(Err(_)) => Some(Closed::Gone),
            Some(Ok(message)) => {
                self.pulse.hear();
                self.messages += u32::from(!matches!(message, Message::Pong(_)));
                (self.messages > MESSAGES_MAX).then_some(Closed::TooMany)
            }
        }
    }

    /// Sends the place if it changed; returns false when the client is gone.
    async fn send_update(&mut self, socket: &mut WebSocket) -> bool {
        if self.hub.is_gone() {
            return false;
        }
        // Here and not in the handshake: a socket that never opened must not keep a place.
        if !self.is_recorded {
            let back = self.room.line.back(&self.event, self.spot.visitor).await;
            self.is_recorded = back.is_ok();
            if let Ok(Some(spot)) = back {
                self.spot = spot;
            }
        }
        let front = self.hub.front();
        if !self.refresh_spot(&front).await || !self.keep_alive(socket).await {
            return false;
        }
        let message = &front.settings.message;
        let is_new_message = self.shown.is_some() && self.shown_message != *message;
        self.shown_message.clone_from(message);
        if let Some(text) = message.as_ref().filter(|_| is_new_message) {
            let notice = json!({"type": "notice", "message": text}).to_string();
            if !send(socket, Message::text(notice)).await {
                return false;
            }
        }
        let eta = eta(&front, self.spot.ahead);
        match self.spot.standing {
            VisitorState::Waiting if self.told.is_none() => {
                self.told = eta.map(|range| ToldWait::now(range.high));
            }
            VisitorState::Admitted => {
                if let Some(told) = self.told.take() {
                    self.hub.metrics.compare(&told);
                }
            }
            _ => {}
        }
        let shown = Some(ShownPlace {
            standing: self.spot.standing,
            ahead: self.spot.ahead,
            waiting: front.waiting * u64::from(self.spot.is_provisional),
            revision: front.revision,
            seats_available: front.availability.map(|seats| seats.available),
            is_stale: self.room.is_line_away(),
            eta: eta.map(|range| (range.low / 5, range.high / 5)),
        });
        if self.shown == shown {
            return true;
        }
        self.shown = shown;
        let place = self.room.place(&self.event, &self.spot, &front);
        let text = serde_json::to_string(&PlaceMessage {
            r#type: "place",
            now: place.claim_by.map(|_| self.room.now(&self.event)),
            place,
        })
        .unwrap_or_default();
        send(socket, Message::text(text)).await
    }

    /// Sends a ping when one is due; returns false when the client is gone.
    async fn keep_alive(&mut self, socket: &mut WebSocket) -> bool {
        match self.pulse.beat() {
            Beat::Rest => true,
            Beat::Ping => ping(socket, self.room.now(&self.event)).await,
            Beat::Gone => false,
        }
    }

    /// Updates the spot: from the bitmap while the fan waits, from the engine once their bit is
    /// cleared. Returns false when the place no longer exists.
    async fn refresh_spot(&mut self, front: &LineView) -> bool {
        let number = self.spot.number;
        let is_drawn_since = self.spot.is_provisional && !front.is_undrawn;
        if !is_drawn_since && self.spot.standing == VisitorState::Waiting {
            if front.alive.contains(number) {
                // A view older than the engine's reply must not push the fan back.
                self.spot.ahead = self.spot.ahead.min(front.alive.ahead(number));
                return true;
            }
            if number > front.numbers {
                return true;
            }
        }
        let pass = Pass {
            visitor: self.spot.visitor,
            number,
            is_provisional: self.spot.is_provisional,
            epoch: self.epoch,
        };
        match self.room.find_place(&self.event, &pass).await {
            Ok(Some(spot)) => {
                // The visitor joined again; the line does not know yet that the new place has a
                // socket.
                self.is_recorded &= spot.number == number || is_drawn_since;
                self.epoch = front.epoch;
                self.spot = spot;
                true
            }
            // The store is unreachable: the socket stays open and is updated once it is back.
            Err(Refused::Unavailable(_)) => true,
            Ok(None) | Err(_) => false,
        }
    }
}

/// Returns whether a client's message was longer than [`MESSAGE_BYTES_MAX`].
fn is_too_long(error: &axum::Error) -> bool {
    let source = error.source().and_then(<dyn Error>::downcast_ref);
    matches!(
        source,
        Some(WsError::Capacity(CapacityError::MessageTooLong { .. }))
    )
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
