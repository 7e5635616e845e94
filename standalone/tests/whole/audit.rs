//! The audit log of the real program: what is in it, and that it shows what was done to it.

use crate::crash::{KEY, Program, command, free_port};
use crate::stage::{KEY as STAGE_KEY, Stage};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;

const AUDIT: &str = "/api/v1/organiser/audit";
const SESSION: &str = "/api/v1/organiser/session";

fn verify(data: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairline"));
    command
        .arg("--data")
        .arg(data)
        .arg("verify-audit")
        .args(more);
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(both).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_to_the_audit_log_is_told_by_the_command_and_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut program = Program::start(&data).await;
    for id in ["one", "two", "three"] {
        let event = json!({"id": id, "name": "The night"});
        program
            .client
            .create_event(KEY, &event, None)
            .await
            .unwrap();
    }
    assert_eq!(verify(&data, &[]).status.code(), Some(0), "while it runs");
    program.kill();
    let whole = verify(&data, &[]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole));
    let said = text(&whole);
    let head = said
        .trim_end()
        .trim_end_matches('.')
        .rsplit(' ')
        .next()
        .unwrap();
    assert_eq!(verify(&data, &["--head", head]).status.code(), Some(0));
    assert_eq!(
        verify(&data, &["--head", &"0".repeat(64)]).status.code(),
        Some(1)
    );

    let path = data.join("audit.jsonl");
    let log = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    let changed = log.replacen("\"by\":\"admin\"", "\"by\":\"eve\"", 1);
    let without_last = lines[..lines.len() - 1].join("\n") + "\n";
    let without_second = [&lines[..1], &lines[2..]].concat().join("\n") + "\n";
    for tampered in [without_last, without_second, String::new(), changed] {
        assert_ne!(log, tampered);
        std::fs::write(&path, tampered).unwrap();
        let told = verify(&data, &[]);
        assert_eq!(told.status.code(), Some(1), "{}", text(&told));
        assert!(text(&told).contains("NOT as it was written"));
    }
    let program = Program::start(&data).await;
    let served = program
        .client
        .get(AUDIT, KEY)
        .await
        .unwrap()
        .body
        .to_string();
    assert!(served.contains("audit.broken"), "{served}");
    assert_eq!(
        verify(&folder.path().join("nowhere"), &[]).status.code(),
        Some(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_failures_refusals_and_lock_outs_are_in_the_log_with_their_address() {
    let stage = Stage::with(|common| common.trusted_hops = Some("1".into())).await;
    let from = ("x-forwarded-for", "203.0.113.9");
    let heads = [from, ("content-type", "application/json")];
    let sign_in = async |body: Value| {
        let body = body.to_string().into_bytes();
        let answer = stage.client.raw(Method::POST, SESSION, &heads, body).await;
        answer.unwrap()
    };
    let answer = sign_in(json!({"key": "operator-key-01234"})).await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let own = [from, ("cookie", cookie), ("origin", stage.url.as_str())];
    let out = stage
        .client
        .raw(Method::DELETE, SESSION, &own, vec![])
        .await;
    assert_eq!(out.unwrap().status(), StatusCode::NO_CONTENT);
    for at in 0..1800 {
        sign_in(json!({"key": format!("guess-number-{at:08}")})).await;
    }
    let wanted = [
        "session.open",
        "session.end",
        "key.wrong",
        "key.locked",
        "key.refused",
    ];
    let has_all = |log: &Value| {
        let log = log.as_array().unwrap();
        let has = |action: &&str| {
            let mut log = log.iter();
            log.any(|it| it["action"] == **action && it["address"] == "203.0.113.9")
        };
        wanted.iter().all(has)
    };
    let log = stage.until(AUDIT, STAGE_KEY, has_all).await;
    let count = log.as_array().unwrap().len();
    assert!(count < 60, "{count}: a flood is summed up");
    assert!(!log.to_string().contains("guess-number"), "{log}");
    let opened = log.as_array().unwrap().iter();
    let opened = opened.filter(|it| it["action"] == "session.open").count();
    assert_eq!(opened, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_the_log_though_its_client_hung_up_at_once() {
    let stage = Stage::open().await;
    let address = stage.url.trim_start_matches("http://").to_owned();
    let logged = |log: &Value| {
        let log = log.as_array().unwrap().iter();
        log.filter(|it| it["action"] == "event.create").count()
    };
    let made = |events: &Value| events.as_array().unwrap().len();
    let from = Instant::now();
    let mut sent = 0;
    loop {
        let events = stage.get("/api/v1/organiser/events", STAGE_KEY).await.body;
        let log = stage.get(AUDIT, STAGE_KEY).await.body;
        if made(&events) == logged(&log) && made(&events) > 0 {
            return;
        }
        let (made, logged) = (made(&events), logged(&log));
        assert!(
            from.elapsed() < Duration::from_secs(60),
            "{made} made of {sent}, {logged} in the log"
        );
        // Those that hang up before they are read are given up.
        if made == 0 {
            hang_up_at_once(&address, sent).await;
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks for an event, and closes the connection without waiting for the answer.
async fn hang_up_at_once(address: &str, at: usize) {
    let body = format!(r#"{{"id": "hasty-{at}", "name": "Hasty"}}"#);
    let request = format!(
        "POST /api/v1/organiser/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {STAGE_KEY}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_taken_out_of_its_file_ends_with_its_sessions_and_a_new_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "desk:operator:operator-key-01234\n").unwrap();
    let mut command = command(&folder.path().join("data"), free_port());
    command.env("FAIRLINE_ORGANISER_KEYS_FILE", &keys);
    let program = Program::of(command).await;
    let client = &program.client;
    let body = json!({"key": "operator-key-01234"})
        .to_string()
        .into_bytes();
    let heads = [("content-type", "application/json")];
    let answer = client
        .raw(Method::POST, SESSION, &heads, body)
        .await
        .unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    let cookie = cookie.split(';').next().unwrap();
    let whose = async || {
        let answer = client
            .raw(Method::GET, SESSION, &[("cookie", cookie)], vec![])
            .await;
        answer.unwrap().status()
    };
    assert_eq!(whose().await, StatusCode::OK);
    // Keys that are wrong are not taken.
    std::fs::write(&keys, "desk:operator:short").unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(whose().await, StatusCode::OK);
    std::fs::write(&keys, "press:viewer:viewer-key-0123456").unwrap();
    let from = Instant::now();
    while whose().await != StatusCode::UNAUTHORIZED {
        assert!(from.elapsed() < Duration::from_secs(10), "still signed in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let who = |key: &'static str| client.get(SESSION, key);
    assert_eq!(
        who("operator-key-01234").await.unwrap().status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        who("viewer-key-0123456").await.unwrap().body["name"],
        "press"
    );
    assert_eq!(who(KEY).await.unwrap().body["role"], "admin");
    let log = client.get(AUDIT, KEY).await.unwrap().body.to_string();
    assert!(
        log.contains("keys.change") && !log.contains("viewer-key-"),
        "{log}"
    );
}
