//! Orders with fees and taxes, through each provider.

use crate::stage::{PRICE, ProviderStage};
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fees_and_taxes_are_authorised_and_given_back_with_their_seats_to_the_cent() {
    for stage in ProviderStage::all().await {
        stage
            .set_rules(json!({
                "fees": [{"name": "Service", "per": "ticket", "percent": "2.5"},
                    {"name": "Booking fee", "per": "order", "amount": 199}],
                "taxes": [{"name": "VAT", "percent": "19", "included": true},
                    {"name": "City tax", "percent": "1.3", "included": false}]}))
            .await;
        // 45.00, 1.13 and 0.60 a seat; 1.99 and 0.03 an order.
        let (seat, fee) = (PRICE + 113 + 60, 199 + 3);
        let bought = stage.buy(&["s-A-1", "s-A-2", "s-A-3"]).await;
        assert_eq!(bought.total.amount, 3 * seat + fee);
        assert_eq!(bought.state, "confirmed");
        stage.check_books().await;
        let mut back = 0;
        for (refunded, amount) in [("s-A-2", seat), ("s-A-3", seat), ("s-A-1", seat + fee)] {
            back += amount;
            let (status, order) = stage.refund(&bought.id, Some(&[refunded])).await;
            assert_eq!(
                (status, &order["refunded"]["amount"]),
                (StatusCode::OK, &back.into())
            );
            stage.check_books().await;
        }
        assert_eq!(stage.see_order(&bought.id).await.state, "refunded");
        assert_eq!(back, bought.total.amount);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fees_that_are_kept_stay_at_the_provider_when_everything_else_went_back() {
    for stage in ProviderStage::all().await {
        stage
            .set_rules(json!({"order_fee_refund": "never",
                "fees": [{"name": "Booking fee", "per": "order", "amount": 199}]}))
            .await;
        let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
        let (status, order) = stage.refund(&bought.id, None).await;
        assert_eq!(
            (status, &order["state"]),
            (StatusCode::OK, &"refunded".into())
        );
        assert_eq!(order["refunded"]["amount"], 2 * PRICE);
        assert_eq!(stage.counts().await, [6, 0, 0]);
        stage.check_books().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_and_fees_that_the_provider_does_not_take_are_refused_with_the_field() {
    for stage in ProviderStage::stripe().await {
        let (status, problem) = stage.patch_rules(&json!({"currency": "KWD"})).await;
        assert_eq!(status, StatusCode::OK, "{problem}");
        let (status, problem) = stage.set_price(4505).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem["errors"][0]["field"], "categories[0].price");
        let (status, _) = stage.set_price(4510).await;
        assert_eq!(status, StatusCode::OK);
        let fee = json!({"fees": [{"name": "F", "per": "order", "amount": 205}]});
        let (status, problem) = stage.patch_rules(&fee).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem["errors"][0]["field"], "fees[0].amount");
        // A million of a currency with three decimals has ten digits.
        for (price, is_taken) in [(1_000_000_000, true), (1_000_000_010, false)] {
            let (status, _) = stage.set_price(price).await;
            assert_eq!(status == StatusCode::OK, is_taken, "{price}");
        }
        let (status, problem) = stage.set_price(100_000_010).await;
        assert_eq!(status, StatusCode::OK, "{problem}");
        let (status, problem) = stage.patch_rules(&json!({"currency": "EUR"})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem["errors"][0]["field"], "currency");
    }
}
