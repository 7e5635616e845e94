//! A fan of a night: joins, waits on a socket, shops, pays, or does none of it.

use client::{Client, Failed, next};
use hyper::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a fan repeats a request that is refused for the moment or has no answer.
const PATIENCE: Duration = Duration::from_secs(100);
/// How long a fan waits for the verdict of a payment.
const VERDICT: Duration = Duration::from_secs(60);
const PAYS: &str = "4242424242424242";
const DECLINED: &str = "4000000000000002";
const PAYS_LATE: &str = "4000000000000259";

/// A night under way.
#[derive(Clone)]
pub(super) struct Night {
    pub(super) event: String,
    /// Cancelled once the last seat is sold.
    pub(super) is_over: CancellationToken,
    /// Orders that were confirmed to their buyers.
    pub(super) orders: Arc<Mutex<Vec<Value>>>,
}

/// One fan.
pub(super) struct Fan {
    pub(super) client: Client,
    pub(super) night: Night,
}

/// Ways in which a visit may end, but for failures.
pub(super) enum End {
    Bought,
    /// Left the line before the turn came.
    Left,
    /// Was admitted and did not come.
    Absent,
    /// Came and bought nothing.
    Looked,
    /// Found no seat, or was still in line when the last one was sold.
    SoldOut,
}

impl End {
    /// Returns a name for the report.
    pub(super) fn name(&self) -> &'static str {
        match self {
            End::Bought => "fans who bought",
            End::Left => "fans who left the line",
            End::Absent => "fans who did not come",
            End::Looked => "fans who only looked",
            End::SoldOut => "fans who came too late",
        }
    }
}

impl Fan {
    /// The visit, from joining the line on.
    pub(super) async fn visit(&self) -> Result<End, Failed> {
        let line = format!("/api/v1/events/{}/line", self.night.event);
        let place = match self.ask(Method::POST, &line, "", json!({})).await {
            Err(reason) if reason.contains("line-closed") => return Ok(End::SoldOut),
            place => place?,
        };
        let pass = word(&place["pass"]);
        let me = format!("{line}/me");
        let patience = if chance(0.1) { 20..200 } else { 3600..3601 };
        let token = tokio::select! {
            token = self.wait(&pass) => token,
            () = pause(patience) => {
                self.client.delete(&me, &pass).await?;
                return Ok(End::Left);
            }
            () = self.night.is_over.cancelled() => {
                // People take their time to believe it.
                pause(0..40).await;
                self.client.delete(&me, &pass).await?;
                return Ok(End::SoldOut);
            }
        };
        if chance(0.06) {
            return Ok(End::Absent);
        }
        pause(1..8).await;
        let sessions = format!("/api/v1/events/{}/sessions", self.night.event);
        let session = self.ask(Method::POST, &sessions, &token, json!({})).await?;
        let session = word(&session["session"]);
        // Those who come too late see an error, and the slot ends by itself.
        let map = self.client.watch_seats(&self.night.event, &session).await;
        let end = self.shop(&session).await;
        drop(map);
        self.client.delete(&sessions, &session).await?;
        end
    }

    /// Waits until the turn comes and returns the token. Opens another socket when one closes.
    async fn wait(&self, pass: &str) -> String {
        loop {
            if let Ok(mut socket) = self.client.watch(&self.night.event, pass).await {
                while let Some(message) = next(&mut socket).await {
                    if let Some(token) = message["token"].as_str() {
                        return token.to_owned();
                    }
                    if message["type"] == "reconnect" {
                        break;
                    }
                }
            }
            pause(1..4).await;
        }
    }

    async fn shop(&self, session: &str) -> Result<End, Failed> {
        pause(2..12).await;
        let Some(mut hold) = self.hold(session).await? else {
            return Ok(End::SoldOut);
        };
        while chance(0.3) {
            pause(2..8).await;
            let path = format!("/api/v1/holds/{}", word(&hold["id"]));
            self.client.delete(&path, session).await?;
            match self.hold(session).await? {
                Some(other) => hold = other,
                None => return Ok(End::SoldOut),
            }
        }
        if chance(0.12) {
            return Ok(End::Looked);
        }
        pause(3..12).await;
        let order = json!({"hold": hold["id"], "buyer": {"name": "Robin Example", "email": "robin@example.org"}});
        let order = self
            .ask(Method::POST, "/api/v1/orders", session, order)
            .await?;
        self.pay(session, &order).await
    }

    /// Holds the best seats of some number, or as many as there are; `None` if there are none.
    async fn hold(&self, session: &str) -> Result<Option<Value>, Failed> {
        let path = format!("/api/v1/events/{}/holds", self.night.event);
        let quantity = [1, 2, 2, 2, 3, 4][rand::random_range(0..6)];
        let category = ["stalls", "circle"][rand::random_range(0..2)];
        let wishes = [
            json!({"quantity": quantity, "category": category}),
            json!({"quantity": quantity}),
            json!({"quantity": 1}),
        ];
        for wish in wishes {
            let body = json!({"best_available": wish});
            match self.ask(Method::POST, &path, session, body).await {
                Ok(hold) => return Ok(Some(hold)),
                Err(reason) if reason.contains("not-enough-seats") => (),
                Err(reason) => return Err(reason),
            }
        }
        Ok(None)
    }

    /// Pays: some cards are declined at first, some pay later.
    async fn pay(&self, session: &str, order: &Value) -> Result<End, Failed> {
        let payment = format!(
            "/api/v1/payments/simulated/{}",
            word(&order["payment"]["id"])
        );
        if chance(0.08) {
            let card = json!({"card": DECLINED});
            self.ask(Method::POST, &payment, session, card).await?;
            pause(3..8).await;
        }
        let card = json!({"card": if chance(0.04) { PAYS_LATE } else { PAYS }});
        self.ask(Method::POST, &payment, session, card).await?;
        let path = format!("/api/v1/orders/{}", word(&order["id"]));
        let ends = Instant::now() + VERDICT;
        while Instant::now() < ends {
            let order = self.ask(Method::GET, &path, session, Value::Null).await?;
            if order["state"] == "confirmed" {
                self.night.orders.lock().push(order);
                return Ok(End::Bought);
            }
            pause(1..3).await;
        }
        Err("the payment has no verdict".to_owned())
    }

    /// Sends a request, and sends it again while it is refused for the moment or has no answer. One
    /// key for all attempts makes them one.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        body: Value,
    ) -> Result<Value, Failed> {
        let ends = Instant::now() + PATIENCE;
        let key = format!("{:032x}", rand::random::<u128>());
        let bearer = format!("Bearer {bearer}");
        let mut heads = vec![("idempotency-key", key.as_str())];
        if bearer.len() > "Bearer ".len() {
            heads.push(("authorization", &bearer));
        }
        let mut text = Vec::new();
        if !body.is_null() {
            heads.push(("content-type", "application/json"));
            text = body.to_string().into_bytes();
        }
        loop {
            let answer = self
                .client
                .raw(method.clone(), path, &heads, text.clone())
                .await;
            let failed = match answer {
                Ok(answer) if answer.status().is_success() => {
                    return serde_json::from_slice(answer.body())
                        .map_err(|error| error.to_string());
                }
                Ok(answer) => {
                    let problem: Value =
                        serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
                    let failed = format!("{method} {}: {}", answer.status(), problem["type"]);
                    let passes = matches!(answer.status().as_u16(), 429 | 502..=504);
                    if !passes && problem["type"] != "/problems/still-running" {
                        return Err(failed);
                    }
                    failed
                }
                Err(failed) => failed,
            };
            if Instant::now() > ends {
                return Err(failed);
            }
            pause(1..4).await;
        }
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn chance(share: f64) -> bool {
    rand::random_bool(share)
}

async fn pause(seconds: std::ops::Range<u64>) {
    let ms = rand::random_range(seconds.start * 1000..seconds.end * 1000);
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
