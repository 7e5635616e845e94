//! `loadtest night`: a night in small, from the opening of the line over the draw to the last seat,
//! with fans who behave as people do. It gives dashboards and alerts something to show.

mod fan;

use crate::report::{Report, progress};
use crate::server::ServerArgs;
use client::{Client, Failed};
use fan::{End, Fan, Night};
use serde_json::json;
use shared::time::Clock;
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Shares of the fans who come before the draw, and in the rush after it.
const EARLY: f64 = 0.5;
const RUSH: f64 = 0.3;
/// How long the rush takes, and in which time the last fans come.
const RUSH_SECONDS: f64 = 20.0;
const LATE_SECONDS: f64 = 120.0;
/// First address of the fans: the network 198.18.0.0/15 is reserved for load tests.
const ADDRESSES: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const ADDRESSES_MAX: usize = 1 << 17;
/// Places that a script wants from the draw on, from one address, and the time between two of its
/// requests.
const SCRIPTED: usize = 200;
const SCRIPT_PACE: Duration = Duration::from_millis(250);
/// Reasons to give up that are reported.
const REASONS_MAX: usize = 5;

/// Settings of the night.
#[derive(clap::Args, Clone, Debug)]
pub struct NightArgs {
    /// Server under test
    #[command(flatten)]
    pub server: ServerArgs,
    /// Number of fans
    #[arg(long, default_value_t = 1500)]
    pub fans: usize,
    /// Number of seats, in rows of 50
    #[arg(long, default_value_t = 1000)]
    pub seats: usize,
    /// Seconds between the opening of the line and the draw
    #[arg(long, default_value_t = 60)]
    pub early_seconds: u32,
    /// Fans admitted a minute
    #[arg(long, default_value_t = 150)]
    pub rate: u32,
    /// Seconds after which the night ends, sold out or not
    #[arg(long, default_value_t = 1200)]
    pub seconds_max: u64,
    /// Name an address for each fan in X-Forwarded-For, for a server that trusts this machine as a
    /// proxy
    #[arg(long)]
    pub addresses: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the night.
///
/// # Errors
/// Fails if the server cannot be used at all.
pub async fn run(args: NightArgs) -> Result<Report, Failed> {
    if args.fans >= ADDRESSES_MAX {
        return Err(format!("--fans: at most {}", ADDRESSES_MAX - 1));
    }
    let client = Client::new(&args.server.url);
    let night = Night {
        event: format!("night-{}", rand::random::<u16>()),
        is_over: CancellationToken::new(),
        orders: Arc::default(),
    };
    open(&client, &night.event, &args).await?;
    let mut report = Report::default();
    let mut visits = JoinSet::new();
    for at in 0..args.fans {
        let fan = Fan {
            client: client_of(&client, at, &args),
            night: night.clone(),
        };
        let comes = arrival(at as f64 / args.fans as f64, f64::from(args.early_seconds));
        visits.spawn(async move {
            tokio::time::sleep(comes).await;
            fan.visit().await
        });
    }
    let script = tokio::spawn(join_by_script(
        client_of(&client, args.fans, &args),
        night.event.clone(),
        Duration::from_secs(args.early_seconds.into()),
    ));
    let began = Instant::now();
    let ends = tokio::join!(watch(&client, &night, &args, &mut report), async {
        let bar = progress("fans who are done", args.fans as u64);
        let mut ends = Vec::with_capacity(args.fans);
        while let Some(end) = visits.join_next().await {
            bar.inc(1);
            ends.push(end.unwrap_or_else(|error| Err(error.to_string())));
        }
        bar.finish_and_clear();
        ends
    })
    .1;
    report.add("fans", args.fans, "");
    tally(ends, &mut report);
    let places = script.await.map_err(|error| error.to_string())?;
    report.add("places of a script", places, "");
    report.add("the night took", began.elapsed().as_secs(), "s");
    check(&client, &night, &args.server.organiser_key, &mut report).await?;
    Ok(report)
}

/// Creates the event, whose line opens now and whose sale opens with a draw.
async fn open(client: &Client, event: &str, args: &NightArgs) -> Result<(), Failed> {
    let now = Clock::system().now();
    let admission = json!({"rate_per_minute": args.rate, "batch_seconds": 5, "max_active": args.rate.max(10),
        "claim_seconds": 30, "session_seconds": 180, "away_seconds": 120});
    let settings = json!({"id": event, "name": "The night", "order": "draw", "prequeue_opens_at": now,
        "sale_opens_at": now.plus_seconds(args.early_seconds), "admission": admission});
    let rows = args.seats.div_ceil(50);
    let stalls = rows.div_ceil(2);
    let plan = json!({
        "categories": [{"id": "stalls", "name": "Stalls", "price": 6500}, {"id": "circle", "name": "Circle", "price": 4800}],
        "sections": [{"id": "st", "category": "stalls", "rows": stalls, "seats_per_row": 50},
            {"id": "ci", "category": "circle", "rows": (rows - stalls).max(1), "seats_per_row": 50}],
    });
    client
        .create_event(&args.server.organiser_key, &settings, Some(plan))
        .await
}

/// Returns when a fan comes: half of them before the draw, the more the nearer it is, most others
/// in a rush right after it.
fn arrival(share: f64, early_seconds: f64) -> Duration {
    let seconds = if share < EARLY {
        early_seconds * (share / EARLY).sqrt()
    } else if share < EARLY + RUSH {
        early_seconds + RUSH_SECONDS * (share - EARLY) / RUSH
    } else {
        let rest = (share - EARLY - RUSH) / (1.0 - EARLY - RUSH);
        early_seconds + RUSH_SECONDS + LATE_SECONDS * rest
    };
    Duration::from_secs_f64(seconds)
}

fn client_of(client: &Client, at: usize, args: &NightArgs) -> Client {
    if !args.addresses {
        return client.clone();
    }
    client.forwarded_for(IpAddr::V4(Ipv4Addr::from(ADDRESSES + at as u32)))
}

/// Joins many times from one address without ever coming, and returns the number of places
/// that it got.
async fn join_by_script(client: Client, event: String, after: Duration) -> usize {
    tokio::time::sleep(after).await;
    let mut pace = tokio::time::interval(SCRIPT_PACE);
    let mut places = 0;
    for _ in 0..SCRIPTED {
        pace.tick().await;
        places += usize::from(client.join(&event).await.is_ok());
    }
    places
}

/// Ends the night once it is sold out, or too long.
async fn watch(client: &Client, night: &Night, args: &NightArgs, report: &mut Report) {
    let ends = Instant::now() + Duration::from_secs(args.seconds_max);
    let path = format!("/api/v1/events/{}", night.event);
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // A server that is away for a moment does not end the night.
        let seen = client.get(&path, "").await;
        if seen.is_ok_and(|event| event.body["phase"] == "sold_out") {
            break;
        }
        if Instant::now() > ends {
            report.violation(format!("not sold out after {} s", args.seconds_max));
            break;
        }
    }
    night.is_over.cancel();
}

/// Reports how many fans ended in which way, and why fans gave up.
fn tally(ends: Vec<Result<End, Failed>>, report: &mut Report) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for end in ends {
        match end {
            Ok(end) => *counts.entry(end.name()).or_default() += 1,
            Err(reason) => {
                *counts.entry("fans who gave up").or_default() += 1;
                *reasons.entry(reason).or_default() += 1;
            }
        }
    }
    for (name, count) in counts {
        report.add(name, count, "");
    }
    for (reason, count) in reasons.into_iter().take(REASONS_MAX) {
        report.add(&format!("… {reason}"), count, "");
    }
}

/// Checks that each confirmed order is booked and no seat was sold twice.
async fn check(
    client: &Client,
    night: &Night,
    organiser_key: &str,
    report: &mut Report,
) -> Result<(), Failed> {
    let path = format!("/api/v1/organiser/events/{}/sales", night.event);
    let sales = client.get(&path, organiser_key).await?.ok()?;
    let path = format!("/api/v1/events/{}/seats", night.event);
    let map = client.get(&path, "").await?.ok()?;
    let seats = map["seats"].as_array().into_iter().flatten();
    let booked = seats.filter(|seat| seat["state"] == "booked");
    let booked: HashSet<&str> = booked.filter_map(|seat| seat["id"].as_str()).collect();
    let orders = night.orders.lock();
    let mut owned = HashSet::new();
    let tickets = orders
        .iter()
        .filter_map(|order| order["tickets"].as_array());
    for seat in tickets
        .flatten()
        .filter_map(|ticket| ticket["seat"].as_str())
    {
        if !booked.contains(seat) {
            report.violation(format!("a confirmed order was lost: {seat} is not booked"));
        }
        if !owned.insert(seat) {
            report.violation(format!("a seat was sold twice: {seat}"));
        }
    }
    report.add("orders confirmed", orders.len(), "");
    report.add("seats booked", sales["booked"].as_u64().unwrap_or(0), "");
    Ok(())
}
