//! Stores made by earlier versions of the program.

use checkout::inventory::{Inventory, Order, OrderPage, open};
use shared::data_dir::DataFolder;
use shared::ids::EventId;
use shared::time::{Clock, Time};
use testkit::shared_postgres;

/// Time at which the stores were left, in November 2026.
const LEFT: Time = Time(1_795_659_400_000);

const POSTGRES: &str = include_str!("../fixtures/postgres_0_1_0.sql");
const SQLITE: &str = include_str!("../fixtures/sqlite_0_1_0.sql");

/// The migrations that version 0.1.0 had, in order.
const SCHEMA_0_1_0: [&str; 7] = [
    include_str!("../../migrations/postgres/1_setup.sql"),
    include_str!("../../migrations/postgres/2_apply.sql"),
    include_str!("../../migrations/postgres/3_sale.sql"),
    include_str!("../../migrations/postgres/4_visits.sql"),
    include_str!("../../migrations/postgres/5_shards.sql"),
    include_str!("../../migrations/postgres/6_in_use.sql"),
    include_str!("../../migrations/postgres/7_bounds.sql"),
];

/// Two orders are paid, one is being paid, one hold is open, and everything goes on.
async fn everything_is_there(seats: &Inventory) {
    let event = EventId::parse("arena-night").unwrap();
    let mut orders = seats.orders(&event, &OrderPage::newest(10)).await.unwrap();
    let name = |order: &Order| order.buyer.clone().unwrap().name;
    orders.sort_by_key(name);
    let shown = |order: &Order| {
        (
            name(order),
            order.state.clone(),
            order.total.amount,
            order.tickets.as_ref().map_or(0, |tickets| tickets.len()),
        )
    };
    let shown: Vec<_> = orders.iter().map(shown).collect();
    let expected = [
        ("Ada Example", "confirmed", 2),
        ("Ben Example", "confirmed", 2),
        ("Cleo Example", "paying", 0),
    ];
    let expected =
        expected.map(|(name, state, tickets)| (name.to_owned(), state.to_owned(), 9000, tickets));
    assert_eq!(shown, expected);
    // They were sold before seats had labels.
    for order in &orders {
        let labels = order.seats.iter().map(|seat| &*seat.label);
        assert!(
            labels.clone().all(|label| label.starts_with("s, row ")),
            "{labels:?}"
        );
        for ticket in order.tickets.iter().flatten() {
            assert!(ticket.place.label.starts_with("s, row "));
        }
    }
    let sales = seats.sales(&event).await.unwrap();
    let seats_of = [sales.available, sales.held, sales.booked, sales.blocked];
    assert_eq!(seats_of, [2, 4, 4, 0]);
}

#[tokio::test]
async fn a_postgres_database_of_version_0_1_0_is_brought_up_and_keeps_every_order() {
    let servers = shared_postgres();
    for server in [&servers.postgres, &servers.postgres_18] {
        let database = server.database();
        let record = "create schema fairline; create table fairline.migration (version integer primary key, sum text);";
        let partitions = "select fairline.make_partitions(1795659400000);";
        let script = [record, &SCHEMA_0_1_0.join(";"), ";", partitions, POSTGRES].concat();
        server.run(&database, &script).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(folder.path()).unwrap();
        // Once to bring it up, and once as it is then.
        for _ in 0..2 {
            let clock = Clock::manual(LEFT);
            let (seats, _) = open(&server.url(&database), &folder, clock).await.unwrap();
            everything_is_there(&seats).await;
        }
        let taken = "select count(*) from fairline._sqlx_migrations where success";
        assert_eq!(server.run(&database, taken).unwrap(), "32");
    }
}

#[tokio::test]
async fn a_sqlite_file_of_version_0_1_0_is_brought_up_and_keeps_every_order() {
    let folder = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(folder.path()).unwrap();
    let file = rusqlite::Connection::open(folder.join("inventory.sqlite")).unwrap();
    file.execute_batch(SQLITE).unwrap();
    drop(file);
    for _ in 0..2 {
        let (seats, _) = open("sqlite", &folder, Clock::manual(LEFT)).await.unwrap();
        everything_is_there(&seats).await;
    }
}
