//! Commands on disputes of payments.

use super::UnitOfWork;
use crate::inventory::dispute::DisputeRow;
use crate::inventory::model::*;
use crate::inventory::records::{OrderRow, PaymentRow};
use shared::time::Time;

impl UnitOfWork<'_> {
    /// Records a dispute as the provider tells it. One that is open or lost needs a look. Returns
    /// whether anything is new.
    pub(in crate::inventory) fn disputed(
        &mut self,
        payment: &PaymentRef,
        report: &DisputeReport,
    ) -> Result<bool, Refused> {
        let id = &payment.order;
        let row = self.payment_row(id, &payment.id);
        let row = row.ok_or(Refused::NoSuchPayment)?;
        let known = row
            .disputes
            .iter()
            .find(|known| known.report.id == report.id);
        let is_news = known.is_none_or(|known| {
            // A webhook sent before the end may arrive after it.
            let is_late =
                report.state == DisputeState::Open && known.report.state != DisputeState::Open;
            known.report != *report && !is_late
        });
        if !is_news {
            return Ok(false);
        }
        let before = known.map(|known| known.report.state);
        let now = self.now;
        self.change_payment(id, &payment.id, |row| {
            let detail = row.hear_of(report, now).detail();
            row.note(now, Some(detail));
        });
        if before != Some(report.state) {
            self.review_dispute(id, &payment.id);
        }
        Ok(true)
    }

    /// Marks that a person has to look at a payment for its disputes, unless it is looked at for
    /// something else; ends that once none is open or lost.
    fn review_dispute(&mut self, order: &str, payment: &str) {
        let Some(row) = self.payment_row(order, payment) else {
            return;
        };
        let of_dispute = |reason: ReviewReason| reason == ReviewReason::Disputed;
        let reason = row.review.as_ref().map(|review| review.reason);
        match row.pressing_dispute().map(DisputeRow::detail) {
            Some(why) if reason.is_none_or(of_dispute) && row.outside.is_none() => {
                self.review(order, payment, ReviewReason::Disputed, why);
            }
            None if reason.is_some_and(of_dispute) => {
                self.change_payment(order, payment, |row| row.review = None);
            }
            _ => {}
        }
    }

    /// Has a payment looked at for a dispute that came while it was looked at for something else.
    pub(super) fn review_dispute_after(&mut self, order: &str, payment: &str, was: ReviewReason) {
        let row = self.payment_row(order, payment);
        if was != ReviewReason::Disputed && row.is_some_and(|row| row.review.is_none()) {
            self.review_dispute(order, payment);
        }
    }

    /// Makes tickets void whose payment is disputed, and frees their seats: these, or all if none
    /// are named. Their price is no loss then.
    pub(super) fn take_back_disputed(
        &mut self,
        id: &str,
        payment: &str,
        seats: &[String],
    ) -> Result<(), Refused> {
        let order = self.records.order(id).ok_or(Refused::NoSuchOrder)?;
        let part = match seats {
            [] => None,
            seats => self.part(order, seats)?,
        };
        let worth = match &part {
            Some(part) => self.worth(order, &part.seats)?,
            None => {
                let row = order.payment();
                let taken_back: i64 = row.disputes.iter().map(|one| one.taken_back).sum();
                row.amount.amount - row.refunded - taken_back
            }
        };
        self.change_payment(id, payment, |row| row.take_back(worth));
        match part {
            Some(part) => {
                self.credit(id, payment, &part.seats, worth);
                self.void_tickets(id, &part.seats);
            }
            None => {
                self.credit_rest(id, payment, worth);
                self.refunded_whole(id);
            }
        }
        Ok(())
    }

    /// Returns the price of seats of an order, with the fees and taxes of their tickets.
    fn worth(&self, order: &OrderRow, places: &[u32]) -> Result<i64, Refused> {
        let layout = &self.plan()?.layout;
        let own = order.seats.iter();
        let own = own.filter(|seat| {
            layout
                .find(&seat.id)
                .is_some_and(|place| places.contains(&place))
        });
        Ok(own.map(|seat| order.worth(seat)).sum())
    }
}

impl PaymentRow {
    /// Enters a dispute, or what is new of it.
    fn hear_of(&mut self, report: &DisputeReport, now: Time) -> &DisputeRow {
        let mut known = self.disputes.iter();
        let at = known.position(|known| known.report.id == report.id);
        let at = at.unwrap_or_else(|| {
            self.disputes.push(DisputeRow {
                report: report.clone(),
                since: now,
                taken_back: 0,
            });
            self.disputes.len() - 1
        });
        self.disputes[at].report = report.clone();
        &self.disputes[at]
    }

    /// Has the seats of an order, which are all free now, count as taken back for what was charged
    /// back.
    pub(super) fn end_disputes(&mut self) {
        for dispute in &mut self.disputes {
            dispute.taken_back = dispute.charged_back();
        }
    }

    /// Notes the price of seats that were taken back, with the dispute that is to be looked at.
    pub(super) fn take_back(&mut self, worth: i64) {
        let mut newest = self.disputes.iter_mut().rev();
        if let Some(dispute) = newest.find(|dispute| dispute.is_pressing()) {
            dispute.taken_back += worth;
        }
    }
}
