//! Seating plans through the router.

use crate::stage::{PRICE, ProviderStage};
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_says_how_a_plan_was_understood_and_sets_nothing() {
    for stage in ProviderStage::stripe().await {
        let plan = json!({"categories": [{"name": "A", "price": 1200}, {"name": "B"}], "zones": [{"name": "Z", "rows": [
            {"row_number": "1", "seats": [{"seat_guid": "g", "seat_number": "7", "category": "A"}]}],
            "areas": [{"shape": "text", "text": {"text": "STAGE"}}]}]});
        let (status, preview) = stage.put_plan("arena/seating?preview=true", &plan).await;
        assert_eq!(status, StatusCode::OK, "{preview}");
        assert_eq!(preview["format"], "pretix");
        assert_eq!([&preview["capacity"], &preview["for_sale"]], [1, 1]);
        assert_eq!([&preview["shapes"], &preview["texts"]], [1, 1]);
        assert_eq!(preview["unpriced"], json!(["B"]));
        assert_eq!(preview["examples"], json!(["Z, row 1, seat 7"]));
        assert_eq!(preview["categories"][0]["price"], 1200);
        assert_eq!(preview["categories"][1]["price"], json!(null));
        let warnings = preview["warnings"].to_string();
        assert!(
            warnings.contains("the category 'B' has no seats"),
            "{warnings}"
        );
        // For the form of a new sale, before there is an event.
        let (status, _) = stage.put_plan("not-yet/seating?preview=true", &plan).await;
        assert_eq!(status, StatusCode::OK);
        let (status, refusal) = stage.put_plan("arena/seating", &plan).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let detail = refusal["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("the category 'B' has no price"),
            "{detail}"
        );
        assert_eq!(stage.counts().await, [6, 0, 0], "the plan is what it was");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_given_back_as_it_was_set_and_can_be_set_again() {
    for stage in ProviderStage::stripe().await {
        let path = "/api/v1/organiser/events/arena/seating";
        let plan = json!({"prices": {"A": 1200}, "plan": {"categories": [{"name": "A"}], "zones": [
            {"name": "Z", "rows": [{"row_number": "1", "seats": [{"seat_guid": "g", "seat_number": "7", "category": "A"}]}]}]}});
        let (status, set) = stage.put_plan("arena/seating", &plan).await;
        assert_eq!(status, StatusCode::OK, "{set}");
        let (status, given) = stage.get_as_organiser(path).await;
        assert_eq!(status, StatusCode::OK);
        let given: serde_json::Value = serde_json::from_slice(&given).unwrap();
        assert_eq!(given, plan);
        let (status, set) = stage.put_plan("arena/seating", &given).await;
        assert_eq!((status, &set["capacity"]), (StatusCode::OK, &json!(1)));
        let none = "/api/v1/organiser/events/other/seating";
        assert_eq!(stage.get_as_organiser(none).await.0, StatusCode::NOT_FOUND);
        assert_eq!(stage.get_bytes(path, "").await.0, StatusCode::UNAUTHORIZED);
    }
}

/// The plan of the stage with another row in front, dearer.
fn wider(price: i64) -> Value {
    json!({"categories": [{"id": "c", "name": "C", "price": price}],
        "sections": [{"id": "f", "category": "c", "rows": 1, "seats_per_row": 2},
            {"id": "s", "category": "c", "rows": 1, "seats_per_row": 6}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_in_use_changes_once_its_difference_is_confirmed() {
    for stage in ProviderStage::stripe().await {
        let sold = stage.buy(&["s-A-1"]).await;
        let (status, refusal) = stage.put_plan("arena/seating", &wider(2 * PRICE)).await;
        assert_eq!(
            (status, &refusal["type"]),
            (StatusCode::CONFLICT, &json!("/problems/seating-in-use"))
        );
        let difference = &refusal["difference"];
        assert_eq!(difference["added"][0]["seats"], 2);
        assert_eq!(difference["repriced"][0]["to"], 2 * PRICE);
        assert_eq!(difference["repriced"][0]["sold"], 1);
        let (_, previewed) = stage
            .put_plan("arena/seating?preview=true", &wider(2 * PRICE))
            .await;
        assert_eq!(&previewed["difference"], difference);
        let confirm = |refusal: &Value| {
            let confirmation = refusal["difference"]["confirmation"].as_str().unwrap();
            format!("arena/seating?confirm={confirmation}")
        };
        stage.buy(&["s-A-2"]).await;
        let (status, refusal) = stage.put_plan(&confirm(&refusal), &wider(2 * PRICE)).await;
        assert_eq!(
            (status, &refusal["type"]),
            (StatusCode::CONFLICT, &json!("/problems/plan-differs"))
        );
        assert_eq!(refusal["difference"]["repriced"][0]["sold"], 2);
        // It confirms this plan and no other.
        let (status, _) = stage.put_plan(&confirm(&refusal), &wider(3 * PRICE)).await;
        assert_eq!(status, StatusCode::CONFLICT);
        let (status, set) = stage.put_plan(&confirm(&refusal), &wider(2 * PRICE)).await;
        assert_eq!((status, &set["capacity"]), (StatusCode::OK, &json!(8)));
        let order = stage.details(&sold.id).await;
        assert_eq!(order["seats"][0]["price"]["amount"], PRICE);
        assert_eq!(
            order["seats"][0]["label"],
            sold.tickets.unwrap()[0].place.label
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_takes_sold_seats_away_is_refused_with_each_of_them() {
    for stage in ProviderStage::stripe().await {
        stage.buy(&["s-A-1", "s-A-2"]).await;
        let plan = json!({"categories": [{"id": "c", "name": "C", "price": PRICE}],
            "areas": [{"id": "s", "category": "c", "capacity": 3}]});
        for path in [
            "arena/seating",
            "arena/seating?preview=true",
            "arena/seating?confirm=none",
        ] {
            let (status, refusal) = stage.put_plan(path, &plan).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
            let errors = refusal["errors"].as_array().unwrap();
            assert_eq!(errors.len(), 2, "{refusal}");
            let first = errors[0]["detail"].as_str().unwrap();
            assert!(
                first.ends_with("seat 1 is sold: the plan must keep it"),
                "{first}"
            );
        }
        assert_eq!(stage.counts().await, [4, 0, 2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_refuses_what_setting_the_plan_refuses() {
    for stage in ProviderStage::stripe().await {
        let prices = json!({"prices": [{"category": "c", "price": 2 * PRICE}]});
        stage.set_rules(prices).await;
        let mut decimal = wider(PRICE);
        decimal["categories"][0]["price"] = json!(45.0);
        for (plan, why) in [
            (wider(100_000_001), "0 to 100000000 minor units of EUR"),
            (wider(3 * PRICE), "is set in the selling rules"),
            (decimal, "prices are whole minor units: 4500 is 45.00 EUR"),
        ] {
            let (set, refusal) = stage.put_plan("arena/seating", &plan).await;
            assert_eq!(set, StatusCode::UNPROCESSABLE_ENTITY, "{why}");
            let told = refusal["detail"].as_str().unwrap();
            assert!(told.contains(why), "{told}");
            let (previewed, same) = stage.put_plan("arena/seating?preview=true", &plan).await;
            assert_eq!((previewed, &same["errors"]), (set, &refusal["errors"]));
        }
        let kept = wider(PRICE);
        for path in ["arena/seating?preview=true", "arena/seating"] {
            assert_eq!(stage.put_plan(path, &kept).await.0, StatusCode::OK);
        }
    }
}
