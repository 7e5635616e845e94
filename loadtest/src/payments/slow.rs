//! `loadtest payments slow`: the writer's time for a commit while hundreds of payments wait for a
//! provider that takes seconds, beside the same orders with a provider that answers at once.

use super::stage::{EVENT, PAUSE, Stage, text};
use crate::report::{Report, histogram, round};
use client::{Client, Failed};
use hdrhistogram::Histogram;
use hyper::Method;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use testkit::{Postgres, Trouble};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

/// Largest number of orders of a fan in one part of the test.
const ORDERS_MAX: usize = 20;
/// Largest number of holds of the fan who does not pay, as many as a visitor may make.
const HOLDS_MAX: usize = 490;

/// Settings of the test.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct SlowProviderArgs {
    /// Number of payments under way at one time
    #[arg(long, default_value_t = 500)]
    in_flight: usize,
    /// Time that the provider takes, in milliseconds; each fan orders as often
    #[arg(long, default_value_t = 2000)]
    delay_ms: u64,
    /// Seconds of each of the two parts
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

pub(super) async fn run(
    args: &SlowProviderArgs,
    postgres: Option<&Postgres>,
) -> Result<Report, Failed> {
    let orders = (args.seconds * 1000 / args.delay_ms.max(1)) as usize;
    if orders == 0 || orders > ORDERS_MAX {
        return Err(format!(
            "--seconds: from one to {ORDERS_MAX} times --delay-ms"
        ));
    }
    let (mut report, mut means, mut sums) = (Report::default(), Vec::new(), Vec::new());
    for (name, delay) in [
        ("provider at once", Duration::ZERO),
        ("slow provider", Duration::from_millis(args.delay_ms)),
    ] {
        let part = part(args, postgres, orders, delay).await?;
        report.add(
            &format!("{name}: orders"),
            round(part.orders_per_second),
            "/s",
        );
        report.add(&format!("{name}: commits"), part.commits, "");
        report.add(
            &format!("{name}: time of a commit, mean"),
            round(part.mean_ms),
            "ms",
        );
        report.add(
            &format!("{name}: time of all commits for an order"),
            round(part.order_ms),
            "ms",
        );
        report.add_latency(&format!("{name}: hold of another fan"), &part.holds);
        means.push(part.mean_ms);
        sums.push(part.order_ms);
    }
    report.add(
        "time of a commit, slow to at once",
        round(means[1] / means[0]),
        "",
    );
    report.add(
        "time of all commits for an order, slow to at once",
        round(sums[1] / sums[0]),
        "",
    );
    Ok(report)
}

struct Part {
    orders_per_second: f64,
    commits: f64,
    mean_ms: f64,
    /// Time of all commits over the number of orders: a commit is for several of them.
    order_ms: f64,
    /// Time that a hold took of a fan who does not pay.
    holds: Histogram<u64>,
}

/// Has all fans order at an even pace, each as often as the slow provider could answer.
async fn part(
    args: &SlowProviderArgs,
    postgres: Option<&Postgres>,
    orders: usize,
    delay: Duration,
) -> Result<Part, Failed> {
    let rules = json!({"hold_seconds": 3600, "hold_max_seconds": 3600,
        "max_seats_per_visitor": ORDERS_MAX + 1});
    let seats = args.in_flight * (orders + 1) + 10;
    let stage = Arc::new(Stage::start(postgres, seats, &rules).await?);
    let mut tokens = stage.admit(args.in_flight + 1).await?;
    let probed = tokens.pop().ok_or("no fan was admitted")?;
    stage.stripe.trouble(Trouble {
        delay,
        ..Trouble::default()
    });
    let operations = Client::new(&stage.node.lock().await.operations);
    let before = flight(&operations).await?;
    let began = Instant::now();
    let mut fans = JoinSet::new();
    let pace = Duration::from_millis(args.delay_ms);
    let count = tokens.len() as u32;
    for (number, token) in tokens.into_iter().enumerate() {
        let (stage, first) = (stage.clone(), pace * number as u32 / count);
        fans.spawn(async move { order_evenly(&stage, token, orders, first, pace).await });
    }
    let is_over = CancellationToken::new();
    let probing = tokio::spawn(probe(stage.clone(), probed, is_over.clone()));
    while let Some(done) = fans.join_next().await {
        done.map_err(|error| error.to_string())??;
    }
    let seconds = began.elapsed().as_secs_f64();
    let after = flight(&operations).await?;
    stage.stripe.heal();
    is_over.cancel();
    let commits = after.commits - before.commits;
    let committing_ms = (after.seconds - before.seconds) * 1000.0;
    let orders = (args.in_flight * orders) as f64;
    Ok(Part {
        orders_per_second: orders / seconds,
        commits,
        mean_ms: committing_ms / commits.max(1.0),
        order_ms: committing_ms / orders,
        holds: probing.await.map_err(|error| error.to_string())??,
    })
}

/// Orders a seat at each beat, which is answered once the provider has, or a little later.
async fn order_evenly(
    stage: &Stage,
    token: String,
    orders: usize,
    first: Duration,
    pace: Duration,
) -> Result<(), Failed> {
    let mut beat = interval_at(Instant::now() + first, pace);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.tick().await;
    let mut session = stage.order(&token, 1).await?.session;
    for _ in 1..orders {
        beat.tick().await;
        session = stage.order_more(session, 1).await?.session;
    }
    Ok(())
}

/// Holds a seat and lets it go, again and again. Returns how long the holds took.
async fn probe(
    stage: Arc<Stage>,
    token: String,
    is_over: CancellationToken,
) -> Result<Histogram<u64>, Failed> {
    let path = format!("/api/v1/events/{EVENT}/sessions");
    let opened = stage.ask(Method::POST, &path, &token, Some(json!({})));
    let session = text(&opened.await?["session"]);
    let (path, mut took) = (format!("/api/v1/events/{EVENT}/holds"), histogram());
    for _ in 0..HOLDS_MAX {
        if is_over.is_cancelled() {
            break;
        }
        let wish = json!({"best_available": {"quantity": 1}});
        let from = Instant::now();
        let held = stage.ask(Method::POST, &path, &session, Some(wish)).await?;
        took.saturating_record(from.elapsed().as_micros() as u64);
        let held = format!("/api/v1/holds/{}", text(&held["id"]));
        stage.ask(Method::DELETE, &held, &session, None).await?;
        sleep(PAUSE).await;
    }
    Ok(took)
}

/// Commits of the writer of the inventory, and the seconds that they took together.
struct Flight {
    seconds: f64,
    commits: f64,
}

async fn flight(operations: &Client) -> Result<Flight, Failed> {
    let answer = operations
        .raw(Method::GET, "/metrics", &[], Vec::new())
        .await?;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    let read = |what: &str| {
        let name = format!("fairline_writer_flight_seconds_{what}{{writer=\"inventory\"}} ");
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(&name)?.parse().ok());
        value.ok_or(format!("there is no metric {name}"))
    };
    Ok(Flight {
        seconds: read("sum")?,
        commits: read("count")?,
    })
}
