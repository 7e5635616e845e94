//! A sale whose events are compared with the outbox.

use super::inbox::{Event, Inbox};
use crate::seats::{admit, buy};
use crate::site::{KEY, Node};
use client::Client;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::{Postgres, free_port};

/// Longest wait for events, on a machine that does much else.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// A row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate: String,
    pub(crate) event_type: String,
}

const ROWS: &str = "select id, aggregatetype, aggregateid, type from outbox order by position";

/// Starts a program on SQLite that publishes its events.
pub(crate) fn start(folder: &Path, events: &str) -> Node {
    let settings = [("FAIRLINE_EVENTS", events.to_owned())];
    Node::new("fairline", folder, free_port(), &settings)
}

/// Puts an event on sale.
pub(crate) async fn open(node: &Node) {
    node.ready().await;
    let event = json!({"id": "night", "name": "The night", "admission":
        {"rate_per_minute": 600_000, "batch_seconds": 1, "max_active": 1000, "claim_seconds": 600}});
    let plan = json!({"categories": [{"id": "c", "name": "C", "price": 4500}],
        "sections": [{"id": "s", "category": "c", "rows": 20, "seats_per_row": 20}]});
    let made = node.client.create_event(KEY, &event, Some(plan)).await;
    made.unwrap();
}

/// Sells two seats to each of so many fans.
pub(crate) async fn sell(node: &mut Node, orders: usize) {
    // Its connections may have been closed while a broker was started.
    node.client = Client::new(&node.url);
    let tokens = admit(node, "night", orders).await;
    let clients: [Client; 1] = [node.client.clone()];
    for token in tokens {
        assert!(buy(&clients, "night", &token).await.is_some());
    }
}

/// Returns the rows of a program on SQLite.
pub(crate) fn rows(node: &Node) -> Vec<Row> {
    let store = Path::new(node.setting("FAIRLINE_DATA")).join("inventory.sqlite");
    let store = rusqlite::Connection::open(store).unwrap();
    let mut statement = store.prepare(ROWS).unwrap();
    let rows = statement.query_map([], |row| {
        Ok(Row {
            id: row.get(0)?,
            aggregate_type: row.get(1)?,
            aggregate: row.get(2)?,
            event_type: row.get(3)?,
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// Returns the rows of a database.
pub(crate) fn rows_of(server: &Postgres, database: &str) -> Vec<Row> {
    let sql = ROWS.replace("outbox", "fairline.outbox");
    let text = server
        .run(database, &format!("copy ({sql}) to stdout"))
        .unwrap();
    let row = |line: &str| {
        let mut words = line.split('\t').map(str::to_owned);
        let mut next = || words.next().unwrap();
        Row {
            id: next(),
            aggregate_type: next(),
            aggregate: next(),
            event_type: next(),
        }
    };
    text.lines().map(row).collect()
}

/// Waits until a consumer has all rows, of which there are some of each of these types, and checks
/// what it has.
pub(crate) async fn all_arrive(inbox: &mut Inbox, rows: impl Fn() -> Vec<Row>, url: &str) {
    let from = Instant::now();
    loop {
        inbox.collect().await;
        let rows = rows();
        let received = inbox.received.iter().map(|event| event.attribute("id"));
        let received: HashSet<&str> = received.collect();
        let missing = rows.iter().filter(|row| !received.contains(&*row.id));
        let missing: Vec<&Row> = missing.collect();
        if missing.is_empty() {
            for kind in ["order.confirmed", "ticket.issued"] {
                assert!(rows.iter().any(|row| row.event_type == kind), "{rows:?}");
            }
            check(&inbox.received, &rows, url);
            return;
        }
        let waited = from.elapsed();
        assert!(
            waited < ARRIVAL_MAX,
            "{} of {} are missing: {missing:?}",
            missing.len(),
            rows.len()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Checks that events are those of the rows, repeated at most as they were, and in order for each
/// aggregate.
fn check(received: &[Event], rows: &[Row], url: &str) {
    let by_id: HashMap<&str, &Row> = rows.iter().map(|row| (&*row.id, row)).collect();
    let mut first: HashMap<&str, &Event> = HashMap::new();
    let mut order: HashMap<(&str, &str), Vec<&str>> = HashMap::new();
    for event in received {
        let id = event.attribute("id");
        // Rows that came after they were read are checked by their own round.
        let Some(row) = by_id.get(id) else { continue };
        match first.get(id) {
            Some(before) => assert_eq!(**before, *event, "repeated as it was"),
            None => {
                check_event(event, row, url);
                first.insert(id, event);
                let aggregate = (&*row.aggregate_type, &*row.aggregate);
                order.entry(aggregate).or_default().push(id);
            }
        }
    }
    for (aggregate, ids) in order {
        let rows = rows.iter();
        let rows = rows.filter(|row| (&*row.aggregate_type, &*row.aggregate) == aggregate);
        let wanted: Vec<&str> = rows.map(|row| &*row.id).collect();
        assert_eq!(ids, wanted, "in order: {aggregate:?}");
    }
}

fn check_event(event: &Event, row: &Row, url: &str) {
    let attributes = [
        ("specversion", "1.0"),
        ("type", &row.event_type),
        ("source", url),
        ("subject", &row.aggregate),
    ];
    for (name, value) in attributes {
        assert_eq!(event.attribute(name), value, "{event:?}");
    }
    assert!(shared::time::Time::parse(event.attribute("time")).is_ok());
    assert_eq!(event.content_type, "application/json");
    assert_eq!(event.data["event"], "night", "{event:?}");
    assert!(event.data["schema"].is_u64(), "{event:?}");
    if let Some(key) = &event.key {
        assert_eq!(*key, row.aggregate);
        let topic = format!("fairline.{}/", row.aggregate_type);
        assert!(event.place.starts_with(&topic), "{event:?}");
    } else {
        assert!(event.place.ends_with(&row.event_type), "{event:?}");
    }
}

/// Returns the text of `/readyz` once it is as it should be, and that the node is ready.
pub(crate) async fn readyz(node: &Node, is_so: impl Fn(&str) -> bool) -> String {
    let operations = Client::new(&format!("http://{}", node.setting("FAIRLINE_OPS_LISTEN")));
    let from = Instant::now();
    loop {
        let answer = operations.raw(hyper::Method::GET, "/readyz", &[], Vec::new());
        if let Ok(answer) = answer.await {
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            if answer.status().is_success() && is_so(&text) {
                return text;
            }
            assert!(from.elapsed() < ARRIVAL_MAX, "{text}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns a number of `/metrics`.
pub(crate) async fn metric(node: &Node, series: &str) -> f64 {
    let operations = Client::new(&format!("http://{}", node.setting("FAIRLINE_OPS_LISTEN")));
    let answer = operations.raw(hyper::Method::GET, "/metrics", &[], Vec::new());
    let text = String::from_utf8_lossy(answer.await.unwrap().body()).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let value = line.unwrap_or_else(|| panic!("no {series}")).trim();
    value.parse().unwrap()
}

/// Returns the data of a row that no broker takes.
pub(crate) fn too_large() -> Value {
    json!({"schema": 1, "event": "night", "padding": "x".repeat(2_000_000)})
}
