//! Razorpay's webhooks: events about attempts to pay an order, the order, and refunds.

use crate::inventory::ProviderId;
use crate::payment::provider::{Claim, Notice, is_word, refund_failed};
use serde::Deserialize;
use serde_json::Value;
use shared::crypto::{hex, sha256};
use shared::http::problem::{Problem, parse_json};

/// Largest number of characters of an id.
const ID_CHARS_MAX: usize = 64;

#[derive(Deserialize)]
struct RazorpayEvent {
    event: String,
    payload: Value,
}

/// Reads an event; `None` if it is about nothing of ours.
///
/// It is remembered by the hash of its body. The header `X-Razorpay-Event-Id` is not signed, so that
/// whoever has seen one webhook could send it again and again with other ids.
///
/// Nothing of it is believed but which order it is about, as it may be late, and names the order but
/// not what we noted in it.
///
/// # Errors
/// If it is no event.
pub(in crate::payment) fn notice(body: &[u8]) -> Result<Option<Notice>, Problem> {
    let RazorpayEvent { event, payload } = parse_json(body)?;
    let Some(reference) = reference(&payload) else {
        return Ok(None);
    };
    let has_failed = event == "refund.failed";
    let complaint = has_failed.then(|| refund_failed(&payload["refund"]["entity"]["amount"]));
    let dispute = payload["dispute"]["entity"]["id"].as_str();
    let dispute = dispute.filter(|id| is_word(id)).map(str::to_owned);
    Ok(Some(Notice {
        id: format!("razorpay:{}", hex(&sha256(body))),
        provider: ProviderId::Razorpay,
        reference: reference.to_owned(),
        told: None,
        claim: Claim { complaint, dispute },
    }))
}

/// Returns the order that an event is about.
fn reference(payload: &Value) -> Option<&str> {
    let of_order = payload["order"]["entity"]["id"].as_str();
    let reference = of_order.or(payload["payment"]["entity"]["order_id"].as_str())?;
    let is_id = reference.len() <= ID_CHARS_MAX && is_word(reference);
    (is_id && reference.starts_with("order_")).then_some(reference)
}
