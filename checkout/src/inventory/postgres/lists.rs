//! Lists in Postgres by which all nodes cap what an address has. They are in the first database.

use super::Postgres;
use async_trait::async_trait;
use shared::http::rate_limit::{ListChange, ListMember, MEMBERS_MAX, SharedLists};
use sqlx::{Row as _, query};

/// Changes a list. The rows that are returned are those from before.
const CHANGE: &str = "with removed as (
        delete from fairline.list where list = $1 and member = any($3)
    ), added as (
        insert into fairline.list (list, member, at) select $1, unnest($2), clock_timestamp()
            on conflict (list, member) do update set at = excluded.at
    )
    select member, (extract(epoch from clock_timestamp() - at) * 1000)::bigint from fairline.list
        where list = $1 and at >= clock_timestamp() - make_interval(secs => $4)
        order by at desc limit $5";

#[async_trait]
impl SharedLists for Postgres {
    async fn change(&self, change: &ListChange) -> Option<Vec<ListMember>> {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let change = query(CHANGE)
            .bind(change.list.cast_signed())
            .bind(&change.added)
            .bind(&change.removed)
            .bind(seconds(change.newer_than_ms.min(change.kept_ms)))
            .bind(MEMBERS_MAX as i64);
        let rows = self.shards[0].reader().fetch(change).await.ok()?;
        let members = rows.iter().map(|row| ListMember {
            member: row.get(0),
            age_ms: row.get(1),
        });
        Some(members.collect())
    }
}
