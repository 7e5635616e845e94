//! A provider's stand-in as fans and tests meet it, whichever provider it is.

use checkout::inventory::ProviderId;
use checkout::payment::{PaymentArgs, RazorpayArgs, StripeArgs};
use serde_json::{Value, json};
use shared::crypto::{hex, sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use testkit::{
    ApiFault, LastRequest, RAZORPAY_KEY_ID, RAZORPAY_KEY_SECRET, RAZORPAY_WEBHOOK_SECRET,
    RazorpayEvent, RazorpayStandIn, STRIPE_KEY, STRIPE_WEBHOOK_SECRET, StripeStandIn, WebhookEvent,
};
use tokio::sync::Notify;

/// A stand-in of one of the providers.
pub(crate) enum AtProvider {
    Stripe(StripeStandIn),
    Razorpay(RazorpayStandIn),
}

/// A card, by what comes of it.
#[derive(Clone, Copy)]
pub(crate) enum Card {
    Good,
    /// It asks for 3-D Secure.
    Secure,
    NoFunds,
    Expired,
}

/// Money of a payment, as its provider's books have it, in minor units.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    /// Whether the provider takes or keeps a reservation for it until it is cancelled; never with
    /// Razorpay, which cannot cancel.
    pub(crate) is_open: bool,
}

/// A request of the checkout to a provider.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Offer,
    LookUp,
    Capture,
    Cancel,
    Refund,
}

/// A webhook.
#[derive(Clone, Debug)]
pub(crate) enum Webhook {
    Stripe(WebhookEvent),
    Razorpay(RazorpayEvent),
}

impl Account {
    /// Returns the money that is left of it.
    pub(crate) fn kept(&self) -> i64 {
        self.captured - self.refunded
    }
}

impl AtProvider {
    pub(crate) async fn stripe() -> AtProvider {
        AtProvider::Stripe(StripeStandIn::start().await.unwrap())
    }

    pub(crate) async fn razorpay() -> AtProvider {
        AtProvider::Razorpay(RazorpayStandIn::start().await.unwrap())
    }

    /// Returns the settings with which a node uses it.
    pub(crate) fn settings(&self) -> PaymentArgs {
        let payments = Some(self.name().to_owned());
        match self {
            AtProvider::Stripe(stand_in) => PaymentArgs {
                payments,
                stripe: StripeArgs {
                    stripe_key: Some(STRIPE_KEY.into()),
                    stripe_webhook_secret: Some(STRIPE_WEBHOOK_SECRET.into()),
                    stripe_url: Some(stand_in.url().into()),
                    ..StripeArgs::default()
                },
                ..PaymentArgs::default()
            },
            AtProvider::Razorpay(stand_in) => PaymentArgs {
                payments,
                razorpay: RazorpayArgs {
                    razorpay_key_id: Some(RAZORPAY_KEY_ID.into()),
                    razorpay_key_secret: Some(RAZORPAY_KEY_SECRET.into()),
                    razorpay_webhook_secrets: Some(RAZORPAY_WEBHOOK_SECRET.into()),
                    razorpay_url: Some(stand_in.url().into()),
                },
                ..PaymentArgs::default()
            },
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            AtProvider::Stripe(_) => "stripe",
            AtProvider::Razorpay(_) => "razorpay",
        }
    }

    pub(crate) fn id(&self) -> ProviderId {
        match self {
            AtProvider::Stripe(_) => ProviderId::Stripe,
            AtProvider::Razorpay(_) => ProviderId::Razorpay,
        }
    }

    /// Returns what a payment tells the fan's browser to pay with; empty if nothing yet.
    pub(crate) fn told(&self, payment: &Value) -> String {
        let told = match self {
            AtProvider::Stripe(_) => &payment["client_secret"],
            AtProvider::Razorpay(_) => &payment["order_id"],
        };
        told.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn is_stripe(&self) -> bool {
        matches!(self, AtProvider::Stripe(_))
    }

    /// Has the next request for an operation go wrong.
    pub(crate) fn fail(&self, operation: Operation, fault: ApiFault) {
        match self {
            AtProvider::Stripe(stand_in) => {
                let name = match operation {
                    Operation::Offer => "create",
                    Operation::LookUp => "retrieve",
                    Operation::Capture => "capture",
                    Operation::Cancel => "cancel",
                    Operation::Refund => "refund",
                };
                stand_in.fail(name, fault);
            }
            AtProvider::Razorpay(stand_in) => {
                let name = match operation {
                    Operation::Offer => "create",
                    // To cancel is to look whether it was paid.
                    Operation::LookUp | Operation::Cancel => "attempts",
                    Operation::Capture => "capture",
                    Operation::Refund => "refund",
                };
                stand_in.fail(name, fault);
            }
        }
    }

    /// Forgets the faults that were to come.
    pub(crate) fn heal(&self) {
        match self {
            AtProvider::Stripe(stand_in) => stand_in.heal(),
            AtProvider::Razorpay(stand_in) => stand_in.heal(),
        }
    }

    /// Leaves all requests after so many without an answer, and without an effect but for that of
    /// the first of them. Returns what tells of that one.
    pub(crate) fn fall_silent(&self, after: usize, last: LastRequest) -> Arc<Notify> {
        match self {
            AtProvider::Stripe(stand_in) => stand_in.fall_silent(after, last),
            AtProvider::Razorpay(stand_in) => stand_in.fall_silent(after, last),
        }
    }

    /// Returns the money of each payment that we offered, by the provider's id of it.
    pub(crate) fn accounts(&self) -> BTreeMap<String, Account> {
        let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
        match self {
            AtProvider::Stripe(stand_in) => {
                let intents = stand_in.intents().into_iter();
                for intent in intents.filter(|intent| intent["metadata"]["payment"].is_string()) {
                    let id = intent["id"].as_str().unwrap();
                    let account = Account {
                        captured: intent["amount_received"].as_i64().unwrap_or(0),
                        refunded: stand_in.refunded(id),
                        is_open: intent["status"] != "succeeded" && intent["status"] != "canceled",
                    };
                    accounts.insert(id.to_owned(), account);
                }
            }
            AtProvider::Razorpay(stand_in) => {
                let orders = stand_in.orders().into_iter();
                for order in orders.filter(|order| order["notes"]["payment"].is_string()) {
                    accounts.insert(order["id"].as_str().unwrap().to_owned(), Account::default());
                }
                for attempt in stand_in.payments() {
                    let order = attempt["order_id"].as_str().unwrap();
                    let Some(account) = accounts.get_mut(order) else {
                        continue;
                    };
                    // A reservation that lapsed counts as refunded, though nothing was taken.
                    if attempt["captured"] == true {
                        account.captured += attempt["amount"].as_i64().unwrap();
                        account.refunded += attempt["amount_refunded"].as_i64().unwrap();
                    }
                }
            }
        }
        accounts
    }

    /// Pays as the fan's browser does, with what it was told. Returns the provider's id of that.
    pub(crate) fn pay(&self, told: &str, card: Card) -> Result<String, Value> {
        match self {
            AtProvider::Stripe(stand_in) => {
                let card = match card {
                    Card::Good => "pm_card_visa",
                    Card::Secure => "pm_card_threeDSecure2Required",
                    Card::NoFunds => "pm_card_chargeDeclinedInsufficientFunds",
                    Card::Expired => "pm_card_chargeDeclinedExpiredCard",
                };
                let paid = stand_in.confirm(told, card)?;
                Ok(paid["id"].as_str().unwrap().to_owned())
            }
            AtProvider::Razorpay(stand_in) => {
                let card = match card {
                    Card::Good => "card",
                    Card::Secure => "3ds",
                    Card::NoFunds => "insufficient_funds",
                    Card::Expired => "expired",
                };
                let paid = stand_in.pay(told, card)?;
                let id = paid["razorpay_payment_id"].as_str().or(paid["id"].as_str());
                Ok(id.unwrap().to_owned())
            }
        }
    }

    /// Ends 3-D Secure of what `pay` returned.
    pub(crate) fn authenticate(&self, id: &str, is_well: bool) {
        match self {
            AtProvider::Stripe(stand_in) => {
                stand_in.authenticate(id, is_well).unwrap();
            }
            AtProvider::Razorpay(stand_in) => {
                assert_eq!(stand_in.authenticate(id, is_well).is_ok(), is_well);
            }
        }
    }

    /// Ends the reservation of what `pay` returned.
    pub(crate) fn lapse(&self, id: &str) {
        match self {
            AtProvider::Stripe(stand_in) => {
                stand_in.cancel(id).unwrap();
            }
            AtProvider::Razorpay(stand_in) => stand_in.lapse(id),
        }
    }

    /// Returns a webhook by which the provider says that another amount was paid than ours.
    pub(crate) fn misstate(&self, id: &str, amount: i64, currency: &str) -> Webhook {
        match self {
            AtProvider::Stripe(stand_in) => {
                let mut intent = stand_in.intent(id).unwrap();
                intent["amount"] = amount.into();
                intent["currency"] = currency.to_ascii_lowercase().into();
                let kind = "payment_intent.amount_capturable_updated";
                let body = json!({"id": format!("evt_{id}"), "object": "event", "type": kind,
                    "data": {"object": intent}});
                Webhook::Stripe(WebhookEvent {
                    kind: kind.into(),
                    body: body.to_string(),
                })
            }
            AtProvider::Razorpay(stand_in) => {
                stand_in.alter(id, amount, currency);
                self.take_events().pop().unwrap()
            }
        }
    }

    /// Returns the provider's id of what was paid last.
    pub(crate) fn newest(&self) -> String {
        let all = match self {
            AtProvider::Stripe(stand_in) => stand_in.intents(),
            AtProvider::Razorpay(stand_in) => stand_in.payments(),
        };
        all[0]["id"].as_str().unwrap().to_owned()
    }

    /// Refunds an amount as a merchant does in the provider's dashboard.
    pub(crate) fn refund_elsewhere(&self, id: &str, amount: i64) {
        match self {
            AtProvider::Stripe(stand_in) => stand_in.refund(id, amount).unwrap(),
            AtProvider::Razorpay(stand_in) => stand_in.refund(id, amount).unwrap(),
        };
    }

    /// Has the cardholder dispute an amount of what was paid.
    pub(crate) fn dispute(&self, id: &str, amount: i64) {
        self.dispute_in(id, amount, None);
    }

    /// As `dispute`, in another currency than what was paid if one is named.
    pub(crate) fn dispute_in(&self, id: &str, amount: i64, currency: Option<&str>) {
        match self {
            AtProvider::Stripe(stand_in) => stand_in.dispute(id, amount, currency),
            AtProvider::Razorpay(stand_in) => stand_in.dispute(id, amount, currency),
        }
    }

    /// Has the newest dispute of what was paid come to a status: `won`, `lost`, `closed` as an inquiry
    /// ends, or `open` again.
    pub(crate) fn end_dispute(&self, id: &str, status: &str) {
        match self {
            AtProvider::Stripe(stand_in) => {
                let status = match status {
                    "closed" => "warning_closed",
                    "open" => "needs_response",
                    other => other,
                };
                stand_in.end_dispute(id, status);
            }
            AtProvider::Razorpay(stand_in) => stand_in.end_dispute(id, status),
        }
    }

    /// Has the next refund get no answer that says anything, whether it is made or not.
    pub(crate) fn lose_refund(&self, is_made: LastRequest) {
        match (self, is_made) {
            (AtProvider::Stripe(stand_in), LastRequest::Done) => {
                stand_in.fail("refund", ApiFault::AnswerLost);
                stand_in.fail("list_refunds", ApiFault::FailedBefore);
            }
            (AtProvider::Stripe(stand_in), LastRequest::Undone) => {
                stand_in.fail("refund", ApiFault::FailedBefore);
                stand_in.fail("list_refunds", ApiFault::FailedBefore);
            }
            (AtProvider::Razorpay(stand_in), LastRequest::Done) => {
                // It is asked for the refunds before and after.
                stand_in.fail("refunds", ApiFault::Delayed(Duration::ZERO));
                stand_in.fail("refund", ApiFault::AnswerLost);
                stand_in.fail("refunds", ApiFault::FailedBefore);
            }
            (AtProvider::Razorpay(stand_in), LastRequest::Undone) => {
                stand_in.fail("refunds", ApiFault::FailedBefore);
            }
        }
    }

    /// Has the newest refund of what was paid fail that was accepted.
    pub(crate) fn fail_refund(&self, id: &str) {
        match self {
            AtProvider::Stripe(stand_in) => stand_in.fail_refund(id),
            AtProvider::Razorpay(stand_in) => stand_in.fail_refund(id),
        }
    }

    /// Returns how many payments were offered to it.
    pub(crate) fn offers(&self) -> usize {
        match self {
            AtProvider::Stripe(stand_in) => stand_in.intents().len(),
            AtProvider::Razorpay(stand_in) => stand_in.orders().len(),
        }
    }

    /// Returns how often it was asked to take money.
    pub(crate) fn captures(&self) -> usize {
        self.calls("capture")
    }

    /// Returns how often it was asked to give money back.
    pub(crate) fn refunds(&self) -> usize {
        self.calls("refund")
    }

    /// Returns how often it was asked how a payment is.
    pub(crate) fn look_ups(&self) -> usize {
        self.calls("retrieve") + self.calls("attempts")
    }

    fn calls(&self, operation: &str) -> usize {
        let calls = match self {
            AtProvider::Stripe(stand_in) => stand_in.calls(),
            AtProvider::Razorpay(stand_in) => stand_in.calls(),
        };
        calls.iter().filter(|call| *call == operation).count()
    }

    /// Returns how many payments hold money that was taken.
    pub(crate) fn taken(&self) -> usize {
        match self {
            AtProvider::Stripe(stand_in) => {
                let intents = stand_in.intents().into_iter();
                intents.filter(|one| one["status"] == "succeeded").count()
            }
            AtProvider::Razorpay(stand_in) => {
                let payments = stand_in.payments().into_iter();
                payments.filter(|one| one["captured"] == true).count()
            }
        }
    }

    /// Takes the webhooks that were not delivered yet, in the order in which they happened.
    pub(crate) fn take_events(&self) -> Vec<Webhook> {
        match self {
            AtProvider::Stripe(stand_in) => {
                let events = stand_in.take_events().into_iter();
                events.map(Webhook::Stripe).collect()
            }
            AtProvider::Razorpay(stand_in) => {
                let events = stand_in.take_events().into_iter();
                events.map(Webhook::Razorpay).collect()
            }
        }
    }
}

impl Webhook {
    /// Returns the route that takes it, and the header with its signature.
    pub(crate) fn route(&self) -> (&'static str, &'static str) {
        match self {
            Webhook::Stripe(_) => ("/webhooks/stripe", "stripe-signature"),
            Webhook::Razorpay(_) => ("/webhooks/razorpay", "x-razorpay-signature"),
        }
    }

    pub(crate) fn body(&self) -> &str {
        match self {
            Webhook::Stripe(event) => &event.body,
            Webhook::Razorpay(event) => &event.body,
        }
    }

    /// Returns the signature of this webhook, sent at this time in seconds.
    pub(crate) fn signature_at(&self, at: u64) -> String {
        match self {
            Webhook::Stripe(event) => event.signature_at(at),
            Webhook::Razorpay(event) => event.signature(),
        }
    }

    /// Returns the id under which the checkout remembers it.
    pub(crate) fn inbox_id(&self) -> String {
        match self {
            Webhook::Stripe(event) => {
                let event: Value = serde_json::from_str(&event.body).unwrap();
                event["id"].as_str().unwrap().to_owned()
            }
            Webhook::Razorpay(event) => {
                format!("razorpay:{}", hex(&sha256(event.body.as_bytes())))
            }
        }
    }

    /// Returns signatures that must not be accepted for it.
    pub(crate) fn bad_signatures(&self, now: u64) -> Vec<String> {
        let other = self.with_body(&self.body().replace("4500", "1"));
        let mut bad = vec![String::new(), other.signature_at(now)];
        match self {
            Webhook::Stripe(event) => {
                bad.push("t=1,v1=00".to_owned());
                bad.push(event.signature_at(now - 301));
            }
            Webhook::Razorpay(event) => {
                let good = event.signature();
                bad.push(good[..62].to_owned());
                bad.push(good.to_ascii_uppercase());
                bad.push("00".repeat(32));
            }
        }
        bad
    }

    fn with_body(&self, body: &str) -> Webhook {
        let body = body.to_owned();
        match self {
            Webhook::Stripe(event) => Webhook::Stripe(WebhookEvent {
                body,
                ..event.clone()
            }),
            Webhook::Razorpay(event) => Webhook::Razorpay(RazorpayEvent {
                body,
                ..event.clone()
            }),
        }
    }
}
