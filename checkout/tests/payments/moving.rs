//! Requests that move tickets to other seats, and what comes of them.

use crate::node::ORGANISER_KEY;
use crate::stage::{PRICE, ProviderStage};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use checkout::inventory::{Order, SeatState};
use serde_json::{Value, json};

pub(crate) const EVENT: &str = "/api/v1/organiser/events/arena";
/// Prices of a seat in the balcony and in a box.
pub(crate) const BALCONY: i64 = 3000;
pub(crate) const BOX: i64 = 6000;

pub(crate) fn to(moves: &[(&str, &str)], difference: i64, settlement: &str) -> Value {
    let seats = moves.iter();
    let seats: Vec<Value> = seats
        .map(|(from, to)| json!({"from": from, "to": to}))
        .collect();
    let mut body =
        json!({"seats": seats, "expected_difference": {"amount": difference, "currency": "EUR"}});
    if !settlement.is_empty() {
        body["settlement"] = json!(settlement);
    }
    body
}

impl ProviderStage {
    /// Sets a plan with six seats at the usual price, three that cost less, and two that cost more.
    pub(crate) async fn set_hall(&self) {
        let section = |id: &str, seats: u32| json!({"id": id, "category": id, "rows": 1, "seats_per_row": seats});
        let plan = json!({"categories": [{"id": "s", "name": "Stalls", "price": PRICE},
                {"id": "b", "name": "Balcony", "price": BALCONY}, {"id": "x", "name": "Box", "price": BOX}],
            "sections": [section("s", 6), section("b", 3), section("x", 2)]});
        let (status, answer) = self.put_plan("arena/seating", &plan).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    pub(crate) async fn reseat(&self, order: &str, body: &Value) -> (StatusCode, Value) {
        let path = format!("{EVENT}/orders/{order}/reseat");
        self.post(&path, ORGANISER_KEY, body).await
    }

    pub(crate) async fn preview(&self, order: &str, moves: &[(&str, &str)]) -> Value {
        let path = format!("{EVENT}/orders/{order}/reseat?preview=true");
        let mut body = to(moves, 0, "");
        body.as_object_mut().unwrap().remove("expected_difference");
        let (status, shown) = self.post(&path, ORGANISER_KEY, &body).await;
        assert_eq!((status, &shown["done"]), (StatusCode::OK, &json!(false)));
        shown
    }

    pub(crate) async fn reseat_once(
        &self,
        order: &str,
        key: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let path = format!("{EVENT}/orders/{order}/reseat");
        let request = Request::post(path)
            .header("host", "127.0.0.1")
            .header("authorization", format!("Bearer {ORGANISER_KEY}"))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_string()));
        self.ask(request.unwrap()).await
    }

    pub(crate) async fn state_of(&self, seat: &str) -> SeatState {
        self.node.shop.inventory.publish().await.unwrap();
        let seat_map = self.node.shop.inventory.seat_map(&self.event).unwrap();
        let at = seat_map.layout.find(seat).unwrap();
        seat_map.current().states[at as usize]
    }

    /// Returns the types of the events about tickets of an order, with `.moved` where a ticket was
    /// replaced by another, and the seats, in their order.
    pub(crate) async fn told_of_tickets(&self, order: &str) -> Vec<(String, String)> {
        let outbox = self.node.shop.inventory.outbox();
        let mut told = Vec::new();
        for (shard, _) in outbox.newest().await.unwrap() {
            for row in outbox.read(shard, 0, 1000).await.unwrap() {
                if row.aggregate_id == order && row.event_type.starts_with("ticket.") {
                    let payload: Value = serde_json::from_str(&row.payload).unwrap();
                    let seat = payload["seat"].as_str().unwrap().to_owned();
                    let moved = if payload["moved"] == true {
                        ".moved"
                    } else {
                        ""
                    };
                    told.push((format!("{}{moved}", row.event_type), seat));
                }
            }
        }
        told
    }
}

pub(crate) fn seats_of(order: &Order) -> Vec<&str> {
    let tickets = order.tickets.as_ref().unwrap();
    tickets.iter().map(|ticket| &*ticket.seat).collect()
}

pub(crate) fn code_of(order: &Order, seat: &str) -> String {
    let mut tickets = order.tickets.as_ref().unwrap().iter();
    tickets
        .find(|ticket| ticket.seat == seat)
        .unwrap()
        .code
        .clone()
}

pub(crate) fn codes(seats: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = seats.iter();
    owned
        .map(|(kind, seat)| (format!("ticket.{kind}"), (*seat).to_owned()))
        .collect()
}
