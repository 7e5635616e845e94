//! `loadtest payments faults`: many payments while requests to the provider and its webhooks go
//! wrong by chance, and the node is killed if asked for. Then the books of both are compared, order
//! by order, and by `fairline reconcile`.

use super::fan::shop;
use super::stage::{EVENT, PAUSE, PRICE, Stage, text};
use crate::private::KEY;
use crate::report::{Report, progress, round};
use client::Failed;
use futures_util::stream::{self, StreamExt as _};
use hyper::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::{Postgres, Trouble};

/// Longest time until every order has come to its end.
const QUIET_MAX: Duration = Duration::from_secs(600);
/// Time between two deaths of the node.
const KILL_EVERY: Duration = Duration::from_secs(15);
/// Number of orders in a page of the list.
const PAGE: usize = 1000;

/// Settings of the test.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct FaultsArgs {
    /// Number of orders of a round, after which the books are compared
    #[arg(long, default_value_t = 2000)]
    payments: usize,
    /// Requests and webhooks that go wrong, in percent
    #[arg(long, default_value_t = 5)]
    percent: u32,
    /// Rounds are begun for so many seconds; one round without it
    #[arg(long, default_value_t = 0)]
    seconds: u64,
    /// Kill the node again and again
    #[arg(long)]
    kills: bool,
    /// Number of fans at one time
    #[arg(long, default_value_t = 128)]
    concurrency: usize,
    /// Seed of what goes wrong
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Sums over all rounds.
#[derive(Default)]
struct Sums {
    rounds: usize,
    orders: usize,
    tickets: usize,
    requests: usize,
    kept: i64,
    kills: usize,
    seconds: f64,
}

pub(super) async fn run(args: &FaultsArgs, postgres: Option<&Postgres>) -> Result<Report, Failed> {
    let (mut report, mut sums) = (Report::default(), Sums::default());
    let began = Instant::now();
    loop {
        let seed = args.seed + sums.rounds as u64;
        round_of(args, postgres, seed, &mut sums, &mut report).await?;
        sums.rounds += 1;
        if began.elapsed().as_secs() >= args.seconds || !report.violations.is_empty() {
            break;
        }
    }
    report.add("rounds", sums.rounds, "");
    report.add("orders", sums.orders, "");
    report.add(
        "orders paid for",
        round(sums.orders as f64 / sums.seconds),
        "/s",
    );
    report.add("requests to the provider", sums.requests, "");
    report.add("deaths of the node", sums.kills, "");
    report.add("tickets that count", sums.tickets, "");
    report.add("money kept", sums.kept, "minor units");
    Ok(report)
}

async fn round_of(
    args: &FaultsArgs,
    postgres: Option<&Postgres>,
    seed: u64,
    sums: &mut Sums,
    report: &mut Report,
) -> Result<(), Failed> {
    let rules = json!({"hold_seconds": 60, "hold_max_seconds": 60});
    let stage = Arc::new(Stage::start(postgres, 2 * args.payments, &rules).await?);
    stage.connect().await;
    let tokens = stage.admit(args.payments).await?;
    stage.stripe.trouble(Trouble {
        percent: args.percent,
        seed,
        ..Trouble::default()
    });
    let began = Instant::now();
    let killing = args.kills.then(|| {
        let stage = stage.clone();
        tokio::spawn(async move { kill_again_and_again(&stage).await })
    });
    let bar = progress("paying", args.payments as u64);
    let fans = tokens.into_iter().enumerate().map(|(number, token)| {
        let stage = stage.clone();
        let chance = (number as u64 * 37 + seed) % 100;
        tokio::spawn(async move { shop(&stage, token, chance as u32).await })
    });
    let mut fans = stream::iter(fans).buffer_unordered(args.concurrency);
    while let Some(done) = fans.next().await {
        if let Err(failed) = done.map_err(|error| error.to_string())? {
            report.violation(format!("a fan was refused: {failed}"));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    sums.seconds += began.elapsed().as_secs_f64();
    if let Some(killing) = killing {
        killing.abort();
        if let Ok(Err(failed)) = killing.await {
            return Err(failed);
        }
        // It may have been aborted over a start.
        stage.node.lock().await.kill_and_start().await?;
        sums.kills += 1 + (began.elapsed().as_secs() / KILL_EVERY.as_secs()) as usize;
    }
    sums.requests += stage.stripe.calls().len();
    stage.stripe.heal();
    become_quiet(&stage).await?;
    compare(&stage, sums, report).await
}

/// Kills the node and starts it again, until this is aborted.
async fn kill_again_and_again(stage: &Stage) -> Result<(), Failed> {
    loop {
        tokio::time::sleep(KILL_EVERY).await;
        stage.node.lock().await.kill_and_start().await?;
    }
}

/// Waits until no order is open any more.
async fn become_quiet(stage: &Stage) -> Result<(), Failed> {
    let path = format!("/api/v1/organiser/events/{EVENT}/sales");
    let began = Instant::now();
    loop {
        let sales = stage.ask(Method::GET, &path, KEY, None).await?;
        let open = ["paying", "confirming", "declined", "refunding"];
        let count = |state: &&str| sales["orders"][state].as_u64().unwrap_or(0);
        if open.iter().map(count).sum::<u64>() == 0 {
            return Ok(());
        }
        if began.elapsed() > QUIET_MAX {
            let failed = format!("orders do not come to an end: {sales}");
            return Err(failed + &list(stage, &open).await?);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns the details of all orders in these states, one a line.
async fn list(stage: &Stage, states: &[&str]) -> Result<String, Failed> {
    let orders = format!("/api/v1/organiser/events/{EVENT}/orders");
    let path = format!("{orders}?limit={PAGE}");
    let page = stage.ask(Method::GET, &path, KEY, None).await?;
    let mut listed = String::new();
    for order in page["orders"].as_array().into_iter().flatten() {
        if states.contains(&&*text(&order["state"])) {
            let path = format!("{orders}/{}", text(&order["id"]));
            let details = stage.ask(Method::GET, &path, KEY, None).await?;
            listed.push_str(&format!("\n{details}"));
        }
    }
    Ok(listed)
}

/// Compares each order with what the provider has of it, the seats with the money, and both books by
/// the program's own command.
async fn compare(stage: &Stage, sums: &mut Sums, report: &mut Report) -> Result<(), Failed> {
    let mut of_provider = kept_by_provider(stage, report);
    let mut kept = 0;
    let mut after = String::new();
    loop {
        let path = format!("/api/v1/organiser/events/{EVENT}/orders?limit={PAGE}{after}");
        let page = stage.ask(Method::GET, &path, KEY, None).await?;
        for order in page["orders"].as_array().into_iter().flatten() {
            let theirs = of_provider.remove(&text(&order["id"])).unwrap_or(0);
            let ours = kept_of(order);
            if ours != theirs {
                report.violation(format!(
                    "the books have {ours}, the provider {theirs}: {order}"
                ));
            }
            kept += ours;
            sums.orders += 1;
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    for (order, theirs) in of_provider {
        report.violation(format!(
            "the provider has {theirs} for {order}, which is unknown"
        ));
    }
    let path = format!("/api/v1/organiser/events/{EVENT}/sales");
    let sales = stage.ask(Method::GET, &path, KEY, None).await?;
    let booked = sales["booked"].as_i64().unwrap_or(-1);
    if booked * PRICE != kept || sales["held"] != 0 || sales["revenue"]["amount"] != kept {
        report.violation(format!("money kept is {kept}: {sales}"));
    }
    sums.kept += kept;
    sums.tickets += booked as usize;
    let period = [
        "reconcile",
        "--from",
        "2020-01-01T00:00:00Z",
        "--to",
        "2100-01-01T00:00:00Z",
    ];
    let (code, said) = stage.node.lock().await.command(&period).await?;
    if code != Some(0) {
        report.violation(format!("reconcile: {said}"));
    }
    Ok(())
}

/// Returns what is kept of the money of an order, by the books.
fn kept_of(order: &Value) -> i64 {
    let amount = |field: &str| order[field]["amount"].as_i64().unwrap_or(0);
    match order["state"].as_str() {
        Some("confirmed" | "refunded") => amount("total") - amount("refunded"),
        Some("expired" | "cancelled") => 0,
        // It cannot be equal to anything.
        _ => i64::MIN,
    }
}

/// Returns the money that the provider has, by order.
fn kept_by_provider(stage: &Stage, report: &mut Report) -> HashMap<String, i64> {
    let mut kept: HashMap<String, i64> = HashMap::new();
    for intent in stage.stripe.intents() {
        if intent["status"] == "requires_capture" {
            report.violation(format!("money is reserved and nothing is done: {intent}"));
        }
        let id = text(&intent["id"]);
        let taken = intent["amount_received"].as_i64().unwrap_or(0);
        let order = text(&intent["metadata"]["order"]);
        *kept.entry(order).or_default() += taken - stage.stripe.refunded(&id);
    }
    kept
}
