//! Sales at the organiser's own desk: seats are held, ordered and paid as by a fan, by a visitor that
//! each sale has of its own, without the line and without a provider.

use super::desk_visit;
use super::model::*;
use super::purchase::Purchase;
use super::seat_price::ChosenTypes;
use super::service::Inventory;
use shared::crypto::{hex, random_id, sha256};
use shared::http::idempotency::Attempt;
use shared::ids::{EventId, VisitorId};
use shared::texts::Language;
use std::collections::BTreeMap;

/// Time for which the visit of a sale lasts at most, in seconds.
const VISIT_SECONDS: u32 = 600;

/// A sale at the desk.
#[derive(Clone, Debug)]
pub struct DeskSale {
    /// The seats.
    pub wish: Wish,
    /// Types of the tickets by seat.
    pub ticket_types: ChosenTypes,
    /// Numbers of tickets by type, for the other seats in their order.
    pub type_counts: BTreeMap<String, u32>,
    /// The buyer; the address is empty if none was given.
    pub buyer: Buyer,
    /// How it is paid, one of those `ProviderId::is_at_desk` is true of.
    pub method: ProviderId,
    /// Total that was asked for; a sale of another one is refused.
    pub total: Option<Money>,
    /// Language for the buyer; that of the event if none was given.
    pub language: Option<Language>,
}

impl Inventory {
    /// Sells or gives seats away at the desk, within the limits that fans have. With an attempt it
    /// happens once, also if it was interrupted; one that was interrupted for longer than the seats
    /// are held for is refused.
    pub async fn sell_at_desk(
        &self,
        event: &EventId,
        sale: &DeskSale,
        attempt: Option<Attempt>,
    ) -> Result<Once<Order>, Refused> {
        let seed = attempt.as_ref().map(|attempt| attempt.id.clone());
        let seed = seed.unwrap_or_else(|| random_id("desk_"));
        let step = |name: &str| {
            let attempt = attempt.clone()?;
            let id = hex(&sha256(format!("{name}\n{}", attempt.id).as_bytes()));
            Some(Attempt { id, ..attempt })
        };
        let sells_blocked = matches!(sale.wish, Wish::Blocked(_));
        let keys = self.open_desk(event, &seed, sells_blocked).await?;
        let held = self.hold(keys.clone(), event, sale.wish.clone(), step("hold"));
        let hold = held.await?.value;
        let id = format!("ord_{}", &hex(&sha256(seed.as_bytes()))[..40]);
        let inventory = self.clone().paid_by(sale.method);
        let ordering = async {
            let purchase = Purchase {
                hold: hold.id.to_string(),
                buyer: sale.buyer.clone(),
                ticket_types: types_of(&hold, sale)?,
                total: sale.total,
                language: sale.language,
            };
            let ordered = inventory.order_as(&id, keys.clone(), &purchase, step("order"));
            ordered.await
        };
        let ordered = match ordering.await {
            Err(refused) if !matches!(refused, Refused::Unavailable(_)) => {
                // If this fails they go back by themselves.
                let _ = self.release(keys, &hold.id).await;
                return Err(refused);
            }
            ordered => ordered?,
        };
        let value = self.pay_at_desk(&ordered.value, sale.method).await?;
        Ok(Once { value, ..ordered })
    }

    /// Opens the session of a sale, whose key is the hash of no word that could be sent.
    async fn open_desk(
        &self,
        event: &EventId,
        seed: &str,
        sells_blocked: bool,
    ) -> Result<SessionKeys, Refused> {
        // One for each name, or a key that is used for both kinds of sales would open one visit twice.
        let jti = desk_visit::name(seed, sells_blocked);
        let hash = sha256(jti.as_bytes());
        let mut visitor = [0; 16];
        visitor.copy_from_slice(&hash[..16]);
        let session = NewSession {
            key: hash,
            event: event.clone(),
            visitor: VisitorId(u128::from_be_bytes(visitor)),
            number: 0,
            jti,
            // The waiting room is told nothing of it.
            token: String::new(),
            expires_at: self.now().plus_seconds(VISIT_SECONDS),
            is_reported: true,
        };
        self.open_session(session).await?;
        let event = event.clone();
        Ok(vec![SessionKey { event, hash }])
    }

    /// Records that the money of an order was taken at the desk, unless it was before.
    async fn pay_at_desk(&self, order: &Order, method: ProviderId) -> Result<Order, Refused> {
        let payment = order.new_payment(method);
        let now = self.show_paid(&payment).await?;
        match now.state.as_str() {
            "paying" => self.settle(&payment, Verdict::Captured, None).await,
            "expired" | "cancelled" => Err(Refused::OrderState(now.state)),
            _ => Ok(now),
        }
    }
}

/// Returns the types of the tickets by seat: those that are named, then those that are counted.
fn types_of(hold: &Hold, sale: &DeskSale) -> Result<ChosenTypes, Refused> {
    let mut types = sale.ticket_types.clone();
    let mut free = hold
        .seats
        .iter()
        .filter(|seat| !sale.ticket_types.contains_key(&*seat.id));
    for (own, count) in &sale.type_counts {
        for _ in 0..*count {
            let Some(seat) = free.next() else {
                let why = format!("more tickets than the {} seats", hold.seats.len());
                return Err(Refused::Invalid(vec![("type_counts".to_owned(), why)]));
            };
            types.insert(seat.id.to_string(), own.clone());
        }
    }
    Ok(types)
}
