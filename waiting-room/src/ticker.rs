//! The tick: asks the line to admit whoever is due, and publishes the newest view to this node's
//! sockets. Runs four times a second while a socket is open, so that fans near the front see a
//! place at most a second old; otherwise twice a second.

use crate::app::Room;
use crate::history::SAMPLE_SECONDS;
use crate::hub::EventHub;
use crate::instruments::NEXT_SALE;
use crate::line::{EventSettings, LineView, Refused, Trouble, TroubleKind};
use shared::ids::EventId;
use shared::time::Time;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

const TICKS_PER_SECOND: u64 = 4;
/// Pause after an event could not be put away.
const PUT_AWAY_AGAIN: Duration = Duration::from_secs(60);

impl Room {
    /// Returns an event's hub. On first use it is created, and the event ticks at this node from
    /// then on: until the process's stop signal, or the end of the room or the event.
    pub(crate) async fn hub(self: &Arc<Room>, event: &EventId) -> Result<Arc<EventHub>, Refused> {
        if let Some(hub) = self.known_hub(event) {
            return Ok(hub);
        }
        let front = self.line.tick(event).await?;
        let mut hubs = self.hubs.write();
        let hub = hubs.entry(event.clone()).or_insert_with(|| {
            let hub = Arc::new(EventHub::new(front));
            tokio::spawn(run(Arc::downgrade(self), event.clone(), hub.clone()));
            hub
        });
        Ok(hub.clone())
    }
}

async fn run(room: Weak<Room>, event: EventId, hub: Arc<EventHub>) {
    let mut interval = tokio::time::interval(Duration::from_millis(1000 / TICKS_PER_SECOND));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0u64;
    let mut revision = hub.front().revision;
    let creation = hub.front().life.creation;
    loop {
        interval.tick().await;
        let Some(room) = room.upgrade() else { return };
        if room.site.stop.is_cancelled() || hub.is_gone() {
            return;
        }
        // Half as often without sockets: a change made by an organiser at another node still takes
        // effect here within a second. An event that is over is not ticked: once a second is looked
        // whether it was opened again.
        let is_over = hub.front().is_over;
        let is_due = match is_over {
            true => ticks.is_multiple_of(TICKS_PER_SECOND),
            false => ticks.is_multiple_of(2) || hub.sockets.count() > 0,
        };
        if is_due {
            let front = match is_over {
                true => room.line.view(&event).await,
                false => room.line.tick(&event).await,
            };
            match front {
                // The event was deleted, and another created under its id: it gets a hub of its own.
                Ok(front) if front.life.creation != creation => {
                    room.forget(&event);
                    room.site.edge.purge(&event);
                    return;
                }
                Ok(front) => {
                    for visitor in room.line.replaced(&event) {
                        hub.sockets.mark_moved(visitor);
                    }
                    read_list(&room, &event, &front, &hub);
                    // Each node purges once it has seen a change itself: copies of a node that was
                    // behind go with its own.
                    if std::mem::replace(&mut revision, front.revision) != front.revision {
                        room.site.edge.purge(&event);
                    }
                    hub.show(front);
                }
                Err(Refused::NoSuchEvent) => {
                    room.forget(&event);
                    room.site.edge.purge(&event);
                    return;
                }
                Err(error) => {
                    tracing::warn!(%event, %error, "tick failed, no visitor was admitted")
                }
            }
        }
        if ticks.is_multiple_of(SAMPLE_SECONDS * TICKS_PER_SECOND)
            && !is_over
            && let Ok(stats) = room.line.stats(&event).await
        {
            hub.sample(stats);
        }
        ticks += 1;
    }
}

/// Reads the result of a draw in the background once it was held: for the proofs, and for fans who
/// return with a pass from before the draw after the store lost its data. If reading fails, the
/// next request for the list tries again.
fn read_list(room: &Arc<Room>, event: &EventId, front: &LineView, hub: &EventHub) {
    // A draw among no visitors may be held again.
    if front.is_undrawn && room.known_list(event).is_some() {
        room.lists.write().remove(event);
    }
    if front.drawn > 0 && hub.begin_list() {
        let (room, event) = (room.clone(), event.clone());
        tokio::spawn(async move { room.drawn_list(&event).await.map(drop) });
    }
}

/// Publishes when the next sale opens, so that an autoscaler can start nodes ahead of it; 0 if none
/// is planned.
fn record_next_sale(events: &[Arc<EventSettings>], now: Time) {
    let openings = events.iter().filter_map(|event| event.sale_opens_at);
    let next = openings.filter(|&opening| opening > now).min();
    let seconds = next.map_or(0, Time::seconds);
    NEXT_SALE.set(seconds);
}

/// Puts events away whose time is over.
async fn put_away(room: Arc<Room>, events: Vec<EventId>) {
    for event in events {
        if let Err(problem) = room.put_away(&event).await {
            let why = problem.into_value();
            tracing::warn!(%event, %why, "event not put away, trying again in a minute");
            let pause = tokio::time::sleep(PUT_AWAY_AGAIN);
            tokio::select! {
                () = pause => {}
                () = room.site.stop.cancelled() => return,
            }
        }
    }
}

/// Starts ticking every event, including those created at other nodes later, until the stop signal:
/// admission goes on without any socket or request. Events are put away when their time is over.
pub async fn tick_all(room: Arc<Room>) {
    tokio::join!(
        tick_events(room.clone()),
        room.follow_mail(),
        room.follow_offers()
    );
}

async fn tick_events(room: Arc<Room>) {
    // One at a time, in the background: the list of a large draw takes some seconds.
    let mut putting_away: Option<JoinHandle<()>> = None;
    while !room.site.stop.is_cancelled() {
        let events = room.line.events().await;
        let trouble = match room.line.trouble().await {
            None if events.is_err() => Some(Trouble {
                kind: TroubleKind::Unreachable,
                detail: "the store of the line does not answer".to_owned(),
            }),
            trouble => trouble,
        };
        room.note_trouble(trouble);
        if let Ok(events) = events {
            record_next_sale(&events, room.site.clock.now());
            if putting_away.as_ref().is_none_or(JoinHandle::is_finished) {
                let due = events.iter().map(|event| event.id.clone());
                let due: Vec<EventId> = due.filter(|id| room.is_to_be_put_away(id)).collect();
                putting_away = (!due.is_empty()).then(|| tokio::spawn(put_away(room.clone(), due)));
            }
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
