//! Orders looked up by mail, and mails sent again by organisers.

use crate::mails::{done, mailing, parsed, part, stages, text, until};
use crate::stage::ProviderStage;
use axum::http::StatusCode;
use checkout::inventory::mail::MailState;
use serde_json::{Value, json};
use testkit::SmtpFault;

const FIND: &str = "/api/v1/orders/find";
/// Link to the page that asks for a mail, where one can be sent.
const SHOWN: &str = "<p ><a href=\"/orders/find\">";

async fn find(stage: &ProviderStage, email: &str) -> (StatusCode, Value) {
    stage.post(FIND, "", &json!({"email": email})).await
}

/// Returns whether no request for a list waits any more.
async fn is_answered(stage: &ProviderStage) -> bool {
    let mails = stage.node.shop.inventory.mails();
    mails.backlog().await.unwrap().waiting == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_gets_links_to_its_orders_and_the_answer_tells_nothing() {
    for (stage, server) in stages().await {
        let order = stage.buy(&["s-A-1", "s-A-2"]).await;
        let unpaid = stage.order(&["s-A-3"]).await;
        server.until(1).await;
        let known = find(&stage, "ADA@example.org").await;
        let unknown = find(&stage, "eve@example.org").await;
        assert_eq!(known, (StatusCode::ACCEPTED, Value::Null));
        assert_eq!(known, unknown);
        let received = server.until(2).await;
        until("all are answered", async || is_answered(&stage).await).await;
        assert_eq!(server.mails().len(), 2, "none to an unknown address");
        assert_eq!(received[1].to, ["ada@example.org"]);
        let plain = text(&received[1]);
        let link = format!("{}{}", stage.node.shop.site.public_url, order.link.unwrap());
        assert!(
            plain.contains(&link) && plain.contains("Seats: 2"),
            "{plain}"
        );
        assert!(!plain.contains(unpaid["id"].as_str().unwrap()), "{plain}");
        let mail = parsed(&received[1]);
        assert!(
            part(&mail["parts"], "text/html")
                .unwrap()
                .contains("Open this order")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_sent_few_lists_and_the_answer_stays_the_same() {
    for (stage, server) in stages().await {
        stage.buy(&["s-A-1"]).await;
        server.until(1).await;
        for asked in 1..=5 {
            assert_eq!(
                find(&stage, "ada@example.org").await.0,
                StatusCode::ACCEPTED
            );
            // One after the other, as several at once have one mail.
            if asked <= 3 {
                server.until(1 + asked).await;
            }
        }
        until("all are answered", async || is_answered(&stage).await).await;
        assert_eq!(server.mails().len(), 4);
        assert_eq!(
            find(&stage, "no address").await.0,
            StatusCode::UNPROCESSABLE_ENTITY
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_works_without_a_script_and_a_site_without_mail_says_so() {
    for (stage, _server) in mailing(60).await {
        assert!(stage.page("/orders").await.contains(SHOWN));
        let form = stage.page("/orders/find").await;
        assert!(
            form.contains("<form method=\"post\" action=\"/orders/find\">"),
            "{form}"
        );
        let told = stage
            .submit("/orders/find", "email=ada%40example.org")
            .await;
        assert!(
            told.1.contains("If there are orders for this address"),
            "{}",
            told.1
        );
        assert_eq!(told.0, StatusCode::OK);
        assert_eq!(
            stage.submit("/orders/find", "email=ada").await.0,
            StatusCode::UNPROCESSABLE_ENTITY
        );
        assert_eq!(
            stage.submit("/orders/find", "").await.0,
            StatusCode::UNPROCESSABLE_ENTITY
        );
    }
    for stage in ProviderStage::stripe().await {
        assert!(!stage.page("/orders").await.contains(SHOWN));
        let (status, problem) = find(&stage, "ada@example.org").await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::NOT_FOUND, &json!("/problems/no-mail"))
        );
        assert!(
            stage
                .page("/orders/find")
                .await
                .contains("This site sends no mail")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_is_sent_again_by_an_organiser_a_few_times_an_hour() {
    for (stage, server) in stages().await {
        let order = stage.buy(&["s-A-1"]).await;
        server.until(1).await;
        let path = format!("/api/v1/organiser/events/arena/orders/{}/mails", order.id);
        for count in 2..=4 {
            assert_eq!(stage.post_as_organiser(&path).await.0, StatusCode::ACCEPTED);
            let mails = server.until(count).await;
            assert_eq!(text(&mails[count - 1]), text(&mails[0]));
        }
        assert_eq!(
            stage.post_as_organiser(&path).await.0,
            StatusCode::TOO_MANY_REQUESTS
        );
        done(&stage, &order.id, 4).await;
        let listed: Value = serde_json::from_slice(&stage.get_as_organiser(&path).await.1).unwrap();
        assert_eq!(listed["is_set_up"], true);
        assert_eq!(listed["mails"].as_array().unwrap().len(), 4);
        assert_eq!(listed["mails"][0]["state"], "sent");
        let given_up = stage.order(&["s-A-2"]).await;
        let path = format!(
            "/api/v1/organiser/events/arena/orders/{}/mails",
            given_up["id"].as_str().unwrap()
        );
        let (status, problem) = stage.post_as_organiser(&path).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::CONFLICT, &json!("/problems/not-confirmed"))
        );
        let (_, audit) = stage.get_as_organiser("/api/v1/organiser/audit").await;
        let audit = String::from_utf8(audit).unwrap();
        assert_eq!(audit.matches("order.resend").count(), 3, "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organisers_see_what_cannot_be_sent_and_send_it_again() {
    for (stage, server) in stages().await {
        server.then([SmtpFault::Rejects]);
        let order = stage.buy(&["s-A-1"]).await;
        done(&stage, &order.id, 1).await;
        let path = "/api/v1/organiser/events/arena/mails";
        let listed: Value = serde_json::from_slice(&stage.get_as_organiser(path).await.1).unwrap();
        let failed = &listed["mails"][0];
        assert_eq!(
            (&failed["order"], &failed["state"]),
            (&json!(order.id), &json!("failed"))
        );
        assert!(failed["reason"].as_str().unwrap().contains("550"));
        let retry = format!("{path}/{}/retry", failed["id"].as_str().unwrap());
        assert_eq!(
            stage.post_as_organiser(&retry).await.0,
            StatusCode::NO_CONTENT
        );
        assert_eq!(done(&stage, &order.id, 1).await[0].state, MailState::Sent);
        assert_eq!(
            stage.post_as_organiser(&retry).await.0,
            StatusCode::NOT_FOUND
        );
        assert_eq!(server.mails().len(), 1);
    }
}
