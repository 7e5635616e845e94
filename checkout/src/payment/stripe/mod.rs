//! Stripe: payments as PaymentIntents with manual capture, over its HTTP API.

mod api;
mod dispute;
mod event;
mod intent;
mod settings;
mod signature;

use super::api::Reply;
use super::provider::{Answer, Listed, ListedDispute, PaymentReport, Provider, Told};
use super::secrets::WebhookSecrets;
use crate::inventory::{DisputeReport, Money, Offer, PaymentRef, ProviderId, RefundRef, Verdict};
use api::{FormBody, StripeApi};
use async_trait::async_trait;
use axum::http::HeaderValue;
use dispute::{DisputeList, StripeDispute};
pub(super) use event::notice;
use intent::{Intent, IntentList, RefundList, StripeRefund};
pub use settings::StripeArgs;
use settings::StripeSettings;
use shared::crypto::random_id;
use shared::time::Time;
use url::Url;

/// Largest number of pages read of a list, of 100 each.
const PAGES_MAX: usize = 2_000;
/// Largest number of idempotency keys for one operation. A key whose request failed is answered
/// with that failure again for a day, so the next one is needed once it is clear that nothing was
/// done. They are the same at every node, so that no two do it at once.
const KEYS_MAX: u32 = 8;

/// The provider.
pub(crate) struct Stripe {
    api: StripeApi,
    webhooks: WebhookSecrets,
    /// Key with which the page shows Stripe's form for cards.
    pub(crate) publishable_key: Option<String>,
    /// Address of the script with that form.
    pub(crate) script: String,
    /// Content security policy of the page with that form.
    pub(crate) policy: HeaderValue,
}

impl Stripe {
    /// Creates the provider.
    pub(crate) fn new(settings: StripeSettings) -> Stripe {
        Stripe {
            policy: policy(&settings.url, &settings.script),
            script: settings.script,
            api: StripeApi::new(&settings.url, &settings.key),
            webhooks: settings.webhook_secrets,
            publishable_key: settings.publishable_key,
        }
    }

    /// Returns whether a header `Stripe-Signature` signs this body, now.
    pub(crate) fn signed(&self, header: &str, body: &[u8], now: Time) -> bool {
        signature::accepts(&self.webhooks, header, body, now)
    }

    /// Returns a PaymentIntent, with its charge in full.
    async fn intent(&self, reference: &str) -> Answer<Intent> {
        let query = FormBody::default().with("expand[]", "latest_charge");
        let reply = self.api.get(&path(reference, ""), &query).await;
        reply.into_answer()
    }

    /// Captures or cancels a payment. Whatever the answer, its state says whether it was done.
    async fn change(&self, payment: &PaymentRef, operation: &str) -> Answer<PaymentReport> {
        let Some(reference) = &payment.reference else {
            return Answer::Refused("it was never offered".to_owned());
        };
        let path = path(reference, &format!("/{operation}"));
        // It cannot be done twice, so that the second key need not be known to other nodes.
        let first = format!("{}:{operation}", payment.id);
        let second = random_id(&format!("{first}:"));
        for key in [first, second] {
            let reply: Reply<Intent> = self.api.post(&path, &FormBody::default(), &key).await;
            let is_final = match &reply {
                Reply::Done(intent) => return Answer::Known(intent.report()),
                Reply::Refused(_) | Reply::Lost => true,
                Reply::Failed => false,
            };
            match self.intent(reference).await {
                Answer::Known(intent) if is_open(&intent) && !is_final => {}
                Answer::Known(intent) if is_open(&intent) => {
                    return reply.into_answer().map(|intent| intent.report());
                }
                told => return told.map(|intent| intent.report()),
            }
        }
        Answer::Unknown
    }

    /// Returns whether a refund has been made.
    async fn finds_refund(&self, reference: &str, refund: &RefundRef) -> Answer<bool> {
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let mut query = FormBody::default()
                .with("limit", 100)
                .with("payment_intent", reference);
            if let Some(last) = &after {
                query = query.with("starting_after", last);
            }
            let page: RefundList = match self.api.get("/v1/refunds", &query).await.into_answer() {
                Answer::Known(page) => page,
                other => return other.map(|_: RefundList| false),
            };
            if page.data.iter().any(|found| found.is(&refund.id)) {
                return Answer::Known(true);
            }
            after = page.data.into_iter().next_back().map(|last| last.id);
            if !page.has_more || after.is_none() {
                return Answer::Known(false);
            }
        }
        Answer::Unknown
    }
}

/// Returns the content security policy of the page with Stripe's form for cards: as that of all
/// pages, and its script, its frames, and what they send.
fn policy(api: &str, script: &str) -> HeaderValue {
    let origin = |url: &str| Url::parse(url).map(|url| url.origin().ascii_serialization());
    let (api, script) = (
        origin(api).unwrap_or_default(),
        origin(script).unwrap_or_default(),
    );
    let policy = format!(
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'; script-src 'self' {script}; frame-src {script} https://hooks.stripe.com; \
         connect-src 'self' {api}"
    );
    HeaderValue::try_from(policy).expect("origins are ASCII")
}

/// Returns the idempotency keys of an operation, in the order in which they are used.
fn keys(id: &str, operation: &str) -> impl Iterator<Item = String> {
    (0..KEYS_MAX).map(move |at| match at {
        0 => format!("{id}:{operation}"),
        at => format!("{id}:{operation}:{at}"),
    })
}

/// Returns whether a payment is neither captured nor cancelled.
fn is_open(intent: &Intent) -> bool {
    !matches!(intent.verdict(), Verdict::Captured | Verdict::Voided)
}

fn path(reference: &str, operation: &str) -> String {
    format!("/v1/payment_intents/{reference}{operation}")
}

#[async_trait]
impl Provider for Stripe {
    fn id(&self) -> ProviderId {
        ProviderId::Stripe
    }

    fn is_test(&self) -> bool {
        let key = self.publishable_key.as_deref();
        key.is_some_and(|key| key.starts_with("pk_test_"))
    }

    /// Amounts in currencies with three decimals end in 0 there.
    fn check_amount(&self, amount: i64, code: &str) -> Result<(), String> {
        if shared::currencies::exponent(code) == Some(3) && amount % 10 != 0 {
            return Err(format!(
                "Stripe takes amounts in {code} only with a 0 as the third decimal"
            ));
        }
        Ok(())
    }

    /// One that was made without its secret being told to anyone cannot be paid, so that another
    /// may be made after a failure.
    async fn offer(&self, payment: &PaymentRef) -> Answer<Offer> {
        let Money { amount, currency } = payment.amount;
        if let Err(why) = self.check_amount(amount, currency.as_str()) {
            return Answer::Refused(why);
        }
        let currency = currency.as_str().to_ascii_lowercase();
        let form = FormBody::default()
            .with("amount", amount)
            .with("currency", currency)
            .with("capture_method", "manual")
            .with("automatic_payment_methods[enabled]", "true")
            .with("automatic_payment_methods[allow_redirects]", "never")
            .with("metadata[payment]", &payment.id)
            .with("metadata[order]", &payment.order)
            .with("metadata[event]", payment.event.as_str());
        for key in keys(&payment.id, "offer") {
            match self.api.post("/v1/payment_intents", &form, &key).await {
                Reply::Failed => {}
                reply => return reply.into_answer().map(Intent::into_offer),
            }
        }
        Answer::Unknown
    }

    async fn charge(&self, _: &str, _: Time) -> Option<Verdict> {
        None
    }

    async fn fetch(&self, payment: &PaymentRef) -> Answer<PaymentReport> {
        let Some(reference) = &payment.reference else {
            return Answer::Refused("it was never offered".to_owned());
        };
        self.intent(reference).await.map(|intent| intent.report())
    }

    async fn look_up(&self, reference: &str) -> Answer<Option<Told>> {
        self.intent(reference).await.map(|intent| intent.told())
    }

    async fn capture(&self, payment: &PaymentRef) -> Answer<PaymentReport> {
        self.change(payment, "capture").await
    }

    async fn cancel(&self, payment: &PaymentRef) -> Answer<PaymentReport> {
        self.change(payment, "cancel").await
    }

    async fn has_refund(&self, payment: &PaymentRef, refund: &RefundRef) -> Answer<bool> {
        match &payment.reference {
            Some(reference) => self.finds_refund(reference, refund).await,
            None => Answer::Known(false),
        }
    }

    async fn refund(&self, payment: &PaymentRef, refund: &RefundRef) -> Answer<()> {
        let Some(reference) = &payment.reference else {
            return Answer::Refused("it was never offered".to_owned());
        };
        let form = FormBody::default()
            .with("payment_intent", reference)
            .with("amount", refund.amount)
            .with("metadata[refund]", &refund.id)
            .with("metadata[payment]", &payment.id);
        for key in keys(&refund.id, "refund") {
            let reply: Reply<StripeRefund> = self.api.post("/v1/refunds", &form, &key).await;
            let is_final = match &reply {
                Reply::Done(made) if made.holds() => return Answer::Known(()),
                Reply::Done(_) => return Answer::Refused("the refund failed".to_owned()),
                Reply::Refused(_) | Reply::Lost => true,
                Reply::Failed => false,
            };
            match self.finds_refund(reference, refund).await {
                Answer::Known(true) => return Answer::Known(()),
                Answer::Known(false) if !is_final => {}
                Answer::Known(false) => return reply.into_answer().map(|_| ()),
                _ => return Answer::Unknown,
            }
        }
        Answer::Unknown
    }

    async fn dispute(&self, id: &str) -> Answer<DisputeReport> {
        let path = format!("/v1/disputes/{id}");
        let reply: Reply<StripeDispute> = self.api.get(&path, &FormBody::default()).await;
        reply.into_answer().and_then(StripeDispute::into_report)
    }

    async fn disputes(&self, from: Time) -> Answer<Vec<ListedDispute>> {
        let mut listed = Vec::new();
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let mut query = FormBody::default()
                .with("limit", 100)
                .with("created[gte]", from.0.div_euclid(1000));
            if let Some(last) = &after {
                query = query.with("starting_after", last);
            }
            let page: DisputeList = match self.api.get("/v1/disputes", &query).await.into_answer() {
                Answer::Known(page) => page,
                other => return other.map(|_: DisputeList| Vec::new()),
            };
            after = page.data.last().map(|last| last.id.clone());
            let disputes = page.data.into_iter();
            listed.extend(disputes.filter_map(StripeDispute::into_listed));
            if !page.has_more || after.is_none() {
                return Answer::Known(listed);
            }
        }
        Answer::Refused("there are more disputes than can be listed".into())
    }

    async fn list(&self, from: Time, to: Time) -> Answer<Vec<Listed>> {
        let mut listed = Vec::new();
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let mut query = FormBody::default()
                .with("limit", 100)
                .with("created[gte]", from.0.div_euclid(1000))
                .with("created[lt]", to.0.div_euclid(1000))
                .with("expand[]", "data.latest_charge");
            if let Some(last) = &after {
                query = query.with("starting_after", last);
            }
            let reply = self.api.get("/v1/payment_intents", &query).await;
            let page: IntentList = match reply.into_answer() {
                Answer::Known(page) => page,
                other => return other.map(|_: IntentList| Vec::new()),
            };
            after = page.data.last().map(|last| last.id.clone());
            listed.extend(page.data.into_iter().filter_map(Intent::into_listed));
            if !page.has_more || after.is_none() {
                return Answer::Known(listed);
            }
        }
        Answer::Refused(
            "there are more payments than can be listed: choose a shorter period".into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_the_page_lets_in_the_script_its_frames_and_the_api_and_no_one_else() {
        let policy = policy("https://api.stripe.com", "https://js.stripe.com/v3/");
        let wanted = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
            form-action 'self'; frame-ancestors 'none'; script-src 'self' https://js.stripe.com; \
            frame-src https://js.stripe.com https://hooks.stripe.com; connect-src 'self' https://api.stripe.com";
        assert_eq!(policy, wanted);
    }
}
