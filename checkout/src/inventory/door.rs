//! Tickets at the door: checked in once, counted, listed for doors without a connection.

use super::command::Subject;
use super::commands::Target;
use super::door_ticket::*;
use super::event_state::EventState;
use super::model::*;
use super::outbox::{EventType, about_ticket};
use super::service::Inventory;
use super::ticket_codes::TicketCode;
use serde::Serialize;
use shared::cancellation::Cancellation;
use shared::ids::EventId;
use shared::time::Time;
use shared::trace::Parent;
use std::sync::Arc;
use utoipa::ToSchema;

/// A ticket in a list that opens no door: its code is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedTicket {
    /// `tix_…`: the code names it.
    pub id: String,
    /// The seat.
    pub seat: String,
    /// Place of the seat, such as "Stalls, row A, seat 1".
    pub label: String,
    /// Its type, where the category of the seat has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<TicketType>)]
    pub ticket_type: Option<Arc<TicketType>>,
    /// SHA-256 of the code that version 0.1.0 gave it, in hex. Newer codes are checked by the key.
    pub old_code_sha256: String,
    /// When it was checked in; null if it was not.
    pub used_at: Option<Time>,
    /// Door at which it was checked in.
    pub door: Option<String>,
    /// Whether it was given back, and is valid no more.
    pub void: bool,
}

/// Public key of the codes of an event's tickets, as a JSON Web Key (RFC 8037).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketCodeKey {
    /// `OKP`
    pub kty: String,
    /// `Ed25519`
    pub crv: String,
    /// The key, in base64 for URLs.
    pub x: String,
}

/// Part of all a door needs to check tickets without a connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DoorBundle {
    /// The event.
    pub event: EventId,
    /// Signed the codes: that of a ticket is `FL2.{event}.{ticket}.{signature}`, where the signature
    /// is of all before the last dot.
    pub key: TicketCodeKey,
    /// When the list was read.
    pub as_of: Time,
    /// Cancellation of the show, if it was cancelled: no ticket lets anyone in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Cancellation>,
    /// Some of the tickets, in order of their ids.
    pub tickets: Vec<ListedTicket>,
    /// `after` of the next request; null at the end.
    pub next: Option<String>,
}

/// Longest time in ms that a scan may have waited on a door to be sent.
const LATE_MAX_MS: i64 = 7 * 24 * 3_600_000;
/// Largest lead in ms of a door's clock that is as good as right.
const LEAD_MAX_MS: i64 = 5 * 60_000;

/// A ticket shown at a door.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Text of its QR code.
    pub code: String,
    /// Name of the door.
    pub door: String,
    /// The door's own id of this scan: one that is sent again has the answer that it had.
    pub scan: Option<String>,
    /// When it was scanned by the door's clock, if that was before it was sent.
    pub at: Option<Time>,
}

impl Scan {
    /// Returns the time that counts, and that of the door's clock if it is doubtful. Phones may have
    /// any time: one that is not of the days before now counts for nothing, and the scan is of now. No
    /// scan is of later than now.
    fn time(&self, now: Time) -> (Time, Option<Time>) {
        let Some(at) = self.at else {
            return (now, None);
        };
        let plausible = now.0 - LATE_MAX_MS..=now.0 + LEAD_MAX_MS;
        match plausible.contains(&at.0) {
            true => (at.min(now), None),
            false => (now, Some(at)),
        }
    }
}

/// A ticket that was checked in by a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckedIn {
    /// The ticket.
    pub ticket: IssuedTicket,
    /// Whether the same scan had been sent before.
    pub repeated: bool,
    /// Time of the door's clock, if it is doubtful: more than 7 days ago, or more than 5 minutes to
    /// come. The ticket is checked in as of when the scan came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubtful_at: Option<Time>,
}

/// Check-ins of an event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CheckIns {
    /// Number of valid tickets.
    pub tickets: u64,
    /// Number of those that were checked in.
    pub checked_in: u64,
    /// The same by door, some hundred doors at most.
    pub doors: Vec<DoorCount>,
    /// The latest check-ins, the latest first.
    pub latest: Vec<IssuedTicket>,
}

impl Inventory {
    /// Returns the valid ticket with this code.
    pub async fn check_ticket(&self, event: &EventId, code: &str) -> Result<IssuedTicket, Refused> {
        Ok(self.verify(event, code).await?.1)
    }

    /// Checks a ticket in. The first scan wins, at whatever door.
    pub async fn check_in(&self, event: &EventId, scan: &Scan) -> Result<CheckedIn, Refused> {
        let (found, ticket) = self.verify(event, &scan.code).await?;
        let (at, doubtful_at) = scan.time(self.now());
        let check_in = CheckIn {
            at,
            door: scan.door.clone(),
            scan: scan.scan.clone(),
        };
        let ticket = ticket.used(Some(&check_in));
        let before = self
            .tell_check_in(event, &found, &ticket, Some(check_in.clone()))
            .await?;
        let Some(first) = before else {
            return Ok(CheckedIn {
                ticket,
                repeated: false,
                doubtful_at,
            });
        };
        if first.scan.is_some() && (&first.scan, &first.door) == (&check_in.scan, &check_in.door) {
            return Ok(CheckedIn {
                ticket: ticket.used(Some(&first)),
                repeated: true,
                doubtful_at,
            });
        }
        Err(Refused::TicketUsed {
            at: first.at,
            door: first.door,
        })
    }

    /// Takes a check-in back. Returns the ticket as it was before.
    pub async fn undo_check_in(&self, event: &EventId, id: &str) -> Result<IssuedTicket, Refused> {
        let found = self.ticket(event, id).await?;
        let found = found.ok_or(Refused::NoSuchTicket)?;
        let ticket = self.show_tickets(event, vec![found.clone()]).await?;
        let ticket = ticket.into_iter().next().ok_or(Refused::NoSuchTicket)?;
        let before = self.tell_check_in(event, &found, &ticket, None).await?;
        Ok(ticket.used(before.as_ref()))
    }

    /// Stores a check-in or its end, with the event that tells of it. Returns the check-in that
    /// there was before.
    async fn tell_check_in(
        &self,
        event: &EventId,
        found: &DoorTicket,
        ticket: &IssuedTicket,
        check_in: Option<CheckIn>,
    ) -> Result<Option<CheckIn>, Refused> {
        let event_type = match check_in {
            Some(_) => EventType::TicketCheckedIn,
            None => EventType::TicketCheckInUndone,
        };
        let visitor = found.visitor.ok_or(Refused::TicketVoid)?;
        let mut told = about_ticket(event_type, event, ticket, visitor, self.now());
        told.traceparent = Parent::current().traceparent();
        self.set_check_in(event, &found.id, check_in, told).await
    }

    /// Returns the check-ins of an event.
    pub async fn check_ins(&self, event: &EventId) -> Result<CheckIns, Refused> {
        let figures = self.door_figures(event).await?;
        Ok(CheckIns {
            tickets: figures.tickets,
            checked_in: figures.checked_in,
            doors: figures.doors,
            latest: self.show_tickets(event, figures.latest).await?,
        })
    }

    /// Returns the tickets of an event after an id, with the key of their codes.
    pub async fn door_bundle(&self, event: &EventId, after: &str) -> Result<DoorBundle, Refused> {
        let as_of = self.now();
        let found = self.tickets(event, after, TICKETS_MAX).await?;
        let last = found.last().map(|last| last.id.clone());
        let next = last.filter(|_| found.len() == TICKETS_MAX);
        let event = event.clone();
        let subject = Subject::new(&event.clone(), Target::Event);
        self.decide(subject, move |work| {
            let tickets = found.iter();
            let tickets = tickets.map(|found| list(work.event_state, found));
            let tickets: Vec<ListedTicket> = tickets.collect::<Result<_, Refused>>()?;
            Ok(DoorBundle {
                event: event.clone(),
                key: TicketCodeKey {
                    kty: "OKP".to_owned(),
                    crv: "Ed25519".to_owned(),
                    x: work.event_state.codes.public_key(),
                },
                as_of,
                cancelled: work.event_state.rules.cancelled.clone(),
                tickets,
                next: next.clone(),
            })
        })
        .await
    }

    async fn show_tickets(
        &self,
        event: &EventId,
        found: Vec<DoorTicket>,
    ) -> Result<Vec<IssuedTicket>, Refused> {
        let subject = Subject::new(event, Target::Event);
        self.decide(subject, move |work| {
            let shown = found.iter().map(|found| show(work.event_state, found));
            shown.collect()
        })
        .await
    }

    /// Returns the ticket whose id begins so, if there is one and no other.
    async fn only_ticket(
        &self,
        event: &EventId,
        start: &str,
    ) -> Result<Option<DoorTicket>, Refused> {
        let next = self.tickets(event, start, 2).await?.into_iter();
        let mut fitting = next.filter(|ticket| ticket.id.starts_with(start));
        Ok(fitting.next().filter(|_| fitting.next().is_none()))
    }

    /// Returns the valid ticket with this code, as stored and as shown.
    async fn verify(
        &self,
        event: &EventId,
        code: &str,
    ) -> Result<(DoorTicket, IssuedTicket), Refused> {
        let code = TicketCode::read(event, code)?;
        let found = match code.is_short() {
            true => self.only_ticket(event, &code.ticket).await?,
            false => self.ticket(event, &code.ticket).await?,
        };
        let subject = Subject::new(event, Target::Event);
        self.decide(subject, move |work| {
            let shown = found.as_ref().map(|found| show(work.event_state, found));
            let shown = shown.transpose()?;
            if !work.event_state.codes.is_genuine(&code, shown.as_ref()) {
                return Err(Refused::NoSuchTicket);
            }
            if let Some(cancelled) = &work.event_state.rules.cancelled {
                return Err(Refused::EventCancelled(cancelled.reason.clone()));
            }
            match (found.clone(), shown) {
                (Some(found), Some(shown)) if found.is_valid => Ok((found, shown)),
                _ => Err(Refused::TicketVoid),
            }
        })
        .await
    }
}

fn list(event_state: &EventState, found: &DoorTicket) -> Result<ListedTicket, Refused> {
    let ticket = show(event_state, found)?;
    let codes = &event_state.codes;
    Ok(ListedTicket {
        old_code_sha256: codes.old_code_sha256(&ticket.id, &ticket.seat),
        id: ticket.id,
        seat: ticket.seat,
        label: ticket.label,
        ticket_type: ticket.ticket_type,
        used_at: ticket.used_at,
        door: ticket.door,
        void: !found.is_valid,
    })
}

/// Returns a ticket as it is shown. One that was given back may have been for a seat that the plan
/// does not have any more: it has none then.
fn show(event_state: &EventState, found: &DoorTicket) -> Result<IssuedTicket, Refused> {
    event_state.check_plan(found.plan_version)?;
    let plan = event_state.plan.as_ref().ok_or(Refused::NoSuchTicket)?;
    let seat = plan.layout.seats.get(found.seat as usize);
    let mut priced = found.priced.iter();
    let priced = priced.find(|priced| seat.is_some_and(|seat| priced.id == seat.id));
    let ticket = IssuedTicket {
        id: found.id.clone(),
        ticket_type: priced.and_then(|priced| priced.ticket_type.clone()),
        seat: seat.map_or_else(String::new, |seat| seat.id.to_string()),
        label: plan.layout.place(found.seat).label,
        order: found.order.clone(),
        used_at: None,
        door: None,
    };
    Ok(ticket.used(found.check_in.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_counts_at_the_time_of_its_door_only_within_the_days_before_now() {
        let now = Time(1_800_000_000_000);
        let week = 7 * 24 * 3_600_000;
        for (at, counted, is_doubtful) in [
            (now.0 - 1, now.0 - 1, false),
            (now.0 - week, now.0 - week, false),
            (now.0 - week - 1, now.0, true),
            (0, now.0, true),
            (i64::MIN / 2, now.0, true),
            (now.0 + 300_000, now.0, false),
            (now.0 + 300_001, now.0, true),
            (i64::MAX, now.0, true),
        ] {
            let scan = Scan {
                at: Some(Time(at)),
                ..Scan::default()
            };
            let doubtful = is_doubtful.then_some(Time(at));
            assert_eq!(scan.time(now), (Time(counted), doubtful), "{at}");
        }
        assert_eq!(Scan::default().time(now), (now, None));
    }
}
