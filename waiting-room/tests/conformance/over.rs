//! Events that are closed, idle or removed cost nothing.

use crate::bench::{Bench, START, Store, benches, policy, seats};
use crate::nodes::{Nodes, until};
use shared::cancellation::Cancellation;
use shared::ids::{EventId, VisitorId};
use shared::time::Clock;
use std::fs;
use std::time::Duration;
use waiting_room::line::{EventSettings, Line, Patch, Phase, Redis, Refused};

fn patch(text: &str) -> Patch {
    serde_json::from_str(text).unwrap()
}

fn closes_in(seconds: u32) -> Patch {
    let closes_at = START.plus_seconds(seconds);
    patch(&format!(r#"{{"closes_at": "{closes_at}"}}"#))
}

/// Returns a count of the server: of changes, or of scripts that ran.
fn count(server: &testkit::Redis, section: &str, name: &str) -> u64 {
    let told = server.ask(&["INFO", section]).unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix(name));
    let digits = line.unwrap_or("0").split(',').next();
    digits.unwrap().parse().unwrap()
}

fn changes(server: &testkit::Redis) -> u64 {
    count(server, "persistence", "rdb_changes_since_last_save:")
}

pub(crate) fn scripts(server: &testkit::Redis) -> u64 {
    count(server, "commandstats", "cmdstat_evalsha:calls=")
}

/// Does what a node does once a second for an event that is over.
async fn pass_a_second(line: &dyn Line, event: &EventId) {
    line.events().await.unwrap();
    assert_eq!(line.trouble().await, None);
    line.view(event).await.unwrap();
}

#[tokio::test]
async fn an_event_is_over_once_it_is_closed_and_no_visitor_is_inside() {
    for bench in benches() {
        let name = bench.name;
        let event = bench.event(policy(60, 1, 1)).await;
        bench.join(&event, 1..=3).await;
        for waiting in [2, 3] {
            bench.line.back(&event, VisitorId(waiting)).await.unwrap();
        }
        bench.line.configure(&event, closes_in(10)).await.unwrap();
        bench.tick_after(&event, 2).await;
        bench.line.claim(&event, VisitorId(1), 1).await.unwrap();
        bench.tick_after(&event, 10).await;
        let view = bench.line.view(&event).await.unwrap();
        assert_eq!((view.phase, view.is_over), (Phase::Closed, false), "{name}");
        // The turn of the fan inside ends in its time.
        bench.tick_after(&event, 720).await;
        let view = bench.line.view(&event).await.unwrap();
        assert!(view.is_over, "{name}");
        assert_eq!(view.waiting, 2, "{name}");
        let stats = bench.line.stats(&event).await.unwrap();
        assert_eq!((stats.shopping, stats.total.missed), (0, 1), "{name}");
        let again = patch(r#"{"closes_at": null}"#);
        bench.line.configure(&event, again).await.unwrap();
        bench.line.events().await.unwrap();
        let view = bench.line.view(&event).await.unwrap();
        assert_eq!((view.phase, view.is_over), (Phase::Open, false), "{name}");
        // No time has passed for those who wait.
        bench.tick_after(&event, 2).await;
        let view = bench.line.view(&event).await.unwrap();
        assert_eq!(view.waiting, 1, "{name}: the next one is admitted");
    }
}

#[tokio::test]
async fn a_cancelled_show_is_closed_for_good_and_its_message_is_the_reason() {
    let cancellation = |reason: &str, seconds: u32| Cancellation {
        reason: reason.to_owned(),
        at: START.plus_seconds(seconds),
    };
    for bench in benches() {
        let name = bench.name;
        let event = bench.event(policy(60, 1, 10)).await;
        bench.join(&event, 1..=3).await;
        // Its sale has yet to open: it closes all the same.
        let sale = START.plus_seconds(3600);
        let later = patch(&format!(
            r#"{{"prequeue_opens_at": "{START}", "sale_opens_at": "{sale}"}}"#
        ));
        bench.line.configure(&event, later).await.unwrap();
        bench.tick_after(&event, 2).await;
        let first = cancellation("The singer is ill.", 2);
        waiting_room::cancel(&*bench.line, &event, &first)
            .await
            .unwrap();
        bench.tick_after(&event, 1).await;
        let again = cancellation("Another reason.", 3);
        waiting_room::cancel(&*bench.line, &event, &again)
            .await
            .unwrap();
        let reopened =
            patch(r#"{"closes_at": null, "sale_opens_at": null, "prequeue_opens_at": null}"#);
        bench.line.configure(&event, reopened).await.unwrap();
        bench.tick_after(&event, 2).await;
        let view = bench.line.view(&event).await.unwrap();
        assert_eq!(view.phase, Phase::Closed, "{name}");
        assert_eq!(view.settings.cancelled.as_ref(), Some(&first), "{name}");
        let message = "This show was cancelled. The singer is ill.";
        assert_eq!(view.settings.message.as_deref(), Some(message), "{name}");
        // No one else comes in, and no one is let in.
        let _ = bench.line.join(&event, &[VisitorId(9)]).await;
        bench.tick_after(&event, 2).await;
        let stats = bench.line.stats(&event).await.unwrap();
        assert_eq!((stats.waiting, stats.admitted), (3, 0), "{name}");
    }
}

#[tokio::test]
async fn idle_and_closed_events_write_nothing_and_closed_ones_run_no_script() {
    let server = testkit::Redis::start();
    let mut nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
    nodes.join(0, 1..=5).await;
    let (event, line) = (nodes.event.clone(), nodes.nodes.clone());
    line[0].back(&event, VisitorId(1)).await.unwrap();
    line[0].report(&event, seats(5, 0)).await.unwrap();
    line[1].configure(&event, closes_in(1)).await.unwrap();
    nodes.tick(2).await;
    let idle = EventSettings::new(EventId::parse("idle").unwrap(), "Idle");
    nodes.event = idle.id.clone();
    line[0].create(idle).await.unwrap();
    nodes.tick(1).await;
    for node in &line {
        pass_a_second(&**node, &event).await;
    }
    let before = changes(&server);
    for _ in 0..20 {
        nodes.tick(1).await;
        for node in &line {
            pass_a_second(&**node, &event).await;
            node.report(&event, seats(5, 0)).await.unwrap();
        }
    }
    assert_eq!(changes(&server), before);
    let before = scripts(&server);
    for _ in 0..20 {
        for node in &line {
            // Also of the idle event, as its view is less than a second old.
            pass_a_second(&**node, &event).await;
        }
    }
    let ran = scripts(&server) - before;
    assert!(ran <= 2, "{ran} scripts for an event that is over");
    // A report that tells something new is kept.
    line[0].report(&event, seats(4, 0)).await.unwrap();
    let told = line[0].stats(&event).await.unwrap().availability;
    assert_eq!(told.map(|told| told.available), Some(4));
}

#[tokio::test]
async fn a_list_of_events_asks_the_store_once_and_not_for_each_that_is_ticked() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 1, Clock::manual(START), policy(0, 1, 10)).await;
    let line = &nodes.nodes[0];
    for at in 0..30 {
        let event = EventId::parse(&format!("event-{at}")).unwrap();
        let settings = EventSettings::new(event.clone(), "Night");
        line.create(settings).await.unwrap();
        line.tick(&event).await.unwrap();
    }
    let commands = || count(&server, "stats", "total_commands_processed:");
    let before = commands();
    for _ in 0..10 {
        assert_eq!(line.events().await.unwrap().len(), 31);
    }
    let sent = commands() - before;
    // On a slow machine some are ticked more than a second ago, and asked for once.
    assert!((10..100).contains(&sent), "{sent} commands for ten lists");
}

#[tokio::test]
async fn a_change_of_an_event_that_is_over_is_heard_by_all_nodes_though_none_ticks_it() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    nodes.join(0, 1..=1).await;
    line[0].configure(event, closes_in(1)).await.unwrap();
    nodes.tick(2).await;
    for node in line {
        pass_a_second(&**node, event).await;
        assert!(node.view(event).await.unwrap().is_over);
    }
    let told = patch(r#"{"message": "Thank you"}"#);
    line[0].configure(event, told).await.unwrap();
    for node in line {
        pass_a_second(&**node, event).await;
        let view = node.view(event).await.unwrap();
        assert_eq!(view.settings.message.as_deref(), Some("Thank you"));
    }
    line[1].configure(event, closes_in(100)).await.unwrap();
    for node in line {
        pass_a_second(&**node, event).await;
        assert!(!node.view(event).await.unwrap().is_over);
    }
    // The store loses it: the nodes notice without ticks.
    line[1].configure(event, closes_in(1)).await.unwrap();
    nodes.tick(2).await;
    for node in line {
        pass_a_second(&**node, event).await;
    }
    server.ask(&["FLUSHALL"]).unwrap();
    until("the event is there again", 10, || async {
        let _ = line[0].events().await;
        server.ask(&["EXISTS", "fairline:{night}:meta"]).as_deref() == Some("1")
    })
    .await;
}

/// Returns the registry's entry of the event; empty without one.
fn entry(server: &testkit::Redis) -> String {
    let entry = server.ask(&["HGET", "fairline:events", "night"]).unwrap();
    if entry == "-1" { String::new() } else { entry }
}

/// Marks the event as removed, as a node does before it dies.
fn half_removed(server: &testkit::Redis) -> String {
    let creation = entry(server);
    let removed = format!("gone {} {creation}", START.0);
    server.ask(&["HSET", "fairline:events", "night", &removed]);
    creation
}

fn keys(server: &testkit::Redis) -> String {
    server.ask(&["KEYS", "fairline:{night}:*"]).unwrap()
}

#[tokio::test]
async fn a_removal_that_ended_half_way_is_completed_by_another_by_any_node_or_by_a_creation() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    let settings = || {
        let mut settings = EventSettings::new(event.clone(), "Night");
        settings.admission = policy(0, 1, 10);
        settings
    };
    nodes.join(0, 1..=5).await;
    half_removed(&server);
    line[1].remove(event).await.unwrap();
    assert_eq!(keys(&server), "", "by another removal");
    assert_eq!(line[1].remove(event).await, Err(Refused::NoSuchEvent));
    assert!(entry(&server).starts_with("gone "));

    line[0].create(settings()).await.unwrap();
    nodes.join(1, 1..=5).await;
    nodes.tick(1).await;
    half_removed(&server);
    assert_eq!(line[0].events().await.unwrap(), []);
    assert_eq!(keys(&server), "", "by a node that knew it");

    line[0].create(settings()).await.unwrap();
    nodes.join(1, 1..=5).await;
    let before = half_removed(&server);
    line[1].create(settings()).await.unwrap();
    let after = entry(&server);
    assert!(after.len() == 16 && after != before, "{after}");
    for node in line {
        let front = node.tick(event).await.unwrap();
        assert_eq!((front.waiting, front.numbers), (0, 0), "by a creation");
        assert_eq!(node.events().await.unwrap().len(), 1);
    }
    nodes.join(0, 1..=2).await;
    nodes.tick(1).await;
    assert_eq!(line[1].tick(event).await.unwrap().waiting, 2);
}

#[tokio::test]
async fn an_event_that_is_created_during_a_removal_loses_nothing_to_it() {
    let server = testkit::Redis::start();
    let nodes = Nodes::start(&server.url(), 3, Clock::manual(START), policy(0, 1, 10)).await;
    let (event, line) = (&nodes.event, &nodes.nodes);
    for round in 0..30 {
        let mut settings = EventSettings::new(event.clone(), &format!("Round {round}"));
        settings.admission = policy(0, 1, 10);
        let create = async {
            while line[2].create(settings.clone()).await.is_err() {
                tokio::task::yield_now().await;
            }
            line[2].join(event, &[VisitorId(1)]).await.unwrap();
        };
        let create = tokio::time::timeout(Duration::from_secs(20), create);
        let (removed, created) = tokio::join!(line[0].remove(event), create);
        // The creation may have completed the removal.
        let is_removed = matches!(removed, Ok(()) | Err(Refused::NoSuchEvent));
        assert!(is_removed && created.is_ok(), "round {round}: {removed:?}");
        for node in line {
            let front = node.tick(event).await.unwrap();
            assert_eq!(front.settings.name, settings.name);
            assert_eq!((front.waiting, front.numbers), (1, 1), "round {round}");
            assert_eq!(node.events().await.unwrap().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_registry_forgets_removed_events_after_thirty_days_and_no_node_brings_them_back() {
    let server = testkit::Redis::start();
    let mut nodes = Nodes::start(&server.url(), 2, Clock::manual(START), policy(0, 1, 10)).await;
    let event = nodes.event.clone();
    nodes.join(0, 1..=3).await;
    nodes.tick(5).await;
    let folder = nodes.folders[1].path().to_owned();
    let backup = folder.join("night.json");
    until("the backup is written", 10, || async { backup.exists() }).await;
    // It is down from here on.
    drop(nodes.nodes.remove(1));
    let line = nodes.nodes[0].clone();
    line.remove(&event).await.unwrap();
    nodes.clock.advance_ms(29 * 24 * 3600 * 1000);
    line.events().await.unwrap();
    assert!(entry(&server).starts_with("gone "), "29 days");
    nodes.clock.advance_ms(2 * 24 * 3600 * 1000);
    line.events().await.unwrap();
    assert_eq!(entry(&server), "", "31 days");
    let late = Redis::open(&server.url(), folder, nodes.clock.clone()).unwrap();
    assert_eq!(late.events().await.unwrap(), []);
    assert_eq!(late.tick(&event).await.unwrap_err(), Refused::NoSuchEvent);
    assert_eq!(keys(&server), "");
}

#[tokio::test]
async fn a_journal_that_cannot_be_removed_stays_and_the_removal_can_be_repeated() {
    let mut bench = Bench::new("embedded", Store::Folder);
    let event = bench.event(policy(0, 1, 10)).await;
    bench.join(&event, 1..=3).await;
    let obstacle = bench.folder.path().join("line/arena.removed");
    fs::create_dir(&obstacle).unwrap();
    let refused = bench.line.remove(&event).await.unwrap_err();
    assert!(matches!(refused, Refused::Unavailable(_)), "{refused:?}");
    assert_eq!(bench.line.tick(&event).await.unwrap().waiting, 3);
    fs::remove_dir(&obstacle).unwrap();
    bench.line.remove(&event).await.unwrap();
    let files = fs::read_dir(bench.folder.path().join("line")).unwrap();
    assert_eq!(files.count(), 0);
    bench.reopen();
    assert_eq!(bench.line.remove(&event).await, Err(Refused::NoSuchEvent));
    bench.event(policy(0, 1, 10)).await;
    assert_eq!(bench.join(&event, 4..=4).await, [1]);
}
