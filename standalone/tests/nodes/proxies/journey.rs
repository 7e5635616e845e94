//! A fan's way through each proxy, and what clients try.

use super::stand::{Proxy, SITE, Stand, cookie_of, told};
use futures_util::future::join_all;
use hyper::{Method, Response, StatusCode, body::Bytes};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// A page of the site, with what addresses may hold.
const DEEP: &str = "/tickets/a%2Fb/caf%C3%A9?x=1&y=%26%2B+%23&z='q'&r=//evil.example/%25&e=";
const PAGE: [(&str, &str); 2] = [
    ("sec-fetch-mode", "navigate"),
    ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
];
const SCRIPT: [(&str, &str); 2] = [("sec-fetch-mode", "cors"), ("accept", "*/*")];
const CORS: [(&str, &str); 2] = [
    ("origin", "https://other.example"),
    ("access-control-request-method", "PUT"),
];

#[tokio::test]
async fn a_fan_queues_and_shops_behind_each_proxy_and_nobody_else_comes_in() {
    let stand = Stand::open().await;
    join_all(stand.proxies.iter().map(async |proxy| {
        let admission = queue(proxy).await;
        shop(proxy, &admission).await;
        strangers(proxy, &admission).await;
        shared(proxy).await;
        open_to_all(proxy).await;
    }))
    .await;
}

/// From a page of the site through the queue, without JavaScript; returns the admission.
async fn queue(proxy: &Proxy) -> String {
    let name = proxy.name;
    let away = proxy.get(DEEP, &PAGE).await;
    assert_eq!(away.status(), StatusCode::FOUND, "{name}: {away:?}");
    assert_eq!(away.headers()["cache-control"], "no-store", "{name}");
    let location = away.headers()["location"].to_str().unwrap();
    let queue = location.strip_prefix(SITE).unwrap();
    assert!(
        queue.starts_with(&format!("/.fairline/e/{name}?return_to=/tickets/")),
        "{name}: {queue}"
    );
    let goal = DEEP.replace('&', "&amp;");
    let page = proxy.get(queue, &PAGE).await;
    assert!(
        text(&page).contains(&format!("data-return=\"{goal}\"")),
        "{name}: {}",
        text(&page)
    );
    let script = "/.fairline/static/queue.js";
    assert!(text(&page).contains(script), "{name}");
    assert_eq!(
        proxy.get(script, &[]).await.status(),
        StatusCode::OK,
        "{name}"
    );
    let form = format!(
        "action=\"/.fairline/e/{name}/join{}\"",
        queue.split_at(queue.find('?').unwrap()).1
    );
    assert!(
        text(&page).contains(&form),
        "{name}: {form} in {}",
        text(&page)
    );
    let join = queue.replace(&format!("/e/{name}"), &format!("/e/{name}/join"));
    let joined = proxy.ask(Method::POST, &join, &[("origin", SITE)]).await;
    assert_eq!(joined.status(), StatusCode::SEE_OTHER, "{name}: {joined:?}");
    let back = joined.headers()["location"].to_str().unwrap();
    assert_eq!(back.strip_prefix(SITE).unwrap_or(back), queue, "{name}");
    let pass = cookie_of(&joined, "fairline_pass_").unwrap();
    let from = Instant::now();
    loop {
        let page = proxy.get(queue, &[("cookie", &pass)]).await;
        if let Some(admission) = cookie_of(&page, "fairline_admission_") {
            assert!(
                text(&page).contains(&format!("id=\"go\" href=\"{goal}\"")),
                "{name}"
            );
            let path = format!("/.fairline/api/v1/events/{}/line/ws", proxy.name);
            open_socket(proxy, &path, &pass).await;
            return admission;
        }
        assert!(
            from.elapsed() < Duration::from_secs(20),
            "{name}: {}",
            text(&page)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Opens a socket as a page does, either the queue page's under the prefix or one of the site.
async fn open_socket(proxy: &Proxy, path: &str, cookie: &str) {
    let url = format!("ws://{}{path}", proxy.address);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in [("cookie", cookie), ("origin", SITE)] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(&proxy.address).await.unwrap();
    let opened = tokio_tungstenite::client_async(request, stream).await;
    assert!(opened.is_ok(), "{} {path}: {:?}", proxy.name, opened.err());
}

/// What an admitted fan does at the site.
async fn shop(proxy: &Proxy, admission: &str) {
    let name = proxy.name;
    let forged = [
        PAGE[0],
        ("cookie", admission),
        ("x-fairline-visitor", "vis_forged"),
        ("x_fairline_visitor", "vis_forged"),
        ("x-fairline_visitor", "vis_forged"),
        ("x_fairline-visitor", "vis_forged"),
        ("authorization", "Basic dTpw"),
    ];
    let inside = proxy.get(DEEP, &forged).await;
    assert_eq!(inside.status(), StatusCode::OK, "{name}: {inside:?}");
    let asked = told(&inside);
    assert_eq!(asked["path"], DEEP, "{name}");
    assert_eq!(asked["authorization"], "Basic dTpw", "{name}");
    let visitor = asked["visitors"][0].as_str().unwrap_or_default();
    assert!(
        visitor.starts_with("vis_") && visitor != "vis_forged",
        "{name}: {asked}"
    );
    assert_eq!(
        asked["visitors"].as_array().unwrap().len(),
        1,
        "{name}: {asked}"
    );
    let client = cookie_of(&inside, "fairline_client_");
    let client = client.unwrap_or_else(|| panic!("{name}: {inside:?}"));
    let both = format!("{admission}; {client}");
    let heads = [("cookie", both.as_str()), SCRIPT[0]];
    // The site has its own paths of all names.
    for path in [
        "/api/products",
        "/static/site.css",
        "/e/foo",
        "/gate/x",
        "/orders/1",
        "/organiser",
    ] {
        assert_eq!(told(&proxy.get(path, &heads).await)["path"], path, "{name}");
    }
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
    ] {
        let asking = proxy
            .client
            .raw(method.clone(), "/cart?a=1", &heads, b"a=1".to_vec());
        let asked = told(&asking.await.unwrap());
        let (method, body) = (&asked["method"], &asked["body"]);
        assert_eq!((method, body), (&json!(method), &json!("a=1")), "{name}");
    }
    open_socket(proxy, "/socket", &both).await;
    let head = proxy.ask(Method::HEAD, "/", &heads).await;
    assert_eq!(head.status(), StatusCode::OK, "{name}");
    // An API client without cookies.
    let bearer = format!("Bearer {}", admission.split_once('=').unwrap().1);
    let asked = told(&proxy.get("/api/x", &[("authorization", &bearer)]).await);
    assert_eq!(asked["visitors"][0], visitor, "{name}");
}

/// Requests without an admission.
async fn strangers(proxy: &Proxy, admission: &str) {
    let name = proxy.name;
    let forged = format!("{admission}x");
    for heads in [&SCRIPT[..], &[], &[SCRIPT[0], ("cookie", &forged)]] {
        for method in [Method::GET, Method::POST] {
            let away = proxy.ask(method, "/api/x?a=1", heads).await;
            assert_eq!(away.status(), StatusCode::UNAUTHORIZED, "{name}: {away:?}");
            assert!(!away.headers().contains_key("location"), "{name}");
            let challenge = &away.headers()["www-authenticate"];
            assert!(challenge.to_str().unwrap().starts_with("Bearer"), "{name}");
        }
    }
    // A form comes back as a page.
    let form = proxy.ask(Method::POST, "/cart?a=1", &PAGE).await;
    assert_eq!(form.status(), StatusCode::FOUND, "{name}: {form:?}");
    let location = form.headers()["location"].to_str().unwrap();
    assert!(
        location.ends_with("?return_to=/cart?a=1"),
        "{name}: {location}"
    );
    let preflight = proxy.ask(Method::OPTIONS, "/api/x", &CORS).await;
    assert_eq!(told(&preflight)["visitors"], json!([]), "{name}");
    for path in [
        "/api/x",
        "/api/x?method=OPTIONS",
        "/gate/x?method=OPTIONS&refuse=401",
    ] {
        let heads = [
            CORS[0],
            CORS[1],
            ("x-original-method", "OPTIONS"),
            ("x-forwarded-method", "OPTIONS"),
            ("x-http-method-override", "OPTIONS"),
            ("x-envoy-internal", "true"),
        ];
        let away = proxy.get(path, &heads).await;
        assert_eq!(away.status(), StatusCode::UNAUTHORIZED, "{name}: {away:?}");
    }
}

/// An admission that is handed on: few pass, and who was first goes on.
async fn shared(proxy: &Proxy) {
    let name = proxy.name;
    let admission = proxy.admitted().await;
    let first = proxy.get("/", &[PAGE[0], ("cookie", &admission)]).await;
    let client = cookie_of(&first, "fairline_client_").unwrap();
    let mut passed = 0;
    for at in 0..10 {
        let agent = format!("Browser/{at}");
        let heads = [
            PAGE[0],
            ("cookie", admission.as_str()),
            ("user-agent", &agent),
        ];
        let answer = proxy.get("/", &heads).await;
        match answer.status() {
            StatusCode::OK => passed += 1,
            status => assert_eq!(status, StatusCode::FOUND, "{name}: {answer:?}"),
        }
    }
    assert_eq!(passed, 2, "{name}: 3 with the first one");
    let heads = [
        SCRIPT[0],
        ("cookie", &admission),
        ("user-agent", "Browser/x"),
    ];
    let refused = proxy.get("/", &heads).await;
    assert_eq!(
        refused.status(),
        StatusCode::FORBIDDEN,
        "{name}: {refused:?}"
    );
    let both = format!("{admission}; {client}");
    let roams = [("cookie", both.as_str()), ("user-agent", "Browser/y")];
    assert_eq!(
        proxy.get("/", &roams).await.status(),
        StatusCode::OK,
        "{name}"
    );
}

/// The organiser lets everyone in, and ends that.
async fn open_to_all(proxy: &Proxy) {
    let forged = [SCRIPT[0], ("x-fairline-visitor", "vis_forged")];
    proxy.set(json!({"passthrough": true})).await;
    proxy.until(&forged, StatusCode::OK).await;
    let asked = told(&proxy.get("/", &forged).await);
    assert_eq!(
        asked["visitors"],
        Value::Array(Vec::new()),
        "{}",
        proxy.name
    );
    proxy.set(json!({"passthrough": false})).await;
    proxy.until(&forged, StatusCode::UNAUTHORIZED).await;
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}
