//! Ticket types from outside: prices set by the organiser, asked for and ordered by a fan.

use crate::stage::{CARD, KEY, Stage, assert_problem, word};
use client::Answer;
use hyper::Method;
use serde_json::{Value, json};

const RULES: &str = "/events/family/checkout";

fn prices() -> Value {
    json!([{"category": "stalls", "standard_name": "Adult", "ticket_types": [
        {"id": "child", "name": "Child", "price": 2000, "max_per_order": 1},
        {"id": "guest", "name": "Guest", "price": 0, "accompanied": true}]},
        {"category": "floor", "ticket_types": [{"id": "late", "name": "Late", "price": 1000}]}])
}

/// Opens an event with these prices, and a session that holds two seats of the stalls.
async fn held() -> (Stage, String, Value) {
    let stage = Stage::open().await;
    stage.event("family", json!({})).await;
    let set = json!({"prices": prices()});
    let set = stage.organise(Method::PATCH, RULES, Some(set)).await;
    assert_eq!(set.body["prices"], prices());
    let session = stage.session("family").await;
    let wish = json!({"seats": ["st-A-1", "st-A-2"]});
    let hold = stage.hold("family", &session, wish).await;
    (stage, session, hold.body)
}

impl Stage {
    async fn price(&self, session: &str, hold: &Value, types: Value) -> Answer {
        let path = format!("/api/v1/holds/{}/price", word(&hold["id"]));
        let body = json!({"ticket_types": types});
        self.client.post(&path, session, body).await.unwrap()
    }

    async fn purchase(&self, session: &str, hold: &Value, types: &Value, total: i64) -> Answer {
        let body = json!({"hold": hold["id"], "buyer": {"name": "Ada", "email": "ada@example.org"},
            "ticket_types": types, "total": {"amount": total, "currency": "EUR"}});
        let made = self.client.post("/api/v1/orders", session, body).await;
        made.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_asks_for_a_price_orders_at_it_and_every_list_names_the_type() {
    let (stage, session, hold) = held().await;
    let types = json!({"st-A-2": "child"});
    let priced = stage.price(&session, &hold, types.clone()).await;
    assert_eq!(priced.body["total"]["amount"], 6500);
    let name = |seat: &Value| word(&seat["ticket_type"]["name"]);
    assert_eq!(name(&priced.body["seats"][1]), "Child");
    let order = stage.purchase(&session, &hold, &types, 6500).await;
    assert_eq!(order.status, 201, "{}", order.body);
    let paid = stage.pay(&session, &order.body, CARD).await.body;
    assert_eq!(name(&paid["tickets"][1]), "Child");
    let order = word(&paid["id"]);
    let path = format!("/events/family/orders/{order}");
    let details = stage.organise(Method::GET, &path, None).await.body;
    assert_eq!(name(&details["seats"][1]), "Child");
    assert_eq!(details["seats"][1]["refund"]["amount"], 2000);
    for (table, end) in [
        ("tickets", ",Ada,ada@example.org,Child"),
        (
            "door-list",
            &format!(",{},Child", word(&paid["tickets"][1]["id"])),
        ),
    ] {
        let path = format!("/api/v1/organiser/events/family/exports/{table}.csv");
        let bearer = format!("Bearer {KEY}");
        let heads = [("authorization", bearer.as_str())];
        let raw = stage.client.raw(Method::GET, &path, &heads, Vec::new());
        let raw = raw.await.unwrap();
        let text = String::from_utf8(raw.body().to_vec()).unwrap();
        assert!(text.lines().any(|row| row.ends_with(end)), "{text}");
    }
    let code = json!({"code": paid["tickets"][1]["code"], "door": "North"});
    let path = "/events/family/checkins";
    let door = stage.organise(Method::POST, path, Some(code)).await;
    assert_eq!(name(&door.body["ticket"]), "Child");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_ticket_types_say_what_is_wrong_and_the_price_of_now() {
    let (stage, session, hold) = held().await;
    let two = |id: &str| json!({"st-A-1": id, "st-A-2": id});
    for (types, kind, member, value) in [
        (
            two("senior"),
            "unknown-ticket-type",
            "ticket_type",
            json!("senior"),
        ),
        (
            two("late"),
            "ticket-type-of-another-category",
            "ticket_type",
            json!("late"),
        ),
        (two("child"), "too-many-of-ticket-type", "limit", json!(1)),
        (
            two("guest"),
            "ticket-type-not-alone",
            "ticket_type",
            json!("Guest"),
        ),
        (
            json!({"st-B-1": "child"}),
            "unknown-seats",
            "unknown",
            json!(["st-B-1"]),
        ),
    ] {
        let refused = stage.price(&session, &hold, types.clone()).await;
        assert_problem(&refused, 422, kind);
        assert_eq!(refused.body[member], value);
        let refused = stage.purchase(&session, &hold, &types, 9000).await;
        assert_problem(&refused, 422, kind);
    }
    let types = json!({"st-A-2": "child"});
    let refused = stage.purchase(&session, &hold, &types, 9000).await;
    assert_problem(&refused, 409, "price-changed");
    let total = json!({"amount": 6500, "currency": "EUR"});
    assert_eq!(refused.body["total"], total);
    let other = stage.session("family").await;
    let refused = stage.price(&other, &hold, types).await;
    assert_problem(&refused, 404, "no-such-hold");
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_are_those_of_the_plan_and_no_plan_is_set_that_they_would_overrule() {
    let stage = Stage::open().await;
    stage.event("family", json!({})).await;
    let unknown = json!({"prices": [{"category": "balcony", "ticket_types": []}]});
    let refused = stage.organise(Method::PATCH, RULES, Some(unknown)).await;
    assert_problem(&refused, 422, "invalid");
    assert_eq!(refused.body["errors"][0]["field"], "prices[0].category");
    let dearer = json!({"prices": [{"category": "stalls", "price": 5000}]});
    let set = stage.organise(Method::PATCH, RULES, Some(dearer)).await;
    assert_eq!(set.status, 200, "{}", set.body);
    let plan = |price: i64| {
        json!({"categories": [{"id": "stalls", "name": "Stalls", "price": price}],
            "sections": [{"id": "st", "category": "stalls", "rows": 1, "seats_per_row": 6}]})
    };
    let path = "/events/family/seating";
    let refused = stage.organise(Method::PUT, path, Some(plan(4000))).await;
    assert_problem(&refused, 422, "invalid");
    assert_eq!(refused.body["errors"][0]["field"], "categories[0].price");
    // The plan as it is can be read and set again.
    let kept = stage.organise(Method::GET, path, None).await;
    let set = stage.organise(Method::PUT, path, Some(kept.body)).await;
    assert_eq!(set.status, 200, "{}", set.body);
    let set = stage.organise(Method::PUT, path, Some(plan(5000))).await;
    assert_eq!(set.status, 200, "{}", set.body);
}
