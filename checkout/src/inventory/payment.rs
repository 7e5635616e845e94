//! Payments as the inventory, their providers and the page see them.

use super::dispute::DisputeReport;
use super::money::Money;
use super::payment_state::PaymentState;
use serde::{Deserialize, Serialize};
use shared::ids::EventId;
use shared::time::Time;

/// Payment provider, by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderId {
    /// The built-in one, without money.
    #[default]
    Simulated,
    /// Stripe.
    Stripe,
    /// Razorpay.
    Razorpay,
    /// None: the order costs nothing.
    Free,
    /// Cash at the organiser's desk.
    Cash,
    /// A card at the organiser's desk.
    CardAtDesk,
    /// An invoice of the organiser's own.
    Invoice,
    /// None: the organiser gives the tickets away.
    Comp,
}

impl ProviderId {
    const ALL: [ProviderId; 8] = [
        ProviderId::Simulated,
        ProviderId::Stripe,
        ProviderId::Razorpay,
        ProviderId::Free,
        ProviderId::Cash,
        ProviderId::CardAtDesk,
        ProviderId::Invoice,
        ProviderId::Comp,
    ];

    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            ProviderId::Simulated => "simulated",
            ProviderId::Stripe => "stripe",
            ProviderId::Razorpay => "razorpay",
            ProviderId::Free => "free",
            ProviderId::Cash => "cash",
            ProviderId::CardAtDesk => "card_at_desk",
            ProviderId::Invoice => "invoice",
            ProviderId::Comp => "comp",
        }
    }

    /// Returns the provider with this name.
    pub fn named(name: &str) -> Option<ProviderId> {
        let mut all = ProviderId::ALL.into_iter();
        all.find(|provider| provider.as_str() == name)
    }

    /// Returns whether the organiser's desk takes the money, and hands it back.
    pub fn is_at_desk(self) -> bool {
        matches!(
            self,
            ProviderId::Cash | ProviderId::CardAtDesk | ProviderId::Invoice | ProviderId::Comp
        )
    }

    /// Returns whether money moves there: a payment is offered to it first, and cancelled there
    /// before its seats are released.
    pub fn moves_money(self) -> bool {
        matches!(self, ProviderId::Stripe | ProviderId::Razorpay)
    }
}

/// A payment to be requested from the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRef {
    /// The event.
    pub event: EventId,
    /// The order.
    pub order: String,
    /// `pay_…`
    pub id: String,
    /// Amount to pay.
    pub amount: Money,
    /// Time by which the provider promised to decide, as known when this was read.
    pub promised_at: Option<Time>,
    /// The provider.
    pub provider: ProviderId,
    /// The provider's own id of the payment, once it is known.
    pub reference: Option<String>,
    /// The refund that is under way.
    pub refund: Option<RefundRef>,
}

/// A refund to be requested from the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRef {
    /// Id, unique among all refunds.
    pub id: String,
    /// In minor units of the payment's currency.
    pub amount: i64,
    /// Whether money was charged back since it began. It is not asked for then, and counts only if the
    /// provider has made it already.
    pub is_overtaken: bool,
}

/// A payment of which the checkout has to take the next step, or about which the provider must be
/// asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuePayment {
    /// The payment.
    pub payment: PaymentRef,
    /// Its state.
    pub state: PaymentState,
}

/// A payment as the provider knows it, which waits for the fan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The provider's own id.
    pub reference: String,
    /// Second value that the fan's browser needs to pay: Stripe's secret of the payment, or the id
    /// of the account's key at Razorpay.
    pub client_secret: String,
}

/// A payment in the books, for comparison with the provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedPayment {
    /// The payment.
    pub payment: PaymentRef,
    /// Its state.
    pub state: PaymentState,
    /// Amount captured, in minor units.
    pub captured: i64,
    /// Amount refunded, in minor units.
    pub refunded: i64,
    /// Note with which it was settled outside of the provider.
    pub outside: Option<String>,
    /// Its disputes.
    pub disputes: Vec<DisputeReport>,
}

/// A webhook that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxEvent {
    /// The provider's id of it; each acts once.
    pub id: String,
    /// The provider's id of the payment that it is about.
    pub reference: String,
    /// Whether it waits, as its payment is not known.
    pub is_parked: bool,
    /// JSON text of what it says beyond the state of the payment, kept while it waits.
    pub claim: Option<String>,
}

/// Decision of a payment provider about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The provider waits for the fan, such as for a card or 3-D Secure.
    RequiresAction,
    /// The provider is at work.
    Processing,
    /// Not decided yet; ask again at this time.
    Pending(Time),
    /// The money is reserved.
    Authorised,
    /// The money was received.
    Captured,
    /// The payment was declined, for this reason; the attempt is over.
    Declined(String),
    /// The provider has cancelled the payment.
    Voided,
    /// The provider has another amount or currency than the books.
    OtherAmount(Money),
    /// The provider says what cannot be: a person has to look at it.
    Contradiction(String),
}

impl Verdict {
    /// Returns the verdict of a provider that has this amount on a payment of ours.
    pub fn on_amount(self, theirs: Option<Money>, ours: Money) -> Verdict {
        match theirs {
            // A cancelled payment has no money, of whatever amount.
            Some(theirs) if theirs != ours && self != Verdict::Voided => {
                Verdict::OtherAmount(theirs)
            }
            _ => self,
        }
    }
}
