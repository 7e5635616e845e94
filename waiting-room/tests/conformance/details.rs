//! Details of an event: kept, changed as a whole, the same on all nodes and after a loss.

use crate::bench::{Bench, START, benches, policy};
use crate::nodes::{Nodes, until};
use shared::event_details::EventDetails;
use shared::ids::EventId;
use shared::time::Clock;
use waiting_room::line::{EventSettings, Patch, Refused};

const DETAILS: &str = r##"{"subtitle": "Live", "venue": {"name": "Hall", "address": "1 Road"},
    "starts_at": "2027-03-20T19:00:00Z", "time_zone": "Europe/Berlin", "description": "Two\nlines",
    "colours": {"background": "#5a35c8", "text": "#ffffff"}, "links": {"contact": "mailto:a@b.example"}}"##;

fn details() -> EventDetails {
    serde_json::from_str(DETAILS).unwrap()
}

fn patch(text: &str) -> Patch {
    serde_json::from_str(text).unwrap()
}

async fn kept(bench: &Bench, event: &EventId) -> Option<EventDetails> {
    let view = bench.line.view(event).await.unwrap();
    let listed = bench.line.events().await.unwrap();
    assert_eq!(listed[0].details, view.settings.details, "{}", bench.name);
    view.settings.details.clone()
}

#[tokio::test]
async fn details_are_kept_and_a_change_replaces_all_of_them() {
    for mut bench in benches() {
        let name = bench.name;
        let event = EventId::parse("arena").unwrap();
        let mut settings = EventSettings::new(event.clone(), "Arena");
        settings.details = Some(EventDetails {
            time_zone: Some("Berlin".to_owned()),
            ..details()
        });
        let wrong = bench.line.create(settings.clone()).await.unwrap_err();
        let Refused::Invalid(mistakes) = wrong else {
            panic!("{name}: {wrong:?}");
        };
        assert_eq!(mistakes[0].0, "details.time_zone", "{name}");
        settings.details = Some(details());
        bench.line.create(settings).await.unwrap();
        assert_eq!(kept(&bench, &event).await, Some(details()), "{name}");
        let change = bench.line.configure(&event, patch(r#"{"paused": true}"#));
        change.await.unwrap();
        bench.reopen();
        assert_eq!(kept(&bench, &event).await, Some(details()), "{name}");
        let change = patch(r#"{"details": {"subtitle": "Later"}}"#);
        let (before, after) = bench.line.configure(&event, change).await.unwrap();
        let later = EventDetails {
            subtitle: Some("Later".to_owned()),
            ..EventDetails::default()
        };
        assert_eq!(before.details, Some(details()), "{name}");
        assert_eq!(after.details.as_ref(), Some(&later), "{name}");
        let wrong = patch(r#"{"details": {"subtitle": ""}}"#);
        let refused = bench.line.configure(&event, wrong).await.unwrap_err();
        assert!(matches!(refused, Refused::Invalid(_)), "{name}");
        assert_eq!(kept(&bench, &event).await, Some(later), "{name}");
        let change = bench.line.configure(&event, patch(r#"{"details": null}"#));
        change.await.unwrap();
        assert_eq!(kept(&bench, &event).await, None, "{name}");
    }
}

#[tokio::test]
async fn an_event_that_starts_long_after_its_sale_is_put_away_after_its_start() {
    for bench in benches() {
        let event = bench.event(policy(60, 1, 1)).await;
        let closes_at = START.plus_seconds(60);
        let change = format!(r#"{{"closes_at": "{closes_at}"}}"#);
        bench.line.configure(&event, patch(&change)).await.unwrap();
        let week = 7 * 24 * 3600;
        let due = async || bench.line.view(&event).await.unwrap().put_away_at();
        assert_eq!(due().await, Some(closes_at.plus_seconds(week)));
        let change = format!(r#"{{"details": {DETAILS}}}"#);
        bench.line.configure(&event, patch(&change)).await.unwrap();
        let start = details().starts_at.unwrap();
        assert_eq!(
            due().await,
            Some(start.plus_seconds(week)),
            "{}",
            bench.name
        );
    }
}

#[tokio::test]
async fn details_are_the_same_on_all_nodes_and_after_a_loss_of_the_store() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(60, 1, 10)).await;
    let event = nodes.event.clone();
    let change = patch(&format!(r#"{{"details": {DETAILS}}}"#));
    nodes.nodes[0].configure(&event, change).await.unwrap();
    nodes.tick(1).await;
    let seen = nodes.nodes[1].view(&event).await.unwrap();
    assert_eq!(seen.settings.details, Some(details()));
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    until("the details are back", 10, || async {
        let views = nodes.nodes.iter().map(|node| node.view(&event));
        let views = futures_util::future::join_all(views).await;
        let is_back =
            |view: &waiting_room::line::LineView| view.settings.details == Some(details());
        views
            .iter()
            .all(|view| view.as_ref().is_ok_and(|view| is_back(view)))
    })
    .await;
}
