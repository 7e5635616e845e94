//! `Engine` on SQLite: plans, rules, figures, and the rows that a sweep looks for.

use super::read::{event_of, visitor};
use super::{Sqlite, Step, Store};
use crate::inventory::StoredBlocks;
use crate::inventory::command::Command;
use crate::inventory::door_ticket::{CheckIn, DoorFigures, DoorTicket};
use crate::inventory::engine::{Engine, LapsedVisitor, LateOrder, SWEEP_MAX};
use crate::inventory::hourly_sales::HourlySalesStore;
use crate::inventory::line_mail::LineMailStore;
use crate::inventory::line_messages::LineMessageStore;
use crate::inventory::mail::MailQueue;
use crate::inventory::model::*;
use crate::inventory::order_page::OrderPage;
use crate::inventory::outbox::{LineLogStore, Outbox, OutboxEntry};
use crate::inventory::personal::{BuyerChange, OrderKey, Personal, StoredBuyer};
use crate::inventory::records::FINISHED;
use crate::inventory::refund_sums::RefundSum;
use crate::inventory::rules::{Rules, RulesPatch};
use crate::inventory::sales::Sales;
use crate::inventory::webhooks::WebhookStore;
use crate::inventory::{Invoice, Layout, SeatMap};
use async_trait::async_trait;
use rusqlite::params;
use shared::http::idempotency::KEPT_SECONDS;
use shared::ids::EventId;
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;

#[async_trait]
impl Engine for Sqlite {
    fn now(&self) -> Time {
        self.clock.now()
    }

    fn seat_map(&self, event: &EventId) -> Option<Arc<SeatMap>> {
        let seat_maps = self.seat_maps.read();
        seat_maps.get(event).cloned()
    }

    fn seat_maps(&self) -> Vec<Arc<SeatMap>> {
        let seat_maps = self.seat_maps.read();
        seat_maps.values().cloned().collect()
    }

    fn is_stale(&self, _: &EventId) -> bool {
        false
    }

    /// Always long enough: no other process writes the file.
    fn reached_for(&self, _: &EventId) -> Duration {
        Duration::MAX
    }

    async fn submit(&self, mut command: Box<Command>) -> Result<(), Refused> {
        let step =
            self.step(move |store, now| Ok(store.decide(&mut command, now)?.map(|()| command)));
        // It is committed now.
        step.await?.decision.answer(Ok(()));
        Ok(())
    }

    async fn set_seating(&self, event: &EventId, layout: Layout) -> Result<u32, Refused> {
        let event = event.clone();
        self.step(move |store, _| store.set_seating(&event, layout))
            .await
    }

    async fn change_seating(
        &self,
        event: &EventId,
        layout: Layout,
        confirmation: &str,
    ) -> Result<u32, Refused> {
        let (event, confirmation) = (event.clone(), confirmation.to_owned());
        self.step(move |store, _| store.change_seating(&event, layout, &confirmation))
            .await
    }

    async fn rules(&self, event: &EventId) -> Result<Rules, Refused> {
        let event = event.clone();
        self.step(move |store, _| {
            let event_state = store.event_states.get(&event);
            Ok(Ok(event_state
                .map(|event_state| event_state.rules.clone())
                .unwrap_or_default()))
        })
        .await
    }

    async fn set_rules(
        &self,
        event: &EventId,
        patch: RulesPatch,
    ) -> Result<(Rules, Rules), Refused> {
        let event = event.clone();
        self.step(move |store, _| store.set_rules(&event, patch))
            .await
    }

    async fn orders(&self, event: &EventId, page: &OrderPage) -> Result<Vec<Order>, Refused> {
        self.list_orders(event, page).await
    }

    async fn blocks(&self, event: &EventId) -> Result<StoredBlocks, Refused> {
        self.list_blocks(event).await
    }

    async fn sales(&self, event: &EventId) -> Result<Sales, Refused> {
        self.sum_sales(event).await
    }

    async fn refund_sums(&self, event: &EventId) -> Result<Vec<RefundSum>, Refused> {
        self.sum_refunds(event).await
    }

    async fn remove(&self, event: &EventId) -> Result<(), Refused> {
        let event = event.clone();
        self.step(move |store, _| store.remove(&event)).await
    }

    async fn lapsed(&self, event: Option<&EventId>) -> Result<Vec<LapsedVisitor>, Refused> {
        let event = event.cloned();
        self.step(move |store, now| store.lapsed(event.as_ref(), now))
            .await
    }

    async fn late(&self) -> Result<Vec<LateOrder>, Refused> {
        self.step(|store, now| store.late(now)).await
    }

    async fn due(&self) -> Result<Vec<DuePayment>, Refused> {
        self.step(|store, now| store.due(now)).await
    }

    async fn payments(&self, from: Time, to: Time) -> Result<Vec<BookedPayment>, Refused> {
        self.step(move |store, _| store.payments(from, to)).await
    }

    async fn in_review(&self) -> Result<Vec<PaymentRef>, Refused> {
        self.step(|store, _| store.in_review()).await
    }

    async fn has_received(&self, id: &str) -> Result<bool, Refused> {
        let id = id.to_owned();
        self.step(move |store, _| store.has_received(&id)).await
    }

    async fn receive(&self, event: InboxEvent) -> Result<(), Refused> {
        self.step(move |store, now| store.receive(&event, now))
            .await
    }

    async fn parked(&self) -> Result<Vec<InboxEvent>, Refused> {
        self.step(|store, now| store.parked(now)).await
    }

    async fn prune(&self) -> Result<(), Refused> {
        self.step(|store, now| store.prune(now)).await
    }

    async fn publish(&self) -> Result<(), Refused> {
        let now = self.clock.now();
        for seat_map in self.seat_maps() {
            seat_map.publish(now);
        }
        Ok(())
    }

    async fn admission(&self, session: &SessionKey) -> Result<Option<String>, Refused> {
        let session = session.clone();
        self.step(move |store, _| store.find_admission(&session))
            .await
    }

    async fn extend_session(
        &self,
        session: &SessionKey,
        token: &str,
        until: Time,
    ) -> Result<(), Refused> {
        let (session, token) = (session.clone(), token.to_owned());
        self.step(move |store, _| store.extend_session(&session, &token, until))
            .await
    }

    async fn reports(&self) -> Result<Vec<Report>, Refused> {
        self.step(|store, _| {
            let mut query = store.db.prepare_cached(
                "select key, event, token, report from session where report > 0 limit ?1",
            )?;
            let rows = query.query_map([REPORTS_MAX], |row| {
                let (key, event) = (row.get(0)?, event_of(row, 1)?);
                let personal = Personal {
                    keys: &store.keys,
                    event: &event,
                };
                Ok(Report {
                    key,
                    token: personal.open_token(&key, &row.get::<_, String>(2)?),
                    event,
                    is_finished: row.get::<_, i16>(3)? == FINISHED,
                })
            })?;
            rows.collect::<rusqlite::Result<_>>().map(Ok)
        })
        .await
    }

    async fn reported(&self, reports: Vec<Report>) -> Result<(), Refused> {
        self.step(move |store, _| {
            store.write()?;
            for report in &reports {
                let told = if report.is_finished { 2 } else { 1 };
                store
                    .db
                    .prepare_cached(
                        // The token of a session that is done is needed no more.
                        "update session set report = 0, token = case when ?3 = 2 then '' else token end
                         where event = ?1 and key = ?2 and report = ?3",
                    )?
                    .execute(params![report.event.as_str(), report.key, told])?;
            }
            Ok(Ok(()))
        })
        .await
    }

    async fn ticket(&self, event: &EventId, id: &str) -> Result<Option<DoorTicket>, Refused> {
        let (event, id) = (event.clone(), id.to_owned());
        self.step(move |store, _| store.find_ticket(&event, &id))
            .await
    }

    async fn set_check_in(
        &self,
        event: &EventId,
        id: &str,
        check_in: Option<CheckIn>,
        told: OutboxEntry,
    ) -> Result<Option<CheckIn>, Refused> {
        let (event, id) = (event.clone(), id.to_owned());
        self.step(move |store, _| store.set_check_in(&event, &id, check_in.as_ref(), &told))
            .await
    }

    async fn tickets(
        &self,
        event: &EventId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<DoorTicket>, Refused> {
        self.list_tickets(event, after, limit).await
    }

    async fn door_figures(&self, event: &EventId) -> Result<DoorFigures, Refused> {
        self.count_check_ins(event).await
    }

    async fn invoices(&self, event: &EventId, order: &str) -> Result<Vec<Invoice>, Refused> {
        let (event, order) = (event.clone(), order.to_owned());
        self.step(move |store, _| store.find_invoices(&event, &order))
            .await
    }

    async fn buyers(&self, after: Option<&OrderKey>) -> Result<Vec<StoredBuyer>, Refused> {
        self.list_buyers(after).await
    }

    async fn buyer(&self, order: &OrderKey) -> Result<Option<StoredBuyer>, Refused> {
        self.find_buyer(order).await
    }

    async fn set_buyers(&self, changes: Vec<BuyerChange>) -> Result<(), Refused> {
        self.step(move |store, _| store.set_buyers(&changes)).await
    }

    async fn purge_visits(&self, kept_ms: i64) -> Result<bool, Refused> {
        self.delete_visits(kept_ms).await
    }

    async fn shards(&self) -> Result<Vec<ShardView>, Refused> {
        Ok(Vec::new())
    }

    fn outbox(&self) -> &dyn Outbox {
        self
    }

    fn mails(&self) -> &dyn MailQueue {
        self
    }

    fn line_mails(&self) -> &dyn LineMailStore {
        self
    }

    fn line_messages(&self) -> &dyn LineMessageStore {
        self
    }

    fn webhooks(&self) -> &dyn WebhookStore {
        self
    }

    fn hourly_sales(&self) -> &dyn HourlySalesStore {
        self
    }

    fn line_log(&self) -> &dyn LineLogStore {
        self
    }

    async fn move_event(&self, _: &EventId, _: &str) -> Result<(), Refused> {
        Err(Refused::NoSuchShard)
    }
}

impl Store {
    fn lapsed(&mut self, event: Option<&EventId>, now: Time) -> Step<Vec<LapsedVisitor>> {
        let mut found = Vec::new();
        let only = |event_state: &&mut crate::inventory::event_state::EventState| {
            event.is_none_or(|event| event_state.event == *event)
        };
        for event_state in self.event_states.values_mut().filter(only) {
            if !event_state.has_lapsed(now) {
                continue;
            }
            let mut query = self
                .db
                .prepare_cached("select visitor from seat where event = ?1 and seat = ?2")?;
            let mut visitors = std::collections::BTreeSet::new();
            for seat in event_state.lapsed(now, SWEEP_MAX) {
                visitors.insert(
                    query.query_row(params![event_state.event.as_str(), seat], |row| {
                        visitor(row, 0)
                    })?,
                );
            }
            let event = &event_state.event;
            found.extend(visitors.into_iter().map(|visitor| LapsedVisitor {
                event: event.clone(),
                visitor,
            }));
            if found.len() >= SWEEP_MAX {
                break;
            }
        }
        Ok(Ok(found))
    }

    /// Deletes answers after four days. They are looked for first, so that an idle sweep writes
    /// nothing.
    fn prune(&mut self, now: Time) -> Step<()> {
        let before = now.0 - i64::from(KEPT_SECONDS) * 1000;
        let has_old = self
            .db
            .prepare_cached("select 1 from answer where at < ?1 limit 1")?
            .exists([before])?;
        if has_old {
            self.write()?;
            self.db
                .prepare_cached("delete from answer where id in (select id from answer where at < ?1 limit 1000)")?
                .execute([before])?;
        }
        self.prune_inbox(now)
    }
}
