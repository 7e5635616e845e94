//! `loadtest overload`: finds how many orders a second a server takes, offers several times that,
//! and checks that it sells as before once the load is normal again, and that no confirmed order is
//! lost.

use crate::report::{Report, histogram, progress, round};
use crate::rush::{admit_all, buy, open};
use crate::server::ServerArgs;
use client::{Client, Failed};
use futures_util::stream::{self, StreamExt as _};
use hyper::Method;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

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
/// After this a fan gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two lots of fans.
const PACE: Duration = Duration::from_millis(10);
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
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// An order that the server confirmed to its buyer.
struct Confirmed {
    at: Instant,
    took: Duration,
    order: Value,
}

/// A sale under way.
#[derive(Clone)]
struct RunningSale {
    client: Client,
    event: String,
    confirmed: Arc<Mutex<Vec<Confirmed>>>,
    /// Journeys that ended without an order, as sentences.
    given_up: Arc<Mutex<Vec<String>>>,
}

impl RunningSale {
    /// Simulates one fan, who looks at the map and buys a seat.
    async fn journey(self, token: String) {
        let began = Instant::now();
        let journey = async {
            let seats = format!("/api/v1/events/{}/seats", self.event);
            let bits = [("accept", "application/octet-stream")];
            // Without a map the fan takes the best seats.
            let _ = self
                .client
                .raw(Method::GET, &seats, &bits, Vec::new())
                .await;
            buy(&self.client, &self.event, &token, 1).await
        };
        let outcome = tokio::time::timeout(PATIENCE, journey).await;
        match outcome.unwrap_or_else(|_| Err("out of patience".to_owned())) {
            Ok(order) => self.confirmed.lock().push(Confirmed {
                at: Instant::now(),
                took: began.elapsed(),
                order,
            }),
            Err(error) => self.given_up.lock().push(error),
        }
    }

    /// Sends fans at a rate, whatever becomes of them, and returns when that began.
    async fn offer(
        &self,
        fans: &mut JoinSet<()>,
        tokens: &mut Vec<String>,
        load: &Load,
    ) -> Result<Instant, Failed> {
        let bar = progress(load.name, load.span.as_secs());
        let began = Instant::now();
        let mut sent = 0;
        let mut pace = tokio::time::interval(PACE);
        while began.elapsed() < load.span {
            pace.tick().await;
            let due = (began.elapsed().min(load.span).as_secs_f64() * load.rate) as usize;
            for _ in sent..due {
                let token = tokens.pop().ok_or("more --seats are needed")?;
                fans.spawn(self.clone().journey(token));
            }
            sent = sent.max(due);
            while fans.try_join_next().is_some() {}
            bar.set_position(began.elapsed().as_secs());
        }
        bar.finish_and_clear();
        Ok(began)
    }

    /// Returns the orders confirmed per second in a span of time.
    fn goodput(&self, from: Instant, span: Duration) -> f64 {
        let confirmed = self.confirmed.lock();
        let within = |order: &&Confirmed| order.at >= from && order.at < from + span;
        confirmed.iter().filter(within).count() as f64 / span.as_secs_f64()
    }

    /// Measures how many orders a second the server confirms to a fixed number of concurrent fans.
    async fn capacity(&self, tokens: Vec<String>, concurrency: usize) -> f64 {
        let began = Instant::now();
        let journeys = stream::iter(tokens).map(|token| tokio::spawn(self.clone().journey(token)));
        let _: Vec<_> = journeys.buffer_unordered(concurrency).collect().await;
        self.confirmed.lock().len() as f64 / began.elapsed().as_secs_f64()
    }
}

/// Load that is offered for a while.
struct Load {
    name: &'static str,
    /// Fans per second.
    rate: f64,
    span: Duration,
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
    let sale = RunningSale {
        client,
        event,
        confirmed: Arc::default(),
        given_up: Arc::default(),
    };
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
    let mut fans = JoinSet::new();
    let before_at = sale.offer(&mut fans, &mut tokens, &before).await?;
    let overload_at = sale.offer(&mut fans, &mut tokens, &overload).await?;
    let after_at = sale.offer(&mut fans, &mut tokens, &after).await?;
    fans.join_all().await;
    let usual = sale.goodput(before_at + WARM_UP, BEFORE - WARM_UP);
    report.add("offered before and after", round(before.rate), "orders/s");
    report.add("goodput before", round(usual), "orders/s");
    report.add("offered in overload", round(overload.rate), "orders/s");
    let during = sale.goodput(overload_at, overload.span);
    report.add("goodput in overload", round(during), "orders/s");
    report_recovery(&sale, usual, after_at, &mut report);
    report_latency(&sale, overload_at, after_at, &mut report);
    report_given_up(&sale, &mut report);
    if let Some(operations) = &args.operations {
        report_refusals(operations, &mut report).await?;
    }
    check(&sale, &args.server.organiser_key, &mut report).await?;
    Ok(report)
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
    let last = 3 * WINDOW;
    let at_the_end = sale.goodput(after_at + AFTER - last, last);
    report.add("goodput at the end", round(at_the_end), "orders/s");
    report.add("of that before", round(100.0 * at_the_end / usual), "%");
    if at_the_end < RECOVERED * usual {
        report.violation("goodput is not what it was");
    }
}

fn report_latency(sale: &RunningSale, from: Instant, to: Instant, report: &mut Report) {
    let mut latency = histogram();
    let confirmed = sale.confirmed.lock();
    for order in confirmed
        .iter()
        .filter(|order| order.at >= from && order.at < to)
    {
        latency.saturating_record(order.took.as_micros() as u64);
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
