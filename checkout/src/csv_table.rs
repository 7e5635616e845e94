//! Tables as CSV (RFC 4180), for spreadsheets.

use csv::{Terminator, Writer, WriterBuilder};
use std::borrow::Cow;
use std::io;

/// Marks the text as UTF-8, which Excel asks for.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Beginnings that make a spreadsheet take a text for a formula.
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Part of a table, in UTF-8.
pub(crate) struct CsvTable(Writer<Vec<u8>>);

impl CsvTable {
    /// Begins after some text.
    pub(crate) fn after(text: &str) -> CsvTable {
        let mut builder = WriterBuilder::new();
        builder.terminator(Terminator::CRLF).flexible(true);
        CsvTable(builder.from_writer(text.as_bytes().to_vec()))
    }

    /// Adds a row. A cell that would be a formula begins with an apostrophe; a negative number is none.
    pub(crate) fn add_row(&mut self, cells: &[impl AsRef<str>]) -> io::Result<()> {
        let cells = cells.iter().map(AsRef::as_ref);
        let row = cells.map(
            |cell: &str| match cell.starts_with(FORMULAS) && !is_negative(cell) {
                true => Cow::Owned(format!("'{cell}")),
                false => Cow::Borrowed(cell),
            },
        );
        let row: Vec<Cow<'_, str>> = row.collect();
        let row = row.iter().map(|cell| cell.as_bytes());
        Ok(self.0.write_record(row)?)
    }

    /// Returns what was written.
    pub(crate) fn into_bytes(self) -> io::Result<Vec<u8>> {
        self.0.into_inner().map_err(|error| error.into_error())
    }
}

/// Returns whether a cell is a negative number, such as `-45.00`.
fn is_negative(cell: &str) -> bool {
    let is_of_number = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    cell.len() > 1 && cell.starts_with('-') && cell.as_bytes()[1..].iter().all(is_of_number)
}

#[cfg(test)]
mod tests {
    use super::CsvTable;

    #[test]
    fn cells_are_quoted_where_needed_and_none_is_a_formula() {
        let mut table = CsvTable::after("");
        table
            .add_row(&["plain", "a,b", "say \"hi\"", "two\nlines", ""])
            .unwrap();
        let formulas = ["=1+1", "+49", "-1+1", "-", "@x", "\tx", "\rx", "a=1"];
        table.add_row(&formulas).unwrap();
        table.add_row(&["-1", "-45.00"]).unwrap();
        let wanted = "plain,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\r\n\
            '=1+1,'+49,'-1+1,'-,'@x,'\tx,\"'\rx\",a=1\r\n\
            -1,-45.00\r\n";
        assert_eq!(table.into_bytes().unwrap(), wanted.as_bytes());
    }
}
