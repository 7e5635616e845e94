//! What organisers do with the seats, on two services.

use crate::site::{CARD, Site, word};
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

#[tokio::test]
async fn every_operation_of_organisers_on_seats_works_on_services_of_their_own() {
    let site = Site::open(1).await;
    site.event("arena", open_doors()).await;
    let does = async |method: Method, path: &str, body: Value| {
        let body = (!body.is_null()).then_some(body);
        site.organise(method, &format!("/events/arena{path}"), body)
            .await
    };
    let planned = does(Method::PUT, "/seating", plan(8)).await.ok().unwrap();
    assert_eq!(planned["capacity"], 8);
    let rules = json!({"max_seats_per_order": 3, "currency": "JPY"});
    does(Method::PATCH, "/checkout", rules).await.ok().unwrap();
    let rules = does(Method::GET, "/checkout", Value::Null).await.ok();
    assert_eq!(rules.unwrap()["currency"], "JPY");
    let block = json!({"seats": ["st-A-8"]});
    let sales = does(Method::POST, "/seats/block", block.clone()).await.ok();
    assert_eq!(sales.unwrap()["blocked"], 1);
    let sales = does(Method::POST, "/seats/unblock", block).await.ok();
    assert_eq!(sales.unwrap()["blocked"], 0);

    let (_, token) = site.admit("arena").await;
    let post = async |path: &str, bearer: &str, body: Value| {
        let answer = site.client.post(path, bearer, body).await.unwrap();
        answer.ok().unwrap()
    };
    let session = post("/api/v1/events/arena/sessions", &token, json!({})).await;
    let session = word(&session["session"]);
    let wish = json!({"seats": ["st-A-1"]});
    let hold = post("/api/v1/events/arena/holds", &session, wish).await;
    // All that would change the event as a whole is refused while a seat is held …
    assert_refused(
        &does(Method::PUT, "/seating", plan(9)).await,
        409,
        "seating-in-use",
    );
    let euro = json!({"currency": "EUR"});
    assert_refused(
        &does(Method::PATCH, "/checkout", euro.clone()).await,
        422,
        "invalid",
    );
    assert_refused(
        &does(Method::DELETE, "", Value::Null).await,
        409,
        "event-in-use",
    );
    let buyer = json!({"hold": hold["id"], "buyer": {"name": "Ada", "email": "ada@example.org"}});
    let order = post("/api/v1/orders", &session, buyer).await;
    let pay = format!(
        "/api/v1/payments/simulated/{}",
        word(&order["payment"]["id"])
    );
    let paid = post(&pay, &session, json!({"card": CARD})).await;
    // … and once it is sold.
    assert_refused(
        &does(Method::PUT, "/seating", plan(9)).await,
        409,
        "seating-in-use",
    );
    assert_refused(
        &does(Method::PATCH, "/checkout", euro).await,
        422,
        "invalid",
    );
    assert_refused(
        &does(Method::DELETE, "", Value::Null).await,
        409,
        "event-has-orders",
    );

    let code = json!({"code": paid["tickets"][0]["code"]});
    let let_in = does(Method::POST, "/tickets/admit", code.clone())
        .await
        .ok();
    assert_eq!(let_in.unwrap()["first"], true);
    let listed = does(Method::GET, "/tickets", Value::Null).await.ok();
    assert_eq!(listed.unwrap()["tickets"][0]["seat"], "st-A-1");
    let orders = does(Method::GET, "/orders", Value::Null)
        .await
        .ok()
        .unwrap();
    assert_eq!(orders[0]["id"], order["id"]);
    let people = "/people?email=ada%40example.org";
    let found = site.organise(Method::GET, people, None).await.ok().unwrap();
    assert_eq!(found["orders"][0]["order"]["id"], order["id"]);
    let erased = site.organise(Method::DELETE, people, None).await.ok();
    assert_eq!(erased.unwrap()["orders"], 1);
    let sales = does(Method::GET, "/sales", Value::Null).await.ok().unwrap();
    assert_eq!(sales["revenue"], json!({"amount": 4500, "currency": "JPY"}));
    let refund = format!("/orders/{}/refund", word(&order["id"]));
    let refunded = does(Method::POST, &refund, Value::Null).await.ok();
    assert_eq!(refunded.unwrap()["state"], "refunded");
    assert_refused(
        &does(Method::POST, "/tickets/check", code).await,
        404,
        "no-such-ticket",
    );
    assert_refused(
        &does(Method::DELETE, "", Value::Null).await,
        409,
        "event-has-orders",
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
