//! Requests and input of others: other sites, other fans, what an organiser types.

use crate::stage::{Stage, assert_problem, handshake, word};
use hyper::{Method, StatusCode};
use serde_json::json;

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
        let path = "/api/v1/events/csrf/line/ws";
        let request = handshake(&stage.url, path, &cookie, origin);
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
    let ours = stage.url.as_str();
    for origins in [[ours, "http://evil.example"], ["null", ours], [ours, ours]] {
        let [one, other] = origins.map(|origin| ("origin", origin));
        let heads = [("cookie", cookie.as_str()), one, other];
        let (status, _) = stage.send(Method::DELETE, me, &heads, "").await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{origins:?}");
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
    let heads = [("cookie", cookie.as_str()), ("origin", ours)];
    assert_eq!(
        stage.send(Method::DELETE, me, &heads, "").await.0,
        StatusCode::NO_CONTENT
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
        // The links to the page in other languages keep its query.
        let text = page(&format!("?return_to={evil}")).await;
        assert!(!text.contains(&format!("=\"{evil}")), "{evil}: {text}");
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
