//! Undeclared input is refused, never ignored, by every operation that the OpenAPI document
//! describes.

use crate::stage::{KEY, Stage, assert_problem, word};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

/// Returns the operations of the document: method, path with its placeholders filled in,
/// description.
pub(crate) async fn operations(stage: &Stage) -> Vec<(Method, String, Value)> {
    let document = stage.get("/api/openapi.json", "").await.body;
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        // A request to the gate carries whatever the request it asks about carries.
        if path.starts_with("/gate/") {
            continue;
        }
        let path = path
            .replace("{event}", "strict")
            .replace("{visitor}", "vis_00000000000000000000000000000001")
            .replace("{order}", "ord_strict_x")
            .replace("{ticket}", "tix_x")
            .replace("{mail}", "evt_x")
            .replace("{webhook}", "whe_x")
            .replace("{delivery}", "evt_x")
            .replace("{table}", "orders.csv")
            .replace("{hold}", "hold_strict_x")
            .replace("{payment}", "pay_strict_x")
            .replace("{number}", "X-1");
        assert!(
            !path.contains('{'),
            "{path} has a placeholder that this test does not know"
        );
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_ascii_uppercase().parse().unwrap();
            all.push((method, path.clone(), operation.clone()));
        }
    }
    assert!(all.len() > 40, "{}", all.len());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_refuses_a_query_parameter_that_it_does_not_take() {
    let stage = Stage::open().await;
    stage.event("strict", json!({})).await;
    for (method, path, _) in operations(&stage).await {
        let answer = stage
            .client
            .call(method.clone(), &format!("{path}?colour=red"), KEY, None)
            .await
            .unwrap();
        assert_problem(&answer, 422, "invalid");
        assert_eq!(
            answer.body["errors"][0]["field"], "colour",
            "{method} {path}"
        );
    }
    let orders = "/api/v1/organiser/events/strict/orders";
    for (query, field) in [
        ("name=ada", "name"),
        ("limit=many", "limit"),
        ("limit=1&limit=2", "limit"),
        ("limit=-1", "limit"),
        ("limit=1&state=paid", "state: one of paying"),
    ] {
        let answer = stage.get(&format!("{orders}?{query}"), KEY).await;
        assert_problem(&answer, 422, "invalid");
        let told = answer.body["detail"].as_str().unwrap();
        assert!(told.contains(field), "{query}: {told}");
    }
    let known = stage.get(&format!("{orders}?limit=5"), KEY).await;
    assert_eq!(known.status, StatusCode::OK, "{}", known.body);
    // A page accepts any parameters of a link to it.
    assert_eq!(
        stage.get("/e/strict?utm_source=mail", "").await.status,
        StatusCode::OK
    );
}

/// Returns the query that an operation cannot do without, of its examples.
fn required_query(operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let required = parameters.filter(|it| it["in"] == "query" && it["required"] == true);
    let pair = |it: &Value| format!("?{}={}", word(&it["name"]), word(&it["example"]));
    required.map(pair).collect()
}

/// A credential of each kind.
struct Bearers {
    session: String,
    pass: String,
    token: String,
    service: String,
}

impl Bearers {
    async fn of(stage: &Stage) -> Bearers {
        let session = stage.session("strict").await;
        let (pass, token) = stage.admit("strict").await;
        Bearers {
            session,
            pass,
            token,
            service: stage.fairline.room.service_key.clone(),
        }
    }

    /// Returns one that an operation takes.
    fn bearer(&self, operation: &Value) -> &str {
        let scheme = operation["security"].as_array().into_iter().flatten();
        let scheme = scheme
            .filter_map(|one| one.as_object()?.keys().next())
            .next_back();
        match scheme.map(String::as_str) {
            Some("organiser") => KEY,
            Some("session" | "link") => &self.session,
            Some("pass") => &self.pass,
            Some("admission") => &self.token,
            Some("service") => &self.service,
            _ => "",
        }
    }
}

/// Returns a body once for each object in it, with a list of its values in its place.
fn with_lists(body: &Value) -> Vec<Value> {
    let Some(members) = body.as_object() else {
        let items = body.as_array().into_iter().flatten().enumerate();
        let deeper =
            items.flat_map(|(at, item)| with_lists(item).into_iter().map(move |item| (at, item)));
        let replaced = |(at, item)| {
            let mut body = body.clone();
            body[at] = item;
            body
        };
        return deeper.map(replaced).collect();
    };
    let mut all = vec![members.values().cloned().collect()];
    for (name, member) in members {
        for member in with_lists(member) {
            let mut body = body.clone();
            body[name] = member;
            all.push(body);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_takes_a_list_for_an_object_anywhere_in_its_body() {
    let stage = Stage::open().await;
    stage.event("strict", json!({})).await;
    let bearers = Bearers::of(&stage).await;
    let mut sent = 0;
    for (method, path, operation) in operations(&stage).await {
        // Its sender decides what is in it, and signs it.
        if operation["requestBody"].is_null() || path.starts_with("/webhooks/") {
            continue;
        }
        let content = &operation["requestBody"]["content"]["application/json"];
        let example = &content["example"];
        assert!(example.is_object(), "{method} {path}: {content}");
        for body in with_lists(example) {
            let bearer = bearers.bearer(&operation);
            let asked = stage
                .client
                .call(method.clone(), &path, bearer, Some(body.clone()));
            let answer = asked.await.unwrap();
            assert_problem(&answer, 422, "invalid");
            let told = &answer.body["errors"][0]["detail"];
            let told = told.as_str().unwrap_or_default();
            assert!(
                told.ends_with("an object is needed, not a list"),
                "{method} {path}: {body}: {told}"
            );
            sent += 1;
        }
    }
    assert!(sent > 20, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_in_a_query_may_be_too_large_but_no_other_word() {
    let stage = Stage::open().await;
    stage.event("strict", json!({})).await;
    let bearers = Bearers::of(&stage).await;
    let mut asked = 0;
    for (method, path, operation) in operations(&stage).await {
        let bearer = bearers.bearer(&operation);
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in parameters.filter(|it| it["in"] == "query") {
            let kind = &parameter["schema"]["type"];
            let is_number = kind == "integer" || *kind == json!(["integer", "null"]);
            if !is_number {
                continue;
            }
            let name = word(&parameter["name"]);
            let huge = "9".repeat(40);
            // There is no webhook whose deliveries could be listed.
            let accepted = if path.contains("/webhooks/") {
                404
            } else {
                200
            };
            for (number, status) in [
                ("0", accepted),
                (&*huge, accepted),
                ("-1", 422),
                ("2.5", 422),
                ("", 422),
            ] {
                let asked = format!("{path}?{name}={number}");
                let answer = stage.client.call(method.clone(), &asked, bearer, None);
                let answer = answer.await.unwrap();
                assert_eq!(answer.status.as_u16(), status, "{asked}: {}", answer.body);
                if status == 422 {
                    let told = &answer.body["errors"][0];
                    assert_eq!(told["field"], *name, "{asked}");
                    assert_eq!(
                        told["detail"], "a whole number from 0 on is needed",
                        "{asked}"
                    );
                }
            }
            asked += 1;
        }
    }
    assert!(asked >= 3, "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_refuses_a_body_that_it_does_not_take() {
    let stage = Stage::open().await;
    stage.event("strict", json!({})).await;
    let bearers = Bearers::of(&stage).await;
    for (method, path, operation) in operations(&stage).await {
        // Its sender decides what is in it, and signs it.
        if path.starts_with("/webhooks/") {
            continue;
        }
        let bearer = bearers.bearer(&operation);
        let body = json!({"colour": "red"});
        let answer = stage
            .client
            .call(method.clone(), &path, bearer, Some(body))
            .await
            .unwrap();
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{method} {path}: {}",
            answer.body
        );
        if operation["requestBody"].is_null() {
            let authorization = format!("Bearer {bearer}");
            let heads = [
                ("content-type", "text/plain"),
                ("authorization", authorization.as_str()),
            ];
            let answer = stage
                .send(method.clone(), &path, &heads, "not even JSON")
                .await;
            assert_eq!(
                answer.0,
                StatusCode::UNPROCESSABLE_ENTITY,
                "{method} {path}"
            );
            let is_endless =
                operation["responses"]["200"]["content"]["text/event-stream"].is_object();
            if method == Method::GET && !is_endless {
                let path = format!("{path}{}", required_query(&operation));
                let nothing = stage
                    .client
                    .call(method, &path, bearer, None)
                    .await
                    .unwrap();
                assert_ne!(
                    nothing.status,
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "{path}: {}",
                    nothing.body
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_names_an_amount_or_seats_of_others_refunds_nothing() {
    let stage = Stage::open().await;
    stage.event("strict", json!({})).await;
    let session = stage.session("strict").await;
    let order = stage.buy("strict", &session, 3).await;
    let id = word(&order["id"]);
    let path = format!("/api/v1/organiser/events/strict/orders/{id}/refund");
    let bearer = format!("Bearer {KEY}");
    let heads = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    for (body, status) in [
        (r#"{"seats": ["st-B-1"]}"#, 422),
        (r#"{"seats": []}"#, 422),
        (r#"{"seats": null}"#, 422),
        (r#"{"seats": "st-A-4"}"#, 422),
        (r#"{"amount": 100}"#, 422),
        (r#"{"amount": {"amount": 100, "currency": "EUR"}}"#, 422),
        (r#"{"amount": {"amount": 100"#, 400),
        (r#"["st-A-4"]"#, 422),
    ] {
        let (found, answer) = stage.send(Method::POST, &path, &heads, body).await;
        assert_eq!(found.as_u16(), status, "{body}: {answer}");
    }
    let order = stage
        .get(&format!("/api/v1/orders/{id}"), &session)
        .await
        .body;
    assert_eq!(order["state"], "confirmed");
    let refunded = stage.send(Method::POST, &path, &heads, "").await;
    assert_eq!(
        (refunded.0, &refunded.1["state"]),
        (StatusCode::OK, &json!("refunded"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_told_that_they_are_before_what_they_sent_is_judged() {
    let stage = Stage::open().await;
    stage.event("strict", json!({})).await;
    let mut asked = 0;
    for (method, path, operation) in operations(&stage).await {
        let security = operation["security"].as_array();
        let needs_credential = security.is_some_and(|all| all.iter().all(|one| one != &json!({})));
        if needs_credential && !path.contains("/ws") {
            let path = format!("{path}?colour=red");
            let answer = stage.send(method.clone(), &path, &[], "").await;
            assert_eq!(answer.0, StatusCode::UNAUTHORIZED, "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
}
