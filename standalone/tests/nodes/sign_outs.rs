//! Console sessions on many nodes: one key signs in everywhere, and who signs out anywhere is out
//! everywhere.

use crate::site::{KEY, SECRET, Site};
use client::Client;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use shared::crypto::{Secret, hex};
use shared::time::Clock;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const SESSION: &str = "/api/v1/organiser/session";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Signs in: the cookie as a browser sends it back.
async fn sign_in(client: &Client) -> String {
    let body = json!({"key": KEY}).to_string().into_bytes();
    let answer = client.raw(Method::POST, SESSION, &[JSON], body).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// Signs out, which clears the cookie in any case.
async fn sign_out(site: &Site, client: &Client, cookie: &str) -> StatusCode {
    let heads = [("cookie", cookie), ("origin", site.url.as_str())];
    let answer = client.raw(Method::DELETE, SESSION, &heads, vec![]).await;
    let answer = answer.unwrap();
    let cleared = &answer.headers()["set-cookie"];
    assert!(cleared.to_str().unwrap().contains("Max-Age=0"));
    answer.status()
}

async fn status(client: &Client, cookie: &str) -> StatusCode {
    let heads = [("cookie", cookie)];
    let answer = client.raw(Method::GET, SESSION, &heads, vec![]).await;
    answer.unwrap().status()
}

fn everywhere(site: &Site) -> Vec<&Client> {
    let rooms = site.rooms.iter().map(|room| &room.client);
    rooms.chain([&site.checkout.client]).collect()
}

/// Waits until a session is refused by all of these nodes, which takes a second or two.
async fn refused(nodes: &[&Client], cookie: &str) {
    let from = Instant::now();
    for client in nodes {
        while status(client, cookie).await != StatusCode::UNAUTHORIZED {
            assert!(from.elapsed() < Duration::from_secs(10), "still signed in");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn who_signs_out_at_one_node_is_out_at_all_and_stays_so() {
    let mut site = Site::open(3).await;
    let mut cookies = Vec::new();
    for client in everywhere(&site) {
        cookies.push(sign_in(client).await);
    }
    cookies.push(sign_in(&site.client).await);
    for client in everywhere(&site) {
        for cookie in &cookies {
            assert_eq!(status(client, cookie).await, StatusCode::OK);
        }
    }
    // Each signs out at another node than the one it signed in at; the last by nginx.
    for (client, cookie) in everywhere(&site).into_iter().rev().zip(&cookies) {
        assert_eq!(
            sign_out(&site, client, cookie).await,
            StatusCode::NO_CONTENT
        );
        assert_eq!(status(client, cookie).await, StatusCode::UNAUTHORIZED);
        assert_eq!(
            sign_out(&site, client, cookie).await,
            StatusCode::NO_CONTENT
        );
        refused(&everywhere(&site), cookie).await;
    }
    let last = &cookies[4];
    assert_eq!(status(&site.client, last).await, StatusCode::OK);
    assert_eq!(
        sign_out(&site, &site.client, last).await,
        StatusCode::NO_CONTENT
    );
    refused(&everywhere(&site), last).await;

    // The store forgets, a node and the checkout start anew: the others tell them.
    site.redis.ask(&["FLUSHALL"]).unwrap();
    for node in [&mut site.rooms[0], &mut site.checkout] {
        node.kill();
        node.start();
        node.ready().await;
    }
    for cookie in &cookies {
        refused(&everywhere(&site), cookie).await;
    }

    // A checkout that reaches no waiting room keeps what it knows, says that a sign-out is not
    // known everywhere yet, and repeats it by itself.
    let cookie = sign_in(&site.checkout.client).await;
    for room in &mut site.rooms {
        room.kill();
    }
    site.checkout.kill();
    site.checkout.start();
    site.checkout.ready().await;
    for cookie in &cookies {
        assert_eq!(
            status(&site.checkout.client, cookie).await,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(
        sign_out(&site, &site.checkout.client, &cookie).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    for room in &mut site.rooms {
        room.start();
    }
    for room in &site.rooms {
        room.ready().await;
    }
    refused(&everywhere(&site), &cookie).await;
}

#[tokio::test]
async fn the_service_key_forges_no_session_on_any_node_and_cannot_be_guessed() {
    let site = Site::open(2).await;
    let soon = Clock::system().now().plus_seconds(3600);
    let forged = |secret: &str| {
        let console = Secret::derive(secret.as_bytes(), "console");
        let key = hex(&console.sign(format!("key\n{KEY}").as_bytes())[..16]);
        let id = "0123456789abcdef0123456789abcdef";
        let new = json!({"id": id, "key": key, "expires_at": soon});
        let old = json!({"organiser": {"name": "admin", "role": "admin"}, "expires_at": soon});
        [new, old].map(|message: Value| {
            let word = console.seal(message.to_string().as_bytes());
            format!("fairline_console={word}")
        })
    };
    let service = format!("service-{SECRET}");
    for client in everywhere(&site) {
        for cookie in forged(&service) {
            assert_eq!(status(client, &cookie).await, StatusCode::UNAUTHORIZED);
        }
        // The checkout accepts sessions that the waiting room signed.
        let [real, _] = forged(&format!("pass-{SECRET}"));
        assert_eq!(status(client, &real).await, StatusCode::OK);
    }
    let client = &site.rooms[0].client;
    let report = async |key: &str, from: Option<&str>| {
        let key = format!("Bearer {key}");
        let mut heads = vec![("authorization", key.as_str()), JSON];
        heads.extend(from.map(|address| ("x-forwarded-for", address)));
        let path = "/api/v1/events/arena/availability";
        let answer = client.raw(Method::PUT, path, &heads, b"{}".to_vec()).await;
        answer.unwrap().status().as_u16()
    };
    let mut answers = Vec::new();
    for at in 0..100 {
        let guess = format!("guess-{at:026}");
        answers.push(report(&guess, Some("203.0.113.1")).await);
    }
    assert_eq!(answers[..20], [401; 20]);
    assert_eq!(answers[20..], [429; 80]);
    assert_eq!(report(&service, Some("203.0.113.1")).await, 429);
    // Requests without an address, such as a checkout's, are under no limit per address, and a
    // stale key counts once.
    for at in 0..60 {
        let guess = format!("guess-{at:026}");
        assert_eq!(report(&guess, None).await, 401);
        assert_eq!(report("stale-0123456789abcdef0123456789", None).await, 401);
    }
    assert_eq!(report(&service, None).await, 422);
    let log = site.rooms[0].log();
    let said = log.matches("this address is refused for a minute").count();
    assert_eq!(said, 1, "{log}");
    assert!(
        log.contains("service key") && !log.contains("guess-"),
        "{log}"
    );
}

/// Returns the output of a program that cannot start with these settings.
fn complaint(program: &str, settings: &[(&str, &str)]) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_fairline")).with_file_name(program);
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let mut child = Command::new(binary)
        .env("FAIRLINE_DATA", folder.path().join("data"))
        .env("FAIRLINE_LISTEN", "127.0.0.1:0")
        .env("FAIRLINE_OPS_LISTEN", "127.0.0.1:0")
        .envs(settings.iter().copied())
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let from = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if from.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let text = std::fs::read_to_string(said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{text}");
    text
}

#[test]
fn weak_missing_and_equal_secrets_stop_the_start_of_every_program() {
    let weak = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let sound = "0123456789abcdef0123456789abcdef";
    let here = ("FAIRLINE_WAITING_ROOM", "http://127.0.0.1:1");
    for program in ["fairline", "waiting-room", "checkout"] {
        let all = [
            here,
            ("FAIRLINE_ORGANISER_KEY", "aaaaaaaaaaaaaaaa"),
            ("FAIRLINE_ORGANISER_KEYS", "op:operator:abababababababab"),
            ("FAIRLINE_PASS_SECRET", weak),
            (
                "FAIRLINE_SERVICE_KEY",
                "abcabcabcabcabcabcabcabcabcabcabcabc",
            ),
        ];
        let said = complaint(program, &all);
        assert_eq!(said.lines().count(), 4, "{said}");
        for (name, value) in &all[1..] {
            assert!(said.contains(&format!("{name}: ")), "{said}");
            assert!(!said.contains(value), "{said}");
        }
        assert_eq!(said.matches("too easy to guess").count(), 4, "{said}");
        let same = complaint(
            program,
            &[
                here,
                ("FAIRLINE_PASS_SECRET", sound),
                ("FAIRLINE_SERVICE_KEY", sound),
                ("FAIRLINE_ORGANISER_KEY", sound),
            ],
        );
        assert_eq!(same.matches("the same as").count(), 2, "{same}");
        assert!(!same.contains(sound), "{same}");
    }
    let bare = complaint("checkout", &[here]);
    for name in ["FAIRLINE_PASS_SECRET", "FAIRLINE_SERVICE_KEY"] {
        assert!(bare.contains(&format!("{name}: needed")), "{bare}");
    }
}
