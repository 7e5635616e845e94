//! Tests of what only this engine has: its file.

mod growth;

use super::*;
use crate::inventory::Inventory;
use crate::inventory::layout::parse;

#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_with_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.sqlite");
    let old = Connection::open(&path).unwrap();
    let plan = r#"{"categories": [{"id": "c", "name": "C", "price": 10}],
        "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 3}]}"#;
    let seats = r#"[{"id": "s-A-1", "category": "c", "price": {"amount": 10, "currency": "EUR"}}]"#;
    let rules = r#"{"hold_seconds": 120, "hold_max_seconds": 600, "max_seats_per_order": 6, "max_seats_per_visitor": 6,
        "currency": "EUR"}"#;
    let visitor = format!("vis_{:032x}", 7);
    let rows = format!(
        "{}; pragma user_version = 1;
         insert into event values ('e', '{plan}', 1, '{rules}', x'00');
         insert into seat values ('e', 0, 2, 'hold_1', 'ord_1', '{visitor}'), ('e', 1, 1, 'hold_2', null, '{visitor}'),
             ('e', 2, 0, null, null, null);
         insert into session values (zeroblob(32), 'e', '{visitor}', 1, 'j', 't', 9000000000000, 0, 0);
         insert into hold values ('e', 'hold_1', zeroblob(32), '{visitor}', 'converted', '{seats}', 10, 'EUR', 1000, 2000),
             ('e', 'hold_2', zeroblob(32), '{visitor}', 'active', '{}', 10, 'EUR', 1000, 2000);
         insert into orders values ('e', 'ord_1', 'hold_1', '{visitor}', zeroblob(32), 'confirmed', '{seats}', 10, 'EUR',
             'N', 'n@example.org', null, 500, 2000);
         insert into payment values ('e', 'pay_1', 'ord_1', 1, 'captured', 10, 's', null, 600);
         insert into ticket values ('e', 'tix_1', 'ord_1', 0);",
        SETUP[0],
        seats.replace("A-1", "A-2")
    );
    old.execute_batch(&rows).unwrap();
    drop(old);
    let sqlite = Inventory::from(Sqlite::open(&path, Clock::manual(Time(900))).unwrap());
    let event = EventId::parse("e").unwrap();
    let keys = vec![SessionKey {
        event: event.clone(),
        hash: [0; 32],
    }];
    let orders = sqlite.own_orders(keys.clone()).await.unwrap();
    assert_eq!(orders[0].tickets.as_ref().unwrap()[0].seat, "s-A-1");
    let hold = sqlite.show_hold(keys, "hold_2").await.unwrap();
    assert_eq!(hold.state, HoldState::Active);
    let refund = sqlite.begin_refund(&event, "ord_1").await.unwrap();
    sqlite.refunded(&refund).await.unwrap();
    let sales = sqlite.sales(&event).await.unwrap();
    assert_eq!((sales.available, sales.held, sales.booked), (2, 1, 0));
    drop(sqlite);
    // Migrated once; the hold lapses as it would have before.
    let sqlite = Inventory::from(Sqlite::open(&path, Clock::manual(Time(1001))).unwrap());
    assert_eq!(sqlite.sweep().await.unwrap().seats_released, 1);
}

#[tokio::test]
async fn a_plan_that_could_not_be_committed_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.sqlite");
    let sqlite = Inventory::from(Sqlite::open(&path, Clock::manual(Time(900))).unwrap());
    // The commit notices that a deferred reference leads nowhere, as it may notice a full disk.
    let other = Connection::open(&path).unwrap();
    let break_commits = "create table parent (id integer primary key);
        create table child (parent references parent deferrable initially deferred);
        create trigger break_commits after insert on seat begin insert into child values (1); end";
    other.execute_batch(break_commits).unwrap();
    let event = EventId::parse("e").unwrap();
    let plan = br#"{"categories": [{"id": "c", "name": "C", "price": 10}],
        "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 3}]}"#;
    let layout = || parse(plan).unwrap();
    assert!(sqlite.set_seating(&event, layout()).await.is_err());
    assert!(sqlite.seat_map(&event).is_none());
    other.execute_batch("drop trigger break_commits").unwrap();
    sqlite.set_seating(&event, layout()).await.unwrap();
    assert_eq!(sqlite.seat_map(&event).unwrap().layout_version, 1);
}
