//! Reports: progress during the run, a table at the end, or JSON.

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};

/// Figures in the order in which they were taken.
#[derive(Default)]
pub struct Report {
    lines: Vec<(String, Value, String)>,
    /// Violations of what the test checks; any of them fails it.
    pub violations: Vec<String>,
}

impl Report {
    /// Adds a figure.
    pub fn add(&mut self, name: &str, value: impl Into<Value>, unit: &str) {
        self.lines
            .push((name.to_owned(), value.into(), unit.to_owned()));
    }

    /// Adds the quantiles of a histogram of microseconds, in milliseconds.
    pub fn add_latency(&mut self, name: &str, histogram: &Histogram<u64>) {
        for (label, quantile) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let ms = histogram.value_at_quantile(quantile) as f64 / 1000.0;
            self.add(&format!("{name} {label}"), round(ms), "ms");
        }
    }

    /// Records a violation; the first hundred are kept.
    pub fn violation(&mut self, what: impl Into<String>) {
        if self.violations.len() < 100 {
            self.violations.push(what.into());
        }
    }

    /// Prints the table, or JSON.
    pub fn print(&self, as_json: bool) {
        if as_json {
            let mut object = Map::new();
            for (name, value, unit) in &self.lines {
                let key = format!("{name} {unit}")
                    .trim()
                    .replace([' ', '/'], "_")
                    .replace('%', "percent");
                object.insert(key, value.clone());
            }
            object.insert("violations".into(), self.violations.clone().into());
            println!("{}", Value::Object(object));
            return;
        }
        let width = self
            .lines
            .iter()
            .map(|(name, ..)| name.len())
            .max()
            .unwrap_or(0);
        for (name, value, unit) in &self.lines {
            let shown = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            println!("{name:width$}  {shown:>12} {unit}");
        }
        for violation in &self.violations {
            println!("VIOLATION {violation}");
        }
        println!("{} violations", self.violations.len());
    }
}

/// Rounds to two decimal places.
pub fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Returns a progress bar on standard error.
pub fn progress(what: &'static str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{msg:28} {bar:40} {pos}/{len} {per_sec}") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

/// Returns a histogram of microseconds up to two minutes.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(120_000_000, 3).expect("the bounds are valid")
}

/// Returns the median, or 0 if there are no values.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
