//! Joins: into the store, beside Redis's own benchmark; over HTTP, beside nginx.

use super::bench::{Bench, LineArgs, PIPELINE};
use crate::report::{Report, median, progress, round};
use client::{Client, Failed};
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::{Server, free_port};

const KEY: &str = "loadtest-organiser-key";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Measures joins into the store: at depth, one at a time, and Redis's own benchmark of ZADD at the
/// same pipelining.
pub(super) async fn joins(args: &LineArgs, report: &mut Report) -> Result<(), Failed> {
    let (mut ours, mut single, mut zadd) = (Vec::new(), Vec::new(), Vec::new());
    let bar = progress("joins into the store", args.rounds as u64);
    for _ in 0..args.rounds {
        ours.push(Bench::start().await?.join(args.joins, 2 * PIPELINE).await);
        single.push(Bench::start().await?.join(args.joins / 20, 1).await);
        zadd.push(redis_benchmark(args.joins)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (ours, single, zadd) = (median(&mut ours), median(&mut single), median(&mut zadd));
    report.add("joins into Redis, at depth", ours.round(), "/s");
    report.add("joins into Redis, one a round trip", single.round(), "/s");
    report.add("redis-benchmark ZADD -P 1000", zadd.round(), "/s");
    report.add("ratio to ZADD", round(ours / zadd), "");
    report.add("ratio to one a round trip", round(ours / single), "");
    Ok(())
}

fn redis_benchmark(count: usize) -> Result<f64, Failed> {
    let server = testkit::Redis::start();
    let (socket, count) = (server.socket().display().to_string(), count.to_string());
    let pipeline = PIPELINE.to_string();
    let arguments = [
        "-s", &socket, "-t", "zadd", "-n", &count, "-r", "1000000", "-c", "1", "-P", &pipeline,
        "--csv",
    ];
    let output = Command::new("redis-benchmark").args(arguments).output();
    let output = output.map_err(|error| format!("redis-benchmark: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("\"ZADD"));
    let rate = line.and_then(|line| line.split(',').nth(1)?.trim_matches('"').parse().ok());
    rate.ok_or_else(|| format!("unexpected output of redis-benchmark: {text}"))
}

/// Measures joins through one node over HTTP, and nginx with a fixed body of the same size, from
/// the same generator.
pub(super) async fn over_http(args: &LineArgs, report: &mut Report) -> Result<(), Failed> {
    let (mut ours, mut nginx) = (Vec::new(), Vec::new());
    let bar = progress("joins over HTTP", args.rounds as u64);
    for _ in 0..args.rounds {
        let (_redis, _node, _folder, url) = node().await?;
        ours.push(post(&url, args.requests).await?);
        let (_nginx, _folder, url) = fixed().await?;
        nginx.push(post(&url, args.requests).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (ours, nginx) = (median(&mut ours), median(&mut nginx));
    report.add("joins over HTTP through one node", ours.round(), "/s");
    report.add("nginx, a fixed body", nginx.round(), "/s");
    report.add("ratio to nginx", round(ours / nginx), "");
    Ok(())
}

async fn node() -> Result<(testkit::Redis, Server, tempfile::TempDir, String), Failed> {
    let redis = testkit::Redis::start();
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let port = free_port();
    let binary = std::env::current_exe().map_err(|error| error.to_string())?;
    let binary = binary.with_file_name("waiting-room").display().to_string();
    let data = folder.path().join("data").display().to_string();
    let settings = [
        format!("FAIRLINE_LISTEN=127.0.0.1:{port}"),
        format!("FAIRLINE_OPS_LISTEN=127.0.0.1:{}", free_port()),
        format!("FAIRLINE_DATA={data}"),
        format!("FAIRLINE_LINE={}", redis.url()),
        format!("FAIRLINE_PASS_SECRET=pass-{SECRET}"),
        format!("FAIRLINE_SERVICE_KEY=service-{SECRET}"),
        format!("FAIRLINE_ORGANISER_KEY={KEY}"),
        "FAIRLINE_LOG=warn".to_owned(),
        "FAIRLINE_REQUESTS_PER_SECOND=0".to_owned(),
        "FAIRLINE_JOINS_PER_MINUTE=0".to_owned(),
        "FAIRLINE_REJOINS_PER_HOUR=0".to_owned(),
        "FAIRLINE_CONNECTIONS_PER_ADDRESS=0".to_owned(),
    ];
    let mut arguments: Vec<&str> = settings.iter().map(String::as_str).collect();
    arguments.push(&binary);
    let server = Server::start(folder.path(), "env", &arguments);
    let url = format!("http://127.0.0.1:{port}");
    let client = up(&url).await?;
    let event = json!({"id": "bench", "name": "Bench", "paused": true});
    client.create_event(KEY, &event, None).await?;
    Ok((redis, server, folder, url))
}

async fn fixed() -> Result<(Server, tempfile::TempDir, String), Failed> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let port = free_port();
    // As long as a place with its pass.
    let body = json!({"fixed": "x".repeat(480)});
    let conf = format!(
        "worker_processes auto; pid p; error_log e; events {{ worker_connections 4096; }} \
         http {{ access_log off; keepalive_requests 1000000; client_body_temp_path b; proxy_temp_path x; \
         fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; default_type application/json; \
         server {{ listen 127.0.0.1:{port}; return 201 '{body}'; }} }}"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, conf).map_err(|error| error.to_string())?;
    let (prefix, file) = (shown(folder.path()), shown(&file));
    let arguments = ["-p", &prefix, "-c", &file, "-g", "daemon off;"];
    let server = Server::start(folder.path(), "nginx", &arguments);
    let url = format!("http://127.0.0.1:{port}");
    up(&url).await?;
    Ok((server, folder, url))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

async fn up(url: &str) -> Result<Client, Failed> {
    let client = Client::new(url);
    let from = Instant::now();
    while client.get("/api/v1/events", "").await.is_err() {
        if from.elapsed() > Duration::from_secs(20) {
            return Err(format!("{url} did not start"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(client)
}

/// Sends `count` joins, 128 concurrently, and returns answers per second.
async fn post(url: &str, count: usize) -> Result<f64, Failed> {
    let client = Client::new(url);
    let from = Instant::now();
    let asking = stream::iter(0..count).map(|_| client.join("bench"));
    let answers: Vec<_> = asking.buffer_unordered(128).collect().await;
    let seconds = from.elapsed().as_secs_f64();
    answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(count as f64 / seconds)
}
