//! Buyers: each wants a certain pair of seats, popular ones more often, then the best available
//! ones; and records its answers.

use super::strategy::Wanted;
use crate::report::histogram;
use crate::wire::parse_head;
use client::Failed;
use hdrhistogram::Histogram;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Time after which a request counts as unanswered.
const ANSWER: Duration = Duration::from_secs(10);
/// Interval between two polls of a queue.
const POLL: Duration = Duration::from_millis(20);
/// Time after which a buyer without an answer gives up.
const GIVE_UP: Duration = Duration::from_secs(60);

/// Wishes distributed by Zipf's law: the pair of rank n is wanted 1/n as often as the first.
pub(super) struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    pub(super) fn new(ranks: usize) -> Zipf {
        let mut sum = 0.0;
        let sums = (1..=ranks).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Zipf {
            sums: sums.collect(),
        }
    }

    fn sample(&self, rng: &mut StdRng) -> usize {
        let last = self.sums.last().copied().unwrap_or(1.0);
        let at = rng.random_range(0.0..last);
        self.sums.partition_point(|sum| *sum <= at)
    }
}

/// State shared by all buyers.
pub(super) struct Crowd {
    pub(super) addresses: Vec<String>,
    pub(super) zipf: Zipf,
    /// Number of the next fan.
    pub(super) next_fan: AtomicU32,
    pub(super) fans: u32,
    /// Number of seats sold so far.
    pub(super) sold: AtomicUsize,
    pub(super) per_order: i32,
}

/// Observations of one buyer.
pub(super) struct Sales {
    /// Answered orders, with their seats.
    pub(super) orders: Vec<(String, Vec<i32>)>,
    /// Time from the request to a durable answer, in microseconds, for sold seats.
    pub(super) latency: Histogram<u64>,
    pub(super) refusals: u64,
    pub(super) failures: u64,
    /// Number of requests that were accepted and later unknown to the server.
    pub(super) forgotten: usize,
    pub(super) last_sale: Instant,
}

/// A kept-alive connection; the minimum that HTTP/1.1 needs.
pub(super) struct Http {
    address: String,
    stream: Option<TcpStream>,
    read: Vec<u8>,
}

impl Http {
    pub(super) fn new(address: &str) -> Http {
        Http {
            address: address.to_owned(),
            stream: None,
            read: Vec::with_capacity(64 * 1024),
        }
    }

    pub(super) async fn call(&mut self, head: &str, body: &str) -> Result<(u16, Value), Failed> {
        let outcome = tokio::time::timeout(ANSWER, self.ask(head, body)).await;
        let outcome = outcome.unwrap_or_else(|_| Err("no answer".to_owned()));
        if outcome.is_err() {
            self.stream = None;
        }
        outcome
    }

    async fn ask(&mut self, head: &str, body: &str) -> Result<(u16, Value), Failed> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(&self.address).await;
            let stream = stream.map_err(|error| error.to_string())?;
            stream
                .set_nodelay(true)
                .map_err(|error| error.to_string())?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().expect("it was just connected");
        let request = format!(
            "{head} HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let sent = stream.write_all(request.as_bytes()).await;
        sent.map_err(|error| error.to_string())?;
        self.read.clear();
        loop {
            let count = stream.read_buf(&mut self.read).await;
            if count.map_err(|error| error.to_string())? == 0 {
                return Err("the connection was closed".to_owned());
            }
            if let Some(answer) = parse(&self.read) {
                return Ok(answer);
            }
        }
    }
}

/// Returns status and body, once both are complete.
fn parse(read: &[u8]) -> Option<(u16, Value)> {
    let (status, whole) = parse_head(read)?;
    let end = read.windows(4).position(|four| four == b"\r\n\r\n")?;
    let body = read.get(end + 4..whole)?;
    Some((status, serde_json::from_slice(body).unwrap_or(Value::Null)))
}

/// Runs all buyers on one thread. They leave it idle most of the time, and take no more of the
/// machine from one strategy than from another.
pub(super) fn all(crowd: &Arc<Crowd>, count: u64) -> Result<Vec<Sales>, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let buyers = (0..count).map(|seed| tokio::spawn(buy(crowd.clone(), seed)));
        let buyers: Vec<_> = buyers.collect();
        let mut all = Vec::new();
        for buyer in buyers {
            all.push(buyer.await.map_err(|error| error.to_string())?);
        }
        Ok(all)
    })
}

/// Buys until the hall is sold out.
async fn buy(crowd: Arc<Crowd>, seed: u64) -> Sales {
    let mut rng = StdRng::seed_from_u64(seed);
    let address = &crowd.addresses[seed as usize % crowd.addresses.len()];
    let mut http = Http::new(address);
    let mut seen = Sales {
        orders: Vec::new(),
        latency: histogram(),
        refusals: 0,
        failures: 0,
        forgotten: 0,
        last_sale: Instant::now(),
    };
    loop {
        let buyer = crowd.next_fan.fetch_add(1, Ordering::Relaxed);
        if buyer >= crowd.fans {
            return seen;
        }
        let first = crowd.zipf.sample(&mut rng) as i32 * crowd.per_order;
        let mut wanted = Wanted {
            buyer,
            seats: (first..first + crowd.per_order).collect(),
            best: 0,
        };
        loop {
            match one(&mut http, &wanted, &mut seen).await {
                Step::Sold(seats) => {
                    crowd.sold.fetch_add(seats, Ordering::Relaxed);
                    break;
                }
                Step::Taken => {
                    wanted.seats.clear();
                    wanted.best = crowd.per_order as u32;
                }
                Step::SoldOut => return seen,
                // The outcome of the purchase is unknown: continue as another fan.
                Step::Failed if seen.last_sale.elapsed() < GIVE_UP => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    break;
                }
                Step::Failed => return seen,
            }
        }
    }
}

enum Step {
    Sold(usize),
    Taken,
    SoldOut,
    Failed,
}

async fn one(http: &mut Http, wanted: &Wanted, seen: &mut Sales) -> Step {
    let body = serde_json::to_string(wanted).expect("a wish can always be serialised");
    let from = Instant::now();
    let mut answer = http.call("POST /buy", &body).await;
    let was_accepted = matches!(answer, Ok((202, _)));
    while let Ok((202, said)) = &answer {
        tokio::time::sleep(POLL).await;
        let order = said["order"].as_str().unwrap_or("").to_owned();
        answer = http.call(&format!("GET /orders/{order}"), "").await;
        if from.elapsed() > ANSWER {
            break;
        }
    }
    match answer {
        Ok((200, said)) => {
            seen.latency
                .saturating_record(from.elapsed().as_micros() as u64);
            let seats: Vec<i32> = serde_json::from_value(said["seats"].clone()).unwrap_or_default();
            let count = seats.len();
            let order = said["order"].as_str().unwrap_or("").to_owned();
            seen.orders.push((order, seats));
            seen.last_sale = Instant::now();
            Step::Sold(count)
        }
        Ok((409, said)) => {
            seen.refusals += 1;
            if said["why"] == "sold-out" {
                Step::SoldOut
            } else {
                Step::Taken
            }
        }
        outcome => {
            seen.failures += 1;
            seen.forgotten += usize::from(was_accepted && outcome.is_ok());
            Step::Failed
        }
    }
}
