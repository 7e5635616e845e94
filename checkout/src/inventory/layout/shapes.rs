//! Areas of pretix's plans: what is drawn beside the seats. Stages, tables, texts.

use super::findings::{Findings, Object, Where};
use serde_json::{Map, Value, json};

/// Largest number of points of a polygon.
const POINTS_MAX: usize = 1000;
/// Size of a text where the plan does not say, in pixels.
const TEXT_SIZE: f64 = 16.0;

/// From the units of a plan to seat widths on the map.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    /// Width of a seat in units of the plan.
    pub(super) unit: f64,
    /// Position of the map's corner in units of the plan.
    pub(super) corner: (f64, f64),
}

impl Frame {
    pub(super) fn point(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (left, top) = self.corner;
        ((x - left) / self.unit, (y - top) / self.unit)
    }

    fn length(&self, length: f64) -> f64 {
        round(length / self.unit)
    }
}

enum Outline {
    /// Width and height; the position is its upper left corner.
    Rectangle(f64, f64),
    /// Radii; the position is its middle.
    Ellipse(f64, f64),
    /// Points beside the position.
    Polygon(Vec<(f64, f64)>),
    /// Nothing but a text.
    Text,
}

struct Text {
    text: String,
    /// Beside the position of the shape.
    at: (f64, f64),
    size: f64,
    color: Option<String>,
}

/// A shape of a plan, in its units.
pub(super) struct Shape {
    form: Outline,
    at: (f64, f64),
    /// In degrees, clockwise round the position.
    rotation: f64,
    fill: Option<String>,
    border: Option<String>,
    text: Option<Text>,
}

impl Shape {
    /// Reads an area. `corner` is the position of its zone.
    pub(super) fn read(
        area: &Object,
        corner: (f64, f64),
        findings: &mut Findings,
        at: Where<'_>,
    ) -> Option<Shape> {
        let (x, y) = findings.point(area, "position", at);
        let kind = findings.name(area, "shape", at);
        let part = |name: &str| area.get(name).and_then(Value::as_object).unwrap_or(area);
        let form = match &*kind {
            // Older files have rectangles alone, without a name for them.
            "rectangle" | "" => {
                let from = part("rectangle");
                let mut length = |name| findings.number(from, name, at).unwrap_or(0.0).abs();
                Outline::Rectangle(length("width"), length("height"))
            }
            "circle" => {
                let radius = findings.number(part("circle"), "radius", at);
                let radius = radius.unwrap_or(0.0).abs();
                Outline::Ellipse(radius, radius)
            }
            "ellipse" => {
                let (x, y) = findings.point(part("ellipse"), "radius", at);
                Outline::Ellipse(x.abs(), y.abs())
            }
            "polygon" => Outline::Polygon(points(part("polygon"), findings, at)),
            "text" => Outline::Text,
            other => {
                findings.warn(format!("a shape '{other}' is not drawn"));
                return None;
            }
        };
        let mut paint = |name: &str| {
            let text = findings.name(area, name, at);
            let known = color(&text);
            if known.is_none() && !text.is_empty() && text != "none" {
                findings.warn(format!("the colour '{text}' of a shape is not known"));
            }
            known
        };
        let (fill, border) = (paint("color"), paint("border_color"));
        Some(Shape {
            form,
            at: (corner.0 + x, corner.1 + y),
            rotation: findings.number(area, "rotation", at).unwrap_or(0.0) % 360.0,
            fill,
            border,
            text: text(area, findings, at),
        })
    }

    /// Returns whether it is within a distance from the origin, and shows anything.
    pub(super) fn is_within(&self, most: f64) -> bool {
        let is_drawn = self.text.is_some() || !matches!(self.form, Outline::Text);
        let mut corners = self.corners().into_iter();
        is_drawn && corners.all(|(x, y)| x.abs() <= most && y.abs() <= most)
    }

    /// Returns points between which all of it is.
    pub(super) fn corners(&self) -> Vec<(f64, f64)> {
        let mut corners = match &self.form {
            Outline::Rectangle(width, height) => {
                vec![(0.0, 0.0), (*width, 0.0), (0.0, *height), (*width, *height)]
            }
            Outline::Ellipse(x, y) => vec![(-x, -y), (*x, -y), (-x, *y), (*x, *y)],
            Outline::Polygon(points) => points.clone(),
            Outline::Text => Vec::new(),
        };
        if let Some(text) = &self.text {
            let half = text.size * text.text.chars().count() as f64 * 0.3;
            let (x, y) = text.at;
            corners.extend([
                (x - half, y - text.size / 2.0),
                (x + half, y + text.size / 2.0),
            ]);
        }
        let (sine, cosine) = self.rotation.to_radians().sin_cos();
        let turned = corners.into_iter().map(|(x, y)| {
            let (x, y) = (x * cosine - y * sine, x * sine + y * cosine);
            (self.at.0 + x, self.at.1 + y)
        });
        turned.collect()
    }

    /// Returns the shape as the map gets it, in seat widths.
    pub(super) fn to_json(&self, frame: &Frame) -> Value {
        let (x, y) = frame.point(self.at);
        let mut shape = Map::new();
        let mut set = |name: &str, value: Value| shape.insert(name.to_owned(), value);
        set("x", json!(round(x)));
        set("y", json!(round(y)));
        let pair = |(x, y): &(f64, f64)| json!([frame.length(*x), frame.length(*y)]);
        match &self.form {
            Outline::Rectangle(width, height) => set("rectangle", pair(&(*width, *height))),
            Outline::Ellipse(x, y) => set("ellipse", pair(&(*x, *y))),
            Outline::Polygon(points) => set("polygon", points.iter().map(pair).collect()),
            Outline::Text => None,
        };
        if self.rotation != 0.0 {
            set("rotation", json!(round(self.rotation)));
        }
        for (name, color) in [("fill", &self.fill), ("border", &self.border)] {
            if let Some(color) = color {
                set(name, json!(color));
            }
        }
        if let Some(text) = &self.text {
            let (x, y) = (frame.length(text.at.0), frame.length(text.at.1));
            let size = frame.length(text.size);
            let color = &text.color;
            set(
                "text",
                json!({"text": text.text, "x": x, "y": y, "size": size, "color": color}),
            );
        }
        Value::Object(shape)
    }
}

fn points(from: &Object, findings: &mut Findings, at: Where<'_>) -> Vec<(f64, f64)> {
    let list = findings.list(from, "points", at);
    if list.len() > POINTS_MAX {
        let why = format!("a polygon has at most {POINTS_MAX} points");
        findings.fault_at(at, "points", &why);
        return Vec::new();
    }
    let mut points = Vec::new();
    for point in list {
        if let Some(point) = findings.object(point, at) {
            let mut part = |name| findings.number(point, name, at).unwrap_or(0.0);
            points.push((part("x"), part("y")));
        }
    }
    points
}

fn text(area: &Object, findings: &mut Findings, at: Where<'_>) -> Option<Text> {
    let (text, place, size, paint) = match area.get("text") {
        Some(Value::Object(from)) => (
            findings.name(from, "text", at),
            findings.point(from, "position", at),
            findings.number(from, "size", at),
            findings.name(from, "color", at),
        ),
        // As older files have it.
        Some(Value::String(_)) => {
            let text = findings.name(area, "text", at);
            let mut half = |name| findings.number(area, name, at).unwrap_or(0.0) / 2.0;
            (text, (half("width"), half("height")), None, "".into())
        }
        _ => return None,
    };
    (!text.is_empty()).then(|| Text {
        text: text.into_owned(),
        at: place,
        size: size.filter(|size| *size > 0.0).unwrap_or(TEXT_SIZE),
        color: color(&paint),
    })
}

/// Returns a colour as CSS has it, if it is one: by its name, in hexadecimal digits or by its parts.
pub(super) fn color(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let is_hex = |digits: &str| {
        matches!(digits.len(), 3 | 4 | 6 | 8) && digits.bytes().all(|c| c.is_ascii_hexdigit())
    };
    let is_name = (3..=20).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_lowercase())
        && text != "none";
    let is_parts = || {
        let parts = text
            .strip_prefix("rgba(")
            .or_else(|| text.strip_prefix("rgb("))
            .and_then(|rest| rest.strip_suffix(')'));
        parts.is_some_and(|parts| {
            parts.len() <= 40
                && parts
                    .bytes()
                    .all(|c| c.is_ascii_digit() || b"., %".contains(&c))
        })
    };
    let is_known = text.strip_prefix('#').is_some_and(is_hex) || is_name || is_parts();
    is_known.then_some(text)
}

/// Rounds a position to hundredths of a seat's width.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
