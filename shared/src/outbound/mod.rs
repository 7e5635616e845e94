//! Requests to addresses that organisers and fans name, which must not reach what is behind the firewall: to
//! public addresses alone, by a connection to the very address that was checked, without redirects
//! and without proxies from the environment, with a bounded answer and a deadline.

mod address;

pub use address::Networks;

use crate::time::Time;
use crate::tls_client::{client_config, system_roots};
use address::is_public;
use async_trait::async_trait;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

/// Longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 1_000;
/// Longest wait for the head of an answer, from looking up the host on.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for the beginning of its body.
const BODY_PATIENCE: Duration = Duration::from_secs(1);
/// Longest wait for a connection to one of the host's addresses.
const CONNECT: Duration = Duration::from_secs(4);
/// Largest number of a host's addresses that are tried.
const ADDRESSES_MAX: usize = 2;
/// Bytes of an answer's body that are read.
const EXCERPT_BYTES: usize = 1_000;
/// Largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Finds the addresses of hosts.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Returns the addresses of a host.
    ///
    /// # Errors
    /// If there is no such host, or no name server answers.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The resolver of the operating system.
struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host((host, port)).await?.collect())
    }
}

/// Reason for which there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboundFailureKind {
    /// The host has no address to which requests may go.
    Forbidden,
    /// The host is not found, takes no connection, or has no certificate that is trusted: nothing was sent.
    Unreachable,
    /// The connection was lost before an answer was read: the request may have had its effect.
    Lost,
    /// There was no answer in time: the request may have had its effect.
    Timeout,
}

/// A request without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundFailure {
    /// Its kind.
    pub kind: OutboundFailureKind,
    /// Why, in words.
    pub why: String,
}

impl OutboundFailure {
    fn unreachable(why: String) -> OutboundFailure {
        let kind = OutboundFailureKind::Unreachable;
        OutboundFailure { kind, why }
    }
}

/// An answer, whatever its status: redirects are not followed.
#[derive(Clone, Debug)]
pub struct OutboundAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The beginning of its body.
    pub excerpt: String,
}

impl OutboundAnswer {
    /// Returns the time of the header `Retry-After`, which has seconds or a date.
    pub fn retry_after(&self, now: Time) -> Option<Time> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        match text.parse::<u32>() {
            Ok(seconds) => Some(now.plus_seconds(seconds)),
            Err(_) => Time::parse_http_date(text),
        }
    }
}

/// Client of systems that organisers and fans name.
pub struct Outbound {
    resolver: Arc<dyn Resolver>,
    networks: Networks,
    patience: Duration,
    /// Read when they are first needed.
    tls: OnceLock<TlsConnector>,
}

impl Outbound {
    /// Returns a client whose requests may also go to these networks, there without TLS as well.
    pub fn new(networks: Networks) -> Outbound {
        Outbound::with(Arc::new(SystemResolver), networks)
    }

    /// As `new`, with another way to find addresses.
    pub fn with(resolver: Arc<dyn Resolver>, networks: Networks) -> Outbound {
        Outbound {
            resolver,
            networks,
            patience: PATIENCE,
            tls: OnceLock::new(),
        }
    }

    /// Trusts these authorities instead of those of the system.
    pub fn trusting(self, roots: RootCertStore) -> Outbound {
        let tls = OnceLock::from(TlsConnector::from(Arc::new(client_config(roots))));
        Outbound { tls, ..self }
    }

    /// Waits for an answer for another time than `PATIENCE`.
    pub fn waiting_for(self, patience: Duration) -> Outbound {
        Outbound { patience, ..self }
    }

    /// Reads a URL to which requests may be sent, as far as that is known before its host is looked
    /// up.
    ///
    /// # Errors
    /// A sentence for the organiser.
    pub fn check(&self, text: &str) -> Result<Url, String> {
        if text.len() > URL_BYTES_MAX {
            return Err(format!("at most {URL_BYTES_MAX} bytes"));
        }
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let url = is_plain.then(|| Url::parse(text).ok()).flatten();
        let url = url.ok_or("a URL such as https://example.org/hooks")?;
        match url.scheme() {
            "https" => {}
            "http" if !self.networks.is_empty() => {}
            _ => return Err("an https URL".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL without a user name and a password".to_owned());
        }
        if url.fragment().is_some() {
            return Err("a URL without a fragment".to_owned());
        }
        let named = match url.host() {
            Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
            Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
            Some(Host::Domain(_)) => None,
            None => return Err("a URL with a host".to_owned()),
        };
        if named.is_some_and(|address| !self.may_reach(&url, address)) {
            return Err("a host with a public address".to_owned());
        }
        Ok(url)
    }

    /// Posts a body, of JSON unless a header says otherwise, and waits for the head of the answer, and a
    /// second for its body.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post(
        &self,
        url: &Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<OutboundAnswer, OutboundFailure> {
        let mut request = Request::post(&url[Position::BeforePath..Position::AfterQuery])
            .body(Full::new(body))
            .map_err(|error| OutboundFailure::unreachable(error.to_string()))?;
        let host = &url[Position::BeforeHost..Position::AfterPort];
        if let Ok(host) = host.parse() {
            headers.insert(header::HOST, host);
        }
        headers.insert(
            header::CONNECTION,
            header::HeaderValue::from_static("close"),
        );
        let json = header::HeaderValue::from_static("application/json");
        headers.entry(header::CONTENT_TYPE).or_insert(json);
        *request.headers_mut() = headers;
        let mut driver = JoinSet::new();
        let Ok(answer) = timeout(self.patience, self.ask(url, request, &mut driver)).await else {
            let why = format!("no answer within {} seconds", self.patience.as_secs());
            // Nothing was sent before the connection was driven.
            if driver.is_empty() {
                return Err(OutboundFailure::unreachable(why));
            }
            let kind = OutboundFailureKind::Timeout;
            return Err(OutboundFailure { kind, why });
        };
        let (head, mut body) = answer?.into_parts();
        let mut read = Vec::new();
        // The status counts, whatever becomes of the body.
        let _ = timeout(BODY_PATIENCE, read_start(&mut body, &mut read)).await;
        read.truncate(EXCERPT_BYTES);
        Ok(OutboundAnswer {
            status: head.status,
            headers: head.headers,
            excerpt: String::from_utf8_lossy(&read).into_owned(),
        })
    }

    async fn ask(
        &self,
        url: &Url,
        request: Request<Full<Bytes>>,
        driver: &mut JoinSet<()>,
    ) -> Result<Response<Incoming>, OutboundFailure> {
        let stream = self.connect(url).await?;
        if url.scheme() == "http" {
            return send(stream, request, driver).await;
        }
        let host = url.host_str().unwrap_or_default();
        // Addresses of IPv6 stand in brackets.
        let name = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(name);
        let name = name.map_err(|error| OutboundFailure::unreachable(error.to_string()))?;
        let tls = self.tls.get_or_init(|| {
            let config = client_config(system_roots());
            TlsConnector::from(Arc::new(config))
        });
        let stream = tls.connect(name, stream).await;
        let stream =
            stream.map_err(|error| OutboundFailure::unreachable(format!("TLS: {error}")))?;
        send(stream, request, driver).await
    }

    /// Connects to an address of the host that was checked, and to no other.
    async fn connect(&self, url: &Url) -> Result<TcpStream, OutboundFailure> {
        let port = url.port_or_known_default().unwrap_or(443);
        let found = match url.host() {
            Some(Host::Ipv4(v4)) => vec![SocketAddr::new(IpAddr::V4(v4), port)],
            Some(Host::Ipv6(v6)) => vec![SocketAddr::new(IpAddr::V6(v6), port)],
            Some(Host::Domain(host)) => {
                let found = self.resolver.resolve(host, port).await;
                found.map_err(|_| {
                    OutboundFailure::unreachable(format!("the host {host} is not found"))
                })?
            }
            None => Vec::new(),
        };
        let allowed = |found: &SocketAddr| self.may_reach(url, found.ip());
        let mut failure = OutboundFailure {
            kind: OutboundFailureKind::Forbidden,
            why: "the host has no public address".to_owned(),
        };
        for address in found.into_iter().filter(allowed).take(ADDRESSES_MAX) {
            failure = match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => {
                    OutboundFailure::unreachable(format!("the host takes no connection: {error}"))
                }
                Err(_) => OutboundFailure::unreachable("the host takes no connection".to_owned()),
            };
        }
        Err(failure)
    }

    fn may_reach(&self, url: &Url, address: IpAddr) -> bool {
        self.networks.contain(address) || url.scheme() == "https" && is_public(address)
    }
}

/// Sends a request by a connection of its own, which goes on until the driver is dropped.
async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
    driver: &mut JoinSet<()>,
) -> Result<Response<Incoming>, OutboundFailure> {
    let broken = |error: hyper::Error| OutboundFailure {
        kind: OutboundFailureKind::Lost,
        why: format!("the answer cannot be read: {error}"),
    };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    driver.spawn(async move {
        // Its error is that of the request.
        let _ = connection.await;
    });
    sender.send_request(request).await.map_err(broken)
}

async fn read_start(body: &mut Incoming, read: &mut Vec<u8>) {
    while read.len() < EXCERPT_BYTES {
        let Some(Ok(frame)) = body.frame().await else {
            return;
        };
        if let Some(data) = frame.data_ref() {
            let room = EXCERPT_BYTES - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
}

#[cfg(test)]
mod tests;
