//! Letters as organisers see them before they are sent.

use crate::mails::{mailing, until};
use crate::node::ORGANISER_KEY;
use crate::stage::ProviderStage;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const LETTERS: [&str; 7] = [
    "confirmed",
    "refunded",
    "cancelled",
    "changed",
    "orders",
    "soon",
    "turn",
];

async fn preview(stage: &ProviderStage, key: &str, query: &str) -> (StatusCode, HeaderMap, String) {
    let path = format!("/api/v1/organiser/events/arena/mails/preview{query}");
    let request = Request::get(path)
        .header("host", "127.0.0.1")
        .header("authorization", format!("Bearer {key}"));
    let request = request.body(Body::empty()).unwrap();
    let answer = stage.app.clone().oneshot(request).await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = to_bytes(answer.into_body(), 1_000_000).await.unwrap();
    (status, headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_letter_is_shown_in_each_language_and_form_and_runs_nothing() {
    for (stage, server) in mailing(60).await {
        for letter in LETTERS {
            let mut seen = Vec::new();
            for (language, format) in [
                ("en", "html"),
                ("de", "html"),
                ("en", "text"),
                ("de", "text"),
            ] {
                let query = format!("?letter={letter}&language={language}&format={format}");
                let (status, headers, body) = preview(&stage, ORGANISER_KEY, &query).await;
                assert_eq!(status, StatusCode::OK, "{query}: {body}");
                let policy = headers["content-security-policy"].to_str().unwrap();
                assert!(
                    policy.starts_with("sandbox; default-src 'none'"),
                    "{policy}"
                );
                assert_eq!(headers["x-frame-options"], "SAMEORIGIN");
                let kind = headers["content-type"].to_str().unwrap();
                match format {
                    "html" => {
                        assert!(kind.starts_with("text/html"), "{kind}");
                        let lang = format!("<html lang=\"{language}\">");
                        assert!(body.contains(&lang) && !body.contains("cid:"), "{body}");
                    }
                    _ => assert!(
                        kind.starts_with("text/plain") && !body.contains("<p>"),
                        "{body}"
                    ),
                }
                assert!(!seen.contains(&body), "{query}");
                seen.push(body);
            }
        }
        assert!(server.mails().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_made_up_order_has_seats_of_the_plan_and_tickets_that_open_no_door() {
    for (stage, _server) in mailing(60).await {
        let (_, _, text) = preview(&stage, ORGANISER_KEY, "?letter=confirmed&format=text").await;
        assert!(
            text.contains("Ada Example") && text.contains("90.00"),
            "{text}"
        );
        assert!(text.contains("0000-0000-0000"), "{text}");
        for code in ["PREVIEW: not a ticket", "0000-0000-0000"] {
            let checked = stage
                .post(
                    "/api/v1/organiser/events/arena/checkins",
                    ORGANISER_KEY,
                    &json!({"code": code, "door": "North", "scan": "one"}),
                )
                .await;
            assert!(checked.0.is_client_error(), "{}", checked.1);
        }
        let (_, _, html) = preview(&stage, ORGANISER_KEY, "?letter=confirmed").await;
        assert_eq!(html.matches("src=\"data:image/png;base64,").count(), 2);
        let (_, orders) = stage
            .get_as_organiser("/api/v1/organiser/events/arena/orders")
            .await;
        let orders: Value = serde_json::from_slice(&orders).unwrap();
        assert_eq!(orders["orders"], json!([]));
        until("no mail waits", async || {
            stage
                .node
                .shop
                .inventory
                .mails()
                .backlog()
                .await
                .unwrap()
                .waiting
                == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_is_for_organisers_and_what_is_wrong_is_named() {
    let stages = mailing(60).await;
    let (stage, _server) = &stages[0];
    let refused = preview(stage, "", "?letter=confirmed").await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
    for (query, words) in [
        ("", "letter"),
        ("?letter=birthday", "letter: one of confirmed, refunded"),
        ("?letter=turn&language=tlh", "language: one of de, en"),
        ("?letter=turn&format=pdf", "format: html or text"),
        ("?letter=turn&colour=red", "colour"),
    ] {
        let (status, _, body) = preview(stage, ORGANISER_KEY, query).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        let told = problem["detail"].as_str().unwrap();
        assert!(told.contains(words), "{query}: {told}");
    }
    for stage in ProviderStage::stripe().await {
        let (status, _, body) = preview(&stage, ORGANISER_KEY, "?letter=turn").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
        assert!(body.contains("/problems/no-mail"), "{body}");
    }
}
