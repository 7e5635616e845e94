//! A plan of seats with positions, as pretix's format and CSV have it, on its way to a layout.

use super::additions::Additions;
use super::builder::{Adjacency, Builder, NewSeat};
use super::findings::{Findings, Spot};
use super::shapes::{Frame, Shape, round};
use super::{Category, Hints, Layout, PlanRow, PlanSection, neighbours};
use std::borrow::Cow;
use std::collections::HashSet;

/// Furthest that anything may be from the origin, in units of the plan. The sum of positions of any
/// size may be no number at all.
const FAR: f64 = 1_000_000.0;
/// Distance from the first and the last seat of a row to its label, in seat widths.
const TO_LABEL: f64 = 1.1;

/// A plan that is being read.
pub(super) struct Draft<'v> {
    pub(super) categories: Vec<Category>,
    pub(super) zones: Vec<DraftZone<'v>>,
    /// Width of a seat in units of the plan, from the usual distance of neighbours.
    pub(super) unit: fn(f64) -> f64,
    /// Path of a seat in the file, from its numbers.
    pub(super) path: fn([u32; 3]) -> String,
    /// Whether a stage is drawn in front of the first row.
    pub(super) has_stage: bool,
}

#[derive(Default)]
pub(super) struct DraftZone<'v> {
    pub(super) name: String,
    pub(super) hints: Hints,
    pub(super) rows: Vec<DraftRow<'v>>,
    pub(super) shapes: Vec<Shape>,
}

#[derive(Default)]
pub(super) struct DraftRow<'v> {
    pub(super) label: String,
    pub(super) row_text: Option<String>,
    pub(super) seat_text: Option<String>,
    pub(super) ends: Ends,
    pub(super) seats: Vec<DraftSeat<'v>>,
}

/// Ends of a row at which its label stands.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Ends {
    Start,
    End,
    #[default]
    Both,
}

pub(super) struct DraftSeat<'v> {
    pub(super) id: Cow<'v, str>,
    pub(super) number: Cow<'v, str>,
    pub(super) category: Cow<'v, str>,
    /// In units of the plan.
    pub(super) at: (f64, f64),
    /// In units of the plan, 0 if it does not say.
    pub(super) radius: f64,
    pub(super) hints: Hints,
    pub(super) is_accessible: bool,
    pub(super) is_companion: bool,
    /// Its place in the file.
    pub(super) spot: [u32; 3],
}

impl Draft<'_> {
    /// Builds the layout.
    pub(super) fn build(mut self, additions: &Additions, findings: &mut Findings) -> Layout {
        self.put_far_ones_away(findings);
        self.warn_of_piles(findings);
        let usual = self.usual_distance();
        let unit = (self.unit)(usual);
        let (least, most) = self.bounds();
        let frame = Frame {
            unit,
            corner: (least.0 - unit, least.1 - 2.0 * unit),
        };
        let size = frame.point(most);
        let categories = std::mem::take(&mut self.categories);
        let mut builder = Builder::new(categories, additions, findings);
        let shapes = self.zones.iter().flat_map(|zone| &zone.shapes);
        let shapes = shapes.map(|shape| shape.to_json(&frame)).collect();
        let adjacency = Adjacency::ByPosition(usual / unit);
        for zone in &mut self.zones {
            if !zone.rows.is_empty() && !add_zone(&mut builder, zone, &frame, adjacency, self.path)
            {
                break;
            }
        }
        let size = (round(size.0 + 1.0), round(size.1 + 1.0));
        builder.draw(shapes, size, self.has_stage);
        builder.done(additions, additions.focus.map(|focus| frame.point(focus)))
    }

    /// Refuses seats, and leaves out shapes, that are beyond all numbers.
    fn put_far_ones_away(&mut self, findings: &mut Findings) {
        for zone in &mut self.zones {
            let shapes = zone.shapes.len();
            zone.shapes.retain(|shape| shape.is_within(FAR));
            if zone.shapes.len() < shapes {
                findings.warn("shapes that show nothing or are too far away are not drawn");
            }
            let name = &zone.name;
            for row in &mut zone.rows {
                let line = line_of(row);
                for seat in &mut row.seats {
                    let (x, y) = seat.at;
                    let is_near = x.abs() <= FAR && y.abs() <= FAR;
                    if !is_near {
                        let at = || Spot {
                            path: (self.path)(seat.spot),
                            words: Builder::spoken(name, &line, &seat.number),
                        };
                        let why = format!("it is more than {FAR} from the origin");
                        findings.fault_at(&at, "position", &why);
                        seat.at = (0.0, 0.0);
                    }
                    if !(0.0..=FAR).contains(&seat.radius) {
                        seat.radius = 0.0;
                    }
                }
            }
        }
    }

    /// Warns of seats at the very place of another one, which the map cannot show apart.
    fn warn_of_piles(&self, findings: &mut Findings) {
        let mut places = HashSet::new();
        let seats = self.zones.iter().flat_map(|zone| {
            let rows = zone.rows.iter();
            rows.flat_map(move |row| row.seats.iter().map(move |seat| (zone, row, seat)))
        });
        let mut piled =
            seats.filter(|(_, _, seat)| !places.insert((seat.at.0.to_bits(), seat.at.1.to_bits())));
        let Some((zone, row, seat)) = piled.next() else {
            return;
        };
        let first = Builder::spoken(&zone.name, &line_of(row), &seat.number);
        let others = match piled.count() {
            0 => String::new(),
            more => format!(", and {more} more seats"),
        };
        findings.warn(format!(
            "{first}{others}: at the same position as another seat, so that the map shows only one"
        ));
    }

    /// Returns the median distance of seats that follow each other in a row, 0 if there are none.
    fn usual_distance(&self) -> f64 {
        let rows = self.zones.iter().flat_map(|zone| &zone.rows);
        let distances = rows.flat_map(|row| {
            let pairs = row.seats.windows(2);
            pairs.map(|pair| neighbours::distance(pair[0].at, pair[1].at))
        });
        neighbours::median(distances.filter(|distance| *distance > 0.0).collect())
    }

    /// Returns the corners between which everything is, in units of the plan.
    fn bounds(&self) -> ((f64, f64), (f64, f64)) {
        let rows = self.zones.iter().flat_map(|zone| &zone.rows);
        let seats = rows.flat_map(|row| &row.seats).map(|seat| seat.at);
        let shapes = self.zones.iter().flat_map(|zone| &zone.shapes);
        let points = seats.chain(shapes.flat_map(Shape::corners));
        let none = ((f64::MAX, f64::MAX), (f64::MIN, f64::MIN));
        let (least, most) = points.fold(none, |(least, most), (x, y)| {
            let (left, top): (f64, f64) = least;
            let (right, bottom): (f64, f64) = most;
            ((left.min(x), top.min(y)), (right.max(x), bottom.max(y)))
        });
        if least.0 > most.0 {
            return ((0.0, 0.0), (0.0, 0.0));
        }
        (least, most)
    }
}

fn line_of(row: &DraftRow<'_>) -> PlanRow {
    PlanRow {
        label: row.label.clone(),
        row_text: row.row_text.clone(),
        seat_text: row.seat_text.clone(),
        ..PlanRow::default()
    }
}

/// Adds a zone with its seats; returns whether there may be another one.
fn add_zone(
    builder: &mut Builder<'_>,
    zone: &mut DraftZone<'_>,
    frame: &Frame,
    adjacency: Adjacency,
    path: fn([u32; 3]) -> String,
) -> bool {
    let mut corner = (f64::MAX, f64::MAX);
    let goes_on = builder.block(PlanSection {
        id: zone.name.clone(),
        name: zone.name.clone(),
        hints: std::mem::take(&mut zone.hints),
        ..PlanSection::default()
    });
    for row in &mut zone.rows {
        let line = line_of(row);
        builder.line(line.clone());
        let mut places = Vec::with_capacity(row.seats.len());
        for seat in &mut row.seats {
            let (x, y) = frame.point(seat.at);
            corner = (corner.0.min(x), corner.1.min(y));
            places.push((x, y));
            let at = || Spot {
                path: path(seat.spot),
                words: Builder::spoken(&zone.name, &line, &seat.number),
            };
            let new = NewSeat {
                id: &seat.id,
                number: &seat.number,
                category: &seat.category,
                x: round(x),
                y: round(y),
                radius: round(seat.radius / frame.unit),
            };
            if let Some(index) = builder.seat(&new, &at) {
                builder.reserve(index, seat.is_accessible, seat.is_companion);
                builder.hint(index, std::mem::take(&mut seat.hints));
            }
        }
        builder.end_line(adjacency);
        if !row.label.is_empty() {
            builder.mark(marks(&places, row.ends));
        }
        if builder.is_full() {
            return false;
        }
    }
    builder.put_block((round(corner.0), round(corner.1 - 1.2)), None);
    goes_on
}

/// Returns where the label of a row stands: beyond its first and its last seat.
fn marks(places: &[(f64, f64)], ends: Ends) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (places.first(), places.last()) else {
        return Vec::new();
    };
    let beyond = |end: (f64, f64), from: (f64, f64), fallback: f64| {
        let length = neighbours::distance(end, from);
        let (x, y) = if length > 0.0 {
            ((end.0 - from.0) / length, (end.1 - from.1) / length)
        } else {
            (fallback, 0.0)
        };
        (round(end.0 + x * TO_LABEL), round(end.1 + y * TO_LABEL))
    };
    let second = places.get(1).unwrap_or(first);
    let second_last = places.len().checked_sub(2).map_or(last, |at| &places[at]);
    let start = beyond(*first, *second, -1.0);
    let end = beyond(*last, *second_last, 1.0);
    match ends {
        Ends::Start => vec![start],
        Ends::End => vec![end],
        Ends::Both => vec![start, end],
    }
}
