//! A line on a Redis of its own, for all measurements of `loadtest line`.

use client::Failed;
use futures_util::stream::{self, StreamExt as _};
use redis::aio::MultiplexedConnection;
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::sync::Arc;
use std::time::{Duration, Instant};
use waiting_room::line::{Admission, EventSettings, Line, Redis};

/// Number of Redis commands the baselines send together, as the engine's batches do at depth.
pub(super) const PIPELINE: usize = 1000;

/// Settings of the measurements.
#[derive(clap::Args, Clone, Debug)]
pub struct LineArgs {
    /// Number of rounds of each figure
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Number of joins in each round
    #[arg(long, default_value_t = 300_000)]
    pub joins: usize,
    /// Number of joins over HTTP in each round
    #[arg(long, default_value_t = 60_000)]
    pub requests: usize,
    /// Number of fans waiting while positions are measured
    #[arg(long, default_value_t = 1_000_000)]
    pub waiting: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// An engine on a server, and an event in it.
pub(super) struct Bench {
    pub(super) server: testkit::Redis,
    pub(super) line: Arc<dyn Line>,
    pub(super) event: EventId,
    _notes: tempfile::TempDir,
}

impl Bench {
    pub(super) async fn start() -> Result<Bench, Failed> {
        let server = testkit::Redis::start();
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

    /// Sends `count` joins of one visitor each, `at_once` concurrently, and returns joins per
    /// second.
    pub(super) async fn join(&self, count: usize, at_once: usize) -> f64 {
        let from = Instant::now();
        let joining = stream::iter(0..count).map(|_| async {
            let visitor = [VisitorId::random()];
            self.line.join(&self.event, &visitor).await.map(drop)
        });
        let joined: Vec<_> = joining.buffer_unordered(at_once).collect().await;
        assert!(joined.iter().all(Result::is_ok), "every join is answered");
        count as f64 / from.elapsed().as_secs_f64()
    }

    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, Failed> {
        let client = redis::Client::open(self.server.url()).map_err(|error| error.to_string())?;
        let connected = client.get_multiplexed_async_connection().await;
        let mut connection = connected.map_err(|error| error.to_string())?;
        connection.set_response_timeout(Duration::from_secs(60));
        Ok(connection)
    }

    pub(super) fn info(&self, section: &str, field: &str) -> f64 {
        let info = self.server.ask(&["INFO", section]).unwrap_or_default();
        let line = info.lines().find_map(|line| line.split_once(field));
        let value = line.map_or("", |(_, rest)| rest);
        let end = value.find(|c: char| !c.is_ascii_digit() && c != '.');
        value[..end.unwrap_or(value.len())].parse().unwrap_or(0.0)
    }
}

/// Joins so many visitors, and returns them in the order of their numbers.
pub(super) async fn fill(bench: &Bench, count: usize) -> Result<Vec<VisitorId>, Failed> {
    let visitors: Vec<VisitorId> = (0..count).map(|_| VisitorId::random()).collect();
    for some in visitors.chunks(PIPELINE) {
        let joined = bench.line.join(&bench.event, some).await;
        joined.map_err(|error| error.to_string())?;
    }
    Ok(visitors)
}
