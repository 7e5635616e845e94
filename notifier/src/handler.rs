//! The contract of a consumer's effects.

use crate::event::Event;
use crate::store::OrderPoints;
use crate::trouble::Trouble;
use async_trait::async_trait;

/// Effect that an event has had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It had one.
    Done,
    /// There was nothing to do.
    Skipped,
    /// The points of an order are these now, to be written with the event's id.
    Points(OrderPoints),
    /// The same, and no service was asked to change them.
    Unasked(OrderPoints),
}

/// Effects of one consumer.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Name of the consumer.
    fn name(&self) -> &'static str;

    /// Returns whether it acts on events of a type.
    fn takes(&self, event_type: &str) -> bool;

    /// Returns whether an event that became a dead letter keeps back later ones of its aggregate.
    fn keeps_order(&self) -> bool;

    /// Acts on events of different aggregates. Each may have been acted on before, and then has the
    /// same effect once. Returns a result for each.
    async fn handle(&self, events: &[&Event]) -> Vec<Result<Effect, Trouble>>;
}
