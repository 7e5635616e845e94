//! Mails to fans in line whose turn comes soon, from outside: once, by the wait that the line tells.

use crate::stage::{Stage, word};
use crate::turn_mails::{
    MAIL, ME, kept, leave_address, open, proof_in, text_of, until, until_offered,
};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use shared::ids::{Availability, EventId, VisitorId};
use shared::line_mail::LineWaits;
use testkit::SmtpServer;

/// A fan in line.
struct Fan {
    visitor: VisitorId,
    pass: String,
}

async fn join(stage: &Stage) -> Fan {
    let place = stage.client.join("night").await.unwrap();
    let visitor = VisitorId::parse(&word(&place["visitor"]));
    Fan {
        visitor: visitor.unwrap(),
        pass: word(&place["pass"]),
    }
}

/// Returns the waits that the line tells the checkout, of all of these fans who wait.
async fn waits(stage: &Stage, fans: &[Fan]) -> LineWaits {
    let visitors = fans.iter().map(|fan| fan.visitor).collect();
    let event = EventId::parse("night").unwrap();
    let room = &stage.fairline.shop.waiting_room;
    room.waits(&event, visitors).await.unwrap()
}

/// Returns the middle of the wait of a fan in minutes, as the line has it now; none if it tells none.
async fn minutes(stage: &Stage, fan: &Fan) -> Option<u32> {
    let waits = waits(stage, std::slice::from_ref(fan)).await;
    let range = waits.waits.first()?.seconds?;
    Some((range.low + range.high) / 120)
}

async fn set(stage: &Stage, patch: Value) {
    let set = stage
        .organise(Method::PATCH, "/events/night", Some(patch))
        .await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.body);
}

/// Moves the clock by ten seconds, with a report of the seats: the checkout makes its own in real time, and
/// no one is admitted by an old one.
async fn pass_ten_seconds(stage: &Stage) {
    let seats = Availability {
        capacity: 20,
        available: 20,
        held: 0,
        booked: 0,
        as_of: stage.clock.now(),
    };
    let event = EventId::parse("night").unwrap();
    let line = &stage.fairline.room.line;
    line.report(&event, seats).await.unwrap();
    stage.pass_seconds("night", 10).await;
}

/// Moves the clock until the line tells the wait of a fan.
async fn until_told(stage: &Stage, fan: &Fan) {
    while minutes(stage, fan).await.is_none() {
        pass_ten_seconds(stage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_is_told_about_ten_minutes_before_the_turn_once_and_one_who_was_that_near_is_not() {
    let server = SmtpServer::start().await;
    let stage = Stage::mailing(&server).await;
    // One a minute, and no one lapses meanwhile.
    let admission = json!({"rate_per_minute": 1, "batch_seconds": 60, "max_active": 1000,
        "claim_seconds": 86_400, "away_seconds": 86_400});
    let details = json!({"language": "de", "time_zone": "Europe/Berlin"});
    let settings = json!({"paused": true, "admission": admission, "details": details});
    stage.event("night", settings).await;
    let mut fans = Vec::new();
    for _ in 0..16 {
        fans.push(join(&stage).await);
    }
    let [near, unsure, gone, silent, far] = [&fans[7], &fans[9], &fans[13], &fans[14], &fans[15]];
    open(&stage).await;
    until_told(&stage, far).await;
    let shows_a_wait = |place: &Value| place["eta_seconds"].is_object();
    stage.until(ME, &near.pass, shows_a_wait).await;
    assert!(minutes(&stage, near).await.unwrap() < 10);
    assert!(minutes(&stage, gone).await.unwrap() > 10);
    let leave = async |fan: &Fan, name: &str| {
        let left = leave_address(&stage, &fan.pass, &format!("{name}@example.org")).await;
        assert_eq!(left.status, StatusCode::NO_CONTENT, "{}", left.body);
    };
    for (fan, name) in [
        (near, "near"),
        (gone, "gone"),
        (silent, "silent"),
        (far, "far"),
    ] {
        leave(fan, name).await;
    }
    until_offered(&stage).await;
    stage.client.delete(ME, &gone.pass).await.unwrap();
    stage.client.delete(MAIL, &silent.pass).await.unwrap();
    // The wait of one who is as near is not known when the address is left.
    set(&stage, json!({"paused": true})).await;
    stage
        .until(ME, &unsure.pass, |place| place["phase"] == "paused")
        .await;
    leave(unsure, "unsure").await;
    set(&stage, json!({"paused": false})).await;
    until_told(&stage, far).await;
    let mails = server.until(1).await;
    assert_eq!(mails[0].to, ["unsure@example.org"]);
    // The line was asked about the one who is near by then, as they have a lower number.
    while minutes(&stage, far).await.unwrap() >= 10 {
        pass_ten_seconds(&stage).await;
    }
    let mails = server.until(2).await;
    assert_eq!(mails[1].to, ["far@example.org"]);
    let text = text_of(&mails[1].content);
    assert!(text.contains("Sie sind bald an der Reihe"), "{text}");
    let (_, times) = text.split_once("sind Sie nach ").unwrap();
    assert!(times.contains("Ortszeit Berlin (UTC+1) und vor "), "{text}");
    let place = stage.get(ME, &proof_in(&text)).await.ok().unwrap();
    assert_eq!(place["state"], "waiting", "the link opens the place");
    assert_eq!(kept(&stage, "far@example.org").await, 1);
    // The line stops and goes on, and no second one says so.
    set(&stage, json!({"paused": true})).await;
    assert_eq!(minutes(&stage, far).await, None);
    set(&stage, json!({"paused": false})).await;
    until_told(&stage, far).await;
    set(
        &stage,
        json!({"admission": {"rate_per_minute": 6000, "batch_seconds": 1}}),
    )
    .await;
    pass_ten_seconds(&stage).await;
    let mails = server.until(5).await;
    let mut told: Vec<&str> = mails[2..].iter().map(|mail| &*mail.to[0]).collect();
    told.sort_unstable();
    let all = ["far", "near", "unsure"].map(|name| format!("{name}@example.org"));
    assert_eq!(told, all);
    for mail in &mails[2..] {
        let text = text_of(&mail.content);
        assert!(text.contains("Sie sind an der Reihe"), "{text}");
    }
    until("the address is deleted", async || {
        kept(&stage, "far@example.org").await == 0
    })
    .await;
    let told = stage.buy("night", &stage.session("night").await, 1).await;
    let mails = server.until(6).await;
    assert!(mails[5].content.contains(&word(&told["id"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_paused_or_lets_no_one_in_tells_the_checkout_no_wait() {
    let stage = Stage::open().await;
    let admission = json!({"rate_per_minute": 60, "batch_seconds": 1, "max_active": 1000});
    stage
        .event("night", json!({"paused": true, "admission": admission}))
        .await;
    let mut fans = Vec::new();
    for _ in 0..12 {
        fans.push(join(&stage).await);
    }
    let ask = async || waits(&stage, &fans).await;
    assert_eq!(ask().await, LineWaits::untold(), "paused");
    set(&stage, json!({"paused": false})).await;
    while !ask().await.is_told {
        pass_ten_seconds(&stage).await;
    }
    let told = ask().await;
    let numbers: Vec<u64> = told.waits.iter().map(|wait| wait.number.unwrap()).collect();
    let first = numbers[0];
    assert!(
        first > 1 && numbers.iter().copied().eq(first..=12),
        "{numbers:?}"
    );
    assert!(
        told.waits
            .iter()
            .all(|wait| wait.seconds.unwrap().is_soon())
    );
    let rate = |rate| json!({"paused": false, "admission": {"rate_per_minute": rate}});
    for still in [json!({"paused": true}), rate(0)] {
        set(&stage, still).await;
        until("none is told", async || ask().await == LineWaits::untold()).await;
    }
    let unknown = EventId::parse("other").unwrap();
    let room = &stage.fairline.shop.waiting_room;
    assert_eq!(room.waits(&unknown, Vec::new()).await, None);
}
