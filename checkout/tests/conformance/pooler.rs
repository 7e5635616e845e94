//! PgBouncer in transaction mode. Behind one in session mode runs every test of this suite.

use crate::bench::{Client, START, hall};
use checkout::inventory::{Block, Inventory, OrderPage, Postgres, RulesPatch, layout};
use shared::ids::EventId;
use shared::time::Clock;
use std::sync::Arc;
use testkit::{PgBouncer, Shared, shared_postgres};

const CLIENTS: usize = 16;
const STATEMENTS: usize = 10_000;

/// Returns the URL of a database behind PgBouncer, with its own address.
fn behind_a_pooler(servers: &Shared, database: &str) -> String {
    let direct = servers.postgres.url(database).replace('%', "%25");
    let pooler = servers.transaction_bouncer.url(database);
    format!("{pooler}?listen={direct}")
}

#[tokio::test]
async fn a_pooler_in_front_of_a_database_is_refused_without_the_databases_own_address() {
    let servers = shared_postgres();
    let database = servers.postgres.database();
    let url = servers.transaction_bouncer.url(&database);
    let error = Postgres::open(&url, Clock::manual(START)).await.err();
    let error = error.unwrap();
    let peer = url.rsplit_once('@').unwrap().1;
    assert!(error.contains("`listen=`"), "{error}");
    assert!(error.contains(peer), "{error}");
    let tables = "select count(*) from pg_tables where schemaname = 'fairline'";
    assert_eq!(servers.postgres.run(&database, tables).unwrap(), "0");
}

/// Two events whose rules and figures differ.
async fn events(seats: &Inventory) -> [EventId; 2] {
    let mut events = Vec::new();
    for count in [1, 2] {
        let event = EventId::parse(&format!("event-{count}")).unwrap();
        let plan = format!(
            r#"{{"categories": [{{"id": "c", "name": "C", "price": 1}}],
                "sections": [{{"id": "s", "category": "c", "rows": 1, "seats_per_row": {count}}}]}}"#
        );
        let layout = layout::parse(plan.as_bytes()).unwrap();
        seats.set_seating(&event, layout).await.unwrap();
        let patch = RulesPatch {
            hold_seconds: Some(100 + count),
            ..RulesPatch::default()
        };
        seats.set_rules(&event, patch).await.unwrap();
        events.push(event);
    }
    events.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_clients_behind_a_pooler_never_get_the_answer_to_another_statement() {
    let servers = shared_postgres();
    let url = behind_a_pooler(&servers, &servers.postgres.database());
    let postgres = Postgres::open(&url, Clock::manual(START)).await.unwrap();
    let seats = Inventory::from(postgres);
    let events = Arc::new(events(&seats).await);
    let client = |client: usize| {
        let (seats, events) = (seats.clone(), events.clone());
        async move {
            let mut wrong = 0;
            for number in 0..STATEMENTS / CLIENTS {
                let at = (client + number) % 2;
                let (event, count) = (&events[at], at as u32 + 1);
                let is_right = match (client + number) % 3 {
                    0 => seats.rules(event).await.unwrap().hold_seconds == 100 + count,
                    1 => seats.sales(event).await.unwrap().capacity == count,
                    _ => seats
                        .orders(event, &OrderPage::newest(1))
                        .await
                        .unwrap()
                        .is_empty(),
                };
                wrong += u32::from(!is_right);
            }
            wrong
        }
    };
    let clients = (0..CLIENTS).map(|number| tokio::spawn(client(number)));
    let wrong = futures_util::future::join_all(clients).await;
    let wrong: u32 = wrong.into_iter().map(Result::unwrap).sum();
    assert_eq!(wrong, 0);
}

#[tokio::test]
async fn a_pooler_whose_servers_are_all_taken_keeps_no_node_from_selling() {
    let servers = shared_postgres();
    let database = servers.postgres.database();
    // As many transactions as the pooler has servers: whoever asks it now waits.
    let mut others = Vec::new();
    for _ in 0..PgBouncer::SERVERS {
        let mut other = Client::connect(&servers.transaction_bouncer.url(&database)).await;
        other.run("begin").await;
        others.push(other);
    }
    let url = behind_a_pooler(&servers, &database);
    let postgres = Postgres::open(&url, Clock::manual(START)).await.unwrap();
    let seats = Inventory::from(postgres);
    let event = EventId::parse("arena").unwrap();
    seats.set_seating(&event, hall()).await.unwrap();
    let block = seats.block(&event, vec!["st-A-1".into()], Block::Block, None);
    block.await.unwrap();
    assert_eq!(seats.sales(&event).await.unwrap().capacity, 16);
}
