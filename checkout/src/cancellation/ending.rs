//! The job that ends the sale of cancelled shows: tells the waiting room, gives up what is not paid
//! for, and refunds what is, in bounded steps.
//!
//! Nothing of its progress has to be kept: the order says in the store what is left to do for it. Each
//! refund begins by one change of its order, which one node makes; from then on it is a payment that
//! the reconciler finishes, whatever becomes of this node.

use super::walk::{OPEN, STEP_MAX, Walk};
use crate::app::Shop;
use crate::inventory::{Order, OrderPage, Refused, SeatMap};
use crate::waiting_room::Reported;
use futures_util::stream::{self, StreamExt as _};
use shared::ids::EventId;
use shared::time::Time;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Number of shows that are being ended at one time.
const SHOWS_AT_ONCE: usize = 4;
/// Number of orders of a show that are being ended at one time.
const ORDERS_AT_ONCE: usize = 8;
/// Pause before a waiting room that does not answer is told again.
const TELL_SECONDS: u32 = 5;
const CONFIRMED: &str = "confirmed";

/// Runs until the stop signal.
pub(crate) async fn run(shop: &Arc<Shop>) {
    let mut due = interval(LOOK_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = shop.to_end.notified() => {}
            () = shop.site.stop.cancelled() => return,
        }
        if shop.end_cancelled().await {
            due.reset_immediately();
        }
    }
}

impl Shop {
    /// Takes one step towards the end of each cancelled show. Returns whether the next one may follow
    /// at once.
    pub async fn end_cancelled(&self) -> bool {
        let seat_maps = self.inventory.seat_maps();
        let events = seat_maps.iter().map(|seat_map| &seat_map.event);
        let events: Vec<EventId> = events.cloned().collect();
        self.endings
            .walks
            .lock()
            .retain(|event, _| events.contains(event));
        let cancelled = seat_maps
            .into_iter()
            .filter(|seat_map| seat_map.cancelled.is_some());
        let steps = stream::iter(cancelled).map(|seat_map| self.end_show(seat_map));
        let steps = steps.buffer_unordered(SHOWS_AT_ONCE);
        steps
            .fold(false, async |any, has_more| any | has_more)
            .await
    }

    async fn end_show(&self, seat_map: Arc<SeatMap>) -> bool {
        let event = &seat_map.event;
        let walk = self.endings.walks.lock().get(event).cloned();
        let mut walk = walk.unwrap_or_default();
        let now = self.inventory.now();
        self.tell_line(&seat_map, &mut walk, now).await;
        let [_, held, booked, _] = seat_map.current().counts;
        let is_due = held + booked > 0 && walk.resume_at <= now;
        let has_more = is_due && self.end_orders(event, &mut walk, now).await;
        self.endings.walks.lock().insert(event.clone(), walk);
        has_more
    }

    /// Has the waiting room close the line and tell fans, until it has answered this process.
    async fn tell_line(&self, seat_map: &SeatMap, walk: &mut Walk, now: Time) {
        let Some(cancellation) = seat_map.cancelled.as_ref().filter(|_| !walk.is_told) else {
            return;
        };
        if walk.tell_at > now {
            return;
        }
        let told = self
            .waiting_room
            .cancel(&seat_map.event, cancellation)
            .await;
        walk.is_told = matches!(told, Reported::Taken | Reported::Lapsed);
        walk.tell_at = now.plus_seconds(TELL_SECONDS);
    }

    /// Ends the orders of one page. Returns whether the next one may follow at once.
    async fn end_orders(&self, event: &EventId, walk: &mut Walk, now: Time) -> bool {
        let page = OrderPage {
            after: walk.after.clone(),
            state: Some(OPEN[walk.state].to_owned()),
            limit: STEP_MAX,
        };
        let Ok(orders) = self.inventory.orders(event, &page).await else {
            walk.pause(now);
            return false;
        };
        let ids: Vec<String> = orders.iter().map(|order| order.id.clone()).collect();
        let is_away = AtomicBool::new(false);
        let ending = stream::iter(orders).map(|order| self.end_order(order, &is_away));
        ending
            .buffer_unordered(ORDERS_AT_ONCE)
            .collect::<()>()
            .await;
        if is_away.into_inner() {
            tracing::warn!(
                event = event.as_str(),
                "orders of a cancelled show are tried again later"
            );
            walk.pause(now);
            return false;
        }
        walk.go_on(&ids, now)
    }

    /// Ends an order, unless the provider or the store did not answer for another one of the page.
    async fn end_order(&self, order: Order, is_away: &AtomicBool) {
        if is_away.load(Ordering::Relaxed) || self.site.stop.is_cancelled() {
            return;
        }
        let ended = match order.state.as_str() {
            CONFIRMED => self.refund_whole(&order).await,
            _ => self.give_up(&order).await,
        };
        match ended {
            // It needs a look, or has changed, perhaps by another node: the next pass sees it again if
            // something is left to do.
            Ok(true)
            | Err(Refused::OrderState(_) | Refused::InReview | Refused::PaymentRunning) => {}
            Ok(false) | Err(Refused::Unavailable(_)) => is_away.store(true, Ordering::Relaxed),
            Err(error) => {
                let order = order.id;
                tracing::error!(order, %error, "an order of a cancelled show cannot be ended");
            }
        }
    }

    /// Begins a refund and asks the provider for it. Returns whether it has answered.
    async fn refund_whole(&self, order: &Order) -> Result<bool, Refused> {
        let payment = self.inventory.begin_refund(&order.event, &order.id).await?;
        let given_back = self.try_to_give_back(&payment).await?;
        Ok(given_back.is_answered)
    }

    /// Gives up an order that is not paid for. The reconciler cancels what a provider knows of it.
    async fn give_up(&self, order: &Order) -> Result<bool, Refused> {
        self.inventory
            .give_up_order(&order.event, &order.id)
            .await?;
        self.to_reconcile.notify_one();
        Ok(true)
    }
}
