//! `checkout`: the seats as a service of its own, behind a waiting room.

use checkout::settings::Args;
use checkout::waiting_room::{Keys, Remote};
use checkout::{router, run as tick};
use clap::Parser;
use shared::data::DataFolder;
use shared::log;
use shared::serve::{Listeners, Operations, finish, start_metrics, stop_on_signal};
use shared::settings::{Common, Mistakes, Settings, exit};
use shared::time::Clock;
use std::process::ExitCode;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Every request makes and frees some dozens of small things, often on different threads: that is a third of what a hold
/// costs with the C library's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seats, holds, orders, payments, tickets.
#[derive(Parser)]
#[command(name = "checkout", version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    seats: Args,
    /// Base URL of the waiting room: its keys, and where starts and finishes are reported
    #[arg(long, env = "FAIRLINE_WAITING_ROOM")]
    waiting_room: Option<String>,
    /// What shows the waiting room that the seats are ours to report; the same on both
    #[arg(long, env = "FAIRLINE_SERVICE_KEY", hide_env_values = true)]
    service_key: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut mistakes = Mistakes::default();
    let settings = cli.common.read("127.0.0.1:8081", &mut mistakes);
    cli.seats.check(&mut mistakes);
    let waiting_room = cli.waiting_room.as_deref().unwrap_or("");
    if !waiting_room.starts_with("http://") {
        mistakes
            .add("FAIRLINE_WAITING_ROOM: the waiting room's base URL is needed, http://host:port");
    }
    let service_key = cli.service_key.as_deref().unwrap_or("");
    if service_key.len() < 32 {
        mistakes
            .add("FAIRLINE_SERVICE_KEY: at least 32 characters, the same as the waiting room's");
    }
    let remote = Remote::new(waiting_room, service_key);
    let outcome = match mistakes.0 {
        mistakes if mistakes.is_empty() => serve(&settings, &cli.seats, remote, service_key)
            .await
            .map_err(|error| vec![error]),
        mistakes => Err(mistakes),
    };
    exit("checkout", outcome)
}

async fn serve(
    settings: &Settings,
    seats: &Args,
    remote: Remote,
    service_key: &str,
) -> Result<(), String> {
    log::start(settings.log_format, &settings.log);
    let stop = CancellationToken::new();
    let metrics = start_metrics();
    let listeners = Listeners::bind(settings).await?;
    let folder = DataFolder::open(&settings.data)?;
    let (site, key) =
        settings.open_site(&folder, Clock::system(), stop.clone(), Some(service_key))?;
    let site = Arc::new(site);
    let keys = Keys::fetched(remote.clone(), site.public_url.clone());
    let shop = seats
        .open(
            &folder,
            site.clone(),
            keys,
            Arc::new(remote),
            Some(service_key.to_owned()),
        )
        .await?;
    if let Some(key) = key {
        println!("Organiser key (shown this once): {key}");
    }
    tokio::spawn(tick(shop.clone()));
    let (routes, description) = router(shop.clone());
    stop_on_signal(stop);
    let operations = Operations {
        metrics,
        site: site.clone(),
    };
    let app = finish(routes, &site, description);
    listeners.run(app, operations).await;
    shop.unsettled.drain().await;
    Ok(())
}
