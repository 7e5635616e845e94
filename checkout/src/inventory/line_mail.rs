//! Addresses of fans in line, as they are stored until their turn was told.

use super::mail::{MailKind, NewMail};
use super::model::Refused;
use super::outbox::{AdmissionPayload, EventType, OutboxRow};
use super::personal::Personal;
use async_trait::async_trait;
use shared::ids::{EventId, VisitorId};
use shared::line_mail::LineMail;
use shared::sealing::SealingKeys;
use shared::time::Time;
use std::collections::HashSet;

/// Largest number of rows of a page, and of those that are deleted by one step.
pub(super) const LINE_MAILS_MAX: usize = 500;

/// End of the order of a mail that tells that a turn comes soon, after its visitor.
const SOON: &str = ".soon";

/// A visitor in the line of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InLine {
    /// The event.
    pub event: EventId,
    /// The visitor.
    pub visitor: VisitorId,
}

impl InLine {
    /// Returns the place of a visitor in the line of an event.
    pub fn new(event: &EventId, visitor: VisitorId) -> InLine {
        let event = event.clone();
        InLine { event, visitor }
    }

    /// Returns the place with these names.
    pub(super) fn parse(event: &str, visitor: &str) -> Option<InLine> {
        let visitor = VisitorId::parse(visitor)?;
        Some(InLine::new(&EventId::parse(event).ok()?, visitor))
    }

    /// Returns the place that a mail is about, if it is about one.
    pub(crate) fn of(mail: &NewMail) -> Option<InLine> {
        let order = &mail.order;
        InLine::parse(&mail.event, order.strip_suffix(SOON).unwrap_or(order))
    }

    /// Returns the place whose turn has come by a row of the outbox, and the admission.
    pub(crate) fn admitted(row: &OutboxRow) -> Option<(InLine, AdmissionPayload)> {
        if row.event_type != EventType::AdmissionAdmitted.as_str() {
            return None;
        }
        let admission: AdmissionPayload = serde_json::from_str(&row.payload).ok()?;
        let event = EventId::parse(&row.event).ok()?;
        Some((InLine::new(&event, admission.visitor), admission))
    }
}

/// A fan who wants a mail once it is their turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineMailRow {
    /// The fan's place.
    pub place: InLine,
    /// The address, the language and the link.
    pub mail: LineMail,
    /// When the fan left the address.
    pub created_at: Time,
}

/// A fan who is to be told before their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoonRow {
    /// The fan.
    pub visitor: VisitorId,
    /// Their number, if it is known.
    pub number: Option<u64>,
}

/// Outcome of a question to the line about a fan who is to be told before their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoonStep {
    /// The turn comes soon: a mail says so.
    Tell,
    /// They are asked about again.
    Later,
    /// No mail says so: they do not wait any more, or their turn is as good as there.
    Never,
}

/// The stored addresses of fans in line, one for each place.
#[async_trait]
pub trait LineMailStore: Send + Sync {
    /// Keeps an address in place of the one from before.
    async fn keep(&self, place: &InLine, mail: &LineMail) -> Result<(), Refused>;

    /// Returns the address of a place, unless there is none or it cannot be opened.
    async fn find(&self, place: &InLine) -> Result<Option<LineMailRow>, Refused>;

    /// Returns those of these places that have an address.
    async fn known(&self, places: Vec<InLine>) -> Result<HashSet<InLine>, Refused>;

    /// Deletes the address of a place if it was left by this time.
    async fn remove(&self, place: &InLine, until: Time) -> Result<(), Refused>;

    /// Returns the next addresses after a place, in order, at most 500; those that cannot be opened
    /// are left out, and the last place is that of the last row. None at the end.
    async fn page(
        &self,
        after: Option<&InLine>,
    ) -> Result<(Vec<LineMailRow>, Option<InLine>), Refused>;

    /// Deletes addresses that were left so long ago, of an event or of all, a bounded number. Returns
    /// whether there may be more.
    async fn purge(&self, event: Option<&EventId>, kept_ms: i64) -> Result<bool, Refused>;

    /// Returns those of these events in whose lines fans are to be told before their turn.
    async fn soon_events(&self, events: Vec<EventId>) -> Result<Vec<EventId>, Refused>;

    /// Returns the next fans of a line who are to be told before their turn, at most `WAITS_MAX`: first
    /// those whose number is not known, then in order of numbers.
    async fn next_soon(&self, event: &EventId) -> Result<Vec<SoonRow>, Refused>;

    /// Records the outcomes of a question about fans, with their numbers, and adds the mails of those who are
    /// told, in one transaction. Left out are those of whom another node recorded that they were told, or
    /// never will be; a place has one such mail, also if its fan leaves an address again.
    async fn settle_soon(
        &self,
        event: &EventId,
        fans: Vec<(SoonRow, SoonStep)>,
    ) -> Result<(), Refused>;
}

/// Returns the mail that tells a fan that the turn comes soon.
pub(super) fn soon_mail(event: &EventId, fan: &SoonRow, now: Time) -> NewMail {
    let (visitor, number) = (fan.visitor, fan.number.unwrap_or_default());
    NewMail {
        id: format!("mail_soon_{event}_{visitor}_{number}"),
        event: event.as_str().to_owned(),
        order: format!("{visitor}{SOON}"),
        kind: MailKind::Soon,
        detail: String::new(),
        created_at: now,
    }
}

/// The columns of a row, of which `email` and `link` are sealed.
pub(super) struct LineMailColumns {
    pub(super) email: String,
    pub(super) link: String,
    pub(super) language: String,
    pub(super) created_at: i64,
    pub(super) number: Option<i64>,
    pub(super) soon: bool,
}

impl LineMailColumns {
    pub(super) fn seal(
        keys: &SealingKeys,
        place: &InLine,
        mail: &LineMail,
        now: Time,
    ) -> LineMailColumns {
        let (personal, visitor) = (personal(keys, place), place.visitor.to_string());
        LineMailColumns {
            email: personal.seal_line_mail("line email", &visitor, &mail.email),
            link: personal.seal_line_mail("line link", &visitor, &mail.link),
            language: mail.language.clone(),
            created_at: now.0,
            number: mail.number.map(|number| number as i64),
            soon: mail.tell_soon,
        }
    }

    /// Returns the row, unless its key is missing.
    pub(super) fn open(self, keys: &SealingKeys, place: InLine) -> Option<LineMailRow> {
        let (personal, visitor) = (personal(keys, &place), place.visitor.to_string());
        let mail = LineMail {
            email: personal.open_line_mail("line email", &visitor, &self.email)?,
            link: personal.open_line_mail("line link", &visitor, &self.link)?,
            language: self.language,
            number: self.number.map(i64::unsigned_abs),
            tell_soon: self.soon,
        };
        Some(LineMailRow {
            mail,
            created_at: Time(self.created_at),
            place,
        })
    }
}

fn personal<'a>(keys: &'a SealingKeys, place: &'a InLine) -> Personal<'a> {
    Personal {
        keys,
        event: &place.event,
    }
}
