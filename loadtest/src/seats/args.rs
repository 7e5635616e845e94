//! Settings of the comparison.

use super::strategy::Strategy;

/// Settings of the comparison.
#[derive(clap::Args, Clone, Debug)]
pub struct SeatsArgs {
    /// Compare only these strategies
    #[arg(long)]
    pub strategy: Vec<Strategy>,
    /// Number of rounds for each strategy, alternating
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Number of seats in the hall
    #[arg(long, default_value_t = 20_000)]
    pub seats: usize,
    /// Number of concurrent buyers
    #[arg(long, default_value_t = 64)]
    pub buyers: usize,
    /// Number of seats per purchase
    #[arg(long, default_value_t = 2)]
    pub per_order: usize,
    /// Leave out the rounds in which a store is killed half way
    #[arg(long)]
    pub no_kills: bool,
    /// Only the engine, without HTTP, beside pgbench
    #[arg(long)]
    pub engine: bool,
    /// Only reads of the seat map over HTTP, beside nginx with the same bytes in a file
    #[arg(long)]
    pub map: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
