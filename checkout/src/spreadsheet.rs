//! Tables as spreadsheets (Office Open XML, ECMA-376), written while they are sent: nothing of them
//! stays in memory or on a disk. All texts are texts, so that none is taken for a formula.

use parking_lot::Mutex;
use std::io::{self, Write as _};
use std::sync::Arc;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Largest number of rows of a sheet; further rows are on another sheet.
const ROWS_MAX: u32 = 1_048_576;
/// Largest number of characters of a cell; longer texts are cut off.
const CELL_CHARS_MAX: usize = 32_767;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
const DOCUMENT: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const MEDIA: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml";

/// Bytes that were written and not taken yet.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A table as a spreadsheet, while it is written.
pub(crate) struct Spreadsheet {
    archive: ZipWriter<StreamWriter<Written>>,
    written: Written,
    /// Whether each column has numbers.
    are_numbers: Vec<bool>,
    columns: Vec<String>,
    sheets: u32,
    /// Rows of the last sheet.
    rows: u32,
    rows_max: u32,
}

impl Spreadsheet {
    /// Begins with the names of the columns, some of which have decimal numbers.
    pub(crate) fn begin(columns: &[&str], numbers: &[&str]) -> io::Result<Spreadsheet> {
        Spreadsheet::of_sheets(columns, numbers, ROWS_MAX)
    }

    fn of_sheets(columns: &[&str], numbers: &[&str], rows_max: u32) -> io::Result<Spreadsheet> {
        let written = Written::default();
        let mut begun = Spreadsheet {
            archive: ZipWriter::new_stream(written.clone()),
            written,
            are_numbers: columns.iter().map(|name| numbers.contains(name)).collect(),
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            sheets: 0,
            rows: 0,
            rows_max,
        };
        begun.begin_sheet()?;
        Ok(begun)
    }

    /// Adds a row.
    pub(crate) fn add_row(&mut self, cells: &[&str]) -> io::Result<()> {
        if self.rows == self.rows_max {
            self.end_sheet()?;
            self.begin_sheet()?;
        }
        self.write_row(cells, false)
    }

    /// Returns what was written since the last call.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written.0.lock())
    }

    /// Ends the table and returns what was not taken yet.
    pub(crate) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.end_sheet()?;
        self.write_directory()?;
        self.archive.finish()?;
        Ok(std::mem::take(&mut self.written.0.lock()))
    }

    fn begin_file(&mut self, name: &str) -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default());
        self.archive.start_file(name, options)?;
        self.archive.write_all(DECLARATION.as_bytes())
    }

    fn begin_sheet(&mut self) -> io::Result<()> {
        (self.sheets, self.rows) = (self.sheets + 1, 0);
        self.begin_file(&format!("xl/worksheets/sheet{}.xml", self.sheets))?;
        write!(self.archive, "<worksheet xmlns=\"{MAIN}\"><sheetData>")?;
        let columns = self.columns.clone();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        self.write_row(&columns, true)
    }

    fn end_sheet(&mut self) -> io::Result<()> {
        self.archive.write_all(b"</sheetData></worksheet>")
    }

    fn write_row(&mut self, cells: &[&str], is_head: bool) -> io::Result<()> {
        self.rows += 1;
        let mut row = format!("<row r=\"{}\">", self.rows);
        for (cell, has_numbers) in cells.iter().zip(&self.are_numbers) {
            if cell.is_empty() {
                row.push_str("<c/>");
            } else if *has_numbers && !is_head && cell.parse::<f64>().is_ok() {
                row.extend(["<c><v>", cell, "</v></c>"]);
            } else {
                row.push_str("<c t=\"inlineStr\"><is><t xml:space=\"preserve\">");
                push_escaped(&mut row, cell);
                row.push_str("</t></is></c>");
            }
        }
        row.push_str("</row>");
        self.archive.write_all(row.as_bytes())
    }

    /// Writes the parts that name the sheets.
    fn write_directory(&mut self) -> io::Result<()> {
        let (mut types, mut sheets, mut targets) = (String::new(), String::new(), String::new());
        for at in 1..=self.sheets {
            types += &format!(
                "<Override PartName=\"/xl/worksheets/sheet{at}.xml\" ContentType=\"{MEDIA}.worksheet+xml\"/>"
            );
            sheets += &format!("<sheet name=\"Sheet {at}\" sheetId=\"{at}\" r:id=\"rId{at}\"/>");
            targets += &format!(
                "<Relationship Id=\"rId{at}\" Type=\"{DOCUMENT}/worksheet\" Target=\"worksheets/sheet{at}.xml\"/>"
            );
        }
        self.begin_file("xl/workbook.xml")?;
        let namespaces = format!("xmlns=\"{MAIN}\" xmlns:r=\"{DOCUMENT}\"");
        write!(
            self.archive,
            "<workbook {namespaces}><sheets>{sheets}</sheets></workbook>"
        )?;
        self.begin_file("xl/_rels/workbook.xml.rels")?;
        write!(
            self.archive,
            "<Relationships xmlns=\"{PACKAGE}/relationships\">{targets}</Relationships>"
        )?;
        self.begin_file("_rels/.rels")?;
        write!(
            self.archive,
            "<Relationships xmlns=\"{PACKAGE}/relationships\">\
             <Relationship Id=\"rId1\" Type=\"{DOCUMENT}/officeDocument\" Target=\"xl/workbook.xml\"/>\
             </Relationships>"
        )?;
        self.begin_file("[Content_Types].xml")?;
        write!(
            self.archive,
            "<Types xmlns=\"{PACKAGE}/content-types\">\
             <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
             <Default Extension=\"xml\" ContentType=\"application/xml\"/>\
             <Override PartName=\"/xl/workbook.xml\" ContentType=\"{MEDIA}.sheet.main+xml\"/>{types}</Types>"
        )
    }
}

/// Adds a text as the content of a cell. Characters that XML does not allow are left out, and `_x…_`
/// is marked, because spreadsheets read it as a character's number.
fn push_escaped(row: &mut String, text: &str) {
    for (at, c) in text.char_indices().take(CELL_CHARS_MAX) {
        match c {
            '&' => row.push_str("&amp;"),
            '<' => row.push_str("&lt;"),
            '>' => row.push_str("&gt;"),
            '_' if is_number_of_character(&text.as_bytes()[at..]) => row.push_str("_x005F_"),
            '\t' | '\n' => row.push(c),
            '\u{fffe}' | '\u{ffff}' => {}
            _ if c.is_control() => {}
            _ => row.push(c),
        }
    }
}

/// Returns whether a text begins as `_x005F_` does.
fn is_number_of_character(text: &[u8]) -> bool {
    text.len() >= 7
        && text[1] == b'x'
        && text[6] == b'_'
        && text[2..6].iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::Spreadsheet;
    use calamine::{Data, Reader as _, Xlsx};
    use std::io::Cursor;

    /// Reads the sheets with another library.
    fn sheets(bytes: Vec<u8>) -> Vec<Vec<Vec<Data>>> {
        let mut book = Xlsx::new(Cursor::new(bytes)).unwrap();
        let names = book.sheet_names();
        let rows = |name: &String| {
            let range = book.worksheet_range(name).unwrap();
            range.rows().map(<[Data]>::to_vec).collect()
        };
        names.iter().map(rows).collect()
    }

    fn text(text: &str) -> Data {
        Data::String(text.to_owned())
    }

    #[test]
    fn another_library_reads_every_text_as_it_was_and_numbers_as_numbers() {
        let mut table = Spreadsheet::begin(&["name", "total"], &["total"]).unwrap();
        let texts = [
            "=1+1",
            "+49",
            "@x",
            "<b>&amp;",
            " two\nlines\t",
            "_x0041_",
            "_x",
            "Zoë 東京 🎫",
            "12",
        ];
        for name in texts {
            table.add_row(&[name, "45.50"]).unwrap();
        }
        table.add_row(&["a\u{1}b", ""]).unwrap();
        let begun = table.take();
        let bytes = [begun, table.finish().unwrap()].concat();
        let sheets = sheets(bytes);
        let mut wanted = vec![vec![text("name"), text("total")]];
        wanted.extend(texts.map(|name| vec![text(name), Data::Float(45.5)]));
        wanted.push(vec![text("ab"), Data::Empty]);
        assert_eq!(sheets, [wanted]);
    }

    #[test]
    fn rows_that_a_sheet_has_no_room_for_are_on_the_next() {
        let mut table = Spreadsheet::of_sheets(&["name"], &[], 3).unwrap();
        for name in ["a", "b", "c", "d", "e"] {
            table.add_row(&[name]).unwrap();
        }
        let rows = |names: &[&str]| {
            names
                .iter()
                .map(|name| vec![text(name)])
                .collect::<Vec<_>>()
        };
        let wanted = [
            rows(&["name", "a", "b"]),
            rows(&["name", "c", "d"]),
            rows(&["name", "e"]),
        ];
        assert_eq!(sheets(table.finish().unwrap()), wanted);
    }
}
