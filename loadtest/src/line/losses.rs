//! Rare events of a sale: the draw, and the loss of the store.

use super::bench::{Bench, LineArgs, PIPELINE, fill};
use crate::report::{Report, round};
use client::Failed;

use futures_util::stream::{self, StreamExt as _};
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::sync::Arc;
use std::time::{Duration, Instant};
use waiting_room::line::{Embedded, EventSettings, Line, Order, Patch, Redis};

/// Measures the duration of a draw among this many, and of another event's joins meanwhile.
pub(super) async fn draw(args: &LineArgs, report: &mut Report) -> Result<(), Failed> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let server = testkit::Redis::start();
    let on_redis = Redis::open(&server.url(), folder.path().join("notes"), Clock::system())?;
    let embedded = Embedded::open(folder.path().join("line"), Clock::system())?;
    let engines: [(&str, Arc<dyn Line>); 2] = [
        ("Redis", Arc::new(on_redis)),
        ("embedded", Arc::new(embedded)),
    ];
    for (name, line) in engines {
        let (seconds, slowest) = draw_on(&line, args.waiting).await?;
        report.add(&format!("a draw among all, {name}"), round(seconds), "s");
        let what = format!("slowest join of another event meanwhile, {name}");
        report.add(&what, round(slowest), "ms");
    }
    Ok(())
}

async fn draw_on(line: &Arc<dyn Line>, count: usize) -> Result<(f64, f64), Failed> {
    let said = |error: waiting_room::line::Refused| error.to_string();
    let (drawn, other) = (EventId::parse("drawn")?, EventId::parse("other")?);
    let now = Clock::system().now();
    let settings = EventSettings {
        order: Order::Draw,
        prequeue_opens_at: Some(now),
        sale_opens_at: Some(now.plus_seconds(3600)),
        ..EventSettings::new(drawn.clone(), "Drawn")
    };
    line.create(settings).await.map_err(said)?;
    let settings = EventSettings::new(other.clone(), "Other");
    line.create(settings).await.map_err(said)?;
    for _ in 0..count / PIPELINE {
        let visitors: Vec<VisitorId> = (0..PIPELINE).map(|_| VisitorId::random()).collect();
        line.join(&drawn, &visitors).await.map_err(said)?;
    }
    line.tick(&drawn).await.map_err(said)?;
    let opened = Patch {
        sale_opens_at: Some(Some(Clock::system().now())),
        ..Patch::default()
    };
    line.configure(&drawn, opened).await.map_err(said)?;
    let from = Instant::now();
    let ticking = async {
        // A tick may time out while the draw continues.
        while line.tick(&drawn).await.map_or(0, |front| front.drawn) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        from.elapsed().as_secs_f64()
    };
    let mut slowest = 0.0f64;
    let joining = async {
        loop {
            let begun = Instant::now();
            let joined = line.join(&other, &[VisitorId::random()]).await;
            let took = begun.elapsed().as_secs_f64() * 1000.0;
            slowest = slowest.max(if joined.is_ok() { took } else { f64::INFINITY });
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let seconds = tokio::select! {
        seconds = ticking => seconds,
        () = joining => 0.0,
    };
    Ok((seconds, slowest))
}

/// Measures the time until 100,000 connected fans have their places back after Redis lost its data.
pub(super) async fn loss(report: &mut Report) -> Result<(), Failed> {
    const FANS: usize = 100_000;
    let said = |error: waiting_room::line::Refused| error.to_string();
    let bench = Bench::start().await?;
    let visitors = fill(&bench, FANS).await?;
    let watching = stream::iter(&visitors).map(|who| bench.line.back(&bench.event, *who));
    let watched: Vec<_> = watching.buffer_unordered(2 * PIPELINE).collect().await;
    watched
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(said)?;
    bench.line.tick(&bench.event).await.map_err(said)?;
    bench.server.ask(&["FLUSHALL"]);
    let from = Instant::now();
    let all = FANS.to_string();
    let back = || bench.server.ask(&["ZCARD", "fairline:{bench}:waiting"]);
    while back().as_deref() != Some(all.as_str()) {
        if from.elapsed() > Duration::from_secs(60) {
            report.violation("not all connected fans came back");
            break;
        }
        bench.line.tick(&bench.event).await.map_err(said)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = round(from.elapsed().as_secs_f64());
    report.add(
        "100,000 connected fans are back after FLUSHALL",
        seconds,
        "s",
    );
    for (visitor, number) in visitors.iter().zip(1u64..).step_by(997) {
        let spot = bench
            .line
            .place(&bench.event, *visitor)
            .await
            .map_err(said)?;
        if spot.map(|spot| (spot.number, spot.ahead)) != Some((number, number - 1)) {
            report.violation(format!("number {number} is not what it was"));
        }
    }
    Ok(())
}
