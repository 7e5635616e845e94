//! An event is deleted by the line and the seats together, or not at all; and a payment outlives
//! the node that asked for it.

use crate::site::{CARD, KEY, Site, word};
use client::{Answer, Client};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::Postgres;

const LATE_CARD: &str = "4000000000000259";

fn open_doors() -> Value {
    json!({"rate_per_minute": 60_000, "batch_seconds": 1, "max_active": 100})
}

async fn delete(site: &Site, event: &str) -> Answer {
    let path = format!("/events/{event}");
    site.organise(Method::DELETE, &path, None).await
}

fn kind(answer: &Answer) -> (StatusCode, String) {
    let kind = answer.body["type"].as_str().unwrap_or_default();
    (answer.status, kind.replace("/problems/", ""))
}

async fn post(client: &Client, path: &str, bearer: &str, body: Value) -> Value {
    let answer = client.post(path, bearer, body).await.unwrap();
    answer.ok().unwrap()
}

/// A session with an order for one seat.
async fn order(site: &Site, event: &str) -> (String, Value) {
    let (_, token) = site.admit(event).await;
    let path = format!("/api/v1/events/{event}/sessions");
    let session = word(&post(&site.client, &path, &token, json!({})).await["session"]);
    let wish = json!({"best_available": {"quantity": 1}});
    let path = format!("/api/v1/events/{event}/holds");
    let hold = post(&site.client, &path, &session, wish).await;
    let buyer = json!({"hold": hold["id"], "buyer": {"name": "Ada", "email": "ada@example.org"}});
    let order = post(&site.client, "/api/v1/orders", &session, buyer).await;
    (session, order)
}

#[tokio::test]
async fn an_event_stays_on_both_sides_while_seats_are_held_money_is_coming_or_it_was_sold() {
    let site = Site::open(2).await;
    site.event("arena", open_doors()).await;
    let (session, order) = order(&site, "arena").await;
    let stays = (StatusCode::CONFLICT, "event-in-use".to_owned());
    assert_eq!(kind(&delete(&site, "arena").await), stays);
    let payment = format!(
        "/api/v1/payments/simulated/{}",
        word(&order["payment"]["id"])
    );
    let paid = post(&site.client, &payment, &session, json!({"card": LATE_CARD})).await;
    assert_eq!(paid["state"], "confirming");
    assert_eq!(kind(&delete(&site, "arena").await), stays);
    let path = format!("/api/v1/orders/{}", word(&order["id"]));
    let from = Instant::now();
    while site.client.get(&path, &session).await.unwrap().body["state"] != "confirmed" {
        assert!(from.elapsed() < Duration::from_secs(60), "never paid");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refund = format!("/events/arena/orders/{}/refund", word(&order["id"]));
    let refunded = site.organise(Method::POST, &refund, None).await;
    assert_eq!(refunded.body["state"], "refunded");
    let sold = (StatusCode::CONFLICT, "event-has-orders".to_owned());
    assert_eq!(kind(&delete(&site, "arena").await), sold);
    assert_eq!(
        site.client.get(&path, &session).await.unwrap().body["state"],
        "refunded"
    );
    let event = site.client.get("/api/v1/events/arena", "").await.unwrap();
    assert_eq!(event.status, StatusCode::OK);
}

#[tokio::test]
async fn a_deletion_waits_for_the_checkout_and_nothing_of_the_old_sale_is_inherited() {
    let mut site = Site::open(1).await;
    site.event("arena", open_doors()).await;
    let (session, old) = order(&site, "arena").await;
    let path = "/api/v1/events/arena/sessions";
    let left = site.client.delete(path, &session).await.unwrap();
    assert_eq!(left.status, StatusCode::NO_CONTENT);
    site.checkout.kill();
    let away = delete(&site, "arena").await;
    let unreachable = "checkout-unreachable".to_owned();
    assert_eq!(
        kind(&away),
        (StatusCode::SERVICE_UNAVAILABLE, unreachable.clone())
    );
    let event = site.client.get("/api/v1/events/arena", "").await.unwrap();
    assert_eq!(event.status, StatusCode::OK, "nothing was half done");
    site.checkout.start();
    site.checkout.ready().await;
    // nginx passes over the checkout for a while yet.
    let from = Instant::now();
    loop {
        let deleted = delete(&site, "arena").await;
        if deleted.status == StatusCode::NO_CONTENT {
            break;
        }
        assert_eq!(kind(&deleted).1, unreachable, "{}", deleted.body);
        assert!(from.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let again = delete(&site, "arena").await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    let sales = "/api/v1/organiser/events/arena/sales";
    let gone = site.checkout.client.get(sales, KEY).await.unwrap();
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let path = format!("/api/v1/orders/{}", word(&old["id"]));
    let gone = site.checkout.client.get(&path, &session).await.unwrap();
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
    site.event("arena", open_doors()).await;
    let wish = json!({"best_available": {"quantity": 1}});
    let holds = "/api/v1/events/arena/holds";
    let stale = site.client.post(holds, &session, wish).await.unwrap();
    assert_eq!(stale.status, StatusCode::UNAUTHORIZED);
    let new = site.checkout.client.get(sales, KEY).await.unwrap().body;
    assert_eq!(
        (&new["available"], &new["orders"]),
        (&json!(12), &json!({}))
    );
}

#[tokio::test]
async fn without_the_checkouts_address_or_its_key_an_event_that_it_sells_for_stays() {
    let other = "another-service-key-0123456789abcdef".to_owned();
    let site = Site::with(vec![
        vec![("FAIRLINE_CHECKOUT", String::new())],
        vec![("FAIRLINE_SERVICE_KEY", other)],
    ])
    .await;
    let event = json!({"id": "arena", "name": "The night"});
    let room = &site.rooms[0].client;
    let made = room.post("/api/v1/organiser/events", KEY, event).await;
    made.unwrap().ok().unwrap();
    let seats = json!({"capacity": 12, "available": 12, "held": 0, "booked": 0, "as_of": "2027-01-15T08:00:00Z"});
    let key = "service-0123456789abcdef0123456789abcdef";
    let path = "/api/v1/events/arena/availability";
    let told = room.call(Method::PUT, path, key, Some(seats)).await;
    assert_eq!(told.unwrap().status, StatusCode::NO_CONTENT);
    site.until("/api/v1/events/arena", "", |event| {
        event["availability"]["capacity"] == 12
    })
    .await;
    let path = "/api/v1/organiser/events/arena";
    for (room, status, why) in [
        (0, StatusCode::CONFLICT, "checkout-unknown"),
        (1, StatusCode::SERVICE_UNAVAILABLE, "checkout-unreachable"),
    ] {
        let room = &site.rooms[room].client;
        let stays = room.delete(path, KEY).await.unwrap();
        assert_eq!(kind(&stays), (status, why.to_owned()));
    }
    let event = site.client.get("/api/v1/events/arena", "").await.unwrap();
    assert_eq!(event.status, StatusCode::OK);
}

#[tokio::test]
async fn a_payment_request_is_answered_at_another_node_after_its_own_was_killed_over_it() {
    let server = Postgres::start();
    let database = server.database();
    let inventory = ("FAIRLINE_INVENTORY", server.url(&database));
    let shops = vec![vec![inventory.clone()], vec![inventory]];
    let mut site = Site::of(vec![Vec::new()], shops).await;
    site.event("arena", open_doors()).await;
    let (session, order) = order(&site, "arena").await;
    let refuse = "create function public.refuse() returns trigger language plpgsql as
            $$ begin raise exception 'not now'; end $$;
        create trigger refuse before update on fairline.payment for each row
            when (new.state = 'captured') execute function public.refuse()";
    server.run(&database, refuse).unwrap();
    let path = format!(
        "/api/v1/payments/simulated/{}",
        word(&order["payment"]["id"])
    );
    let bearer = format!("Bearer {session}");
    let heads = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", "pay-once"),
    ];
    let body = json!({"card": CARD}).to_string().into_bytes();
    let pay = async |client: &Client| {
        let answer = client.raw(Method::POST, &path, &heads, body.clone()).await;
        let answer = answer.unwrap();
        let is_replayed = answer.headers().contains_key("idempotency-replayed");
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        (answer.status(), is_replayed, body)
    };
    let (status, _, _) = pay(&site.checkout.client).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    site.checkout.kill();
    let drop = "drop trigger refuse on fairline.payment";
    server.run(&database, drop).unwrap();
    let other = &site.checkouts[0].client;
    let from = Instant::now();
    let answer = loop {
        let (status, is_replayed, answer) = pay(other).await;
        if status == StatusCode::OK {
            assert!(is_replayed);
            break answer;
        }
        assert_eq!(answer["type"], "/problems/still-running", "{answer}");
        assert!(from.elapsed() < Duration::from_secs(60), "never answered");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(answer["decline_reason"], "interrupted");
    let again = pay(other).await;
    assert_eq!(again, (StatusCode::OK, true, answer));
}

async fn until_noted(client: &Client, event: &str) {
    let from = Instant::now();
    loop {
        let log = client.get("/api/v1/organiser/audit", KEY).await.unwrap();
        let mut entries = log.body.as_array().unwrap().iter();
        if entries.any(|entry| entry["action"] == "event.delete" && entry["event"] == event) {
            return;
        }
        assert!(from.elapsed() < Duration::from_secs(20), "{}", log.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_deletion_is_done_and_noted_on_both_sides_though_its_client_does_not_wait_for_it() {
    let server = Postgres::start();
    let database = server.database();
    let inventory = ("FAIRLINE_INVENTORY", server.url(&database));
    let site = Site::of(vec![Vec::new()], vec![vec![inventory]]).await;
    for event in ["slow", "left"] {
        site.event(event, open_doors()).await;
    }
    let run = |sql: &str| server.run(&database, sql).unwrap();
    run("create table public.opened (event text);
        create function public.wait() returns trigger language plpgsql as $$ begin
            while not exists (select from public.opened o where o.event = old.event) loop
                perform pg_sleep(0.02);
            end loop;
            return old;
        end $$;
        create trigger wait before delete on fairline.event for each row execute function public.wait()");
    let open = |event: &str| run(&format!("insert into public.opened values ('{event}')"));

    // The waiting room gives the checkout up, which goes on.
    let given_up = delete(&site, "slow").await;
    let unreachable = "checkout-unreachable".to_owned();
    assert_eq!(
        kind(&given_up),
        (StatusCode::SERVICE_UNAVAILABLE, unreachable)
    );
    let detail = word(&given_up.body["detail"]);
    assert!(detail.contains("is not known"), "{detail}");
    open("slow");
    until_noted(&site.checkout.client, "slow").await;
    assert_eq!(delete(&site, "slow").await.status, StatusCode::NO_CONTENT);

    // The organiser's browser hangs up.
    let removing = "select count(*) from pg_stat_activity where state = 'active' and query like '%fairline.remove(%'
        and pid <> pg_backend_pid()";
    let begun = async {
        while run(removing) == "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let room = &site.rooms[0].client;
    tokio::select! {
        answer = room.delete("/api/v1/organiser/events/left", KEY) => panic!("{:?}", answer.unwrap().status),
        () = begun => {}
    }
    open("left");
    until_noted(&site.checkout.client, "left").await;
    until_noted(room, "left").await;
    let gone = room.get("/api/v1/events/left", "").await.unwrap();
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}
