//! `fairline`: the waiting room and the checkout in one process, on the embedded engines.

use clap::{Parser, Subcommand};
use shared::arguments::{Notes, Parsed, parse};
use shared::backup::{self, BackupArgs};
use shared::http::operations::Operations;
use shared::log;
use shared::mistakes::Mistakes;
use shared::process::{Process, exit};
use shared::settings::{Common, Settings};
use shared::time::Clock;
use standalone::demo::{self, DemoArgs};
use standalone::{Fairline, compose};
use std::path::PathBuf;
use std::process::ExitCode;
use waiting_room::draw::{self, Drawn, Proof};

/// Every request makes and frees some dozens of small things, often on different threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A virtual waiting room with a checkout gateway behind it.
#[derive(Parser)]
#[command(name = "fairline", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    line: waiting_room::settings::LineArgs,
    #[command(flatten)]
    seats: checkout::settings::SeatsArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Serve,
    /// Open a ready-made sale with a simulated crowd
    Demo(DemoArgs),
    /// Check a downloaded draw, offline
    VerifyDraw(VerifyArgs),
    /// Copy the data folder to a new folder, while it is in use or not
    Backup(BackupArgs),
    /// Check that the audit log is as it was written
    VerifyAudit(shared::verify_audit::VerifyArgs),
    /// Compare the payments of a period with the provider's list, to the cent
    Reconcile(checkout::payment::ReconcileArgs),
    /// Print events as they happen, one JSON object a line
    Tail(checkout::tail::TailArgs),
}

/// Downloaded files of a draw.
#[derive(clap::Args)]
struct VerifyArgs {
    /// Response of GET /api/v1/events/EVENT/draw
    draw: PathBuf,
    /// Response of GET /api/v1/events/EVENT/draw/entries
    entries: PathBuf,
    /// Response of GET /api/v1/events/EVENT/draw/proof, to check against this draw
    #[arg(long)]
    proof: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Parsed {
        mut cli,
        mistakes,
        notes,
    } = parse::<Cli>();
    if let Some(probe) = cli.common.probe {
        return shared::probe::ask(probe, &cli.common).await;
    }
    let demo = match cli.command.take() {
        Some(Command::VerifyDraw(args)) => return verify_draw(&args),
        Some(Command::Backup(args)) => return back_up(&cli, &args),
        Some(Command::VerifyAudit(args)) => return verify_audit(&cli, &args).await,
        Some(Command::Reconcile(args)) => {
            return cli.seats.reconcile(&cli.common.data_folder(), &args).await;
        }
        Some(Command::Tail(args)) => {
            return cli.seats.tail(&cli.common.data_folder(), &args).await;
        }
        Some(Command::Demo(args)) => Some(args),
        Some(Command::Serve) | None => None,
    };
    let outcome = match demo {
        Some(args) => demo::start(&mut cli.common, args).map(Some),
        None => Ok(None),
    };
    let outcome = match outcome {
        Ok(demo) => serve(&cli, demo, mistakes, notes).await,
        Err(error) => Err(vec![error]),
    };
    exit("fairline", outcome)
}

/// Copies the data folder.
fn back_up(cli: &Cli, args: &BackupArgs) -> ExitCode {
    let stores = [cli.line.elsewhere(), cli.seats.elsewhere()];
    let elsewhere: Vec<&str> = stores.into_iter().flatten().collect();
    backup::run("fairline backup", &cli.common, args, &elsewhere)
}

/// Verifies a draw. Exit code 0: it was held as promised; 1: it was not; 2: the files cannot be
/// read.
fn verify_draw(args: &VerifyArgs) -> ExitCode {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path);
        text.map_err(|error| format!("{}: {error}", path.display()))
    };
    let json = |path: &PathBuf, error: serde_json::Error| format!("{}: {error}", path.display());
    let files = || -> Result<(Drawn, String, Option<Proof>), String> {
        let drawn = serde_json::from_str(&read(&args.draw)?).map_err(|e| json(&args.draw, e))?;
        let proof = match &args.proof {
            Some(path) => Some(serde_json::from_str(&read(path)?).map_err(|e| json(path, e))?),
            None => None,
        };
        Ok((drawn, read(&args.entries)?, proof))
    };
    let (drawn, entries, proof) = match files() {
        Ok(files) => files,
        Err(error) => return exit("fairline verify-draw", Err(vec![error])),
    };
    let outcome = draw::verify(&drawn, &entries).and_then(|count| {
        if let Some(proof) = &proof {
            draw::verify_proof(&drawn, proof)?;
        }
        Ok(count)
    });
    match outcome {
        Ok(count) => {
            log::print(format_args!(
                "The draw was held as promised: {count} entries, each with the number that the seed gives it."
            ));
            ExitCode::SUCCESS
        }
        Err(why) => {
            log::print_error(format_args!("The draw was NOT held as promised: {why}."));
            ExitCode::FAILURE
        }
    }
}

/// Checks the audit log.
async fn verify_audit(cli: &Cli, args: &shared::verify_audit::VerifyArgs) -> ExitCode {
    let shared = match cli.line.shared_audit().await {
        // The line's store goes first, as for writing.
        Ok(None) => cli.seats.shared_audit().await,
        shared => shared,
    };
    shared::verify_audit::verify("fairline verify-audit", &cli.common, args, shared)
}

async fn serve(
    cli: &Cli,
    demo: Option<demo::Demo>,
    mut mistakes: Mistakes,
    notes: Notes,
) -> Result<(), Vec<String>> {
    let mut settings = cli.common.read("127.0.0.1:8080", &mut mistakes);
    settings.take(notes);
    if demo.is_none() {
        let more = cli.seats.warnings(&settings.public_url);
        settings.warnings.extend(more);
    }
    cli.line.check(&mut mistakes);
    settings.check_distinct(cli.line.secrets(), &mut mistakes);
    cli.seats.check(&mut mistakes);
    mistakes.into_result()?;
    let one = |error| vec![error];
    let process = Process::start(&settings).await.map_err(one)?;
    let (clock, stop) = (Clock::system(), process.stop.clone());
    let fairline = compose(&settings, &cli.line, &cli.seats, clock, stop)
        .await
        .map_err(one)?;
    if let Some(demo) = &demo {
        let code = fairline.room.site.organisers.one_time_code();
        demo.begin(&settings, &fairline, &code, process.stop.clone());
    } else {
        announce(&settings, &fairline);
    }
    let operations = Operations {
        metrics: fairline.metrics.clone(),
        site: fairline.room.site.clone(),
    };
    let drain = fairline.shop.drain();
    process.serve(fairline.app.clone(), operations, drain).await;
    Ok(())
}

/// Prints the site's address, and the organiser key if it was made at this start.
fn announce(settings: &Settings, fairline: &Fairline) {
    if let Some(key) = &fairline.new_organiser_key {
        log::print(format_args!(
            "Organiser key (shown this once, kept in {}): {key}",
            settings.data.display()
        ));
    }
    log::print(format_args!(
        "Fairline serves at {} (organisers: {0}/organiser)",
        settings.public_url
    ));
}
