//! Migrations of the schema: all that are missing are taken in one transaction, or none. One that
//! was released is never edited.

use shared::crypto::{hex, sha256};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Error, Row as _, SqlSafeStr as _, query, raw_sql};
use std::borrow::Cow;

/// Name and SQL of each migration; the first has number 1.
const MIGRATIONS: [(&str, &str); 32] = [
    (
        "setup",
        include_str!("../../../migrations/postgres/1_setup.sql"),
    ),
    (
        "apply",
        include_str!("../../../migrations/postgres/2_apply.sql"),
    ),
    (
        "sale",
        include_str!("../../../migrations/postgres/3_sale.sql"),
    ),
    (
        "visits",
        include_str!("../../../migrations/postgres/4_visits.sql"),
    ),
    (
        "shards",
        include_str!("../../../migrations/postgres/5_shards.sql"),
    ),
    (
        "in use",
        include_str!("../../../migrations/postgres/6_in_use.sql"),
    ),
    (
        "bounds",
        include_str!("../../../migrations/postgres/7_bounds.sql"),
    ),
    (
        "lists",
        include_str!("../../../migrations/postgres/8_lists.sql"),
    ),
    (
        "people",
        include_str!("../../../migrations/postgres/9_people.sql"),
    ),
    (
        "payments",
        include_str!("../../../migrations/postgres/10_payments.sql"),
    ),
    (
        "reviews",
        include_str!("../../../migrations/postgres/11_reviews.sql"),
    ),
    (
        "outbox",
        include_str!("../../../migrations/postgres/12_outbox.sql"),
    ),
    (
        "charges",
        include_str!("../../../migrations/postgres/13_charges.sql"),
    ),
    (
        "invoices",
        include_str!("../../../migrations/postgres/14_invoices.sql"),
    ),
    (
        "plans",
        include_str!("../../../migrations/postgres/15_plans.sql"),
    ),
    (
        "door",
        include_str!("../../../migrations/postgres/16_door.sql"),
    ),
    (
        "mail",
        include_str!("../../../migrations/postgres/17_mail.sql"),
    ),
    (
        "prices",
        include_str!("../../../migrations/postgres/18_prices.sql"),
    ),
    (
        "webhooks",
        include_str!("../../../migrations/postgres/19_webhooks.sql"),
    ),
    (
        "plan changes",
        include_str!("../../../migrations/postgres/20_plan_changes.sql"),
    ),
    (
        "reseat",
        include_str!("../../../migrations/postgres/21_reseat.sql"),
    ),
    (
        "hourly sales",
        include_str!("../../../migrations/postgres/22_hourly_sales.sql"),
    ),
    (
        "line log",
        include_str!("../../../migrations/postgres/23_line_log.sql"),
    ),
    (
        "inbox claims",
        include_str!("../../../migrations/postgres/24_inbox_claims.sql"),
    ),
    (
        "disputes",
        include_str!("../../../migrations/postgres/25_disputes.sql"),
    ),
    (
        "charged back",
        include_str!("../../../migrations/postgres/26_charged_back.sql"),
    ),
    (
        "line mail",
        include_str!("../../../migrations/postgres/27_line_mail.sql"),
    ),
    (
        "order language",
        include_str!("../../../migrations/postgres/28_order_language.sql"),
    ),
    (
        "line mail soon",
        include_str!("../../../migrations/postgres/29_line_mail_soon.sql"),
    ),
    (
        "line push",
        include_str!("../../../migrations/postgres/30_line_push.sql"),
    ),
    (
        "mail bounces",
        include_str!("../../../migrations/postgres/31_mail_bounces.sql"),
    ),
    (
        "line message",
        include_str!("../../../migrations/postgres/32_line_message.sql"),
    ),
];

/// Table of the migrations that were taken.
const TABLE: &str = "fairline._sqlx_migrations";

/// Takes the advisory lock of migrations, as earlier versions of the program do. Without notices of
/// what exists. A step that waits longer for a table, as while it is being dumped, is given up: all
/// sales would queue behind it.
const LOCK: &str = "set local client_min_messages = warning; select pg_advisory_xact_lock(4631729463); \
    set local lock_timeout = '3s'";

/// Brings the schema of a database up to this version.
///
/// # Errors
/// A sentence for the operator. The schema is as it was then.
pub(super) async fn migrate(options: &PgConnectOptions) -> Result<(), String> {
    let connection = PgConnection::connect_with(options).await;
    let mut connection = connection.map_err(|error| error.to_string())?;
    take(&mut connection, &MIGRATIONS).await
}

async fn take(
    connection: &mut PgConnection,
    migrations: &[(&'static str, &'static str)],
) -> Result<(), String> {
    let text = |error: Error| error.to_string();
    let migrator = migrator(migrations);
    // One node at a time: the others wait for the lock, and find everything done.
    let mut transaction = connection.begin().await.map_err(text)?;
    let locked = raw_sql(LOCK).execute(&mut *transaction).await;
    locked.map_err(text)?;
    adopt(&mut transaction, &migrator).await?;
    // As `run`, whose future the compiler does not take for one that may move between threads.
    let taken = migrator.run_direct(None, &mut *transaction, false).await;
    taken.map_err(|error| sentence(error, migrations))?;
    transaction.commit().await.map_err(text)
}

fn migrator(migrations: &[(&'static str, &'static str)]) -> Migrator {
    let migrations = (1..).zip(migrations).map(|(version, (name, sql))| {
        let sql = sql.into_sql_str();
        Migration::new(
            version,
            Cow::Borrowed(*name),
            MigrationType::Simple,
            sql,
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(TABLE);
    migrator.create_schema("fairline");
    // The transaction has a lock already, and a lock of the session would outlive a failure.
    migrator.set_locking(false);
    migrator
}

/// Enters the migrations that an earlier version of the program took, which recorded them in a
/// table of its own.
async fn adopt(connection: &mut PgConnection, migrator: &Migrator) -> Result<(), String> {
    let text = |error: Error| error.to_string();
    let exists = "select to_regclass('fairline.migration') is not null and to_regclass($1) is null";
    let row = query(exists).bind(TABLE).fetch_one(&mut *connection).await;
    if !row.map_err(text)?.get::<bool, _>(0) {
        return Ok(());
    }
    let select =
        "select coalesce(to_jsonb(m) ->> 'sum', '') from fairline.migration m order by version";
    let rows = query(select).fetch_all(&mut *connection).await;
    let rows = rows.map_err(text)?;
    let mut known = migrator.iter();
    let mut taken = 0;
    for row in &rows {
        let migration = known.next().ok_or_else(|| too_new(rows.len(), taken))?;
        if row.get::<&str, _>(0) != sum(migration.sql.as_str()) {
            return Err(another(migration.version));
        }
        taken += 1;
    }
    let entered = migrator
        .run_direct(Some(taken), &mut *connection, true)
        .await;
    entered.map_err(|error| error.to_string())?;
    // Earlier versions of the program find one migration more than they know, and do not start.
    let insert = "insert into fairline.migration (version, sum) values ($1, '')";
    let closed = query(insert).bind(taken as i32 + 1).execute(connection);
    closed.await.map(drop).map_err(text)
}

/// Returns the checksum by which earlier versions of the program recorded a migration.
fn sum(sql: &str) -> String {
    hex(&sha256(sql.as_bytes())[..8])
}

fn another(version: i64) -> String {
    format!(
        "step {version} of its schema was made by another version of this program, which cannot be brought up to this one"
    )
}

fn too_new(version: impl std::fmt::Display, known: i64) -> String {
    format!("its schema has version {version}, this program knows {known}")
}

fn sentence(error: MigrateError, migrations: &[(&str, &str)]) -> String {
    match error {
        MigrateError::VersionMismatch(version) => another(version),
        MigrateError::VersionMissing(version) => too_new(version, migrations.len() as i64),
        MigrateError::ExecuteMigration(error, version) => {
            let name = migrations
                .get(version as usize - 1)
                .map_or("", |(name, _)| name);
            format!(
                "step {version} of its schema ({name}) failed, and nothing was changed: {error}"
            )
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{HoldState, Inventory, Postgres, SessionKey};
    use shared::ids::EventId;
    use shared::time::{Clock, Time};
    use std::str::FromStr as _;
    use testkit::{Shared, shared_postgres};

    /// Returns SQL that makes a database as version 0.1.0 did with these migrations, with a fan who
    /// released a hold and whose payment was being asked for.
    fn old(count: usize) -> String {
        let steps = (1..).zip(&MIGRATIONS[..count]).map(|(version, (_, sql))| {
            let sum = sum(sql);
            format!("{sql}; insert into fairline.migration values ({version}, '{sum}');")
        });
        let steps: Vec<String> = steps.collect();
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
            steps.concat()
        )
    }

    fn taken(servers: &Shared, database: &str) -> String {
        let taken = format!("select string_agg(version::text, ' ' order by version) from {TABLE}");
        servers.postgres.run(database, &taken).unwrap()
    }

    async fn connect(servers: &Shared, database: &str) -> PgConnection {
        let options = PgConnectOptions::from_str(&servers.postgres.url(database)).unwrap();
        PgConnection::connect_with(&options).await.unwrap()
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
        assert_eq!(taken(&servers, &database), first(MIGRATIONS.len()));
        // Version 0.1.0 counts the rows of its own table, and refuses more than it knows, or
        // others.
        let own = "select count(*) from fairline.migration";
        assert_eq!(servers.postgres.run(&database, own).unwrap(), "6");
    }

    #[tokio::test]
    async fn a_migration_that_fails_half_way_leaves_the_old_schema_and_says_which_one_failed() {
        let servers = shared_postgres();
        let database = servers.postgres.database();
        servers.postgres.run(&database, &old(7)).unwrap();
        let good = ("good", "create table fairline.good (number integer)");
        let bad = (
            "bad",
            "create table fairline.bad (number integer); select 1 / 0",
        );
        let migrations = [&MIGRATIONS[..], &[good, bad]].concat();
        let mut connection = connect(&servers, &database).await;
        let error = take(&mut connection, &migrations).await.unwrap_err();
        let step = format!("step {}", MIGRATIONS.len() + 2);
        for part in [
            step.as_str(),
            "bad",
            "nothing was changed",
            "division by zero",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let tables = format!(
            "select count(*) from pg_tables where schemaname || '.' || tablename in
                ('fairline.good', 'fairline.bad', '{TABLE}')"
        );
        assert_eq!(servers.postgres.run(&database, &tables).unwrap(), "0");
        let own = "select count(*) from fairline.migration";
        assert_eq!(servers.postgres.run(&database, own).unwrap(), "7");
        // Nothing is left open, and the version before can go on.
        take(&mut connection, &MIGRATIONS).await.unwrap();
        let error = take(&mut connection, &migrations).await.unwrap_err();
        assert!(error.contains(&step), "{error}");
        assert_eq!(taken(&servers, &database), first(MIGRATIONS.len()));
    }

    #[tokio::test]
    async fn a_step_that_would_have_sales_wait_behind_a_dump_is_given_up() {
        let servers = shared_postgres();
        let database = servers.postgres.database();
        servers.postgres.run(&database, &old(7)).unwrap();
        let more = ("more", "alter table fairline.orders add column more text");
        let migrations = [&MIGRATIONS[..], &[more]].concat();
        let mut connection = connect(&servers, &database).await;
        take(&mut connection, &MIGRATIONS).await.unwrap();
        let mut dump = connect(&servers, &database).await;
        let mut dump = dump.begin().await.unwrap();
        let read = raw_sql("lock fairline.orders in access share mode");
        read.execute(&mut *dump).await.unwrap();
        let error = take(&mut connection, &migrations).await.unwrap_err();
        assert!(
            error.contains(&format!("step {}", MIGRATIONS.len() + 1))
                && error.contains("lock timeout"),
            "{error}"
        );
        dump.rollback().await.unwrap();
        take(&mut connection, &migrations).await.unwrap();
        assert_eq!(taken(&servers, &database), first(MIGRATIONS.len() + 1));
    }

    /// Returns the numbers of the first steps.
    fn first(count: usize) -> String {
        let numbers: Vec<String> = (1..=count).map(|number| number.to_string()).collect();
        numbers.join(" ")
    }

    /// Returns a word of a migration that may break the statements of nodes that run the version
    /// before.
    fn takes_away(sql: &str) -> Option<&'static str> {
        let words = [
            "drop",
            "rename",
            "set not null",
            "alter column",
            "delete from",
        ];
        // The version before keeps to a rule that is dropped; functions are replaced with their
        // parameters, and their bodies do nothing yet.
        let outside: String = sql.split("$$").step_by(2).collect();
        let sql = outside.to_lowercase().replace("drop constraint", "");
        words.into_iter().find(|word| sql.contains(word))
    }

    #[test]
    fn steps_that_nodes_of_the_version_before_run_beside_take_nothing_away() {
        // Nodes were stopped for all steps up to `bounds`.
        assert_eq!(takes_away(MIGRATIONS[5].1), Some("drop"));
        let rows = "create function f() as $$ drop table a $$; delete from b";
        assert_eq!(takes_away(rows), Some("delete from"));
        for (name, sql) in MIGRATIONS
            .iter()
            .skip_while(|(name, _)| *name != "bounds")
            .skip(1)
        {
            assert_eq!(takes_away(sql), None, "{name}: see docs/postgres.md");
        }
    }

    #[tokio::test]
    async fn a_schema_with_other_migrations_or_more_of_them_is_refused() {
        let servers = shared_postgres();
        let other = [("setup", "select 1")];
        let fewer = &MIGRATIONS[..6];
        for is_adopted in [false, true] {
            let database = servers.postgres.database();
            servers.postgres.run(&database, &old(7)).unwrap();
            let mut connection = connect(&servers, &database).await;
            if is_adopted {
                take(&mut connection, &MIGRATIONS).await.unwrap();
            }
            let error = take(&mut connection, fewer).await.unwrap_err();
            assert!(
                error.contains("has version 7, this program knows 6"),
                "{error}"
            );
            let changed = [&other[..], &MIGRATIONS[1..]].concat();
            let error = take(&mut connection, &changed).await.unwrap_err();
            assert!(error.contains("step 1"), "{error}");
        }
    }

    #[tokio::test]
    async fn nodes_that_start_at_once_do_not_disturb_each_other() {
        let servers = shared_postgres();
        for sql in ["select 1".to_owned(), old(5)] {
            let database = servers.postgres.database();
            servers.postgres.run(&database, &sql).unwrap();
            let url = servers.postgres.url(&database);
            let opening = (0..6).map(|_| Postgres::open(&url, Clock::manual(Time(900))));
            for opened in futures_util::future::join_all(opening).await {
                opened.unwrap();
            }
            assert_eq!(taken(&servers, &database), first(MIGRATIONS.len()));
        }
    }
}
