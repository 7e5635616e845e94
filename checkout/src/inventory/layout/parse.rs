//! Reads seating plans: finds out their format, and opens what they are wrapped in.

use super::additions::{ADDITIONS, Additions};
use super::findings::{Findings, Object, Spot};
use super::{Layout, csv_list, ours, pretix};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use shared::http::problem::{Problem, parse_json};
use std::borrow::Cow;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

/// Formats that are taken, for refusals of all others.
const FORMATS: &str = "A seating plan is Fairline's own JSON (categories with sections or areas), \
    pretix's JSON (zones of rows), as its editor or its API gives it, or CSV with a first line such \
    as section,row,seat,category,x,y,notes";
/// Largest number of wrappers around a plan.
const WRAPPERS_MAX: usize = 4;
/// May stand before a text that was a file.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// Largest number of plans of a list that a refusal names.
const NAMED_MAX: usize = 10;

/// Format of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanFormat {
    /// Fairline's own.
    Fairline,
    /// pretix's.
    Pretix,
    /// A list with a line for each seat.
    Csv,
}

/// A plan that was read without faults.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The layout.
    pub layout: Layout,
    /// The format that the plan was in.
    pub format: PlanFormat,
    /// Names of the categories without a price; none in a plan that is set.
    pub unpriced: Vec<String>,
    /// Parts of the plan that were left out.
    pub warnings: Vec<String>,
}

/// Reader of the JSON of a plan.
type ReadJson = fn(&str) -> Result<Value, Problem>;

/// A plan without its wrappers.
enum PlanSource {
    Json(Object),
    Csv(String, u8),
}

/// Reads a plan on a blocking thread, so that other requests go on meanwhile.
///
/// # Errors
/// Those of [`parse`].
pub async fn parse_on_a_thread(bytes: Vec<u8>) -> Result<Parsed, Problem> {
    on_a_thread(move || read(&bytes)).await
}

/// Reads a plan on a blocking thread to look at it. Categories without a price are listed, and no
/// fault.
///
/// # Errors
/// Those of [`parse`].
pub async fn preview_on_a_thread(bytes: Vec<u8>) -> Result<Parsed, Problem> {
    on_a_thread(move || {
        let text = decode(&bytes)?;
        let mut findings = Findings::default();
        let (layout, format) = understand(&text, read_new, &mut findings)?;
        findings.forgive_unpriced();
        let mut parsed = checked(layout, format, findings)?;
        parsed.layout.plan = text.into_owned();
        Ok(parsed)
    })
    .await
}

/// Reads a stored plan on a blocking thread.
///
/// # Errors
/// Those of [`restore`].
pub async fn restore_on_a_thread(text: String) -> Result<Layout, Problem> {
    on_a_thread(move || restore(&text)).await
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR)))
}

/// Reads a plan in any format.
///
/// # Errors
/// A problem with status 400 or 422 that names all faults, up to a limit.
pub fn parse(bytes: &[u8]) -> Result<Layout, Problem> {
    read(bytes).map(|parsed| parsed.layout)
}

/// Reads a plan that was set by this version or an earlier one: what is a fault by now does not
/// keep the event from being loaded. Of a key that is given twice the last one counts.
///
/// # Errors
/// A problem if it is no plan at all.
pub fn restore(text: &str) -> Result<Layout, Problem> {
    let mut findings = Findings::default();
    let read_json: ReadJson = |text| {
        let read = serde_json::from_str(text);
        read.map_err(|error| refused("plan", error.to_string()))
    };
    let (mut layout, _) = understand(text, read_json, &mut findings)?;
    layout.plan = text.to_owned();
    Ok(layout)
}

/// Reads a plan in any format, as [`parse`] does, with its warnings.
pub(super) fn read(bytes: &[u8]) -> Result<Parsed, Problem> {
    let text = decode(bytes)?;
    let mut findings = Findings::default();
    let (layout, format) = understand(&text, read_new, &mut findings)?;
    let mut parsed = checked(layout, format, findings)?;
    parsed.layout.plan = text.into_owned();
    Ok(parsed)
}

/// Returns a plan that has seats and no faults.
fn checked(layout: Layout, format: PlanFormat, mut findings: Findings) -> Result<Parsed, Problem> {
    if let Some(refusal) = findings.refusal() {
        return Err(refusal);
    }
    if layout.seats.is_empty() {
        return Err(refused("plan", "the plan has no seats".to_owned()));
    }
    let unpriced = findings.take_unpriced();
    Ok(Parsed {
        layout,
        format,
        unpriced,
        warnings: findings.into_warnings(),
    })
}

fn refused(field: &str, why: String) -> Problem {
    Problem::invalid(field, why.clone()).detail(why)
}

/// Returns the text of a file: in UTF-8 or UTF-16, with or without a byte-order mark.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Problem> {
    let utf_16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.ok()
            .filter(|_| bytes.len().is_multiple_of(2))
            .map(Cow::Owned)
    };
    let text = match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => std::str::from_utf8(rest).ok().map(Cow::Borrowed),
        [0xFF, 0xFE, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        // The first character of a plan is one of ASCII.
        [0, _, ..] => utf_16(bytes, u16::from_be_bytes),
        [_, 0, ..] => utf_16(bytes, u16::from_le_bytes),
        _ => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    };
    let is_text = |text: &Cow<'_, str>| !text.contains('\0');
    text.filter(is_text).ok_or_else(|| {
        let why = format!(
            "this is no text in UTF-8 or UTF-16 (from Excel: save it as 'CSV UTF-8'). {FORMATS}"
        );
        refused("plan", why)
    })
}

/// Reads JSON that a client sends.
fn read_new(text: &str) -> Result<Value, Problem> {
    parse_json(text.as_bytes())
}

fn understand(
    text: &str,
    read_json: ReadJson,
    findings: &mut Findings,
) -> Result<(Layout, PlanFormat), Problem> {
    let mut additions = Additions::default();
    let plan = match open(text, read_json, &mut additions, findings)? {
        PlanSource::Csv(list, delimiter) => {
            let layout = csv_list::read(&list, delimiter, &additions, findings);
            return Ok((layout, PlanFormat::Csv));
        }
        PlanSource::Json(plan) => plan,
    };
    additions.read(&plan, findings);
    let has = |name: &str| plan.get(name).is_some_and(|value| !value.is_null());
    if has("zones") {
        let layout = pretix::read(&plan, &additions, findings);
        return Ok((layout, PlanFormat::Pretix));
    }
    if ["categories", "sections", "areas"]
        .iter()
        .any(|name| has(name))
    {
        let layout = ours::read(&plan, &additions, findings);
        return Ok((layout, PlanFormat::Fairline));
    }
    let why = format!("this JSON is no seating plan. {FORMATS}");
    Err(refused("plan", why))
}

/// Opens what a plan is wrapped in: additions beside it, pretix's API, a list of one.
fn open(
    text: &str,
    read_json: ReadJson,
    additions: &mut Additions,
    findings: &mut Findings,
) -> Result<PlanSource, Problem> {
    let mut next = Value::String(text.to_owned());
    for _ in 0..=WRAPPERS_MAX * 2 {
        next = match next {
            Value::String(text) => match text_source(&text, read_json)? {
                Ok(value) => value,
                Err(list) => return Ok(list),
            },
            Value::Array(_) => {
                let why = "an object is needed, not a list";
                return Err(refused("body", why.to_owned()));
            }
            Value::Object(mut object) => {
                if let Some(plan) = object.remove("plan") {
                    let nowhere = &|| Spot {
                        path: String::new(),
                        words: String::new(),
                    };
                    findings.no_others(&object, &ADDITIONS, nowhere);
                    additions.read(&object, findings);
                    plan
                } else if let Some(layout) = object.remove("layout") {
                    additions.read(&object, findings);
                    layout
                } else if let Some(Value::Array(plans)) = object.get_mut("results") {
                    only(std::mem::take(plans))?
                } else {
                    return Ok(PlanSource::Json(object));
                }
            }
            _ => break,
        };
    }
    Err(refused(
        "plan",
        format!("there is no seating plan. {FORMATS}"),
    ))
}

/// Returns JSON that a text is, or the list that it is.
fn text_source(text: &str, read_json: ReadJson) -> Result<Result<Value, PlanSource>, Problem> {
    let text = text.trim_start_matches(|c: char| c == BYTE_ORDER_MARK || c.is_whitespace());
    let text = csv_list::without_separator(text);
    match text.chars().next() {
        Some('{' | '[') => read_json(text).map(Ok),
        Some(_) => match csv_list::delimiter(text) {
            Some(delimiter) => Ok(Err(PlanSource::Csv(text.to_owned(), delimiter))),
            None => {
                let why = format!("this is neither JSON nor a list of seats. {FORMATS}");
                Err(refused("plan", why))
            }
        },
        None => Err(refused("plan", format!("the plan is empty. {FORMATS}"))),
    }
}

/// Returns the only plan of a list.
fn only(mut plans: Vec<Value>) -> Result<Value, Problem> {
    if plans.len() == 1 {
        return Ok(plans.remove(0));
    }
    let names = plans.iter().filter_map(|plan| plan.get("name")?.as_str());
    let mut named: Vec<String> = names
        .take(NAMED_MAX)
        .map(|name| format!("'{name}'"))
        .collect();
    let rest = plans.len().saturating_sub(named.len());
    if !named.is_empty() && rest > 0 {
        named.push(format!("and {rest} more"));
    }
    let names = match named.len() {
        0 => String::new(),
        _ => format!(" ({})", named.join(", ")),
    };
    let count = plans.len();
    let why = match count {
        0 => "the list has no seating plan in it".to_owned(),
        _ => format!("the list has {count} seating plans{names}: send the one that is meant"),
    };
    Err(refused("plan", why))
}
