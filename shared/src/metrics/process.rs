//! Metrics of the process itself, under the names that Prometheus' own clients use.

use super::registry::{Reading, Registry};
use crate::time::Clock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use std::fmt;
use std::fs;

/// Ticks a second in which Linux counts processor time, on every architecture that this program is
/// built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Registers the metrics of a process that starts now.
pub fn register(registry: &mut Registry, clock: &Clock) {
    let commit = option_env!("FAIRLINE_COMMIT").unwrap_or("unknown");
    registry.add(
        "fairline_build_info",
        "The running program",
        Info::new([("version", env!("CARGO_PKG_VERSION")), ("commit", commit)]),
    );
    registry.add_collector(ProcessCollector {
        started_at: clock.now().0 as f64 / 1000.0,
    });
}

/// Reads what Linux knows of this process. Elsewhere only the start is known.
#[derive(Debug)]
struct ProcessCollector {
    /// In seconds since 1970.
    started_at: f64,
}

impl Collector for ProcessCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut reading = Reading::from(encoder);
        reading.one(
            "process_start_time_seconds",
            "Time when the process started, in seconds since 1970",
            ConstGauge::new(self.started_at),
        )?;
        if let Some(seconds) = processor_seconds() {
            let help = "Processor time used";
            let counter = ConstCounter::new(seconds);
            reading.one("process_cpu_seconds_total", help, counter)?;
        }
        if let Some(bytes) = resident_bytes() {
            let help = "Memory in use";
            let gauge = ConstGauge::new(bytes);
            reading.one("process_resident_memory_bytes", help, gauge)?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            let gauge = ConstGauge::new(files.count());
            reading.one("process_open_fds", "Open files and connections", gauge)?;
        }
        if let Some(files) = files_max() {
            let help = "Most files and connections that may be open";
            reading.one("process_max_fds", help, ConstGauge::new(files))?;
        }
        Ok(())
    }
}

/// The fields after the name, which may hold anything, begin with the third; user and system time
/// are the 14th and 15th.
fn processor_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks = ticks
        .map(|field| field.parse::<u64>().ok())
        .sum::<Option<u64>>()?;
    Some(ticks as f64 / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn files_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
