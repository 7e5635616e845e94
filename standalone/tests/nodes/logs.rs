//! Log lines as JSON, against the tables of `docs/logs.md`.

use crate::site::{Node, Site};
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// The fields of each message, by level and message.
fn listed() -> BTreeMap<(String, String), BTreeSet<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/logs.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, tables) = text.split_once("\n## Messages\n").unwrap();
    let rows = tables.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let level = cells[0].trim_start_matches("| ").trim_matches('`');
        let fields = cells[2]
            .split(',')
            .map(|field| field.trim_matches([' ', '`']));
        let fields = fields.filter(|field| !field.is_empty());
        let fields = fields.map(str::to_owned).collect();
        ((level.to_owned(), cells[1].to_owned()), fields)
    };
    rows.map(row).collect()
}

fn lines(node: &Node) -> Vec<Map<String, Value>> {
    let log = node.log();
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    lines.map(parse).collect()
}

fn text<'a>(line: &'a Map<String, Value>, field: &str) -> &'a str {
    line[field].as_str().unwrap()
}

fn is_hex(value: &Value, digits: usize) -> bool {
    let text = value.as_str().unwrap();
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[tokio::test]
async fn every_line_of_a_sale_and_of_an_outage_is_one_that_the_documents_list() {
    let settings = vec![
        (
            "FAIRLINE_LOG",
            "off,shared=debug,waiting_room=debug,checkout=debug".to_owned(),
        ),
        ("FAIRLINE_LOG_FORMAT", "json".to_owned()),
    ];
    let mut site = Site::of(vec![settings.clone()], vec![settings]).await;
    let open = json!({"rate_per_minute": 60_000, "batch_seconds": 1, "max_active": 100});
    site.event("arena", open).await;
    let (_, token) = site.admit("arena").await;
    site.buy("arena", &token).await;
    site.redis.kill();
    let line = "/api/v1/events/arena/line";
    let refused = site.client.raw(Method::POST, line, &[], Vec::new()).await;
    assert_eq!(refused.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    let from = Instant::now();
    while !site.rooms[0].log().contains("Redis cannot be used") {
        assert!(from.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let listed = listed();
    let mut seen = BTreeSet::new();
    for node in [&site.rooms[0], &site.checkout] {
        for line in lines(node) {
            let kind = (
                text(&line, "level").to_owned(),
                text(&line, "message").to_owned(),
            );
            let fields = listed.get(&kind);
            let fields = fields.unwrap_or_else(|| panic!("not listed: {line:?}"));
            assert!(text(&line, "timestamp").ends_with('Z'), "{line:?}");
            let ids = ["request_id", "trace_id"].map(|field| line.get(field));
            if let [Some(request_id), Some(trace_id)] = ids {
                assert!(is_hex(request_id, 16) && is_hex(trace_id, 32), "{line:?}");
            } else {
                assert_eq!(ids, [None, None], "{line:?}");
                assert!(!kind.1.starts_with("request"), "{line:?}");
            }
            let common = ["timestamp", "level", "target", "message"];
            for field in line.keys() {
                let is_id = ["request_id", "trace_id"].contains(&field.as_str());
                let is_common = common.contains(&field.as_str());
                assert!(is_id || is_common || fields.contains(field), "{line:?}");
            }
            seen.insert(kind.1);
        }
    }
    for message in [
        "serving",
        "request",
        "request failed",
        "Redis cannot be used",
    ] {
        assert!(seen.contains(message), "{message} in {seen:?}");
    }
}
