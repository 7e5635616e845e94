//! Webhooks: signed as Stripe signs them, and delivered once, more often, or not by themselves.

use aws_lc_rs::hmac;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Signing secret of the stand-in's webhooks.
pub const WEBHOOK_SECRET: &str = "whsec_stand_in_00000000";
/// Largest number of deliveries of an event that is not taken.
const TRIES_MAX: u32 = 20;

/// An event, as it is sent.
#[derive(Clone, Debug)]
pub struct WebhookEvent {
    /// Its type, such as `payment_intent.succeeded`.
    pub kind: String,
    /// Its body.
    pub body: String,
}

/// Returns the seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a provider has a clock of its own"
)]
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

impl WebhookEvent {
    /// Returns the header `Stripe-Signature` of this event, sent now.
    pub fn signature(&self) -> String {
        self.signature_at(now())
    }

    /// Returns the header of this event, sent at this time in seconds.
    pub fn signature_at(&self, at: u64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, WEBHOOK_SECRET.as_bytes());
        let mac = hmac::sign(&key, format!("{at}.{}", self.body).as_bytes());
        let mut header = format!("t={at},v1=");
        for byte in mac.as_ref() {
            let _ = write!(header, "{byte:02x}");
        }
        header
    }
}

/// Address to which events are sent.
#[derive(Clone)]
pub(super) struct Endpoint {
    /// `host:port`.
    pub(super) address: String,
    pub(super) path: String,
    /// Number of times that each is sent.
    pub(super) copies: u32,
}

impl Endpoint {
    /// Reads an address such as `http://127.0.0.1:8080/webhooks/stripe`.
    pub(super) fn parse(url: &str, copies: u32) -> Option<Endpoint> {
        let rest = url.strip_prefix("http://")?;
        let (address, path) = rest.split_once('/')?;
        Some(Endpoint {
            address: address.to_owned(),
            path: format!("/{path}"),
            copies,
        })
    }

    /// Sends events, each until it is taken.
    pub(super) fn deliver(&self, events: Vec<WebhookEvent>) {
        for event in events {
            for _ in 0..self.copies {
                let (endpoint, event) = (self.clone(), event.clone());
                tokio::spawn(async move {
                    for tries in 0..TRIES_MAX {
                        if endpoint.send(&event).await.unwrap_or(0) / 100 == 2 {
                            return;
                        }
                        sleep(Duration::from_millis(100 << tries.min(5))).await;
                    }
                });
            }
        }
    }

    async fn send(&self, event: &WebhookEvent) -> std::io::Result<u16> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nStripe-Signature: {}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.path,
            self.address,
            event.signature(),
            event.body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(event.body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let status = answer
            .get(9..12)
            .and_then(|status| str::from_utf8(status).ok());
        Ok(status.and_then(|status| status.parse().ok()).unwrap_or(0))
    }
}
