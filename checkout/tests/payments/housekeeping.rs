//! Old data is deleted in time, even where a part of it cannot be.

use crate::at_provider::AtProvider;
use crate::mails::until;
use crate::node::Node;
use crate::stage::ProviderStage;
use checkout::inventory::OrderPage;
use checkout::inventory::webhooks::NewDelivery;
use checkout::settings::SeatsArgs;
use shared::time::Clock;
use std::sync::Arc;
use testkit::shared_postgres;

const DAY_MS: i64 = 24 * 3_600_000;

#[tokio::test]
async fn buyers_and_deliveries_are_deleted_in_time_though_mails_cannot_be() {
    let servers = shared_postgres();
    let database = servers.postgres.database();
    for url in [None, Some(servers.postgres.url(&database))] {
        let clock = Clock::manual(Clock::system().now());
        let provider = Arc::new(AtProvider::stripe().await);
        let args = SeatsArgs {
            inventory: url.clone(),
            payments: provider.settings(),
            keep_buyers_days: Some("1".to_owned()),
            ..SeatsArgs::default()
        };
        let node = Node::open(args, clock.clone()).await;
        let stage = ProviderStage::at(node, provider, clock, servers.clone());
        stage.set_plan().await;
        stage.buy(&["s-A-1"]).await;
        let inventory = &stage.node.shop.inventory;
        let webhooks = inventory.webhooks();
        let removed = NewDelivery {
            endpoint: "whe_removed".to_owned(),
            id: "evt_1".to_owned(),
            event: String::new(),
            event_type: "webhook.test".to_owned(),
            aggregate: String::new(),
            body: "{}".to_owned(),
            in_order: false,
            created_at: stage.clock.now(),
        };
        webhooks.add_delivery(removed).await.unwrap();
        match url {
            Some(_) => drop(
                servers
                    .postgres
                    .run(&database, "drop table fairline.mail")
                    .unwrap(),
            ),
            None => {
                let path = stage.node.home.folder.join("inventory.sqlite");
                let file = rusqlite::Connection::open(path).unwrap();
                file.execute_batch("drop table mail").unwrap();
            }
        }
        assert!(inventory.mails().purge(0).await.is_err());
        stage.clock.advance_ms(2 * DAY_MS);
        tokio::spawn(checkout::run(stage.node.shop.clone()));
        until("the buyer is erased", async || {
            let orders = inventory.orders(&stage.event, &OrderPage::newest(1)).await;
            orders.unwrap()[0].buyer.is_none()
        })
        .await;
        until("the deliveries are gone", async || {
            let left = webhooks.deliveries("whe_removed", None, 1).await.unwrap();
            left.is_empty()
        })
        .await;
    }
}
