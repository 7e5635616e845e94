//! `loadtest overload`: finds how many orders a second a server takes, offers several times that,
//! and checks that it sells as before once the load is normal again, and that no confirmed order is
//! lost.

mod sale;
mod timeline;

use crate::report::{Report, histogram, round};
use crate::rush::{admit_all, open};
use crate::server::ServerArgs;
use client::{Client, Failed};
use hyper::Method;
use sale::{Load, RunningSale};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Share of the capacity that is offered before and after the overload.
const NORMAL: f64 = 0.6;
/// Share of normal goodput that counts as having recovered.
const RECOVERED: f64 = 0.95;
/// How long normal load is offered before the overload, and its first part that is not counted.
const BEFORE: Duration = Duration::from_secs(20);
const WARM_UP: Duration = Duration::from_secs(5);
/// How long normal load is offered after the overload.
const AFTER: Duration = Duration::from_secs(60);
/// Time over which goodput is measured after the overload.
const WINDOW: Duration = Duration::from_secs(5);
/// Last part of the load after the overload, by which the end is judged.
const END: Duration = Duration::from_secs(15);
/// Reasons to give up that are reported, and how much of each.
const REASONS_MAX: usize = 5;
const REASON_CHARACTERS_MAX: usize = 60;
/// Orders by which the capacity is measured.
const CAPACITY_ORDERS: usize = 1500;

/// Settings of the test.
#[derive(clap::Args, Clone, Debug)]
pub struct OverloadArgs {
    /// Server under test
    #[command(flatten)]
    pub server: ServerArgs,
    /// URL of the server's operations listener, for the number of requests that it refused
    #[arg(long)]
    pub operations: Option<String>,
    /// Overload, as a multiple of the capacity
    #[arg(long, default_value_t = 3.0)]
    pub times: f64,
    /// Seconds of overload
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Number of concurrent journeys by which the capacity is measured
    #[arg(long, default_value_t = 64)]
    pub concurrency: usize,
    /// Number of seats, one for each fan of the test
    #[arg(long, default_value_t = 60_000)]
    pub seats: usize,
    /// File for what happened in each second, as CSV; needs --operations
    #[arg(long, requires = "operations")]
    pub timeline: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the test.
///
/// # Errors
/// Fails if the server cannot be used at all.
pub async fn run(args: OverloadArgs) -> Result<Report, Failed> {
    let client = Client::new(&args.server.url);
    let event = format!("overload-{}", rand::random::<u32>());
    let mut report = Report::default();
    open(&client, &event, &args.server.organiser_key, args.seats).await?;
    let sale = RunningSale::new(client, event);
    let admit = |count| admit_all(&sale.client, &sale.event, count, args.concurrency);
    let capacity = sale
        .capacity(admit(CAPACITY_ORDERS).await?, args.concurrency)
        .await;
    report.add("capacity", round(capacity), "orders/s");
    let normal = |name, span| Load {
        name,
        rate: NORMAL * capacity,
        span,
    };
    let (before, after) = (
        normal("normal load", BEFORE),
        normal("normal load again", AFTER),
    );
    let overload = Load {
        name: "overload",
        rate: args.times * capacity,
        span: Duration::from_secs(args.seconds),
    };
    let needed = [&before, &overload, &after].map(|load| load.rate * load.span.as_secs_f64());
    let needed = needed.iter().sum::<f64>() as usize + args.concurrency;
    if needed + CAPACITY_ORDERS > args.seats {
        return Err(format!("--seats {} are needed", needed + CAPACITY_ORDERS));
    }
    let mut tokens = admit(needed).await?;
    let stop = CancellationToken::new();
    let timeline = start_timeline(&sale, &args, &stop);
    let mut fans = JoinSet::new();
    let before_offered = sale.offer(&mut fans, &mut tokens, &before).await?;
    let overload_offered = sale.offer(&mut fans, &mut tokens, &overload).await?;
    let after_offered = sale.offer(&mut fans, &mut tokens, &after).await?;
    fans.join_all().await;
    stop.cancel();
    if let Some(timeline) = timeline {
        timeline.await.map_err(|error| error.to_string())??;
    }
    let usual = sale.goodput(before_offered.began + WARM_UP, BEFORE - WARM_UP);
    report.add("offered before and after", round(before.rate), "orders/s");
    report.add("goodput before", round(usual), "orders/s");
    report.add("offered in overload", round(overload.rate), "orders/s");
    let during = sale.goodput(overload_offered.began, overload.span);
    report.add("goodput in overload", round(during), "orders/s");
    let offered = [&before_offered, &overload_offered, &after_offered];
    let latest = offered.map(|offered| offered.latest).into_iter().max();
    let latest = latest.unwrap_or_default().as_secs_f64() * 1000.0;
    report.add("fans sent late, at most", round(latest), "ms");
    let after_at = after_offered.began;
    report_recovery(&sale, usual, after_at, &mut report);
    report_end(&sale, &after, after_at, &mut report);
    report_latency(&sale, overload_offered.began, after_at, &mut report);
    report_given_up(&sale, &mut report);
    if let Some(operations) = &args.operations {
        report_refusals(operations, &mut report).await?;
    }
    check(&sale, &args.server.organiser_key, &mut report).await?;
    Ok(report)
}

fn start_timeline(
    sale: &RunningSale,
    args: &OverloadArgs,
    stop: &CancellationToken,
) -> Option<tokio::task::JoinHandle<Result<(), Failed>>> {
    let (path, operations) = (args.timeline.clone()?, args.operations.as_deref()?);
    let (sale, stop, client) = (sale.clone(), stop.clone(), Client::new(operations));
    let key = args.server.organiser_key.clone();
    Some(tokio::spawn(async move {
        timeline::write(&path, sale, client, key, stop).await
    }))
}

/// Reports when goodput was back, and that it was at the end.
fn report_recovery(sale: &RunningSale, usual: f64, after_at: Instant, report: &mut Report) {
    let windows = AFTER.as_secs() / WINDOW.as_secs();
    let goodput = |window: u64| sale.goodput(after_at + WINDOW * window as u32, WINDOW);
    let is_back = |window: &u64| goodput(*window) >= RECOVERED * usual;
    match (0..windows).find(is_back) {
        Some(window) => report.add("back after, at most", (window + 1) * WINDOW.as_secs(), "s"),
        None => report.violation("goodput did not come back"),
    }
    let at_the_end = sale.goodput(after_at + AFTER - END, END);
    report.add("goodput at the end", round(at_the_end), "orders/s");
    report.add("of that before", round(100.0 * at_the_end / usual), "%");
    if at_the_end < RECOVERED * usual {
        report.violation("goodput is not what it was");
    }
}

/// Reports how many of the fans who came at the end bought. Goodput alone could be that of fans who
/// came in the overload.
fn report_end(sale: &RunningSale, after: &Load, after_at: Instant, report: &mut Report) {
    let came = after.rate * END.as_secs_f64();
    let share = sale.bought(after_at + AFTER - END, END) as f64 / came;
    report.add("of the fans at the end, bought", round(100.0 * share), "%");
    if share < RECOVERED {
        report.violation("fans who came at the end did not buy");
    }
}

fn report_latency(sale: &RunningSale, from: Instant, to: Instant, report: &mut Report) {
    let mut latency = histogram();
    let confirmed = sale.confirmed.lock();
    for order in confirmed
        .iter()
        .filter(|order| order.at >= from && order.at < to)
    {
        let took = order.at - order.came_at;
        latency.saturating_record(took.as_micros() as u64);
    }
    report.add_latency("journeys in overload", &latency);
}

/// Reports how many fans ended without an order, and the most frequent reasons.
fn report_given_up(sale: &RunningSale, report: &mut Report) {
    let given_up = sale.given_up.lock();
    report.add("fans who gave up", given_up.len(), "");
    let mut reasons: HashMap<&str, usize> = HashMap::new();
    for reason in given_up.iter() {
        let start = reason.char_indices().nth(REASON_CHARACTERS_MAX);
        let start = start.map_or(reason.len(), |(end, _)| end);
        *reasons.entry(&reason[..start]).or_default() += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (reason, count) in reasons.into_iter().take(REASONS_MAX) {
        report.add(&format!("… {reason}"), count, "");
    }
}

async fn report_refusals(operations: &str, report: &mut Report) -> Result<(), Failed> {
    let client = Client::new(operations);
    let answer = client.raw(Method::GET, "/metrics", &[], Vec::new()).await?;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    for line in text.lines() {
        if let Some(counted) = line.strip_prefix("fairline_requests_shed_total{class=\"")
            && let Some((class, count)) = counted.split_once("\"} ")
        {
            report.add(&format!("refused, class {class}"), count, "");
        }
    }
    Ok(())
}

/// Checks that every order that was confirmed to a fan is booked, and no seat sold twice.
async fn check(sale: &RunningSale, organiser_key: &str, report: &mut Report) -> Result<(), Failed> {
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (client, event) = (&sale.client, &sale.event);
    let path = format!("/api/v1/organiser/events/{event}/sales");
    let sales = client.get(&path, organiser_key).await?.ok()?;
    let path = format!("/api/v1/events/{event}/seats");
    let map = client.get(&path, "").await?.ok()?;
    let seats = map["seats"].as_array().into_iter().flatten();
    let booked = seats.filter(|seat| seat["state"] == "booked");
    let booked: HashSet<&str> = booked.filter_map(|seat| seat["id"].as_str()).collect();
    let confirmed = sale.confirmed.lock();
    let mut owned = HashSet::new();
    for ticket in confirmed
        .iter()
        .flat_map(|order| order.order["tickets"].as_array())
    {
        for seat in ticket.iter().filter_map(|ticket| ticket["seat"].as_str()) {
            if !booked.contains(seat) {
                report.violation(format!("a confirmed order was lost: {seat} is not booked"));
            }
            if !owned.insert(seat) {
                report.violation(format!("a seat was sold twice: {seat}"));
            }
        }
    }
    if owned.len() != confirmed.len() {
        report.violation("a confirmed order has no ticket");
    }
    let count = |name: &str| sales[name].as_u64().unwrap_or(0);
    if count("available") + count("held") + count("booked") + count("blocked") != count("capacity")
    {
        report.violation(format!("the seats do not add up: {sales}"));
    }
    report.add("confirmed orders checked", confirmed.len(), "");
    Ok(())
}
