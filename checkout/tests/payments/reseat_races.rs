//! Tickets that are moved while others want their seats, refund them, or check them in.

use crate::moving::{BALCONY, EVENT, code_of, seats_of, to};
use crate::node::ORGANISER_KEY;
use crate::stage::{PRICE, ProviderStage};
use checkout::inventory::{Order, SeatState};
use serde_json::json;

/// Number of times that a race is run.
const ROUNDS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_orders_and_a_fan_that_want_one_seat_at_once_one_gets_it() {
    for stage in ProviderStage::stripe().await {
        stage.set_hall().await;
        let one = stage.buy(&["s-A-1"]).await;
        let two = stage.buy(&["s-A-2"]).await;
        for round in 0..ROUNDS {
            let wanted = ["s-A-3", "s-A-4"][round % 2];
            let hold = [wanted];
            let own = |order: Order| seats_of(&order)[0].to_owned();
            let from = [
                own(stage.see_order(&one.id).await),
                own(stage.see_order(&two.id).await),
            ];
            let moves = from
                .clone()
                .map(|from| to(&[(from.as_str(), wanted)], 0, ""));
            let (first, second, fan) = tokio::join!(
                stage.reseat(&one.id, &moves[0]),
                stage.reseat(&two.id, &moves[1]),
                stage.try_hold(&hold)
            );
            let won = [first.0.is_success(), second.0.is_success(), fan.is_ok()];
            assert_eq!(
                won.iter().filter(|won| **won).count(),
                1,
                "{first:?} {second:?}"
            );
            for (answer, had) in [&first, &second].into_iter().zip(won) {
                assert!(had || answer.1["taken"] == json!([wanted]), "{answer:?}");
            }
            if let Ok((keys, hold)) = fan {
                let inventory = &stage.node.shop.inventory;
                inventory.release(keys, &hold.id).await.unwrap();
            }
            let ours = [
                own(stage.see_order(&one.id).await),
                own(stage.see_order(&two.id).await),
            ];
            assert_ne!(ours[0], ours[1]);
            for seat in &ours {
                assert_eq!(stage.state_of(seat).await, SeatState::Booked);
            }
            stage.check_books().await;
            // The seat is free again for the next round.
            for (order, (now, before)) in [&one, &two].into_iter().zip(ours.iter().zip(&from)) {
                if now == wanted {
                    let back = to(&[(now.as_str(), before.as_str())], 0, "");
                    assert!(stage.reseat(&order.id, &back).await.0.is_success());
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seat_that_is_moved_and_refunded_at_once_is_moved_or_refunded() {
    for stage in ProviderStage::all().await {
        stage.set_hall().await;
        for round in 0..ROUNDS {
            let bought = stage.buy(&["s-A-1", "s-A-2"]).await;
            let settlement = ["refund", "waive"][round % 2];
            let down = to(&[("s-A-1", "b-A-1")], BALCONY - PRICE, settlement);
            let one: &[&str] = &["s-A-1"];
            let (moved, refunded) = tokio::join!(
                stage.reseat(&bought.id, &down),
                stage.refund(&bought.id, Some(one))
            );
            let won = [moved.0.is_success(), refunded.0.is_success()];
            assert_eq!(
                won.iter().filter(|won| **won).count(),
                1,
                "{moved:?} {refunded:?}"
            );
            stage.settle_all().await;
            stage.check_books().await;
            let seats = stage.see_order(&bought.id).await;
            let expected: &[&str] = if won[0] {
                &["s-A-2", "b-A-1"]
            } else {
                &["s-A-2"]
            };
            assert_eq!(seats_of(&seats), expected);
            stage.refund(&bought.id, None).await;
            stage.settle_all().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_that_is_checked_in_while_it_is_moved_is_used_or_moved() {
    for stage in ProviderStage::stripe().await {
        stage.set_hall().await;
        for _ in 0..ROUNDS {
            let bought = stage.buy(&["s-A-1"]).await;
            let scan = json!({"code": code_of(&bought, "s-A-1"), "door": "North"});
            let path = format!("{EVENT}/checkins");
            let over = to(&[("s-A-1", "s-A-2")], 0, "");
            let (moved, checked) = tokio::join!(
                stage.reseat(&bought.id, &over),
                stage.post(&path, ORGANISER_KEY, &scan)
            );
            let won = [moved.0.is_success(), checked.0.is_success()];
            assert_eq!(
                won.iter().filter(|won| **won).count(),
                1,
                "{moved:?} {checked:?}"
            );
            stage.refund(&bought.id, None).await;
        }
    }
}
