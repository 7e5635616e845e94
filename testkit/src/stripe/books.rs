//! The stand-in's memory: payments, refunds, and the answers to idempotency keys.

use super::webhooks::WebhookEvent;
use crate::endpoint::now;
use crate::stand_in::{Form as Fields, Ledger};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// An answer that was given to an idempotency key.
pub(super) struct Remembered {
    pub(super) request: String,
    /// `None` while the request is under way.
    pub(super) answer: Option<(u16, Value)>,
}

#[derive(Default)]
pub(super) struct StripeBooks {
    /// In the order in which they were made, which is that of their ids.
    intents: Vec<Value>,
    refunds: Vec<Value>,
    disputes: Vec<Value>,
    pub(super) answers: HashMap<String, Remembered>,
    events: Vec<WebhookEvent>,
    made: u64,
}

/// Returns the body of an error.
pub(super) fn error(kind: &str, code: &str, message: &str) -> Value {
    json!({"error": {"type": kind, "code": code, "message": message}})
}

fn card_error(code: &str, decline_code: &str) -> Value {
    json!({"type": "card_error", "code": code, "decline_code": decline_code, "message": "Your card was declined."})
}

fn unexpected(intent: &Value) -> Value {
    let message = format!(
        "This PaymentIntent's status {} does not allow this",
        intent["status"]
    );
    let code = "payment_intent_unexpected_state";
    error("invalid_request_error", code, &message)
}

fn missing(what: &str) -> Value {
    let message = format!("No such {what}");
    error("invalid_request_error", "resource_missing", &message)
}

impl Ledger for StripeBooks {
    type Event = WebhookEvent;

    fn take_events(&mut self) -> Vec<WebhookEvent> {
        std::mem::take(&mut self.events)
    }
}

impl StripeBooks {
    fn id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}_standin{:08}", self.made)
    }

    fn place(&self, id: &str) -> Option<usize> {
        let intents = &self.intents;
        let found = intents.binary_search_by(|intent| intent["id"].as_str().cmp(&Some(id)));
        found.ok()
    }

    pub(super) fn intent(&self, id: &str) -> Option<Value> {
        self.place(id).map(|at| self.intents[at].clone())
    }

    /// Returns the payments made before this one, the newest first.
    pub(super) fn intents_before(&self, id: Option<&str>) -> impl Iterator<Item = &Value> {
        let end = id.and_then(|id| self.place(id));
        self.intents[..end.unwrap_or(self.intents.len())]
            .iter()
            .rev()
    }

    /// Returns all payments, the newest first.
    pub(super) fn intents(&self) -> Vec<Value> {
        self.intents.iter().rev().cloned().collect()
    }

    /// Returns all refunds, the newest first.
    pub(super) fn refunds(&self) -> Vec<Value> {
        self.refunds.iter().rev().cloned().collect()
    }

    fn happened(&mut self, kind: &str, object: &Value) {
        let id = self.id("evt");
        let body = json!({"id": id, "object": "event", "type": kind, "created": now(), "livemode": false,
            "api_version": "2024-06-20", "data": {"object": object}});
        self.events.push(WebhookEvent {
            kind: kind.to_owned(),
            body: body.to_string(),
        });
    }

    /// Changes a payment, and tells of it.
    fn change(&mut self, id: &str, kind: &str, change: impl FnOnce(&mut Value)) -> Value {
        let Some(at) = self.place(id) else {
            return Value::Null;
        };
        let intent = &mut self.intents[at];
        change(intent);
        let intent = intent.clone();
        self.happened(kind, &intent);
        intent
    }

    pub(super) fn create(&mut self, fields: &Fields) -> Result<Value, Value> {
        let text = |name: &str| fields.get(name).cloned();
        let wrong = |param: &str| {
            let message = format!("Invalid or missing: {param}");
            Err(error(
                "invalid_request_error",
                "parameter_invalid",
                &message,
            ))
        };
        let Some(amount) = text("amount").and_then(|amount| amount.parse::<i64>().ok()) else {
            return wrong("amount");
        };
        if amount < 1 {
            return wrong("amount");
        }
        let Some(currency) = text("currency").filter(|code| code.len() == 3) else {
            return wrong("currency");
        };
        let metadata = metadata(fields);
        let id = self.id("pi");
        let capture = text("capture_method").unwrap_or_else(|| "automatic_async".to_owned());
        let intent = json!({"id": id, "object": "payment_intent", "amount": amount, "amount_capturable": 0,
            "amount_received": 0, "currency": currency, "capture_method": capture, "created": now(),
            "client_secret": format!("{id}_secret_{:016x}", self.made * 0x9e37_79b9),
            "status": "requires_payment_method", "metadata": metadata, "last_payment_error": null,
            "latest_charge": null, "next_action": null, "livemode": false});
        self.intents.push(intent.clone());
        self.happened("payment_intent.created", &intent);
        Ok(intent)
    }

    /// Confirms with a card; by a browser if there is a client secret.
    pub(super) fn confirm(
        &mut self,
        id: &str,
        secret: Option<&str>,
        card: &str,
    ) -> Result<Value, Value> {
        let intent = self.intent(id).ok_or_else(|| missing("payment_intent"))?;
        if secret.is_some_and(|secret| intent["client_secret"] != secret) {
            return Err(missing("payment_intent"));
        }
        let waiting = ["requires_payment_method", "requires_confirmation"];
        if !waiting.iter().any(|status| intent["status"] == *status) {
            return Err(unexpected(&intent));
        }
        match card {
            "pm_card_visa" | "pm_card_mastercard" => Ok(self.authorise(id)),
            "pm_card_threeDSecure2Required" | "pm_card_authenticationRequired" => {
                Ok(self.change(id, "payment_intent.requires_action", |intent| {
                    intent["status"] = "requires_action".into();
                    intent["next_action"] = json!({"type": "use_stripe_sdk", "use_stripe_sdk": {}});
                }))
            }
            "pm_card_chargeDeclined" => {
                Err(self.decline(id, card_error("card_declined", "generic_decline")))
            }
            "pm_card_chargeDeclinedInsufficientFunds" => {
                Err(self.decline(id, card_error("card_declined", "insufficient_funds")))
            }
            "pm_card_chargeDeclinedExpiredCard" => {
                Err(self.decline(id, card_error("expired_card", "expired_card")))
            }
            "pm_standin_slow" => Ok(self.change(id, "payment_intent.processing", |intent| {
                intent["status"] = "processing".into();
            })),
            _ => Err(missing("payment_method")),
        }
    }

    fn authorise(&mut self, id: &str) -> Value {
        let charge = self.id("ch");
        let is_manual = self
            .intent(id)
            .is_some_and(|intent| intent["capture_method"] == "manual");
        let (status, kind) = if is_manual {
            (
                "requires_capture",
                "payment_intent.amount_capturable_updated",
            )
        } else {
            ("succeeded", "payment_intent.succeeded")
        };
        self.change(id, kind, |intent| {
            intent["status"] = status.into();
            intent["next_action"] = Value::Null;
            intent["last_payment_error"] = Value::Null;
            intent["latest_charge"] = charge.into();
            let amount = intent["amount"].clone();
            let field = if is_manual {
                "amount_capturable"
            } else {
                "amount_received"
            };
            intent[field] = amount;
        })
    }

    fn decline(&mut self, id: &str, error: Value) -> Value {
        let told = error.clone();
        let intent = self.change(id, "payment_intent.payment_failed", |intent| {
            intent["status"] = "requires_payment_method".into();
            intent["next_action"] = Value::Null;
            intent["last_payment_error"] = told;
        });
        let mut error = error;
        error["payment_intent"] = intent;
        json!({"error": error})
    }

    /// Ends 3-D Secure, or what takes its time.
    pub(super) fn authenticate(&mut self, id: &str, is_well: bool) -> Option<Value> {
        let intent = self.intent(id)?;
        let waits = ["requires_action", "processing"];
        if !waits.iter().any(|status| intent["status"] == *status) {
            return None;
        }
        if !is_well {
            let error = json!({"type": "invalid_request_error", "code": "payment_intent_authentication_failure",
                "message": "We are unable to authenticate your payment method."});
            self.decline(id, error);
            return self.intent(id);
        }
        Some(self.authorise(id))
    }

    pub(super) fn capture(&mut self, id: &str) -> Result<Value, Value> {
        let intent = self.intent(id).ok_or_else(|| missing("payment_intent"))?;
        if intent["status"] != "requires_capture" {
            return Err(unexpected(&intent));
        }
        Ok(self.change(id, "payment_intent.succeeded", |intent| {
            intent["status"] = "succeeded".into();
            intent["amount_received"] = intent["amount"].clone();
            intent["amount_capturable"] = 0.into();
        }))
    }

    pub(super) fn cancel(&mut self, id: &str) -> Result<Value, Value> {
        let intent = self.intent(id).ok_or_else(|| missing("payment_intent"))?;
        let final_states = ["succeeded", "canceled", "processing"];
        if final_states
            .iter()
            .any(|status| intent["status"] == *status)
        {
            return Err(unexpected(&intent));
        }
        Ok(self.change(id, "payment_intent.canceled", |intent| {
            intent["status"] = "canceled".into();
            intent["amount_capturable"] = 0.into();
        }))
    }

    /// Returns what was given back of a payment.
    pub(super) fn refunded(&self, id: &str) -> i64 {
        let refunds = self.refunds.iter();
        let own = refunds.filter(|refund| refund["payment_intent"] == id);
        let own = own.filter(|refund| refund["status"] != "failed");
        own.filter_map(|refund| refund["amount"].as_i64()).sum()
    }

    pub(super) fn refund(&mut self, fields: &Fields) -> Result<Value, Value> {
        let id = fields.get("payment_intent").map_or("", String::as_str);
        let intent = self.intent(id).ok_or_else(|| missing("payment_intent"))?;
        if intent["status"] != "succeeded" {
            return Err(unexpected(&intent));
        }
        let is_disputed =
            |dispute: &Value| dispute["payment_intent"] == id && dispute["status"] != "won";
        if self.disputes.iter().any(is_disputed) {
            let message = "This charge has been charged back";
            return Err(error("invalid_request_error", "charge_disputed", message));
        }
        let left = intent["amount_received"].as_i64().unwrap_or(0) - self.refunded(id);
        let amount = match fields.get("amount") {
            Some(amount) => amount.parse::<i64>().unwrap_or(0),
            None => left,
        };
        if left == 0 {
            let message = "This charge has already been refunded.";
            let code = "charge_already_refunded";
            return Err(error("invalid_request_error", code, message));
        }
        if amount < 1 || amount > left {
            let message = "Refund amount is greater than unrefunded amount on charge";
            return Err(error("invalid_request_error", "parameter_invalid", message));
        }
        let metadata = metadata(fields);
        let refund = json!({"id": self.id("re"), "object": "refund", "amount": amount, "charge": intent["latest_charge"],
            "currency": intent["currency"], "created": now(), "payment_intent": id, "status": "succeeded",
            "metadata": metadata, "reason": null});
        self.refunds.push(refund.clone());
        let charge = self.charge(&intent);
        self.happened("charge.refunded", &charge);
        Ok(refund)
    }

    /// Has the newest refund of a payment fail that was accepted.
    pub(super) fn fail_refund(&mut self, id: &str) {
        let mut own = self.refunds.iter_mut().rev();
        let Some(refund) = own.find(|refund| refund["payment_intent"] == id) else {
            return;
        };
        refund["status"] = "failed".into();
        refund["failure_reason"] = "lost_or_stolen_card".into();
        let refund = refund.clone();
        self.happened("refund.failed", &refund);
    }

    /// Has the cardholder of a payment dispute an amount of it, in its currency or in another.
    pub(super) fn dispute(
        &mut self,
        id: &str,
        amount: i64,
        currency: Option<&str>,
    ) -> Option<Value> {
        let intent = self.intent(id)?;
        let currency = currency.map(str::to_ascii_lowercase);
        let currency = currency.map_or(intent["currency"].clone(), Value::from);
        let dispute = json!({"id": self.id("du"), "object": "dispute", "amount": amount,
            "charge": intent["latest_charge"], "currency": currency, "created": now(),
            "payment_intent": id, "reason": "fraudulent", "status": "needs_response",
            "evidence_details": {"due_by": now() + 604_800, "has_evidence": false, "past_due": false,
                "submission_count": 0}, "is_charge_refundable": false, "livemode": false, "metadata": {}});
        self.disputes.push(dispute.clone());
        self.happened("charge.dispute.created", &dispute);
        self.happened("charge.dispute.funds_withdrawn", &dispute);
        Some(dispute)
    }

    /// Has the newest dispute of a payment come to a status: `won` or `lost` as the bank decides, or
    /// any other.
    pub(super) fn end_dispute(&mut self, id: &str, status: &str) -> Option<Value> {
        let mut own = self.disputes.iter_mut().rev();
        let dispute = own.find(|dispute| dispute["payment_intent"] == id)?;
        dispute["status"] = status.into();
        let dispute = dispute.clone();
        if status == "won" {
            self.happened("charge.dispute.funds_reinstated", &dispute);
        }
        let is_over = ["won", "lost", "warning_closed"].contains(&status);
        let kind = if is_over { "closed" } else { "updated" };
        self.happened(&format!("charge.dispute.{kind}"), &dispute);
        Some(dispute)
    }

    /// Returns all disputes, the newest first.
    pub(super) fn disputes(&self) -> Vec<Value> {
        self.disputes.iter().rev().cloned().collect()
    }

    /// Returns the charge of a payment in full.
    pub(super) fn charge(&self, intent: &Value) -> Value {
        let refunded = self.refunded(intent["id"].as_str().unwrap_or_default());
        json!({"id": intent["latest_charge"], "object": "charge", "amount": intent["amount"],
            "amount_captured": intent["amount_received"], "amount_refunded": refunded,
            "currency": intent["currency"], "payment_intent": intent["id"]})
    }
}

/// Returns the metadata among the fields of a form.
fn metadata(fields: &Fields) -> BTreeMap<&str, &String> {
    let named = fields.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("metadata[")?.strip_suffix(']')?;
        Some((name, value))
    });
    named.collect()
}
