//! Documents of a search engine (Elasticsearch, OpenSearch): one for each event that fans may see.
//!
//! A document is made of what the waiting room shows to anyone, and has the time of the event that it
//! follows as its version: the engine refuses to put an older one over a newer one.

use crate::event::Event;
use crate::excerpt::excerpt;
use crate::handler::{Effect, Handler};
use crate::trouble::{Service, Trouble};
use async_trait::async_trait;
use axum::http::{Method, header};
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::ids::EventId;

/// Name of the consumer.
pub const NAME: &str = "search";

/// The consumer.
pub struct Search {
    /// The search engine.
    pub engine: Service,
    /// Name of its index.
    pub index: String,
    /// The waiting room, which is asked as anyone is.
    pub waiting_room: Service,
    /// Public URL of the pages.
    pub public_url: String,
}

#[derive(Deserialize)]
struct EventData {
    event: String,
}

/// Answer of `_bulk`.
#[derive(Deserialize)]
struct BulkAnswer {
    items: Vec<BulkItem>,
}

/// Result of one operation, by its name.
#[derive(Deserialize)]
struct BulkItem {
    #[serde(alias = "delete")]
    index: BulkResult,
}

#[derive(Deserialize)]
struct BulkResult {
    status: u16,
    #[serde(default)]
    error: Value,
}

#[async_trait]
impl Handler for Search {
    fn name(&self) -> &'static str {
        NAME
    }

    fn takes(&self, event_type: &str) -> bool {
        let told = [
            "event.published",
            "event.changed",
            "event.sold_out",
            "event.on_sale",
            "event.cancelled",
            "event.removed",
        ];
        told.contains(&event_type)
    }

    fn keeps_order(&self) -> bool {
        false
    }

    async fn handle(&self, events: &[&Event]) -> Vec<Result<Effect, Trouble>> {
        let operations = join_all(events.iter().map(|event| self.operation(event))).await;
        let lines = operations.iter().filter_map(|it| it.as_deref().ok());
        let body = lines.collect::<String>();
        if body.is_empty() {
            let failed = operations.into_iter();
            return failed.map(|it| it.map(|_| Effect::Done)).collect();
        }
        let count = operations.iter().filter(|it| it.is_ok()).count();
        let written = self.write(body, count).await;
        let mut written = match written {
            Ok(results) => results.into_iter(),
            Err(trouble) => vec![Err(trouble); count].into_iter(),
        };
        let results = operations.into_iter().map(|operation| {
            operation?;
            written
                .next()
                .unwrap_or_else(|| Err(Trouble::Final("no result".to_owned())))
        });
        results.collect()
    }
}

impl Search {
    /// Returns the lines of an event for `_bulk`: its document, or that it has none.
    async fn operation(&self, event: &Event) -> Result<String, Trouble> {
        let data: EventData = serde_json::from_slice(&event.data)
            .map_err(|error| Trouble::Final(format!("the payload cannot be read: {error}")))?;
        let id = EventId::parse(&data.event).map_err(Trouble::Final)?;
        let path = format!("/api/v1/events/{id}");
        // Fans do not see a draft, so it has no document.
        let shown = match event.event_type == "event.removed" {
            true => None,
            false => self.waiting_room.ask::<Value>(&path).await?,
        };
        let target = json!({
            "_index": self.index,
            "_id": id,
            "version": event.at.0,
            // A repeated event is written again: its document may be newer by now.
            "version_type": "external_gte",
        });
        match shown {
            Some(shown) => {
                let document = self.document(&shown, event);
                Ok(format!("{}\n{document}\n", json!({"index": target})))
            }
            None => Ok(format!("{}\n", json!({"delete": target}))),
        }
    }

    fn document(&self, shown: &Value, event: &Event) -> Value {
        let details = &shown["details"];
        let id = shown["id"].as_str().unwrap_or_default();
        json!({
            "id": id,
            "name": shown["name"],
            "phase": shown["phase"],
            "url": format!("{}/e/{id}", self.public_url),
            "subtitle": details["subtitle"],
            "description": details["description"],
            "venue": details["venue"]["name"],
            "address": details["venue"]["address"],
            "starts_at": details["starts_at"],
            "doors_at": details["doors_at"],
            "time_zone": details["time_zone"],
            "image_url": details["image_url"],
            "sale_opens_at": shown["sale_opens_at"],
            "closes_at": shown["closes_at"],
            "is_sold_out": is_sold_out(shown, event),
            "is_cancelled": shown["cancelled"].is_object() || event.event_type == "event.cancelled",
            "changed_at": event.at,
        })
    }

    /// Writes documents. Returns the result of each operation.
    async fn write(
        &self,
        body: String,
        count: usize,
    ) -> Result<Vec<Result<Effect, Trouble>>, Trouble> {
        let request = self.engine.request(Method::POST, "/_bulk");
        let request = request.header(header::CONTENT_TYPE, "application/x-ndjson");
        let answer = self.engine.send(request, Some(body)).await?;
        let read: BulkAnswer = answer.read()?;
        if read.items.len() != count {
            return Err(answer.nonsense());
        }
        Ok(read
            .items
            .into_iter()
            .map(|item| item.index.result())
            .collect())
    }
}

impl BulkResult {
    fn result(self) -> Result<Effect, Trouble> {
        let BulkResult { status, error } = self;
        let why = || {
            let error = excerpt(error.to_string().as_bytes());
            format!("the search engine answered {status}: {error}")
        };
        match status {
            // 409: there is a newer document. 404: there is none to delete.
            200..=299 | 404 | 409 if status != 404 || error.is_null() => Ok(Effect::Done),
            401 | 403 | 408 | 429 | 500..=599 => Err(Trouble::away(why())),
            _ => Err(Trouble::Final(why())),
        }
    }
}

/// Returns whether nothing is available or held. What the event tells counts first: the waiting room
/// hears of it a moment later.
fn is_sold_out(shown: &Value, event: &Event) -> bool {
    match event.event_type.as_str() {
        "event.sold_out" => true,
        "event.on_sale" => false,
        _ => shown["phase"] == "sold_out",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(text: &str) -> Result<Effect, Trouble> {
        let item: BulkItem = serde_json::from_str(text).unwrap();
        item.index.result()
    }

    #[test]
    fn each_operation_has_a_result_of_its_own() {
        for text in [
            r#"{"index": {"status": 201, "_version": 1}}"#,
            r#"{"delete": {"status": 200, "result": "deleted"}}"#,
            r#"{"delete": {"status": 404, "result": "not_found"}}"#,
            r#"{"index": {"status": 409, "error": {"type": "version_conflict_engine_exception"}}}"#,
        ] {
            assert_eq!(result(text), Ok(Effect::Done), "{text}");
        }
        for text in [
            r#"{"index": {"status": 403, "error": {"type": "security_exception"}}}"#,
            r#"{"index": {"status": 429, "error": {"type": "busy"}}}"#,
            r#"{"index": {"status": 503, "error": {"type": "away"}}}"#,
            r#"{"index": {"status": 500, "error": {"type": "broken"}}}"#,
        ] {
            let result = result(text);
            assert!(matches!(result, Err(Trouble::Temporary { .. })), "{text}");
        }
        for text in [
            r#"{"index": {"status": 400, "error": {"type": "mapper_parsing_exception"}}}"#,
            r#"{"index": {"status": 404, "error": {"type": "index_not_found_exception"}}}"#,
        ] {
            assert!(matches!(result(text), Err(Trouble::Final(_))), "{text}");
        }
    }
}
