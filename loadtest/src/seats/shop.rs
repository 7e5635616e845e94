//! Server skeleton through which every strategy sells: one route to buy, one to poll for the result.

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

/// Id of the event that is sold.
pub(super) const EVENT: &str = "hall";

/// A strategy for selling seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Lock the seats, check, write, one transaction per request
    ForUpdate,
    /// The same, but the best seats are searched among those not locked
    SkipLocked,
    /// Check, write if the version is unchanged, otherwise try again
    Optimistic,
    /// A lock in Redis for every seat, around the transaction
    RedisLock,
    /// Redis decides; Postgres is written behind
    RedisCounter,
    /// Accepted at once, processed by one consumer of a Redis stream, polled
    Queue,
    /// Fairline: all requests queued during the last commit, in one statement
    Combined,
}

impl Strategy {
    /// All strategies, Fairline's last.
    pub const ALL: [Strategy; 7] = [
        Strategy::ForUpdate,
        Strategy::SkipLocked,
        Strategy::Optimistic,
        Strategy::RedisLock,
        Strategy::RedisCounter,
        Strategy::Queue,
        Strategy::Combined,
    ];

    /// Returns the name used on the command line.
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

    /// Returns whether it needs Redis.
    pub fn uses_redis(self) -> bool {
        matches!(
            self,
            Strategy::RedisLock | Strategy::RedisCounter | Strategy::Queue
        )
    }
}

/// Seats wanted by a buyer: these seats, or this many of the best.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) buyer: u32,
    #[serde(default)]
    pub(super) seats: Vec<i32>,
    #[serde(default)]
    pub(super) best: u32,
}

/// Result of a purchase.
#[derive(Clone, Debug)]
pub(super) enum Bought {
    Sold {
        order: String,
        seats: Vec<i32>,
    },
    /// Not decided yet: poll with this order id.
    Later(String),
    Taken,
    SoldOut,
}

/// Implementation of a strategy.
#[async_trait]
pub(super) trait Seller: Send + Sync {
    async fn buy(&self, wanted: Wanted) -> Result<Bought, Failed>;

    async fn ask(&self, _order: &str) -> Result<Bought, Failed> {
        Err("this strategy decides every purchase at once".to_owned())
    }
}

/// Arguments of the server process.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Strategy to sell with
    #[arg(long)]
    pub strategy: Strategy,
    /// URL of the Postgres database
    #[arg(long)]
    pub postgres: String,
    /// URL of Redis
    #[arg(long, default_value = "")]
    pub redis: String,
    /// Number of seats in the hall
    #[arg(long)]
    pub seats: usize,
    /// Number of buyers
    #[arg(long)]
    pub buyers: usize,
    /// Address to listen on
    #[arg(long)]
    pub listen: String,
    /// Index of this node; the first creates the hall
    #[arg(long)]
    pub node: usize,
    /// Number of nodes; each admits its share of the buyers
    #[arg(long)]
    pub nodes: usize,
}

/// Runs the server until it is killed.
///
/// # Errors
/// Fails if a store does not answer.
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
