//! Notifications to fans in line, from outside: a subscription is left with a place, told once, and no
//! way to reach what is not public.

use crate::stage::{KEY, Stage, assert_problem, word};
use client::Answer;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use shared::line_contact::Channel;
use std::time::Duration;
use testkit::{PushService, PushSubscription};

const ME: &str = "/api/v1/events/night/line/me";
const PUSH: &str = "/api/v1/events/night/line/me/push";

/// A stage that sends notifications, with a line in which no one is admitted yet.
async fn stage(details: Value) -> (Stage, PushService) {
    let stage = Stage::pushing("127.0.0.0/8").await;
    let settings = json!({"paused": true, "details": details});
    stage.event("night", settings).await;
    (stage, PushService::start().await)
}

async fn join(stage: &Stage) -> String {
    word(&stage.client.join("night").await.unwrap()["pass"])
}

fn subscribe(stage: &Stage, service: &PushService) -> PushSubscription {
    service.subscribe(&stage.fairline.shop.line_offers().push_key.unwrap())
}

fn body_of(browser: &PushSubscription) -> Value {
    let keys = json!({"p256dh": browser.p256dh, "auth": browser.auth});
    json!({"endpoint": browser.endpoint, "keys": keys})
}

async fn put(stage: &Stage, pass: &str, body: Value) -> Answer {
    let answer = stage.client.call(Method::PUT, PUSH, pass, Some(body));
    answer.await.unwrap()
}

async fn open(stage: &Stage) {
    let open = Some(json!({"paused": false}));
    let opened = stage.organise(Method::PATCH, "/events/night", open).await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.body);
    stage.clock.advance_ms(1000);
}

/// Returns whether the subscription of a fan is kept.
async fn is_kept(stage: &Stage, visitor: &str) -> bool {
    stage.is_contact_kept(visitor, Channel::Push).await
}

async fn visitor_of(stage: &Stage, pass: &str) -> String {
    word(&stage.get(ME, pass).await.body["visitor"])
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(waited.is_ok(), "never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_is_notified_of_the_turn_once_in_the_language_of_the_page() {
    let (stage, service) = stage(json!({"time_zone": "Europe/Berlin"})).await;
    let (ada, ben) = (join(&stage).await, join(&stage).await);
    let mut body = body_of(&subscribe(&stage, &service));
    let first = put(&stage, &ada, body.clone()).await;
    assert_eq!(first.status, StatusCode::NO_CONTENT, "{}", first.body);
    // A second browser takes the place of the first, and its page is German.
    body = body_of(&subscribe(&stage, &service));
    body["language"] = "de".into();
    let second = put(&stage, &ada, body).await;
    assert_eq!(second.status, StatusCode::NO_CONTENT, "{}", second.body);
    open(&stage).await;
    let admitted = |place: &Value| place["state"] == "admitted";
    stage.until(ME, &ben, admitted).await;
    let messages = service.until(1).await;
    assert_eq!(messages[0].subscription, 1);
    let content = &messages[0].content;
    assert_eq!(
        (&content["event"], &content["language"]),
        (&json!("night"), &json!("de"))
    );
    let text = content["body"].as_str().unwrap();
    assert!(text.contains("Ortszeit Berlin"), "{text}");
    let visitor = visitor_of(&stage, &ada).await;
    until("it is forgotten", async || !is_kept(&stage, &visitor).await).await;
    // It is too late for another.
    let late = put(&stage, &ben, body_of(&subscribe(&stage, &service))).await;
    assert_problem(&late, 409, "not-waiting");
    assert_eq!(service.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_withdrawn_and_forgotten_with_the_place() {
    let (stage, service) = stage(json!({})).await;
    let (ada, ben) = (join(&stage).await, join(&stage).await);
    for pass in [&ada, &ben] {
        let body = body_of(&subscribe(&stage, &service));
        assert_eq!(put(&stage, pass, body).await.status, StatusCode::NO_CONTENT);
    }
    let (of_ada, of_ben) = (
        visitor_of(&stage, &ada).await,
        visitor_of(&stage, &ben).await,
    );
    assert!(is_kept(&stage, &of_ada).await && is_kept(&stage, &of_ben).await);
    let stored = stage.files();
    assert!(!stored.contains(service.url()), "it is in clear");
    for _ in 0..2 {
        let withdrawn = stage.client.delete(PUSH, &ada).await.unwrap();
        assert_eq!(withdrawn.status, StatusCode::NO_CONTENT);
    }
    assert!(!is_kept(&stage, &of_ada).await);
    until("notifications are offered", async || {
        stage
            .page("/e/night")
            .await
            .contains("/e/night/mail\" >Notify")
    })
    .await;
    stage.client.delete(ME, &ben).await.unwrap();
    assert!(!is_kept(&stage, &of_ben).await);
    let refused = put(&stage, &ben, body_of(&subscribe(&stage, &service))).await;
    assert_problem(&refused, 409, "not-waiting");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_subscription_leads_inside_or_has_keys_that_are_none() {
    let stage = Stage::pushing("").await;
    stage.event("night", json!({"paused": true})).await;
    let service = PushService::start().await;
    let good = subscribe(&stage, &service);
    let ada = join(&stage).await;
    let visitor = visitor_of(&stage, &ada).await;
    let at = |endpoint: &str| {
        let mut body = body_of(&good);
        body["endpoint"] = endpoint.into();
        body
    };
    let long = format!("https://push.example/{}", "x".repeat(1000));
    for endpoint in [
        &*good.endpoint,
        "http://push.example/send",
        "https://127.0.0.1/send",
        "https://[::1]/send",
        "https://169.254.169.254/latest",
        "https://10.0.0.1/",
        "https://2130706433/",
        "https://ada:word@push.example/",
        "file:///etc/passwd",
        "send",
        "",
        &*long,
    ] {
        assert_problem(&put(&stage, &ada, at(endpoint)).await, 422, "invalid");
    }
    let public = "https://push.example/send";
    let mut off_curve = shared::crypto::decode(&good.p256dh).unwrap();
    off_curve[64] ^= 1;
    for (name, value) in [
        ("p256dh", shared::crypto::encode(&off_curve)),
        ("p256dh", "A".repeat(88)),
        ("p256dh", "A".repeat(100_000)),
        ("p256dh", String::new()),
        ("auth", "A".repeat(100)),
        ("auth", "???".to_owned()),
    ] {
        let mut body = at(public);
        body["keys"][name] = value.into();
        let refused = put(&stage, &ada, body).await;
        assert!(
            [413, 422].contains(&refused.status.as_u16()),
            "{}",
            refused.body
        );
    }
    for (name, value) in [
        ("visitor", json!("vis_1")),
        ("language", json!("tlh")),
        ("expirationTime", json!(null)),
    ] {
        let mut body = at(public);
        body[name] = value;
        assert_problem(&put(&stage, &ada, body).await, 422, "invalid");
    }
    assert!(!is_kept(&stage, &visitor).await);
    assert_problem(&put(&stage, "", at(public)).await, 401, "no-pass");
    assert_eq!(service.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_one_leaves_a_subscription_with_the_place_of_another_or_too_many() {
    let (stage, service) = stage(json!({})).await;
    let good = body_of(&subscribe(&stage, &service));
    let ada = join(&stage).await;
    let visitor = visitor_of(&stage, &ada).await;
    let own = format!("/api/v1/events/night/line-push/{visitor}");
    for bearer in ["", &ada, KEY] {
        let refused = stage.client.delete(&own, bearer).await.unwrap();
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        let refused = stage.get("/api/v1/line-offers", bearer).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
    for pass in ["", "vis_1", KEY] {
        assert_problem(&put(&stage, pass, good.clone()).await, 401, "no-pass");
    }
    // A stranger's page cannot leave one by the fan's cookie.
    let cookie = format!("fairline_pass_night={ada}");
    let heads = [
        ("cookie", &*cookie),
        ("origin", "https://evil.example"),
        ("content-type", "application/json"),
    ];
    let body = good.to_string();
    let refused = stage.send(Method::PUT, PUSH, &heads, &body).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    assert!(!is_kept(&stage, &visitor).await);
    let taken = put(&stage, &ada, good.clone()).await;
    assert_eq!(taken.status, StatusCode::NO_CONTENT, "{}", taken.body);
    let mut refused = None;
    for _ in 0..=shared::line_mail::LINE_MAILS_PER_HOUR {
        let answer = put(&stage, &ada, good.clone()).await;
        if answer.status != StatusCode::NO_CONTENT {
            refused = Some(answer);
            break;
        }
    }
    assert_problem(&refused.unwrap(), 429, "too-many-requests");
    assert_eq!(service.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_a_key_offers_no_notifications() {
    let stage = Stage::open().await;
    stage.event("night", json!({"paused": true})).await;
    let ada = join(&stage).await;
    let body = json!({"endpoint": "https://push.example/send", "keys": {"p256dh": "", "auth": ""}});
    assert_problem(&put(&stage, &ada, body).await, 404, "no-push");
    let page = stage.page("/e/night/mail").await;
    assert!(page.contains("data-key=\"\""), "{page}");
    let page = stage.page("/e/night").await;
    assert!(page.contains("/e/night/mail\" hidden>"), "{page}");
}
