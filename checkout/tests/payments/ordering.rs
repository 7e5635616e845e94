//! Orders of fans, with whatever their requests say, and their payment.

use crate::at_provider::Card;
use crate::stage::ProviderStage;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use checkout::inventory::{Order, Wish};
use serde_json::{Value, json};

impl ProviderStage {
    /// As `order`, with these headers and further fields.
    pub(crate) async fn order_by(
        &self,
        headers: &[(&str, &str)],
        seats: &[&str],
        more: &Value,
    ) -> (StatusCode, Value) {
        let mut fan = self.fan().await;
        let wish = Wish::Seats(seats.iter().map(|seat| (*seat).to_owned()).collect());
        let inventory = &self.node.shop.inventory;
        let held = inventory.hold(fan.keys.clone(), &self.event, wish, None);
        fan.hold = held.await.unwrap().value.id.to_string();
        let mut body = more.clone();
        body["hold"] = json!(fan.hold);
        body["buyer"] = json!({"name": "Ada", "email": "ada@example.org"});
        let mut request = Request::post("/api/v1/orders")
            .header("host", "127.0.0.1")
            .header("authorization", format!("Bearer {}", fan.word))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        let (status, order) = self.ask(request).await;
        fan.order = order["id"].as_str().unwrap_or_default().to_owned();
        self.fans.lock().push(fan);
        (status, order)
    }

    /// Pays an order.
    pub(crate) async fn pay_for(&self, order: &Value) -> Order {
        let told = self.told(order).await;
        self.provider.pay(&told, Card::Good).unwrap();
        self.deliver().await;
        self.see(order).await
    }
}
