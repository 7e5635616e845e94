//! `loadtest rush`: whole journeys to booked seats, then the books are checked through the API.

use crate::process::Process;
use crate::report::{Report, histogram, progress, round};
use crate::server::ServerArgs;
use client::{Client, Failed};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Settings of the test.
#[derive(clap::Args, Clone, Debug)]
pub struct RushArgs {
    /// Server under test
    #[command(flatten)]
    pub server: ServerArgs,
    /// Number of buying fans
    #[arg(long, default_value_t = 5000)]
    pub buyers: usize,
    /// Number of seats each of them buys
    #[arg(long, default_value_t = 2)]
    pub seats: usize,
    /// Number of concurrent journeys
    #[arg(long, default_value_t = 64)]
    pub concurrency: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the test.
///
/// # Errors
/// Fails if the server cannot be used at all.
pub async fn run(args: RushArgs) -> Result<Report, Failed> {
    let client = Client::new(&args.server.url);
    let event = format!("rush-{}", rand::random::<u32>());
    let mut report = Report::default();
    let seats = args.buyers * args.seats * 11 / 10;
    open(&client, &event, &args.server.organiser_key, seats).await?;
    let tokens = admit_all(&client, &event, args.buyers, args.concurrency).await?;
    let bar = progress("buying", args.buyers as u64);
    let cpu = args.server.pid.map(|pid| Process(pid).measure());
    let started = Instant::now();
    let mut latency = histogram();
    let journeys = stream::iter(tokens).map(|token| {
        let (client, event, seats) = (client.clone(), event.clone(), args.seats);
        tokio::spawn(async move {
            let began = Instant::now();
            (buy(&client, &event, &token, seats).await, began.elapsed())
        })
    });
    let mut journeys = journeys.buffer_unordered(args.concurrency);
    let mut orders = Vec::new();
    while let Some(done) = journeys.next().await {
        let (order, took) = done.map_err(|error| error.to_string())?;
        latency.saturating_record(took.as_micros() as u64);
        bar.inc(1);
        match order {
            Ok(order) => orders.push(order),
            Err(error) => report.violation(format!("a journey failed: {error}")),
        }
    }
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let seats = (orders.len() * args.seats) as f64;
    report.add("orders confirmed", orders.len(), "");
    report.add("seats booked durably", round(seats / seconds), "/s");
    report.add_latency("token to tickets", &latency);
    if let Some(cpu) = cpu {
        report.add("server cpu", round(cpu.percent()), "% of a core");
    }
    check(&client, &event, &args, &orders, &mut report).await?;
    Ok(report)
}

/// Creates an event with at least so many seats, which admits everyone.
pub(crate) async fn open(
    client: &Client,
    event: &str,
    organiser_key: &str,
    seats: usize,
) -> Result<(), Failed> {
    let settings = json!({"id": event, "name": "Rush", "admission": {"rate_per_minute": 6_000_000, "batch_seconds": 1,
        "max_active": 1_000_000, "claim_seconds": 3600, "session_seconds": 3600}});
    let per_row = 50usize;
    let rows = seats.div_ceil(per_row).max(1);
    let sections: Vec<Value> = (0..rows.div_ceil(100))
        .map(|at| json!({"id": format!("s{at}"), "category": "c", "rows": 100.min(rows - at * 100), "seats_per_row": per_row}))
        .collect();
    let plan =
        json!({"categories": [{"id": "c", "name": "Seats", "price": 4500}], "sections": sections});
    client
        .create_event(organiser_key, &settings, Some(plan))
        .await
}

/// Lets so many buyers join, and returns their tokens once all are admitted.
pub(crate) async fn admit_all(
    client: &Client,
    event: &str,
    buyers: usize,
    concurrency: usize,
) -> Result<Vec<String>, Failed> {
    let bar = progress("joining", buyers as u64);
    let joins = stream::iter(0..buyers).map(|_| {
        let (client, event) = (client.clone(), event.to_owned());
        tokio::spawn(async move { client.join(&event).await })
    });
    let joined: Vec<_> = joins.buffer_unordered(concurrency).collect().await;
    let mut passes = Vec::with_capacity(joined.len());
    for place in joined {
        let place = place.map_err(|error| error.to_string())??;
        passes.push(place["pass"].as_str().unwrap_or("").to_owned());
        bar.inc(1);
    }
    bar.finish_and_clear();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let path = format!("/api/v1/events/{event}/line/me");
    let asking = stream::iter(passes).map(|pass| {
        let (client, path) = (client.clone(), path.clone());
        async move {
            let place = client.get(&path, &pass).await?.ok()?;
            place["token"]
                .as_str()
                .map(str::to_owned)
                .ok_or(format!("not admitted: {place}"))
        }
    });
    asking
        .buffer_unordered(concurrency)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect()
}

/// Completes a purchase, from the token to a confirmed order.
///
/// # Errors
/// The server's refusal.
pub async fn buy(client: &Client, event: &str, token: &str, seats: usize) -> Result<Value, Failed> {
    let session = client
        .post(
            &format!("/api/v1/events/{event}/sessions"),
            token,
            json!({}),
        )
        .await?
        .ok()?;
    let session = session["session"].as_str().unwrap_or("").to_owned();
    let wish = json!({"best_available": {"quantity": seats}});
    let hold = client
        .post(&format!("/api/v1/events/{event}/holds"), &session, wish)
        .await?
        .ok()?;
    let order =
        json!({"hold": hold["id"], "buyer": {"name": "Ada Lovelace", "email": "ada@example.org"}});
    let order = client.post("/api/v1/orders", &session, order).await?.ok()?;
    let payment = order["payment"]["id"].as_str().unwrap_or("");
    let path = format!("/api/v1/payments/simulated/{payment}");
    let order = client
        .post(&path, &session, json!({"card": "4242424242424242"}))
        .await?
        .ok()?;
    if order["state"] == "confirmed" {
        Ok(order)
    } else {
        Err(format!("not confirmed: {order}"))
    }
}

/// Checks the invariants as far as the API shows them: no seat twice, nothing lost, the sums agree.
async fn check(
    client: &Client,
    event: &str,
    args: &RushArgs,
    orders: &[Value],
    report: &mut Report,
) -> Result<(), Failed> {
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let figures = async |what: &str| {
        let path = format!("/api/v1/organiser/events/{event}/{what}");
        client.get(&path, &args.server.organiser_key).await?.ok()
    };
    let sales = figures("sales").await?;
    let map = client
        .get(&format!("/api/v1/events/{event}/seats"), "")
        .await?
        .ok()?;
    let count = |name: &str| sales[name].as_u64().unwrap_or(0);
    if count("available") + count("held") + count("booked") + count("blocked") != count("capacity")
    {
        report.violation(format!("the seats do not add up: {sales}"));
    }
    let mut owned = HashSet::new();
    for order in orders {
        for ticket in order["tickets"].as_array().into_iter().flatten() {
            if !owned.insert(ticket["seat"].as_str().unwrap_or("").to_owned()) {
                report.violation(format!("a seat was sold twice: {ticket}"));
            }
        }
    }
    let booked: HashSet<String> = map["seats"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|seat| seat["state"] == "booked")
        .map(|seat| seat["id"].as_str().unwrap_or("").to_owned())
        .collect();
    if booked != owned {
        report.violation(format!(
            "{} seats are booked, {} were confirmed to fans",
            booked.len(),
            owned.len()
        ));
    }
    let total: i64 = orders
        .iter()
        .filter_map(|order| order["total"]["amount"].as_i64())
        .sum();
    if sales["revenue"]["amount"] != total {
        report.violation(format!(
            "the revenue is {}, the orders say {total}",
            sales["revenue"]["amount"]
        ));
    }
    let stats = figures("stats").await?;
    if stats["shopping"] != 0 || stats["total"]["finished"] != orders.len() {
        report.violation(format!("finished slots did not go back: {stats}"));
    }
    report.add("seats checked", owned.len(), "");
    Ok(())
}
