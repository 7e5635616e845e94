//! Credentials of a fan's request: finding its event, reading its pass or admission token, setting them as cookies.

use crate::app::Room;
use crate::error::bad_admission;
use crate::hub::EventHub;
use crate::line::{Spot, VisitorState};
use crate::pass::{PASS_SECONDS, Pass};
use axum::http::{HeaderMap, header};
use shared::http::credentials::{Credential, credential, set_cookie};
use shared::http::problem::Problem;
use shared::ids::EventId;
use shared::token::Claims;
use std::sync::Arc;

/// Returns the event named in a path together with its hub at this node.
pub(crate) async fn find(
    room: &Arc<Room>,
    event: &str,
) -> Result<(EventId, Arc<EventHub>), Problem> {
    let event = EventId::parse(event).map_err(|_| Problem::no_such_event())?;
    let hub = room.hub(&event).await?;
    Ok((event, hub))
}

/// Reads the pass of a request; the flag is true when it came as a cookie.
pub(crate) fn pass_of(room: &Room, headers: &HeaderMap, event: &EventId) -> Option<(Pass, bool)> {
    let Credential { word, by_cookie } =
        credential(&room.site, headers, &format!("fairline_pass_{event}"))?;
    Some((room.passes.read(event, &word)?, by_cookie))
}

/// Verifies the admission token of a request; the flag is true when it came as a cookie.
pub(crate) fn admission_of(
    room: &Room,
    headers: &HeaderMap,
    event: &EventId,
) -> Result<(Claims, bool), Problem> {
    let found = credential(&room.site, headers, &format!("fairline_admission_{event}"));
    let Credential { word, by_cookie } = found.ok_or_else(bad_admission)?;
    let claims = room.verifier.verify(&word, event, room.now(event));
    claims.map(|claims| (claims, by_cookie)).map_err(|refused| {
        tracing::debug!(%event, %refused, "admission refused");
        bad_admission()
    })
}

/// Sets the pass as a cookie, and for the gate the admission token while the visitor is admitted; clears the token
/// afterwards.
pub(crate) fn set_cookies(
    room: &Room,
    (event, pass): (&EventId, &str),
    spot: &Spot,
    token: Option<&str>,
    headers: &mut HeaderMap,
) {
    let mut set = |name: &str, value: &str, seconds: u32| {
        let cookie = set_cookie(
            &room.site,
            &format!("fairline_{name}_{event}"),
            value,
            seconds,
        );
        headers.append(header::SET_COOKIE, cookie);
    };
    set("pass", pass, PASS_SECONDS);
    if let (Some(token), Some(slot)) = (token, spot.slot) {
        let left = (slot.expires_at.0 - room.now(event).0).max(0) / 1000;
        set("admission", token, u32::try_from(left).unwrap_or(0));
    } else if !matches!(
        spot.standing,
        VisitorState::Waiting | VisitorState::Shopping
    ) {
        set("admission", "", 0);
    }
}
