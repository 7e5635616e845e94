//! Limits that all nodes share.

use crate::site::{KEY, Node, Site, word};
use client::Client;
use hyper::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn an_address_is_given_no_more_places_by_three_nodes_than_by_one() {
    let limited = || vec![("FAIRLINE_JOINS_PER_MINUTE", "30".to_owned())];
    let site = Site::with(vec![limited(), limited(), limited()]).await;
    site.event("arena", json!({"rate_per_minute": 0})).await;
    let path = "/api/v1/events/arena/line";
    site.until("/api/v1/events/arena", "", |event| event["phase"] == "open")
        .await;
    let join = async |node: usize, address: &str| {
        let heads = [
            ("x-forwarded-for", address),
            ("content-type", "application/json"),
        ];
        let client = &site.rooms[node % 3].client;
        let answer = client.raw(Method::POST, path, &heads, b"{}".to_vec()).await;
        answer.unwrap().status().as_u16()
    };
    let mut given = 0;
    for node in 0..90 {
        given += usize::from(join(node, "198.51.100.7").await == 201);
    }
    // One more each two seconds, should it take that long.
    assert!((30..36).contains(&given), "{given} places");
    for node in 0..3 {
        assert_eq!(join(node, "198.51.100.8").await, 201, "a neighbour");
    }
    // Nodes that know of nothing yet agree on what others gave.
    let mut given = 0;
    for node in 0..3 {
        for _ in 0..30 {
            given += usize::from(join(node, "2001:db8::7").await == 201);
        }
    }
    assert!(given < 50, "{given} places");
}

#[tokio::test]
async fn an_address_has_no_more_places_and_fans_who_hold_seats_at_many_nodes_than_at_one() {
    let server = testkit::Postgres::start();
    let url = server.url(&server.database());
    let room = || vec![("FAIRLINE_PLACES_PER_ADDRESS", "20".to_owned())];
    let shop = || {
        vec![
            ("FAIRLINE_SEAT_HOLDERS_PER_ADDRESS", "8".to_owned()),
            ("FAIRLINE_INVENTORY", url.clone()),
        ]
    };
    let site = Site::of(vec![room(), room(), room()], vec![shop(), shop()]).await;
    let settings = json!({"id": "arena", "name": "Arena",
        "admission": {"rate_per_minute": 6_000_000, "batch_seconds": 1, "max_active": 1000}});
    let plan = json!({"categories": [{"id": "c", "name": "C", "price": 100}],
        "areas": [{"id": "floor", "category": "c", "capacity": 200}]});
    let made = site.client.create_event(KEY, &settings, Some(plan)).await;
    made.unwrap();
    let address = "198.51.100.7".parse().unwrap();
    let of = |node: &Node| node.client.forwarded_for(address);
    let rooms: Vec<Client> = site.rooms.iter().map(of).collect();
    let shops = [of(&site.checkout), of(&site.checkouts[0])];
    site.until("/api/v1/events/arena", "", |event| event["phase"] == "open")
        .await;
    let line = "/api/v1/events/arena/line";
    let mut passes = Vec::new();
    for at in 0..60 {
        let answer = rooms[at % 3].post(line, "", json!({})).await.unwrap();
        match answer.status.as_u16() {
            201 => passes.push(word(&answer.body["pass"])),
            _ => assert_eq!(answer.body["type"], "/problems/too-many-places"),
        }
    }
    assert_eq!(passes.len(), 20);
    let mut holding = 0;
    for (at, pass) in passes.iter().enumerate() {
        let is_admitted = |place: &Value| place["state"] == "admitted";
        let place = site.until(&format!("{line}/me"), pass, is_admitted).await;
        let shop = &shops[at % 2];
        let path = "/api/v1/events/arena/sessions";
        let session = shop.post(path, &word(&place["token"]), json!({})).await;
        let session = word(&session.unwrap().body["session"]);
        let wish = json!({"best_available": {"quantity": 1}});
        let held = shop
            .post("/api/v1/events/arena/holds", &session, wish)
            .await;
        let held = held.unwrap();
        match held.status.as_u16() {
            201 => holding += 1,
            _ => assert_eq!(held.body["type"], "/problems/too-many-seat-holders"),
        }
    }
    assert_eq!(holding, 8);
}

/// Asks a node once, and returns the number of requests that it did not refuse for their number.
async fn ask(node: &Node, path: &str, head: (&str, &str)) -> u32 {
    let answer = node.client.raw(Method::GET, path, &[head], vec![]).await;
    match answer.unwrap().status().as_u16() {
        200 => 1,
        429 => 0,
        status => panic!("{status}"),
    }
}

/// Asks two nodes in turn for some seconds. Returns the number of requests that were not refused, and
/// the seconds that it took.
async fn flood(nodes: [&Node; 2], path: &str, head: (&str, &str), seconds: u64) -> (u32, f64) {
    let began = Instant::now();
    let mut answered = 0;
    while began.elapsed().as_secs() < seconds {
        for node in nodes {
            answered += ask(node, path, head).await;
        }
    }
    (answered, began.elapsed().as_secs_f64())
}

#[tokio::test]
async fn requests_of_an_address_are_limited_by_the_nodes_of_a_store_together() {
    let server = testkit::Postgres::start();
    let url = server.url(&server.database());
    let limit = || ("FAIRLINE_REQUESTS_PER_SECOND", "10".to_owned());
    let shop = || vec![limit(), ("FAIRLINE_INVENTORY", url.clone())];
    let site = Site::of(vec![vec![limit()], vec![limit()]], vec![shop(), shop()]).await;
    let rooms = [&site.rooms[0], &site.rooms[1]];
    let shops = [&site.checkout, &site.checkouts[0]];
    for nodes in [rooms, shops] {
        let path = "/api/v1/currencies";
        let from = |address| ("x-forwarded-for", address);
        let (answered, seconds) = flood(nodes, path, from("198.51.100.7"), 4).await;
        // Twenty at once at each node, and from then on ten a second of both.
        let most = 40.0 + 12.0 * seconds;
        let is_limited = (20.0..most).contains(&f64::from(answered));
        assert!(is_limited, "{answered} requests, at most {most}");
        for node in nodes {
            assert_eq!(
                ask(node, path, from("198.51.100.8")).await,
                1,
                "a neighbour"
            );
        }
    }
}

#[tokio::test]
async fn requests_of_a_visitor_are_limited_by_the_nodes_of_a_store_together() {
    let server = testkit::Postgres::start();
    let url = server.url(&server.database());
    let limit = || ("FAIRLINE_VISITOR_REQUESTS_PER_SECOND", "10".to_owned());
    let shop = || vec![limit(), ("FAIRLINE_INVENTORY", url.clone())];
    let site = Site::of(vec![vec![limit()], vec![limit()]], vec![shop(), shop()]).await;
    let settings = json!({"id": "arena", "name": "Arena",
        "admission": {"rate_per_minute": 6_000_000, "batch_seconds": 1, "max_active": 1000}});
    let plan = json!({"categories": [{"id": "c", "name": "C", "price": 100}],
        "areas": [{"id": "floor", "category": "c", "capacity": 200}]});
    let made = site.client.create_event(KEY, &settings, Some(plan)).await;
    made.unwrap();
    let [(ada_pass, ada_token), (ben_pass, ben_token)] =
        [site.admit("arena").await, site.admit("arena").await];
    let sessions = "/api/v1/events/arena/sessions";
    let session = async |token: &str| {
        let opened = site.checkout.client.post(sessions, token, json!({})).await;
        word(&opened.unwrap().body["session"])
    };
    let (ada, ben) = (session(&ada_token).await, session(&ben_token).await);
    let rooms = [&site.rooms[0], &site.rooms[1]];
    let shops = [&site.checkout, &site.checkouts[0]];
    let me = "/api/v1/events/arena/line/me";
    for (nodes, path, visitor, other) in [
        (rooms, me, &ada_pass, &ben_pass),
        (shops, sessions, &ada, &ben),
    ] {
        let [visitor, other] = [visitor, other].map(|bearer| format!("Bearer {bearer}"));
        let (answered, seconds) = flood(nodes, path, ("authorization", &visitor), 6).await;
        // Thirty at once at each node, and from then on ten a second of both.
        let most = 60.0 + 12.0 * seconds;
        let is_limited = (30.0..most).contains(&f64::from(answered));
        assert!(is_limited, "{answered} requests, at most {most}: {path}");
        for node in nodes {
            let answered = ask(node, path, ("authorization", &other)).await;
            assert_eq!(answered, 1, "another fan");
        }
    }
}

#[tokio::test]
async fn lists_of_orders_are_asked_for_at_the_checkouts_of_a_store_together() {
    let server = testkit::Postgres::start();
    let url = server.url(&server.database());
    let mail = testkit::SmtpServer::start().await;
    let shop = || {
        vec![
            ("FAIRLINE_INVENTORY", url.clone()),
            ("FAIRLINE_SMTP", mail.url(1)),
            ("FAIRLINE_MAIL_FROM", "tickets@arena.example".to_owned()),
        ]
    };
    let site = Site::of(vec![vec![]], vec![shop(), shop()]).await;
    let ask = async |node: &Node| {
        let heads = [
            ("x-forwarded-for", "198.51.100.7"),
            ("content-type", "application/json"),
        ];
        let body = br#"{"email": "ada@example.org"}"#.to_vec();
        let path = "/api/v1/orders/find";
        let answer = node.client.raw(Method::POST, path, &heads, body).await;
        answer.unwrap().status().as_u16()
    };
    let mut taken = 0;
    while ask(&site.checkout).await == 202 {
        taken += 1;
        assert!(taken <= 20, "an hour has not passed");
    }
    assert_eq!(taken, 20);
    // The other checkout learns of it once it reports what it counted, behind the requests.
    let mut more = 0;
    while ask(&site.checkouts[0]).await == 202 {
        more += 1;
        assert!(more < 20, "it counts for itself");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn wrong_keys_are_counted_by_the_nodes_of_a_store_together() {
    let server = testkit::Postgres::start();
    let url = server.url(&server.database());
    let shop = || vec![("FAIRLINE_INVENTORY", url.clone())];
    let site = Site::of(vec![vec![]; 3], vec![shop(), shop(), shop()]).await;
    let rooms: Vec<&Client> = site.rooms.iter().map(|node| &node.client).collect();
    let shops = [&site.checkout, &site.checkouts[0], &site.checkouts[1]];
    let shops = shops.map(|node| &node.client).to_vec();
    let list = "/api/v1/organiser/events";
    let orders = "/api/v1/organiser/events/arena/orders";
    for (nodes, path) in [(rooms, list), (shops, orders)] {
        let compared = async |address: &str, at: usize, key: &str| {
            let key = format!("Bearer {key}");
            let heads = [("x-forwarded-for", address), ("authorization", &key)];
            let answer = nodes[at % 3].raw(Method::GET, path, &heads, vec![]).await;
            match answer.unwrap().status().as_u16() {
                401 => 1,
                429 => 0,
                status => panic!("{status}"),
            }
        };
        let mut all = 0;
        for at in 0..60 {
            all += compared("198.51.100.7", at, &format!("guess-number-{at:08}")).await;
        }
        assert!((20..=22).contains(&all), "{all} guesses of an address");
        for at in 0..600 {
            let address = format!("203.0.{}.7", at % 50);
            all += compared(&address, at, &format!("other-guess-{at:08}")).await;
        }
        // Beyond the limit each network has one guess at each node.
        assert!((200..360).contains(&all), "{all} guesses in all");
    }
}
