//! Metrics of the checkout.

use crate::analytics;
use crate::app::Shop;
use crate::instruments::{
    DISPUTES, ORDER_SECONDS, ORDERS_CONFIRMED, PAYMENT_STEPS, PAYMENTS, POOL_BUSY, POOL_MAX,
    POOL_WAIT_SECONDS, PROVIDER_SECONDS, WEBHOOKS,
};
use crate::inventory::SeatMap;
use crate::line_events;
use crate::line_messages;
use crate::mail;
use crate::relay;
use crate::webhooks;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::gauge::ConstGauge;
use shared::metrics::{EVENTS_MEASURED_MAX, Reading, Registry, sockets, stores, writers};
use std::fmt;
use std::sync::{Arc, LazyLock};

/// Registers the metrics of a checkout.
pub fn register(registry: &mut Registry, shop: &Arc<Shop>) {
    LazyLock::force(&sockets::SEATS);
    LazyLock::force(&stores::INVENTORY);
    LazyLock::force(&writers::INVENTORY);
    LazyLock::force(&PAYMENTS);
    registry.add(
        "fairline_orders_confirmed_total",
        "Orders that were paid and booked",
        ORDERS_CONFIRMED.clone(),
    );
    registry.add(
        "fairline_order_seconds",
        "Time from the request for an order to its confirmation, including the fan's time to pay",
        ORDER_SECONDS.clone(),
    );
    registry.add(
        "fairline_payments_total",
        "Payments by step: begun, then captured, declined or pending (the provider decides later), refunded, and review (a \
         person has to look at it)",
        PAYMENT_STEPS.clone(),
    );
    registry.add(
        "fairline_payment_provider_seconds",
        "Time that the payment provider takes to answer",
        PROVIDER_SECONDS.clone(),
    );
    registry.add(
        "fairline_webhooks_total",
        "Webhooks of the payment provider by outcome: done, repeated, parked (the payment is not known), ignored, refused \
         (the signature is bad), unavailable (to be sent again)",
        WEBHOOKS.clone(),
    );
    registry.add(
        "fairline_payment_disputes_total",
        "Disputes of payments, such as chargebacks, by the state that they came to: open, won, lost, closed",
        DISPUTES.clone(),
    );
    registry.add(
        "fairline_pool_connections_busy",
        "Connections to Postgres in use, by pool: writer (batches), reader (ordinary statements), lists (lists and \
         figures), webhooks (deliveries to them), slow (statements about a whole event), replica (lists)",
        POOL_BUSY.clone(),
    );
    registry.add(
        "fairline_pool_connections_max",
        "Most connections to Postgres, by pool",
        POOL_MAX.clone(),
    );
    registry.add(
        "fairline_pool_wait_seconds",
        "Time that a statement waits for a connection of its pool",
        POOL_WAIT_SECONDS.clone(),
    );
    relay::register(registry);
    mail::register(registry);
    line_messages::register(registry);
    webhooks::register(registry);
    analytics::register(registry);
    line_events::register(registry);
    registry.add_collector(SeatsCollector(shop.clone()));
}

#[derive(EncodeLabelSet)]
struct SeatLabels {
    event: String,
    state: &'static str,
}

/// Reads the seat maps when the metrics are read. An event that is removed has no series from then
/// on.
struct SeatsCollector(Arc<Shop>);

impl fmt::Debug for SeatsCollector {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("SeatsCollector").finish_non_exhaustive()
    }
}

/// States in the order of a seat map's counts.
const STATES: [&str; 4] = ["available", "held", "booked", "blocked"];

impl Collector for SeatsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut seat_maps = self.0.inventory.seat_maps();
        seat_maps.sort_by(|a, b| a.event.as_str().cmp(b.event.as_str()));
        let left_out = seat_maps.len().saturating_sub(EVENTS_MEASURED_MAX);
        seat_maps.truncate(EVENTS_MEASURED_MAX);
        let mut reading = Reading::from(encoder);
        reading.one(
            "fairline_seats_events_left_out",
            "Events with seats that have no series, because too many have one",
            ConstGauge::new(left_out),
        )?;
        reading.family(
            "fairline_seats",
            "Seats by state; every node reports all of them, so take the largest",
            seat_maps.iter().flat_map(|seat_map| counts(seat_map)),
        )
    }
}

fn counts(seat_map: &SeatMap) -> impl Iterator<Item = (SeatLabels, ConstGauge<u32>)> {
    let event = seat_map.event.as_str().to_owned();
    let counts = seat_map.current().counts;
    STATES.into_iter().zip(counts).map(move |(state, count)| {
        let event = event.clone();
        (SeatLabels { event, state }, ConstGauge::new(count))
    })
}
