//! What happened in each second of the test, as CSV.

use super::sale::RunningSale;
use client::{Client, Failed};
use hyper::Method;
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);
const CLASSES: [&str; 3] = ["purchase", "enter", "browse"];
const PURCHASES: [&str; 3] = [
    "/api/v1/events/{event}/holds",
    "/api/v1/orders",
    "/api/v1/payments/simulated/{payment}",
];

/// Counts since the start, by column; rates are their differences.
type Counts = HashMap<String, f64>;

/// Writes a line each second until `stop`.
///
/// # Errors
/// If the file cannot be written.
pub(super) async fn write(
    path: &Path,
    sale: RunningSale,
    operations: Client,
    organiser_key: String,
    stop: CancellationToken,
) -> Result<(), Failed> {
    let mut file = BufWriter::new(File::create(path).map_err(|error| error.to_string())?);
    let mut columns = vec![
        "second",
        "load",
        "offered",
        "confirmed",
        "given_up",
        "under_way",
    ];
    columns.extend(["answered", "purchase_ms", "unavailable"]);
    let mut head = columns.join(",");
    for what in ["refused", "in_flight"] {
        for class in CLASSES {
            head.push_str(&format!(",{what}_{class}"));
        }
    }
    head.push_str(",limit,delay_ms,held,shopping");
    writeln!(file, "{head}").map_err(|error| error.to_string())?;
    let (started, mut before) = (Instant::now(), Counts::new());
    let mut pace = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = pace.tick() => {}
            () = stop.cancelled() => return file.flush().map_err(|error| error.to_string()),
        }
        let metrics = read_metrics(&operations).await;
        let sample = Sample {
            sale: &sale,
            metrics: &metrics,
            before: &before,
        };
        let mut line = sample.line(started.elapsed());
        for what in ["sales", "stats"] {
            let path = format!("/api/v1/organiser/events/{}/{what}", sale.event);
            let answer = sale.client.get(&path, &organiser_key).await;
            let figures = answer.map_or(Value::Null, |answer| answer.body);
            let name = if what == "sales" { "held" } else { "shopping" };
            line.push_str(&format!(",{}", figures[name]));
        }
        writeln!(file, "{line}").map_err(|error| error.to_string())?;
        before = metrics;
        before.extend(sale_counts(&sale));
    }
}

fn sale_counts(sale: &RunningSale) -> Counts {
    let count = |name: &str, value: usize| (name.to_owned(), value as f64);
    Counts::from([
        count("offered", sale.offered.load(Ordering::Relaxed)),
        count("confirmed", sale.confirmed.lock().len()),
        count("given_up", sale.given_up.lock().len()),
    ])
}

/// One line of the file in the making.
struct Sample<'a> {
    sale: &'a RunningSale,
    metrics: &'a Counts,
    before: &'a Counts,
}

impl Sample<'_> {
    fn line(&self, at: Duration) -> String {
        let now = sale_counts(self.sale);
        let since = |now: &Counts, name: &str| {
            let value = |counts: &Counts| counts.get(name).copied().unwrap_or(0.0);
            value(now) - value(self.before)
        };
        let ended = now["confirmed"] + now["given_up"];
        let mut cells = vec![at.as_secs().to_string(), self.sale.load.lock().to_string()];
        let mut push = |value: f64| cells.push(format!("{}", value.round()));
        for name in ["offered", "confirmed", "given_up"] {
            push(since(&now, name));
        }
        push(now["offered"] - ended);
        push(self.of_purchases("count", &since) + self.of_enter(&since));
        let answered = self.of_purchases("count", &since).max(1.0);
        push(1000.0 * self.of_purchases("sum", &since) / answered);
        push(since(self.metrics, "unavailable"));
        for class in CLASSES {
            push(since(
                self.metrics,
                &format!("fairline_requests_shed_total{{class=\"{class}\"}}"),
            ));
        }
        let gauge = |name: &str| self.metrics.get(name).copied().unwrap_or(0.0);
        for class in CLASSES {
            push(gauge(&format!(
                "fairline_requests_in_flight{{class=\"{class}\"}}"
            )));
        }
        push(gauge("fairline_requests_in_flight_limit"));
        push(1000.0 * gauge("fairline_runtime_delay_seconds"));
        cells.join(",")
    }

    /// Sum over the routes of purchases, of the count or the seconds of their requests.
    fn of_purchases(&self, what: &str, since: &impl Fn(&Counts, &str) -> f64) -> f64 {
        let name =
            |route| format!("fairline_request_seconds_{what}{{method=\"POST\",route=\"{route}\"}}");
        PURCHASES
            .iter()
            .map(|route| since(self.metrics, &name(route)))
            .sum()
    }

    fn of_enter(&self, since: &impl Fn(&Counts, &str) -> f64) -> f64 {
        let route = "/api/v1/events/{event}/sessions";
        let name =
            format!("fairline_requests_total{{method=\"POST\",route=\"{route}\",status=\"201\"}}");
        since(self.metrics, &name)
    }
}

/// Reads the server's metrics; none without an answer.
async fn read_metrics(operations: &Client) -> Counts {
    let answer = operations
        .raw(Method::GET, "/metrics", &[], Vec::new())
        .await;
    let body = answer.map(|answer| answer.into_body()).unwrap_or_default();
    let mut counts = Counts::new();
    for line in String::from_utf8_lossy(&body).lines() {
        let sample = line.split(" # ").next().unwrap_or(line);
        if let Some((name, value)) = sample.rsplit_once(' ')
            && let Ok(value) = value.parse::<f64>()
        {
            if name.starts_with("fairline_requests_total") && name.contains("status=\"503\"") {
                *counts.entry("unavailable".to_owned()).or_default() += value;
            }
            if name.starts_with("fairline_requests_shed_total") {
                *counts.entry("unavailable".to_owned()).or_default() -= value;
            }
            counts.insert(name.to_owned(), value);
        }
    }
    counts
}
