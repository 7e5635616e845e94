//! Blocked seats through the router: reason and owner, the list, the export, a sale at the desk.

use crate::node::ORGANISER_KEY;
use crate::stage::ProviderStage;
use axum::http::StatusCode;
use serde_json::{Value, json};

const EVENT: &str = "/api/v1/organiser/events/arena";

impl ProviderStage {
    async fn block(&self, body: &Value) -> StatusCode {
        let path = format!("{EVENT}/seats/block");
        self.post(&path, ORGANISER_KEY, body).await.0
    }

    async fn blocks(&self, query: &str) -> Value {
        let path = format!("{EVENT}/seats/blocks{query}");
        let (status, blocks) = self.get_as_organiser(&path).await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_slice(&blocks).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocked_seats_are_listed_by_owner_exported_and_sold_when_the_organiser_says_so() {
    for stage in ProviderStage::stripe().await {
        let body = json!({"seats": ["s-A-1", "s-A-2"], "owner": " Promoter ", "reason": "=guests"});
        assert_eq!(stage.block(&body).await, StatusCode::OK);
        assert_eq!(
            stage.block(&json!({"seats": ["s-A-3"]})).await,
            StatusCode::OK
        );
        for (field, text) in [("owner", "x".repeat(101)), ("reason", "a\nb".to_owned())] {
            let body = json!({"seats": ["s-A-4"], field: text});
            assert_eq!(stage.block(&body).await, StatusCode::UNPROCESSABLE_ENTITY);
        }
        stage.sweep().await;
        let all = stage.blocks("").await;
        assert_eq!(
            all["owners"],
            json!([{"owner": null, "seats": 1}, {"owner": "Promoter", "seats": 2}])
        );
        assert_eq!(all["seats"].as_array().unwrap().len(), 3);
        let own = stage.blocks("?owner=Promoter").await;
        let first = &own["seats"][0];
        assert_eq!(own["seats"].as_array().unwrap().len(), 2);
        assert_eq!(
            [&first["seat"], &first["owner"], &first["reason"]],
            ["s-A-1", "Promoter", "=guests"]
        );
        assert!(first["by"].is_string() && first["at"].is_string());
        assert_eq!(stage.blocks("?owner=").await["seats"][0]["seat"], "s-A-3");

        let (status, file) = stage
            .get_as_organiser(&format!("{EVENT}/exports/blocks.csv"))
            .await;
        assert_eq!(status, StatusCode::OK);
        let text = String::from_utf8(file).unwrap();
        assert!(text.contains("Promoter,'=guests"), "{text}");
        assert_eq!(text.lines().count(), 4);

        let mut sale = json!({"seats": ["s-A-1"], "method": "cash", "buyer": {"name": "Ada"}});
        let path = format!("{EVENT}/orders");
        let (status, refused) = stage.post(&path, ORGANISER_KEY, &sale).await;
        assert_eq!(
            (status, &refused["taken"]),
            (StatusCode::CONFLICT, &json!(["s-A-1"]))
        );
        sale["blocked"] = json!(true);
        let (status, sold) = stage.post(&path, ORGANISER_KEY, &sale).await;
        assert_eq!(status, StatusCode::CREATED, "{sold}");
        let free = json!({"seats": ["s-A-5"], "blocked": true, "method": "cash", "buyer": {"name": "Ada"}});
        let (status, _) = stage.post(&path, ORGANISER_KEY, &free).await;
        assert_eq!(status, StatusCode::CONFLICT);
        let best = json!({"best_available": {"quantity": 1}, "blocked": true, "method": "cash", "buyer": {"name": "Ada"}});
        let (status, _) = stage.post(&path, ORGANISER_KEY, &best).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        stage.sweep().await;
        assert_eq!(stage.blocks("").await["seats"].as_array().unwrap().len(), 2);
    }
}
