//! The line through the public contract: joining, the turn, the gate.

use crate::stage::{CARD, Stage, assert_problem, word};
use hyper::{Method, StatusCode};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_goes_from_the_line_to_the_tickets() {
    let stage = Stage::open().await;
    let event = stage.event("arena", json!({})).await;
    let listed = stage.get("/api/v1/events", "").await.body;
    assert_eq!(
        (&listed[0]["id"], &listed[0]["phase"]),
        (&json!("arena"), &json!("open"))
    );
    let joined = stage
        .client
        .post("/api/v1/events/arena/line", "", json!({}))
        .await
        .unwrap();
    assert_eq!(joined.status, StatusCode::CREATED);
    let pass = word(&joined.body["pass"]);
    let again = stage
        .client
        .post("/api/v1/events/arena/line", &pass, json!({}))
        .await
        .unwrap();
    assert_eq!(
        (again.status, &again.body["number"]),
        (StatusCode::OK, &json!(1))
    );
    let me = stage
        .until("/api/v1/events/arena/line/me", &pass, |place| {
            place["state"] == "admitted"
        })
        .await;
    let token = word(&me["token"]);
    assert_eq!(me["checkout_url"], "/e/arena/seats");
    let session = stage
        .client
        .post("/api/v1/events/arena/sessions", &token, json!({}))
        .await
        .unwrap();
    assert_eq!(session.status, StatusCode::CREATED);
    let session = word(&session.body["session"]);
    stage
        .until("/api/v1/events/arena/line/me", &pass, |place| {
            place["state"] == "shopping"
        })
        .await;
    let hold = stage
        .hold(&event, &session, json!({"seats": ["st-A-1", "st-A-2"]}))
        .await
        .ok()
        .unwrap();
    assert_eq!(hold["total"], json!({"amount": 9000, "currency": "EUR"}));
    stage
        .until("/api/v1/events/arena", "", |event| {
            event["availability"]["held"] == 2
        })
        .await;
    let order = stage.order(&session, &hold).await;
    assert_eq!(
        (&order["state"], &order["payment"]["provider"]),
        (&json!("paying"), &json!("simulated"))
    );
    let paid = stage.pay(&session, &order, CARD).await.ok().unwrap();
    assert_eq!(
        (&paid["state"], paid["tickets"].as_array().unwrap().len()),
        (&json!("confirmed"), 2)
    );
    let hold = stage
        .get(&format!("/api/v1/holds/{}", word(&hold["id"])), &session)
        .await;
    assert_eq!(hold.body["state"], "converted");
    stage
        .until("/api/v1/events/arena/line/me", &pass, |place| {
            place["state"] == "finished"
        })
        .await;
    let seen = stage
        .until("/api/v1/events/arena", "", |event| {
            event["availability"]["booked"] == 2
        })
        .await;
    assert_eq!(seen["availability"]["available"], 18);
    let sales = stage
        .organise(Method::GET, "/events/arena/sales", None)
        .await
        .body;
    assert_eq!(
        (&sales["revenue"]["amount"], &sales["orders"]["confirmed"]),
        (&json!(9000), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_without_javascript_says_when_the_line_and_the_sale_open() {
    let stage = Stage::open().await;
    let times =
        |line: &str| json!({"prequeue_opens_at": line, "sale_opens_at": "2027-06-02T18:30:00Z"});
    stage.event("later", times("2027-06-01T18:00:00Z")).await;
    stage.event("soon", times("2027-01-01T18:00:00Z")).await;
    let page = async |event: &str, cookie: &str| {
        let path = format!("/e/{event}");
        let heads = [("cookie", cookie)];
        let answer = stage.client.raw(Method::GET, &path, &heads, vec![]).await;
        String::from_utf8_lossy(answer.unwrap().body()).into_owned()
    };
    let scheduled = page("later", "").await;
    assert!(
        scheduled.contains("It opens on Tuesday, 1 June 2027, 18:00 UTC."),
        "{scheduled}"
    );
    let pass = word(&stage.client.join("soon").await.unwrap()["pass"]);
    let waiting = page("soon", &format!("fairline_pass_soon={pass}")).await;
    assert!(
        waiting.contains("The sale opens on Wednesday, 2 June 2027, 18:30 UTC."),
        "{waiting}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_the_line_is_what_the_contract_says() {
    let stage = Stage::open().await;
    stage.event("now", json!({})).await;
    stage.event("later", json!({"prequeue_opens_at": "2027-06-01T00:00:00Z", "sale_opens_at": "2027-06-02T00:00:00Z"})).await;
    stage
        .event("over", json!({"closes_at": "2026-01-01T00:00:00Z"}))
        .await;
    let join = async |event: &str| {
        stage
            .client
            .post(&format!("/api/v1/events/{event}/line"), "", json!({}))
            .await
            .unwrap()
    };
    assert_problem(&join("nowhere").await, 404, "no-such-event");
    assert_problem(&join("Not%20A%20Slug").await, 404, "no-such-event");
    let early = join("later").await;
    assert_problem(&early, 403, "line-not-open");
    assert_eq!(early.body["opens_at"], "2027-06-01T00:00:00Z");
    let late = join("over").await;
    assert_problem(&late, 409, "line-closed");
    assert_eq!(late.body["phase"], "closed");
    assert_problem(
        &stage.get("/api/v1/events/now/line/me", "").await,
        401,
        "no-pass",
    );
    assert_problem(
        &stage.get("/api/v1/events/now/line/me", "forged").await,
        401,
        "no-pass",
    );
    assert_problem(
        &stage
            .client
            .delete("/api/v1/events/now/line/me", "")
            .await
            .unwrap(),
        401,
        "no-pass",
    );
    let start = stage
        .client
        .post("/api/v1/events/now/admission/start", "x.y.z", json!({}))
        .await
        .unwrap();
    assert_problem(&start, 401, "bad-admission");
    let (pass, token) = stage.admit("now").await;
    for _ in 0..2 {
        let left = stage
            .client
            .delete("/api/v1/events/now/line/me", &pass)
            .await
            .unwrap();
        assert_eq!(left.status, StatusCode::NO_CONTENT);
    }
    let lapsed = stage
        .client
        .post("/api/v1/events/now/admission/start", &token, json!({}))
        .await
        .unwrap();
    assert_problem(&lapsed, 410, "slot-lapsed");
    assert_problem(
        &stage
            .client
            .post("/api/v1/events/now/sessions", &token, json!({}))
            .await
            .unwrap(),
        410,
        "slot-lapsed",
    );
    for _ in 0..2 {
        let done = stage
            .client
            .delete("/api/v1/events/now/admission", &token)
            .await
            .unwrap();
        assert_eq!(done.status, StatusCode::NO_CONTENT);
    }
    let again = stage
        .client
        .post("/api/v1/events/now/line", &pass, json!({}))
        .await
        .unwrap();
    assert_eq!(
        (again.status, &again.body["number"]),
        (StatusCode::CREATED, &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_poll_sets_the_cookies_that_the_gate_and_the_pages_read() {
    let stage = Stage::open().await;
    stage.event("cookies", json!({})).await;
    let (pass, token) = stage.admit("cookies").await;
    let bearer = format!("Bearer {pass}");
    let answer = stage
        .client
        .raw(
            Method::GET,
            "/api/v1/events/cookies/line/me",
            &[("authorization", &bearer)],
            vec![],
        )
        .await
        .unwrap();
    let set: Vec<&str> = answer
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert!(
        set.iter()
            .any(|cookie| cookie.starts_with("fairline_pass_cookies="))
    );
    assert!(
        set.iter()
            .any(|cookie| cookie.starts_with(&format!("fairline_admission_cookies={token}")))
    );
    assert!(set.iter().all(|cookie| cookie.contains("HttpOnly")
        && cookie.contains("SameSite=Lax")
        && cookie.contains("Path=/")));
    let cookie = format!("fairline_pass_cookies={pass}");
    let page = stage
        .client
        .raw(Method::GET, "/e/cookies", &[("cookie", &cookie)], vec![])
        .await
        .unwrap();
    let set: Vec<&str> = page
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    let admission = format!("fairline_admission_cookies={token}");
    assert!(
        set.iter().any(|cookie| cookie.starts_with(&admission)),
        "without scripts too"
    );
    let secure =
        Stage::with(|common| common.public_url = Some("https://tickets.example".into())).await;
    secure.event("cookies", json!({})).await;
    let joined = secure
        .client
        .raw(Method::POST, "/api/v1/events/cookies/line", &[], vec![])
        .await
        .unwrap();
    let cookie = joined.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-fairline_pass_cookies=") && cookie.contains("; Secure"),
        "{cookie}"
    );
    assert!(joined.headers().contains_key("strict-transport-security"));
}

#[tokio::test]
async fn fairline_itself_runs_on_redis_from_the_line_to_the_ticket() {
    let redis = testkit::Redis::start();
    let stage = Stage::on(&redis).await;
    let event = stage.event("arena", json!({})).await;
    let session = stage.session(&event).await;
    let wish = json!({"best_available": {"quantity": 2}});
    let hold = stage.hold(&event, &session, wish).await.ok().unwrap();
    let order = stage.order(&session, &hold).await;
    stage.pay(&session, &order, CARD).await.ok().unwrap();
    let path = format!("/api/v1/orders/{}", word(&order["id"]));
    let order = stage
        .until(&path, &session, |order| order["state"] == "confirmed")
        .await;
    assert_eq!(order["tickets"].as_array().unwrap().len(), 2);
    let stats = stage
        .organise(Method::GET, "/events/arena/stats", None)
        .await;
    assert_eq!(stats.body["total"]["admitted"], 1);
}
