//! Seats sold and given away at the organiser's desk, through the router.

use crate::node::ORGANISER_KEY;
use crate::stage::{PRICE, ProviderStage};
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const ORDERS: &str = "/api/v1/organiser/events/arena/orders";

struct Answer {
    status: StatusCode,
    is_replayed: bool,
    body: Value,
}

impl ProviderStage {
    async fn sell(&self, key: &str, sale: &Value) -> Answer {
        let request = Request::post(ORDERS)
            .header("host", "127.0.0.1")
            .header("authorization", format!("Bearer {ORGANISER_KEY}"))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(sale.to_string()));
        let answer = self.app.clone().oneshot(request.unwrap()).await.unwrap();
        let (status, is_replayed) = (
            answer.status(),
            answer.headers().contains_key("idempotency-replayed"),
        );
        let body = to_bytes(answer.into_body(), 100_000).await.unwrap();
        Answer {
            status,
            is_replayed,
            body: serde_json::from_slice(&body).unwrap(),
        }
    }
}

fn of_seats(seats: &[&str], method: &str) -> Value {
    json!({"seats": seats, "method": method, "buyer": {"name": "Ada", "email": "ada@example.org"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_sold_at_the_desk_are_an_order_like_any_other_and_refunded_without_a_provider() {
    for stage in ProviderStage::stripe().await {
        stage
            .set_rules(json!({"invoicing": {"seller": "Arena Ltd", "series": "ARENA"}}))
            .await;
        let cash = of_seats(&["s-A-1", "s-A-2"], "cash");
        let sold = stage.sell("one", &cash).await;
        assert_eq!(sold.status, StatusCode::CREATED, "{}", sold.body);
        let order = &sold.body;
        assert_eq!(
            (&order["state"], &order["payment"]["provider"]),
            (&json!("confirmed"), &json!("cash"))
        );
        assert_eq!(order["total"]["amount"], 2 * PRICE);
        assert_eq!(stage.counts().await, [4, 0, 2]);
        let again = stage.sell("one", &cash).await;
        assert!(again.is_replayed && !sold.is_replayed);
        assert_eq!(again.body["id"], order["id"]);
        assert_eq!(again.body["state"], "confirmed");
        for sells_blocked in [false, true] {
            let mut other = of_seats(&["s-A-3"], "cash");
            other["blocked"] = json!(sells_blocked);
            let other = stage.sell("one", &other).await;
            assert_eq!(other.body["type"], "/problems/idempotency-mismatch");
        }
        let id = order["id"].as_str().unwrap();
        let details = stage.details(id).await;
        assert_eq!(details["payments"][0]["captured"]["amount"], 2 * PRICE);
        let (_, invoices) = stage
            .get_as_organiser(&format!("{ORDERS}/{id}/invoices"))
            .await;
        let invoices: Value = serde_json::from_slice(&invoices).unwrap();
        assert_eq!(invoices[0]["total"]["amount"], 2 * PRICE);

        let (status, refunded) = stage.refund(id, Some(&["s-A-1"])).await;
        assert_eq!(
            (status, &refunded["state"]),
            (StatusCode::OK, &json!("confirmed"))
        );
        assert_eq!(refunded["refunded"]["amount"], PRICE);
        assert_eq!(stage.counts().await, [5, 0, 1]);
        let card = stage
            .sell("two", &of_seats(&["s-A-3"], "card_at_desk"))
            .await;
        assert_eq!(card.status, StatusCode::CREATED, "{}", card.body);
        let sales = stage.node.shop.inventory.sales(&stage.event).await.unwrap();
        let methods: Vec<(&str, u32, i64)> = sales
            .methods
            .iter()
            .map(|own| (own.method.as_str(), own.orders, own.revenue.amount))
            .collect();
        assert_eq!(methods, [("card_at_desk", 1, PRICE), ("cash", 1, PRICE)]);
        let (_, refunded) = stage.refund(id, None).await;
        assert_eq!(refunded["state"], "refunded");
        assert_eq!(stage.counts().await, [5, 0, 1]);
        let details = stage.details(id).await;
        assert_eq!(details["payments"][0]["refunded"]["amount"], 2 * PRICE);
        let newest = stage.node.shop.site.audit.newest(10).await;
        let sales = newest.iter().filter(|entry| entry.action == "order.desk");
        assert_eq!(sales.count(), 2, "a repeated one stands there once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_that_are_given_away_cost_nothing_and_bear_no_fee() {
    for stage in ProviderStage::stripe().await {
        stage
            .set_rules(json!({"fees": [{"name": "Fee", "per": "order", "amount": 200}]}))
            .await;
        let gift = json!({"best_available": {"quantity": 2, "category": "c"}, "method": "comp",
            "buyer": {"name": "Press"}});
        let given = stage.sell("gift", &gift).await;
        assert_eq!(given.status, StatusCode::CREATED, "{}", given.body);
        assert_eq!(given.body["total"]["amount"], 0);
        assert_eq!(given.body["state"], "confirmed");
        assert_eq!(given.body["payment"]["provider"], "comp");
        assert_eq!(given.body["buyer"]["email"], "");
        assert_eq!(stage.listed_tickets().await, 2);
        assert_eq!(stage.counts().await, [4, 0, 2]);
        let id = given.body["id"].as_str().unwrap();
        let (_, refunded) = stage.refund(id, None).await;
        assert_eq!(refunded["state"], "refunded");
        assert_eq!(stage.counts().await, [6, 0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_desk_sells_no_seat_twice_none_that_is_blocked_and_no_more_than_the_limits() {
    for stage in ProviderStage::stripe().await {
        stage.order(&["s-A-1"]).await;
        let block = json!({"seats": ["s-A-2"]});
        let path = "/api/v1/organiser/events/arena/seats/block";
        let (status, _) = stage.post(path, ORGANISER_KEY, &block).await;
        assert_eq!(status, StatusCode::OK);
        for seat in ["s-A-1", "s-A-2"] {
            let refused = stage.sell(seat, &of_seats(&[seat, "s-A-3"], "cash")).await;
            assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
            assert_eq!(refused.body["taken"], json!([seat]));
        }
        let both = [("a", "cash"), ("b", "invoice")];
        let both = both.map(async |(key, method)| {
            let sold = stage
                .sell(key, &of_seats(&["s-A-4", "s-A-5"], method))
                .await;
            sold.status
        });
        let [one, two] = both;
        let (one, two) = tokio::join!(one, two);
        let mut statuses = [one, two];
        statuses.sort();
        assert_eq!(statuses, [StatusCode::CREATED, StatusCode::CONFLICT]);
        let (status, body) = stage.patch_rules(&json!({"max_seats_per_order": 1})).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let many = stage
            .sell("many", &of_seats(&["s-A-3", "s-A-6"], "cash"))
            .await;
        assert_eq!(many.body["type"], "/problems/too-many-seats");
        let mut typed = of_seats(&["s-A-3"], "cash");
        typed["type_counts"] = json!({"child": 1});
        let typed = stage.sell("typed", &typed).await;
        assert_eq!(
            typed.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}",
            typed.body
        );
        // The seats of a refused sale are free again.
        assert_eq!(stage.counts().await, [2, 1, 2]);
        for wrong in [
            json!({"method": "cash", "buyer": {"name": "Ada"}}),
            json!({"seats": ["s-A-3"], "best_available": {"quantity": 1}, "method": "cash", "buyer": {"name": "Ada"}}),
            json!({"seats": ["s-A-3"], "method": "cash", "buyer": {"name": " "}}),
            json!({"seats": ["s-A-3"], "method": "cheque", "buyer": {"name": "Ada"}}),
            json!({"seats": ["s-A-3"], "method": "cash", "buyer": {"name": "Ada", "email": "ada"}}),
        ] {
            let refused = stage.sell("wrong", &wrong).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_at_the_desk_says_that_seats_may_be_blocked() {
    for stage in ProviderStage::stripe().await {
        let seats = json!({"seats": ["s-A-1"]});
        let block = "/api/v1/organiser/events/arena/seats/block";
        let (status, blocked) = stage.post(block, ORGANISER_KEY, &seats).await;
        assert!(status.is_success(), "{blocked}");
        let refused = stage.sell("blocked", &of_seats(&["s-A-1"], "cash")).await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        assert_eq!(refused.body["type"], "/problems/seats-taken");
        let told = refused.body.to_string();
        assert!(told.contains("Blocked seats are sold only if"), "{told}");
        assert!(!told.contains("just taken"), "{told}");
        let mut free = of_seats(&["s-A-2"], "cash");
        free["blocked"] = json!(true);
        let told = stage.sell("free", &free).await.body.to_string();
        assert!(told.contains("They are not blocked"), "{told}");
        let none = format!("{ORDERS}/ord_0000000000000000000000000000000000000000");
        let (status, body) = stage.get_as_organiser(&none).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(!String::from_utf8_lossy(&body).contains("yours"));
    }
}
