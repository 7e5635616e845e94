//! A node that tells fans in line of their turn, by a channel, and time that goes on only while its messages
//! wait.

use crate::node::Node;
use checkout::inventory::{InLine, layout};
use checkout::settings::SeatsArgs;
use shared::ids::{EventId, VisitorId};
use shared::line_contact::{Channel, LineContact};
use shared::line_log::{LineDecision, LogEntry, LogPage};
use shared::time::{Clock, Time};
use std::sync::Arc;
use std::time::Duration;
use testkit::{Shared, shared_postgres};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const NOW: Time = Time(1_800_000_000_000);
/// Time after which a message that was taken counts as not sent.
const LEASE_MS: i64 = 30_000;
pub(crate) const ADA: VisitorId = VisitorId(1);
pub(crate) const BEN: VisitorId = VisitorId(2);

/// An engine of the store.
#[derive(Clone, Copy)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub(crate) const BOTH: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];
}

/// A node whose fans in line ask for messages of a channel.
pub(crate) struct TurnStage {
    pub(crate) node: Node,
    pub(crate) clock: Clock,
    channel: Channel,
    pub(crate) event: EventId,
    running: JoinHandle<()>,
    /// Database of its store; none with SQLite.
    database: Option<String>,
    servers: Arc<Shared>,
}

impl TurnStage {
    /// Opens a stage on an engine.
    pub(crate) async fn open(channel: Channel, engine: Engine, args: SeatsArgs) -> TurnStage {
        let servers = shared_postgres();
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(servers.postgres.database()),
        };
        let inventory = database.as_ref().map(|name| servers.postgres.url(name));
        let args = SeatsArgs { inventory, ..args };
        let clock = Clock::manual(NOW);
        let node = Node::open(args, clock.clone()).await;
        let event = EventId::parse("arena").unwrap();
        let plan = br#"{"categories": [{"id": "c", "name": "C", "price": 4500}],
            "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 6}]}"#;
        let plan = layout::parse(plan).unwrap();
        let seats = &node.shop.inventory;
        seats.set_seating(&event, plan).await.unwrap();
        TurnStage {
            running: tokio::spawn(checkout::run(node.shop.clone())),
            node,
            clock,
            channel,
            event,
            database,
            servers,
        }
    }

    pub(crate) fn place(&self, visitor: VisitorId) -> InLine {
        InLine {
            event: self.event.clone(),
            visitor,
        }
    }

    /// Leaves a subscription or a number with the place of a fan.
    pub(crate) async fn leave(&self, visitor: VisitorId, contact: &LineContact) {
        let place = self.place(visitor);
        let kept = self.node.shop.keep_line_contact(&place, contact).await;
        assert!(kept.is_ok());
    }

    /// Has the turn of these fans come, which they may take for so long.
    pub(crate) async fn admit(&self, visitors: &[VisitorId], seconds: u32) {
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
        let messages = self.node.shop.inventory.line_messages();
        let found = messages.find(&self.place(visitor), self.channel).await;
        found.unwrap().is_some()
    }

    /// Returns the time after which a message is due, or counts as not sent; none before its turn has come.
    fn due_in_ms(&self) -> Option<i64> {
        let select = "select max(next_at) from";
        let next_at: Option<i64> = match &self.database {
            Some(database) => {
                let select = format!("{select} fairline.line_message");
                let answer = self.servers.postgres.run(database, &select).unwrap();
                answer.parse().ok()
            }
            None => {
                let file = self.node.home.folder.join("inventory.sqlite");
                let file = rusqlite::Connection::open(file).unwrap();
                file.busy_timeout(Duration::from_secs(10)).unwrap();
                let select = format!("{select} line_message");
                file.query_row(&select, [], |row| row.get(0)).unwrap()
            }
        };
        Some(next_at? - self.clock.now().0)
    }

    /// Waits until what a fan has left is forgotten.
    pub(crate) async fn until_forgotten(&self, visitor: VisitorId) {
        let is_forgotten = async || !self.is_kept(visitor).await;
        self.advance_until(is_forgotten).await;
    }

    /// Waits until something is so. Time goes on only while a message waits, not while it is being sent.
    pub(crate) async fn advance_until(&self, is_so: impl AsyncFn() -> bool) {
        let waiting = async {
            while !is_so().await {
                if let Some(wait) = self.due_in_ms()
                    && (1..LEASE_MS).contains(&wait)
                {
                    self.clock.advance_ms(wait);
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(Duration::from_secs(60), waiting).await;
        assert!(waited.is_ok(), "it never became so");
    }

    /// Ends the node.
    pub(crate) async fn end(self) {
        self.node.stop.cancel();
        self.running.await.unwrap();
    }
}
