//! Admission to the checkout: the batch that is due, and the slots of admitted visitors until they
//! are done.

use super::state::State;
use super::throughput::Rates;
use super::{Claimed, REPORT_SECONDS_MAX, Slot, VisitorState};
use shared::ids::VisitorId;
use shared::line_log::{AdmissionEnd, LineDecision};
use shared::time::Time;

/// Admission credit of one fan. Credit is counted as (fans per minute) × milliseconds, so that no
/// rate is rounded.
const CREDIT_PER_FAN: u64 = 60_000;
/// Age at which a report counts as stale; also one that the clock, set back since, has yet to reach.
const REPORT_MS_MAX: u64 = REPORT_SECONDS_MAX as u64 * 1000;

impl State {
    /// Admits the batch that is due, if any.
    pub(super) fn admit_due(&mut self, now: Time) {
        let policy = self.settings.admission;
        let batch_ms = i64::from(policy.batch_seconds) * 1000;
        if self.memory.last_batch_at > now {
            // The clock was set back: the next batch is due a full span from now.
            self.memory.last_batch_at = now;
            self.has_new_memory = true;
        }
        let since = now.0 - self.memory.last_batch_at.0;
        if since < batch_ms || policy.rate_per_minute == 0 {
            return;
        }
        let rate = u64::from(policy.rate_per_minute);
        // However long the last admission is ago, at most one batch is due: credit is not saved up.
        // If the rate is below one fan per batch, the span is the time that one fan takes.
        let span_ms = (since as u64).min((batch_ms as u64).max(CREDIT_PER_FAN.div_ceil(rate)));
        let credit = self.memory.credit % CREDIT_PER_FAN + rate * span_ms;
        let due = (credit / CREDIT_PER_FAN).min(self.room(now));
        let mut admitted = 0;
        while admitted < due {
            let Some(number) = self.alive.first() else {
                break;
            };
            self.admit(number, now);
            admitted += 1;
        }
        if admitted > 0 {
            self.memory.last_batch_at = now;
            self.memory.credit = credit % CREDIT_PER_FAN;
            self.has_new_memory = true;
            self.count(
                now,
                Rates {
                    admitted,
                    ..Rates::default()
                },
            );
        }
    }

    /// Returns how many more visitors may be admitted, by `max_active` and by the available seats.
    /// A checkout that has not reported for [`REPORT_SECONDS_MAX`] counts as down.
    pub(super) fn room(&self, now: Time) -> u64 {
        let seats = match self.memory.availability {
            None => u64::MAX,
            Some((_, at)) if now.0.abs_diff(at.0) > REPORT_MS_MAX => 0,
            Some((seats, _)) => u64::from(seats.available),
        };
        let most = seats.min(u64::from(self.settings.admission.max_active));
        most.saturating_sub(self.admitted + self.shopping)
    }

    /// Returns the number of available seats, if a checkout reports it.
    pub(super) fn seats_available(&self) -> Option<u64> {
        let (seats, _) = self.memory.availability?;
        Some(u64::from(seats.available))
    }

    fn admit(&mut self, number: u64, now: Time) {
        let policy = self.settings.admission;
        let admitted_at = self.hearing.line_time(now);
        let claim_by = admitted_at.plus_seconds(policy.claim_seconds);
        let slot = Slot {
            admitted_at,
            claim_by,
            expires_at: claim_by.plus_seconds(policy.session_seconds),
        };
        self.stop_waiting(number);
        let entry = &mut self.entries[number as usize - 1];
        let waited_ms = (now.0 - entry.joined_at.0).max(0);
        entry.standing = VisitorState::Admitted;
        entry.slot = Some(slot);
        self.admitted += 1;
        self.lapses.insert((claim_by, number));
        self.changed.insert(number);
        let visitor = entry.visitor;
        self.flow.waited(waited_ms);
        let decision = LineDecision::Admitted {
            visitor,
            number,
            admitted_at: now,
            claim_by: self.hearing.clock_time(claim_by),
            waited_seconds: Some(waited_ms as u64 / 1000),
        };
        self.decided.push((now, decision));
    }

    /// Notes for the log how the admission of a visitor ended; one who waits has none.
    pub(super) fn decide_end(&mut self, number: u64, end: VisitorState, now: Time) {
        let entry = self.entries[number as usize - 1];
        if !entry.standing.is_inside() {
            return;
        }
        let visitor = entry.visitor;
        let how = match end {
            VisitorState::Missed if entry.standing == VisitorState::Admitted => None,
            VisitorState::Missed => Some(AdmissionEnd::Expired),
            VisitorState::Left => Some(AdmissionEnd::Left),
            VisitorState::Ejected => Some(AdmissionEnd::Ejected),
            _ => Some(AdmissionEnd::Finished),
        };
        let decision = match how {
            None => LineDecision::Missed { visitor, number },
            Some(how) => LineDecision::Finished {
                visitor,
                number,
                how,
            },
        };
        self.decided.push((now, decision));
    }

    /// Claims the visitor's slot until it expires. The number refuses a token of an earlier place
    /// of the same visitor.
    pub(super) fn claim(&mut self, visitor: VisitorId, number: u64, now: Time) -> Claimed {
        let Some(entry) = self
            .entry_of(number)
            .copied()
            .filter(|entry| entry.visitor == visitor)
        else {
            return Claimed::Lapsed;
        };
        let hearing = self.hearing;
        let line_now = hearing.line_time(now);
        match (entry.standing, entry.slot) {
            (VisitorState::Shopping, Some(slot)) if slot.expires_at > line_now => {
                Claimed::Until(hearing.clock_time(slot.expires_at))
            }
            (VisitorState::Admitted, Some(slot)) if slot.claim_by > line_now => {
                self.lapses.remove(&(slot.claim_by, number));
                self.lapses.insert((slot.expires_at, number));
                self.admitted -= 1;
                self.shopping += 1;
                self.entries[number as usize - 1].standing = VisitorState::Shopping;
                self.changed.insert(number);
                Claimed::Until(hearing.clock_time(slot.expires_at))
            }
            _ => Claimed::Lapsed,
        }
    }

    /// Claims the visitor's slot, and lets it last until this time of the clock if it would end before.
    pub(super) fn extend(
        &mut self,
        visitor: VisitorId,
        number: u64,
        until: Time,
        now: Time,
    ) -> Claimed {
        if self.claim(visitor, number, now) == Claimed::Lapsed {
            return Claimed::Lapsed;
        }
        let hearing = self.hearing;
        let until = hearing.line_time(until);
        let Some(slot) = self.entries[number as usize - 1].slot.as_mut() else {
            return Claimed::Lapsed;
        };
        if slot.expires_at < until {
            self.lapses.remove(&(slot.expires_at, number));
            self.lapses.insert((until, number));
            slot.expires_at = until;
            self.changed.insert(number);
        }
        Claimed::Until(hearing.clock_time(slot.expires_at))
    }

    /// Finishes an admitted or shopping visitor; all others finished before or never will.
    pub(super) fn finish(&mut self, visitor: VisitorId, number: u64, now: Time) {
        let inside = self.entry_of(number).is_some_and(|entry| {
            let inside = matches!(
                entry.standing,
                VisitorState::Admitted | VisitorState::Shopping
            );
            entry.visitor == visitor && inside
        });
        if inside {
            self.settle(number, VisitorState::Finished, now);
        }
    }
}
