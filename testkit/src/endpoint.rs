//! The endpoint of a provider's webhooks, to which events are delivered once, more often, or not by
//! themselves.

use aws_lc_rs::hmac;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Largest number of deliveries of an event that is not taken.
const TRIES_MAX: u32 = 20;

/// An event that a provider signs.
pub(crate) trait Signed: Send + Sync {
    /// Returns its body.
    fn body(&self) -> &str;

    /// Returns its headers, each with its end of line, with a signature made now.
    fn headers(&self) -> String;
}

/// Returns the seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a provider has a clock of its own"
)]
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Returns the HMAC-SHA256 of a message in small hex digits.
pub(crate) fn sign(secret: &str, message: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut text = String::new();
    for byte in hmac::sign(&key, message.as_bytes()).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Address to which events are sent.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) path: String,
    /// Number of times that each is sent.
    pub(crate) copies: u32,
}

impl Endpoint {
    /// Reads an address such as `http://127.0.0.1:8080/webhooks/stripe`.
    pub(crate) fn parse(url: &str, copies: u32) -> Option<Endpoint> {
        let rest = url.strip_prefix("http://")?;
        let (address, path) = rest.split_once('/')?;
        Some(Endpoint {
            address: address.to_owned(),
            path: format!("/{path}"),
            copies,
        })
    }

    /// Sends an event so many times, each until it is taken.
    pub(crate) fn deliver<E: Signed + 'static>(&self, event: E, copies: u32) {
        let event = Arc::new(event);
        for _ in 0..copies {
            let (endpoint, event) = (self.clone(), event.clone());
            tokio::spawn(async move {
                for tries in 0..TRIES_MAX {
                    if endpoint.send(&*event).await.unwrap_or(0) / 100 == 2 {
                        return;
                    }
                    sleep(Duration::from_millis(100 << tries.min(5))).await;
                }
            });
        }
    }

    async fn send(&self, event: &impl Signed) -> std::io::Result<u16> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{}\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.path,
            self.address,
            event.headers(),
            event.body().len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(event.body().as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let status = answer
            .get(9..12)
            .and_then(|status| str::from_utf8(status).ok());
        Ok(status.and_then(|status| status.parse().ok()).unwrap_or(0))
    }
}
