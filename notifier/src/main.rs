//! `notifier`: Fairline's events for a loyalty programme and a search engine.

use clap::Parser;
use notifier::commands::{self, Command};
use notifier::service;
use notifier::settings::NotifierArgs;
use shared::arguments::{Parsed, parse};
use shared::mistakes::Mistakes;
use shared::process::exit;
use std::process::ExitCode;

/// Consumes Fairline's events from a message broker, for a loyalty programme and a search engine.
#[derive(Parser)]
#[command(name = "notifier", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    args: NotifierArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Parsed {
        cli,
        mut mistakes,
        notes,
    } = parse::<Cli>();
    if let Some(command) = &cli.command {
        let outcome = commands::run(command, &cli.args).await;
        return exit("notifier", outcome.map_err(|why| vec![why]));
    }
    if let Some(probe) = cli.args.probe {
        let mut mistakes = Mistakes::default();
        let listener = cli.args.ops_listener(&mut mistakes);
        return match mistakes.into_result() {
            Ok(()) => shared::probe::ask_at(probe, listener).await,
            Err(mistakes) => exit("probe", Err(mistakes)),
        };
    }
    let settings = cli.args.read(&mut mistakes);
    let outcome = match (mistakes.into_result(), settings) {
        (Err(mistakes), _) => Err(mistakes),
        (Ok(()), Some(mut settings)) => {
            settings.warnings.extend(notes.warnings);
            service::run(&settings).await.map_err(|why| vec![why])
        }
        (Ok(()), None) => Ok(()),
    };
    exit("notifier", outcome)
}
