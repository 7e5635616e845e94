//! Memory and processor time of a server on this machine, from `/proc`.

use std::fs;
use std::time::Instant;

/// Clock ticks per second, as Linux reports them to programs.
const TICKS: f64 = 100.0;

/// A process on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Returns the resident memory in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    }

    /// Returns the processor time used so far, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        // The name in parentheses may hold spaces; the fields after it do not.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .collect();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        (ticks(11) + ticks(12)) / TICKS
    }

    /// Returns the processor time used so far by the process and its children, such as the workers
    /// of nginx, in seconds.
    pub fn group_cpu_seconds(&self) -> f64 {
        let children = format!("/proc/{0}/task/{0}/children", self.0);
        let children = fs::read_to_string(children).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        let of_children: f64 = children.map(|id| Process(id).cpu_seconds()).sum();
        self.cpu_seconds() + of_children
    }

    /// Starts measuring the share of one core.
    pub fn measure(&self) -> Measure {
        Measure {
            process: *self,
            from: Instant::now(),
            seconds: self.cpu_seconds(),
        }
    }
}

/// A measurement under way.
pub struct Measure {
    process: Process,
    from: Instant,
    seconds: f64,
}

impl Measure {
    /// Returns the per cent of one core used since the start.
    pub fn percent(&self) -> f64 {
        (self.process.cpu_seconds() - self.seconds) / self.from.elapsed().as_secs_f64() * 100.0
    }
}
