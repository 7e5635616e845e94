//! Nodes die, sleep and are stopped at random moments while fans watch: what must always hold,
//! holds.

use crate::site::{KEY, Site, word};
use client::{Client, next};
use hyper::Method;
use rand::RngExt as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const FANS: usize = 120;
const MAX_ACTIVE: u64 = 30;
const RATE: u64 = 1200;

/// Observations of all fans together.
#[derive(Default)]
struct Seen {
    /// Visitor of each number.
    numbers: BTreeMap<u64, String>,
    admitted: u64,
    /// Observations that must never be made.
    wrong: Vec<String>,
}

type Shared = Arc<Mutex<Seen>>;

/// A fan who joins, watches at whichever node answers, goes in, leaves and joins again.
async fn fan(nodes: Vec<Client>, seen: Shared, stop: tokio_util::sync::CancellationToken) {
    let any = || nodes[rand::rng().random_range(0..nodes.len())].clone();
    while !stop.is_cancelled() {
        let Some((pass, number)) = join(&any, &stop).await else {
            return;
        };
        let place = watch(&any, &pass, number, &seen, &stop).await;
        if place == "admitted" {
            seen.lock().unwrap().admitted += 1;
            sleep(Duration::from_millis(300)).await;
            while !stop.is_cancelled() {
                let left = any().delete("/api/v1/events/night/line/me", &pass).await;
                if left.is_ok_and(|answer| answer.status == 204) {
                    break;
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Joins with a key, so that an answer that got lost is asked for again.
async fn join(
    any: &impl Fn() -> Client,
    stop: &tokio_util::sync::CancellationToken,
) -> Option<(String, u64)> {
    let key = format!("{:x}", rand::rng().random::<u128>());
    while !stop.is_cancelled() {
        let heads = [("idempotency-key", key.as_str())];
        let answer = any()
            .raw(
                Method::POST,
                "/api/v1/events/night/line",
                &heads,
                Vec::new(),
            )
            .await;
        let place = answer.ok().filter(|answer| answer.status() == 201);
        let place = place.and_then(|answer| serde_json::from_slice::<Value>(answer.body()).ok());
        if let Some(place) = place {
            return Some((word(&place["pass"]), place["number"].as_u64()?));
        }
        sleep(Duration::from_millis(50)).await;
    }
    None
}

/// Watches until the turn comes, or the place is over: the last state.
async fn watch(
    any: &impl Fn() -> Client,
    pass: &str,
    number: u64,
    seen: &Shared,
    stop: &tokio_util::sync::CancellationToken,
) -> String {
    let mut ahead = u64::MAX;
    {
        let mut seen = seen.lock().unwrap();
        if let Some(other) = seen.numbers.insert(number, pass.to_owned()) {
            let wrong = format!("number {number} was given to two: {other}");
            seen.wrong.push(wrong);
        }
    }
    while !stop.is_cancelled() {
        let Ok(Ok(mut socket)) = timeout(Duration::from_secs(3), any().watch("night", pass)).await
        else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        while let Ok(Some(place)) = timeout(Duration::from_secs(4), next(&mut socket)).await {
            if stop.is_cancelled() {
                break;
            }
            if place["type"] == "reconnect" {
                sleep(Duration::from_millis(
                    place["after_ms"].as_u64().unwrap_or(0) / 20,
                ))
                .await;
                break;
            }
            if place["type"] != "place" {
                continue;
            }
            let mut seen = seen.lock().unwrap();
            if place["number"] != number {
                seen.wrong.push(format!("number {number} became {place}"));
            }
            if place["state"] != "waiting" {
                return word(&place["state"]);
            }
            let now = place["ahead"].as_u64().unwrap();
            if now > ahead {
                seen.wrong
                    .push(format!("ahead of {number} rose from {ahead} to {now}"));
            }
            ahead = now;
        }
    }
    String::new()
}

/// State of the line, from the first node that answers.
async fn check(site: &Site, from: Instant, seen: &Shared) {
    for room in &site.rooms {
        let asked = room.client.get("/api/v1/organiser/events/night/stats", KEY);
        let Ok(Ok(answer)) = timeout(Duration::from_secs(2), asked).await else {
            continue;
        };
        let Ok(stats) = answer.ok() else { continue };
        let inside = stats["admitted"].as_u64().unwrap() + stats["shopping"].as_u64().unwrap();
        let total = stats["total"]["admitted"].as_u64().unwrap();
        let due = RATE / 60 * (from.elapsed().as_secs() + 2);
        let mut seen = seen.lock().unwrap();
        if inside > MAX_ACTIVE {
            seen.wrong.push(format!("{inside} are inside"));
        }
        if total > due {
            seen.wrong
                .push(format!("{total} were let in where {due} were due"));
        }
    }
}

/// No waiting fan has a lower number than a fan who was let in later.
async fn check_order(site: &Site, seen: &Shared) {
    let numbers: Vec<u64> = seen.lock().unwrap().numbers.keys().copied().collect();
    let state = async |number: u64| {
        let path = format!("/api/v1/organiser/events/night/line/{number}");
        let answer = site.rooms[0].client.get(&path, KEY).await.ok()?.ok().ok()?;
        Some(word(&answer["state"]))
    };
    let mut waiting = Vec::new();
    for number in &numbers {
        if state(*number).await.as_deref() == Some("waiting") {
            waiting.push(*number);
        }
    }
    let Some(first) = waiting.first().copied() else {
        return;
    };
    for number in numbers.iter().filter(|number| **number > first) {
        if ["admitted", "shopping"].contains(&state(*number).await.unwrap_or_default().as_str())
            && state(first).await.as_deref() == Some("waiting")
        {
            seen.lock()
                .unwrap()
                .wrong
                .push(format!("{number} was let in before {first}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_deaths_sleeps_and_losses_in_the_middle_of_a_night() {
    let mut site = Site::open(3).await;
    let doors = json!({"rate_per_minute": RATE, "batch_seconds": 1, "max_active": MAX_ACTIVE,
        "claim_seconds": 20, "away_seconds": 60});
    site.event("night", doors).await;
    let from = Instant::now();
    let (seen, stop) = (
        Shared::default(),
        tokio_util::sync::CancellationToken::new(),
    );
    let nodes: Vec<Client> = site
        .rooms
        .iter()
        .map(|room| Client::new(&room.url))
        .collect();
    let mut fans = tokio::task::JoinSet::new();
    for _ in 0..FANS {
        fans.spawn(fan(nodes.clone(), seen.clone(), stop.clone()));
    }
    for round in 0..20 {
        sleep(Duration::from_millis(rand::rng().random_range(200..1200))).await;
        let node = rand::rng().random_range(0..site.rooms.len());
        match round % 5 {
            0 | 3 => site.rooms[node].kill(),
            1 => {
                let process = site.rooms[node].process.as_mut().unwrap();
                process.signal("TERM");
                process.wait();
            }
            2 => site.rooms[node].process.as_ref().unwrap().signal("STOP"),
            _ => drop(site.redis.ask(&["FLUSHALL"])),
        }
        sleep(Duration::from_millis(rand::rng().random_range(200..1500))).await;
        check(&site, from, &seen).await;
        match round % 5 {
            2 => site.rooms[node].process.as_ref().unwrap().signal("CONT"),
            4 => {}
            _ => {
                site.rooms[node].start();
                site.rooms[node].ready().await;
            }
        }
        check(&site, from, &seen).await;
        assert_eq!(
            seen.lock().unwrap().wrong,
            Vec::<String>::new(),
            "round {round}"
        );
    }
    check_order(&site, &seen).await;
    stop.cancel();
    while timeout(Duration::from_secs(10), fans.join_next())
        .await
        .unwrap()
        .is_some()
    {}
    let seen = seen.lock().unwrap();
    assert_eq!(seen.wrong, Vec::<String>::new());
    let highest = *seen.numbers.keys().last().unwrap();
    println!(
        "{} numbers up to {highest}, {} turns",
        seen.numbers.len(),
        seen.admitted
    );
    assert!(
        seen.admitted > 100,
        "the night went on: {} turns",
        seen.admitted
    );
}

/// Library that moves the clock of a process.
pub(crate) fn off_by(seconds: i32) -> Vec<(&'static str, String)> {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    assert!(
        std::path::Path::new(library).exists(),
        "faketime is not installed"
    );
    vec![
        ("LD_PRELOAD", library.to_owned()),
        ("FAKETIME", format!("{seconds:+}s")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

#[tokio::test]
async fn nodes_whose_clocks_are_five_minutes_off_change_nothing() {
    let site = Site::with(vec![off_by(300), Vec::new(), off_by(-300)]).await;
    let doors = json!({"rate_per_minute": 120, "batch_seconds": 1, "max_active": 100});
    site.event("night", doors).await;
    let from = Instant::now();
    let mut passes = Vec::new();
    for _ in 0..30 {
        passes.push(word(&site.client.join("night").await.unwrap()["pass"]));
    }
    // The same place everywhere, and the token good at every gate, whatever that node's clock says.
    for (at, pass) in passes.iter().take(6).enumerate() {
        let room = &site.rooms[at % 3].client;
        let place = loop {
            let place = room
                .get("/api/v1/events/night/line/me", pass)
                .await
                .unwrap()
                .body;
            if place["state"] == "admitted" {
                break place;
            }
            assert!(from.elapsed() < Duration::from_secs(20), "{place}");
            sleep(Duration::from_millis(20)).await;
        };
        for room in &site.rooms {
            let gate = room
                .client
                .get("/gate/night", &word(&place["token"]))
                .await
                .unwrap();
            assert_eq!(gate.status, 204, "{}", gate.body);
        }
        let stats = room
            .get("/api/v1/organiser/events/night/stats", KEY)
            .await
            .unwrap()
            .body;
        let due = 2 * (from.elapsed().as_secs() + 2);
        assert!(
            stats["total"]["admitted"].as_u64().unwrap() <= due,
            "{stats}"
        );
    }
}
