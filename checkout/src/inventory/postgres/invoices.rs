//! Invoices in Postgres, read for an order. `fairline.apply` numbers them.

use super::Postgres;
use super::database::QueryError;
use crate::inventory::invoices::{Invoice, InvoiceKind, InvoiceRow, shown};
use crate::inventory::model::*;
use shared::ids::EventId;
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};

impl Postgres {
    pub(super) async fn find_invoices(
        &self,
        event: &EventId,
        order: &str,
    ) -> Result<Vec<Invoice>, Refused> {
        let shard = self.shard_of(event).await?;
        let select = "select kind, series, tag, number, issued_at, content from fairline.invoice
            where event = $1 and order_id = $2";
        let select = query(select).bind(event.as_str()).bind(order);
        let rows = shard.lister.fetch(select).await?;
        let read = |row: &PgRow| InvoiceRow {
            kind: InvoiceKind::named(row.get(0)),
            series: row.get(1),
            tag: row.get(2),
            number: row.get(3),
            issued_at: Time(row.get(4)),
            content: row.get(5),
        };
        let shown = shown(rows.iter().map(read).collect());
        Ok(shown.map_err(|error| QueryError::Rejected(error.to_string()))?)
    }
}
