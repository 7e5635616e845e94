//! The stand-in's memory: orders, attempts to pay them, refunds, and what merchants do with them.

use super::events::RazorpayEvent;
use crate::endpoint::now;
use crate::stand_in::Ledger;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Smallest amount of an order in minor units, as of one rupee.
const AMOUNT_MIN: i64 = 100;
/// Largest number of characters of a receipt.
const RECEIPT_CHARS_MAX: usize = 40;
/// Smallest number of characters of an idempotency key.
const KEY_CHARS_MIN: usize = 10;

/// Outcome of a request: an entity, or an error.
pub(super) type Answered = Result<Value, Value>;

/// The refund that an idempotency key stands for.
struct MadeRefund {
    request: String,
    refund: Value,
}

#[derive(Default)]
pub(super) struct RazorpayBooks {
    /// Each in the order in which they were made.
    orders: Vec<Value>,
    payments: Vec<Value>,
    refunds: Vec<Value>,
    disputes: Vec<Value>,
    keys: HashMap<String, MadeRefund>,
    events: Vec<RazorpayEvent>,
    made: u64,
}

impl Ledger for RazorpayBooks {
    type Event = RazorpayEvent;

    fn take_events(&mut self) -> Vec<RazorpayEvent> {
        std::mem::take(&mut self.events)
    }
}

/// Returns the body of an error.
pub(super) fn refusal(description: &str) -> Value {
    json!({"error": {"code": "BAD_REQUEST_ERROR", "description": description, "source": "business",
        "step": "payment_initiation", "reason": "input_validation_failed", "metadata": {}}})
}

pub(super) fn no_such_id() -> Value {
    refusal("The id provided does not exist")
}

fn find<'a>(entities: &'a mut [Value], id: &str) -> Option<&'a mut Value> {
    entities.iter_mut().find(|entity| entity["id"] == id)
}

impl RazorpayBooks {
    pub(super) fn id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}_StandIn{:07}", self.made)
    }

    pub(super) fn order(&self, id: &str) -> Answered {
        let found = self.orders.iter().find(|order| order["id"] == id);
        found.cloned().ok_or_else(no_such_id)
    }

    pub(super) fn payment(&self, id: &str) -> Answered {
        let found = self.payments.iter().find(|payment| payment["id"] == id);
        found.cloned().ok_or_else(no_such_id)
    }

    pub(super) fn orders(&self) -> Vec<Value> {
        self.orders.iter().rev().cloned().collect()
    }

    pub(super) fn payments(&self) -> Vec<Value> {
        self.payments.iter().rev().cloned().collect()
    }

    pub(super) fn payments_of(&self, order: &str) -> Vec<Value> {
        let mut all = self.payments();
        all.retain(|payment| payment["order_id"] == order);
        all
    }

    pub(super) fn refunds_of(&self, payment: &str) -> Vec<Value> {
        let all = self.refunds.iter().rev();
        all.filter(|refund| refund["payment_id"] == payment)
            .cloned()
            .collect()
    }

    pub(super) fn add_payment(&mut self, payment: Value) {
        self.payments.push(payment);
    }

    pub(super) fn change_order(&mut self, id: &str, change: impl FnOnce(&mut Value)) {
        if let Some(order) = find(&mut self.orders, id) {
            change(order);
        }
    }

    /// Changes an attempt, and returns it.
    pub(super) fn change_payment(&mut self, id: &str, change: impl FnOnce(&mut Value)) -> Value {
        let Some(payment) = find(&mut self.payments, id) else {
            return Value::Null;
        };
        change(payment);
        payment.clone()
    }

    /// Notes an event about entities of these names.
    pub(super) fn happened(&mut self, kind: &str, entities: &[(&str, &Value)]) {
        let id = self.id("event");
        let names: Vec<&str> = entities.iter().map(|(name, _)| *name).collect();
        let mut payload = json!({});
        for (name, entity) in entities {
            payload[*name] = json!({"entity": entity});
        }
        let body = json!({"entity": "event", "account_id": "acc_StandIn0000000", "event": kind,
            "contains": names, "payload": payload, "created_at": now()});
        self.events.push(RazorpayEvent {
            id,
            kind: kind.to_owned(),
            body: body.to_string(),
        });
    }

    pub(super) fn create(&mut self, fields: &Value) -> Answered {
        let Some(amount) = fields["amount"].as_i64() else {
            return Err(refusal("The amount must be an integer."));
        };
        let currency = fields["currency"].as_str().unwrap_or_default();
        if amount < AMOUNT_MIN && currency != "JPY" {
            return Err(refusal("Order amount less than minimum amount allowed"));
        }
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(refusal("Currency is not supported"));
        }
        if ["KWD", "BHD", "OMR"].contains(&currency) && amount % 10 != 0 {
            return Err(refusal("The last decimal must be 0"));
        }
        let receipt = fields["receipt"].as_str().unwrap_or_default();
        if receipt.len() > RECEIPT_CHARS_MAX {
            let why = "The receipt may not be greater than 40 characters.";
            return Err(refusal(why));
        }
        let notes = match &fields["notes"] {
            Value::Null => json!([]),
            notes => notes.clone(),
        };
        let capture = fields["payment"]["capture"].as_str().unwrap_or("automatic");
        let id = self.id("order");
        let order = json!({"id": id, "entity": "order", "amount": amount, "amount_paid": 0,
            "amount_due": amount, "currency": currency, "receipt": fields["receipt"], "offer_id": null,
            "status": "created", "attempts": 0, "notes": notes, "created_at": now(),
            "_capture": capture});
        self.orders.push(order.clone());
        Ok(order)
    }

    pub(super) fn capture(&mut self, id: &str, fields: &Value) -> Answered {
        let payment = self.payment(id)?;
        if payment["status"] == "captured" {
            return Err(refusal("This payment has already been captured"));
        }
        if payment["status"] != "authorized" {
            let why =
                "Only payments which have been authorized and not yet captured can be captured";
            return Err(refusal(why));
        }
        if fields["amount"] != payment["amount"] || fields["currency"] != payment["currency"] {
            let why = "Capture amount must be equal to the amount authorized";
            return Err(refusal(why));
        }
        let order = payment["order_id"].as_str().unwrap_or_default().to_owned();
        if self.order(&order)?["status"] == "paid" {
            return Err(refusal("Payment already done for this order."));
        }
        Ok(self.take(id, &order))
    }

    /// Takes the money of an attempt.
    pub(super) fn take(&mut self, id: &str, order: &str) -> Value {
        let payment = self.change_payment(id, |payment| {
            payment["status"] = "captured".into();
            payment["captured"] = true.into();
        });
        self.change_order(order, |order| {
            order["status"] = "paid".into();
            order["amount_paid"] = order["amount"].clone();
            order["amount_due"] = 0.into();
        });
        let order = self.order(order).unwrap_or_default();
        self.happened("payment.captured", &[("payment", &payment)]);
        self.happened("order.paid", &[("payment", &payment), ("order", &order)]);
        payment
    }

    /// Refunds, once for an idempotency key. Only what was done is remembered.
    pub(super) fn refund(&mut self, id: &str, fields: &Value, key: Option<&str>) -> Answered {
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let request = format!("{id} {fields}");
        if let Some(key) = key {
            if key.len() < KEY_CHARS_MIN || !key.bytes().all(is_sign) {
                return Err(refusal("The idempotency key is not valid"));
            }
            if let Some(known) = self.keys.get(key) {
                return match known.request == request {
                    true => Ok(known.refund.clone()),
                    false => Err(refusal("Different request body for this idempotency key")),
                };
            }
        }
        let refund = self.give_back(id, fields)?;
        if let Some(key) = key {
            let remembered = MadeRefund {
                request,
                refund: refund.clone(),
            };
            self.keys.insert(key.to_owned(), remembered);
        }
        Ok(refund)
    }

    fn give_back(&mut self, id: &str, fields: &Value) -> Answered {
        let payment = self.payment(id)?;
        if payment["captured"] != true {
            let why = "The payment status should be captured for action to be taken";
            return Err(refusal(why));
        }
        let is_disputed =
            |dispute: &Value| dispute["payment_id"] == id && dispute["status"] != "won";
        if self.disputes.iter().any(is_disputed) {
            return Err(refusal("The payment is under dispute"));
        }
        let amount_of = |name: &str| payment[name].as_i64().unwrap_or_default();
        let left = amount_of("amount") - amount_of("amount_refunded");
        let amount = fields["amount"].as_i64().unwrap_or(left);
        if left == 0 {
            return Err(refusal("The payment has been fully refunded already"));
        }
        if amount < 1 || amount > left {
            let why = "The refund amount provided is greater than amount captured";
            return Err(refusal(why));
        }
        let refund = self.add_refund(&payment, amount, fields);
        self.happened_to_refund("refund.processed", &refund);
        Ok(refund)
    }

    /// Enters a refund of an attempt.
    pub(super) fn add_refund(&mut self, payment: &Value, amount: i64, fields: &Value) -> Value {
        let notes = match &fields["notes"] {
            Value::Null => json!([]),
            notes => notes.clone(),
        };
        let refund = json!({"id": self.id("rfnd"), "entity": "refund", "amount": amount,
            "currency": payment["currency"], "payment_id": payment["id"], "notes": notes,
            "receipt": fields["receipt"], "created_at": now(), "status": "processed",
            "speed_requested": "normal", "speed_processed": "normal"});
        self.refunds.push(refund.clone());
        let id = payment["id"].as_str().unwrap_or_default();
        self.change_payment(id, |payment| change_refunded(payment, amount));
        refund
    }

    pub(super) fn happened_to_refund(&mut self, kind: &str, refund: &Value) {
        let id = refund["payment_id"].as_str().unwrap_or_default();
        let payment = self.payment(id).unwrap_or_default();
        self.happened(kind, &[("refund", refund), ("payment", &payment)]);
    }

    /// Has the cardholder of an attempt dispute an amount of it, in its currency or in another.
    pub(super) fn dispute(&mut self, payment: &str, amount: i64, currency: Option<&str>) {
        let Ok(paid) = self.payment(payment) else {
            return;
        };
        let currency = currency.map_or(paid["currency"].clone(), Value::from);
        let dispute = json!({"id": self.id("disp"), "entity": "dispute", "payment_id": payment,
            "amount": amount, "currency": currency, "amount_deducted": 0, "gateway_dispute_id": null,
            "reason_code": "goods_or_services_not_received_or_partially_received",
            "respond_by": now() + 604_800, "status": "open", "phase": "chargeback", "created_at": now()});
        self.disputes.push(dispute.clone());
        let entities = [("payment", &paid), ("dispute", &dispute)];
        self.happened("payment.dispute.created", &entities);
    }

    /// Has the newest dispute of an attempt come to a status: `won`, `lost` or `closed` as the bank
    /// decides, or `open` again.
    pub(super) fn end_dispute(&mut self, payment: &str, status: &str) {
        let mut own = self.disputes.iter_mut().rev();
        let Some(dispute) = own.find(|dispute| dispute["payment_id"] == payment) else {
            return;
        };
        dispute["status"] = status.into();
        if status == "lost" {
            dispute["amount_deducted"] = dispute["amount"].clone();
        }
        let dispute = dispute.clone();
        let paid = self.payment(payment).unwrap_or_default();
        let entities = [("payment", &paid), ("dispute", &dispute)];
        self.happened(&format!("payment.dispute.{status}"), &entities);
    }

    /// Returns all disputes, the newest first.
    pub(super) fn disputes(&self) -> Vec<Value> {
        self.disputes.iter().rev().cloned().collect()
    }

    /// Has the latest refund of an attempt fail that was accepted.
    pub(super) fn fail_refund(&mut self, payment: &str) {
        let mut own = self.refunds.iter_mut().rev();
        let Some(refund) = own.find(|refund| refund["payment_id"] == payment) else {
            return;
        };
        refund["status"] = "failed".into();
        let refund = refund.clone();
        let amount = refund["amount"].as_i64().unwrap_or_default();
        self.change_payment(payment, |payment| change_refunded(payment, -amount));
        self.happened_to_refund("refund.failed", &refund);
    }
}

/// Adds to what was given back of an attempt.
fn change_refunded(payment: &mut Value, amount: i64) {
    let refunded = payment["amount_refunded"].as_i64().unwrap_or_default() + amount;
    payment["amount_refunded"] = refunded.into();
    let is_whole = payment["amount"] == refunded;
    payment["refund_status"] = match refunded {
        0 => Value::Null,
        _ if is_whole => "full".into(),
        _ => "partial".into(),
    };
    payment["status"] = if is_whole { "refunded" } else { "captured" }.into();
}
