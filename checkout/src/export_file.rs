//! The file of an export: CSV or a spreadsheet.

use crate::csv_table::{BYTE_ORDER_MARK, CsvTable};
use crate::spreadsheet::Spreadsheet;
use std::io;

/// Columns with decimal numbers.
const NUMBERS: [&str; 3] = ["total", "given back", "price"];

/// File that an export writes, page by page.
pub(crate) enum ExportFile {
    Csv(Box<CsvTable>),
    Spreadsheet(Box<Spreadsheet>),
}

impl ExportFile {
    /// Begins with the names of the columns. Returns `None` if there is no such format.
    pub(crate) fn begin(format: &str, columns: &[&str]) -> Option<io::Result<ExportFile>> {
        match format {
            "csv" => {
                let mut table = CsvTable::after(BYTE_ORDER_MARK);
                Some(
                    table
                        .add_row(columns)
                        .map(|()| ExportFile::Csv(Box::new(table))),
                )
            }
            "xlsx" => {
                let begun = Spreadsheet::begin(columns, &NUMBERS);
                Some(begun.map(|table| ExportFile::Spreadsheet(Box::new(table))))
            }
            _ => None,
        }
    }

    pub(crate) fn media_type(&self) -> &'static str {
        match self {
            ExportFile::Csv(_) => "text/csv; charset=utf-8",
            ExportFile::Spreadsheet(_) => {
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
            }
        }
    }

    pub(crate) fn add_row(&mut self, cells: &[&str]) -> io::Result<()> {
        match self {
            ExportFile::Csv(table) => table.add_row(cells),
            ExportFile::Spreadsheet(table) => table.add_row(cells),
        }
    }

    /// Returns what was written since the last call.
    pub(crate) fn take(&mut self) -> io::Result<Vec<u8>> {
        match self {
            ExportFile::Csv(table) => {
                std::mem::replace(&mut **table, CsvTable::after("")).into_bytes()
            }
            ExportFile::Spreadsheet(table) => Ok(table.take()),
        }
    }

    /// Ends the file and returns what was not taken yet.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            ExportFile::Csv(table) => table.into_bytes(),
            ExportFile::Spreadsheet(table) => table.finish(),
        }
    }
}
