//! The notifier on real message brokers, killed in the middle, with a loyalty programme and a search
//! engine that refuse what they should not be sent.

mod loyalty;
mod search;
mod stand_ins;

use crate::events::sale::{metric, readyz};
use crate::site::{KEY, Node};
use client::Client;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::free_port;

/// Longest wait for an effect, on a machine that does much else.
const EFFECT_MAX: Duration = Duration::from_secs(90);
/// Points for a whole unit of the currency.
const POINTS: i64 = 3;

/// Starts a notifier of the events of a sale, with these further settings.
fn start(folder: &Path, sale: &Node, events: &str, more: &[(&str, String)]) -> Node {
    let mut settings = vec![
        ("FAIRLINE_EVENTS", events.to_owned()),
        ("FAIRLINE_PUBLIC_URL", sale.url.clone()),
        ("FAIRLINE_WAITING_ROOM", sale.url.clone()),
        ("FAIRLINE_CHECKOUT", sale.url.clone()),
        ("FAIRLINE_CHECKOUT_KEY", KEY.to_owned()),
        ("FAIRLINE_LOYALTY_POINTS", POINTS.to_string()),
    ];
    settings.extend_from_slice(more);
    Node::new("notifier", folder, free_port(), &settings)
}

fn loyalty(url: &str) -> [(&'static str, String); 2] {
    [
        ("FAIRLINE_LOYALTY_URL", url.to_owned()),
        ("FAIRLINE_LOYALTY_TOKEN", stand_ins::TOKEN.to_owned()),
    ]
}

fn search(url: &str) -> [(&'static str, String); 2] {
    [
        ("FAIRLINE_SEARCH_URL", url.to_owned()),
        (
            "FAIRLINE_SEARCH_AUTHORIZATION",
            stand_ins::API_KEY.to_owned(),
        ),
    ]
}

/// Waits until something holds.
async fn until(what: &str, notifier: &Node, mut is_so: impl FnMut() -> bool) {
    let from = Instant::now();
    while !is_so() {
        let waited = from.elapsed();
        assert!(waited < EFFECT_MAX, "{what}: {}", notifier.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a metric has a value.
async fn until_metric(notifier: &Node, series: &str, value: f64) {
    readyz(notifier, |_| true).await;
    let from = Instant::now();
    while metric(notifier, series).await != value {
        let waited = from.elapsed();
        assert!(waited < EFFECT_MAX, "{series}: {}", notifier.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Ends a notifier by SIGTERM, as an operator does.
fn terminate(notifier: &mut Node) {
    let mut process = notifier.process.take().unwrap();
    process.signal("TERM");
    let from = Instant::now();
    let status = loop {
        match process.ended() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
        assert!(from.elapsed() < EFFECT_MAX, "{}", notifier.log());
    };
    assert!(status.success(), "{}", notifier.log());
}

/// Runs a command of the notifier; returns what it prints.
fn command(notifier: &Node, arguments: &[&str]) -> String {
    let output = notifier.run(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Checks that the metrics of the notifier are in the table of the documents, and no others are.
async fn metrics_are_documented(notifier: &Node) {
    let operations = notifier.setting("FAIRLINE_OPS_LISTEN");
    let operations = Client::new(&format!("http://{operations}"));
    let answer = operations.raw(hyper::Method::GET, "/metrics", &[], Vec::new());
    let text = String::from_utf8_lossy(answer.await.unwrap().body()).into_owned();
    let own = |name: &str| name.starts_with("fairline_notifier_");
    let shown = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let shown = shown.filter_map(|line| line.split(' ').next());
    let shown: BTreeSet<&str> = shown.filter(|name| own(name)).collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let table = std::fs::read_to_string(file).unwrap();
    let listed = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed = listed.filter_map(|line| line.split('`').next());
    let listed: BTreeSet<&str> = listed.filter(|name| own(name)).collect();
    assert_eq!(shown, listed);
}
