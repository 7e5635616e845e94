//! The tick of the checkout: lapsed holds and orders, new versions of the seat maps, and reports to
//! the waiting room; beside it the reconciler of payments, the end of cancelled shows, the relay of
//! events, mail, messages to fans, webhooks, analytics and what the lines tell.

use crate::analytics;
use crate::app::Shop;
use crate::cancellation;
use crate::housekeeping;
use crate::inventory::layout::Layout;
use crate::inventory::seat_map::VERSION_MS;
use crate::inventory::{REPORTS_MAX, Report};
use crate::line_events;
use crate::line_messages;
use crate::mail;
use crate::payment::reconciler;
use crate::relay;
use crate::waiting_room::Reported;
use crate::webhooks;
use futures_util::stream::{self, StreamExt as _};
use shared::ids::{Availability, EventId};
use shared::metrics::stores;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

const SWEEP_EVERY: Duration = Duration::from_millis(500);
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// Largest number of reports under way at one time.
const REPORTS_AT_ONCE: usize = 64;
/// Time after which unchanged figures are repeated: silence means that the checkout is down. Also
/// the time after which figures are offered again to a waiting room that refuses the service key.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Runs until the stop signal. One set of these tasks a process; several processes do no harm.
pub async fn run(shop: Arc<Shop>) {
    let published = Notify::new();
    tokio::join!(
        sweep(&shop),
        publish(&shop, &published),
        report_seats(&shop, &published),
        report(&shop),
        reconciler::run(&shop),
        cancellation::run(&shop),
        fetch_keys(&shop),
        relay::run(&shop),
        mail::run(&shop),
        line_messages::run(&shop),
        webhooks::run(&shop),
        analytics::run(&shop),
        line_events::run(&shop),
        housekeeping::run(&shop)
    );
}

/// Keeps the waiting room's keys fresh, so that a published key is known before it signs.
async fn fetch_keys(shop: &Arc<Shop>) {
    loop {
        shop.keys.refresh().await;
        tokio::select! {
            () = tokio::time::sleep(REPORT_EVERY) => {}
            () = shop.site.stop.cancelled() => return,
        }
    }
}

async fn sweep(shop: &Arc<Shop>) {
    let mut due = interval(SWEEP_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = shop.site.stop.cancelled() => return,
        }
        let swept = shop.inventory.sweep().await;
        shop.site
            .health
            .is_inventory_away
            .store(swept.is_err(), Ordering::Relaxed);
        stores::INVENTORY.set(swept.is_ok().into());
        match swept {
            Ok(swept) if swept.has_more => due.reset_immediately(),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the sweep is tried again"),
        }
    }
}

/// Figures of an event that the waiting room has taken, or has no line for.
struct LastReport {
    seats: Availability,
    at: Instant,
}

impl LastReport {
    /// Returns whether these figures are the same, and were reported lately.
    fn still_stands(&self, seats: &Availability) -> bool {
        let before = Availability {
            as_of: seats.as_of,
            ..self.seats
        };
        before == *seats && self.at.elapsed() < HEARTBEAT
    }
}

/// Purges the events whose layout was replaced or removed, at this node or another, from the edge.
fn purge_changed(shop: &Shop, layouts: &mut HashMap<EventId, Arc<Layout>>) {
    let seat_maps = shop.inventory.seat_maps();
    let now: HashMap<EventId, Arc<Layout>> = seat_maps
        .iter()
        .map(|seat_map| (seat_map.event.clone(), seat_map.layout.clone()))
        .collect();
    for (event, before) in layouts.iter() {
        let is_same = now
            .get(event)
            .is_some_and(|layout| Arc::ptr_eq(layout, before));
        if !is_same {
            shop.site.edge.purge(event);
        }
    }
    *layouts = now;
}

/// Publishes new versions of the seat maps.
async fn publish(shop: &Arc<Shop>, done: &Notify) {
    let mut due = interval(Duration::from_millis(VERSION_MS));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_away = false;
    let mut layouts = HashMap::new();
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = shop.site.stop.cancelled() => return,
        }
        let published = shop.inventory.publish().await;
        if let Err(error) = &published {
            tracing::debug!(%error, "the seat maps are not kept current just now");
        }
        if std::mem::replace(&mut is_away, published.is_err()) && !is_away {
            shop.unsettled.store_is_back.notify_waiters();
        }
        if shop.site.edge.purger().is_some() {
            purge_changed(shop, &mut layouts);
        }
        done.notify_one();
    }
}

/// Reports the figures of the seat maps to the waiting room, apart from publishing them: a waiting
/// room that does not answer must not make the maps old.
async fn report_seats(shop: &Arc<Shop>, published: &Notify) {
    let mut last_reports: HashMap<EventId, LastReport> = HashMap::new();
    let mut refused_at: Option<Instant> = None;
    loop {
        tokio::select! {
            () = published.notified() => {}
            () = shop.site.stop.cancelled() => return,
        }
        if refused_at.is_some_and(|at| at.elapsed() < HEARTBEAT) {
            continue;
        }
        let now = shop.inventory.now();
        // Figures without their maps: a map that is kept here would keep the sockets of a replaced
        // plan open.
        let figures = shop.inventory.seat_maps().into_iter().map(|seat_map| {
            let seats = seat_map.current().availability(now);
            (seat_map.event.clone(), seats)
        });
        for (event, seats) in figures.collect::<Vec<_>>() {
            let last = last_reports.get(&event);
            if last.is_some_and(|last| last.still_stands(&seats)) {
                continue;
            }
            let reported = shop.waiting_room.report(&event, seats).await;
            note_refusal(shop, reported);
            refused_at = (reported == Reported::Refused).then(Instant::now);
            match reported {
                // Also of a line that was put away: only what was sold is left of it.
                Reported::Taken | Reported::Lapsed => {
                    let at = Instant::now();
                    last_reports.insert(event, LastReport { seats, at });
                }
                Reported::Refused => break,
                Reported::Unanswered => {}
            }
        }
        last_reports.retain(|event, _| shop.inventory.seat_map(event).is_some());
    }
}

/// Tells the operator when the waiting room begins to refuse the service key, and when it ends.
fn note_refusal(shop: &Shop, reported: Reported) {
    let mut trouble = shop.site.health.report_trouble.lock();
    match reported {
        Reported::Refused if trouble.is_none() => {
            tracing::error!("the waiting room refuses this FAIRLINE_SERVICE_KEY");
            let why = "the waiting room refuses this FAIRLINE_SERVICE_KEY: it does not learn how many seats are left, and admits fans regardless";
            *trouble = Some(why.to_owned());
        }
        Reported::Taken | Reported::Lapsed => {
            if trouble.take().is_some() {
                tracing::info!("the waiting room accepts the service key again");
            }
        }
        Reported::Refused | Reported::Unanswered => {}
    }
}

/// Reports starts and finishes to the waiting room, each at least once.
async fn report(shop: &Arc<Shop>) {
    loop {
        tokio::select! {
            () = shop.to_report.notified() => {}
            () = tokio::time::sleep(REPORT_EVERY) => {}
            () = shop.site.stop.cancelled() => return,
        }
        let Ok(reports) = shop.inventory.reports().await else {
            continue;
        };
        let has_more = reports.len() >= REPORTS_MAX as usize;
        let sent = stream::iter(reports).map(|report| send_report(shop, report));
        let sent = sent.buffer_unordered(REPORTS_AT_ONCE);
        let sent: Vec<Report> = sent.filter_map(async |sent| sent).collect().await;
        let has_sent = !sent.is_empty();
        if has_sent && shop.inventory.reported(sent).await.is_ok() && has_more {
            shop.to_report.notify_one();
        }
    }
}

/// Sends a report and returns it unless there was no answer. A slot that lapsed meanwhile needs no
/// report any more.
async fn send_report(shop: &Shop, report: Report) -> Option<Report> {
    // Sales at the desk come from no line.
    if report.token.is_empty() {
        return Some(report);
    }
    let reported = if report.is_finished {
        shop.waiting_room.finish(&report.event, &report.token).await
    } else {
        shop.waiting_room.start(&report.event, &report.token).await
    };
    (reported != Reported::Unanswered).then_some(report)
}
