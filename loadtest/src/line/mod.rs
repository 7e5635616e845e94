//! `loadtest line`: the line on a Redis of its own, beside the performance of Redis itself, nginx
//! and plain commands on this machine in the same run. Rounds alternate; each figure is the median.

mod bench;
mod joins;
mod losses;
mod positions;

pub use bench::LineArgs;

use crate::report::Report;
use client::Failed;

/// Runs the measurements.
///
/// # Errors
/// Fails if a server does not start.
pub async fn run(args: LineArgs) -> Result<Report, Failed> {
    let mut report = Report::default();
    joins::joins(&args, &mut report).await?;
    joins::over_http(&args, &mut report).await?;
    positions::positions(&args, &mut report).await?;
    losses::draw(&args, &mut report).await?;
    losses::loss(&mut report).await?;
    Ok(report)
}
