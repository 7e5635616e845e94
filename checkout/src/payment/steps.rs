//! The steps of a payment at its provider: offer, capture, cancel, refund, look up. Each is asked
//! for outside of any transaction, and its outcome recorded in one of its own. The state in the
//! inventory says what is to be asked; asking twice does no harm.

use super::provider::{Answer, PaymentReport, Provider};
use crate::app::Shop;
use crate::instruments::PAYMENTS;
use crate::inventory::{
    DuePayment, Order, PaymentRef, PaymentState, ProviderId, Refused, Settled, Verdict,
};
use shared::group_commit::{ANSWER_SECONDS_MAX, Unavailable};
use shared::http::detached::carried;
use shared::trace::Span;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Largest number of steps of a payment in one go.
const STEPS_MAX: usize = 6;

/// Outcome of a request to give money back.
pub(crate) struct GivenBack {
    /// The order after it.
    pub(crate) order: Order,
    /// Whether the provider has answered; otherwise the reconciler goes on.
    pub(crate) is_answered: bool,
}

impl Shop {
    /// Takes the steps of a payment that are the checkout's, until the fan or the provider has the
    /// next one, or an answer is missing. The reconciler goes on then.
    pub(crate) async fn drive(&self, first: DuePayment) {
        let mut next = Some(first);
        for _ in 0..STEPS_MAX {
            let Some(due) = next else { return };
            next = match self.step(&due).await {
                Ok(next) => next,
                Err(error) => {
                    let payment = due.payment.id;
                    return tracing::warn!(payment, %error, "a payment is tried again later");
                }
            };
        }
    }

    async fn step(&self, due: &DuePayment) -> Result<Option<DuePayment>, Refused> {
        let payment = &due.payment;
        let Some(provider) = self.providers.of(payment.provider) else {
            let named = payment.provider.as_str();
            tracing::error!(
                payment = payment.id,
                named,
                "its provider is not configured"
            );
            return Ok(None);
        };
        let asked_at = Instant::now();
        let span = Span::client("payment");
        let told = match due.state {
            PaymentState::Created => return self.offer(provider, payment).await,
            PaymentState::Refunding => {
                drop(span);
                return self.give_back(payment).await.map(|_| None);
            }
            // Reserved, and its seats not booked yet: that is decided first.
            PaymentState::Authorised => Answer::Known(PaymentReport {
                verdict: Verdict::Authorised,
                amount: None,
            }),
            PaymentState::Capturing => provider.capture(payment).await,
            PaymentState::Voiding => provider.cancel(payment).await,
            _ if payment.provider == ProviderId::Simulated
                && self.is_settled_elsewhere(payment) =>
            {
                return Ok(None);
            }
            _ => provider.fetch(payment).await,
        };
        drop(span);
        PAYMENTS
            .provider_seconds
            .observe(asked_at.elapsed().as_secs_f64());
        if provider.id().moves_money() && due.state != PaymentState::Authorised {
            self.inventory.note_provider(told != Answer::Unknown);
        }
        self.take(provider, payment, told).await
    }

    /// Makes a payment known to its provider.
    async fn offer(
        &self,
        provider: &dyn Provider,
        payment: &PaymentRef,
    ) -> Result<Option<DuePayment>, Refused> {
        let offered = provider.offer(payment).await;
        self.inventory.note_provider(offered != Answer::Unknown);
        let offer = match offered {
            Answer::Known(offer) => offer,
            Answer::Refused(why) => {
                let why = format!("the provider does not take it: {why}");
                return self.review(payment, why).await.map(|()| None);
            }
            Answer::Unknown => return Ok(None),
        };
        let known = PaymentRef {
            reference: Some(offer.reference.clone()),
            ..payment.clone()
        };
        let settled = self.inventory.offered(payment, offer).await?;
        PAYMENTS.begun.inc();
        if !matches!(settled.order.state.as_str(), "paying" | "declined") {
            // The fan let it go meanwhile.
            provider.cancel(&known).await;
        }
        Ok(settled.next)
    }

    /// Records what a provider says about a payment, and returns the next step if there is one.
    pub(super) async fn take(
        &self,
        provider: &dyn Provider,
        payment: &PaymentRef,
        told: Answer<PaymentReport>,
    ) -> Result<Option<DuePayment>, Refused> {
        let report = match told {
            Answer::Known(report) => report,
            Answer::Refused(why) => {
                let why = format!("the provider refuses: {why}");
                return self.review(payment, why).await.map(|()| None);
            }
            Answer::Unknown => return Ok(None),
        };
        let verdict = report.verdict.on_amount(report.amount, payment.amount);
        let settled = self.inventory.report(payment, verdict.clone(), None);
        let settled = settled.await?;
        self.follow(provider, payment, &verdict, settled).await
    }

    /// Does what follows from a verdict that is recorded, and returns the next step if there is one.
    pub(super) async fn follow(
        &self,
        provider: &dyn Provider,
        payment: &PaymentRef,
        verdict: &Verdict,
        settled: Settled,
    ) -> Result<Option<DuePayment>, Refused> {
        count(verdict);
        self.to_report.notify_one();
        if matches!(verdict, Verdict::Declined(_)) && payment.reference.is_some() {
            // The fan goes on with another; this one could be paid still.
            if let Answer::Known(after) = provider.cancel(payment).await
                && matches!(after.verdict, Verdict::Authorised | Verdict::Captured)
            {
                let late = self.inventory.report(payment, after.verdict, None).await?;
                return Ok(late.next.or(settled.next));
            }
        }
        Ok(settled.next)
    }

    /// Marks that a person has to look at a payment.
    pub(super) async fn review(&self, payment: &PaymentRef, why: String) -> Result<(), Refused> {
        let verdict = Verdict::Contradiction(why);
        self.inventory
            .report(payment, verdict.clone(), None)
            .await?;
        count(&verdict);
        Ok(())
    }

    /// Refunds a payment, or a part of it. Repeating it does no harm. The order may be on its way
    /// back still when the provider has not answered.
    pub(crate) async fn give_back(&self, payment: &PaymentRef) -> Result<Order, Refused> {
        let given_back = self.try_to_give_back(payment).await?;
        Ok(given_back.order)
    }

    /// As `give_back`, and returns whether the provider has answered.
    pub(crate) async fn try_to_give_back(
        &self,
        payment: &PaymentRef,
    ) -> Result<GivenBack, Refused> {
        let provider = self.providers.of(payment.provider).ok_or(Unavailable)?;
        let Some(refund) = &payment.refund else {
            return self.as_it_is(payment, true).await;
        };
        let asked = match refund.amount {
            // Seats that cost nothing, or whose money went back before.
            0 => Answer::Known(()),
            _ if refund.is_overtaken => match provider.has_refund(payment, refund).await {
                Answer::Known(false) => {
                    let order = self.inventory.replace_overtaken(payment).await?;
                    // The reconciler goes on with the one in its place.
                    let is_answered = false;
                    return Ok(GivenBack { order, is_answered });
                }
                told => told.map(|_| ()),
            },
            _ => provider.refund(payment, refund).await,
        };
        match asked {
            Answer::Known(()) => {
                let order = self.inventory.refunded(payment).await?;
                PAYMENTS.refunded.inc();
                Ok(GivenBack {
                    order,
                    is_answered: true,
                })
            }
            Answer::Refused(why) => {
                self.review(payment, format!("the provider does not refund it: {why}"))
                    .await?;
                self.as_it_is(payment, true).await
            }
            Answer::Unknown => self.as_it_is(payment, false).await,
        }
    }

    async fn as_it_is(
        &self,
        payment: &PaymentRef,
        is_answered: bool,
    ) -> Result<GivenBack, Refused> {
        let order = self.inventory.show_paid(payment).await?;
        Ok(GivenBack { order, is_answered })
    }

    /// Makes the payment of an order known to its provider, and returns the order with what the
    /// fan's browser needs; without it if the provider does not answer for now.
    pub(crate) async fn offered(self: &Arc<Shop>, order: Order) -> Order {
        let is_new = !order.payment.is_offered() && order.state == "paying";
        let provider = ProviderId::named(&order.payment.provider);
        let Some(provider) = provider.filter(|provider| is_new && provider.moves_money()) else {
            return order;
        };
        let payment = order.new_payment(provider);
        let shown = self.drive_and_show(payment, PaymentState::Created).await;
        shown.unwrap_or(order)
    }

    /// Takes the steps of a payment that is in this state, for [`ANSWER_SECONDS_MAX`] at most, and
    /// returns its order after them. The steps go on when the time is over or the browser hangs up.
    pub(super) async fn drive_and_show(
        self: &Arc<Shop>,
        payment: PaymentRef,
        state: PaymentState,
    ) -> Result<Order, Refused> {
        let shop = self.clone();
        let due = DuePayment {
            payment: payment.clone(),
            state,
        };
        let driving = carried(async move { shop.drive(due).await });
        let driving = self.unsettled.tasks.spawn(driving);
        let limit = Duration::from_secs(ANSWER_SECONDS_MAX);
        let _ = timeout(limit, driving).await;
        self.inventory.show_paid(&payment).await
    }
}

/// Counts a verdict that the inventory has taken.
pub(super) fn count(verdict: &Verdict) {
    match verdict {
        Verdict::Captured => PAYMENTS.captured.inc(),
        Verdict::Declined(_) => PAYMENTS.declined.inc(),
        Verdict::Pending(_) => PAYMENTS.pending.inc(),
        Verdict::OtherAmount(_) | Verdict::Contradiction(_) => PAYMENTS.review.inc(),
        Verdict::RequiresAction | Verdict::Processing | Verdict::Authorised | Verdict::Voided => 0,
    };
}
