//! Changes of webhooks while requests to them are under way, or may not be made any more.

use crate::mails::until;
use crate::node::ORGANISER_KEY;
use crate::receiver::{Receiver, WEBHOOKS};
use crate::stage::ProviderStage;
use axum::http::StatusCode;
use serde_json::{Value, json};

async fn patch(stage: &ProviderStage, webhook: &str, change: Value) -> (StatusCode, Value) {
    let path = format!("{WEBHOOKS}/{webhook}");
    stage.send("PATCH", &path, ORGANISER_KEY, &change).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_whose_url_is_not_allowed_any_more_can_be_changed_but_not_enabled() {
    for stage in ProviderStage::stripe().await {
        let receiver = Receiver::start().await;
        let (webhook, old) = stage.post_to(&receiver, json!({})).await;
        let store = stage.node.shop.inventory.webhooks();
        let mut endpoint = store.endpoints().await.unwrap().remove(0);
        // As if it had been allowed when it was added.
        endpoint.settings.as_mut().unwrap().url = "https://10.0.0.1/hooks".to_owned();
        assert!(store.change_endpoint(&endpoint).await.unwrap());
        let (status, named) =
            patch(&stage, &webhook, json!({"name": "Old", "is_enabled": true})).await;
        assert_eq!((status, &named["name"]), (StatusCode::OK, &json!("Old")));
        let rotate = format!("{WEBHOOKS}/{webhook}/rotate");
        let (status, rotated) = stage.post(&rotate, ORGANISER_KEY, &json!({})).await;
        assert_eq!(status, StatusCode::OK, "{rotated}");
        assert_ne!(rotated["secret"], old);
        let (status, disabled) = patch(&stage, &webhook, json!({"is_enabled": false})).await;
        assert_eq!(
            (status, &disabled["state"]),
            (StatusCode::OK, &json!("disabled"))
        );
        for change in [
            json!({"is_enabled": true}),
            json!({"url": "https://10.0.0.2/"}),
        ] {
            let (status, refused) = patch(&stage, &webhook, change).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(refused.to_string().contains("url"), "{refused}");
        }
        let mended = json!({"url": receiver.url, "is_enabled": true});
        let (status, enabled) = patch(&stage, &webhook, mended).await;
        assert_eq!(
            (status, &enabled["state"]),
            (StatusCode::OK, &json!("enabled"))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_the_url_before_asked_for_does_not_hold_for_the_new_one() {
    for stage in ProviderStage::posting().await {
        let [old, new] = [Receiver::start().await, Receiver::start().await];
        let types = json!({"types": ["order.confirmed"]});
        let (webhook, _) = stage.post_to(&old, types).await;
        old.answers(|_| (429, &[("retry-after", "3600")]));
        stage.buy(&["s-A-1"]).await;
        until("the outcome of the first attempt", async || {
            let deliveries = stage.deliveries(&webhook).await;
            deliveries.first().is_some_and(|it| it["status"] == 429)
        })
        .await;
        let asked_at = stage.clock.now();
        let (status, _) = patch(&stage, &webhook, json!({"url": new.url})).await;
        assert_eq!(status, StatusCode::OK);
        stage.buy(&["s-A-2"]).await;
        until("the new URL has the next event", async || {
            stage.clock.advance_ms(10);
            new.taken().len() == 1
        })
        .await;
        assert!(stage.clock.now() < asked_at.plus_seconds(3_600));
    }
}
