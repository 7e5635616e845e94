//! The database is unreachable, split over several servers, or replicated.

use crate::crowd::{admit, buy, event, hall, keys};
use checkout::inventory::{
    Best, HoldState, Inventory, Invoicing, NewSession, Order, OrderPage, Postgres, Refused,
    RulesPatch, SessionKey, Wish,
};

use shared::group_commit::Unavailable;
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::time::Duration;

fn two() -> Wish {
    Wish::Best(Best {
        quantity: 2,
        ..Best::default()
    })
}

/// Publishes the maps repeatedly, as the service does, until a condition holds.
pub(crate) async fn until(what: &str, nodes: &[&Inventory], is_so: impl AsyncFn() -> bool) {
    let from = std::time::Instant::now();
    while !is_so().await {
        for node in nodes {
            let _ = node.publish().await;
        }
        assert!(
            from.elapsed() < Duration::from_secs(30),
            "{what} was not so in time"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_holds_are_refused_and_the_last_map_is_shown_as_stale() {
    for how in ["KILL", "STOP"] {
        let mut server = testkit::Postgres::start();
        let url = server.url(&server.database());
        let node = Inventory::from(Postgres::open(&url, Clock::system()).await.unwrap());
        node.set_seating(&event(), hall(300)).await.unwrap();
        buy(&node, 1).await.unwrap();
        admit(&node, 2).await.unwrap();
        let seat_map = node.seat_map(&event()).unwrap();
        until("the map", &[&node], async || {
            seat_map.current().counts[2] == 2
        })
        .await;
        assert!(!node.is_stale(&event()));
        if how == "KILL" {
            server.kill();
        } else {
            server.signal_backends("STOP");
        }
        for _ in 0..200 {
            let event = event();
            let asking = node.hold(keys(2), &event, two(), None);
            let refused = tokio::time::timeout(Duration::from_secs(6), asking).await;
            assert_eq!(refused.unwrap().unwrap_err(), Unavailable.into());
        }
        until("the map's age", &[&node], async || node.is_stale(&event())).await;
        assert_eq!(
            seat_map.current().counts,
            [298, 0, 2, 0],
            "the last one known"
        );
        if how == "KILL" {
            server.start_again();
        } else {
            server.signal_backends("CONT");
        }
        until(&format!("after {how} the map"), &[&node], async || {
            !node.is_stale(&event())
        })
        .await;
        until("a sale", &[&node], async || {
            node.hold(keys(2), &event(), two(), None).await.is_ok()
        })
        .await;
    }
}

#[tokio::test]
async fn a_plan_that_another_node_has_just_set_is_sold_from_at_once() {
    let servers = testkit::shared_postgres();
    let url = servers.postgres.url(&servers.postgres.database());
    let open = async || Inventory::from(Postgres::open(&url, Clock::system()).await.unwrap());
    let (node, there) = (open().await, open().await);
    let rules = RulesPatch::default();
    node.set_rules(&event(), rules).await.unwrap();
    admit(&there, 1).await.unwrap();
    let early = there.hold(keys(1), &event(), two(), None).await;
    assert_eq!(early.unwrap_err(), Refused::NoSuchEvent);
    // Nothing has told the other node, which polls when it publishes.
    node.set_seating(&event(), hall(300)).await.unwrap();
    let held = there.hold(keys(1), &event(), two(), None).await;
    assert_eq!(held.unwrap().value.seats.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_writes_is_not_ready_and_sells_again_once_it_does() {
    let server = testkit::Postgres::start();
    let database = server.database();
    let node = Postgres::open(&server.url(&database), Clock::system()).await;
    let node = Inventory::from(node.unwrap());
    node.set_seating(&event(), hall(300)).await.unwrap();
    admit(&node, 1).await.unwrap();
    node.sweep().await.unwrap();
    let alter = |change: &str| {
        server
            .run(&database, &format!("alter system {change}"))
            .unwrap();
        server.run(&database, "select pg_reload_conf()").unwrap();
    };
    alter("set default_transaction_read_only = on");
    until("a sweep that fails", &[&node], async || {
        node.sweep().await.is_err()
    })
    .await;
    let refused = node.hold(keys(1), &event(), two(), None).await;
    assert_eq!(refused.unwrap_err(), Unavailable.into());
    alter("reset default_transaction_read_only");
    until("a sweep", &[&node], async || node.sweep().await.is_ok()).await;
    until("a sale", &[&node], async || {
        node.hold(keys(1), &event(), two(), None).await.is_ok()
    })
    .await;
}

fn other() -> EventId {
    EventId::parse("other").unwrap()
}

async fn admit_other(node: &Inventory, fan: u32) -> SessionKey {
    let key = SessionKey {
        event: other(),
        ..keys(fan)[0].clone()
    };
    let opened = node.open_session(NewSession {
        key: key.hash,
        event: other(),
        visitor: VisitorId(fan.into()),
        number: 1,
        jti: format!("other-{fan}"),
        token: String::new(),
        expires_at: node.now().plus_seconds(3600),
        is_reported: true,
    });
    opened.await.unwrap();
    key
}

/// Starts two servers of Postgres, and returns them with the addresses of a database on each.
fn two_databases() -> ([testkit::Postgres; 2], String) {
    let servers = [testkit::Postgres::start(), testkit::Postgres::start()];
    let urls = servers
        .each_ref()
        .map(|server| server.url(&server.database()));
    (servers, urls.join(" "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_lie_on_several_databases_and_move_while_they_are_not_on_sale() {
    let (servers, urls) = two_databases();
    let node = Inventory::from(Postgres::open(&urls, Clock::system()).await.unwrap());
    let there = Inventory::from(Postgres::open(&urls, Clock::system()).await.unwrap());
    node.set_seating(&event(), hall(300)).await.unwrap();
    node.set_seating(&other(), hall(300)).await.unwrap();
    let shards = node.shards().await.unwrap();
    let events: Vec<usize> = shards.iter().map(|shard| shard.events.len()).collect();
    assert_eq!(events, [1, 1], "each has one");
    let order = buy(&node, 1).await.unwrap();
    let key = admit_other(&there, 1).await;
    let hold = there
        .hold(vec![key.clone()], &other(), two(), None)
        .await
        .unwrap();
    let shard_of = |event| {
        shards
            .iter()
            .find(|shard| shard.events.first() == Some(event))
    };
    let (from, to) = (shard_of(&other()).unwrap(), shard_of(&event()).unwrap());
    assert_eq!(
        node.move_event(&other(), &to.id).await,
        Err(Refused::OnSale)
    );
    assert_eq!(
        node.move_event(&other(), "shard_x").await,
        Err(Refused::NoSuchShard)
    );
    node.release(vec![key.clone()], &hold.value.id)
        .await
        .unwrap();
    node.end_session(vec![key.clone()], &other()).await.unwrap();
    node.move_event(&other(), &to.id).await.unwrap();
    until("the move", &[&there], async || {
        there
            .shards()
            .await
            .unwrap()
            .iter()
            .any(|shard| shard.events.len() == 2)
    })
    .await;
    let moved = there
        .show_hold(vec![key.clone()], &hold.value.id)
        .await
        .unwrap();
    assert_eq!(moved.state, HoldState::Released, "all of it is there");
    let both = vec![key, keys(1)[0].clone()];
    let own = there.own_orders(both.clone()).await.unwrap();
    assert_eq!(own, [order], "of all events");
    // The move was interrupted just before its end, and is requested again.
    for server in &servers {
        let cut = "update fairline.event set is_moving = true where event = 'other'";
        server.run("fl_0", cut).unwrap();
    }
    node.move_event(&other(), &to.id).await.unwrap();
    let fan = admit_other(&node, 2).await;
    node.hold(vec![fan.clone()], &other(), two(), None)
        .await
        .unwrap();
    node.end_session(vec![fan], &other()).await.unwrap();
    node.move_event(&other(), &from.id).await.unwrap();
    let fan = admit_other(&node, 3).await;
    let back = node.hold(vec![fan], &other(), two(), None).await;
    back.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_databases_is_away_and_the_others_go_on() {
    let (mut servers, urls) = two_databases();
    let node = Inventory::from(Postgres::open(&urls, Clock::system()).await.unwrap());
    node.set_seating(&event(), hall(300)).await.unwrap();
    node.set_seating(&other(), hall(300)).await.unwrap();
    let hold_for = async |seconds| {
        for event in [event(), other()] {
            let patch = RulesPatch {
                hold_seconds: Some(seconds),
                ..RulesPatch::default()
            };
            node.set_rules(&event, patch).await.unwrap();
        }
    };
    hold_for(1).await;
    let fan = admit_other(&node, 3).await;
    admit(&node, 4).await.unwrap();
    node.hold(vec![fan.clone()], &other(), two(), None)
        .await
        .unwrap();
    node.hold(keys(4), &event(), two(), None).await.unwrap();
    // The hold of the sale below lasts, however slow the machine is.
    hold_for(600).await;
    servers[1].kill();
    let away = node.hold(vec![fan], &other(), two(), None).await;
    let here = buy(&node, 3).await;
    match (away, here) {
        (Err(Refused::Unavailable(_)), Ok(_)) => {}
        // The second database may be the one with the first event.
        (Ok(_), Err(Refused::Unavailable(_))) => {}
        (away, here) => panic!("{away:?} {here:?}"),
    }
    until("a sweep of the living one", &[&node], async || {
        node.sweep()
            .await
            .is_ok_and(|swept| swept.seats_released == 2)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_from_a_replica_unless_it_lags() {
    let primary = testkit::Postgres::start();
    let database = primary.database();
    let replica = primary.replica();
    let copy = replica.url(&database).replace('%', "%25");
    let url = format!("{}?replicas={copy}", primary.url(&database));
    let node = Inventory::from(Postgres::open(&url, Clock::system()).await.unwrap());
    node.set_seating(&event(), hall(300)).await.unwrap();
    buy(&node, 1).await.unwrap();
    let asked = "select count(*) from pg_stat_activity where query like '%fairline.orders%' and pid <> pg_backend_pid()";
    until("a list from the replica", &[&node], async || {
        let orders = node.orders(&event(), &OrderPage::newest(10)).await.unwrap();
        orders.len() == 1 && replica.run(&database, asked).unwrap() != "0"
    })
    .await;
    replica
        .run(&database, "select pg_wal_replay_pause()")
        .unwrap();
    buy(&node, 2).await.unwrap();
    until("the lag", &[&node], async || {
        node.orders(&event(), &OrderPage::newest(10))
            .await
            .unwrap()
            .len()
            == 2
    })
    .await;
    assert_eq!(
        replica
            .run(&database, "select count(*) from fairline.orders")
            .unwrap(),
        "1"
    );
    assert_eq!(
        node.sales(&event()).await.unwrap().booked,
        4,
        "from the primary"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credit_notes_have_numbers_of_their_own_after_an_event_moved_to_another_database() {
    let (_servers, urls) = two_databases();
    let node = Inventory::from(Postgres::open(&urls, Clock::system()).await.unwrap());
    node.set_seating(&event(), hall(300)).await.unwrap();
    let invoicing = Invoicing {
        seller: "Arena".into(),
        tax_id: None,
        series: "ARENA".into(),
    };
    let rules = RulesPatch {
        invoicing: Some(Some(invoicing)),
        ..RulesPatch::default()
    };
    node.set_rules(&event(), rules).await.unwrap();
    let order = buy(&node, 1).await.unwrap();
    let refund = async || {
        let seat = order.seats[usize::from(numbers(&node, &order).await.len() > 1)]
            .id
            .clone();
        let event = event();
        let begun = node.begin_refund_of(&event, &order.id, Some(vec![seat.to_string()]));
        node.refunded(&begun.await.unwrap()).await.unwrap();
    };
    refund().await;
    let shards = node.shards().await.unwrap();
    let to = shards.iter().find(|shard| shard.events.is_empty()).unwrap();
    node.end_session(vec![keys(1)[0].clone()], &event())
        .await
        .unwrap();
    node.move_event(&event(), &to.id).await.unwrap();
    refund().await;
    let mut all = numbers(&node, &order).await;
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0].contains("-I-") && all[1..].iter().all(|number| number.contains("-C-")));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 3, "{all:?}");
}

async fn numbers(node: &Inventory, order: &Order) -> Vec<String> {
    let invoices = node.invoices(&order.event, &order.id).await.unwrap();
    invoices.into_iter().map(|invoice| invoice.number).collect()
}
