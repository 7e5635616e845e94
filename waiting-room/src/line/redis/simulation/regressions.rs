//! Faults that the simulation found, each as the few calls in which it shows.

use super::link::value;
use super::plan::{Fault, RunMode};
use super::script::{self, Script};
use super::world::START_MS;
use super::{STEPS, search};
use crate::line::redis::cache::{DrawnOrder, LineCache};
use crate::line::redis::policy::json;
use crate::line::redis::reply;
use crate::line::redis::view_reply::ViewReply;
use crate::line::{EventSettings, Slot, Spot, VisitorState};
use shared::ids::{EventId, VisitorId};
use shared::time::Time;
use simulation::{Life, Reply, Server};
use std::sync::Arc;
use tokio::time::Instant;

/// Calls a script.
fn call(server: &mut Server, script: &Script, arguments: &[&str]) -> Reply {
    let common = ["EVAL", script.text(), "1", "fairline:{night}", "0", "node"];
    let words = common.iter().chain(arguments).map(|word| word.as_bytes());
    server.execute(START_MS * 1000, &words.collect::<Vec<_>>())
}

fn server() -> Server {
    Server::new(Life {
        run_id: "1".repeat(40),
        replication_id: "2".repeat(40),
    })
}

/// Sends a command.
fn ask(server: &mut Server, words: &[&str]) -> Reply {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    server.execute(START_MS * 1000, &words)
}

/// Returns a field of the line.
fn field(server: &mut Server, name: &str) -> String {
    match ask(server, &["HGET", META, name]) {
        Reply::Bulk(text) => String::from_utf8(text).expect("a text"),
        other => panic!("{name}: {other:?}"),
    }
}

const META: &str = "fairline:{night}:meta";

fn settings() -> String {
    json(&EventSettings::new(
        EventId::parse("night").expect("a valid id"),
        "Night",
    ))
}

/// A reply with nothing but its status.
fn only(status: &str) -> Reply {
    Reply::Array(vec![Reply::Bulk(status.into())])
}

/// Creates an event with a draw in this stage.
fn create(server: &mut Server, stage: &str) {
    let fields = [
        ["creation", "aa"],
        ["life", "bb"],
        ["draw", stage],
        ["away_ms", "8000"],
        ["seed", "one"],
        ["settings", &settings()],
    ];
    let created = call(server, &script::CREATE, fields.as_flattened());
    assert_eq!(created, only("ok"));
}

/// Number that a store has of a visitor who shows one.
fn number_after(stage: &str, mark: &str, creation: &str) -> Reply {
    let mut server = server();
    create(&mut server, stage);
    let visitor = VisitorId(7).to_string();
    let pass = [&visitor, "10", mark, "1", creation];
    match unit(call(&mut server, &script::REENTER, &pass)) {
        Reply::Array(place) => place[1].clone(),
        none => none,
    }
}

/// Returns the only unit of a reply.
fn unit(reply: Reply) -> Reply {
    let Reply::Array(mut values) = reply else {
        panic!("{reply:?}");
    };
    let Some(Reply::Array(units)) = values.pop() else {
        panic!("{values:?}");
    };
    units[0].clone()
}

/// A sign of life that a node told of during a draw, when nothing is recorded, was lost.
#[test]
fn a_poll_during_a_draw_is_to_be_told_again() {
    for (stage, is_deaf) in [("1", 0), ("2", 1), ("3", 0)] {
        let mut server = server();
        create(&mut server, stage);
        let visitor = VisitorId(7).to_string();
        let Reply::Array(values) = call(&mut server, &script::PLACE, &[&visitor]) else {
            panic!("no reply");
        };
        assert_eq!(values.last(), Some(&Reply::Integer(is_deaf)), "{stage}");
    }
}

/// A node sent it while the draw was under way, again and again, until the draw was over.
#[test]
fn a_number_of_before_the_draw_is_none_after_it_and_the_other_way_round() {
    let none = Reply::Bulk(Vec::new());
    assert_eq!(number_after("3", "1", "aa"), none);
    assert_eq!(number_after("1", "0", "aa"), none);
    for (stage, mark) in [("3", "0"), ("1", "1"), ("0", "0")] {
        let number = number_after(stage, mark, "aa");
        assert_eq!(number, Reply::Integer(10), "{stage}");
    }
}

/// A node that was recording places again when the event was deleted and created again went on (seeds
/// 1118, 5403).
#[test]
fn a_number_of_an_event_that_was_deleted_is_none_of_the_next_one() {
    let none = Reply::Bulk(Vec::new());
    for (stage, mark) in [("3", "0"), ("1", "1"), ("0", "0")] {
        assert_eq!(number_after(stage, mark, "ab"), none, "{stage}");
    }
}

/// An answer that was lost told no node of the end of a place, which the store lost next (seed 1687).
#[test]
fn the_end_of_a_place_is_told_again_to_who_asks_for_it_again() {
    for script in [&script::LEAVE, &script::FINISH] {
        let mut server = server();
        create(&mut server, "0");
        let visitor = VisitorId(7).to_string();
        let _ = ask(&mut server, &["HSET", META, "sale_at", "1"]);
        let _ = call(&mut server, &script::JOIN, &[&visitor]);
        let _ = ask(&mut server, &["HSET", META, "known", "1"]);
        let [(_, name), _] = script.named();
        let words: &[&str] = match name {
            "leave" => &[&visitor],
            _ => &[&visitor, "1"],
        };
        for attempt in 0..2 {
            let ended = unit(call(&mut server, script, words));
            assert_eq!(ended, Reply::Integer(1), "{attempt}");
        }
    }
}

/// A store that was rolled back had an older place of a fan, which then was restored instead of the
/// newer one (seed 869).
#[test]
fn an_older_place_does_not_replace_the_one_of_an_open_socket() {
    let mut cache = LineCache::default();
    let spot = |number, is_provisional| Spot {
        visitor: VisitorId(7),
        number,
        is_provisional,
        standing: VisitorState::Waiting,
        ahead: 0,
        slot: None,
    };
    let told = [(26, true, 26), (5, true, 26), (27, true, 27), (3, false, 3)];
    for (number, is_provisional, kept) in told {
        cache.connect(&spot(number, is_provisional), None);
        assert_eq!(cache.connected[&VisitorId(7)].number.number, kept);
    }
}

/// The times of a reply were taken for those of the line after the clock was set, by which the slot was
/// long over (seed 5841).
#[test]
fn a_slot_keeps_its_times_when_it_is_claimed_after_the_clock_was_set() {
    let slot = |at| Slot {
        admitted_at: Time(at),
        claim_by: Time(at + 1),
        expires_at: Time(at + 2),
    };
    let mut cache = LineCache::default();
    for (at, standing) in [(10, VisitorState::Admitted), (2, VisitorState::Shopping)] {
        cache.record(&Spot {
            visitor: VisitorId(7),
            number: 1,
            is_provisional: false,
            standing,
            ahead: 0,
            slot: Some(slot(at)),
        });
        let kept = cache.served.slots().next().expect("a slot");
        assert_eq!(kept.slot, slot(10));
        assert_eq!(kept.is_shopping, standing == VisitorState::Shopping);
    }
}

/// A store that had lost the draw admitted the visitor who waited with the number of the token, before
/// the draw was held again (seed 9142).
#[test]
fn a_token_of_a_draw_that_the_store_has_lost_admits_and_ends_no_place() {
    for (stage, is_undrawn) in [("0", false), ("1", true)] {
        let of_a_claim = ["1", "0"];
        for (script, more) in [(&script::CLAIM, &of_a_claim[..]), (&script::FINISH, &["1"])] {
            let mut server = server();
            create(&mut server, stage);
            let visitor = VisitorId(7).to_string();
            let policy = ["sale_at", "1", "max_active", "5", "session_ms", "1000"];
            let _ = ask(&mut server, &[&["HSET", META][..], &policy].concat());
            let _ = call(&mut server, &script::JOIN, &[&visitor]);
            let _ = ask(&mut server, &["HSET", META, "known", "1"]);
            let words = [&[visitor.as_str()][..], more].concat();
            let answer = unit(call(&mut server, script, &words));
            let none = [Reply::Bulk(Vec::new()), Reply::Integer(0)];
            assert_eq!(none.contains(&answer), is_undrawn, "{answer:?}");
            let waiting = if is_undrawn { "1" } else { "0" };
            assert_eq!(field(&mut server, "waiting"), waiting);
        }
    }
}

/// A node forgot the event, and with it who was connected (seed 4211).
#[test]
fn an_event_that_the_store_loses_while_a_node_restores_it_is_not_taken_for_a_removed_one() {
    let from = "call('SADD', keys.told, ARGV[2])";
    assert!(script::RECOVER_SLOTS.text().contains(from));
    let to = format!("{from} call('DEL', 'fairline:events')");
    let mode = RunMode {
        faults: vec![Fault::StoreFlushed],
        steps: STEPS,
        rewrite: Some(Arc::new(move |text: &str| text.replace(from, &to))),
        ..RunMode::default()
    };
    assert_eq!(search(0, 20, &mode), None);
}

/// A node that had read the line before a loss of data held the draw of the line after it.
#[test]
fn a_sign_of_life_keeps_a_draw_and_does_not_take_one() {
    let mut server = server();
    create(&mut server, "2");
    let mut begin = |id, only_keeps| {
        let reply = call(&mut server, &script::DRAW_BEGIN, &[id, only_keeps]);
        reply == only("taken")
    };
    assert!(begin("first", "1"), "none holds it");
    assert!(!begin("first", "0"));
    assert!(!begin("first", "1"));
    assert!(begin("second", "0"));
    assert!(begin("second", "1"));
    let _ = ask(&mut server, &["HDEL", META, "draw_by"]);
    let mut begin = |id, only_keeps| {
        let reply = call(&mut server, &script::DRAW_BEGIN, &[id, only_keeps]);
        reply == only("taken")
    };
    assert!(begin("first", "1"), "the store has lost data");
    assert!(!begin("second", "0"));
}

/// A store that has an older event again, with which it recovers, took the numbers of the newer one.
#[test]
fn a_report_of_another_event_is_not_taken() {
    for (creation, is_taken) in [("aa", true), ("ab", false)] {
        let mut server = server();
        create(&mut server, "0");
        let later = (START_MS + 10_000).to_string();
        let _ = ask(&mut server, &["HSET", META, "settle_until", &later]);
        let reply = send_report(&mut server, creation, "one", "1", "8", "0");
        assert_eq!(reply != only("over"), is_taken);
        let kept = ask(&mut server, &["HEXISTS", META, "numbers"]);
        assert_eq!(kept, Reply::Integer(is_taken.into()));
    }
}

/// Report of a node whose settings have the draw with this seed.
fn report(server: &mut Server, seed: &str, changed_at: &str, numbers: &str) {
    let reply = send_report(server, "aa", seed, changed_at, numbers, "0");
    let Reply::Array(values) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(values[0], Reply::Bulk(b"ok".to_vec()));
}

/// Sends the report of a node that knows the event of this creation, and the line's own time as so many
/// ms behind the clock's.
fn send_report(
    server: &mut Server,
    creation: &str,
    seed: &str,
    changed_at: &str,
    numbers: &str,
    unheard: &str,
) -> Reply {
    let bitmap = if numbers == "0" { "" } else { "\x7f" };
    let known = ["cc", creation, "", numbers, "0", bitmap, "", "3000", "5000"];
    let heard_at = START_MS.to_string();
    let times = [changed_at, "1", "", "0", &heard_at, unheard, "4"];
    let definition = settings();
    let settings = ["seed", seed, "settings", &definition];
    let last = if numbers == "0" { "0" } else { "9" };
    let totals = ["t_joined", "t_admitted", "t_finished", "t_missed", "t_left"];
    let totals = totals.map(|name| [name, "0"]);
    let last = ["draw_last", last];
    let arguments = [&known[..], &times, &settings, totals.as_flattened(), &last].concat();
    call(server, &script::RECOVER, &arguments)
}

/// Slots that the store has after a node has reported one of the draw with this seed.
fn slots_after(server: &mut Server, seed: &str) -> Reply {
    let visitor = VisitorId(7).to_string();
    let slot = "2 admitted 1 2 3";
    let arguments = [seed, "", "0", &visitor, slot];
    let reported = call(server, &script::RECOVER_SLOTS, &arguments);
    assert_eq!(reported, only("ok"));
    ask(server, &["HLEN", "fairline:{night}:slots"])
}

/// Visitors who left before a draw that was replaced by another one waited again, in that.
#[test]
fn numbers_of_another_draw_than_that_of_the_newest_settings_do_not_outlive_a_loss() {
    for is_newest_first in [true, false] {
        let mut server = server();
        create(&mut server, "1");
        let visitors = [1, 2, 3].map(|id| VisitorId(id).to_string());
        let joining = visitors.each_ref().map(String::as_str);
        let _ = ask(&mut server, &["HSET", META, "sale_at", "1"]);
        let _ = call(&mut server, &script::JOIN, &joining);
        assert_eq!(field(&mut server, "numbers"), "3");
        let later = (START_MS + 10_000).to_string();
        let _ = ask(&mut server, &["HSET", META, "settle_until", &later]);
        if is_newest_first {
            report(&mut server, "two", &later, "0");
            report(&mut server, "one", "0", "8");
        } else {
            report(&mut server, "one", "0", "8");
            assert_eq!(field(&mut server, "numbers"), "8");
            report(&mut server, "two", &later, "0");
        }
        assert_eq!(field(&mut server, "seed"), "two");
        for name in ["numbers", "waiting", "draw_last"] {
            assert_eq!(field(&mut server, name), "0", "{name}, {is_newest_first}");
        }
        for key in ["waiting", "alive", "joined"] {
            let key = format!("fairline:{{night}}:{key}");
            assert_eq!(ask(&mut server, &["EXISTS", &key]), Reply::Integer(0));
        }
        assert_eq!(slots_after(&mut server, "one"), Reply::Integer(0));
        assert_eq!(slots_after(&mut server, "two"), Reply::Integer(1));
    }
}

#[test]
fn a_number_that_waits_by_one_report_and_has_a_slot_by_another_does_not_wait() {
    let mut server = server();
    create(&mut server, "0");
    let later = (START_MS + 10_000).to_string();
    let _ = ask(&mut server, &["HSET", META, "settle_until", &later]);
    report(&mut server, "one", "0", "8");
    assert_eq!(field(&mut server, "waiting"), "7");
    assert_eq!(slots_after(&mut server, "one"), Reply::Integer(1));
    assert_eq!(field(&mut server, "waiting"), "6");
}

/// Has a node read the line.
fn take(server: &mut Server, cache: &mut LineCache) {
    let reply = call(server, &script::TICK, &["", "-1", "-1", "0", "dd"]);
    let reply = value(reply).ok().and_then(reply::Reply::parse);
    let view = reply.and_then(ViewReply::read).expect("a view");
    cache
        .take(view, None, Instant::now())
        .expect("with settings");
}

/// A million visitors take 16 MB.
#[test]
fn an_order_is_kept_until_the_line_is_closed_or_has_another() {
    let closes_at = (START_MS - 1).to_string();
    for change in [["closes_at", &closes_at], ["drawn", "another"]] {
        let mut server = server();
        create(&mut server, "2");
        let order = DrawnOrder {
            outcome: "one".to_owned(),
            visitors: vec![VisitorId(1)],
            entries: 1,
        };
        let mut cache = LineCache::default();
        cache.order = Some(Arc::new(order));
        take(&mut server, &mut cache);
        assert!(cache.order.is_some(), "the draw is being held");
        let _ = ask(&mut server, &["HSET", META, "draw", "3", "drawn", "one"]);
        take(&mut server, &mut cache);
        assert!(cache.order.is_some());
        let _ = ask(&mut server, &[&["HSET", META][..], &change].concat());
        take(&mut server, &mut cache);
        assert!(cache.order.is_none(), "{change:?}");
    }
}

/// Visitors of an attempt that failed were in line twice.
#[test]
fn an_attempt_at_a_draw_begins_without_what_another_has_left() {
    let mut server = server();
    create(&mut server, "2");
    let ok = ["first", "0"];
    let _ = call(&mut server, &script::DRAW_BEGIN, &ok);
    let visitor = VisitorId(7).to_string();
    let chunk = ["first", "0", "ab", "abcdef", "a", "5", "1", &visitor];
    assert_eq!(call(&mut server, &script::DRAW_WRITE, &chunk), only("ok"));
    let kept = ["waiting", "alive", "owners", "deadlines", "aways", "drawn"];
    let kept = kept.map(|name| format!("fairline:{{night}}:draw:{name}"));
    let exist = [&["EXISTS"][..], &kept.each_ref().map(String::as_str)].concat();
    assert_eq!(ask(&mut server, &exist), Reply::Integer(6));
    let _ = ask(&mut server, &["HSET", META, "draw_beat", "1"]);
    let _ = call(&mut server, &script::DRAW_BEGIN, &["second", "0"]);
    assert_eq!(ask(&mut server, &exist), Reply::Integer(0));
}

/// A visitor may join after a node has looked and before it changes the order.
#[test]
fn the_order_is_not_changed_once_a_visitor_is_in_line() {
    for (joins, is_changed) in [(false, true), (true, false)] {
        let mut server = server();
        create(&mut server, "0");
        let _ = ask(&mut server, &["HSET", META, "sale_at", "1"]);
        if joins {
            let visitor = VisitorId(7).to_string();
            let _ = call(&mut server, &script::JOIN, &[&visitor]);
        }
        let change = [&settings(), "{}", "0", "1", "two", "sale_at", "1"];
        let reply = call(&mut server, &script::CONFIGURE, &change);
        assert_eq!(reply != only("busy"), is_changed);
        let stage = if is_changed { "1" } else { "0" };
        assert_eq!(field(&mut server, "draw"), stage);
    }
}

/// It was told as one that is still to be drawn.
#[test]
fn a_place_without_a_number_is_none_that_is_to_be_drawn() {
    let mut server = server();
    create(&mut server, "1");
    let visitor = VisitorId(7).to_string();
    let ended = ["HSET", "fairline:{night}:ended", &visitor, "5 left undrawn"];
    let _ = ask(&mut server, &ended);
    let told = unit(call(&mut server, &script::PEEK, &[&visitor]));
    let place = ["number", "state"].map(|name| Reply::Bulk(name.into()));
    let [number, state] = place;
    let place = vec![number, Reply::Integer(0), state, Reply::Integer(5)];
    assert_eq!(told, Reply::Array(place));
}

/// The last batch may be among what the store lost.
#[test]
fn the_next_batch_after_a_loss_is_due_a_full_span_from_then() {
    let mut server = server();
    create(&mut server, "0");
    let lost = [
        "HSET",
        META,
        "run",
        "another",
        "last_batch",
        "1",
        "owed",
        "5",
    ];
    let _ = ask(&mut server, &lost);
    let _ = call(&mut server, &script::TICK, &["", "-1", "-1", "0", "dd"]);
    assert_eq!(field(&mut server, "last_batch"), START_MS.to_string());
    assert_eq!(field(&mut server, "owed"), "0");
}

/// A replica of before the first visitor took its clock, which had been set forward, for the line's own
/// time: all slots lapsed.
#[test]
fn a_store_of_before_the_first_visitor_takes_the_lines_own_time_from_the_nodes() {
    let mut server = server();
    create(&mut server, "0");
    let _ = ask(&mut server, &["HSET", META, "run", "another"]);
    let _ = call(&mut server, &script::TICK, &["", "-1", "-1", "0", "dd"]);
    for (unheard, expected) in [("5000", "5000"), ("9000", "5000"), ("4000", "4000")] {
        let _ = send_report(&mut server, "aa", "one", "1", "0", unheard);
        assert_eq!(field(&mut server, "unheard"), expected);
    }
}
