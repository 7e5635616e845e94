//! Webhooks of payment providers that were received. They are in the first database.

use super::Postgres;
use crate::inventory::engine::{Engine as _, INBOX_SECONDS, PARKED_MAX, lease_ms};
use crate::inventory::model::*;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use std::collections::HashSet;

impl Postgres {
    pub(super) async fn knows_webhook(&self, id: &str) -> Result<bool, Refused> {
        let look = async |ids: Vec<String>| {
            let select = query("select id from fairline.inbox where id = any($1)").bind(&ids);
            let rows = self.shards[0].reader().fetch(select).await?;
            let known: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
            Ok(ids.iter().map(|id| known.contains(id)).collect())
        };
        self.webhook_lookups.run(id.to_owned(), look).await
    }

    pub(super) async fn keep_webhook(&self, event: InboxEvent) -> Result<(), Refused> {
        let keep = async |events: Vec<InboxEvent>| {
            self.keep_webhooks(&events).await?;
            Ok(vec![(); events.len()])
        };
        self.webhook_inserts.run(event, keep).await
    }

    async fn keep_webhooks(&self, events: &[InboxEvent]) -> Result<(), Refused> {
        let now = self.now().0;
        // Webhooks that took effect are remembered without waiting for the disk: the effect is there
        // already, and acts once, however often it is reported. In the order of their ids, so that
        // nodes that remember the same ones do not wait for each other in a circle.
        let keep = "with event as (
                select distinct on (id) id, reference, next_at, claim
                from unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) event(id, reference, next_at, claim)
                order by id, next_at nulls first
            ), asynchronous as (
                select set_config('synchronous_commit', 'off', true)
                where not exists (select from event where next_at is not null)
            )
            insert into fairline.inbox (id, reference, at, next_at, claim)
            select id, reference, $5, next_at, claim from event, (select count(*) from asynchronous) once
            order by id
            on conflict (id) do update set next_at = excluded.next_at, claim = excluded.claim";
        let ids: Vec<&str> = events.iter().map(|event| &*event.id).collect();
        let references: Vec<&str> = events.iter().map(|event| &*event.reference).collect();
        let parked_until = |event: &InboxEvent| event.is_parked.then_some(now + lease_ms(0));
        let next: Vec<Option<i64>> = events.iter().map(parked_until).collect();
        let claim = |event: &InboxEvent| event.claim.clone().filter(|_| event.is_parked);
        let claims: Vec<Option<String>> = events.iter().map(claim).collect();
        let keep = query(keep).bind(&ids).bind(&references).bind(&next);
        let keep = keep.bind(&claims).bind(now);
        self.shards[0].reader().fetch(keep).await?;
        Ok(())
    }

    pub(super) async fn parked_webhooks(&self) -> Result<Vec<InboxEvent>, Refused> {
        let take = "with due as materialized (
                select id from fairline.inbox where next_at <= $1 order by next_at limit $4 for update skip locked)
            update fairline.inbox i set tries = i.tries + 1,
                next_at = $1 + least($3, $2 * (1 << least(i.tries, 10)))
            from due where i.id = due.id returning i.id, i.reference, i.claim";
        let take = query(take)
            .bind(self.now().0)
            .bind(lease_ms(0))
            .bind(lease_ms(10))
            .bind(PARKED_MAX);
        let rows = self.shards[0].reader().fetch(take).await?;
        let read = |row: &PgRow| InboxEvent {
            id: row.get(0),
            reference: row.get(1),
            is_parked: true,
            claim: row.get(2),
        };
        Ok(rows.iter().map(read).collect())
    }

    pub(super) async fn prune_inbox(&self) -> Result<(), Refused> {
        let delete = "delete from fairline.inbox where id in
            (select id from fairline.inbox where at < $1 limit 10000)";
        let before = self.now().0 - INBOX_SECONDS * 1000;
        self.shards[0]
            .reader()
            .fetch(query(delete).bind(before))
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::{Clock, Time};
    use testkit::shared_postgres;

    #[tokio::test]
    async fn of_webhooks_that_are_inserted_together_those_that_are_done_win() {
        let servers = shared_postgres();
        let url = servers.postgres.url(&servers.postgres.database());
        let clock = Clock::manual(Time(1_800_000_000_000));
        let postgres = Postgres::open(&url, clock.clone()).await.unwrap();
        let event = |id: &str, is_parked| InboxEvent {
            id: id.to_owned(),
            reference: format!("of {id}"),
            is_parked,
            claim: Some("a claim".to_owned()),
        };
        let together = [
            ("b", true),
            ("a", false),
            ("b", false),
            ("a", true),
            ("c", true),
        ];
        let together = together.map(|(id, is_parked)| event(id, is_parked));
        postgres.keep_webhooks(&together).await.unwrap();
        clock.advance_ms(lease_ms(0));
        assert_eq!(
            postgres.parked_webhooks().await.unwrap(),
            [event("c", true)]
        );
        for (id, is_known) in [("a", true), ("b", true), ("c", true), ("d", false)] {
            assert_eq!(postgres.knows_webhook(id).await, Ok(is_known), "{id}");
        }
    }
}
