//! The PROXY protocol: clients behind HAProxy are counted one by one, and only a trusted
//! proxy can tell an address.

use crate::attacks::floods::read_to_close;
use crate::crash::command;
use crate::secure::{PATIENCE, Program};
use crate::stage::{KEY, Stage};
use hyper::Method;
use serde_json::{Value, json};
use shared::remote::RemoteService;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::{Server, free_port};
use tokio::net::{TcpSocket, TcpStream};

const ADMIN: &str = "crash-organiser-key";

/// A `fairline` that believes these peers and gives one place per client address.
async fn start(folder: &Path, trusted: &str) -> (Program, u16) {
    let port = free_port();
    let mut command = command(&folder.join("data"), port);
    command
        .env("FAIRLINE_PUBLIC_URL", format!("http://127.0.0.1:{port}"))
        .env("FAIRLINE_PROXY_PROTOCOL", trusted)
        .env("FAIRLINE_LOG", "warn")
        .env("FAIRLINE_JOINS_PER_MINUTE", "1");
    let program = Program::start(command, folder);
    // A peer that is not trusted in any of these tests.
    let event = json!({"id": "proxied", "name": "The night"}).to_string();
    let create = format!(
        "POST /api/v1/organiser/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{event}",
        event.len()
    );
    let from = Instant::now();
    loop {
        if let Ok(stream) = connect(9, port).await {
            let answer = read_to_close(stream, create.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
            return (program, port);
        }
        assert!(from.elapsed() < PATIENCE, "{}", program.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Connects from 127.0.0.`last`.
async fn connect(last: u8, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)))?;
    socket
        .connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
}

const JOIN: &str = "POST /api/v1/events/proxied/line HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
     X-Forwarded-For: 203.0.113.99\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

/// Joins from 127.0.0.`last`, with these bytes ahead of the request; returns the status.
async fn join(last: u8, port: u16, ahead: &[u8]) -> String {
    let stream = connect(last, port).await.unwrap();
    let answer = read_to_close(stream, &[ahead, JOIN.as_bytes()].concat()).await;
    answer.split(' ').nth(1).unwrap_or("closed").to_owned()
}

/// A header of version 2 for a client at 203.0.113.`last`.
fn version_2(last: u8) -> Vec<u8> {
    let addresses = [203, 0, 113, last, 127, 0, 0, 1, 0x9c, 0x47, 0, 80];
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &addresses].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_each_client_counts_for_itself_in_both_versions() {
    for (word, check) in [("send-proxy-v2", "check-send-proxy"), ("send-proxy", "")] {
        let folder = tempfile::tempdir().unwrap();
        let (_program, port) = start(folder.path(), "127.0.0.1").await;
        let front = free_port();
        let configuration = format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
             listen front\n  bind 127.0.0.1:{front}\n  server fairline 127.0.0.1:{port} {word} check {check}\n"
        );
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, configuration).unwrap();
        let arguments = ["-db", "-f", file.to_str().unwrap()];
        let _haproxy = Server::start(folder.path(), "haproxy", &arguments);
        let from = Instant::now();
        while connect(9, front).await.is_err() {
            assert!(from.elapsed() < PATIENCE, "HAProxy does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for last in [2, 3] {
            assert_eq!(
                join(last, front, b"").await,
                "201",
                "{word}: 127.0.0.{last}"
            );
            assert_eq!(
                join(last, front, b"").await,
                "429",
                "{word}: 127.0.0.{last} once more"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_peer_can_tell_an_address_and_others_count_for_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let (program, port) = start(folder.path(), "127.0.0.32/28, ::1").await;
    for last in [1, 2] {
        assert_eq!(
            join(33, port, &version_2(last)).await,
            "201",
            "{}",
            program.log()
        );
        assert_eq!(join(46, port, &version_2(last)).await, "429");
    }
    // A stranger who sends a header is not understood, and does not take a place of the address
    // that it names.
    for ahead in [
        version_2(3),
        b"PROXY TCP4 203.0.113.3 127.0.0.1 4 80\r\n".to_vec(),
    ] {
        let status = join(5, port, &ahead).await;
        assert!(["400", "closed"].contains(&status.as_str()), "{status}");
    }
    assert_eq!(join(33, port, &version_2(3)).await, "201");
    assert_eq!(join(5, port, b"").await, "201");
    assert_eq!(join(5, port, b"").await, "429");
    // A trusted peer must send one, and a second one is no part of a request.
    assert_eq!(join(33, port, b"").await, "closed");
    let twice = join(33, port, &[version_2(4), version_2(5)].concat()).await;
    assert!(["400", "closed"].contains(&twice.as_str()), "{twice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_malformed_cut_short_or_slow_end_their_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (_program, port) = start(folder.path(), "127.0.0.2").await;
    let header = version_2(7);
    let mut all = tokio::task::JoinSet::new();
    for bytes in [
        b"".to_vec(),
        header[..1].to_vec(),
        header[..12].to_vec(),
        header[..15].to_vec(),
        header[..header.len() - 1].to_vec(),
        // Announces more than comes, and more than is ever read.
        [&header[..14], &[0x0f, 0xff]].concat(),
        [&header[..14], &[0xff, 0xff]].concat(),
        [&header[..12], &[0x31, 0x11, 0, 0]].concat(),
        b"PROXY TCP4 ".to_vec(),
        [&b"PROXY UNKNOWN "[..], &[b'x'; 300]].concat(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00".to_vec(),
    ] {
        all.spawn(async move {
            let stream = connect(2, port).await.unwrap();
            (read_to_close(stream, &bytes).await, bytes)
        });
    }
    assert_eq!(
        join(2, port, &version_2(8)).await,
        "201",
        "served meanwhile"
    );
    for (answer, bytes) in all.join_all().await {
        assert_eq!(answer, "", "{bytes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_fit_the_settings_is_named_once_with_the_setting_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let (program, port) = start(folder.path(), "127.0.0.32").await;
    let socket = "GET /api/v1/events/proxied/line/ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let page = JOIN.replace(
        "Host: x",
        "Host: other.example\r\nOrigin: https://other.example",
    );
    let page = page.replace(
        "X-Forwarded-For",
        "X-Forwarded-Proto: https\r\nX-Forwarded-For",
    );
    let foreign = JOIN.replace("Host: x", "Host: x\r\nOrigin: https://evil.example");
    for _ in 0..2 {
        for (request, status) in [(&page, "403"), (&foreign, "403")] {
            let stream = connect(2, port).await.unwrap();
            let answer = read_to_close(stream, request.as_bytes()).await;
            assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
        }
    }
    let joined = JOIN.replace("X-Forwarded-For: 203.0.113.99\r\n", "");
    let stream = connect(3, port).await.unwrap();
    let answer = read_to_close(stream, joined.as_bytes()).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let place: serde_json::Value = serde_json::from_str(body).unwrap();
    let pass = place["pass"].as_str().unwrap();
    let request = format!("{socket}Authorization: Bearer {pass}\r\n\r\n");
    let answer = read_to_close(connect(3, port).await.unwrap(), request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
    let from = Instant::now();
    while !program.log().contains("WebSocket handshake") {
        assert!(
            from.elapsed() < Duration::from_secs(10),
            "{}",
            program.log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = program.log();
    for words in [
        ["X-Forwarded-For arrives", "FAIRLINE_TRUSTED_HOPS"],
        ["X-Forwarded-Proto", "FAIRLINE_PUBLIC_URL"],
        ["https://other.example", "FAIRLINE_ALLOWED_ORIGINS"],
        ["WebSocket handshake", "Upgrade"],
    ] {
        let lines = log
            .lines()
            .filter(|line| words.iter().all(|word| line.contains(word)));
        assert_eq!(lines.count(), 1, "{words:?} in {log}");
    }
    assert!(!log.contains("evil.example"), "{log}");
    let request = format!(
        "GET /api/v1/organiser/proxy-signs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Authorization: Bearer {ADMIN}\r\n\r\n"
    );
    let answer = read_to_close(connect(9, port).await.unwrap(), request.as_bytes()).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let signs: Vec<serde_json::Value> = serde_json::from_str(body).unwrap();
    let shown = signs.iter().map(|sign| {
        let [kind, setting, seen] = ["kind", "setting", "seen"].map(|name| sign[name].clone());
        (kind, setting, seen, sign["requests"].as_u64().unwrap())
    });
    let null = serde_json::Value::Null;
    let wanted = [
        (
            json!("forwarded_not_trusted"),
            json!("FAIRLINE_TRUSTED_HOPS"),
            null.clone(),
            4,
        ),
        (
            json!("other_scheme"),
            json!("FAIRLINE_PUBLIC_URL"),
            json!("https"),
            2,
        ),
        (
            json!("other_name"),
            json!("FAIRLINE_ALLOWED_ORIGINS"),
            json!("https://other.example"),
            2,
        ),
        (json!("lost_upgrade"), null.clone(), null, 1),
    ];
    assert_eq!(shown.collect::<Vec<_>>(), wanted);
    assert!(
        !body.contains("203.0.113"),
        "no address of a client: {body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_trusted_hops_than_there_are_proxies_are_named_with_the_setting_to_change() {
    let stage = Stage::with(|common| common.trusted_hops = Some("2".into())).await;
    let ask = async |forwarded: &str| {
        let heads = [("x-forwarded-for", forwarded)];
        let answer = stage.client.raw(Method::GET, "/", &heads, vec![]).await;
        assert_eq!(answer.unwrap().status(), 200);
    };
    let signs = async || {
        let list = stage.get("/api/v1/organiser/proxy-signs", KEY).await.body;
        let signs = list.as_array().unwrap().iter();
        let shown = signs.map(|sign| {
            let [kind, setting] = ["kind", "setting"].map(|name| sign[name].as_str().unwrap());
            (
                kind.to_owned(),
                setting.to_owned(),
                sign["requests"].clone(),
            )
        });
        shown.collect::<Vec<(String, String, Value)>>()
    };
    let setting = || "FAIRLINE_TRUSTED_HOPS".to_owned();
    for _ in 0..19 {
        ask("203.0.113.7").await;
    }
    ask("203.0.113.7, 198.51.100.2").await;
    for _ in 0..19 {
        ask("203.0.113.7").await;
    }
    let alone = vec![("no_address".to_owned(), setting(), json!(39))];
    assert_eq!(
        signs().await,
        alone,
        "with the list itself, which names none"
    );
    for _ in 0..3 {
        ask("203.0.113.7").await;
    }
    let [many, _] = &signs().await[..] else {
        panic!("two signs");
    };
    assert_eq!(*many, ("too_many_hops".to_owned(), setting(), json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_service_which_comes_past_all_proxies_is_no_sign_of_one() {
    let stage = Stage::with(|common| common.trusted_hops = Some("1".into())).await;
    let service = RemoteService::new("waiting-room", &stage.url, Duration::from_secs(5));
    let (status, _) = service.ask(Method::GET, "/", "", None).await.unwrap();
    assert_eq!(status, 200);
    let list = async || stage.get("/api/v1/organiser/proxy-signs", KEY).await.body;
    // Only the list itself is asked for without an address.
    for asked in 1..=2 {
        assert_eq!(list().await[0]["requests"], asked);
    }
}
