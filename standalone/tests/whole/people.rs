//! Personal data, from outside: stored sealed, exported and erased on request.

use crate::stage::{CARD, KEY, Stage, assert_problem, word};
use hyper::Method;
use serde_json::json;

const PEOPLE: &str = "/people?email=ADA%40example.org";

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_is_exported_and_erased_and_was_never_in_clear_in_a_file() {
    let stage = Stage::open().await;
    stage.event("night", json!({})).await;
    let session = stage.session("night").await;
    let hold = stage
        .hold("night", &session, json!({"seats": ["st-A-1"]}))
        .await;
    let order = stage.order(&session, &hold.body).await;
    stage.pay(&session, &order, CARD).await.ok().unwrap();
    let stored = stage.files();
    assert!(stored.contains(&word(&order["id"])));
    assert!(
        !stored.contains("ada@example.org"),
        "an address is in clear"
    );
    assert!(!stored.contains("\"Ada\""), "a name is in clear");
    assert!(!stored.contains("eyJ"), "an admission token is in clear");

    let export = async || {
        let answer = stage.organise(Method::GET, PEOPLE, None).await;
        answer.ok().unwrap()["orders"].clone()
    };
    let found = export().await;
    assert_eq!(found[0]["order"]["id"], order["id"]);
    assert_eq!(found[0]["order"]["buyer"]["email"], "ada@example.org");
    assert_eq!(found[0]["visit"]["holds"][0]["id"], hold.body["id"]);
    let secret = word(&order["payment"]["client_secret"]);
    assert!(!found.to_string().contains(&secret) && !found.to_string().contains("FL2."));

    let erased = stage.organise(Method::DELETE, PEOPLE, None).await;
    assert_eq!(erased.ok().unwrap(), json!({"orders": 1, "line": 0}));
    assert_eq!(export().await, json!([]));
    let path = format!("/api/v1/orders/{}", word(&order["id"]));
    let seen = stage.get(&path, &session).await.ok().unwrap();
    assert_eq!(
        (&seen["buyer"], &seen["state"]),
        (&json!(null), &json!("confirmed"))
    );
    let sales = stage.get("/api/v1/organiser/events/night/sales", KEY).await;
    assert_eq!(sales.ok().unwrap()["revenue"]["amount"], 4500);

    // The audit log says that it was done, and not to whom.
    let audit = stage
        .get("/api/v1/organiser/audit", KEY)
        .await
        .ok()
        .unwrap();
    let entries = audit.as_array().unwrap().iter();
    let erasure = entries
        .clone()
        .find(|entry| entry["action"] == "person.erase");
    assert_eq!(erasure.unwrap()["to"], json!({"orders": 1}));
    assert!(!audit.to_string().to_lowercase().contains("ada@example.org"));
    assert!(
        entries
            .clone()
            .any(|entry| entry["action"] == "person.export")
    );

    for query in ["/people", "/people?email=ada", "/people?email=a@b.c&x=1"] {
        let wrong = stage.organise(Method::GET, query, None).await;
        assert_problem(&wrong, 422, "invalid");
    }
    let people = format!("/api/v1/organiser{PEOPLE}");
    let operator = stage.get(&people, "operator-key-01234").await;
    assert_problem(&operator, 403, "role-too-low");
}
