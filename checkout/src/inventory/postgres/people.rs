//! Personal data in Postgres: buyers page by page, and the deletion of old visits.

use super::Postgres;
use super::database::{QueryError, Statement};
use super::shard::Shard;
use crate::inventory::engine::{BUYERS_MAX, VISITS_MAX};
use crate::inventory::model::*;
use crate::inventory::personal::{BuyerChange, OrderKey, Personal, StoredBuyer};
use crate::inventory::records::OrderState;
use futures_util::future::try_join_all;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use std::sync::Arc;
use uuid::Uuid;

const BUYERS: &str = "select event, id, visitor, created_at, state, buyer_name, buyer_email from fairline.orders
    where (event, id) > ($1, $2) and (buyer_name <> '' or buyer_email <> '') order by event, id limit $3";

const BUYER: &str =
    "select event, id, visitor, created_at, state, buyer_name, buyer_email from fairline.orders
    where event = $1 and id = $2";

const SET: &str = "update fairline.orders o set buyer_name = w.name, buyer_email = w.email
    from unnest($1, $2, $3, $4, $5, $6, $7) as w(event, id, created_at, was_name, was_email, name, email)
    where o.event = w.event and o.id = w.id and o.created_at = w.created_at
        and o.buyer_name = w.was_name and o.buyer_email = w.was_email";

const SESSIONS: &str = "with old as (
        select event, key from fairline.session where expires_at < $1 and report = 0 limit $2 for update skip locked
    )
    delete from fairline.session s using old where s.event = old.event and s.key = old.key returning 1";

/// Sequence numbers (state 4) go with the sessions for whose sake they are kept.
const HOLDS: &str = "with old as (
        select h.event, h.visitor, h.number from fairline.hold h
        where h.max_expires_at < $1 and h.state in (2, 3, 4) and h.order_id is null and not exists
            (select from fairline.session s where s.event = h.event and s.visitor = h.visitor)
        limit $2
    )
    delete from fairline.hold h using old
    where h.event = old.event and h.visitor = old.visitor and h.number = old.number returning 1";

impl Postgres {
    pub(super) async fn list_buyers(
        &self,
        after: Option<&OrderKey>,
    ) -> Result<Vec<StoredBuyer>, Refused> {
        let (event, id) = after.map_or(("", ""), |after| (after.event.as_str(), &after.id));
        let each = self.shards.iter().map(async |shard| {
            let select = query(BUYERS).bind(event).bind(id).bind(BUYERS_MAX as i64);
            let rows = shard.slow.fetch(select).await?;
            let read = |row: &PgRow| read_buyer(shard, row);
            Ok::<_, QueryError>(rows.iter().filter_map(read).collect::<Vec<_>>())
        });
        let mut buyers = try_join_all(each).await?.concat();
        buyers.sort_by(|one, other| one.order.cmp(&other.order));
        buyers.truncate(BUYERS_MAX);
        Ok(buyers)
    }

    pub(super) async fn find_buyer(
        &self,
        order: &OrderKey,
    ) -> Result<Option<StoredBuyer>, Refused> {
        let shard = self.shard_of(&order.event).await?;
        let select = query(BUYER).bind(order.event.as_str()).bind(&order.id);
        let row = shard.lister.fetch_optional(select).await?;
        Ok(row.and_then(|row| read_buyer(&shard, &row)))
    }

    pub(super) async fn store_buyers(&self, changes: &[BuyerChange]) -> Result<(), Refused> {
        for shard in &self.shards {
            // Rows of other databases are not there, and nothing happens to them.
            shard.slow.fetch(set_buyers(shard, changes)).await?;
        }
        Ok(())
    }

    pub(super) async fn delete_visits(&self, kept_ms: i64) -> Result<bool, Refused> {
        let mut has_more = false;
        for shard in &self.shards {
            let before = shard.clock.now().0 - kept_ms;
            for delete in [SESSIONS, HOLDS] {
                let delete = query(delete).bind(before).bind(VISITS_MAX);
                let deleted = shard.slow.fetch(delete).await?.len();
                has_more |= deleted as i64 == VISITS_MAX;
            }
        }
        Ok(has_more)
    }
}

fn read_buyer(shard: &Arc<Shard>, row: &PgRow) -> Option<StoredBuyer> {
    let order = OrderKey {
        event: EventId::parse(row.get(0)).ok()?,
        id: row.get(1),
    };
    let state: String = row.get(4);
    let mut states = OrderState::ALL.into_iter();
    let state = states.find(|known| known.as_str() == state)?;
    let columns = Buyer {
        name: row.get(5),
        email: row.get(6),
    };
    let personal = Personal {
        keys: &shard.keys,
        event: &order.event,
    };
    Some(StoredBuyer {
        buyer: personal.open_buyer(&order.id, &columns),
        is_current: personal.is_current(&columns),
        visitor: VisitorId(row.get::<Uuid, _>(2).as_u128()),
        created_at: Time(row.get(3)),
        is_settled: state.is_settled(),
        order,
        columns,
    })
}

fn set_buyers<'q>(shard: &Shard, changes: &[BuyerChange]) -> Statement<'q> {
    let list =
        |of: &dyn Fn(&BuyerChange) -> String| -> Vec<String> { changes.iter().map(of).collect() };
    let sealed: Vec<Buyer> = changes
        .iter()
        .map(|change| {
            let order = &change.stored.order;
            let personal = Personal {
                keys: &shard.keys,
                event: &order.event,
            };
            personal.seal_buyer(&order.id, change.buyer.as_ref())
        })
        .collect();
    let (names, emails): (Vec<String>, Vec<String>) = sealed
        .into_iter()
        .map(|buyer| (buyer.name, buyer.email))
        .unzip();
    let created: Vec<i64> = changes
        .iter()
        .map(|change| change.stored.created_at.0)
        .collect();
    query(SET)
        .bind(list(&|change| {
            change.stored.order.event.as_str().to_owned()
        }))
        .bind(list(&|change| change.stored.order.id.clone()))
        .bind(created)
        .bind(list(&|change| change.stored.columns.name.clone()))
        .bind(list(&|change| change.stored.columns.email.clone()))
        .bind(names)
        .bind(emails)
}
