//! Points of a loyalty programme: given for confirmed orders, taken back with the money.
//!
//! The programme gets each change once by `Idempotency-Key`, the id of the event. The points that an
//! order has are kept, so that a refund takes back what was given and no more, and parts of a refund
//! add up to the whole.

use crate::event::Event;
use crate::handler::{Effect, Handler};
use crate::store::{OrderPoints, Store};
use crate::trouble::{Service, Trouble};
use async_trait::async_trait;
use axum::http::{Method, header};
use futures_util::future::join_all;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::currencies::exponent;
use shared::ids::EventId;
use shared::organiser::Role;
use tokio::sync::OnceCell;

/// Name of the consumer.
pub const NAME: &str = "loyalty";

/// The consumer.
pub struct Loyalty {
    /// The programme, at the URL that takes points.
    pub programme: Service,
    /// The checkout, with an operator's key.
    pub checkout: Service,
    /// Points for each whole unit of a currency.
    pub points_per_unit: u32,
    /// The notifier's file.
    pub store: Store,
    /// Set once the key was seen to be one that is shown buyers.
    pub key_checked: OnceCell<()>,
}

/// An amount in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Amount {
    amount: i64,
    currency: String,
}

/// Payload of `order.confirmed` and `order.refunded`.
#[derive(Deserialize)]
struct OrderData {
    event: String,
    order: String,
    total: Amount,
}

/// Payload of `payment.refunded`.
#[derive(Deserialize)]
struct PaymentData {
    event: String,
    order: String,
    refunded: Amount,
}

/// An order as the checkout shows it, with all about its money.
#[derive(Deserialize)]
struct OrderView {
    order: OrderHead,
}

#[derive(Deserialize)]
struct OrderHead {
    /// None once it is erased.
    buyer: Option<BuyerView>,
}

#[derive(Deserialize)]
struct BuyerView {
    /// Empty if none was given.
    email: String,
}

#[derive(Deserialize)]
struct KeyView {
    role: Role,
}

/// A change of points to be posted.
struct Change {
    event: String,
    order: String,
    /// Points to be added; below zero to be taken back.
    points: i64,
    /// Money that it stands for.
    total: Amount,
    /// State of the order afterwards.
    after: OrderPoints,
}

#[async_trait]
impl Handler for Loyalty {
    fn name(&self) -> &'static str {
        NAME
    }

    fn takes(&self, event_type: &str) -> bool {
        ["order.confirmed", "order.refunded", "payment.refunded"].contains(&event_type)
    }

    fn keeps_order(&self) -> bool {
        true
    }

    async fn handle(&self, events: &[&Event]) -> Vec<Result<Effect, Trouble>> {
        join_all(events.iter().map(|event| self.act(event))).await
    }
}

impl Loyalty {
    async fn act(&self, event: &Event) -> Result<Effect, Trouble> {
        let Some(change) = self.change(event).await? else {
            return Ok(Effect::Skipped);
        };
        if change.points == 0 {
            return Ok(Effect::Unasked(change.after));
        }
        let Some(email) = self.email(&change.event, &change.order).await? else {
            return Ok(Effect::Skipped);
        };
        let body = json!({
            "event_id": event.id,
            "order": change.order,
            "member": {"email": email},
            "points": change.points,
            "total": change.total,
        });
        let request = self.programme.request(Method::POST, "");
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.header("idempotency-key", &event.id);
        let answer = self.programme.send(request, Some(body.to_string())).await;
        // The buyer's address stands in no log.
        let answer = answer.map_err(|trouble| trouble.without(&email))?;
        // A page of a proxy on the way is no answer of the programme.
        if !answer.body.trim_ascii().is_empty() {
            answer.read::<IgnoredAny>()?;
        }
        Ok(Effect::Points(change.after))
    }

    /// Returns the change of points that an event asks for, if it asks for one.
    async fn change(&self, event: &Event) -> Result<Option<Change>, Trouble> {
        if event.event_type == "payment.refunded" {
            let data: PaymentData = read(event)?;
            let known = self.points(&data.order).await?;
            let Some(known) = known else { return Ok(None) };
            if known.currency != data.refunded.currency {
                let why = format!(
                    "{} was given back of an order in {}",
                    data.refunded.currency, known.currency
                );
                return Err(Trouble::Final(why));
            }
            let rest = (known.total - data.refunded.amount).max(0);
            return self.reduction(data.event, known, rest).map(Some);
        }
        let data: OrderData = read(event)?;
        let known = self.points(&data.order).await?;
        if event.event_type == "order.refunded" {
            let Some(known) = known else { return Ok(None) };
            return self.reduction(data.event, known, 0).map(Some);
        }
        let points = self.worth(&data.total)?;
        Ok(Some(Change {
            points,
            after: OrderPoints {
                order: data.order.clone(),
                total: data.total.amount,
                currency: data.total.currency.clone(),
                points,
            },
            event: data.event,
            order: data.order,
            total: data.total,
        }))
    }

    /// Returns the change to an order of which so much of its total is left.
    fn reduction(&self, event: String, known: OrderPoints, rest: i64) -> Result<Change, Trouble> {
        let left = self.worth(&Amount {
            amount: rest,
            currency: known.currency.clone(),
        })?;
        let left = left.min(known.points);
        Ok(Change {
            event,
            points: left - known.points,
            total: Amount {
                amount: rest,
                currency: known.currency.clone(),
            },
            order: known.order.clone(),
            after: OrderPoints {
                points: left,
                ..known
            },
        })
    }

    /// Returns the points for an amount: so many for each whole unit.
    fn worth(&self, amount: &Amount) -> Result<i64, Trouble> {
        let decimals = exponent(&amount.currency)
            .ok_or_else(|| Trouble::Final(format!("{} is no currency", amount.currency)))?;
        let units = amount.amount.max(0) / 10_i64.pow(u32::from(decimals));
        Ok(units.saturating_mul(i64::from(self.points_per_unit)))
    }

    async fn points(&self, order: &str) -> Result<Option<OrderPoints>, Trouble> {
        self.store.points(order).await.map_err(Trouble::away)
    }

    /// Returns the buyer's address, unless it was erased, or was never told.
    async fn email(&self, event: &str, order: &str) -> Result<Option<String>, Trouble> {
        let is_id = order
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if EventId::parse(event).is_err() || !is_id {
            let why = format!("there can be no order '{order}' of an event '{event}'");
            return Err(Trouble::Final(why));
        }
        self.key_checked
            .get_or_try_init(|| self.check_key())
            .await?;
        let path = format!("/api/v1/organiser/events/{event}/orders/{order}");
        let found = self.checkout.ask::<OrderView>(&path).await?;
        let found = found
            .ok_or_else(|| Trouble::Final("the checkout knows no such order (404)".to_owned()))?;
        let email = found.order.buyer.map(|buyer| buyer.email);
        Ok(email.filter(|email| !email.is_empty()))
    }

    /// Checks that the key is shown buyers. With a viewer's all orders would seem to have none.
    async fn check_key(&self) -> Result<(), Trouble> {
        let key = self.checkout.ask::<KeyView>("/api/v1/organiser/session");
        // A key that is refused is mended, and the orders wait for that.
        let key = key
            .await
            .map_err(|trouble| Trouble::away(trouble.why().to_owned()));
        match key? {
            Some(key) if key.role >= Role::Operator => Ok(()),
            Some(_) => Err(Trouble::away(
                "FAIRLINE_CHECKOUT_KEY: an operator's is needed, as viewers are not shown buyers"
                    .to_owned(),
            )),
            None => Err(Trouble::away(
                "FAIRLINE_CHECKOUT is no checkout: it knows no organisers".to_owned(),
            )),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(event: &Event) -> Result<T, Trouble> {
    serde_json::from_slice(&event.data)
        .map_err(|error| Trouble::Final(format!("the payload cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::Clock;

    /// Returns a consumer whose services are never asked.
    fn loyalty(folder: &std::path::Path) -> Loyalty {
        let service = Service::new("test", "http://127.0.0.1:1", None);
        Loyalty {
            programme: service.clone(),
            checkout: service,
            points_per_unit: 2,
            store: Store::open(&folder.join("file"), Clock::system()).unwrap(),
            key_checked: OnceCell::new(),
        }
    }

    fn amount(amount: i64, currency: &str) -> Amount {
        let currency = currency.to_owned();
        Amount { amount, currency }
    }

    #[tokio::test]
    async fn points_are_of_whole_units_by_the_decimals_of_the_currency() {
        let folder = tempfile::tempdir().unwrap();
        let loyalty = loyalty(folder.path());
        for (minor, currency, points) in [
            (9_099, "EUR", 180),
            (99, "EUR", 0),
            (90, "JPY", 180),
            (90_999, "KWD", 180),
            (-100, "EUR", 0),
        ] {
            let worth = loyalty.worth(&amount(minor, currency));
            assert_eq!(worth, Ok(points), "{minor} {currency}");
        }
        let worth = loyalty.worth(&amount(1, "XXX"));
        assert!(matches!(worth, Err(Trouble::Final(_))));
    }

    #[tokio::test]
    async fn parts_of_a_refund_take_back_what_was_given_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let loyalty = loyalty(folder.path());
        let mut known = OrderPoints {
            order: "ord_1".to_owned(),
            total: 10_000,
            currency: "EUR".to_owned(),
            points: 200,
        };
        let mut taken = Vec::new();
        for rest in [6_667, 3_334, 0, 0, 10_000] {
            let change = loyalty.reduction("night".to_owned(), known, rest).unwrap();
            taken.push(change.points);
            known = change.after;
        }
        assert_eq!(taken, [-68, -66, -66, 0, 0]);
        assert_eq!(known.points, 0);
    }
}
