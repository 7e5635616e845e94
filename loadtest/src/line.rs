//! `loadtest line`: the line on a Redis of its own, beside what Redis itself, nginx and plain commands do on this machine in
//! the same run. Rounds alternate; each figure is the median.

use crate::client::{Client, Failed};
use crate::process::Process;
use crate::report::{Report, progress, round};
use crate::servers::{self, Server, free_port};
use futures_util::stream::{self, StreamExt as _};
use redis::Value;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use shared::time::Clock;
use shared::words::{EventId, VisitorId};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use waiting_room::line::{Admission, Embedded, EventSettings, Line, Order, Patch, Redis};

/// Redis commands sent together by the baselines, as the engine's batches are at depth.
const PIPELINE: usize = 1000;
const KEY: &str = "loadtest-organiser-key";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What may be set.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Rounds of each figure
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Joins in each round
    #[arg(long, default_value_t = 300_000)]
    pub joins: usize,
    /// Joins over HTTP in each round
    #[arg(long, default_value_t = 60_000)]
    pub requests: usize,
    /// How many wait while positions are measured
    #[arg(long, default_value_t = 1_000_000)]
    pub waiting: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the measurements.
///
/// # Errors
/// When a server does not start.
pub async fn run(args: Args) -> Result<Report, Failed> {
    let mut report = Report::default();
    joins(&args, &mut report).await?;
    over_http(&args, &mut report).await?;
    positions(&args, &mut report).await?;
    draw(&args, &mut report).await?;
    Ok(report)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// An engine on a server, and an event in it.
struct Bench {
    server: servers::Redis,
    line: Arc<dyn Line>,
    event: EventId,
    _notes: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Result<Bench, Failed> {
        let server = servers::Redis::start();
        let notes = tempfile::tempdir().map_err(|error| error.to_string())?;
        let line = Redis::open(&server.url(), notes.path().into(), Clock::system())?;
        let event = EventId::parse("bench")?;
        let settings = EventSettings {
            admission: Admission {
                rate_per_minute: 0,
                ..Admission::default()
            },
            ..EventSettings::new(event.clone(), "Bench")
        };
        let line: Arc<dyn Line> = Arc::new(line);
        line.create(settings)
            .await
            .map_err(|error| error.to_string())?;
        line.tick(&event).await.map_err(|error| error.to_string())?;
        Ok(Bench {
            server,
            line,
            event,
            _notes: notes,
        })
    }

    /// So many joins of one visitor each, so many at a time; joins a second.
    async fn join(&self, count: usize, at_once: usize) -> f64 {
        let from = Instant::now();
        let joining = stream::iter(0..count).map(|_| async {
            let visitor = [VisitorId::random()];
            self.line.join(&self.event, &visitor).await.map(drop)
        });
        let joined: Vec<_> = joining.buffer_unordered(at_once).collect().await;
        assert!(joined.iter().all(Result::is_ok), "every join is answered");
        count as f64 / from.elapsed().as_secs_f64()
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Failed> {
        let client = redis::Client::open(self.server.url()).map_err(|error| error.to_string())?;
        let connected = client.get_multiplexed_async_connection().await;
        let mut connection = connected.map_err(|error| error.to_string())?;
        connection.set_response_timeout(Duration::from_secs(60));
        Ok(connection)
    }

    fn info(&self, section: &str, field: &str) -> f64 {
        let info = self.server.ask(&["INFO", section]).unwrap_or_default();
        let line = info.lines().find_map(|line| line.split_once(field));
        let value = line.map_or("", |(_, rest)| rest);
        let end = value.find(|c: char| !c.is_ascii_digit() && c != '.');
        value[..end.unwrap_or(value.len())].parse().unwrap_or(0.0)
    }
}

/// Joins into the store: at depth, one at a time, and Redis's own benchmark of ZADD at the same pipelining.
async fn joins(args: &Args, report: &mut Report) -> Result<(), Failed> {
    let (mut ours, mut single, mut zadd) = (Vec::new(), Vec::new(), Vec::new());
    let bar = progress("joins into the store", args.rounds as u64);
    for _ in 0..args.rounds {
        ours.push(Bench::start().await?.join(args.joins, 2 * PIPELINE).await);
        single.push(Bench::start().await?.join(args.joins / 20, 1).await);
        zadd.push(redis_benchmark(args.joins)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (ours, single, zadd) = (median(&mut ours), median(&mut single), median(&mut zadd));
    report.add("joins into Redis, at depth", ours.round(), "/s");
    report.add("joins into Redis, one a round trip", single.round(), "/s");
    report.add("redis-benchmark ZADD -P 1000", zadd.round(), "/s");
    report.add("ratio to ZADD", round(ours / zadd), "");
    report.add("ratio to one a round trip", round(ours / single), "");
    Ok(())
}

fn redis_benchmark(count: usize) -> Result<f64, Failed> {
    let server = servers::Redis::start();
    let (socket, count) = (server.socket().display().to_string(), count.to_string());
    let pipeline = PIPELINE.to_string();
    let arguments = [
        "-s", &socket, "-t", "zadd", "-n", &count, "-r", "1000000", "-c", "1", "-P", &pipeline,
        "--csv",
    ];
    let output = Command::new("redis-benchmark").args(arguments).output();
    let output = output.map_err(|error| format!("redis-benchmark: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("\"ZADD"));
    let rate = line.and_then(|line| line.split(',').nth(1)?.trim_matches('"').parse().ok());
    rate.ok_or_else(|| format!("redis-benchmark said: {text}"))
}

/// Joins through one node over HTTP, and nginx with a fixed body of that size, from the same generator.
async fn over_http(args: &Args, report: &mut Report) -> Result<(), Failed> {
    let (mut ours, mut nginx) = (Vec::new(), Vec::new());
    let bar = progress("joins over HTTP", args.rounds as u64);
    for _ in 0..args.rounds {
        let (_redis, _node, _folder, url) = node().await?;
        ours.push(post(&url, args.requests).await?);
        let (_nginx, _folder, url) = fixed().await?;
        nginx.push(post(&url, args.requests).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (ours, nginx) = (median(&mut ours), median(&mut nginx));
    report.add("joins over HTTP through one node", ours.round(), "/s");
    report.add("nginx, a fixed body", nginx.round(), "/s");
    report.add("ratio to nginx", round(ours / nginx), "");
    Ok(())
}

async fn node() -> Result<(servers::Redis, Server, tempfile::TempDir, String), Failed> {
    let redis = servers::Redis::start();
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let port = free_port();
    let binary = std::env::current_exe().map_err(|error| error.to_string())?;
    let binary = binary.with_file_name("waiting-room").display().to_string();
    let data = folder.path().join("data").display().to_string();
    let settings = [
        format!("FAIRLINE_LISTEN=127.0.0.1:{port}"),
        format!("FAIRLINE_OPS_LISTEN=127.0.0.1:{}", free_port()),
        format!("FAIRLINE_DATA={data}"),
        format!("FAIRLINE_LINE={}", redis.url()),
        format!("FAIRLINE_PASS_SECRET={SECRET}"),
        format!("FAIRLINE_SERVICE_KEY={SECRET}"),
        format!("FAIRLINE_ORGANISER_KEY={KEY}"),
        "FAIRLINE_LOG=warn".to_owned(),
        "FAIRLINE_REQUESTS_PER_SECOND=0".to_owned(),
        "FAIRLINE_JOINS_PER_MINUTE=0".to_owned(),
        "FAIRLINE_CONNECTIONS_PER_ADDRESS=0".to_owned(),
    ];
    let mut arguments: Vec<&str> = settings.iter().map(String::as_str).collect();
    arguments.push(&binary);
    let server = Server::start(folder.path(), "env", &arguments);
    let url = format!("http://127.0.0.1:{port}");
    let client = up(&url).await?;
    let event = json!({"id": "bench", "name": "Bench", "paused": true});
    client.create_event(KEY, &event, None).await?;
    Ok((redis, server, folder, url))
}

async fn fixed() -> Result<(Server, tempfile::TempDir, String), Failed> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let port = free_port();
    // As long as a place with its pass.
    let body = json!({"fixed": "x".repeat(480)});
    let conf = format!(
        "worker_processes auto; pid p; error_log e; events {{ worker_connections 4096; }} \
         http {{ access_log off; keepalive_requests 1000000; client_body_temp_path b; proxy_temp_path x; \
         fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; default_type application/json; \
         server {{ listen 127.0.0.1:{port}; return 201 '{body}'; }} }}"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, conf).map_err(|error| error.to_string())?;
    let (prefix, file) = (shown(folder.path()), shown(&file));
    let arguments = ["-p", &prefix, "-c", &file, "-g", "daemon off;"];
    let server = Server::start(folder.path(), "nginx", &arguments);
    let url = format!("http://127.0.0.1:{port}");
    up(&url).await?;
    Ok((server, folder, url))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

async fn up(url: &str) -> Result<Client, Failed> {
    let client = Client::new(url);
    let from = Instant::now();
    while client.get("/api/v1/events", "").await.is_err() {
        if from.elapsed() > Duration::from_secs(20) {
            return Err(format!("{url} did not come up"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(client)
}

/// So many joins, 128 at a time; answers a second.
async fn post(url: &str, count: usize) -> Result<f64, Failed> {
    let client = Client::new(url);
    let from = Instant::now();
    let asking = stream::iter(0..count).map(|_| client.join("bench"));
    let answers: Vec<_> = asking.buffer_unordered(128).collect().await;
    let seconds = from.elapsed().as_secs_f64();
    answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(count as f64 / seconds)
}

/// What a tick costs with so many waiting, what they take of Redis's memory, and the same positions by ZRANK.
async fn positions(args: &Args, report: &mut Report) -> Result<(), Failed> {
    let bench = Bench::start().await?;
    let empty = bench.info("memory", "used_memory:");
    let visitors = fill(&bench, args.waiting).await?;
    let memory = (bench.info("memory", "used_memory:") - empty) / args.waiting as f64;
    report.add("Redis memory a waiting fan", round(memory), "bytes");
    let few = Bench::start().await?;
    fill(&few, 1000).await?;
    for (bench, name) in [(&few, "1,000"), (&bench, "all")] {
        let messages = messages(bench).await?;
        report.add(
            &format!("messages to Redis a tick, {name} waiting"),
            messages,
            "",
        );
    }
    // Some leave, so that positions are not just numbers.
    let leaving = stream::iter(visitors.iter().step_by(10))
        .map(|visitor| bench.line.leave(&bench.event, *visitor));
    let left: Vec<_> = leaving.buffer_unordered(PIPELINE).collect().await;
    left.into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let waiting: Vec<(u64, VisitorId)> = (1..)
        .zip(visitors.iter().copied())
        .filter(|(number, _)| number % 10 != 1)
        .collect();
    let mut connection = bench.connect().await?;
    rank_set(&mut connection, &waiting).await?;
    let (mut ticks, mut nodes, mut ours, mut zrank) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let bar = progress("positions", args.rounds as u64);
    for _ in 0..args.rounds {
        let (tick, node) = tick_cost(&bench).await?;
        ticks.push(tick);
        nodes.push(node);
        let from = Instant::now();
        let front = bench
            .line
            .tick(&bench.event)
            .await
            .map_err(|error| error.to_string())?;
        let by_bitmap: Vec<u64> = waiting
            .iter()
            .map(|(number, _)| front.alive.ahead(*number))
            .collect();
        ours.push(from.elapsed().as_secs_f64() * 1000.0);
        let from = Instant::now();
        let by_rank = ranks(&mut connection, &waiting).await?;
        zrank.push(from.elapsed().as_secs_f64() * 1000.0);
        let differ = by_bitmap
            .iter()
            .zip(&by_rank)
            .filter(|(ours, theirs)| ours != theirs)
            .count();
        if differ > 0 {
            report.violation(format!("{differ} positions differ from ZRANK"));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (ours, zrank) = (median(&mut ours), median(&mut zrank));
    report.add("a tick in Redis", round(median(&mut ticks)), "ms");
    report.add("a tick in the node", round(median(&mut nodes)), "ms");
    report.add("all positions by one tick", round(ours), "ms");
    report.add("all positions by pipelined ZRANK", zrank.round(), "ms");
    report.add("ratio to ZRANK", round(zrank / ours), "");
    slowest_script(&bench, &visitors, report).await
}

/// Every operation, a hundred thousand times, with all waiting: the longest that a script took by Redis's own count, and
/// how many took over 5 ms.
async fn slowest_script(
    bench: &Bench,
    visitors: &[VisitorId],
    report: &mut Report,
) -> Result<(), Failed> {
    let said = |error: waiting_room::line::Refused| error.to_string();
    let (line, event) = (&bench.line, &bench.event);
    let log = [
        ("slowlog-log-slower-than", "1000"),
        ("slowlog-max-len", "100000"),
    ];
    for (name, value) in log {
        bench.server.ask(&["CONFIG", "SET", name, value]);
    }
    bench.server.ask(&["SLOWLOG", "RESET"]);
    let some = &visitors[..visitors.len().min(100_000)];
    for round in 0..3 {
        let doing = stream::iter(some).map(|who| async move {
            match round {
                0 => line.back(event, *who).await.map(drop),
                1 => line.place(event, *who).await.map(drop),
                _ => line.away(event, *who).await,
            }
        });
        let done: Vec<_> = doing.buffer_unordered(2 * PIPELINE).collect().await;
        done.into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(said)?;
    }
    // As many as can be are let in at once, and lapse, and so do those who are away.
    let open = r#"{"admission": {"rate_per_minute": 6000000, "batch_seconds": 1, "max_active": 50000,
        "claim_seconds": 2, "away_seconds": 1}}"#;
    let open = serde_json::from_str(open).map_err(|error| error.to_string())?;
    line.configure(event, open).await.map_err(said)?;
    for _ in 0..20 {
        line.tick(event).await.map_err(said)?;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let mut connection = bench.connect().await?;
    let slow = slow_log(&mut connection).await?;
    let longest = slow.iter().max().copied().unwrap_or(0);
    let over = slow.iter().filter(|usec| **usec > 5000).count();
    report.add(
        "slowest script of all operations",
        round(longest as f64 / 1000.0),
        "ms",
    );
    report.add("scripts over 5 ms", over, "");
    Ok(())
}

/// The microseconds that each entry of the slow log took.
async fn slow_log(connection: &mut MultiplexedConnection) -> Result<Vec<i64>, Failed> {
    let mut command = redis::cmd("SLOWLOG");
    command.arg("GET").arg(100_000);
    let answer: Result<Value, _> = command.query_async(connection).await;
    let Value::Array(entries) = answer.map_err(|error| error.to_string())? else {
        return Ok(Vec::new());
    };
    let took = |entry: &Value| match entry {
        Value::Array(parts) => match parts.get(2) {
            Some(Value::Int(usec)) => Some(*usec),
            _ => None,
        },
        _ => None,
    };
    Ok(entries.iter().filter_map(took).collect())
}

async fn fill(bench: &Bench, count: usize) -> Result<Vec<VisitorId>, Failed> {
    let visitors: Vec<VisitorId> = (0..count).map(|_| VisitorId::random()).collect();
    for some in visitors.chunks(PIPELINE) {
        let joined = bench.line.join(&bench.event, some).await;
        joined.map_err(|error| error.to_string())?;
    }
    Ok(visitors)
}

/// Commands that a hundred ticks sent, a tick.
async fn messages(bench: &Bench) -> Result<f64, Failed> {
    bench
        .line
        .tick(&bench.event)
        .await
        .map_err(|error| error.to_string())?;
    bench.server.ask(&["CONFIG", "RESETSTAT"]);
    for _ in 0..100 {
        bench
            .line
            .tick(&bench.event)
            .await
            .map_err(|error| error.to_string())?;
    }
    Ok(bench.info("commandstats", "cmdstat_evalsha:calls=") / 100.0)
}

/// Milliseconds that a tick takes of Redis, by its own count, and of this process.
async fn tick_cost(bench: &Bench) -> Result<(f64, f64), Failed> {
    const TICKS: u32 = 200;
    bench.server.ask(&["CONFIG", "RESETSTAT"]);
    let process = Process(std::process::id());
    let before = process.cpu_seconds();
    for _ in 0..TICKS {
        let front = bench.line.tick(&bench.event).await;
        black_box(front.map_err(|error| error.to_string())?);
    }
    let node = (process.cpu_seconds() - before) * 1000.0 / f64::from(TICKS);
    let redis = bench.info("commandstats", "cmdstat_evalsha:calls=200,usec=");
    Ok((redis / 1000.0 / f64::from(TICKS), node))
}

async fn rank_set(
    connection: &mut MultiplexedConnection,
    waiting: &[(u64, VisitorId)],
) -> Result<(), Failed> {
    for some in waiting.chunks(PIPELINE) {
        let mut command = redis::cmd("ZADD");
        command.arg("ranks");
        for (number, visitor) in some {
            command.arg(*number).arg(&visitor.0.to_be_bytes()[..]);
        }
        let added: Result<Value, _> = command.query_async(connection).await;
        added.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn ranks(
    connection: &mut MultiplexedConnection,
    waiting: &[(u64, VisitorId)],
) -> Result<Vec<u64>, Failed> {
    let mut all = Vec::with_capacity(waiting.len());
    for some in waiting.chunks(PIPELINE) {
        let mut pipeline = redis::Pipeline::with_capacity(some.len());
        for (_, visitor) in some {
            pipeline
                .cmd("ZRANK")
                .arg("ranks")
                .arg(&visitor.0.to_be_bytes()[..]);
        }
        let ranks: Vec<u64> = pipeline
            .query_async(connection)
            .await
            .map_err(|error| error.to_string())?;
        all.extend(ranks);
    }
    Ok(all)
}

/// How long a draw among so many takes, and how long another event's joins take meanwhile.
async fn draw(args: &Args, report: &mut Report) -> Result<(), Failed> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let server = servers::Redis::start();
    let on_redis = Redis::open(&server.url(), folder.path().join("notes"), Clock::system())?;
    let embedded = Embedded::open(folder.path().join("line"), Clock::system())?;
    let engines: [(&str, Arc<dyn Line>); 2] = [
        ("Redis", Arc::new(on_redis)),
        ("embedded", Arc::new(embedded)),
    ];
    for (name, line) in engines {
        let (seconds, slowest) = draw_on(&line, args.waiting).await?;
        report.add(&format!("a draw among all, {name}"), round(seconds), "s");
        let what = format!("slowest join of another event meanwhile, {name}");
        report.add(&what, round(slowest), "ms");
    }
    Ok(())
}

async fn draw_on(line: &Arc<dyn Line>, count: usize) -> Result<(f64, f64), Failed> {
    let said = |error: waiting_room::line::Refused| error.to_string();
    let (drawn, other) = (EventId::parse("drawn")?, EventId::parse("other")?);
    let now = Clock::system().now();
    let settings = EventSettings {
        order: Order::Draw,
        prequeue_opens_at: Some(now),
        sale_opens_at: Some(now.plus_seconds(3600)),
        ..EventSettings::new(drawn.clone(), "Drawn")
    };
    line.create(settings).await.map_err(said)?;
    let settings = EventSettings::new(other.clone(), "Other");
    line.create(settings).await.map_err(said)?;
    for _ in 0..count / PIPELINE {
        let visitors: Vec<VisitorId> = (0..PIPELINE).map(|_| VisitorId::random()).collect();
        line.join(&drawn, &visitors).await.map_err(said)?;
    }
    line.tick(&drawn).await.map_err(said)?;
    let opened = Patch {
        sale_opens_at: Some(Some(Clock::system().now())),
        ..Patch::default()
    };
    line.configure(&drawn, opened).await.map_err(said)?;
    let from = Instant::now();
    let ticking = async {
        // A tick may give up while the draw goes on.
        while line.tick(&drawn).await.map_or(0, |front| front.drawn) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        from.elapsed().as_secs_f64()
    };
    let mut slowest = 0.0f64;
    let joining = async {
        loop {
            let begun = Instant::now();
            let joined = line.join(&other, &[VisitorId::random()]).await;
            let took = begun.elapsed().as_secs_f64() * 1000.0;
            slowest = slowest.max(if joined.is_ok() { took } else { f64::INFINITY });
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let seconds = tokio::select! {
        seconds = ticking => seconds,
        () = joining => 0.0,
    };
    Ok((seconds, slowest))
}
