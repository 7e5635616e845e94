//! Credentials of a fan's request: finding its event, reading its pass or admission token, setting
//! them as cookies.

use crate::app::Room;
use crate::hub::EventHub;
use crate::line::{Spot, VisitorState};
use crate::pass::{PASS_SECONDS, Pass};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use shared::http::credentials::{credentials, set_cookie};
use shared::http::problem::Problem;
use shared::ids::EventId;
use shared::organiser::is_organiser_or_service;
use shared::token::Claims;
use std::sync::Arc;

/// Returns the event named in a path together with its hub at this node, if fans may see it.
pub(crate) async fn find(
    room: &Arc<Room>,
    event: &str,
) -> Result<(EventId, Arc<EventHub>), Problem> {
    let (event, hub) = find_any(room, event).await?;
    if !hub.front().settings.published {
        return Err(Problem::no_such_event());
    }
    Ok((event, hub))
}

/// Returns an event as [`find`] does, and to an organiser or the checkout a draft as well.
pub(crate) async fn find_for(
    room: &Arc<Room>,
    event: &str,
    sender: &Parts,
) -> Result<(EventId, Arc<EventHub>), Problem> {
    let (event, hub) = find_any(room, event).await?;
    if hub.front().settings.published {
        return Ok((event, hub));
    }
    if is_organiser_or_service(&room.site, sender, &room.service_key).await {
        return Ok((event, hub));
    }
    Err(Problem::no_such_event())
}

/// Returns the event named in a path together with its hub at this node, a draft as well.
pub(crate) async fn find_any(
    room: &Arc<Room>,
    event: &str,
) -> Result<(EventId, Arc<EventHub>), Problem> {
    let event = EventId::parse(event).map_err(|_| Problem::no_such_event())?;
    let hub = room.hub(&event).await?;
    Ok((event, hub))
}

/// A credential that is valid, and the way it came.
pub(crate) struct Presented<T> {
    /// The pass, or the claims of the admission token.
    pub(crate) content: T,
    /// Sent by the browser on its own: then the `Origin` must be checked before anything is
    /// changed.
    pub(crate) by_cookie: bool,
}

/// Reads the pass of a request.
pub(crate) fn pass_of(
    room: &Room,
    headers: &HeaderMap,
    event: &EventId,
) -> Option<Presented<Pass>> {
    let found = credentials(&room.site, headers, &format!("fairline_pass_{event}"));
    found.into_iter().find_map(|found| {
        Some(Presented {
            content: room.passes.read(event, &found.token)?,
            by_cookie: found.by_cookie,
        })
    })
}

/// Verifies the admission token of a request.
pub(crate) fn admission_of(
    room: &Room,
    headers: &HeaderMap,
    event: &EventId,
) -> Result<Presented<Claims>, Problem> {
    let found = credentials(&room.site, headers, &format!("fairline_admission_{event}"));
    let verified = found.into_iter().find_map(|found| {
        let claims = room.verifier.verify(&found.token, event, room.now(event));
        let refused = |refused: &_| tracing::debug!(%event, %refused, "admission refused");
        Some(Presented {
            content: claims.inspect_err(refused).ok()?,
            by_cookie: found.by_cookie,
        })
    });
    verified.ok_or_else(Problem::bad_admission)
}

/// Contents of a fan's cookies.
pub(crate) struct FanCookies<'a> {
    pub(crate) event: &'a EventId,
    pub(crate) pass: &'a str,
    /// The admission token, for the gate.
    pub(crate) token: Option<&'a str>,
}

impl FanCookies<'_> {
    /// Sets the pass as a cookie, and the admission token while the visitor is admitted; clears the
    /// token afterwards.
    pub(crate) fn set(&self, room: &Room, spot: &Spot, headers: &mut HeaderMap) {
        let event = self.event;
        let mut set = |name: &str, value: &str, seconds: u32| {
            let name = format!("fairline_{name}_{event}");
            let cookie = set_cookie(&room.site, &name, value, seconds);
            headers.append(header::SET_COOKIE, cookie);
        };
        set("pass", self.pass, PASS_SECONDS);
        if let (Some(token), Some(slot)) = (self.token, spot.slot) {
            let left = (slot.expires_at.0 - room.now(event).0).max(0) / 1000;
            set("admission", token, u32::try_from(left).unwrap_or(0));
        } else if !matches!(
            spot.standing,
            VisitorState::Waiting | VisitorState::Shopping
        ) {
            set("admission", "", 0);
        }
    }
}
