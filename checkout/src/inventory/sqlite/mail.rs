//! Mails in SQLite. What is due is looked for by a connection of its own, so that an idle look
//! writes nothing.

use super::{Sqlite, Step, Store};
use crate::inventory::mail::*;
use crate::inventory::model::*;
use crate::inventory::outbox::OutboxShard;
use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, params};
use shared::sealing::SealingKeys;
use shared::time::Time;

const DUE: &str =
    "select number from mail m where state = 0 and next_at <= ?1 and (kind = 'orders') = ?2
    and not exists (select 1 from mail e where e.event = m.event and e.order_id = m.order_id
        and e.number < m.number and e.state = 0 and m.kind <> 'orders')
    order by next_at limit ?3";

const CLAIM: &str = "update mail set attempts = attempts + 1, next_at = ?2, reason = ''
    where number = ?1 and state = 0 and next_at <= ?3
    returning number, id, event, order_id, kind, detail, created_at, attempts, unanswered";

/// The ids of a change's rows begin with its own.
const LATEST_CHANGE: &str = "with latest as (
        select id, created_at from mail
        where event = ?1 and order_id = '' and kind = 'changed' and instr(id, '.') = 0 order by number desc limit 1)
    select l.id, l.created_at, count(*) filter (where m.order_id = '' and m.state = 0),
        count(*) filter (where m.order_id <> '' and m.state = 0), count(*) filter (where m.order_id <> '' and m.state = 1),
        count(*) filter (where m.state = 2)
    from latest l join mail m on m.id >= l.id and m.id < l.id || '~' group by l.id, l.created_at";

const RECORD: &str = "select id, order_id, kind, state, attempts, created_at, done_at, reason, bounced_to is not null from mail";

const BOUNCE: &str = "update mail set state = 2, bounced_to = ?2, reason = ?3, done_at = ?4
    where id = ?1 and attempts > 0 and (state < 2 or bounced_to is null)";

#[async_trait]
impl MailQueue for Sqlite {
    async fn take_in(
        &self,
        consumer: &str,
        _: &str,
        _: OutboxShard,
        position: i64,
        mails: Vec<NewMail>,
    ) -> Result<bool, Refused> {
        self.insert_with_place(consumer, position, mails, Store::insert_mail)
            .await
    }

    async fn add(&self, mail: NewMail) -> Result<(), Refused> {
        self.step(move |store, now| {
            store.write()?;
            store.insert_mail(&mail, now).map(Ok)
        })
        .await
    }

    async fn add_beside(&self, _: &QueuedMail, mails: Vec<NewMail>) -> Result<(), Refused> {
        self.step(move |store, now| {
            store.write()?;
            for mail in &mails {
                store.insert_mail(mail, now)?;
            }
            Ok(Ok(()))
        })
        .await
    }

    async fn latest_change(&self, event: &str) -> Result<Option<ChangeMails>, Refused> {
        let event = event.to_owned();
        self.look(move |file| {
            file.query_row(LATEST_CHANGE, [event], read_change)
                .optional()
        })
        .await
    }

    async fn claim(
        &self,
        are_lists: bool,
        limit: u32,
        lease_ms: i64,
    ) -> Result<Vec<QueuedMail>, Refused> {
        let now = self.clock.now();
        let due = self.look(move |file| {
            let mut query = file.prepare(DUE)?;
            let numbers = query.query_map(params![now.0, are_lists, limit], |row| row.get(0))?;
            numbers.collect::<rusqlite::Result<Vec<i64>>>()
        });
        let due = due.await?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        self.step(move |store, now| store.claim_mails(&due, now, lease_ms))
            .await
    }

    async fn settle(&self, mail: &QueuedMail, outcome: MailOutcome) -> Result<(), Refused> {
        let (number, attempts) = (mail.number, mail.attempts);
        self.step(move |store, now| {
            store.write()?;
            store.settle_mail(number, attempts, &outcome, now).map(Ok)
        })
        .await
    }

    async fn backlog(&self) -> Result<MailBacklog, Refused> {
        let now = self.clock.now();
        self.look(move |file| {
            let count = "select count(*), min(created_at) from (select created_at from mail where state = ?1 limit ?2)";
            let count = |state: i16| {
                file.query_row(count, params![state, COUNTED_MAX as i64], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
                })
            };
            let ((waiting, oldest), (failed, _)) = (count(WAITING)?, count(FAILED)?);
            Ok(MailBacklog {
                waiting: waiting as u64,
                oldest_seconds: oldest.map_or(0, |at| (now.0 - at).max(0) as u64 / 1000),
                failed: failed as u64,
            })
        })
        .await
    }

    async fn of_order(&self, event: &str, order: &str) -> Result<Vec<MailRecord>, Refused> {
        let (event, order) = (event.to_owned(), order.to_owned());
        self.look(move |file| {
            let select = format!(
                "{RECORD} where event = ?1 and order_id = ?2 order by number desc limit ?3"
            );
            let mut query = file.prepare(&select)?;
            let rows = query.query_map(params![event, order, MAILS_MAX], read_record)?;
            rows.filter_map(Result::transpose).collect()
        })
        .await
    }

    async fn failed(&self, event: &str) -> Result<Vec<MailRecord>, Refused> {
        let event = event.to_owned();
        self.look(move |file| {
            let select =
                format!("{RECORD} where event = ?1 and state = 2 order by number desc limit ?2");
            let mut query = file.prepare(&select)?;
            let rows = query.query_map(params![event, MAILS_MAX], read_record)?;
            rows.filter_map(Result::transpose).collect()
        })
        .await
    }

    async fn retry(&self, event: &str, id: &str) -> Result<bool, Refused> {
        let (event, id) = (event.to_owned(), id.to_owned());
        self.step(move |store, now| {
            store.write()?;
            let update = "update mail set state = 0, attempts = 0, unanswered = 0, next_at = ?3, created_at = ?3, done_at = null, reason = '',
                    bounced_to = null
                where event = ?1 and id = ?2 and state = 2";
            let rows = store.db.execute(update, params![event, id, now.0])?;
            Ok(Ok(rows > 0))
        })
        .await
    }

    async fn find(&self, id: &str) -> Result<Option<StoredMail>, Refused> {
        let (id, keys) = (id.to_owned(), self.keys.clone());
        let select = "select number, id, event, order_id, kind, detail, created_at, attempts, unanswered, state, bounced_to is not null
            from mail where id = ?1";
        self.look(move |file| {
            let read = |row: &Row<'_>| {
                let state = MailState::of(row.get(9)?, row.get(10)?);
                let mail = read_mail(&keys, row)?;
                Ok(mail.map(|QueuedMail { mail, .. }| StoredMail { mail, state }))
            };
            Ok(file.query_row(select, [id], read).optional()?.flatten())
        })
        .await
    }

    async fn bounce(&self, id: &str, bounce: &Bounce) -> Result<bool, Refused> {
        let (id, bounce) = (id.to_owned(), bounce.clone());
        self.step(move |store, now| {
            store.write()?;
            let values = params![id, bounce.stopped, bounce.reason, now.0];
            Ok(Ok(store.db.execute(BOUNCE, values)? > 0))
        })
        .await
    }

    async fn stopped(&self, hash: &str) -> Result<Option<String>, Refused> {
        let hash = hash.to_owned();
        self.look(move |file| {
            let select = "select reason from mail where bounced_to = ?1 and state = 2 order by number desc limit 1";
            file.query_row(select, [hash], |row| row.get(0)).optional()
        })
        .await
    }

    async fn resume(&self, hash: &str) -> Result<(), Refused> {
        let hash = hash.to_owned();
        self.step(move |store, _| {
            store.write()?;
            let update = "update mail set bounced_to = '' where bounced_to = ?1";
            store.db.execute(update, [hash])?;
            Ok(Ok(()))
        })
        .await
    }

    async fn purge(&self, kept_ms: i64) -> Result<bool, Refused> {
        let before = self.clock.now().0 - kept_ms;
        let is_old = self.look(move |file| {
            file.prepare("select 1 from mail where state > 0 and done_at < ?1")?
                .exists([before])
        });
        if !is_old.await? {
            return Ok(false);
        }
        self.step(move |store, _| {
            store.write()?;
            let delete = "delete from mail where number in
                (select number from mail where state > 0 and done_at < ?1 limit ?2)";
            let rows = store.db.execute(delete, [before, PURGE_MAX])?;
            Ok(Ok(rows as i64 == PURGE_MAX))
        })
        .await
    }
}

impl Store {
    pub(super) fn insert_mail(&mut self, mail: &NewMail, now: Time) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "insert into mail (id, event, order_id, kind, detail, next_at, created_at)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict do nothing",
            )?
            .execute(params![
                mail.id,
                mail.event,
                mail.order,
                mail.kind.as_str(),
                seal_detail(&self.keys, mail),
                now.0,
                mail.created_at.0
            ])?;
        Ok(())
    }

    fn claim_mails(&mut self, numbers: &[i64], now: Time, lease_ms: i64) -> Step<Vec<QueuedMail>> {
        self.write()?;
        let mut claimed = Vec::new();
        for number in numbers {
            let mut claim = self.db.prepare_cached(CLAIM)?;
            let mut rows = claim.query(params![number, now.0 + lease_ms, now.0])?;
            if let Some(row) = rows.next()? {
                claimed.extend(read_mail(&self.keys, row)?);
            }
        }
        Ok(Ok(claimed))
    }

    fn settle_mail(
        &mut self,
        number: i64,
        attempts: i32,
        outcome: &MailOutcome,
        now: Time,
    ) -> rusqlite::Result<()> {
        if let MailOutcome::Dropped = outcome {
            let delete = "delete from mail where number = ?1 and attempts = ?2 and state = 0";
            self.db
                .prepare_cached(delete)?
                .execute(params![number, attempts])?;
            return Ok(());
        }
        let (state, reason) = outcome.columns();
        let later = match outcome {
            MailOutcome::Later { at, unanswered, .. } => Some((at.0, *unanswered)),
            _ => None,
        };
        let (next_at, unanswered) = later.unzip();
        let update = "update mail set state = ?3, reason = ?4, next_at = coalesce(?5, next_at),
                unanswered = coalesce(?6, unanswered), done_at = case when ?3 = 0 then null else ?7 end
            where number = ?1 and attempts = ?2 and state = 0";
        let mut update = self.db.prepare_cached(update)?;
        update.execute(params![
            number, attempts, state, reason, next_at, unanswered, now.0
        ])?;
        Ok(())
    }
}

/// Reads a mail; none of a kind that another version has.
fn read_mail(keys: &SealingKeys, row: &Row<'_>) -> rusqlite::Result<Option<QueuedMail>> {
    let Some(kind) = MailKind::of(&row.get::<_, String>(4)?) else {
        return Ok(None);
    };
    let id: String = row.get(1)?;
    Ok(Some(QueuedMail {
        database: 0,
        number: row.get(0)?,
        mail: NewMail {
            event: row.get(2)?,
            order: row.get(3)?,
            kind,
            detail: open_detail(keys, &id, &row.get::<_, String>(5)?),
            created_at: Time(row.get(6)?),
            id,
        },
        attempts: row.get(7)?,
        unanswered: row.get(8)?,
    }))
}

fn read_change(row: &Row<'_>) -> rusqlite::Result<ChangeMails> {
    let count = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
    Ok(ChangeMails {
        id: row.get(0)?,
        told_at: Time(row.get(1)?),
        done: count(2)? + count(3)? == 0,
        waiting: count(3)?,
        sent: count(4)?,
        failed: count(5)?,
    })
}

/// Reads a record; none of a kind that another version has.
fn read_record(row: &Row<'_>) -> rusqlite::Result<Option<MailRecord>> {
    let Some(kind) = MailKind::of(&row.get::<_, String>(2)?) else {
        return Ok(None);
    };
    let reason: String = row.get(7)?;
    Ok(Some(MailRecord {
        id: row.get(0)?,
        order: row.get(1)?,
        kind,
        state: MailState::of(row.get(3)?, row.get(8)?),
        attempts: row.get(4)?,
        created_at: Time(row.get(5)?),
        done_at: row.get::<_, Option<i64>>(6)?.map(Time),
        reason: (!reason.is_empty()).then_some(reason),
    }))
}
