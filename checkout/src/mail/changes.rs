//! Tells the buyers of an event that its date or place has changed: one step after the other adds the
//! mails of some of its orders, and the next step with them.
//!
//! A step is a row among the mails, without an order. It is taken, and taken again after a node was
//! killed, as a mail is. Its mails have ids that follow from the change and the order, so that a step
//! which is taken twice adds nothing twice.

use super::sender::Sender;
use crate::event_change::EventChange;
use crate::inventory::mail::{MailKind, MailOutcome, NewMail, QueuedMail};
use crate::inventory::{Order, OrderPage, Refused};
use crate::waiting_room::EventFacts;
use shared::ids::EventId;
use std::sync::Arc;

/// Largest number of orders in one step.
const STEP_MAX: u32 = 100;
/// Age of a change from which on events that were kept for some seconds have it.
const KNOWN_AFTER_MS: i64 = 15_000;

impl Sender {
    /// Takes a step.
    pub(super) async fn tell_buyers(&self, step: &QueuedMail) -> MailOutcome {
        match self.take_step(&step.mail, step).await {
            Ok(()) => MailOutcome::Sent,
            Err(_) => {
                let why = "the store does not answer".to_owned();
                self.later(step, step.unanswered, why)
            }
        }
    }

    async fn take_step(&self, step: &NewMail, row: &QueuedMail) -> Result<(), Refused> {
        let event = EventId::parse(&step.event).ok();
        let Some((event, change)) = event.zip(EventChange::read(&step.detail)) else {
            return Ok(());
        };
        let page = OrderPage {
            after: change.after.clone(),
            state: Some("confirmed".to_owned()),
            limit: STEP_MAX,
        };
        let inventory = &self.shop.inventory;
        let orders = match inventory.orders(&event, &page).await {
            Err(Refused::NoSuchEvent) => return Ok(()),
            orders => orders?,
        };
        let mails = mails_of(step, &change, &orders);
        inventory.mails().add_beside(row, mails).await
    }

    /// Returns the event of a mail. Those kept for some seconds may be as they were before a change.
    pub(super) async fn facts_for(
        &self,
        mail: &NewMail,
        event: &EventId,
    ) -> Option<Arc<EventFacts>> {
        let age_ms = self.now().0 - mail.created_at.0;
        if mail.kind == MailKind::Changed && age_ms < KNOWN_AFTER_MS {
            return self.shop.event_facts_now(event).await;
        }
        self.shop.event_facts(event).await
    }
}

/// Returns the mails of some orders about a change, and the next step if there may be more orders.
/// Orders that were made since need none.
fn mails_of(step: &NewMail, change: &EventChange, orders: &[Order]) -> Vec<NewMail> {
    let id = step.id.split('.').next().unwrap_or_default();
    let told = EventChange {
        after: None,
        ..change.clone()
    };
    let older = orders
        .iter()
        .filter(|order| order.created_at <= step.created_at);
    let mut mails: Vec<NewMail> = older
        .map(|order| NewMail {
            id: format!("{id}_{}", order.id),
            order: order.id.clone(),
            detail: told.text(),
            ..step.clone()
        })
        .collect();
    if let Some(last) = orders.last().filter(|_| orders.len() == STEP_MAX as usize) {
        let next = EventChange {
            after: Some(last.id.clone()),
            ..change.clone()
        };
        mails.push(NewMail {
            id: format!("{id}.{}", last.id),
            detail: next.text(),
            ..step.clone()
        });
    }
    mails
}
