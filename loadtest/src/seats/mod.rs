//! `loadtest seats`: the same contended sale by each common strategy, on one private Postgres with
//! the same durability; the engine alone beside the limits of Postgres itself; and the orders left
//! after a store is killed half way.

mod args;
mod buyers;
mod combined;
mod engine;
mod locks;
mod map;
mod redis;
pub mod shop;
pub mod strategy;

pub use args::SeatsArgs;

use crate::report::{Report, histogram, round};
use buyers::{Crowd, Sales, Zipf};
use client::Failed;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use strategy::Strategy;
use testkit::{Server, free_port};

/// Name of the sale by two nodes of Fairline on one Postgres.
const TWO_NODES: &str = "combined, two nodes";
/// Time after which nodes know of each other, as they poll once a second.
const MEETING: Duration = Duration::from_secs(2);

/// Store that is killed half way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Killed {
    Nothing,
    Postgres,
    Redis,
}

/// Result of one sale.
struct Sale {
    seats_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    refusals: u64,
    double: usize,
    lost: usize,
}

/// Runs the comparison.
///
/// # Errors
/// Fails if a server does not start.
pub async fn run(args: SeatsArgs) -> Result<Report, Failed> {
    let mut report = Report::default();
    if args.engine {
        engine::run(&args, &mut report).await?;
        return Ok(report);
    }
    if args.map {
        map::run(&args, &mut report).await?;
        return Ok(report);
    }
    let strategies = match args.strategy.as_slice() {
        [] => Strategy::ALL.to_vec(),
        some => some.to_vec(),
    };
    let mut sales: HashMap<&str, Vec<Sale>> = HashMap::new();
    for _ in 0..args.rounds {
        for strategy in &strategies {
            let sale = sell(&args, *strategy, Killed::Nothing, 1).await?;
            sales.entry(strategy.name()).or_default().push(sale);
        }
        if strategies.contains(&Strategy::Combined) {
            let sale = sell(&args, Strategy::Combined, Killed::Nothing, 2).await?;
            sales.entry(TWO_NODES).or_default().push(sale);
        }
    }
    for strategy in &strategies {
        let rounds = sales.remove(strategy.name()).unwrap_or_default();
        let mut line = summarize(&rounds);
        if !args.no_kills {
            let sale = sell(&args, *strategy, Killed::Postgres, 1).await?;
            line["postgres_killed"] = json!({"lost": sale.lost, "double": sale.double});
            if strategy.uses_redis() {
                let sale = sell(&args, *strategy, Killed::Redis, 1).await?;
                line["redis_killed"] = json!({"lost": sale.lost, "double": sale.double});
            }
        }
        report.add(strategy.name(), line, "");
    }
    if let Some(rounds) = sales.remove(TWO_NODES) {
        report.add(TWO_NODES, summarize(&rounds), "");
    }
    Ok(report)
}

fn summarize(rounds: &[Sale]) -> Value {
    let median = |of: fn(&Sale) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        crate::report::median(&mut values)
    };
    json!({
        "seats_per_second": round(median(|sale| sale.seats_per_second)),
        "p50_ms": round(median(|sale| sale.p50_ms)),
        "p99_ms": round(median(|sale| sale.p99_ms)),
        "refusals": median(|sale| sale.refusals as f64),
        "lost": rounds.iter().map(|sale| sale.lost).max(),
        "double": rounds.iter().map(|sale| sale.double).max(),
    })
}

/// A shop process with stores of its own.
struct Shop {
    postgres: testkit::Postgres,
    redis: Option<testkit::Redis>,
    database: String,
    addresses: Vec<String>,
    _servers: Vec<Server>,
}

impl Shop {
    fn start(
        args: &SeatsArgs,
        strategy: Strategy,
        fans: u32,
        nodes: usize,
    ) -> Result<Shop, Failed> {
        let postgres = testkit::Postgres::start();
        // Debian's default settings, on a port that stays the same after a restart.
        let settings = ["--save", "3600 1 300 100 60 10000"];
        let redis = strategy
            .uses_redis()
            .then(|| testkit::Redis::with(free_port(), &settings));
        let mut shop = Shop {
            database: postgres.database(),
            postgres,
            redis,
            addresses: Vec::new(),
            _servers: Vec::new(),
        };
        for node in 0..nodes {
            shop.add_node(args, strategy, fans, node, nodes)?;
        }
        Ok(shop)
    }

    fn add_node(
        &mut self,
        args: &SeatsArgs,
        strategy: Strategy,
        fans: u32,
        node: usize,
        nodes: usize,
    ) -> Result<(), Failed> {
        let address = format!("127.0.0.1:{}", free_port());
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let program = program.display().to_string();
        let (seats, fans) = (args.seats.to_string(), fans.to_string());
        let (postgres, redis) = (&self.postgres, self.redis.as_ref());
        let (postgres_url, redis_url) =
            (postgres.url(&self.database), redis.map(testkit::Redis::url));
        let redis_url = redis_url.unwrap_or_default();
        let mut arguments = vec![
            "shop",
            "--strategy",
            strategy.name(),
            "--postgres",
            &postgres_url,
        ];
        arguments.extend(["--redis", &redis_url, "--seats", &seats, "--buyers", &fans]);
        arguments.extend(["--listen", &address]);
        let (node, of) = (node.to_string(), nodes.to_string());
        arguments.extend(["--node", &node, "--nodes", &of]);
        // All nodes share one machine: together they get as many threads as a single node.
        let threads = std::thread::available_parallelism().map_or(1, usize::from) / nodes;
        let server = Server::start_as(postgres.folder(), &program, &arguments, |command| {
            command.env("TOKIO_WORKER_THREADS", threads.max(1).to_string());
        });
        testkit::until("the shop", || {
            std::net::TcpStream::connect(&address).is_ok()
        });
        self.addresses.push(address);
        self._servers.push(server);
        Ok(())
    }

    /// Returns the order of each sold seat, according to the database.
    fn owners(&self, strategy: Strategy) -> HashMap<i32, String> {
        let select = match strategy {
            Strategy::Combined => {
                "select seat, 'hold_' || replace(hold::text, '-', '') from fairline.seat where state in (1, 2)"
            }
            _ => {
                "select s.seat, s.order_id from seat s join orders o on o.id = s.order_id where s.state = 2"
            }
        };
        let rows = self
            .postgres
            .run(&self.database, select)
            .unwrap_or_default();
        let row = |line: &str| {
            let (seat, order) = line.split_once('|')?;
            Some((seat.parse().ok()?, order.to_owned()))
        };
        rows.lines().filter_map(row).collect()
    }
}

/// Sells a hall and checks the books.
async fn sell(
    args: &SeatsArgs,
    strategy: Strategy,
    killed: Killed,
    nodes: usize,
) -> Result<Sale, Failed> {
    // Each purchase with an unknown outcome consumes a fan, so there are more fans than purchases.
    let fans = (args.seats / args.per_order + 20 * args.buyers) as u32;
    let mut shop = Shop::start(args, strategy, fans, nodes)?;
    let crowd = Arc::new(Crowd {
        addresses: shop.addresses.clone(),
        zipf: Zipf::new(args.seats / args.per_order),
        next_fan: AtomicU32::new(0),
        fans,
        sold: AtomicUsize::new(0),
        per_order: args.per_order as i32,
    });
    if nodes > 1 {
        tokio::time::sleep(MEETING).await;
    }
    let begun = Instant::now();
    let (selling, count) = (crowd.clone(), args.buyers as u64);
    let buying = tokio::task::spawn_blocking(move || buyers::all(&selling, count));
    if killed != Killed::Nothing {
        while crowd.sold.load(Ordering::Relaxed) < args.seats / 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        kill(&mut shop, killed).await;
    }
    let all = buying.await.map_err(|error| error.to_string())??;
    if strategy == Strategy::RedisCounter {
        // Time for the write-behind to finish.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    Ok(settle(&all, begun, &shop.owners(strategy)))
}

async fn kill(shop: &mut Shop, killed: Killed) {
    match killed {
        Killed::Postgres => {
            shop.postgres.kill();
            tokio::time::sleep(Duration::from_millis(500)).await;
            shop.postgres.start_again();
        }
        _ => {
            if let Some(redis) = &mut shop.redis {
                redis.kill();
                tokio::time::sleep(Duration::from_millis(500)).await;
                redis.start_again();
            }
        }
    }
}

fn settle(all: &[Sales], begun: Instant, owners: &HashMap<i32, String>) -> Sale {
    let mut latency = histogram();
    let mut sold = 0;
    let mut seen = HashSet::new();
    let (mut double, mut lost) = (0, 0);
    for buyer in all {
        let _ = latency.add(&buyer.latency);
        for (order, seats) in &buyer.orders {
            sold += seats.len();
            double += seats.iter().filter(|seat| !seen.insert(**seat)).count();
            let is_there = |seat: &i32| owners.get(seat).is_some_and(|owner| owner == order);
            lost += usize::from(!seats.iter().all(is_there));
        }
        lost += buyer.forgotten;
    }
    let ended = all.iter().map(|buyer| buyer.last_sale).max();
    let seconds = ended.map_or(1.0, |at| (at - begun).as_secs_f64());
    let ms = |quantile| latency.value_at_quantile(quantile) as f64 / 1000.0;
    Sale {
        seats_per_second: sold as f64 / seconds,
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        refusals: all.iter().map(|buyer| buyer.refusals).sum(),
        double,
        lost,
    }
}
