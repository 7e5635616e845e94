//! What each fuzz target does with its bytes. The fuzzer and the test that replays the corpus share
//! this file.

use axum::http::{HeaderMap, HeaderValue, header};
use checkout::inventory::layout::{SEATS_MAX, parse};
use shared::http::client_address::client_address;
use shared::http::cookies::cookie;
use shared::http::credentials::bearer;
use shared::http::socket::frames::WatchedStream;
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use shared::token::{Claims, SKEW_SECONDS, Signer, SigningAlgorithm, Verifier};
use std::io::{Cursor, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use waiting_room::line::Life;
use waiting_room::pass::{Pass, Passes};

const SECRET: &[u8] = b"fuzz-0123456789abcdef0123456789abcdef";
const ISSUER: &str = "https://fuzz.example";
const NOW: Time = Time(1_800_000_000_000);
/// As `waiting-room/src/push.rs` has it.
const MESSAGE_BYTES_MAX: usize = 4096;
/// As `shared/src/token/mod.rs` has it.
const TOKEN_BYTES_MAX: usize = 2048;
/// Without the mask.
const FRAME_HEADER_BYTES_MAX: usize = 10;

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

/// An admission token, the claims of one, and a JWK set of a waiting room elsewhere.
pub(crate) fn token(bytes: &[u8]) {
    static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
        let derived = SigningAlgorithm::ALL.map(|algorithm| algorithm.derive_pem(SECRET));
        let derived: Result<Vec<_>, _> = derived.into_iter().collect();
        let signer = derived.and_then(|pems| Signer::from_pem(&pems.concat()));
        signer.expect("keys can be derived")
    });
    static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
        Verifier::from_jwks(&SIGNER.jwks(), ISSUER).expect("the keys are published")
    });
    if let Ok(keys) = serde_json::from_slice(bytes) {
        let _ = Verifier::from_jwks(&keys, ISSUER);
    }
    if let Ok(claims) = serde_json::from_slice::<Claims>(bytes) {
        let token = SIGNER.sign(&claims);
        let verified = VERIFIER.verify(&token, &event(), NOW);
        // The library takes no time before 1970.
        let began = claims.iat.min(claims.nbf) >= 0 && claims.iat.max(claims.nbf) <= NOW.seconds();
        let is_good = claims.iss == ISSUER && claims.aud == "arena" && began;
        if is_good && claims.exp > NOW.seconds() && token.len() <= TOKEN_BYTES_MAX {
            assert_eq!(verified, Ok(claims));
        } else if let Ok(verified) = verified {
            assert_eq!(verified, claims);
            assert_eq!(claims.aud, "arena");
            assert_eq!(claims.iss, ISSUER);
            assert!(claims.exp.saturating_add(SKEW_SECONDS) > NOW.seconds());
        }
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
        assert!(layout.rows[seat.row as usize].contains(&seat.slot));
        assert_eq!(layout.order[seat.slot as usize], at as u32);
        assert!(!layout.label(seat).is_empty());
        assert!((seat.category as usize) < layout.categories.len());
    }
    let charges = checkout::inventory::Charges::default();
    let shown = layout.to_json(1, checkout::inventory::Currency::EUR, &charges);
    assert_eq!(shown["capacity"], count);
    assert!(shown["size"]["width"].is_number() && shown["size"]["height"].is_number());
}

/// What a client sends on a WebSocket: it ends, with messages within the limit.
pub(crate) fn frame(bytes: &[u8]) {
    frames(bytes);
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

/// Lengths of frames, however they are cut: all is read up to the first frame whose length takes
/// more bytes than it needs.
fn frames(bytes: &[u8]) {
    let good = well_formed(bytes);
    for piece in [1, 7, bytes.len().max(1)] {
        let read = watched(bytes, piece);
        assert!(bytes.starts_with(&read));
        assert!(read.len() >= good.len());
        // The header of the frame may have been read before it was complete.
        let ahead = read.len() - good.len();
        let is_at_once = piece >= bytes.len();
        assert!(ahead == 0 || !is_at_once && ahead < FRAME_HEADER_BYTES_MAX);
    }
}

/// Returns what is read of a client's bytes, so many at a time.
fn watched(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut stream = WatchedStream::new(bytes, u32::MAX);
    let mut context = Context::from_waker(Waker::noop());
    let mut read = Vec::new();
    loop {
        let mut space = vec![0; piece];
        let mut buffer = ReadBuf::new(&mut space);
        let polled = Pin::new(&mut stream).poll_read(&mut context, &mut buffer);
        if !matches!(polled, Poll::Ready(Ok(()))) || buffer.filled().is_empty() {
            return read;
        }
        read.extend_from_slice(buffer.filled());
    }
}

/// Returns the bytes before the first frame with such a length, read the simple way.
fn well_formed(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    loop {
        let good = &bytes[..bytes.len() - rest.len()];
        let [_, second, more @ ..] = rest else {
            return bytes;
        };
        let (length, least, more) = match (second & 0x7f, more) {
            (126, [high, low, more @ ..]) => (u16::from_be_bytes([*high, *low]).into(), 126, more),
            (127, [a, b, c, d, e, f, g, h, more @ ..]) => (
                u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
                1 << 16,
                more,
            ),
            (126 | 127, _) => return bytes,
            (short, more) => (u64::from(short), 0, more),
        };
        if length < least {
            return good;
        }
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let end = usize::try_from(length.saturating_add(mask)).unwrap_or(usize::MAX);
        let Some(next) = more.get(end..) else {
            return bytes;
        };
        rest = next;
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
