//! The database goes back to a state before the newest commits: nodes notice it and drop what they
//! know.

use crate::away::until;
use crate::crowd::{admit, buy, event, hall, keys};
use checkout::inventory::{Inventory, Order, Postgres, Reader, Refused, Wish};
use shared::time::Clock;
use std::collections::HashSet;
use testkit::Switch;

async fn open(switch: &Switch, database: &str) -> Inventory {
    let port = switch.port();
    let url = format!("postgres://postgres@127.0.0.1:{port}/{database}");
    Inventory::from(Postgres::open(&url, Clock::system()).await.unwrap())
}

fn booked(node: &Inventory) -> u32 {
    node.seat_map(&event()).unwrap().current().counts[2]
}

fn seats(order: &Order) -> Vec<String> {
    let tickets = order.tickets.iter().flatten();
    tickets.map(|ticket| ticket.seat.clone()).collect()
}

async fn find(node: &Inventory, fan: u32, order: &Order) -> Result<Order, Refused> {
    node.show_order(Reader::Session(keys(fan)), &order.id).await
}

/// How the older state becomes the database.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// A replica that lagged is promoted.
    Failover,
    /// The same server is started on a copy of its files, made earlier.
    Restore,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_drop_what_they_know_after_a_failover_to_a_replica_that_lagged() {
    set_back(Way::Failover).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_drop_what_they_know_after_an_older_copy_of_the_files_is_restored() {
    set_back(Way::Restore).await;
}

async fn set_back(way: Way) {
    let mut primary = testkit::Postgres::start();
    let database = primary.database();
    let switch = Switch::to(primary.port());
    let nodes = [
        open(&switch, &database).await,
        open(&switch, &database).await,
    ];
    let both = [&nodes[0], &nodes[1]];
    nodes[0].set_seating(&event(), hall(300)).await.unwrap();
    let kept = buy(&nodes[0], 1).await.unwrap();
    until("the map", &both, async || {
        both.iter().all(|node| booked(node) == 2)
    })
    .await;
    let mut copy = match way {
        Way::Failover => primary.replica(),
        Way::Restore => primary.copy(),
    };
    copy.kill();

    // These are known to the nodes and the fans, and to no server any more.
    let mut lost = Vec::new();
    for fan in 2..=6 {
        lost.push((fan, buy(&nodes[fan as usize % 2], fan).await.unwrap()));
    }
    admit(&nodes[0], 7).await.unwrap();
    until("the map", &both, async || {
        both.iter().all(|node| booked(node) == 12)
    })
    .await;
    let shown = both.map(|node| node.seat_map(&event()).unwrap().current().version);
    primary.kill();
    copy.start_again();
    if way == Way::Failover {
        copy.promote();
    }
    switch.switch(copy.port());

    until("the map as it was", &both, async || {
        both.iter()
            .all(|node| !node.is_stale(&event()) && booked(node) == 2)
    })
    .await;
    for (node, shown) in both.iter().zip(shown) {
        let map = node.seat_map(&event()).unwrap().current();
        assert!(map.version > shown, "no version is shown twice");
        assert_eq!(find(node, 1, &kept).await.as_ref(), Ok(&kept));
        for (fan, order) in &lost {
            let found = find(node, *fan, order).await;
            assert!(found.is_err(), "the order is lost: {found:?}");
        }
    }
    sells_again(both, &kept, &lost).await;
}

/// Asserts that the seats of lost orders are sold at either node, no other seat twice, and both
/// show the same map.
async fn sells_again(both: [&Inventory; 2], kept: &Order, lost: &[(u32, Order)]) {
    // A session that was lost is opened again with its admission, and the seats of the lost orders
    // are sold, at either node.
    for (fan, order) in lost {
        let node = both[*fan as usize % 2];
        let wish = || Wish::Seats(seats(order));
        until("a hold on lost seats", &both, async || {
            admit(node, *fan).await.is_ok()
                && node.hold(keys(*fan), &event(), wish(), None).await.is_ok()
        })
        .await;
    }
    let mut sold: HashSet<String> = seats(kept).into_iter().collect();
    for fan in 8..500 {
        if let Ok(order) = buy(both[fan as usize % 2], fan).await {
            for seat in seats(&order) {
                assert!(sold.insert(seat.clone()), "{seat} was sold twice");
            }
        }
        if sold.len() == 30 {
            break;
        }
    }
    assert_eq!(sold.len(), 30, "all seats can be sold");
    until("the maps are one", &both, async || {
        let maps = both.map(|node| node.seat_map(&event()).unwrap().current());
        let sales = both[0].sales(&event()).await;
        maps[0].version == maps[1].version
            && maps[0].states == maps[1].states
            && sales.is_ok_and(|sales| [sales.held, sales.booked] == maps[0].counts[1..3])
            && maps[0].counts[2] >= 30
    })
    .await;
}
