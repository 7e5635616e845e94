//! Personal data: a buyer's export and erasure, the end of what is kept, and keys that change.

use super::command::Subject;
use super::commands::{Target, show_hold, show_session};
use super::engine::BUYERS_MAX;
use super::line_mail::{InLine, LINE_MAILS_MAX, LineMailRow};
use super::model::*;
use super::personal::{BuyerChange, OrderKey, StoredBuyer};
use super::service::Inventory;
use serde::Serialize;
use shared::group_commit::Unavailable;
use shared::ids::VisitorId;
use shared::line_contact::{Channel, LineContact};
use shared::time::Time;
use std::collections::HashMap;
use utoipa::ToSchema;

/// Largest number of orders, and of places in line, that are looked at for one person.
const LOOKED_AT_MAX: usize = 5_000_000;
/// Largest number of orders of one person.
const FOUND_MAX: usize = 10_000;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// An order of a person, with what its visitor did around it.
#[derive(Clone, Debug)]
pub struct Person {
    /// The order.
    pub order: Order,
    /// The visitor's stays and holds.
    pub visit: Visit,
}

/// The records of a visitor.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Visit {
    /// The visitor.
    #[schema(value_type = String)]
    pub visitor: VisitorId,
    /// Ends of the visitor's sessions.
    pub sessions_until: Vec<Time>,
    /// Holds that have seats or an order.
    pub holds: Vec<Hold>,
}

impl Inventory {
    /// Returns the orders whose buyer has this address, whatever its capitals.
    ///
    /// # Errors
    /// If the store does not answer, or there are more orders than may be looked at.
    async fn orders_of(&self, email: &str) -> Result<Vec<StoredBuyer>, Refused> {
        let wanted = comparable(email);
        let mut found = HashMap::from([(wanted.clone(), Vec::new())]);
        self.orders_of_each(&mut found).await?;
        Ok(found.remove(&wanted).unwrap_or_default())
    }

    /// Adds to each of these addresses, as `comparable` returns them, the orders whose buyer has it.
    ///
    /// # Errors
    /// As `orders_of`.
    pub(crate) async fn orders_of_each(
        &self,
        wanted: &mut HashMap<String, Vec<StoredBuyer>>,
    ) -> Result<(), Refused> {
        let mut after: Option<OrderKey> = None;
        for _ in 0..LOOKED_AT_MAX / BUYERS_MAX {
            let page = self.buyers(after.as_ref()).await?;
            let is_last = page.len() < BUYERS_MAX;
            after = page.last().map(|last| last.order.clone());
            for stored in page {
                let email = stored.buyer.as_ref().map(|buyer| comparable(&buyer.email));
                if let Some(found) = email.and_then(|email| wanted.get_mut(&email)) {
                    found.push(stored);
                }
            }
            if is_last {
                return Ok(());
            }
            if wanted.values().any(|found| found.len() > FOUND_MAX) {
                break;
            }
        }
        tracing::error!("there are too many orders to find those of one person");
        Err(Unavailable.into())
    }

    /// Returns everything that is kept of the buyer with this address.
    pub async fn export_person(&self, email: &str) -> Result<Vec<Person>, Refused> {
        let mut person = Vec::new();
        for stored in self.orders_of(email).await? {
            let OrderKey { event, id } = stored.order;
            let subject = Subject::fresh(&event, Target::Order(id.clone()));
            let found = self.decide(subject, move |work| {
                let order = work.records.order(&id).ok_or(Refused::NoSuchOrder)?;
                let event = &work.event_state.event;
                let sessions = work.records.sessions.iter();
                let holds = work.records.holds.iter();
                Ok(Person {
                    visit: Visit {
                        visitor: order.visitor,
                        sessions_until: sessions
                            .map(|row| show_session(event, row).expires_at)
                            .collect(),
                        holds: holds.map(|row| show_hold(work.event_state, row)).collect(),
                    },
                    order: work.event_state.show(order),
                })
            });
            match found.await {
                Ok(found) => person.push(found),
                // Its event was removed meanwhile.
                Err(Refused::NoSuchOrder) => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(person)
    }

    /// Returns the places in line for which this address is to be told of the turn.
    pub async fn line_mails_of(&self, email: &str) -> Result<Vec<LineMailRow>, Refused> {
        let wanted = comparable(email);
        let mut found = Vec::new();
        let mut after = None;
        for _ in 0..LOOKED_AT_MAX / LINE_MAILS_MAX {
            let (rows, last) = self.line_mails().page(after.as_ref()).await?;
            let is_wanted = |row: &LineMailRow| comparable(&row.mail.email) == wanted;
            found.extend(rows.into_iter().filter(is_wanted));
            after = last;
            if after.is_none() {
                return Ok(found);
            }
        }
        Err(Unavailable.into())
    }

    /// Returns the number that was left with a place in line, to be told of the turn by text message.
    pub async fn line_phone_of(&self, place: &InLine) -> Result<Option<String>, Refused> {
        match self.line_messages().find(place, Channel::Sms).await? {
            Some(LineContact::Sms(sms)) => Ok(Some(sms.phone)),
            _ => Ok(None),
        }
    }

    /// Deletes this address, and the number beside it, from all places in line. Returns how many those are.
    pub async fn erase_line_mails(&self, email: &str) -> Result<usize, Refused> {
        let found = self.line_mails_of(email).await?;
        for row in &found {
            let messages = self.line_messages();
            messages.remove(&row.place, Channel::Sms).await?;
            self.line_mails().remove(&row.place, row.created_at).await?;
        }
        Ok(found.len())
    }

    /// Erases the buyer with this address from all orders, which stay as figures. Returns the number
    /// of orders.
    pub async fn erase_person(&self, email: &str) -> Result<usize, Refused> {
        let found = self.orders_of(email).await?;
        let count = found.len();
        let erased = found.into_iter().map(|stored| BuyerChange {
            stored,
            buyer: None,
        });
        let erased: Vec<BuyerChange> = erased.collect();
        for step in erased.chunks(BUYERS_MAX) {
            self.set_buyers(step.to_vec()).await?;
        }
        Ok(count)
    }

    /// Looks at the next buyers after an order: those of settled orders older than `kept_days` are
    /// erased, and those that an earlier key sealed, or none, are sealed with the current one.
    /// Returns the last order, or `None` at the end.
    pub async fn tend_buyers(
        &self,
        after: Option<OrderKey>,
        kept_days: Option<u32>,
    ) -> Result<Option<OrderKey>, Refused> {
        let page = self.buyers(after.as_ref()).await?;
        let is_last = page.len() < BUYERS_MAX;
        let last = page.last().map(|last| last.order.clone());
        let before = kept_days.map(|days| self.now().0 - i64::from(days) * DAY_MS);
        let change = |stored: StoredBuyer| {
            let is_old = before.is_some_and(|before| stored.created_at.0 < before);
            if is_old && stored.is_settled {
                return Some(BuyerChange {
                    stored,
                    buyer: None,
                });
            }
            // One that cannot be opened stays as it is.
            let buyer = stored.buyer.clone().filter(|_| !stored.is_current)?;
            Some(BuyerChange {
                stored,
                buyer: Some(buyer),
            })
        };
        let changes: Vec<BuyerChange> = page.into_iter().filter_map(change).collect();
        if !changes.is_empty() {
            self.set_buyers(changes).await?;
        }
        Ok(last.filter(|_| !is_last))
    }

    /// Deletes sessions that ended so many days ago and their holds, a bounded number. Returns
    /// whether there may be more.
    pub async fn purge_old_visits(&self, kept_days: u32) -> Result<bool, Refused> {
        self.purge_visits(i64::from(kept_days) * DAY_MS).await
    }
}

/// Returns an address as it is compared with others.
pub(crate) fn comparable(email: &str) -> String {
    email.trim().to_lowercase()
}
