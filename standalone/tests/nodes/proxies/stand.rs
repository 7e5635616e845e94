//! Three nodes on one Redis, a site that echoes requests, and five proxies before it.

use crate::site::{KEY, Node, word};
use axum::Router;
use axum::body::Bytes as Body;
use axum::http::{HeaderMap, Method as Asked, Uri};
use axum::routing::any;
use client::Client;
use hyper::{Method, Response, StatusCode, body::Bytes};
use serde_json::{Value, json};
use shared::http::listener::{Caps, serve};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use testkit::{Redis, Server, free_port};
use tokio::net::TcpListener;
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

/// Ports that a configuration is written for.
struct Ports {
    front: u16,
    /// Where some proxies ask the gate.
    inner: u16,
    site: u16,
    rooms: Vec<u16>,
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

/// A site that answers what it was asked, with every spelling of the visitor's header.
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
    let site = Router::new().fallback(any(answer));
    let caps = Caps {
        connections_max: 10_000,
        connections_per_address_max: 0,
    };
    tokio::spawn(serve(listener, site, caps, stop));
    port
}

/// A proxy's configuration from the repository, with other ports and its own event.
struct Configuration<'a> {
    name: &'static str,
    folder: &'a Path,
    ports: &'a Ports,
}

impl Configuration<'_> {
    /// Reads a file of the repository.
    fn file(&self, path: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let text = std::fs::read_to_string(path).unwrap();
        let ports = self.upstreams().into_iter();
        let ports = ports.chain([(8090, self.ports.inner)]);
        ports.fold(
            text.replace("my-event", self.name),
            |text, (written, port)| {
                text.replace(
                    &format!("127.0.0.1:{written}"),
                    &format!("127.0.0.1:{port}"),
                )
            },
        )
    }

    /// Ports of the nodes and the site: as they are written, and as they are.
    fn upstreams(&self) -> [(u16, u16); 4] {
        let rooms = &self.ports.rooms;
        [
            (8081, rooms[0]),
            (8082, rooms[1]),
            (8083, rooms[2]),
            (3000, self.ports.site),
        ]
    }

    /// Writes a file for the proxy and returns its path.
    fn put(&self, name: &str, text: String) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn envoy(&self) -> String {
        let front = format!("address: 127.0.0.1, port_value: {}}}", self.ports.front);
        let text = self.file("docs/gate/envoy.yaml");
        let text = once(&text, "address: 0.0.0.0, port_value: 80}", &front);
        let upstreams = self.upstreams().into_iter();
        upstreams.fold(text, |text, (written, port)| {
            let (written, port) = (
                format!("port_value: {written}}}"),
                format!("port_value: {port}}}"),
            );
            text.replace(&written, &port)
        })
    }
}

/// Starts a proxy.
fn start(name: &'static str, folder: &Path, ports: &Ports) -> Server {
    let configuration = Configuration {
        name,
        folder,
        ports,
    };
    let put = |name: &str, text: String| configuration.put(name, text);
    let changed =
        |path: &str, written: &str, now: &str| once(&configuration.file(path), written, now);
    let (front, home) = (ports.front, folder.display().to_string());
    match name {
        "nginx" => {
            let listen = format!("listen 127.0.0.1:{front};");
            put(
                "site.conf",
                changed("nginx/protect-any-site.conf", "listen 80;", &listen),
            );
            let conf = "pid p; error_log e; events {} http { access_log off; client_body_temp_path b; \
                proxy_temp_path x; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; include site.conf; }";
            let conf = put("nginx.conf", conf.to_owned());
            let arguments = ["-p", &home, "-c", &conf, "-g", "daemon off;"];
            Server::start(folder, "nginx", &arguments)
        }
        "caddy" => {
            let listen = format!("http://:{front} {{");
            let conf = put(
                "Caddyfile",
                changed("docs/gate/Caddyfile", ":80 {", &listen),
            );
            let arguments = ["run", "--config", &conf];
            Server::start_as(folder, &program("caddy"), &arguments, |command| {
                command.env("HOME", &home);
            })
        }
        "traefik" => {
            put(
                "traefik-site.yaml",
                configuration.file("docs/gate/traefik-site.yaml"),
            );
            let listen = format!("\"127.0.0.1:{front}\"");
            let conf = put(
                "traefik.yaml",
                changed("docs/gate/traefik.yaml", "\":80\"", &listen),
            );
            let conf = format!("--configFile={conf}");
            Server::start(folder, &program("traefik"), &[&conf])
        }
        "envoy" => {
            let conf = put("envoy.yaml", configuration.envoy());
            let arguments = ["-c", &conf, "--concurrency", "1", "--use-dynamic-base-id"];
            Server::start(folder, &program("envoy"), &arguments)
        }
        _ => {
            put(
                "haproxy-gate.lua",
                configuration.file("docs/gate/haproxy-gate.lua"),
            );
            let listen = format!("bind 127.0.0.1:{front}\n");
            let conf = put(
                "haproxy.cfg",
                changed("docs/gate/haproxy.cfg", "bind :80\n", &listen),
            );
            Server::start(folder, "haproxy", &["-db", "-f", &conf])
        }
    }
}

fn once(text: &str, written: &str, now: &str) -> String {
    assert_eq!(text.matches(written).count(), 1, "{written}");
    text.replace(written, now)
}

/// Returns a program that `.ci/gate-proxies` has installed beside the build.
fn program(name: &str) -> String {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_fairline"));
    let target = built.ancestors().nth(2).unwrap();
    let program = target.join("gate-proxies/bin").join(name);
    assert!(
        program.exists(),
        "{} is missing: run .ci/gate-proxies",
        program.display()
    );
    program.display().to_string()
}
