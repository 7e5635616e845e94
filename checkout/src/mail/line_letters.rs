//! The letters to a fan in line, before the turn and once it has come, and the end of what is kept for
//! them.

use super::letter::{Letter, LetterBlock};
use super::order_letters::{link_in, reply_to};
use super::sender::{Sender, Unwritten};
use crate::event_words::facts_of;
use crate::inventory::InLine;
use crate::inventory::mail::{MailKind, MailOutcome, NewMail, QueuedMail};
use crate::waiting_room::EventFacts;
use shared::event_details::{day_and_time, time_of_day};
use shared::line_mail::{LineMail, WaitRange};
use shared::texts::Language;
use shared::time::Time;
use std::sync::Arc;

/// A fan in line who left an address, and what the letter is about.
pub(super) struct ToldFan {
    pub(super) place: InLine,
    pub(super) mail: LineMail,
    pub(super) facts: Arc<EventFacts>,
    pub(super) language: Language,
    /// Link that withdraws the address.
    pub(super) unsubscribe: String,
}

impl Sender {
    /// Writes the letter of a turn that has come. Needless once it was missed, or the address withdrawn.
    pub(super) async fn turn_letter(&self, mail: &NewMail) -> Result<Letter, Unwritten> {
        let claim_by: Time = serde_json::from_str(&mail.detail).map_err(|_| Unwritten::Needless)?;
        if claim_by <= self.now() {
            return Err(Unwritten::Needless);
        }
        let told = self.told(mail).await?;
        Ok(told.turn(claim_by, &self.shop.site.public_url))
    }

    /// Writes the letter of a turn that comes soon, with the wait of now. Needless once the fan does not
    /// wait any more, or the wait is unknown or longer again, or the address withdrawn.
    pub(super) async fn soon_letter(&self, mail: &NewMail) -> Result<Letter, Unwritten> {
        let told = self.told(mail).await?;
        let (event, visitor) = (&told.place.event, told.place.visitor);
        let waits = self.shop.waiting_room.waits(event, vec![visitor]).await;
        let waits = waits.ok_or(Unwritten::NotNow("the waiting room does not answer"))?;
        let wait = waits.waits.iter().find(|wait| wait.visitor == visitor);
        let range = wait.and_then(|wait| wait.seconds);
        let range = range.filter(|range| range.is_soon());
        let range = range.ok_or(Unwritten::Needless)?;
        Ok(told.soon(range, self.now(), &self.shop.site.public_url))
    }

    /// Returns the fan of a mail. Needless once the address was withdrawn.
    async fn told(&self, mail: &NewMail) -> Result<ToldFan, Unwritten> {
        let place = InLine::of(mail).ok_or(Unwritten::Needless)?;
        let found = self.shop.inventory.line_mails().find(&place).await;
        let row = found.map_err(|_| Unwritten::NotNow("the store does not answer"))?;
        let mail = row.ok_or(Unwritten::Needless)?.mail;
        let facts = self.shop.event_facts(&place.event).await;
        let language = Language::parse(&mail.language).unwrap_or_default();
        let link = self.shop.unsubscribe_link(&place, &mail.email, language);
        Ok(ToldFan {
            unsubscribe: link,
            facts: facts.ok_or(Unwritten::NotNow("the waiting room does not answer"))?,
            language,
            place,
            mail,
        })
    }

    /// Forgets the address once the mail of the turn needs no further attempt. Nothing is kept of one that
    /// cannot be sent: it is known of no one whether the address is the fan's.
    pub(super) async fn end_line_mail(
        &self,
        mail: &QueuedMail,
        outcome: MailOutcome,
    ) -> MailOutcome {
        let mail = &mail.mail;
        let is_turn = mail.kind == MailKind::Turn;
        let is_told = is_turn || mail.kind == MailKind::Soon;
        if !is_told || matches!(outcome, MailOutcome::Later { .. }) {
            return outcome;
        }
        if let Some(place) = InLine::of(mail).filter(|_| is_turn) {
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

impl ToldFan {
    /// Writes that the turn has come, until this time.
    pub(super) fn turn(self, claim_by: Time, site: &str) -> Letter {
        let time = day_and_time(claim_by, self.zone(), self.language);
        let title = self.say("mail.turn", &[("event", &self.facts.name)]);
        let texts = vec![self.say("mail.turn.text", &[("time", &time)])];
        let open = self.say("mail.turn.open", &[]);
        self.letter(title, texts, open, site)
    }

    /// Writes that the turn is expected after this wait.
    pub(super) fn soon(self, range: WaitRange, now: Time, site: &str) -> Letter {
        let expected = self.expected(range, now);
        let title = self.say("mail.soon", &[("event", &self.facts.name)]);
        let texts = vec![expected, self.say("mail.soon.kept", &[])];
        let open = self.say("mail.soon.open", &[]);
        self.letter(title, texts, open, site)
    }

    fn say(&self, key: &str, values: &[(&str, &str)]) -> String {
        self.language.phrase(key, values)
    }

    fn zone(&self) -> Option<&str> {
        self.facts.details.as_ref()?.time_zone.as_deref()
    }

    /// Returns when the turn is expected, in whole minutes around the range.
    fn expected(&self, range: WaitRange, now: Time) -> String {
        let (from, until) = (
            now.plus_seconds(range.low),
            now.plus_seconds(range.high.saturating_add(59)),
        );
        let zone = self.zone().unwrap_or("UTC");
        let until = time_of_day(until, zone, from, self.language);
        let from = day_and_time(from, self.zone(), self.language);
        self.say("mail.soon.text", &[("from", &from), ("until", &until)])
    }

    /// Writes a letter with a link to the place, which has the text `open`.
    fn letter(self, title: String, texts: Vec<String>, open: String, site: &str) -> Letter {
        let path = format!("/e/{}/place", self.place.event);
        let link = link_in(site, &path, self.language);
        let mut blocks: Vec<LetterBlock> = texts.into_iter().map(LetterBlock::Text).collect();
        blocks.extend([
            LetterBlock::Link(open, format!("{link}#{}", self.mail.link)),
            LetterBlock::Text(self.say("mail.turn.alone", &[])),
            LetterBlock::Fields(facts_of(&self.facts, self.language)),
            LetterBlock::Small(self.say("mail.turn.why", &[("site", site)])),
        ]);
        let details = self.facts.details.as_ref();
        Letter {
            reply_to: reply_to(&self.facts),
            unsubscribe: Some(self.unsubscribe),
            colours: details.and_then(|details| details.colours.clone()),
            to: (self.mail.email, String::new()),
            subject: title.clone(),
            title,
            language: self.language,
            blocks,
            calendar: None,
            tickets_pdf: None,
        }
    }
}
