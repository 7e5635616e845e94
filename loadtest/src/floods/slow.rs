//! `loadtest slow`: a healthy client beside slowhttptest in each of its four modes.

use super::healthy::{Asked, Healthy};
use crate::private::{KEY, Private};
use crate::process::Process;
use crate::report::{Report, median, progress, round};
use crate::rush::open;
use client::Failed;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Seats of the event: its map is a long answer.
const SEATS: usize = 20_000;
/// Name of a mode and its arguments; `{}` is the server's address. The values are slowhttptest's
/// own examples, with shorter pauses.
const MODES: [(&str, &str); 4] = [
    ("slow heads", "-H -i 5 -u {}/api/v1/events/slow"),
    (
        "slow bodies",
        "-B -i 5 -s 8192 -x 10 -u {}/api/v1/events/slow/line",
    ),
    ("ranges", "-R -a 10 -b 3000 -u {}/static/queue.js"),
    (
        "slow reads",
        "-X -w 512 -y 1024 -n 5 -z 32 -k 3 -u {}/api/v1/events/slow/seats",
    ),
];

/// Settings of the test.
#[derive(clap::Args, Clone, Debug)]
pub struct SlowArgs {
    /// Number of rounds of each mode
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Seconds of each mode in a round
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Number of slow connections, opened at half as many a second
    #[arg(long, default_value_t = 1000)]
    pub connections: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the test on a server without a cap on connections of an address, as all come from one.
///
/// # Errors
/// Fails if the server or slowhttptest does not start.
pub async fn run(args: SlowArgs) -> Result<Report, Failed> {
    let server = Private::program("fairline", &[]).await?;
    open(&server.client(), "slow", KEY, SEATS).await?;
    let request = "GET /api/v1/events/slow HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let healthy = Healthy {
        address: server.address.clone(),
        asked: [Asked {
            request: request.into(),
            status: 200,
        }]
        .into(),
    };
    let span = Duration::from_secs(args.seconds);
    let (mut quiet, mut attacked) = (Vec::new(), [const { Vec::<f64>::new() }; MODES.len()]);
    let mut report = Report::default();
    let bar = progress("slow clients", args.rounds as u64);
    for _ in 0..args.rounds {
        quiet.push(healthy.ask_for(span).await.p99_ms());
        for ((name, arguments), p99s) in MODES.iter().zip(&mut attacked) {
            let mut attack = start(&args, &arguments.replace("{}", &server.url()))?;
            let seen = healthy.ask_for(span).await;
            attack.kill().and_then(|()| attack.wait()).ok();
            p99s.push(seen.p99_ms());
            if let Some(failed) = seen.failed() {
                report.violation(format!("{name}: requests failed: {failed}"));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let quiet = median(&mut quiet);
    report.add("healthy p99, nothing else", round(quiet), "ms");
    for ((name, _), p99s) in MODES.iter().zip(&mut attacked) {
        let p99 = median(p99s);
        report.add(&format!("… {name}"), round(p99), "ms");
        report.add("… ratio", round(p99 / quiet), "");
    }
    let memory = Process(server.server.id()).memory_bytes();
    report.add("server memory afterwards", memory >> 20, "MiB");
    Ok(report)
}

fn start(args: &SlowArgs, arguments: &str) -> Result<Child, Failed> {
    let [connections, rate, seconds] = [
        args.connections,
        args.connections / 2,
        args.seconds as usize + 1,
    ]
    .map(|number| number.to_string());
    let mut command = Command::new("slowhttptest");
    command
        .args(["-c", &connections, "-r", &rate, "-l", &seconds])
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = command.spawn();
    started.map_err(|error| format!("slowhttptest: {error}"))
}
