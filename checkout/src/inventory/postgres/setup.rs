//! The tables and functions, made or brought up to this version step by step. A step that was released is never edited.

use super::Shard;
use shared::crypto::{hex, sha256};

const SETUP: [&str; 7] = [
    include_str!("../../../migrations/postgres/1_setup.sql"),
    include_str!("../../../migrations/postgres/2_apply.sql"),
    include_str!("../../../migrations/postgres/3_sale.sql"),
    include_str!("../../../migrations/postgres/4_visits.sql"),
    include_str!("../../../migrations/postgres/5_shards.sql"),
    include_str!("../../../migrations/postgres/6_in_use.sql"),
    include_str!("../../../migrations/postgres/7_bounds.sql"),
];

impl Shard {
    /// Makes the tables, or brings them up to this version.
    pub(super) async fn set_up(&self) -> Result<(), String> {
        // One node at a time; the others find it done.
        let begin = "create schema if not exists fairline;
            create table if not exists fairline.migration (version integer primary key, sum text);";
        let lock = "select pg_advisory_xact_lock(4631729463);";
        self.reader
            .run(&format!("begin; {lock} {begin} commit"))
            .await?;
        let select =
            "select coalesce(to_jsonb(m) ->> 'sum', '') from fairline.migration m order by version";
        let rows = self.reader.ask(select, &[]).await;
        let rows = rows.map_err(|failed| format!("{failed:?}"))?;
        let done: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if done.len() > SETUP.len() {
            return Err(format!(
                "its schema has version {}, this program knows {}",
                done.len(),
                SETUP.len()
            ));
        }
        let same = done
            .iter()
            .zip(SETUP)
            .take_while(|(done, setup)| **done == sum(setup));
        let same = same.count();
        if same < done.len() {
            return Err(format!(
                "step {} of its schema was made by another version of this program, which cannot be brought up to this one",
                same + 1
            ));
        }
        for (at, setup) in SETUP.iter().enumerate().skip(same) {
            let (version, sum) = (at + 1, sum(setup));
            let outcome = self
                .reader
                .run(&format!(
                    "begin; {lock} insert into fairline.migration values ({version}, '{sum}'); {setup}; commit"
                ))
                .await;
            if let Err(error) = outcome {
                let _ = self.reader.run("rollback").await;
                // Another node was faster.
                if !error.contains("duplicate key") {
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Identity of a schema step.
fn sum(setup: &str) -> String {
    hex(&sha256(setup.as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::postgres::connection::Connection;
    use crate::inventory::{HoldState, Inventory, Postgres, SessionKey};
    use shared::ids::EventId;
    use shared::time::{Clock, Time};
    use testkit::shared_postgres;

    /// A database as the steps before these made it, with a fan who released a hold and whose payment was being asked for.
    fn old(steps: usize) -> String {
        let setup: Vec<String> = SETUP[..steps]
            .iter()
            .enumerate()
            .map(|(at, setup)| {
                format!(
                    "{setup}; insert into fairline.migration values ({}, '{}');",
                    at + 1,
                    sum(setup)
                )
            })
            .collect();
        let plan = r#"{"categories": [{"id": "c", "name": "C", "price": 10}],
            "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 3}]}"#;
        let rules = r#"{"hold_seconds": 120, "hold_max_seconds": 600, "max_seats_per_order": 6,
            "max_seats_per_visitor": 6, "currency": "EUR"}"#;
        let (visitor, id) = (
            "00000000-0000-0000-0000-000000000007",
            "0b7a3a52-7a3e-4c8e-9d1a-5f6b7c8d9e0f",
        );
        let key = r"'\x0000000000000000000000000000000000000000000000000000000000000000'";
        format!(
            "create schema fairline;
             create table fairline.migration (version integer primary key, sum text);
             {}
             select fairline.make_event('e', '{rules}', '\\x00'), fairline.set_plan('e', '{plan}', 3);
             insert into fairline.session values ('e', {key}, '{visitor}', 1, 'j', 't', 9000000000000, false, 0, 0);
             insert into fairline.hold values
                ('e', '{visitor}', 0, '{id}', {key}, 2, '0', 10, 'EUR', 1000, 2000, 3000, null);
             insert into fairline.answer values ('e', 'a', 'b', null, 900)",
            setup.concat()
        )
    }

    #[tokio::test]
    async fn a_database_of_an_earlier_version_is_brought_up_with_everything_in_it() {
        let servers = shared_postgres();
        let database = servers.postgres.database();
        servers.postgres.run(&database, &old(5)).unwrap();
        let url = servers.postgres.url(&database);
        for _ in 0..2 {
            let node = Postgres::open(&url, Clock::manual(Time(900))).await;
            let node = Inventory::from(node.unwrap());
            let keys = vec![SessionKey {
                event: EventId::parse("e").unwrap(),
                hash: [0; 32],
            }];
            let id = "hold_0b7a3a527a3e4c8e9d1a5f6b7c8d9e0f";
            let hold = node.show_hold(keys, id).await.unwrap();
            assert_eq!(hold.state, HoldState::Released);
        }
        let marks = "select count(*) from fairline.answer";
        assert_eq!(servers.postgres.run(&database, marks).unwrap(), "0");
    }

    #[tokio::test]
    async fn plans_are_not_compiled_and_a_pooler_that_takes_no_options_is_used_without() {
        let servers = shared_postgres();
        let database = servers.postgres.database();
        for url in [
            servers.postgres.url(&database),
            servers.bouncer.url(&database),
        ] {
            let link = Connection::new(url.parse().unwrap());
            let shown = link.ask("show jit", &[]).await.unwrap();
            let is_direct = !url.contains("127.0.0.1");
            assert_eq!(shown[0].get::<_, &str>(0) == "off", is_direct);
        }
    }
}
