//! Work that strangers would have done for them.

use crate::stage::{KEY, Stage, assert_problem, word};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_drawn_for_those_who_may_see_its_order_and_nothing_else_is() {
    let stage = Stage::open().await;
    stage.event("drawn", json!({})).await;
    let (ada, mallory) = (stage.session("drawn").await, stage.session("drawn").await);
    let order = stage.buy("drawn", &ada, 1).await;
    stage.buy("drawn", &mallory, 1).await;
    let path = format!("/api/v1/orders/{}", word(&order["id"]));
    let order = stage.get(&path, &ada).await.ok().unwrap();
    let code = word(&order["tickets"][0]["code"]);
    let link = word(&order["link"]);
    let link = link.split_once("key=").unwrap().1;
    let draw = async |order: &Value, code: &str, bearer: &str| {
        let body = json!({"order": order, "code": code});
        let answer = stage.client.post("/api/v1/qr", bearer, body).await;
        answer.unwrap()
    };
    for bearer in [ada.as_str(), link] {
        let bearer = format!("Bearer {bearer}");
        let body = json!({"order": order["id"], "code": code}).to_string();
        let heads = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let answer = stage
            .client
            .raw(Method::POST, "/api/v1/qr", &heads, body.into_bytes())
            .await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "image/svg+xml");
        assert!(answer.body().starts_with(b"<svg "));
    }
    let id = &order["id"];
    assert_problem(&draw(id, &code, "").await, 401, "no-session");
    assert_problem(
        &draw(id, &code, "ses_drawn_nonsense").await,
        401,
        "no-session",
    );
    assert_problem(&draw(id, &code, "lnk_drawn.AAAA").await, 401, "no-session");
    assert_problem(&draw(id, &code, &mallory).await, 404, "no-such-order");
    let own = draw(id, "words of their own", &ada).await;
    assert_problem(&own, 404, "no-such-ticket");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_very_many_categories_is_refused_and_one_of_the_most_is_taken() {
    let stage = Stage::open().await;
    let event = json!({"id": "plans", "name": "Plans"});
    stage.client.create_event(KEY, &event, None).await.unwrap();
    let plan = |categories: usize| {
        let category = |at: usize| json!({"id": format!("c{at}"), "name": "C", "price": 1});
        json!({"categories": (0..categories).map(category).collect::<Vec<_>>(),
            "areas": [{"id": "a", "category": "c0", "capacity": 5}]})
    };
    let path = "/events/plans/seating";
    let many = stage.organise(Method::PUT, path, Some(plan(60_000))).await;
    assert_problem(&many, 422, "invalid");
    assert_eq!(many.body["errors"][0]["field"], "categories");
    let most = stage.organise(Method::PUT, path, Some(plan(1000))).await;
    assert_eq!(most.status, StatusCode::OK, "{}", most.body);
}
