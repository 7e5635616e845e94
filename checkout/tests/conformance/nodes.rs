//! Two nodes on one Postgres: a change made at one binds the other at once, and is visible there a
//! moment later.

use crate::bench::*;
use checkout::inventory::{Begun, Refused, RulesPatch, SeatState, Verdict};
use shared::group_commit::Unavailable;
use std::sync::Arc;

#[tokio::test]
async fn a_seat_that_one_node_sold_no_other_sells_and_both_show_it_with_the_same_version() {
    for (here, there) in pairs().await {
        let (ada, ben) = (here.fan(1).await, there.fan(2).await);
        here.buy(&ada, &["st-A-1"]).await;
        let late = there.hold(&ben, named(&["st-A-1", "st-A-2"])).await;
        assert_eq!(late, Err(Refused::SeatsTaken(vec!["st-A-1".into()])));
        here.show().await;
        there.show().await;
        let [one, other] =
            [&here, &there].map(|node| node.seats.seat_map(&node.event).unwrap().current());
        assert_eq!((one.version, &one.states), (other.version, &other.states));
        assert_eq!(one.states[0], SeatState::Booked);
        assert!(there.hold(&ben, named(&["st-A-2"])).await.is_ok());
    }
}

#[tokio::test]
async fn who_comes_second_at_another_node_spends_nothing_and_leaves_the_other_seats_free() {
    for (here, there) in pairs().await {
        let limit = RulesPatch {
            max_seats_per_visitor: Some(4),
            ..RulesPatch::default()
        };
        here.seats.set_rules(&here.event, limit).await.unwrap();
        for node in [&here, &there] {
            node.show().await;
        }
        let ben = there.fan(100).await;
        for at in 1..=4u8 {
            let taken = format!("st-A-{at}");
            let ada = here.fan(at).await;
            here.hold(&ada, named(&[&taken])).await.unwrap();
            // The other node does not know of the hold yet, but its store does.
            let both = [taken.as_str(), "st-B-1", "st-B-2"];
            let late = there.hold(&ben, named(&both)).await;
            assert_eq!(late, Err(Refused::SeatsTaken(vec![taken.clone()])));
        }
        let cleo = there.fan(101).await;
        assert!(there.hold(&cleo, named(&["st-B-1"])).await.is_ok());
        let rest = ["st-B-2", "st-B-3", "st-B-4", "st-A-5"];
        assert!(here.hold(&ben, named(&rest)).await.is_ok());
        let more = there.hold(&ben, named(&["st-A-6"])).await;
        assert_eq!(more, Err(Refused::TooManySeats(4)));
        assert_eq!(there.counts().await, [7, 9, 0, 0]);
        assert_eq!(here.counts().await, [7, 9, 0, 0]);
    }
}

#[tokio::test]
async fn of_a_crowd_at_two_nodes_one_gets_the_seat_and_pairs_never_overlap() {
    for (here, there) in pairs().await {
        let nodes = [Arc::new(here), Arc::new(there)];
        let mut wanting = tokio::task::JoinSet::new();
        for visitor in 0..40u8 {
            let node = nodes[usize::from(visitor % 2)].clone();
            wanting.spawn(async move {
                let fan = node.fan(visitor).await;
                let one = node.hold(&fan, named(&["st-B-3"])).await;
                (one.is_ok(), node.hold(&fan, best(2)).await.ok())
            });
        }
        let outcomes = wanting.join_all().await;
        assert_eq!(outcomes.iter().filter(|(won, _)| *won).count(), 1);
        let held = outcomes.iter().filter_map(|(_, pair)| pair.as_ref());
        let held: Vec<&str> = held
            .flat_map(|hold| hold.seats.iter().map(|seat| &*seat.id))
            .collect();
        let distinct: std::collections::BTreeSet<&str> = held.iter().copied().collect();
        assert_eq!(
            (held.len(), distinct.len()),
            (14, 14),
            "all but the one and the odd one out"
        );
        assert_eq!(nodes[0].counts().await, [1, 15, 0, 0]);
        assert_eq!(nodes[1].counts().await, [1, 15, 0, 0]);
    }
}

#[tokio::test]
async fn a_journey_may_change_nodes_at_every_step() {
    for (here, there) in pairs().await {
        let ada = here.fan(1).await;
        let hold = there
            .hold(&ada, named(&["st-A-1", "st-A-2"]))
            .await
            .unwrap();
        let order = here.order(&ada, &hold).await.unwrap();
        let again = there.order(&ada, &hold).await;
        assert_eq!(again, Err(Refused::HoldConverted(order.id.clone())));
        let begun = there
            .seats
            .begin_payment(ada.clone(), &order.payment.id, None)
            .await;
        let Ok(Begun::Ask(payment)) = begun else {
            panic!("the payment should begin");
        };
        for node in [&here, &there] {
            let twice = node
                .seats
                .begin_payment(ada.clone(), &order.payment.id, None)
                .await;
            assert!(matches!(twice, Err(Refused::PaymentRunning)));
        }
        let paid = here
            .seats
            .settle(&payment, Verdict::Captured, None)
            .await
            .unwrap();
        assert_eq!(there.see(&ada, &order).await, paid);
        assert_eq!(
            there.hold(&ada, named(&["st-A-3"])).await,
            Err(Refused::SessionOver)
        );
        let refund = there
            .seats
            .begin_refund(&there.event, &order.id)
            .await
            .unwrap();
        here.seats.refunded(&refund).await.unwrap();
        assert_eq!(there.counts().await, [16, 0, 0, 0]);
        let own = there.seats.own_orders(ada.clone()).await.unwrap();
        assert_eq!((own.len(), own[0].state.as_str()), (1, "refunded"));
    }
}

#[tokio::test]
async fn the_limit_of_a_visitor_holds_over_nodes_at_once() {
    for (here, there) in pairs().await {
        let ada = here.fan(1).await;
        let nodes = [Arc::new(here), Arc::new(there)];
        let mut wanting = tokio::task::JoinSet::new();
        for at in 0..6 {
            let (node, ada) = (nodes[at % 2].clone(), ada.clone());
            wanting.spawn(async move { node.hold(&ada, best(2)).await });
        }
        let outcomes = wanting.join_all().await;
        assert_eq!(outcomes.iter().flatten().count(), 3, "six seats at most");
        let refused = outcomes.into_iter().filter_map(Result::err);
        assert!(
            refused
                .into_iter()
                .all(|why| why == Refused::TooManySeats(6))
        );
    }
}

#[tokio::test]
async fn rules_and_plans_set_at_one_node_are_the_others_at_once() {
    for (here, there) in pairs().await {
        let ada = there.fan(1).await;
        let patch = RulesPatch {
            max_seats_per_order: Some(1),
            ..RulesPatch::default()
        };
        here.seats.set_rules(&here.event, patch).await.unwrap();
        assert_eq!(
            there.hold(&ada, best(2)).await,
            Err(Refused::TooManySeats(1))
        );
        assert_eq!(here.seats.set_seating(&here.event, hall()).await, Ok(2));
        there.hold(&ada, best(1)).await.unwrap();
        assert_eq!(
            here.seats.set_seating(&here.event, hall()).await,
            Err(Refused::InUse)
        );
        there.show().await;
        assert_eq!(
            there.seats.seat_map(&there.event).unwrap().layout_version,
            2
        );
    }
}

#[tokio::test]
async fn a_hold_of_a_node_that_is_gone_lapses_at_the_others() {
    for (here, there) in pairs().await {
        let ada = here.fan(1).await;
        here.hold(&ada, named(&["st-A-1"])).await.unwrap();
        here.show().await;
        there.show().await;
        drop(here);
        assert_eq!(there.sweep_after(120 + SLACK_SECONDS).await, 1);
        let ben = there.fan(2).await;
        assert!(there.hold(&ben, named(&["st-A-1"])).await.is_ok());
    }
}

#[tokio::test]
async fn not_even_by_hand_is_a_seat_sold_twice() {
    for (here, _) in pairs().await {
        let ada = here.fan(1).await;
        let order = here.buy(&ada, &["st-A-1"]).await;
        assert_eq!(order.tickets.unwrap().len(), 1);
        let refuses = |sql: &str| assert!(here.by_hand(sql).is_none(), "{sql}");
        refuses("insert into fairline.ticket values ('arena', 0, 'tix_2', 'ord_2')");
        refuses("update fairline.seat set hold = null where seat = 0");
        refuses("update fairline.seat set state = 2 where seat = 1");
        refuses("insert into fairline.seat (event, seat) values ('arena', 0)");
        let partition =
            "select count(*) from pg_inherits where inhparent = 'fairline.orders'::regclass";
        assert!(here.by_hand(partition).unwrap().parse::<u32>().unwrap() >= 3);
    }
}

#[tokio::test]
async fn a_batch_that_is_sent_again_happened_once_though_the_rules_changed_meanwhile() {
    for (here, _) in pairs().await {
        let config = here.by_hand("select config from fairline.event").unwrap();
        let arrays = ["'{}'"; 26].join(", ");
        let lists = ["null"; 10].join(", ");
        let send = |is_again: bool| {
            let apply = format!(
                "select seq from fairline.apply('arena', {config}, 'node', 1, {is_again}, null, '{{}}', {arrays}, '', '', {lists})"
            );
            here.by_hand(&apply).unwrap()
        };
        let first = send(false);
        assert_ne!(first, "");
        here.seats
            .set_rules(
                &here.event,
                RulesPatch {
                    hold_seconds: Some(60),
                    ..RulesPatch::default()
                },
            )
            .await
            .unwrap();
        assert_eq!(send(true), first, "it is known by its name");
        assert_eq!(
            send(false),
            "",
            "another would be refused: the rules are others"
        );
    }
}

#[tokio::test]
async fn a_session_that_another_node_let_in_is_known_and_its_end_is_kept_to() {
    for (here, there) in pairs().await {
        // The nodes learn of each other, and of each other's changes.
        here.show().await;
        there.show().await;
        let (ada, ben) = (here.fan(1).await, there.fan(2).await);
        here.show().await;
        there.show().await;
        let hold = there.hold(&ada, named(&["st-A-1"])).await.unwrap();
        assert_eq!(here.seats.show_hold(ada.clone(), &hold.id).await, Ok(hold));
        here.seats
            .end_session(ada.clone(), &here.event)
            .await
            .unwrap();
        assert_eq!(here.counts().await, [16, 0, 0, 0], "its hold is released");
        // This node does not know yet that the session has ended; the stored rows tell it.
        let late = there.hold(&ada, named(&["st-A-2"])).await;
        assert_eq!(late, Err(Refused::SessionOver));
        assert!(here.hold(&ben, named(&["st-A-1"])).await.is_ok());
    }
}

#[tokio::test]
async fn a_schema_of_another_version_is_refused() {
    for (here, _) in pairs().await {
        here.by_hand("update fairline._sqlx_migrations set checksum = 'another' where version = 2")
            .unwrap();
        let refused = here.open_again().await.unwrap_err();
        assert!(
            refused.contains("step 2 of its schema was made by another version"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn what_was_decided_by_rules_of_before_is_decided_again_also_when_it_is_written_by_itself() {
    for (here, _) in pairs().await {
        let (ada, ben) = (here.fan(1).await, here.fan(2).await);
        // The first hold of a batch waits, and cannot be written.
        let refuse = "create function public.refuse() returns trigger language plpgsql as
                $$ begin perform pg_advisory_xact_lock(1); raise exception 'not this one'; end $$;
            create trigger refuse before insert on fairline.hold for each row
                when (new.visitor = '00000000-0000-0000-0000-000000000001') execute function public.refuse()";
        here.by_hand(refuse).unwrap();
        let mut other = here.connect().await;
        other.run("begin; select pg_advisory_xact_lock(1)").await;
        let holds = async {
            tokio::join!(
                here.hold(&ada, named(&["st-A-1", "st-A-2"])),
                here.hold(&ben, named(&["st-A-3", "st-A-4"]))
            )
        };
        tokio::pin!(holds);
        tokio::select! {
            _ = &mut holds => panic!("they did not wait"),
            () = here.until_one_waits() => {}
        }
        other
            .run(
                "update fairline.event set config = config + 1,
                rules = jsonb_set(rules::jsonb, '{max_seats_per_visitor}', '1')::text; commit",
            )
            .await;
        let (_, late) = holds.await;
        assert_eq!(late, Err(Refused::TooManySeats(1)));
    }
}

#[tokio::test]
async fn a_change_that_is_written_by_itself_is_shown_with_the_next_version() {
    for (here, there) in pairs().await {
        let (ada, ben) = (here.fan(1).await, here.fan(2).await);
        let hold = here.hold(&ada, named(&["st-A-1"])).await.unwrap();
        here.show().await;
        let refuse = "create function public.refuse() returns trigger language plpgsql as
                $$ begin raise exception 'not this one'; end $$;
            create trigger refuse before insert on fairline.orders for each row execute function public.refuse()";
        here.by_hand(refuse).unwrap();
        // Both are in one batch, of which one row cannot be written.
        let (order, held) =
            tokio::join!(here.order(&ada, &hold), here.hold(&ben, named(&["st-A-2"])));
        assert_eq!(order.unwrap_err(), Unavailable.into());
        held.unwrap();
        here.show().await;
        there.show().await;
        for node in [&here, &there] {
            let map = node.seats.seat_map(&node.event).unwrap().current();
            assert_eq!(map.counts, [14, 2, 0, 0]);
        }
    }
}

#[tokio::test]
async fn a_version_of_the_map_waits_for_the_batches_that_came_before_it() {
    for (here, there) in pairs().await {
        let ada = here.fan(1).await;
        let config = here.by_hand("select config from fairline.event").unwrap();
        let mut slow = here.connect().await;
        let apply = hold_by_hand(&config, "slow");
        slow.run(&format!("begin; {apply}")).await;
        // A later batch is committed first.
        there.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let showing = async {
            here.show().await;
            here.show().await;
        };
        let waiting = async {
            while here.by_hand(WAITING_FOR_THE_EVENT).unwrap() == "0" {
                tokio::task::yield_now().await;
            }
        };
        tokio::pin!(showing);
        tokio::select! {
            () = &mut showing => panic!("it did not wait"),
            () = waiting => {}
        }
        slow.run("commit").await;
        showing.await;
        assert_eq!(here.counts().await, [14, 2, 0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crowd_the_maps_of_all_nodes_show_what_the_database_has() {
    for (here, there) in pairs().await {
        here.show().await;
        there.show().await;
        let nodes = [Arc::new(here), Arc::new(there)];
        let mut crowd = tokio::task::JoinSet::new();
        for visitor in 0..16u8 {
            let node = nodes[usize::from(visitor % 2)].clone();
            crowd.spawn(async move {
                let fan = node.fan(visitor).await;
                for _ in 0..30 {
                    if let Ok(hold) = node.hold(&fan, best(1)).await {
                        let released = node.seats.release(fan.clone(), &hold.id).await;
                        released.unwrap();
                    }
                }
                let _ = node.hold(&fan, best(1)).await;
            });
        }
        // Versions are published as fast as possible meanwhile; each must contain all batches up to
        // it.
        while !crowd.is_empty() {
            nodes[0].show().await;
            while let Some(done) = crowd.try_join_next() {
                done.unwrap();
            }
        }
        // Each node publishes what it committed last; then all show it.
        for node in &nodes {
            node.show().await;
        }
        let truth = "select string_agg(state::text, '' order by seat) from fairline.seat";
        let truth = nodes[0].by_hand(truth).unwrap();
        for node in nodes {
            node.show().await;
            let shown = node.seats.seat_map(&node.event).unwrap().current();
            let shown = shown.states.iter().map(|state| (*state as u8).to_string());
            assert_eq!(shown.collect::<String>(), truth);
        }
    }
}
