//! Mails to fans in line, from outside: left with a place, told once, and the link back to it.

use crate::stage::{KEY, Stage, assert_problem, word};
use client::Answer;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use shared::texts::Language;
use std::time::Duration;
use testkit::SmtpServer;

pub(crate) const ME: &str = "/api/v1/events/night/line/me";
pub(crate) const MAIL: &str = "/api/v1/events/night/line/me/mail";

/// A stage that sends mail, with a line in which no one is admitted yet.
async fn stage(details: Value) -> (Stage, SmtpServer) {
    let server = SmtpServer::start().await;
    let stage = Stage::mailing(&server).await;
    let settings = json!({"paused": true, "details": details});
    stage.event("night", settings).await;
    (stage, server)
}

pub(crate) async fn join(stage: &Stage) -> String {
    word(&stage.client.join("night").await.unwrap()["pass"])
}

pub(crate) async fn leave_address(stage: &Stage, pass: &str, email: &str) -> Answer {
    let body = Some(json!({"email": email}));
    let answer = stage.client.call(Method::PUT, MAIL, pass, body).await;
    answer.unwrap()
}

pub(crate) async fn open(stage: &Stage) {
    let open = Some(json!({"paused": false}));
    let opened = stage.organise(Method::PATCH, "/events/night", open).await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.body);
    stage.clock.advance_ms(1000);
}

/// Returns the places for which an address is kept.
pub(crate) async fn kept(stage: &Stage, email: &str) -> usize {
    let path = format!("/api/v1/organiser/people?email={email}");
    let found = stage.get(&path, KEY).await.ok().unwrap();
    found["line"].as_array().unwrap().len()
}

pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(waited.is_ok(), "never: {what}");
}

/// Waits until the queue page offers a mail.
pub(crate) async fn until_offered(stage: &Stage) {
    until("a mail is offered", async || {
        stage.page("/e/night").await.contains("/e/night/mail\" >")
    })
    .await;
}

/// Returns the text of a mail, as mailboxes show it.
pub(crate) fn text_of(content: &str) -> String {
    let (_, part) = content.split_once("text/plain").unwrap();
    let (head, body) = part.split_once("\r\n\r\n").unwrap();
    let body = body.split("\r\n--").next().unwrap();
    if !head.contains("quoted-printable") {
        return body.to_owned();
    }
    let body = body.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = body.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'=' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Returns what stands behind the `#` of the link in a mail.
pub(crate) fn proof_in(text: &str) -> String {
    let (_, proof) = text.split_once("/e/night/place").unwrap();
    let (_, proof) = proof.split_once('#').unwrap();
    proof.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_is_told_of_the_turn_once_and_the_link_opens_that_place_alone() {
    let details = json!({"language": "de", "time_zone": "Europe/Berlin"});
    let (stage, server) = stage(details).await;
    let (ada, ben) = (join(&stage).await, join(&stage).await);
    let left = leave_address(&stage, &ada, "ada@example.org").await;
    assert_eq!(left.status, StatusCode::NO_CONTENT, "{}", left.body);
    open(&stage).await;
    let mails = server.until(1).await;
    assert_eq!(mails[0].to, ["ada@example.org"]);
    let text = text_of(&mails[0].content);
    assert!(text.contains("Sie sind an der Reihe"), "{text}");
    assert!(text.contains("Ortszeit Berlin"), "{text}");
    until("the address is deleted", async || {
        kept(&stage, "ada@example.org").await == 0
    })
    .await;

    let place = stage.get(ME, &ada).await.ok().unwrap();
    let proof = proof_in(&text);
    let found = stage.get(ME, &proof).await.ok().unwrap();
    for name in ["visitor", "number", "token"] {
        assert_eq!(found[name], place[name], "{name}");
    }
    let pass = word(&found["pass"]);
    assert_eq!(stage.get(ME, &pass).await.status, StatusCode::OK);
    // It is no pass: it neither leaves nor joins, nor leaves an address.
    for (method, path) in [
        (Method::DELETE, ME),
        (Method::POST, "/api/v1/events/night/line"),
        (Method::DELETE, MAIL),
    ] {
        let refused = stage.client.call(method, path, &proof, None).await;
        assert_problem(&refused.unwrap(), 401, "no-pass");
    }
    // Two who have the link have one session.
    let sessions = "/api/v1/events/night/sessions";
    let enter = async |token: &Value| {
        let token = word(token);
        let entered = stage.client.post(sessions, &token, json!({})).await;
        entered.unwrap().status.is_success()
    };
    assert!(enter(&place["token"]).await);
    assert!(!enter(&found["token"]).await, "a second session");
    // In a browser that has another place, that one is kept.
    let cookie = format!("fairline_pass_night={ben}");
    let bearer = format!("Bearer {proof}");
    let heads = [("cookie", &*cookie), ("authorization", &*bearer)];
    let other = stage.send(Method::GET, ME, &heads, "").await;
    assert_eq!(other.0, StatusCode::CONFLICT, "{}", other.1);
    assert_eq!(other.1["type"], "/problems/other-place");
    // Once the place is over the link is of no use, also where its fan joined again.
    stage.client.delete(ME, &ada).await.unwrap();
    assert_problem(&stage.get(ME, &proof).await, 401, "no-pass");
    let again = stage
        .client
        .post("/api/v1/events/night/line", &ada, json!({}));
    assert_eq!(again.await.unwrap().status, StatusCode::CREATED);
    assert_problem(&stage.get(ME, &proof).await, 401, "no-pass");
    let backlog = async || {
        let mails = stage.fairline.shop.inventory.mails();
        mails.backlog().await.unwrap().waiting == 0
    };
    until("no mail waits", backlog).await;
    assert_eq!(server.mails().len(), 1, "none to those who left no address");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_withdrawn_forgotten_with_the_place_exported_and_erased() {
    let (stage, server) = stage(json!({})).await;
    let (ada, ben, eve) = (join(&stage).await, join(&stage).await, join(&stage).await);
    for pass in [&ada, &ben, &eve] {
        leave_address(&stage, pass, "ada@example.org").await;
    }
    assert_eq!(kept(&stage, "ADA@example.org").await, 3);
    assert!(!stage.files().contains("ada@example.org"), "it is in clear");
    let withdrawn = stage.client.delete(MAIL, &ada).await.unwrap();
    assert_eq!(withdrawn.status, StatusCode::NO_CONTENT);
    assert_eq!(kept(&stage, "ada@example.org").await, 2);
    until_offered(&stage).await;
    stage.client.delete(ME, &ben).await.unwrap();
    assert_eq!(kept(&stage, "ada@example.org").await, 1);
    let people = "/people?email=ada@example.org";
    let erased = stage.organise(Method::DELETE, people, None).await;
    assert_eq!(erased.ok().unwrap(), json!({"orders": 0, "line": 1}));
    // Fans without an address are admitted, and no one is told.
    open(&stage).await;
    stage
        .until(ME, &eve, |place| place["state"] == "admitted")
        .await;
    let told = stage.buy("night", &stage.session("night").await, 1).await;
    let mails = server.until(1).await;
    assert!(mails[0].content.contains(&word(&told["id"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_one_names_another_place_or_floods_a_mailbox() {
    let (stage, _server) = stage(json!({})).await;
    let ada = join(&stage).await;
    for address in [
        "ada",
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org, eve@example.org",
        "<ada@example.org>",
        "",
    ] {
        let refused = leave_address(&stage, &ada, address).await;
        assert_problem(&refused, 422, "invalid");
    }
    let body = json!({"email": "ada@example.org", "visitor": "vis_1"});
    let refused = stage.client.call(Method::PUT, MAIL, &ada, Some(body)).await;
    assert_problem(&refused.unwrap(), 422, "invalid");
    let body = json!({"email": "ada@example.org", "language": "tlh"});
    let refused = stage.client.call(Method::PUT, MAIL, &ada, Some(body)).await;
    assert_problem(&refused.unwrap(), 422, "invalid");
    let mut bent = ada.clone();
    let other = if &ada[8..9] == "A" { "B" } else { "A" };
    bent.replace_range(8..9, other);
    for pass in ["", "vis_1", &bent, KEY] {
        let refused = leave_address(&stage, pass, "ada@example.org").await;
        assert_problem(&refused, 401, "no-pass");
    }
    let visitor = word(&stage.get(ME, &ada).await.body["visitor"]);
    let own = format!("/api/v1/events/night/line-mail/{visitor}");
    for bearer in ["", &ada, KEY] {
        let refused = stage.client.delete(&own, bearer).await.unwrap();
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
    // A stranger's page cannot leave one by the fan's cookie.
    let cookie = format!("fairline_pass_night={ada}");
    for origin in ["https://evil.example", "null"] {
        let heads = [
            ("cookie", &*cookie),
            ("origin", origin),
            ("content-type", "application/json"),
        ];
        let body = json!({"email": "ada@example.org"}).to_string();
        let refused = stage.send(Method::PUT, MAIL, &heads, &body).await;
        assert_eq!(refused.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(kept(&stage, "ada@example.org").await, 0);
    // One address is told of five places in an hour, and the answer does not tell.
    for _ in 0..7 {
        let fan = join(&stage).await;
        let answer = leave_address(&stage, &fan, "victim@example.org").await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(kept(&stage, "victim@example.org").await, 5);
    // The same again counts for nothing.
    for _ in 0..7 {
        let answer = leave_address(&stage, &ada, "ada@example.org").await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(kept(&stage, "ada@example.org").await, 1);
    // A place that was left has none.
    stage.client.delete(ME, &ada).await.unwrap();
    let refused = leave_address(&stage, &ada, "ada@example.org").await;
    assert_problem(&refused, 409, "not-waiting");
    let eve = join(&stage).await;
    let mut refused = None;
    for number in 0..=shared::line_mail::LINE_MAILS_PER_HOUR {
        let answer = leave_address(&stage, &eve, &format!("fan{number}@example.org")).await;
        if answer.status != StatusCode::NO_CONTENT {
            refused = Some(answer);
            break;
        }
    }
    assert_problem(&refused.unwrap(), 429, "too-many-requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_works_without_a_script_and_a_site_without_mail_offers_none() {
    let (stage, _server) = stage(json!({})).await;
    let ada = join(&stage).await;
    let cookie = format!("fairline_pass_night={ada}");
    let heads = [
        ("cookie", &*cookie),
        ("origin", &*stage.url),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let submit = async |form: &str, heads: &[(&str, &str)]| {
        let sent = form.as_bytes().to_vec();
        let path = "/e/night/mail?lang=de";
        let answer = stage.client.raw(Method::POST, path, heads, sent).await;
        let answer = answer.unwrap();
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        (answer.status(), text)
    };
    until_offered(&stage).await;
    let (status, text) = submit("email=ada%40example.org", &heads).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let german = Language::parse("de").unwrap();
    assert!(text.contains(&german.phrase("page.mail.on", &[])), "{text}");
    assert_eq!(kept(&stage, "ada@example.org").await, 1);
    let (status, text) = submit("email=ada", &heads).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text.contains(&german.phrase("page.mail.no_address", &[])));
    let (status, text) = submit("email=&off=1", &heads).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        text.contains(&german.phrase("page.mail.off", &[])),
        "{text}"
    );
    assert_eq!(kept(&stage, "ada@example.org").await, 0);
    assert_eq!(submit("", &heads).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let stranger = [heads[1], heads[2]];
    let refused = submit("email=ada%40example.org", &stranger).await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
    let foreign = [heads[0], ("origin", "https://evil.example"), heads[2]];
    let refused = submit("email=ada%40example.org", &foreign).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    assert_eq!(kept(&stage, "ada@example.org").await, 0);

    let silent = Stage::open().await;
    silent.event("night", json!({"paused": true})).await;
    let ada = join(&silent).await;
    let refused = leave_address(&silent, &ada, "ada@example.org").await;
    assert_problem(&refused, 404, "no-mail");
    let page = silent.page("/e/night").await;
    assert!(page.contains("/e/night/mail\" hidden>"), "{page}");
    let page = silent.page("/e/night/mail").await;
    assert!(page.contains("There are no mails for this line"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_was_left_before_the_draw_is_told_and_its_link_opens_the_number_drawn() {
    let server = SmtpServer::start().await;
    let stage = Stage::mailing(&server).await;
    let now = stage.clock.now();
    let before =
        json!({"order": "draw", "prequeue_opens_at": now, "sale_opens_at": now.plus_seconds(10)});
    stage.event("night", before).await;
    let (ada, ben) = (join(&stage).await, join(&stage).await);
    let left = leave_address(&stage, &ada, "ada@example.org").await;
    assert_eq!(left.status, StatusCode::NO_CONTENT, "{}", left.body);
    until_offered(&stage).await;
    // One who leaves and joins again has another place, of which nothing was asked.
    leave_address(&stage, &ben, "ben@example.org").await;
    stage.client.delete(ME, &ben).await.unwrap();
    let path = "/api/v1/events/night/line";
    stage.client.post(path, &ben, json!({})).await.unwrap();
    assert_eq!(kept(&stage, "ben@example.org").await, 0);
    stage.clock.advance_ms(10_000);
    let draw = "/api/v1/events/night/draw";
    let is_drawn = |drawn: &Value| drawn["seed"].is_string();
    stage.until(draw, "", is_drawn).await;
    stage.clock.advance_ms(1000);
    let mails = server.until(1).await;
    assert_eq!(mails[0].to, ["ada@example.org"]);
    let place = stage.get(ME, &ada).await.ok().unwrap();
    let proof = proof_in(&text_of(&mails[0].content));
    let found = stage
        .until(ME, &proof, |found| found["token"].is_string())
        .await;
    assert_eq!(found["number"], place["number"]);
    assert_eq!(found["visitor"], place["visitor"]);
    stage.client.delete(ME, &ada).await.unwrap();
    assert_problem(&stage.get(ME, &proof).await, 401, "no-pass");
}
