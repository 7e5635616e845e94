//! Commands on disputes of payments.

use super::UnitOfWork;
use crate::inventory::dispute::DisputeRow;
use crate::inventory::model::*;
use crate::inventory::records::{OrderRow, PaymentRow};
use shared::time::Time;

impl UnitOfWork<'_> {
    /// Records a dispute as the provider tells it. One that is open or lost needs a look. `end` is the
    /// end of it that the books had before the provider was asked.
    pub(in crate::inventory) fn disputed(
        &mut self,
        payment: &PaymentRef,
        report: &DisputeReport,
        end: Option<&DisputeReport>,
    ) -> Result<HeardDispute, Refused> {
        let id = &payment.order;
        let row = self.payment_row(id, &payment.id);
        let row = row.ok_or(Refused::NoSuchPayment)?;
        let known = row
            .disputes
            .iter()
            .find(|known| known.report.id == report.id);
        if let Some(known) = known.map(|known| &known.report) {
            let is_open_again =
                report.state == DisputeState::Open && known.state != DisputeState::Open;
            if is_open_again && end != Some(known) {
                return Ok(HeardDispute::Ended(known.clone()));
            }
            if known == report {
                return Ok(HeardDispute::Known);
            }
        }
        let before = known.map(|known| known.report.state);
        let now = self.now;
        self.change_payment(id, &payment.id, |row| {
            let currency = row.amount.currency;
            let detail = row.hear_of(report, now).detail(currency);
            row.note(now, Some(detail));
        });
        self.credit_charge_back(id, &payment.id, &report.id);
        if before != Some(report.state) {
            self.review_dispute(id, &payment.id);
        }
        Ok(HeardDispute::New)
    }

    /// Issues the credit note for the money that went back for a dispute, as far as none was issued
    /// before. Credit notes follow the money, so that there is none for a dispute that is open or won.
    fn credit_charge_back(&mut self, order: &str, payment: &str, dispute: &str) {
        let mut amount = 0;
        self.change_payment(order, payment, |row| {
            let most = row.amount.amount - row.refunded - row.credited_for_disputes();
            let currency = row.amount.currency;
            let mut known = row.disputes.iter_mut();
            if let Some(known) = known.find(|known| known.report.id == dispute) {
                amount = (known.charged_back(currency) - known.credited).clamp(0, most.max(0));
                known.credited += amount;
            }
        });
        if amount > 0 {
            self.credit_rest(order, payment, amount);
        }
    }

    /// Marks that a person has to look at a payment for its disputes, unless it is looked at for
    /// something else; ends that once none is open or lost.
    pub(super) fn review_dispute(&mut self, order: &str, payment: &str) {
        let Some(row) = self.payment_row(order, payment) else {
            return;
        };
        let of_dispute = |reason: ReviewReason| reason == ReviewReason::Disputed;
        let reason = row.review.as_ref().map(|review| review.reason);
        let currency = row.amount.currency;
        let pressing = row.charged_back_elsewise().or(row.pressing_dispute());
        match pressing.map(|dispute| dispute.detail(currency)) {
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
            Some(part) => self.void_tickets(id, &part.seats),
            None => self.refunded_whole(id),
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
                credited: 0,
            });
            self.disputes.len() - 1
        });
        self.disputes[at].report = report.clone();
        &self.disputes[at]
    }

    /// Has the seats of an order, which are all free now, count as taken back for what was charged
    /// back, as far as their money was not refunded. `kept` are its fees that are kept.
    pub(super) fn end_disputes(&mut self, kept: i64) {
        let currency = self.amount.currency;
        let mut rest = (self.amount.amount - self.refunded - kept).max(0);
        for dispute in &mut self.disputes {
            dispute.taken_back = dispute.charged_back(currency).min(rest);
            rest -= dispute.taken_back;
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
