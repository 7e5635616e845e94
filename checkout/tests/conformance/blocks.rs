//! Seats that an organiser blocks, with reason and owner, and sells at the desk, on every engine.

use crate::bench::*;
use checkout::inventory::{
    Block, BlockNote, BlockedSeat, Buyer, DeskSale, ProviderId, Refused, Wish, layout,
};
use std::collections::BTreeMap;

fn ids(seats: &[&str]) -> Vec<String> {
    seats.iter().map(|seat| (*seat).to_owned()).collect()
}

fn sale(seats: &[&str]) -> DeskSale {
    DeskSale {
        wish: Wish::Blocked(ids(seats)),
        ticket_types: BTreeMap::new(),
        type_counts: BTreeMap::new(),
        buyer: Buyer {
            name: "Ada".to_owned(),
            email: String::new(),
        },
        method: ProviderId::Cash,
        total: None,
        language: None,
    }
}

impl Bench {
    async fn block_for(&self, seats: &[&str], owner: &str, reason: &str) -> Result<(), Refused> {
        let note = BlockNote {
            owner: Some(owner.to_owned()),
            reason: Some(reason.to_owned()),
            by: "desk".to_owned(),
            at: START,
        };
        let seats = ids(seats);
        self.seats
            .block(&self.event, seats, Block::Block, Some(note))
            .await
    }

    async fn confirmation(&self, layout: layout::Layout) -> String {
        let changed = self.seats.change_seating(&self.event, layout, "none").await;
        let Err(Refused::PlanDiffers(difference)) = changed else {
            panic!("{changed:?}");
        };
        difference.confirmation
    }

    /// Blocks a seat, puts another back, and lets a sale of a third one at the desk lapse.
    async fn change_blocks(&self) {
        self.block_for(&["st-B-1"], "House", "camera")
            .await
            .unwrap();
        let back = ids(&["st-A-2"]);
        let back = self.seats.block(&self.event, back, Block::Unblock, None);
        back.await.unwrap();
        self.sweep_after(120 + SLACK_SECONDS).await;
    }

    /// Returns the blocked seats with their owners and reasons, published anew before.
    async fn blocks(&self) -> Vec<(String, String)> {
        self.show().await;
        let blocked = self.seats.blocked_seats(&self.event).await.unwrap();
        let shown = blocked.into_iter().map(|seat: BlockedSeat| {
            let owner = seat.owner.unwrap_or_default();
            let reason = seat.reason.unwrap_or_default();
            (seat.seat, format!("{owner}: {reason}"))
        });
        shown.collect()
    }
}

fn block(seat: &str, note: &str) -> (String, String) {
    (seat.to_owned(), note.to_owned())
}

/// A section of three seats.
const FRONT: &str = r#"{"id": "fr", "category": "stalls", "rows": 1, "seats_per_row": 3},"#;

/// Returns the hall without its area, with these sections in front.
fn plan(front: &str) -> layout::Layout {
    let plan = format!(
        r#"{{"categories": [{{"id": "stalls", "name": "Stalls", "price": 4500}}],
            "sections": [{front}{{"id": "st", "category": "stalls", "rows": 2, "seats_per_row": 6}}]}}"#
    );
    layout::parse(plan.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_block_has_an_owner_and_a_reason_which_a_new_block_replaces() {
    for mut bench in halls().await {
        bench
            .block_for(&["st-A-1", "st-A-2"], "Promoter", "guests")
            .await
            .unwrap();
        let plain = bench
            .seats
            .block(&bench.event, ids(&["st-A-2", "st-A-3"]), Block::Block, None);
        plain.await.unwrap();
        bench.reopen().await;
        let expected = [
            block("st-A-1", "Promoter: guests"),
            block("st-A-2", "Promoter: guests"),
            block("st-A-3", ": "),
        ];
        assert_eq!(bench.blocks().await, expected);
        bench
            .block_for(&["st-A-2"], "House", "camera")
            .await
            .unwrap();
        let unblocked = bench
            .seats
            .block(&bench.event, ids(&["st-A-1"]), Block::Unblock, None);
        unblocked.await.unwrap();
        let expected = [block("st-A-2", "House: camera"), block("st-A-3", ": ")];
        assert_eq!(bench.blocks().await, expected);
        // One that was put back and is blocked again has no note of before.
        let again = bench
            .seats
            .block(&bench.event, ids(&["st-A-1"]), Block::Block, None);
        again.await.unwrap();
        assert_eq!(bench.blocks().await[0], block("st-A-1", ": "));
        assert_eq!(bench.counts().await, [13, 0, 0, 3]);
    }
}

#[tokio::test]
async fn notes_stay_with_their_seats_under_a_new_plan_in_use_or_not() {
    for bench in halls().await {
        bench
            .block_for(&["st-A-1", "st-B-1"], "Promoter", "guests")
            .await
            .unwrap();
        let set = bench.seats.set_seating(&bench.event, plan(FRONT));
        set.await.unwrap();
        let both = [
            block("st-A-1", "Promoter: guests"),
            block("st-B-1", "Promoter: guests"),
        ];
        assert_eq!(bench.blocks().await, both);
        bench.buy(&bench.fan(1).await, &["st-A-2"]).await;
        let confirmation = bench.confirmation(plan("")).await;
        let changed = bench
            .seats
            .change_seating(&bench.event, plan(""), &confirmation);
        changed.await.unwrap();
        assert_eq!(bench.blocks().await, both);
        assert_eq!(bench.counts().await, [9, 0, 1, 2]);
    }
}

#[tokio::test]
async fn blocks_that_change_while_a_new_plan_waits_for_its_turn_are_those_of_its_turn() {
    // In SQLite nothing happens between.
    for is_in_use in [false, true] {
        for bench in halls().await.into_iter().skip(1) {
            let set = bench.seats.set_seating(&bench.event, plan(""));
            set.await.unwrap();
            bench
                .block_for(&["st-A-1", "st-A-2"], "Promoter", "guests")
                .await
                .unwrap();
            if is_in_use {
                bench.buy(&bench.fan(1).await, &["st-A-3"]).await;
            }
            let desk = bench.admit(9, "desk, blocked seats sale").await.unwrap();
            let wish = Wish::Blocked(ids(&["st-A-1"]));
            bench.hold(&desk, wish).await.unwrap();
            let confirmation = bench.confirmation(plan(FRONT)).await;
            let mut other = bench.connect().await;
            other
                .run("begin; select from fairline.event for update")
                .await;
            let changing = async {
                let (seats, event) = (&bench.seats, &bench.event);
                match is_in_use {
                    true => {
                        seats
                            .change_seating(event, plan(FRONT), &confirmation)
                            .await
                    }
                    false => seats.set_seating(event, plan(FRONT)).await,
                }
            };
            tokio::pin!(changing);
            tokio::select! {
                changed = &mut changing => panic!("it did not wait: {changed:?}"),
                () = bench.until_one_waits() => {}
            }
            bench.change_blocks().await;
            other.run("commit").await;
            changing.await.unwrap();
            let expected = [
                block("st-A-1", "Promoter: guests"),
                block("st-B-1", "House: camera"),
            ];
            assert_eq!(bench.blocks().await, expected, "{is_in_use}");
            let sold = u32::from(is_in_use);
            assert_eq!(bench.counts().await, [13 - sold, 0, sold, 2]);
        }
    }
}

#[tokio::test]
async fn a_blocked_seat_is_sold_at_the_desk_and_is_on_sale_at_no_time() {
    for mut bench in halls().await {
        bench
            .block_for(&["st-A-1", "st-A-2"], "Promoter", "guests")
            .await
            .unwrap();
        let free = bench
            .seats
            .sell_at_desk(&bench.event, &sale(&["st-A-3"]), None)
            .await;
        assert_eq!(free, Err(Refused::SeatsTaken(ids(&["st-A-3"]))));
        // One that costs something else than was asked for is refused after its seats were held.
        let wrong = DeskSale {
            total: Some(checkout::inventory::Money {
                amount: 1,
                currency: checkout::inventory::Currency::parse("EUR").unwrap(),
            }),
            ..sale(&["st-A-1"])
        };
        let refused = bench.seats.sell_at_desk(&bench.event, &wrong, None).await;
        assert!(matches!(refused, Err(Refused::PriceChanged(_))));
        let both = [
            block("st-A-1", "Promoter: guests"),
            block("st-A-2", "Promoter: guests"),
        ];
        assert_eq!(bench.blocks().await, both);
        let attempt = attempt("sale", "body");
        let sold = bench
            .seats
            .sell_at_desk(&bench.event, &sale(&["st-A-1"]), attempt.clone())
            .await
            .unwrap();
        assert_eq!(sold.value.state, "confirmed");
        bench.reopen().await;
        let again = bench
            .seats
            .sell_at_desk(&bench.event, &sale(&["st-A-1"]), attempt)
            .await
            .unwrap();
        assert_eq!(again.value.id, sold.value.id);
        assert_eq!(bench.counts().await, [14, 0, 1, 1]);
        assert_eq!(bench.blocks().await, both[1..]);
        // Given back it is on sale, as any other.
        bench.refund(&sold.value, None).await;
        assert_eq!(bench.counts().await, [15, 0, 0, 1]);
    }
}

#[tokio::test]
async fn a_sale_of_a_blocked_seat_that_was_broken_off_leaves_it_blocked() {
    for bench in halls().await {
        bench
            .block_for(&["st-A-1"], "Promoter", "guests")
            .await
            .unwrap();
        // As the process ends after the seats are held.
        let desk = bench.admit(9, "desk, blocked seats sale").await.unwrap();
        let wish = Wish::Blocked(ids(&["st-A-1"]));
        bench.hold(&desk, wish).await.unwrap();
        assert_eq!(bench.counts().await, [15, 1, 0, 0]);
        bench.sweep_after(120 + SLACK_SECONDS).await;
        assert_eq!(bench.counts().await, [15, 0, 0, 1]);
        assert_eq!(bench.blocks().await, [block("st-A-1", "Promoter: guests")]);
    }
}
