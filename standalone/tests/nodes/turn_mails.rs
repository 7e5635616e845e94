//! Mails to fans in line, by services of their own: the waiting room hands the address over, the checkout
//! tells of the turn, and before it.

use crate::site::{Site, word};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::{Postgres, SmtpServer};

const ME: &str = "/api/v1/events/night/line/me";
const MAIL: &str = "/api/v1/events/night/line/me/mail";

/// Waits until the queue page offers a mail.
async fn until_offered(site: &Site) {
    let offers = |page: &str| page.contains("/e/night/mail\" >").then_some(());
    site.until_page("/e/night", "", offers).await;
}

/// Settings of a checkout that sends mail.
fn mailing_shop(server: &Postgres, smtp: &SmtpServer) -> Vec<(&'static str, String)> {
    let from = "Arena <tickets@arena.example>".to_owned();
    vec![
        ("FAIRLINE_INVENTORY", server.url(&server.database())),
        ("FAIRLINE_SMTP", smtp.url(10)),
        ("FAIRLINE_MAIL_FROM", from),
    ]
}

#[tokio::test]
async fn services_of_their_own_tell_a_fan_of_the_turn() {
    let (server, smtp) = (Postgres::start(), SmtpServer::start().await);
    let shop = mailing_shop(&server, &smtp);
    let site = Site::of(vec![Vec::new(); 2], vec![shop]).await;
    let [ada, ben] = site.night_with_two().await;
    until_offered(&site).await;
    let refused = site
        .leave(
            MAIL,
            &ada,
            json!({"email": "ada@example.org\r\nBcc: eve@b.example"}),
        )
        .await;
    assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.1);
    for (pass, email) in [(&ada, "ada@example.org"), (&ben, "ben@example.org")] {
        let left = site.leave(MAIL, pass, json!({"email": email})).await;
        assert_eq!(left.0, StatusCode::NO_CONTENT, "{}", left.1);
    }
    let withdrawn = site.client.delete(MAIL, &ben).await.unwrap();
    assert_eq!(withdrawn.status, StatusCode::NO_CONTENT);
    site.pause("night", false).await;
    let mails = smtp.until(1).await;
    assert_eq!(mails[0].to, ["ada@example.org"]);
    let admitted = |place: &Value| place["state"] == "admitted";
    let place = site.until(ME, &ada, admitted).await;
    site.until(ME, &ben, admitted).await;
    let text = mails[0].content.replace("=\r\n", "");
    let (_, proof) = text.split_once("/e/night/place#").unwrap();
    let proof = proof.split_whitespace().next().unwrap();
    let found = site.client.get(ME, proof).await.unwrap().ok().unwrap();
    assert_eq!(found["token"], place["token"]);
    // An order after them has its mail: none to Ben came before it.
    let order = site.buy("night", &word(&place["token"])).await;
    let mails = smtp.until(2).await;
    assert!(mails[1].content.contains(&word(&order["id"])));
    assert_eq!(mails[1].to, ["ada@example.org"]);
    assert_eq!(site.client.get(ME, proof).await.unwrap().status, 401);
}

#[tokio::test]
async fn one_of_two_checkouts_tells_a_fan_before_the_turn_and_in_the_fans_language() {
    let (server, smtp) = (Postgres::start(), SmtpServer::start().await);
    let shop = mailing_shop(&server, &smtp);
    let site = Site::of(vec![Vec::new(); 2], vec![shop.clone(), shop]).await;
    let admission = json!({"rate_per_minute": 6, "batch_seconds": 1});
    site.event("night", admission).await;
    site.pause("night", true).await;
    let mut fans = Vec::new();
    for _ in 0..11 {
        fans.push(word(&site.client.join("night").await.unwrap()["pass"]));
    }
    let ada = &fans[10];
    until_offered(&site).await;
    // The checkout that did not take the plan knows of it a moment later.
    let from = Instant::now();
    loop {
        let body = json!({"email": "ada@example.org", "language": "de"});
        let (status, told) = site.leave(MAIL, ada, body).await;
        if status == StatusCode::NO_CONTENT {
            break;
        }
        assert!(from.elapsed() < Duration::from_secs(60), "{told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    site.pause("night", false).await;
    let mails = smtp.until(1).await;
    assert_eq!(mails[0].to, ["ada@example.org"]);
    let text = mails[0].content.replace("=\r\n", "");
    assert!(text.contains("Nach jetziger Sch"), "{text}");
    let (_, proof) = text.split_once("/e/night/place?lang=3Dde#").unwrap();
    let proof = proof.split_whitespace().next().unwrap();
    let place = site.client.get(ME, proof).await.unwrap().ok().unwrap();
    assert_eq!(place["state"], "waiting");
    let faster = json!({"admission": {"rate_per_minute": 60_000}});
    let set = site
        .organise(Method::PATCH, "/events/night", Some(faster))
        .await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.body);
    let place = site
        .until(ME, ada, |place| place["state"] == "admitted")
        .await;
    let mails = smtp.until(2).await;
    assert!(mails[1].content.contains("Jetzt weiter"), "the turn");
    // An order after them has its mail: neither came twice before it.
    let order = site.buy("night", &word(&place["token"])).await;
    let mails = smtp.until(3).await;
    assert!(mails[2].content.contains(&word(&order["id"])));
}

#[tokio::test]
async fn a_checkout_that_sends_no_mail_or_is_away_takes_no_address() {
    let mut site = Site::open(1).await;
    let [ada, _] = site.night_with_two().await;
    let refused = site
        .leave(MAIL, &ada, json!({"email": "ada@example.org"}))
        .await;
    assert_eq!(refused.0, StatusCode::NOT_FOUND, "{}", refused.1);
    assert_eq!(refused.1["type"], "/problems/no-mail");
    site.checkout.kill();
    let away = site
        .leave(MAIL, &ada, json!({"email": "ada@example.org"}))
        .await;
    assert_eq!(away.0, StatusCode::SERVICE_UNAVAILABLE, "{}", away.1);
}
