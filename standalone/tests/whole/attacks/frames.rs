//! Frames of WebSockets, byte by byte: how sockets end, what breaks the protocol, floods.

use crate::secure::PATIENCE;
use crate::stage::Stage;
use crate::stage::word;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const HEADS: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

/// A socket of which a test sends every byte itself.
struct RawSocket(TcpStream);

impl RawSocket {
    /// Asks for a socket with these headers; returns the head of the answer.
    async fn ask(stage: &Stage, path: &str, bearer: &str, heads: &str) -> (RawSocket, String) {
        let host = stage.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {bearer}\r\n{heads}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        (RawSocket(stream), String::from_utf8(head).unwrap())
    }

    async fn open(stage: &Stage, path: &str, bearer: &str) -> RawSocket {
        let heads = format!("{HEADS}{VERSION}Sec-WebSocket-Key: {KEY}\r\n");
        let (socket, head) = RawSocket::ask(stage, path, bearer, &heads).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let accept = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
        assert!(head.to_ascii_lowercase().contains(accept), "{head}");
        socket
    }

    /// Returns the code with which the server closes, and checks that it then closes the
    /// connection.
    async fn close_code(&mut self) -> Option<u16> {
        timeout(PATIENCE, async {
            let mut code = None;
            while let Ok(first) = self.0.read_u8().await {
                let length = match self.0.read_u8().await.unwrap() {
                    126 => usize::from(self.0.read_u16().await.unwrap()),
                    127 => panic!("that much is never sent"),
                    short => usize::from(short),
                };
                let mut payload = vec![0; length];
                self.0.read_exact(&mut payload).await.unwrap();
                if first == 0x88 {
                    code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                }
            }
            code
        })
        .await
        .expect("the server should close it")
    }
}

/// A masked frame; the mask is zero, so that the payload is readable.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut bytes = vec![first];
    if length < 126 {
        bytes.push(0x80 | length as u8);
    } else {
        bytes.extend([0xfe, (length >> 8) as u8, length as u8]);
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// The head of a masked frame that says it has this length.
fn head_of(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()
}

/// A message of a client, and the code with which the server closes.
fn cases() -> Vec<(&'static str, Vec<u8>, u16)> {
    let many = |first: u8| frame(first, b"").repeat(150);
    vec![
        ("a close", frame(0x88, &1000u16.to_be_bytes()), 1000),
        ("a close with a reason", frame(0x88, b"\x03\xe9bye"), 1001),
        ("a close with a code of no one", frame(0x88, &[0, 5]), 1002),
        ("a close of one byte", frame(0x88, b"x"), 1002),
        ("no mask", vec![0x81, 1, b'x'], 1002),
        ("the first reserved bit", frame(0xc1, b"x"), 1002),
        ("the second reserved bit", frame(0xa1, b"x"), 1002),
        ("the third reserved bit", frame(0x91, b"x"), 1002),
        ("an unknown data opcode", frame(0x83, b"x"), 1002),
        ("an unknown control opcode", frame(0x8b, b"x"), 1002),
        ("a ping in two parts", frame(0x09, b"x"), 1002),
        ("a long ping", frame(0x89, &[0; 126]), 1002),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        (
            "a length with a byte too many",
            vec![0x81, 0xfe, 0, 1, 0, 0, 0, 0, b'x'],
            1002,
        ),
        (
            "a text amid another",
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
            1002,
        ),
        ("no UTF-8", frame(0x81, b"\xff"), 1007),
        ("a surrogate", frame(0x81, b"\xed\xa0\x80"), 1007),
        ("a long message", frame(0x82, &[0; 4097]), 1009),
        (
            "parts that are long together",
            [frame(0x01, &[b'x'; 3000]), frame(0x80, &[b'x'; 3000])].concat(),
            1009,
        ),
        ("a length of 2^31", head_of(0x81, 1 << 31), 1009),
        ("a length of 2^63", head_of(0x81, 1 << 63), 1009),
        ("a length of 2^64 - 1", head_of(0x82, u64::MAX), 1009),
        ("texts", many(0x81), 1008),
        ("pongs", many(0x8a), 1008),
        ("pings", many(0x89), 1008),
        (
            "empty fragments",
            [frame(0x01, b""), many(0x00)].concat(),
            1008,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sockets_say_what_was_wrong_with_frames_and_no_other_socket_ends() {
    let stage = Stage::open().await;
    stage.event("frames", json!({"paused": true})).await;
    stage.event("hall", json!({})).await;
    let session = stage.session("hall").await;
    let mut witness = RawSocket::open(&stage, "/api/v1/events/hall/seats/ws", &session).await;
    for (what, bytes, code) in cases() {
        // A place of its own, as a dead socket may still count for a moment.
        let pass = word(&stage.client.join("frames").await.unwrap()["pass"]);
        for (path, bearer) in [
            ("/api/v1/events/frames/line/ws", &pass),
            ("/api/v1/events/hall/seats/ws", &session),
        ] {
            let mut socket = RawSocket::open(&stage, path, bearer).await;
            // The server may have closed half way through a flood.
            let _ = socket.0.write_all(&bytes).await;
            assert_eq!(socket.close_code().await, Some(code), "{what} at {path}");
        }
    }
    let wish = json!({"seats": ["st-A-1"]});
    let hold = stage.hold("hall", &session, wish).await;
    hold.ok().unwrap();
    let mut heard = Vec::new();
    let listening = async {
        while !String::from_utf8_lossy(&heard).contains("st-A-1") {
            heard.push(witness.0.read_u8().await.unwrap());
        }
    };
    timeout(PATIENCE, listening).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_frames_at_once_and_whole_messages_are_no_flood() {
    let stage = Stage::open().await;
    stage.event("calm", json!({"paused": true})).await;
    let pass = word(&stage.client.join("calm").await.unwrap()["pass"]);
    let mut socket = RawSocket::open(&stage, "/api/v1/events/calm/line/ws", &pass).await;
    let mut bytes = frame(0x8a, b"").repeat(90);
    bytes.extend([frame(0x01, b"\xe2\x82"), frame(0x80, b"\xac")].concat());
    bytes.extend(frame(0x82, &[0; 4096]));
    bytes.extend(frame(0x88, &1000u16.to_be_bytes()));
    socket.0.write_all(&bytes).await.unwrap();
    assert_eq!(socket.close_code().await, Some(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_handshake_that_is_one_opens_a_socket() {
    let stage = Stage::open().await;
    stage.event("hands", json!({"paused": true})).await;
    let pass = word(&stage.client.join("hands").await.unwrap()["pass"]);
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    for (heads, status) in [
        (format!("{HEADS}{VERSION}Sec-WebSocket-Key: abc\r\n"), "400"),
        (format!("{HEADS}{VERSION}Sec-WebSocket-Key: \r\n"), "400"),
        (format!("{HEADS}{VERSION}"), "400"),
        (format!("{HEADS}{VERSION}{key}{key}"), "400"),
        (format!("{HEADS}Sec-WebSocket-Version: 8\r\n{key}"), "426"),
        (format!("{HEADS}{key}"), "426"),
        (format!("{VERSION}{key}"), "426"),
        (format!("Connection: upgrade\r\n{VERSION}{key}"), "426"),
    ] {
        let path = "/api/v1/events/hands/line/ws";
        let (_, head) = RawSocket::ask(&stage, path, &pass, &heads).await;
        assert_eq!(head.split(' ').nth(1), Some(status), "{heads}{head}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("application/problem+json"), "{head}");
        if status == "426" {
            assert!(head.contains("\r\nupgrade: websocket\r\n") || head.contains("version: 13"));
        }
    }
}
