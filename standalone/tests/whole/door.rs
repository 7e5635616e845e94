//! Tickets at the door, from outside.

use crate::stage::{CARD, KEY, Stage, assert_problem, word};
use hyper::Method;
use serde_json::{Value, json};
use shared::crypto::{hex, sha256};

const OPERATOR: &str = "operator-key-01234";

#[tokio::test(flavor = "multi_thread")]
async fn a_door_lets_a_ticket_in_once_and_learns_of_a_refund() {
    let stage = Stage::open().await;
    stage.event("night", json!({})).await;
    let session = stage.session("night").await;
    let wish = json!({"seats": ["st-A-1", "st-A-2"]});
    let hold = stage.hold("night", &session, wish).await.body;
    let order = stage.order(&session, &hold).await;
    let paid = stage.pay(&session, &order, CARD).await.body;
    let code = word(&paid["tickets"][1]["code"]);
    let door = async |what: &str, code: &str| {
        let path = format!("/api/v1/organiser/events/night/tickets/{what}");
        let body = json!({"code": code});
        stage.client.post(&path, OPERATOR, body).await.unwrap()
    };
    let good = door("check", &code).await.ok().unwrap();
    let wanted = json!({"id": paid["tickets"][1]["id"], "seat": "st-A-2", "order": order["id"],
        "admitted_at": null});
    assert_eq!(good, wanted);
    let first = door("admit", &code).await.ok().unwrap();
    assert_eq!((&first["first"], &first["ticket"]), (&json!(true), &wanted));
    let again = door("admit", &code).await.ok().unwrap();
    assert_eq!(again["first"], false);
    let at = &again["ticket"]["admitted_at"];
    assert!(at.is_string());
    assert_problem(
        &door("check", &format!("{code}x")).await,
        404,
        "no-such-ticket",
    );
    assert_problem(&door("admit", &"x".repeat(301)).await, 422, "invalid");

    let list = "/api/v1/organiser/events/night/tickets";
    let listed = stage.get(list, OPERATOR).await.ok().unwrap();
    let last = &listed["tickets"][1];
    let wanted =
        json!({"code_sha256": hex(&sha256(code.as_bytes())), "seat": "st-A-2", "admitted_at": at});
    assert_eq!((last, &listed["next"]), (&wanted, &Value::Null));
    assert!(!listed.to_string().contains("FL1."), "a list opens no door");

    let refund = format!("/events/night/orders/{}/refund", word(&order["id"]));
    stage
        .organise(Method::POST, &refund, None)
        .await
        .ok()
        .unwrap();
    assert_problem(&door("admit", &code).await, 404, "no-such-ticket");
    let listed = stage.get(list, KEY).await.ok().unwrap();
    assert_eq!(listed["tickets"], json!([]));
}
