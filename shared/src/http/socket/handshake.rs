//! Handshakes of WebSockets.

use super::Socket;
use super::frames::WatchedStream;
use crate::context::AppContext;
use crate::http::problem::Problem;
use crate::http::proxy_check::check_lost_upgrade;
use axum::body::Body;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// A valid request for a WebSocket.
pub struct Handshake {
    on_upgrade: OnUpgrade,
    accept: HeaderValue,
}

/// Buffers of a socket and limits on what its client sends.
#[derive(Clone, Copy, Debug)]
pub struct SocketLimits {
    /// Bytes that are read at a time, the most that an idle socket keeps for it.
    pub read_bytes: usize,
    /// Most bytes that wait to be sent.
    pub write_bytes_max: usize,
    /// Largest message of the client in bytes.
    pub message_bytes_max: usize,
    /// Frames that the client may send at once; one more each second.
    pub frames_max: u32,
}

impl Handshake {
    /// Answers the handshake. Once the connection is a WebSocket, `serve` has it to the end.
    pub fn accept<Serving>(
        self,
        limits: SocketLimits,
        serve: impl FnOnce(Socket) -> Serving + Send + 'static,
    ) -> Response
    where
        Serving: Future<Output = ()> + Send + 'static,
    {
        let config = WebSocketConfig::default()
            .read_buffer_size(limits.read_bytes)
            .write_buffer_size(0)
            .max_write_buffer_size(limits.write_bytes_max)
            .max_frame_size(Some(limits.message_bytes_max))
            .max_message_size(Some(limits.message_bytes_max));
        let on_upgrade = self.on_upgrade;
        tokio::spawn(async move {
            let Ok(upgraded) = on_upgrade.await else {
                return;
            };
            let stream = WatchedStream::new(TokioIo::new(upgraded), limits.frames_max);
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config));
            serve(socket.await).await;
        });
        let head = [
            (header::CONNECTION, HeaderValue::from_static("upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_ACCEPT, self.accept),
        ];
        (StatusCode::SWITCHING_PROTOCOLS, head, Body::empty()).into_response()
    }
}

/// Reason for which a request opens no WebSocket.
pub struct NoHandshake {
    status: StatusCode,
    detail: &'static str,
    /// Header that says what would be understood.
    wanted: Option<(HeaderName, &'static str)>,
}

impl IntoResponse for NoHandshake {
    fn into_response(self) -> Response {
        let problem = Problem::of_status(self.status).detail(self.detail);
        let mut response = problem.into_response();
        if let Some((name, value)) = self.wanted {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl<S> FromRequestParts<S> for Handshake
where
    Arc<AppContext>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = NoHandshake;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, NoHandshake> {
        let refused = |status, detail| NoHandshake {
            status,
            detail,
            wanted: None,
        };
        let headers = &parts.headers;
        if parts.method != Method::GET {
            let detail = "a WebSocket is asked for by GET";
            return Err(refused(StatusCode::METHOD_NOT_ALLOWED, detail));
        }
        let is_http_1_1 = parts.version == Version::HTTP_11;
        let is_upgrade = has_word(headers, &header::CONNECTION, "upgrade")
            && has_word(headers, &header::UPGRADE, "websocket");
        if !is_http_1_1 || !is_upgrade {
            if is_http_1_1 {
                let site: Arc<AppContext> = FromRef::from_ref(state);
                check_lost_upgrade(&site, headers);
            }
            return Err(NoHandshake {
                wanted: is_http_1_1.then_some((header::UPGRADE, "websocket")),
                ..refused(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket")
            });
        }
        let version = single(headers, &header::SEC_WEBSOCKET_VERSION);
        if version.is_none_or(|version| version != "13") {
            return Err(NoHandshake {
                wanted: Some((header::SEC_WEBSOCKET_VERSION, "13")),
                ..refused(StatusCode::UPGRADE_REQUIRED, "the version must be 13")
            });
        }
        let key = single(headers, &header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes()));
        let Some(key) = key.map(|key| derive_accept_key(key.as_bytes())) else {
            let detail = "Sec-WebSocket-Key must be 16 bytes in base64";
            return Err(refused(StatusCode::BAD_REQUEST, detail));
        };
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        let detail = "this connection cannot become a WebSocket";
        Ok(Handshake {
            on_upgrade: on_upgrade.ok_or(refused(StatusCode::UPGRADE_REQUIRED, detail))?,
            accept: HeaderValue::try_from(key).expect("base64 is visible ASCII"),
        })
    }
}

/// Returns the value of a header that is there exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Returns whether a header lists a word.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

/// Returns whether this is 16 bytes in base64, which end with two characters of padding.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.strip_suffix(b"==")
        .is_some_and(|digits| digits.len() == 22 && digits.iter().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for key in [
            &b""[..],
            b"abc",
            b"==",
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZQA=",
            b"dGhlIHNhbXBsZSBub25j====",
            b"dGhlIHNhbXBsZSBub25jZ\xe9==",
        ] {
            assert!(!is_key(key), "{key:?}");
        }
    }
}
