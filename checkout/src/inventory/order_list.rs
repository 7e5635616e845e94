//! Orders as organisers list them: page by page, by state, by buyer and seat.

use super::model::*;
use super::order_page::OrderPage;
use super::personal::{BuyerChange, OrderKey};
use super::records::OrderState;
use super::service::Inventory;
use shared::ids::EventId;

/// Largest number of orders read at one time while searching.
const STEP: u32 = 500;
/// Largest number of orders that one search looks at; the next one goes on after them.
const LOOKED_AT_MAX: u32 = 20_000;

/// Search for orders.
#[derive(Clone, Debug)]
pub struct OrderSearch {
    /// Part of an order's id, a buyer's name or address, or the whole id of a seat.
    pub text: String,
    /// Whether buyers are searched, too.
    pub has_buyers: bool,
}

impl OrderSearch {
    fn finds(&self, order: &Order) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.text);
        let mut seats = order.seats.iter();
        let buyer = order.buyer.as_ref().filter(|_| self.has_buyers);
        order.id.contains(&self.text)
            || seats.any(|seat| seat.id.to_lowercase() == self.text)
            || buyer.is_some_and(|buyer| has(&buyer.name) || has(&buyer.email))
    }
}

/// Orders that were found.
#[derive(Clone, Debug, Default)]
pub struct OrderList {
    /// The orders, the newest first.
    pub orders: Vec<Order>,
    /// `after` of the next page; `None` at the end. There may be one although nothing was found.
    pub next: Option<String>,
}

impl Inventory {
    /// Returns some of an event's orders, those that a search finds if there is one.
    pub async fn list_orders(
        &self,
        event: &EventId,
        mut page: OrderPage,
        search: Option<&OrderSearch>,
    ) -> Result<OrderList, Refused> {
        check_state(page.state.as_deref())?;
        let limit = page.limit as usize;
        let mut list = OrderList::default();
        let Some(search) = search else {
            list.orders = self.orders(event, &page).await?;
            let last = list.orders.last().filter(|_| list.orders.len() == limit);
            list.next = last.map(|last| last.id.clone());
            return Ok(list);
        };
        let search = OrderSearch {
            text: search.text.trim().to_lowercase(),
            ..search.clone()
        };
        page.limit = STEP;
        for _ in 0..LOOKED_AT_MAX / STEP {
            let orders = self.orders(event, &page).await?;
            let is_last = orders.len() < STEP as usize;
            for order in orders {
                page.after = Some(order.id.clone());
                if search.finds(&order) {
                    list.orders.push(order);
                    if list.orders.len() == limit {
                        list.next = page.after;
                        return Ok(list);
                    }
                }
            }
            if is_last {
                return Ok(list);
            }
        }
        list.next = page.after;
        Ok(list)
    }

    /// Returns whether an event has an order.
    pub async fn has_order(&self, event: &EventId, order: &str) -> Result<bool, Refused> {
        let key = OrderKey {
            event: event.clone(),
            id: order.to_owned(),
        };
        Ok(self.buyer(&key).await?.is_some())
    }

    /// Changes the name and the address of an order's buyer. Returns the buyer as it was before.
    pub async fn change_buyer(
        &self,
        event: &EventId,
        order: &str,
        buyer: impl FnOnce(&Buyer) -> Buyer,
    ) -> Result<Buyer, Refused> {
        let key = OrderKey {
            event: event.clone(),
            id: order.to_owned(),
        };
        let stored = self.buyer(&key).await?.ok_or(Refused::NoSuchOrder)?;
        let before = stored.buyer.clone().ok_or(Refused::BuyerGone)?;
        let change = BuyerChange {
            stored,
            buyer: Some(buyer(&before)),
        };
        self.set_buyers(vec![change]).await?;
        Ok(before)
    }
}

fn check_state(state: Option<&str>) -> Result<(), Refused> {
    let all = OrderState::ALL.map(OrderState::as_str);
    match state {
        Some(state) if !all.contains(&state) => {
            let why = format!("one of {}", all.join(", "));
            Err(Refused::Invalid(vec![("state".to_owned(), why)]))
        }
        _ => Ok(()),
    }
}
