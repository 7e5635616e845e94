//! Operations of organisers on the seats, on two services.

use crate::site::{CARD, KEY, Site, word};
use client::{Answer, Client};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn open_doors() -> Value {
    json!({"rate_per_minute": 60_000, "batch_seconds": 1, "max_active": 100})
}

fn plan(seats: u32) -> Value {
    json!({"categories": [{"id": "stalls", "name": "Stalls", "price": 4500}],
        "sections": [{"id": "st", "category": "stalls", "rows": 1, "seats_per_row": seats}]})
}

fn assert_refused(answer: &Answer, status: u16, kind: &str) {
    let found = (answer.status.as_u16(), answer.body["type"].as_str());
    assert_eq!(found, (status, Some(format!("/problems/{kind}").as_str())));
}

/// An event on two services.
struct Arena(Site);

impl Arena {
    async fn does(&self, method: Method, path: &str, body: Value) -> Answer {
        let body = (!body.is_null()).then_some(body);
        let path = format!("/events/arena{path}");
        self.0.organise(method, &path, body).await
    }

    /// Does it, and returns what was answered.
    async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        self.does(method, path, body).await.ok().unwrap()
    }

    async fn post(&self, path: &str, bearer: &str, body: Value) -> Value {
        let answer = self.0.client.post(path, bearer, body).await.unwrap();
        answer.ok().unwrap()
    }

    async fn set_up(&self) {
        let planned = self.done(Method::PUT, "/seating", plan(8)).await;
        assert_eq!(planned["capacity"], 8);
        let rules = json!({"max_seats_per_order": 3, "currency": "JPY"});
        self.done(Method::PATCH, "/checkout", rules).await;
        let rules = self.done(Method::GET, "/checkout", Value::Null).await;
        assert_eq!(rules["currency"], "JPY");
        for (path, blocked) in [("/seats/block", 1), ("/seats/unblock", 0)] {
            let seat = json!({"seats": ["st-A-8"]});
            let sales = self.done(Method::POST, path, seat).await;
            assert_eq!(sales["blocked"], blocked);
        }
    }

    /// Tries all that would change the event as a whole.
    async fn refuses_changes(&self, removal: &str) {
        let euro = json!({"currency": "EUR"});
        for (method, path, body, status, kind) in [
            (Method::PUT, "/seating", plan(9), 409, "seating-in-use"),
            (Method::PATCH, "/checkout", euro, 422, "invalid"),
            (Method::DELETE, "", Value::Null, 409, removal),
        ] {
            assert_refused(&self.does(method, path, body).await, status, kind);
        }
    }
}

#[tokio::test]
async fn every_operation_of_organisers_on_seats_works_on_services_of_their_own() {
    let arena = Arena(Site::open(1).await);
    arena.0.event("arena", open_doors()).await;
    arena.set_up().await;
    let (_, token) = arena.0.admit("arena").await;
    let path = "/api/v1/events/arena/sessions";
    let session = arena.post(path, &token, json!({})).await;
    let session = word(&session["session"]);
    let wish = json!({"seats": ["st-A-1"]});
    let path = "/api/v1/events/arena/holds";
    let hold = arena.post(path, &session, wish).await;
    arena.refuses_changes("event-in-use").await;
    let buyer = json!({"hold": hold["id"], "buyer": {"name": "Ada", "email": "ada@example.org"}});
    let order = arena.post("/api/v1/orders", &session, buyer).await;
    let payment = word(&order["payment"]["id"]);
    let pay = format!("/api/v1/payments/simulated/{payment}");
    let paid = arena.post(&pay, &session, json!({"card": CARD})).await;
    arena.refuses_changes("event-has-orders").await;

    let code = json!({"code": paid["tickets"][0]["code"]});
    let scan = json!({"code": code["code"], "door": "North"});
    let checked = arena.done(Method::POST, "/checkins", scan).await;
    assert_eq!(checked["ticket"]["door"], "North");
    let bundle = arena.done(Method::GET, "/door-bundle", Value::Null).await;
    assert_eq!(bundle["tickets"][0]["seat"], "st-A-1");
    let figures = arena.done(Method::GET, "/checkins", Value::Null).await;
    assert_eq!(figures["checked_in"], 1);
    let orders = arena.done(Method::GET, "/orders", Value::Null).await;
    assert_eq!(orders["orders"][0]["id"], order["id"]);
    let people = "/people?email=ada%40example.org";
    let found = arena.0.organise(Method::GET, people, None).await.ok();
    assert_eq!(found.unwrap()["orders"][0]["order"]["id"], order["id"]);
    let erased = arena.0.organise(Method::DELETE, people, None).await.ok();
    assert_eq!(erased.unwrap()["orders"], 1);
    let sales = arena.done(Method::GET, "/sales", Value::Null).await;
    assert_eq!(sales["revenue"], json!({"amount": 4500, "currency": "JPY"}));
    let refund = format!("/orders/{}/refund", word(&order["id"]));
    let refunded = arena.done(Method::POST, &refund, Value::Null).await;
    assert_eq!(refunded["state"], "refunded");
    let checked = arena.does(Method::POST, "/tickets/check", code).await;
    assert_refused(&checked, 409, "ticket-void");
    let removed = arena.does(Method::DELETE, "", Value::Null).await;
    assert_refused(&removed, 409, "event-has-orders");
}

#[tokio::test]
async fn a_show_is_sold_at_the_desk_and_cancelled_on_services_of_their_own() {
    let arena = Arena(Site::open(1).await);
    arena.0.event("arena", open_doors()).await;
    arena.set_up().await;
    let set = arena.done(Method::GET, "/seating", Value::Null).await;
    assert_eq!(set, plan(8));
    let sale = json!({"seats": ["st-A-1"], "buyer": {"name": "Ada"}, "method": "cash"});
    let sold = arena.done(Method::POST, "/orders", sale.clone()).await;
    assert_eq!(
        (&sold["state"], &sold["payment"]["provider"]),
        (&json!("confirmed"), &json!("cash"))
    );
    assert_refused(
        &arena.does(Method::POST, "/orders", sale).await,
        409,
        "seats-taken",
    );
    let (pass, token) = arena.0.admit("arena").await;
    let bought = arena.0.buy("arena", &token).await;
    let path = format!("/events/arena/orders/{}/tickets.pdf", word(&bought["id"]));
    let path = format!("/api/v1/organiser{path}");
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str())];
    let tickets = arena
        .0
        .client
        .raw(Method::GET, &path, &headers, Vec::new())
        .await
        .unwrap();
    assert_eq!(tickets.status(), StatusCode::OK);
    assert!(tickets.body().starts_with(b"%PDF"));
    let place = arena.0.client.join("arena").await.unwrap();

    let reason = json!({"reason": "The singer is ill."});
    let begun = arena.does(Method::POST, "/cancel", reason).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED);
    let progress = "/api/v1/organiser/events/arena/cancel";
    let done = arena
        .0
        .until(progress, KEY, |progress| progress["done"] == true)
        .await;
    assert_eq!((&done["orders"], &done["refunded"]), (&json!(2), &json!(2)));
    let told = "This show was cancelled. The singer is ill.";
    for pass in [pass, word(&place["pass"])] {
        let path = "/api/v1/events/arena/line/me";
        arena
            .0
            .until(path, &pass, |place| place["message"] == told)
            .await;
    }
    let event = arena
        .0
        .until("/api/v1/events/arena", "", |event| {
            event["phase"] == "closed"
        })
        .await;
    assert_eq!(event["cancelled"]["reason"], "The singer is ill.");
    let late = json!({"seats": ["st-A-2"], "buyer": {"name": "Ada"}, "method": "comp"});
    assert_refused(
        &arena.does(Method::POST, "/orders", late).await,
        409,
        "event-cancelled",
    );
}

#[tokio::test]
async fn a_checkout_with_another_service_key_says_so_and_is_not_ready() {
    let other = "another-service-key-0123456789abcdef".to_owned();
    let mut site = Site::of(
        vec![Vec::new()],
        vec![vec![("FAIRLINE_SERVICE_KEY", other)]],
    )
    .await;
    site.event("arena", open_doors()).await;
    let port = site.checkout.setting("FAIRLINE_OPS_LISTEN");
    let operations = Client::new(&format!("http://{port}"));
    let ready = async || {
        let answer = operations
            .raw(Method::GET, "/readyz", &[], Vec::new())
            .await;
        let answer = answer.unwrap();
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        (answer.status(), text)
    };
    let from = Instant::now();
    let text = loop {
        let (status, text) = ready().await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            break text;
        }
        assert!(from.elapsed() < Duration::from_secs(20), "ready: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(text.contains("FAIRLINE_SERVICE_KEY"), "{text}");
    let log = site.checkout.log();
    let told = log
        .lines()
        .filter(|line| line.contains("refuses this FAIRLINE_SERVICE_KEY"));
    assert_eq!(told.count(), 1, "{log}");
    // A fan who is admitted can shop: the token is no matter of this key.
    let (_, token) = site.admit("arena").await;
    let path = "/api/v1/events/arena/sessions";
    let opened = site.client.post(path, &token, json!({})).await.unwrap();
    assert_eq!(opened.status, StatusCode::CREATED);
    let right = format!("service-{}", crate::site::SECRET);
    site.checkout.set("FAIRLINE_SERVICE_KEY", &right);
    site.checkout.kill();
    site.checkout.start();
    site.checkout.ready().await;
    site.until("/api/v1/events/arena", "", |event| {
        event["availability"]["capacity"] == 12
    })
    .await;
    assert_eq!(ready().await.0, StatusCode::OK);
}
