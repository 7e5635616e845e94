//! TLS by the program itself: HTTP/2 and WebSockets on one port, renewed certificates, wrong files,
//! hostile clients.

use crate::attacks::floods::read_to_close;
use crate::crash::command;
use crate::secure::{PATIENCE, Program, Secure, mount};
use futures_util::{SinkExt as _, StreamExt as _};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::{Authority, ServerCertificate, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn one_port_carries_http_2_http_1_1_and_websockets_and_knows_that_it_is_https() {
    let secure = Secure::start().await;
    secure.create_event("tls");
    let (head, place) = secure.join("tls");
    assert!(head.starts_with("http/2 201"), "{head}");
    assert!(head.contains("strict-transport-security: "), "{head}");
    assert!(head.contains("content-length: "), "{head}");
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.unwrap();
    assert!(cookie.starts_with("__host-fairline_pass_tls=") && cookie.contains("; secure"));
    let (head, _) = secure.curl("--http1.1", "/", &[]);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let cookie = format!(
        "__Host-fairline_pass_tls={}",
        place["pass"].as_str().unwrap()
    );
    let origin = format!("https://127.0.0.1:{}", secure.port);
    let mut socket = secure.watch("tls", &cookie, &origin).await.unwrap();
    let message = socket.next().await.unwrap().unwrap();
    assert!(
        message.to_text().unwrap().contains("\"place\""),
        "{message}"
    );
    let foreign = secure
        .watch("tls", &cookie, &origin.replace("https", "http"))
        .await;
    assert!(foreign.unwrap_err().to_string().contains("403"));
    // HTTP/2 does not offer WebSockets, so a client that asks for one on it is told so.
    let upgrade = [
        "-H",
        "Upgrade: websocket",
        "-H",
        "Sec-WebSocket-Version: 13",
    ];
    let cookie = format!("Cookie: {cookie}");
    let arguments = [&upgrade[..], &["-H", &cookie, "-H", "Sec-WebSocket-Key: x"]].concat();
    let (head, _) = secure.curl("--http2", "/api/v1/events/tls/line/ws", &arguments);
    assert!(head.starts_with("http/2 4"), "{head}");
    // The program stops: the socket is told to come back.
    let id = secure.program.child.id().to_string();
    assert!(Command::new("kill").arg(id).status().unwrap().success());
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        let message = message
            .expect("the socket is told before it closes")
            .unwrap();
        if message
            .to_text()
            .unwrap_or_default()
            .contains("\"reconnect\"")
        {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_served_at_once_and_files_that_cannot_be_used_never() {
    let secure = Secure::start().await;
    secure.create_event("renewed");
    let (_, place) = secure.join("renewed");
    let cookie = format!(
        "__Host-fairline_pass_renewed={}",
        place["pass"].as_str().unwrap()
    );
    let origin = format!("https://127.0.0.1:{}", secure.port);
    let mut socket = secure.watch("renewed", &cookie, &origin).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let year_2999 = 32_472_144_000.0;
    assert_eq!(secure.metric().await, year_2999);
    let renewed = secure.authority.issue_until(&["127.0.0.1"], 2100);
    mount(secure.folder.path(), &renewed, 2);
    secure.until_served(&renewed).await;
    assert_eq!(secure.metric().await, 4_102_444_800.0);

    let stranger = secure.authority.issue(&["127.0.0.1"]);
    let mixed = ServerCertificate {
        certificate: stranger.certificate.clone(),
        key: renewed.key.clone(),
    };
    mount(secure.folder.path(), &mixed, 3);
    secure
        .until_logged(&["FAIRLINE_TLS_KEY", "is not the key", "previous"])
        .await;
    let expired = secure.authority.issue_expired(&["127.0.0.1"]);
    mount(secure.folder.path(), &expired, 4);
    secure
        .until_logged(&["FAIRLINE_TLS_CERT", "expired at 2001", "previous"])
        .await;
    fs::remove_file(secure.folder.path().join("tls.crt")).unwrap();
    secure
        .until_logged(&["FAIRLINE_TLS_CERT", "No such file", "previous"])
        .await;
    secure.until_served(&renewed).await;
    assert_eq!(secure.metric().await, 4_102_444_800.0);

    mount(secure.folder.path(), &stranger, 5);
    secure.until_served(&stranger).await;
    assert_eq!(secure.metric().await, year_2999);
    // The socket that was open all the while goes on.
    socket
        .send(tokio_tungstenite::tungstenite::Message::Ping(
            vec![7].into(),
        ))
        .await
        .unwrap();
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        if message.unwrap().unwrap().is_pong() {
            break;
        }
    }
    let log = secure.program.log();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn wrong_certificates_and_networks_end_the_start_with_a_sentence_that_names_the_setting() {
    let authority = Authority::new();
    let good = authority.issue(&["127.0.0.1"]);
    let other = authority.issue(&["127.0.0.1"]);
    let expired = authority.issue_expired(&["127.0.0.1"]);
    let path = |path: &Path| path.display().to_string();
    let (cert, key) = (path(&good.certificate), path(&good.key));
    let (missing, other_key) = (path(Path::new("/nothing/here.pem")), path(&other.key));
    let (expired_cert, expired_key) = (path(&expired.certificate), path(&expired.key));
    let http = "http://127.0.0.1:1".to_owned();
    for (cert, key, more, sentence) in [
        (
            &missing,
            &key,
            None,
            "FAIRLINE_TLS_CERT: /nothing/here.pem: No such file",
        ),
        (
            &cert,
            &missing,
            None,
            "FAIRLINE_TLS_KEY: /nothing/here.pem: No such file",
        ),
        (&key, &key, None, "holds no certificate in PEM"),
        (
            &cert,
            &cert,
            None,
            "holds no private key in PEM without a password",
        ),
        (
            &cert,
            &other_key,
            None,
            "is not the key of the first certificate of FAIRLINE_TLS_CERT",
        ),
        (
            &expired_cert,
            &expired_key,
            None,
            "expired at 2001-01-01T00:00:00Z",
        ),
        (
            &cert,
            &key,
            Some(("FAIRLINE_PUBLIC_URL", http)),
            "FAIRLINE_PUBLIC_URL: with FAIRLINE_TLS_CERT",
        ),
        (
            &cert,
            &key,
            Some(("FAIRLINE_PROXY_PROTOCOL", "all".into())),
            "FAIRLINE_PROXY_PROTOCOL: 'all' is no address",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(&folder.path().join("data"), free_port());
        command
            .env("FAIRLINE_TLS_CERT", cert)
            .env("FAIRLINE_TLS_KEY", key);
        if let Some((name, value)) = more {
            command.env(name, value);
        }
        expect_refusal(command, sentence);
    }
    for (name, missing) in [
        ("FAIRLINE_TLS_CERT", "FAIRLINE_TLS_KEY: needed"),
        ("FAIRLINE_TLS_KEY", "FAIRLINE_TLS_CERT: needed"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(&folder.path().join("data"), free_port());
        command.env(name, &cert);
        expect_refusal(command, missing);
    }
}

fn expect_refusal(command: Command, sentence: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(command, folder.path());
    let from = Instant::now();
    let status = loop {
        if let Some(status) = program.child.try_wait().unwrap() {
            break status;
        }
        assert!(from.elapsed() < PATIENCE, "{sentence}: it starts");
        std::thread::sleep(Duration::from_millis(20));
    };
    let told = program.log();
    assert_eq!(status.code(), Some(2), "{sentence}: {told}");
    assert_eq!(told.lines().count(), 1, "{sentence}: {told}");
    assert!(
        told.contains(sentence) && !told.contains("PRIVATE"),
        "{sentence}: {told}"
    );
}

/// Sends bytes on a connection without TLS; returns what comes back until it closes.
async fn until_closed(port: u16, bytes: &[u8]) -> String {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    read_to_close(stream, bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_slow_handshakes_and_idle_connections_are_closed_and_others_served_meanwhile() {
    let secure = Secure::start().await;
    secure.create_event("hostile");
    let plain = until_closed(secure.port, b"GET /e/hostile HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(
        plain.starts_with("HTTP/1.1 400 ") && plain.contains("https://"),
        "{plain}"
    );
    let garbage = until_closed(secure.port, &[0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]).await;
    assert!(!garbage.contains("HTTP"), "{garbage}");

    // Each of these would hold its connection for ever.
    let silent = async || until_closed(secure.port, b"").await;
    // A record that announces more bytes than ever come.
    let half = async || until_closed(secure.port, &[0x16, 3, 1, 2, 0, 1, 0, 1]).await;
    let idle = async |protocol: &str, first: &[u8]| {
        let mut stream = secure.connect(&[protocol]).await;
        stream.write_all(first).await.unwrap();
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(PATIENCE, reading)
            .await
            .expect("the server should close it");
    };
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let slow = async {
        let mut slow = tokio::task::JoinSet::new();
        let port = secure.port;
        for _ in 0..100 {
            slow.spawn(async move { until_closed(port, &[0x16, 3, 1, 2, 0]).await });
        }
        slow.join_all().await
    };
    let served = async {
        // Once the others hold their connections.
        let mut held = Vec::new();
        for _ in 0..100 {
            held.push(secure.connect(&["h2"]).await);
        }
        tokio::task::block_in_place(|| {
            let (head, _) = secure.curl("--http2", "/api/v1/events/hostile", &[]);
            assert!(head.starts_with("http/2 200"), "{head}");
        });
    };
    tokio::join!(
        slow,
        silent(),
        half(),
        idle("http/1.1", b""),
        idle("http/1.1", b"GET / HTTP/1.1\r\n"),
        idle("h2", b""),
        idle("h2", preface),
        idle("h2", &settings),
        served,
    );
    let (head, _) = secure.curl("--http2", "/api/v1/events/hostile", &[]);
    assert!(head.starts_with("http/2 200"), "{head}");
}
