//! Requests that two servers may read differently, at the listener itself and through nginx: the
//! request hidden in them is never carried out, and nobody else gets an answer to it.

use crate::attacks::floods::read_to_close;
use crate::stage::{Stage, word};
use hyper::Method;
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::{Server, free_port};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const HOST: &str = "Host: 127.0.0.1\r\n";
/// What an attacker hides: a join, which the number of the next fan would tell.
const HIDDEN: &str =
    "POST /api/v1/events/hidden/line HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n";
/// Follows whatever was hidden, and ends the connection.
const LAST: &str =
    "GET /api/v1/currencies HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";

/// Heads that frame the same body in two ways, or in a way that is none. `{}` is the length of the
/// body, which is an empty chunk and what is hidden.
const HEADS: [&str; 37] = [
    "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: {}\r\n",
    "Content-Length: 0\r\nContent-Length: {}\r\n",
    "Content-Length: {}\r\nContent-Length: 0\r\n",
    "Content-Length: 0, {}\r\n",
    "Content-Length: +{}\r\n",
    "Content-Length: -{}\r\n",
    "Content-Length: 0x10\r\n",
    "Content-Length: {} 0\r\n",
    "Content-Length: {}.0\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Content-Length: \r\nContent-Length: {}\r\n",
    "Content-Length : 0\r\nContent-Length: {}\r\n",
    "Content-Length\r\n: {}\r\n",
    "X-Folded: a\r\n Content-Length: 0\r\nContent-Length: {}\r\n",
    "Content-Length: {}\r\n Transfer-Encoding: chunked\r\n",
    "Content-Length: {}\r\nX-Folded: a\r\n\tTransfer-Encoding: chunked\r\n",
    "Content-Length: {}\r\nTransfer-Encoding : chunked\r\n",
    "Content-Length: {}\r\nTransfer-Encoding\t: chunked\r\n",
    "Content-Length: {}\r\nTransfer-Encoding: xchunked\r\n",
    "Content-Length: {}\r\nTransfer-Encoding:\u{b}chunked\r\n",
    "Content-Length: {}\r\nTransfer-Encoding: \u{0}chunked\r\n",
    "Content-Length: {}\r\nTransfer-Encoding: chunked, identity\r\n",
    "Content-Length: {}\r\nTransfer-Encoding: identity, chunked\r\n",
    "Content-Length: {}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Content-Length: {}\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length: {}\r\nTransfer-Encoding: gzip, chunked\r\n",
    "Content-Length: {}\r\nTransfer-Encoding: \"chunked\"\r\n",
    "Content-Length: {}\r\nTransfer-Encoding: chunked;q=1\r\n",
    "Content-Length: {}\r\nTRANSFER-ENCODING: CHUNKED\r\n",
    "Content-Length: {}\r\nTransfer-Encoding:\r\n chunked\r\n",
    "Content-Length: {}\r\nX: a\nTransfer-Encoding: chunked\r\n",
    "Content-Length: {}\r\nX: a\rTransfer-Encoding: chunked\r\n",
    "Content-Length: {}\r\nX\u{0}: a\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length: {}\r\nTransfer_Encoding: chunked\r\n",
    "Content-Length: {}\r\nConnection: content-length\r\n",
    "Content-Length: {}\r\nExpect: 100-continue\r\n",
];

/// Chunked bodies whose ends two servers may see in different places.
const CHUNKS: [&str; 12] = [
    "0\r\n\r\n",
    "0\n\n",
    "0\r\nX: a\r\n",
    "0x0\r\n\r\n",
    "-1\r\n\r\n",
    "+0\r\n\r\n",
    "0;a\nb\r\n\r\n",
    "0;\r\n\r\n",
    "FFFFFFFFFFFFFFFF0\r\n\r\n",
    "1\r\naX\r\n0\r\n\r\n",
    "1\r\na0\r\n\r\n",
    " 0\r\n\r\n",
];

fn cases() -> Vec<String> {
    let body = format!("0\r\n\r\n{HIDDEN}");
    let length = body.len().to_string();
    let mut cases = Vec::new();
    for head in HEADS {
        for start in [
            "POST /api/v1/currencies HTTP/1.1\r\n",
            "GET /api/v1/currencies HTTP/1.1\r\n",
        ] {
            let head = head.replace("{}", &length);
            cases.push(format!("{start}{HOST}{head}\r\n{body}{LAST}"));
        }
    }
    for chunks in CHUNKS {
        // Without the length, all that follows a sound end is a request of its own, as it is for
        // everyone: only the length makes two readings of it.
        let length = chunks.len() + HIDDEN.len();
        cases.push(format!(
            "POST /api/v1/currencies HTTP/1.1\r\n{HOST}Content-Length: {length}\r\n\
             Transfer-Encoding: chunked\r\n\r\n{chunks}{HIDDEN}{LAST}"
        ));
    }
    cases
}

/// Starts nginx, which keeps its connections to the stage.
async fn nginx(stage: &Stage, folder: &std::path::Path) -> (Server, String) {
    let front = free_port();
    let stage = stage.url.trim_start_matches("http://");
    let conf = format!(
        "pid p; error_log e; worker_processes 1; events {{ worker_connections 512; }} http {{ access_log off; \
         client_body_temp_path b; proxy_temp_path x; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; \
         upstream stage {{ server {stage}; keepalive 2; }} server {{ listen 127.0.0.1:{front}; \
         location / {{ proxy_pass http://stage; proxy_http_version 1.1; proxy_set_header Connection ''; \
         proxy_set_header Host $host; proxy_request_buffering off; }} }} }}"
    );
    let file = folder.join("nginx.conf").display().to_string();
    std::fs::write(&file, conf).unwrap();
    let prefix = folder.display().to_string();
    let arguments = ["-p", &prefix, "-c", &file, "-g", "daemon off;"];
    let server = Server::start(folder, "nginx", &arguments);
    let address = format!("127.0.0.1:{front}");
    let from = Instant::now();
    while TcpStream::connect(&address).await.is_err() {
        assert!(from.elapsed() < Duration::from_secs(10), "nginx");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (server, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_hidden_in_another_is_never_carried_out_directly_or_through_nginx() {
    let stage = Stage::open().await;
    stage.event("hidden", json!({"paused": true})).await;
    let folder = tempfile::tempdir().unwrap();
    let (_nginx, front) = nginx(&stage, folder.path()).await;
    let direct = stage.url.trim_start_matches("http://").to_owned();
    for address in [direct, front] {
        let honest = client::Client::new(&format!("http://{address}"));
        let mut attacks = JoinSet::new();
        for case in cases() {
            let address = address.clone();
            attacks.spawn(async move {
                let stream = TcpStream::connect(&address).await.unwrap();
                let answer = read_to_close(stream, case.as_bytes()).await;
                (case, answer)
            });
        }
        while let Some(attacked) = attacks.join_next().await {
            let (case, answer) = attacked.unwrap();
            assert!(!answer.contains(" 201 "), "{case:?}: {answer}");
            assert!(!answer.contains(" 500 "), "{case:?}: {answer}");
            // An answer to what was hidden would reach whoever asks next.
            let next = honest.raw(Method::GET, "/api/v1/events/hidden", &[], vec![]);
            let next = next.await.unwrap();
            assert_eq!(next.status(), 200, "{case:?}");
            let next: serde_json::Value = serde_json::from_slice(next.body()).unwrap();
            assert_eq!(word(&next["id"]), "hidden", "{case:?}");
        }
    }
    let place = stage.client.join("hidden").await.unwrap();
    assert_eq!(place["number"], 1, "nobody joined before");
}
