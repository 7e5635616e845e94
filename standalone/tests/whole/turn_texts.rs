//! Text messages to fans in line, from outside: a number is left with a place, told once, and no way to flood
//! a phone or to send where the site does not.

use crate::stage::{KEY, Stage, assert_problem, word};
use client::Answer;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use shared::line_contact::Channel;
use testkit::TwilioStandIn;

const ME: &str = "/api/v1/events/night/line/me";
const SMS: &str = "/api/v1/events/night/line/me/sms";
const PAGE: &str = "/e/night/mail";
const PHONE: &str = "+4915112345678";

/// A stage that sends text messages, with a line in which no one is admitted yet.
async fn stage() -> (Stage, TwilioStandIn) {
    let twilio = TwilioStandIn::start().await;
    let stage = Stage::texting(&twilio, 1000).await;
    let details = json!({"time_zone": "Europe/Berlin"});
    let settings = json!({"paused": true, "details": details});
    stage.event("night", settings).await;
    (stage, twilio)
}

async fn join(stage: &Stage) -> String {
    word(&stage.client.join("night").await.unwrap()["pass"])
}

async fn put(stage: &Stage, pass: &str, body: Value) -> Answer {
    let answer = stage.client.call(Method::PUT, SMS, pass, Some(body));
    answer.await.unwrap()
}

async fn leave(stage: &Stage, pass: &str, phone: &str) {
    let left = put(stage, pass, json!({"phone": phone, "language": "de"})).await;
    assert_eq!(left.status, StatusCode::NO_CONTENT, "{}", left.body);
}

async fn open(stage: &Stage) {
    let open = Some(json!({"paused": false}));
    let opened = stage.organise(Method::PATCH, "/events/night", open).await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.body);
    stage.clock.advance_ms(1000);
}

async fn visitor_of(stage: &Stage, pass: &str) -> String {
    word(&stage.get(ME, pass).await.body["visitor"])
}

async fn is_kept(stage: &Stage, visitor: &str) -> bool {
    stage.is_contact_kept(visitor, Channel::Sms).await
}

/// Posts the form of the page as a browser without scripts does; returns status and page.
async fn post_form(stage: &Stage, pass: &str, form: &str) -> (StatusCode, String) {
    let cookie = format!("fairline_pass_night={pass}");
    let heads = [
        ("cookie", &*cookie),
        ("origin", &*stage.url),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let body = form.as_bytes().to_vec();
    let answer = stage.client.raw(Method::POST, PAGE, &heads, body).await;
    let answer = answer.unwrap();
    let page = String::from_utf8(answer.body().to_vec()).unwrap();
    (answer.status(), page)
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await;
    assert!(waited.is_ok(), "never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_gets_one_text_message_that_proves_no_place_and_the_number_is_forgotten() {
    let (stage, twilio) = stage().await;
    let (ada, ben) = (join(&stage).await, join(&stage).await);
    leave(&stage, &ada, "+4915112345670").await;
    leave(&stage, &ada, PHONE).await;
    let visitor = visitor_of(&stage, &ada).await;
    assert!(is_kept(&stage, &visitor).await);
    assert!(!stage.files().contains("15112345678"), "it is in clear");
    open(&stage).await;
    let admitted = |place: &Value| place["state"] == "admitted";
    let place = stage.until(ME, &ada, admitted).await;
    stage.until(ME, &ben, admitted).await;
    let messages = twilio.until(1).await;
    assert_eq!(messages[0].to, PHONE);
    let text = &messages[0].body;
    assert!(
        text.starts_with("The night: Sie sind an der Reihe."),
        "{text}"
    );
    assert!(text.ends_with("/e/night"), "{text}");
    for proof in [&ada, &word(&place["token"])] {
        assert!(!text.contains(&**proof), "{text}");
    }
    until("it is forgotten", async || !is_kept(&stage, &visitor).await).await;
    let late = put(&stage, &ben, json!({"phone": PHONE})).await;
    assert_problem(&late, 409, "not-waiting");
    assert_eq!(twilio.requests(), 1);
    // The counts of it tell no number either.
    assert!(!stage.files().contains("15112345678"), "it is in clear");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_none_or_of_another_country_is_refused_with_the_reason() {
    let (stage, twilio) = stage().await;
    let ada = join(&stage).await;
    let visitor = visitor_of(&stage, &ada).await;
    for (phone, why) in [
        ("", "country code"),
        ("015112345678", "country code"),
        ("+49 151 12345678", "country code"),
        ("+4915112345678\nx", "country code"),
        ("+8821234567890", "begins with +49, +43"),
        ("+15550100123", "begins with +49, +43"),
    ] {
        let refused = put(&stage, &ada, json!({"phone": phone})).await;
        assert_problem(&refused, 422, "invalid");
        let detail = word(&refused.body["detail"]);
        assert!(detail.contains(why), "{phone}: {detail}");
    }
    for body in [
        json!({"phone": PHONE, "language": "tlh"}),
        json!({"phone": PHONE, "visitor": "vis_1"}),
        json!({"phone": [PHONE]}),
        json!({}),
    ] {
        assert_problem(&put(&stage, &ada, body).await, 422, "invalid");
    }
    assert!(!is_kept(&stage, &visitor).await);
    assert_eq!(twilio.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_one_leaves_a_number_with_the_place_of_another_or_too_many() {
    let (stage, twilio) = stage().await;
    let ada = join(&stage).await;
    let visitor = visitor_of(&stage, &ada).await;
    let own = format!("/api/v1/events/night/line-sms/{visitor}");
    let body = json!({"phone": PHONE, "language": "de"});
    for bearer in ["", &ada, KEY] {
        let refused = stage.client.delete(&own, bearer).await.unwrap();
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        let asked = stage
            .client
            .call(Method::PUT, &own, bearer, Some(body.clone()));
        assert_eq!(asked.await.unwrap().status, StatusCode::UNAUTHORIZED);
    }
    for pass in ["", "vis_1", KEY] {
        assert_problem(&put(&stage, pass, body.clone()).await, 401, "no-pass");
    }
    // A stranger's page cannot leave one by the fan's cookie.
    let cookie = format!("fairline_pass_night={ada}");
    for (method, path, kind) in [
        (Method::PUT, SMS, "application/json"),
        (Method::POST, PAGE, "application/x-www-form-urlencoded"),
    ] {
        let heads = [
            ("cookie", &*cookie),
            ("origin", "https://evil.example"),
            ("content-type", kind),
        ];
        let sent = format!("phone={PHONE}");
        let sent = if kind.ends_with("json") {
            body.to_string()
        } else {
            sent
        };
        let refused = stage.send(method, path, &heads, &sent).await;
        assert_eq!(refused.0, StatusCode::FORBIDDEN, "{path}");
    }
    assert!(!is_kept(&stage, &visitor).await);
    let mut refused = None;
    for _ in 0..=shared::line_mail::LINE_MAILS_PER_HOUR {
        let answer = put(&stage, &ada, body.clone()).await;
        if answer.status != StatusCode::NO_CONTENT {
            refused = Some(answer);
            break;
        }
    }
    assert_problem(&refused.unwrap(), 429, "too-many-requests");
    assert_eq!(twilio.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_phone_gets_two_messages_of_an_event_however_many_places_name_it() {
    let (stage, twilio) = stage().await;
    let mut fans = Vec::new();
    for _ in 0..5 {
        let pass = join(&stage).await;
        leave(&stage, &pass, PHONE).await;
        fans.push(visitor_of(&stage, &pass).await);
    }
    open(&stage).await;
    twilio.until(2).await;
    for visitor in &fans {
        until("it is forgotten", async || !is_kept(&stage, visitor).await).await;
    }
    assert_eq!(twilio.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_takes_and_withdraws_a_number_without_scripts() {
    let (stage, _twilio) = stage().await;
    let ada = join(&stage).await;
    let visitor = visitor_of(&stage, &ada).await;
    until("text messages are offered", async || {
        let page = stage.page("/e/night").await;
        page.contains("/e/night/mail\" >Tell me by text message")
    })
    .await;
    let (status, page) = post_form(&stage, &ada, "phone=0049+(151)+1234-5678").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(
        page.contains("You will get a text message when it is your turn."),
        "{page}"
    );
    assert!(page.contains("Numbers that begin with: +49, +43"), "{page}");
    assert!(!page.contains("1234"), "the page repeats no number: {page}");
    assert!(is_kept(&stage, &visitor).await);
    let (status, page) = post_form(&stage, &ada, "phone=%2B1+555+0100").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{page}");
    assert!(
        page.contains("We cannot send text messages to that number."),
        "{page}"
    );
    assert!(is_kept(&stage, &visitor).await);
    let (status, page) = post_form(&stage, &ada, "phone=&off=1").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains("You will get no text message."), "{page}");
    assert!(!is_kept(&stage, &visitor).await);
    // It goes with the place, too.
    leave(&stage, &ada, PHONE).await;
    stage.client.delete(ME, &ada).await.unwrap();
    assert!(!is_kept(&stage, &visitor).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_a_gateway_offers_no_text_messages() {
    let stage = Stage::open().await;
    stage.event("night", json!({"paused": true})).await;
    let ada = join(&stage).await;
    let refused = put(&stage, &ada, json!({"phone": PHONE})).await;
    assert_problem(&refused, 404, "no-sms");
    let (status, page) = post_form(&stage, &ada, "phone=%2B4915112345678").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(page.contains("This line has no text messages."), "{page}");
}
