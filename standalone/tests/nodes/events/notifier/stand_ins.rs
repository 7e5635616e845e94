//! A loyalty programme and a search engine that take nothing but what they should.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::net::TcpListener;

pub(crate) const TOKEN: &str = "loyalty-token-0123456789";
pub(crate) const API_KEY: &str = "ApiKey search-0123456789";

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

/// Answer of the programme instead of its own.
pub(crate) type Override = Box<dyn Fn(&Value) -> Option<Response> + Send>;

/// A loyalty programme: each change counts once by its `Idempotency-Key`.
#[derive(Clone, Default)]
pub(crate) struct Programme(Arc<Mutex<Members>>);

#[derive(Default)]
struct Members {
    changes: HashMap<String, Value>,
    posts: usize,
    faults: Vec<String>,
    instead: Option<Override>,
    is_silent: bool,
}

impl Programme {
    /// Starts it. Returns it with its URL.
    pub(crate) async fn start() -> (Programme, String) {
        let programme = Programme::default();
        let routes = Router::new()
            .route("/v1/points", routing::post(take))
            .with_state(programme.clone());
        (programme, format!("{}/v1/points", serve(routes).await))
    }

    /// Sets what it answers instead.
    pub(crate) fn instead(&self, answer: Option<Override>) {
        self.0.lock().instead = answer;
    }

    /// Sets whether it takes changes and does not say so.
    pub(crate) fn silence(&self, is_silent: bool) {
        self.0.lock().is_silent = is_silent;
    }

    /// Returns the points of each order, summed up, and checks that each request was right.
    pub(crate) fn points(&self) -> HashMap<String, i64> {
        let members = self.0.lock();
        assert_eq!(members.faults, Vec::<String>::new());
        let mut points = HashMap::new();
        for change in members.changes.values() {
            let order = change["order"].as_str().unwrap().to_owned();
            *points.entry(order).or_default() += change["points"].as_i64().unwrap();
        }
        points
    }

    /// Returns the ids of the events that were posted.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.0.lock().changes.keys().cloned().collect()
    }

    /// Returns how many requests there were, repeated ones as well.
    pub(crate) fn posts(&self) -> usize {
        self.0.lock().posts
    }
}

async fn take(
    State(programme): State<Programme>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let (answer, is_silent) = {
        let mut members = programme.0.lock();
        members.posts += 1;
        let answer = members.instead.as_ref();
        let answer = answer.and_then(|instead| instead(&body));
        let answer = answer.unwrap_or_else(|| members.change(&headers, body));
        (answer, members.is_silent)
    };
    if is_silent {
        std::future::pending::<()>().await;
    }
    answer
}

impl Members {
    fn change(&mut self, headers: &HeaderMap, body: Value) -> Response {
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        let key = header("idempotency-key").unwrap_or_default().to_owned();
        let email = body["member"]["email"].as_str().unwrap_or_default();
        let is_right = header("authorization") == Some(&format!("Bearer {TOKEN}"))
            && body["event_id"] == key.as_str()
            && body["order"]
                .as_str()
                .is_some_and(|id| id.starts_with("ord_"))
            && email.contains('@')
            && body["points"].as_i64().is_some_and(|points| points != 0)
            && body["total"]["amount"].is_i64()
            && body["total"]["currency"].is_string()
            && body.as_object().is_some_and(|fields| fields.len() == 5);
        if !is_right {
            self.faults.push(format!("{key}: {body}"));
            return StatusCode::BAD_REQUEST.into_response();
        }
        match self.changes.get(&key) {
            Some(known) if *known == body => StatusCode::OK.into_response(),
            Some(_) => {
                self.faults.push(format!("another body for {key}: {body}"));
                StatusCode::UNPROCESSABLE_ENTITY.into_response()
            }
            None => {
                self.changes.insert(key, body);
                (StatusCode::CREATED, Json(json!({"accepted": true}))).into_response()
            }
        }
    }
}

/// A search engine with one index, of which `_bulk` alone is known.
#[derive(Clone, Default)]
pub(crate) struct Engine(Arc<Mutex<Index>>);

#[derive(Default)]
struct Index {
    documents: HashMap<String, (i64, Option<Value>)>,
    faults: Vec<String>,
    conflicts: usize,
    /// Statuses of the next operations.
    next: Vec<u16>,
}

impl Engine {
    /// Starts it. Returns it with its URL.
    pub(crate) async fn start() -> (Engine, String) {
        let engine = Engine::default();
        let routes = Router::new()
            .route("/_bulk", routing::post(bulk))
            .with_state(engine.clone());
        (engine, serve(routes).await)
    }

    /// Returns a document, unless it is absent or deleted.
    pub(crate) fn document(&self, id: &str) -> Option<Value> {
        let index = self.0.lock();
        assert_eq!(index.faults, Vec::<String>::new());
        index.documents.get(id)?.1.clone()
    }

    /// Puts a document as if a newer event had written it.
    pub(crate) fn put(&self, id: &str, version: i64, document: Value) {
        let entry = (version, Some(document));
        self.0.lock().documents.insert(id.to_owned(), entry);
    }

    /// Sets the statuses of the next operations.
    pub(crate) fn fail(&self, statuses: &[u16]) {
        self.0.lock().next = statuses.to_vec();
    }

    /// Returns how many older documents were refused.
    pub(crate) fn conflicts(&self) -> usize {
        self.0.lock().conflicts
    }

    /// Forgets everything, as a new index does.
    pub(crate) fn wipe(&self) {
        self.0.lock().documents.clear();
    }
}

async fn bulk(State(engine): State<Engine>, headers: HeaderMap, body: String) -> Response {
    let mut index = engine.0.lock();
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    if header("authorization") != Some(API_KEY)
        || header("content-type") != Some("application/x-ndjson")
        || !body.ends_with('\n')
    {
        index.faults.push(format!("{headers:?} {body}"));
        return StatusCode::BAD_REQUEST.into_response();
    }
    let mut lines = body.lines();
    let mut items = Vec::new();
    while let Some(line) = lines.next() {
        let action: Value = serde_json::from_str(line).unwrap_or_default();
        let Some(item) = index.operate(&action, &mut lines) else {
            index.faults.push(line.to_owned());
            return StatusCode::BAD_REQUEST.into_response();
        };
        items.push(item);
    }
    Json(json!({"took": 1, "errors": false, "items": items})).into_response()
}

impl Index {
    fn operate<'a>(
        &mut self,
        action: &Value,
        lines: &mut impl Iterator<Item = &'a str>,
    ) -> Option<Value> {
        let (name, target) = action.as_object()?.iter().next()?;
        let id = target["_id"].as_str()?.to_owned();
        let version = target["version"].as_i64()?;
        let is_right = target["_index"] == "fairline-events"
            && target["version_type"] == "external_gte"
            && target.as_object()?.len() == 4;
        let document = match name.as_str() {
            "index" => {
                let document: Value = serde_json::from_str(lines.next()?).ok()?;
                Some(document.is_object().then_some(document)?)
            }
            "delete" => None,
            _ => return None,
        };
        if !is_right {
            return None;
        }
        if !self.next.is_empty() {
            let status = self.next.remove(0);
            return Some(json!({name: {"_id": id, "status": status, "error": {"type": "told"}}}));
        }
        let known = self.documents.get(&id);
        if known.is_some_and(|(known, _)| *known > version) {
            self.conflicts += 1;
            let error = json!({"type": "version_conflict_engine_exception"});
            return Some(json!({name: {"_id": id, "status": 409, "error": error}}));
        }
        let status = match (&document, known) {
            (None, None) => 404,
            (_, Some(_)) => 200,
            _ => 201,
        };
        self.documents.insert(id.clone(), (version, document));
        Some(json!({name: {"_id": id, "status": status}}))
    }
}
