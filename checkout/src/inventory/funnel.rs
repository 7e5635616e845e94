//! The funnel of a sale in an hour: admissions of the line, how they ended, buyers, and waits.

use serde::Serialize;
use shared::line_log::AdmissionEnd;
use shared::time::Time;
use utoipa::ToSchema;

/// Upper bounds of the waits that are counted apart, in minutes.
pub const WAIT_BOUNDS_MINUTES: [u32; 12] = [1, 2, 5, 10, 15, 30, 45, 60, 90, 120, 180, 240];
/// Number of the counts of waits: one for each bound, and one for longer waits.
const WAIT_COUNTS: usize = WAIT_BOUNDS_MINUTES.len() + 1;
/// Stored in place of a bound for the waits beyond the last one.
const LONGER: &str = "longer";

/// The way from the line to an order, in one hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunnelHour {
    /// Beginning of the hour.
    pub hour: Time,
    /// The figures of the hour.
    pub funnel: Funnel,
}

/// The way from the line to an order. Each figure counts in the hour in which it happened, so that one
/// admission may count in several hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Funnel {
    /// Number of admissions. A visitor who joins again and is admitted again counts again.
    pub admitted: i64,
    /// Number of admissions whose visitor did not come in time.
    pub missed: i64,
    /// Number of admissions that ended and whose visitor had surely come: the sum of `finished` and
    /// `ran_out`.
    pub came: i64,
    /// Number of admissions that ended with an order, or as the visitor ended the visit.
    pub finished: i64,
    /// Number of admissions whose time in the checkout ran out.
    pub ran_out: i64,
    /// Number of admitted visitors who gave up their place, before or after they came.
    pub left: i64,
    /// Number of admitted visitors whom the organiser removed, before or after they came.
    pub ejected: i64,
    /// Number of visitors with a confirmed order. Further orders do not count, nor does the organiser's
    /// desk; a visitor who got back the money of all orders and buys again counts again.
    pub buyers: i64,
    /// Waits of the visitors who were admitted.
    pub waits: Waits,
}

/// Waits from joining the line, or from the draw, to the admission. Those that a line has lost are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Waits {
    /// Number of waits.
    pub count: i64,
    /// Their sum in seconds.
    pub sum_seconds: i64,
    /// Bound in minutes within which half of them were; null without waits, or if it is beyond the last
    /// bound.
    pub median_minutes: Option<u32>,
    /// Bound in minutes within which nine of ten were; null as above.
    pub p90_minutes: Option<u32>,
    /// Number of waits up to each bound and above the one before it, then of those above the last.
    #[schema(value_type = Vec<i64>, min_items = 13, max_items = 13)]
    pub counts: [i64; WAIT_COUNTS],
}

/// A figure of the funnel, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FunnelFigure {
    Admitted,
    Missed,
    Finished,
    RanOut,
    Left,
    Ejected,
    Buyers,
    WaitedSeconds,
    /// By bound, in the place of a category.
    Waits,
}

impl FunnelFigure {
    pub(super) const ALL: [FunnelFigure; 9] = [
        FunnelFigure::Admitted,
        FunnelFigure::Missed,
        FunnelFigure::Finished,
        FunnelFigure::RanOut,
        FunnelFigure::Left,
        FunnelFigure::Ejected,
        FunnelFigure::Buyers,
        FunnelFigure::WaitedSeconds,
        FunnelFigure::Waits,
    ];

    /// Returns its name, as it is stored.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            FunnelFigure::Admitted => "admitted",
            FunnelFigure::Missed => "missed",
            FunnelFigure::Finished => "finished",
            FunnelFigure::RanOut => "ran_out",
            FunnelFigure::Left => "left",
            FunnelFigure::Ejected => "ejected",
            FunnelFigure::Buyers => "buyers",
            FunnelFigure::WaitedSeconds => "waited_seconds",
            FunnelFigure::Waits => "waits",
        }
    }

    /// Returns the figure of admissions that ended so.
    pub(super) fn of_end(end: AdmissionEnd) -> FunnelFigure {
        match end {
            AdmissionEnd::Finished => FunnelFigure::Finished,
            AdmissionEnd::Left => FunnelFigure::Left,
            AdmissionEnd::Ejected => FunnelFigure::Ejected,
            AdmissionEnd::Expired => FunnelFigure::RanOut,
        }
    }
}

/// Returns the bound of a wait, as it is stored.
pub(super) fn bound_of(waited_seconds: u64) -> String {
    let mut bounds = WAIT_BOUNDS_MINUTES.into_iter();
    let bound = bounds.find(|minutes| waited_seconds <= u64::from(*minutes) * 60);
    bound.map_or_else(|| LONGER.to_owned(), |minutes| minutes.to_string())
}

impl Funnel {
    /// Returns the sum of the hours.
    pub fn sum(hours: &[FunnelHour]) -> Funnel {
        let mut sum = Funnel::default();
        for FunnelHour { funnel, .. } in hours {
            sum.admitted += funnel.admitted;
            sum.missed += funnel.missed;
            sum.came += funnel.came;
            sum.finished += funnel.finished;
            sum.ran_out += funnel.ran_out;
            sum.left += funnel.left;
            sum.ejected += funnel.ejected;
            sum.buyers += funnel.buyers;
            sum.waits.sum_seconds += funnel.waits.sum_seconds;
            for (count, own) in funnel.waits.counts.into_iter().enumerate() {
                sum.waits.add(count, own);
            }
        }
        sum
    }

    /// Adds a stored sum. One with a bound that another version counts is left out.
    pub(super) fn add(&mut self, figure: FunnelFigure, bound: &str, value: i64) {
        let count = match figure {
            FunnelFigure::Admitted => &mut self.admitted,
            FunnelFigure::Missed => &mut self.missed,
            FunnelFigure::Finished => {
                self.came += value;
                &mut self.finished
            }
            FunnelFigure::RanOut => {
                self.came += value;
                &mut self.ran_out
            }
            FunnelFigure::Left => &mut self.left,
            FunnelFigure::Ejected => &mut self.ejected,
            FunnelFigure::Buyers => &mut self.buyers,
            FunnelFigure::WaitedSeconds => &mut self.waits.sum_seconds,
            FunnelFigure::Waits => {
                let mut known = WAIT_BOUNDS_MINUTES.iter();
                let place = known.position(|minutes| minutes.to_string() == bound);
                let longer = (bound == LONGER).then_some(WAIT_COUNTS - 1);
                if let Some(place) = place.or(longer) {
                    self.waits.add(place, value);
                }
                return;
            }
        };
        *count += value;
    }
}

impl Waits {
    fn add(&mut self, place: usize, value: i64) {
        self.counts[place] += value;
        self.count += value;
        self.median_minutes = self.bound_within(5);
        self.p90_minutes = self.bound_within(9);
    }

    /// Returns the bound within which so many of ten were.
    fn bound_within(&self, of_ten: i64) -> Option<u32> {
        let mut within = 0;
        let mut bounds = WAIT_BOUNDS_MINUTES.into_iter().zip(self.counts);
        let found = bounds.find(|(_, count)| {
            within += count;
            self.count > 0 && within * 10 >= self.count * of_ten
        });
        found.map(|(minutes, _)| minutes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(all: &[u64]) -> Waits {
        let mut funnel = Funnel::default();
        for seconds in all {
            funnel.add(FunnelFigure::Waits, &bound_of(*seconds), 1);
        }
        funnel.waits
    }

    #[test]
    fn a_wait_counts_up_to_its_bound_and_one_beyond_the_last_counts_apart() {
        let counted = waits(&[0, 60, 61, 4 * 3600, 4 * 3600 + 1, 1_000_000]);
        assert_eq!(counted.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(counted.count, 6);
    }

    #[test]
    fn median_and_the_ninth_of_ten_are_bounds_or_unknown() {
        let told = |all: &[u64]| {
            let waits = waits(all);
            (waits.median_minutes, waits.p90_minutes)
        };
        assert_eq!(told(&[]), (None, None));
        assert_eq!(told(&[30]), (Some(1), Some(1)));
        assert_eq!(told(&[30, 400]), (Some(1), Some(10)));
        assert_eq!(told(&[30, 400, 400, 20_000]), (Some(10), None));
        let mut ten = [90; 10];
        ten[9] = 20_000;
        assert_eq!(told(&ten), (Some(2), Some(2)));
    }
}
