//! The strategies that are compared, and the trait by which each sells.

use async_trait::async_trait;
use client::Failed;
use serde::{Deserialize, Serialize};
use std::fmt::Display;

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
pub struct ShopArgs {
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

/// Returns an error as a sentence.
pub(super) fn wrong(error: impl Display) -> Failed {
    error.to_string()
}

/// Returns a new order id.
pub(super) fn new_order() -> String {
    shared::crypto::random_id("ord_")
}
