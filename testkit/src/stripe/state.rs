//! State that the stand-in's requests share.

use super::books::Books;
use super::faults::ApiFault;
use super::webhooks::{Endpoint, WebhookEvent};
use parking_lot::Mutex;
use std::collections::VecDeque;

/// State that requests share.
#[derive(Default)]
pub(super) struct StandInState {
    pub(super) books: Mutex<Books>,
    pub(super) faults: Mutex<VecDeque<(String, ApiFault)>>,
    pub(super) calls: Mutex<Vec<String>>,
    pub(super) endpoint: Mutex<Option<Endpoint>>,
    /// Events that were not delivered yet.
    pub(super) events: Mutex<VecDeque<WebhookEvent>>,
}

impl StandInState {
    /// Delivers what has happened to the endpoint, or keeps it for who asks.
    pub(super) fn tell(&self, books: &mut Books) {
        let happened = books.take_events();
        match &*self.endpoint.lock() {
            Some(endpoint) => endpoint.deliver(happened),
            None => self.events.lock().extend(happened),
        }
    }

    /// Takes the fault that is next for an operation.
    pub(super) fn fault(&self, operation: &str) -> Option<ApiFault> {
        let mut faults = self.faults.lock();
        let at = faults.iter().position(|(of, _)| of == operation)?;
        faults.remove(at).map(|(_, fault)| fault)
    }
}
