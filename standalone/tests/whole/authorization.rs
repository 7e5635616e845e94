//! Sites that use an `Authorization` header of their own, such as Basic in front of a staging host,
//! which browsers send with every request: our cookies still count, and requests authorized by a
//! cookie need the `Origin`.

use crate::stage::{KEY, Stage, word};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const EVIL: &str = "http://evil.example";

/// `Authorization` values of a site that are no bearer token of ours.
const FOREIGN: [&str; 4] = ["Basic dTpw", "Digest username=\"u\"", "Bearer", "nonsense"];

/// Sends a request from a page with these cookies, as a browser does on such a site.
async fn browse(
    stage: &Stage,
    (method, path): (Method, &str),
    cookie: &str,
    (authorization, origin): (&str, &str),
    body: &str,
) -> (u16, Value) {
    let mut heads = vec![
        ("authorization", authorization),
        ("content-type", "application/json"),
    ];
    if !origin.is_empty() {
        heads.push(("origin", origin));
    }
    if !cookie.is_empty() {
        heads.push(("cookie", cookie));
    }
    let (status, body) = stage.send(method, path, &heads, body).await;
    (status.as_u16(), body)
}

/// Asserts that the request is refused from foreign origins and without an `Origin`, and answered
/// with this status from our pages.
async fn assert_guarded(
    stage: &Stage,
    (method, path): (Method, &str),
    cookie: &str,
    body: &str,
    status: u16,
) -> Value {
    for authorization in FOREIGN {
        for origin in [EVIL, "null", ""] {
            let from = (authorization, origin);
            let (refused, problem) =
                browse(stage, (method.clone(), path), cookie, from, body).await;
            assert_eq!(refused, 403, "{method} {path} {from:?}: {problem}");
            assert_eq!(problem["type"], "/problems/foreign-origin");
        }
    }
    let ours = (FOREIGN[0], stage.url.as_str());
    let (found, answer) = browse(stage, (method.clone(), path), cookie, ours, body).await;
    assert_eq!(found, status, "{method} {path}: {answer}");
    answer
}

/// Returns the status that a WebSocket handshake is refused with; none if the socket opens.
async fn handshake(stage: &Stage, path: &str, cookie: &str, from: (&str, &str)) -> Option<u16> {
    let url = format!("{}{path}", stage.url.replace("http", "ws"));
    let mut request = url.into_client_request().unwrap();
    for (name, value) in [
        ("cookie", cookie),
        ("authorization", from.0),
        ("origin", from.1),
    ] {
        if !value.is_empty() {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok(_) => None,
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Some(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_of_a_site_with_basic_authorization_joins_watches_and_leaves() {
    let stage = Stage::open().await;
    stage.event("basic", json!({"paused": true})).await;
    let line = "/api/v1/events/basic/line";
    let (me, socket) = (format!("{line}/me"), format!("{line}/ws"));
    for origin in [EVIL, "null"] {
        for authorization in FOREIGN {
            let from = (authorization, origin);
            let (status, _) = browse(&stage, (Method::POST, line), "", from, "{}").await;
            assert_eq!(status, 403, "{from:?}");
        }
    }
    let mut cookie = String::new();
    for authorization in FOREIGN {
        let from = (authorization, stage.url.as_str());
        let (status, place) = browse(&stage, (Method::POST, line), "", from, "{}").await;
        assert_eq!(status, 201, "{authorization}: {place}");
        cookie = format!("fairline_pass_basic={}", word(&place["pass"]));
        let (status, again) = browse(&stage, (Method::GET, &me), &cookie, from, "").await;
        assert_eq!((status, &again["visitor"]), (200, &place["visitor"]));
        let (status, _) = browse(&stage, (Method::GET, &me), "", from, "").await;
        assert_eq!(status, 401, "no pass at all");
        assert_eq!(handshake(&stage, &socket, &cookie, from).await, None);
        for origin in [EVIL, "null", ""] {
            let refused = handshake(&stage, &socket, &cookie, (authorization, origin)).await;
            assert_eq!(refused, Some(403), "{authorization} from {origin}");
        }
    }
    assert_guarded(&stage, (Method::POST, line), &cookie, "{}", 200).await;
    assert_guarded(&stage, (Method::DELETE, &me), &cookie, "", 204).await;
    for form in ["/e/basic/join", "/e/basic/leave"] {
        let (status, _) = browse(
            &stage,
            (Method::POST, form),
            &cookie,
            (FOREIGN[0], EVIL),
            "",
        )
        .await;
        assert_eq!(status, 403, "{form}");
    }
    // A bearer token is sent on purpose: an invalid one is refused, whatever the cookie.
    let both = ("Bearer a-token-of-the-site", stage.url.as_str());
    let (status, _) = browse(&stage, (Method::GET, &me), &cookie, both, "").await;
    assert_eq!(status, 401);
    let (status, _) = browse(&stage, (Method::POST, line), &cookie, both, "{}").await;
    assert_eq!(status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_of_a_site_with_basic_authorization_goes_to_the_checkout_and_buys() {
    let stage = Stage::open().await;
    stage.event("basic", json!({})).await;
    let base = "/api/v1/events/basic";
    let (_, token) = stage.admit("basic").await;
    let admission = format!("fairline_admission_basic={token}");
    let start = format!("{base}/admission/start");
    assert_guarded(&stage, (Method::POST, &start), &admission, "", 204).await;
    let sessions = format!("{base}/sessions");
    let post = (Method::POST, sessions.as_str());
    let opened = assert_guarded(&stage, post, &admission, "{}", 201).await;
    let cookie = format!("fairline_session_basic={}", word(&opened["session"]));
    let ours = (FOREIGN[0], stage.url.as_str());
    let (status, _) = browse(&stage, (Method::GET, &sessions), &cookie, ours, "").await;
    assert_eq!(status, 200);
    let socket = format!("{base}/seats/ws");
    assert_eq!(handshake(&stage, &socket, &cookie, ours).await, None);
    for origin in [EVIL, "null", ""] {
        let refused = handshake(&stage, &socket, &cookie, (FOREIGN[0], origin)).await;
        assert_eq!(refused, Some(403), "{origin}");
    }
    let holds = format!("{base}/holds");
    let wish = r#"{"seats": ["st-A-1"]}"#;
    let hold = assert_guarded(&stage, (Method::POST, &holds), &cookie, wish, 201).await;
    let buyer = json!({"hold": hold["id"], "buyer": {"name": "Ada", "email": "ada@example.org"}});
    let buyer = buyer.to_string();
    let post = (Method::POST, "/api/v1/orders");
    let order = assert_guarded(&stage, post, &cookie, &buyer, 201).await;
    let path = format!("/api/v1/orders/{}", word(&order["id"]));
    let (status, shown) = browse(&stage, (Method::GET, &path), &cookie, ours, "").await;
    assert_eq!((status, &shown["id"]), (200, &order["id"]));
    assert_guarded(&stage, (Method::DELETE, &sessions), &cookie, "", 204).await;
    let end = format!("{base}/admission");
    assert_guarded(&stage, (Method::DELETE, &end), &admission, "", 204).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organiser_signs_in_and_steers_on_a_host_with_basic_authorization() {
    let stage = Stage::open().await;
    stage.event("basic", json!({})).await;
    let session = "/api/v1/organiser/session";
    let key = json!({ "key": KEY }).to_string();
    let heads = [
        ("authorization", FOREIGN[0]),
        ("origin", stage.url.as_str()),
        ("content-type", "application/json"),
    ];
    let signed_in = stage
        .client
        .raw(Method::POST, session, &heads, key.clone().into());
    let signed_in = signed_in.await.unwrap();
    assert_eq!(signed_in.status(), StatusCode::CREATED);
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    for authorization in FOREIGN {
        let from = (authorization, EVIL);
        let (status, _) = browse(&stage, (Method::POST, session), "", from, &key).await;
        assert_eq!(status, 403, "a foreign site cannot sign a browser in");
        let ours = (authorization, stage.url.as_str());
        let (status, _) = browse(&stage, (Method::GET, session), &cookie, ours, "").await;
        assert_eq!(status, 200, "{authorization}");
        let (status, _) = browse(&stage, (Method::GET, session), "", ours, "").await;
        assert_eq!(status, 401, "{authorization}");
    }
    let event = "/api/v1/organiser/events/basic";
    let pause = r#"{"paused": true}"#;
    assert_guarded(&stage, (Method::PATCH, event), &cookie, pause, 200).await;
    let block = format!("{event}/seats/block");
    let seats = r#"{"seats": ["st-A-1"]}"#;
    let (status, _) = browse(
        &stage,
        (Method::POST, &block),
        &cookie,
        (FOREIGN[0], EVIL),
        seats,
    )
    .await;
    assert_eq!(status, 403);
    let both = ("Bearer a-token-of-the-site", stage.url.as_str());
    let (status, _) = browse(&stage, (Method::GET, session), &cookie, both, "").await;
    assert_eq!(status, 401);
    assert_guarded(&stage, (Method::DELETE, session), &cookie, "", 204).await;
}
