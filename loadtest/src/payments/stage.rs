//! A private node with a stand-in of Stripe and one event, and requests that are sent until they are
//! answered.

use crate::private::{KEY, Private};
use crate::rush;
use client::{Client, Failed};
use hyper::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::{Postgres, STRIPE_KEY, STRIPE_WEBHOOK_SECRET, StripeStandIn};
use tokio::sync::Mutex;

/// The event that is sold.
pub(super) const EVENT: &str = "payments";
/// Price of a seat.
pub(super) const PRICE: i64 = 4500;
/// Longest time for which a request is sent again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before a request is sent again, or asked whether something has happened.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// The node, its provider and its client.
pub(super) struct Stage {
    pub(super) stripe: StripeStandIn,
    pub(super) client: Client,
    pub(super) node: Mutex<Private>,
}

impl Stage {
    /// Starts all of it, and an event with so many seats.
    pub(super) async fn start(
        postgres: Option<&Postgres>,
        seats: usize,
        rules: &Value,
    ) -> Result<Stage, Failed> {
        let stripe = StripeStandIn::start()
            .await
            .map_err(|error| error.to_string())?;
        let mut settings = vec![
            ("PAYMENTS", "stripe".to_owned()),
            ("STRIPE_KEY", STRIPE_KEY.to_owned()),
            ("STRIPE_WEBHOOK_SECRET", STRIPE_WEBHOOK_SECRET.to_owned()),
            ("STRIPE_URL", stripe.url().to_owned()),
            ("SEAT_HOLDERS_PER_ADDRESS", "0".to_owned()),
        ];
        if let Some(postgres) = postgres {
            settings.push(("INVENTORY", postgres.url(&postgres.database())));
        }
        let node = Private::program("fairline", &settings).await?;
        let client = node.client();
        rush::open(&client, EVENT, KEY, seats).await?;
        let path = format!("/api/v1/organiser/events/{EVENT}/checkout");
        let set = client.call(Method::PATCH, &path, KEY, Some(rules.clone()));
        set.await?.ok()?;
        Ok(Stage {
            stripe,
            client,
            node: Mutex::new(node),
        })
    }

    /// Has the provider send its webhooks to the node.
    pub(super) async fn connect(&self) {
        let url = self.node.lock().await.url();
        self.stripe.tell(&format!("{url}/webhooks/stripe"));
    }

    /// Returns the admission tokens of so many fans.
    pub(super) async fn admit(&self, fans: usize) -> Result<Vec<String>, Failed> {
        rush::admit_all(&self.client, EVENT, fans, 64).await
    }

    /// Sends a request until it is answered by more than that the node is away. The key is the same
    /// each time, so that it takes effect once.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        body: Option<Value>,
    ) -> Result<Value, Failed> {
        let authorization = format!("Bearer {bearer}");
        let key = format!("{:032x}", rand::random::<u128>());
        let heads = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
        ];
        let heads = if method == Method::POST {
            &heads[..]
        } else {
            &heads[..1]
        };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let began = Instant::now();
        loop {
            let sent = self
                .client
                .raw(method.clone(), path, heads, body.clone().into());
            let failed = match sent.await {
                Ok(answer) => {
                    let (status, text) = (answer.status(), answer.into_body());
                    let told: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
                    if status.is_success() {
                        return Ok(told);
                    }
                    let is_running = told["type"] == "/problems/still-running";
                    let failed = format!("{method} {path}: {status} {told}");
                    if !(status.is_server_error() || status == 429 || is_running) {
                        return Err(failed);
                    }
                    failed
                }
                Err(failed) => failed,
            };
            if began.elapsed() > PATIENCE {
                return Err(failed);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lets a fan in, who holds so many seats and orders them. Returns the session and the order.
    pub(super) async fn order(&self, token: &str, seats: usize) -> Result<Ordered, Failed> {
        let path = format!("/api/v1/events/{EVENT}/sessions");
        let opened = self.ask(Method::POST, &path, token, Some(json!({})));
        let session = text(&opened.await?["session"]);
        self.order_more(session, seats).await
    }

    /// Has a fan with a session hold and order seats.
    pub(super) async fn order_more(
        &self,
        session: String,
        seats: usize,
    ) -> Result<Ordered, Failed> {
        let path = format!("/api/v1/events/{EVENT}/holds");
        let wish = json!({"best_available": {"quantity": seats}});
        let hold = self.ask(Method::POST, &path, &session, Some(wish)).await?;
        let hold = text(&hold["id"]);
        let buyer = json!({"name": "Ada Lovelace", "email": "ada@example.org"});
        let wanted = json!({"hold": hold, "buyer": buyer});
        let made = self.ask(Method::POST, "/api/v1/orders", &session, Some(wanted));
        let order = made.await?;
        Ok(Ordered {
            session,
            hold,
            order,
        })
    }
}

/// An order of a fan.
pub(super) struct Ordered {
    pub(super) session: String,
    pub(super) hold: String,
    pub(super) order: Value,
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
