//! Roles and credentials on every operation.

use crate::matrix::{Credential, check};
use crate::stage::{CARD, KEY, SERVICE_KEY, Stage, assert_problem, word};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_for_those_whom_its_description_names_and_for_no_one_else() {
    let stage = Stage::with_secrets(|_| {}).await;
    stage.event("strict", json!({})).await;
    let session = stage.session("strict").await;
    let wish = json!({"seats": ["st-A-1"]});
    let hold = stage.hold("strict", &session, wish).await.body;
    let order = stage.order(&session, &hold).await;
    let paid = stage.pay(&session, &order, CARD).await.body;
    let (pass, token) = stage.admit("strict").await;
    let link = word(&paid["link"]);
    let (_, link) = link.split_once("key=").unwrap();
    let credentials = [
        ("", ""),
        ("pass", &pass),
        ("admission", &token),
        ("session", &session),
        ("link", link),
        ("service", SERVICE_KEY),
        ("door", "door-key-012345678"),
        ("viewer", "viewer-key-0123456"),
        ("operator", "operator-key-01234"),
        ("admin", KEY),
    ]
    .map(|(kind, bearer)| Credential {
        kind,
        bearer: bearer.to_owned(),
    });
    let fill = |path: &str| {
        path.replace("{event}", "strict")
            .replace("{order}", &word(&order["id"]))
            .replace("{hold}", &word(&hold["id"]))
            .replace("{payment}", &word(&order["payment"]["id"]))
            .replace("{visitor}", "1")
            .replace("{ticket}", "tix_x")
            .replace("{mail}", "evt_x")
            .replace("{webhook}", "whe_x")
            .replace("{delivery}", "evt_x")
            .replace("{table}", "orders.csv")
            .replace("{*rest}", "x")
    };
    let count = check(&stage.client, &credentials, fill).await;
    assert!(count > 40, "{count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_who_may_not_is_told_so_whatever_is_in_the_request_and_the_audit_log_has_it() {
    let stage = Stage::open().await;
    stage.event("strict", json!({})).await;
    let viewer = "viewer-key-0123456";
    let events = "/api/v1/organiser/events";
    let post = async |path: &str, body: Value| {
        let answer = stage.client.post(path, viewer, body).await;
        answer.unwrap()
    };
    for body in [json!(7), json!({}), json!({"colour": "red"})] {
        for path in [events, &format!("{events}/strict/draw/beacon")] {
            assert_problem(&post(path, body.clone()).await, 403, "role-too-low");
        }
    }
    let huge = "x".repeat(100_000);
    for path in [events, &format!("{events}/no-such-event/draw/beacon")] {
        assert_problem(&post(path, json!(huge)).await, 403, "role-too-low");
    }
    // The use of a key may be noted after it.
    let refused = |log: &Value| {
        let mut entries = log.as_array().into_iter().flatten();
        entries.find(|it| it["action"] == "role.refused").cloned()
    };
    let is_noted = |log: &Value| refused(log).is_some();
    let log = stage.until("/api/v1/organiser/audit", KEY, is_noted).await;
    let entry = refused(&log).unwrap();
    assert_eq!(
        (&entry["by"], &entry["address"]),
        (&json!("vi"), &json!("127.0.0.1"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_read_changes_without_addresses_and_nothing_of_the_door() {
    let stage = Stage::open().await;
    stage.event("strict", json!({})).await;
    let audit = "/api/v1/organiser/audit";
    stage.get(audit, "a-wrong-key-0123456").await;
    let sees_door = |log: &Value| log.to_string().contains("key.wrong");
    for key in [KEY, "operator-key-01234"] {
        let log = stage.until(audit, key, sees_door).await;
        assert!(log.to_string().contains("127.0.0.1"));
    }
    let seen = stage.get(audit, "viewer-key-0123456").await;
    assert_eq!(seen.status, StatusCode::OK);
    let actions = seen.body.as_array().unwrap().iter();
    let actions: Vec<&Value> = actions.map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["seating.set", "event.create"]);
    assert!(!seen.body.to_string().contains("127.0.0.1"));
    let visitor = "/api/v1/organiser/events/strict/line/1";
    let refused = stage
        .client
        .call(Method::GET, visitor, "viewer-key-0123456", None);
    assert_problem(&refused.await.unwrap(), 403, "role-too-low");
}
