//! Plans as CSV: a line for each seat.

use super::additions::{Additions, category};
use super::draft::{Draft, DraftRow, DraftSeat, DraftZone};
use super::findings::{Findings, on_one_line};
use super::{BLOCKS_MAX, Category, Hints, Layout, SEATS_MAX};
use csv::{ReaderBuilder, StringRecord, Trim};
use shared::plain_text::has_visible;
use std::borrow::Cow;
use std::collections::HashMap;

/// Columns that are read.
pub(super) const COLUMNS: [&str; 11] = [
    "section",
    "row",
    "seat",
    "category",
    "x",
    "y",
    "notes",
    "door",
    "id",
    "accessible",
    "companion",
];
/// Distances where the list has no positions, in seat widths.
const ROW_DISTANCE: f64 = 1.1;
const SECTION_DISTANCE: f64 = 3.0;
/// Largest number of lines without a position that are named.
const UNPLACED_MAX: usize = 100;

/// Returns a list without the line `sep=;` with which Excel may begin one.
pub(super) fn without_separator(text: &str) -> &str {
    match text.split_once('\n') {
        Some((first, rest)) if first.trim_end().len() == 5 && first.starts_with("sep=") => rest,
        _ => text,
    }
}

/// Returns the delimiter of a list whose first line names a seat's column, or `None` if it has none.
pub(super) fn delimiter(text: &str) -> Option<u8> {
    let head = text.lines().next()?;
    let count = |delimiter: &u8| head.bytes().filter(|byte| byte == delimiter).count();
    let delimiter = [b',', b';', b'\t', b'|'].into_iter().max_by_key(count)?;
    let mut names = head.split(char::from(delimiter));
    let is_seat = |name: &str| name.trim().trim_matches('"').eq_ignore_ascii_case("seat");
    names.any(is_seat).then_some(delimiter)
}

/// Places of the columns in a line.
struct ColumnPositions([Option<usize>; COLUMNS.len()]);

impl ColumnPositions {
    fn of(head: &StringRecord, findings: &mut Findings) -> ColumnPositions {
        let mut places = [None; COLUMNS.len()];
        for (at, name) in head.iter().enumerate() {
            let known = |column: &&str| name.eq_ignore_ascii_case(column);
            match COLUMNS.iter().position(known) {
                Some(column) if places[column].is_none() => places[column] = Some(at),
                Some(_) => findings.fault(name, format!("the column '{name}' stands twice")),
                None if name.is_empty() => {}
                None => findings.warn(format!("the column '{name}' is not used")),
            }
        }
        ColumnPositions(places)
    }

    fn get<'r>(&self, record: &'r StringRecord, name: &str) -> &'r str {
        let column = COLUMNS.iter().position(|column| *column == name);
        let at = column.and_then(|column| self.0[column]);
        at.and_then(|at| record.get(at)).unwrap_or_default()
    }

    fn has(&self, name: &str) -> bool {
        let column = COLUMNS.iter().position(|column| *column == name);
        column.is_some_and(|column| self.0[column].is_some())
    }
}

pub(super) fn read(
    text: &str,
    delimiter: u8,
    additions: &Additions,
    findings: &mut Findings,
) -> Layout {
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let (columns, width) = match reader.headers() {
        Ok(head) => (ColumnPositions::of(head, findings), head.len()),
        Err(_) => (ColumnPositions([None; COLUMNS.len()]), 0),
    };
    let mut list = List::default();
    let is_unclosed = text.bytes().filter(|byte| *byte == b'"').count() % 2 == 1;
    for record in reader.records() {
        let Ok(record) = record else {
            findings.fault("plan", "a line of the list cannot be read");
            continue;
        };
        let line = record.position().map_or(0, csv::Position::line) as u32;
        if record.iter().any(|field| !field.is_empty()) && list.count <= SEATS_MAX {
            check_cells(&record, (line, width), is_unclosed, findings);
            list.add(&record, &columns, line, findings);
        }
    }
    let has_positions = list.has_positions(&columns, findings);
    if !has_positions {
        list.place_in_rows(findings);
    }
    let draft = Draft {
        categories: list.categories,
        zones: list.zones,
        unit: |usual| usual.max(0.001),
        path: |[line, ..]| format!("line {line}"),
        has_stage: !has_positions,
    };
    draft.build(additions, findings)
}

/// Notes a line with more cells than there are columns, and a cell that goes on in the next line:
/// quotation marks are missing then.
fn check_cells(
    record: &StringRecord,
    (line, width): (u32, usize),
    is_unclosed: bool,
    findings: &mut Findings,
) {
    if record.iter().skip(width).any(|cell| !cell.is_empty()) {
        let why = format!(
            "line {line} has more cells than the first line: a text with the sign between cells in it \
             is written in quotation marks"
        );
        findings.fault(&format!("line {line}"), why);
    }
    let is_long = record.iter().any(|cell| cell.contains(['\n', '\r']));
    match (is_long, is_unclosed) {
        (true, true) => {
            let why = format!("line {line}: a quotation mark is not closed");
            findings.fault(&format!("line {line}"), why);
        }
        (true, false) => findings.warn(format!("line {line}: a cell goes on in the next line")),
        (false, _) => {}
    }
}

/// Seats of a list, by section and row in order of their first seats.
#[derive(Default)]
struct List {
    zones: Vec<DraftZone<'static>>,
    zone_index: HashMap<String, usize>,
    row_index: HashMap<(usize, String), usize>,
    categories: Vec<Category>,
    category_index: HashMap<String, usize>,
    count: usize,
    /// Number of seats with a position.
    positions: usize,
    /// Some lines without a position, if others have one.
    unplaced: Vec<u32>,
}

impl List {
    fn add(
        &mut self,
        record: &StringRecord,
        columns: &ColumnPositions,
        line: u32,
        findings: &mut Findings,
    ) {
        self.count += 1;
        let mut text = |name: &str| -> String {
            let text = on_one_line(Cow::Borrowed(columns.get(record, name)));
            if text.chars().count() > 200 {
                let why = format!("line {line}: {name} has more than 200 characters");
                findings.fault(&format!("line {line}"), why);
                return String::new();
            }
            if !text.is_empty() && !has_visible(&text) {
                let why = format!("line {line}: {name} has nothing that can be seen");
                findings.fault(&format!("line {line}"), why);
            }
            text.into_owned()
        };
        let (section, row, number) = (text("section"), text("row"), text("seat"));
        let (category_name, id) = (text("category"), text("id"));
        let (door, notes) = (text("door"), text("notes"));
        let (x, y) = (columns.get(record, "x"), columns.get(record, "y"));
        if !x.is_empty() && !y.is_empty() {
            self.positions += 1;
        } else if self.unplaced.len() < UNPLACED_MAX {
            self.unplaced.push(line);
        }
        let at = (
            coordinate(x, "x", line, findings),
            coordinate(y, "y", line, findings),
        );
        let mut flag = |name: &str| is_marked(columns.get(record, name), name, line, findings);
        let (is_accessible, is_companion) = (flag("accessible"), flag("companion"));
        if number.is_empty() {
            let why = format!("line {line}: the seat has no number");
            findings.fault(&format!("line {line}"), why);
        }
        if !category_name.is_empty() && !self.category_index.contains_key(&category_name) {
            self.category_index
                .insert(category_name.clone(), self.categories.len());
            self.categories
                .push(category(&category_name, &category_name));
        }
        let id = if id.is_empty() {
            let parts = [section.as_str(), row.as_str(), number.as_str()];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            parts.join("-")
        } else {
            id
        };
        let some = |text: String| (!text.is_empty()).then_some(text);
        let Some(seats) = self.row(section, row, findings) else {
            return;
        };
        seats.push(DraftSeat {
            id: id.into(),
            number: number.into(),
            category: category_name.into(),
            at,
            radius: 0.0,
            hints: Hints {
                door: some(door),
                notes: some(notes),
            },
            is_accessible,
            is_companion,
            spot: [line, 0, 0],
        });
    }

    /// Returns the seats of a row, which begins if there was none of it.
    fn row(
        &mut self,
        section: String,
        row: String,
        findings: &mut Findings,
    ) -> Option<&mut Vec<DraftSeat<'static>>> {
        let zones = &mut self.zones;
        let at = *self.zone_index.entry(section).or_insert_with_key(|name| {
            zones.push(DraftZone {
                name: name.clone(),
                ..DraftZone::default()
            });
            zones.len() - 1
        });
        if at >= BLOCKS_MAX {
            if at == BLOCKS_MAX && self.zones[at].rows.is_empty() {
                let why = format!("a plan has at most {BLOCKS_MAX} sections");
                findings.fault("section", why);
            }
            self.zones.truncate(BLOCKS_MAX + 1);
            return None;
        }
        let rows = &mut self.zones[at].rows;
        let row_at = *self
            .row_index
            .entry((at, row))
            .or_insert_with_key(|(_, label)| {
                rows.push(DraftRow {
                    label: label.clone(),
                    ..DraftRow::default()
                });
                rows.len() - 1
            });
        Some(&mut rows[row_at].seats)
    }

    /// Returns whether the seats have positions: all of them, or none.
    fn has_positions(&self, columns: &ColumnPositions, findings: &mut Findings) -> bool {
        if columns.has("x") != columns.has("y") {
            findings.fault(
                "plan",
                "the columns x and y belong together: one of them is missing",
            );
        }
        if self.positions > 0 {
            for line in &self.unplaced {
                let why = format!("line {line}: x and y are missing, which other lines have");
                findings.fault(&format!("line {line}"), why);
            }
        }
        self.positions > 0
    }

    /// Puts seats without positions side by side, rows one behind the other, and so the sections.
    fn place_in_rows(&mut self, findings: &mut Findings) {
        let mut y = 0.0;
        for zone in &mut self.zones {
            for row in &mut zone.rows {
                check_order(row, findings);
                let half = row.seats.len().saturating_sub(1) as f64 / 2.0;
                for (at, seat) in row.seats.iter_mut().enumerate() {
                    seat.at = (at as f64 - half, y);
                }
                y += ROW_DISTANCE;
            }
            y += SECTION_DISTANCE;
        }
    }
}

/// Notes a row whose seats are not listed by their numbers: one sorted as texts is a fault.
fn check_order(row: &DraftRow<'_>, findings: &mut Findings) {
    let (label, seats) = (&row.label, &row.seats);
    if are_in_order(seats) {
        return;
    }
    if seats.is_sorted_by(|one, next| one.number <= next.number) {
        let why = format!(
            "the seats of row '{label}' are sorted as texts (1, 10, 2): sort them by number, or give x and y"
        );
        findings.fault("plan", why);
    } else {
        findings.warn(format!(
            "the seats of row '{label}' are not listed by their numbers: without x and y they are taken \
             to stand side by side as they are listed"
        ));
    }
}

/// Returns whether the seats of a row follow one another by their numbers, in either direction; seats
/// without numbers do.
fn are_in_order(seats: &[DraftSeat<'_>]) -> bool {
    let numbers = seats.iter().map(|seat| seat.number.parse::<u32>());
    let numbers: Result<Vec<u32>, _> = numbers.collect();
    numbers.map_or(true, |them| {
        them.is_sorted() || them.iter().rev().is_sorted()
    })
}

/// Reads a coordinate; a comma may stand before its decimals.
fn coordinate(text: &str, name: &str, line: u32, findings: &mut Findings) -> f64 {
    if text.is_empty() {
        return 0.0;
    }
    let number = text.replace(',', ".").parse::<f64>();
    match number.ok().filter(|number| number.is_finite()) {
        Some(number) => number,
        None => {
            let why = format!("line {line}: {name} is no number");
            findings.fault(&format!("line {line}"), why);
            0.0
        }
    }
}

/// Reads whether a column marks its line.
fn is_marked(text: &str, name: &str, line: u32, findings: &mut Findings) -> bool {
    match text.to_ascii_lowercase().as_str() {
        "" | "0" | "no" | "n" | "false" => false,
        "1" | "yes" | "y" | "true" | "x" => true,
        _ => {
            let why = format!("line {line}: {name} is 'yes' or 'no'");
            findings.fault(&format!("line {line}"), why);
            false
        }
    }
}
