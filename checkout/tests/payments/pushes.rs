//! Notifications to fans in line, on both engines, with a push service that decrypts them.

use crate::turns::{ADA, BEN, Engine, TurnStage};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use checkout::settings::SeatsArgs;
use checkout::web_push::PushArgs;
use checkout::webhooks::WebhookArgs;
use serde_json::json;
use shared::ids::VisitorId;
use shared::line_contact::{Channel, LineContact};
use shared::line_push::{LinePush, PushKeys};
use shared::token::SigningAlgorithm;
use testkit::PushService;

/// A node that sends notifications, of which fans in line have asked.
struct PushStage {
    turns: TurnStage,
    service: PushService,
}

impl PushStage {
    /// Returns one stage for each engine.
    async fn both() -> Vec<PushStage> {
        let args = SeatsArgs {
            push: PushArgs {
                push_key: Some(SigningAlgorithm::Es256.generate_pem().unwrap()),
                push_contact: Some("mailto:tech@arena.example".to_owned()),
                push_services: Some("127.0.0.1".to_owned()),
            },
            webhooks: WebhookArgs {
                webhook_networks: Some("127.0.0.0/8".to_owned()),
            },
            ..SeatsArgs::default()
        };
        let mut stages = Vec::new();
        for engine in Engine::BOTH {
            let turns = TurnStage::open(Channel::Push, engine, args.clone()).await;
            let service = PushService::start().await;
            stages.push(PushStage { turns, service });
        }
        stages
    }

    /// Subscribes a fan's browser.
    async fn subscribe(&self, visitor: VisitorId) {
        let shop = &self.turns.node.shop;
        let browser = self
            .service
            .subscribe(&shop.line_offers().push_key.unwrap());
        let push = LinePush {
            endpoint: browser.endpoint,
            keys: PushKeys {
                p256dh: browser.p256dh,
                auth: browser.auth,
            },
            language: "de".to_owned(),
        };
        let elsewhere = LineContact::Push(LinePush {
            endpoint: "https://tarpit.example/send".to_owned(),
            ..push.clone()
        });
        let place = self.turns.place(visitor);
        let refused = shop.keep_line_contact(&place, &elsewhere).await;
        let refused = refused.unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
        self.turns.leave(visitor, &LineContact::Push(push)).await;
    }

    async fn admit(&self, visitors: &[VisitorId], seconds: u32) {
        self.turns.admit(visitors, seconds).await;
    }

    async fn until_forgotten(&self, visitor: VisitorId) {
        self.turns.until_forgotten(visitor).await;
    }

    /// Ends the node.
    async fn end(self) {
        self.service.check();
        self.turns.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fan_whose_turn_has_come_gets_one_notification_that_only_the_browser_can_read() {
    for stage in PushStage::both().await {
        stage.subscribe(ADA).await;
        stage.admit(&[ADA, BEN], 120).await;
        let messages = stage.service.until(1).await;
        let message = &messages[0];
        let body = "Sie sind an der Reihe. Kommen Sie bis Freitag, 15. Januar 2027, 09:02 Uhr Ortszeit Berlin (UTC+1), danach ist die nächste Person an der Reihe.";
        let expected = json!({
            "event": "arena",
            "title": "Sie sind an der Reihe: A night <in> the arena",
            "body": body,
            "language": "de",
        });
        assert_eq!(message.content, expected);
        assert_eq!((message.subscription, message.ttl_seconds), (0, 120));
        assert_eq!(message.contact, "mailto:tech@arena.example");
        stage.until_forgotten(ADA).await;
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
            .then([(429, Some(20)), (503, None), (500, None)]);
        stage.admit(&[ADA], 3600).await;
        stage.until_forgotten(ADA).await;
        let messages = stage.service.messages();
        assert_eq!((messages.len(), stage.service.requests()), (1, 4));
        // It was asked to wait for 20 seconds.
        assert!(messages[0].ttl_seconds <= 3580, "{messages:?}");
        for (number, status) in [404, 410, 413, 403, 302].into_iter().enumerate() {
            let fan = VisitorId(10 + number as u128);
            stage.subscribe(fan).await;
            stage.service.then([(status, None)]);
            stage.admit(&[fan], 120).await;
            stage.until_forgotten(fan).await;
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
        stage.until_forgotten(ADA).await;
        assert_eq!(stage.service.requests(), 1);
        // The turn is over before it is told at all.
        stage.subscribe(ADA).await;
        stage.admit(&[ADA], 0).await;
        stage.until_forgotten(ADA).await;
        // It is busy for as long as the turn lasts.
        stage.subscribe(BEN).await;
        stage.service.then([(503, None); 100]);
        stage.admit(&[BEN], 30).await;
        stage.until_forgotten(BEN).await;
        assert!(stage.service.requests() > 2);
        assert!(stage.service.messages().is_empty());
        stage.end().await;
    }
}
