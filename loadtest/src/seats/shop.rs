//! The server skeleton that every strategy sells through: one route to buy, one to ask what became of it.

use super::combined::Combined;
use super::locks::{ForUpdate, Optimistic};
use super::redis::{Counter, Lock, Queue};
use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use client::Failed;
use serde::{Deserialize, Serialize};
use shared::http::listener::{Caps, serve};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The event that is sold.
pub(super) const EVENT: &str = "hall";

/// A way to sell seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Lock the seats, look, write, one transaction a request
    ForUpdate,
    /// The same, but the best seats are looked for among those that nobody has locked
    SkipLocked,
    /// Look, write if the version is the same, else again
    Optimistic,
    /// A lock in Redis for every seat, around the transaction
    RedisLock,
    /// Redis decides; Postgres is written behind
    RedisCounter,
    /// Accepted at once, done by one consumer of a Redis stream, polled
    Queue,
    /// Fairline: what queued while the last commit ran, in one statement
    Combined,
}

impl Strategy {
    /// All of them, ours last.
    pub const ALL: [Strategy; 7] = [
        Strategy::ForUpdate,
        Strategy::SkipLocked,
        Strategy::Optimistic,
        Strategy::RedisLock,
        Strategy::RedisCounter,
        Strategy::Queue,
        Strategy::Combined,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::ForUpdate => "for-update",
            Strategy::SkipLocked => "skip-locked",
            Strategy::Optimistic => "optimistic",
            Strategy::RedisLock => "redis-lock",
            Strategy::RedisCounter => "redis-counter",
            Strategy::Queue => "queue",
            Strategy::Combined => "combined",
        }
    }

    /// Whether it needs Redis.
    pub fn uses_redis(self) -> bool {
        matches!(
            self,
            Strategy::RedisLock | Strategy::RedisCounter | Strategy::Queue
        )
    }
}

/// What somebody wants: these seats, or so many of the best.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) buyer: u32,
    #[serde(default)]
    pub(super) seats: Vec<i32>,
    #[serde(default)]
    pub(super) best: u32,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(super) enum Bought {
    Sold {
        order: String,
        seats: Vec<i32>,
    },
    /// Not decided yet: ask again under this name.
    Later(String),
    Taken,
    SoldOut,
}

/// One way to sell.
#[async_trait]
pub(super) trait Seller: Send + Sync {
    async fn buy(&self, wanted: Wanted) -> Result<Bought, Failed>;

    async fn ask(&self, _order: &str) -> Result<Bought, Failed> {
        Err("nothing is decided later here".to_owned())
    }
}

/// What the server process is told.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// How it sells
    #[arg(long)]
    pub strategy: Strategy,
    /// The database
    #[arg(long)]
    pub postgres: String,
    /// Redis
    #[arg(long, default_value = "")]
    pub redis: String,
    /// Seats in the hall
    #[arg(long)]
    pub seats: usize,
    /// Buyers
    #[arg(long)]
    pub buyers: usize,
    /// Where to listen
    #[arg(long)]
    pub listen: String,
    /// Which of the nodes this is; the first makes the hall
    #[arg(long)]
    pub node: usize,
    /// How many nodes there are; each lets its share of the buyers in
    #[arg(long)]
    pub nodes: usize,
}

/// Runs the server until it is killed.
///
/// # Errors
/// When a store does not answer.
pub async fn run(args: Args) -> Result<(), Failed> {
    let seller: Arc<dyn Seller> = match args.strategy {
        Strategy::ForUpdate | Strategy::SkipLocked => Arc::new(ForUpdate::open(&args).await?),
        Strategy::Optimistic => Arc::new(Optimistic::open(&args).await?),
        Strategy::RedisLock => Arc::new(Lock::open(&args).await?),
        Strategy::RedisCounter => Arc::new(Counter::open(&args).await?),
        Strategy::Queue => Arc::new(Queue::open(&args).await?),
        Strategy::Combined => Arc::new(Combined::open(&args).await?),
    };
    let app = Router::new()
        .route("/buy", post(buy))
        .route("/orders/{order}", get(ask))
        .with_state(seller);
    let listener = TcpListener::bind(&args.listen).await;
    let listener = listener.map_err(|error| format!("{}: {error}", args.listen))?;
    let caps = Caps {
        connections_max: 10_000,
        connections_per_address_max: 0,
    };
    serve(listener, app, caps, CancellationToken::new()).await;
    Ok(())
}

#[derive(Serialize)]
struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<Vec<i32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

async fn buy(
    State(seller): State<Arc<dyn Seller>>,
    Json(wanted): Json<Wanted>,
) -> (StatusCode, Json<Said>) {
    say(seller.buy(wanted).await)
}

async fn ask(
    State(seller): State<Arc<dyn Seller>>,
    Path(order): Path<String>,
) -> (StatusCode, Json<Said>) {
    say(seller.ask(&order).await)
}

fn say(bought: Result<Bought, Failed>) -> (StatusCode, Json<Said>) {
    let (status, order, seats, why) = match bought {
        Ok(Bought::Sold { order, seats }) => (StatusCode::OK, Some(order), Some(seats), None),
        Ok(Bought::Later(order)) => (StatusCode::ACCEPTED, Some(order), None, None),
        Ok(Bought::Taken) => (StatusCode::CONFLICT, None, None, Some("taken")),
        Ok(Bought::SoldOut) => (StatusCode::CONFLICT, None, None, Some("sold-out")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, None, None, Some("failed")),
    };
    (status, Json(Said { order, seats, why }))
}
