//! Seating plans through the router.

use crate::stage::ProviderStage;
use axum::http::StatusCode;
use serde_json::json;

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
