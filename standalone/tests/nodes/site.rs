//! A whole site of separate processes on free ports, and helpers to speak with it.

use client::{Answer, Client};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::{Server, free_port};

pub(crate) const KEY: &str = "site-organiser-key-0123456789";
pub(crate) const CARD: &str = "4242424242424242";
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// One process of ours.
pub(crate) struct Node {
    program: &'static str,
    folder: PathBuf,
    settings: Vec<(String, String)>,
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) process: Option<Server>,
}

impl Node {
    pub(crate) fn new(
        program: &'static str,
        folder: &Path,
        port: u16,
        settings: &[(&str, String)],
    ) -> Node {
        let folder = folder.join(format!("{program}-{port}"));
        std::fs::create_dir(&folder).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let mut all: Vec<(String, String)> = [
            ("FAIRLINE_LISTEN", format!("127.0.0.1:{port}")),
            ("FAIRLINE_OPS_LISTEN", format!("127.0.0.1:{}", free_port())),
            ("FAIRLINE_DATA", folder.join("data").display().to_string()),
            ("FAIRLINE_PASS_SECRET", format!("pass-{SECRET}")),
            ("FAIRLINE_SERVICE_KEY", format!("service-{SECRET}")),
            ("FAIRLINE_ORGANISER_KEY", KEY.to_owned()),
            ("FAIRLINE_TRUSTED_HOPS", "1".to_owned()),
            ("FAIRLINE_REQUESTS_PER_SECOND", "0".to_owned()),
            ("FAIRLINE_JOINS_PER_MINUTE", "0".to_owned()),
            ("FAIRLINE_REJOINS_PER_HOUR", "0".to_owned()),
            ("FAIRLINE_VISITOR_REQUESTS_PER_SECOND", "0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for (name, value) in settings {
            all.push(((*name).to_owned(), value.clone()));
        }
        let client = Client::new(&url);
        let mut node = Node {
            program,
            folder,
            settings: all,
            url,
            client,
            process: None,
        };
        node.start();
        node
    }

    /// Starts the process; it may still be coming up.
    pub(crate) fn start(&mut self) {
        let binary = self.binary();
        let environment: Vec<String> = self
            .settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let binary = binary.display().to_string();
        let mut arguments: Vec<&str> = environment.iter().map(String::as_str).collect();
        arguments.push(&binary);
        self.process = Some(Server::start(&self.folder, "env", &arguments));
        self.client = Client::new(&self.url);
    }

    fn binary(&self) -> PathBuf {
        let binary = Path::new(env!("CARGO_BIN_EXE_fairline")).with_file_name(self.program);
        assert!(
            binary.exists(),
            "{} is not built: cargo build --workspace",
            binary.display()
        );
        binary
    }

    /// Copies the data folder with the program's own command.
    pub(crate) fn back_up(&self, to: &Path) {
        let mut command = Command::new(self.binary());
        command.arg("backup").arg(to);
        for (name, value) in &self.settings {
            command.env(name, value);
        }
        assert!(command.status().unwrap().success());
    }

    /// Checks the audit log with the program's own command.
    pub(crate) fn verify_audit(&self) -> std::process::Output {
        self.run(&["verify-audit"])
    }

    /// Runs a command of the program with the same settings.
    pub(crate) fn run(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(self.binary());
        command.args(arguments);
        for (name, value) in &self.settings {
            command.env(name, value);
        }
        command.output().unwrap()
    }

    /// Another value of a setting, from the next start on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Value of a setting.
    pub(crate) fn setting(&self, name: &str) -> &str {
        let mut settings = self.settings.iter();
        let (_, value) = settings.find(|(known, _)| known == name).unwrap();
        value
    }

    /// Output of the process.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends the process at once.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Waits until the process answers.
    pub(crate) async fn ready(&self) {
        let from = Instant::now();
        while self.client.get("/.well-known/jwks.json", "").await.is_err()
            && self
                .client
                .get("/api/v1/events/x/seating", "")
                .await
                .is_err()
        {
            assert!(from.elapsed() < Duration::from_secs(20), "{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) struct Site {
    pub(crate) redis: testkit::Redis,
    pub(crate) rooms: Vec<Node>,
    pub(crate) checkout: Node,
    /// Further ones, on the same Postgres.
    pub(crate) checkouts: Vec<Node>,
    _nginx: Server,
    /// Address that browsers use.
    pub(crate) url: String,
    pub(crate) client: Client,
    _folder: tempfile::TempDir,
}

impl Site {
    /// So many waiting rooms, a checkout, nginx in front.
    pub(crate) async fn open(count: usize) -> Site {
        Site::with(vec![Vec::new(); count]).await
    }

    /// Waiting rooms with further settings each, a checkout, nginx in front.
    pub(crate) async fn with(more: Vec<Vec<(&'static str, String)>>) -> Site {
        Site::of(more, vec![Vec::new()]).await
    }

    /// Waiting rooms and checkouts with further settings each, nginx in front.
    pub(crate) async fn of(
        more: Vec<Vec<(&'static str, String)>>,
        shops: Vec<Vec<(&'static str, String)>>,
    ) -> Site {
        let redis = testkit::Redis::start();
        let folder = tempfile::tempdir().unwrap();
        let front = free_port();
        let url = format!("http://127.0.0.1:{front}");
        let public = ("FAIRLINE_PUBLIC_URL", url.clone());
        let line = ("FAIRLINE_LINE", redis.url());
        // Each service speaks with the other as everyone does: by nginx.
        let checkout = ("FAIRLINE_CHECKOUT", url.clone());
        let ports: Vec<u16> = more.iter().map(|_| free_port()).collect();
        let room = |(port, more): (&u16, Vec<(&'static str, String)>)| {
            let settings = [vec![public.clone(), line.clone(), checkout.clone()], more].concat();
            Node::new("waiting-room", folder.path(), *port, &settings)
        };
        let rooms: Vec<Node> = ports.iter().zip(more).map(room).collect();
        let common = vec![public.clone(), ("FAIRLINE_WAITING_ROOM", url.clone())];
        let shop_ports: Vec<u16> = shops.iter().map(|_| free_port()).collect();
        let shop = |(port, more): (&u16, Vec<(&'static str, String)>)| {
            let settings = [common.clone(), more].concat();
            Node::new("checkout", folder.path(), *port, &settings)
        };
        let mut checkouts: Vec<Node> = shop_ports.iter().zip(shops).map(shop).collect();
        let nginx = nginx(folder.path(), front, &ports, &shop_ports);
        for node in rooms.iter().chain(&checkouts) {
            node.ready().await;
        }
        let checkout = checkouts.remove(0);
        let site = Site {
            redis,
            rooms,
            checkout,
            checkouts,
            _nginx: nginx,
            client: Client::new(&url),
            url,
            _folder: folder,
        };
        site.until("/api/v1/events", "", |list| list.is_array())
            .await;
        // A service that asked the other while that one came up had nginx pass it over for a moment.
        let path = "/api/v1/events/x/seating";
        site.until(path, "", |problem| problem["type"].is_string())
            .await;
        let from = Instant::now();
        for checkout in [&site.checkout].into_iter().chain(&site.checkouts) {
            while !checkout.log().contains("fetched the keys") {
                let log = checkout.log();
                assert!(from.elapsed() < Duration::from_secs(20), "no keys: {log}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        site
    }

    pub(crate) async fn organise(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let path = format!("/api/v1/organiser{path}");
        self.client.call(method, &path, KEY, body).await.unwrap()
    }

    /// An event with a hall of two rows of six.
    pub(crate) async fn event(&self, id: &str, admission: Value) {
        let event = json!({"id": id, "name": "The night", "admission": admission});
        let plan = json!({"categories": [{"id": "stalls", "name": "Stalls", "price": 4500}],
            "sections": [{"id": "st", "category": "stalls", "rows": 2, "seats_per_row": 6}]});
        self.client
            .create_event(KEY, &event, Some(plan))
            .await
            .unwrap();
    }

    /// The night, an event whose line admits no one yet, with two fans in it: their passes.
    pub(crate) async fn night_with_two(&self) -> [String; 2] {
        let admission = json!({"rate_per_minute": 60_000, "batch_seconds": 1});
        self.event("night", admission).await;
        self.pause("night", true).await;
        let join = async || word(&self.client.join("night").await.unwrap()["pass"]);
        [join().await, join().await]
    }

    /// Asks for a message at the turn of the place with this pass; returns status and body.
    pub(crate) async fn leave(&self, path: &str, pass: &str, body: Value) -> (StatusCode, Value) {
        let answer = self.client.call(Method::PUT, path, pass, Some(body)).await;
        let answer = answer.unwrap();
        (answer.status, answer.body)
    }

    /// Asks until the answer is as it should be.
    pub(crate) async fn until(
        &self,
        path: &str,
        bearer: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let from = Instant::now();
        loop {
            let body = match self.client.get(path, bearer).await {
                Ok(answer) => answer.body,
                Err(error) => json!(error),
            };
            if is_so(&body) {
                return body;
            }
            let waited = from.elapsed();
            assert!(
                waited < Duration::from_secs(20),
                "{path} never became so: {body}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Pauses or resumes a line, and waits until the change is in effect.
    pub(crate) async fn pause(&self, event: &str, is_paused: bool) {
        let body = Some(json!({"paused": is_paused}));
        let path = format!("/events/{event}");
        let patched = self.organise(Method::PATCH, &path, body).await;
        assert_eq!(patched.status, StatusCode::OK, "{}", patched.body);
        let phase = if is_paused { "paused" } else { "open" };
        let path = format!("/api/v1/events/{event}");
        self.until(&path, "", |event| event["phase"] == phase).await;
    }

    /// Loads a page of the night as a fan with this pass until something is found in it.
    pub(crate) async fn until_page<T>(
        &self,
        path: &str,
        pass: &str,
        find: impl Fn(&str) -> Option<T>,
    ) -> T {
        let cookie = format!("fairline_pass_night={pass}");
        let from = Instant::now();
        loop {
            let heads = [("cookie", &*cookie)];
            let page = self.client.raw(Method::GET, path, &heads, Vec::new());
            let page = page.await.unwrap();
            let text = String::from_utf8_lossy(page.body());
            if let Some(found) = find(&text) {
                return found;
            }
            assert!(from.elapsed() < Duration::from_secs(60), "{text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Joins and waits for the turn: pass and token.
    pub(crate) async fn admit(&self, event: &str) -> (String, String) {
        let place = self.client.join(event).await.unwrap();
        let pass = word(&place["pass"]);
        let path = format!("/api/v1/events/{event}/line/me");
        let place = self
            .until(&path, &pass, |place| place["state"] == "admitted")
            .await;
        (pass, word(&place["token"]))
    }

    /// From a token to a confirmed order for one seat.
    pub(crate) async fn buy(&self, event: &str, token: &str) -> Value {
        let post = async |path: &str, bearer: &str, body: Value| {
            self.client
                .post(path, bearer, body)
                .await
                .unwrap()
                .ok()
                .unwrap()
        };
        let path = format!("/api/v1/events/{event}/sessions");
        let session = word(&post(&path, token, json!({})).await["session"]);
        let wish = json!({"best_available": {"quantity": 1}});
        let hold = post(&format!("/api/v1/events/{event}/holds"), &session, wish).await;
        let buyer =
            json!({"hold": hold["id"], "buyer": {"name": "Ada", "email": "ada@example.org"}});
        let order = post("/api/v1/orders", &session, buyer).await;
        let payment = format!(
            "/api/v1/payments/simulated/{}",
            word(&order["payment"]["id"])
        );
        post(&payment, &session, json!({"card": CARD})).await;
        let path = format!("/api/v1/orders/{}", word(&order["id"]));
        self.until(&path, &session, |order| order["state"] == "confirmed")
            .await
    }
}

pub(crate) fn word(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}

/// nginx with the repository's own configuration, on these ports.
fn nginx(folder: &Path, front: u16, rooms: &[u16], shops: &[u16]) -> Server {
    let folder = folder.join("nginx");
    std::fs::create_dir(&folder).unwrap();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nginx");
    let read = |name: &str| std::fs::read_to_string(ours.join(name)).unwrap();
    let servers = |ports: &[u16]| -> String {
        let line = |port| format!("    server 127.0.0.1:{port} max_fails=1 fail_timeout=2s;\n");
        ports.iter().map(line).collect()
    };
    let text = read("fairline.conf");
    let first = text.find("    server 127.0.0.1:8081").unwrap();
    let last = text.find("    server 127.0.0.1:8083").unwrap();
    let end = last + text[last..].find('\n').unwrap() + 1;
    let text = format!("{}{}{}", &text[..first], servers(rooms), &text[end..]);
    let text = text
        .replace(
            "    server 127.0.0.1:8091 max_fails=1 fail_timeout=2s;\n",
            &servers(shops),
        )
        .replace("listen 8080", &format!("listen 127.0.0.1:{front}"));
    std::fs::write(folder.join("fairline.conf"), text).unwrap();
    std::fs::write(folder.join("nginx.conf"), read("nginx.conf")).unwrap();
    let (prefix, file) = (folder.display().to_string(), folder.join("nginx.conf"));
    let file = file.display().to_string();
    let arguments = ["-p", &prefix, "-c", &file, "-g", "daemon off;"];
    Server::start(&folder, "nginx", &arguments)
}
