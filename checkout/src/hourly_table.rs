//! Tables by the hour as files: CSV, and Parquet for programs that analyse them.

use crate::csv_table::{BYTE_ORDER_MARK, CsvTable};
use crate::inventory::Money;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use shared::http::problem::Problem;
use shared::time::Time;
use std::io;
use std::sync::Arc;

/// Decimals of amounts in Parquet, where a column has the same for all currencies: as many as the
/// currency with the most.
const DECIMALS: u16 = 4;
/// Largest number of digits of an amount.
const DIGITS: i32 = 18;

/// What is in a column.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Beginning of an hour.
    Hour,
    Count,
    Amount,
    Text,
}

/// A cell of a table.
#[derive(Clone)]
pub(crate) enum Cell {
    Hour(Time),
    Count(i64),
    Amount(Money),
    Text(String),
    /// What another row of the hour says.
    Empty,
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Cell::Hour(hour) => hour.to_string(),
            Cell::Count(count) => count.to_string(),
            Cell::Amount(amount) => amount.decimal(),
            Cell::Text(text) => text.clone(),
            Cell::Empty => String::new(),
        }
    }

    /// Returns the number that Parquet stores for it.
    fn number(&self) -> Result<i64, ParquetError> {
        match self {
            Cell::Hour(hour) => Ok(hour.0),
            Cell::Count(count) => Ok(*count),
            Cell::Amount(amount) => {
                let more = DECIMALS.saturating_sub(amount.decimals());
                let scaled = amount.amount.checked_mul(10_i64.pow(u32::from(more)));
                let in_range =
                    scaled.filter(|scaled| scaled.unsigned_abs() < 10_u64.pow(DIGITS as u32));
                in_range.ok_or_else(|| ParquetError::General("the amount is too large".into()))
            }
            Cell::Text(_) | Cell::Empty => Err(ParquetError::General("not a number".into())),
        }
    }
}

/// A table whose rows are hours.
pub(crate) struct HourlyTable {
    /// The names of the columns, and what is in them.
    columns: Vec<(String, Kind)>,
    rows: Vec<Vec<Cell>>,
}

impl HourlyTable {
    /// Begins a table with its columns.
    pub(crate) fn new(columns: Vec<(String, Kind)>) -> HourlyTable {
        HourlyTable {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row, with a cell for each column.
    pub(crate) fn add_row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// Returns the table as a file to be saved under this name.
    ///
    /// # Errors
    /// 500 if it cannot be written.
    pub(crate) fn csv_file(&self, name: &str) -> Result<Response, Problem> {
        file(name, "text/csv; charset=utf-8", self.csv())
    }

    /// As `csv_file`, as Parquet.
    ///
    /// # Errors
    /// 500 if it cannot be written, such as an amount of 18 digits.
    pub(crate) fn parquet_file(&self, name: &str) -> Result<Response, Problem> {
        file(name, "application/vnd.apache.parquet", self.parquet())
    }

    fn csv(&self) -> io::Result<Vec<u8>> {
        let mut table = CsvTable::after(BYTE_ORDER_MARK);
        let names = self.columns.iter().map(|(name, _)| name.as_str());
        table.add_row(&names.collect::<Vec<_>>())?;
        for row in &self.rows {
            let cells = row.iter().map(Cell::text);
            table.add_row(&cells.collect::<Vec<_>>())?;
        }
        table.into_bytes()
    }

    fn parquet(&self) -> Result<Vec<u8>, ParquetError> {
        let fields = self.columns.iter().map(|(name, kind)| field(name, *kind));
        let fields = fields.collect::<Result<_, _>>()?;
        let schema = Type::group_type_builder("hours").with_fields(fields);
        let schema = Arc::new(schema.build()?);
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::default())?;
        let mut rows = file.next_row_group()?;
        for (at, (_, kind)) in self.columns.iter().enumerate() {
            let Some(mut column) = rows.next_column()? else {
                break;
            };
            let cells = self.rows.iter().map(|row| &row[at]);
            let is_there = |cell: &&Cell| !matches!(cell, Cell::Empty);
            let levels: Vec<i16> = cells.clone().map(|it| i16::from(is_there(&it))).collect();
            let values = cells.filter(is_there);
            if let Kind::Text = kind {
                let texts: Vec<_> = values
                    .map(|it| ByteArray::from(it.text().into_bytes()))
                    .collect();
                let column = column.typed::<ByteArrayType>();
                column.write_batch(&texts, Some(&levels), None)?;
            } else {
                let numbers = values.map(Cell::number).collect::<Result<Vec<_>, _>>()?;
                let column = column.typed::<Int64Type>();
                column.write_batch(&numbers, Some(&levels), None)?;
            }
            column.close()?;
        }
        rows.close()?;
        file.into_inner()
    }
}

fn field(name: &str, kind: Kind) -> Result<TypePtr, ParquetError> {
    let physical = match kind {
        Kind::Text => Physical::BYTE_ARRAY,
        Kind::Hour | Kind::Count | Kind::Amount => Physical::INT64,
    };
    let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    let field = match kind {
        Kind::Hour => field.with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
        Kind::Count => field,
        Kind::Amount => field
            .with_logical_type(Some(LogicalType::decimal(i32::from(DECIMALS), DIGITS)))
            .with_precision(DIGITS)
            .with_scale(i32::from(DECIMALS)),
        Kind::Text => field.with_logical_type(Some(LogicalType::String)),
    };
    Ok(Arc::new(field.build()?))
}

/// A Parquet file.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct ParquetFile(
    #[expect(dead_code, reason = "describes an answer that is made elsewhere")] Vec<u8>,
);

fn file<E>(name: &str, media_type: &str, table: Result<Vec<u8>, E>) -> Result<Response, Problem> {
    let table = table.map_err(|_| Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    let head = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((head, table).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Currency;
    use axum::body::Bytes;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    fn money(amount: i64, currency: &str) -> Cell {
        let currency = Currency::parse(currency).unwrap();
        Cell::Amount(Money { amount, currency })
    }

    fn amounts(cells: Vec<Cell>) -> HourlyTable {
        let mut table = HourlyTable::new(vec![("amount".to_owned(), Kind::Amount)]);
        for cell in cells {
            table.add_row(vec![cell]);
        }
        table
    }

    #[test]
    fn amounts_of_all_currencies_have_the_same_decimals_and_what_is_empty_is_null() {
        let cells = vec![
            money(4500, "EUR"),
            money(-4500, "JPY"),
            Cell::Empty,
            money(4510, "KWD"),
            money(12_345, "CLF"),
        ];
        let table = amounts(cells);
        let file = SerializedFileReader::new(Bytes::from(table.parquet().unwrap())).unwrap();
        let read = file.get_row_iter(None).unwrap().map(|row| {
            let row = row.unwrap();
            match row.get_column_iter().next().unwrap().1 {
                Field::Null => None,
                field => Some(field.to_string()),
            }
        });
        let wanted = [
            Some("45.0000"),
            Some("-4500.0000"),
            None,
            Some("4.5100"),
            Some("1.2345"),
        ];
        assert_eq!(
            read.collect::<Vec<_>>(),
            wanted.map(|text| text.map(str::to_owned))
        );
        let csv = String::from_utf8(table.csv().unwrap()).unwrap();
        assert_eq!(
            csv,
            "\u{feff}amount\r\n45.00\r\n-4500\r\n\"\"\r\n4.510\r\n1.2345\r\n"
        );
    }

    #[test]
    fn an_amount_with_too_many_digits_is_refused_and_not_cut() {
        for amount in [i64::MAX, -i64::MAX, 10_i64.pow(16)] {
            assert!(amounts(vec![money(amount, "EUR")]).parquet().is_err());
        }
        assert!(
            amounts(vec![money(10_i64.pow(16) - 1, "EUR")])
                .parquet()
                .is_ok()
        );
    }
}
