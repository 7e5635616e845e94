//! Lists of stolen cards, tried on an order, by one fan, from one address.

use crate::stage::{CARD, Stage, assert_problem, word};
use hyper::Method;
use serde_json::{Value, json};

const DECLINED: &str = "4000000000000002";
const PER_ORDER_MAX: usize = 20;
const PER_FAN_MAX: usize = 40;
const PER_ADDRESS_MAX: usize = 60;
const OF_SUSPECTS_MAX: usize = 3;

async fn order(stage: &Stage, session: &str) -> Value {
    let wish = json!({"best_available": {"quantity": 1}});
    let hold = stage.hold("cards", session, wish).await.ok().unwrap();
    let mut order = stage.order(session, &hold).await;
    order["hold"] = hold["id"].clone();
    order
}

/// Tries so many cards on an order and gives it up.
async fn decline(stage: &Stage, session: &str, cards: usize) {
    let order = order(stage, session).await;
    for _ in 0..cards {
        let paid = stage.pay(session, &order, DECLINED).await;
        assert_eq!(paid.body["state"], "declined", "{}", paid.body);
    }
    let path = format!("/api/v1/holds/{}", word(&order["hold"]));
    let released = stage.client.delete(&path, session).await.unwrap();
    assert_eq!(released.status, 204, "{}", released.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_are_tried_only_so_often_on_an_order_and_by_a_fan_whatever_the_orders() {
    let stage = Stage::open().await;
    stage.event("cards", json!({})).await;
    let thief = stage.session("cards").await;
    let first = order(&stage, &thief).await;
    for _ in 0..PER_ORDER_MAX {
        stage.pay(&thief, &first, DECLINED).await.ok().unwrap();
    }
    let more = stage.pay(&thief, &first, DECLINED).await;
    assert_problem(&more, 409, "too-many-attempts");
    decline(&stage, &thief, PER_FAN_MAX - PER_ORDER_MAX).await;
    let second = order(&stage, &thief).await;
    for card in [DECLINED, CARD] {
        let more = stage.pay(&thief, &second, card).await;
        assert_problem(&more, 409, "too-many-declines");
        assert_eq!(more.body["limit"], PER_FAN_MAX);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_many_declined_cards_gets_few_more_and_its_other_fans_can_pay() {
    let stage = Stage::open().await;
    stage.event("cards", json!({})).await;
    for _ in 0..PER_ADDRESS_MAX / PER_ORDER_MAX {
        let thief = stage.session("cards").await;
        decline(&stage, &thief, PER_ORDER_MAX).await;
    }
    let thief = stage.session("cards").await;
    let kept = order(&stage, &thief).await;
    for _ in 0..OF_SUSPECTS_MAX {
        let paid = stage.pay(&thief, &kept, DECLINED).await;
        assert_eq!(paid.body["state"], "declined", "{}", paid.body);
    }
    let path = format!(
        "/api/v1/payments/simulated/{}",
        word(&kept["payment"]["id"])
    );
    let bearer = format!("Bearer {thief}");
    let heads = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let body = json!({"card": CARD}).to_string().into_bytes();
    let more = stage.client.raw(Method::POST, &path, &heads, body).await;
    let more = more.unwrap();
    assert_eq!(more.status(), 429);
    let wait: u32 = more.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=3600).contains(&wait), "{wait}");
    let told: Value = serde_json::from_slice(more.body()).unwrap();
    assert_eq!(told["type"], "/problems/too-many-declines");
    // A fan at the same address.
    let fan = stage.session("cards").await;
    stage.buy("cards", &fan, 1).await;
    // The hour is over.
    stage.clock.advance_ms(3_600_000);
    let thief = stage.session("cards").await;
    decline(&stage, &thief, OF_SUSPECTS_MAX + 1).await;
}
