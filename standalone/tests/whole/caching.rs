//! Caching: which responses shared caches may keep, under which key, and that none of them is
//! anyone's own.

use crate::stage::{KEY, Stage, word};
use crate::undeclared::operations;
use axum::http::{HeaderMap, Method, Response};
use hyper::body::Bytes;
use serde_json::json;

/// Paths that are the same for everyone. All others are private.
const PUBLIC: [&str; 15] = [
    "/",
    "/sitemap.xml",
    "/robots.txt",
    "/e/strict",
    "/e/strict/seats",
    "/e/strict/draw",
    "/static/base.css",
    "/static/seats.js",
    "/api/v1/events",
    "/api/v1/events/strict",
    "/api/v1/events/strict/seating",
    "/api/v1/events/strict/seats",
    "/api/v1/events/strict/draw",
    "/api/v1/events/strict/draw/entries",
    "/api/v1/currencies",
];

/// Headers by which a shared cache learns that it may keep a response.
const FOR_CACHES: [&str; 4] = [
    "surrogate-control",
    "cdn-cache-control",
    "surrogate-key",
    "cache-tag",
];

async fn ask(stage: &Stage, method: Method, path: &str, heads: &[(&str, &str)]) -> Response<Bytes> {
    stage.client.raw(method, path, heads, vec![]).await.unwrap()
}

fn is_kept(headers: &HeaderMap) -> bool {
    FOR_CACHES.iter().any(|name| headers.contains_key(*name))
        || headers["cache-control"] != "no-store"
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_depends_on_a_credential_may_be_kept_by_a_cache() {
    let stage = Stage::with(|common| common.trusted_hops = Some("1".into())).await;
    stage.event("strict", json!({})).await;
    let session = stage.session("strict").await;
    let order = stage.buy("strict", &session, 1).await;
    // The same for all requests below.
    let is_told = |event: &serde_json::Value| event["availability"]["booked"] == 1;
    stage.until("/api/v1/events/strict", "", is_told).await;
    let (pass, token) = stage.admit("strict").await;
    let service = stage.fairline.room.service_key.clone();
    let order = word(&order["id"]);
    let cookies = format!(
        "fairline_pass_strict={pass}; fairline_admission_strict={token}; fairline_session_strict={session}"
    );
    let mut paths: Vec<(Method, String)> = operations(&stage)
        .await
        .into_iter()
        .map(|(method, path, _)| (method, path.replace("ord_strict_x", &order)))
        .filter(|(_, path)| !path.ends_with("/stream"))
        .collect();
    for path in PUBLIC.into_iter().chain([
        "/organiser",
        "/gate/strict",
        "/orders/ord_strict_x",
        "/nothing",
        "/static/nothing",
        "/e/nothing",
        "/e/nothing/draw",
        "/api/docs",
        "/api/openapi.json",
    ]) {
        paths.push((Method::GET, path.to_owned()));
        paths.push((Method::HEAD, path.to_owned()));
    }
    let mut kept = 0;
    for (method, path) in &paths {
        let mut public_body = None;
        for credential in ["", KEY, &pass, &token, &session, &service, "cookie"] {
            let bearer = format!("Bearer {credential}");
            let heads: &[(&str, &str)] = match credential {
                "" => &[],
                "cookie" => &[("cookie", &cookies)],
                _ => &[("authorization", &bearer)],
            };
            let answer = ask(&stage, method.clone(), path, heads).await;
            let headers = answer.headers();
            let told = format!(
                "{method} {path} with '{credential}': {} {headers:?}",
                answer.status()
            );
            if !is_kept(headers) {
                continue;
            }
            kept += 1;
            let is_lasting =
                ["/.well-known/jwks.json", "/api/asyncapi.json"].contains(&path.as_str());
            assert!(PUBLIC.contains(&path.as_str()) || is_lasting, "{told}");
            assert!([Method::GET, Method::HEAD].contains(method), "{told}");
            assert!(answer.status().is_success(), "{told}");
            assert!(!headers.contains_key("set-cookie"), "{told}");
            // The same for all who may be given it.
            let body = public_body.get_or_insert_with(|| answer.body().clone());
            assert_eq!(body, answer.body(), "{told}");
        }
    }
    assert!(kept > 100, "{kept}");
    // The queue page of a fan is theirs, however the pass comes.
    let bearer = format!("Bearer {pass}");
    for head in [("cookie", cookies.as_str()), ("authorization", &bearer)] {
        let page = ask(&stage, Method::GET, "/e/strict", &[head]).await;
        assert!(!is_kept(page.headers()), "{:?}", page.headers());
        assert!(page.headers().contains_key("set-cookie"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn public_responses_say_how_long_caches_may_keep_them_and_under_which_key() {
    let alone = Stage::open().await;
    let plain = Stage::with(|common| common.trusted_hops = Some("1".into())).await;
    let purged = Stage::with(|common| {
        common.trusted_hops = Some("1".into());
        // Nothing listens there; another test is about purges.
        common.purge_url = Some("http://127.0.0.1:9".into());
    })
    .await;
    let live = "public, max-age=0, s-maxage=1";
    let (layout, file) = ("public, max-age=5", "public, max-age=60");
    let event = "event-strict";
    for stage in [&alone, &plain, &purged] {
        let times = json!({"order": "draw", "prequeue_opens_at": "2099-01-01T00:00:00Z",
            "sale_opens_at": "2099-01-01T01:00:00Z"});
        stage.event("strict", times).await;
    }
    for (path, for_all, for_edge, with_purges, key) in [
        ("/", live, 1, 1, "events"),
        ("/sitemap.xml", live, 1, 1, "events"),
        ("/e/strict", "no-store", 1, 60, event),
        ("/e/strict/seats", "no-store", 1, 60, event),
        ("/e/strict/draw", "no-store", 1, 60, event),
        ("/static/base.css", file, 60, 60, "static"),
        ("/api/v1/events", live, 1, 1, "events"),
        ("/api/v1/events/strict", live, 1, 1, event),
        ("/api/v1/events/strict/seats", live, 1, 1, event),
        ("/api/v1/events/strict/draw", live, 1, 1, event),
        ("/api/v1/events/strict/seating", layout, 5, 60, event),
    ] {
        for (stage, seconds) in [(&alone, 0), (&plain, for_edge), (&purged, with_purges)] {
            let answer = ask(stage, Method::GET, path, &[("accept-encoding", "gzip")]).await;
            let head = |name: &str| {
                let values = answer.headers().get_all(name).iter();
                let values: Vec<&str> = values.map(|value| value.to_str().unwrap()).collect();
                values.join(", ").to_ascii_lowercase()
            };
            assert_eq!(head("cache-control"), for_all, "{path}");
            let (wanted, key) = match seconds {
                // No proxy in front means no CDN either.
                0 => (String::new(), ""),
                _ => (format!("max-age={seconds}, stale-while-revalidate=1"), key),
            };
            for name in ["surrogate-control", "cdn-cache-control"] {
                assert_eq!(head(name), wanted, "{path}");
            }
            for name in ["surrogate-key", "cache-tag"] {
                assert_eq!(head(name), key, "{path}");
            }
            // Every answer has an uncompressed form, the queue page one for those with a pass, and the
            // list of events one in each language.
            let vary = head("vary");
            assert!(vary.contains("accept-encoding"), "{path}: {vary}");
            let depends = path == "/" || path == "/e/strict" && seconds > 0;
            assert_eq!(vary.contains("cookie"), depends, "{path}: {vary}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_of_the_seat_map_has_a_tag_of_its_own_and_can_be_asked_for_by_its_address() {
    let stage = Stage::open().await;
    stage.event("strict", json!({})).await;
    let path = "/api/v1/events/strict/seats";
    let json = ask(&stage, Method::GET, path, &[]).await;
    let by_accept = ask(
        &stage,
        Method::GET,
        path,
        &[("accept", "application/octet-stream")],
    )
    .await;
    let by_address = ask(&stage, Method::GET, &format!("{path}?format=bits"), &[]).await;
    assert_eq!(by_accept.body(), by_address.body());
    assert_eq!(
        by_address.headers()["content-type"],
        "application/octet-stream"
    );
    let tag = json.headers()["etag"].to_str().unwrap();
    let bits_tag = by_accept.headers()["etag"].to_str().unwrap();
    assert_eq!(by_address.headers()["etag"], bits_tag);
    assert_ne!(tag, bits_tag);
    for (path, tag, status) in [
        (path.to_owned(), tag, 304),
        (path.to_owned(), "*", 304),
        (path.to_owned(), bits_tag, 200),
        (format!("{path}?format=bits"), bits_tag, 304),
        (format!("{path}?format=bits"), tag, 200),
        (format!("{path}?format=json"), tag, 422),
    ] {
        let answer = ask(&stage, Method::GET, &path, &[("if-none-match", tag)]).await;
        assert_eq!(answer.status().as_u16(), status, "{path} {tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_of_a_layout_is_another_for_another_event_of_the_same_id() {
    let stage = Stage::open().await;
    let path = "/api/v1/events/strict/seating";
    let tag = async || {
        let answer = ask(&stage, Method::GET, path, &[]).await;
        answer.headers()["etag"].to_str().unwrap().to_owned()
    };
    stage.event("strict", json!({})).await;
    let first = tag().await;
    let gone = stage.organise(Method::DELETE, "/events/strict", None).await;
    assert!(gone.status.is_success(), "{}", gone.body);
    let event = json!({"id": "strict", "name": "Another"});
    let plan = json!({"categories": [{"id": "stalls", "name": "Stalls", "price": 100}],
        "sections": [{"id": "st", "category": "stalls", "rows": 1, "seats_per_row": 3}]});
    stage
        .client
        .create_event(KEY, &event, Some(plan))
        .await
        .unwrap();
    assert_ne!(tag().await, first);
    let answer = ask(&stage, Method::GET, path, &[("if-none-match", &first)]).await;
    assert_eq!(answer.status(), 200);
}
