//! Metrics of WebSockets.

use super::registry::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::LazyLock;

/// Sockets on which fans watch their place.
pub static PLACE: LazyLock<SocketMetrics> = LazyLock::new(|| SocketMetrics::of("place"));
/// Sockets on which fans watch the seats.
pub static SEATS: LazyLock<SocketMetrics> = LazyLock::new(|| SocketMetrics::of("seats"));

pub(crate) static SENT_MESSAGES: LazyLock<Counter> = LazyLock::new(Counter::default);
pub(crate) static SENT_BYTES: LazyLock<Counter> = LazyLock::new(Counter::default);

static OPEN: LazyLock<Family<SocketLabels, Gauge>> = LazyLock::new(Family::default);
static OPENED: LazyLock<Family<SocketLabels, Counter>> = LazyLock::new(Family::default);
static CLOSED: LazyLock<Family<CloseLabels, Counter>> = LazyLock::new(Family::default);

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "fairline_sockets",
        "Open WebSockets of this node",
        OPEN.clone(),
    );
    registry.add(
        "fairline_sockets_opened_total",
        "WebSockets that were opened",
        OPENED.clone(),
    );
    registry.add(
        "fairline_sockets_closed_total",
        "WebSockets that were closed, by reason: gone (the client went away or fell silent), ended (its place or event did), \
         crowded (the place is open in several tabs or devices already), leaving (this node stops), too_long, too_many, \
         malformed or not_text (messages of the client), behind (the client has to fetch the seats again)",
        CLOSED.clone(),
    );
    registry.add(
        "fairline_sockets_sent_messages_total",
        "Messages sent on WebSockets",
        SENT_MESSAGES.clone(),
    );
    registry.add(
        "fairline_sockets_sent_bytes_total",
        "Bytes of the messages sent on WebSockets, without framing",
        SENT_BYTES.clone(),
    );
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SocketLabels {
    socket: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CloseLabels {
    socket: &'static str,
    reason: &'static str,
}

/// Reason why a socket was closed.
#[derive(Clone, Copy)]
pub enum Closed {
    /// The client went away or fell silent.
    Gone,
    /// The client's place or event ended.
    Ended,
    /// The place is open in as many tabs and devices as may be.
    Crowded,
    /// The process stops.
    Leaving,
    /// A message of the client was too long.
    TooLong,
    /// The client sent too many frames.
    TooMany,
    /// A frame of the client broke the protocol.
    Malformed,
    /// A text of the client was not UTF-8.
    NotText,
    /// The client is too far behind to be brought up to date.
    Behind,
}

impl Closed {
    /// Labels, in the order of the variants.
    const LABELS: [&'static str; 9] = [
        "gone",
        "ended",
        "crowded",
        "leaving",
        "too_long",
        "too_many",
        "malformed",
        "not_text",
        "behind",
    ];

    /// Returns the sentence that the client is told.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Closed::Gone => "",
            Closed::Ended => "this place is no more",
            Closed::Crowded => "this place is open in several tabs or devices already",
            Closed::Leaving => "this node is about to go",
            Closed::TooLong => "a message may have 4096 bytes",
            Closed::TooMany => "too many frames",
            Closed::Malformed => "a frame broke the protocol",
            Closed::NotText => "a text is not UTF-8",
            Closed::Behind => "fetch the map again",
        }
    }
}

/// Metrics of one kind of socket, looked up once.
pub struct SocketMetrics {
    open: Gauge,
    opened: Counter,
    closed: [Counter; Closed::LABELS.len()],
}

impl SocketMetrics {
    fn of(socket: &'static str) -> SocketMetrics {
        let labels = SocketLabels { socket };
        SocketMetrics {
            open: OPEN.get_or_create_owned(&labels),
            opened: OPENED.get_or_create_owned(&labels),
            closed: Closed::LABELS
                .map(|reason| CLOSED.get_or_create_owned(&CloseLabels { socket, reason })),
        }
    }

    /// Counts a socket as open until what this returns is dropped.
    pub fn open(&'static self) -> OpenSocket {
        self.opened.inc();
        self.open.inc();
        OpenSocket {
            metrics: self,
            closed: Closed::Gone,
        }
    }
}

/// An open socket, counted as closed when it is dropped.
pub struct OpenSocket {
    metrics: &'static SocketMetrics,
    /// Reason to count.
    pub closed: Closed,
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.metrics.open.dec();
        self.metrics.closed[self.closed as usize].inc();
    }
}
