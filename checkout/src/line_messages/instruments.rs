//! Counters of messages to fans in line, and the gauges of those that wait.

use super::failure::FailureKind;
use super::gateway::Gateway;
use crate::app::Shop;
use crate::backlog::{MeasureTimes, set};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use shared::line_contact::Channel;
use shared::metrics::Registry;
use std::sync::{Arc, LazyLock};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChannelLabel {
    channel: &'static str,
}

impl ChannelLabel {
    fn of(channel: Channel) -> ChannelLabel {
        let channel = channel.as_str();
        ChannelLabel { channel }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageFailureLabels {
    channel: &'static str,
    kind: &'static str,
}

/// Messages by channel. Each count begins at 0, not with its first message.
static SENT: LazyLock<Family<ChannelLabel, Counter>> = LazyLock::new(|| {
    let family = Family::<ChannelLabel, Counter>::default();
    for channel in Channel::ALL {
        drop(family.get_or_create_owned(&ChannelLabel::of(channel)));
    }
    family
});

/// Failures by channel and kind.
static FAILURES: LazyLock<Family<MessageFailureLabels, Counter>> = LazyLock::new(|| {
    let family = Family::<MessageFailureLabels, Counter>::default();
    for channel in Channel::ALL.map(Channel::as_str) {
        for kind in FailureKind::ALL.map(FailureKind::name) {
            drop(family.get_or_create_owned(&MessageFailureLabels { channel, kind }));
        }
    }
    family
});

static WAITING: LazyLock<Family<ChannelLabel, Gauge>> = LazyLock::new(gauges);
static OLDEST_SECONDS: LazyLock<Family<ChannelLabel, Gauge>> = LazyLock::new(gauges);

fn gauges() -> Family<ChannelLabel, Gauge> {
    let family = Family::<ChannelLabel, Gauge>::default();
    for channel in Channel::ALL {
        drop(family.get_or_create_owned(&ChannelLabel::of(channel)));
    }
    family
}

/// Counts a message that a gateway has taken.
pub(super) fn count_sent(channel: Channel) {
    SENT.get_or_create_owned(&ChannelLabel::of(channel)).inc();
}

/// Counts an attempt that failed, or a message that came too late.
pub(super) fn count_failure(channel: Channel, kind: FailureKind) {
    let (channel, kind) = (channel.as_str(), kind.name());
    FAILURES
        .get_or_create_owned(&MessageFailureLabels { channel, kind })
        .inc();
}

/// Keeps the gauges of these gateways' channels current until the stop signal.
pub(super) async fn measure(shop: &Arc<Shop>, gateways: &[Arc<dyn Gateway>]) {
    let mut times = MeasureTimes::of(shop);
    while times.next().await {
        for gateway in gateways {
            let channel = gateway.channel();
            // A store that is away has metrics of its own.
            if let Ok(backlog) = shop.inventory.line_messages().backlog(channel).await {
                let label = ChannelLabel::of(channel);
                set(&WAITING.get_or_create_owned(&label), backlog.waiting);
                let oldest = OLDEST_SECONDS.get_or_create_owned(&label);
                set(&oldest, backlog.oldest_seconds);
            }
        }
    }
}

/// Registers the metrics of messages to fans in line.
pub(crate) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_line_messages_sent_total",
        "Messages to fans in line whose turn has come that a gateway has taken from this node, by channel: push (a push service \
         of a browser), sms (the SMS gateway)",
        SENT.clone(),
    );
    registry.add(
        "fairline_line_message_failures_total",
        "Attempts to send a message to a fan in line that failed, by channel and kind: gone (the browser has ended the subscription, \
         or the phone takes no messages), refused (the gateway never takes it, or may not be reached), denied (the gateway \
         refuses the site), deferred (it does not take it now), unreachable (it does not answer); and messages that were not \
         sent: their turn was over before they were taken (missed), the number has had as many for the event as it may get \
         (number_full), or the site has sent as many in the day (day_full)",
        FAILURES.clone(),
    );
    registry.add(
        "fairline_line_messages_waiting",
        "Messages to fans in line whose turn has come that wait to be sent, by channel, counted up to 100,000; 0 where the \
         channel is not set; every node reports all of them, so take the largest",
        WAITING.clone(),
    );
    registry.add(
        "fairline_line_messages_oldest_seconds",
        "Time for which the oldest message to a fan in line waits, by channel; every node reports the same",
        OLDEST_SECONDS.clone(),
    );
}
