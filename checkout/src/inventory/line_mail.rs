//! Addresses of fans in line, as they are stored until their turn was told.

use super::model::Refused;
use super::personal::Personal;
use async_trait::async_trait;
use shared::ids::{EventId, VisitorId};
use shared::line_mail::LineMail;
use shared::sealing::SealingKeys;
use shared::time::Time;
use std::collections::HashSet;

/// Largest number of rows of a page, and of those that are deleted by one step.
pub(super) const LINE_MAILS_MAX: usize = 500;

/// A visitor in the line of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InLine {
    /// The event.
    pub event: EventId,
    /// The visitor.
    pub visitor: VisitorId,
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
}

/// The columns of a row, of which `email` and `link` are sealed.
pub(super) struct LineMailColumns {
    pub(super) email: String,
    pub(super) link: String,
    pub(super) language: String,
    pub(super) created_at: i64,
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
        }
    }

    /// Returns the row, unless its key is missing.
    pub(super) fn open(self, keys: &SealingKeys, place: InLine) -> Option<LineMailRow> {
        let (personal, visitor) = (personal(keys, &place), place.visitor.to_string());
        let mail = LineMail {
            email: personal.open_line_mail("line email", &visitor, &self.email)?,
            link: personal.open_line_mail("line link", &visitor, &self.link)?,
            language: self.language,
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
