//! Following the lines ends with the stop signal, however slow they are.

use crate::node::{Everyone, Home, Node};
use async_trait::async_trait;
use checkout::inventory::layout;
use checkout::settings::SeatsArgs;
use checkout::waiting_room::{EventAnswer, Extension, LogAnswer, Reported, WaitingRoom};
use shared::cancellation::Cancellation;
use shared::ids::{Availability, EventId, VisitorId};
use shared::line_log::LogPlace;
use shared::line_mail::LineWaits;
use shared::time::Clock;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// A waiting room that never answers what a line decided.
#[derive(Default)]
struct SilentLines {
    asked: Notify,
}

#[async_trait]
impl WaitingRoom for SilentLines {
    async fn knows(&self, event: &EventId) -> Option<bool> {
        Everyone.knows(event).await
    }
    async fn describe(&self, event: &EventId) -> EventAnswer {
        Everyone.describe(event).await
    }
    async fn start(&self, event: &EventId, token: &str) -> Reported {
        Everyone.start(event, token).await
    }
    async fn extend(&self, event: &EventId, token: &str) -> Extension {
        Everyone.extend(event, token).await
    }
    async fn finish(&self, event: &EventId, token: &str) -> Reported {
        Everyone.finish(event, token).await
    }
    async fn report(&self, event: &EventId, seats: Availability) -> Reported {
        Everyone.report(event, seats).await
    }
    async fn cancel(&self, event: &EventId, cancellation: &Cancellation) -> Reported {
        Everyone.cancel(event, cancellation).await
    }
    async fn log(&self, _: &EventId, _: &LogPlace) -> LogAnswer {
        self.asked.notify_one();
        pending().await
    }
    async fn waits(&self, event: &EventId, visitors: Vec<VisitorId>) -> Option<LineWaits> {
        Everyone.waits(event, visitors).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_at_lines_that_do_not_answer_end_with_the_stop_signal() {
    let (args, home) = (SeatsArgs::default(), Arc::new(Home::new()));
    let opened = Node::open_at(home, args, Clock::system(), |inventory| inventory);
    let mut node = opened.await.unwrap();
    let lines = Arc::new(SilentLines::default());
    Arc::get_mut(&mut node.shop).unwrap().waiting_room = lines.clone();
    let plan = br#"{"categories": [{"id": "c", "name": "C", "price": 4500}],
        "sections": [{"id": "s", "category": "c", "rows": 1, "seats_per_row": 6}]}"#;
    let inventory = &node.shop.inventory;
    // More than are looked at at one time.
    for number in 0..20 {
        let event = EventId::parse(&format!("night-{number}")).unwrap();
        let plan = layout::parse(plan).unwrap();
        inventory.set_seating(&event, plan).await.unwrap();
    }
    let running = tokio::spawn(checkout::run(node.shop.clone()));
    let patience = Duration::from_secs(60);
    timeout(patience, lines.asked.notified()).await.unwrap();
    node.stop.cancel();
    let ended = timeout(patience, running).await;
    assert!(matches!(ended, Ok(Ok(()))), "the looks went on");
    let event = EventId::parse("night-0").unwrap();
    let place = inventory.line_log().log_place(&event).await.unwrap();
    assert_eq!(place, LogPlace::default());
}
