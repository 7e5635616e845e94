//! `loadtest payments webhooks`: webhooks as fast as one node takes them.

use super::stage::{PRICE, Stage, text};
use crate::report::{Report, histogram, progress, round};
use crate::wire::Wire;
use client::Failed;
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use shared::time::Clock;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::{Postgres, WebhookEvent};

/// Orders made at one time.
const AT_ONCE: usize = 64;
/// Longest time until the money of all is taken.
const TAKEN_MAX: Duration = Duration::from_secs(120);

/// Settings of the test.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct WebhooksArgs {
    /// Number of payments, each with two webhooks
    #[arg(long, default_value_t = 2000)]
    payments: usize,
    /// Number of connections of the provider
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

pub(super) async fn run(
    args: &WebhooksArgs,
    postgres: Option<&Postgres>,
) -> Result<Report, Failed> {
    let rules = json!({"hold_seconds": 3600, "hold_max_seconds": 3600});
    let stage = Arc::new(Stage::start(postgres, args.payments, &rules).await?);
    let tokens = stage.admit(args.payments).await?;
    let bar = progress("ordering", args.payments as u64);
    let orders = tokens.into_iter().map(|token| {
        let stage = stage.clone();
        tokio::spawn(async move { stage.order(&token, 1).await })
    });
    let mut orders = stream::iter(orders).buffer_unordered(AT_ONCE);
    while let Some(done) = orders.next().await {
        let ordered = done.map_err(|error| error.to_string())??;
        let secret = text(&ordered.order["payment"]["client_secret"]);
        let paid = stage.stripe.confirm(&secret, "pm_card_visa");
        paid.map_err(|why| why.to_string())?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut report = Report::default();
    let reserved = of_kind(&stage, "payment_intent.amount_capturable_updated");
    let sent = send(args, &stage, &reserved).await?;
    sent.report("that book seats and take money", &mut report);
    let began = Instant::now();
    let mut taken = of_kind(&stage, "payment_intent.succeeded");
    while taken.len() < args.payments && began.elapsed() < TAKEN_MAX {
        tokio::time::sleep(Duration::from_millis(50)).await;
        taken.extend(of_kind(&stage, "payment_intent.succeeded"));
    }
    let sent = send(args, &stage, &taken).await?;
    sent.report("that say what is known", &mut report);
    let sent = send(args, &stage, &taken).await?;
    sent.report("that are repeated", &mut report);
    let kept: i64 = stage
        .stripe
        .intents()
        .iter()
        .filter_map(|one| one["amount_received"].as_i64())
        .sum();
    if kept != PRICE * args.payments as i64 {
        report.violation(format!(
            "the provider has {kept} of {} payments",
            args.payments
        ));
    }
    Ok(report)
}

/// Takes the webhooks of a kind that happened; others are forgotten.
fn of_kind(stage: &Stage, kind: &str) -> Vec<WebhookEvent> {
    let mut events = stage.stripe.take_events();
    events.retain(|event| event.kind == kind);
    events
}

/// How webhooks were taken.
struct Sent {
    count: usize,
    seconds: f64,
    latency: hdrhistogram::Histogram<u64>,
    refused: Vec<Failed>,
}

impl Sent {
    fn report(self, which: &str, report: &mut Report) {
        let rate = round(self.count as f64 / self.seconds);
        report.add(&format!("webhooks {which}"), rate, "/s");
        report.add_latency(&format!("webhooks {which}"), &self.latency);
        for refused in self.refused {
            report.violation(format!("webhooks {which}: {refused}"));
        }
    }
}

/// Sends webhooks over some connections at once.
async fn send(args: &WebhooksArgs, stage: &Stage, events: &[WebhookEvent]) -> Result<Sent, Failed> {
    let address = stage.node.lock().await.address.clone();
    let now = u64::try_from(Clock::system().now().seconds()).unwrap_or(0);
    let requests: Vec<Vec<u8>> = events
        .iter()
        .map(|event| request(event, &address, now))
        .collect();
    let lots = requests.chunks(requests.len().div_ceil(args.connections).max(1));
    let began = Instant::now();
    let sending = lots.map(|lot| {
        let (lot, address) = (lot.to_vec(), address.clone());
        tokio::spawn(async move {
            let mut wire = Wire::new(&address);
            let mut answers = Vec::with_capacity(lot.len());
            for request in &lot {
                let from = Instant::now();
                let status = wire.send(request).await;
                answers.push((status, from.elapsed()));
            }
            answers
        })
    });
    let sending: Vec<_> = sending.collect();
    let mut sent = Sent {
        count: requests.len(),
        seconds: 0.0,
        latency: histogram(),
        refused: Vec::new(),
    };
    for lot in sending {
        for (status, took) in lot.await.map_err(|error| error.to_string())? {
            sent.latency.saturating_record(took.as_micros() as u64);
            match status {
                Ok(204) => {}
                Ok(status) => sent.refused.push(format!("answered {status}")),
                Err(failed) => sent.refused.push(failed),
            }
        }
    }
    sent.seconds = began.elapsed().as_secs_f64();
    Ok(sent)
}

fn request(event: &WebhookEvent, address: &str, now: u64) -> Vec<u8> {
    let (body, signature) = (&event.body, event.signature_at(now));
    format!(
        "POST /webhooks/stripe HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Stripe-Signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
