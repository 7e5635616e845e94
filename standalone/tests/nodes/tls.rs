//! A waiting room whose Redis speaks TLS.

use crate::site::Node;
use client::Client;
use hyper::Method;
use std::time::{Duration, Instant};
use testkit::{Authority, Redis, ServerCertificate, free_port};

/// Starts a waiting room on a Redis with this certificate, waits until its answer to `/readyz` contains `expected`,
/// and returns its log.
async fn log_once_ready_says(
    expected: &str,
    authority: &Authority,
    certificate: &ServerCertificate,
) -> String {
    let redis = Redis::with_tls(authority, certificate, &[]);
    let root = authority.root();
    let line = format!("{}?sslrootcert={}", redis.url(), root.display());
    let folder = tempfile::tempdir().unwrap();
    let operations = format!("127.0.0.1:{}", free_port());
    let settings = [
        ("FAIRLINE_LINE", line),
        ("FAIRLINE_OPS_LISTEN", operations.clone()),
    ];
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
        if text.contains(expected) {
            return node.log();
        }
        assert!(
            from.elapsed() < Duration::from_secs(20),
            "{text} {}",
            node.log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_waiting_room_says_in_its_readiness_and_its_log_why_it_refuses_its_redis() {
    let authority = Authority::new();
    let good = authority.issue(&["localhost"]);
    let log = log_once_ready_says("ready\n", &authority, &good).await;
    assert!(log.contains("connected to Redis"), "{log}");
    let expired = authority.issue_expired(&["localhost"]);
    let log = log_once_ready_says("certificate expired", &authority, &expired).await;
    let line = log
        .lines()
        .find(|line| line.contains("certificate expired"));
    assert!(
        line.is_some_and(|line| line.contains("localhost:")),
        "{log}"
    );
}
