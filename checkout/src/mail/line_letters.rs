//! The letter to a fan in line whose turn has come, and the end of what is kept for it.

use super::letter::{Letter, LetterBlock};
use super::order_letters::{link_in, reply_to};
use super::sender::{Sender, Unwritten};
use crate::event_words::facts_of;
use crate::inventory::InLine;
use crate::inventory::mail::{MailKind, MailOutcome, NewMail, QueuedMail};
use shared::event_details::day_and_time;
use shared::ids::{EventId, VisitorId};
use shared::texts::Language;
use shared::time::Time;

impl Sender {
    /// Writes the letter. Needless once the turn was missed, or the address withdrawn.
    pub(super) async fn turn_letter(&self, mail: &NewMail) -> Result<Letter, Unwritten> {
        let place = place_of(mail).ok_or(Unwritten::Needless)?;
        let claim_by: Time = serde_json::from_str(&mail.detail).map_err(|_| Unwritten::Needless)?;
        if claim_by <= self.now() {
            return Err(Unwritten::Needless);
        }
        let found = self.shop.inventory.line_mails().find(&place).await;
        let row = found.map_err(|_| Unwritten::NotNow("the store does not answer"))?;
        let told = row.ok_or(Unwritten::Needless)?.mail;
        let facts = self.shop.event_facts(&place.event).await;
        let facts = facts.ok_or(Unwritten::NotNow("the waiting room does not answer"))?;
        let language = Language::parse(&told.language).unwrap_or_default();
        let say = |key: &str, values: &[(&str, &str)]| language.phrase(key, values);
        let details = facts.details.as_ref();
        let zone = details.and_then(|details| details.time_zone.as_deref());
        let time = day_and_time(claim_by, zone, language);
        let site = &self.shop.site.public_url;
        let path = link_in(site, &format!("/e/{}/place", place.event), language);
        let title = say("mail.turn", &[("event", &facts.name)]);
        Ok(Letter {
            to: (told.email, String::new()),
            reply_to: reply_to(&facts),
            subject: title.clone(),
            title,
            language,
            colours: details.and_then(|details| details.colours.clone()),
            blocks: vec![
                LetterBlock::Text(say("mail.turn.text", &[("time", &time)])),
                LetterBlock::Link(say("mail.turn.open", &[]), format!("{path}#{}", told.link)),
                LetterBlock::Text(say("mail.turn.alone", &[])),
                LetterBlock::Fields(facts_of(&facts, language)),
                LetterBlock::Small(say("mail.turn.why", &[("site", site)])),
            ],
            calendar: None,
            tickets_pdf: None,
        })
    }

    /// Forgets the address once the mail needs no further attempt. Nothing is kept of one that cannot be
    /// sent: it is known of no one whether the address is the fan's.
    pub(super) async fn end_turn(&self, mail: &QueuedMail, outcome: MailOutcome) -> MailOutcome {
        let mail = &mail.mail;
        if mail.kind != MailKind::Turn || matches!(outcome, MailOutcome::Later { .. }) {
            return outcome;
        }
        if let Some(place) = place_of(mail) {
            let mails = self.shop.inventory.line_mails();
            // One that is not deleted now is once it is old.
            let _ = mails.remove(&place, mail.created_at).await;
        }
        match outcome {
            MailOutcome::Failed { .. } => MailOutcome::Dropped,
            outcome => outcome,
        }
    }
}

/// Returns the place that a mail is about.
fn place_of(mail: &NewMail) -> Option<InLine> {
    Some(InLine {
        event: EventId::parse(&mail.event).ok()?,
        visitor: VisitorId::parse(&mail.order)?,
    })
}
