//! Settings of the limits on the load.

use crate::mistakes::Mistakes;
use std::time::Duration;

/// The settings as they were written.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "load settings")]
pub struct LoadArgs {
    /// Most requests of fans in flight; one more is refused with 503 [default: 5000]
    #[arg(long, env = "FAIRLINE_IN_FLIGHT", global = true)]
    pub in_flight: Option<String>,
    /// Requests of fans in flight beyond which joins and new sessions are refused [default: three
    /// quarters of FAIRLINE_IN_FLIGHT]
    #[arg(long, env = "FAIRLINE_IN_FLIGHT_ENTER", global = true)]
    pub in_flight_enter: Option<String>,
    /// Requests of fans in flight beyond which maps and pages are refused [default: half of
    /// FAIRLINE_IN_FLIGHT]
    #[arg(long, env = "FAIRLINE_IN_FLIGHT_BROWSE", global = true)]
    pub in_flight_browse: Option<String>,
    /// Delay of requests in milliseconds beyond which maps and pages are refused; 0: no limit
    /// [default: 250]
    #[arg(long, env = "FAIRLINE_DELAY_MS", global = true)]
    pub delay_ms: Option<String>,
}

/// Limits on the load of a process.
#[derive(Clone, Copy, Debug)]
pub struct LoadLimits {
    /// Requests of fans in flight beyond which purchases are refused; also the limit on those of
    /// organisers.
    pub in_flight_max: usize,
    /// Requests of fans in flight beyond which entering is refused.
    pub enter_max: usize,
    /// Requests of fans in flight beyond which browsing is refused.
    pub browse_max: usize,
    /// Delay of the runtime's queue beyond which browsing is refused, then entering; zero sets no
    /// limit.
    pub delay_max: Duration,
}

impl LoadArgs {
    /// Understands the settings; what is wrong goes to `mistakes`.
    pub fn read(&self, mistakes: &mut Mistakes) -> LoadLimits {
        let text = self.in_flight.as_deref();
        let in_flight_max: usize = mistakes.parse("FAIRLINE_IN_FLIGHT", text, 5000);
        if in_flight_max == 0 {
            mistakes.add("FAIRLINE_IN_FLIGHT: at least 1");
        }
        // Each is at most the one before, so that browsing is refused first.
        let mut share = |name, text: &Option<String>, default: usize, most: usize, of| {
            let limit = mistakes.parse(name, text.as_deref(), default.min(most));
            if limit == 0 || limit > most {
                mistakes.add(format!("{name}: from 1 to {of}, {most}"));
            }
            limit
        };
        let enter_max = share(
            "FAIRLINE_IN_FLIGHT_ENTER",
            &self.in_flight_enter,
            in_flight_max.saturating_mul(3).div_ceil(4),
            in_flight_max,
            "FAIRLINE_IN_FLIGHT",
        );
        let browse_max = share(
            "FAIRLINE_IN_FLIGHT_BROWSE",
            &self.in_flight_browse,
            in_flight_max.div_ceil(2),
            enter_max,
            "FAIRLINE_IN_FLIGHT_ENTER",
        );
        let text = self.delay_ms.as_deref();
        let delay_ms = mistakes.parse("FAIRLINE_DELAY_MS", text, 250);
        LoadLimits {
            in_flight_max,
            enter_max,
            browse_max,
            delay_max: Duration::from_millis(delay_ms),
        }
    }
}
