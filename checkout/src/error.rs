//! Converts refusals of the inventory into the problems shown to clients.

use crate::inventory::Refused;
use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::http::problem::Problem;

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let problem = plain(&refused);
        match refused {
            Refused::SeatsTaken(taken) => problem.with("taken", taken),
            Refused::UnknownSeats(unknown) => {
                let detail = |seat: &String| json!({"field": "seats", "detail": format!("there is no seat '{seat}'")});
                let errors: Vec<Value> = unknown.iter().map(detail).collect();
                problem.with("unknown", unknown).with("errors", errors)
            }
            Refused::SeatsUsed(used) => problem.with("used", used),
            Refused::ReseatDiffers(reseated) => problem.with("reseat", json!(reseated)),
            Refused::LeavesSingle(left) => problem.with("left", left),
            Refused::UnknownType(id) | Refused::TypeOfOtherCategory(id) => {
                problem.with("ticket_type", id)
            }
            Refused::TooManyOfType { name, limit } => {
                problem.with("ticket_type", name).with("limit", limit)
            }
            Refused::Unaccompanied(name) => problem.with("ticket_type", name),
            Refused::PriceChanged(total) => problem.with("total", json!(total)),
            Refused::TooManySeats(limit)
            | Refused::TooManyHolds(limit)
            | Refused::TooManyOpenHolds(limit)
            | Refused::TooManyDeclines(limit)
            | Refused::TooManyAttempts(limit) => problem.with("limit", limit),
            Refused::HoldOver(state) | Refused::OrderState(state) => problem.with("state", state),
            Refused::EventCancelled(reason) => problem.detail(reason),
            Refused::HoldConverted(order) => problem.with("order", order),
            Refused::StillRunning => problem.retry_after(1),
            Refused::TicketUsed { at, door } => {
                problem.with("used_at", json!(at)).with("door", door)
            }
            Refused::TicketOfOtherEvent(event) => problem.with("event", event.as_str()),
            Refused::PlanDiffers(difference) => problem.with("difference", json!(difference)),
            Refused::Invalid(mistakes) => Problem::invalid_all(mistakes),
            _ => problem,
        }
    }
}

/// Returns the problem without details of the single case. A table, one line each.
#[rustfmt::skip]
fn plain(refused: &Refused) -> Problem {
    use StatusCode as S;
    let (status, kind, title) = match refused {
        Refused::NoSuchEvent => return Problem::no_such_event(),
        Refused::NoSession => return no_session(),
        Refused::Unavailable(_) => return Problem::unavailable(),
        Refused::Mismatch => return shared::http::idempotency::mismatch(),
        Refused::Invalid(_) => (S::UNPROCESSABLE_ENTITY, "invalid", "A value is wrong"),
        Refused::EventCancelled(_) => (S::CONFLICT, "event-cancelled", "This show was cancelled"),
        Refused::SessionOver => (S::FORBIDDEN, "session-over", "This session is over: join the line again for more"),
        Refused::AdmissionUsed => (S::CONFLICT, "admission-already-used", "This admission opened a session already"),
        Refused::SeatsTaken(_) => (S::CONFLICT, "seats-taken", "These seats are not available: taken, or not on sale"),
        Refused::NotEnoughSeats => (S::CONFLICT, "not-enough-seats", "There are not that many seats left"),
        Refused::LeavesSingle(_) => (S::UNPROCESSABLE_ENTITY, "leaves-single-seat", "A single seat would be left over beside these"),
        Refused::UnknownSeats(_) => (S::UNPROCESSABLE_ENTITY, "unknown-seats", "There are no such seats"),
        Refused::TooManySeats(_) => (S::UNPROCESSABLE_ENTITY, "too-many-seats", "That is more than one fan may have"),
        Refused::UnknownType(_) => (S::UNPROCESSABLE_ENTITY, "unknown-ticket-type", "There is no such type of ticket, or it is not sold any more"),
        Refused::TypeOfOtherCategory(_) => (S::UNPROCESSABLE_ENTITY, "ticket-type-of-another-category", "This type of ticket is for other seats"),
        Refused::TooManyOfType { .. } => (S::UNPROCESSABLE_ENTITY, "too-many-of-ticket-type", "That is more tickets of this type than one order may have"),
        Refused::Unaccompanied(_) => (S::UNPROCESSABLE_ENTITY, "ticket-type-not-alone", "This type of ticket is sold only together with one of another type"),
        Refused::PriceChanged(_) => (S::CONFLICT, "price-changed", "The price has changed since it was shown"),
        Refused::TooManyHolds(_) => (S::CONFLICT, "too-many-holds", "This session has made as many holds as it may"),
        Refused::NoSuchHold => (S::NOT_FOUND, "no-such-hold", "There is no such hold"),
        Refused::HoldOver(_) => (S::CONFLICT, "hold-over", "This hold has ended"),
        Refused::HoldConverted(_) => (S::CONFLICT, "hold-converted", "There is an order for this hold"),
        Refused::NoSuchOrder => (S::NOT_FOUND, "no-such-order", "There is no such order"),
        Refused::BuyerGone => (S::CONFLICT, "buyer-erased", "Nothing is kept of this buyer any more"),
        Refused::NoSuchPayment => (S::NOT_FOUND, "no-such-payment", "There is no such payment"),
        Refused::NoSuchTicket => (S::NOT_FOUND, "no-such-ticket", "There is no such ticket: the code is forged, or misread"),
        Refused::TicketOfOtherEvent(_) => (S::CONFLICT, "ticket-of-another-event", "This ticket is for another event"),
        Refused::TicketVoid => (S::CONFLICT, "ticket-void", "This ticket is not valid any more: it was given back"),
        Refused::TicketUsed { .. } => (S::CONFLICT, "ticket-used", "This ticket was used already"),
        Refused::SeatsUsed(_) => (S::CONFLICT, "ticket-used", "A ticket was used already, and cannot be moved"),
        Refused::ReseatDiffers(_) => (S::CONFLICT, "reseat-differs", "The difference in price is another one: look at it again"),
        Refused::OrderState(_) => (S::CONFLICT, "order-state", "The order's state does not allow this"),
        Refused::PaymentRunning => (S::CONFLICT, "payment-running", "A payment is under way"),
        Refused::InReview => (S::CONFLICT, "payment-in-review", "Its payment needs a look, or was settled outside"),
        Refused::CannotSettle => (S::CONFLICT, "cannot-settle", "This does not settle the payment as it is now: look at it again"),
        Refused::TooManyAttempts(_) => (S::CONFLICT, "too-many-attempts", "Too many attempts to pay this order"),
        Refused::TooManyDeclines(_) => (S::CONFLICT, "too-many-declines", "Too many of your cards were declined: no other is tried in this visit"),
        Refused::TooManyOpenHolds(_) => (S::CONFLICT, "too-many-open-holds", "You hold seats as often as one fan may: pay for some, or give some back"),
        Refused::InUse => (S::CONFLICT, "seating-in-use", "Seats are held or booked: a change of the plan has to be confirmed"),
        Refused::PlanDiffers(_) => (S::CONFLICT, "plan-differs", "The plan or the sale has changed since this difference was shown: look at it again"),
        Refused::NoSuchShard => (S::NOT_FOUND, "no-such-shard", "There is no such database"),
        Refused::OnSale => (S::CONFLICT, "event-on-sale", "Fans are inside, hold seats or are paying: the event stays where it is"),
        Refused::HasOrders => (S::CONFLICT, "event-has-orders", "Something was booked or paid: the event stays"),
        Refused::EventInUse => (S::CONFLICT, "event-in-use", "Seats are held, or money is on its way: the event stays for now"),
        Refused::StillRunning => (S::CONFLICT, "still-running", "The first request with this key is still running"),
    };
    Problem::new(status, kind, title)
}

/// Returns the problem for a card that is not tried, as too many others from the same address were
/// declined.
pub(crate) fn declined_address(retry_after_seconds: u32) -> Problem {
    let title =
        "Too many cards were declined from your network: try again later, or from elsewhere";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-declines", title)
        .retry_after(retry_after_seconds)
}

/// Returns the problem for a hold of one more fan of a network in which many hold seats.
pub(crate) fn network_is_full() -> Problem {
    let title = "As many fans of your network hold seats as may at one time: try again in a moment";
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-seat-holders",
        title,
    )
    .retry_after(10)
}

/// Returns the problem for an extension that is not to be had.
pub(crate) fn not_extendable() -> Problem {
    let title = "This session cannot be extended, or was already";
    Problem::new(StatusCode::CONFLICT, "not-extendable", title)
}

/// Returns the problem for a missing or unknown session.
pub fn no_session() -> Problem {
    let title = "A session is needed: trade in an admission token first";
    Problem::new(StatusCode::UNAUTHORIZED, "no-session", title)
}
