//! `checkout`: the seats as a service of its own, behind a waiting room.

use checkout::jwks::Jwks;
use checkout::payment::ReconcileArgs;
use checkout::settings::SeatsArgs;
use checkout::tail::TailArgs;
use checkout::waiting_room::{RemoteSignOuts, RemoteWaitingRoom};
use checkout::{router, run as tick};
use clap::{Parser, Subcommand};
use shared::arguments::{Parsed, parse};
use shared::backup::{self, BackupArgs};
use shared::data_dir::DataFolder;
use shared::http::middleware::with_middleware;
use shared::http::operations::Operations;
use shared::keys::{check_secret, shared_secrets};
use shared::log;
use shared::metrics::Registry;
use shared::mistakes::Mistakes;
use shared::process::{Process, exit};
use shared::settings::{Common, Settings};
use shared::sign_outs;
use shared::time::Clock;
use shared::verify_audit::{VerifyArgs, verify};
use shared::warnings::warn_of_clear_link;
use shared::web_url::is_web_url;
use std::process::ExitCode;
use std::sync::Arc;

/// Every request makes and frees some dozens of small things, often on different threads: that is a
/// third of what a hold costs with the C library's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seats, holds, orders, payments, tickets.
#[derive(Parser)]
#[command(name = "checkout", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Subcommands>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    seats: SeatsArgs,
    /// Base URL of the waiting room: its keys, and where starts and finishes are reported
    #[arg(long, env = "FAIRLINE_WAITING_ROOM", hide_env_values = true)]
    waiting_room: Option<String>,
    /// Shows the waiting room that this checkout may report its seats; the same on both
    #[arg(long, env = "FAIRLINE_SERVICE_KEY", hide_env_values = true)]
    service_key: Option<String>,
    /// Signs console sessions; never sent anywhere; the same as the waiting room's
    #[arg(long, env = "FAIRLINE_PASS_SECRET", hide_env_values = true)]
    pass_secret: Option<String>,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Copy the data folder to a new folder, while it is in use or not
    Backup(BackupArgs),
    /// Check that the audit log is as it was written
    VerifyAudit(VerifyArgs),
    /// Compare the payments of a period with the provider's list, to the cent
    Reconcile(ReconcileArgs),
    /// Print events as they happen, one JSON object a line
    Tail(TailArgs),
}

impl Cli {
    /// Records which secrets are missing, weak or equal.
    fn check_secrets(&self, settings: &Settings, mistakes: &mut Mistakes) {
        let secrets = shared_secrets(self.pass_secret.as_deref(), self.service_key.as_deref());
        for secret in secrets {
            check_secret(secret, mistakes);
            if secret.value.is_none() {
                mistakes.add(format!(
                    "{}: needed, and equal to the waiting room's: at least 32 characters",
                    secret.setting
                ));
            }
        }
        settings.check_distinct(secrets, mistakes);
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Parsed {
        cli,
        mut mistakes,
        notes,
    } = parse::<Cli>();
    match &cli.command {
        Some(Subcommands::Backup(args)) => {
            let elsewhere: Vec<&str> = cli.seats.elsewhere().into_iter().collect();
            return backup::run("checkout backup", &cli.common, args, &elsewhere);
        }
        Some(Subcommands::VerifyAudit(args)) => {
            let shared = cli.seats.shared_audit().await;
            return verify("checkout verify-audit", &cli.common, args, shared);
        }
        Some(Subcommands::Reconcile(args)) => {
            return cli.seats.reconcile(&cli.common.data_folder(), args).await;
        }
        Some(Subcommands::Tail(args)) => {
            return cli.seats.tail(&cli.common.data_folder(), args).await;
        }
        None => {}
    }
    if let Some(probe) = cli.common.probe {
        return shared::probe::ask(probe, &cli.common).await;
    }
    let mut settings = cli.common.read("127.0.0.1:8081", &mut mistakes);
    settings.take(notes);
    cli.seats.check(&mut mistakes);
    let waiting_room = cli.waiting_room.as_deref().unwrap_or("");
    let more = cli.seats.warnings(&settings.public_url).into_iter();
    let more = more.chain(warn_of_clear_link("FAIRLINE_WAITING_ROOM", waiting_room));
    settings.warnings.extend(more);
    if !is_web_url(waiting_room) {
        mistakes.add(
            "FAIRLINE_WAITING_ROOM: the waiting room's base URL is needed, http(s)://host:port",
        );
    }
    cli.check_secrets(&settings, &mut mistakes);
    let outcome = match mistakes.into_result() {
        Ok(()) => serve(&settings, &cli, waiting_room)
            .await
            .map_err(|error| vec![error]),
        Err(mistakes) => Err(mistakes),
    };
    exit("checkout", outcome)
}

async fn serve(settings: &Settings, cli: &Cli, waiting_room: &str) -> Result<(), String> {
    let process = Process::start(settings).await?;
    let service_key = cli.service_key.as_deref().unwrap_or("");
    let remote = RemoteWaitingRoom::new(waiting_room, service_key);
    let folder = DataFolder::open(&settings.data)?;
    let (clock, stop) = (Clock::system(), process.stop.clone());
    let pass_secret = cli.pass_secret.as_deref();
    let (site, key) = settings.open_site(&folder, clock, stop.clone(), pass_secret)?;
    let site = Arc::new(site);
    let sign_outs = site.organisers.sign_outs().clone();
    sign_outs.share(Arc::new(RemoteSignOuts::new(remote.clone(), &site)));
    let keys = Jwks::fetched(remote.clone(), site.public_url.clone());
    let service_key = cli.service_key.clone();
    let shop = cli
        .seats
        .open(&folder, site.clone(), keys, Arc::new(remote), service_key)
        .await?;
    if let Some(key) = key {
        log::print(format_args!("Organiser key (shown this once): {key}"));
    }
    tokio::spawn(tick(shop.clone()));
    tokio::spawn(sign_outs::follow(sign_outs, stop));
    let mut metrics = Registry::default();
    shared::metrics::register(&mut metrics, &site);
    checkout::metrics::register(&mut metrics, &shop);
    let metrics = Arc::new(metrics);
    let (routes, description) = router(shop.clone());
    let app = with_middleware(routes, &site, description);
    let operations = Operations { metrics, site };
    process.serve(app, operations, shop.drain()).await;
    Ok(())
}
