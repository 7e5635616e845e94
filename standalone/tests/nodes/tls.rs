//! A waiting room whose Redis speaks TLS, and a checkout whose waiting room does.

use crate::site::Node;
use client::Client;
use hyper::Method;
use std::time::{Duration, Instant};
use testkit::{Authority, Redis, ServerCertificate, free_port};

/// Trust of a waiting room in its Redis.
enum Trust {
    /// The URL names the root certificate.
    Url,
    /// The system has the root certificate.
    System,
}

/// Starts a waiting room on a Redis with this certificate, and waits until its answer to `/readyz`
/// and a line of its log are as expected.
async fn expect(
    authority: &Authority,
    certificate: &ServerCertificate,
    trust: Trust,
    readiness: impl Fn(&str) -> bool,
    logged: &[&str],
) {
    let redis = Redis::with_tls(authority, certificate, &[]);
    let root = authority.root().display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let operations = format!("127.0.0.1:{}", free_port());
    let mut settings = vec![("FAIRLINE_OPS_LISTEN", operations.clone())];
    settings.extend(match trust {
        Trust::Url => vec![(
            "FAIRLINE_LINE",
            format!("{}?sslrootcert={root}", redis.url()),
        )],
        Trust::System => vec![("FAIRLINE_LINE", redis.url()), ("SSL_CERT_FILE", root)],
    });
    let node = Node::new("waiting-room", folder.path(), free_port(), &settings);
    let operations = Client::new(&format!("http://{operations}"));
    let from = Instant::now();
    loop {
        let answer = operations
            .raw(Method::GET, "/readyz", &[], Vec::new())
            .await;
        let text = answer.map_or_else(
            |error| error,
            |answer| String::from_utf8_lossy(answer.body()).into_owned(),
        );
        let log = node.log();
        let mut lines = log.lines();
        if readiness(&text) && lines.any(|line| logged.iter().all(|word| line.contains(word))) {
            return;
        }
        assert!(from.elapsed() < Duration::from_secs(20), "{text} {log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_waiting_room_says_in_its_readiness_and_its_log_why_it_refuses_its_redis() {
    let authority = Authority::new();
    let good = authority.issue(&["localhost"]);
    let is_ready = |text: &str| text == "ready\n";
    for trust in [Trust::Url, Trust::System] {
        let logged = ["connected to Redis"];
        expect(&authority, &good, trust, is_ready, &logged).await;
    }
    let expired = authority.issue_expired(&["localhost"]);
    let is_refused = |text: &str| {
        text.starts_with("not ready\nRedis at localhost:") && text.contains("certificate expired")
    };
    let logged = ["localhost:", "certificate expired"];
    expect(&authority, &expired, Trust::Url, is_refused, &logged).await;
}

#[tokio::test]
async fn a_checkout_trusts_a_waiting_room_with_tls_if_the_system_trusts_its_authority() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = authority.issue(&["127.0.0.1"]);
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let url = format!("https://127.0.0.1:{port}");
    let settings = [
        (
            "FAIRLINE_TLS_CERT",
            certificate.certificate.display().to_string(),
        ),
        ("FAIRLINE_TLS_KEY", certificate.key.display().to_string()),
        ("FAIRLINE_PUBLIC_URL", url.clone()),
    ];
    let room = Node::new("waiting-room", folder.path(), port, &settings);
    room.ready().await;
    for (roots, logged) in [
        (authority.root(), "fetched the keys"),
        (
            stranger.root(),
            "the keys of the waiting room could not be fetched",
        ),
    ] {
        let settings = [
            ("FAIRLINE_PUBLIC_URL", url.clone()),
            ("FAIRLINE_WAITING_ROOM", url.clone()),
            ("SSL_CERT_FILE", roots.display().to_string()),
        ];
        let checkout = Node::new("checkout", folder.path(), free_port(), &settings);
        let from = Instant::now();
        while !checkout.log().contains(logged) {
            assert!(
                from.elapsed() < Duration::from_secs(20),
                "{}",
                checkout.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
