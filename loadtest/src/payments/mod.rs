//! `loadtest payments`: a private node that is paid through a stand-in of Stripe: the books after
//! many payments with faults, the rate of webhooks, and what a slow provider costs the writer.

mod fan;
mod faults;
mod slow;
mod stage;
mod webhooks;

use crate::report::Report;
use clap::Subcommand;
use client::Failed;

/// Settings of the test.
#[derive(clap::Args, Clone, Debug)]
pub struct PaymentsArgs {
    #[command(subcommand)]
    test: Test,
    /// Inventory on a Postgres of its own, instead of SQLite
    #[arg(long, global = true)]
    postgres: bool,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand, Clone, Debug)]
enum Test {
    /// Payments while requests and webhooks go wrong by chance; then the books are compared
    Faults(faults::FaultsArgs),
    /// Webhooks as fast as the node takes them: those that book seats, later ones, and repetitions
    Webhooks(webhooks::WebhooksArgs),
    /// The writer's time for a commit while the provider takes its time, beside one that does not
    Slow(slow::SlowProviderArgs),
}

/// Runs the test.
///
/// # Errors
/// Fails if the node cannot be used at all.
pub async fn run(args: PaymentsArgs) -> Result<Report, Failed> {
    let postgres = args.postgres.then(testkit::Postgres::start);
    match args.test {
        Test::Faults(more) => faults::run(&more, postgres.as_ref()).await,
        Test::Webhooks(more) => webhooks::run(&more, postgres.as_ref()).await,
        Test::Slow(more) => slow::run(&more, postgres.as_ref()).await,
    }
}
