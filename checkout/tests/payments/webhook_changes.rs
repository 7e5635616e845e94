//! Changes of webhooks while requests to them are under way, or may not be made any more.

use crate::node::ORGANISER_KEY;
use crate::receiver::{Receiver, WEBHOOKS};
use crate::stage::ProviderStage;
use axum::http::StatusCode;
use serde_json::{Value, json};

async fn patch(stage: &ProviderStage, webhook: &str, change: Value) -> (StatusCode, Value) {
    let path = format!("{WEBHOOKS}/{webhook}");
    stage.send("PATCH", &path, ORGANISER_KEY, &change).await
}

#[tokio::test]
async fn a_webhook_whose_url_is_not_allowed_any_more_can_be_changed_but_not_enabled() {
    for stage in ProviderStage::stripe().await {
        let receiver = Receiver::start().await;
        let (webhook, old) = stage.post_to(&receiver, json!({})).await;
        let store = stage.node.shop.inventory.webhooks();
        let mut endpoint = store.endpoints().await.unwrap().remove(0);
        // As if it had been allowed when it was added.
        endpoint.settings.as_mut().unwrap().url = "https://10.0.0.1/hooks".to_owned();
        assert!(store.change_endpoint(&endpoint).await.unwrap());
        let (status, named) = patch(&stage, &webhook, json!({"name": "Old", "is_enabled": true})).await;
        assert_eq!((status, &named["name"]), (StatusCode::OK, &json!("Old")));
        let rotate = format!("{WEBHOOKS}/{webhook}/rotate");
        let (status, rotated) = stage.post(&rotate, ORGANISER_KEY, &json!({})).await;
        assert_eq!(status, StatusCode::OK, "{rotated}");
        assert_ne!(rotated["secret"], old);
        let (status, disabled) = patch(&stage, &webhook, json!({"is_enabled": false})).await;
        assert_eq!((status, &disabled["state"]), (StatusCode::OK, &json!("disabled")));
        for change in [json!({"is_enabled": true}), json!({"url": "https://10.0.0.2/"})] {
            let (status, refused) = patch(&stage, &webhook, change).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(refused.to_string().contains("url"), "{refused}");
        }
        let mended = json!({"url": receiver.url, "is_enabled": true});
        let (status, enabled) = patch(&stage, &webhook, mended).await;
        assert_eq!((status, &enabled["state"]), (StatusCode::OK, &json!("enabled")));
    }
}
