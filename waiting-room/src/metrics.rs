//! Metrics of the waiting room.

use crate::app::Room;
use crate::hub::EventHub;
use crate::instruments::{LOG_UNREADABLE, NEXT_SALE, REDIS_FAILURES, SCRIPT_SECONDS};
use crate::line::{LineView, Phase, Stats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use shared::ids::EventId;
use shared::metrics::{EVENTS_MEASURED_MAX, Reading, Registry, sockets, stores, writers};
use std::cmp::Reverse;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// Registers the metrics of a waiting room.
pub fn register(registry: &mut Registry, room: &Arc<Room>) {
    LazyLock::force(&sockets::PLACE);
    LazyLock::force(&stores::LINE);
    LazyLock::force(&writers::LINE);
    registry.add(
        "fairline_next_sale_timestamp_seconds",
        "Opening of the next sale, in seconds since 1970; 0 if none is planned",
        NEXT_SALE.clone(),
    );
    registry.add(
        "fairline_redis_script_seconds",
        "Time from a call of a script to its answer",
        SCRIPT_SECONDS.clone(),
    );
    registry.add(
        "fairline_redis_failures_total",
        "Redis commands that were refused or had no answer",
        REDIS_FAILURES.clone(),
    );
    registry.add(
        "fairline_line_log_unreadable_total",
        "Entries of the logs of the lines that cannot be read and are skipped, counted each time that they are read",
        LOG_UNREADABLE.clone(),
    );
    registry.add_collector(LinesCollector(room.clone()));
}

#[derive(Clone, EncodeLabelSet)]
struct EventLabels {
    event: String,
}

#[derive(EncodeLabelSet)]
struct QuantileLabels {
    event: String,
    quantile: &'static str,
}

#[derive(EncodeLabelSet)]
struct OutcomeLabels {
    event: String,
    outcome: &'static str,
}

/// Reads the lines when the metrics are read. An event that is deleted has no series from then on,
/// and nothing that a client sends makes one.
struct LinesCollector(Arc<Room>);

impl fmt::Debug for LinesCollector {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("LinesCollector").finish_non_exhaustive()
    }
}

/// A line at this node.
struct MeasuredLine {
    labels: EventLabels,
    hub: Arc<EventHub>,
    view: Arc<LineView>,
    stats: Option<Stats>,
}

impl MeasuredLine {
    fn new(event: &EventId, hub: &Arc<EventHub>) -> MeasuredLine {
        MeasuredLine {
            labels: EventLabels {
                event: event.as_str().to_owned(),
            },
            hub: hub.clone(),
            view: hub.front(),
            stats: hub.newest(),
        }
    }

    fn is_measured(&self) -> bool {
        let is_idle = matches!(self.view.phase, Phase::Scheduled | Phase::Closed);
        !is_idle || self.view.waiting > 0 || self.hub.sockets.count() > 0
    }
}

impl LinesCollector {
    /// Returns the lines with series of their own: those that are open, the longest first.
    fn measured(&self) -> Vec<MeasuredLine> {
        let hubs = self.0.hubs.read();
        let lines = hubs
            .iter()
            .map(|(event, hub)| MeasuredLine::new(event, hub));
        let mut lines: Vec<MeasuredLine> = lines.filter(MeasuredLine::is_measured).collect();
        lines.sort_by_cached_key(|line| (Reverse(line.view.waiting), line.labels.event.clone()));
        lines
    }
}

impl Collector for LinesCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut reading = Reading::from(encoder);
        let mut lines = self.measured();
        let left_out = lines.len().saturating_sub(EVENTS_MEASURED_MAX);
        reading.one(
            "fairline_line_events_left_out",
            "Events with an open line that have no series, because too many have one",
            ConstGauge::new(left_out),
        )?;
        lines.truncate(EVENTS_MEASURED_MAX);
        write_gauges(&mut reading, &lines)?;
        write_counters(&mut reading, &lines)?;
        write_waits(&mut reading, &lines)
    }
}

/// A gauge of each line.
struct LineGauge {
    name: &'static str,
    help: &'static str,
    /// Returns the value; none if there is none yet.
    read: fn(&MeasuredLine) -> Option<f64>,
}

const GAUGES: [LineGauge; 10] = [
    LineGauge {
        name: "fairline_line_waiting",
        help: "Visitors in line; every node reports the whole line, so take the largest",
        read: |line| Some(line.view.waiting as f64),
    },
    LineGauge {
        name: "fairline_line_admitted",
        help: "Visitors admitted who have not come yet; every node reports all of them",
        read: |line| line.stats.as_ref().map(|stats| stats.admitted as f64),
    },
    LineGauge {
        name: "fairline_line_shopping",
        help: "Visitors in the checkout; every node reports all of them",
        read: |line| line.stats.as_ref().map(|stats| stats.shopping as f64),
    },
    LineGauge {
        name: "fairline_line_away",
        help: "Visitors in line who neither have a socket nor poll; every node reports all of them",
        read: |line| line.stats.as_ref().map(|stats| stats.away as f64),
    },
    LineGauge {
        name: "fairline_line_sockets",
        help: "Open WebSockets of an event's fans at this node",
        read: |line| Some(line.hub.sockets.count() as f64),
    },
    LineGauge {
        name: "fairline_line_rate_per_minute",
        help: "Visitors to be admitted a minute by the organiser's setting; 0 unless the line is open",
        read: |line| {
            let rate = line.view.settings.admission.rate_per_minute;
            Some(f64::from(if line.view.phase == Phase::Open {
                rate
            } else {
                0
            }))
        },
    },
    LineGauge {
        name: "fairline_line_max_active",
        help: "Most visitors who may be admitted or shopping at one time",
        read: |line| Some(f64::from(line.view.settings.admission.max_active)),
    },
    LineGauge {
        name: "fairline_line_seats_available",
        help: "Available seats by the checkout's last report; absent without one",
        read: |line| Some(f64::from(line.view.availability?.available)),
    },
    LineGauge {
        name: "fairline_line_seats_sold",
        help: "Booked seats by the checkout's last report; absent without one",
        read: |line| Some(f64::from(line.view.availability?.booked)),
    },
    LineGauge {
        name: "fairline_line_positions_age_seconds",
        help: "Time since this node last learned the positions that it shows",
        read: |line| Some(line.hub.metrics.age().as_secs_f64()),
    },
];

fn write_gauges(reading: &mut Reading<'_>, lines: &[MeasuredLine]) -> fmt::Result {
    for LineGauge { name, help, read } in GAUGES {
        let series = lines.iter().filter_map(|line| {
            let value = ConstGauge::new(read(line)?);
            Some((line.labels.clone(), value))
        });
        reading.family(name, help, series)?;
    }
    Ok(())
}

/// A counter of each line.
struct LineCounter {
    name: &'static str,
    help: &'static str,
    read: fn(&Stats) -> u64,
}

const COUNTERS: [LineCounter; 5] = [
    LineCounter {
        name: "fairline_line_joins_total",
        help: "Visitors who were given a number; every node reports all of them",
        read: |stats| stats.total.joined,
    },
    LineCounter {
        name: "fairline_line_admissions_total",
        help: "Visitors who were admitted; every node reports all of them",
        read: |stats| stats.total.admitted,
    },
    LineCounter {
        name: "fairline_line_finished_total",
        help: "Visitors who finished shopping; every node reports all of them",
        read: |stats| stats.total.finished,
    },
    LineCounter {
        name: "fairline_line_no_shows_total",
        help: "Visitors who missed their turn or were away too long; every node reports all of them",
        read: |stats| stats.total.missed,
    },
    LineCounter {
        name: "fairline_line_left_total",
        help: "Visitors who left by themselves; every node reports all of them",
        read: |stats| stats.total.left,
    },
];

fn write_counters(reading: &mut Reading<'_>, lines: &[MeasuredLine]) -> fmt::Result {
    for LineCounter { name, help, read } in COUNTERS {
        let series = lines.iter().filter_map(|line| {
            let value = ConstCounter::new(read(line.stats.as_ref()?));
            Some((line.labels.clone(), value))
        });
        reading.family(name, help, series)?;
    }
    Ok(())
}

fn write_waits(reading: &mut Reading<'_>, lines: &[MeasuredLine]) -> fmt::Result {
    let histogram = |read: fn(&EventHub) -> &Histogram| {
        let each = lines.iter();
        each.map(move |line| (line.labels.clone(), read(&line.hub).clone()))
    };
    reading.family(
        "fairline_line_wait_told_seconds",
        "Wait first told to a fan with a socket, by its upper end, counted once the fan is admitted",
        histogram(|hub| &hub.metrics.told_seconds),
    )?;
    reading.family(
        "fairline_line_wait_true_seconds",
        "Wait of the same fans, from when they were told it until they were admitted",
        histogram(|hub| &hub.metrics.true_seconds),
    )?;
    let outcomes = lines.iter().flat_map(|line| {
        let metrics = &line.hub.metrics;
        let counts = [
            ("within", &metrics.within),
            ("sooner", &metrics.sooner),
            ("later", &metrics.later),
        ];
        counts.map(|(outcome, count)| {
            let event = line.labels.event.clone();
            (
                OutcomeLabels { event, outcome },
                ConstCounter::new(count.get()),
            )
        })
    });
    reading.family(
        "fairline_line_waits_told_total",
        "Fans with a socket who were admitted, by whether their wait was within the range that they were first told, sooner or later",
        outcomes,
    )?;
    let quantiles = lines.iter().flat_map(|line| {
        let waited = line.stats.as_ref().map(|stats| stats.waited_seconds);
        let waited = waited.unwrap_or_default();
        let quantiles = [
            ("0.5", waited.p50),
            ("0.9", waited.p90),
            ("0.99", waited.p99),
        ];
        quantiles.into_iter().filter_map(|(quantile, seconds)| {
            let event = line.labels.event.clone();
            let labels = QuantileLabels { event, quantile };
            Some((labels, ConstGauge::new(seconds?)))
        })
    });
    reading.family(
        "fairline_line_waited_seconds",
        "Wait of the last 1,000 visitors admitted, from joining on, as quantiles; every node reports the same",
        quantiles,
    )
}
