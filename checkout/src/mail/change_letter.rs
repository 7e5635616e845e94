//! The letter about a changed date or place.

use super::letter::LetterBlock;
use super::order_letters::About;
use crate::event_change::{DateAndPlace, EventChange};
use crate::event_words::facts_of;
use crate::inventory::Buyer;
use crate::waiting_room::EventFacts;

impl About<'_> {
    /// Writes what was and what is. None for an order without valid tickets, and once the event is as
    /// it was.
    pub(super) fn changed(&self, buyer: &Buyer, detail: &str) -> Option<Vec<LetterBlock>> {
        let was = EventChange::read(detail)?.was;
        let has_tickets = !self.tickets().is_empty();
        if !has_tickets || was == DateAndPlace::of(self.event) {
            return None;
        }
        let before = EventFacts {
            name: self.event.name.clone(),
            details: Some(was.details()),
        };
        let now = facts_of(self.event, self.language);
        let mut before = facts_of(&before, self.language);
        before.retain(|fact| !now.contains(fact));
        let mut blocks = vec![LetterBlock::Text(
            self.say("mail.changed.text", &[("name", &buyer.name)]),
        )];
        if !before.is_empty() {
            blocks.push(LetterBlock::Heading(self.say("mail.changed.before", &[])));
            blocks.push(LetterBlock::Fields(before));
        }
        blocks.push(LetterBlock::Heading(self.say("mail.changed.now", &[])));
        blocks.push(self.facts());
        Some(blocks)
    }
}
