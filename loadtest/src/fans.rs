//! `loadtest fans`: many fans join over HTTP and watch over WebSocket; every position they receive
//! is checked against the true one.

use crate::process::Process;
use crate::report::{Report, histogram, progress, round};
use crate::server::ServerArgs;
use client::{Client, Failed, next};
use futures_util::stream::{self, StreamExt as _};
use parking_lot::Mutex;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Number of fans, from the front, whose positions must be at most one second old.
const NEAR: u64 = 1000;
/// Number of fans examined in each check of freshness.
const CHECKED: usize = 2000;
const UNKNOWN: u64 = u64::MAX;

/// Settings of the test.
#[derive(clap::Args, Clone, Debug)]
pub struct FansArgs {
    /// Server under test
    #[command(flatten)]
    pub server: ServerArgs,
    /// Number of fans
    #[arg(long, default_value_t = 18_000)]
    pub fans: usize,
    /// Number of concurrent requests
    #[arg(long, default_value_t = 128)]
    pub concurrency: usize,
    /// Seconds to watch after all have joined
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Fans per second that leave while positions are watched
    #[arg(long, default_value_t = 10)]
    pub leavers: usize,
    /// Stop after joining: no sockets
    #[arg(long)]
    pub joins_only: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Violations found by any task.
/// Messages received by the sockets of all fans.
#[derive(Clone, Default)]
struct Observed {
    /// Number of places.
    told: Arc<AtomicU64>,
    /// Positions that were wrong, as sentences.
    wrong: Arc<Mutex<Vec<String>>>,
}

struct WatchingFan {
    number: u64,
    pass: String,
    /// Latest `ahead` received by the fan.
    shown: AtomicU64,
    has_left: AtomicBool,
}

/// Departures with their times, in order.
#[derive(Default)]
struct Leaves(Mutex<Vec<(Instant, u64)>>);

impl Leaves {
    fn add(&self, number: u64) {
        self.0.lock().push((Instant::now(), number));
    }

    /// Returns how long the position shown to a fan has been out of date, or `None` if it was never
    /// the true one.
    fn age(&self, number: u64, shown: u64, now: Instant) -> Option<Duration> {
        let leaves = self.0.lock();
        let mut truth = number - 1;
        for (at, _) in leaves.iter().filter(|(_, left)| *left < number) {
            if truth == shown {
                // The position was true until this fan left.
                return Some(now - *at);
            }
            truth = truth.checked_sub(1)?;
        }
        (truth == shown).then_some(Duration::ZERO)
    }
}

/// Runs the test.
///
/// # Errors
/// Fails if the server cannot be used at all.
pub async fn run(args: FansArgs) -> Result<Report, Failed> {
    let client = Client::new(&args.server.url);
    let event = format!("fans-{}", rand::random::<u32>());
    let settings = json!({"id": event, "name": "Load test", "paused": true, "admission": {"away_seconds": 3600}});
    client
        .create_event(&args.server.organiser_key, &settings, None)
        .await?;
    let process = args.server.pid.map(Process);
    let mut report = Report::default();
    let idle = process.map(|process| process.memory_bytes());
    let fans = join_all(&client, &event, &args, &mut report).await?;
    if !args.joins_only {
        watch_all(&client, &event, &args, &fans, idle, &mut report).await;
    }
    client
        .delete(
            &format!("/api/v1/organiser/events/{event}"),
            &args.server.organiser_key,
        )
        .await?
        .ok()?;
    Ok(report)
}

async fn join_all(
    client: &Client,
    event: &str,
    args: &FansArgs,
    report: &mut Report,
) -> Result<Vec<Arc<WatchingFan>>, Failed> {
    let bar = progress("joining", args.fans as u64);
    let mut latency = histogram();
    let started = Instant::now();
    let joins = stream::iter(0..args.fans).map(|_| {
        let (client, event) = (client.clone(), event.to_owned());
        tokio::spawn(async move {
            let asked = Instant::now();
            (client.join(&event).await, asked.elapsed())
        })
    });
    let mut joins = joins.buffer_unordered(args.concurrency);
    let mut fans = Vec::with_capacity(args.fans);
    while let Some(joined) = joins.next().await {
        let (place, took) = joined.map_err(|error| error.to_string())?;
        let place = place?;
        latency.saturating_record(took.as_micros() as u64);
        bar.inc(1);
        fans.push(Arc::new(WatchingFan {
            number: place["number"].as_u64().unwrap_or(0),
            pass: place["pass"].as_str().unwrap_or("").to_owned(),
            shown: AtomicU64::new(UNKNOWN),
            has_left: AtomicBool::new(false),
        }));
    }
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    report.add("fans", args.fans, "");
    report.add(
        "joins, acknowledged",
        round(args.fans as f64 / seconds),
        "/s",
    );
    report.add_latency("join", &latency);
    fans.sort_by_key(|fan| fan.number);
    for (at, fan) in fans.iter().enumerate() {
        if fan.number != at as u64 + 1 {
            report.violation(format!("number {} where {} was due", fan.number, at + 1));
        }
    }
    Ok(fans)
}

async fn watch_all(
    client: &Client,
    event: &str,
    args: &FansArgs,
    fans: &[Arc<WatchingFan>],
    idle_bytes: Option<u64>,
    report: &mut Report,
) {
    let process = args.server.pid.map(Process);
    let seen = Observed::default();
    let leaves = Arc::new(Leaves::default());
    let watching = connect_all(client, event, args, fans, &seen, report).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let bytes_per_fan = process.zip(idle_bytes).map(|(process, idle)| {
        process.memory_bytes().saturating_sub(idle) / fans.len().max(1) as u64
    });
    if let Some(bytes) = bytes_per_fan {
        report.add("server memory a connected fan", bytes, "bytes");
    }
    let still = process.map(|process| process.measure());
    tokio::time::sleep(Duration::from_secs(20)).await;
    if let Some(measure) = still {
        report.add(
            "server cpu, all waiting, nobody moves",
            round(measure.percent()),
            "% of a core",
        );
    }
    let moving = process.map(|process| process.measure());
    let before = seen.told.load(Ordering::Relaxed);
    freshness(client, event, args, fans, &leaves, report).await;
    if let Some(measure) = moving {
        report.add(
            "server cpu, while some leave",
            round(measure.percent()),
            "% of a core",
        );
    }
    let messages = seen.told.load(Ordering::Relaxed) - before;
    report.add(
        "places told while some leave",
        round(messages as f64 / args.seconds as f64),
        "/s",
    );
    for task in watching {
        task.abort();
    }
    for what in seen.wrong.lock().drain(..) {
        report.violation(what);
    }
}

async fn connect_all(
    client: &Client,
    event: &str,
    args: &FansArgs,
    fans: &[Arc<WatchingFan>],
    seen: &Observed,
    report: &mut Report,
) -> Vec<tokio::task::JoinHandle<()>> {
    let started = Instant::now();
    let bar = progress("connecting", fans.len() as u64);
    let connecting = stream::iter(fans.to_vec()).map(|fan| {
        let (client, event) = (client.clone(), event.to_owned());
        let seen = seen.clone();
        let bar = bar.clone();
        async move {
            let opened = client.watch(&event, &fan.pass).await;
            bar.inc(1);
            match opened {
                Ok(socket) => Some(tokio::spawn(watch(socket, fan, seen))),
                Err(error) => {
                    note(&seen.wrong, error);
                    None
                }
            }
        }
    });
    let watching: Vec<_> = connecting
        .buffer_unordered(args.concurrency)
        .filter_map(std::future::ready)
        .collect()
        .await;
    bar.finish_and_clear();
    report.add("sockets opened", watching.len(), "");
    report.add(
        "sockets opened",
        round(watching.len() as f64 / started.elapsed().as_secs_f64()),
        "/s",
    );
    watching
}

/// Reads one fan's socket. A position never gets worse, and the number never changes.
async fn watch(mut socket: client::Socket, fan: Arc<WatchingFan>, seen: Observed) {
    while let Some(message) = next(&mut socket).await {
        if message["type"] != "place" || message["state"] != "waiting" {
            continue;
        }
        seen.told.fetch_add(1, Ordering::Relaxed);
        let ahead = message["ahead"].as_u64().unwrap_or(UNKNOWN);
        let before = fan.shown.swap(ahead, Ordering::Relaxed);
        if ahead > before || message["number"] != fan.number {
            note(
                &seen.wrong,
                format!(
                    "number {} was told {before} ahead, then {message}",
                    fan.number
                ),
            );
        }
    }
    if !fan.has_left.load(Ordering::Relaxed) {
        note(
            &seen.wrong,
            format!("the socket of number {} closed", fan.number),
        );
    }
}

fn note(wrong: &Mutex<Vec<String>>, what: String) {
    let mut wrong = wrong.lock();
    if wrong.len() < 100 {
        wrong.push(what);
    }
}

/// Lets fans leave, and checks once a second how old the positions shown to some fans are.
async fn freshness(
    client: &Client,
    event: &str,
    args: &FansArgs,
    fans: &[Arc<WatchingFan>],
    leaves: &Leaves,
    report: &mut Report,
) {
    let bar = progress("watching", args.seconds);
    let mut order: Vec<usize> = (0..fans.len()).collect();
    order.shuffle(&mut rand::rng());
    let mut leaving = order.into_iter();
    let mut ages = [histogram(), histogram()];
    let path = format!("/api/v1/events/{event}/line/me");
    for _ in 0..args.seconds {
        let second = tokio::time::sleep(Duration::from_secs(1));
        for at in leaving.by_ref().take(args.leavers) {
            let fan = &fans[at];
            fan.has_left.store(true, Ordering::Relaxed);
            match client.delete(&path, &fan.pass).await {
                Ok(_) => leaves.add(fan.number),
                Err(error) => report.violation(error),
            }
        }
        // Checks at a random moment of the second, not just after a departure.
        let moment_ms = rand::random_range(0..900);
        tokio::time::sleep(Duration::from_millis(moment_ms)).await;
        let now = Instant::now();
        let sample: Vec<&Arc<WatchingFan>> = fans.sample(&mut rand::rng(), CHECKED).collect();
        for fan in sample
            .into_iter()
            .filter(|fan| !fan.has_left.load(Ordering::Relaxed))
        {
            let shown = fan.shown.load(Ordering::Relaxed);
            match leaves.age(fan.number, shown, now) {
                Some(age) => {
                    let near = usize::from(shown >= NEAR);
                    ages[near].saturating_record(age.as_micros() as u64);
                }
                None => report.violation(format!(
                    "number {} was shown {shown} ahead, which never was",
                    fan.number
                )),
            }
        }
        bar.inc(1);
        second.await;
    }
    bar.finish_and_clear();
    report.add_latency("age of a position, first 1000", &ages[0]);
    report.add_latency("age of a position, all others", &ages[1]);
}
