//! Values that an organiser got wrong: refused in words, with the field.

use crate::stage::{Stage, assert_problem};
use hyper::Method;
use serde_json::{Value, json};

/// Asserts that a change is refused for this field with these words.
async fn refuse(stage: &Stage, method: Method, path: &str, body: Value, field: &str, words: &str) {
    let refused = stage.organise(method, path, Some(body)).await;
    assert_problem(&refused, 422, "invalid");
    let error = &refused.body["errors"][0];
    assert_eq!(error["field"], field, "{}", refused.body);
    let told = error["detail"].as_str().unwrap();
    assert!(told.contains(words), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_organiser_mistypes_is_refused_in_words() {
    let stage = Stage::open().await;
    stage.event("typed", json!({})).await;
    let event = "/events/typed";
    for (path, body, field, words) in [
        (
            event,
            json!({"sale_opens_at": "2099-06-05T19:00:00"}),
            "sale_opens_at",
            "has no time zone: end it with Z for UTC or with an offset",
        ),
        (
            "/events/typed/checkout",
            json!({"prices": [{"category": "stalls", "price": 45.00}]}),
            "prices[0].price",
            "prices are whole minor units: 4500 is 45.00 EUR",
        ),
        (
            "/events/typed/checkout",
            json!({"prices": [{"category": "stalls", "ticket_types":
                [{"id": "child", "name": "Standard", "price": 5}]}]}),
            "prices[0].ticket_types[0].name",
            "another ticket of this category is called 'Standard' as well",
        ),
        (
            "/events/typed/checkout",
            json!({"fees": [{"name": "Booking", "per": "ticket", "amount": 1.5}]}),
            "fees[0].amount",
            "prices are whole minor units: 4500 is 45.00 EUR",
        ),
    ] {
        refuse(&stage, Method::PATCH, path, body, field, words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_an_event_that_does_not_exist_is_refused() {
    let stage = Stage::open().await;
    stage.event("sold", json!({})).await;
    let webhook =
        |events: Value| json!({"name": "CRM", "url": "https://8.8.8.8/hooks", "events": events});
    let words = "there is no event 'slod'";
    let wrong = webhook(json!(["sold", "slod"]));
    refuse(&stage, Method::POST, "/webhooks", wrong, "events", words).await;
    let right = webhook(json!(["sold"]));
    let made = stage.organise(Method::POST, "/webhooks", Some(right)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("/webhooks/{}", made.body["webhook"]["id"].as_str().unwrap());
    let wrong = json!({"events": ["slod"]});
    refuse(&stage, Method::PATCH, &path, wrong, "events", words).await;
    // One that was deleted since is no obstacle to other changes.
    let deleted = stage.organise(Method::DELETE, "/events/sold", None).await;
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    let named = json!({"name": "Loyalty", "events": ["sold"]});
    let changed = stage.organise(Method::PATCH, &path, Some(named)).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
}
