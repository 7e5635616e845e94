//! The notifier's file: old rows, files of before, and replays.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

use notifier::event::Event;
use notifier::store::{DONE_DAYS, LetterState, OrderPoints, POINTS_DAYS, Settled, Store};
use rusqlite::Connection;
use shared::time::{Clock, Time};
use std::path::Path;

const START: Time = Time(1_800_000_000_000);
const DAY_SECONDS: i64 = 24 * 3600;

fn event(id: &str) -> Event {
    Event {
        id: id.to_owned(),
        event_type: "order.confirmed".to_owned(),
        aggregate: id.to_owned(),
        ..Event::default()
    }
}

fn points(order: &str, points: i64) -> OrderPoints {
    OrderPoints {
        order: order.to_owned(),
        total: 9_000,
        currency: "EUR".to_owned(),
        points,
    }
}

async fn settle(store: &Store, id: &str, points: &OrderPoints) {
    let settled = Settled {
        consumer: "loyalty",
        event: &event(id),
        letter: None,
        points: Some(points),
    };
    store.settle(settled).await.unwrap();
}

fn count(file: &Path, table: &str) -> i64 {
    let file = Connection::open(file).unwrap();
    let sql = format!("select count(*) from {table}");
    file.query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn points_are_kept_for_two_years_and_those_that_are_all_taken_back_for_as_long_as_ids() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START);
    let store = Store::open(&folder.path().join("file"), clock.clone()).unwrap();
    settle(&store, "evt_1", &points("ord_whole", 90)).await;
    settle(&store, "evt_2", &points("ord_refunded", 0)).await;
    clock.advance_ms((DONE_DAYS * DAY_SECONDS + 1) * 1000);
    assert!(!store.prune().await.unwrap());
    assert!(store.points("ord_whole").await.unwrap().is_some());
    assert_eq!(store.points("ord_refunded").await.unwrap(), None);
    clock.advance_ms((POINTS_DAYS - DONE_DAYS) * DAY_SECONDS * 1000);
    assert!(!store.prune().await.unwrap());
    assert_eq!(store.points("ord_whole").await.unwrap(), None);
}

#[tokio::test]
async fn old_rows_are_deleted_in_bounded_steps() {
    let folder = tempfile::tempdir().unwrap();
    let (file, clock) = (folder.path().join("file"), Clock::manual(START));
    let store = Store::open(&file, clock.clone()).unwrap();
    let fill = "with recursive n (n) as (select 1 union all select n + 1 from n where n < 2500)";
    let connection = Connection::open(&file).unwrap();
    connection
        .execute_batch(&format!(
            "{fill} insert into done (consumer, id, at, event_at) select 'loyalty', n, 1, 1 from n;
             {fill} insert into order_points (id, total, currency, points, at) select n, 1, 'EUR', 1, 1 from n;"
        ))
        .unwrap();
    drop(connection);
    for left in [1500, 500] {
        assert!(store.prune().await.unwrap());
        let found = [count(&file, "done"), count(&file, "order_points")];
        assert_eq!(found, [left; 2]);
    }
    assert!(!store.prune().await.unwrap());
    assert_eq!(count(&file, "order_points"), 0);
}

#[tokio::test]
async fn a_replay_that_was_not_begun_with_is_not_replaced_by_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("file"), Clock::manual(START)).unwrap();
    for (from, wanted) in [(500, 500), (900, 500), (100, 100)] {
        store.ask_replay("search", Time(from), true).await.unwrap();
        let asked = store.replay("search").await.unwrap();
        assert_eq!(asked, Some(Time(wanted)));
    }
}

/// Tables of the first version.
const FIRST: &str = "
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
    pragma user_version = 1;
    insert into dead_letter (consumer, id, type, aggregate, event_at, data, reason, failed_at)
        values ('loyalty', 'evt_1', 'order.confirmed', 'ord_1', 1, x'7b7d', 'gone', 1),
            ('loyalty', 'evt_2', 'order.refunded', 'ord_1', 2, x'7b7d', 'gone', 1);
    insert into order_points values ('ord_2', 9000, 'EUR', 90);";

#[tokio::test]
async fn a_file_of_the_first_version_keeps_its_letters_in_order_and_its_points_as_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (file, clock) = (folder.path().join("file"), Clock::manual(START));
    let connection = Connection::open(&file).unwrap();
    connection.execute_batch(FIRST).unwrap();
    drop(connection);
    let store = Store::open(&file, clock.clone()).unwrap();
    let letters = store.dead_letters(None).await.unwrap();
    let ids: Vec<&str> = letters.iter().map(|it| &*it.event.id).collect();
    assert_eq!(ids, ["evt_1", "evt_2"]);
    let LetterState { came, .. } = letters[1].state;
    let refund = &letters[1].event;
    let ahead = store.held_back_by("loyalty", refund, came).await.unwrap();
    assert_eq!(ahead.unwrap().id, "evt_1");
    clock.advance_ms((POINTS_DAYS - 1) * DAY_SECONDS * 1000);
    store.prune().await.unwrap();
    assert!(store.points("ord_2").await.unwrap().is_some());
    drop(store);
    let again = Store::open(&file, clock);
    assert!(again.is_ok());
}
