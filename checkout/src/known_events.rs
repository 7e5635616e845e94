//! Events as mails and tickets present them: asked of the waiting room, and kept for some seconds.

use crate::waiting_room::{EventAnswer, EventFacts, WaitingRoom};
use parking_lot::Mutex;
use shared::ids::EventId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const KEPT: Duration = Duration::from_secs(10);
/// Largest number of events that are kept.
const EVENTS_MAX: usize = 100;

/// Events that were asked for lately.
#[derive(Default)]
pub(crate) struct KnownEvents(Mutex<HashMap<EventId, (Instant, Arc<EventFacts>)>>);

impl KnownEvents {
    /// Returns an event; one that the waiting room does not know any more has its id for a name.
    /// None if the waiting room does not answer.
    pub(crate) async fn get(
        &self,
        room: &dyn WaitingRoom,
        event: &EventId,
    ) -> Option<Arc<EventFacts>> {
        let known = self.0.lock().get(event).cloned();
        if let Some((_, facts)) = known.filter(|(at, _)| at.elapsed() < KEPT) {
            return Some(facts);
        }
        self.ask(room, event).await
    }

    /// As `get`, without those that are kept.
    pub(crate) async fn ask(
        &self,
        room: &dyn WaitingRoom,
        event: &EventId,
    ) -> Option<Arc<EventFacts>> {
        let facts = Arc::new(match room.describe(event).await {
            EventAnswer::Event(facts) => *facts,
            EventAnswer::Unknown => EventFacts {
                name: event.as_str().to_owned(),
                details: None,
            },
            EventAnswer::Unanswered => return None,
        });
        let mut events = self.0.lock();
        if events.len() >= EVENTS_MAX {
            events.clear();
        }
        events.insert(event.clone(), (Instant::now(), facts.clone()));
        Some(facts)
    }
}
