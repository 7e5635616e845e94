//! Limits on the harm that one fan, or one reader of the database, can do to all others.

use crate::bench::*;
use checkout::inventory::{
    HoldState, Inventory, Order, Postgres, Refused, RulesPatch, SessionKeys, Verdict, layout,
};
use shared::time::Clock;
use std::net::TcpListener;
use std::time::Duration;
use testkit::shared_postgres;

/// Limit documented in the contract.
const HOLDS_MAX: u32 = 500;
const ATTEMPTS_MAX: u32 = 20;
const DECLINES_MAX: u32 = 40;
const OPEN_HOLDS_MAX: u32 = 50;

#[tokio::test]
async fn a_visitor_makes_only_so_many_holds_and_those_that_ended_can_still_be_seen() {
    for mut bench in halls().await {
        let ada = bench.fan(1).await;
        let first = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        bench.seats.release(ada.clone(), &first.id).await.unwrap();
        bench.repeat_hold(HOLDS_MAX - 2).await;
        let last = bench.hold(&ada, named(&["st-A-2"])).await.unwrap();
        let more = bench.hold(&ada, named(&["st-A-3"])).await;
        assert_eq!(more, Err(Refused::TooManyHolds(HOLDS_MAX)));
        for (hold, state) in [(&first, HoldState::Released), (&last, HoldState::Active)] {
            let seen = bench.seats.show_hold(ada.clone(), &hold.id).await.unwrap();
            assert_eq!((seen.id, seen.state), (hold.id.clone(), state));
        }
        // An ended hold stays ended, whichever node is asked again.
        bench.seats.release(ada.clone(), &first.id).await.unwrap();
        let over = bench.order(&ada, &first).await;
        assert_eq!(over, Err(Refused::HoldOver("released".into())));
        let order = bench.order(&ada, &last).await.unwrap();
        assert_eq!(order.state, "paying");
        let ben = bench.fan(2).await;
        bench.hold(&ben, named(&["st-A-3"])).await.unwrap();
    }
}

#[tokio::test]
async fn an_order_is_tried_to_be_paid_only_so_often_and_its_seats_can_still_be_given_back() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let mut order = bench.order(&ada, &hold).await.unwrap();
        for _ in 0..ATTEMPTS_MAX {
            let declined = Verdict::Declined("card_declined".into());
            order = bench.pay(&ada, &order, declined).await.unwrap();
            assert_eq!(order.state, "declined");
        }
        let more = bench.pay(&ada, &order, Verdict::Captured).await;
        assert_eq!(more, Err(Refused::TooManyAttempts(ATTEMPTS_MAX)));
        assert_eq!(bench.see(&ada, &order).await.state, "declined");
        bench.seats.release(ada.clone(), &hold.id).await.unwrap();
        let hold = bench.hold(&ada, named(&["st-A-1"])).await.unwrap();
        let order = bench.order(&ada, &hold).await.unwrap();
        let paid = bench.pay(&ada, &order, Verdict::Captured).await.unwrap();
        assert_eq!(paid.state, "confirmed");
    }
}

fn declined() -> Verdict {
    Verdict::Declined("card_declined".into())
}

/// Orders the first seat and has so many cards declined for it.
async fn decline(bench: &Bench, fan: &SessionKeys, seat: &str, cards: u32) -> Order {
    let hold = bench.hold(fan, named(&[seat])).await.unwrap();
    let mut order = bench.order(fan, &hold).await.unwrap();
    for _ in 0..cards {
        order = bench.pay(fan, &order, declined()).await.unwrap();
    }
    order
}

#[tokio::test]
async fn a_visitor_has_only_so_many_cards_declined_whatever_the_orders_also_after_a_restart() {
    for mut bench in halls().await {
        let ada = bench.fan(1).await;
        decline(&bench, &ada, "st-A-1", ATTEMPTS_MAX).await;
        decline(&bench, &ada, "st-A-2", DECLINES_MAX - ATTEMPTS_MAX - 1).await;
        bench.reopen().await;
        let paid = bench.buy(&ada, &["st-A-3"]).await;
        assert_eq!(paid.state, "confirmed", "what was paid counts for nothing");
        // That ended the session; the visitor comes again.
        let ada = bench.admit(1, "again").await.unwrap();
        let order = decline(&bench, &ada, "st-A-4", 1).await;
        let more = bench.pay(&ada, &order, Verdict::Captured).await;
        assert_eq!(more, Err(Refused::TooManyDeclines(DECLINES_MAX)));
        bench.reopen().await;
        let more = bench.pay(&ada, &order, Verdict::Captured).await;
        assert_eq!(more, Err(Refused::TooManyDeclines(DECLINES_MAX)));
        let ben = bench.fan(2).await;
        bench.buy(&ben, &["st-B-1"]).await;
    }
}

#[tokio::test]
async fn declined_cards_count_at_every_node() {
    for (here, there) in pairs().await {
        let ada = here.fan(1).await;
        let kept = decline(&here, &ada, "st-A-1", 1).await;
        // The other node learns of all but those that follow here.
        let other = decline(&there, &ada, "st-A-2", ATTEMPTS_MAX - 1).await;
        let mut kept = kept;
        for _ in 0..ATTEMPTS_MAX - 1 {
            kept = here.pay(&ada, &kept, declined()).await.unwrap();
        }
        there.pay(&ada, &other, declined()).await.unwrap();
        let hold = there.hold(&ada, named(&["st-A-3"])).await.unwrap();
        let last = there.order(&ada, &hold).await.unwrap();
        for node in [&there, &here] {
            let more = node.pay(&ada, &last, Verdict::Captured).await;
            assert_eq!(more, Err(Refused::TooManyDeclines(DECLINES_MAX)));
        }
    }
}

#[tokio::test]
async fn a_visitor_has_only_so_many_open_holds_and_unpaid_orders_and_can_give_them_back() {
    for bench in halls().await {
        let plan = br#"{"categories": [{"id": "floor", "name": "Floor", "price": 2000}],
            "areas": [{"id": "fl", "category": "floor", "capacity": 60}]}"#;
        let plan = layout::parse(plan).unwrap();
        bench.seats.set_seating(&bench.event, plan).await.unwrap();
        let rules = RulesPatch {
            max_seats_per_visitor: Some(1000),
            ..RulesPatch::default()
        };
        bench.seats.set_rules(&bench.event, rules).await.unwrap();
        let ada = bench.fan(1).await;
        let first = bench.hold(&ada, best(1)).await.unwrap();
        bench.order(&ada, &first).await.unwrap();
        for _ in 1..OPEN_HOLDS_MAX {
            bench.hold(&ada, best(1)).await.unwrap();
        }
        let more = bench.hold(&ada, best(1)).await;
        assert_eq!(more, Err(Refused::TooManyOpenHolds(OPEN_HOLDS_MAX)));
        bench.seats.release(ada.clone(), &first.id).await.unwrap();
        bench.hold(&ada, best(1)).await.unwrap();
        let ben = bench.fan(2).await;
        bench.hold(&ben, best(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_thousand_holds_that_ended_are_not_read_with_the_visitor() {
    for (mut here, _) in pairs().await {
        let ada = here.fan(1).await;
        let hold = here.hold(&ada, named(&["st-A-1"])).await.unwrap();
        here.seats.release(ada.clone(), &hold.id).await.unwrap();
        here.repeat_hold(1000).await;
        let read = "select count(*) from fairline.visits('arena', '{}', '{}', '{}',
            array(select distinct visitor from fairline.hold), '{}', '{}')";
        assert_eq!(here.by_hand(read).unwrap(), "1", "the number of the newest");
        let seen = here.seats.show_hold(ada.clone(), &hold.id).await.unwrap();
        assert_eq!(seen.state, HoldState::Released);
        let settings = "select bool_and('jit=off' = any(proconfig)) from pg_proc
            where pronamespace = 'fairline'::regnamespace and proname in ('apply', 'visits')";
        assert_eq!(here.by_hand(settings).unwrap(), "t");
    }
}

#[tokio::test]
async fn the_sale_goes_on_and_nodes_start_while_a_backup_reads_at_the_turn_of_the_month() {
    for (here, _) in pairs().await {
        let tables = "select string_agg('fairline.' || quote_ident(tablename), ', ') from pg_tables
            where schemaname = 'fairline'";
        let tables = here.by_hand(tables).unwrap();
        let mut backup = here.connect().await;
        let lock = format!("begin; lock table {tables} in access share mode");
        backup.run(&lock).await;
        // Far enough in the future that no partition exists yet.
        here.clock.advance_ms(200 * 24 * 3600 * 1000);
        here.seats.sweep().await.unwrap();
        let ada = here.fan(1).await;
        let order = here.buy(&ada, &["st-A-1"]).await;
        assert_eq!(order.state, "confirmed");
        let starting = tokio::time::timeout(Duration::from_secs(20), here.open_again());
        starting.await.unwrap().unwrap();
        backup.run("commit").await;
        // The sweep tries again: the current month's orders are in the default partition by now,
        // and the following partitions are created.
        here.seats.sweep().await.unwrap();
        let made = "select string_agg(relname, ' ' order by relname) from pg_class
            where relname like 'orders_20__\\___' and relkind = 'r' and relname >= 'orders_2027_08'";
        let made = here.by_hand(made).unwrap();
        assert_eq!(made, "orders_2027_09 orders_2027_10 orders_2027_11");
        assert_eq!(here.see(&ada, &order).await.state, "confirmed");
    }
}

#[tokio::test]
async fn a_replica_that_accepts_and_never_answers_delays_no_poll() {
    let servers = shared_postgres();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let primary = servers.postgres.url(&servers.postgres.database());
    let url = format!("{primary}?replicas=postgres%3A%2F%2Fpostgres%40127.0.0.1%3A{port}%2Fx");
    // With a clock that is set by hand every call polls.
    let node = Postgres::open(&url, Clock::manual(START)).await.unwrap();
    let node = Inventory::from(node);
    for _ in 0..3 {
        let published = tokio::time::timeout(Duration::from_secs(30), node.publish());
        published.await.expect("no poll waits").unwrap();
    }
}

#[tokio::test]
async fn a_plan_that_the_database_takes_longer_over_than_a_request_may_is_set_and_said_to_be() {
    for (here, there) in pairs().await {
        here.by_hand(
            "create function public.slow() returns trigger language plpgsql as
                $$ begin perform pg_sleep(4); return new; end $$;
             create trigger slow before update on fairline.event for each row
                when (new.plan is distinct from old.plan) execute function public.slow()",
        );
        let wide = br#"{"categories": [{"id": "c", "name": "C", "price": 1}],
            "sections": [{"id": "st", "category": "c", "rows": 2, "seats_per_row": 9}]}"#;
        let set = here
            .seats
            .set_seating(&here.event, layout::parse(wide).unwrap());
        assert_eq!(set.await, Ok(2));
        // The sale goes on with it at each node.
        let ada = there.fan(1).await;
        there.hold(&ada, named(&["st-B-9"])).await.unwrap();
        assert_eq!(there.counts().await, [17, 1, 0, 0]);
    }
}
