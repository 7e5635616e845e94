//! A night through nginx: the line on several nodes, the seats in another process, either side away
//! for a while.

use crate::site::{KEY, Site, word};
use client::{Client, next};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn open_doors() -> Value {
    json!({"rate_per_minute": 60_000, "batch_seconds": 1, "max_active": 100})
}

#[tokio::test]
async fn a_fan_goes_from_the_line_to_the_ticket_whichever_node_answers() {
    let site = Site::open(3).await;
    site.event("arena", open_doors()).await;
    let (pass, token) = site.admit("arena").await;
    // Every node knows the place, and gives the same token.
    for room in &site.rooms {
        let place = room
            .client
            .get("/api/v1/events/arena/line/me", &pass)
            .await
            .unwrap();
        assert_eq!(place.body["token"], token.as_str());
    }
    let mut socket = site.client.watch("arena", &pass).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap()["type"], "place");
    let order = site.buy("arena", &token).await;
    assert_eq!(order["tickets"].as_array().unwrap().len(), 1);
    // The slot went back: the checkout said so, by nginx.
    let path = "/api/v1/events/arena/line/me";
    site.until(path, &pass, |place| place["state"] == "finished")
        .await;
    let line = "/api/v1/events/arena";
    site.until(line, "", |event| event["availability"]["booked"] == 1)
        .await;
    // The pages come from where they belong, and are compressed.
    for (page, has) in [("/e/arena", "queue.js"), ("/e/arena/seats", "seats.js")] {
        let answer = site
            .client
            .raw(Method::GET, page, &[], Vec::new())
            .await
            .unwrap();
        assert!(
            String::from_utf8_lossy(answer.body()).contains(has),
            "{page}"
        );
    }
    let heads = [("accept-encoding", "gzip")];
    let script = site
        .client
        .raw(Method::GET, "/static/queue.js", &heads, Vec::new())
        .await;
    assert_eq!(script.unwrap().headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn more_time_to_shop_is_asked_of_the_other_process() {
    let site = Site::open(2).await;
    site.event("arena", open_doors()).await;
    let (_, token) = site.admit("arena").await;
    let post = async |path: &str, bearer: &str| {
        let path = format!("/api/v1/events/arena/{path}");
        site.client.post(&path, bearer, json!({})).await.unwrap()
    };
    let opened = post("sessions", &token).await.ok().unwrap();
    assert_eq!(opened["extension_seconds"], 300);
    let session = word(&opened["session"]);
    let extended = post("sessions/extend", &session).await.ok().unwrap();
    let by_token = post("admission/extend", &token).await.ok().unwrap();
    assert_eq!(extended["expires_at"], by_token["expires_at"]);
    let again = post("sessions/extend", &session).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{again:?}");
}

#[tokio::test]
async fn what_is_changed_on_one_node_holds_on_all_with_their_next_tick() {
    let site = Site::open(3).await;
    site.event("arena", open_doors()).await;
    let change = json!({"paused": true, "message": "One moment, please"});
    let changed = site.rooms[0].client.call(
        Method::PATCH,
        "/api/v1/organiser/events/arena",
        KEY,
        Some(change),
    );
    assert_eq!(changed.await.unwrap().status, StatusCode::OK);
    let from = Instant::now();
    for room in &site.rooms {
        loop {
            let event = room
                .client
                .get("/api/v1/events/arena", "")
                .await
                .unwrap()
                .body;
            if event["phase"] == "paused" && event["message"] == "One moment, please" {
                break;
            }
            assert!(from.elapsed() < Duration::from_secs(5), "{event}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    // Every reader, on every node, sees the same log.
    for room in &site.rooms {
        let log = room
            .client
            .get("/api/v1/organiser/audit", KEY)
            .await
            .unwrap()
            .body;
        let actions: Vec<&Value> = log
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["event"] == "arena")
            .map(|entry| &entry["action"])
            .collect();
        assert_eq!(actions, ["event.update", "event.create"]);
    }
    // A creation that is asked for again, at another node, is answered as the first was.
    let body = json!({"id": "later", "name": "Later"})
        .to_string()
        .into_bytes();
    let bearer = format!("Bearer {KEY}");
    let heads = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", "one"),
    ];
    for (room, is_replayed) in [(0, false), (1, true), (2, true)] {
        let path = "/api/v1/organiser/events";
        let answer = site.rooms[room]
            .client
            .raw(Method::POST, path, &heads, body.clone())
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        assert_eq!(
            answer.headers().contains_key("idempotency-replayed"),
            is_replayed
        );
    }
}

#[tokio::test]
async fn sockets_of_one_fan_at_two_nodes_both_go_on() {
    let site = Site::open(2).await;
    site.event("arena", json!({"rate_per_minute": 0})).await;
    let place = site.client.join("arena").await.unwrap();
    let pass = word(&place["pass"]);
    let mut first = site.rooms[0].client.watch("arena", &pass).await.unwrap();
    assert_eq!(next(&mut first).await.unwrap()["type"], "place");
    let mut second = site.rooms[1].client.watch("arena", &pass).await.unwrap();
    assert_eq!(next(&mut second).await.unwrap()["type"], "place");
    let change = json!({"message": "still there?"});
    site.organise(Method::PATCH, "/events/arena", Some(change))
        .await
        .ok()
        .unwrap();
    for socket in [&mut first, &mut second] {
        let told = tokio::time::timeout(Duration::from_secs(5), async {
            while next(socket).await.unwrap()["message"] != "still there?" {}
        });
        assert!(told.await.is_ok());
    }
}

#[tokio::test]
async fn either_side_may_be_away_and_the_other_goes_on() {
    let mut site = Site::open(2).await;
    site.event("arena", open_doors()).await;
    let (first_pass, first) = site.admit("arena").await;
    let (second_pass, second) = site.admit("arena").await;
    // The waiting room is away: who was let in still buys.
    for room in &mut site.rooms {
        room.kill();
    }
    let order = site.buy("arena", &first).await;
    assert_eq!(order["state"], "confirmed");
    for room in &mut site.rooms {
        room.start();
        room.ready().await;
    }
    // The pending reports are delivered when it is back: the start and the end.
    let me = "/api/v1/events/arena/line/me";
    site.until(me, &first_pass, |place| place["state"] == "finished")
        .await;
    // The checkout is away: everyone keeps their place, and who has a turn keeps it.
    site.checkout.kill();
    let place = site.client.join("arena").await.unwrap();
    assert_eq!(place["state"], "waiting");
    let turned = site
        .client
        .post("/api/v1/events/arena/sessions", &second, json!({}))
        .await
        .unwrap();
    assert_eq!(turned.status, StatusCode::BAD_GATEWAY);
    site.checkout.start();
    site.checkout.ready().await;
    assert_eq!(site.buy("arena", &second).await["state"], "confirmed");
    site.until(me, &second_pass, |place| place["state"] == "finished")
        .await;
}

#[tokio::test]
async fn while_redis_is_away_nobody_is_lost_and_checkouts_go_on() {
    let mut site = Site::open(2).await;
    site.event("arena", open_doors()).await;
    let (_, token) = site.admit("arena").await;
    let change = json!({"admission": {"rate_per_minute": 0}});
    site.organise(Method::PATCH, "/events/arena", Some(change))
        .await
        .ok()
        .unwrap();
    let place = site.client.join("arena").await.unwrap();
    let pass = word(&place["pass"]);
    let mut socket = site.client.watch("arena", &pass).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap()["stale"], false);
    site.redis.kill();
    let from = Instant::now();
    let answer = site
        .client
        .raw(Method::POST, "/api/v1/events/arena/line", &[], Vec::new())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(from.elapsed() < Duration::from_secs(5), "no hang");
    // The socket stays open, and says so.
    let told = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            let message = next(&mut socket).await.expect("the socket stays open");
            if message["stale"] == true {
                return message;
            }
        }
    });
    assert_eq!(told.await.unwrap()["number"], place["number"]);
    assert_eq!(site.buy("arena", &token).await["state"], "confirmed");
    // Back, and empty: the place is there again.
    site.redis.start_again();
    let told = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            let message = next(&mut socket).await.expect("the socket stays open");
            if message["stale"] == false {
                return message;
            }
        }
    });
    assert_eq!(told.await.unwrap()["number"], place["number"]);
    let me = "/api/v1/events/arena/line/me";
    let again = site
        .until(me, &pass, |place| place["state"] == "waiting")
        .await;
    assert_eq!(again["number"], place["number"]);
}

#[tokio::test]
async fn nginx_holds_back_who_asks_too_much_and_passes_the_address_on() {
    let site = Site::open(1).await;
    site.event("arena", open_doors()).await;
    // Thirty at a time, so that only their number in all is too much: 200 at once and 100 a second
    // are let through.
    use futures_util::StreamExt as _;
    let from = Instant::now();
    let asked = futures_util::stream::iter(0..900)
        .map(|_| site.client.get("/api/v1/events/arena", ""))
        .buffer_unordered(30);
    let answers: Vec<_> = asked.collect().await;
    let status = |wanted: u16| {
        let same = answers
            .iter()
            .flatten()
            .filter(|answer| answer.status.as_u16() == wanted);
        same.count()
    };
    let most = 202 + (from.elapsed().as_secs_f64() * 100.0) as usize;
    assert!(
        status(200) >= 200 && status(200) <= most,
        "{} of {most}",
        status(200)
    );
    assert_eq!(status(200) + status(429), 900);
    // A header that the client made up is not believed: the last hop's is.
    let alone = Client::new(&site.url);
    let heads = [("x-forwarded-for", "203.0.113.9")];
    let from = Instant::now();
    loop {
        let answer = alone
            .raw(Method::GET, "/api/v1/events/arena", &heads, Vec::new())
            .await
            .unwrap();
        if answer.status() == StatusCode::OK {
            break;
        }
        assert!(from.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // More than fifty sockets of one address are too many.
    let mut open = Vec::new();
    for _ in 0..60 {
        sleep_a_little().await;
        let place = site.rooms[0].client.join("arena").await.unwrap();
        let pass = word(&place["pass"]);
        if let Ok(socket) = site.client.watch("arena", &pass).await {
            open.push(socket);
        }
    }
    assert!((1..=50).contains(&open.len()), "{} are open", open.len());
}

/// Slower than the limit on requests, so that only the one on connections speaks.
async fn sleep_a_little() {
    tokio::time::sleep(Duration::from_millis(15)).await;
}
