//! Journeys through the public contract, over real connections.

use crate::stage::{CARD, KEY, Stage, assert_problem, word};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::{Method, StatusCode};
use loadtest::client::{Socket, next};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

async fn place(socket: &mut Socket) -> Value {
    let message = tokio::time::timeout(Duration::from_secs(10), next(socket)).await;
    message
        .expect("a message should come")
        .expect("the socket should be open")
}

/// The close code of a socket, after whatever else it says.
async fn close_code(socket: &mut Socket) -> u16 {
    let reading = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(Some(frame)) = message {
                return frame.code.into();
            }
        }
        0
    };
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .expect("the socket should close")
}

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
    assert_problem(&plan, 409, "seating-in-use");
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
    stage.clock.advance_ms(100_000);
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
async fn the_socket_tells_the_place_at_once_and_whenever_it_changes() {
    let stage = Stage::open().await;
    stage.event("push", json!({"paused": true})).await;
    let mut passes = Vec::new();
    for _ in 0..3 {
        passes.push(word(&stage.client.join("push").await.unwrap()["pass"]));
    }
    let mut socket = stage.client.watch("push", &passes[2]).await.unwrap();
    let first = place(&mut socket).await;
    assert_eq!(
        (&first["type"], &first["ahead"], &first["phase"]),
        (&json!("place"), &json!(2), &json!("paused"))
    );
    assert!(first.get("pass").is_none(), "the pass is not pushed");
    stage
        .client
        .delete("/api/v1/events/push/line/me", &passes[0])
        .await
        .unwrap();
    assert_eq!(place(&mut socket).await["ahead"], 1);
    stage
        .organise(
            Method::PATCH,
            "/events/push",
            Some(json!({"message": "soon"})),
        )
        .await
        .ok()
        .unwrap();
    let notice = place(&mut socket).await;
    assert_eq!(notice, json!({"type": "notice", "message": "soon"}));
    assert_eq!(place(&mut socket).await["message"], "soon");
    stage
        .organise(
            Method::PATCH,
            "/events/push",
            Some(json!({"paused": false})),
        )
        .await
        .ok()
        .unwrap();
    let turn = loop {
        let told = place(&mut socket).await;
        if told["state"] == "admitted" {
            break told;
        }
    };
    assert!(turn["token"].is_string() && turn["claim_by"].is_string());
    let mut newer = stage.client.watch("push", &passes[2]).await.unwrap();
    assert_eq!(place(&mut newer).await["state"], "admitted");
    assert_eq!(
        close_code(&mut socket).await,
        4001,
        "a second socket replaces the first"
    );
    newer.send(Message::text("x".repeat(5000))).await.unwrap();
    assert_eq!(close_code(&mut newer).await, 1009);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_keeps_the_place_and_a_closed_one_loses_it_after_away_seconds() {
    let stage = Stage::open().await;
    let admission = json!({"rate_per_minute": 0, "away_seconds": 30});
    stage.event("away", json!({"admission": admission})).await;
    let here = word(&stage.client.join("away").await.unwrap()["pass"]);
    let gone = word(&stage.client.join("away").await.unwrap()["pass"]);
    let mut socket = stage.client.watch("away", &here).await.unwrap();
    place(&mut socket).await;
    stage.clock.advance_ms(31_000);
    stage
        .until("/api/v1/organiser/events/away/line/2", KEY, |visitor| {
            visitor["state"] == "missed"
        })
        .await;
    let first = stage
        .get("/api/v1/organiser/events/away/line/1", KEY)
        .await
        .body;
    assert_eq!(first["state"], "waiting");
    drop(socket);
    stage
        .until("/api/v1/organiser/events/away/stats", KEY, |stats| {
            stats["away"] == 1
        })
        .await;
    stage.clock.advance_ms(31_000);
    stage
        .until("/api/v1/organiser/events/away/line/1", KEY, |visitor| {
            visitor["state"] == "missed"
        })
        .await;
    let me = stage.get("/api/v1/events/away/line/me", &gone).await.body;
    assert_eq!(me["state"], "missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_tells_its_sockets_to_come_back_and_waits_for_them() {
    let mut stage = Stage::open().await;
    stage.event("drain", json!({"paused": true})).await;
    let pass = word(&stage.client.join("drain").await.unwrap()["pass"]);
    let mut socket = stage.client.watch("drain", &pass).await.unwrap();
    place(&mut socket).await;
    stage.stop.cancel();
    let told = place(&mut socket).await;
    assert_eq!(told["type"], "reconnect");
    assert!(told["after_ms"].as_u64().unwrap() < 10_000);
    assert_eq!(close_code(&mut socket).await, 1012);
    drop(socket);
    let serving = stage.serving.take().unwrap();
    tokio::time::timeout(Duration::from_secs(10), serving)
        .await
        .expect("the drain should end")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_lets_the_admitted_pass_and_names_the_queue_to_all_others() {
    let stage = Stage::open().await;
    stage.event("gate", json!({})).await;
    let (pass, token) = stage.admit("gate").await;
    let away = stage
        .client
        .raw(Method::GET, "/gate/gate", &[], vec![])
        .await
        .unwrap();
    assert_eq!(away.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        away.headers()["x-fairline-queue"],
        format!("{}/e/gate", stage.url)
    );
    let cookie = format!("fairline_admission_gate={token}");
    for heads in [
        [("cookie", cookie.as_str())],
        [("authorization", &format!("Bearer {token}"))],
    ] {
        let pass = stage
            .client
            .raw(Method::GET, "/gate/gate", &heads, vec![])
            .await
            .unwrap();
        assert_eq!(pass.status(), StatusCode::NO_CONTENT);
        assert!(
            pass.headers()["x-fairline-visitor"]
                .to_str()
                .unwrap()
                .starts_with("vis_")
        );
    }
    let me = stage.get("/api/v1/events/gate/line/me", &pass).await.body;
    assert_eq!(me["state"], "shopping", "the first 204 is the start");
    stage
        .client
        .delete("/api/v1/events/gate/admission", &token)
        .await
        .unwrap();
    let done = stage
        .client
        .raw(Method::GET, "/gate/gate", &[("cookie", &cookie)], vec![])
        .await
        .unwrap();
    assert_eq!(done.status(), StatusCode::UNAUTHORIZED);
    let jwks = stage.get("/.well-known/jwks.json", "").await.body;
    assert_eq!(
        (&jwks["keys"][0]["kty"], &jwks["keys"][0]["alg"]),
        (&json!("OKP"), &json!("EdDSA"))
    );
    assert!(jwks["keys"][0].get("d").is_none());
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

#[tokio::test(flavor = "multi_thread")]
async fn roles_allow_what_they_say_and_the_audit_log_says_who() {
    let stage = Stage::open().await;
    stage.event("roles", json!({})).await;
    let (viewer, operator) = ("viewer-key-0123456", "operator-key-01234");
    let path = "/api/v1/organiser/events/roles";
    let patch = async |key: &str, body: Value| {
        stage
            .client
            .call(Method::PATCH, path, key, Some(body))
            .await
            .unwrap()
    };
    assert_problem(&stage.get(path, "").await, 401, "no-organiser");
    assert_problem(
        &stage.get(path, "a-wrong-key-0123456").await,
        401,
        "no-organiser",
    );
    assert_eq!(stage.get(path, viewer).await.status, StatusCode::OK);
    assert_problem(
        &patch(viewer, json!({"paused": true})).await,
        403,
        "role-too-low",
    );
    assert_eq!(
        patch(
            operator,
            json!({"paused": true, "message": "m", "admission": {"rate_per_minute": 1}})
        )
        .await
        .status,
        StatusCode::OK
    );
    assert_problem(
        &patch(operator, json!({"name": "Mine"})).await,
        403,
        "role-too-low",
    );
    assert_problem(
        &stage.client.delete(path, operator).await.unwrap(),
        403,
        "role-too-low",
    );
    let wrong = patch(KEY, json!({"admission": {"rate_per_minute": -1}})).await;
    assert_problem(&wrong, 422, "invalid");
    assert_eq!(
        wrong.body["errors"][0]["field"],
        "admission.rate_per_minute"
    );
    let unknown = patch(KEY, json!({"colour": "red"})).await;
    assert!(
        unknown.body["detail"].as_str().unwrap().contains("colour"),
        "{}",
        unknown.body
    );
    let seats = json!({"seats": ["st-A-1"]});
    let block = "/api/v1/organiser/events/roles/seats/block";
    assert_problem(
        &stage
            .client
            .post(block, viewer, seats.clone())
            .await
            .unwrap(),
        403,
        "role-too-low",
    );
    assert_eq!(
        stage
            .client
            .post(block, operator, seats)
            .await
            .unwrap()
            .body["blocked"],
        1
    );
    let log = stage.organise(Method::GET, "/audit", None).await.body;
    assert_eq!(
        (&log[0]["action"], &log[0]["by"]),
        (&json!("seats.block"), &json!("op"))
    );
    assert_eq!(
        (&log[1]["from"]["paused"], &log[1]["to"]["paused"]),
        (&json!(false), &json!(true))
    );
    assert!(log[1]["to"].get("name").is_none(), "only what changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_signs_in_with_a_key_or_once_with_a_code() {
    let stage = Stage::open().await;
    let code = stage.fairline.room.site.organisers.one_time_code();
    let sign_in = async |body: Value| {
        let heads = [
            ("content-type", "application/json"),
            ("origin", stage.url.as_str()),
        ];
        let answer = stage
            .client
            .raw(
                Method::POST,
                "/api/v1/organiser/session",
                &heads,
                body.to_string().into_bytes(),
            )
            .await
            .unwrap();
        let cookie = answer.headers().get("set-cookie").map(|value| {
            value
                .to_str()
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .to_owned()
        });
        (answer.status(), cookie.unwrap_or_default())
    };
    assert_eq!(
        sign_in(json!({"key": "wrong-wrong-wrong-wrong"})).await.0,
        StatusCode::UNAUTHORIZED
    );
    let (status, cookie) = sign_in(json!({"code": code})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(
        sign_in(json!({"code": code})).await.0,
        StatusCode::UNAUTHORIZED,
        "once"
    );
    let events = "/api/v1/organiser/events";
    assert_eq!(
        stage
            .send(Method::GET, events, &[("cookie", &cookie)], "")
            .await
            .0,
        StatusCode::OK
    );
    let body = r#"{"id": "made", "name": "Made"}"#;
    let json = ("content-type", "application/json");
    let foreign = [
        ("cookie", cookie.as_str()),
        ("origin", "http://evil.example"),
        json,
    ];
    assert_eq!(
        stage.send(Method::POST, events, &foreign, body).await.0,
        StatusCode::FORBIDDEN
    );
    let silent = [("cookie", cookie.as_str()), json];
    assert_eq!(
        stage.send(Method::POST, events, &silent, body).await.0,
        StatusCode::FORBIDDEN
    );
    let ours = [
        ("cookie", cookie.as_str()),
        ("origin", stage.url.as_str()),
        json,
    ];
    assert_eq!(
        stage.send(Method::POST, events, &ours, body).await.0,
        StatusCode::CREATED
    );
    stage.clock.advance_ms(13 * 3600 * 1000);
    assert_eq!(
        stage
            .send(Method::GET, events, &[("cookie", &cookie)], "")
            .await
            .0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_come_as_a_stream_as_history_and_as_csv() {
    let stage = Stage::open().await;
    stage.event("figures", json!({"paused": true})).await;
    stage.client.join("figures").await.unwrap();
    let path = "/api/v1/organiser/events/figures";
    let bearer = format!("Bearer {KEY}");
    stage
        .until(&format!("{path}/history?minutes=5"), KEY, |samples| {
            samples[0]["phase"].is_string()
        })
        .await;
    let heads = [("authorization", bearer.as_str()), ("accept", "text/csv")];
    let csv = stage
        .client
        .raw(Method::GET, &format!("{path}/history"), &heads, vec![])
        .await
        .unwrap();
    let text = String::from_utf8(csv.body().to_vec()).unwrap();
    let mut lines = text.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("at,waiting,admitted,shopping,")
    );
    assert_eq!(lines.next().unwrap().split(',').count(), 12);
    let reading = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(stage.url.trim_start_matches("http://"))
            .await
            .unwrap();
        let request = format!(
            "GET {path}/stats/stream HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while text.matches("data: ").count() < 2 {
            let count = stream.read(&mut buffer).await.unwrap();
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        text
    };
    let text = tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .unwrap();
    assert!(
        text.contains("text/event-stream") && text.contains("\"waiting\":1"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_name_every_route_and_agree_on_the_sockets() {
    let stage = Stage::open().await;
    let document = stage.get("/api/openapi.json", "").await.body;
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/api/v1/events/{event}/line",
        "/api/v1/events/{event}/line/ws",
        "/api/v1/events/{event}/seats/ws",
        "/api/v1/orders/{order}",
        "/gate/{event}",
        "/api/v1/organiser/events/{event}/seats/block",
        "/.well-known/jwks.json",
    ] {
        assert!(paths.contains_key(path), "{path} is missing");
    }
    let sockets = stage.get("/api/asyncapi.json", "").await.body;
    for channel in ["place", "seats"] {
        assert!(paths.contains_key(sockets["channels"][channel]["address"].as_str().unwrap()));
    }
}
