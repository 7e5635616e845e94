//! `waiting-room`: the line as a service of its own, in front of any shop.

use clap::{Parser, Subcommand};
use shared::arguments::{Parsed, parse};
use shared::backup::{self, BackupArgs};
use shared::data_dir::DataFolder;
use shared::http::front::Front;
use shared::http::middleware::with_middleware;
use shared::http::operations::Operations;
use shared::metrics::Registry;
use shared::process::{Process, exit};
use shared::settings::Common;
use shared::time::Clock;
use shared::verify_audit::{VerifyArgs, verify};
use shared::warnings::warn_of_clear_link;
use shared::web_url::is_web_url;
use shared::{log, settings::Settings, sign_outs};
use std::process::ExitCode;
use std::sync::Arc;
use waiting_room::checkout::RemoteCheckout;
use waiting_room::settings::LineArgs;
use waiting_room::{Checkout, Room, gate, router, ticker};

/// Every request makes and frees some dozens of small things, often on different threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The line: places, admission, the queue page, the gate.
#[derive(Parser)]
#[command(name = "waiting-room", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    line: LineArgs,
    /// Base URL of the checkout, which is asked before an event is deleted
    #[arg(long, env = "FAIRLINE_CHECKOUT", hide_env_values = true)]
    checkout: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Copy the data folder to a new folder, while it is in use or not
    Backup(BackupArgs),
    /// Check that the audit log is as it was written
    VerifyAudit(VerifyArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Parsed {
        cli,
        mut mistakes,
        notes,
    } = parse::<Cli>();
    match &cli.command {
        Some(Command::Backup(args)) => {
            let elsewhere: Vec<&str> = cli.line.elsewhere().into_iter().collect();
            return backup::run("waiting-room backup", &cli.common, args, &elsewhere);
        }
        Some(Command::VerifyAudit(args)) => {
            let shared = cli.line.shared_audit().await;
            return verify("waiting-room verify-audit", &cli.common, args, shared);
        }
        None => {}
    }
    if let Some(probe) = cli.common.probe {
        return shared::probe::ask(probe, &cli.common).await;
    }
    let mut settings = cli.common.read("127.0.0.1:8080", &mut mistakes);
    settings.take(notes);
    cli.line.check(&mut mistakes);
    settings.check_distinct(cli.line.secrets(), &mut mistakes);
    let checkout = cli.checkout.as_deref().filter(|url| !url.is_empty());
    if checkout.is_some_and(|url| !is_web_url(url)) {
        mistakes.add("FAIRLINE_CHECKOUT: the checkout's base URL, http(s)://host:port");
    }
    settings
        .warnings
        .extend(checkout.and_then(|url| warn_of_clear_link("FAIRLINE_CHECKOUT", url)));
    let service_key = cli.line.service_key.as_deref();
    if checkout.is_some() && service_key.is_none() {
        mistakes.add("FAIRLINE_SERVICE_KEY: needed with FAIRLINE_CHECKOUT, the same on both");
    }
    let outcome = match mistakes.into_result() {
        Ok(()) => serve(&settings, &cli.line, checkout)
            .await
            .map_err(|error| vec![error]),
        Err(mistakes) => Err(mistakes),
    };
    exit("waiting-room", outcome)
}

async fn serve(settings: &Settings, line: &LineArgs, checkout: Option<&str>) -> Result<(), String> {
    let process = Process::start(settings).await?;
    let checkout = checkout.zip(line.service_key.as_deref());
    let checkout = checkout.map(|(url, key)| RemoteCheckout::new(url, key));
    let folder = DataFolder::open(&settings.data)?;
    let (clock, stop) = (Clock::system(), process.stop.clone());
    let pass_secret = line.pass_secret.as_deref();
    let (site, key) = settings.open_site(&folder, clock, stop.clone(), pass_secret)?;
    let site = Arc::new(site);
    let checkout = checkout.map(|checkout| Arc::new(checkout) as Arc<dyn Checkout>);
    let room = Room::new(line.open(&folder, site.clone(), checkout).await?)?;
    if let Some(key) = key {
        log::print(format_args!("Organiser key (shown this once): {key}"));
    }
    tokio::spawn(ticker::tick_all(room.clone()));
    tokio::spawn(sign_outs::follow(site.organisers.sign_outs().clone(), stop));
    let mut metrics = Registry::default();
    shared::metrics::register(&mut metrics, &site);
    waiting_room::metrics::register(&mut metrics, &room);
    let metrics = Arc::new(metrics);
    let (routes, description) = router(room.clone());
    let app = with_middleware(routes, &site, description);
    let app = Front::new(app, gate(room), &site);
    let operations = Operations { metrics, site };
    process.serve(app, operations, std::future::ready(())).await;
    Ok(())
}
