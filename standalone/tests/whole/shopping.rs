//! The checkout through the public contract: holds, payments, the map, idempotency.

use crate::stage::{CARD, KEY, Stage, assert_problem, place, word};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_the_checkout_is_what_the_contract_says() {
    let stage = Stage::open().await;
    let event = stage.event("shop", json!({})).await;
    stage.event("other", json!({})).await;
    let (_, token) = stage.admit("shop").await;
    let open = async |event: &str, token: &str| {
        stage
            .client
            .post(
                &format!("/api/v1/events/{event}/sessions"),
                token,
                json!({}),
            )
            .await
            .unwrap()
    };
    assert_problem(&open("other", &token).await, 401, "bad-admission");
    assert_problem(&open("shop", "").await, 401, "bad-admission");
    let ada = word(&open("shop", &token).await.ok().unwrap()["session"]);
    assert_problem(&open("shop", &token).await, 409, "admission-already-used");
    let ben = stage.session("shop").await;
    let hold = stage
        .hold(&event, &ada, json!({"seats": ["st-A-1"]}))
        .await
        .ok()
        .unwrap();
    let path = format!("/api/v1/organiser/events/{event}");
    let kept = stage.client.delete(&path, KEY).await.unwrap();
    assert_problem(&kept, 409, "event-in-use");
    let taken = stage
        .hold(&event, &ben, json!({"seats": ["st-A-1", "st-A-2"]}))
        .await;
    assert_problem(&taken, 409, "seats-taken");
    assert_eq!(taken.body["taken"], json!(["st-A-1"]));
    assert_problem(
        &stage.hold(&event, &ben, json!({"seats": ["zz-1"]})).await,
        422,
        "unknown-seats",
    );
    let many = stage
        .hold(&event, &ben, json!({"best_available": {"quantity": 7}}))
        .await;
    assert_problem(&many, 422, "too-many-seats");
    assert_eq!(many.body["limit"], 6);
    let patch = json!({"max_seats_per_order": 50, "max_seats_per_visitor": 50});
    stage
        .organise(Method::PATCH, "/events/shop/checkout", Some(patch))
        .await
        .ok()
        .unwrap();
    let few = stage
        .hold(
            &event,
            &ben,
            json!({"best_available": {"quantity": 13, "category": "stalls"}}),
        )
        .await;
    assert_problem(&few, 409, "not-enough-seats");
    for wrong in [
        json!({}),
        json!({"seats": []}),
        json!({"seats": ["st-A-2"], "best_available": {"quantity": 1}}),
        json!({"best_available": {"quantity": 0}}),
        json!({"best_available": {"quantity": 1, "category": "roof"}}),
    ] {
        let refused = stage.hold(&event, &ben, wrong).await;
        assert_problem(&refused, 422, "invalid");
        assert!(refused.body["errors"][0]["field"].is_string());
    }
    assert_problem(
        &stage
            .hold(&event, "ses_forged", json!({"seats": ["st-A-2"]}))
            .await,
        401,
        "no-session",
    );
    let id = word(&hold["id"]);
    assert_problem(
        &stage.get(&format!("/api/v1/holds/{id}"), &ben).await,
        404,
        "no-such-hold",
    );
    assert_problem(
        &stage.get("/api/v1/holds/hold_none", &ada).await,
        404,
        "no-such-hold",
    );
    let buy = async |hold: &str, email: &str| {
        let body = json!({"hold": hold, "buyer": {"name": "B", "email": email}});
        stage
            .client
            .post("/api/v1/orders", &ada, body)
            .await
            .unwrap()
    };
    let wrong = buy(&id, "not-an-address").await;
    assert_problem(&wrong, 422, "invalid");
    assert_eq!(wrong.body["errors"][0]["field"], "buyer.email");
    let order = buy(&id, "a@b.example").await.ok().unwrap();
    assert_problem(&buy(&id, "a@b.example").await, 409, "hold-converted");
    assert_problem(&stage.pay(&ada, &order, "1234").await, 422, "invalid");
    assert_problem(&stage.pay(&ben, &order, CARD).await, 404, "no-such-payment");
    let poor = stage
        .pay(&ada, &order, "4000000000009995")
        .await
        .ok()
        .unwrap();
    assert_eq!(
        (&poor["state"], &poor["decline_reason"]),
        (&json!("declined"), &json!("insufficient_funds"))
    );
    stage.pay(&ada, &poor, CARD).await.ok().unwrap();
    assert_problem(&stage.pay(&ada, &poor, CARD).await, 409, "order-state");
    assert_problem(
        &stage.hold(&event, &ada, json!({"seats": ["st-A-2"]})).await,
        403,
        "session-over",
    );
    let gone = stage
        .client
        .delete(&format!("/api/v1/organiser/events/{event}"), KEY)
        .await
        .unwrap();
    assert_problem(&gone, 409, "event-has-orders");
    let plan = stage.organise(Method::PUT, "/events/shop/seating", Some(json!({"categories": [{"id": "c", "name": "C", "price": 1}], "areas": [{"id": "a", "category": "c", "capacity": 1}]}))).await;
    assert_problem(&plan, 422, "invalid");
    assert_eq!(
        stage
            .client
            .delete("/api/v1/organiser/events/other", KEY)
            .await
            .unwrap()
            .status,
        StatusCode::NO_CONTENT
    );
    assert_problem(
        &stage.get("/api/v1/events/other", "").await,
        404,
        "no-such-event",
    );
    assert_problem(
        &stage.get("/api/v1/events/other/seats", "").await,
        404,
        "no-such-event",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_lapse_payments_come_late_and_the_seats_flow_back_to_the_line() {
    let stage = Stage::open().await;
    let event = stage.event("clocks", json!({})).await;
    let (ada, ben) = (stage.session("clocks").await, stage.session("clocks").await);
    let held = stage
        .hold(&event, &ada, json!({"best_available": {"quantity": 2}}))
        .await
        .ok()
        .unwrap();
    let hold = stage
        .hold(&event, &ben, json!({"seats": ["fl-1"]}))
        .await
        .ok()
        .unwrap();
    let order = stage.order(&ben, &hold).await;
    assert_eq!(
        stage
            .pay(&ben, &order, "4000000000000259")
            .await
            .ok()
            .unwrap()["state"],
        "confirming"
    );
    stage
        .until("/api/v1/events/clocks", "", |event| {
            event["availability"]["held"] == 3
        })
        .await;
    stage.clock.advance_ms(21_000);
    let path = format!("/api/v1/orders/{}", word(&order["id"]));
    let paid = stage
        .until(&path, &ben, |order| order["state"] == "confirmed")
        .await;
    assert_eq!(paid["tickets"][0]["seat"], "fl-1");
    stage.clock.advance_ms(106_000);
    let path = format!("/api/v1/holds/{}", word(&held["id"]));
    stage
        .until(&path, &ada, |hold| hold["state"] == "expired")
        .await;
    stage
        .until("/api/v1/events/clocks", "", |event| {
            event["availability"]["available"] == 19
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_told_in_json_in_bits_and_live_without_gaps() {
    let stage = Stage::open().await;
    let event = stage.event("map", json!({})).await;
    let session = stage.session("map").await;
    let url = format!(
        "{}/api/v1/events/map/seats/ws",
        stage.url.replace("http", "ws")
    );
    let mut request = url.clone().into_client_request().unwrap();
    request.headers_mut().insert(
        "authorization",
        format!("Bearer {session}").parse().unwrap(),
    );
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut version = place(&mut socket).await["version"].as_u64().unwrap();
    let organisers = url.replace("/v1/", "/v1/organiser/");
    let watch = async |bearer: &str| {
        let mut request = organisers.as_str().into_client_request().unwrap();
        let bearer = format!("Bearer {bearer}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        tokio_tungstenite::connect_async(request).await
    };
    let (mut organiser, _) = watch(KEY).await.unwrap();
    assert_eq!(place(&mut organiser).await["version"], version);
    assert!(format!("{:?}", watch(&session).await.err()).contains("401"));
    let refused = tokio_tungstenite::connect_async(url).await;
    assert!(
        format!("{:?}", refused.err()).contains("401"),
        "a session is needed"
    );
    for seats in [["st-A-1", "st-A-2"], ["st-B-1", "st-B-2"]] {
        stage
            .hold(&event, &session, json!({"seats": seats}))
            .await
            .ok()
            .unwrap();
        let told = place(&mut socket).await;
        assert_eq!(place(&mut organiser).await, told);
        version += 1;
        assert_eq!(told["version"], version);
        assert_eq!(
            told["changes"],
            json!([[seats[0], "held"], [seats[1], "held"]])
        );
    }
    let map = stage
        .client
        .raw(Method::GET, "/api/v1/events/map/seats", &[], vec![])
        .await
        .unwrap();
    let tag = map.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(tag, format!("\"{version}\""));
    let body: Value = serde_json::from_slice(map.body()).unwrap();
    assert_eq!(
        body["counts"],
        json!({"available": 16, "held": 4, "booked": 0, "blocked": 0})
    );
    assert_eq!(
        body["seats"][0],
        json!({"id": "st-A-1", "category": "stalls", "state": "held"})
    );
    let same = stage
        .client
        .raw(
            Method::GET,
            "/api/v1/events/map/seats",
            &[("if-none-match", &tag)],
            vec![],
        )
        .await
        .unwrap();
    assert_eq!(
        (same.status(), same.body().len()),
        (StatusCode::NOT_MODIFIED, 0)
    );
    let bits = stage
        .client
        .raw(
            Method::GET,
            "/api/v1/events/map/seats",
            &[("accept", "application/octet-stream")],
            vec![],
        )
        .await
        .unwrap();
    assert_eq!(bits.headers()["x-version"], version.to_string().as_str());
    assert_eq!(&bits.body()[..], [0b0101, 0b0101_0000, 0, 0, 0]);
    let layout = stage
        .client
        .raw(Method::GET, "/api/v1/events/map/seating", &[], vec![])
        .await
        .unwrap();
    let tag = layout.headers()["etag"].to_str().unwrap().to_owned();
    let same = stage
        .client
        .raw(
            Method::GET,
            "/api/v1/events/map/seating",
            &[("if-none-match", &tag)],
            vec![],
        )
        .await
        .unwrap();
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_belongs_to_the_session_whatever_other_sessions_are_sent_along() {
    let stage = Stage::open().await;
    stage.event("here", json!({})).await;
    stage.event("there", json!({})).await;
    let (here, there) = (stage.session("here").await, stage.session("there").await);
    let here = format!("fairline_session_here={here}");
    let there = format!("fairline_session_there={there}");
    let cookies = [
        here.clone(),
        format!("{here}; {there}"),
        format!("{there}; {here}"),
        // One of the same event that opens nothing, as of another site on this domain.
        format!("fairline_session_here=ses_here_0; {here}"),
    ];
    let send = async |path: &str, cookie: &str, body: &Value| {
        let heads = [
            ("content-type", "application/json"),
            ("idempotency-key", "one"),
            ("origin", &stage.url),
            ("cookie", cookie),
        ];
        let (status, body) = stage
            .send(Method::POST, path, &heads, &body.to_string())
            .await;
        assert!(status.is_success(), "{status} {body}");
        body
    };
    let all = async |path: &str, body: Value| {
        let first = send(path, &cookies[0], &body).await;
        for cookie in &cookies[1..] {
            assert_eq!(send(path, cookie, &body).await, first, "{cookie}");
        }
        first
    };
    let hold = all("/api/v1/events/here/holds", json!({"seats": ["st-A-1"]})).await;
    let buyer = json!({"name": "Ada", "email": "ada@example.org"});
    let order = json!({"hold": hold["id"], "buyer": buyer});
    let order = all("/api/v1/orders", order).await;
    let pay = format!(
        "/api/v1/payments/simulated/{}",
        word(&order["payment"]["id"])
    );
    let paid = all(&pay, json!({"card": CARD})).await;
    assert_eq!(paid["state"], "confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_keys_make_every_creation_happen_once() {
    let stage = Stage::open().await;
    let event = stage.event("once", json!({})).await;
    let session = stage.session("once").await;
    let send = async |path: &str, bearer: &str, key: &str, body: Value| {
        let bearer = format!("Bearer {bearer}");
        let mut heads = vec![
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        if bearer.len() > 7 {
            heads.push(("authorization", &bearer));
        }
        let answer = stage
            .client
            .raw(Method::POST, path, &heads, body.to_string().into_bytes())
            .await
            .unwrap();
        let replayed = answer
            .headers()
            .get("idempotency-replayed")
            .is_some_and(|value| value == "true");
        (
            answer.status().as_u16(),
            replayed,
            serde_json::from_slice::<Value>(answer.body()).unwrap(),
        )
    };
    let holds = format!("/api/v1/events/{event}/holds");
    let body = json!({"seats": ["st-A-1"]});
    let first = send(&holds, &session, "k1", body.clone()).await;
    assert_eq!((first.0, first.1), (201, false));
    assert_eq!(
        send(&holds, &session, "k1", body).await,
        (201, true, first.2.clone())
    );
    let other = send(&holds, &session, "k1", json!({"seats": ["st-A-2"]})).await;
    assert_eq!(
        (other.0, &other.2["type"]),
        (422, &json!("/problems/idempotency-mismatch"))
    );
    let ben = stage.session("once").await;
    let theirs = send(&holds, &ben, "k1", json!({"seats": ["st-A-2"]})).await;
    assert_eq!(
        (theirs.0, theirs.1),
        (201, false),
        "another fan's key is another key"
    );
    let order = json!({"hold": first.2["id"], "buyer": {"name": "A", "email": "a@b.example"}});
    let made = send("/api/v1/orders", &session, "k2", order.clone()).await;
    assert_eq!(
        send("/api/v1/orders", &session, "k2", order).await,
        (201, true, made.2.clone())
    );
    let pay = format!(
        "/api/v1/payments/simulated/{}",
        word(&made.2["payment"]["id"])
    );
    let paid = send(&pay, &session, "k3", json!({"card": CARD})).await;
    assert_eq!(
        send(&pay, &session, "k3", json!({"card": CARD})).await,
        (200, true, paid.2)
    );
    let (_, token) = stage.admit("once").await;
    let sessions = "/api/v1/events/once/sessions";
    let opened = send(sessions, &token, "k6", json!({})).await;
    assert_eq!((opened.0, opened.1), (201, false));
    assert_eq!(
        send(sessions, &token, "k6", json!({})).await,
        (201, true, opened.2)
    );
    let other = send(sessions, &token, "k7", json!({})).await;
    assert_eq!(
        (other.0, &other.2["type"]),
        (409, &json!("/problems/admission-already-used"))
    );
    let line = "/api/v1/events/once/line";
    let joined = send(line, "", "8e03978e-40d5-43dd-bc93-6894a57f9324", json!({})).await;
    let again = send(line, "", "8e03978e-40d5-43dd-bc93-6894a57f9324", json!({})).await;
    assert_eq!(
        (again.0, again.1, &again.2["number"]),
        (201, true, &joined.2["number"])
    );
    let create = "/api/v1/organiser/events";
    let body = json!({"id": "twice", "name": "Twice"});
    let made = send(create, KEY, "k4", body.clone()).await;
    assert_eq!(
        send(create, KEY, "k4", body.clone()).await,
        (201, true, made.2)
    );
    assert_eq!(
        send(create, KEY, "k4", json!({"id": "thrice", "name": "T"}))
            .await
            .0,
        422
    );
    let clash = send(create, KEY, "k5", body).await;
    assert_eq!(
        (clash.0, &clash.2["type"]),
        (409, &json!("/problems/event-exists"))
    );
    let long = "x".repeat(256);
    assert_eq!(
        send(create, KEY, &long, json!({"id": "long", "name": "L"}))
            .await
            .0,
        422
    );
}
