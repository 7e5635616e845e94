//! Routes of doors: check a ticket, check it in, count check-ins, fetch what works without a
//! connection.

use crate::app::{App, Shop};
use crate::inventory::{CheckIns, CheckedIn, DoorBundle, IssuedTicket, Refused, Scan};
use crate::organiser::{Change, record};
use crate::sessions::event_id;
use crate::text::{check_after, is_id};
use axum::Json;
use axum::extract::{Path, State};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::http::openapi::Refusals;
use shared::http::problem::{Input, Parameters, Problem};
use shared::ids::EventId;
use shared::organiser::Organiser;
use shared::plain_text::check_line;
use shared::time::Time;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest length of a ticket's code.
const CODE_BYTES_MAX: usize = 300;
/// Largest number of characters of a door's name.
const DOOR_CHARS_MAX: usize = 40;
/// Largest length of a scan's id.
const SCAN_BYTES_MAX: usize = 64;
/// Largest number of scans that are merged at one time.
const SCANS_MAX: usize = 200;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(check_ticket))
        .routes(routes!(show_check_ins, check_in))
        .routes(routes!(merge_check_ins))
        .routes(routes!(undo_check_in))
        .routes(routes!(show_door_bundle))
}

#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CodeInput {
    /// Text of the ticket's QR code, or its short code, such as `5E88-40F3-9C1D`.
    #[schema(max_length = 300)]
    code: String,
}

fn check_code(field: &str, code: &str) -> Result<(), Problem> {
    let is_short = code.len() <= CODE_BYTES_MAX;
    let why = || Problem::invalid(field, format!("at most {CODE_BYTES_MAX} characters"));
    is_short.then_some(()).ok_or_else(why)
}

fn check_door(door: &str) -> Result<(), Problem> {
    check_line(door, DOOR_CHARS_MAX).map_err(|why| Problem::invalid("door", why))
}

fn check_scan(field: &str, scan: &str) -> Result<(), Problem> {
    let is_id = (1..=SCAN_BYTES_MAX).contains(&scan.len());
    let is_id = is_id && scan.bytes().all(|byte| byte.is_ascii_graphic());
    let why = || Problem::invalid(field, format!("1 to {SCAN_BYTES_MAX} letters and digits"));
    is_id.then_some(()).ok_or_else(why)
}

/// Check a ticket without using it. It is refused as a check-in would be, but for one that was used:
/// its `used_at` is set.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/tickets/check", tag = "door",
    params(("event" = String, Path)),
    request_body = CodeInput, security(("organiser" = ["door"])),
    responses((status = 200, description = "The ticket is valid", body = IssuedTicket), Refusals))]
async fn check_ticket(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<CodeInput>,
) -> Result<Json<IssuedTicket>, Problem> {
    check_code("code", &input.code)?;
    let event = event_id(&event)?;
    Ok(Json(
        shop.inventory.check_ticket(&event, &input.code).await?,
    ))
}

/// A ticket shown at a door.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ScanInput {
    /// Text of the ticket's QR code, or its short code, such as `5E88-40F3-9C1D`.
    #[schema(max_length = 300)]
    code: String,
    /// Name of the door.
    #[schema(min_length = 1, max_length = 40)]
    door: String,
    /// The door's own id of this scan: sent again, it has the same answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
    scan: Option<String>,
    /// When it was scanned, if that was before it is sent. It counts if it is of the last 7 days; one up
    /// to 5 minutes to come counts as now, and any other one as well, with `doubtful_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Time>,
}

/// Check a ticket in. The first scan wins, at whatever door. 409 `ticket-used` with `used_at` and
/// `door` for one that was checked in before; 409 `ticket-void` for one that was given back; 409
/// `ticket-of-another-event` with `event`; 409 `event-cancelled` with the reason as `detail` once the
/// show was cancelled; 404 `no-such-ticket` for a code that is forged or misread.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/checkins", tag = "door",
    params(("event" = String, Path)),
    request_body = ScanInput, security(("organiser" = ["door"])),
    responses((status = 200, description = "The ticket is checked in", body = CheckedIn), Refusals))]
async fn check_in(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<ScanInput>,
) -> Result<Json<CheckedIn>, Problem> {
    check_code("code", &input.code)?;
    check_door(&input.door)?;
    if let Some(scan) = &input.scan {
        check_scan("scan", scan)?;
    }
    let event = event_id(&event)?;
    let scan = Scan {
        code: input.code,
        door: input.door,
        scan: input.scan,
        at: input.at,
    };
    let checked = shop.inventory.check_in(&event, &scan).await?;
    if let Some(at) = checked.doubtful_at {
        let scans = vec![json!({"scan": scan.scan, "at": at})];
        record_doubtful(&shop, &organiser, (&event, scan.door.as_str()), scans).await;
    }
    Ok(Json(checked))
}

/// Notes scans at a door whose clock is doubtful in the audit log, each with the time of that clock.
async fn record_doubtful(
    shop: &Shop,
    organiser: &Organiser,
    (event, door): (&EventId, &str),
    scans: Vec<Value>,
) {
    let change = Change {
        action: "checkins.doubtful-clock",
        event,
        from: json!({"door": door}),
        to: json!(scans),
    };
    record(shop, organiser, change).await;
}

/// A scan that was made without a connection.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LateScan {
    /// Text of the ticket's QR code, or its short code, such as `5E88-40F3-9C1D`.
    #[schema(max_length = 300)]
    code: String,
    /// The door's own id of this scan.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
    scan: String,
    /// When it was scanned, by the door's clock: it counts if it is of the last 7 days, and otherwise
    /// the time of the request does.
    at: Time,
}

/// Scans that a door made without a connection.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LateScans {
    /// Name of the door.
    #[schema(min_length = 1, max_length = 40)]
    door: String,
    /// The scans, the first one first.
    #[schema(max_items = 200)]
    scans: Vec<LateScan>,
}

/// Outcome of a scan that was merged.
#[derive(Serialize, utoipa::ToSchema)]
struct MergedScan {
    /// The scan.
    scan: String,
    /// `checked_in`, `ticket-used`, `ticket-void`, `ticket-of-another-event` or `no-such-ticket`.
    outcome: String,
    /// The ticket, if it was checked in.
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<IssuedTicket>,
    /// `ticket-used`: when it was checked in before.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_at: Option<Time>,
    /// `ticket-used`: the door.
    #[serde(skip_serializing_if = "Option::is_none")]
    door: Option<String>,
    /// `checked_in`: time of the door's clock, if it is doubtful. The ticket is checked in as of when
    /// the scan came.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubtful_at: Option<Time>,
}

/// Outcomes of the scans, in their order.
#[derive(Serialize, utoipa::ToSchema)]
struct MergedScans {
    /// One for each scan.
    scans: Vec<MergedScan>,
}

impl MergedScan {
    /// Returns the outcome of a scan.
    ///
    /// # Errors
    /// If it has none, as the store cannot be reached: all are sent again.
    fn of(scan: String, checked: Result<CheckedIn, Refused>) -> Result<MergedScan, Problem> {
        let mut merged = MergedScan {
            scan,
            outcome: "checked_in".to_owned(),
            ticket: None,
            used_at: None,
            door: None,
            doubtful_at: None,
        };
        match checked {
            Ok(checked) => {
                (merged.ticket, merged.doubtful_at) = (Some(checked.ticket), checked.doubtful_at);
            }
            Err(Refused::TicketUsed { at, door }) => {
                merged.outcome = "ticket-used".to_owned();
                (merged.used_at, merged.door) = (Some(at), Some(door));
            }
            Err(Refused::TicketVoid) => merged.outcome = "ticket-void".to_owned(),
            Err(Refused::EventCancelled(_)) => merged.outcome = "event-cancelled".to_owned(),
            Err(Refused::TicketOfOtherEvent(_)) => {
                merged.outcome = "ticket-of-another-event".to_owned();
            }
            Err(Refused::NoSuchTicket) => merged.outcome = "no-such-ticket".to_owned(),
            Err(refused) => return Err(refused.into()),
        }
        Ok(merged)
    }
}

/// Merge scans that a door made without a connection. Each is checked in as if it had been sent at
/// once; those of tickets that another door had checked in are told, and stand in the audit log, as
/// do those whose time is doubtful.
#[utoipa::path(post, path = "/api/v1/organiser/events/{event}/checkins/merge", tag = "door",
    params(("event" = String, Path)),
    request_body = LateScans, security(("organiser" = ["door"])),
    responses((status = 200, description = "The outcomes", body = MergedScans), Refusals))]
async fn merge_check_ins(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path(event): Path<String>,
    Input(input, _): Input<LateScans>,
) -> Result<Json<MergedScans>, Problem> {
    check_door(&input.door)?;
    if input.scans.len() > SCANS_MAX {
        let why = format!("at most {SCANS_MAX}: send the others afterwards");
        return Err(Problem::invalid("scans", why));
    }
    for (at, scan) in input.scans.iter().enumerate() {
        check_code(&format!("scans[{at}].code"), &scan.code)?;
        check_scan(&format!("scans[{at}].scan"), &scan.scan)?;
    }
    let event = event_id(&event)?;
    let door = input.door;
    let (shop, named) = (&shop, &event);
    let merging = input.scans.into_iter().map(async |late: LateScan| {
        let scan = Scan {
            code: late.code,
            door: door.clone(),
            scan: Some(late.scan.clone()),
            at: Some(late.at),
        };
        MergedScan::of(late.scan, shop.inventory.check_in(named, &scan).await)
    });
    let scans = join_all(merging).await;
    let scans: Vec<MergedScan> = scans.into_iter().collect::<Result<_, _>>()?;
    let used = scans.iter().filter(|scan| scan.used_at.is_some());
    let conflicts: Vec<Value> = used
        .map(|scan| json!({"scan": scan.scan, "used_at": scan.used_at, "door": scan.door}))
        .collect();
    if !conflicts.is_empty() {
        let change = Change {
            action: "checkins.conflict",
            event: &event,
            from: json!({"door": door}),
            to: json!(conflicts),
        };
        record(shop, &organiser, change).await;
    }
    let doubtful = scans.iter().filter(|scan| scan.doubtful_at.is_some());
    let doubtful: Vec<Value> = doubtful
        .map(|scan| json!({"scan": scan.scan, "at": scan.doubtful_at}))
        .collect();
    if !doubtful.is_empty() {
        record_doubtful(shop, &organiser, (&event, door.as_str()), doubtful).await;
    }
    Ok(Json(MergedScans { scans }))
}

/// Count the check-ins, by door, with the latest ones.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/checkins", tag = "door",
    params(("event" = String, Path)), security(("organiser" = ["door"])),
    responses((status = 200, description = "The figures", body = CheckIns), Refusals))]
async fn show_check_ins(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
) -> Result<Json<CheckIns>, Problem> {
    Ok(Json(shop.inventory.check_ins(&event_id(&event)?).await?))
}

/// Take a check-in back: the ticket lets its bearer in again.
#[utoipa::path(delete, path = "/api/v1/organiser/events/{event}/checkins/{ticket}", tag = "door",
    params(("event" = String, Path), ("ticket" = String, Path)), security(("organiser" = ["operator"])),
    responses((status = 200, description = "The ticket as it was before", body = IssuedTicket), Refusals))]
async fn undo_check_in(
    State(shop): State<Arc<Shop>>,
    organiser: Organiser,
    Path((event, ticket)): Path<(String, String)>,
) -> Result<Json<IssuedTicket>, Problem> {
    let event = event_id(&event)?;
    if !is_id(&ticket) {
        return Err(Refused::NoSuchTicket.into());
    }
    let before = shop.inventory.undo_check_in(&event, &ticket).await?;
    if before.used_at.is_some() {
        let change = Change {
            action: "checkin.undo",
            event: &event,
            from: json!(before),
            to: json!({"ticket": ticket, "used_at": null}),
        };
        record(&shop, &organiser, change).await;
    }
    Ok(Json(before))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct BundleQuery {
    /// `next` of the answer before; absent for the first.
    #[param(
        inline,
        max_length = 100,
        pattern = "^[!-~]*$",
        example = "tix_5e8840f3b2d916c07e4a7a1f0b6d4932a7c15e88"
    )]
    after: Option<String>,
}

/// Fetch what a door needs to check tickets without a connection: the public key of their codes, and
/// the tickets, with those that were used or given back. Some thousand at a time. A genuine ticket
/// that is not in the list was sold since.
#[utoipa::path(get, path = "/api/v1/organiser/events/{event}/door-bundle", tag = "door",
    params(("event" = String, Path), BundleQuery), security(("organiser" = ["door"])),
    responses((status = 200, description = "The key and some of the tickets", body = DoorBundle), Refusals))]
async fn show_door_bundle(
    State(shop): State<Arc<Shop>>,
    _: Organiser,
    Path(event): Path<String>,
    Parameters(query): Parameters<BundleQuery>,
) -> Result<Json<DoorBundle>, Problem> {
    let event = event_id(&event)?;
    let after = query.after.unwrap_or_default();
    if !after.is_empty() {
        check_after("tix_", &after)?;
    }
    Ok(Json(shop.inventory.door_bundle(&event, &after).await?))
}
