//! Invoices in SQLite: numbered as they are written, and read for an order.

use super::{Step, Store};
use crate::inventory::invoices::{Invoice, InvoiceKind, InvoiceRow, NewInvoice, shown};
use rusqlite::types::FromSqlError;
use rusqlite::{OptionalExtension as _, params};
use shared::ids::EventId;
use shared::time::Time;

impl Store {
    /// Issues a document with the next number of its series: one invoice for an order, and credit
    /// notes for one that has an invoice.
    pub(super) fn issue(&self, event: &str, order: &str, new: &NewInvoice) -> rusqlite::Result<()> {
        let known: Option<String> = self
            .db
            .prepare_cached(
                "select series from invoice where event = ?1 and order_id = ?2 and kind = 'invoice'",
            )?
            .query_row([event, order], |row| row.get(0))
            .optional()?;
        let (series, kind) = match (&new.series, &known) {
            (Some(series), None) => (series, InvoiceKind::Invoice),
            (None, Some(series)) => (series, InvoiceKind::CreditNote),
            _ => return Ok(()),
        };
        let is_credit = kind == InvoiceKind::CreditNote;
        let number: i32 = self
            .db
            .prepare_cached(
                "insert into invoice_series (series, invoices, credit_notes) values (?1, 1 - ?2, ?2)
                 on conflict (series) do update set invoices = invoices + excluded.invoices,
                     credit_notes = credit_notes + excluded.credit_notes
                 returning case ?2 when 1 then credit_notes else invoices end",
            )?
            .query_row(params![series, is_credit], |row| row.get(0))?;
        self.db
            .prepare_cached(
                "insert into invoice (event, order_id, kind, series, number, issued_at, content)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                event,
                order,
                kind.as_str(),
                series,
                number,
                new.issued_at.0,
                new.content
            ])?;
        Ok(())
    }

    pub(super) fn find_invoices(&self, event: &EventId, order: &str) -> Step<Vec<Invoice>> {
        let mut query = self.db.prepare_cached(
            "select kind, series, number, issued_at, content from invoice where event = ?1 and order_id = ?2",
        )?;
        let rows = query.query_map([event.as_str(), order], |row| {
            Ok(InvoiceRow {
                kind: InvoiceKind::named(&row.get::<_, String>(0)?),
                series: row.get(1)?,
                tag: String::new(),
                number: row.get(2)?,
                issued_at: Time(row.get(3)?),
                content: row.get(4)?,
            })
        })?;
        let rows: Vec<InvoiceRow> = rows.collect::<rusqlite::Result<_>>()?;
        Ok(Ok(shown(rows).map_err(FromSqlError::other)?))
    }
}
