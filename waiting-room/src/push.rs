//! The push: one task a socket, one `select!`. Each fan hears when it matters to them; a slow reader skips to the newest.

use crate::admit::EventHub;
use crate::error::no_pass;
use crate::fan::pass_of;
use crate::line::{LineView, Refused, Spot, VisitorState};
use crate::pass::Pass;
use crate::place::{due_after, eta};
use crate::{App, Room};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;
use shared::http::credentials::check_origin;
use shared::http::listener::ConnectionPermit as Connection;
use shared::http::openapi::Refusals;
use shared::http::problem::Problem;
use shared::http::socket::{Beat, MESSAGES_MAX, Pulse, ping, send};
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest message that a client may send.
const MESSAGE_BYTES_MAX: usize = 4096;
/// News for everyone is spread over this long, so that nothing bursts.
const SPREAD_MS: u64 = 600;
/// When a node goes, its fans come back spread over this long.
const RETURN_MS: u64 = 10_000;

const REPLACED: u16 = 4001;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(watch_place))
}

/// Which socket is whose: touched when a socket opens and when it closes, never by a message.
#[derive(Default)]
pub(crate) struct Sockets(Mutex<HashMap<VisitorId, (u64, oneshot::Sender<()>)>>);

impl Sockets {
    /// Puts a socket in, telling the one it replaces.
    fn enter(&self, visitor: VisitorId, id: u64) -> oneshot::Receiver<()> {
        let (replace, replaced) = oneshot::channel();
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, before)) = sockets.insert(visitor, (id, replace)) {
            let _ = before.send(());
        }
        replaced
    }

    /// Takes a socket out; false when it was replaced meanwhile.
    fn exit(&self, visitor: VisitorId, id: u64) -> bool {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ours = sockets.get(&visitor).is_some_and(|(known, _)| *known == id);
        if is_ours {
            sockets.remove(&visitor);
        }
        is_ours
    }

    /// A newer socket of the visitor was opened at another node.
    pub(crate) fn replace(&self, visitor: VisitorId) {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, here)) = sockets.remove(&visitor) {
            let _ = here.send(());
        }
    }

    fn contains(&self, visitor: VisitorId) -> bool {
        let sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.contains_key(&visitor)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Watch one's place: a WebSocket of `place`, `notice`, `tick` and `reconnect` messages.
#[utoipa::path(get, path = "/api/v1/events/{event}/line/ws", tag = "line",
    params(("event" = String, Path)), security(("pass" = [])),
    responses((status = 101, description = "The socket is open"), (status = 426, description = "Not a WebSocket handshake"), Refusals))]
async fn watch_place(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
    connection: Option<Extension<Arc<Connection>>>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let event = EventId::parse(&event).map_err(|_| Problem::no_such_event())?;
    let hub = room.hub(&event).await?;
    let (pass, by_cookie) = pass_of(&room, &headers, &event).ok_or_else(no_pass)?;
    check_origin(&room.site, &headers, by_cookie)?;
    let upgrade = upgrade.map_err(|rejection| Problem::of_status(rejection.status()))?;
    let spot = room.find_place(&event, &pass).await?;
    let spot = spot.ok_or_else(no_pass)?;
    let epoch = hub.front().epoch;
    let upgrade = upgrade
        .read_buffer_size(256)
        .write_buffer_size(0)
        .max_write_buffer_size(16 * 1024)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX);
    let fan = Fan {
        connection: connection.map(|Extension(connection)| connection),
        room,
        hub,
        event,
        spot,
        epoch,
        shown: None,
        shown_message: None,
        is_counted_in: false,
        messages: 0,
        pulse: Pulse::start(),
    };
    // Boxed, so that a waiting fan's task holds two pointers and not what the handshake needed.
    let fan = Box::new(fan);
    Ok(upgrade.on_upgrade(move |socket| Box::pin(fan.attend(Box::new(socket)))))
}

/// A fan who watches their place.
struct Fan {
    room: Arc<Room>,
    hub: Arc<EventHub>,
    event: EventId,
    spot: Spot,
    /// The life of the line that the spot is of.
    epoch: u64,
    /// What they were told last.
    shown: Option<Shown>,
    shown_message: Option<String>,
    /// The line knows that they are connected.
    is_counted_in: bool,
    messages: u32,
    pulse: Pulse,
    /// This socket's place among the connections, kept until it ends, so that the drain waits for it.
    connection: Option<Arc<Connection>>,
}

/// What is worth telling once it differs.
#[derive(PartialEq)]
struct Shown {
    standing: VisitorState,
    ahead: u64,
    /// How many wait in all, which matters before a draw; else 0.
    waiting: u64,
    /// Of the front: phase, message and settings.
    revision: u64,
    seats_available: Option<u32>,
    is_stale: bool,
    /// The wait, in steps of five seconds.
    eta: Option<(u32, u32)>,
}

enum End {
    Gone,
    Replaced,
    Leaving,
    TooLong,
    TooMany,
}

impl Fan {
    /// The life of a socket.
    async fn attend(mut self: Box<Fan>, mut socket: Box<WebSocket>) {
        let visitor = self.spot.visitor;
        let id = u64::from_be_bytes(shared::crypto::random());
        let mut replaced = self.hub.sockets.enter(visitor, id);
        let end = self.rounds(&mut socket, &mut replaced).await;
        if self.hub.sockets.exit(visitor, id) {
            Box::pin(self.count_out()).await;
        }
        let (code, reason) = match end {
            End::Gone => return,
            End::Replaced => (REPLACED, "another tab or device took over this place"),
            End::Leaving => (1012, "this node is about to go"),
            End::TooLong => (1009, "a message may have 4096 bytes"),
            End::TooMany => (1008, "too many messages"),
        };
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        send(&mut socket, Message::Close(Some(frame))).await;
        // Wait for the other side's close for a moment, so that ours is read before the connection goes.
        let _ = timeout(Duration::from_secs(1), socket.recv()).await;
        drop(self.connection);
    }

    /// The line hears that they are gone. A newer socket of theirs may have opened in this very moment; then they are not.
    async fn count_out(&self) {
        let visitor = self.spot.visitor;
        let _ = self.room.line.away(&self.event, visitor).await;
        if self.hub.sockets.contains(visitor) {
            let _ = self.room.line.back(&self.event, visitor).await;
        }
    }

    /// Every arm of the `select!` is safe to drop: the receivers keep what they have, and a message is sent to its end
    /// before the next round begins.
    async fn rounds(
        &mut self,
        socket: &mut WebSocket,
        replaced: &mut oneshot::Receiver<()>,
    ) -> End {
        let mut revision = self.hub.revision.subscribe();
        let stop = self.room.site.stop.clone();
        let mut due = Instant::now();
        let jitter_ms = (self.spot.visitor.0 % u128::from(SPREAD_MS)) as u64;
        loop {
            tokio::select! {
                () = sleep_until(due) => {
                    // Boxed: what telling needs is held while telling, not for as long as the socket lives.
                    if !Box::pin(self.tell(socket)).await {
                        return End::Gone;
                    }
                    let rest = due_after(&self.hub.front.borrow(), &self.spot);
                    due = Instant::now() + rest.min(self.pulse.rest());
                }
                _ = revision.changed() => {
                    due = due.min(Instant::now() + Duration::from_millis(jitter_ms));
                }
                _ = &mut *replaced => return End::Replaced,
                () = stop.cancelled() => {
                    let after_ms = (self.spot.visitor.0 % u128::from(RETURN_MS)) as u64;
                    let text = json!({"type": "reconnect", "after_ms": after_ms}).to_string();
                    Box::pin(send(socket, Message::text(text))).await;
                    return End::Leaving;
                }
                heard = socket.recv() => {
                    if let Some(end) = self.hear(heard) {
                        return end;
                    }
                }
            }
        }
    }

    /// Clients have nothing to say but pongs; what else they say is counted.
    fn hear(&mut self, heard: Option<Result<Message, axum::Error>>) -> Option<End> {
        match heard {
            None | Some(Ok(Message::Close(_))) => Some(End::Gone),
            Some(Err(error)) => {
                let is_long = error.to_string().to_lowercase().contains("too long");
                Some(if is_long { End::TooLong } else { End::Gone })
            }
            Some(Ok(message)) => {
                self.pulse.hear();
                self.messages += u32::from(!matches!(message, Message::Pong(_)));
                (self.messages > MESSAGES_MAX).then_some(End::TooMany)
            }
        }
    }

    /// Sends what is new, if anything is; false when the reader is gone.
    async fn tell(&mut self, socket: &mut WebSocket) -> bool {
        if self.hub.is_gone() {
            return false;
        }
        // Only now, and not at the handshake: a socket that never opened must not keep a place.
        if !self.is_counted_in {
            let back = self.room.line.back(&self.event, self.spot.visitor).await;
            self.is_counted_in = back.is_ok();
            if let Ok(Some(spot)) = back {
                self.spot = spot;
            }
        }
        let front = self.hub.front();
        if !self.look(&front).await || !self.keep_alive(socket).await {
            return false;
        }
        let message = &front.settings.message;
        let has_news = self.shown.is_some() && self.shown_message != *message;
        self.shown_message.clone_from(message);
        if let Some(text) = message.as_ref().filter(|_| has_news) {
            let notice = json!({"type": "notice", "message": text}).to_string();
            if !send(socket, Message::text(notice)).await {
                return false;
            }
        }
        let shown = Some(Shown {
            standing: self.spot.standing,
            ahead: self.spot.ahead,
            waiting: front.waiting * u64::from(self.spot.is_provisional),
            revision: front.revision,
            seats_available: front.availability.map(|seats| seats.available),
            is_stale: self.room.is_line_away(),
            eta: eta(&front, self.spot.ahead).map(|range| (range.low / 5, range.high / 5)),
        });
        if self.shown == shown {
            return true;
        }
        self.shown = shown;
        let place = self.room.place(&self.event, &self.spot, &front);
        let text = serde_json::to_string(&Told {
            r#type: "place",
            now: place.claim_by.map(|_| self.room.now(&self.event)),
            place,
        })
        .unwrap_or_default();
        send(socket, Message::text(text)).await
    }

    /// Pings when it is time to; false when the reader is gone.
    async fn keep_alive(&mut self, socket: &mut WebSocket) -> bool {
        match self.pulse.beat() {
            Beat::Rest => true,
            Beat::Ping => ping(socket, self.room.now(&self.event)).await,
            Beat::Gone => false,
        }
    }

    /// Brings the spot up to date: from the bitmap while the fan waits, from the engine once their bit is gone. False
    /// when there is no such place any more.
    async fn look(&mut self, front: &LineView) -> bool {
        let number = self.spot.number;
        let is_drawn_since = self.spot.is_provisional && !front.is_undrawn;
        if !is_drawn_since && self.spot.standing == VisitorState::Waiting {
            if front.alive.contains(number) {
                // A front that is older than what the engine said must not push the fan back.
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
                // They joined again: the line has yet to hear that this new place is watched.
                self.is_counted_in &= spot.number == number || is_drawn_since;
                self.epoch = front.epoch;
                self.spot = spot;
                true
            }
            // The store is away: the socket stays open, the fan hears when it is back.
            Err(Refused::Unavailable(_)) => true,
            Ok(None) | Err(_) => false,
        }
    }
}

#[derive(serde::Serialize)]
struct Told {
    r#type: &'static str,
    /// The server's time, where there is a deadline to count down to.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<Time>,
    #[serde(flatten)]
    place: crate::place::Place,
}
