//! Invoices, and the credit notes that cancel them: numbered without gaps, and never changed.

use super::money::Money;
use super::price_line::PriceLine;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use shared::plain_text::{disturbs_text, has_visible};
use shared::time::Time;
use utoipa::ToSchema;

const SELLER_CHARS_MAX: usize = 500;
const SELLER_LINES_MAX: usize = 10;
const TAX_ID_CHARS_MAX: usize = 100;
const SERIES_CHARS_MAX: usize = 20;

/// Issuer of the invoices of an event, and the series of their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invoicing {
    /// Name and address of the seller, as invoices say them: up to 10 lines.
    #[schema(min_length = 1, max_length = 500)]
    pub seller: String,
    /// Tax number of the seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100)]
    pub tax_id: Option<String>,
    /// Series of numbers, 1 to 20 capital letters and digits. Events with the same one share it.
    #[schema(pattern = "^[A-Z0-9]{1,20}$")]
    pub series: String,
}

impl Invoicing {
    /// Returns the invalid fields, each with a reason.
    pub(super) fn mistakes(&self) -> Vec<(String, String)> {
        let is_text = |text: &str, chars_max: usize| {
            text.chars().count() <= chars_max
                && has_visible(text)
                && !text.chars().any(|c| disturbs_text(c) && c != '\n')
        };
        let is_seller = is_text(&self.seller, SELLER_CHARS_MAX)
            && self.seller.lines().count() <= SELLER_LINES_MAX;
        let is_tax_id = |id: &String| is_text(id, TAX_ID_CHARS_MAX) && !id.contains('\n');
        let is_series = (1..=SERIES_CHARS_MAX).contains(&self.series.len())
            && self
                .series
                .bytes()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        let checks = [
            (
                is_seller,
                "seller",
                "1 to 500 characters on up to 10 lines, of which some can be seen",
            ),
            (
                self.tax_id.as_ref().is_none_or(is_tax_id),
                "tax_id",
                "1 to 100 characters on one line, of which some can be seen",
            ),
            (is_series, "series", "1 to 20 capital letters and digits"),
        ];
        let wrong = checks.into_iter().filter(|(is_fine, ..)| !is_fine);
        wrong
            .map(|(_, field, why)| (format!("invoicing.{field}"), why.to_owned()))
            .collect()
    }
}

/// Kind of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceKind {
    /// For an order that was paid.
    Invoice,
    /// Cancels an invoice, or a part of it.
    CreditNote,
}

impl InvoiceKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            InvoiceKind::Invoice => "invoice",
            InvoiceKind::CreditNote => "credit_note",
        }
    }

    /// Returns the kind with this name; a credit note for any other than an invoice.
    pub(super) fn named(name: &str) -> InvoiceKind {
        if name == InvoiceKind::Invoice.as_str() {
            InvoiceKind::Invoice
        } else {
            InvoiceKind::CreditNote
        }
    }
}

/// Invoice of an order, or a credit note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invoice {
    /// Its number, such as `ARENA-I-000017`; that of a credit note has `C` for `I`.
    pub number: String,
    /// `invoice` or `credit_note`.
    pub kind: InvoiceKind,
    /// Time of issue.
    pub issued_at: Time,
    /// Number of the invoice that a credit note cancels, or cancels a part of.
    pub cancels: Option<String>,
    /// Name and address of the seller.
    pub seller: String,
    /// Tax number of the seller.
    pub tax_id: Option<String>,
    /// Its lines; none for money that was given back without naming seats.
    pub lines: Vec<PriceLine>,
    /// Amount that was paid, or given back.
    pub total: Money,
}

/// Content of a document, as it is stored. The seller of a credit note is that of its invoice.
#[derive(Serialize, Deserialize)]
pub(super) struct DocumentContent {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<Invoicing>,
    pub(super) lines: Vec<PriceLine>,
    pub(super) total: Money,
}

/// Document to be issued with a change of a payment. The store gives it its number.
#[derive(Clone, Debug)]
pub(super) struct NewInvoice {
    /// Series of an invoice; a credit note has that of its invoice, and none is issued without one.
    pub(super) series: Option<String>,
    pub(super) issued_at: Time,
    /// `DocumentContent` as JSON.
    pub(super) content: String,
}

/// A stored document.
pub(super) struct InvoiceRow {
    pub(super) kind: InvoiceKind,
    pub(super) series: String,
    /// Tag of the database that numbered it, where there are several.
    pub(super) tag: String,
    pub(super) number: i32,
    pub(super) issued_at: Time,
    pub(super) content: String,
}

impl InvoiceRow {
    fn number(&self) -> String {
        let kind = match self.kind {
            InvoiceKind::Invoice => "I",
            InvoiceKind::CreditNote => "C",
        };
        let parts = [self.series.as_str(), &self.tag, kind];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{}-{:06}", parts.join("-"), self.number)
    }
}

/// Returns the documents of an order, in the order of their issue.
pub(super) fn shown(mut rows: Vec<InvoiceRow>) -> serde_json::Result<Vec<Invoice>> {
    rows.sort_by_key(|row| {
        (
            row.kind == InvoiceKind::CreditNote,
            row.issued_at,
            row.number,
        )
    });
    let mut shown: Vec<Invoice> = Vec::with_capacity(rows.len());
    for row in rows {
        let content: DocumentContent = serde_json::from_str(&row.content)?;
        let first = shown.first();
        let is_credit = row.kind == InvoiceKind::CreditNote;
        let (seller, tax_id) = match (content.issuer, first) {
            (Some(issuer), _) => (issuer.seller, issuer.tax_id),
            (None, Some(first)) => (first.seller.clone(), first.tax_id.clone()),
            (None, None) => {
                return Err(serde_json::Error::custom(
                    "a credit note without an invoice",
                ));
            }
        };
        shown.push(Invoice {
            number: row.number(),
            kind: row.kind,
            issued_at: row.issued_at,
            cancels: first
                .filter(|_| is_credit)
                .map(|first| first.number.clone()),
            seller,
            tax_id,
            lines: content.lines,
            total: content.total,
        });
    }
    Ok(shown)
}
