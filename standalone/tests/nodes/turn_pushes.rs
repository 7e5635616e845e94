//! Notifications to fans in line, by services of their own: the waiting room hands the subscription over,
//! the checkout tells of the turn.

use crate::site::Site;
use hyper::StatusCode;
use serde_json::json;
use shared::token::SigningAlgorithm;
use testkit::{Postgres, PushService};

const PUSH: &str = "/api/v1/events/night/line/me/push";

/// Waits until the page offers a notification, and returns the key with which browsers subscribe.
async fn offered_key(site: &Site, pass: &str) -> String {
    let key_of = |page: &str| {
        let (_, rest) = page.split_once("data-key=\"")?;
        let (key, _) = rest.split_once('"')?;
        (!key.is_empty()).then(|| key.to_owned())
    };
    site.until_page("/e/night/mail", pass, key_of).await
}

#[tokio::test]
async fn services_of_their_own_notify_a_fan_of_the_turn() {
    let (server, service) = (Postgres::start(), PushService::start().await);
    let shop = vec![
        ("FAIRLINE_INVENTORY", server.url(&server.database())),
        (
            "FAIRLINE_PUSH_KEY",
            SigningAlgorithm::Es256.generate_pem().unwrap(),
        ),
        (
            "FAIRLINE_PUSH_CONTACT",
            "https://arena.example/contact".to_owned(),
        ),
        ("FAIRLINE_PUSH_SERVICES", "127.0.0.1".to_owned()),
        ("FAIRLINE_WEBHOOK_NETWORKS", "127.0.0.0/8".to_owned()),
    ];
    let site = Site::of(vec![Vec::new(); 2], vec![shop]).await;
    let [ada, ben] = site.night_with_two().await;
    let key = offered_key(&site, &ada).await;
    let body = || {
        let browser = service.subscribe(&key);
        let keys = json!({"p256dh": browser.p256dh, "auth": browser.auth});
        json!({"endpoint": browser.endpoint, "keys": keys})
    };
    let mut wrong = body();
    wrong["endpoint"] = "https://10.0.0.1/send".into();
    let refused = site.leave(PUSH, &ada, wrong).await;
    assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.1);
    let (of_ada, of_ben) = (body(), body());
    for (pass, body) in [(&ada, &of_ada), (&ben, &of_ben)] {
        let left = site.leave(PUSH, pass, body.clone()).await;
        assert_eq!(left.0, StatusCode::NO_CONTENT, "{}", left.1);
    }
    let withdrawn = site.client.delete(PUSH, &ben).await.unwrap();
    assert_eq!(withdrawn.status, StatusCode::NO_CONTENT);
    site.pause("night", false).await;
    let messages = service.until(1).await;
    let number = of_ada["endpoint"].as_str().unwrap().rsplit_once('/');
    let number: usize = number.unwrap().1.parse().unwrap();
    assert_eq!(messages[0].subscription, number);
    assert_eq!(messages[0].contact, "https://arena.example/contact");
    assert_eq!(messages[0].content["event"], "night");
}
