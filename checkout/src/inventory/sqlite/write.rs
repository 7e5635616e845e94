//! Writes the changes of a decision; each statement names the state it starts from.

use super::{Store, must_change};
use crate::inventory::commands::json;
use crate::inventory::personal::Personal;
use crate::inventory::records::{ChangeSet, NewAnswer, NewPayment, OrderTicket, VisitorRecords};
use rusqlite::params;
use shared::ids::EventId;

impl Store {
    pub(super) fn apply(
        &mut self,
        event: &EventId,
        changes: &ChangeSet,
        records: &VisitorRecords,
    ) -> rusqlite::Result<()> {
        self.write()?;
        let keys = self.keys.clone();
        let personal = Personal { keys: &keys, event };
        let event = event.as_str();
        let visitor = records.visitor.map(|visitor| visitor.to_string());
        let visitor = visitor.as_deref();
        self.apply_sessions(event, changes, personal)?;
        self.apply_holds(event, changes, records)?;
        self.apply_orders(event, changes, personal)?;
        self.apply_payments(event, changes)?;
        self.apply_tickets(event, changes)?;
        for change in &changes.seats {
            let owner = change.to.hold.as_ref().and(visitor);
            let rows = self
                .db
                .prepare_cached(
                    "update seat set state = ?5, hold = ?6, order_id = ?7, visitor = ?8,
                         note = case ?5 when 3 then coalesce(?9, note) when 1 then note end
                     where event = ?1 and seat = ?2 and state = ?3 and hold is ?4",
                )?
                .execute(params![
                    event,
                    change.seat,
                    change.from.state as i64,
                    change.from.hold,
                    change.to.state as i64,
                    change.to.hold,
                    change.order,
                    owner,
                    changes.block_note
                ])?;
            must_change(rows)?;
        }
        if let Some(NewAnswer { answer, .. }) = changes.answer.as_deref() {
            self.db
                .prepare_cached(
                    "insert or replace into answer (id, body_hash, answer, at, event) values (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    answer.id,
                    answer.body,
                    answer.answer,
                    answer.at.0,
                    event
                ])?;
        }
        self.insert_events(event, &changes.outbox)
    }

    fn apply_sessions(
        &self,
        event: &str,
        changes: &ChangeSet,
        personal: Personal<'_>,
    ) -> rusqlite::Result<()> {
        for new in &changes.new_sessions {
            self.db
                .prepare_cached(
                    "insert into session (event, key, visitor, number, jti, token, expires_at, report)
                     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    event,
                    new.key,
                    new.visitor.to_string(),
                    new.number as i64,
                    new.jti,
                    personal.seal_token(&new.key, &new.token),
                    new.expires_at.0,
                    new.report
                ])?;
        }
        for key in &changes.sessions_over {
            let rows = self
                .db
                .prepare_cached(
                    "update session set over = 1, report = 2 where event = ?1 and key = ?2 and over = 0",
                )?
                .execute(params![event, key])?;
            must_change(rows)?;
        }
        Ok(())
    }

    fn apply_holds(
        &self,
        event: &str,
        changes: &ChangeSet,
        records: &VisitorRecords,
    ) -> rusqlite::Result<()> {
        if let (Some(_), Some(new)) = (changes.new_hold, records.holds.last()) {
            self.db
                .prepare_cached(
                    "insert into hold (event, id, session, visitor, state, seats, total, currency, expires_at, lapses_at,
                                       max_expires_at, lines)
                     values (?1, ?2, ?3, ?4, 'active', ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )?
                .execute(params![
                    event,
                    new.id,
                    new.session,
                    records.visitor.map(|visitor| visitor.to_string()),
                    json(&*new.seats),
                    new.total.amount,
                    new.total.currency.as_str(),
                    new.expires_at.0,
                    new.lapses_at.0,
                    new.max_expires_at.0,
                    new.lines.as_deref().map(json)
                ])?;
        }
        for change in &changes.holds {
            let rows = self
                .db
                .prepare_cached(
                    "update hold set state = ?4, order_id = ?5, seats = coalesce(?6, seats)
                     where event = ?1 and id = ?2 and state = ?3",
                )?
                .execute(params![
                    event,
                    change.id,
                    change.from.as_str(),
                    change.to.as_str(),
                    change.order,
                    change
                        .exchanged
                        .as_ref()
                        .map(|exchanged| json(&*exchanged.seats))
                ])?;
            must_change(rows)?;
        }
        Ok(())
    }

    fn apply_orders(
        &self,
        event: &str,
        changes: &ChangeSet,
        personal: Personal<'_>,
    ) -> rusqlite::Result<()> {
        for new in &changes.new_orders {
            let buyer = personal.seal_buyer(&new.id, new.buyer.as_ref());
            self.db
                .prepare_cached(
                    "insert into orders (event, id, hold, visitor, session, state, seats, total, currency, buyer_name,
                                         buyer_email, created_at, pay_by, lines, language)
                     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                )?
                .execute(params![
                    event,
                    new.id,
                    new.hold,
                    new.visitor.to_string(),
                    new.session,
                    new.state.as_str(),
                    json(&*new.seats),
                    new.total.amount,
                    new.total.currency.as_str(),
                    buyer.name,
                    buyer.email,
                    new.created_at.0,
                    new.pay_by.0,
                    new.lines.as_deref().map(json),
                    new.language
                ])?;
        }
        for change in &changes.orders {
            let rows = self
                .db
                .prepare_cached(
                    "update orders set state = ?4, decline = ?5, seats = coalesce(?6, seats)
                     where event = ?1 and id = ?2 and state = ?3",
                )?
                .execute(params![
                    event,
                    change.id,
                    change.from.as_str(),
                    change.to.as_str(),
                    change.decline,
                    change.seats.as_deref().map(json)
                ])?;
            must_change(rows)?;
        }
        Ok(())
    }

    fn apply_payments(&self, event: &str, changes: &ChangeSet) -> rusqlite::Result<()> {
        for NewPayment {
            order,
            payment: new,
        } in &changes.new_payments
        {
            self.db
                .prepare_cached(
                    "insert into payment (event, id, order_id, attempt, state, amount, client_secret, provider, next_at,
                                          history)
                     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )?
                .execute(params![
                    event,
                    new.id,
                    order,
                    new.attempt,
                    new.state.as_str(),
                    new.amount.amount,
                    new.client_secret,
                    new.provider.as_str(),
                    new.next_at.map(|at| at.0),
                    json(&new.history)
                ])?;
        }
        for change in &changes.payments {
            let to = &change.to;
            let refunds = (!to.refunds.is_empty()).then(|| json(&to.refunds));
            let disputes = (!to.disputes.is_empty()).then(|| json(&to.disputes));
            let rows = self
                .db
                .prepare_cached(
                    "update payment set state = ?4, begun_at = ?5, settles_at = ?6, client_secret = ?10, reference = ?11,
                         refunded = ?12, refunds = ?13, review = ?14, next_at = ?15, outside = ?16, history = ?17,
                         disputes = ?18, charged_back = ?19,
                         tries = 0, revision = ?9 + 1
                     where event = ?1 and order_id = ?2 and attempt = ?7 and state = ?3 and settles_at is ?8
                         and revision = ?9",
                )?
                .execute(params![
                    event,
                    change.order,
                    change.from.as_str(),
                    to.state.as_str(),
                    to.begun_at.map(|at| at.0),
                    to.settles_at.map(|at| at.0),
                    to.attempt,
                    change.promised_at.map(|at| at.0),
                    change.revision,
                    to.client_secret,
                    to.reference,
                    to.refunded,
                    refunds,
                    to.review.as_ref().map(json),
                    to.next_at.map(|at| at.0),
                    to.outside,
                    json(&to.history),
                    disputes,
                    to.charged_back()
                ])?;
            must_change(rows)?;
            if let Some(new) = &change.invoice {
                self.issue(event, &change.order, new)?;
            }
        }
        Ok(())
    }

    fn apply_tickets(&self, event: &str, changes: &ChangeSet) -> rusqlite::Result<()> {
        for void in &changes.tickets_void {
            let rows = self
                .db
                .prepare_cached("delete from ticket where event = ?1 and seat = ?2")?
                .execute(params![event, void.ticket.seat])?;
            must_change(rows)?;
        }
        for OrderTicket { order, ticket: new } in &changes.new_tickets {
            self.db
                .prepare_cached(
                    "insert into ticket (event, id, order_id, seat) values (?1, ?2, ?3, ?4)",
                )?
                .execute(params![event, new.id, order, new.seat])?;
        }
        Ok(())
    }
}
