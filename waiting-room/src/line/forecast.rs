//! The wait that fans are told: a range, or none and why.
//!
//! Who finds room inside is let in at the rate of the organiser. Who is behind them waits for slots
//! to come free, which is measured: how many did for each second that a slot was taken. What is told
//! from that changes only when it must, so that a range does not rise by chance.

use super::admission_settings::Admission;
use super::throughput::Rates;
use serde::Serialize;
use shared::time::Time;
use std::collections::VecDeque;

/// Time between two samples, and time for which they are kept.
const SAMPLE_SECONDS: i64 = 2;
const WINDOW_SECONDS: i64 = 600;
/// The recent past, which tells of changes.
const RECENT_SECONDS: i64 = 60;
/// Least number of slots that came free before anything is told from it.
const FREED_MIN: f64 = 5.0;
/// Number of usual intervals between free slots, and least seconds, after which none comes free any
/// more.
const STALL_INTERVALS: f64 = 5.0;
const STALL_SECONDS_MIN: f64 = 30.0;
/// Longest time between two ticks without sockets, in seconds: a batch may be late by as much.
const TICK_SECONDS: f64 = 0.5;
/// Deviations within which a range is told.
const DEVIATIONS: f64 = 1.4;
/// Change of a measured pace that is told when it is an improvement, and when it is not.
const IMPROVED: f64 = 1.2;
const WORSENED: f64 = 0.6;
/// Largest share of those ahead who are expected to go without a turn because they are away.
const AWAY_SHARE_MAX: f64 = 0.25;
/// Time for which the reason of a longer wait is told.
const REASON_SECONDS: i64 = 600;

/// Reason for telling no wait, or a longer one than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// No wait is told: it is not known yet how fast the line moves.
    Measuring,
    /// No wait is told: the organiser lets no one in at the moment.
    Stopped,
    /// No wait is told: everything inside is taken, and no slot comes free.
    Full,
    /// No wait is told: the line was interrupted and goes on in a moment.
    Recovering,
    /// The wait is longer because the organiser lets in fewer than before.
    Lowered,
    /// The wait is longer because those inside take longer than before.
    Slower,
}

/// State of a line that waits are told from.
pub(super) struct Observation {
    /// In the line's time.
    pub(super) at: Time,
    /// Whether the sale is open and fans may be admitted.
    pub(super) is_open: bool,
    /// The line is being recovered after a loss.
    pub(super) is_recovering: bool,
    pub(super) admission: Admission,
    pub(super) waiting: u64,
    pub(super) away: u64,
    /// Admitted and shopping.
    pub(super) inside: u64,
    /// How many more may be admitted.
    pub(super) room: u64,
    /// Available seats, if a checkout reports them.
    pub(super) seats: Option<u64>,
    pub(super) total: Rates,
}

/// Totals at one time.
#[derive(Clone, Copy, Default)]
struct Sample {
    second: i64,
    admitted: u64,
    /// Slots that came free.
    freed: u64,
    /// Visitors who left the line without a turn.
    gone: u64,
    /// Seconds that slots were taken, and that visitors waited, all of them together.
    slot_seconds: f64,
    waiting_seconds: f64,
}

/// Slots that come free in each second that a slot is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Freeing {
    slow: f64,
    fast: f64,
}

/// Observes a line and tells waits.
#[derive(Default)]
pub(super) struct Forecaster {
    samples: VecDeque<Sample>,
    /// Sums up to the last observation.
    sums: Sample,
    last: Option<Observation>,
    /// Whether a visitor was admitted since the sale opened or went on.
    is_measured: bool,
    freed_at: i64,
    told: Option<Freeing>,
    reason: Option<(WaitReason, i64)>,
}

/// The waits that are told at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Why no wait is told.
    silence: Option<WaitReason>,
    /// Why waits are longer than before.
    reason: Option<WaitReason>,
    per_second: f64,
    batch_seconds: f64,
    room: u64,
    /// Slots that come free a second; none if it is not known.
    freeing: Option<Freeing>,
    /// Share of those waiting who leave in a second, and share who are away.
    leaving: f64,
    away: f64,
}

/// A wait as told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The range in seconds; none if it is not known.
    pub range: Option<(u32, u32)>,
    /// Why there is none, or why it is longer than before.
    pub reason: Option<WaitReason>,
}

impl Forecast {
    /// Returns a forecast that tells nothing.
    pub(super) fn silent(why: WaitReason) -> Forecast {
        Forecast {
            silence: Some(why),
            reason: None,
            per_second: 0.0,
            batch_seconds: 0.0,
            room: 0,
            freeing: None,
            leaving: 0.0,
            away: 0.0,
        }
    }

    /// Returns the wait of a visitor with `ahead` visitors before them.
    pub fn wait(&self, ahead: u64) -> Wait {
        let range = self.range(ahead);
        let reason = match range {
            Some(_) => self.reason,
            None => Some(self.silence.unwrap_or(WaitReason::Full)),
        };
        Wait { range, reason }
    }

    fn range(&self, ahead: u64) -> Option<(u32, u32)> {
        if self.silence.is_some() {
            return None;
        }
        let people = ahead as f64 + 1.0;
        let grain = self.batch_seconds.max(1.0 / self.per_second);
        // Late ticks cost a part of a batch each.
        let slowest = self.per_second * grain / (grain + TICK_SECONDS);
        let mut low = self.with_leavers(people, self.per_second) - grain;
        let mut high = people / slowest * 1.05 + grain + 1.0;
        let behind = people - self.room as f64;
        if behind > 0.0 {
            let Freeing { slow, fast } = self.freeing?;
            let chance = DEVIATIONS * behind.sqrt();
            let earliest = self.with_leavers((behind - chance).max(0.0), fast);
            low = low.max(earliest - grain);
            high = high.max((behind + chance) / slow + grain + 1.0);
        }
        low *= 1.0 - self.away.min(AWAY_SHARE_MAX);
        Some((low.max(0.0) as u32, high.ceil() as u32))
    }

    /// Returns the seconds in which so many visitors are through, with those who leave meanwhile.
    fn with_leavers(&self, people: f64, per_second: f64) -> f64 {
        let leaving = 1.5 * self.leaving;
        if leaving * people < 0.01 * per_second {
            return people / per_second;
        }
        (leaving * people / per_second).ln_1p() / leaving
    }
}

impl Forecaster {
    /// Takes an observation and returns what is told from now on.
    pub(super) fn observe(&mut self, seen: Observation) -> Forecast {
        self.follow(&seen);
        let forecast = self.forecast(&seen);
        self.last = Some(seen);
        forecast
    }

    /// Updates the sums and the samples.
    fn follow(&mut self, seen: &Observation) {
        let second = seen.at.seconds();
        let total = &seen.total;
        let new = Sample {
            second,
            admitted: total.admitted,
            freed: total.admitted.saturating_sub(seen.inside),
            gone: total.joined.saturating_sub(total.admitted + seen.waiting),
            ..self.sums
        };
        let is_same_line = self.last.as_ref().is_some_and(|last| {
            last.total.admitted <= total.admitted
                && last.total.joined <= total.joined
                && last.at <= seen.at
        });
        if !is_same_line || !seen.is_open || seen.admission.rate_per_minute == 0 {
            // Nothing moved, or the store has lost the totals.
            *self = Forecaster {
                sums: new,
                reason: self.reason.filter(|_| is_same_line),
                last: self.last.take(),
                freed_at: second,
                ..Forecaster::default()
            };
        } else if let Some(last) = &self.last {
            let passed = (seen.at.0 - last.at.0) as f64 / 1000.0;
            self.is_measured |= new.admitted > self.sums.admitted;
            if new.freed > self.sums.freed {
                self.freed_at = second;
            }
            self.sums = Sample {
                slot_seconds: self.sums.slot_seconds + passed * last.inside as f64,
                waiting_seconds: self.sums.waiting_seconds + passed * last.waiting as f64,
                ..new
            };
        }
        let newest = self.samples.back().map(|sample| sample.second);
        if newest.is_none_or(|newest| newest + SAMPLE_SECONDS <= second) {
            self.samples.push_back(self.sums);
        }
        let is_old = |sample: &Sample| sample.second < second - WINDOW_SECONDS;
        while self.samples.front().is_some_and(is_old) {
            self.samples.pop_front();
        }
        self.note_lowered(seen);
    }

    /// Notes that the organiser lets in fewer than before, which makes waits longer.
    fn note_lowered(&mut self, seen: &Observation) {
        let second = seen.at.seconds();
        if let Some(last) = &self.last {
            let (before, after) = (&last.admission, &seen.admission);
            let is_lowered = after.rate_per_minute < before.rate_per_minute
                || after.max_active < before.max_active
                || after.batch_seconds > before.batch_seconds;
            let is_raised = after.rate_per_minute > before.rate_per_minute
                || after.max_active > before.max_active;
            if is_lowered {
                self.reason = Some((WaitReason::Lowered, second));
            } else if is_raised {
                self.reason = None;
            }
        }
        self.reason = self
            .reason
            .filter(|(_, since)| second - since < REASON_SECONDS);
    }

    fn forecast(&mut self, seen: &Observation) -> Forecast {
        let admission = &seen.admission;
        let silence = if seen.is_recovering {
            Some(WaitReason::Recovering)
        } else if seen.is_open && (admission.rate_per_minute == 0 || admission.max_active == 0) {
            Some(WaitReason::Stopped)
        } else if !self.is_measured {
            Some(WaitReason::Measuring)
        } else {
            None
        };
        if let Some(why) = silence {
            return Forecast::silent(if why == WaitReason::Measuring && seen.room == 0 {
                WaitReason::Full
            } else {
                why
            });
        }
        self.update_told(seen);
        let slots = f64::from(admission.max_active);
        // Once seats run out, admission depends on what the visitors inside buy.
        let is_short = seen
            .seats
            .is_some_and(|seats| seats < u64::from(admission.max_active));
        let freeing = self.told.filter(|_| !is_short).map(|told| Freeing {
            slow: told.slow * slots,
            fast: told.fast * slots,
        });
        let waiting = self.since(WINDOW_SECONDS).waiting_seconds;
        Forecast {
            silence: None,
            reason: self.reason.map(|(why, _)| why),
            per_second: f64::from(admission.rate_per_minute) / 60.0,
            batch_seconds: f64::from(admission.batch_seconds),
            room: seen.room,
            freeing,
            leaving: if waiting > 0.0 {
                self.since(WINDOW_SECONDS).gone as f64 / waiting
            } else {
                0.0
            },
            away: seen.away as f64 / seen.waiting.max(1) as f64,
        }
    }

    /// Returns what happened in the last `seconds`.
    fn since(&self, seconds: i64) -> Sample {
        let from = self.sums.second - seconds;
        let mut samples = self.samples.iter();
        let first = samples.find(|sample| sample.second >= from);
        let first = first.copied().unwrap_or(self.sums);
        Sample {
            second: self.sums.second - first.second,
            admitted: self.sums.admitted - first.admitted,
            freed: self.sums.freed.saturating_sub(first.freed),
            gone: self.sums.gone.saturating_sub(first.gone),
            slot_seconds: self.sums.slot_seconds - first.slot_seconds,
            waiting_seconds: self.sums.waiting_seconds - first.waiting_seconds,
        }
    }

    /// Returns how fast slots come free by what was measured; none if that is not known, or none
    /// does any more.
    fn measured(&self, seen: &Observation) -> Option<Freeing> {
        let all = self.since(WINDOW_SECONDS);
        let freed = all.freed as f64;
        if freed < FREED_MIN || all.slot_seconds <= 0.0 {
            return None;
        }
        let interval = all.second as f64 / freed;
        let silent = (self.sums.second - self.freed_at) as f64;
        if seen.room == 0 && silent > (STALL_INTERVALS * interval).max(STALL_SECONDS_MIN) {
            return None;
        }
        let bounds = |of: Sample| {
            let freed = of.freed as f64;
            let spread = DEVIATIONS * freed.max(1.0).sqrt();
            let least = (freed - spread).max(freed / 3.0);
            (least / of.slot_seconds, (freed + spread) / of.slot_seconds)
        };
        let (slow, fast) = bounds(all);
        let recent = self.since(RECENT_SECONDS);
        if (recent.freed as f64) < FREED_MIN {
            return Some(Freeing { slow, fast });
        }
        let (recent_slow, recent_fast) = bounds(recent);
        Some(Freeing {
            slow: slow.min(recent_slow),
            fast: fast.max(recent_fast),
        })
    }

    /// Takes the measured pace over if it differs enough from the told one.
    fn update_told(&mut self, seen: &Observation) {
        let (told, measured) = (self.told, self.measured(seen));
        let (Some(told), Some(measured)) = (told, measured) else {
            self.told = measured;
            return;
        };
        let mut next = told;
        if measured.slow > told.slow * IMPROVED {
            next.slow = measured.slow;
            self.reason = self.reason.filter(|(why, _)| *why != WaitReason::Slower);
        } else if measured.slow < told.slow * WORSENED {
            next.slow = measured.slow;
            self.reason = Some((WaitReason::Slower, seen.at.seconds()));
        }
        if measured.fast > told.fast * IMPROVED || measured.fast < told.fast * WORSENED {
            next.fast = measured.fast;
        }
        next.fast = next.fast.max(next.slow);
        self.told = Some(next);
    }
}
