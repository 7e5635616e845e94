//! Counters of mail, and its gauges.

use super::connection::MailFailureKind;
use crate::app::Shop;
use crate::backlog::{MeasureTimes, set};
use crate::inventory::mail::MailKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use shared::metrics::Registry;
use std::sync::{Arc, LazyLock};

static WAITING: LazyLock<Gauge> = LazyLock::new(Gauge::default);
static OLDEST_SECONDS: LazyLock<Gauge> = LazyLock::new(Gauge::default);
static FAILED: LazyLock<Gauge> = LazyLock::new(Gauge::default);

/// Mails by kind. Each count begins at 0, not with its first mail.
static SENT: LazyLock<Family<KindLabel, Counter>> =
    LazyLock::new(|| counters(MailKind::ALL.map(MailKind::as_str)));
/// Mails that came back, by kind.
static BOUNCED: LazyLock<Family<KindLabel, Counter>> =
    LazyLock::new(|| counters(MailKind::ALL.map(MailKind::as_str)));
/// Failures by kind.
static FAILURES: LazyLock<Family<KindLabel, Counter>> =
    LazyLock::new(|| counters(MailFailureKind::ALL.map(MailFailureKind::name)));

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

fn counters<const N: usize>(kinds: [&'static str; N]) -> Family<KindLabel, Counter> {
    let family = Family::<KindLabel, Counter>::default();
    for kind in kinds {
        drop(family.get_or_create_owned(&KindLabel { kind }));
    }
    family
}

/// Counts a mail that the mail server has taken.
pub(super) fn count_sent(kind: MailKind) {
    let kind = kind.as_str();
    SENT.get_or_create_owned(&KindLabel { kind }).inc();
}

/// Counts a mail that came back.
pub(super) fn count_bounced(kind: MailKind) {
    let kind = kind.as_str();
    BOUNCED.get_or_create_owned(&KindLabel { kind }).inc();
}

/// Counts an attempt that failed.
pub(super) fn count_failure(kind: MailFailureKind) {
    let kind = kind.name();
    FAILURES.get_or_create_owned(&KindLabel { kind }).inc();
}

/// Keeps the gauges current until the stop signal.
pub(super) async fn measure(shop: &Arc<Shop>) {
    let mut times = MeasureTimes::of(shop);
    while times.next().await {
        // A store that is away has metrics of its own.
        if let Ok(backlog) = shop.inventory.mails().backlog().await {
            set(&WAITING, backlog.waiting);
            set(&OLDEST_SECONDS, backlog.oldest_seconds);
            set(&FAILED, backlog.failed);
        }
    }
}

/// Registers the metrics of mail.
pub(crate) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_mails_sent_total",
        "Mails to buyers that the mail server has taken from this node, by kind: confirmed, refunded, cancelled, changed, orders \
         (a list of orders that was asked for), soon and turn (told to a fan in line)",
        SENT.clone(),
    );
    registry.add(
        "fairline_mails_bounced_total",
        "Mails that came back after the mail server had taken them, by reports that were posted to this node, by kind as in \
         fairline_mails_sent_total",
        BOUNCED.clone(),
    );
    registry.add(
        "fairline_mail_failures_total",
        "Attempts to send a mail that failed, by kind: away (the mail server does not answer), denied (it refuses the login, \
         or its certificate is not trusted), deferred (it does not take this mail now), rejected (it never takes it), \
         unanswered (it did not say whether it has it)",
        FAILURES.clone(),
    );
    registry.add(
        "fairline_mails_waiting",
        "Mails to buyers that wait to be sent, counted up to 100,000; 0 where no mail server is set; every node reports all \
         of them, so take the largest",
        WAITING.clone(),
    );
    registry.add(
        "fairline_mails_oldest_seconds",
        "Time for which the oldest mail to a buyer waits; every node reports the same",
        OLDEST_SECONDS.clone(),
    );
    registry.add(
        "fairline_mails_failed",
        "Mails to buyers that cannot be sent or came back, and were not looked after, of the last 30 days, counted up to 100,000; every \
         node reports the same",
        FAILED.clone(),
    );
}
