//! The place of messages to fans in the outbox: they become due before it moves. Events that come twice
//! change nothing, as a message is due once.

use crate::app::Shop;
use crate::inventory::outbox::{OUTBOX_ROWS_MAX, OutboxRow};
use crate::inventory::{InLine, Inventory, Refused};
use crate::outbox_intake::{self, Batch, Intake};
use async_trait::async_trait;
use shared::time::Time;
use std::sync::Arc;

/// Name under which messages to fans have their place in the outbox.
pub(crate) const CONSUMER: &str = "push";

/// Runs until the stop signal.
pub(super) async fn run(shop: &Arc<Shop>) {
    let intake = TurnIntake(&shop.inventory);
    outbox_intake::run(&intake, shop.inventory.outbox(), &shop.site.stop).await;
}

struct TurnIntake<'a>(&'a Inventory);

#[async_trait]
impl Intake for TurnIntake<'_> {
    const CONSUMER: &'static str = CONSUMER;
    const ROWS_MAX: u32 = OUTBOX_ROWS_MAX;

    async fn is_wanted(&self) -> Result<bool, Refused> {
        Ok(true)
    }

    async fn take_in(&self, batch: Batch<'_>) -> Result<bool, Refused> {
        let turns: Vec<(InLine, Time)> = batch.rows.iter().filter_map(turn_of).collect();
        if !turns.is_empty() {
            self.0.line_messages().call(turns).await?;
        }
        let (owner, shard) = (batch.owner, batch.shard);
        let outbox = self.0.outbox();
        outbox
            .acknowledge(CONSUMER, owner, shard, batch.position)
            .await
    }
}

/// Returns the place of an admission, and the time until which its turn may be taken.
fn turn_of(row: &OutboxRow) -> Option<(InLine, Time)> {
    let (place, admission) = InLine::admitted(row)?;
    Some((place, admission.claim_by?))
}
