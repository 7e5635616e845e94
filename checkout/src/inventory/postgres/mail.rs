//! Mails in Postgres. Each row is taken by one node, until its time is over.

use super::Postgres;
use super::database::Statement;
use super::engine::at_least_one;
use super::shard::Shard;
use crate::inventory::mail::*;
use crate::inventory::model::*;
use crate::inventory::outbox::{NewPlace, OutboxShard};
use async_trait::async_trait;
use futures_util::future::join_all;
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _, query};

const NEW: &str = "insert into fairline.mail (id, event, order_id, kind, detail, next_at, created_at)
    select w.id, w.event, w.order_id, w.kind, w.detail, w.next_at, w.created_at
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
        with ordinality as w(id, event, order_id, kind, detail, next_at, created_at, place)";

/// Number of its parameters.
const NEW_BOUND: usize = 7;

/// Materialized, as each claim of a limited number here: a plan that reads the rows due a second time
/// would skip those that it has locked, and take more.
const CLAIM: &str = "with due as materialized (
        select number from fairline.mail d where d.state = 0 and d.next_at <= $1 and (d.kind = 'orders') = $2
            and not exists (select from fairline.mail e where e.event = d.event and e.order_id = d.order_id
                and e.number < d.number and e.state = 0 and d.kind <> 'orders')
        order by d.next_at limit $3 for update skip locked)
    update fairline.mail m set attempts = m.attempts + 1, next_at = $1 + $4, reason = '' from due
    where m.number = due.number and m.state = 0
    returning m.number, m.id, m.event, m.order_id, m.kind, m.detail, m.created_at, m.attempts, m.unanswered";

const SETTLE: &str =
    "update fairline.mail set state = $3, reason = $4, next_at = coalesce($5, next_at),
        unanswered = coalesce($6, unanswered), done_at = case when $3 = 0 then null else $7 end
    where number = $1 and attempts = $2 and state = 0";

/// The ids of a change's rows begin with its own.
const LATEST_CHANGE: &str = "with latest as (
        select id, created_at from fairline.mail
        where event = $1 and order_id = '' and kind = 'changed' and strpos(id, '.') = 0 order by number desc limit 1)
    select l.id, l.created_at, count(*) filter (where m.order_id = '' and m.state = 0),
        count(*) filter (where m.order_id <> '' and m.state = 0), count(*) filter (where m.order_id <> '' and m.state = 1),
        count(*) filter (where m.state = 2)
    from latest l join fairline.mail m on m.id >= l.id and m.id < l.id || '~' group by l.id, l.created_at";

const RECORD: &str = "select id, order_id, kind, state, attempts, created_at, done_at, reason, bounced_to is not null
    from fairline.mail";

const FIND: &str = "select number, id, event, order_id, kind, detail, created_at, attempts, unanswered, state, bounced_to is not null
    from fairline.mail where id = $1";

const BOUNCE: &str =
    "update fairline.mail set state = 2, bounced_to = $2, reason = $3, done_at = $4
    where id = $1 and attempts > 0 and (state < 2 or bounced_to is null) returning 1";

#[async_trait]
impl MailQueue for Postgres {
    async fn take_in(
        &self,
        consumer: &str,
        owner: &str,
        shard: OutboxShard,
        position: i64,
        mails: Vec<NewMail>,
    ) -> Result<bool, Refused> {
        let database = self.database_of(shard)?;
        let place = NewPlace {
            consumer,
            owner,
            shard,
            after: None,
            position,
        };
        let columns = MailColumns::of(database, &mails);
        let bind = |insert| columns.bind(insert);
        place
            .insert(database.reader(), NEW, NEW_BOUND, "do nothing", bind)
            .await
    }

    async fn add(&self, mail: NewMail) -> Result<(), Refused> {
        let mails = [mail];
        let insert = |shard: &Shard| {
            let insert = query(AssertSqlSafe(format!("{NEW} on conflict do nothing")));
            MailColumns::of(shard, &mails).bind(insert)
        };
        self.fetch_anywhere(Shard::reader, insert).await?;
        Ok(())
    }

    async fn add_beside(&self, taken: &QueuedMail, mails: Vec<NewMail>) -> Result<(), Refused> {
        let shard = self.shards.get(taken.database);
        let shard = shard.ok_or(Refused::NoSuchShard)?;
        let insert = query(AssertSqlSafe(format!("{NEW} on conflict do nothing")));
        let insert = MailColumns::of(shard, &mails).bind(insert);
        shard.reader().fetch(insert).await?;
        Ok(())
    }

    async fn latest_change(&self, event: &str) -> Result<Option<ChangeMails>, Refused> {
        let rows = self
            .fetch_each(|_| query(LATEST_CHANGE).bind(event))
            .await?;
        let count = |row: &PgRow, at: usize| row.get::<i64, _>(at).unsigned_abs();
        let changes = rows.iter().map(|row| ChangeMails {
            id: row.get(0),
            told_at: Time(row.get(1)),
            done: count(row, 2) + count(row, 3) == 0,
            waiting: count(row, 3),
            sent: count(row, 4),
            failed: count(row, 5),
        });
        Ok(changes.max_by_key(|change| change.told_at))
    }

    async fn claim(
        &self,
        are_lists: bool,
        limit: u32,
        lease_ms: i64,
    ) -> Result<Vec<QueuedMail>, Refused> {
        let databases = self.shards.iter().enumerate();
        let claiming = databases.map(|(database, shard)| async move {
            let claim = query(CLAIM).bind(shard.clock.now().0).bind(are_lists);
            let claim = claim.bind(i64::from(limit)).bind(lease_ms);
            let rows = shard.reader().fetch(claim).await?;
            let read = |row: &PgRow| read_mail(database, shard, row);
            Ok(rows.iter().filter_map(read).collect::<Vec<_>>())
        });
        Ok(at_least_one(join_all(claiming).await)?.concat())
    }

    async fn settle(&self, mail: &QueuedMail, outcome: MailOutcome) -> Result<(), Refused> {
        let shard = self.shards.get(mail.database);
        let shard = shard.ok_or(Refused::NoSuchShard)?;
        let statement = match &outcome {
            MailOutcome::Dropped => {
                "delete from fairline.mail where number = $1 and attempts = $2 and state = 0"
            }
            _ => SETTLE,
        };
        let mut statement = query(statement).bind(mail.number).bind(mail.attempts);
        if outcome != MailOutcome::Dropped {
            let (state, reason) = outcome.columns();
            let later = match &outcome {
                MailOutcome::Later { at, unanswered, .. } => Some((at.0, *unanswered)),
                _ => None,
            };
            let (next_at, unanswered) = later.unzip();
            statement = statement.bind(state).bind(reason.to_owned());
            statement = statement.bind(next_at).bind(unanswered);
            statement = statement.bind(shard.clock.now().0);
        }
        shard.reader().fetch(statement).await?;
        Ok(())
    }

    async fn backlog(&self) -> Result<MailBacklog, Refused> {
        let counting = self.shards.iter().map(|shard| async move {
            let count = "select count(*) filter (where state = 0), min(created_at) filter (where state = 0),
                    count(*) filter (where state = 2)
                from ((select state, created_at from fairline.mail where state = 0 limit $1)
                    union all (select state, created_at from fairline.mail where state = 2 limit $1)) m";
            let row = shard
                .lister
                .fetch_optional(query(count).bind(COUNTED_MAX as i64));
            let row = row.await?;
            let figures = row.map(|row| (row.get(0), row.get(1), row.get(2)));
            let (waiting, oldest, failed): (i64, Option<i64>, i64) = figures.unwrap_or_default();
            let age_ms = oldest.map_or(0, |at| shard.clock.now().0 - at);
            Ok((waiting as u64, age_ms.max(0) as u64 / 1000, failed as u64))
        });
        let counted = at_least_one(join_all(counting).await)?.into_iter();
        Ok(
            counted.fold(MailBacklog::default(), |sum, (waiting, age, failed)| {
                MailBacklog {
                    waiting: sum.waiting + waiting,
                    oldest_seconds: sum.oldest_seconds.max(age),
                    failed: sum.failed + failed,
                }
            }),
        )
    }

    async fn of_order(&self, event: &str, order: &str) -> Result<Vec<MailRecord>, Refused> {
        let select =
            format!("{RECORD} where event = $1 and order_id = $2 order by number desc limit $3");
        self.mail_records(&select, event, Some(order)).await
    }

    async fn failed(&self, event: &str) -> Result<Vec<MailRecord>, Refused> {
        let select =
            format!("{RECORD} where event = $1 and state = 2 order by number desc limit $2");
        self.mail_records(&select, event, None).await
    }

    async fn retry(&self, event: &str, id: &str) -> Result<bool, Refused> {
        let update = "update fairline.mail set state = 0, attempts = 0, unanswered = 0, next_at = $3, created_at = $3,
                done_at = null, reason = '', bounced_to = null
            where event = $1 and id = $2 and state = 2 returning 1";
        let rows = self
            .fetch_each(|now: Time| query(update).bind(event).bind(id).bind(now.0))
            .await?;
        Ok(!rows.is_empty())
    }

    async fn find(&self, id: &str) -> Result<Option<StoredMail>, Refused> {
        let rows = self.fetch_all(|_| query(FIND).bind(id)).await?;
        // All databases seal with the same keys.
        let read = |row: &PgRow| {
            let mail = read_mail(0, &self.shards[0], row)?.mail;
            let state = MailState::of(row.get(9), row.get(10));
            Some(StoredMail { mail, state })
        };
        Ok(rows.iter().find_map(read))
    }

    async fn bounce(&self, id: &str, bounce: &Bounce) -> Result<bool, Refused> {
        let update = |now: Time| {
            let update = query(BOUNCE).bind(id).bind(&bounce.stopped);
            update.bind(&bounce.reason).bind(now.0)
        };
        Ok(!self.fetch_all(update).await?.is_empty())
    }

    async fn stopped(&self, hash: &str) -> Result<Option<String>, Refused> {
        let select = "select reason from fairline.mail where bounced_to = $1 and state = 2 order by number desc limit 1";
        let rows = self.fetch_each(|_| query(select).bind(hash)).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    async fn resume(&self, hash: &str) -> Result<(), Refused> {
        let update = "update fairline.mail set bounced_to = '' where bounced_to = $1";
        self.fetch_all(|_| query(update).bind(hash)).await?;
        Ok(())
    }

    async fn purge(&self, kept_ms: i64) -> Result<bool, Refused> {
        let delete = "with gone as (delete from fairline.mail where number in
                (select number from fairline.mail where state > 0 and done_at < $1 limit $2) returning 1)
            select count(*) from gone";
        let rows = self
            .fetch_each(|now: Time| query(delete).bind(now.0 - kept_ms).bind(PURGE_MAX))
            .await?;
        Ok(rows.iter().any(|row| row.get::<i64, _>(0) == PURGE_MAX))
    }
}

impl Postgres {
    /// Returns the mails that a selection finds in all databases, as events move between them.
    async fn mail_records(
        &self,
        select: &str,
        event: &str,
        order: Option<&str>,
    ) -> Result<Vec<MailRecord>, Refused> {
        let rows = self.fetch_each(|_| {
            let select = query(AssertSqlSafe(select)).bind(event);
            let select = match order {
                Some(order) => select.bind(order),
                None => select,
            };
            select.bind(i64::from(MAILS_MAX))
        });
        let rows = rows.await?;
        let mut records: Vec<MailRecord> = rows.iter().filter_map(read_record).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.created_at));
        records.truncate(MAILS_MAX as usize);
        Ok(records)
    }
}

/// Columns of new rows.
#[derive(Default)]
pub(super) struct MailColumns {
    ids: Vec<String>,
    events: Vec<String>,
    orders: Vec<String>,
    kinds: Vec<&'static str>,
    details: Vec<String>,
    next_at: Vec<i64>,
    created_at: Vec<i64>,
}

impl MailColumns {
    pub(super) fn of(shard: &Shard, mails: &[NewMail]) -> MailColumns {
        let mut columns = MailColumns::default();
        for mail in mails {
            columns.ids.push(mail.id.clone());
            columns.events.push(mail.event.clone());
            columns.orders.push(mail.order.clone());
            columns.kinds.push(mail.kind.as_str());
            columns.details.push(seal_detail(&shard.keys, mail));
            columns.next_at.push(shard.clock.now().0);
            columns.created_at.push(mail.created_at.0);
        }
        columns
    }

    pub(super) fn bind(self, statement: Statement<'_>) -> Statement<'_> {
        statement
            .bind(self.ids)
            .bind(self.events)
            .bind(self.orders)
            .bind(self.kinds)
            .bind(self.details)
            .bind(self.next_at)
            .bind(self.created_at)
    }
}

/// Reads a mail; none of a kind that another version has.
fn read_mail(database: usize, shard: &Shard, row: &PgRow) -> Option<QueuedMail> {
    let id: String = row.get(1);
    Some(QueuedMail {
        database,
        number: row.get(0),
        mail: NewMail {
            event: row.get(2),
            order: row.get(3),
            kind: MailKind::of(row.get(4))?,
            detail: open_detail(&shard.keys, &id, row.get(5)),
            created_at: Time(row.get(6)),
            id,
        },
        attempts: row.get(7),
        unanswered: row.get(8),
    })
}

fn read_record(row: &PgRow) -> Option<MailRecord> {
    let reason: String = row.get(7);
    Some(MailRecord {
        id: row.get(0),
        order: row.get(1),
        kind: MailKind::of(row.get(2))?,
        state: MailState::of(row.get(3), row.get(8)),
        attempts: row.get(4),
        created_at: Time(row.get(5)),
        done_at: row.get::<Option<i64>, _>(6).map(Time),
        reason: (!reason.is_empty()).then_some(reason),
    })
}
