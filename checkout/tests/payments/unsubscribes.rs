//! Addresses of fans in line that are withdrawn by the link in the header of a mail.

use crate::mails::{stages, until};
use crate::stage::ProviderStage;
use axum::http::StatusCode;
use checkout::inventory::InLine;
use checkout::inventory::mail::{MailKind, NewMail};
use shared::crypto::random_id;
use shared::ids::VisitorId;
use shared::line_mail::LineMail;
use testkit::{ReceivedMail, SmtpServer};

const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

fn address(email: &str) -> LineMail {
    LineMail {
        email: email.to_owned(),
        language: "de".to_owned(),
        link: "proof".to_owned(),
        number: Some(7),
        tell_soon: false,
    }
}

async fn keep(stage: &ProviderStage, place: &InLine, email: &str) {
    let mail = address(email);
    let kept = stage.node.shop.keep_line_mail(place, &mail);
    assert!(kept.await.is_ok(), "{email}");
}

async fn is_kept(stage: &ProviderStage, place: &InLine) -> bool {
    let mails = stage.node.shop.inventory.line_mails();
    mails.find(place).await.unwrap().is_some()
}

/// Has the fan of a place told of the turn, and returns the path of the link in the header once the address
/// is deleted.
async fn told(stage: &ProviderStage, server: &SmtpServer, place: &InLine) -> String {
    let inventory = &stage.node.shop.inventory;
    let claim_by = inventory.now().plus_seconds(120);
    let mail = NewMail {
        id: random_id("evt_"),
        event: place.event.as_str().to_owned(),
        order: place.visitor.to_string(),
        kind: MailKind::Turn,
        detail: serde_json::to_string(&claim_by).unwrap(),
        created_at: inventory.now(),
    };
    let count = server.mails().len() + 1;
    inventory.mails().add(mail).await.unwrap();
    let mails = server.until(count).await;
    until("the address is deleted", async || {
        !is_kept(stage, place).await
    })
    .await;
    let link = link_in(&mails[count - 1]).expect("a link");
    let path = link.strip_prefix(&stage.node.shop.site.public_url);
    path.expect("a link of the site").to_owned()
}

fn link_in(mail: &ReceivedMail) -> Option<String> {
    let (head, _) = mail.content.split_once("\r\n\r\n")?;
    let (_, rest) = head.split_once("List-Unsubscribe: <")?;
    Some(rest.split_once('>')?.0.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_link_withdraws_the_address_by_a_post_alone_and_stays_harmless() {
    for (stage, server) in stages().await {
        let place = InLine::new(&stage.event, VisitorId(7));
        keep(&stage, &place, "ada@example.org").await;
        let path = told(&stage, &server, &place).await;
        assert!(path.ends_with("&lang=de"), "{path}");
        // It was withdrawn with the mail of the turn already.
        let done = stage.submit(&path, ONE_CLICK).await;
        assert_eq!(done.0, StatusCode::OK, "{}", done.1);

        keep(&stage, &place, "Ada@example.org").await;
        let page = stage.page(&path).await;
        assert!(page.contains("<form method=\"post\">"), "{page}");
        assert!(is_kept(&stage, &place).await, "opened by a scanner");
        let done = stage.submit(&path, ONE_CLICK).await;
        assert_eq!(done.0, StatusCode::OK);
        assert!(
            done.1.contains("Sie bekommen keine E-Mail mehr"),
            "{}",
            done.1
        );
        assert!(!is_kept(&stage, &place).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_link_and_one_to_an_address_before_withdraw_nothing() {
    for (stage, server) in stages().await {
        let place = InLine::new(&stage.event, VisitorId(7));
        let other = InLine::new(&stage.event, VisitorId(8));
        keep(&stage, &place, "mistyped@example.org").await;
        let path = told(&stage, &server, &place).await;
        keep(&stage, &place, "ada@example.org").await;
        keep(&stage, &other, "mistyped@example.org").await;
        let [mine, theirs] = [&place, &other].map(|place| place.visitor.to_string());
        let base = "/e/arena/unsubscribe";
        for (forged, status) in [
            (path.clone(), StatusCode::NOT_FOUND),
            (path.replace(&mine, &theirs), StatusCode::NOT_FOUND),
            (format!("{base}?fan={mine}."), StatusCode::NOT_FOUND),
            (format!("{base}?fan={mine}"), StatusCode::NOT_FOUND),
            (format!("{base}?fan=x.%00"), StatusCode::NOT_FOUND),
            (base.to_owned(), StatusCode::NOT_FOUND),
            (
                path.replace("/arena/", "/Not an event/")
                    .replace(' ', "%20"),
                StatusCode::NOT_FOUND,
            ),
        ] {
            let refused = stage.submit(&forged, ONE_CLICK).await;
            assert_eq!(refused.0, status, "{forged}: {}", refused.1);
        }
        assert!(is_kept(&stage, &place).await && is_kept(&stage, &other).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_about_orders_have_no_such_link() {
    for (stage, server) in stages().await {
        stage.buy(&["s-A-1"]).await;
        let mails = server.until(1).await;
        assert_eq!(link_in(&mails[0]), None);
    }
}
