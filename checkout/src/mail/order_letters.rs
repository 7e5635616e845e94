//! Letters about an order: its tickets, a refund, its cancellation.

use super::letter::{Letter, LetterBlock, TicketBlock};
use crate::event_words::{facts_of, links_of, venue};
use crate::inventory::mail::{MailKind, NewMail};
use crate::inventory::{Buyer, Money, Order, Ticket};
use crate::waiting_room::EventFacts;
use lettre::message::Mailbox;
use shared::event_details::EventDetails;
use shared::icalendar::{basic, calendar, escaped};
use shared::plain_text::one_line;
use shared::texts::Language;
use shared::time::Time;

/// An order with its event, and who writes about it.
pub(super) struct About<'a> {
    pub(super) order: &'a Order,
    pub(super) event: &'a EventFacts,
    pub(super) language: Language,
    /// The public URL.
    pub(super) site: &'a str,
    pub(super) sender: &'a Mailbox,
}

impl About<'_> {
    /// Writes a letter. None if its buyer was erased or gave no address, or if it would not be true any more.
    pub(super) fn letter(&self, mail: &NewMail) -> Option<Letter> {
        let buyer = self.order.buyer.as_ref();
        let buyer = buyer.filter(|buyer| !buyer.email.is_empty())?;
        let (title, mut blocks) = match mail.kind {
            MailKind::Confirmed => {
                let tickets = self
                    .order
                    .tickets
                    .as_deref()
                    .filter(|all| !all.is_empty())?;
                (self.named("mail.tickets"), self.confirmed(buyer, tickets))
            }
            MailKind::Refunded if self.order.event_cancelled.is_some() => {
                let returned = serde_json::from_str(&mail.detail).ok()?;
                let mut blocks = vec![self.show_cancelled()?];
                blocks.extend(self.refunded(returned));
                (self.named("mail.cancelled_show"), blocks)
            }
            MailKind::Refunded => {
                let returned = serde_json::from_str(&mail.detail).ok()?;
                let what = match (self.order.state.as_str(), self.tickets().is_empty()) {
                    ("refunded", _) => "mail.refunded",
                    (_, false) => "mail.partly_refunded",
                    (_, true) => "mail.returned",
                };
                (self.named(what), self.refunded(returned))
            }
            MailKind::Cancelled => {
                let mut blocks: Vec<LetterBlock> = self.show_cancelled().into_iter().collect();
                let text = match blocks.is_empty() {
                    true => "mail.unpaid",
                    false => "mail.unpaid_show",
                };
                blocks.extend([LetterBlock::Text(self.say(text, &[])), self.facts()]);
                (self.named("mail.cancelled"), blocks)
            }
            MailKind::Changed => (
                self.named("mail.changed"),
                self.changed(buyer, &mail.detail)?,
            ),
            MailKind::Orders | MailKind::Soon | MailKind::Turn => return None,
        };
        blocks.extend(self.link());
        blocks.push(LetterBlock::Small(self.footer()));
        let calendar = match mail.kind {
            MailKind::Confirmed => self.calendar(None),
            MailKind::Changed => self.calendar(Some(mail.created_at)),
            _ => None,
        };
        Some(Letter {
            to: (buyer.email.clone(), buyer.name.clone()),
            reply_to: reply_to(self.event),
            unsubscribe: None,
            subject: title.clone(),
            title,
            language: self.language,
            colours: self.details().and_then(|details| details.colours.clone()),
            blocks,
            calendar,
            tickets_pdf: None,
        })
    }

    pub(super) fn say(&self, key: &str, values: &[(&str, &str)]) -> String {
        self.language.phrase(key, values)
    }

    /// Returns a text that names the event.
    fn named(&self, key: &str) -> String {
        self.say(key, &[("event", &self.event.name)])
    }

    fn money(&self, money: Money) -> String {
        money.in_language(self.language)
    }

    fn details(&self) -> Option<&EventDetails> {
        self.event.details.as_ref()
    }

    /// Returns that the show was cancelled and why, if it was.
    fn show_cancelled(&self) -> Option<LetterBlock> {
        let cancelled = self.order.event_cancelled.as_ref()?;
        Some(LetterBlock::Text(cancelled.for_people(self.language)))
    }

    pub(super) fn tickets(&self) -> &[Ticket] {
        self.order.tickets.as_deref().unwrap_or_default()
    }

    fn confirmed(&self, buyer: &Buyer, tickets: &[Ticket]) -> Vec<LetterBlock> {
        let text = self.say("mail.confirmed", &[("name", &buyer.name)]);
        let mut blocks = vec![LetterBlock::Text(text), self.facts()];
        if !self.order.instead_of_labels.is_empty() {
            let places = self.order.instead_of_labels.join("; ");
            let text = self.say("mail.exchanged", &[("places", &places)]);
            blocks.push(LetterBlock::Text(text));
        }
        let count = tickets.len() as u64;
        let heading = self.language.phrase_of("mail.your_tickets", count);
        blocks.push(LetterBlock::Heading(heading));
        blocks.extend(
            tickets
                .iter()
                .map(|ticket| LetterBlock::Ticket(self.ticket_block(ticket))),
        );
        blocks.push(LetterBlock::Heading(self.say("mail.paid", &[])));
        blocks.push(LetterBlock::Amounts(self.amounts()));
        blocks
    }

    fn refunded(&self, returned: Money) -> Vec<LetterBlock> {
        let text = match returned.amount {
            0 => self.say("mail.free", &[]),
            _ => self.say("mail.money_back", &[("amount", &self.money(returned))]),
        };
        let mut blocks = vec![LetterBlock::Text(text), self.facts()];
        let valid: Vec<&str> = self
            .tickets()
            .iter()
            .map(|ticket| ticket.place.label.as_str())
            .collect();
        if !valid.is_empty() {
            let text = self.say("mail.valid", &[("places", &valid.join("; "))]);
            blocks.push(LetterBlock::Text(text));
        }
        blocks
    }

    /// Returns what the event is, when and where, and the order's number.
    pub(super) fn facts(&self) -> LetterBlock {
        let mut facts = facts_of(self.event, self.language);
        facts.push((self.say("ticket.order", &[]), self.order.id.clone()));
        LetterBlock::Fields(facts)
    }

    /// Returns the lines of the price, with the total.
    fn amounts(&self) -> Vec<(String, String)> {
        let (included, added): (Vec<_>, Vec<_>) =
            self.order.lines.iter().partition(|line| line.included);
        let name = |quantity: u32, name: &str| match quantity {
            1 => name.to_owned(),
            quantity => format!("{quantity} × {name}"),
        };
        let mut amounts: Vec<(String, String)> = Vec::new();
        for line in added {
            amounts.push((name(line.quantity, &line.name), self.money(line.amount)));
        }
        amounts.push((self.say("mail.total", &[]), self.money(self.order.total)));
        for line in included {
            let name = self.say("mail.of_which", &[("name", &line.name)]);
            amounts.push((name, self.money(line.amount)));
        }
        amounts
    }

    fn link(&self) -> Option<LetterBlock> {
        let link = self.order.link.as_ref()?;
        Some(LetterBlock::Link(
            self.say("mail.open", &[]),
            link_in(self.site, link, self.language),
        ))
    }

    fn footer(&self) -> String {
        let sender = self.sender.name.as_deref().unwrap_or(self.site);
        let mut footer = self.say("mail.footer", &[("sender", sender), ("site", self.site)]);
        for (name, link) in links_of(self.event, self.language) {
            footer.push_str(&format!(" {name}: {link}"));
        }
        footer
    }

    /// Returns the calendar file. Of several, calendars keep the one of the latest change.
    fn calendar(&self, changed_at: Option<Time>) -> Option<String> {
        let details = self.details()?;
        let start = details.starts_at?;
        let order = self.order;
        let (_, host) = self.site.split_once("://").unwrap_or(("", self.site));
        let seats: Vec<&str> = order.seats.iter().map(|seat| &*seat.label).collect();
        let number = self.say("mail.note", &[("order", &order.id)]);
        let note = format!("{number}\n{}", seats.join("\n"));
        let mut lines = vec![
            "BEGIN:VEVENT".to_owned(),
            format!("UID:{}@{host}", order.id),
            format!("DTSTAMP:{}", basic(changed_at.unwrap_or(order.created_at))),
            format!("DTSTART:{}", basic(start)),
            format!("SUMMARY:{}", escaped(&one_line(&self.event.name))),
            format!("DESCRIPTION:{}", escaped(&note)),
            format!("URL:{}/e/{}", self.site, order.event),
        ];
        if let Some(at) = changed_at {
            lines.push(format!("SEQUENCE:{}", at.seconds()));
        }
        if let Some(venue) = venue(details) {
            lines.push(format!("LOCATION:{}", escaped(&venue)));
        }
        lines.push("END:VEVENT".to_owned());
        Some(calendar(lines))
    }

    fn ticket_block(&self, ticket: &Ticket) -> TicketBlock {
        let door = ticket.place.door.as_ref();
        let door = door.map(|door| self.say("mail.door", &[("door", door)]));
        let hints = [door, ticket.place.notes.clone()];
        TicketBlock {
            label: ticket.place.label.clone(),
            hints: hints.into_iter().flatten().collect(),
            short_code: ticket.short_code.clone(),
            code: ticket.code.clone(),
        }
    }
}

/// Returns the address at which the organiser is to be reached, if it is one of mail.
pub(super) fn reply_to(event: &EventFacts) -> Option<String> {
    let contact = event.details.as_ref()?.links.contact.as_deref()?;
    let address = contact.strip_prefix("mailto:")?;
    Some(address.split('?').next().unwrap_or(address).to_owned())
}

/// Returns the address of a page of ours in a language.
pub(crate) fn link_in(site: &str, link: &str, language: Language) -> String {
    if language == Language::english() {
        return format!("{site}{link}");
    }
    let mark = if link.contains('?') { '&' } else { '?' };
    format!("{site}{link}{mark}lang={}", language.code())
}
