//! Tickets at the door: checked, let in once, listed for doors without a connection.

use super::command::Subject;
use super::commands::Target;
use super::engine::TICKETS_MAX;
use super::event_state::{EventState, ticket_prefix};
use super::model::*;
use super::records::DoorTicket;
use super::service::Inventory;
use serde::Serialize;
use shared::crypto::{hex, same, sha256};
use shared::ids::EventId;
use shared::time::Time;
use utoipa::ToSchema;

/// A valid ticket in a list that opens no door: its code is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedTicket {
    /// SHA-256 of the ticket's code, in hex.
    pub code_sha256: String,
    /// The seat.
    pub seat: String,
    /// Place of the seat, such as "Stalls, row A, seat 1".
    pub label: String,
    /// When its bearer was first let in; null if not yet.
    pub admitted_at: Option<Time>,
}

/// Some of the valid tickets of an event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketList {
    /// The tickets, in order of seats.
    pub tickets: Vec<ListedTicket>,
    /// `from` of the next request; null at the end.
    pub next: Option<u32>,
}

impl Inventory {
    /// Returns the valid ticket with this code.
    pub async fn check_ticket(&self, event: &EventId, code: &str) -> Result<IssuedTicket, Refused> {
        let id = id_of(event, code).ok_or(Refused::NoSuchTicket)?;
        let found = self.ticket(event, id).await?;
        self.verify(event, code, found).await
    }

    /// Lets the bearer of a valid ticket in. Returns the ticket as it was before.
    pub async fn let_in(&self, event: &EventId, code: &str) -> Result<IssuedTicket, Refused> {
        let ticket = self.check_ticket(event, code).await?;
        let before = self.admit_ticket(event, &ticket.id).await?;
        self.verify(event, code, before).await
    }

    /// Returns the valid tickets of an event from a seat on.
    pub async fn list_tickets(&self, event: &EventId, from: u32) -> Result<TicketList, Refused> {
        let found = self.tickets(event, from).await?;
        let last = found.last().map(|last| last.seat + 1);
        let next = last.filter(|_| found.len() == TICKETS_MAX);
        let subject = Subject::new(event, Target::Event);
        let tickets = self.decide(subject, move |work| {
            let shown = found
                .iter()
                .filter_map(|found| list(work.event_state, found));
            Ok(shown.collect())
        });
        Ok(TicketList {
            tickets: tickets.await?,
            next,
        })
    }

    /// Returns a ticket that was found by the id in a code, if the code is the ticket's own.
    async fn verify(
        &self,
        event: &EventId,
        code: &str,
        found: Option<DoorTicket>,
    ) -> Result<IssuedTicket, Refused> {
        let found = found.ok_or(Refused::NoSuchTicket)?;
        let code = code.to_owned();
        let subject = Subject::new(event, Target::Event);
        self.decide(subject, move |work| {
            let ticket = show(work.event_state, &found).ok_or(Refused::NoSuchTicket)?;
            let own = work.event_state.ticket_code(&ticket.id, &ticket.seat);
            same(&own, &code)
                .then_some(ticket)
                .ok_or(Refused::NoSuchTicket)
        })
        .await
    }
}

/// Returns the id of the ticket that a code of this event is of.
fn id_of<'a>(event: &EventId, code: &'a str) -> Option<&'a str> {
    let (head, _) = code.rsplit_once('.')?;
    let (_, id) = head.rsplit_once('.')?;
    code.starts_with(&ticket_prefix(event, id)).then_some(id)
}

fn list(event_state: &EventState, found: &DoorTicket) -> Option<ListedTicket> {
    let ticket = show(event_state, found)?;
    let code = event_state.ticket_code(&ticket.id, &ticket.seat);
    Some(ListedTicket {
        code_sha256: hex(&sha256(code.as_bytes())),
        seat: ticket.seat,
        label: ticket.place.label,
        admitted_at: ticket.admitted_at,
    })
}

fn show(event_state: &EventState, found: &DoorTicket) -> Option<IssuedTicket> {
    let plan = event_state.plan.as_ref()?;
    let seat = plan.layout.seats.get(found.seat as usize)?;
    Some(IssuedTicket {
        id: found.id.clone(),
        seat: seat.id.to_string(),
        place: plan.layout.place(found.seat),
        order: found.order.clone(),
        admitted_at: found.admitted_at,
    })
}
