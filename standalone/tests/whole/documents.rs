//! Public documents that are the same for everyone: compressed once, and sent in the form that the
//! client takes.

use crate::stage::{KEY, Stage};
use flate2::read::GzDecoder;
use hyper::body::Bytes;
use hyper::{Method, Response, StatusCode};
use serde_json::json;
use std::io::Read as _;

async fn ask(stage: &Stage, path: &str, heads: &[(&str, &str)]) -> Response<Bytes> {
    let answer = stage.client.raw(Method::GET, path, heads, vec![]).await;
    answer.unwrap()
}

fn head(answer: &Response<Bytes>, name: &str) -> String {
    let values = answer.headers().get_all(name).iter();
    let values: Vec<&str> = values.map(|value| value.to_str().unwrap()).collect();
    values.join(", ").to_ascii_lowercase()
}

/// Opens a stage with an event that was drawn; returns the path of its draw.
async fn drawn(stage: &Stage) -> String {
    let now = stage.clock.now();
    let settings = json!({"id": "drawn", "name": "Drawn", "order": "draw", "prequeue_opens_at": now,
        "sale_opens_at": now.plus_seconds(10), "admission": {"rate_per_minute": 0}});
    let made = stage.client.create_event(KEY, &settings, None).await;
    made.unwrap();
    for _ in 0..20 {
        stage.client.join("drawn").await.unwrap();
    }
    stage.clock.advance_ms(10_000);
    let draw = "/api/v1/events/drawn/draw";
    let is_drawn = |drawn: &serde_json::Value| drawn["seed"].is_string();
    stage.until(draw, "", is_drawn).await;
    draw.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn public_documents_are_not_compressed_for_each_who_asks() {
    let stage = Stage::open().await;
    stage.event("hall", json!({})).await;
    let entries = format!("{}/entries", drawn(&stage).await);
    for path in [
        "/static/queue.js",
        "/static/base.css",
        "/static/icon.svg",
        "/api/openapi.json",
        "/api/asyncapi.json",
        "/api/v1/currencies",
        "/api/v1/events/hall/seating",
        "/api/v1/events/hall/seats",
        "/api/v1/events/hall/seats?format=bits",
        &entries,
    ] {
        let plain = ask(&stage, path, &[]).await;
        assert_eq!(plain.status(), StatusCode::OK, "{path}");
        assert_eq!(head(&plain, "content-encoding"), "", "{path}");
        for accepted in ["gzip, deflate, br", "x-gzip", "*", "br;q=1, gzip;q=0.1"] {
            let small = ask(&stage, path, &[("accept-encoding", accepted)]).await;
            assert_eq!(head(&small, "content-encoding"), "gzip", "{path}");
            // One that is compressed on its way out has none.
            let length = head(&small, "content-length");
            assert_eq!(length, small.body().len().to_string(), "{path} {accepted}");
            let mut text = Vec::new();
            let read = GzDecoder::new(&small.body()[..]).read_to_end(&mut text);
            read.unwrap();
            assert!(text == *plain.body(), "{path}");
            for (answer, is_weak) in [(&plain, false), (&small, true)] {
                let vary = head(answer, "vary");
                assert!(vary.contains("accept-encoding"), "{path}: {vary}");
                let tag = head(answer, "etag");
                assert!(tag.is_empty() || tag.starts_with("w/") == is_weak, "{tag}");
            }
            let same = |name: &str| assert_eq!(head(&small, name), head(&plain, name), "{path}");
            same("content-type");
            same("cache-control");
        }
        for refused in ["br", "gzip;q=0, *", "identity"] {
            let answer = ask(&stage, path, &[("accept-encoding", refused)]).await;
            assert_eq!(head(&answer, "content-encoding"), "", "{path} {refused}");
            assert!(answer.body() == plain.body(), "{path} {refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_known_is_not_sent_again_in_either_form() {
    let stage = Stage::open().await;
    stage.event("hall", json!({})).await;
    for path in [
        "/static/queue.js",
        "/api/v1/events/hall/seating",
        "/api/v1/events/hall/seats",
        "/api/v1/events/hall/seats?format=bits",
    ] {
        let gzip = ("accept-encoding", "gzip");
        let tag = |answer: &Response<Bytes>| answer.headers()["etag"].to_str().unwrap().to_owned();
        let strong = tag(&ask(&stage, path, &[]).await);
        let weak = tag(&ask(&stage, path, &[gzip]).await);
        assert_eq!(weak, format!("W/{strong}"), "{path}");
        for known in [&strong, &weak] {
            let known = ("if-none-match", known.as_str());
            for (heads, wanted) in [(&[known][..], &strong), (&[known, gzip], &weak)] {
                let same = ask(&stage, path, heads).await;
                assert_eq!(same.status(), StatusCode::NOT_MODIFIED, "{path}");
                assert_eq!(&tag(&same), wanted, "{path}");
                assert!(head(&same, "vary").contains("accept-encoding"), "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_one_request_are_compressed_on_their_way_out() {
    let stage = Stage::open().await;
    stage.event("hall", json!({"paused": true})).await;
    let gzip = ("accept-encoding", "gzip");
    for path in ["/e/hall", "/api/v1/events/hall", "/api/docs"] {
        let answer = ask(&stage, path, &[gzip]).await;
        assert_eq!(head(&answer, "content-encoding"), "gzip", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_say_where_they_heed_an_idempotency_key_and_need_no_body() {
    let stage = Stage::open().await;
    let document = stage.get("/api/openapi.json", "").await.body;
    let (mut keyed, mut optional) = (Vec::new(), Vec::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            let parameters = operation["parameters"].as_array().cloned();
            let mut parameters = parameters.into_iter().flatten();
            if parameters.any(|parameter| parameter["name"] == "Idempotency-Key") {
                keyed.push(name.clone());
            }
            if operation["requestBody"]["required"] == false {
                optional.push(name);
            }
        }
    }
    let wanted = [
        "post /api/v1/events/{event}/holds",
        "post /api/v1/events/{event}/line",
        "post /api/v1/events/{event}/sessions",
        "post /api/v1/orders",
        "post /api/v1/organiser/events",
        "post /api/v1/organiser/events/{event}/orders",
        "post /api/v1/organiser/events/{event}/orders/{order}/refund",
        "post /api/v1/organiser/events/{event}/orders/{order}/reseat",
        "post /api/v1/payments/simulated/{payment}",
    ];
    assert_eq!(keyed, wanted);
    let wanted = [
        "post /api/v1/events/{event}/line",
        "post /api/v1/events/{event}/sessions",
        "patch /api/v1/organiser/events/{event}",
        "patch /api/v1/organiser/events/{event}/checkout",
        "patch /api/v1/organiser/events/{event}/orders/{order}",
        "post /api/v1/organiser/events/{event}/orders/{order}/refund",
        "patch /api/v1/organiser/webhooks/{webhook}",
        "post /api/v1/organiser/webhooks/{webhook}/rotate",
    ];
    assert_eq!(optional, wanted);
}
