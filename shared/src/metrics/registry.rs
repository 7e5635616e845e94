//! The registry of metrics, and the formats in which they are read.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, prometheus_text, text,
};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry as Metrics, Unit};
use std::fmt;

/// Most events with series of their own. The others count in the sums only.
pub const EVENTS_MEASURED_MAX: usize = 100;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the buckets for the time of a request, a commit, a script, in seconds.
pub(super) const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Bounds of the buckets for waits in line, in seconds.
const WAIT_SECONDS: [f64; 11] = [
    10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14_400.0,
];
/// Bounds of the buckets for the size of a batch.
pub(super) const REQUESTS: [f64; 11] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0,
];

/// Creates a histogram of short times.
pub fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Creates a histogram of waits in line.
pub fn wait_seconds() -> Histogram {
    Histogram::new(WAIT_SECONDS)
}

/// All metrics of a process.
#[derive(Debug, Default)]
pub struct Registry(Metrics);

impl Registry {
    /// Adds a metric by its full name, with its meaning in a phrase without a full stop.
    pub fn add(&mut self, name: &str, help: &str, metric: impl Metric) {
        let Name { family, unit } = Name::of(name);
        match unit {
            Some(unit) => self
                .0
                .register_with_unit(family, help, unit.clone(), metric),
            None => self.0.register(family, help, metric),
        }
    }

    /// Adds metrics that are computed whenever they are read.
    pub fn add_collector(&mut self, collector: impl Collector) {
        self.0.register_collector(Box::new(collector));
    }

    /// Renders all metrics: in OpenMetrics, with exemplars, for a client that accepts it, otherwise
    /// in the text format of Prometheus.
    pub fn render(&self, accept: &str) -> Rendered {
        let mut body = String::new();
        let is_open = accept.contains("application/openmetrics-text");
        let (content_type, written) = if is_open {
            (OPENMETRICS, text::encode(&mut body, &self.0))
        } else {
            let written = prometheus_text::encode(&mut body, &self.0);
            (prometheus_text::CONTENT_TYPE, written)
        };
        written.expect("writing to a string does not fail");
        Rendered { content_type, body }
    }
}

/// The metrics as text.
pub struct Rendered {
    /// Format of the text.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

/// The name of a family of metrics, to which the encoder adds the suffixes.
struct Name<'a> {
    family: &'a str,
    unit: Option<&'static Unit>,
}

impl Name<'_> {
    fn of(name: &str) -> Name<'_> {
        let suffixes = ["_total", "_info"].into_iter();
        let mut stripped = suffixes.filter_map(|suffix| name.strip_suffix(suffix));
        let family = stripped.next().unwrap_or(name);
        let units = [("_seconds", &Unit::Seconds), ("_bytes", &Unit::Bytes)];
        for (suffix, unit) in units {
            if let Some(family) = family.strip_suffix(suffix) {
                let unit = Some(unit);
                return Name { family, unit };
            }
        }
        Name { family, unit: None }
    }
}

/// Writes the metrics of a collector.
pub struct Reading<'a>(DescriptorEncoder<'a>);

impl<'a> From<DescriptorEncoder<'a>> for Reading<'a> {
    fn from(encoder: DescriptorEncoder<'a>) -> Reading<'a> {
        Reading(encoder)
    }
}

impl Reading<'_> {
    /// Writes a metric without labels.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn one<M: EncodeMetric + TypedMetric>(
        &mut self,
        name: &str,
        help: &str,
        metric: M,
    ) -> fmt::Result {
        let Name { family, unit } = Name::of(name);
        let help = format!("{help}.");
        let encoder = self.0.encode_descriptor(family, &help, unit, M::TYPE)?;
        metric.encode(encoder)
    }

    /// Writes a metric with a series for each set of labels.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn family<L: EncodeLabelSet, M: EncodeMetric + TypedMetric>(
        &mut self,
        name: &str,
        help: &str,
        series: impl Iterator<Item = (L, M)>,
    ) -> fmt::Result {
        let mut series = series.peekable();
        if series.peek().is_none() {
            return Ok(());
        }
        let Name { family, unit } = Name::of(name);
        let help = format!("{help}.");
        let mut encoder = self.0.encode_descriptor(family, &help, unit, M::TYPE)?;
        for (labels, metric) in series {
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::ConstGauge;

    #[test]
    fn a_metric_is_read_under_the_name_by_which_it_was_added() {
        let mut registry = Registry::default();
        let names = ["a_total", "b_bytes_total", "c_seconds_total"];
        for name in names {
            registry.add(name, "A count", Counter::<u64>::default());
        }
        for name in ["d", "e_seconds", "total_f"] {
            registry.add(name, "A figure", ConstGauge::new(0));
        }
        for accept in ["", "application/openmetrics-text"] {
            let body = registry.render(accept).body;
            let series = body.lines().filter(|line| !line.starts_with('#'));
            let found: Vec<&str> = series.filter_map(|line| line.split(' ').next()).collect();
            assert_eq!(found, [&names[..], &["d", "e_seconds", "total_f"]].concat());
            assert!(body.contains("A count.\n"));
        }
        let open = registry.render("application/openmetrics-text").body;
        assert!(open.contains("# UNIT b_bytes bytes\n"), "{open}");
    }
}
