//! The organiser's API through the public contract: roles, the console, figures, documents.

use crate::stage::{CARD, KEY, Stage, assert_problem, word};
use crate::undeclared::operations;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

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
    let seats = json!({"seats": ["st-A-1"], "reason": "promoter"});
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
    let mut log = log.as_array().unwrap().clone();
    log.retain(|entry| entry["event"] == "roles");
    assert_eq!(
        (&log[0]["action"], &log[0]["by"], &log[0]["to"]["reason"]),
        (&json!("seats.block"), &json!("op"), &json!("promoter"))
    );
    assert_eq!(
        (&log[1]["from"]["paused"], &log[1]["to"]["paused"]),
        (&json!(false), &json!(true))
    );
    assert!(log[1]["to"].get("name").is_none(), "only what changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_whom_the_line_has_lost_can_be_ejected_once_they_are_back_and_not_before() {
    let redis = testkit::Redis::start();
    let stage = Stage::on(&redis).await;
    let settings = json!({"admission": {"rate_per_minute": 0}});
    stage.event("lost", settings).await;
    let pass = word(&stage.client.join("lost").await.unwrap()["pass"]);
    stage.pass_seconds("lost", 1).await;
    redis.ask(&["FLUSHALL"]).unwrap();
    stage.pass_seconds("lost", 12).await;
    let eject = async || {
        stage
            .organise(Method::DELETE, "/events/lost/line/1", None)
            .await
    };
    assert_problem(&eject().await, 404, "no-such-visitor");
    let me = "/api/v1/events/lost/line/me";
    assert_eq!(stage.get(me, &pass).await.body["state"], "waiting");
    assert_eq!(eject().await.status, StatusCode::NO_CONTENT);
    assert_eq!(stage.get(me, &pass).await.body["state"], "ejected");
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

/// Returns everything that organisers can read with a key, as one text.
async fn all_that_is_read(stage: &Stage, key: &str) -> String {
    let mut read = String::new();
    for (method, path, operation) in operations(stage).await {
        let is_endless = operation["responses"]["200"]["content"]["text/event-stream"].is_object();
        if method == Method::GET && path.contains("/organiser/") && !is_endless {
            let answer = stage.get(&path, key).await;
            read.push_str(&answer.body.to_string());
        }
    }
    let audit = stage.get("/api/v1/organiser/audit", key).await;
    assert_eq!(audit.status, StatusCode::OK);
    read + &audit.body.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn organisers_read_nothing_that_opens_an_order_and_viewers_nothing_about_buyers() {
    let stage = Stage::open().await;
    stage.event("strict", json!({})).await;
    let session = stage.session("strict").await;
    let hold = stage
        .hold("strict", &session, json!({"seats": ["st-A-1"]}))
        .await;
    let order = stage.order(&session, &hold.body).await;
    let paid = stage.pay(&session, &order, CARD).await.body;
    let secrets = [
        word(&paid["tickets"][0]["code"]),
        word(&paid["tickets"][0]["short_code"]),
        word(&paid["link"]),
        "lnk_".to_owned(),
        word(&order["payment"]["client_secret"]),
        session,
    ];
    let (name, address) = ("Ada", "ada@example.org");
    for (key, sees_buyers) in [
        (KEY, true),
        ("operator-key-01234", true),
        ("viewer-key-0123456", false),
    ] {
        let read = all_that_is_read(&stage, key).await;
        assert!(read.contains(&word(&order["id"])), "the order is listed");
        for secret in &secrets {
            assert!(!read.contains(secret), "{key}: {secret}");
        }
        assert_eq!(read.contains(name), sees_buyers, "{key}");
        assert_eq!(read.contains(address), sees_buyers, "{key}");
    }
    let refund = format!("/events/strict/orders/{}/refund", word(&order["id"]));
    let refunded = stage.organise(Method::POST, &refund, None).await;
    assert_eq!(refunded.body["state"], "refunded");
    for secret in &secrets {
        assert!(!refunded.body.to_string().contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_how_many_decimals_the_amounts_of_a_currency_have() {
    let stage = Stage::open().await;
    for (event, code, exponent) in [("yen", "JPY", 0), ("euro", "EUR", 2), ("dinar", "KWD", 3)] {
        stage.event(event, json!({})).await;
        let rules = format!("/events/{event}/checkout");
        let set = stage
            .organise(Method::PATCH, &rules, Some(json!({"currency": code})))
            .await;
        assert_eq!(set.status, StatusCode::OK, "{}", set.body);
        let amount = |amount: i64| json!({"amount": amount, "currency": code});
        let currencies = stage.get("/api/v1/currencies", "").await;
        assert_eq!(currencies.body[code], exponent);
        let layout = stage
            .get(&format!("/api/v1/events/{event}/seating"), "")
            .await;
        assert_eq!(layout.body["categories"][0]["price"], amount(4500));
        let session = stage.session(event).await;
        let wish = json!({"seats": ["st-A-1", "st-A-2"]});
        let hold = stage.hold(event, &session, wish).await.body;
        assert_eq!(hold["total"], amount(9000));
        let order = stage.order(&session, &hold).await;
        assert_eq!(order["seats"][0]["price"], amount(4500));
        stage.pay(&session, &order, CARD).await;
        let sales = stage
            .organise(Method::GET, &format!("/events/{event}/sales"), None)
            .await;
        assert_eq!(sales.body["revenue"], amount(9000));
    }
    stage.event("none", json!({})).await;
    for code in ["ZZZ", "XXX", "XTS", "XAU", "eur", "EURO", "€"] {
        let set = stage
            .organise(
                Method::PATCH,
                "/events/none/checkout",
                Some(json!({"currency": code})),
            )
            .await;
        assert_problem(&set, 422, "invalid");
        assert_eq!(set.body["errors"][0]["field"], "currency");
    }
}
