//! Reading of the outbox: by consumers that share the work, by `tail`; and the end of old events.

use crate::bench::*;
use crate::outbox::SOLD;
use checkout::inventory::Refused;
use checkout::inventory::outbox::{LEASE_SECONDS, OutboxLease, OutboxState};
use checkout::tail::{Tail, TailArgs};

#[tokio::test]
async fn nothing_is_read_that_may_be_followed_by_something_before_it() {
    for bench in halls().await.into_iter().skip(1) {
        let before = bench.events().await;
        let mut slow = bench.connect().await;
        let columns = "array[0], array['evt_slow'], array['order'], array['ord_slow'], array['order.confirmed'],
            array['{}'], array[null], array[0::bigint]";
        let write = format!("begin; select fairline.write_outbox('arena', '{{}}', {columns})");
        slow.run(&write).await;
        // Later positions are committed first.
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        assert_eq!(bench.events().await, before);
        slow.run("commit").await;
        assert_eq!(bench.types_of(&order.id).await, SOLD);
        let events = bench.events().await;
        let slow = events.iter().find(|row| row.id == "evt_slow").unwrap();
        let later = events.iter().filter(|row| row.aggregate_id == order.id);
        assert!(later.into_iter().all(|row| row.position > slow.position));
    }
}

#[tokio::test]
async fn transactions_with_events_of_an_order_hold_its_row_one_after_the_other() {
    for bench in halls().await.into_iter().skip(1) {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let mut other = bench.connect().await;
        let lock = format!(
            "begin; select from fairline.orders where id = '{}' for update",
            order.id
        );
        other.run(&lock).await;
        // A refund of one seat changes nothing of the order by itself.
        let refunding = bench.refund(&order, Some(&["st-A-1"]));
        let is_waiting = "select count(*) from pg_stat_activity
            where wait_event_type = 'Lock' and query like '%fairline.apply%' and datname = current_database()";
        let waiting = async {
            while bench.by_hand(is_waiting).unwrap() == "0" {
                tokio::task::yield_now().await;
            }
        };
        tokio::pin!(refunding);
        tokio::select! {
            _ = &mut refunding => panic!("it did not wait"),
            () = waiting => {}
        }
        other.run("commit").await;
        refunding.await;
        let last = bench.types_of(&order.id).await;
        assert_eq!(last[4..], ["payment.refunded", "ticket.voided"]);
    }
}

#[tokio::test]
async fn a_consumer_goes_on_after_what_it_acknowledged() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let outbox = bench.seats.outbox();
        bench.clock.advance_ms(7_000);
        let state = outbox.state("relay").await.unwrap();
        assert_eq!((state.unsent, state.oldest_seconds), (5, 7));
        let mut had = Vec::new();
        for OutboxLease { shard, position } in outbox.lease("relay", "one").await.unwrap() {
            assert_eq!(position, 0);
            let rows = outbox.read(shard, position, 2).await.unwrap();
            let Some(last) = rows.last() else { continue };
            let last = last.position;
            for up_to in [last, last - 1] {
                let done = outbox.acknowledge("relay", "one", shard, up_to);
                assert!(done.await.unwrap());
            }
            had.extend(rows);
        }
        let left = outbox.state("relay").await.unwrap().unsent as usize;
        assert_eq!(had.len() + left, 5);
        assert!(left > 0);
        // The lease is renewed, with the position that was acknowledged last.
        loop {
            let before = had.len();
            for OutboxLease { shard, position } in outbox.lease("relay", "one").await.unwrap() {
                let rows = outbox.read(shard, position, 2).await.unwrap();
                if let Some(last) = rows.last() {
                    let done = outbox.acknowledge("relay", "one", shard, last.position);
                    assert!(done.await.unwrap());
                }
                had.extend(rows);
            }
            if had.len() == before {
                break;
            }
        }
        let nothing = OutboxState::default();
        assert_eq!(outbox.state("relay").await.unwrap(), nothing);
        assert_eq!(outbox.state("another").await.unwrap().unsent, 5);
        let of_order = had.iter().filter(|row| row.aggregate_id == order.id);
        let types: Vec<&str> = of_order.map(|row| row.event_type.as_str()).collect();
        assert_eq!(types, SOLD);
    }
}

#[tokio::test]
async fn nodes_share_the_shards_and_take_over_those_of_one_that_is_gone() {
    for (here, there) in pairs().await {
        let (one, two) = (here.seats.outbox(), there.seats.outbox());
        let alone = one.lease("relay", "one").await.unwrap();
        assert_eq!(alone.len(), 16);
        assert_eq!(two.lease("relay", "two").await.unwrap(), []);
        // Another consumer has its own.
        assert_eq!(two.lease("other", "two").await.unwrap().len(), 16);
        let kept = one.lease("relay", "one").await.unwrap();
        let taken = two.lease("relay", "two").await.unwrap();
        assert_eq!((kept.len(), taken.len()), (8, 8));
        for lease in &taken {
            assert!(!kept.contains(lease));
            let late = one.acknowledge("relay", "one", lease.shard, 1);
            assert!(!late.await.unwrap(), "its lease is another's");
        }
        here.clock.advance_ms(i64::from(LEASE_SECONDS) * 1000);
        let all = two.lease("relay", "two").await.unwrap();
        assert_eq!(all.len(), 16);
        two.release("relay", "two").await.unwrap();
        assert_eq!(one.lease("relay", "one").await.unwrap().len(), 16);
    }
}

#[tokio::test]
async fn shards_of_a_server_that_is_gone_are_neither_read_nor_acknowledged() {
    for (here, there) in pairs().await {
        let (one, two) = (here.seats.outbox(), there.seats.outbox());
        let before = one.lease("relay", "one").await.unwrap();
        let mut tail = Tail::begin(two, &TailArgs::default()).await.unwrap();
        // As after a restore, in which other events have got the positions.
        let restore = "begin; alter table fairline.outbox rename to outbox_before;
            create table fairline.outbox (like fairline.outbox_before including all);
            insert into fairline.outbox select * from fairline.outbox_before; commit";
        here.by_hand(restore).unwrap();
        let ada = here.fan(1).await;
        let order = here.buy(&ada, &["st-A-1", "st-A-2"]).await;
        for OutboxLease { shard, .. } in &before {
            let read = one.read(*shard, 0, 1_000).await;
            assert_eq!(read, Err(Refused::NoSuchShard));
            let done = one.acknowledge("relay", "one", *shard, i64::MAX);
            assert!(!done.await.unwrap());
        }
        let after = one.lease("relay", "one").await.unwrap();
        assert!(after.iter().all(|lease| lease.position == 0));
        assert_eq!((before.len(), after.len()), (16, 16));
        assert_eq!(here.types_of(&order.id).await, SOLD);
        let mut shown = tail.next().await.unwrap();
        shown.append(&mut tail.next().await.unwrap());
        let types = shown.iter().filter_map(|line| line["type"].as_str());
        assert_eq!(types.collect::<Vec<_>>(), SOLD);
    }
}

#[tokio::test]
async fn events_are_deleted_once_they_are_old_and_all_consumers_have_had_them() {
    const HOUR: i64 = 3_600_000;
    for bench in halls().await {
        let outbox = bench.seats.outbox();
        let leased = outbox.lease("relay", "one").await.unwrap();
        bench.clock.advance_ms(2 * HOUR);
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        outbox.lease("relay", "one").await.unwrap();
        while outbox.purge(HOUR, &[]).await.unwrap() {}
        assert_eq!(bench.events().await.len(), 5, "none was acknowledged");
        for OutboxLease { shard, .. } in leased {
            let rows = outbox.read(shard, 0, 1_000).await.unwrap();
            if let Some(last) = rows.last() {
                let done = outbox.acknowledge("relay", "one", shard, last.position);
                assert!(done.await.unwrap());
            }
        }
        while outbox.purge(HOUR, &[]).await.unwrap() {}
        // The plan is two hours old, the order is new.
        assert_eq!(bench.types_of("arena").await, [""; 0]);
        assert_eq!(bench.types_of(&order.id).await, SOLD);
        let event = shared::ids::EventId::parse("other").unwrap();
        bench.seats.set_seating(&event, hall()).await.unwrap();
        bench.clock.advance_ms(2 * HOUR);
        while outbox.purge(3 * HOUR, &[]).await.unwrap() {}
        assert_eq!(bench.events().await.len(), 5);
        // A consumer that is gone for as long is not waited for, unless the node is to publish for it.
        while outbox.purge(HOUR, &["mail", "relay"]).await.unwrap() {}
        assert_eq!(bench.types_of("other").await, ["event.published"]);
        while outbox.purge(HOUR, &[]).await.unwrap() {}
        assert_eq!(bench.events().await, []);
    }
}

#[tokio::test]
async fn a_purge_deletes_a_bounded_number_and_says_that_there_are_more() {
    for bench in halls().await {
        let columns = "id, event, aggregatetype, aggregateid, type, payload, at";
        bench.change_store(
            &format!(
                "insert into fairline.outbox (shard, {columns})
                 select 3, 'evt_' || n, 'arena', 'order', 'ord_1', 'order.expired', '{{}}', 0 from generate_series(1, 1500) n"
            ),
            &format!(
                "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1500)
                 insert into outbox ({columns}) select 'evt_' || i, 'arena', 'order', 'ord_1', 'order.expired', '{{}}', 0 from n"
            ),
        );
        let outbox = bench.seats.outbox();
        let all = outbox.state("relay").await.unwrap().unsent;
        assert!(outbox.purge(1, &[]).await.unwrap());
        let left = outbox.state("relay").await.unwrap().unsent;
        assert!(left > 1 && left < all, "{left} of {all}");
        while outbox.purge(1, &[]).await.unwrap() {}
        let left = bench.events().await;
        assert_eq!(
            (left.len(), left[0].event_type.as_str()),
            (1, "event.published")
        );
    }
}

#[tokio::test]
async fn tail_shows_the_types_that_are_asked_for_from_the_next_event_on_or_all_that_are_kept() {
    for bench in halls().await {
        let outbox = bench.seats.outbox();
        let args = |types: &[&str], kept| TailArgs {
            types: types.iter().map(|name| (*name).to_owned()).collect(),
            kept,
            ..TailArgs::default()
        };
        let mut orders = Tail::begin(outbox, &args(&["order.*", "ticket.issued"], false))
            .await
            .unwrap();
        assert!(orders.next().await.unwrap().is_empty());
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let mut all = Tail::begin(outbox, &args(&[], true)).await.unwrap();
        let shown = orders.next().await.unwrap();
        let types = shown.iter().filter_map(|line| line["type"].as_str());
        assert_eq!(types.collect::<Vec<_>>(), SOLD[1..]);
        assert_eq!(shown[0]["subject"], order.id);
        assert_eq!(shown[0]["data"]["total"]["amount"], 9000);
        assert!(orders.next().await.unwrap().is_empty());
        assert_eq!(all.next().await.unwrap().len(), 5);
        let unknown = Tail::begin(outbox, &args(&["order.lost"], false)).await;
        let error = unknown.err().unwrap();
        assert!(
            error.contains("'order.lost'") && error.contains("order.confirmed"),
            "{error}"
        );
    }
}
