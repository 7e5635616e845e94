//! Sends lists of orders that were asked for. Addresses are sealed, so that all buyers are read for
//! them: once for everyone who waits, and then not for a while.

use super::letter::{Letter, LetterBlock};
use super::order_letters::link_in;
use super::sender::Sender;
use crate::inventory::comparable;
use crate::inventory::mail::{MailOutcome, QueuedMail};
use crate::inventory::{Order, OrderKey, Refused, StoredBuyer};
use crate::waiting_room::EventFacts;
use shared::event_details::day_and_time;
use shared::texts::Language;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Pause while no request waits.
const IDLE: Duration = Duration::from_secs(1);
/// Number of times that a pause is longer than the reading before it.
const PAUSES: u32 = 10;
/// Time for which requests are left to the node that has taken them.
const LEASE_MS: i64 = 10 * 60_000;
/// Largest number of requests that are answered together.
const TOGETHER_MAX: u32 = 500;
/// Largest number of orders in a mail; the newest are in it.
const ORDERS_MAX: usize = 20;
/// Time after which a request is forgotten.
const GIVE_UP_MS: i64 = 3_600_000;

impl Sender {
    /// Answers requests until the future is dropped.
    pub(super) async fn send_lists(self: &Arc<Self>) {
        loop {
            let claimed = self
                .shop
                .inventory
                .mails()
                .claim(true, TOGETHER_MAX, LEASE_MS);
            let claimed = claimed.await.unwrap_or_default();
            let began_at = Instant::now();
            if !claimed.is_empty() {
                self.answer(claimed).await;
            }
            sleep(IDLE.max(PAUSES * began_at.elapsed())).await;
        }
    }

    /// Sends each address its orders. Of several requests for one address one is answered.
    async fn answer(&self, claimed: Vec<QueuedMail>) {
        let mut wanted: HashMap<String, Vec<StoredBuyer>> = HashMap::new();
        let mut asked = Vec::new();
        for mail in claimed {
            let address = comparable(&mail.mail.detail);
            let is_new = wanted.insert(address.clone(), Vec::new()).is_none();
            match is_new && !address.is_empty() {
                true => asked.push((mail, address)),
                false => self.settle(&mail, MailOutcome::Dropped).await,
            }
        }
        let found = self.shop.inventory.orders_of_each(&mut wanted).await;
        for (mail, address) in asked {
            let outcome = match &found {
                Ok(()) => {
                    let orders = wanted.remove(&address).unwrap_or_default();
                    self.send_list(&mail, orders).await
                }
                Err(_) => self.later(&mail, 0, String::new()),
            };
            let is_old = self.now().0 - mail.mail.created_at.0 > GIVE_UP_MS;
            let outcome = match outcome {
                later @ MailOutcome::Later { .. } if !is_old => later,
                // It is known of no one whether they asked.
                _ => MailOutcome::Dropped,
            };
            self.settle(&mail, outcome).await;
        }
    }

    async fn send_list(&self, mail: &QueuedMail, orders: Vec<StoredBuyer>) -> MailOutcome {
        match self.list_of(orders).await {
            Ok(Some(letter)) => self.post(mail, &letter).await,
            Ok(None) => MailOutcome::Dropped,
            Err(_) => self.later(mail, 0, String::new()),
        }
    }

    /// Writes the letter with links to orders; none if none has a page.
    async fn list_of(&self, mut orders: Vec<StoredBuyer>) -> Result<Option<Letter>, Refused> {
        orders.sort_by_key(|stored| Reverse(stored.created_at));
        orders.truncate(ORDERS_MAX);
        let Some(first) = orders.first() else {
            return Ok(None);
        };
        let Some(newest) = first.buyer.clone() else {
            return Ok(None);
        };
        let language = self.language_of(&first.order).await?;
        let mut entries = Vec::new();
        for stored in &orders {
            entries.extend(self.entry(&stored.order, language).await?);
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let site = &self.shop.site.public_url;
        let to = (newest.email, newest.name);
        Ok(Some(list_letter(to, language, entries, site)))
    }

    /// Returns the language of an order.
    async fn language_of(&self, key: &OrderKey) -> Result<Language, Refused> {
        let details = self.shop.inventory.order_details(&key.event, &key.id).await;
        let order = match details {
            Ok(details) => details.order,
            Err(Refused::NoSuchOrder | Refused::NoSuchEvent) => return Ok(Language::english()),
            Err(refused) => return Err(refused),
        };
        let facts = self.shop.event_facts(&key.event).await;
        Ok(facts.map_or_else(Language::english, |facts| facts.language_of(&order)))
    }

    /// Returns what the letter says of an order; nothing of one that was never confirmed.
    async fn entry(&self, key: &OrderKey, language: Language) -> Result<Vec<LetterBlock>, Refused> {
        let details = self.shop.inventory.order_details(&key.event, &key.id).await;
        let order = match details {
            Ok(details) => details.order,
            Err(Refused::NoSuchOrder | Refused::NoSuchEvent) => return Ok(Vec::new()),
            Err(refused) => return Err(refused),
        };
        let facts = self.shop.event_facts(&key.event).await;
        let site = &self.shop.site.public_url;
        Ok(entry_of(&order, facts.as_deref(), language, site))
    }
}

/// Writes the letter with these entries.
pub(super) fn list_letter(
    to: (String, String),
    language: Language,
    entries: Vec<LetterBlock>,
    site: &str,
) -> Letter {
    let page = format!("{site}/orders/find");
    let why = language.phrase("mail.orders.why", &[("page", &page)]);
    let mut blocks = vec![LetterBlock::Text(language.phrase("mail.orders.text", &[]))];
    blocks.extend(entries);
    blocks.push(LetterBlock::Small(why));
    let title = language.phrase("mail.orders", &[]);
    Letter {
        to,
        reply_to: None,
        unsubscribe: None,
        subject: title.clone(),
        title,
        language,
        colours: None,
        blocks,
        calendar: None,
        tickets_pdf: None,
    }
}

/// Returns the entry of an order; empty if the order has no page.
pub(super) fn entry_of(
    order: &Order,
    facts: Option<&EventFacts>,
    language: Language,
    site: &str,
) -> Vec<LetterBlock> {
    let Some(link) = &order.link else {
        return Vec::new();
    };
    let name = facts.map_or(order.event.as_str(), |facts| &facts.name);
    let details = facts.and_then(|facts| facts.details.as_ref());
    let date = details.and_then(|details| {
        let date = day_and_time(details.starts_at?, details.time_zone.as_deref(), language);
        Some((language.phrase("ticket.date", &[]), date))
    });
    let mut fields: Vec<(String, String)> = date.into_iter().collect();
    let name_of = |key: &str| language.phrase(key, &[]);
    fields.push((name_of("seats.seats"), order.seats.len().to_string()));
    fields.push((name_of("ticket.order"), order.id.clone()));
    let url = link_in(site, link, language);
    vec![
        LetterBlock::Heading(name.to_owned()),
        LetterBlock::Fields(fields),
        LetterBlock::Link(name_of("mail.orders.open"), url),
    ]
}
