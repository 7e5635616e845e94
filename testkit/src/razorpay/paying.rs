//! Actions of fans and their banks at the stand-in.

use super::books::{Answered, RazorpayBooks, no_such_id, refusal};
use crate::endpoint::{now, sign};
use serde_json::{Value, json};

/// Secret of the key that the stand-in accepts.
pub const KEY_SECRET: &str = "key_secret_stand_in";

impl RazorpayBooks {
    /// Pays an order in Razorpay's window.
    pub(super) fn pay(&mut self, order: &str, card: &str) -> Answered {
        let known = self.order(order)?;
        if known["status"] == "paid" {
            return Err(refusal("Payment already done for this order."));
        }
        let id = self.id("pay");
        let payment = json!({"id": id, "entity": "payment", "amount": known["amount"],
            "currency": known["currency"], "status": "created", "order_id": order, "invoice_id": null,
            "international": false, "method": "card", "amount_refunded": 0, "refund_status": null,
            "captured": false, "description": null, "notes": [], "fee": null, "tax": null,
            "error_code": null, "error_description": null, "error_source": null, "error_step": null,
            "error_reason": null, "created_at": now()});
        self.add_payment(payment.clone());
        self.change_order(order, |order| {
            order["status"] = "attempted".into();
            order["attempts"] = (order["attempts"].as_i64().unwrap_or_default() + 1).into();
        });
        match card {
            "card" => self.authenticate(&id, true),
            "3ds" => Ok(payment),
            "declined" => Err(self.decline(&id, "payment_declined")),
            "insufficient_funds" => Err(self.decline(&id, "insufficient_funds")),
            "expired" => Err(self.decline(&id, "card_expired")),
            _ => Err(no_such_id()),
        }
    }

    /// Ends 3-D Secure, and returns what the page is given.
    pub(super) fn authenticate(&mut self, id: &str, is_well: bool) -> Answered {
        let payment = self.payment(id)?;
        // A bank may say late that a payment which had failed is good.
        if payment["status"] != "created" && payment["status"] != "failed" {
            return Err(refusal("The payment does not wait for the bank"));
        }
        if !is_well {
            return Err(self.decline(id, "authentication_failed"));
        }
        let payment = self.change_payment(id, |payment| {
            payment["status"] = "authorized".into();
            for field in ["error_code", "error_description", "error_reason"] {
                payment[field] = Value::Null;
            }
        });
        self.happened("payment.authorized", &[("payment", &payment)]);
        let order = payment["order_id"].as_str().unwrap_or_default();
        if self.order(order)?["_capture"] == "automatic" {
            self.take(id, order);
        }
        Ok(
            json!({"razorpay_payment_id": id, "razorpay_order_id": order,
            "razorpay_signature": sign(KEY_SECRET, &format!("{order}|{id}"))}),
        )
    }

    fn decline(&mut self, id: &str, reason: &str) -> Value {
        let description = "Your payment could not be completed.";
        let payment = self.change_payment(id, |payment| {
            payment["status"] = "failed".into();
            payment["error_code"] = "BAD_REQUEST_ERROR".into();
            payment["error_description"] = description.into();
            payment["error_reason"] = reason.into();
        });
        self.happened("payment.failed", &[("payment", &payment)]);
        json!({"error": {"code": "BAD_REQUEST_ERROR", "description": description, "source": "customer",
            "step": "payment_authorization", "reason": reason,
            "metadata": {"payment_id": id, "order_id": payment["order_id"]}}})
    }

    /// Gives reserved money back that was not captured in time.
    pub(super) fn lapse(&mut self, id: &str) {
        let Ok(payment) = self.payment(id) else {
            return;
        };
        if payment["status"] == "authorized" {
            let amount = payment["amount"].as_i64().unwrap_or_default();
            let refund = self.add_refund(&payment, amount, &json!({}));
            self.happened_to_refund("refund.processed", &refund);
        }
    }

    /// Changes the amount and currency of an attempt.
    pub(super) fn alter(&mut self, id: &str, amount: i64, currency: &str) {
        self.change_payment(id, |payment| {
            payment["amount"] = amount.into();
            payment["currency"] = currency.into();
        });
    }
}
