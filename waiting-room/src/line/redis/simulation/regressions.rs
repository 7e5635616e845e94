//! Faults that the simulation found, each as the few calls in which it shows.

use super::script::{self, Script};
use super::world::START_MS;
use shared::ids::VisitorId;
use simulation::{Life, Reply, Server};

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

/// Creates an event with a draw in this stage.
fn create(server: &mut Server, stage: &str) {
    let fields = ["creation", "aa", "life", "bb", "draw", stage, "away_ms"];
    let created = call(server, &script::CREATE, &[&fields[..], &["8000"]].concat());
    assert_eq!(created, Reply::Array(vec![Reply::Bulk(b"ok".to_vec())]));
}

/// Number that a store has of a visitor who shows one.
fn number_after(stage: &str, mark: &str) -> Reply {
    let mut server = server();
    create(&mut server, stage);
    let visitor = VisitorId(7).to_string();
    let reply = call(&mut server, &script::REENTER, &[&visitor, "10", mark, "1"]);
    let Reply::Array(values) = reply else {
        panic!("{reply:?}");
    };
    let Some(Reply::Array(units)) = values.last() else {
        panic!("{values:?}");
    };
    match &units[0] {
        Reply::Array(place) => place[1].clone(),
        none => none.clone(),
    }
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
    assert_eq!(number_after("3", "1"), none);
    assert_eq!(number_after("1", "0"), none);
    for (stage, mark) in [("3", "0"), ("1", "1"), ("0", "0")] {
        assert_eq!(number_after(stage, mark), Reply::Integer(10), "{stage}");
    }
}
