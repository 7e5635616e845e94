//! Refusals of the line as problem responses.

use crate::line::{Phase, Refused};
use axum::http::StatusCode;
use shared::http::problem::Problem;

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        match refused {
            Refused::NoSuchEvent => Problem::no_such_event(),
            Refused::Exists => Problem::new(
                StatusCode::CONFLICT,
                "event-exists",
                "An event with this id exists already",
            ),
            Refused::NotOpen(opens_at) => Problem::new(
                StatusCode::FORBIDDEN,
                "line-not-open",
                "The line is not open yet",
            )
            .with("opens_at", opens_at.map(|at| at.to_string())),
            Refused::Closed(phase) => Problem::new(
                StatusCode::CONFLICT,
                "line-closed",
                "The line is closed to new visitors",
            )
            .with("phase", phase_word(phase)),
            Refused::Invalid(mistakes) => Problem::invalid_all(mistakes),
            Refused::Full(why) => Problem::unavailable().detail(why),
            Refused::Unavailable(_) => Problem::unavailable(),
        }
    }
}

/// Returns a phase as written in JSON.
pub fn phase_word(phase: Phase) -> String {
    serde_json::to_value(phase)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Returns the refusal of one more place for a network that has many.
pub fn network_is_full() -> Problem {
    let title = "As many fans of your network are in line as may be at one time";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-places", title)
        .detail(
            "As many fans as possible are in line from your network. You get a place as soon as \
             one of them is done, or from another network.",
        )
        .retry_after(20)
}

/// Returns the refusal of an extension.
pub fn not_extendable() -> Problem {
    let title = "This admission cannot be extended, or was already";
    Problem::new(StatusCode::CONFLICT, "not-extendable", title)
}

/// Returns the refusal of a missing or invalid pass.
pub fn no_pass() -> Problem {
    let title = "A pass is needed: join the line first";
    Problem::new(StatusCode::UNAUTHORIZED, "no-pass", title)
}

/// Returns the refusal of an address of a visitor who does not wait.
pub fn not_waiting() -> Problem {
    let title = "This place does not wait any more: there is no turn to come";
    Problem::new(StatusCode::CONFLICT, "not-waiting", title)
}

/// Returns the refusal of a link to a place in a browser that has another one in this line.
pub fn other_place() -> Problem {
    let title = "This browser has another place in this line, which would be lost";
    Problem::new(StatusCode::CONFLICT, "other-place", title)
}
