//! Statistics of tables that grew while connections had their plans.

use crate::bench::START;
use checkout::inventory::{Inventory, Postgres, layout};
use shared::ids::EventId;
use shared::time::Clock;
use std::time::{Duration, Instant};
use testkit::shared_postgres;

const ANALYZED: &str = "select last_analyze is not null from pg_stat_user_tables
    where schemaname = 'fairline' and relname = 'seat'";
/// Longest time until the database tells of new rows.
const TOLD_MAX: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_table_that_grew_is_analyzed() {
    let server = &shared_postgres().postgres;
    let database = server.database();
    let url = server.url(&database);
    let opened = Postgres::open(&url, Clock::manual(START)).await;
    let seats = Inventory::from(opened.unwrap());
    assert_eq!(server.run(&database, ANALYZED).unwrap(), "f");
    let plan = r#"{"categories": [{"id": "c", "name": "C", "price": 1}],
        "sections": [{"id": "s", "category": "c", "rows": 20, "seats_per_row": 20}]}"#;
    let layout = layout::parse(plan.as_bytes()).unwrap();
    let event = EventId::parse("night").unwrap();
    seats.set_seating(&event, layout).await.unwrap();
    let from = Instant::now();
    while server.run(&database, ANALYZED).unwrap() == "f" {
        assert!(from.elapsed() < TOLD_MAX, "no table was analyzed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let known = "select reltuples from pg_class where oid = 'fairline.seat'::regclass";
    assert_eq!(server.run(&database, known).unwrap(), "400");
}
