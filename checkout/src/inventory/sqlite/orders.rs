//! Orders and payments: seats frozen for a payment, booked when the money is ours, given back when it is not.

use super::{Step, Store, must_change, read_seats};
use crate::inventory::words::*;
use rusqlite::{OptionalExtension as _, Row, params};
use shared::idempotency::Attempt;
use shared::secret::{encode, random_id};
use shared::time::Time;
use shared::words::EventId;

const ORDER_COLUMNS: &str = "id, event, state, seats, total, currency, buyer_name, buyer_email, decline, created_at, pay_by, hold, visitor";

/// An order with what is not shown of it.
pub(super) struct OrderRow {
    pub(super) order: Order,
    pub(super) hold: String,
    pub(super) visitor: String,
}

pub(super) struct PaymentRow {
    pub(super) id: String,
    pub(super) attempt: i64,
    pub(super) state: String,
    pub(super) client_secret: String,
}

impl Store {
    pub(super) fn order(
        &mut self,
        keys: &Keys,
        hold: &str,
        buyer: Buyer,
        attempt: Option<&Attempt>,
        now: Time,
    ) -> Step<Once<Order>> {
        match self.answered(attempt)? {
            Ok(None) => {}
            Ok(Some(value)) => {
                return Ok(Ok(Once {
                    value,
                    is_replayed: true,
                }));
            }
            Err(refused) => return Ok(Err(refused)),
        }
        let (session, hold) = match self.find_hold(keys, hold)? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused)),
        };
        match hold.state.as_str() {
            "active" => {}
            "converted" => {
                let order = self
                    .db
                    .prepare_cached("select id from orders where event = ?1 and hold = ?2")?
                    .query_row([hold.event.as_str(), &hold.id], |row| row.get(0))?;
                return Ok(Err(Refused::HoldConverted(order)));
            }
            state => return Ok(Err(Refused::HoldOver(state.to_owned()))),
        }
        self.write()?;
        // Whoever still owns the seats may buy them, however late: only the sweep and others' takeovers end a hold.
        let rows = self
            .db
            .prepare_cached("update hold set state = 'converted' where event = ?1 and id = ?2 and state = 'active'")?
            .execute([hold.event.as_str(), &hold.id])?;
        must_change(rows, 1)?;
        let id = random_id("ord_");
        self.db
            .prepare_cached(
                "insert into orders (event, id, hold, visitor, session, state, seats, total, currency, buyer_name,
                                     buyer_email, created_at, pay_by)
                 select event, ?3, id, visitor, ?4, 'paying', seats, total, currency, ?5, ?6, ?7, max_expires_at
                 from hold where event = ?1 and id = ?2",
            )?
            .execute(params![hold.event.as_str(), hold.id, id, session.key, buyer.name, buyer.email, now.0])?;
        self.new_payment(&hold.event, &id, 1)?;
        let value = self
            .load_order(&hold.event, &id)?
            .expect("it was just made")
            .order;
        self.keep(attempt, Some(&value), now)?;
        Ok(Ok(Once {
            value,
            is_replayed: false,
        }))
    }

    pub(super) fn new_payment(
        &mut self,
        event: &EventId,
        order: &str,
        attempt: i64,
    ) -> rusqlite::Result<()> {
        self.write()?;
        self.db
            .prepare_cached(
                "insert into payment (event, id, order_id, attempt, state, amount, client_secret)
                 select event, ?3, id, ?4, 'created', total, ?5 from orders where event = ?1 and id = ?2",
            )?
            .execute(params![event.as_str(), order, random_id("pay_"), attempt, random_id("sec_")])?;
        Ok(())
    }

    pub(super) fn load_order(
        &self,
        event: &EventId,
        id: &str,
    ) -> rusqlite::Result<Option<OrderRow>> {
        let mut query = self.db.prepare_cached(&format!(
            "select {ORDER_COLUMNS} from orders where event = ?1 and id = ?2"
        ))?;
        let row = query
            .query_row([event.as_str(), id], read_order)
            .optional()?;
        row.map(|row| self.complete(row)).transpose()
    }

    /// Adds the payment, the tickets and the link.
    fn complete(&self, mut row: OrderRow) -> rusqlite::Result<OrderRow> {
        let order = &mut row.order;
        let payment = self.last_payment(&order.event, &order.id)?;
        order.payment.id = payment.id;
        order.payment.client_secret = payment.client_secret;
        if order.state == "confirmed" {
            order.tickets = Some(self.tickets(&order.event, &order.id)?);
            order.link = self.link(&order.event, &order.id);
        }
        Ok(row)
    }

    pub(super) fn last_payment(
        &self,
        event: &EventId,
        order: &str,
    ) -> rusqlite::Result<PaymentRow> {
        self.db
            .prepare_cached(
                "select id, attempt, state, client_secret from payment where event = ?1 and order_id = ?2
                 order by attempt desc limit 1",
            )?
            .query_row([event.as_str(), order], |row| {
                Ok(PaymentRow {
                    id: row.get(0)?,
                    attempt: row.get(1)?,
                    state: row.get(2)?,
                    client_secret: row.get(3)?,
                })
            })
    }

    fn tickets(&self, event: &EventId, order: &str) -> rusqlite::Result<Vec<Ticket>> {
        let Some(house) = self.houses.get(event) else {
            return Ok(Vec::new());
        };
        let Some(plan) = &house.plan else {
            return Ok(Vec::new());
        };
        let mut query = self.db.prepare_cached(
            "select id, seat from ticket where event = ?1 and order_id = ?2 order by seat",
        )?;
        let rows = query.query_map([event.as_str(), order], |row| {
            let id: String = row.get(0)?;
            let seat = plan.layout.seats[row.get::<_, u32>(1)? as usize]
                .id
                .to_string();
            let mac = house
                .secret
                .sign(format!("ticket\n{event}\n{id}\n{seat}").as_bytes());
            let code = format!("FL1.{event}.{id}.{}", encode(&mac[..16]));
            Ok(Ticket { id, seat, code })
        })?;
        rows.collect()
    }

    /// The signed link to an order's page.
    fn link(&self, event: &EventId, order: &str) -> Option<String> {
        let mac = self
            .houses
            .get(event)?
            .secret
            .sign(format!("order\n{order}").as_bytes());
        Some(format!("/orders/{order}?key=lnk_{event}.{}", encode(&mac)))
    }

    pub(super) fn show_order(&self, reader: &Reader, id: &str) -> Step<Order> {
        match reader {
            Reader::Link(word) => {
                let order = || {
                    let (event, mac) = word.strip_prefix("lnk_")?.rsplit_once('.')?;
                    let event = EventId::parse(event).ok()?;
                    let mac = shared::secret::decode(mac)?;
                    let secret = &self.houses.get(&event)?.secret;
                    secret
                        .verify(format!("order\n{id}").as_bytes(), &mac)
                        .then_some(event)
                };
                let Some(event) = order() else {
                    return Ok(Err(Refused::NoSession));
                };
                Ok(self
                    .load_order(&event, id)?
                    .map(|row| row.order)
                    .ok_or(Refused::NoSuchOrder))
            }
            Reader::Session(keys) => Ok(self.own_order(keys, id)?.map(|row| row.order)),
        }
    }

    /// An order of a visitor whose session this is.
    pub(super) fn own_order(&self, keys: &Keys, id: &str) -> Step<OrderRow> {
        let sessions = self.sessions(keys)?;
        if sessions.is_empty() {
            return Ok(Err(Refused::NoSession));
        }
        for session in sessions {
            let row = self.load_order(&session.event, id)?;
            if let Some(row) = row.filter(|row| row.visitor == session.visitor.to_string()) {
                return Ok(Ok(row));
            }
        }
        Ok(Err(Refused::NoSuchOrder))
    }

    pub(super) fn set_order(
        &mut self,
        order: &Order,
        state: &str,
        decline: Option<&str>,
    ) -> rusqlite::Result<()> {
        self.write()?;
        let rows = self
            .db
            .prepare_cached("update orders set state = ?3, decline = ?4 where event = ?1 and id = ?2 and state = ?5")?
            .execute(params![order.event.as_str(), order.id, state, decline, order.state])?;
        must_change(rows, 1)
    }

    /// Cancels the order of a converted hold, if nothing was paid for it and nothing is under way.
    pub(super) fn cancel_order_of(&mut self, event: &EventId, hold: &str) -> Step<()> {
        let id: String = self
            .db
            .prepare_cached("select id from orders where event = ?1 and hold = ?2")?
            .query_row([event.as_str(), hold], |row| row.get(0))?;
        let order = self
            .load_order(event, &id)?
            .expect("its id was just read")
            .order;
        let open = self.last_payment(event, &id)?;
        match (order.state.as_str(), open.state.as_str()) {
            ("paying" | "declined", "created") => {}
            ("paying" | "confirming", _) => return Ok(Err(Refused::PaymentRunning)),
            ("cancelled" | "expired" | "refunded", _) => return Ok(Ok(())),
            _ => return Ok(Err(Refused::HoldConverted(id))),
        }
        let payment = PaymentRef {
            event: event.clone(),
            id: open.id,
            amount: order.total.clone(),
        };
        self.set_payment(&payment, "created", "failed")?;
        self.set_order(&order, "cancelled", None)?;
        self.end_hold(event, hold, "released")?;
        Ok(Ok(()))
    }

    /// Lets go of an order whose time to pay is over. A payment still under way goes on: if its money comes, it is
    /// booked if the seats are still free, and else given back.
    pub(super) fn expire_order(&mut self, event: &EventId, id: &str) -> rusqlite::Result<u32> {
        let Some(row) = self.load_order(event, id)? else {
            return Ok(0);
        };
        let payment = PaymentRef {
            event: event.clone(),
            id: row.order.payment.id.clone(),
            amount: row.order.total.clone(),
        };
        self.set_payment(&payment, "created", "failed")?;
        self.set_order(&row.order, "expired", None)?;
        self.end_hold(event, &row.hold, "expired")
    }

    pub(super) fn orders(&self, event: &EventId, limit: u32) -> Step<Vec<Order>> {
        let mut query = self.db.prepare_cached(&format!(
            "select {ORDER_COLUMNS} from orders where event = ?1 order by created_at desc limit ?2"
        ))?;
        let rows = query.query_map(params![event.as_str(), limit], read_order)?;
        let orders = rows.map(|row| self.complete(row?).map(|row| row.order));
        orders.collect::<rusqlite::Result<_>>().map(Ok)
    }
}

fn read_order(row: &Row<'_>) -> rusqlite::Result<OrderRow> {
    let order = Order {
        id: row.get(0)?,
        event: super::sessions::event_of(row, 1)?,
        state: row.get(2)?,
        seats: read_seats(&row.get::<_, String>(3)?),
        total: Money {
            amount: row.get(4)?,
            currency: row.get(5)?,
        },
        buyer: Buyer {
            name: row.get(6)?,
            email: row.get(7)?,
        },
        payment: PaymentView {
            provider: "simulated".to_owned(),
            id: String::new(),
            client_secret: String::new(),
        },
        decline_reason: row.get(8)?,
        created_at: Time(row.get(9)?),
        pay_by: Time(row.get(10)?),
        tickets: None,
        link: None,
    };
    Ok(OrderRow {
        order,
        hold: row.get(11)?,
        visitor: row.get(12)?,
    })
}
