//! Varnish as the edge, with the configuration of this repository: hits in a flash sale, changes,
//! purges, nothing private.

use crate::site::{KEY, Node, word};
use client::{Answer, Client};
use hyper::body::Bytes;
use hyper::{Method, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::{Server, free_port};
use tokio::task::JoinSet;

/// Longest time that a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most seconds for which a copy without purges may be shown: its lifetime and one more.
const AGE_MAX: u64 = 2;

// Routes as the metrics of the node name them.
const PAGE: &str = "/e/{event}";
const SHOP: &str = "/e/{event}/seats";
const EVENT: &str = "/api/v1/events/{event}";
const LAYOUT: &str = "/api/v1/events/{event}/seating";
const MAP: &str = "/api/v1/events/{event}/seats";
const FILE: &str = "/static/{*path}";
/// The queue page of a fan who has joined, which is on the route of the page.
const OWN_PAGE: &str = "own page";

/// A `fairline` behind a Varnish.
struct Edge {
    node: Node,
    _varnish: Server,
    operations: Client,
    /// Client of the edge.
    client: Client,
    _folder: tempfile::TempDir,
}

impl Edge {
    /// Starts both. With purges the program tells Varnish of changes.
    async fn open(has_purges: bool) -> Edge {
        let folder = tempfile::tempdir().unwrap();
        let (front, back) = (free_port(), free_port());
        let url = format!("http://127.0.0.1:{front}");
        let operations = format!("127.0.0.1:{}", free_port());
        let mut settings = vec![
            ("FAIRLINE_PUBLIC_URL", url.clone()),
            ("FAIRLINE_OPS_LISTEN", operations.clone()),
        ];
        if has_purges {
            settings.push(("FAIRLINE_PURGE_URL", format!("{url}/fairline-purge")));
            settings.push(("FAIRLINE_PURGE_HEADER", "X-Purge-Key: a-secret".to_owned()));
        }
        let node = Node::new("fairline", folder.path(), back, &settings);
        let varnish = varnish(folder.path(), front, back);
        let client = Client::new(&url);
        let from = Instant::now();
        while !client
            .get("/api/v1/events", "")
            .await
            .is_ok_and(|answer| answer.status.is_success())
        {
            let log = std::fs::read_to_string(varnish.folder.join("log")).unwrap();
            assert!(from.elapsed() < PATIENCE, "{log} {}", node.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let edge = Edge {
            node,
            _varnish: varnish,
            operations: Client::new(&format!("http://{operations}")),
            client,
            _folder: folder,
        };
        let event = json!({"id": "night", "name": "The night",
            "admission": {"rate_per_minute": 6_000_000, "batch_seconds": 1, "max_active": 1000}});
        edge.client
            .create_event(KEY, &event, Some(plan(40)))
            .await
            .unwrap();
        edge
    }

    /// Returns how many requests of a route the node has answered.
    async fn at_origin(&self, route: &str) -> u64 {
        let metrics = get(&self.operations, "/metrics", &[]).await;
        let text = String::from_utf8_lossy(metrics.body()).into_owned();
        let route = format!("route=\"{route}\"");
        let lines = text
            .lines()
            .filter(|line| line.starts_with("fairline_requests_total{") && line.contains(&route));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    async fn organise(&self, method: Method, path: &str, body: Value) -> Answer {
        let path = format!("/api/v1/organiser/events/night{path}");
        let answer = self
            .client
            .call(method, &path, KEY, Some(body))
            .await
            .unwrap();
        assert!(answer.status.is_success(), "{}", answer.body);
        answer
    }

    /// Asks until an answer holds; returns the greatest age that was seen before.
    async fn until(&self, path: &str, is_so: impl Fn(&str) -> bool) -> u64 {
        let (from, mut age) = (Instant::now(), 0);
        loop {
            let answer = get(&self.client, path, &[]).await;
            age = age.max(age_of(&answer));
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            if is_so(&text) {
                return age;
            }
            assert!(from.elapsed() < PATIENCE, "{path}: {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn plan(rows: u32) -> Value {
    json!({"categories": [{"id": "stalls", "name": "Stalls", "price": 4500}],
        "sections": [{"id": "st", "category": "stalls", "rows": rows, "seats_per_row": 30}]})
}

/// Varnish with the repository's own configuration, on these ports.
fn varnish(folder: &Path, front: u16, back: u16) -> Server {
    let folder = folder.join("varnish");
    std::fs::create_dir(&folder).unwrap();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cdn/fairline.vcl");
    let text = std::fs::read_to_string(ours).unwrap();
    let text = text.replace(".port = \"8080\"", &format!(".port = \"{back}\""));
    let file = folder.join("fairline.vcl");
    std::fs::write(&file, text).unwrap();
    let (listen, file) = (format!("127.0.0.1:{front}"), file.display().to_string());
    let work = folder.join("work").display().to_string();
    let arguments = [
        "-F",
        "-a",
        &listen,
        "-f",
        &file,
        "-n",
        &work,
        "-s",
        "malloc,64m",
        "-j",
        "none",
        "-T",
        "none",
    ];
    Server::start(&folder, "/usr/sbin/varnishd", &arguments)
}

async fn get(client: &Client, path: &str, heads: &[(&str, &str)]) -> Response<Bytes> {
    client.raw(Method::GET, path, heads, vec![]).await.unwrap()
}

fn age_of(answer: &Response<Bytes>) -> u64 {
    answer.headers()["age"].to_str().unwrap().parse().unwrap()
}

/// Number of successful requests to the edge by route.
#[derive(Default)]
struct Tally(HashMap<&'static str, u64>);

impl Tally {
    fn count(&mut self, route: &'static str, answer: &Response<Bytes>) {
        let (status, body) = (answer.status(), answer.body());
        assert!(status.is_success(), "{route}: {status} {body:?}");
        *self.0.entry(route).or_default() += 1;
    }

    fn merge(&mut self, other: Tally) {
        for (route, count) in other.0 {
            *self.0.entry(route).or_default() += count;
        }
    }
}

/// A fan who comes by a link, joins, looks at the seats again and again, and takes one if they can.
async fn fan(client: Client, number: usize, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let analytics = format!("_ga=GA1.{number}");
    let cookie = [
        ("cookie", analytics.as_str()),
        ("accept", "text/html,*/*;q=0.8"),
    ];
    while Instant::now() < until {
        let link = format!("/e/night?utm_source=mail&id={number}");
        // Impatient: the page again and again.
        for _ in 0..5 {
            tally.count(PAGE, &get(&client, &link, &cookie).await);
            tally.count(EVENT, &get(&client, "/api/v1/events/night", &cookie).await);
        }
        tally.count(FILE, &get(&client, "/static/queue.js", &cookie).await);
        let place = client.join("night").await.unwrap();
        let pass = word(&place["pass"]);
        let own = format!("{analytics}; fairline_pass_night={pass}");
        let page = get(&client, "/e/night", &[("cookie", &own)]).await;
        assert_eq!(page.headers()["x-cache"], "pass");
        tally.count(OWN_PAGE, &page);
        let mine = get(&client, "/api/v1/events/night/line/me", &[("cookie", &own)]).await;
        assert_eq!(mine.headers()["x-cache"], "pass");
        let mine: Value = serde_json::from_slice(mine.body()).unwrap();
        assert_eq!(
            mine["visitor"], place["visitor"],
            "the place of someone else"
        );
        tally.count(
            LAYOUT,
            &get(&client, "/api/v1/events/night/seating", &[("cookie", &own)]).await,
        );
        for _ in 0..5 {
            let shop = get(&client, "/e/night/seats", &[("cookie", &own)]).await;
            tally.count(SHOP, &shop);
            let path = "/api/v1/events/night/seats";
            tally.count(
                MAP,
                &get(&client, &format!("{path}?format=bits"), &[("cookie", &own)]).await,
            );
            let accept = [
                ("cookie", own.as_str()),
                ("accept", "application/octet-stream"),
            ];
            let bits = get(&client, path, &accept).await;
            assert_eq!(bits.headers()["content-type"], "application/octet-stream");
            tally.count(MAP, &bits);
            let json = get(&client, path, &[]).await;
            assert_eq!(json.headers()["content-type"], "application/json");
            tally.count(MAP, &json);
            assert!(age_of(&json) <= AGE_MAX, "{}", age_of(&json));
        }
        if mine["state"] == "admitted" {
            let path = "/api/v1/events/night/sessions";
            let session = client
                .post(path, &word(&mine["token"]), json!({}))
                .await
                .unwrap();
            let session = word(&session.ok().unwrap()["session"]);
            let wish = json!({"best_available": {"quantity": 1}});
            client
                .post("/api/v1/events/night/holds", &session, wish)
                .await
                .unwrap();
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_flash_sale_the_edge_answers_for_pages_and_maps_and_for_nothing_private() {
    let edge = Edge::open(false).await;
    let from = Instant::now();
    let until = from + Duration::from_secs(8);
    let mut fans = JoinSet::new();
    for number in 0..24 {
        fans.spawn(fan(edge.client.clone(), number, until));
    }
    let mut all = Tally::default();
    for tally in fans.join_all().await {
        all.merge(tally);
    }
    // A copy is fetched once for each second of its life, however many ask; also at the beginning,
    // and at the end in the background.
    let fetched_max = from.elapsed().as_secs() + 3;
    for (route, forms) in [
        (PAGE, 1),
        (SHOP, 1),
        (EVENT, 1),
        (FILE, 1),
        (LAYOUT, 1),
        (MAP, 3),
    ] {
        let own = if route == PAGE { all.0[OWN_PAGE] } else { 0 };
        let fetched = edge.at_origin(route).await - own;
        let hits = 100.0 - 100.0 * fetched as f64 / all.0[route] as f64;
        println!(
            "{route}: {} requests, {fetched} at the origin, {hits:.1} % hits",
            all.0[route]
        );
        assert!(fetched <= forms * fetched_max, "{route}: {fetched}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_purges_the_edge_shows_a_change_within_a_second_of_the_lifetime() {
    let edge = Edge::open(false).await;
    for path in ["/e/night", "/api/v1/events/night", "/api/v1/events"] {
        edge.until(path, |text| text.contains("The night")).await;
    }
    edge.organise(Method::PATCH, "", json!({"name": "Another night"}))
        .await;
    for path in ["/e/night", "/api/v1/events/night", "/api/v1/events"] {
        let age = edge
            .until(path, |text| text.contains("Another night"))
            .await;
        assert!(age <= AGE_MAX, "{path}: {age}");
    }
    let seats = json!({"seats": ["st-A-1"]});
    edge.organise(Method::POST, "/seats/block", seats).await;
    let age = edge
        .until("/api/v1/events/night/seats", |text| {
            text.contains("\"blocked\":1")
        })
        .await;
    assert!(age <= AGE_MAX, "{age}");
    let before = get(&edge.client, "/api/v1/events/night/seating", &[]).await;
    edge.organise(Method::POST, "/seats/unblock", json!({"seats": ["st-A-1"]}))
        .await;
    edge.organise(Method::PUT, "/seating", plan(2)).await;
    let is_new = |text: &str| text.as_bytes() != before.body();
    let age = edge.until("/api/v1/events/night/seating", is_new).await;
    assert!(age <= 5 + 1, "{age}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_purges_the_edge_keeps_pages_for_a_minute_and_shows_a_change_at_once() {
    let edge = Edge::open(true).await;
    let pages = ["/e/night", "/e/night/draw", "/api/v1/events/night/seating"];
    for path in pages {
        edge.until(path, |text| {
            text.contains("ight") || text.contains("stalls")
        })
        .await;
    }
    // Older than a copy becomes without purges.
    for path in pages {
        let from = Instant::now();
        while age_of(&get(&edge.client, path, &[]).await) <= 6 {
            assert!(from.elapsed() < PATIENCE, "{path} is not kept");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    edge.organise(Method::PATCH, "", json!({"name": "Another night"}))
        .await;
    for path in ["/e/night", "/e/night/draw"] {
        // Long before the minute is over.
        edge.until(path, |text| text.contains("Another night"))
            .await;
    }
    let before = get(&edge.client, "/api/v1/events/night/seating", &[]).await;
    edge.organise(Method::PUT, "/seating", plan(2)).await;
    let is_new = |text: &str| text.as_bytes() != before.body();
    edge.until("/api/v1/events/night/seating", is_new).await;
    let deleted = edge
        .client
        .call(Method::DELETE, "/api/v1/organiser/events/night", KEY, None)
        .await;
    assert!(deleted.unwrap().status.is_success());
    edge.until("/e/night", |text| text.contains("No such event"))
        .await;
    assert!(!edge.node.log().contains("a-secret"));
    // Others than the nodes cannot purge.
    let purge = edge
        .client
        .raw(Method::GET, "/fairline-purge", &[], vec![])
        .await
        .unwrap();
    assert_eq!(purge.status(), 403);
    let heads = [("surrogate-key", ".*")];
    let purge = edge
        .client
        .raw(Method::POST, "/fairline-purge", &heads, vec![])
        .await
        .unwrap();
    assert_eq!(purge.status(), 400);
}

/// A place where purges are sent, which answers each with a status and notes it.
async fn receiver(status: &'static str) -> (String, Arc<parking_lot::Mutex<Vec<String>>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/purge", listener.local_addr().unwrap());
    let received = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let noted = received.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 16 * 1024];
            let length = stream.read(&mut bytes).await.unwrap_or(0);
            noted
                .lock()
                .push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, received)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_fails_is_logged_once_counted_and_sent_again_and_the_sale_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (url, received) = receiver("500 Internal Server Error").await;
    let operations = format!("127.0.0.1:{}", free_port());
    let settings = [
        ("FAIRLINE_OPS_LISTEN", operations.clone()),
        ("FAIRLINE_PURGE_URL", url),
        ("FAIRLINE_PURGE_HEADER", "X-Purge-Key: a-secret".to_owned()),
    ];
    let node = Node::new("fairline", folder.path(), free_port(), &settings);
    node.ready().await;
    for id in 0..40 {
        let event = json!({"id": format!("night-{id}"), "name": "The night"});
        node.client.create_event(KEY, &event, None).await.unwrap();
    }
    let rename = json!({"name": "Another"});
    for id in 0..40 {
        let path = format!("/api/v1/organiser/events/night-{id}");
        let answer = node
            .client
            .call(Method::PATCH, &path, KEY, Some(rename.clone()))
            .await;
        assert!(answer.unwrap().status.is_success());
    }
    let from = Instant::now();
    while received.lock().len() < 3 {
        assert!(from.elapsed() < PATIENCE, "{}", node.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for request in received.lock().iter() {
        assert!(request.starts_with("POST /purge HTTP/1.1"), "{request}");
        assert!(request.contains("x-purge-key: a-secret"), "{request}");
        let keys = request
            .lines()
            .find_map(|line| line.strip_prefix("surrogate-key: "));
        let keys: Vec<&str> = keys.unwrap().split(' ').collect();
        assert!(keys.len() <= 30, "{keys:?}");
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body, json!({"tags": keys}));
    }
    let operations = Client::new(&format!("http://{operations}"));
    let metrics = get(&operations, "/metrics", &[]).await;
    let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
    assert!(
        metrics.contains("fairline_purges_total{outcome=\"failed\"}"),
        "{metrics}"
    );
    let log = node.log();
    assert_eq!(log.matches("purging fails").count(), 1, "{log}");
    assert!(!log.contains("a-secret"), "{log}");
    assert!(node.client.join("night-7").await.is_ok());
}
