//! Metrics of the real program: `docs/metrics.md` lists all of them, in both formats, and clients
//! cannot make series.

use crate::crash::{command, free_port};
use crate::stage::{CARD, Stage, place, word};
use client::{Answer, Client};
use hyper::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

const KEY: &str = "crash-organiser-key";
const OPENMETRICS: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
/// Documentation of the metrics, by hand up to the table and generated from there.
const DOCUMENT: &str = "../docs/metrics.md";
const TABLE: &str = "| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n";

/// The real program, with its operations listener.
struct Program {
    child: Child,
    client: Client,
    operations: Client,
    _folder: tempfile::TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Metrics as they were answered.
struct Scrape {
    kind: String,
    text: String,
}

impl Scrape {
    /// Returns the value of a series, by the beginning of its line up to the blank.
    fn value(&self, series: &str) -> Option<f64> {
        let mut lines = self.text.lines();
        let rest = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        rest.split(' ').next()?.parse().ok()
    }
}

impl Program {
    async fn start(settings: &[(&str, &str)]) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let (port, operations) = (free_port(), free_port());
        let mut command = command(&folder.path().join("data"), port);
        command.env("FAIRLINE_OPS_LISTEN", format!("127.0.0.1:{operations}"));
        command.env("FAIRLINE_VISITOR_REQUESTS_PER_SECOND", "0");
        command.envs(settings.iter().copied());
        let program = Program {
            child: command.spawn().unwrap(),
            client: Client::new(&format!("http://127.0.0.1:{port}")),
            operations: Client::new(&format!("http://127.0.0.1:{operations}")),
            _folder: folder,
        };
        let up = program.until("the program is up", async || {
            let answer = program.operations.get("/readyz", "").await;
            answer.is_ok_and(|answer| answer.status.is_success())
        });
        up.await;
        program
    }

    /// Asks until the answer is yes.
    async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let asking = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let asked = tokio::time::timeout(Duration::from_secs(20), asking).await;
        asked.unwrap_or_else(|_| panic!("it never became so: {what}"));
    }

    async fn scrape(&self, accept: &str) -> Scrape {
        let head = [("accept", accept)];
        let answer = self.operations.raw(Method::GET, "/metrics", &head, vec![]);
        let answer = answer.await.unwrap();
        Scrape {
            kind: answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned(),
            text: String::from_utf8(answer.body().to_vec()).unwrap(),
        }
    }

    async fn event(&self, id: &str) {
        let settings = json!({"id": id, "name": format!("The {id}"),
            "admission": {"rate_per_minute": 600_000, "batch_seconds": 1}});
        let plan = json!({"categories": [{"id": "c", "name": "C", "price": 4500}],
            "sections": [{"id": "s", "category": "c", "rows": 2, "seats_per_row": 6}]});
        let created = self.client.create_event(KEY, &settings, Some(plan)).await;
        created.unwrap();
    }

    async fn post(&self, path: &str, bearer: &str, body: Value) -> Value {
        let answer: Answer = self.client.post(path, bearer, body).await.unwrap();
        answer.ok().unwrap()
    }

    /// Sells two seats to a fan who watches their place.
    async fn sell(&self, event: &str) {
        let line = format!("/api/v1/events/{event}/line");
        let pass = word(&self.client.join(event).await.unwrap()["pass"]);
        let _socket = self.client.watch(event, &pass).await.unwrap();
        let me = format!("{line}/me");
        let token = async || {
            let place = self.client.get(&me, &pass).await.unwrap();
            place.body["token"].as_str().map(str::to_owned)
        };
        self.until("the fan is admitted", async || token().await.is_some())
            .await;
        let token = token().await.unwrap();
        let sessions = format!("/api/v1/events/{event}/sessions");
        let session = word(&self.post(&sessions, &token, json!({})).await["session"]);
        let holds = format!("/api/v1/events/{event}/holds");
        let wish = json!({"best_available": {"quantity": 2}});
        let hold = self.post(&holds, &session, wish).await;
        let order =
            json!({"hold": hold["id"], "buyer": {"name": "Ada", "email": "ada@example.org"}});
        let order = self.post("/api/v1/orders", &session, order).await;
        let payment = format!(
            "/api/v1/payments/simulated/{}",
            word(&order["payment"]["id"])
        );
        self.post(&payment, &session, json!({"card": CARD})).await;
    }
}

/// A metric as the table shows it.
#[derive(Default)]
struct Row {
    kind: String,
    unit: String,
    labels: BTreeSet<String>,
    help: String,
}

/// Reads the metrics of a scrape in OpenMetrics, by their full names. Every series belongs to the
/// metric described before it.
fn read(scrape: &Scrape) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut current = String::new();
    let mut described = BTreeSet::new();
    for line in scrape.text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "EOF"] => {}
            ["#", "HELP", name, help] => {
                assert!(
                    described.insert(name.to_owned()),
                    "{name} is described twice"
                );
                assert!(help.ends_with('.'), "{line}");
                current = name.to_owned();
                let row = rows.entry(current.clone()).or_default();
                row.help = help.trim_end_matches('.').to_owned();
            }
            ["#", key @ ("TYPE" | "UNIT"), name, value] => {
                assert_eq!(name, current);
                let row = rows.get_mut(name).unwrap();
                if key == "TYPE" {
                    &mut row.kind
                } else {
                    &mut row.unit
                }
                .push_str(value);
            }
            _ => {
                let series = line.split(' ').next().unwrap();
                assert!(
                    series.starts_with(&current),
                    "{line} stands below {current}"
                );
                let row = rows.get_mut(&current).unwrap();
                row.labels.extend(labels(line));
            }
        }
    }
    let named = rows.into_iter().map(|(name, row)| {
        let suffix = match row.kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        (format!("{name}{suffix}"), row)
    });
    named.collect()
}

/// Returns the names of a series' labels, without the bound of a bucket.
fn labels(line: &str) -> Vec<String> {
    let line = line.split(" # ").next().unwrap();
    let Some((_, labels)) = line.split_once('{') else {
        return Vec::new();
    };
    let names = labels
        .split("=\"")
        .map(|part| part.rsplit([',', '"']).next().unwrap());
    let count = labels.matches("=\"").count();
    let names = names.take(count).filter(|name| *name != "le");
    names.map(str::to_owned).collect()
}

fn table(rows: &BTreeMap<String, Row>) -> String {
    let mut table = TABLE.to_owned();
    for (name, row) in rows {
        let labels: Vec<String> = row
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let labels = labels.join(", ");
        let (kind, unit, help) = (&row.kind, &row.unit, &row.help);
        table += &format!("| `{name}` | {kind} | {unit} | {labels} | {help} |\n");
    }
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_stands_in_the_documents_after_a_sale_on_each_engine() {
    let redis = testkit::Redis::start();
    let postgres = testkit::shared_postgres();
    let url = postgres.postgres.url(&postgres.postgres.database());
    let secret = "metrics-0123456789abcdef0123456789abcdef";
    let stores = [
        ("FAIRLINE_LINE", redis.url()),
        ("FAIRLINE_INVENTORY", url),
        ("FAIRLINE_PASS_SECRET", format!("pass-{secret}")),
        ("FAIRLINE_SERVICE_KEY", format!("service-{secret}")),
    ];
    let stores = stores
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let (_, expected) = document.split_once(TABLE).unwrap();
    let mut all = BTreeMap::new();
    let is_sold = "fairline_orders_confirmed_total";
    for settings in [&[][..], &stores[..]] {
        let program = Program::start(settings).await;
        program.event("night").await;
        program.sell("night").await;
        let is_there = async || {
            let scrape = program.scrape(OPENMETRICS).await;
            scrape.value(is_sold) == Some(1.0)
                && scrape.value("fairline_line_seats_sold{event=\"night\"}") == Some(2.0)
                && scrape
                    .text
                    .contains("fairline_line_waited_seconds{event=\"night\"")
        };
        program.until("the sale shows", is_there).await;
        let mut rows = read(&program.scrape(OPENMETRICS).await);
        let has_stores = !settings.is_empty();
        let of_stores = rows.keys().filter(|name| name.contains("_redis_script"));
        assert_eq!(of_stores.count() > 0, has_stores);
        for (name, row) in &mut rows {
            if let Some(before) = all.remove(name).map(|before: Row| before.labels) {
                row.labels.extend(before);
            }
        }
        all.append(&mut rows);
    }
    let table = table(&all);
    if table.strip_prefix(TABLE) != Some(expected) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics.md");
        std::fs::write(&path, &table).unwrap();
        panic!(
            "the table in docs/metrics.md is to be replaced by {}",
            path.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_openmetrics_with_exemplars_for_those_who_accept_it_and_plain_text_for_others()
{
    let program = Program::start(&[]).await;
    let listed = program
        .client
        .raw(Method::GET, "/api/v1/events", &[], vec![]);
    let id = listed.await.unwrap().headers()["x-request-id"].clone();
    let exemplar = format!("# {{request_id=\"{}\"}} ", id.to_str().unwrap());
    let open = program.scrape(OPENMETRICS).await;
    assert_eq!(
        open.kind,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(open.text.ends_with("\n# EOF\n"));
    assert!(open.text.contains(&exemplar), "{exemplar}");
    assert!(open.text.contains("# TYPE fairline_requests counter\n"));
    let plain = program.scrape("text/plain").await;
    assert_eq!(plain.kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(!plain.text.contains("# EOF") && !plain.text.contains("# {"));
    assert!(
        plain
            .text
            .contains("# TYPE fairline_requests_total counter\n")
    );
    let series = r#"fairline_requests_total{method="GET",route="/api/v1/events",status="200"}"#;
    assert_eq!(
        (open.value(series), plain.value(series)),
        (Some(1.0), Some(1.0))
    );
    let bucket =
        r#"fairline_request_seconds_bucket{method="GET",route="/api/v1/events",le="+Inf"}"#;
    assert_eq!(plain.value(bucket), Some(1.0), "{}", plain.text);
    let version = format!(
        r#"fairline_build_info{{version="{}","#,
        env!("CARGO_PKG_VERSION")
    );
    assert!(plain.text.contains(&version));
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_events_paths_and_methods_make_no_series() {
    let program = Program::start(&[]).await;
    let send = async |method: &str, path: &str| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let body = b"{}".to_vec();
        let head = [
            ("content-type", "application/json"),
            ("authorization", "Bearer made-up"),
        ];
        program.client.raw(method, path, &head, body).await.unwrap();
    };
    send("POST", "/api/v1/events/made-up/line").await;
    let series = |scrape: &Scrape| scrape.text.lines().count();
    for round in 0..2 {
        let before = program.scrape(OPENMETRICS).await;
        for number in 0..30 {
            let name = format!("made-up-{number}");
            send("POST", &format!("/api/v1/events/{name}/line")).await;
            send("GET", &format!("/api/v1/events/{name}/line/ws")).await;
            send("GET", &format!("/api/v1/events/{name}/seats")).await;
            send("POST", &format!("/api/v1/events/{name}/holds")).await;
            send("GET", &format!("/api/v1/holds/{name}")).await;
            send("GET", &format!("/{name}")).await;
            send(&format!("BREW{number}"), "/api/v1/events").await;
            send(&format!("BREW{number}"), &format!("/{name}")).await;
        }
        let after = program.scrape(OPENMETRICS).await;
        assert!(!after.text.contains("made-up") && !after.text.contains("BREW"));
        assert!(after.text.contains(r#"method="other",route="none""#));
        if round == 1 {
            assert_eq!(series(&after), series(&before));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_series_of_an_event_end_with_it() {
    let program = Program::start(&[]).await;
    program.event("brief").await;
    program.event("other").await;
    let shown = async |event: &str| {
        let scrape = program.scrape("").await;
        let waiting = format!("fairline_line_waiting{{event=\"{event}\"}}");
        let joins = format!("fairline_line_joins_total{{event=\"{event}\"}}");
        let held = format!("fairline_seats{{event=\"{event}\",state=\"held\"}}");
        [waiting, joins, held].map(|series| scrape.value(&series).is_some())
    };
    for event in ["brief", "other"] {
        let all = async || shown(event).await == [true; 3];
        program.until("each event has series", all).await;
    }
    let path = "/api/v1/organiser/events/brief";
    let deleted = program.client.delete(path, KEY).await.unwrap();
    assert!(deleted.status.is_success(), "{}", deleted.body);
    program
        .until("its series end", async || {
            shown("brief").await == [false; 3]
        })
        .await;
    assert!(!program.scrape("").await.text.contains("\"brief\""));
    assert_eq!(shown("other").await, [true; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_100_events_have_series_and_those_are_the_longest_lines() {
    let program = Program::start(&[]).await;
    for number in 0..103 {
        let settings =
            json!({"id": format!("event-{number:03}"), "name": "One of many", "paused": true});
        let created = program.client.create_event(KEY, &settings, None).await;
        created.unwrap();
    }
    program.client.join("event-102").await.unwrap();
    let is_full = async || {
        let scrape = program.scrape("").await;
        scrape.value("fairline_line_events_left_out") == Some(3.0)
            && scrape.value("fairline_line_waiting{event=\"event-102\"}") == Some(1.0)
    };
    program.until("three are left out", is_full).await;
    let scrape = program.scrape("").await;
    let series = scrape.text.lines();
    let series = series.filter(|line| line.starts_with("fairline_line_waiting{"));
    assert_eq!(series.count(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_that_a_fan_was_told_is_counted_beside_the_true_one_once_they_are_admitted() {
    let stage = Stage::open().await;
    let admission = json!({"rate_per_minute": 60, "batch_seconds": 1, "max_active": 1000});
    stage.event("told", json!({"admission": admission})).await;
    let mut pass = String::new();
    for _ in 0..18 {
        pass = word(&stage.client.join("told").await.unwrap()["pass"]);
    }
    let mut socket = stage.client.watch("told", &pass).await.unwrap();
    let counts = || {
        let body = stage.fairline.metrics.render("").body;
        ["told", "true"].map(|wait| {
            let series = format!("fairline_line_wait_{wait}_seconds_count{{event=\"told\"}} ");
            let mut lines = body.lines();
            lines.find_map(|line| line.strip_prefix(&series).map(str::to_owned))
        })
    };
    let mut was_told = false;
    loop {
        let message = place(&mut socket).await;
        if message["state"] == "admitted" {
            break;
        }
        was_told |= message["eta_seconds"].is_object();
        assert_eq!(counts(), [(); 2].map(|()| Some("0".to_owned())));
        stage.clock.advance_ms(1000);
    }
    assert!(was_told, "the pace is measured within ten seconds");
    assert_eq!(counts(), [(); 2].map(|()| Some("1".to_owned())));
    let body = stage.fairline.metrics.render("").body;
    let outcomes = body
        .lines()
        .filter(|line| line.starts_with("fairline_line_waits_told_total{event=\"told\""));
    let ones = outcomes.clone().filter(|line| line.ends_with(" 1"));
    assert_eq!((outcomes.count(), ones.count()), (3, 1), "{body}");
}
