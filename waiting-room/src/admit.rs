//! The tick: this node asks the line to admit what is due, and shows its sockets the new front. Four times a second while
//! somebody watches, so that nobody near the front sees a place older than a second; else twice.

use crate::line::{LineView, Refused, Stats};
use crate::{Room, push};
use shared::ids::EventId;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// Samples of an event's figures that are kept: one each five seconds, four hours.
const SAMPLES_MAX: usize = 2880;
const SAMPLE_SECONDS: u64 = 5;
const TICKS_PER_SECOND: u64 = 4;

/// What this node keeps of one event: the newest front, the open sockets, the figures over time.
pub struct EventHub {
    /// The newest front. Sockets look at it when they are due; nobody is woken by it.
    pub(crate) front: watch::Sender<Arc<LineView>>,
    /// The front's revision. Everyone is woken by it.
    pub(crate) revision: watch::Sender<u64>,
    /// The event is no more: sockets end.
    is_gone: AtomicBool,
    /// The list of the draw was asked for.
    has_list: AtomicBool,
    /// Which socket is whose.
    pub(crate) sockets: push::Sockets,
    /// Figures over time, newest last. Locked for a push or a copy.
    samples: Mutex<VecDeque<Stats>>,
}

impl EventHub {
    /// The newest front.
    pub(crate) fn front(&self) -> Arc<LineView> {
        self.front.borrow().clone()
    }

    /// Whether the event is no more.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// The event is no more: wakes every socket, so that it ends.
    pub(crate) fn end(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Takes a front unless a newer one was taken already.
    pub(crate) fn show(&self, front: Arc<LineView>) {
        let revision = front.revision;
        let is_newer = self.front.send_if_modified(|kept| {
            let is_newer = front.step >= kept.step;
            if is_newer {
                *kept = front;
            }
            is_newer
        });
        if is_newer {
            self.revision
                .send_if_modified(|kept| std::mem::replace(kept, revision) != revision);
        }
    }

    /// Figures over the last `minutes`.
    pub(crate) fn history(&self, minutes: u32) -> Vec<Stats> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let count = (minutes as usize)
            .saturating_mul(60 / SAMPLE_SECONDS as usize)
            .min(SAMPLES_MAX);
        samples
            .iter()
            .skip(samples.len().saturating_sub(count))
            .cloned()
            .collect()
    }

    fn sample(&self, stats: Stats) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(stats);
    }
}

/// Takes an event up on this node. The ticking ends with the process's stop signal, the room, or the event.
pub(crate) fn start(room: &Arc<Room>, event: EventId, front: Arc<LineView>) -> Arc<EventHub> {
    let hub = Arc::new(EventHub {
        revision: watch::Sender::new(front.revision),
        front: watch::Sender::new(front),
        is_gone: AtomicBool::new(false),
        has_list: AtomicBool::new(false),
        sockets: push::Sockets::default(),
        samples: Mutex::default(),
    });
    tokio::spawn(run(Arc::downgrade(room), event, hub.clone()));
    hub
}

async fn run(room: Weak<Room>, event: EventId, hub: Arc<EventHub>) {
    let mut interval = tokio::time::interval(Duration::from_millis(1000 / TICKS_PER_SECOND));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0u64;
    loop {
        interval.tick().await;
        let Some(room) = room.upgrade() else { return };
        if room.site.stop.is_cancelled() || hub.is_gone() {
            return;
        }
        // Without watchers half as often: what an organiser changes elsewhere still holds here within a second.
        let is_due = ticks.is_multiple_of(2);
        if is_due || hub.sockets.count() > 0 {
            match room.line.tick(&event).await {
                Ok(front) => {
                    for visitor in room.line.replaced(&event) {
                        hub.sockets.replace(visitor);
                    }
                    read_list(&room, &event, &front, &hub);
                    hub.show(front);
                }
                Err(Refused::NoSuchEvent) => {
                    room.forget(&event);
                    return;
                }
                Err(error) => tracing::warn!(%event, %error, "nobody was admitted this time"),
            }
        }
        if ticks.is_multiple_of(SAMPLE_SECONDS * TICKS_PER_SECOND)
            && let Ok(stats) = room.line.stats(&event).await
        {
            gauges(&event, &stats, hub.sockets.count());
            hub.sample(stats);
        }
        ticks += 1;
    }
}

/// Once a draw was held, this node reads who drew what: for the proofs, and for fans who return with a pass from before the
/// draw after the store forgot everything. A reading that fails is begun again by the next question.
fn read_list(room: &Arc<Room>, event: &EventId, front: &LineView, hub: &EventHub) {
    if front.drawn > 0 && !hub.has_list.swap(true, Ordering::Relaxed) {
        let (room, event) = (room.clone(), event.clone());
        tokio::spawn(async move { room.drawn_list(&event).await.map(drop) });
    }
}

fn gauges(event: &EventId, stats: &Stats, sockets: usize) {
    let event = event.as_str().to_owned();
    metrics::gauge!("fairline_waiting", "event" => event.clone()).set(stats.waiting as f64);
    metrics::gauge!("fairline_admitted", "event" => event.clone()).set(stats.admitted as f64);
    metrics::gauge!("fairline_shopping", "event" => event.clone()).set(stats.shopping as f64);
    metrics::gauge!("fairline_sockets", "event" => event).set(sockets as f64);
}

/// Takes up every event there is, now and whenever one was made elsewhere, until the stop signal: admission goes on
/// when nobody looks.
pub async fn attend_all(room: Arc<Room>) {
    while !room.site.stop.is_cancelled() {
        let events = room.line.events().await;
        room.site
            .health
            .is_line_away
            .store(events.is_err(), Ordering::Relaxed);
        if let Ok(events) = events {
            for settings in events {
                let _ = room.hub(&settings.id).await;
            }
        }
        let pause = tokio::time::sleep(Duration::from_secs(1));
        tokio::select! {
            () = pause => {}
            () = room.site.stop.cancelled() => {}
        }
    }
}
