//! Requests to systems that do what they should not.

use super::*;
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A resolver that answers differently each time.
struct Rebinding(Mutex<VecDeque<Vec<IpAddr>>>);

impl Rebinding {
    fn to(answers: &[&[&str]]) -> Arc<Rebinding> {
        let parse = |text: &&str| text.parse().unwrap();
        let answers = answers.iter().map(|it| it.iter().map(parse).collect());
        Arc::new(Rebinding(Mutex::new(answers.collect())))
    }
}

#[async_trait]
impl Resolver for Rebinding {
    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let answer = self.0.lock().pop_front();
        let answer = answer.ok_or_else(|| io::Error::other("no such host"))?;
        let addresses = answer.into_iter();
        Ok(addresses.map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

/// Takes a request, and returns it with its connection.
async fn accept(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"{}") {
        let mut bytes = [0; 1024];
        let read = stream.read(&mut bytes).await.unwrap();
        request.extend_from_slice(&bytes[..read]);
    }
    (stream, String::from_utf8(request).unwrap())
}

/// Answers one request by these bytes, and returns the request.
async fn serve(listener: TcpListener, answer: &'static [u8]) -> String {
    let (mut stream, request) = accept(&listener).await;
    stream.write_all(answer).await.unwrap();
    request
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn local() -> Networks {
    Networks::parse("127.0.0.0/8").unwrap()
}

async fn post(outbound: &Outbound, url: &str) -> Result<OutboundAnswer, OutboundFailure> {
    let url = Url::parse(url).unwrap();
    outbound
        .post(&url, HeaderMap::new(), Bytes::from_static(b"{}"))
        .await
}

#[test]
fn a_url_that_no_request_may_go_to_is_refused_with_the_reason() {
    let public = Outbound::new(Networks::default());
    for (url, why) in [
        ("hooks", "a URL such as https://example.org/hooks"),
        ("http://example.org/", "an https URL"),
        ("file:///etc/passwd", "an https URL"),
        (
            "https://ada:word@example.org/",
            "a URL without a user name and a password",
        ),
        ("https://example.org/#x", "a URL without a fragment"),
        (
            "https://example.org/a b",
            "a URL such as https://example.org/hooks",
        ),
        ("https://127.0.0.1/", "a host with a public address"),
        ("https://2130706433/", "a host with a public address"),
        ("https://0x7f.1/", "a host with a public address"),
        (
            "https://[::ffff:127.0.0.1]/",
            "a host with a public address",
        ),
        (
            "https://169.254.169.254/latest",
            "a host with a public address",
        ),
    ] {
        assert_eq!(public.check(url).unwrap_err(), why, "{url}");
    }
    let long = format!("https://example.org/{}", "x".repeat(1_000));
    assert_eq!(public.check(&long).unwrap_err(), "at most 1000 bytes");
    for url in [
        "https://example.org/hooks?a=1",
        "https://9.9.9.9:8443/",
        "HTTPS://example.org",
    ] {
        assert!(public.check(url).is_ok(), "{url}");
    }
    let within = Outbound::new(local());
    assert!(within.check("http://127.0.0.1:80/").is_ok());
    assert!(within.check("http://9.9.9.9/").is_err());
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_connected_to() {
    let (listener, port) = listener().await;
    // The first answer is the one that counts; the second, of an attacker, is never asked for.
    let resolver = Rebinding::to(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let outbound = Outbound::with(resolver.clone(), local());
    let url = format!("http://hooks.example:{port}/in?key=1");
    let (answer, request) = tokio::join!(
        post(&outbound, &url),
        serve(listener, b"HTTP/1.1 204 No Content\r\n\r\n")
    );
    assert_eq!(answer.unwrap().status, StatusCode::NO_CONTENT);
    assert!(
        request.starts_with("POST /in?key=1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains(&format!("host: hooks.example:{port}\r\n")),
        "{request}"
    );
    assert_eq!(resolver.0.lock().len(), 1);
}

#[tokio::test]
async fn a_host_without_a_public_address_gets_no_connection() {
    let (listener, port) = listener().await;
    let private: &[&str] = &[
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
    ];
    let outbound = Outbound::with(Rebinding::to(&[private, &[]]), Networks::default());
    for _ in 0..2 {
        let failure = post(&outbound, &format!("https://hooks.example:{port}/")).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.kind, OutboundFailureKind::Forbidden);
        assert_eq!(failure.why, "the host has no public address");
    }
    let gone = post(&outbound, "https://hooks.example/").await.unwrap_err();
    assert_eq!(gone.why, "the host hooks.example is not found");
    // A public address without TLS.
    let clear = Outbound::with(Rebinding::to(&[&["9.9.9.9"]]), local());
    let failure = post(&clear, "http://hooks.example/").await.unwrap_err();
    assert_eq!(failure.kind, OutboundFailureKind::Forbidden);
    assert!(
        tokio::time::timeout(Duration::from_millis(1), listener.accept())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (listener, port) = listener().await;
    let outbound = Outbound::new(local());
    let url = format!("http://127.0.0.1:{port}/");
    let moved =
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 4\r\n\r\nmove";
    let (answer, _) = tokio::join!(post(&outbound, &url), serve(listener, moved));
    let answer = answer.unwrap();
    assert_eq!(
        (answer.status, &*answer.excerpt),
        (StatusCode::FOUND, "move")
    );
}

#[tokio::test]
async fn an_endless_body_is_read_to_its_beginning() {
    let (listener, port) = listener().await;
    let outbound = Outbound::new(local());
    let url = format!("http://127.0.0.1:{port}/");
    let endless = async {
        let (mut stream, _) = accept(&listener).await;
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
        while stream.write_all(chunk.as_bytes()).await.is_ok() {}
    };
    let (answer, ()) = tokio::join!(post(&outbound, &url), endless);
    let answer = answer.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.excerpt.len(), EXCERPT_BYTES);
}

#[tokio::test]
async fn an_endless_head_is_no_answer() {
    let (listener, port) = listener().await;
    let outbound = Outbound::new(local());
    let url = format!("http://127.0.0.1:{port}/");
    let endless = async {
        let (mut stream, _) = accept(&listener).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        let line = format!("x: {}\r\n", "x".repeat(1000));
        while stream.write_all(line.as_bytes()).await.is_ok() {}
    };
    let (answer, ()) = tokio::join!(post(&outbound, &url), endless);
    assert_eq!(answer.unwrap_err().kind, OutboundFailureKind::Lost);
}

#[tokio::test]
async fn a_host_that_hangs_is_given_up_in_time() {
    let (listener, port) = listener().await;
    let outbound = Outbound::new(local()).waiting_for(Duration::from_secs(1));
    let url = format!("http://127.0.0.1:{port}/");
    let hung = post(&outbound, &url).await.unwrap_err();
    assert_eq!(hung.kind, OutboundFailureKind::Timeout);
    assert_eq!(hung.why, "no answer within 1 seconds");
    drop(listener);
}

#[tokio::test]
async fn a_host_that_hangs_before_anything_is_sent_is_not_reached() {
    let (listener, port) = listener().await;
    let outbound = Outbound::new(local()).waiting_for(Duration::from_secs(1));
    // It takes the connection, and no part of the handshake of TLS.
    let url = format!("https://127.0.0.1:{port}/");
    let hung = post(&outbound, &url).await.unwrap_err();
    assert_eq!(hung.kind, OutboundFailureKind::Unreachable);
    assert_eq!(hung.why, "no answer within 1 seconds");
    drop(listener);
}
