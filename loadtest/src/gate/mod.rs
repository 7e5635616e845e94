//! `loadtest gate`: answers of the gate beside nginx's own `return 204`, and a fan's page behind it.

mod question;

use crate::private::{KEY, Private};
use crate::report::{Report, median, progress, round};
use crate::rush::admit_all;
use client::Failed;
use hdrhistogram::Histogram;
use question::{EVENT, Paced, Question};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Number of fans who join at one time.
const JOINING: usize = 64;
/// Requests a second at which the time of answers is measured, unless that is too many here.
const RATE: f64 = 10_000.0;
/// Share of what a server takes that is offered instead.
const SHARE: f64 = 0.8;
/// Time for which it is offered in each round.
const SPAN: Duration = Duration::from_secs(3);
/// Requests of one fan within a second.
const PAGE_REQUESTS: f64 = 600.0;
const CONF: &str = include_str!("../../../nginx/protect-any-site.conf");

/// Settings of the test.
#[derive(clap::Args, Clone, Debug)]
pub struct GateArgs {
    /// Number of rounds of each figure
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Number of requests in each round
    #[arg(long, default_value_t = 60_000)]
    pub requests: usize,
    /// Number of admitted fans
    #[arg(long, default_value_t = 1000)]
    pub fans: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the test.
///
/// # Errors
/// Fails if a server does not start, or answers otherwise than it should.
pub async fn run(args: GateArgs) -> Result<Report, Failed> {
    let mut report = Report::default();
    let redis = testkit::Redis::start();
    let hops = ("TRUSTED_HOPS", "1".to_owned());
    let node = Private::program("waiting-room", &[("LINE", redis.url()), hops.clone()]).await?;
    let alone = Private::program("fairline", &[hops]).await?;
    let bare = Private::nginx(|at| format!("server {{ listen {at}; return 204; }}")).await?;
    let tokens = admitted(&node, args.fans).await?;
    let questions = [
        Question::of_fans("nginx, return 204", &bare, &tokens, 204),
        Question::of_fans("gate on Redis, admitted fans", &node, &tokens, 204),
        Question::of_fans(
            "gate embedded, admitted fans",
            &alone,
            &admitted(&alone, args.fans).await?,
            204,
        ),
        Question::of_fans("gate on Redis, strangers", &node, &[String::new()], 401),
    ];
    let rates = rates(&args, &questions).await?;
    for (question, rate) in questions.iter().zip(&rates) {
        report.add(question.name, rate.per_second.round(), "/s");
        report.add("… processor time", round(rate.processor_us), "µs a request");
        if question.name != questions[0].name {
            let ratio = rate.per_second / rates[0].per_second;
            report.add("… ratio to nginx", round(ratio), "");
        }
    }
    let slowest = rates.iter().map(|rate| rate.per_second);
    let slowest = slowest.fold(f64::INFINITY, f64::min);
    let rate = RATE.min(slowest * SHARE).round();
    report.add("requests offered", rate, "/s");
    for (name, latency) in latencies(&args, &questions, rate).await? {
        report.add_latency(name, &latency);
    }
    pages(&args, &node, &tokens, &mut report).await?;
    Ok(report)
}

/// Creates the event and returns the tokens of so many fans who were admitted.
pub(crate) async fn admitted(server: &Private, fans: usize) -> Result<Vec<String>, Failed> {
    let event = json!({"id": EVENT, "name": "Gate", "checkout_url": "/", "admission": {"rate_per_minute": 6_000_000,
        "batch_seconds": 1, "max_active": 1_000_000, "claim_seconds": 3600, "session_seconds": 3600}});
    let client = server.client();
    client.create_event(KEY, &event, None).await?;
    admit_all(&client, EVENT, fans, JOINING).await
}

/// Figures of a server that was asked as fast as it answered.
#[derive(Default)]
struct Rate {
    /// The answers a second of each round.
    rounds: Vec<f64>,
    /// Their median.
    per_second: f64,
    /// Processor time of the server for a request.
    processor_us: f64,
}

/// Has each question asked in alternating rounds.
async fn rates(args: &GateArgs, questions: &[Question]) -> Result<Vec<Rate>, Failed> {
    let mut all: Vec<Rate> = questions.iter().map(|_| Rate::default()).collect();
    let bar = progress("answers a second", args.rounds as u64);
    for _ in 0..args.rounds {
        for (question, rate) in questions.iter().zip(&mut all) {
            let before = question.process.group_cpu_seconds();
            rate.rounds.push(question.ask_all(args.requests).await?);
            let took = question.process.group_cpu_seconds() - before;
            rate.processor_us += took * 1e6 / (args.requests * args.rounds) as f64;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    for rate in &mut all {
        rate.per_second = median(&mut rate.rounds);
    }
    Ok(all)
}

/// Returns the time of answers to each question where so many are asked in a second, of all rounds.
async fn latencies<'a>(
    args: &GateArgs,
    questions: &'a [Question],
    rate: f64,
) -> Result<Vec<(&'a str, Histogram<u64>)>, Failed> {
    let mut all: Vec<_> = questions
        .iter()
        .map(|question| (question.name, Paced::default()))
        .collect();
    let bar = progress("time of answers", args.rounds as u64);
    for _ in 0..args.rounds {
        for (question, (_, paced)) in questions.iter().zip(&mut all) {
            paced.add(question.pace(rate, SPAN).await?);
            question.check(paced)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let latency = |(name, paced): (&'a str, Paced)| (name, paced.latency);
    Ok(all.into_iter().map(latency).collect())
}

/// One fan's requests within a second through nginx, with the gate as it is documented, and
/// without.
async fn pages(
    args: &GateArgs,
    node: &Private,
    tokens: &[String],
    report: &mut Report,
) -> Result<(), Failed> {
    let shop = Private::nginx(|at| format!("server {{ listen {at}; return 200 'shop'; }}")).await?;
    let front = Private::nginx(|at| protected(at, &shop.address, &node.address)).await?;
    let open = Private::nginx(|at| {
        let shop = &shop.address;
        format!("server {{ listen {at}; location / {{ proxy_pass http://{shop}; }} }}")
    });
    let open = open.await?;
    let fan = &tokens[..1];
    let gated = Question::of_site("a page's requests through the gate", &front, fan);
    let free = Question::of_site("the same without it", &open, fan);
    let (mut with, mut without) = (Paced::default(), Paced::default());
    for _ in 0..args.rounds {
        let second = Duration::from_secs(1);
        with.add(gated.pace(PAGE_REQUESTS, second).await?);
        without.add(free.pace(PAGE_REQUESTS, second).await?);
    }
    let asked = args.rounds * PAGE_REQUESTS as usize;
    for (status, count) in &with.statuses {
        let name = format!("of {asked} requests, {} a second: {status}", PAGE_REQUESTS);
        report.add(&name, *count, "");
    }
    if with.statuses != BTreeMap::from([(200, asked)]) {
        report.violation(format!("not every request passed: {:?}", with.statuses));
    }
    report.add_latency(gated.name, &with.latency);
    report.add_latency(free.name, &without.latency);
    Ok(())
}

/// Returns the configuration of the documents for these addresses.
fn protected(listen: &str, shop: &str, node: &str) -> String {
    let text = CONF
        .replace("my-event", EVENT)
        .replace("listen 80;", &format!("listen {listen};"))
        .replace("127.0.0.1:3000", shop);
    [8081, 8082, 8083].iter().fold(text, |text, port| {
        text.replace(&format!("127.0.0.1:{port}"), node)
    })
}
