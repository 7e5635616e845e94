//! `waiting-room`: the line as a service of its own, in front of any shop.

use clap::Parser;
use shared::data_dir::DataFolder;
use shared::http::middleware::with_middleware;
use shared::http::operations::{Listeners, Operations, start_metrics};
use shared::settings::{Common, Mistakes, exit};
use shared::signals::stop_on_signal;
use shared::time::Clock;
use shared::{log, settings::Settings, sign_outs};
use std::process::ExitCode;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use waiting_room::checkout::RemoteCheckout;
use waiting_room::settings::Args;
use waiting_room::{Room, Shop, router, ticker};

/// The line: who is where, who may go in now, the queue page, the gate.
#[derive(Parser)]
#[command(name = "waiting-room", version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    line: Args,
    /// Base URL of the checkout, which is asked before an event is deleted
    #[arg(long, env = "FAIRLINE_CHECKOUT")]
    checkout: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut mistakes = Mistakes::default();
    let settings = cli.common.read("127.0.0.1:8080", &mut mistakes);
    cli.line.check(&mut mistakes);
    settings.check_distinct(cli.line.secrets(), &mut mistakes);
    let checkout = cli.checkout.as_deref().filter(|url| !url.is_empty());
    if checkout.is_some_and(|url| !url.starts_with("http://")) {
        mistakes.add("FAIRLINE_CHECKOUT: the checkout's base URL, http://host:port");
    }
    let service_key = cli.line.service_key.as_deref();
    if checkout.is_some() && service_key.is_none() {
        mistakes.add("FAIRLINE_SERVICE_KEY: needed with FAIRLINE_CHECKOUT, the same on both");
    }
    let checkout = checkout.zip(service_key);
    let checkout = checkout.map(|(url, key)| RemoteCheckout::new(url, key));
    let outcome = match mistakes.0 {
        mistakes if mistakes.is_empty() => serve(&settings, &cli.line, checkout)
            .await
            .map_err(|error| vec![error]),
        mistakes => Err(mistakes),
    };
    exit("waiting-room", outcome)
}

async fn serve(
    settings: &Settings,
    line: &Args,
    checkout: Option<RemoteCheckout>,
) -> Result<(), String> {
    let _log = log::start(settings.log_format, &settings.log);
    let stop = CancellationToken::new();
    let metrics = start_metrics();
    let listeners = Listeners::bind(settings).await?;
    let folder = DataFolder::open(&settings.data)?;
    let (site, key) = settings.open_site(
        &folder,
        Clock::system(),
        stop.clone(),
        line.pass_secret.as_deref(),
    )?;
    let site = Arc::new(site);
    let shop = checkout.map(|checkout| Arc::new(checkout) as Arc<dyn Shop>);
    let room = Room::new(line.open(&folder, site.clone(), shop)?)?;
    if let Some(key) = key {
        log::print(format_args!("Organiser key (shown this once): {key}"));
    }
    tokio::spawn(ticker::attend_all(room.clone()));
    tokio::spawn(sign_outs::follow(site.clone()));
    let (routes, description) = router(room);
    stop_on_signal(stop);
    let operations = Operations {
        metrics,
        site: site.clone(),
    };
    let app = with_middleware(routes, &site, description);
    listeners.run(app, operations).await;
    Ok(())
}
