//! The contract of an engine, kept on Postgres: plans, rules, figures, and rows that are due.

use super::database::QueryError;
use super::event_handle::EventHandle;
use super::queue::WriterMessage;
use super::read::list_orders;
use super::{Postgres, STALE_AFTER};
use crate::inventory::StoredBlocks;
use crate::inventory::command::{Command, Subject};
use crate::inventory::commands::Target;
use crate::inventory::door_ticket::{CheckIn, DoorFigures, DoorTicket};
use crate::inventory::engine::{Engine, LapsedVisitor, LateOrder, SWEEP_MAX, decide_with};
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
use crate::inventory::sales::{MethodSales, OrderSum, Sales};
use crate::inventory::webhooks::WebhookStore;
use crate::inventory::{Invoice, Layout, SeatMap};
use async_trait::async_trait;
use futures_util::future::join_all;
use shared::audit::SharedAuditLog;
use shared::group_commit::{ANSWER_SECONDS_MAX, Unavailable};
use shared::http::idempotency::KEPT_SECONDS;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// Time after which reports that a node took and did not deliver may be taken by another, in
/// milliseconds.
const REPORT_MS: i64 = 10_000;
const PRUNE_EVERY: Duration = Duration::from_secs(60);

#[async_trait]
impl Engine for Postgres {
    fn now(&self) -> Time {
        self.shards[0].clock.now()
    }

    fn seat_map(&self, event: &EventId) -> Option<Arc<SeatMap>> {
        self.known(event)?.seat_map()
    }

    fn seat_maps(&self) -> Vec<Arc<SeatMap>> {
        self.all()
            .iter()
            .filter_map(|handle| handle.seat_map())
            .collect()
    }

    fn is_stale(&self, event: &EventId) -> bool {
        let Some(handle) = self.known(event) else {
            return false;
        };
        let polled_at = *handle.shard.polled_at.lock();
        polled_at.is_none_or(|at| at.elapsed() > STALE_AFTER)
    }

    fn reached_for(&self, event: &EventId) -> Duration {
        let since = self.known(event).and_then(|handle| {
            let reached_since = handle.shard.reached_since.lock();
            *reached_since
        });
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    async fn submit(&self, command: Box<Command>) -> Result<(), Refused> {
        let handle = match &command.target {
            Target::Newcomer(..) => Some(self.make(&command.event).await?),
            _ => self.handle(&command.event).await?,
        };
        let Some(handle) = handle else {
            return Err(command.target.without_event());
        };
        // While the store is away, no request waits.
        if handle.shard.is_away() {
            return Err(Unavailable.into());
        }
        let queued = handle.queue.try_send(WriterMessage::Command(command));
        queued.map_err(|_| Unavailable.into())
    }

    async fn set_seating(&self, event: &EventId, layout: Layout) -> Result<u32, Refused> {
        self.replace_plan(event, &layout).await
    }

    async fn change_seating(
        &self,
        event: &EventId,
        layout: Layout,
        confirmation: &str,
    ) -> Result<u32, Refused> {
        self.change_plan(event, Arc::new(layout), confirmation)
            .await
    }

    async fn rules(&self, event: &EventId) -> Result<Rules, Refused> {
        let stored = self.stored_rules(event).await?;
        Ok(stored.map_or_else(Rules::default, |(rules, _)| rules))
    }

    async fn set_rules(
        &self,
        event: &EventId,
        patch: RulesPatch,
    ) -> Result<(Rules, Rules), Refused> {
        self.change_rules(event, patch).await
    }

    async fn orders(&self, event: &EventId, page: &OrderPage) -> Result<Vec<Order>, Refused> {
        let shard = self.shard_of(event).await?;
        let (rows, plan_version) = list_orders(&shard, event, page).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let subject = Subject::new(event, Target::Event);
        decide_with(self, subject, move |work| {
            work.event_state.check_plan(plan_version)?;
            Ok(rows.iter().map(|row| work.event_state.show(row)).collect())
        })
        .await
    }

    async fn blocks(&self, event: &EventId) -> Result<StoredBlocks, Refused> {
        self.list_blocks(event).await
    }

    async fn sales(&self, event: &EventId) -> Result<Sales, Refused> {
        let stored = self.stored_rules(event).await?;
        let (rules, _) = stored.ok_or(Refused::NoSuchEvent)?;
        let select = "select 's' || state, count(*), 0::bigint, '' from fairline.seat where event = $1 group by state
            union all select 'o' || state, count(*), sum(total)::bigint, currency from fairline.orders
                where event = $1 group by state, currency
            union all select 'r', 0,
                sum(case when o.state = 'refunded' or p.state = 'refunded' then p.amount else 0 end
                    - p.refunded - p.charged_back)::bigint, o.currency
                from fairline.payment p join fairline.orders o on o.event = p.event and o.id = p.order_id
                where p.event = $1 and p.state in ('captured', 'refunding', 'refunded')
                    and (p.refunded > 0 or p.charged_back > 0 or o.state = 'refunded')
                    and o.state in ('confirmed', 'refunded') group by o.currency
            union all select 'm' || p.provider, count(*) filter (where o.state = 'confirmed' and p.state <> 'refunded'),
                sum(p.amount - p.refunded - p.charged_back)::bigint, o.currency
                from fairline.orders o join fairline.payment p on p.event = o.event and p.order_id = o.id
                where o.event = $1 and o.state in ('confirmed', 'refunded')
                    and p.state in ('captured', 'refunding', 'refunded')
                group by p.provider, o.currency
                having count(*) filter (where o.state = 'confirmed' and p.state <> 'refunded') > 0
                    or sum(p.amount - p.refunded - p.charged_back) <> 0
            order by 4, 1";
        let mut counts = [0; 4];
        let (mut sums, mut methods) = (Vec::new(), Vec::new());
        let shard = self.shard_of(event).await?;
        let select = query(select).bind(event.as_str());
        for row in shard.lists().fetch(select).await? {
            let (kind, count): (String, i64) = (row.get(0), row.get(1));
            match kind.split_at(1) {
                ("s", state) => {
                    counts[state.parse::<usize>().unwrap_or(0) & 3] = count as u32;
                }
                ("m", method) => methods.push(MethodSales {
                    method: method.to_owned(),
                    orders: count as u32,
                    revenue: Money {
                        amount: row.get(2),
                        currency: Currency::parse(row.get(3)).unwrap_or(Currency::NONE),
                    },
                }),
                // Money that went back of orders that are still confirmed, and that stayed of others.
                ("r", _) => sums.push(OrderSum {
                    state: "confirmed".to_owned(),
                    currency: Currency::parse(row.get(3)).unwrap_or(Currency::NONE),
                    count: 0,
                    amount: row.get(2),
                }),
                (_, state) => sums.push(OrderSum {
                    state: state.to_owned(),
                    currency: Currency::parse(row.get(3)).unwrap_or(Currency::NONE),
                    count: count as u32,
                    amount: row.get(2),
                }),
            }
        }
        Ok(Sales::of(counts, sums, rules.currency, methods))
    }

    async fn refund_sums(&self, event: &EventId) -> Result<Vec<RefundSum>, Refused> {
        self.sum_refunds(event).await
    }

    async fn remove(&self, event: &EventId) -> Result<(), Refused> {
        self.remove_event(event).await
    }

    async fn lapsed(&self, event: Option<&EventId>) -> Result<Vec<LapsedVisitor>, Refused> {
        let handles = match event {
            Some(event) => self.known(event).into_iter().collect(),
            None => self.all(),
        };
        let mut found = Vec::new();
        for handle in handles {
            // A database that is away affects its own events only.
            match handle.lapsed(SWEEP_MAX - found.len()).await {
                Ok(visitors) => found.extend(visitors),
                Err(refused) if event.is_some() => return Err(refused),
                Err(_) => {}
            }
            if found.len() >= SWEEP_MAX {
                break;
            }
        }
        Ok(found)
    }

    async fn late(&self) -> Result<Vec<LateOrder>, Refused> {
        self.late_orders().await
    }

    async fn due(&self) -> Result<Vec<DuePayment>, Refused> {
        self.due_payments().await
    }

    async fn payments(&self, from: Time, to: Time) -> Result<Vec<BookedPayment>, Refused> {
        self.payments_between(from, to).await
    }

    async fn in_review(&self) -> Result<Vec<PaymentRef>, Refused> {
        self.payments_in_review().await
    }

    async fn has_received(&self, id: &str) -> Result<bool, Refused> {
        self.knows_webhook(id).await
    }

    async fn receive(&self, event: InboxEvent) -> Result<(), Refused> {
        self.keep_webhook(event).await
    }

    async fn parked(&self) -> Result<Vec<InboxEvent>, Refused> {
        self.parked_webhooks().await
    }

    async fn prune(&self) -> Result<(), Refused> {
        self.check_that_one_writes()?;
        {
            let mut pruned_at = self.pruned_at.lock();
            let is_manual = self.shards[0].clock.is_manual();
            if !is_manual && pruned_at.is_some_and(|at| at.elapsed() < PRUNE_EVERY) {
                return Ok(());
            }
            *pruned_at = Some(Instant::now());
        }
        let delete = "delete from fairline.answer where (event, id) in
            (select event, id from fairline.answer where at < $1 limit 10000)";
        let before = |now: Time| now.0 - i64::from(KEPT_SECONDS) * 1000;
        self.fetch_each(|now| query(delete).bind(before(now)))
            .await?;
        let delete = "delete from fairline.list where (list, member) in
            (select list, member from fairline.list
                where at < clock_timestamp() - interval '12 hours' limit 10000)";
        self.shards[0].reader().fetch(query(delete)).await?;
        self.prune_inbox().await?;
        let prepared = self.shards.iter().map(|shard| shard.prepare_months());
        at_least_one(join_all(prepared).await).map(|_| ())
    }

    async fn publish(&self) -> Result<(), Refused> {
        self.show_and_follow().await
    }

    async fn admission(&self, session: &SessionKey) -> Result<Option<String>, Refused> {
        self.find_admission(session).await
    }

    async fn extend_session(
        &self,
        session: &SessionKey,
        token: &str,
        until: Time,
    ) -> Result<(), Refused> {
        self.store_extension(session, token, until).await
    }

    async fn reports(&self) -> Result<Vec<Report>, Refused> {
        // Each is taken by one node. If it does not deliver it in time, another takes it.
        let take = "with due as materialized (
                select event, key from fairline.session where report > 0 and report_at <= $1
                order by report_at limit $3 for update skip locked
            )
            update fairline.session s set report_at = $2 from due where s.event = due.event and s.key = due.key returning s.key, s.event, s.token, s.report";
        let take = |now: Time| {
            let take = query(take).bind(now.0).bind(now.0 + REPORT_MS);
            take.bind(i64::from(REPORTS_MAX))
        };
        let rows = self.fetch_each(take).await?;
        let read = |row: PgRow| {
            let key = row.get::<Vec<u8>, _>(0).try_into().ok()?;
            let event = EventId::parse(row.get(1)).ok()?;
            let personal = Personal {
                keys: &self.shards[0].keys,
                event: &event,
            };
            Some(Report {
                key,
                token: personal.open_token(&key, row.get(2)),
                event,
                is_finished: row.get::<i16, _>(3) == FINISHED,
            })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    async fn reported(&self, reports: Vec<Report>) -> Result<(), Refused> {
        let events: Vec<&str> = reports.iter().map(|report| report.event.as_str()).collect();
        let keys: Vec<&[u8]> = reports.iter().map(|report| report.key.as_slice()).collect();
        let told = reports
            .iter()
            .map(|report| 1 + i16::from(report.is_finished));
        let told: Vec<i16> = told.collect();
        // The token of a session that is done is needed no more.
        let update = "update fairline.session s set report = 0, token = case when w.report = 2 then '' else s.token end
            from unnest($1, $2, $3) as w(event, key, report)
            where s.event = w.event and s.key = w.key and s.report = w.report";
        let update = |_| query(update).bind(&events).bind(&keys).bind(&told);
        self.fetch_each(update).await?;
        Ok(())
    }

    async fn ticket(&self, event: &EventId, id: &str) -> Result<Option<DoorTicket>, Refused> {
        self.find_ticket(event, id).await
    }

    async fn set_check_in(
        &self,
        event: &EventId,
        id: &str,
        check_in: Option<CheckIn>,
        told: OutboxEntry,
    ) -> Result<Option<CheckIn>, Refused> {
        self.store_check_in(event, id, check_in.as_ref(), told)
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
        self.find_invoices(event, order).await
    }

    async fn buyers(&self, after: Option<&OrderKey>) -> Result<Vec<StoredBuyer>, Refused> {
        self.list_buyers(after).await
    }

    async fn buyer(&self, order: &OrderKey) -> Result<Option<StoredBuyer>, Refused> {
        self.find_buyer(order).await
    }

    async fn set_buyers(&self, changes: Vec<BuyerChange>) -> Result<(), Refused> {
        self.store_buyers(&changes).await
    }

    async fn purge_visits(&self, kept_ms: i64) -> Result<bool, Refused> {
        self.delete_visits(kept_ms).await
    }

    async fn shards(&self) -> Result<Vec<ShardView>, Refused> {
        self.list_shards().await
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

    async fn move_event(&self, event: &EventId, shard: &str) -> Result<(), Refused> {
        self.move_to(event, shard).await
    }
}

impl Postgres {
    /// Fails while no database takes writes, as one whose disk is full or that was demoted: a poll
    /// writes, and everything else in a sweep may only have read.
    fn check_that_one_writes(&self) -> Result<(), Refused> {
        let mut shards = self.shards.iter();
        let is_one = shards.any(|shard| shard.reached_since.lock().is_some());
        is_one.then_some(()).ok_or_else(|| Unavailable.into())
    }
}

/// Collects the databases' answers; those that are away are left out, unless all are.
pub(super) fn at_least_one<T>(answers: Vec<Result<T, QueryError>>) -> Result<Vec<T>, Refused> {
    let mut good = Vec::new();
    let mut failure = None;
    for answer in answers {
        match answer {
            Ok(answer) => good.push(answer),
            Err(failed) => failure = Some(failed),
        }
    }
    match failure {
        Some(failed) if good.is_empty() => Err(failed.into()),
        _ => Ok(good),
    }
}

#[async_trait]
impl SharedAuditLog for Postgres {
    async fn keep(&self, line: String) -> Result<(), String> {
        let insert = query("insert into fairline.audit (line) values ($1)").bind(line);
        let kept = self.shards[0].reader().fetch(insert).await;
        kept.map(drop)
            .map_err(|_| "the database does not answer".to_owned())
    }

    async fn newest(&self, count: usize) -> Result<Vec<String>, String> {
        let select = query("select line from fairline.audit order by id desc limit $1");
        let select = select.bind(count as i64);
        let rows = self.shards[0].reader().fetch(select).await;
        let rows = rows.map_err(|_| "the database does not answer".to_owned())?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

impl EventHandle {
    /// Returns the visitors of seats that have lapsed, as the writer knows them.
    async fn lapsed(&self, limit: usize) -> Result<Vec<LapsedVisitor>, Refused> {
        let (done, lapsed) = oneshot::channel();
        let asked = self.queue.try_send(WriterMessage::Lapsed(limit, done));
        asked.map_err(|_| Refused::from(Unavailable))?;
        let lapsed = timeout(Duration::from_secs(ANSWER_SECONDS_MAX), lapsed).await;
        let Ok(Ok(lapsed)) = lapsed else {
            return Err(Unavailable.into());
        };
        if lapsed.is_empty() {
            return Ok(Vec::new());
        }
        let select = "select distinct visitor from fairline.seat
            where event = $1 and seat = any($2) and visitor is not null";
        let select = query(select).bind(self.event.as_str()).bind(lapsed);
        let rows = self.shard.reader().fetch(select).await?;
        let visitor = |row: &PgRow| LapsedVisitor {
            event: self.event.clone(),
            visitor: VisitorId(row.get::<Uuid, _>(0).as_u128()),
        };
        Ok(rows.iter().map(visitor).collect())
    }
}
