//! `loadtest door`: a full house checks its tickets in on the inventory's own engine, each shown at
//! two doors at once.

use crate::report::{Report, histogram, progress, round};
use checkout::inventory::{
    CheckedIn, Inventory, NewSession, Refused, Scan, SessionKey, SessionKeys, Wish, layout, open,
};
use client::Failed;
use futures_util::stream::{self, StreamExt as _};
use shared::data_dir::DataFolder;
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::time::{Duration, Instant};

/// Number of seats of an order.
const SEATS: usize = 5;
/// Number of seats of a row, those of several orders.
const ROW: usize = 20 * SEATS;
/// Number of orders made at one time.
const AT_ONCE: usize = 200;

/// Settings of the test.
#[derive(clap::Args, Clone, Debug)]
pub struct DoorArgs {
    /// Inventory: `sqlite`, in a folder of its own, or `postgres://…`
    #[arg(long, env = "FAIRLINE_INVENTORY", default_value = "sqlite")]
    pub inventory: String,
    /// Number of tickets
    #[arg(long, default_value_t = 20_000)]
    pub tickets: usize,
    /// Number of scans under way at one time
    #[arg(long, default_value_t = 200)]
    pub concurrency: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the test.
///
/// # Errors
/// Fails if the inventory cannot be used at all.
pub async fn run(args: DoorArgs) -> Result<Report, Failed> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let folder = DataFolder::open(folder.path())?;
    let (seats, _) = open(&args.inventory, &folder, Clock::system()).await?;
    let event = EventId::parse("door")?;
    let codes = sell(&seats, &event, args.tickets).await?;
    let bar = progress("checking in", 2 * codes.len() as u64);
    let scans = codes
        .iter()
        .flat_map(|code| [(code, "North"), (code, "South")]);
    let checking = stream::iter(scans).map(|(code, door)| {
        let scan = Scan {
            code: code.clone(),
            door: door.to_owned(),
            ..Scan::default()
        };
        let (seats, event) = (seats.clone(), event.clone());
        tokio::spawn(async move {
            let began = Instant::now();
            let checked = seats.check_in(&event, &scan).await;
            (checked, began.elapsed())
        })
    });
    let began = Instant::now();
    let mut checking = checking.buffer_unordered(args.concurrency);
    let (mut report, mut latency) = (Report::default(), histogram());
    let (mut let_in, mut used) = (0_usize, 0_usize);
    while let Some(done) = checking.next().await {
        let (checked, took): (Result<CheckedIn, Refused>, Duration) =
            done.map_err(|error| error.to_string())?;
        latency.saturating_record(took.as_micros() as u64);
        bar.inc(1);
        match checked {
            Ok(_) => let_in += 1,
            Err(Refused::TicketUsed { .. }) => used += 1,
            Err(refused) => report.violation(refused.to_string()),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    bar.finish_and_clear();
    if (let_in, used) != (codes.len(), codes.len()) {
        report.violation(format!(
            "{let_in} let in and {used} refused of {}",
            codes.len()
        ));
    }
    report.add("tickets", codes.len(), "");
    report.add("check-ins", round(let_in as f64 / seconds), "/s");
    report.add("scans", round((let_in + used) as f64 / seconds), "/s");
    report.add_latency("scan", &latency);
    Ok(report)
}

/// Sells all seats of a hall, and returns the codes of the tickets.
async fn sell(seats: &Inventory, event: &EventId, tickets: usize) -> Result<Vec<String>, Failed> {
    // Free orders need no payment.
    let plan = serde_json::json!({"categories": [{"id": "c", "name": "Seats", "price": 0}],
        "sections": [{"id": "s", "category": "c", "rows": tickets.div_ceil(ROW), "seats_per_row": ROW}]});
    let layout =
        layout::parse(plan.to_string().as_bytes()).map_err(|faults| format!("{faults:?}"))?;
    let all: Vec<String> = layout
        .seats
        .iter()
        .take(tickets)
        .map(|seat| seat.id.to_string())
        .collect();
    seats.set_seating(event, layout).await.map_err(wrong)?;
    let bar = progress("selling", tickets.div_ceil(SEATS) as u64);
    let selling = all.chunks(SEATS).enumerate().map(|(fan, chosen)| {
        let (seats, event, chosen) = (seats.clone(), event.clone(), chosen.to_vec());
        tokio::spawn(async move { buy(&seats, &event, fan as u32, chosen).await })
    });
    let mut selling = stream::iter(selling).buffer_unordered(AT_ONCE);
    let mut codes = Vec::new();
    while let Some(sold) = selling.next().await {
        codes.extend(sold.map_err(|error| error.to_string())?.map_err(wrong)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(codes)
}

/// Buys seats, and returns the codes of their tickets.
async fn buy(
    seats: &Inventory,
    event: &EventId,
    fan: u32,
    chosen: Vec<String>,
) -> Result<Vec<String>, Refused> {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&fan.to_be_bytes());
    let session = NewSession {
        key: hash,
        event: event.clone(),
        visitor: VisitorId(u128::from(fan)),
        number: u64::from(fan),
        jti: format!("adm-{fan}"),
        token: String::new(),
        expires_at: seats.now().plus_seconds(3600),
        is_reported: true,
    };
    seats.open_session(session).await?;
    let keys: SessionKeys = vec![SessionKey {
        event: event.clone(),
        hash,
    }];
    let wish = Wish::Seats(chosen);
    let hold = seats.hold(keys.clone(), event, wish, None).await?.value;
    let buyer = checkout::inventory::Buyer {
        name: "Ada".to_owned(),
        email: "ada@example.org".to_owned(),
    };
    let order = seats.order(keys, &hold.id, buyer, None).await?.value;
    let tickets = order.tickets.unwrap_or_default();
    Ok(tickets.into_iter().map(|ticket| ticket.code).collect())
}

fn wrong(refused: Refused) -> Failed {
    refused.to_string()
}
