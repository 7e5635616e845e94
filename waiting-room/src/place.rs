//! A fan's place computed from the view of the line: visitors ahead, expected wait, time of the
//! next update.

use crate::app::Room;
use crate::draw::Entry;
use crate::line::{
    EventSettings, Line, LineView, Phase, Refused, Spot, VisitorState, Wait, WaitReason,
};
use crate::pass::Pass;
use serde::Serialize;
use shared::ids::{EventId, VisitorId};
use shared::line_mail::WaitRange;
use shared::time::Time;
use shared::token::{Claims, SKEW_SECONDS};
use std::time::Duration;

const DUE_MIN: f64 = 0.5;
const DUE_MAX: f64 = 15.0;
/// Number of visitors at the front who see every change within a second.
const NEAR: u64 = 1000;

/// A place as sent to clients.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct Place {
    /// The visitor.
    #[schema(value_type = String)]
    pub visitor: VisitorId,
    /// The event.
    pub event: EventId,
    /// Phase of the line.
    pub phase: Phase,
    /// State of the visitor.
    pub state: VisitorState,
    /// Position in the order of the line: dense, from 1, never changed once given.
    pub number: Option<u64>,
    /// The visitor's entry in the draw, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Number of waiting visitors with a lower number.
    pub ahead: u64,
    /// Number of waiting visitors.
    pub waiting: u64,
    /// Expected wait; null until a rate was measured, and while no visitor is let in.
    pub eta_seconds: Option<WaitRange>,
    /// Why it is null, or longer than before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_reason: Option<WaitReason>,
    /// Seconds until a client without a socket should ask again.
    pub poll_after_seconds: u32,
    /// Message of the organiser.
    pub message: Option<String>,
    /// Available seats, if an inventory reports them.
    pub seats_available: Option<u32>,
    /// Whether the line is unreachable at the moment, so that this is its last known state. The
    /// place is kept.
    pub stale: bool,
    /// Opening of the sale, until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sale_opens_at: Option<Time>,
    /// The admission token, while admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Deadline for entering the checkout, while admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_by: Option<Time>,
    /// Whether everyone passes the gate at the moment; absent if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub passthrough: bool,
    /// True if the show was cancelled, absent if not. The message says why.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// URL of the checkout, while admitted or shopping, or while everyone passes the gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkout_url: Option<String>,
    /// The pass, in HTTP responses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
}

impl Room {
    /// Builds a visitor's place from the engine's reply and the view of the line.
    pub(crate) fn place(&self, event: &EventId, spot: &Spot, front: &LineView) -> Place {
        let settings = &front.settings;
        let waits = spot.standing == VisitorState::Waiting;
        let admitted = spot
            .slot
            .filter(|_| spot.standing == VisitorState::Admitted);
        let is_inside = spot.standing.is_inside();
        let passthrough = settings.lets_everyone_pass(front.at);
        let has_goal = is_inside || passthrough && settings.checkout_url.is_some();
        let before_sale = matches!(front.phase, Phase::Prequeue | Phase::Scheduled);
        let wait = waits.then(|| told_wait(front, spot));
        let was_entered = spot.is_provisional || (1..=front.drawn).contains(&spot.number);
        Place {
            visitor: spot.visitor,
            event: event.clone(),
            phase: front.phase,
            state: spot.standing,
            number: Some(spot.number).filter(|number| *number > 0 && !spot.is_provisional),
            entry: was_entered.then(|| Entry::of(spot.visitor).to_string()),
            ahead: spot.ahead,
            waiting: front.waiting.max(if waits { spot.ahead + 1 } else { 0 }),
            eta_seconds: wait.and_then(|wait| {
                let (low, high) = wait.range?;
                Some(WaitRange { low, high })
            }),
            eta_reason: wait.and_then(|wait| wait.reason),
            poll_after_seconds: poll_after(front, spot),
            message: settings.message.clone(),
            seats_available: front.availability.map(|seats| seats.available),
            stale: self.is_stale(event),
            sale_opens_at: settings.sale_opens_at.filter(|_| before_sale),
            token: admitted.map(|_| self.token(event, spot, settings)),
            passthrough,
            cancelled: settings.cancelled.is_some(),
            claim_by: admitted.map(|slot| slot.claim_by),
            checkout_url: has_goal.then(|| checkout_url(event, settings)),
            pass: None,
        }
    }

    /// Returns the admission token of an admitted visitor: the same claims on every call.
    pub(crate) fn token(&self, event: &EventId, spot: &Spot, settings: &EventSettings) -> String {
        let slot = spot.slot.unwrap_or(crate::line::Slot {
            admitted_at: Time(0),
            claim_by: Time(0),
            expires_at: Time(0),
        });
        let begins = slot.admitted_at.seconds() - SKEW_SECONDS;
        self.signer.sign(&Claims {
            iss: self.site.public_url.clone(),
            aud: event.as_str().to_owned(),
            sub: spot.visitor,
            jti: format!("adm_{:032x}_{}", spot.visitor.0, spot.number),
            iat: begins,
            nbf: begins,
            exp: slot.expires_at.seconds(),
            number: spot.number,
            extension_seconds: settings.admission.extension(),
        })
    }

    /// Returns the pass of a place.
    pub(crate) fn pass(&self, event: &EventId, spot: &Spot, front: &LineView) -> String {
        self.passes.write(event, &Pass::of(spot, front.life))
    }

    /// Returns a pass from before the draw with the number drawn since, if this node has the list
    /// of the draw.
    pub(crate) fn as_drawn(&self, event: &EventId, pass: &Pass) -> Pass {
        let list = self.known_list(event).filter(|_| pass.is_provisional);
        let drawn = list.and_then(|list| list.number_of(&Entry::of(pass.visitor)));
        drawn.map_or(*pass, |number| Pass {
            number,
            is_provisional: false,
            ..*pass
        })
    }

    /// Returns the place that a pass proves, restoring it if the store has lost it or has only an
    /// older one.
    pub(crate) async fn find_place(
        &self,
        event: &EventId,
        pass: &Pass,
    ) -> Result<Option<Spot>, Refused> {
        find_place(&*self.line, event, pass, |pass| self.as_drawn(event, pass)).await
    }
}

/// Returns the place that a pass proves, restoring it if the line has lost it or has only an older
/// one. `as_drawn` gives a pass from before the draw the number drawn since.
///
/// # Errors
/// As [`Line::place`] and [`Line::reenter`].
pub async fn find_place(
    line: &dyn Line,
    event: &EventId,
    pass: &Pass,
    as_drawn: impl FnOnce(&Pass) -> Pass,
) -> Result<Option<Spot>, Refused> {
    let known = line.place(event, pass.visitor).await?;
    if known.is_some_and(|spot| !spot.is_over()) {
        return Ok(known);
    }
    let pass = as_drawn(pass);
    if known.is_some_and(|spot| !spot.is_older_than(&pass)) {
        return Ok(known);
    }
    let given_back = line.reenter(event, &pass).await?;
    Ok(given_back.or(known))
}

/// Returns how many are ahead of a visitor who waits, by a view; none if the line has to be asked: the
/// place may be over, or the draw has replaced its number. A view that is older than the place does not
/// push the fan back.
pub(crate) fn ahead_in(front: &LineView, spot: &Spot) -> Option<u64> {
    if spot.standing != VisitorState::Waiting || is_drawn_since(front, spot) {
        return None;
    }
    let is_older = front.is_undrawn && !spot.is_provisional || front.numbers < spot.number;
    if is_older {
        return Some(spot.ahead);
    }
    let waits = front.alive.contains(spot.number);
    waits.then(|| spot.ahead.min(front.alive.ahead(spot.number)))
}

/// Returns whether the draw has replaced the number of a place since the visitor was told it.
pub(crate) fn is_drawn_since(front: &LineView, spot: &Spot) -> bool {
    spot.is_provisional && !front.is_undrawn
}

/// Returns the URL that admitted fans are sent to.
pub(crate) fn checkout_url(event: &EventId, settings: &EventSettings) -> String {
    let ours = || format!("/e/{event}/seats");
    settings.checkout_url.clone().unwrap_or_else(ours)
}

/// Returns what a waiting visitor is told of their wait. While the sale is not open the phase says
/// why there is nothing to tell.
pub(crate) fn told_wait(front: &LineView, spot: &Spot) -> Wait {
    if front.phase == Phase::Open && !spot.is_provisional {
        return front.forecast.wait(spot.ahead);
    }
    Wait {
        range: None,
        reason: None,
    }
}

/// Returns the time until a fan's next update: the nearer their turn, the sooner.
pub(crate) fn due_after(front: &LineView, spot: &Spot) -> Duration {
    let seconds = match spot.standing {
        VisitorState::Waiting => waiting_due(front, spot.ahead),
        VisitorState::Admitted | VisitorState::Shopping => 1.0,
        _ => DUE_MAX,
    };
    Duration::from_secs_f64(seconds)
}

fn waiting_due(front: &LineView, ahead: u64) -> f64 {
    let fans_per_second = f64::from(front.settings.admission.rate_per_minute.max(1)) / 60.0;
    let due = (ahead as f64 / fans_per_second / 20.0).clamp(DUE_MIN, DUE_MAX);
    if ahead < NEAR {
        DUE_MIN
    } else {
        due.min(DUE_MAX - 1.0)
    }
}

fn poll_after(front: &LineView, spot: &Spot) -> u32 {
    (due_after(front, spot).as_secs_f64().ceil() as u32).max(2)
}
