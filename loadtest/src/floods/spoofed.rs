//! `loadtest spoofed`: a healthy client and the memory of a server to which requests come from ten
//! million addresses. The server is part of this process, as no network would bring as many in a
//! minute.

use super::healthy::{Asked, Healthy};
use crate::private::KEY;
use crate::process::Process;
use crate::report::{Report, median, progress, round};
use crate::rush::admit_all;
use axum::body::Body;
use axum::http::Request;
use client::{Client, Failed};
use serde_json::json;
use shared::http::front::Front;
use shared::http::listener::serve;
use shared::mistakes::Mistakes;
use shared::settings::Common;
use shared::time::Clock;
use standalone::{Fairline, compose};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const EVENT: &str = "flood";
/// Address of the healthy client.
const HEALTHY: &str = "203.0.113.9";
/// Time for which the healthy client is alone in each round.
const QUIET: Duration = Duration::from_secs(10);
/// Number of addresses from which as many requests come, for comparison: each within its limits.
const FEW: u64 = 10_000;
/// Growth of memory from the first round to the last that still counts as none, in bytes.
const GROWTH_MAX: u64 = 16 << 20;

/// Settings of the test.
#[derive(clap::Args, Clone, Debug)]
pub struct SpoofedArgs {
    /// Number of rounds
    #[arg(long, default_value_t = 5)]
    pub rounds: u64,
    /// Number of addresses in all rounds
    #[arg(long, default_value_t = 10_000_000)]
    pub addresses: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A server in this process.
struct InProcess {
    fairline: Fairline,
    address: String,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Runs the test.
///
/// # Errors
/// Fails if the server does not start.
pub async fn run(args: SpoofedArgs) -> Result<Report, Failed> {
    let server = open().await?;
    let healthy = healthy(&server).await?;
    let mut report = Report::default();
    let (mut quiet, mut few, mut spoofed) = (Vec::new(), Vec::new(), Vec::new());
    let memory = || Process(std::process::id()).memory_bytes();
    let (before, mut after_first, mut after) = (memory(), 0, 0);
    let count = args.addresses / args.rounds;
    let bar = progress("floods", args.rounds);
    for at in 0..args.rounds {
        quiet.push(healthy.ask_for(QUIET).await.p99_ms());
        for (is_spoofed, p99s) in [(false, &mut few), (true, &mut spoofed)] {
            let first = at * count;
            let from = move |at| if is_spoofed { first + at } else { at % FEW };
            let flood = Flood {
                app: server.fairline.app.clone(),
                count,
                stop: CancellationToken::new(),
            };
            let stop = flood.stop.clone();
            let flooding = flood.start(from);
            let seen = healthy.ask_until(&stop).await;
            let errors = flooding.join().map_err(|_| "the flood panicked")??;
            p99s.push(seen.p99_ms());
            if let Some(failed) = seen.failed() {
                report.violation(format!("healthy requests failed: {failed}"));
            }
            if errors > 0 {
                report.violation(format!("{errors} requests of the flood failed"));
            }
        }
        after = memory();
        after_first = if at == 0 { after } else { after_first };
        bar.inc(1);
    }
    bar.finish_and_clear();
    let [quiet, few, spoofed] = [&mut quiet, &mut few, &mut spoofed].map(|p99s| median(p99s));
    report.add("addresses", count * args.rounds, "");
    report.add("healthy p99, nothing else", round(quiet), "ms");
    report.add("… as many requests from 10,000 addresses", round(few), "ms");
    report.add("… spoofed addresses", round(spoofed), "ms");
    report.add("ratio to nothing else", round(spoofed / quiet), "");
    report.add("ratio to 10,000 addresses", round(spoofed / few), "");
    for (name, bytes) in [
        ("memory before", before),
        ("… after the first round", after_first),
        ("… after the last", after),
    ] {
        report.add(name, bytes >> 20, "MiB");
    }
    if after.saturating_sub(after_first) > GROWTH_MAX {
        report.violation("memory grows with the number of addresses");
    }
    Ok(report)
}

async fn open() -> Result<InProcess, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let common = Common {
        listen: Some(address.to_string()),
        data: Some(folder.path().join("data")),
        organiser_key: Some(KEY.into()),
        trusted_hops: Some("1".into()),
        connections_per_address: Some("0".into()),
        ..Common::default()
    };
    let mut mistakes = Mistakes::default();
    let settings = common.read("127.0.0.1:1", &mut mistakes);
    if !mistakes.0.is_empty() {
        return Err(mistakes.0.join("\n"));
    }
    let stop = CancellationToken::new();
    let (line, seats) = (Default::default(), Default::default());
    let fairline = compose(&settings, &line, &seats, Clock::system(), stop.clone()).await?;
    let app = fairline.app.clone();
    tokio::spawn(serve(listener, app, settings.transport, stop.clone()));
    Ok(InProcess {
        fairline,
        address: address.to_string(),
        stop,
        _folder: folder,
    })
}

/// Returns a client with an admission, which looks at the event and asks the gate.
async fn healthy(server: &InProcess) -> Result<Healthy, Failed> {
    let address = HEALTHY.parse().map_err(|_| "an address")?;
    let client = Client::new(&format!("http://{}", server.address)).forwarded_for(address);
    let event = json!({"id": EVENT, "name": "Flood", "admission": {"rate_per_minute": 60_000, "batch_seconds": 1,
        "claim_seconds": 3600, "session_seconds": 3600}});
    client.create_event(KEY, &event, None).await?;
    let tokens = admit_all(&client, EVENT, 1, 1).await?;
    let heads = format!("Host: shop.example\r\nX-Forwarded-For: {HEALTHY}\r\n");
    let cookie = format!("Cookie: fairline_admission_{EVENT}={}\r\n", tokens[0]);
    let page = format!("GET /api/v1/events/{EVENT} HTTP/1.1\r\n{heads}\r\n");
    let gate = format!("GET /auth-request/{EVENT}/GET HTTP/1.1\r\n{heads}{cookie}\r\n");
    let asked = [(page, 200), (gate, 204)].map(|(request, status)| Asked {
        request: request.into_bytes(),
        status,
    });
    Ok(Healthy {
        address: server.address.clone(),
        asked: Arc::new(asked),
    })
}

/// Requests from many addresses, as fast as one thread sends them.
struct Flood {
    app: Front,
    count: u64,
    /// Set at the end.
    stop: CancellationToken,
}

impl Flood {
    /// Starts it; returns the number of answers that say that the server failed. `address` gives
    /// each request its address.
    fn start(
        self,
        address: impl Fn(u64) -> u64 + Send + 'static,
    ) -> JoinHandle<Result<usize, Failed>> {
        std::thread::spawn(move || {
            let _stops = self.stop.clone().drop_guard();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.block_on(async {
                let mut errors = 0;
                for at in 0..self.count {
                    let request = request(at, spoofed(address(at)))?;
                    let Ok(answer) = self.app.clone().oneshot(request).await;
                    errors += usize::from(answer.status().is_server_error());
                }
                Ok(errors)
            })
        })
    }
}

/// Returns one of the requests that look something up by address, or by what a stranger sends.
fn request(at: u64, address: IpAddr) -> Result<Request<Body>, Failed> {
    let forged = format!("{at:x}");
    let (path, name, value) = match at % 4 {
        0 => (
            format!("/api/v1/events/{EVENT}"),
            "accept",
            "*/*".to_owned(),
        ),
        1 => (
            format!("/auth-request/{EVENT}/GET"),
            "cookie",
            format!("fairline_admission_{EVENT}={forged}"),
        ),
        2 => (
            format!("/api/v1/events/{EVENT}/line/me"),
            "authorization",
            format!("Bearer {forged}"),
        ),
        _ => (
            "/api/v1/organiser/events".to_owned(),
            "authorization",
            format!("Bearer {forged}"),
        ),
    };
    let request = Request::get(path)
        .header("host", "shop.example")
        .header("x-forwarded-for", address.to_string())
        .header(name, value);
    request
        .body(Body::empty())
        .map_err(|error| error.to_string())
}

/// Returns the address of this number: in turn three of all of IPv4, and a /64 of IPv6.
fn spoofed(at: u64) -> IpAddr {
    // Odd, so that no two numbers have the same address.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let spread = at.wrapping_mul(SPREAD);
    if at / 4 % 4 == 3 {
        let network = 0x2 << 60 | spread & (u64::MAX >> 4);
        return IpAddr::V6(Ipv6Addr::from_bits(u128::from(network) << 64));
    }
    IpAddr::V4(Ipv4Addr::from_bits(spread as u32))
}
