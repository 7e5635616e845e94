//! Client of the public API: HTTP with kept-alive connections, and the WebSocket of a place.

use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_with_config};

/// Longest time for an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Largest number of times that a request is sent again because the server was overloaded.
const REPEATS_MAX: u32 = 8;

/// A socket of a fan.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Reason of a failure, as a sentence.
pub type Failed = String;

/// A server's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body; null if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// Returns the body if the status is a success.
    ///
    /// # Errors
    /// The status and the body.
    pub fn ok(self) -> Result<Value, Failed> {
        if self.status.is_success() {
            Ok(self.body)
        } else {
            Err(format!("{}: {}", self.status, self.body))
        }
    }
}

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    base: String,
    /// Value of X-Forwarded-For.
    forwarded_for: Option<String>,
}

impl Client {
    /// Creates a client of the server at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str) -> Client {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_max_idle_per_host(4096)
            .build(connector);
        Client {
            pool,
            base: base.trim_end_matches('/').to_owned(),
            forwarded_for: None,
        }
    }

    /// Returns a client with the same connections whose requests come from this address, to a
    /// server that trusts this machine as a proxy.
    pub fn forwarded_for(&self, address: IpAddr) -> Client {
        Client {
            forwarded_for: Some(address.to_string()),
            ..self.clone()
        }
    }

    /// Sends one request as given: method, path, headers, body.
    ///
    /// # Errors
    /// Fails if there is no answer.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        heads: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Response<Bytes>, Failed> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in heads {
            request = request.header(*name, *value);
        }
        if let Some(address) = &self.forwarded_for {
            request = request.header("x-forwarded-for", address);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let asking = async {
            let answer = self
                .pool
                .request(request)
                .await
                .map_err(|error| format!("{path}: {error:?}"))?;
            let (head, body) = answer.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|error| error.to_string())?
                .to_bytes();
            Ok(Response::from_parts(head, body))
        };
        tokio::time::timeout(ANSWER, asking)
            .await
            .map_err(|_| format!("{path}: no answer"))?
    }

    /// Sends one JSON request, and sends it again when an overloaded server says so, as pages do.
    ///
    /// # Errors
    /// Fails if there is no answer.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        body: Option<Value>,
    ) -> Result<Answer, Failed> {
        let authorization = format!("Bearer {bearer}");
        let mut heads = Vec::new();
        if !bearer.is_empty() {
            heads.push(("authorization", authorization.as_str()));
        }
        if body.is_some() {
            heads.push(("content-type", "application/json"));
        }
        let text = body.map(|body| body.to_string()).unwrap_or_default();
        let mut repeats = 0;
        loop {
            let body = text.clone().into_bytes();
            let answer = self.raw(method.clone(), path, &heads, body).await?;
            let status = answer.status();
            let body: Value = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
            let is_overloaded = body["type"] == "/problems/overloaded";
            if !is_overloaded || repeats == REPEATS_MAX {
                return Ok(Answer { status, body });
            }
            repeats += 1;
            tokio::time::sleep(retry_after(&answer)).await;
        }
    }

    /// Sends a GET request.
    ///
    /// # Errors
    /// Fails if there is no answer.
    pub async fn get(&self, path: &str, bearer: &str) -> Result<Answer, Failed> {
        self.call(Method::GET, path, bearer, None).await
    }

    /// Sends a POST request with JSON.
    ///
    /// # Errors
    /// Fails if there is no answer.
    pub async fn post(&self, path: &str, bearer: &str, body: Value) -> Result<Answer, Failed> {
        self.call(Method::POST, path, bearer, Some(body)).await
    }

    /// Sends a DELETE request.
    ///
    /// # Errors
    /// Fails if there is no answer.
    pub async fn delete(&self, path: &str, bearer: &str) -> Result<Answer, Failed> {
        self.call(Method::DELETE, path, bearer, None).await
    }

    /// Creates an event, and its seating if given.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn create_event(
        &self,
        key: &str,
        event: &Value,
        plan: Option<Value>,
    ) -> Result<(), Failed> {
        self.post("/api/v1/organiser/events", key, event.clone())
            .await?
            .ok()?;
        let id = event["id"].as_str().unwrap_or_default();
        if let Some(plan) = plan {
            let path = format!("/api/v1/organiser/events/{id}/seating");
            self.call(Method::PUT, &path, key, Some(plan)).await?.ok()?;
        }
        Ok(())
    }

    /// Joins the line and returns the place with its pass.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn join(&self, event: &str) -> Result<Value, Failed> {
        self.post(&format!("/api/v1/events/{event}/line"), "", json!({}))
            .await?
            .ok()
    }

    /// Opens the socket of a place.
    ///
    /// # Errors
    /// Fails if the handshake fails.
    pub async fn watch(&self, event: &str, pass: &str) -> Result<Socket, Failed> {
        self.open(&format!("/api/v1/events/{event}/line/ws"), pass)
            .await
    }

    /// Opens the socket of a seat map.
    ///
    /// # Errors
    /// Fails if the handshake fails.
    pub async fn watch_seats(&self, event: &str, session: &str) -> Result<Socket, Failed> {
        self.open(&format!("/api/v1/events/{event}/seats/ws"), session)
            .await
    }

    async fn open(&self, path: &str, bearer: &str) -> Result<Socket, Failed> {
        let host = self.base.trim_start_matches("http://");
        let mut request = format!("ws://{host}{path}")
            .into_client_request()
            .map_err(|error| error.to_string())?;
        let bearer = format!("Bearer {bearer}")
            .parse()
            .map_err(|_| "a bearer is ASCII")?;
        request.headers_mut().insert("authorization", bearer);
        if let Some(address) = &self.forwarded_for {
            let address = address.parse().map_err(|_| "an address is ASCII")?;
            request.headers_mut().insert("x-forwarded-for", address);
        }
        let stream = TcpStream::connect(host)
            .await
            .map_err(|error| format!("{host}: {error}"))?;
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = 512;
        config.write_buffer_size = 0;
        config.max_write_buffer_size = 16 * 1024;
        let opening =
            client_async_with_config(request, MaybeTlsStream::Plain(stream), Some(config));
        let opened = tokio::time::timeout(ANSWER, opening)
            .await
            .map_err(|_| "no handshake")?;
        opened
            .map(|(socket, _)| socket)
            .map_err(|error| error.to_string())
    }
}

/// Returns how long to wait before a request is sent again.
fn retry_after(answer: &Response<Bytes>) -> Duration {
    let header = answer.headers().get(header::RETRY_AFTER);
    let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

/// Returns the next JSON message of a socket, or `None` once it is closed.
pub async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        let message = socket.next().await?.ok()?;
        if let tokio_tungstenite::tungstenite::Message::Text(text) = message {
            return serde_json::from_str(&text).ok();
        }
    }
}
