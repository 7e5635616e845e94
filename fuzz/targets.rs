//! What each fuzz target does with its bytes. The fuzzer and the test that replays the corpus share
//! this file.

use axum::http::{HeaderMap, HeaderValue, header};
use checkout::inventory::layout::{SEATS_MAX, parse};
use shared::http::client_address::client_address;
use shared::http::credentials::{bearer, cookie};
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use shared::token::{Signer, SigningAlgorithm, Verifier};
use std::io::{Cursor, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use waiting_room::line::Life;
use waiting_room::pass::{Pass, Passes};

const SECRET: &[u8] = b"fuzz-0123456789abcdef0123456789abcdef";
const ISSUER: &str = "https://fuzz.example";
const NOW: Time = Time(1_800_000_000_000);
/// As `waiting-room/src/push.rs` has it.
const MESSAGE_BYTES_MAX: usize = 4096;

/// A target, by its name.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&[u8]),
}

/// All targets.
pub(crate) const TARGETS: [Target; 6] = [
    Target {
        name: "cookie",
        run: cookies,
    },
    Target {
        name: "address",
        run: address,
    },
    Target {
        name: "pass",
        run: pass,
    },
    Target {
        name: "token",
        run: token,
    },
    Target {
        name: "plan",
        run: plan,
    },
    Target {
        name: "frame",
        run: frame,
    },
];

fn event() -> EventId {
    EventId::parse("arena").expect("the id is sound")
}

/// Cookies of other software, in front of one of ours, and an `Authorization`: ours is found.
pub(crate) fn cookies(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        headers.append(header::AUTHORIZATION, value.clone());
        headers.append(header::COOKIE, value);
    }
    if let Ok(value) = HeaderValue::from_bytes(&[bytes, b"; ours=1"].concat()) {
        headers.append(header::COOKIE, value);
    }
    headers.append(header::COOKIE, HeaderValue::from_static("ours=2"));
    assert!(cookie(&headers, "ours").is_some());
    let _ = bearer(&headers);
}

/// Entries that a client forged, in front of the proxy's: the proxy's counts.
pub(crate) fn address(bytes: &[u8]) {
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let with = |value: &[u8]| {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append("x-forwarded-for", value);
        }
        headers
    };
    let _ = client_address(peer, &with(bytes), 1);
    let headers = with(&[bytes, b", 203.0.113.7"].concat());
    if !headers.is_empty() {
        let proxys: IpAddr = [203, 0, 113, 7].into();
        assert_eq!(client_address(peer, &headers, 1), Some(proxys));
    }
}

/// A pass: one that is read is written the same way, and the other way round.
pub(crate) fn pass(bytes: &[u8]) {
    static PASSES: LazyLock<Passes> = LazyLock::new(|| Passes::new(SECRET));
    if let Some(pass) = written(bytes) {
        let text = PASSES.write(&event(), &pass);
        assert_eq!(PASSES.read(&event(), &text), Some(pass));
    }
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Some(pass) = PASSES.read(&event(), text) {
        // Passes of earlier versions name no life, and are not written any more.
        let is_earlier = pass.life == Life::default();
        assert!(is_earlier || PASSES.write(&event(), &pass) == text);
    }
}

/// Makes a pass of bytes.
fn written(bytes: &[u8]) -> Option<Pass> {
    let (visitor, rest) = bytes.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (creation, rest) = rest.split_first_chunk()?;
    let (store, rest) = rest.split_first_chunk()?;
    Some(Pass {
        visitor: VisitorId(u128::from_be_bytes(*visitor)),
        number: u64::from_be_bytes(*number),
        is_provisional: rest.first().is_some_and(|byte| byte % 2 == 1),
        life: Life {
            creation: u64::from_be_bytes(*creation),
            store: u64::from_be_bytes(*store),
        },
    })
}

/// An admission token, and a JWK set of a waiting room elsewhere.
pub(crate) fn token(bytes: &[u8]) {
    static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
        let derived = SigningAlgorithm::EdDsa.derive_pem(SECRET);
        let signer = derived.and_then(|pem| Signer::from_pem(&pem));
        let signer = signer.expect("a key can be derived");
        Verifier::from_jwks(&signer.jwks(), ISSUER).expect("it is published")
    });
    if let Ok(keys) = serde_json::from_slice(bytes) {
        let _ = Verifier::from_jwks(&keys, ISSUER);
    }
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(claims) = VERIFIER.verify(text, &event(), NOW) {
        assert_eq!(claims.aud, "arena");
    }
}

/// A seating plan: each seat stands in one row, and is found by its id.
pub(crate) fn plan(bytes: &[u8]) {
    let Ok(layout) = parse(bytes) else { return };
    let count = layout.seats.len();
    assert!((1..=SEATS_MAX).contains(&count));
    assert_eq!(
        layout
            .rows
            .iter()
            .map(ExactSizeIterator::len)
            .sum::<usize>(),
        count
    );
    for (at, seat) in layout.seats.iter().enumerate() {
        assert_eq!(layout.find(&seat.id), Some(at as u32));
        assert!(layout.rows[seat.row as usize].contains(&(at as u32)));
        assert!((seat.category as usize) < layout.categories.len());
    }
    let shown = layout.to_json(1, checkout::inventory::Currency::EUR);
    assert_eq!(shown["capacity"], count);
    assert!(shown["size"]["width"].is_number() && shown["size"]["height"].is_number());
}

/// What a client sends on a WebSocket: it ends, with messages within the limit.
pub(crate) fn frame(bytes: &[u8]) {
    let config = WebSocketConfig::default()
        .read_buffer_size(256)
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .max_message_size(Some(MESSAGE_BYTES_MAX));
    let client = Client(Cursor::new(bytes));
    let mut socket = WebSocket::from_raw_socket(client, Role::Server, Some(config));
    while let Ok(message) = socket.read() {
        assert!(message.len() <= MESSAGE_BYTES_MAX);
    }
}

/// A client that sends these bytes and hears nothing.
struct Client<'a>(Cursor<&'a [u8]>);

impl Read for Client<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
