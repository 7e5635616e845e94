//! Joins: into the store, beside Redis's own benchmark; over HTTP, beside nginx.

use super::bench::{Bench, LineArgs, PIPELINE};
use crate::private::{KEY, Private};
use crate::report::{Report, median, progress, round};
use client::{Client, Failed};
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use std::process::Command;
use std::time::Instant;

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
        let redis = testkit::Redis::start();
        let node = node(&redis).await?;
        ours.push(post(&node.client(), args.requests).await?);
        drop(node);
        let fixed = fixed().await?;
        nginx.push(post(&fixed.client(), args.requests).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (ours, nginx) = (median(&mut ours), median(&mut nginx));
    report.add("joins over HTTP through one node", ours.round(), "/s");
    report.add("nginx, a fixed body", nginx.round(), "/s");
    report.add("ratio to nginx", round(ours / nginx), "");
    Ok(())
}

async fn node(redis: &testkit::Redis) -> Result<Private, Failed> {
    let node = Private::program("waiting-room", &[("LINE", redis.url())]).await?;
    let event = json!({"id": "bench", "name": "Bench", "paused": true});
    node.client().create_event(KEY, &event, None).await?;
    Ok(node)
}

async fn fixed() -> Result<Private, Failed> {
    // As long as a place with its pass.
    let body = json!({"fixed": "x".repeat(480)});
    Private::nginx(|address| {
        format!(
            "default_type application/json; server {{ listen {address}; return 201 '{body}'; }}"
        )
    })
    .await
}

/// Sends `count` joins, 128 concurrently, and returns answers per second.
async fn post(client: &Client, count: usize) -> Result<f64, Failed> {
    let from = Instant::now();
    let asking = stream::iter(0..count).map(|_| client.join("bench"));
    let answers: Vec<_> = asking.buffer_unordered(128).collect().await;
    let seconds = from.elapsed().as_secs_f64();
    answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(count as f64 / seconds)
}
