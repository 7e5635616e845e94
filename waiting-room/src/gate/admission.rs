//! The admission of a request at the gate: its tokens, its slot, its client.

use super::asked::Asked;
use crate::app::Room;
use crate::line::{Claimed, ClientChange, Clients, Refused, Sighting, Visit};
use axum::http::{HeaderMap, HeaderValue, header};
use shared::http::cookies::{cookie, cookie_values};
use shared::http::credentials::{bearer, cookie_name, set_cookie};
use shared::http::front::Question;
use shared::ids::EventId;
use shared::time::Time;
use shared::token::Claims;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Time for which the gate waits for the line before it believes the token.
pub(super) const ANSWER: Duration = Duration::from_secs(1);
/// Attempts to count a client while others of the same admission are counted.
const COUNT_TRIES: usize = 3;

/// Whether a request with a verified token may pass.
pub(super) enum Verdict {
    /// It may, and its browser gets this word to tell it by, if any.
    Passes(Option<String>),
    /// Too many clients use the admission.
    Shared,
    /// The slot is no longer the visitor's.
    Lapsed,
}

/// Returns the valid admission tokens of a request. The cookie comes first: `Authorization` belongs
/// to the site.
pub(super) fn admissions(room: &Room, event: &EventId, headers: &HeaderMap) -> Vec<Arc<Claims>> {
    let name = cookie_name(&room.site, &format!("fairline_admission_{event}"));
    let cookies = cookie_values(headers, &name).map(str::to_owned);
    let now = room.now(event);
    let verified = |word: String| {
        let claims = room.verified.read(&word, || room.verifier.read(&word));
        claims
            .and_then(|claims| claims.check(event, now).map(|()| claims))
            .inspect_err(|refused| tracing::debug!(%event, %refused, "admission refused"))
            .ok()
    };
    cookies
        .chain(bearer(headers))
        .filter_map(verified)
        .collect()
}

/// Marks of a client: the cookie that tells it from others, its address, and what it calls itself.
#[derive(Hash)]
struct ClientMarks<'a> {
    word: Option<String>,
    address: Option<IpAddr>,
    agent: &'a [u8],
}

impl<'a> ClientMarks<'a> {
    fn of(room: &Room, event: &EventId, question: &Question<'a>) -> ClientMarks<'a> {
        let agent = question.headers.get(header::USER_AGENT);
        ClientMarks {
            word: cookie(question.headers, &client_cookie_name(room, event)),
            address: question.address,
            agent: agent.map_or(&b""[..], |agent| agent.as_bytes()),
        }
    }

    /// Returns the client as the line counts it.
    fn sighting(&self, room: &Room, can_set_cookie: bool) -> Sighting {
        let address = self.address.map(|address| address.to_string());
        let text = [
            b"client\n",
            address.unwrap_or_default().as_bytes(),
            b"\n",
            self.agent,
        ]
        .concat();
        // Keyed, so that the store does not tell anyone the addresses of fans.
        let mac = room.join_keys.sign(&text);
        let print = mac.first_chunk().expect("a signature has 32 bytes");
        Sighting {
            word: self.word.clone(),
            print: u64::from_be_bytes(*print),
            can_set_cookie,
        }
    }
}

fn client_cookie_name(room: &Room, event: &EventId) -> String {
    cookie_name(&room.site, &format!("fairline_client_{event}"))
}

/// Returns the cookie that tells a client from others of the same admission.
pub(super) fn client_cookie(
    room: &Room,
    event: &EventId,
    claims: &Claims,
    word: &str,
) -> HeaderValue {
    let left = (claims.exp - room.now(event).seconds()).max(0);
    let seconds = u32::try_from(left).unwrap_or(u32::MAX);
    set_cookie(
        &room.site,
        &format!("fairline_client_{event}"),
        word,
        seconds,
    )
}

/// Returns whether the slot of a verified token is its visitor's, and not used by too many clients.
/// If the line does not answer, the token is believed, so that shopping goes on.
pub(super) async fn may_pass(
    room: &Room,
    event: &EventId,
    claims: &Claims,
    asked: &Asked,
    question: &Question<'_>,
) -> Verdict {
    if room.is_line_away() {
        return Verdict::Passes(None);
    }
    let marks = ClientMarks::of(room, event, question);
    let client = room.passed.key(&marks);
    let now = room.site.clock.now();
    if room.passed.contains(claims.sub, claims.number, client, now) {
        return Verdict::Passes(None);
    }
    let seen = marks.sighting(room, asked.can_set_cookie);
    // Safe to drop: what was sent may happen, and is sent again with the next request.
    let answer = timeout(ANSWER, ask_line(room, event, claims, &seen, client));
    answer.await.unwrap_or(Verdict::Passes(None))
}

/// Asks the line about the slot and the client, whose key is `client` among those who passed.
/// Requests of one page wait for the first of them.
async fn ask_line(
    room: &Room,
    event: &EventId,
    claims: &Claims,
    seen: &Sighting,
    client: u64,
) -> Verdict {
    let _permit = room.passed.questions.acquire().await;
    let now = room.site.clock.now();
    if room.passed.contains(claims.sub, claims.number, client, now) {
        return Verdict::Passes(None);
    }
    match room.line.claim(event, claims.sub, claims.number).await {
        Ok(Claimed::Until(_)) => {}
        Err(Refused::Unavailable(_)) => return Verdict::Passes(None),
        Ok(Claimed::Lapsed) | Err(_) => return Verdict::Lapsed,
    }
    match count_client(room, event, claims, seen).await {
        Ok(Visit::Refused) => Verdict::Shared,
        Ok(Visit::Passes(word)) => {
            room.passed.note(claims.sub, claims.number, client, now);
            Verdict::Passes(word)
        }
        Err(_) => Verdict::Passes(None),
    }
}

/// Counts the client among those of the admission. One that cannot be counted passes.
async fn count_client(
    room: &Room,
    event: &EventId,
    claims: &Claims,
    seen: &Sighting,
) -> Result<Visit, Refused> {
    let clients_max = room.gate.clients_max;
    if clients_max == 0 {
        return Ok(Visit::Passes(None));
    }
    for _ in 0..COUNT_TRIES {
        let before = room.line.clients(event, claims.sub).await?;
        let mut after = Clients::of(before.as_ref(), claims.number);
        let visit = after.visit(seen, room.now(event), clients_max);
        if before.as_ref() == Some(&after) {
            return Ok(visit);
        }
        let change = ClientChange {
            visitor: claims.sub,
            before: before.as_ref(),
            after: &after,
            until: Time(claims.exp.saturating_mul(1000)),
        };
        if room.line.set_clients(event, change).await? {
            return Ok(visit);
        }
    }
    Ok(Visit::Passes(None))
}
