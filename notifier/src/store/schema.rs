//! The tables of the notifier's file.

use rusqlite::Connection;
use shared::sqlite;

/// Statements that lead to each version from the one before.
const VERSIONS: [&str; 2] = [
    "
    create table done (
        consumer text not null, id text not null, at integer not null, event_at integer not null,
        primary key (consumer, id)) without rowid;
    create index done_at on done (at);
    create table dead_letter (
        number integer primary key autoincrement, consumer text not null, id text not null,
        type text not null, aggregate text not null, event_at integer not null, data blob not null,
        fault text, reason text not null, failed_at integer not null,
        is_retried integer not null default 0, unique (consumer, id));
    create index dead_letter_aggregate on dead_letter (consumer, aggregate);
    create table position (
        consumer text not null, place text not null, next integer not null,
        primary key (consumer, place)) without rowid;
    create table order_points (
        id text primary key, total integer not null, currency text not null,
        points integer not null) without rowid;
    create table replay (consumer text primary key, since integer not null) without rowid;
    pragma user_version = 1;",
    "
    alter table dead_letter add column came integer not null default 0;
    alter table dead_letter add column is_held integer not null default 0;
    update dead_letter set came = number;
    drop index dead_letter_aggregate;
    create index dead_letter_aggregate on dead_letter (consumer, aggregate, came);
    alter table order_points add column at integer not null default 0;
    create index order_points_at on order_points (at);
    create index order_points_spent on order_points (at) where points = 0;
    pragma user_version = 2;",
];

/// Brings a file to the newest version, in one transaction.
///
/// # Errors
/// If it is newer than what this program knows, or cannot be written.
pub(super) fn bring_up_to_date(connection: &mut Connection) -> rusqlite::Result<()> {
    let version = sqlite::schema_version(connection, VERSIONS.len() as u32)? as usize;
    if version == VERSIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for statements in VERSIONS.iter().skip(version) {
        transaction.execute_batch(statements)?;
    }
    transaction.commit()
}
