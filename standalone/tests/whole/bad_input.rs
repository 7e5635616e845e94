//! Values that an organiser got wrong: refused in words, with the field.

use crate::stage::{KEY, Stage, assert_problem};
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

/// Texts with nothing to see, beside plain blanks.
const INVISIBLE: [&str; 6] = [
    "\u{200b}\u{200b}",
    "\u{200c}\u{200d}\u{2060}",
    "\u{200e}\u{200f}\u{61c}",
    "\u{115f}\u{1160}\u{3164}\u{ffa0}",
    "\u{ad}\u{ad}",
    "\u{feff} \u{2800}",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_which_nothing_can_be_seen_is_refused_everywhere() {
    let stage = Stage::open().await;
    stage.event("named", json!({})).await;
    let session = stage.session("named").await;
    let hold = stage.hold("named", &session, json!({"seats": ["st-A-1"]}));
    let hold = hold.await.body["id"].clone();
    let event = "/events/named";
    let rules = "/events/named/checkout";
    for blank in INVISIBLE {
        let charge = |charges: Value| (Method::PATCH, rules, charges);
        let details = |details: Value| (Method::PATCH, event, json!({"details": details}));
        let fee = json!([{"name": blank, "per": "ticket", "amount": 100}]);
        let tax = json!([{"name": blank, "percent": "19", "on": ["tickets"], "included": true}]);
        let child = json!([{"category": "stalls", "ticket_types": [{"id": "child", "name": blank, "price": 5}]}]);
        let webhook = json!({"name": blank, "url": "https://8.8.8.8/hooks"});
        let invoices = json!({"invoicing": {"seller": blank, "series": "A"}});
        let scan = json!({"code": "x", "door": blank});
        let seen = "of which some can be seen";
        for ((method, path, body), field) in [
            (
                (Method::POST, "/events", json!({"id": "new", "name": blank})),
                "name",
            ),
            ((Method::PATCH, event, json!({"name": blank})), "name"),
            (details(json!({"subtitle": blank})), "details.subtitle"),
            (
                details(json!({"venue": {"name": blank}})),
                "details.venue.name",
            ),
            (
                details(json!({"description": blank})),
                "details.description",
            ),
            (charge(json!({"fees": fee})), "fees[0].name"),
            (charge(json!({"taxes": tax})), "taxes[0].name"),
            (
                charge(json!({"prices": child})),
                "prices[0].ticket_types[0].name",
            ),
            (charge(invoices), "invoicing.seller"),
            ((Method::POST, "/webhooks", webhook), "name"),
            ((Method::POST, "/events/named/checkins", scan), "door"),
            (
                (
                    Method::POST,
                    "/events/named/cancel",
                    json!({"reason": blank}),
                ),
                "reason",
            ),
        ] {
            refuse(&stage, method, path, body, field, seen).await;
        }
        let buyer = json!({"name": blank, "email": "ada@example.org"});
        let order = json!({"hold": hold, "buyer": buyer});
        let refused = stage.client.post("/api/v1/orders", &session, order).await;
        let refused = refused.unwrap();
        assert_problem(&refused, 422, "invalid");
        assert_eq!(refused.body["errors"][0]["field"], "buyer.name");
        let plan = |category: &str, section: &str, label: &str| {
            json!({"categories": [{"id": "c", "name": category, "price": 1}],
                "sections": [{"id": "s", "name": section, "category": "c", "rows": 1, "seats_per_row": 2,
                    "row_labels": [label]}]})
        };
        for (plan, field) in [
            (plan(blank, "S", "A"), "categories[0].name"),
            (plan("C", blank, "A"), "sections[0].name"),
            (plan("C", "S", blank), "sections[0].row_labels"),
        ] {
            let seating = "/events/named/seating";
            let can = "can be seen";
            refuse(&stage, Method::PUT, seating, plan, field, can).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_given_twice_is_refused_by_its_name() {
    let stage = Stage::open().await;
    stage.event("twice", json!({})).await;
    for (method, path, body, field) in [
        (
            Method::PUT,
            "seating",
            r#"{"categories": [{"id": "c", "name": "C", "price": 1}],
                "areas": [{"id": "a", "category": "c", "capacity": 5, "capacity": 50}]}"#,
            "areas[0].capacity",
        ),
        (
            Method::PUT,
            "seating",
            r#"{"plan": {"areas": []}, "prices": {"C": 4500, "C": 4000}}"#,
            "prices.C",
        ),
        (
            Method::PATCH,
            "checkout",
            r#"{"hold_seconds": 60, "hold_seconds": 600}"#,
            "hold_seconds",
        ),
        (
            Method::PATCH,
            "",
            r#"{"details": {"subtitle": "One", "subtitle": "Two"}}"#,
            "details.subtitle",
        ),
    ] {
        let path = format!("/api/v1/organiser/events/twice/{path}");
        let bearer = format!("Bearer {KEY}");
        let heads = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let path = path.trim_end_matches('/');
        let asked = stage
            .client
            .raw(method, path, &heads, body.as_bytes().to_vec());
        let answer = asked.await.unwrap();
        assert_eq!(answer.status(), 422, "{body}");
        let told: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(told["errors"][0]["field"], field, "{told}");
        let key = field.rsplit('.').next().unwrap();
        let why = format!("the key '{key}' is given twice");
        assert_eq!(told["errors"][0]["detail"], why, "{told}");
    }
}
