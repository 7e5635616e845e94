//! Messages to fans in line whose turn has come: notifications of their browsers, and text messages. The sale
//! never waits for them.
//!
//! `intake` follows the outbox with a place of its own there, and makes the messages due of those who were
//! admitted. `sender` takes the messages of a channel that are due, which any number of nodes share, and hands
//! them to the channel's gateway.

mod failure;
mod gateway;
mod instruments;
mod intake;
mod sender;

pub(crate) use failure::FailureKind;
pub(crate) use gateway::{Gateway, Handover, TurnMessage};
pub(crate) use instruments::register;
pub(crate) use intake::CONSUMER;

use crate::app::Shop;
use futures_util::future::join_all;
use std::sync::Arc;

impl Shop {
    /// Returns the gateways that are set.
    pub(crate) fn gateways(&self) -> Vec<Arc<dyn Gateway>> {
        let pusher = self.pusher.clone().map(|it| it as Arc<dyn Gateway>);
        let sms = self.sms.clone().map(|it| it as Arc<dyn Gateway>);
        pusher.into_iter().chain(sms).collect()
    }
}

/// Sends messages until the stop signal. Nothing to do where no gateway is set.
pub(crate) async fn run(shop: &Arc<Shop>) {
    let gateways = shop.gateways();
    if gateways.is_empty() {
        return;
    }
    let sending = gateways.iter().map(|gateway| sender::run(shop, gateway));
    tokio::join!(
        intake::run(shop),
        join_all(sending),
        instruments::measure(shop, &gateways)
    );
}
