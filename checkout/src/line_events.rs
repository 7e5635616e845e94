//! Writes what the lines decided to the outbox: reads their logs at the waiting room, each from its
//! place, which moves in the transaction that writes the events. Any number of nodes may do so: of two
//! that read the same entries, one writes them.

use crate::app::Shop;
use crate::waiting_room::LogAnswer;
use futures_util::stream::{self, StreamExt as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use shared::ids::EventId;
use shared::line_log::{LogPage, LogPlace};
use shared::metrics::Registry;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Time between two looks at a line that decides something.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest time between two looks at a line in which nothing happens, or that does not answer; the
/// pause doubles up to it.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Pause after another node was faster, so that it stays the one that writes.
const OTHERS: Duration = Duration::from_secs(5);
/// Time between two looks at a line that is over, or gone.
const OVER: Duration = Duration::from_secs(60);
/// Lines that are read at one time.
const AT_ONCE: usize = 8;
/// Largest number of pages that are read of a line before the others have their turn.
const PAGES_MAX: usize = 20;

static DECISIONS: LazyLock<Counter> = LazyLock::new(Counter::default);
static UNANSWERED: LazyLock<Counter> = LazyLock::new(Counter::default);
static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);
static OLDEST_SECONDS: LazyLock<Gauge> = LazyLock::new(Gauge::default);

/// A line that is followed.
struct Followed {
    /// Its place, unless it has to be read from the store.
    place: Option<LogPlace>,
    due_at: Instant,
    pause: Duration,
    /// Age in seconds of the oldest decision that the last look found.
    oldest_seconds: i64,
}

impl Followed {
    fn new() -> Followed {
        Followed {
            place: None,
            due_at: Instant::now(),
            pause: LOOK_EVERY,
            oldest_seconds: 0,
        }
    }

    fn rest(&mut self, pause: Duration) {
        self.pause = pause;
        self.due_at = Instant::now() + pause;
    }

    fn rest_longer(&mut self) {
        self.rest((self.pause * 2).min(PAUSE_MAX));
    }
}

/// Outcome of a look at a line.
enum Look {
    /// There may be more.
    Written,
    /// Nothing is new; whether the line is over.
    Nothing(bool),
    /// Another node was faster.
    Others,
    /// There is no such line.
    Unknown,
    /// The waiting room or the store did not answer.
    Unanswered,
    /// The stop signal came first.
    Stopped,
}

/// Follows the lines of all events with seats until the stop signal, which ends the looks under way; what
/// one of them has begun to write is written.
pub(crate) async fn run(shop: &Arc<Shop>) {
    let mut lines: HashMap<EventId, Followed> = HashMap::new();
    let mut due = interval(LOOK_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = shop.site.stop.cancelled() => return,
        }
        lines.retain(|event, _| shop.inventory.seat_map(event).is_some());
        for seat_map in shop.inventory.seat_maps() {
            let line = lines.entry(seat_map.event.clone());
            line.or_insert_with(Followed::new);
        }
        let now = Instant::now();
        let due = lines.iter_mut().filter(|(_, line)| line.due_at <= now);
        let looks: Vec<_> = due.map(|(event, line)| follow(shop, event, line)).collect();
        let looking = stream::iter(looks).buffer_unordered(AT_ONCE);
        looking.collect::<Vec<()>>().await;
        let oldest = lines.values().map(|line| line.oldest_seconds).max();
        OLDEST_SECONDS.set(oldest.unwrap_or(0));
    }
}

/// Writes what a line has decided since the last look.
async fn follow(shop: &Shop, event: &EventId, line: &mut Followed) {
    line.oldest_seconds = 0;
    for _ in 0..PAGES_MAX {
        match look(shop, event, line).await {
            Look::Written => line.rest(LOOK_EVERY),
            Look::Nothing(true) => {
                // No one of this line is told of a turn any more. What is left is deleted next time.
                let _ = shop.inventory.line_mails().purge(Some(event), 0).await;
                let _ = shop.inventory.line_messages().purge(Some(event), 0).await;
                return line.rest(OVER);
            }
            Look::Nothing(false) => return line.rest_longer(),
            Look::Others => return line.rest(OTHERS),
            Look::Unknown => return line.rest(OVER),
            Look::Unanswered => {
                UNANSWERED.inc();
                return line.rest_longer();
            }
            Look::Stopped => return,
        }
    }
    line.due_at = Instant::now();
}

/// Reads a page of a line's log, and writes it.
async fn look(shop: &Shop, event: &EventId, line: &mut Followed) -> Look {
    let kept = line.place.take();
    // Reading leaves nothing behind, so that it may end anywhere.
    let read = tokio::select! {
        biased;
        () = shop.site.stop.cancelled() => return Look::Stopped,
        read = read_page(shop, event, kept) => read,
    };
    let (place, page) = match read {
        Ok(read) => read,
        Err(look) => return look,
    };
    // An entry that could not be read has no time.
    let mut told = page.entries.iter();
    if let Some(oldest) = told.find(|entry| !entry.decisions.is_empty()) {
        let age_ms = shop.inventory.now().0 - oldest.at.0;
        line.oldest_seconds = line.oldest_seconds.max(age_ms / 1000);
    }
    if page.end() == place {
        line.place = Some(place);
        return Look::Nothing(page.is_over);
    }
    let store = shop.inventory.line_log();
    match store.take_log(event, &place, &page).await {
        Ok(true) => {
            tell(event, &place, &page);
            line.place = Some(page.end());
            match page.entries.is_empty() {
                true => Look::Nothing(page.is_over),
                false => Look::Written,
            }
        }
        Ok(false) => Look::Others,
        Err(_) => Look::Unanswered,
    }
}

/// Reads the page of a line's log after a place, or after that of the store.
async fn read_page(
    shop: &Shop,
    event: &EventId,
    kept: Option<LogPlace>,
) -> Result<(LogPlace, LogPage), Look> {
    let place = match kept {
        Some(place) => place,
        None => {
            let place = shop.inventory.line_log().log_place(event).await;
            place.map_err(|_| Look::Unanswered)?
        }
    };
    match shop.waiting_room.log(event, &place).await {
        LogAnswer::Page(page) => Ok((place, page)),
        LogAnswer::Unknown => Err(Look::Unknown),
        LogAnswer::Unanswered => Err(Look::Unanswered),
    }
}

/// Counts what was written, and tells the operator of what may be missing.
fn tell(event: &EventId, place: &LogPlace, page: &LogPage) {
    let decisions: usize = page.entries.iter().map(|entry| entry.decisions.len()).sum();
    DECISIONS.inc_by(decisions as u64);
    if place.life.is_empty() {
        return;
    }
    if page.life != place.life {
        let (read, kept) = (place.entry, page.after);
        tracing::warn!(%event, read, kept, "line began another life, what was not read of its log before may be lost");
    }
    let next = page
        .entries
        .first()
        .map_or(page.after + 1, |entry| entry.entry);
    let lost = next.saturating_sub(page.after + 1);
    if lost > 0 {
        LOST.inc_by(lost);
        tracing::warn!(%event, lost, "entries of a line's log were dropped before they were read");
    }
}

/// Registers the metrics of following the lines.
pub(crate) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_line_log_decisions_total",
        "Admissions, ends of admissions and draws that this node read from the logs of the lines and wrote to the outbox",
        DECISIONS.clone(),
    );
    registry.add(
        "fairline_line_log_lost_total",
        "Entries of the logs of the lines that were dropped there before a checkout had read them",
        LOST.clone(),
    );
    registry.add(
        "fairline_line_log_unanswered_total",
        "Looks at the log of a line to which the waiting room or the inventory did not answer",
        UNANSWERED.clone(),
    );
    registry.add(
        "fairline_line_log_oldest_seconds",
        "Age of the oldest decision of a line that the last looks found and that was not in the outbox before",
        OLDEST_SECONDS.clone(),
    );
}
