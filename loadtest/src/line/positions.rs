//! Positions: the cost of a tick, the cost per fan, the same by ZRANK, and the duration of scripts.

use super::bench::{Bench, LineArgs, PIPELINE, fill};
use crate::process::Process;
use crate::report::{Report, median, progress, round};
use client::Failed;
use futures_util::stream::{self, StreamExt as _};
use redis::Value;
use redis::aio::MultiplexedConnection;
use shared::ids::VisitorId;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Measures the cost of a tick with this many waiting, their memory in Redis, and the same
/// positions by ZRANK.
pub(super) async fn positions(args: &LineArgs, report: &mut Report) -> Result<(), Failed> {
    let bench = Bench::start().await?;
    let empty = bench.info("memory", "used_memory:");
    let visitors = fill(&bench, args.waiting).await?;
    let memory = (bench.info("memory", "used_memory:") - empty) / args.waiting as f64;
    report.add("Redis memory a waiting fan", round(memory), "bytes");
    let few = Bench::start().await?;
    fill(&few, 1000).await?;
    for (bench, name) in [(&few, "1,000"), (&bench, "all")] {
        let messages = messages(bench).await?;
        report.add(
            &format!("messages to Redis a tick, {name} waiting"),
            messages,
            "",
        );
    }
    // Some fans leave, so that positions differ from numbers.
    let leaving = stream::iter(visitors.iter().step_by(10))
        .map(|visitor| bench.line.leave(&bench.event, *visitor));
    let left: Vec<_> = leaving.buffer_unordered(PIPELINE).collect().await;
    left.into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let waiting: Vec<(u64, VisitorId)> = (1..)
        .zip(visitors.iter().copied())
        .filter(|(number, _)| number % 10 != 1)
        .collect();
    let mut connection = bench.connect().await?;
    rank_set(&mut connection, &waiting).await?;
    let (mut ticks, mut nodes, mut ours, mut zrank) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let bar = progress("positions", args.rounds as u64);
    for _ in 0..args.rounds {
        let (tick, node) = tick_cost(&bench).await?;
        ticks.push(tick);
        nodes.push(node);
        let from = Instant::now();
        let front = bench
            .line
            .tick(&bench.event)
            .await
            .map_err(|error| error.to_string())?;
        let by_bitmap: Vec<u64> = waiting
            .iter()
            .map(|(number, _)| front.alive.ahead(*number))
            .collect();
        ours.push(from.elapsed().as_secs_f64() * 1000.0);
        let from = Instant::now();
        let by_rank = ranks(&mut connection, &waiting).await?;
        zrank.push(from.elapsed().as_secs_f64() * 1000.0);
        let differ = by_bitmap
            .iter()
            .zip(&by_rank)
            .filter(|(ours, theirs)| ours != theirs)
            .count();
        if differ > 0 {
            report.violation(format!("{differ} positions differ from ZRANK"));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (ours, zrank) = (median(&mut ours), median(&mut zrank));
    report.add("a tick in Redis", round(median(&mut ticks)), "ms");
    report.add("a tick in the node", round(median(&mut nodes)), "ms");
    report.add("all positions by one tick", round(ours), "ms");
    report.add("all positions by pipelined ZRANK", zrank.round(), "ms");
    report.add("ratio to ZRANK", round(zrank / ours), "");
    slowest_script(&bench, &visitors, report).await
}

/// Measures every operation a hundred thousand times, with all waiting: the longest duration of a
/// script by Redis's own measurement, and the number of scripts over 5 ms.
async fn slowest_script(
    bench: &Bench,
    visitors: &[VisitorId],
    report: &mut Report,
) -> Result<(), Failed> {
    let said = |error: waiting_room::line::Refused| error.to_string();
    let (line, event) = (&bench.line, &bench.event);
    let log = [
        ("slowlog-log-slower-than", "1000"),
        ("slowlog-max-len", "100000"),
    ];
    for (name, value) in log {
        bench.server.ask(&["CONFIG", "SET", name, value]);
    }
    bench.server.ask(&["SLOWLOG", "RESET"]);
    let some = &visitors[..visitors.len().min(100_000)];
    for round in 0..3 {
        let doing = stream::iter(some).map(|who| async move {
            match round {
                0 => line.back(event, *who).await.map(drop),
                1 => line.place(event, *who).await.map(drop),
                _ => line.away(event, *who).await,
            }
        });
        let done: Vec<_> = doing.buffer_unordered(2 * PIPELINE).collect().await;
        done.into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(said)?;
    }
    // As many fans as possible are admitted at once and lapse, as do those who are away.
    let open = r#"{"admission": {"rate_per_minute": 6000000, "batch_seconds": 1, "max_active": 50000,
        "claim_seconds": 2, "away_seconds": 1}}"#;
    let open = serde_json::from_str(open).map_err(|error| error.to_string())?;
    line.configure(event, open).await.map_err(said)?;
    for _ in 0..20 {
        line.tick(event).await.map_err(said)?;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let mut connection = bench.connect().await?;
    let slow = slow_log(&mut connection).await?;
    let longest = slow.iter().max().copied().unwrap_or(0);
    let over = slow.iter().filter(|usec| **usec > 5000).count();
    report.add(
        "slowest script of all operations",
        round(longest as f64 / 1000.0),
        "ms",
    );
    report.add("scripts over 5 ms", over, "");
    Ok(())
}

/// Returns the duration of each entry of the slow log, in microseconds.
async fn slow_log(connection: &mut MultiplexedConnection) -> Result<Vec<i64>, Failed> {
    let mut command = redis::cmd("SLOWLOG");
    command.arg("GET").arg(100_000);
    let answer: Result<Value, _> = command.query_async(connection).await;
    let Value::Array(entries) = answer.map_err(|error| error.to_string())? else {
        return Ok(Vec::new());
    };
    let took = |entry: &Value| match entry {
        Value::Array(parts) => match parts.get(2) {
            Some(Value::Int(usec)) => Some(*usec),
            _ => None,
        },
        _ => None,
    };
    Ok(entries.iter().filter_map(took).collect())
}

/// Returns the number of commands sent per tick, measured over a hundred ticks.
async fn messages(bench: &Bench) -> Result<f64, Failed> {
    bench
        .line
        .tick(&bench.event)
        .await
        .map_err(|error| error.to_string())?;
    bench.server.ask(&["CONFIG", "RESETSTAT"]);
    for _ in 0..100 {
        bench
            .line
            .tick(&bench.event)
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok(bench.info("commandstats", "cmdstat_evalsha:calls=") / 100.0)
}

/// Returns the milliseconds a tick takes in Redis, by its own measurement, and in this process.
async fn tick_cost(bench: &Bench) -> Result<(f64, f64), Failed> {
    const TICKS: u32 = 200;
    bench.server.ask(&["CONFIG", "RESETSTAT"]);
    let process = Process(std::process::id());
    let before = process.cpu_seconds();
    for _ in 0..TICKS {
        let front = bench.line.tick(&bench.event).await;
        black_box(front.map_err(|error| error.to_string())?);
    }
    let node = (process.cpu_seconds() - before) * 1000.0 / f64::from(TICKS);
    let redis = bench.info("commandstats", "cmdstat_evalsha:calls=200,usec=");
    Ok((redis / 1000.0 / f64::from(TICKS), node))
}

async fn rank_set(
    connection: &mut MultiplexedConnection,
    waiting: &[(u64, VisitorId)],
) -> Result<(), Failed> {
    for some in waiting.chunks(PIPELINE) {
        let mut command = redis::cmd("ZADD");
        command.arg("ranks");
        for (number, visitor) in some {
            command.arg(*number).arg(&visitor.0.to_be_bytes()[..]);
        }
        let added: Result<Value, _> = command.query_async(connection).await;
        added.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn ranks(
    connection: &mut MultiplexedConnection,
    waiting: &[(u64, VisitorId)],
) -> Result<Vec<u64>, Failed> {
    let mut all = Vec::with_capacity(waiting.len());
    for some in waiting.chunks(PIPELINE) {
        let mut pipeline = redis::Pipeline::with_capacity(some.len());
        for (_, visitor) in some {
            pipeline
                .cmd("ZRANK")
                .arg("ranks")
                .arg(&visitor.0.to_be_bytes()[..]);
        }
        let ranks: Vec<u64> = pipeline
            .query_async(connection)
            .await
            .map_err(|error| error.to_string())?;
        all.extend(ranks);
    }
    Ok(all)
}
