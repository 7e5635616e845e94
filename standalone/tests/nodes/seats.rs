//! Several checkouts on one Postgres: whichever answers, whatever its clock says, and when they die
//! in the rush.

use crate::site::{CARD, KEY, Node, Site, word};
use crate::survive::off_by;
use client::Client;
use serde_json::{Value, json};
use shared::time::{Clock, Time};
use std::collections::HashSet;
use std::time::Duration;
use testkit::Postgres;

const ROUNDS: usize = 20;
const FANS: usize = 8;

async fn open(server: &Postgres, more: Vec<Vec<(&'static str, String)>>) -> Site {
    let url = server.url(&server.database());
    let shops = more.into_iter().map(|mut settings| {
        settings.push(("FAIRLINE_INVENTORY", url.clone()));
        settings
    });
    Site::of(vec![Vec::new()], shops.collect()).await
}

/// From a token to a confirmed order for two seats, at whichever nodes; none when some node did not
/// answer.
pub(crate) async fn buy(nodes: &[Client], event: &str, token: &str) -> Option<(String, Value)> {
    let mut at = usize::from(shared::crypto::random::<1>()[0]);
    let mut post = async |path: String, bearer: &str, body: Value| {
        at += 1;
        let answer = nodes[at % nodes.len()]
            .post(&path, bearer, body)
            .await
            .ok()?;
        answer.ok().ok()
    };
    let path = format!("/api/v1/events/{event}/sessions");
    let session = word(&post(path, token, json!({})).await?["session"]);
    let wish = json!({"best_available": {"quantity": 2}});
    let hold = post(format!("/api/v1/events/{event}/holds"), &session, wish).await?;
    let buyer = json!({"hold": hold["id"], "buyer": {"name": "Ada", "email": "ada@example.org"}});
    let order = post("/api/v1/orders".to_owned(), &session, buyer).await?;
    let payment = format!(
        "/api/v1/payments/simulated/{}",
        word(&order["payment"]["id"])
    );
    let paid = post(payment, &session, json!({"card": CARD})).await?;
    (paid["state"] == "confirmed").then_some((session, paid))
}

/// Joins at the waiting room itself: nginx allows an address only so many requests.
pub(crate) async fn admit(room: &Node, event: &str, count: usize) -> Vec<String> {
    let mut passes = Vec::new();
    for _ in 0..count {
        passes.push(word(&room.client.join(event).await.unwrap()["pass"]));
    }
    let mut tokens = Vec::new();
    let path = format!("/api/v1/events/{event}/line/me");
    for pass in passes {
        let from = std::time::Instant::now();
        loop {
            let place = room.client.get(&path, &pass).await.unwrap().body;
            if place["state"] == "admitted" {
                tokens.push(word(&place["token"]));
                break;
            }
            assert!(from.elapsed() < Duration::from_secs(20), "{place}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    tokens
}

pub(crate) async fn night(site: &Site, rows: usize) {
    let event = json!({"id": "night", "name": "The night", "admission":
        {"rate_per_minute": 600_000, "batch_seconds": 1, "max_active": 1000, "claim_seconds": 600}});
    let plan = json!({"categories": [{"id": "c", "name": "C", "price": 4500}],
        "sections": [{"id": "s", "category": "c", "rows": rows, "seats_per_row": 20}]});
    site.client
        .create_event(KEY, &event, Some(plan))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_checkout_whose_clock_is_five_minutes_off_changes_nothing() {
    let server = Postgres::start();
    let site = open(&server, vec![off_by(300), Vec::new(), off_by(-300)]).await;
    night(&site, 2).await;
    let nodes = [&site.checkout, &site.checkouts[0], &site.checkouts[1]];
    let tokens = admit(&site.rooms[0], "night", 6).await;
    for (token, node) in tokens.iter().zip(nodes.iter().cycle()) {
        let path = "/api/v1/events/night/sessions";
        let session = node
            .client
            .post(path, token, json!({}))
            .await
            .unwrap()
            .ok()
            .unwrap();
        let session = word(&session["session"]);
        let wish = json!({"best_available": {"quantity": 2}});
        let path = "/api/v1/events/night/holds";
        let hold = node
            .client
            .post(path, &session, wish)
            .await
            .unwrap()
            .ok()
            .unwrap();
        let left = Time::parse(&word(&hold["expires_at"])).unwrap().0 - Clock::system().now().0;
        assert!(
            (100_000..=121_000).contains(&left),
            "{left} ms of two minutes"
        );
    }
    // Nor does the sweep of a node that is ahead release what the others hold.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let sales = site
        .organise(hyper::Method::GET, "/events/night/sales", None)
        .await;
    assert_eq!(sales.body["held"], 12);
    let more = admit(&site.rooms[0], "night", 2).await;
    let clients: Vec<Client> = nodes.iter().map(|node| node.client.clone()).collect();
    for token in more {
        assert!(buy(&clients, "night", &token).await.is_some());
    }
    // nginx shows the log of each service.
    for (path, action) in [
        ("/audit", "event.create"),
        ("/audit/checkout", "seating.set"),
    ] {
        let log = site.organise(hyper::Method::GET, path, None).await.body;
        let of_action = |entry: &Value| entry["action"] == action;
        let count = log
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| of_action(it))
            .count();
        assert_eq!(count, 1, "{log}");
    }
}

#[tokio::test]
async fn every_order_that_was_acknowledged_is_there_however_often_a_node_is_killed() {
    let server = Postgres::start();
    let mut site = open(&server, vec![Vec::new(); 3]).await;
    night(&site, 40).await;
    let tokens = admit(&site.rooms[0], "night", ROUNDS * FANS).await;
    let mut bought: Vec<(String, Value)> = Vec::new();
    let mut unheard = 0;
    for (round, tokens) in tokens.chunks(FANS).enumerate() {
        let nodes = [&site.checkout, &site.checkouts[0], &site.checkouts[1]];
        let clients: Vec<Client> = nodes.iter().map(|node| node.client.clone()).collect();
        let mut buying = tokio::task::JoinSet::new();
        for token in tokens {
            let (clients, token) = (clients.clone(), token.clone());
            buying.spawn(async move { buy(&clients, "night", &token).await });
        }
        let millis = u64::from(shared::crypto::random::<1>()[0] % 30);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let node = match round % 3 {
            0 => &mut site.checkout,
            at => &mut site.checkouts[at - 1],
        };
        node.kill();
        node.start();
        for outcome in buying.join_all().await {
            match outcome {
                Some(order) => bought.push(order),
                None => unheard += 1,
            }
        }
        node.ready().await;
    }
    assert!(
        !bought.is_empty() && unheard > 0,
        "killed in the rush: {} and {unheard}",
        bought.len()
    );
    let mut sold = HashSet::new();
    for (session, order) in &bought {
        let path = format!("/api/v1/orders/{}", word(&order["id"]));
        let found = site.checkouts[1]
            .client
            .get(&path, session)
            .await
            .unwrap()
            .body;
        assert_eq!(found["state"], "confirmed");
        for ticket in found["tickets"].as_array().unwrap() {
            assert!(
                sold.insert(word(&ticket["seat"])),
                "{} was sold twice",
                ticket["seat"]
            );
        }
    }
    let path = "/api/v1/organiser/events/night/sales";
    let sales = site.checkout.client.get(path, KEY).await.unwrap().body;
    let count = |name: &str| sales[name].as_u64().unwrap();
    assert!(count("booked") as usize >= sold.len());
    assert_eq!(count("available") + count("held") + count("booked"), 800);
    assert_eq!(
        sales["orders"]["confirmed"].as_u64().unwrap() * 2,
        count("booked")
    );
}
