//! Invoices of orders that are confirmed, and credit notes for what is given back.

use super::{UnitOfWork, json};
use crate::inventory::charges::{self, ChargeLine, ticket_lines};
use crate::inventory::invoices::{DocumentContent, NewInvoice};
use crate::inventory::model::*;
use crate::inventory::payment_row::DifferenceRow;
use crate::inventory::price_line::{LineKind, PriceLine};
use crate::inventory::records::{OrderRow, RefundRow};

impl UnitOfWork<'_> {
    /// Issues the invoice of an order that is confirmed now, with the change of its payment.
    pub(super) fn invoice(&mut self, id: &str) {
        let Some(issuer) = self.event_state.rules.invoicing.clone() else {
            return;
        };
        let order = self.order_row(id);
        let (payment, lines, seats) = (
            order.payment().id.clone(),
            order.lines.clone(),
            order.seats.clone(),
        );
        let total = order.total;
        let content = DocumentContent {
            lines: self.event_state.lines(&lines, &seats, total.currency),
            total,
            issuer: Some(issuer.clone()),
        };
        self.issue(&payment, Some(issuer.series), &content);
    }

    /// Issues the credit note of an order for an amount that has gone back, for seats that it had.
    /// Money of another attempt than the one that paid the order was never invoiced.
    pub(super) fn credit(&mut self, id: &str, payment: &str, seats: &[u32], amount: i64) {
        let Some(order) = self.records.order(id) else {
            return;
        };
        if order.payment().id != payment {
            return;
        }
        let amount = creditable(order, amount);
        let currency = order.total.currency;
        let lines = self.credited(order, seats, amount);
        let content = DocumentContent {
            lines: lines.iter().map(|line| line.show(currency)).collect(),
            total: Money { amount, currency },
            issuer: None,
        };
        self.issue(payment, None, &content);
    }

    /// Issues the credit note of an order for differences in price that have gone back.
    pub(super) fn credit_differences(&mut self, id: &str, payment: &str, part: &RefundRow) {
        let Some(order) = self.records.order(id) else {
            return;
        };
        let currency = order.total.currency;
        let line = |difference: &DifferenceRow| {
            let mut seats = order.seats.iter();
            let seat = seats.find(|seat| *seat.id == *difference.seat);
            let label = seat.map_or(&*difference.seat, |seat| &*seat.label);
            let unit = Money {
                amount: difference.amount,
                currency,
            };
            PriceLine {
                kind: LineKind::Ticket,
                name: format!("Difference in price, {label}"),
                category: None,
                ticket_type: None,
                quantity: 1,
                unit,
                amount: unit,
                included: false,
            }
        };
        let amount = creditable(order, part.amount);
        let lines = part.differences.iter().filter(|_| amount == part.amount);
        let content = DocumentContent {
            lines: lines.map(line).collect(),
            total: Money { amount, currency },
            issuer: None,
        };
        self.issue(payment, None, &content);
    }

    /// Returns the lines of what these seats bear, with those of the order if the amount says so;
    /// none if the amount is another.
    fn credited(&self, order: &OrderRow, seats: &[u32], amount: i64) -> Vec<ChargeLine> {
        let plan = self.event_state.plan.as_ref();
        let place = |seat: &SeatPrice| plan.and_then(|plan| plan.layout.find(&seat.id));
        let own = order.seats.iter();
        let own = own.filter(|seat| place(seat).is_some_and(|place| seats.contains(&place)));
        let own: Vec<SeatPrice> = own.cloned().collect();
        let name = |id: &str| self.event_state.category_name(id);
        let Some(lines) = &order.lines else {
            let mut lines = ticket_lines(&own, name);
            lines.retain(|_| charges::total(&ticket_lines(&own, name)) == amount);
            return lines;
        };
        let mut credited: Vec<ChargeLine> = lines
            .iter()
            .filter_map(|line| {
                let quantity = own.iter().filter(|seat| line.is_for(seat)).count() as u32;
                (quantity > 0).then(|| ChargeLine {
                    quantity,
                    ..line.clone()
                })
            })
            .collect();
        if charges::total(&credited) != amount {
            let of_order = lines.iter().filter(|line| line.category.is_none());
            credited.extend(of_order.cloned());
            credited.sort_by_key(|line| (line.kind, line.included));
        }
        if charges::total(&credited) != amount {
            credited.clear();
        }
        credited
    }

    /// Adds a document to the change of a payment.
    fn issue(&mut self, payment: &str, series: Option<String>, content: &DocumentContent) {
        let issued_at = self.now;
        let mut changes = self.changes.payments.iter_mut();
        let change = changes.find(|change| change.to.id == payment);
        if let Some(change) = change.filter(|_| content.total.amount > 0) {
            change.invoice = Some(Box::new(NewInvoice {
                series,
                issued_at,
                content: json(content),
            }));
        }
    }
}

/// Returns how much of money that has gone back is credited: not what was credited before, because it
/// was both refunded and charged back. The payment has it among what went back.
fn creditable(order: &OrderRow, amount: i64) -> i64 {
    let row = order.payment();
    let beyond = row.refunded + row.credited_for_disputes() - row.amount.amount;
    (amount - beyond.max(0)).max(0)
}
