//! `fairline`: the waiting room and the checkout in one process, on the embedded engines.

use clap::{Parser, Subcommand};
use shared::log;
use shared::serve::{Listeners, Operations, start_metrics, stop_on_signal};
use shared::settings::{Common, Mistakes, exit};
use shared::time::Clock;
use standalone::demo::{self, DemoArgs};
use standalone::{Fairline, compose};
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// A virtual waiting room with a checkout gateway behind it.
#[derive(Parser)]
#[command(name = "fairline", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    line: waiting_room::settings::Args,
    #[command(flatten)]
    seats: checkout::settings::Args,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Serve,
    /// Open a ready-made sale with a simulated crowd
    Demo(DemoArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut cli = Cli::parse();
    let demo = match cli.command.take() {
        Some(Command::Demo(args)) => Some(args),
        Some(Command::Serve) | None => None,
    };
    let outcome = match demo {
        Some(args) => demo::start(&mut cli.common, args).map(Some),
        None => Ok(None),
    };
    let outcome = match outcome {
        Ok(demo) => serve(&cli, demo).await,
        Err(error) => Err(vec![error]),
    };
    exit("fairline", outcome)
}

async fn serve(cli: &Cli, demo: Option<demo::Demo>) -> Result<(), Vec<String>> {
    let mut mistakes = Mistakes::default();
    let settings = cli.common.read("127.0.0.1:8080", &mut mistakes);
    cli.line.check(&mut mistakes);
    cli.seats.check(&mut mistakes);
    if !mistakes.0.is_empty() {
        return Err(mistakes.0);
    }
    log::start(settings.log_format, &settings.log);
    let stop = CancellationToken::new();
    let metrics = start_metrics();
    let one = |error| vec![error];
    let listeners = Listeners::bind(&settings).await.map_err(one)?;
    let fairline = compose(
        &settings,
        &cli.line,
        &cli.seats,
        Clock::system(),
        stop.clone(),
    )
    .map_err(one)?;
    stop_on_signal(stop.clone());
    let Fairline {
        app,
        room,
        new_organiser_key,
        ..
    } = &fairline;
    if let Some(key) = new_organiser_key.as_ref().filter(|_| demo.is_none()) {
        println!(
            "Organiser key (shown this once, kept in {}): {key}",
            settings.data.display()
        );
    }
    let operations = Operations {
        metrics,
        site: room.site.clone(),
    };
    match &demo {
        Some(demo) => {
            let code = room.site.organisers.one_time_code();
            demo.begin(&settings, &fairline, &code, stop);
        }
        None => println!(
            "Fairline serves at {} (organisers: {0}/organiser)",
            settings.public_url
        ),
    }
    listeners.run(app.clone(), operations).await;
    Ok(())
}
