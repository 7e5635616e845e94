//! Routes of the draw: its published data, the proof for a fan, the beacon's round, the page.

use crate::app::{App, Room};
use crate::credentials::{find, pass_of};
use crate::draw::{ALGORITHM, Drawn, Entry, LINES, List, Mixed, Proof, Round, commitment};
use crate::error::no_pass;
use crate::line::{DrawState, Outcome};
use crate::message_page::refuse;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;
use shared::audit::Entry as AuditEntry;
use shared::crypto::hex;
use shared::deadline;
use shared::edge::Lifetime;
use shared::http::detached::to_the_end;
use shared::http::document::{accepts_gzip, compressed_response, plain};
use shared::http::openapi::Refusals;
use shared::http::page_request::PageRequest;
use shared::http::problem::{Input, Problem};
use shared::http::static_files::{escape, page_with};
use shared::ids::EventId;
use shared::organiser::Organiser;
use std::convert::Infallible;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Number of visitors read from the line at once.
const PAGE: usize = 20_000;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show_draw))
        .routes(routes!(list_entries))
        .routes(routes!(prove))
        .routes(routes!(give_beacon))
        .route("/e/{event}/draw", axum::routing::get(draw_page))
}

/// Returns what is published of a draw so far.
pub(crate) fn publish(state: &DrawState) -> Drawn {
    let outcome = state.outcome.as_ref();
    Drawn {
        algorithm: ALGORITHM.to_owned(),
        commitment: commitment(&state.seed),
        beacon: state.named.as_ref().map(|named| Mixed {
            name: named.name.clone(),
            round: named.round,
            signature: state.round.as_ref().map(|round| round.signature.clone()),
            previous_signature: state
                .round
                .as_ref()
                .map(|round| round.previous_signature.clone())
                .filter(|text| !text.is_empty()),
            randomness: state.round.as_ref().map(|round| round.randomness.clone()),
        }),
        drawn_at: outcome.map(|outcome| outcome.at),
        seed: outcome.map(|_| hex(&state.seed)),
        entries: outcome.map(|outcome| outcome.entries),
        entries_root: outcome.map(|outcome| outcome.root.clone()),
    }
}

impl Room {
    async fn draw(&self, event: &EventId) -> Result<DrawState, Problem> {
        let title = "This event has no draw: first come, first served";
        let none = || Problem::new(StatusCode::NOT_FOUND, "no-draw", title);
        self.line.draw(event).await?.ok_or_else(none)
    }

    /// Returns the list of a draw that was held, reading it from the line once, however many ask at
    /// one time or hang up meanwhile.
    pub(crate) async fn drawn_list(
        self: &Arc<Room>,
        event: &EventId,
    ) -> Result<Arc<List>, Problem> {
        if let Some(list) = self.known_list(event) {
            return Ok(list);
        }
        let state = self.draw(event).await?;
        let title = "The draw was not held yet";
        let outcome = state
            .outcome
            .ok_or_else(|| Problem::new(StatusCode::CONFLICT, "not-drawn", title))?;
        let (room, event) = (self.clone(), event.clone());
        let reading = to_the_end(async move {
            let _reading = room.list_reading.lock().await;
            match room.known_list(&event) {
                Some(list) => Ok(list),
                None => room.read_list(&event, outcome).await,
            }
        });
        let late =
            |_| Problem::unavailable().detail("the list is being read, ask again in a moment");
        deadline::within(reading).await.map_err(late)?
    }

    async fn read_list(&self, event: &EventId, outcome: Outcome) -> Result<Arc<List>, Problem> {
        let mut entries = Vec::with_capacity(outcome.entries as usize);
        while (entries.len() as u64) < outcome.entries {
            let left = (outcome.entries as usize - entries.len()).min(PAGE);
            let visitors = self
                .line
                .drawn(event, entries.len() as u64 + 1, left)
                .await?;
            if visitors.len() != left {
                return Err(Problem::unavailable().detail("the store has lost part of the list"));
            }
            entries.extend(visitors.into_iter().map(Entry::of));
        }
        // On a blocking thread: hashing a long list takes a while.
        let made = tokio::task::spawn_blocking(move || {
            let list = List::new(entries);
            let is_whole = list.root() == outcome.root;
            is_whole.then(|| Arc::new(list))
        });
        let Ok(Some(list)) = made.await else {
            return Err(Problem::unavailable().detail("the store has lost part of the list"));
        };
        let mut lists = self.lists.write();
        Ok(lists.entry(event.clone()).or_insert(list).clone())
    }

    /// Returns the list if this node has read it.
    pub(crate) fn known_list(&self, event: &EventId) -> Option<Arc<List>> {
        let lists = self.lists.read();
        lists.get(event).cloned()
    }
}

/// Show the published data of a draw: commitment, algorithm and beacon before it is held, all of it
/// afterwards.
#[utoipa::path(get, path = "/api/v1/events/{event}/draw", tag = "draw", params(("event" = String, Path)),
    security(()),
    responses((status = 200, description = "What is published so far", body = Drawn), Refusals))]
async fn show_draw(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
) -> Result<Response, Problem> {
    let (event, _) = find(&room, &event).await?;
    let mut response = Json(publish(&room.draw(&event).await?)).into_response();
    let edge = &room.site.edge;
    edge.keep(response.headers_mut(), Lifetime::Live, &event);
    Ok(response)
}

/// List the drawn entries: one line `entry number` each, ordered by number.
#[utoipa::path(get, path = "/api/v1/events/{event}/draw/entries", tag = "draw", params(("event" = String, Path)),
    security(()),
    responses((status = 200, description = "All entries", content_type = "text/plain", body = String), Refusals))]
async fn list_entries(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (event, _) = find(&room, &event).await?;
    let list = room.drawn_list(&event).await?;
    let head = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    let mut response = if accepts_gzip(&headers) {
        compressed_response(head, List::compressed(&list).await?)
    } else {
        // Rendered for each who asks: that costs no more than sending it, and a million entries
        // take 50 MB.
        let lines = stream::unfold((list, 0), |(list, from)| async move {
            let lines = list.lines_after(from)?;
            Some((Ok::<_, Infallible>(lines), (list, from + LINES)))
        });
        plain((head, Body::from_stream(lines)).into_response())
    };
    let edge = &room.site.edge;
    edge.keep(response.headers_mut(), Lifetime::Drawn, &event);
    Ok(response)
}

/// Prove that the fan's own entry was among those drawn.
#[utoipa::path(get, path = "/api/v1/events/{event}/draw/proof", tag = "draw", params(("event" = String, Path)),
    security(("pass" = [])), responses((status = 200, description = "The proof", body = Proof), Refusals))]
async fn prove(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Proof>, Problem> {
    let (event, _) = find(&room, &event).await?;
    let pass = pass_of(&room, &headers, &event).ok_or_else(no_pass)?;
    let list = room.drawn_list(&event).await?;
    let title = "You were not in line when the draw was held";
    let none = || Problem::new(StatusCode::NOT_FOUND, "not-in-draw", title);
    let proof = list
        .prove(&Entry::of(pass.content.visitor))
        .ok_or_else(none)?;
    Ok(Json(proof))
}

/// Provide the beacon's round that was named in advance, as the beacon published it.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/draw/beacon", tag = "organiser",
    params(("event" = String, Path)), request_body = Round, security(("organiser" = ["operator"])),
    responses((status = 200, description = "The draw, with its public randomness", body = Drawn), Refusals))]
async fn give_beacon(
    State(room): State<Arc<Room>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(mut round, _): Input<Round>,
) -> Result<Json<Drawn>, Problem> {
    let (event, _) = find(&room, &event).await?;
    let state = room.draw(&event).await?;
    let title = "No beacon was named for this draw";
    let named = state
        .named
        .as_ref()
        .ok_or_else(|| Problem::new(StatusCode::CONFLICT, "no-beacon", title))?;
    let randomness = round.randomness(named);
    let randomness = randomness.map_err(|(field, why)| Problem::invalid(field, &why))?;
    round.randomness = hex(&randomness);
    room.line.give_beacon(&event, named, &round).await?;
    let entry = organiser.entry(room.site.clock.now(), "event.beacon", event.as_str());
    let to = json!(round);
    room.site.audit.record(AuditEntry { to, ..entry }).await;
    Ok(Json(publish(&room.draw(&event).await?)))
}

/// Serves the page on which a fan's browser checks the draw by itself.
async fn draw_page(
    State(room): State<Arc<Room>>,
    Path(event): Path<String>,
    request: PageRequest,
) -> Response {
    let (event, hub) = match find(&room, &event).await {
        Ok(found) => found,
        Err(problem) => return refuse(&request, problem),
    };
    let settings = hub.front().settings.clone();
    let language = request.language_of(settings.details.as_ref());
    let values = [("event", event.as_str()), ("name", &settings.name)];
    let link = |path: &str, key: &str| {
        let href = request
            .prefix
            .path(&format!("/api/v1/events/{event}/{path}"));
        let text = escape(&language.phrase(key, &[]));
        format!("<a href=\"{}\">{text}</a>", escape(&href))
    };
    let own = language.phrase(
        "page.draw.own_text",
        &[
            ("draw", &link("draw", "page.draw.own_draw")),
            ("entries", &link("draw/entries", "page.draw.own_entries")),
            (
                "command",
                "<code>fairline verify-draw draw.json entries.txt</code>",
            ),
        ],
    );
    let markup = [("own", own.as_str())];
    let mut response = page_with(&request, language, "draw.html", &values, &markup);
    if request.is_for_everyone() {
        let edge = &room.site.edge;
        edge.keep(response.headers_mut(), Lifetime::Page, &event);
    }
    response
}
