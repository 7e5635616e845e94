//! Notifications to fans in line, on both engines, with a push service that decrypts them.

use crate::node::Node;
use checkout::inventory::{InLine, layout};
use checkout::settings::SeatsArgs;
use checkout::web_push::PushArgs;
use checkout::webhooks::WebhookArgs;
use serde_json::json;
use shared::ids::{EventId, VisitorId};
use shared::line_log::{LineDecision, LogEntry, LogPage, LogPlace};
use shared::line_push::{LinePush, PushKeys};
use shared::time::{Clock, Time};
use shared::token::SigningAlgorithm;
use std::sync::Arc;
use std::time::Duration;
use testkit::{PushService, Shared, shared_postgres};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const NOW: Time = Time(1_800_000_000_000);
const ADA: VisitorId = VisitorId(1);
const BEN: VisitorId = VisitorId(2);

/// A node that sends notifications, of which fans in line have asked.
struct PushStage {
    node: Node,
    clock: Clock,
    event: EventId,
    service: PushService,
    running: JoinHandle<()>,
    _servers: Arc<Shared>,
}

impl PushStage {
    /// Returns one stage for each engine.
    async fn both() -> Vec<PushStage> {
        let servers = shared_postgres();
        let url = servers.postgres.url(&servers.postgres.database());
        let mut stages = Vec::new();
        for inventory in [None, Some(url)] {
            stages.push(PushStage::open(inventory, servers.clone()).await);
        }
        stages
    }

    async fn open(inventory: Option<String>, servers: Arc<Shared>) -> PushStage {
        let args = SeatsArgs {
            inventory,
            push: PushArgs {
                push_key: Some(SigningAlgorithm::Es256.generate_pem().unwrap()),
                push_contact: Some("mailto:tech@arena.example".to_owned()),
            },
            webhooks: WebhookArgs {
                webhook_networks: Some("127.0.0.0/8".to_owned()),
            },
            ..SeatsArgs::default()
        };
        let clock = Clock::manual(NOW);
        let node = Node::open(args, clock.clone()).await;
        let event = EventId::parse("arena").unwrap();
        let plan = br#"{"categories": [{"id": "c", "name": "C", "price": 4500}],
            "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 6}]}"#;
        let plan = layout::parse(plan).unwrap();
        let seats = &node.shop.inventory;
        seats.set_seating(&event, plan).await.unwrap();
        PushStage {
            running: tokio::spawn(checkout::run(node.shop.clone())),
            node,
            clock,
            event,
            service: PushService::start().await,
            _servers: servers,
        }
    }

    fn place(&self, visitor: VisitorId) -> InLine {
        InLine {
            event: self.event.clone(),
            visitor,
        }
    }

    /// Subscribes a fan's browser.
    async fn subscribe(&self, visitor: VisitorId) {
        let shop = &self.node.shop;
        let browser = self.service.subscribe(&shop.push_key().unwrap());
        let push = LinePush {
            endpoint: browser.endpoint,
            keys: PushKeys {
                p256dh: browser.p256dh,
                auth: browser.auth,
            },
            language: "de".to_owned(),
        };
        let kept = shop.keep_line_push(&self.event, visitor, &push).await;
        assert!(kept.is_ok());
    }

    /// Has the turn of these fans come, which they may take for so long.
    async fn admit(&self, visitors: &[VisitorId], seconds: u32) {
        let store = self.node.shop.inventory.line_log();
        let place = store.log_place(&self.event).await.unwrap();
        let life = "life".to_owned();
        let decisions = visitors.iter().map(|visitor| LineDecision::Admitted {
            visitor: *visitor,
            number: visitor.0 as u64,
            admitted_at: self.clock.now(),
            claim_by: self.clock.now().plus_seconds(seconds),
            waited_seconds: None,
        });
        let entry = LogEntry {
            entry: place.entry + 1,
            life: life.clone(),
            at: self.clock.now(),
            decisions: decisions.collect(),
        };
        let page = LogPage {
            life,
            after: place.entry,
            entries: vec![entry],
            is_over: false,
        };
        let from = LogPlace { ..place };
        assert!(store.take_log(&self.event, &from, &page).await.unwrap());
    }

    async fn is_kept(&self, visitor: VisitorId) -> bool {
        let pushes = self.node.shop.inventory.line_pushes();
        pushes.find(&self.place(visitor)).await.unwrap().is_some()
    }

    /// Waits until a subscription is forgotten, while time goes on by so much at each look.
    async fn until_forgotten(&self, visitor: VisitorId, step_ms: i64) {
        let waiting = async {
            while self.is_kept(visitor).await {
                self.clock.advance_ms(step_ms);
                sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(Duration::from_secs(60), waiting).await;
        assert!(waited.is_ok(), "it is kept for ever");
    }

    /// Ends the node.
    async fn end(self) {
        self.service.check();
        self.node.stop.cancel();
        self.running.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fan_whose_turn_has_come_gets_one_notification_that_only_the_browser_can_read() {
    for stage in PushStage::both().await {
        stage.subscribe(ADA).await;
        stage.admit(&[ADA, BEN], 120).await;
        let messages = stage.service.until(1).await;
        let message = &messages[0];
        let body = "Sie sind an der Reihe. Kommen Sie bis Freitag, 15. Januar 2027, 09:02 Uhr (Ortszeit Berlin), danach ist die nächste Person an der Reihe.";
        let expected = json!({
            "event": "arena",
            "title": "Sie sind an der Reihe: A night <in> the arena",
            "body": body,
            "language": "de",
        });
        assert_eq!(message.content, expected);
        assert_eq!((message.subscription, message.ttl_seconds), (0, 120));
        assert_eq!(message.contact, "mailto:tech@arena.example");
        stage.until_forgotten(ADA, 0).await;
        // The next fan is told after all that would have been told before.
        stage.subscribe(BEN).await;
        stage.admit(&[ADA, BEN], 120).await;
        let messages = stage.service.until(2).await;
        assert_eq!((messages[1].subscription, messages.len()), (1, 2));
        assert_eq!(stage.service.requests(), 2);
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_service_that_is_busy_is_asked_again_and_one_that_ended_a_subscription_is_not() {
    for stage in PushStage::both().await {
        stage.subscribe(ADA).await;
        stage
            .service
            .then([(429, Some(30)), (503, None), (500, None)]);
        stage.admit(&[ADA], 3600).await;
        stage.until_forgotten(ADA, 1_000).await;
        let messages = stage.service.messages();
        assert_eq!((messages.len(), stage.service.requests()), (1, 4));
        // It was asked to wait for 30 seconds.
        assert!(messages[0].ttl_seconds <= 3570, "{messages:?}");
        for (number, status) in [404, 410, 413, 403, 302].into_iter().enumerate() {
            let fan = VisitorId(10 + number as u128);
            stage.subscribe(fan).await;
            stage.service.then([(status, None)]);
            stage.admit(&[fan], 120).await;
            stage.until_forgotten(fan, 0).await;
            assert_eq!(stage.service.requests(), 5 + number, "{status}");
        }
        assert_eq!(stage.service.messages().len(), 1);
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_once_the_turn_is_over() {
    for stage in PushStage::both().await {
        // It asks to wait for longer than the turn lasts.
        stage.subscribe(ADA).await;
        stage.service.then([(503, Some(120))]);
        stage.admit(&[ADA], 120).await;
        stage.until_forgotten(ADA, 0).await;
        assert_eq!(stage.service.requests(), 1);
        // The turn is over before it is told at all.
        stage.subscribe(ADA).await;
        stage.admit(&[ADA], 0).await;
        stage.until_forgotten(ADA, 0).await;
        // It is busy for as long as the turn lasts.
        stage.subscribe(BEN).await;
        stage.service.then([(503, None); 100]);
        stage.admit(&[BEN], 30).await;
        stage.until_forgotten(BEN, 500).await;
        assert!(stage.service.requests() > 2);
        assert!(stage.service.messages().is_empty());
        stage.end().await;
    }
}
