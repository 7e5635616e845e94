//! Stripe's webhooks: events about PaymentIntents and what belongs to them.

use super::intent::Intent;
use crate::inventory::{ProviderId, Verdict};
use crate::payment::provider::{Claim, Notice, Told, is_word, refund_failed};
use serde::Deserialize;
use serde_json::Value;
use shared::http::problem::{Problem, parse_json};

/// Largest number of characters of an id.
const ID_CHARS_MAX: usize = 255;

#[derive(Deserialize)]
struct StripeEvent {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: EventData,
}

#[derive(Deserialize)]
struct EventData {
    object: Value,
}

/// Reads an event; `None` if it is about nothing of ours.
///
/// # Errors
/// If it is no event.
pub(in crate::payment) fn notice(body: &[u8]) -> Result<Option<Notice>, Problem> {
    let StripeEvent { id, kind, data } = parse_json(body)?;
    let object = data.object;
    let Some(reference) = reference(&object).filter(|_| id.len() <= ID_CHARS_MAX) else {
        return Ok(None);
    };
    let reference = reference.to_owned();
    let complaint = (kind == "refund.failed").then(|| refund_failed(&object["amount"]));
    let dispute = object["id"].as_str().filter(|id| is_word(id));
    let dispute = dispute.filter(|_| object["object"] == "dispute");
    let dispute = dispute.map(str::to_owned);
    let intent: Option<Intent> = match object["object"].as_str() {
        Some("payment_intent") => serde_json::from_value(object).ok(),
        _ => None,
    };
    let told = match intent.map(|intent| intent.told()) {
        // It is of another shop with this account.
        Some(None) => return Ok(None),
        told => told.flatten(),
    };
    // Only what moves a payment forward is believed without asking: an event may be late.
    let is_forward =
        |told: &Told| matches!(told.report.verdict, Verdict::Authorised | Verdict::Captured);
    let told = told.filter(is_forward);
    let claim = Claim { dispute, complaint };
    Ok(Some(Notice {
        id,
        provider: ProviderId::Stripe,
        reference,
        told,
        claim,
    }))
}

/// Returns the PaymentIntent that an object is, or belongs to.
fn reference(object: &Value) -> Option<&str> {
    let reference = match object["object"].as_str()? {
        "payment_intent" => object["id"].as_str()?,
        _ => object["payment_intent"].as_str()?,
    };
    let is_id = reference.len() <= ID_CHARS_MAX && is_word(reference);
    (is_id && reference.starts_with("pi_")).then_some(reference)
}
