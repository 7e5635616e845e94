//! Mails that come back: what a report does, and that no forged one does anything.

use crate::mails::{done, mailing, stages, until};
use crate::node::ORGANISER_KEY;
use crate::stage::ProviderStage;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use checkout::inventory::mail::{MailKind, MailOutcome, MailRecord, MailState, NewMail};
use checkout::inventory::{InLine, Order};
use serde_json::{Value, json};
use shared::ids::VisitorId;
use shared::line_mail::LineMail;

const POSTFIX: &str = include_str!("../fixtures/bounces/postfix.eml");
const EXIM: &str = include_str!("../fixtures/bounces/exim.eml");
const EXCHANGE: &str = include_str!("../fixtures/bounces/exchange.eml");
const GMAIL: &str = include_str!("../fixtures/bounces/gmail.eml");
const DELAYED: &str = include_str!("../fixtures/bounces/delayed.eml");
const EXPIRED: &str = include_str!("../fixtures/bounces/expired.eml");

const BOUNCES: &str = "/api/v1/organiser/mails/bounces";
const FAILED: &str = "/api/v1/organiser/events/arena/mails";
const ADA: &str = "ada@example.org";

/// Posts a report as a mail server pipes it.
async fn post(stage: &ProviderStage, key: &str, text: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::post(BOUNCES)
        .header("host", "127.0.0.1")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "message/rfc822")
        .body(text.into());
    stage.ask(request.unwrap()).await
}

/// Posts a sample about a mail to Ada, and returns how many mails came back by it.
async fn report(stage: &ProviderStage, sample: &str, mail: &MailRecord, address: &str) -> Value {
    let name = stage.node.shop.message_id(&mail.id, mail.created_at, ADA);
    post_about(stage, sample, &name, address).await
}

/// Posts a sample about a mail of this name.
async fn post_about(stage: &ProviderStage, sample: &str, name: &str, address: &str) -> Value {
    let text = sample.replace("{mail}", name).replace("{address}", address);
    let (status, answer) = post(stage, ORGANISER_KEY, text).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["bounced"].clone()
}

/// Sells a seat, and returns the order with its mail once that was sent.
async fn bought(stage: &ProviderStage, seat: &str) -> (Order, MailRecord) {
    let order = stage.buy(&[seat]).await;
    let mail = done(stage, &order.id, 1).await.remove(0);
    (order, mail)
}

async fn listed(stage: &ProviderStage) -> Vec<Value> {
    let (_, body) = stage.get_as_organiser(FAILED).await;
    let listed: Value = serde_json::from_slice(&body).unwrap();
    listed["mails"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_came_back_stops_those_to_its_address_until_it_is_sent_again() {
    for (stage, server) in stages().await {
        let (_, mail) = bought(&stage, "s-A-1").await;
        assert_eq!(mail.state, MailState::Sent);
        assert_eq!(report(&stage, POSTFIX, &mail, "Ada@EXAMPLE.org").await, 1);
        assert_eq!(report(&stage, POSTFIX, &mail, ADA).await, 0, "once");
        let rows = listed(&stage).await;
        assert_eq!((rows.len(), &rows[0]["state"]), (1, &json!("bounced")));
        let reason = rows[0]["reason"].as_str().unwrap();
        let wanted = "came back: 550 5.1.1 <the address>: Recipient address rejected: User unknown in virtual mailbox table";
        assert_eq!(reason, wanted);

        // A further order of the same buyer.
        let (second, stopped) = bought(&stage, "s-A-2").await;
        assert_eq!((stopped.state, stopped.attempts), (MailState::Failed, 1));
        let wanted = format!("not sent, as an earlier mail to this address {wanted}");
        assert_eq!(stopped.reason.as_deref(), Some(&*wanted));
        assert_eq!(server.mails().len(), 1);

        // Either of the two may be sent again.
        let retry = format!("{FAILED}/{}/retry", stopped.id);
        let retried = stage.post_as_organiser(&retry).await;
        assert_eq!(retried.0, StatusCode::NO_CONTENT);
        assert_eq!(done(&stage, &second.id, 1).await[0].state, MailState::Sent);
        assert_eq!(bought(&stage, "s-A-3").await.1.state, MailState::Sent);
        assert_eq!(listed(&stage).await.len(), 1, "the one that came back");
        let (_, audit) = stage.get_as_organiser("/api/v1/organiser/audit").await;
        let audit = String::from_utf8(audit).unwrap();
        assert_eq!(audit.matches("mail.bounce").count(), 1, "{audit}");
        assert!(!audit.to_lowercase().contains(ADA), "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_of_all_mail_servers_count_and_a_mail_that_is_sent_again_may_come_back_again() {
    for (stage, server) in stages().await {
        let (order, mut mail) = bought(&stage, "s-A-1").await;
        let retry = format!("{FAILED}/{}/retry", mail.id);
        for (count, sample) in (1..).zip([POSTFIX, EXIM, EXCHANGE, GMAIL]) {
            assert_eq!(report(&stage, DELAYED, &mail, ADA).await, 0);
            assert_eq!(report(&stage, sample, &mail, ADA).await, 1, "{sample}");
            let back = &done(&stage, &order.id, 1).await[0];
            assert_eq!(back.state, MailState::Bounced);
            let reason = back.reason.as_deref().unwrap();
            assert!(reason.starts_with("came back: 5"), "{reason}");
            assert!(!reason.contains(ADA), "{reason}");
            stage.clock.advance_ms(1);
            stage.post_as_organiser(&retry).await;
            server.until(count + 1).await;
            let before = mail;
            mail = done(&stage, &order.id, 1).await.remove(0);
            assert_eq!(mail.state, MailState::Sent);
            // A report that comes twice is not about the mail that was sent since.
            assert_eq!(report(&stage, sample, &before, ADA).await, 0, "{sample}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_the_mail_server_gave_up_is_listed_and_stops_no_others() {
    for (stage, _server) in stages().await {
        let (order, mail) = bought(&stage, "s-A-1").await;
        assert_eq!(report(&stage, EXPIRED, &mail, ADA).await, 1);
        let back = &done(&stage, &order.id, 1).await[0];
        assert_eq!(back.state, MailState::Bounced);
        assert_eq!(bought(&stage, "s-A-2").await.1.state, MailState::Sent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_that_an_organiser_sends_again_and_an_erasure_end_the_stop() {
    for (stage, server) in stages().await {
        let (order, mail) = bought(&stage, "s-A-1").await;
        report(&stage, EXIM, &mail, ADA).await;
        let again = format!("/api/v1/organiser/events/arena/orders/{}/mails", order.id);
        assert_eq!(
            stage.post_as_organiser(&again).await.0,
            StatusCode::ACCEPTED
        );
        server.until(2).await;
        let mails = done(&stage, &order.id, 2).await;
        assert_eq!(mails[0].state, MailState::Sent);
        assert_eq!(report(&stage, EXIM, &mails[0], ADA).await, 1);
        let people = format!("/api/v1/organiser/people?email={ADA}");
        let erased = stage
            .send("DELETE", &people, ORGANISER_KEY, &json!({}))
            .await;
        assert_eq!(erased.0, StatusCode::OK, "{}", erased.1);
        assert_eq!(bought(&stage, "s-A-2").await.1.state, MailState::Sent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_report_stops_no_one() {
    for (stage, server) in stages().await {
        let (_, mail) = bought(&stage, "s-A-1").await;
        let shop = &stage.node.shop;
        let name = |id: &str, address: &str| shop.message_id(id, mail.created_at, address);
        let sent = name(&mail.id, ADA);
        let content = server.mails()[0].content.clone();
        assert!(content.contains(&format!("<{sent}@")), "{content}");
        let (_, mac) = sent.rsplit_once('.').unwrap();
        for (id, address) in [
            (&*sent, "eve@example.org"),
            (&*sent, "no address"),
            (&*mail.id, ADA),
            (&*format!("{}.", mail.id), ADA),
            (&*format!("{}.{}", mail.id, "A".repeat(43)), ADA),
            (&*format!("evt_other.{mac}"), ADA),
            (&*name(&mail.id, "eve@example.org"), "eve@example.org"),
            (&*name("evt_unknown", ADA), ADA),
            (&*name("", ADA), ADA),
            (&*name("evt_1\0", ADA), ADA),
            (&*name(&"x".repeat(5_000), ADA), ADA),
        ] {
            for sample in [POSTFIX, GMAIL] {
                assert_eq!(
                    post_about(&stage, sample, id, address).await,
                    0,
                    "{id} {address}"
                );
            }
        }
        assert_eq!(bought(&stage, "s-A-2").await.1.state, MailState::Sent);
        assert_eq!((listed(&stage).await.len(), server.mails().len()), (0, 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_of_a_fan_in_line_is_forgotten_once_a_mail_to_it_came_back() {
    for (stage, _server) in mailing(60).await {
        let inventory = &stage.node.shop.inventory;
        let place = InLine::new(&stage.event, VisitorId(7));
        let mail = LineMail {
            email: ADA.to_owned(),
            language: "en".to_owned(),
            link: "proof".to_owned(),
            number: Some(7),
            tell_soon: true,
        };
        assert!(stage.node.shop.keep_line_mail(&place, &mail).await.is_ok());
        let soon = NewMail {
            id: "mail_soon_1".to_owned(),
            event: "arena".to_owned(),
            order: format!("{}.soon", place.visitor),
            kind: MailKind::Soon,
            detail: String::new(),
            created_at: inventory.now(),
        };
        let name = stage.node.shop.message_id(&soon.id, soon.created_at, ADA);
        inventory.mails().add(soon).await.unwrap();
        assert_eq!(post_about(&stage, EXIM, &name, ADA).await, 0, "unsent");
        let claimed = inventory.mails().claim(false, 1, 60_000).await.unwrap();
        let settled = inventory.mails().settle(&claimed[0], MailOutcome::Sent);
        settled.await.unwrap();
        for (sample, address, bounced) in [
            (EXIM, "eve@example.org", 0),
            (EXPIRED, ADA, 0),
            (EXIM, ADA, 1),
            (EXIM, ADA, 0),
        ] {
            let found = post_about(&stage, sample, &name, address).await;
            assert_eq!(found, bounced, "{sample}");
        }
        let kept = inventory.line_mails().find(&place).await.unwrap();
        assert!(kept.is_none());
        assert_eq!(listed(&stage).await.len(), 0, "of orders alone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_taken_of_organisers_and_refused_in_words() {
    for (stage, _server) in stages().await {
        let (order, mail) = bought(&stage, "s-A-1").await;
        let name = stage.node.shop.message_id(&mail.id, mail.created_at, ADA);
        let good = POSTFIX.replace("{mail}", &name).replace("{address}", ADA);
        for key in ["", "wrong-key-0123456789"] {
            let refused = post(&stage, key, good.clone()).await;
            assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
        }
        let huge = format!("{good}{}", "x".repeat(256 * 1024));
        let deep = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(1_000);
        for (text, status, words) in [
            (huge, StatusCode::PAYLOAD_TOO_LARGE, "at most 262144 bytes"),
            (
                deep,
                StatusCode::UNPROCESSABLE_ENTITY,
                "a delivery status notification",
            ),
            (
                String::new(),
                StatusCode::UNPROCESSABLE_ENTITY,
                "a delivery status notification",
            ),
            (
                good.replace("message/delivery-status", "text/plain"),
                StatusCode::UNPROCESSABLE_ENTITY,
                "a part of the type message/delivery-status is needed",
            ),
        ] {
            let (found, problem) = post(&stage, ORGANISER_KEY, text).await;
            assert_eq!(found, status, "{problem}");
            let told = problem["detail"].as_str().unwrap();
            assert!(told.contains(words), "{told}");
        }
        until("it is sent", async || {
            done(&stage, &order.id, 1).await[0].state == MailState::Sent
        })
        .await;
    }
}
