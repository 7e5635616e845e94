//! Pages of other origins: those that are allowed may call the API and read its answers, others may
//! not.

use crate::stage::{KEY, Stage, word};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SHOP: &str = "https://shop.example";

/// A stage whose API pages of [`SHOP`] may call.
async fn stage() -> Stage {
    let stage = Stage::with(|common| common.allowed_origins = Some(SHOP.into())).await;
    stage.event("arena", json!({})).await;
    stage
}

type Bytes = hyper::body::Bytes;

async fn ask(stage: &Stage, method: Method, path: &str, heads: &[(&str, &str)]) -> Response<Bytes> {
    let answer = stage.client.raw(method, path, heads, Vec::new()).await;
    answer.unwrap()
}

async fn preflight(stage: &Stage, path: &str, origin: &str, method: &str) -> Response<Bytes> {
    let heads = [
        ("origin", origin),
        ("access-control-request-method", method),
        (
            "access-control-request-headers",
            "authorization,content-type,idempotency-key",
        ),
    ];
    ask(stage, Method::OPTIONS, path, &heads).await
}

/// All values of a header, in lowercase.
fn head(answer: &Response<Bytes>, name: &str) -> String {
    let values = answer.headers().get_all(name).iter();
    let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
    values.join(", ").to_ascii_lowercase()
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(',').map(str::trim).collect()
}

/// No header that tells a browser to let a page of another origin read something.
fn assert_closed(answer: &Response<Bytes>, what: &str) {
    for name in answer.headers().keys() {
        assert!(
            !name.as_str().starts_with("access-control-"),
            "{what}: {name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_allowed_origin_joins_and_shops_by_cookie_or_bearer() {
    let stage = stage().await;
    let line = "/api/v1/events/arena/line";
    let asked = preflight(&stage, line, SHOP, "POST").await;
    assert_eq!(asked.status(), StatusCode::OK);
    assert_eq!(head(&asked, "access-control-allow-origin"), SHOP);
    assert_eq!(head(&asked, "access-control-allow-credentials"), "true");
    let methods = head(&asked, "access-control-allow-methods");
    assert_eq!(words(&methods), words("get,post,put,patch,delete"));
    let heads = head(&asked, "access-control-allow-headers");
    assert!(words(&heads).is_superset(&words("authorization,content-type,idempotency-key")));
    assert_eq!(head(&asked, "access-control-max-age"), "7200");

    let joined = ask(&stage, Method::POST, line, &[("origin", SHOP)]).await;
    assert_eq!(joined.status(), StatusCode::CREATED);
    assert_eq!(head(&joined, "access-control-allow-origin"), SHOP);
    assert_eq!(head(&joined, "access-control-allow-credentials"), "true");
    assert!(words(&head(&joined, "vary")).contains("origin"));
    let readable = head(&joined, "access-control-expose-headers");
    let needed = "x-fairline-time,retry-after,etag,x-version,x-stale,idempotency-replayed";
    assert!(words(&readable).is_superset(&words(needed)), "{readable}");
    let cookie = joined.headers()["set-cookie"].to_str().unwrap().to_owned();
    let place: Value = serde_json::from_slice(joined.body()).unwrap();
    let bearer = format!("Bearer {}", word(&place["pass"]));
    for credential in [("cookie", cookie.as_str()), ("authorization", &bearer)] {
        let me = format!("{line}/me");
        let place = ask(&stage, Method::GET, &me, &[("origin", SHOP), credential]).await;
        assert_eq!(place.status(), StatusCode::OK);
        assert_eq!(head(&place, "access-control-allow-origin"), SHOP);
    }
    let left = [("origin", SHOP), ("cookie", cookie.as_str())];
    let left = ask(&stage, Method::DELETE, &format!("{line}/me"), &left).await;
    assert_eq!(left.status(), StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_can_be_read_by_a_page_of_an_allowed_origin_too() {
    let stage = Stage::with(|common| {
        common.allowed_origins = Some(SHOP.into());
        common.requests_per_second = Some("2".into());
    })
    .await;
    let from_shop = [("origin", SHOP)];
    let mut found = BTreeSet::new();
    for path in [
        "/api/v1/events/none",
        "/api/v1/nothing",
        "/api/v1/events/none/line/me",
    ] {
        for _ in 0..4 {
            let answer = ask(&stage, Method::GET, path, &from_shop).await;
            assert_eq!(head(&answer, "access-control-allow-origin"), SHOP);
            found.insert(answer.status().as_u16());
        }
    }
    assert_eq!(found, BTreeSet::from([404, 429]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_any_other_origin_reads_nothing_and_is_given_no_preflight() {
    let stage = stage().await;
    let (pass, _) = stage.admit("arena").await;
    let bearer = format!("Bearer {pass}");
    for origin in [
        "https://evil.example",
        "https://shop.example.evil.example",
        "https://evilshop.example",
        "https://sub.shop.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example/",
        "https://shop.example.",
        "https://user@shop.example",
        "HTTPS://SHOP.EXAMPLE",
        "https://shop.example, https://evil.example",
        "null",
        "*",
        "",
    ] {
        let path = "/api/v1/events/arena/line/me";
        let asked = preflight(&stage, path, origin, "GET").await;
        assert_eq!(asked.status(), StatusCode::METHOD_NOT_ALLOWED, "{origin}");
        assert_closed(&asked, origin);
        let heads = [("origin", origin), ("authorization", bearer.as_str())];
        let place = ask(&stage, Method::GET, path, &heads).await;
        assert_eq!(place.status(), StatusCode::OK, "a bearer needs no origin");
        assert_closed(&place, origin);
        let event = ask(&stage, Method::GET, "/api/v1/events/arena", &heads[..1]).await;
        assert_closed(&event, origin);
        // Or a shared cache could hand this answer to a page that may read it.
        assert!(head(&event, "vary").contains("origin"), "{origin}");
    }
    let without = ask(&stage, Method::GET, "/api/v1/events/arena", &[]).await;
    assert_closed(&without, "no origin");
    assert!(head(&without, "vary").contains("origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consoles_cookie_counts_for_no_page_of_another_origin() {
    let stage = stage().await;
    let path = "/api/v1/organiser/events";
    let asked = preflight(&stage, path, SHOP, "GET").await;
    assert_eq!(head(&asked, "access-control-allow-origin"), SHOP);
    assert_eq!(head(&asked, "access-control-allow-credentials"), "");
    let bearer = format!("Bearer {KEY}");
    let heads = [("origin", SHOP), ("authorization", bearer.as_str())];
    let events = ask(&stage, Method::GET, path, &heads).await;
    assert_eq!(events.status(), StatusCode::OK);
    assert_eq!(head(&events, "access-control-allow-origin"), SHOP);
    assert_eq!(head(&events, "access-control-allow-credentials"), "");
    // A shop below the same name is of the same site: browsers send the cookie along with what needs
    // no preflight, such as a POST without a body.
    let json = [("content-type", "application/json")];
    let body = json!({"key": KEY}).to_string().into_bytes();
    let path = "/api/v1/organiser/session";
    let signed_in = stage.client.raw(Method::POST, path, &json, body).await;
    let cookie = signed_in.unwrap().headers()["set-cookie"].clone();
    let cookie = (
        "cookie",
        cookie.to_str().unwrap().split(';').next().unwrap(),
    );
    let refund = "/api/v1/organiser/events/arena/orders/none/refund";
    let own = ("origin", stage.url.as_str());
    let other_name = ("host", "shop.example:8443");
    for (heads, status) in [
        (vec![("origin", SHOP)], 403),
        (vec![("origin", SHOP), ("sec-fetch-site", "same-site")], 403),
        (vec![("origin", "null")], 403),
        (vec![], 403),
        (vec![own], 404),
        // The console, opened by another name that is allowed.
        (vec![("origin", SHOP), other_name], 404),
        (
            vec![("origin", "https://evil.example"), ("host", "evil.example")],
            403,
        ),
    ] {
        let heads = [heads, vec![cookie]].concat();
        let answer = ask(&stage, Method::POST, refund, &heads).await;
        assert_eq!(answer.status(), status, "{heads:?}");
    }
    // Nor does it when they read, be it what is shown to fans as well.
    stage.event("draft", json!({"published": false})).await;
    for (heads, list, draft) in [
        (vec![("origin", SHOP)], 403, 404),
        (vec![("origin", "null")], 403, 404),
        (vec![], 200, 200),
        (vec![own], 200, 200),
        (vec![("origin", SHOP), other_name], 200, 200),
    ] {
        let heads = [heads, vec![cookie]].concat();
        for (path, status) in [
            ("/api/v1/organiser/events", list),
            ("/api/v1/events/draft", draft),
        ] {
            let answer = ask(&stage, Method::GET, path, &heads).await;
            assert_eq!(answer.status(), status, "{path} {heads:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_documents_are_for_anyone_and_pages_and_the_gate_for_no_other_origin() {
    let stage = stage().await;
    for path in [
        "/.well-known/jwks.json",
        "/api/openapi.json",
        "/api/asyncapi.json",
    ] {
        for origin in [SHOP, "https://evil.example", "null"] {
            let answer = ask(&stage, Method::GET, path, &[("origin", origin)]).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert_eq!(head(&answer, "access-control-allow-origin"), "*", "{path}");
            assert_eq!(head(&answer, "access-control-allow-credentials"), "");
        }
    }
    for path in [
        "/",
        "/e/arena",
        "/organiser",
        "/static/api.js",
        "/e/arena/seats",
    ] {
        let answer = ask(&stage, Method::GET, path, &[("origin", SHOP)]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_closed(&answer, path);
    }
    // A preflight at the gate is the site's, and the site answers it.
    let asked = preflight(&stage, "/gate/arena", SHOP, "POST").await;
    assert_eq!(asked.status(), StatusCode::NO_CONTENT);
    assert_closed(&asked, "the gate");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_allows_every_origin_together_with_credentials() {
    let stage = stage().await;
    let document = stage.get("/api/openapi.json", "").await.body;
    for path in document["paths"].as_object().unwrap().keys() {
        let path = path.replace(['{', '}'], "");
        for origin in [SHOP, "https://evil.example"] {
            let answer = ask(&stage, Method::GET, &path, &[("origin", origin)]).await;
            let allowed = head(&answer, "access-control-allow-origin");
            let has_credentials = !head(&answer, "access-control-allow-credentials").is_empty();
            assert!(!(allowed == "*" && has_credentials), "{path}");
            assert_ne!(allowed, "https://evil.example", "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_answers_401_names_the_scheme_that_it_takes() {
    let stage = stage().await;
    let document = stage.get("/api/openapi.json", "").await.body;
    let mut refused = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{event}", "arena");
        for method in item.as_object().unwrap().keys() {
            let method = method.to_ascii_uppercase().parse::<Method>().unwrap();
            for credential in [None, Some(("authorization", "Bearer wrong"))] {
                let heads: Vec<_> = credential.into_iter().collect();
                let answer = ask(&stage, method.clone(), &path, &heads).await;
                let challenge = head(&answer, "www-authenticate");
                let is_refused = answer.status() == StatusCode::UNAUTHORIZED;
                assert_eq!(
                    challenge.starts_with("bearer "),
                    is_refused,
                    "{method} {path}"
                );
                refused += usize::from(is_refused);
            }
        }
    }
    assert!(refused > 40, "{refused}");
}
