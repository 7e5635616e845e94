//! Three nodes on one Redis, a site that echoes requests, and five proxies before it.

use super::start::{Ports, start};
use crate::site::{KEY, Node, word};
use axum::Router;
use axum::body::Bytes as Body;
use axum::http::{HeaderMap, Method as Asked, Uri};
use axum::routing::any;
use client::Client;
use hyper::{Method, Response, StatusCode, body::Bytes};
use serde_json::{Value, json};
use shared::http::listener::{Caps, serve};
use std::time::{Duration, Instant};
use testkit::{Redis, Server, free_port};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;

/// What browsers see; the tests ask each proxy for it.
pub(super) const SITE: &str = "http://shop.test";

/// A proxy with the gate before the site.
pub(super) struct Proxy {
    /// Name of the proxy, and of its event.
    pub(super) name: &'static str,
    pub(super) client: Client,
    pub(super) address: String,
    /// Speaks with a node about the event.
    fairline: Client,
    process: Server,
}

pub(super) struct Stand {
    pub(super) redis: Redis,
    pub(super) rooms: Vec<Node>,
    pub(super) proxies: Vec<Proxy>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Stand {
    pub(super) async fn open() -> Stand {
        let redis = Redis::start();
        let folder = tempfile::tempdir().unwrap();
        let settings = [
            ("FAIRLINE_PUBLIC_URL", SITE.to_owned()),
            ("FAIRLINE_LINE", redis.url()),
        ];
        let rooms: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let node = |port: &u16| Node::new("waiting-room", folder.path(), *port, &settings);
        let nodes: Vec<Node> = rooms.iter().map(node).collect();
        let stop = CancellationToken::new();
        let site = echo(stop.clone()).await;
        for node in &nodes {
            node.ready().await;
        }
        let mut proxies = Vec::new();
        for name in ["nginx", "caddy", "traefik", "envoy", "haproxy"] {
            let ports = Ports {
                front: free_port(),
                inner: free_port(),
                site,
                rooms: rooms.clone(),
            };
            let folder = folder.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            let address = format!("127.0.0.1:{}", ports.front);
            proxies.push(Proxy {
                name,
                client: Client::new(&format!("http://{address}")),
                address,
                fairline: nodes[0].client.clone(),
                process: start(name, &folder, &ports),
            });
        }
        for proxy in &proxies {
            proxy.begin().await;
        }
        Stand {
            redis,
            rooms: nodes,
            proxies,
            stop,
            _folder: folder,
        }
    }
}

impl Proxy {
    /// Creates the event, and waits until the proxy and the nodes know it.
    async fn begin(&self) {
        let admission = json!({"rate_per_minute": 60_000, "batch_seconds": 1, "max_active": 100});
        let event = json!({"id": self.name, "name": self.name, "admission": admission, "checkout_url": "/"});
        let made = self.fairline.post("/api/v1/organiser/events", KEY, event);
        made.await.unwrap().ok().unwrap();
        let page = format!("/.fairline/e/{}", self.name);
        let from = Instant::now();
        loop {
            let answer = self.client.raw(Method::GET, &page, &[], Vec::new()).await;
            if answer.as_ref().is_ok_and(|it| it.status() == 200) {
                return;
            }
            let log = std::fs::read_to_string(self.process.folder.join("log"));
            assert!(
                from.elapsed() < Duration::from_secs(20),
                "{answer:?} {log:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        heads: &[(&str, &str)],
    ) -> Response<Bytes> {
        let answer = self.client.raw(method, path, heads, Vec::new()).await;
        answer.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    pub(super) async fn get(&self, path: &str, heads: &[(&str, &str)]) -> Response<Bytes> {
        self.ask(Method::GET, path, heads).await
    }

    /// Asks until so many answers have this status that all nodes are heard of.
    pub(super) async fn until(&self, heads: &[(&str, &str)], wanted: StatusCode) {
        let from = Instant::now();
        let mut in_a_row = 0;
        while in_a_row < 25 {
            let answer = self.get("/", heads).await;
            in_a_row = if answer.status() == wanted {
                in_a_row + 1
            } else {
                0
            };
            let waited = from.elapsed();
            assert!(
                waited < Duration::from_secs(10),
                "{}: {answer:?}",
                self.name
            );
        }
    }

    /// Changes the event's settings.
    pub(super) async fn set(&self, patch: Value) {
        let path = format!("/api/v1/organiser/events/{}", self.name);
        let changed = self.fairline.call(Method::PATCH, &path, KEY, Some(patch));
        changed.await.unwrap().ok().unwrap();
    }

    /// Joins and waits for the turn; returns the admission as a cookie.
    pub(super) async fn admitted(&self) -> String {
        let pass = word(&self.fairline.join(self.name).await.unwrap()["pass"]);
        let path = format!("/api/v1/events/{}/line/me", self.name);
        let from = Instant::now();
        loop {
            let place = self.fairline.get(&path, &pass).await.unwrap().body;
            if let Some(token) = place["token"].as_str() {
                return format!("fairline_admission_{}={token}", self.name);
            }
            assert!(from.elapsed() < Duration::from_secs(20), "{place}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Reads what the site says it was asked.
pub(super) fn told(answer: &Response<Bytes>) -> Value {
    let text = String::from_utf8_lossy(answer.body());
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{answer:?} is not of the site"))
}

/// Returns the pair of a cookie that a response sets.
pub(super) fn cookie_of(answer: &Response<Bytes>, name: &str) -> Option<String> {
    let set = answer.headers().get_all("set-cookie").iter();
    let mut pairs = set.filter_map(|line| line.to_str().ok()?.split(';').next());
    let found = pairs.find(|pair| pair.starts_with(name));
    found.map(str::to_owned)
}

/// A site that answers what it was asked, with every spelling of the visitor's header, and has a
/// WebSocket.
async fn echo(stop: CancellationToken) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = async |method: Asked, uri: Uri, headers: HeaderMap, body: Body| {
        let text = |value: &axum::http::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let is_visitor = |name: &str| name.replace('_', "-") == "x-fairline-visitor";
        let visitors = headers.iter().filter(|(name, _)| is_visitor(name.as_str()));
        let visitors: Vec<String> = visitors.map(|(_, value)| text(value)).collect();
        let head = |name: &str| headers.get(name).map(text);
        axum::Json(json!({
            "method": method.as_str(),
            "path": uri.to_string(),
            "visitors": visitors,
            "authorization": head("authorization"),
            "body": String::from_utf8_lossy(&body),
        }))
    };
    let site = Router::new()
        .route("/socket", any(switch))
        .fallback(any(answer));
    let caps = Caps {
        connections_max: 10_000,
        connections_per_address_max: 0,
    };
    tokio::spawn(serve(listener, site, caps, stop));
    port
}

/// Answers the handshake of a WebSocket.
async fn switch(headers: HeaderMap) -> (StatusCode, [(&'static str, String); 3]) {
    let is_upgrade = headers.get("upgrade").is_some_and(|it| it == "websocket");
    let status = if is_upgrade {
        StatusCode::SWITCHING_PROTOCOLS
    } else {
        StatusCode::UPGRADE_REQUIRED
    };
    let key = headers.get("sec-websocket-key");
    let accept = derive_accept_key(key.map_or(b"", |it| it.as_bytes()));
    let head = [
        ("connection", "upgrade".to_owned()),
        ("upgrade", "websocket".to_owned()),
        ("sec-websocket-accept", accept),
    ];
    (status, head)
}
