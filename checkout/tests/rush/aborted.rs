//! Clients hang up at any moment, as impatient fans do.

use crate::crowd::{admit, buy, event, hall};
use checkout::inventory::{Inventory, Postgres};
use shared::time::Clock;
use std::time::Duration;
use testkit::shared_postgres;

const REQUESTS: u32 = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_that_are_dropped_half_way_leave_nothing_open() {
    let servers = shared_postgres();
    let database = servers.postgres.database();
    let direct = servers.postgres.url(&database);
    let seats = Inventory::from(Postgres::open(&direct, Clock::system()).await.unwrap());
    seats.set_seating(&event(), hall(30_000)).await.unwrap();
    admit(&seats, 0).await.unwrap();
    let idle = |servers: &testkit::Shared| {
        let count = "select count(*) from pg_stat_activity where state like 'idle in transaction%'
            and state_change < now() - interval '1 second'";
        servers.postgres.run(&database, count).unwrap()
    };
    for some in 0..REQUESTS / 500 {
        let asking: Vec<_> = (1..=500u32)
            .map(|at| {
                let (seats, fan) = (seats.clone(), some * 500 + at);
                let asking = tokio::spawn(async move { buy(&seats, fan).await.map(drop) });
                let micros = u64::from(u16::from_be_bytes(shared::crypto::random()) % 20_000);
                (asking, Duration::from_micros(micros))
            })
            .collect();
        let dropping = asking.into_iter().map(|(asking, after)| async move {
            tokio::time::sleep(after).await;
            asking.abort();
            let _ = asking.await;
        });
        futures_util::future::join_all(dropping).await;
        if some % 5 == 0 {
            assert_eq!(idle(&servers), "0");
        }
    }
    let order = tokio::time::timeout(Duration::from_secs(5), buy(&seats, REQUESTS + 1)).await;
    assert_eq!(
        order.unwrap().unwrap().state,
        "confirmed",
        "nothing is exhausted"
    );
    assert_eq!(idle(&servers), "0");
    let open = "select count(*) from pg_stat_activity where datname = current_database()";
    let open: u32 = servers
        .postgres
        .run(&database, open)
        .unwrap()
        .parse()
        .unwrap();
    assert!(open < 12, "{open} connections");
    let sums = "select count(*) filter (where state = 2) = (select count(*) from fairline.ticket) from fairline.seat";
    assert_eq!(servers.postgres.run(&database, sums).unwrap(), "t");
}
