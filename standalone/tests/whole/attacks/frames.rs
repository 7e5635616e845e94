//! WebSocket frames that no sound client sends: the connection ends, and others go on.

use crate::secure::PATIENCE;
use crate::stage::{Stage, word};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const MASK: [u8; 4] = [1, 2, 3, 4];

/// Returns a masked frame: its first byte, and the payload.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(0x80 | length as u8),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Returns the head of a masked frame that says it has this length.
fn head_of(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0x80 | 127][..], &length.to_be_bytes(), &MASK].concat()
}

fn attacks() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("not masked", b"\x81\x02{}".to_vec()),
        ("the first reserved bit", frame(0xc1, b"{}")),
        ("the second reserved bit", frame(0xa1, b"{}")),
        ("the third reserved bit", frame(0x91, b"{}")),
        ("an unknown data opcode", frame(0x83, b"{}")),
        ("an unknown control opcode", frame(0x8b, b"{}")),
        ("a ping that is too long", frame(0x89, &[0; 126])),
        ("a ping in parts", frame(0x09, b"")),
        ("text that is no UTF-8", frame(0x81, b"\xff\xfe")),
        ("text that is a surrogate", frame(0x81, b"\xed\xa0\x80")),
        ("a part of nothing", frame(0x80, b"x")),
        (
            "text amid another",
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
        ),
        ("a message that is too long", frame(0x81, &[b'x'; 5000])),
        (
            "parts that are too long together",
            [frame(0x01, &[b'x'; 3000]), frame(0x80, &[b'x'; 3000])].concat(),
        ),
        ("a length of 2^31", head_of(0x81, 1 << 31)),
        ("a length of 2^63", head_of(0x81, 1 << 63)),
        ("a length of 2^64 - 1", head_of(0x82, u64::MAX)),
        ("a close of one byte", frame(0x88, b"x")),
        (
            "a close of no such code",
            frame(0x88, &1005u16.to_be_bytes()),
        ),
    ]
}

/// Opens a socket by hand.
async fn open(stage: &Stage, path: &str, bearer: &str) -> TcpStream {
    let address = stage.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\
         Authorization: Bearer {bearer}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{path}");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_breaks_the_protocol_ends_its_socket_and_no_other() {
    let stage = Stage::open().await;
    stage.event("frames", json!({})).await;
    let (pass, _) = stage.admit("frames").await;
    let session = stage.session("frames").await;
    let line = ("/api/v1/events/frames/line/ws", pass);
    let seats = ("/api/v1/events/frames/seats/ws", session.clone());
    let mut witness = open(&stage, seats.0, &session).await;
    for (path, bearer) in [line, seats] {
        for (what, bytes) in attacks() {
            // One after the other: a newer socket of a place ends the one before it.
            let mut stream = open(&stage, path, &bearer).await;
            stream.write_all(&bytes).await.unwrap();
            let mut rest = Vec::new();
            let reading = stream.read_to_end(&mut rest);
            let ended = tokio::time::timeout(PATIENCE, reading).await;
            assert!(ended.is_ok(), "{what}: the socket stays open");
        }
    }
    // The witness still hears of the seats.
    let hold = stage
        .hold("frames", &session, json!({"seats": ["st-A-1"]}))
        .await;
    let hold = word(&hold.ok().unwrap()["id"]);
    assert!(hold.starts_with("hold_"));
    let mut heard = Vec::new();
    let listening = async {
        while !String::from_utf8_lossy(&heard).contains("st-A-1") {
            heard.push(witness.read_u8().await.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, listening).await.unwrap();
}
