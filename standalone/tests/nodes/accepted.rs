//! Orders that are accepted while the store is slow, and made later: `Prefer: respond-async`.

use crate::seats::{admit, night};
use crate::site::{Node, Site, word};
use client::Client;
use hyper::{HeaderMap, Method};
use serde_json::{Value, json};
use shared::time::Time;
use std::time::{Duration, Instant};
use testkit::{OpenTransaction, Postgres};

/// A site with two checkouts on a Postgres.
struct Stage {
    server: Postgres,
    database: String,
    site: Site,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Stage {
    async fn open() -> Stage {
        let server = Postgres::start();
        let database = server.database();
        let shop = vec![("FAIRLINE_INVENTORY", server.url(&database))];
        let site = Site::of(vec![Vec::new()], vec![shop.clone(), shop]).await;
        night(&site, 2).await;
        Stage {
            server,
            database,
            site,
        }
    }

    /// Keeps everything from writing orders; reading them is possible.
    fn slow_down(&self) -> OpenTransaction {
        let lock = "lock table fairline.orders in share mode";
        self.server.begin(&self.database, lock)
    }

    /// Returns sessions, each with a hold on a seat.
    async fn holds(&self, count: usize) -> Vec<(String, String)> {
        let mut holds = Vec::new();
        for token in admit(&self.site.rooms[0], "night", count).await {
            let post = async |what: &str, bearer: &str, body: Value| {
                let path = format!("/api/v1/events/night/{what}");
                let checkout = &self.site.checkout.client;
                let answer = checkout.post(&path, bearer, body).await;
                answer.unwrap().ok().unwrap()
            };
            let session = word(&post("sessions", &token, json!({})).await["session"]);
            let wish = json!({"best_available": {"quantity": 1}});
            let hold = post("holds", &session, wish).await;
            holds.push((session, word(&hold["id"])));
        }
        holds
    }
}

async fn ask(node: &Node, session: &str, path: &str) -> Reply {
    send(&node.client, Method::GET, path, session, &[], Vec::new()).await
}

async fn order(node: &Node, session: &str, hold: &str, heads: &[(&str, &str)]) -> Reply {
    let body = json!({"hold": hold, "buyer": {"name": "Ada", "email": "ada@example.org"}});
    let (path, body) = ("/api/v1/orders", body.to_string().into_bytes());
    let heads = [heads, &[("content-type", "application/json")]].concat();
    send(&node.client, Method::POST, path, session, &heads, body).await
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    session: &str,
    heads: &[(&str, &str)],
    body: Vec<u8>,
) -> Reply {
    let bearer = format!("Bearer {session}");
    let heads = [heads, &[("authorization", bearer.as_str())]].concat();
    let answer = client.raw(method, path, &heads, body).await.unwrap();
    Reply {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: serde_json::from_slice(answer.body()).unwrap_or(Value::Null),
    }
}

/// Asks until the order is no longer pending.
async fn outcome(node: &Node, session: &str, path: &str) -> Reply {
    let from = Instant::now();
    loop {
        let reply = ask(node, session, path).await;
        if reply.status != 202 {
            return reply;
        }
        assert!(from.elapsed() < Duration::from_secs(40), "{}", reply.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn location(reply: &Reply) -> String {
    let location = reply.headers.get("location");
    location.unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_order_that_the_slow_store_takes_later_is_found_at_every_node_and_made_once() {
    let stage = Stage::open().await;
    let (here, there) = (&stage.site.checkout, &stage.site.checkouts[0]);
    let holds = stage.holds(1).await;
    let (session, hold) = &holds[0];
    let heads = [
        ("idempotency-key", "k1"),
        ("prefer", "respond-async, wait=0"),
    ];
    let slow = stage.slow_down();
    let accepted = order(here, session, hold, &heads).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    assert_eq!(accepted.headers["preference-applied"], "respond-async");
    assert_eq!(accepted.headers["retry-after"], "1");
    assert_eq!(accepted.body["state"], "pending");
    let (id, path) = (word(&accepted.body["id"]), location(&accepted));
    let until = word(&accepted.body["until"]);
    assert_eq!(path, format!("/api/v1/orders/{id}?until={until}"));
    assert!(Time::parse(&until).is_ok());
    // A second attempt is the same order.
    let again = order(there, session, hold, &heads).await;
    assert_eq!(
        (again.status, &again.body["id"]),
        (202, &accepted.body["id"])
    );
    for node in [here, there] {
        let waiting = ask(node, session, &path).await;
        assert_eq!((waiting.status, &waiting.body["id"]), (202, &json!(id)));
        assert_eq!(waiting.body["state"], "pending");
    }
    drop(slow);
    for node in [there, here] {
        let made = outcome(node, session, &path).await;
        assert_eq!((made.status, &made.body["state"]), (200, &json!("paying")));
        assert_eq!(made.body["id"], json!(id));
    }
    // Asked again without the preference, it is answered as made.
    let replayed = order(there, session, hold, &heads[..1]).await;
    assert_eq!((replayed.status, &replayed.body["id"]), (201, &json!(id)));
    assert_eq!(replayed.headers["idempotency-replayed"], "true");
    let own = ask(here, session, "/api/v1/orders").await.body;
    assert_eq!(own.as_array().unwrap().len(), 1);
    // One that is not made is pending no longer than it is tried.
    for (until, status) in [
        ("", 404),
        ("?until=2026-01-01T00:00:00Z", 404),
        ("?until=2100-01-01T00:00:00Z", 202),
    ] {
        let path = format!("/api/v1/orders/ord_{}{until}", "0".repeat(40));
        assert_eq!(ask(here, session, &path).await.status, status, "{until}");
    }
}

#[tokio::test]
async fn why_an_accepted_order_was_not_made_is_told_where_it_was_accepted() {
    let stage = Stage::open().await;
    let here = &stage.site.checkout;
    let holds = stage.holds(1).await;
    let (session, hold) = &holds[0];
    let prefer = ("prefer", "respond-async, wait=0");
    let slow = stage.slow_down();
    let first = order(here, session, hold, &[("idempotency-key", "k1"), prefer]).await;
    let second = order(here, session, hold, &[("idempotency-key", "k2"), prefer]).await;
    assert_eq!((first.status, second.status), (202, 202));
    assert_ne!(first.body["id"], second.body["id"]);
    drop(slow);
    let mut ends = Vec::new();
    for accepted in [&first, &second] {
        let end = outcome(here, session, &location(accepted)).await;
        ends.push((
            end.status,
            end.body["type"].clone(),
            end.body["order"].clone(),
        ));
    }
    // The store chooses the one that came first.
    ends.sort_by_key(|end| end.0);
    assert_eq!(ends[0].0, 200, "{ends:?}");
    assert_eq!(
        (ends[1].0, &ends[1].1),
        (409, &json!("/problems/hold-converted"))
    );
    let own = ask(here, session, "/api/v1/orders").await.body;
    assert_eq!(own[0]["id"], ends[1].2);
    assert_eq!(own.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_order_is_made_before_the_answer_where_the_store_is_quick_or_no_key_was_sent() {
    let stage = Stage::open().await;
    let here = &stage.site.checkout;
    let holds = stage.holds(2).await;
    let prefer = ("prefer", "respond-async, wait=4");
    let (session, hold) = &holds[0];
    let made = order(here, session, hold, &[("idempotency-key", "k1"), prefer]).await;
    assert_eq!((made.status, &made.body["state"]), (201, &json!("paying")));
    let (session, hold) = &holds[1];
    let made = order(here, session, hold, &[("prefer", "respond-async, wait=0")]).await;
    assert_eq!((made.status, &made.body["state"]), (201, &json!("paying")));
    // A refusal is the answer as well.
    let refused = order(here, session, hold, &[("idempotency-key", "k1"), prefer]).await;
    assert_eq!(
        (refused.status, &refused.body["type"]),
        (409, &json!("/problems/hold-converted"))
    );
}
