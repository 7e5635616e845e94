//! Builds the layout of a plan, whichever its format.

use super::additions::Additions;
use super::findings::{Findings, Spot, Where};
use super::{
    BLOCKS_MAX, CATEGORIES_MAX, Category, Hints, Layout, LayoutSeat, PlanRow, PlanSection,
    SEATS_MAX, label, neighbours,
};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

const ID_CHARS_MAX: usize = 100;

/// A seat that is added to the last line of a layout.
pub(super) struct NewSeat<'a> {
    pub(super) id: &'a str,
    pub(super) number: &'a str,
    pub(super) category: &'a str,
    /// Position in seat widths.
    pub(super) x: f64,
    pub(super) y: f64,
    /// 0 if the plan does not say.
    pub(super) radius: f64,
}

/// Rule by which the neighbours of a line are found.
#[derive(Clone, Copy)]
pub(super) enum Adjacency {
    /// By the order of the file.
    Listed,
    /// By position; the usual distance of neighbours, in seat widths.
    ByPosition(f64),
}

/// A layout that is being built.
pub(super) struct Builder<'f> {
    layout: Layout,
    category_index: HashMap<Arc<str>, u16>,
    /// Categories that seats name and the plan does not have: the first of their seats, and their
    /// number.
    unknown: HashMap<String, (Spot, usize)>,
    is_full: bool,
    pub(super) findings: &'f mut Findings,
}

impl Builder<'_> {
    /// Begins a layout with categories of a plan, and the prices that are given beside it.
    pub(super) fn new<'f>(
        mut categories: Vec<Category>,
        additions: &Additions,
        findings: &'f mut Findings,
    ) -> Builder<'f> {
        categories.truncate(CATEGORIES_MAX + 1);
        if categories.is_empty() {
            categories = additions.categories();
        }
        if categories.is_empty() {
            let why = "the plan has no categories: name them, or give their prices beside the plan";
            findings.fault("categories", why);
        }
        if categories.len() > CATEGORIES_MAX {
            let why = format!("a plan has at most {CATEGORIES_MAX} categories");
            findings.fault("categories", why);
        }
        let mut category_index = HashMap::new();
        for (at, category) in (0..).zip(&categories) {
            let chars = category.id.chars().count();
            let field = format!("categories[{at}]");
            if !(1..=ID_CHARS_MAX).contains(&chars) {
                let why = "a category is called something of 1 to 100 characters";
                findings.fault(&field, why);
            }
            if category_index.insert(category.id.clone(), at).is_some() {
                let why = format!("the category '{}' stands twice", category.id);
                findings.fault(&field, why);
            }
        }
        let layout = Layout {
            categories,
            seats: Vec::new(),
            order: Vec::new(),
            rows: Vec::new(),
            areas: HashSet::new(),
            scores: Vec::new(),
            plan: String::new(),
            blocks: Vec::new(),
            hints: HashMap::new(),
            shapes: Vec::new(),
            has_stage: false,
            size: (0.0, 0.0),
            index: HashMap::new(),
        };
        Builder {
            layout,
            category_index,
            unknown: HashMap::new(),
            is_full: false,
            findings,
        }
    }

    /// Begins a section or an area; returns whether there may be another one.
    pub(super) fn block(&mut self, block: PlanSection) -> bool {
        self.layout.blocks.push(block);
        self.layout.blocks.len() <= BLOCKS_MAX
    }

    /// Begins a line of the last section or area.
    pub(super) fn line(&mut self, mut line: PlanRow) {
        let next = self.layout.seats.len() as u32;
        line.seats = next..next;
        if let Some(block) = self.layout.blocks.last_mut() {
            block.lines.push(line);
        }
    }

    /// Sets where the last section or area is, and its size if it has one.
    pub(super) fn put_block(&mut self, (x, y): (f64, f64), size: Option<(f64, f64)>) {
        if let Some(block) = self.layout.blocks.last_mut() {
            (block.x, block.y, block.size) = (x, y, size);
        }
    }

    /// Sets where the label of the last line stands.
    pub(super) fn mark(&mut self, marks: Vec<(f64, f64)>) {
        let block = self.layout.blocks.last_mut();
        if let Some(line) = block.and_then(|block| block.lines.last_mut()) {
            line.marks = marks;
        }
    }

    /// Adds a seat to the last line. Returns its index, or `None` if it is refused.
    pub(super) fn seat(&mut self, seat: &NewSeat<'_>, at: Where<'_>) -> Option<u32> {
        let index = self.layout.seats.len();
        if index >= SEATS_MAX {
            if !std::mem::replace(&mut self.is_full, true) {
                let why = format!("a plan has at most {SEATS_MAX} seats in all");
                self.findings.fault(&at().path, why);
            }
            return None;
        }
        let chars = seat.id.chars().count();
        if !(1..=ID_CHARS_MAX).contains(&chars) {
            let why = "a seat has an id of 1 to 100 characters";
            self.findings.fault_at(at, "", why);
            return None;
        }
        let category = self.category(seat.category, at)?;
        let id: Arc<str> = seat.id.into();
        if let Some(other) = self.layout.index.get(&id) {
            let other = &self.layout.seats[*other as usize];
            let why = format!("its id '{id}' is also that of {}", self.layout.label(other));
            self.findings.fault_at(at, "", &why);
            return None;
        }
        self.layout.index.insert(id.clone(), index as u32);
        let block = self.layout.blocks.len().saturating_sub(1);
        let lines = self
            .layout
            .blocks
            .last()
            .map_or(0, |block| block.lines.len());
        self.layout.seats.push(LayoutSeat {
            id,
            category,
            row: 0,
            slot: 0,
            is_accessible: false,
            is_companion: false,
            block: block as u32,
            line: lines.saturating_sub(1) as u32,
            number: seat.number.into(),
            x: seat.x,
            y: seat.y,
            radius: seat.radius,
        });
        Some(index as u32)
    }

    /// Whether no further seat is taken.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    fn category(&mut self, id: &str, at: Where<'_>) -> Option<u16> {
        if let Some(known) = self.category_index.get(id) {
            return Some(*known);
        }
        // A plan with one price needs no names for it.
        if id.is_empty() && self.layout.categories.len() == 1 {
            return Some(0);
        }
        if self.layout.categories.is_empty() {
            return None;
        }
        match self.unknown.get_mut(id) {
            Some((_, count)) => *count += 1,
            None => {
                self.unknown.insert(id.to_owned(), (at(), 1));
            }
        }
        None
    }

    /// Gives a seat a door or notes of its own.
    pub(super) fn hint(&mut self, seat: u32, hints: Hints) {
        if hints != Hints::default() {
            self.layout.hints.insert(seat, hints);
        }
    }

    /// Marks a seat as accessible, or as a companion's.
    pub(super) fn reserve(&mut self, seat: u32, is_accessible: bool, is_companion: bool) {
        if let Some(seat) = self.layout.seats.get_mut(seat as usize) {
            seat.is_accessible |= is_accessible;
            seat.is_companion |= is_companion;
        }
    }

    /// Ends the last line: its seats become runs of neighbours of one category.
    pub(super) fn end_line(&mut self, adjacency: Adjacency) {
        let seats = &self.layout.seats;
        let end = seats.len() as u32;
        let Some(block) = self.layout.blocks.last_mut() else {
            return;
        };
        let Some(line) = block.lines.last_mut() else {
            return;
        };
        line.seats.end = end;
        let first = line.seats.start;
        let own = &seats[first as usize..];
        let runs = match adjacency {
            Adjacency::Listed => vec![(0..own.len() as u32).collect()],
            Adjacency::ByPosition(usual) => {
                let points: Vec<(f64, f64)> = own.iter().map(|seat| (seat.x, seat.y)).collect();
                neighbours::runs(&points, usual)
            }
        };
        for run in runs {
            let parts = run.chunk_by(|a, b| own[*a as usize].category == own[*b as usize].category);
            for part in parts {
                let start = self.layout.order.len() as u32;
                self.layout.order.extend(part.iter().map(|at| first + at));
                let row: Range<u32> = start..self.layout.order.len() as u32;
                if block.is_area {
                    self.layout.areas.insert(self.layout.rows.len() as u32);
                }
                self.layout.rows.push(row);
            }
        }
    }

    pub(super) fn draw(&mut self, shapes: Vec<Value>, size: (f64, f64), has_stage: bool) {
        self.layout.shapes = shapes;
        self.layout.size = size;
        self.layout.has_stage = has_stage;
    }

    /// Ends the layout. `focus` is in seat widths of the map.
    pub(super) fn done(mut self, additions: &Additions, focus: Option<(f64, f64)>) -> Layout {
        if self.layout.blocks.len() > BLOCKS_MAX {
            let why = format!("a plan has at most {BLOCKS_MAX} sections, zones and areas");
            self.findings.fault("zones", why);
        }
        let mut unknown: Vec<(String, (Spot, usize))> = self.unknown.drain().collect();
        unknown.sort_by(|a, b| a.0.cmp(&b.0));
        for (id, (spot, count)) in unknown {
            let more = match count {
                1 => String::new(),
                _ => format!(", nor for {} more", count - 1),
            };
            let why = match id.as_str() {
                "" => format!("{}: it has no category{more}", spot.words),
                id => format!("there is no category '{id}' for {}{more}", spot.words),
            };
            self.findings.fault(&format!("{}.category", spot.path), why);
        }
        additions.set_prices(&mut self.layout.categories, self.findings);
        for (name, ids) in [
            ("accessible", &additions.accessible),
            ("companion", &additions.companion),
        ] {
            for (at, id) in ids.iter().enumerate() {
                match self.layout.index.get(id.as_str()).copied() {
                    Some(seat) => self.reserve(seat, name == "accessible", name == "companion"),
                    None => {
                        let why = format!("there is no seat '{id}', which is listed as {name}");
                        self.findings.fault(&format!("{name}[{at}]"), why);
                    }
                }
            }
        }
        if let Some(focus) = focus {
            self.layout.rank(focus);
        }
        let layout = &mut self.layout;
        for (row, range) in (0..).zip(&layout.rows) {
            for slot in range.clone() {
                let seat = layout.order[slot as usize];
                let seat = &mut layout.seats[seat as usize];
                (seat.row, seat.slot) = (row, slot);
            }
        }
        self.layout
    }

    /// Returns how a seat is called, before it is added.
    pub(super) fn spoken(section: &str, line: &PlanRow, number: &str) -> String {
        label(section, line, number).unwrap_or_else(|| "a seat without a number".to_owned())
    }
}

impl Layout {
    /// Puts the rows in order of their best seats: near the focal point, and not to its side.
    fn rank(&mut self, focus: (f64, f64)) {
        let count = self.seats.len().max(1) as f64;
        let mean = |part: fn(&LayoutSeat) -> f64| self.seats.iter().map(part).sum::<f64>() / count;
        let front = (mean(|seat| seat.x) - focus.0, mean(|seat| seat.y) - focus.1);
        let away = mean_distance(&self.seats, focus, count);
        // Round a stage in the middle there are no sides.
        let front_length = front.0.hypot(front.1);
        let sides = if away > 0.0 { front_length / away } else { 0.0 };
        let score = |seat: &LayoutSeat| {
            let (x, y) = (seat.x - focus.0, seat.y - focus.1);
            let distance = x.hypot(y);
            let lengths = distance * front_length;
            let cosine = if lengths > 0.0 {
                (x * front.0 + y * front.1) / lengths
            } else {
                1.0
            };
            (distance * (1.0 + sides * (1.0 - cosine))) as f32
        };
        self.scores = self.seats.iter().map(score).collect();
        let best = |row: &Range<u32>| {
            let seats = self.order[row.start as usize..row.end as usize].iter();
            let scores = seats.map(|seat| self.scores[*seat as usize]);
            scores.min_by(f32::total_cmp).unwrap_or(f32::MAX)
        };
        let rows = self.rows.iter().enumerate();
        let mut ranked: Vec<(f32, bool, Range<u32>)> = rows
            .map(|(at, row)| {
                let is_area = self.areas.contains(&(at as u32));
                (best(row), is_area, row.clone())
            })
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        let areas = (0..).zip(&ranked).filter(|(_, (_, is_area, _))| *is_area);
        self.areas = areas.map(|(at, _)| at).collect();
        self.rows = ranked.into_iter().map(|(.., row)| row).collect();
    }
}

fn mean_distance(seats: &[LayoutSeat], focus: (f64, f64), count: f64) -> f64 {
    let distances = seats
        .iter()
        .map(|seat| neighbours::distance((seat.x, seat.y), focus));
    distances.sum::<f64>() / count
}
