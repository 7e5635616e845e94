//! `loadtest`: measures how fast, exact and safe a server is. It produces the figures of
//! docs/performance.md.

use clap::{Parser, Subcommand};
use loadtest::floods::{slow, spoofed};
use loadtest::report::Report;
use loadtest::{door, fans, gate, line, night, overload, payments, rush, seats};
use std::process::ExitCode;
use std::time::Duration;
use testkit::{Postgres, Server};
use tokio::signal::unix::{SignalKind, signal};

/// Time between two looks whether a command has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Every request allocates and frees dozens of small objects, often on different threads. With the
/// allocator of the C library this is a third of the cost of a hold.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    name = "loadtest",
    version,
    about = "Measures how fast, exact and safe a server is"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Many fans join and watch; every position is checked
    Fans(fans::FansArgs),
    /// The line on a Redis of its own, compared with Redis itself
    Line(line::LineArgs),
    /// Answers of the gate on private servers, beside nginx's own; a fan's page behind it
    Gate(gate::GateArgs),
    /// A healthy client while requests come from ten million addresses
    Spoofed(spoofed::SpoofedArgs),
    /// A healthy client beside slowhttptest's slow ones
    Slow(slow::SlowArgs),
    /// Whole journeys to booked seats; then the books are checked
    Rush(rush::RushArgs),
    /// A night in small: a draw, a rush, fans who behave as people do, until it is sold out
    Night(night::NightArgs),
    /// Several times the load that the server takes, and how soon it is back afterwards
    Overload(overload::OverloadArgs),
    /// Payments through a stand-in of Stripe: books with faults, webhooks, a slow provider
    Payments(payments::PaymentsArgs),
    /// A full house at two doors, on the inventory's own engine
    Door(door::DoorArgs),
    /// The same contended sale by each common strategy, on a Postgres of its own
    Seats(seats::SeatsArgs),
    /// A server that sells by one of the strategies
    #[command(hide = true)]
    Shop(seats::strategy::ShopArgs),
    /// Runs a command with FAIRLINE_INVENTORY naming a Postgres of its own
    OnPostgres(OnPostgres),
}

#[derive(clap::Args)]
struct OnPostgres {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl OnPostgres {
    /// Runs the command and returns its exit code. The command and all that it started end when
    /// this is dropped.
    async fn run(&self) -> ExitCode {
        let postgres = Postgres::start();
        let url = postgres.url(&postgres.database());
        let mut command = std::process::Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .env("FAIRLINE_INVENTORY", url);
        let mut server = match Server::run(command) {
            Ok(server) => server,
            Err(error) => {
                eprintln!("loadtest: {}: {error}", self.command[0]);
                return ExitCode::from(2);
            }
        };
        loop {
            if let Some(status) = server.ended() {
                return ExitCode::from(status.code().map_or(1, |code| code as u8));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::parse().command;
    // They are heard from the start: private servers run before anything is waited for.
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let [Ok(mut terminate), Ok(mut interrupt)] = signals else {
        eprintln!("cannot listen to signals");
        return ExitCode::FAILURE;
    };
    // A measurement that is dropped takes its private servers with it, and so does the runtime with
    // its tasks. The exit code is the one that shells give for a signal.
    tokio::select! {
        code = measure(command) => code,
        _ = terminate.recv() => ExitCode::from(128 + 15),
        _ = interrupt.recv() => ExitCode::from(128 + 2),
    }
}

async fn measure(command: Command) -> ExitCode {
    let (report, as_json) = match command {
        Command::Fans(args) => (fans::run(args.clone()).await, args.json),
        Command::Line(args) => (line::run(args.clone()).await, args.json),
        Command::Gate(args) => (gate::run(args.clone()).await, args.json),
        Command::Spoofed(args) => (spoofed::run(args.clone()).await, args.json),
        Command::Slow(args) => (slow::run(args.clone()).await, args.json),
        Command::Rush(args) => (rush::run(args.clone()).await, args.json),
        Command::Night(args) => (night::run(args.clone()).await, args.json),
        Command::Overload(args) => (overload::run(args.clone()).await, args.json),
        Command::Payments(args) => (payments::run(args.clone()).await, args.json),
        Command::Door(args) => (door::run(args.clone()).await, args.json),
        Command::Seats(args) => {
            let as_json = args.json;
            // Runs as a task of the runtime, like the tasks that answer requests.
            let ran = tokio::spawn(seats::run(args)).await;
            (ran.unwrap_or_else(|error| Err(error.to_string())), as_json)
        }
        Command::Shop(args) => (
            seats::shop::run(args).await.map(|()| Report::default()),
            true,
        ),
        Command::OnPostgres(args) => return args.run().await,
    };
    match report {
        Ok(report) => {
            report.print(as_json);
            if report.violations.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::from(2)
        }
    }
}
