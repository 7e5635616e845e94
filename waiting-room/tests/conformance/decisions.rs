//! The log of what a line decided, as a checkout reads it.

use crate::bench::{Bench, START, Store, benches, policy};
use crate::draws::prequeue;
use crate::nodes::Nodes;
use shared::ids::{EventId, VisitorId};
use shared::line_log::{LineDecision, LogEntry, LogPage, LogPlace};
use shared::time::Clock;
use waiting_room::draw::commitment;
use waiting_room::line::{Admission, Claimed, Line};

/// Reads a log from a place to its end, a few entries at a time; returns them and the new place.
async fn read(line: &dyn Line, event: &EventId, from: &LogPlace) -> (Vec<LogEntry>, LogPlace) {
    let (mut entries, mut place) = (Vec::new(), from.clone());
    loop {
        let page: LogPage = line.decisions(event, &place, 2).await.unwrap();
        place = page.end();
        if page.entries.is_empty() {
            return (entries, place);
        }
        assert!(page.entries.len() <= 2);
        entries.extend(page.entries);
    }
}

/// Returns what was decided, in order, without the times.
fn words(entries: &[LogEntry]) -> Vec<String> {
    let decisions = entries.iter().flat_map(|entry| &entry.decisions);
    let words = decisions.map(|decision| match decision {
        LineDecision::Admitted {
            visitor, number, ..
        } => format!("{} admitted as {number}", visitor.0),
        LineDecision::Missed { visitor, number } => format!("{} missed {number}", visitor.0),
        LineDecision::Finished {
            visitor,
            number,
            how,
        } => format!("{} done with {number}: {how:?}", visitor.0),
        LineDecision::Drawn { entries, .. } => format!("{entries} drawn"),
    });
    words.collect()
}

/// A line with three who are inside, of whom the second has come.
async fn three_inside(bench: &Bench) -> EventId {
    let admission = Admission {
        claim_seconds: 10,
        session_seconds: 20,
        ..policy(60_000, 1, 3)
    };
    let event = bench.event(admission).await;
    bench.join(&event, 1..=3).await;
    bench.tick_after(&event, 3).await;
    bench.line.claim(&event, VisitorId(2), 2).await.unwrap();
    event
}

#[tokio::test]
async fn each_admission_and_its_end_stand_in_the_log_once_in_order() {
    for mut bench in benches() {
        let event = three_inside(&bench).await;
        let (admitted, place) = read(&*bench.line, &event, &LogPlace::default()).await;
        let whose = ["1 admitted as 1", "2 admitted as 2", "3 admitted as 3"];
        assert_eq!(words(&admitted), whose, "{}", bench.name);
        assert_eq!(admitted.len(), 1, "one entry for a batch");
        let LineDecision::Admitted {
            admitted_at,
            claim_by,
            waited_seconds,
            ..
        } = admitted[0].decisions[0]
        else {
            panic!("{admitted:?}");
        };
        let at = START.plus_seconds(3);
        assert_eq!([admitted_at, admitted[0].at], [at, at]);
        assert_eq!(claim_by, at.plus_seconds(10));
        assert_eq!(waited_seconds, Some(3));
        bench.line.finish(&event, VisitorId(2), 2).await.unwrap();
        bench.line.finish(&event, VisitorId(2), 2).await.unwrap();
        bench.line.leave(&event, VisitorId(3)).await.unwrap();
        // A visitor who leaves while waiting was not admitted.
        bench.join(&event, 8..=9).await;
        bench.line.leave(&event, VisitorId(9)).await.unwrap();
        bench.tick_after(&event, 1).await;
        bench.line.claim(&event, VisitorId(8), 4).await.unwrap();
        bench.tick_after(&event, 10).await;
        bench.join(&event, 10..=10).await;
        bench.tick_after(&event, 1).await;
        bench.line.eject(&event, VisitorId(10)).await.unwrap();
        bench.tick_after(&event, 20).await;
        let (ended, place) = read(&*bench.line, &event, &place).await;
        let ends = [
            "2 done with 2: Finished",
            "3 done with 3: Left",
            "8 admitted as 4",
            "1 missed 1",
            "10 admitted as 6",
            "10 done with 6: Ejected",
            "8 done with 4: Expired",
        ];
        assert_eq!(words(&ended), ends, "{}", bench.name);
        // A restart of the node changes nothing.
        bench.reopen();
        let (again, end) = read(&*bench.line, &event, &LogPlace::default()).await;
        assert_eq!((again.len(), &end), (admitted.len() + ended.len(), &place));
        let (nothing, same) = read(&*bench.line, &event, &place).await;
        assert_eq!((nothing, same), (Vec::new(), place));
    }
}

#[tokio::test]
async fn an_entry_has_no_more_than_fifty_decisions_and_a_page_no_more_than_twenty_entries() {
    for bench in benches() {
        let event = bench.event(policy(600_000, 1, 1_200)).await;
        bench.join(&event, 1..=1_200).await;
        bench.tick_after(&event, 1).await;
        let none = LogPlace::default();
        let page = bench.line.decisions(&event, &none, 1_000).await.unwrap();
        assert_eq!(page.entries.len(), 20, "{}", bench.name);
        assert!(page.entries.iter().all(|entry| entry.decisions.len() == 50));
        let (all, _) = read(&*bench.line, &event, &none).await;
        assert_eq!(words(&all).len(), 1_200);
    }
}

#[tokio::test]
async fn a_draw_is_told_with_the_seed_that_was_committed_to() {
    for bench in benches() {
        let event = prequeue(&bench, None).await;
        bench.join(&event, 1..=5).await;
        let draw = bench.line.draw(&event).await.unwrap().unwrap();
        bench.tick_after(&event, 10).await;
        let (entries, _) = read(&*bench.line, &event, &LogPlace::default()).await;
        let outcome = bench.line.draw(&event).await.unwrap().unwrap().outcome;
        let drawn = LineDecision::Drawn {
            seed: shared::crypto::hex(&draw.seed),
            commitment: commitment(&draw.seed),
            entries: 5,
            root: outcome.unwrap().root,
        };
        assert_eq!(entries[0].decisions, [drawn], "{}", bench.name);
        let told = words(&entries);
        let draws = told.iter().filter(|word| word.ends_with("drawn")).count();
        assert_eq!((draws, told.len()), (1, 6));
    }
}

#[tokio::test]
async fn the_log_of_an_event_that_is_created_again_begins_anew() {
    for bench in benches() {
        let event = three_inside(&bench).await;
        let (_, place) = read(&*bench.line, &event, &LogPlace::default()).await;
        bench.line.remove(&event).await.unwrap();
        let event = bench.event(policy(60_000, 1, 1)).await;
        bench.join(&event, 7..=7).await;
        bench.tick_after(&event, 1).await;
        let page = bench.line.decisions(&event, &place, 20).await.unwrap();
        assert_ne!(page.life, place.life, "{}", bench.name);
        assert_eq!(words(&page.entries), ["7 admitted as 1"]);
    }
}

/// Two nodes on a server of their own, with three of five visitors inside.
async fn nodes(server: &testkit::Redis) -> Nodes {
    let clock = Clock::manual(START);
    let nodes = Nodes::start(&server.url(), 2, clock, policy(60_000, 1, 3)).await;
    nodes.join(0, 1..=5).await;
    nodes.tick(1).await;
    nodes
}

#[tokio::test]
async fn a_reader_goes_on_with_a_store_that_went_back_and_reads_no_entry_twice() {
    let mut server = testkit::Redis::start();
    let nodes = nodes(&server).await;
    let (event, line) = (nodes.event.clone(), nodes.nodes[0].clone());
    let (_, place) = read(&*line, &event, &LogPlace::default()).await;
    server.ask(&["SAVE"]).unwrap();
    // Two more, of which the reader learns and the store does not keep.
    for (visitor, number) in [(1, 1), (2, 2)] {
        let visitor = VisitorId(visitor);
        line.finish(&event, visitor, number).await.unwrap();
    }
    nodes.tick(1).await;
    let (lost, place) = read(&*line, &event, &place).await;
    assert_eq!(words(&lost).len(), 4);
    server.kill();
    server.start_again();
    nodes.recover().await;
    line.finish(&event, VisitorId(3), 3).await.unwrap();
    let (after, end) = read(&*line, &event, &place).await;
    assert_eq!(words(&after), ["3 done with 3: Finished"]);
    assert_ne!(end.life, place.life);
    assert!(after[0].entry <= place.entry, "its number is given again");
}

#[tokio::test]
async fn a_store_that_lost_everything_has_a_new_log_and_what_was_not_read_is_gone() {
    let server = testkit::Redis::start();
    let nodes = nodes(&server).await;
    let (event, line) = (nodes.event.clone(), nodes.nodes[0].clone());
    let (_, place) = read(&*line, &event, &LogPlace::default()).await;
    line.finish(&event, VisitorId(1), 1).await.unwrap();
    nodes.tick(1).await;
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    line.finish(&event, VisitorId(2), 2).await.unwrap();
    let page = line.decisions(&event, &place, 20).await.unwrap();
    assert_ne!(page.life, place.life);
    assert_eq!(page.after, 0);
    assert_eq!(words(&page.entries), ["2 done with 2: Finished"]);
}

#[tokio::test]
async fn a_store_that_lost_everything_and_comes_back_from_a_backup_has_no_entry_read_twice() {
    let mut server = testkit::Redis::start();
    let nodes = nodes(&server).await;
    let (event, line) = (nodes.event.clone(), nodes.nodes[0].clone());
    let (before, place) = read(&*line, &event, &LogPlace::default()).await;
    assert!(!before.is_empty());
    server.ask(&["SAVE"]).unwrap();
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    let (none, place) = read(&*line, &event, &place).await;
    assert_eq!((none.len(), place.entry), (0, 0));
    server.kill();
    server.start_again();
    nodes.recover().await;
    line.finish(&event, VisitorId(2), 2).await.unwrap();
    let (after, end) = read(&*line, &event, &place).await;
    assert_eq!(words(&after), ["2 done with 2: Finished"]);
    assert_eq!(end.entry, before.last().unwrap().entry + 1);
}

#[tokio::test]
async fn the_log_is_bounded_and_a_reader_sees_what_was_dropped() {
    let server = testkit::Redis::start();
    let nodes = nodes(&server).await;
    let (event, line) = (nodes.event.clone(), nodes.nodes[0].clone());
    let (_, place) = read(&*line, &event, &LogPlace::default()).await;
    let fill = "for i = 2, 12000 do redis.call('XADD', KEYS[1] .. 'decisions', i .. '-0', 'life', 'x', 'at', '1', 'missed', '')
        end return redis.call('HSET', KEYS[1] .. 'meta', 'decided', 12000)";
    server
        .ask(&["EVAL", fill, "1", "fairline:{night}:"])
        .unwrap();
    line.finish(&event, VisitorId(1), 1).await.unwrap();
    let kept = server.ask(&["XLEN", "fairline:{night}:decisions"]).unwrap();
    let kept: u64 = kept.trim().parse().unwrap();
    assert!((10_000..10_200).contains(&kept), "{kept}");
    let page = line.decisions(&event, &place, 1).await.unwrap();
    assert_eq!(page.after, place.entry);
    assert_eq!(page.entries[0].entry, 12_001 - kept + 1);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_skipped_and_the_place_goes_past_it() {
    let server = testkit::Redis::start();
    let nodes = nodes(&server).await;
    let (event, line) = (nodes.event.clone(), nodes.nodes[0].clone());
    let (_, place) = read(&*line, &event, &LogPlace::default()).await;
    assert_eq!(place.entry, 1);
    let whole = VisitorId(1);
    let broken = format!(
        "for i, fields in ipairs({{ {{ 'junk', '1' }}, {{ 'life', 'x', 'at', 'now', 'missed', '1 {whole}' }},
            {{ 'life', 'x', 'at', '1', 'unheard_of', '1' }}, {{ 'life', 'x', 'at', '1', 'drawn', '{{}}' }},
            {{ 'life', 'x', 'at', '1', 'missed', '1 {whole} 2' }} }}) do
            redis.call('XADD', KEYS[1] .. 'decisions', (i + 1) .. '-0', unpack(fields))
        end return redis.call('HSET', KEYS[1] .. 'meta', 'decided', 6)"
    );
    let written = server.ask(&["EVAL", &broken, "1", "fairline:{night}:"]);
    assert!(written.is_some());
    let page = line.decisions(&event, &place, 1).await.unwrap();
    assert_eq!((page.end().entry, words(&page.entries)), (2, vec![]));
    line.finish(&event, VisitorId(1), 1).await.unwrap();
    let (entries, end) = read(&*line, &event, &place).await;
    // Of the last of them the first decision can be read.
    assert_eq!(words(&entries), ["1 missed 1", "1 done with 1: Finished"]);
    assert_eq!((entries.len(), end.entry), (6, 7));
}

#[tokio::test]
async fn a_slot_that_is_made_anew_for_a_claim_stands_in_the_log_as_an_admission() {
    let server = testkit::Redis::start();
    let none_admitted = policy(0, 1, 3);
    let nodes = Nodes::start(&server.url(), 2, Clock::manual(START), none_admitted).await;
    nodes.join(0, 1..=3).await;
    nodes.tick(1).await;
    // The store has lost whom it admitted, and the token of one of them proves it.
    server.ask(&["FLUSHALL"]).unwrap();
    nodes.recover().await;
    let (event, line) = (nodes.event.clone(), nodes.nodes[0].clone());
    let visitor = VisitorId(3);
    let claimed = line.claim(&event, visitor, 3).await.unwrap();
    assert!(matches!(claimed, Claimed::Until(_)));
    line.claim(&event, visitor, 3).await.unwrap();
    line.finish(&event, visitor, 3).await.unwrap();
    let (entries, _) = read(&*line, &event, &LogPlace::default()).await;
    let wanted = ["3 admitted as 3", "3 done with 3: Finished"];
    assert_eq!(words(&entries), wanted);
}

#[tokio::test]
async fn a_line_in_which_nothing_is_decided_writes_no_log() {
    for bench in benches() {
        let event = bench.event(policy(0, 1, 10)).await;
        bench.join(&event, 1..=3).await;
        bench.line.leave(&event, VisitorId(1)).await.unwrap();
        bench.tick_after(&event, 200).await;
        let place = LogPlace::default();
        let page = bench.line.decisions(&event, &place, 20).await.unwrap();
        assert_eq!((page.entries.len(), page.after), (0, 0), "{}", bench.name);
        if let Store::Redis(server) = &bench.store {
            let exists = server.ask(&["EXISTS", "fairline:{arena}:decisions"]);
            assert_eq!(exists.unwrap().trim(), "0");
        }
    }
}

#[tokio::test]
async fn a_log_that_a_node_without_logs_left_behind_holds_nothing_up() {
    let bench = Bench::new("redis", Store::Redis(testkit::Redis::start()));
    let Store::Redis(server) = &bench.store else {
        panic!("{}", bench.name);
    };
    let event = three_inside(&bench).await;
    let decisions = format!("fairline:{{{event}}}:decisions");
    assert_eq!(server.ask(&["XLEN", &decisions]).as_deref(), Some("1"));
    bench.line.remove(&event).await.unwrap();
    let stale = ["XADD", &decisions, "500-0", "life", "old"];
    assert!(server.ask(&stale).is_some());
    let event = three_inside(&bench).await;
    let (admitted, _) = read(&*bench.line, &event, &LogPlace::default()).await;
    assert_eq!(words(&admitted).len(), 3);
}
