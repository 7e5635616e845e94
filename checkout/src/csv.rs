//! Tables as CSV (RFC 4180), for spreadsheets.

/// Marks the text as UTF-8, which Excel asks for.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Beginnings that make a spreadsheet take a text for a formula.
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Adds a row to a table.
pub(crate) fn add_row<T: AsRef<str>>(table: &mut String, cells: &[T]) {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            table.push(',');
        }
        add_cell(table, cell.as_ref());
    }
    table.push_str("\r\n");
}

/// Adds a cell; one that would be a formula begins with an apostrophe.
fn add_cell(table: &mut String, cell: &str) {
    let is_formula = cell.starts_with(FORMULAS);
    let is_quoted = cell.contains(['"', ',', '\n', '\r', '\t']);
    if is_quoted {
        table.push('"');
    }
    if is_formula {
        table.push('\'');
    }
    table.push_str(&cell.replace('"', "\"\""));
    if is_quoted {
        table.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::add_row;

    #[test]
    fn cells_are_quoted_where_needed_and_none_is_a_formula() {
        let mut table = String::new();
        add_row(
            &mut table,
            &["plain", "a,b", "say \"hi\"", "two\nlines", ""],
        );
        let formulas = ["=1+1", "+49", "-1", "@x", "\tx", "\rx", "a=1"];
        add_row(&mut table, &formulas);
        let wanted = "plain,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\r\n\
            '=1+1,'+49,'-1,'@x,\"'\tx\",\"'\rx\",a=1\r\n";
        assert_eq!(table, wanted);
    }
}
