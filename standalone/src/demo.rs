//! `fairline demo`: a prepared sale in a realistic venue, and a simulated crowd that joins over
//! real sockets, buys, hesitates, leaves and fails to show up.

use crate::Fairline;
use checkout::inventory::layout;
use client::{Client, Failed, Socket, next};
use rand::RngExt as _;
use serde_json::{Value, json};
use shared::event_details::EventDetails;
use shared::ids::EventId;
use shared::log;
use shared::settings::{Common, Settings};
use shared::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use waiting_room::line::{Admission, EventSettings, Line};

/// The event of the demo.
pub const EVENT: &str = "opening-night";
/// Maximum number of simultaneous fans; both ends of each socket are in this process.
const CROWD_MAX: u32 = 8000;
/// Approximate length of the sale.
const SALE_MINUTES: f64 = 45.0;
const RATE_PER_MINUTE: u32 = 300;

/// Options of the demo.
#[derive(clap::Args, Clone, Debug)]
pub struct DemoArgs {
    /// Simulated fans in line
    #[arg(long, default_value_t = 2000)]
    pub crowd: u32,
}

/// A demo ready to begin. Deletes its data folder on drop, unless one was named.
pub struct Demo {
    args: DemoArgs,
    _folder: Option<TempDir>,
}

/// Prepares the settings: a temporary data folder, and no rate limits for the one address of the
/// crowd.
///
/// # Errors
/// A message for the operator.
pub fn start(common: &mut Common, args: DemoArgs) -> Result<Demo, String> {
    if args.crowd > CROWD_MAX {
        return Err(format!("--crowd: at most {CROWD_MAX}"));
    }
    let mut folder = None;
    if common.data.is_none() {
        let made = TempDir::with_prefix("fairline-demo-")
            .map_err(|error| format!("no temporary folder could be made: {error}"))?;
        common.data = Some(made.path().join("data"));
        folder = Some(made);
    }
    for limit in [
        &mut common.joins_per_minute,
        &mut common.rejoins_per_hour,
        &mut common.requests_per_second,
        &mut common.connections_per_address,
    ] {
        limit.get_or_insert_with(|| "0".to_owned());
    }
    common.log.get_or_insert_with(|| "warn".to_owned());
    Ok(Demo {
        args,
        _folder: folder,
    })
}

/// Returns the plan of the venue: stalls, circle and a standing floor, 4,600 places.
fn hall() -> Value {
    json!({
        "categories": [
            {"id": "standing", "name": "Standing floor", "price": 3900},
            {"id": "stalls", "name": "Stalls", "price": 6500},
            {"id": "circle", "name": "Circle", "price": 4800},
        ],
        "sections": [
            {"id": "st", "name": "Stalls", "category": "stalls", "rows": 36, "seats_per_row": 50},
            {"id": "ci", "name": "Circle", "category": "circle", "rows": 20, "seats_per_row": 60},
        ],
        "areas": [{"id": "floor", "name": "Standing floor", "category": "standing", "capacity": 1600}],
    })
}

/// Returns what fans read about the event, which starts a month after the day of `now`.
fn details(now: Time) -> EventDetails {
    let day_ms = 24 * 3600 * 1000;
    let midnight = Time(now.0 - now.0.rem_euclid(day_ms) + 30 * day_ms);
    let details = json!({
        "subtitle": "With guests",
        "venue": {"name": "The Example Hall", "address": "1 Example Street, London"},
        "doors_at": midnight.plus_seconds(18 * 3600 + 1800),
        "starts_at": midnight.plus_seconds(20 * 3600),
        "time_zone": "Europe/London",
        "description": "Songs by lamplight. Two hours, with one break.",
        "colours": {"background": "#2b2158", "text": "#fff4d6"},
        "links": {"contact": "mailto:hello@lamplighters.example"},
    });
    serde_json::from_value(details).expect("the demo's details are sound")
}

impl Demo {
    /// Opens the sale, prints the URLs and starts the crowd. The caller serves the app.
    pub fn begin(
        &self,
        settings: &Settings,
        fairline: &Fairline,
        code: &str,
        stop: CancellationToken,
    ) {
        let url = settings.public_url.clone();
        log::print(format_args!(
            "\n  A sale is opening, with a crowd of {} in front of it.\n\n  \
             Fan        {url}/e/{EVENT}\n  \
             Organiser  {url}/organiser#code={code}   (signs in once)\n  \
             API        {url}/api/docs\n\n  \
             Ctrl-C ends it.\n",
            self.args.crowd
        ));
        let crowd = Crowd {
            client: Client::new(&format!("http://{}", settings.listen)),
            line: fairline.room.line.clone(),
            size: self.args.crowd,
            stop,
        };
        let inventory = fairline.shop.inventory.clone();
        let now = fairline.room.site.clock.now();
        tokio::spawn(async move {
            let event = EventId::parse(EVENT).expect("it is a slug");
            let mut settings = EventSettings::new(event.clone(), "Opening Night: The Lamplighters");
            settings.details = Some(details(now));
            settings.admission = Admission {
                rate_per_minute: RATE_PER_MINUTE,
                batch_seconds: 5,
                max_active: 400,
                claim_seconds: 60,
                session_seconds: 420,
                extension_seconds: 180,
                away_seconds: 600,
            };
            // A named data folder may contain the event of an earlier run: then that sale
            // continues.
            if crowd.line.create(settings).await.is_ok() {
                let plan = layout::parse(hall().to_string().as_bytes());
                let plan = plan.expect("the demo's plan is sound");
                if let Err(error) = inventory.set_seating(&event, plan).await {
                    tracing::error!(%error, "demo venue could not be set up");
                }
            }
            Arc::new(crowd).keep_full(event).await;
        });
    }
}

struct Crowd {
    client: Client,
    line: Arc<dyn Line>,
    size: u32,
    stop: CancellationToken,
}

impl Crowd {
    /// Keeps about `size` fans waiting until the stop signal.
    async fn keep_full(self: Arc<Crowd>, event: EventId) {
        let room = Arc::new(Semaphore::new(CROWD_MAX as usize));
        let mut burst = 400;
        while !self.stop.is_cancelled() {
            let waiting = match self.line.stats(&event).await {
                Ok(stats) => stats.waiting,
                Err(_) => u64::from(self.size),
            };
            let missing = u64::from(self.size).saturating_sub(waiting).min(burst);
            for _ in 0..missing {
                let Ok(place) = room.clone().try_acquire_owned() else {
                    break;
                };
                let crowd = self.clone();
                tokio::spawn(async move {
                    crowd
                        .stop
                        .run_until_cancelled(crowd.clone().run_fan())
                        .await;
                    drop(place);
                });
            }
            if waiting >= u64::from(self.size) {
                // After the first wave fans trickle in.
                burst = 12;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Simulates one fan. A failure on the way (sold out, too late) ends the visit, as in reality.
    async fn run_fan(self: Arc<Crowd>) {
        let arrives_ms = rand::rng().random_range(0..900);
        tokio::time::sleep(Duration::from_millis(arrives_ms)).await;
        if let Err(error) = self.visit().await {
            tracing::debug!(error, "simulated fan gave up");
        }
    }

    async fn visit(&self) -> Result<(), Failed> {
        let place = self.client.join(EVENT).await?;
        let pass = place["pass"].as_str().unwrap_or("").to_owned();
        let patience_seconds = rand::rng().random_range(60..4000);
        let socket = self.client.watch(EVENT, &pass).await?;
        let waiting = tokio::time::timeout(Duration::from_secs(patience_seconds), wait(socket));
        let Ok(Some(token)) = waiting.await else {
            self.client
                .delete(&format!("/api/v1/events/{EVENT}/line/me"), &pass)
                .await?;
            return Ok(());
        };
        if chance(0.08) {
            // A fan who fell asleep: the turn lapses and goes to the next.
            return Ok(());
        }
        pause(1..12).await;
        let path = format!("/api/v1/events/{EVENT}/sessions");
        let session = self.client.post(&path, &token, json!({})).await?.ok()?;
        let session = session["session"].as_str().unwrap_or("").to_owned();
        let shopped = self.shop(&session).await;
        self.client.delete(&path, &session).await?;
        shopped
    }

    async fn shop(&self, session: &str) -> Result<(), Failed> {
        pause(3..20).await;
        let mut hold = self.hold(session).await?;
        while chance(0.35) {
            pause(2..10).await;
            let id = hold["id"].as_str().unwrap_or("");
            self.client
                .delete(&format!("/api/v1/holds/{id}"), session)
                .await?;
            hold = self.hold(session).await?;
        }
        if !chance(buyers()) {
            pause(2..15).await;
            return Ok(());
        }
        pause(3..15).await;
        let order = json!({"hold": hold["id"], "buyer": {"name": "Robin Example", "email": "robin@example.org"}});
        let order = self
            .client
            .post("/api/v1/orders", session, order)
            .await?
            .ok()?;
        let path = format!(
            "/api/v1/payments/simulated/{}",
            order["payment"]["id"].as_str().unwrap_or("")
        );
        if chance(0.1) {
            self.client
                .post(&path, session, json!({"card": "4000000000000002"}))
                .await?;
            pause(3..10).await;
        }
        let card = if chance(0.04) {
            "4000000000000259"
        } else {
            "4242424242424242"
        };
        self.client
            .post(&path, session, json!({"card": card}))
            .await?;
        Ok(())
    }

    async fn hold(&self, session: &str) -> Result<Value, Failed> {
        let quantity = [1, 2, 2, 2, 3, 4][rand::rng().random_range(0..6)];
        let category = ["standing", "stalls", "circle"][rand::rng().random_range(0..3)];
        let wish = json!({"best_available": {"quantity": quantity, "category": category}});
        self.client
            .post(&format!("/api/v1/events/{EVENT}/holds"), session, wish)
            .await?
            .ok()
    }
}

/// Returns the share of shoppers who buy, so that the seats last for the whole sale: seats, divided
/// by the fans admitted in that time and the seats of each.
fn buyers() -> f64 {
    4600.0 / (SALE_MINUTES * f64::from(RATE_PER_MINUTE) * 0.9) / 2.3
}

/// Waits until the fan is admitted and returns the token.
async fn wait(mut socket: Socket) -> Option<String> {
    while let Some(message) = next(&mut socket).await {
        if let Some(token) = message["token"].as_str() {
            return Some(token.to_owned());
        }
    }
    None
}

fn chance(share: f64) -> bool {
    rand::rng().random_bool(share)
}

async fn pause(seconds: std::ops::Range<u64>) {
    let ms = rand::rng().random_range(seconds.start * 1000..seconds.end * 1000);
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
