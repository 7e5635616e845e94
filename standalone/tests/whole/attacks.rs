//! Attacks: what is forged, swapped, replayed, foreign, oversized, slow or malformed is refused, and harms nobody else.

use crate::stage::{KEY, Stage, assert_problem, word};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const JSON: (&str, &str) = ("content-type", "application/json");

/// Everything that a connection answers until it closes.
async fn until_closed(stage: &Stage, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(stage.url.trim_start_matches("http://"))
        .await
        .unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("the server should close it");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_admission_opens_one_session_of_a_hundred_that_race() {
    let stage = Stage::open().await;
    stage.event("race", json!({})).await;
    let (_, token) = stage.admit("race").await;
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (client, token) = (stage.client.clone(), token.clone());
        racing.spawn(async move {
            client
                .post("/api/v1/events/race/sessions", &token, json!({}))
                .await
                .unwrap()
        });
    }
    let answers = racing.join_all().await;
    assert_eq!(
        answers
            .iter()
            .filter(|answer| answer.status == StatusCode::CREATED)
            .count(),
        1
    );
    for answer in answers
        .iter()
        .filter(|answer| answer.status != StatusCode::CREATED)
    {
        assert_problem(answer, 409, "admission-already-used");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_swapped_and_expired_tokens_open_nothing_anywhere() {
    let stage = Stage::open().await;
    stage.event("one", json!({})).await;
    stage.event("two", json!({})).await;
    let (pass, token) = stage.admit("one").await;
    let parts: Vec<&str> = token.split('.').collect();
    let stranger =
        shared::token::Signer::from_pem(&shared::token::Signer::generate_pem().unwrap()).unwrap();
    let claims: shared::token::Claims =
        serde_json::from_slice(&shared::secret::decode(parts[1]).unwrap()).unwrap();
    let none = shared::secret::encode(br#"{"alg":"none","typ":"admission+jwt"}"#);
    let mut forged = vec![
        stranger.sign(&claims),
        format!("{none}.{}.", parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86)),
        format!("{}.{}", parts[0], parts[1]),
        pass.clone(),
        "x".repeat(10_000),
    ];
    let tries = async |event: &str, token: &str| {
        let session = stage
            .client
            .post(
                &format!("/api/v1/events/{event}/sessions"),
                token,
                json!({}),
            )
            .await
            .unwrap();
        let start = stage
            .client
            .post(
                &format!("/api/v1/events/{event}/admission/start"),
                token,
                json!({}),
            )
            .await
            .unwrap();
        let gate = stage.get(&format!("/gate/{event}"), token).await;
        [session, start, gate]
    };
    for token in forged.drain(..) {
        for answer in tries("one", &token).await {
            assert_problem(&answer, 401, "bad-admission");
        }
    }
    for answer in tries("two", &token).await {
        assert_problem(&answer, 401, "bad-admission");
    }
    stage.clock.advance_ms(730_000);
    for answer in tries("one", &token).await {
        assert_problem(&answer, 401, "bad-admission");
    }
    assert_problem(
        &stage.get("/api/v1/events/two/line/me", &pass).await,
        401,
        "no-pass",
    );
    assert_problem(
        &stage.get("/api/v1/events/one/line/me", &token).await,
        401,
        "no-pass",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_can_neither_act_for_a_fan_nor_listen_to_their_socket() {
    let stage = Stage::open().await;
    stage.event("csrf", json!({"paused": true})).await;
    let pass = word(&stage.client.join("csrf").await.unwrap()["pass"]);
    let cookie = format!("fairline_pass_csrf={pass}");
    let me = "/api/v1/events/csrf/line/me";
    for origin in [
        "http://evil.example",
        "null",
        "http://127.0.0.1.evil.example",
        &stage.url.replace("http", "https"),
    ] {
        let heads = [("cookie", cookie.as_str()), ("origin", origin)];
        let (status, body) = stage.send(Method::DELETE, me, &heads, "").await;
        assert_eq!(
            (status.as_u16(), &body["type"]),
            (403, &json!("/problems/foreign-origin")),
            "{origin}"
        );
        let url = format!(
            "{}/api/v1/events/csrf/line/ws",
            stage.url.replace("http", "ws")
        );
        let mut request = url.into_client_request().unwrap();
        request
            .headers_mut()
            .insert("cookie", cookie.parse().unwrap());
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
        let refused = tokio_tungstenite::connect_async(request)
            .await
            .err()
            .unwrap();
        assert!(format!("{refused:?}").contains("403"), "{refused:?}");
        let (status, _) = stage.send(Method::POST, "/e/csrf/join", &heads, "").await;
        assert_eq!(
            status,
            StatusCode::FORBIDDEN,
            "the form of the page without scripts"
        );
    }
    let silent = stage
        .send(Method::DELETE, me, &[("cookie", &cookie)], "")
        .await;
    assert_eq!(
        silent.0,
        StatusCode::FORBIDDEN,
        "a cookie without any Origin"
    );
    let both = [
        ("cookie", cookie.as_str()),
        ("authorization", "Bearer nonsense"),
    ];
    assert_eq!(
        stage.send(Method::GET, me, &both, "").await.0,
        StatusCode::UNAUTHORIZED,
        "no cookie beside Authorization"
    );
    assert_eq!(
        stage.get(me, &pass).await.body["state"],
        "waiting",
        "nothing happened"
    );
    let ours = [("cookie", cookie.as_str()), ("origin", stage.url.as_str())];
    assert_eq!(
        stage.send(Method::DELETE, me, &ours, "").await.0,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_broken_or_wrong_are_told_so() {
    let stage = Stage::open().await;
    stage.event("bodies", json!({})).await;
    let bearer = format!("Bearer {KEY}");
    let admin = [("authorization", bearer.as_str()), JSON];
    let events = "/api/v1/organiser/events";
    let kind = |answer: (StatusCode, Value)| (answer.0.as_u16(), word(&answer.1["type"]));
    let huge = format!(r#"{{"id": "x", "name": "{}"}}"#, "x".repeat(70_000));
    assert_eq!(
        kind(stage.send(Method::POST, events, &admin, &huge).await),
        (413, "/problems/too-large".into())
    );
    for broken in [
        "{",
        "nonsense",
        "{\"id\": \"x\" \"name\"}",
        "[1,",
        "\u{0}",
        "{\"id\":\"a\",\"name\":\"b\"} more",
    ] {
        assert_eq!(
            kind(stage.send(Method::POST, events, &admin, broken).await),
            (400, "/problems/malformed".into()),
            "{broken}"
        );
    }
    let deep = "[".repeat(20_000);
    assert_eq!(
        kind(stage.send(Method::POST, events, &admin, &deep).await).0,
        400
    );
    for wrong in [
        r#"{"id": "UPPER", "name": "x"}"#,
        r#"{"id": 5, "name": "x"}"#,
        r#"{"name": "x"}"#,
        r#"{"id": "x", "name": ""}"#,
        r#"{"id": "x", "name": "x", "sale_opens_at": "tomorrow"}"#,
        r#"{"id": "x", "name": "x", "checkout_url": "javascript:alert(1)"}"#,
        r#"{"id": "x", "name": "x", "order": "lucky"}"#,
        r#"{"id": "x", "name": "x", "beacon": {"name": "quicknet", "round": 5}}"#,
        r#"{"id": "x", "name": "x", "order": "draw", "beacon": {"name": "mine", "round": 5}}"#,
        r#"{"id": "x", "name": "x", "extra": 1}"#,
    ] {
        let (status, body) = stage.send(Method::POST, events, &admin, wrong).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(body["errors"][0]["field"].is_string(), "{body}");
    }
    let form = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    assert_eq!(
        kind(stage.send(Method::POST, events, &form, "id=x").await),
        (415, "/problems/not-json".into())
    );
    let plan = format!("{{\"categories\": [{}", " ".repeat(17 * 1024 * 1024));
    let answer = stage
        .send(
            Method::PUT,
            &format!("{events}/bodies/seating"),
            &admin,
            &plan,
        )
        .await;
    assert_eq!(kind(answer), (413, "/problems/too-large".into()));
    let put = stage
        .client
        .raw(Method::PUT, "/api/v1/events", &[], vec![])
        .await
        .unwrap();
    assert_eq!(
        (
            put.status().as_u16(),
            put.headers()["content-type"].to_str().unwrap()
        ),
        (405, "application/problem+json")
    );
    assert!(put.headers().contains_key("allow"));
    assert_eq!(
        kind(stage.send(Method::GET, "/no/such/page", &[], "").await),
        (404, "/problems/not-found".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_broken_requests_are_cut_off_and_others_are_served_meanwhile() {
    let stage = Stage::open().await;
    stage.event("slow", json!({})).await;
    let slow = until_closed(&stage, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    let garbage = until_closed(&stage, b"\x16\x03\x01 this is not http\r\n\r\n");
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(40_000));
    let many = format!(
        "GET / HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "x-filler: 0123456789\r\n".repeat(2_000)
    );
    let idle = until_closed(&stage, b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
    let healthy = async {
        for _ in 0..50 {
            assert_eq!(
                stage.get("/api/v1/events/slow", "").await.status,
                StatusCode::OK
            );
        }
    };
    let (slow, garbage, long, many, idle, ()) = tokio::join!(
        slow,
        garbage,
        until_closed(&stage, long.as_bytes()),
        until_closed(&stage, many.as_bytes()),
        idle,
        healthy
    );
    assert!(!slow.contains("200 OK"), "{slow}");
    assert!(garbage.is_empty() || garbage.contains("400"), "{garbage}");
    assert!(long.contains("414") || long.contains("431"), "{long}");
    assert!(many.contains("431"), "{many}");
    assert!(idle.contains("200 OK"), "answered, then closed for idling");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cap_holds_per_address_and_is_given_back() {
    let stage = Stage::with(|common| common.connections_per_address = Some("3".into())).await;
    let address = stage.url.trim_start_matches("http://").to_owned();
    let ask = async |stream: &mut TcpStream| {
        let mut answer = [0; 12];
        stream
            .write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .is_ok()
            && stream.read_exact(&mut answer).await.is_ok()
            && &answer == b"HTTP/1.1 200"
    };
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        assert!(ask(&mut stream).await);
        open.push(stream);
    }
    let mut fourth = TcpStream::connect(&address).await.unwrap();
    assert!(!ask(&mut fourth).await, "one too many");
    open.clear();
    let again = async {
        loop {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            if ask(&mut stream).await {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), again)
        .await
        .expect("the places are given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_count_by_address_and_a_forged_forwarded_for_changes_nothing() {
    let stage = Stage::with(|common| {
        common.joins_per_minute = Some("5".into());
        common.visitor_requests_per_second = Some("2".into());
    })
    .await;
    stage.event("limits", json!({"paused": true})).await;
    let mut refused = 0;
    let mut pass = String::new();
    for at in 0..12 {
        let spoofed = format!("203.0.113.{at}");
        let (status, body) = stage
            .send(
                Method::POST,
                "/api/v1/events/limits/line",
                &[("x-forwarded-for", &spoofed)],
                "",
            )
            .await;
        match status {
            StatusCode::CREATED => pass = word(&body["pass"]),
            StatusCode::TOO_MANY_REQUESTS => refused += 1,
            other => panic!("{other}: {body}"),
        }
    }
    assert_eq!(refused, 7);
    let bearer = format!("Bearer {pass}");
    let mut polled = Vec::new();
    for _ in 0..12 {
        let answer = stage
            .client
            .raw(
                Method::GET,
                "/api/v1/events/limits/line/me",
                &[("authorization", &bearer)],
                vec![],
            )
            .await
            .unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(
                answer.headers()["retry-after"]
                    .to_str()
                    .unwrap()
                    .parse::<u32>()
                    .unwrap()
                    >= 1
            );
        }
        polled.push(answer.status());
    }
    assert!(polled.contains(&StatusCode::OK) && polled.contains(&StatusCode::TOO_MANY_REQUESTS));
    let mut guesses = Vec::new();
    for at in 0..30 {
        guesses.push(
            stage
                .get("/api/v1/organiser/events", &format!("guess-number-{at:08}"))
                .await
                .status,
        );
    }
    assert_eq!(
        guesses.last(),
        Some(&StatusCode::TOO_MANY_REQUESTS),
        "keys cannot be guessed by the thousand"
    );
    assert_eq!(
        stage.get("/api/v1/organiser/events", KEY).await.status,
        StatusCode::OK,
        "the right key still works"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fan_cannot_touch_what_is_anothers() {
    let stage = Stage::open().await;
    let event = stage.event("theirs", json!({})).await;
    let (ada, mallory) = (stage.session("theirs").await, stage.session("theirs").await);
    let hold = stage
        .hold(&event, &ada, json!({"seats": ["st-A-1"]}))
        .await
        .ok()
        .unwrap();
    let path = format!("/api/v1/holds/{}", word(&hold["id"]));
    assert_problem(
        &stage.client.delete(&path, &mallory).await.unwrap(),
        404,
        "no-such-hold",
    );
    let body = json!({"hold": hold["id"], "buyer": {"name": "M", "email": "m@x.example"}});
    assert_problem(
        &stage
            .client
            .post("/api/v1/orders", &mallory, body)
            .await
            .unwrap(),
        404,
        "no-such-hold",
    );
    let order = stage.order(&ada, &hold).await;
    let path = format!("/api/v1/orders/{}", word(&order["id"]));
    assert_problem(&stage.get(&path, &mallory).await, 404, "no-such-order");
    assert_problem(&stage.get(&path, "").await, 401, "no-session");
    for link in ["lnk_theirs.AAAA", "lnk_", "lnk_nowhere.AAAA", "lnk_theirs"] {
        assert_problem(&stage.get(&path, link).await, 401, "no-session");
    }
    let report = json!({"capacity": 1, "available": 1, "held": 0, "booked": 0, "as_of": "2026-01-01T00:00:00Z"});
    let forged = stage
        .client
        .call(
            Method::PUT,
            "/api/v1/events/theirs/availability",
            "guess",
            Some(report),
        )
        .await
        .unwrap();
    assert_problem(&forged, 401, "no-service-key");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_organiser_types_cannot_script_a_page_and_return_to_leads_only_home() {
    let stage = Stage::open().await;
    stage.event("xss", json!({"name": "<script>alert(1)</script>\"{{message}}", "message": "<img src=x onerror=alert(2)>"})).await;
    let page = async |query: &str| {
        let answer = stage
            .client
            .raw(Method::GET, &format!("/e/xss{query}"), &[], vec![])
            .await
            .unwrap();
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.contains("default-src 'self'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        String::from_utf8(answer.body().to_vec()).unwrap()
    };
    let text = page("").await;
    assert!(
        !text.contains("<script>alert")
            && !text.contains("<img")
            && text.contains("&lt;script&gt;"),
        "{text}"
    );
    for evil in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "http://127.0.0.1.evil.example/",
    ] {
        assert!(
            !page(&format!("?return_to={evil}")).await.contains("evil"),
            "{evil}"
        );
    }
    assert!(page("?return_to=/shop").await.contains("href=\"/shop\""));
    for path in [
        "/static/../Cargo.toml",
        "/static/%2e%2e/Cargo.toml",
        "/static/queue.html",
        "/static/",
    ] {
        assert_eq!(
            stage.send(Method::GET, path, &[], "").await.0,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}
