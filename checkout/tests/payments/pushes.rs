//! Notifications to fans in line, on both engines, with a push service that decrypts them.

use crate::node::Node;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use checkout::inventory::{InLine, layout};
use checkout::settings::SeatsArgs;
use checkout::web_push::PushArgs;
use checkout::webhooks::WebhookArgs;
use serde_json::json;
use shared::ids::{EventId, VisitorId};
use shared::line_log::{LineDecision, LogEntry, LogPage};
use shared::line_push::{LinePush, PushKeys};
use shared::time::{Clock, Time};
use shared::token::SigningAlgorithm;
use std::sync::Arc;
use std::time::Duration;
use testkit::{PushService, Shared, shared_postgres};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const NOW: Time = Time(1_800_000_000_000);
/// Time after which a message that was taken counts as not sent.
const LEASE_MS: i64 = 30_000;
const ADA: VisitorId = VisitorId(1);
const BEN: VisitorId = VisitorId(2);

/// A node that sends notifications, of which fans in line have asked.
struct PushStage {
    node: Node,
    clock: Clock,
    event: EventId,
    service: PushService,
    running: JoinHandle<()>,
    /// Database of its store; none with SQLite.
    database: Option<String>,
    servers: Arc<Shared>,
}

impl PushStage {
    /// Returns one stage for each engine.
    async fn both() -> Vec<PushStage> {
        let servers = shared_postgres();
        let mut stages = Vec::new();
        for database in [None, Some(servers.postgres.database())] {
            stages.push(PushStage::open(database, servers.clone()).await);
        }
        stages
    }

    async fn open(database: Option<String>, servers: Arc<Shared>) -> PushStage {
        let inventory = database.as_ref().map(|name| servers.postgres.url(name));
        let args = SeatsArgs {
            inventory,
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
            database,
            servers,
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
        let elsewhere = LinePush {
            endpoint: "https://tarpit.example/send".to_owned(),
            ..push.clone()
        };
        let refused = shop.keep_line_push(&self.place(visitor), &elsewhere).await;
        let refused = refused.unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let kept = shop.keep_line_push(&self.place(visitor), &push).await;
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
        assert!(store.take_log(&self.event, &place, &page).await.unwrap());
    }

    async fn is_kept(&self, visitor: VisitorId) -> bool {
        let pushes = self.node.shop.inventory.line_pushes();
        pushes.find(&self.place(visitor)).await.unwrap().is_some()
    }

    /// Returns the time after which a message is due, or counts as not sent; none before its turn has come.
    fn due_in_ms(&self) -> Option<i64> {
        let select = "select max(next_at) from";
        let next_at: Option<i64> = match &self.database {
            Some(database) => {
                let select = format!("{select} fairline.line_push");
                let answer = self.servers.postgres.run(database, &select).unwrap();
                answer.parse().ok()
            }
            None => {
                let file = self.node.home.folder.join("inventory.sqlite");
                let file = rusqlite::Connection::open(file).unwrap();
                file.busy_timeout(Duration::from_secs(10)).unwrap();
                let select = format!("{select} line_push");
                file.query_row(&select, [], |row| row.get(0)).unwrap()
            }
        };
        Some(next_at? - self.clock.now().0)
    }

    /// Waits until a subscription is forgotten. Time goes on only while its message waits, not while it is
    /// being sent.
    async fn until_forgotten(&self, visitor: VisitorId) {
        let waiting = async {
            while self.is_kept(visitor).await {
                if let Some(wait) = self.due_in_ms()
                    && (1..LEASE_MS).contains(&wait)
                {
                    self.clock.advance_ms(wait);
                }
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
