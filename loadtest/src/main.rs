//! `loadtest`: how fast, how exact, how safe a server is. Every figure in the README comes from here.

use clap::{Parser, Subcommand};
use loadtest::{fans, line, rush};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "loadtest",
    version,
    about = "How fast, how exact, how safe a server is"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Many fans join and watch; every position is checked
    Fans(fans::Args),
    /// The line on a Redis of its own, against what Redis itself can do
    Line(line::Args),
    /// Whole journeys to booked seats; then the books are checked
    Rush(rush::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let (report, as_json) = match Cli::parse().command {
        Command::Fans(args) => (fans::run(args.clone()).await, args.json),
        Command::Line(args) => (line::run(args.clone()).await, args.json),
        Command::Rush(args) => (rush::run(args.clone()).await, args.json),
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
