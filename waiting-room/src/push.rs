//! The push: one task a socket, one `select!`. Each fan hears when it matters to them; a slow reader skips to the newest.

use crate::admit::Hall;
use crate::error::no_pass;
use crate::fan::pass_of;
use crate::front::due_after;
use crate::line::{Spot, Standing};
use crate::{App, Room};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;
use shared::browser::check_origin;
use shared::openapi::Refusals;
use shared::problem::Problem;
use shared::serve::Place as Connection;
use shared::words::{EventId, VisitorId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest message that a client may send.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Clients have nothing to say; this many messages are forgiven.
const MESSAGES_MAX: u32 = 100;
/// A reader that takes nothing for this long is gone.
const SEND: Duration = Duration::from_secs(20);
const PING_EVERY: Duration = Duration::from_secs(25);
const SILENCE_MAX: Duration = Duration::from_secs(80);
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

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Watch one's place: a WebSocket of `place`, `notice` and `reconnect` messages.
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
    let hall = room.hall(&event).await?;
    let (pass, by_cookie) = pass_of(&room, &headers, &event).ok_or_else(no_pass)?;
    check_origin(&room.site, &headers, by_cookie)?;
    let upgrade = upgrade.map_err(|rejection| Problem::of_status(rejection.status()))?;
    let spot = room
        .line
        .back(&event, pass.visitor)
        .await?
        .ok_or_else(no_pass)?;
    let connection = connection.map(|Extension(connection)| connection);
    let upgrade = upgrade
        .read_buffer_size(512)
        .write_buffer_size(0)
        .max_write_buffer_size(16 * 1024)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| attend(socket, room, hall, event, spot, connection)))
}

struct Fan {
    spot: Spot,
    shown: Option<Spot>,
    shown_revision: Option<u64>,
    shown_message: Option<String>,
    messages: u32,
    heard_at: Instant,
    pinged_at: Instant,
}

enum End {
    Gone,
    Replaced,
    Leaving,
    TooLong,
    TooMany,
}

/// The life of a socket. Every arm of the `select!` is safe to drop: the receivers keep what they have, and a message is
/// sent to its end before the next round begins.
async fn attend(
    mut socket: WebSocket,
    room: Arc<Room>,
    hall: Arc<Hall>,
    event: EventId,
    spot: Spot,
    // Holds this socket's place among the connections until it ends, so that the drain waits for it.
    _connection: Option<Arc<Connection>>,
) {
    let visitor = spot.visitor;
    let id = u64::from_be_bytes(shared::secret::random());
    let replaced = hall.sockets.enter(visitor, id);
    let revision = hall.revision.subscribe();
    let now = Instant::now();
    let mut fan = Fan {
        spot,
        shown: None,
        shown_revision: None,
        shown_message: None,
        messages: 0,
        heard_at: now,
        pinged_at: now,
    };
    let end = rounds(
        &mut socket,
        &room,
        &hall,
        &event,
        &mut fan,
        revision,
        replaced,
    )
    .await;
    if hall.sockets.exit(visitor, id) {
        let _ = room.line.away(&event, visitor).await;
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
    let _ = timeout(SEND, socket.send(Message::Close(Some(frame)))).await;
    // Wait for the other side's close for a moment, so that ours is read before the connection goes.
    let _ = timeout(Duration::from_secs(1), socket.recv()).await;
}

async fn rounds(
    socket: &mut WebSocket,
    room: &Arc<Room>,
    hall: &Hall,
    event: &EventId,
    fan: &mut Fan,
    mut revision: watch::Receiver<u64>,
    mut replaced: oneshot::Receiver<()>,
) -> End {
    let mut due = Instant::now();
    let jitter = (fan.spot.visitor.0 % u128::from(SPREAD_MS)) as u64;
    loop {
        tokio::select! {
            () = sleep_until(due) => {
                if !tell(socket, room, hall, event, fan).await {
                    return End::Gone;
                }
                due = Instant::now() + due_after(&hall.front.borrow(), &fan.spot);
            }
            _ = revision.changed() => {
                due = due.min(Instant::now() + Duration::from_millis(jitter));
            }
            _ = &mut replaced => return End::Replaced,
            () = room.site.stop.cancelled() => {
                let after_ms = (fan.spot.visitor.0 % u128::from(RETURN_MS)) as u64;
                let text = json!({"type": "reconnect", "after_ms": after_ms}).to_string();
                let _ = timeout(SEND, socket.send(Message::text(text))).await;
                return End::Leaving;
            }
            heard = socket.recv() => match heard {
                None | Some(Ok(Message::Close(_))) => return End::Gone,
                Some(Err(error)) if error.to_string().to_lowercase().contains("too long")
                    || error.to_string().contains("Space limit") => return End::TooLong,
                Some(Err(_)) => return End::Gone,
                Some(Ok(message)) => {
                    fan.heard_at = Instant::now();
                    if !matches!(message, Message::Pong(_)) {
                        fan.messages += 1;
                    }
                    if fan.messages > MESSAGES_MAX {
                        return End::TooMany;
                    }
                }
            },
        }
    }
}

/// Sends what is new, if anything is; false when the reader is gone.
async fn tell(
    socket: &mut WebSocket,
    room: &Room,
    hall: &Hall,
    event: &EventId,
    fan: &mut Fan,
) -> bool {
    let front = hall.front();
    if !look(room, &front, event, fan).await {
        return false;
    }
    let now = Instant::now();
    if now - fan.heard_at > SILENCE_MAX {
        return false;
    }
    if now - fan.pinged_at > PING_EVERY {
        fan.pinged_at = now;
        if !send(socket, Message::Ping(Vec::new().into())).await {
            return false;
        }
    }
    let message = &front.settings.message;
    let has_news = fan.shown_revision.is_some() && fan.shown_message != *message;
    if let Some(text) = message.as_ref().filter(|_| has_news) {
        let notice = json!({"type": "notice", "message": text}).to_string();
        if !send(socket, Message::text(notice)).await {
            return false;
        }
    }
    fan.shown_message.clone_from(message);
    if fan.shown == Some(fan.spot) && fan.shown_revision == Some(front.revision) {
        return true;
    }
    fan.shown = Some(fan.spot);
    fan.shown_revision = Some(front.revision);
    let place = room.place(event, &fan.spot, &front);
    let text = serde_json::to_string(&Told {
        r#type: "place",
        place,
    })
    .unwrap_or_default();
    send(socket, Message::text(text)).await
}

#[derive(serde::Serialize)]
struct Told {
    r#type: &'static str,
    #[serde(flatten)]
    place: crate::front::Place,
}

/// Brings the spot up to date: from the bitmap while the fan waits, from the engine once their bit is gone.
async fn look(room: &Room, front: &crate::line::Front, event: &EventId, fan: &mut Fan) -> bool {
    let number = fan.spot.number;
    if fan.spot.standing == Standing::Waiting {
        if front.alive.contains(number) {
            // A front that is older than what the engine said must not push the fan back.
            fan.spot.ahead = fan.spot.ahead.min(front.alive.ahead(number));
            return true;
        }
        if number > front.numbers {
            return true;
        }
    }
    match room.line.place(event, fan.spot.visitor).await {
        Ok(Some(spot)) => {
            fan.spot = spot;
            true
        }
        Ok(None) => false,
        // The store is away: the socket stays open, the fan hears when it is back.
        Err(crate::line::Refused::Unavailable(_)) => true,
        Err(_) => false,
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(SEND, socket.send(message)).await, Ok(Ok(())))
}
