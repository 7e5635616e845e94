//! Knowledge of nodes about numbers, by which a store that has lost them is told.

use crate::lost_draws::{empty, passes, prequeue};
use crate::nodes::Nodes;
use shared::ids::VisitorId;
use waiting_room::line::{Joined, Refused, VisitorState};
use waiting_room::pass::Pass;

/// Leaves the last node alone, as if the others had died.
fn end_all_but_the_last(nodes: &mut Nodes) {
    let last = nodes.nodes.pop();
    nodes.nodes = last.into_iter().collect();
}

#[tokio::test]
async fn a_node_shows_no_line_before_it_knows_how_places_ended() {
    let server = testkit::Redis::start();
    let (mut nodes, spots) = prequeue(&server, 600, 600, 5).await;
    let pass = passes(&nodes, &spots).await[2];
    let event = nodes.event.clone();
    nodes.nodes[0].leave(&event, pass.visitor).await.unwrap();
    nodes.open(&server.url());
    let fresh = nodes.nodes[2].clone();
    server.ask(&["ACL", "SETUSER", "default", "-hscan"]);
    let refused = fresh.tick(&event).await;
    assert!(matches!(refused, Err(Refused::Unavailable(_))));
    server.ask(&["ACL", "SETUSER", "default", "+hscan"]);
    fresh.tick(&event).await.unwrap();
    end_all_but_the_last(&mut nodes);
    empty(&server, &nodes).await;
    let found = nodes.find(0, &pass).await.unwrap();
    assert_eq!(found.standing, VisitorState::Left);
}

/// Something that a visitor does at a node.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Polls,
    Leaves,
    Joins,
}

/// The node that held the draw is gone when the store loses it.
#[tokio::test]
async fn a_node_that_has_yet_to_hear_of_a_draw_learns_of_it_by_the_first_number_that_it_tells() {
    for deed in [Deed::Polls, Deed::Leaves, Deed::Joins] {
        let server = testkit::Redis::start();
        let (mut nodes, spots) = prequeue(&server, 10, 600, 5).await;
        let old = passes(&nodes, &spots).await[2];
        let event = nodes.event.clone();
        nodes.tick(9).await;
        nodes.clock.advance_ms(1_000);
        nodes.nodes[0].tick(&event).await.unwrap();
        let list = nodes.nodes[0].drawn(&event, 1, 5).await.unwrap();
        let drew = list.iter().position(|visitor| *visitor == old.visitor);
        let mut pass = Pass {
            number: drew.unwrap() as u64 + 1,
            is_provisional: false,
            ..old
        };
        let late = nodes.nodes[1].clone();
        let mut standing = VisitorState::Waiting;
        match deed {
            Deed::Polls => {
                let spot = late.place(&event, pass.visitor).await.unwrap().unwrap();
                assert_eq!(spot.number, pass.number);
            }
            Deed::Leaves => {
                late.leave(&event, pass.visitor).await.unwrap();
                standing = VisitorState::Left;
            }
            Deed::Joins => {
                pass.visitor = VisitorId(6);
                let joined = late.join(&event, &[pass.visitor]).await.unwrap();
                let Joined::New(spot) = joined[0] else {
                    panic!("{joined:?}");
                };
                assert_eq!((spot.number, spot.is_provisional), (6, false));
                pass.number = 6;
            }
        }
        end_all_but_the_last(&mut nodes);
        empty(&server, &nodes).await;
        let found = nodes.find(0, &pass).await;
        let found = found.map(|spot| (spot.number, spot.standing));
        assert_eq!(found, Some((pass.number, standing)), "{deed:?}");
    }
}
