//! Webhooks: each endpoint has each event once, nodes share the deliveries, and each has an outcome.

use crate::bench::*;
use checkout::inventory::Inventory;
use checkout::inventory::outbox::OutboxLease;
use checkout::inventory::webhooks::{
    DeliveryCursor, DeliveryNext, DeliveryOutcome, DeliveryRecord, DeliveryState, ENDPOINTS_MAX,
    EndpointNote, EndpointSettings, EndpointState, NewDelivery, QueuedDelivery, SigningSecret,
    WebhookEndpoint,
};
use futures_util::future::join_all;
use shared::time::Time;

const LEASE_MS: i64 = 60_000;
const ONE: &str = "whe_1";
const SECRET: &str = "whsec_bm90LXRvLWJlLXNlZW4=";
const URL: &str = "https://hooks.example/private-path";

fn delivery(id: &str, aggregate: &str) -> NewDelivery {
    NewDelivery {
        endpoint: ONE.to_owned(),
        id: id.to_owned(),
        event: "arena".to_owned(),
        event_type: "order.confirmed".to_owned(),
        aggregate: aggregate.to_owned(),
        body: "{}".to_owned(),
        in_order: false,
        created_at: START,
    }
}

fn in_order(id: &str, aggregate: &str) -> NewDelivery {
    NewDelivery {
        in_order: true,
        ..delivery(id, aggregate)
    }
}

fn endpoint(id: &str) -> WebhookEndpoint {
    let settings = EndpointSettings {
        name: "Loyalty".to_owned(),
        url: URL.to_owned(),
        secret: SigningSecret(SECRET.to_owned()),
        old_secret: Some((SigningSecret(SECRET.to_owned()), START)),
        ..EndpointSettings::default()
    };
    WebhookEndpoint {
        id: id.to_owned(),
        settings: Some(settings),
        is_current: true,
        version: 0,
        state: EndpointState::Enabled,
        reason: String::new(),
        created_at: START,
        since: START,
        failing_since: None,
    }
}

async fn add(seats: &Inventory, deliveries: &[NewDelivery]) {
    for delivery in deliveries {
        let webhooks = seats.webhooks();
        webhooks.add_delivery(delivery.clone()).await.unwrap();
    }
}

async fn claim(seats: &Inventory, room: u32) -> Vec<QueuedDelivery> {
    let rooms = [(ONE.to_owned(), room)];
    seats.webhooks().claim(&rooms, LEASE_MS).await.unwrap()
}

fn ids(deliveries: &[QueuedDelivery]) -> Vec<&str> {
    let mut ids: Vec<&str> = deliveries.iter().map(|it| it.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

async fn settle(seats: &Inventory, delivery: &QueuedDelivery, next: DeliveryNext) {
    let outcome = DeliveryOutcome {
        next,
        status: Some(503),
        answer: "not now".to_owned(),
    };
    let webhooks = seats.webhooks();
    webhooks.settle(delivery, &outcome).await.unwrap();
}

async fn records(seats: &Inventory) -> Vec<DeliveryRecord> {
    seats.webhooks().deliveries(ONE, None, 100).await.unwrap()
}

#[tokio::test]
async fn an_endpoint_has_each_event_once_with_the_place_of_the_consumer() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let (outbox, webhooks) = (bench.seats.outbox(), bench.seats.webhooks());
        for OutboxLease { shard, .. } in outbox.lease("webhooks", "one").await.unwrap() {
            let rows = outbox.read(shard, 0, 1_000).await.unwrap();
            let Some(last) = rows.last() else { continue };
            let new: Vec<NewDelivery> = rows.iter().map(|row| delivery(&row.id, "a")).collect();
            // Repeated, as after an answer that was lost.
            for _ in 0..2 {
                let taken = webhooks.take_in("webhooks", "one", shard, last.position, new.clone());
                assert!(taken.await.unwrap());
            }
        }
        let left = outbox.state("webhooks").await.unwrap().unsent;
        let made = records(&bench.seats).await.len();
        assert_eq!((left, made), (0, bench.events().await.len()));
    }
}

#[tokio::test]
async fn a_node_without_the_lease_adds_no_delivery() {
    for (here, there) in pairs().await {
        let leased = here.seats.outbox().lease("webhooks", "one").await.unwrap();
        let (shard, new) = (leased[0].shard, vec![delivery("evt_1", "a")]);
        let webhooks = there.seats.webhooks();
        let late = webhooks.take_in("webhooks", "two", shard, 9, new);
        assert!(!late.await.unwrap());
        assert_eq!(records(&here.seats).await, []);
    }
}

#[tokio::test]
async fn one_in_order_waits_for_the_earlier_ones_of_its_aggregate_and_others_for_none() {
    for bench in halls().await {
        let seats = &bench.seats;
        let new = [
            in_order("evt_1", "order/1"),
            in_order("evt_2", "order/1"),
            in_order("evt_3", "order/2"),
            delivery("evt_4", "order/1"),
        ];
        add(seats, &new).await;
        let first = claim(seats, 10).await;
        assert_eq!(ids(&first), ["evt_1", "evt_3", "evt_4"]);
        assert_eq!(claim(seats, 10).await, []);
        let one = first.iter().find(|it| it.id == "evt_1").unwrap();
        let at = Time(bench.clock.now().0 + 5_000);
        settle(seats, one, DeliveryNext::Later(at)).await;
        assert_eq!(claim(seats, 10).await, [], "it is not due yet");
        bench.clock.advance_ms(5_000);
        let again = claim(seats, 10).await;
        assert_eq!((ids(&again), again[0].attempts), (vec!["evt_1"], 2));
        settle(seats, &again[0], DeliveryNext::Failed).await;
        assert_eq!(
            ids(&claim(seats, 10).await),
            ["evt_2"],
            "one that is given up"
        );
    }
}

#[tokio::test]
async fn a_delivery_without_an_outcome_is_due_again_and_a_late_outcome_does_not_count() {
    for bench in halls().await {
        let seats = &bench.seats;
        add(seats, &[delivery("evt_1", "a")]).await;
        let first = claim(seats, 1).await;
        bench.clock.advance_ms(LEASE_MS);
        let second = claim(seats, 1).await;
        assert_eq!(ids(&second), ["evt_1"]);
        settle(seats, &first[0], DeliveryNext::Delivered).await;
        assert_eq!(records(seats).await[0].state, DeliveryState::Waiting);
        settle(seats, &second[0], DeliveryNext::Delivered).await;
        let made = &records(seats).await[0];
        assert_eq!((made.state, made.attempts), (DeliveryState::Delivered, 2));
        assert_eq!((made.status, &*made.answer), (Some(503), "not now"));
        assert_eq!(
            (made.done_at, made.next_at),
            (Some(bench.clock.now()), None)
        );
    }
}

#[tokio::test]
async fn no_two_nodes_take_the_same_delivery_and_no_more_than_there_is_room_for() {
    for (here, there) in pairs().await {
        for number in 0..40 {
            let id = format!("evt_{number}");
            add(&here.seats, &[in_order(&id, &id)]).await;
        }
        let mut taken = Vec::new();
        while taken.len() < 40 {
            let (one, two) = tokio::join!(claim(&here.seats, 7), claim(&there.seats, 7));
            assert!(one.len() <= 7 && two.len() <= 7);
            assert!(!one.is_empty() || !two.is_empty());
            taken.extend(one);
            taken.extend(two);
        }
        let mut all = ids(&taken);
        all.dedup();
        assert_eq!(all.len(), 40);
    }
}

#[tokio::test]
async fn urls_and_secrets_are_sealed_and_are_sealed_anew_before_their_key_can_go() {
    let (old, new) = ("0a".repeat(32), "0b".repeat(32));
    for mut bench in halls().await {
        bench.reopen_with(&old).await.unwrap();
        let webhooks = bench.seats.webhooks();
        assert!(webhooks.add_endpoint(&endpoint(ONE)).await.unwrap());
        let stored = bench.everything_stored();
        assert!(stored.contains(ONE) && !stored.contains(SECRET));
        assert!(!stored.contains("private-path"));
        let missed = bench.reopen_with(&new).await.unwrap_err();
        assert!(missed.contains("FAIRLINE_PERSONAL_KEYS"), "{missed}");
        bench.reopen_with(&format!("{new},{old}")).await.unwrap();
        let webhooks = bench.seats.webhooks();
        let found = webhooks.endpoints().await.unwrap().remove(0);
        assert_eq!(found.settings, endpoint(ONE).settings);
        assert!(!found.is_current);
        assert!(webhooks.change_endpoint(&found).await.unwrap());
        bench.reopen_with(&new).await.unwrap();
        let found = bench.seats.webhooks().endpoints().await.unwrap().remove(0);
        assert_eq!(found.settings, endpoint(ONE).settings);
        assert!(found.is_current);
    }
}

#[tokio::test]
async fn endpoints_are_few_and_a_change_of_an_old_version_does_not_count() {
    for bench in halls().await {
        let webhooks = bench.seats.webhooks();
        for number in 0..ENDPOINTS_MAX {
            let new = endpoint(&format!("whe_{number}"));
            assert!(webhooks.add_endpoint(&new).await.unwrap());
        }
        assert!(!webhooks.add_endpoint(&endpoint("whe_x")).await.unwrap());
        let found = webhooks.endpoints().await.unwrap();
        assert_eq!(found.len() as i64, ENDPOINTS_MAX);
        let mut one = found[0].clone();
        one.state = EndpointState::Disabled;
        assert!(webhooks.change_endpoint(&one).await.unwrap());
        assert!(!webhooks.change_endpoint(&one).await.unwrap());
        let found = &webhooks.endpoints().await.unwrap()[0];
        assert_eq!((found.state, found.version), (EndpointState::Disabled, 1));
        assert!(webhooks.remove_endpoint(&one.id).await.unwrap());
        assert!(!webhooks.remove_endpoint(&one.id).await.unwrap());
        assert!(webhooks.add_endpoint(&endpoint("whe_x")).await.unwrap());
    }
}

#[tokio::test]
async fn the_first_failure_and_the_first_success_are_noted_and_it_is_disabled_once() {
    for bench in halls().await {
        let webhooks = bench.seats.webhooks();
        assert!(webhooks.add_endpoint(&endpoint(ONE)).await.unwrap());
        let disabled = EndpointNote::Disabled("410".to_owned());
        let seen = async || webhooks.endpoints().await.unwrap().remove(0);
        let note =
            async |note: &EndpointNote| webhooks.note_endpoint(&seen().await, note).await.unwrap();
        assert!(!note(&EndpointNote::Succeeded).await);
        assert!(note(&EndpointNote::Failed).await);
        let failing_since = bench.clock.now();
        bench.clock.advance_ms(1_000);
        assert!(!note(&EndpointNote::Failed).await);
        assert_eq!(seen().await.failing_since, Some(failing_since));
        assert!(note(&EndpointNote::Succeeded).await);
        assert_eq!(seen().await.failing_since, None);
        assert!(note(&disabled).await);
        assert!(!note(&disabled).await);
        let found = seen().await;
        assert_eq!(
            (found.state, &*found.reason),
            (EndpointState::Failed, "410")
        );
    }
}

#[tokio::test]
async fn a_note_about_an_endpoint_as_it_was_before_a_change_does_not_count() {
    for bench in halls().await {
        let webhooks = bench.seats.webhooks();
        assert!(webhooks.add_endpoint(&endpoint(ONE)).await.unwrap());
        let old = webhooks.endpoints().await.unwrap().remove(0);
        assert!(webhooks.change_endpoint(&old).await.unwrap());
        let disabled = EndpointNote::Disabled("410".to_owned());
        let new = webhooks.endpoints().await.unwrap().remove(0);
        for note in [&EndpointNote::Failed, &disabled] {
            assert!(!webhooks.note_endpoint(&old, note).await.unwrap());
            assert_eq!(
                webhooks.endpoints().await.unwrap(),
                std::slice::from_ref(&new)
            );
        }
        assert!(
            webhooks
                .note_endpoint(&new, &EndpointNote::Failed)
                .await
                .unwrap()
        );
        assert!(
            !webhooks
                .note_endpoint(&old, &EndpointNote::Succeeded)
                .await
                .unwrap()
        );
        assert!(webhooks.note_endpoint(&new, &disabled).await.unwrap());
    }
}

#[tokio::test]
async fn deliveries_are_listed_page_by_page_and_posted_again_out_of_order() {
    for bench in halls().await {
        let (seats, webhooks) = (&bench.seats, bench.seats.webhooks());
        let new = ["evt_1", "evt_2", "evt_3"].map(|id| in_order(id, "order/1"));
        add(seats, &new).await;
        let page = webhooks.deliveries(ONE, None, 2).await.unwrap();
        let seen: Vec<&str> = page.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(seen, ["evt_3", "evt_2"]);
        let (created_at, id) = (page[1].created_at, page[1].id.clone());
        let after = DeliveryCursor { created_at, id };
        assert_eq!(
            DeliveryCursor::parse(&after.to_string()),
            Some(after.clone())
        );
        let rest = webhooks.deliveries(ONE, Some(after), 2).await.unwrap();
        assert_eq!((rest.len(), &*rest[0].id), (1, "evt_1"));
        assert_eq!(webhooks.deliveries("whe_2", None, 2).await.unwrap(), []);
        assert!(!webhooks.resend(ONE, "evt_1").await.unwrap(), "it waits");
        let first = claim(seats, 10).await;
        settle(seats, &first[0], DeliveryNext::Delivered).await;
        assert!(!webhooks.resend("whe_2", "evt_1").await.unwrap());
        assert!(webhooks.resend(ONE, "evt_1").await.unwrap());
        let again = claim(seats, 10).await;
        assert_eq!(ids(&again), ["evt_1", "evt_2"], "none waits for it");
    }
}

#[tokio::test]
async fn what_waits_is_counted_and_what_is_old_or_to_no_endpoint_is_deleted() {
    for bench in halls().await {
        let (seats, webhooks) = (&bench.seats, bench.seats.webhooks());
        assert!(webhooks.add_endpoint(&endpoint(ONE)).await.unwrap());
        add(
            seats,
            &["evt_1", "evt_2", "evt_3"].map(|id| delivery(id, id)),
        )
        .await;
        let gone = NewDelivery {
            endpoint: "whe_2".to_owned(),
            ..delivery("evt_1", "a")
        };
        add(seats, &[gone]).await;
        let claimed = claim(seats, 10).await;
        settle(seats, &claimed[0], DeliveryNext::Delivered).await;
        settle(seats, &claimed[1], DeliveryNext::Failed).await;
        bench.clock.advance_ms(10_000);
        let backlog = webhooks.backlog(&[ONE.to_owned()]).await.unwrap();
        let found = (backlog[0].waiting, backlog[0].oldest_seconds);
        assert_eq!((backlog.len(), found), (1, (1, 10)));
        let left = async |kept: [i64; 2]| {
            while webhooks.purge_done(kept[0], kept[1]).await.unwrap() {}
            records(seats).await.len()
        };
        assert_eq!(left([20_000, 20_000]).await, 3);
        let removed = async || webhooks.deliveries("whe_2", None, 9).await.unwrap();
        assert_eq!(removed().await.len(), 1);
        while webhooks.purge_removed().await.unwrap() {}
        assert_eq!((removed().await.len(), records(seats).await.len()), (0, 3));
        assert_eq!(left([5_000, 20_000]).await, 2);
        assert_eq!(left([5_000, 5_000]).await, 1);
        assert_eq!(records(seats).await[0].state, DeliveryState::Waiting);
    }
}

/// Locks the deliveries, until the client commits.
async fn locked(bench: &Bench) -> Client {
    let mut client = bench.connect().await;
    let lock = "begin; lock table fairline.webhook_delivery in access exclusive mode";
    client.run(lock).await;
    client
}

/// Waits until so many statements wait for a lock.
async fn until_waiting(bench: &Bench, count: usize) {
    let waiting = "select count(*) from pg_locks where not granted
        and database = (select oid from pg_database where datname = current_database())";
    while bench.by_hand(waiting).unwrap().parse::<usize>().unwrap() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_endpoint_that_is_added_during_a_purge_keeps_its_deliveries() {
    for (bench, _) in pairs().await {
        let mut client = locked(&bench).await;
        let added = async {
            until_waiting(&bench, 1).await;
            let rows = "insert into fairline.webhook_endpoint (id, settings, created_at, since)
                    values ('whe_1', '', 0, 0);
                insert into fairline.webhook_delivery (endpoint, id, event, type, aggregate, body,
                    in_order, next_at, created_at, queued_at)
                    values ('whe_1', 'evt_1', '', '', '', '{}', false, 0, 0, 0);
                commit";
            client.run(rows).await;
        };
        let webhooks = bench.seats.webhooks();
        let (purged, ()) = tokio::join!(webhooks.purge_removed(), added);
        purged.unwrap();
        assert_eq!(records(&bench.seats).await.len(), 1);
        assert!(webhooks.remove_endpoint(ONE).await.unwrap());
        while webhooks.purge_removed().await.unwrap() {}
        assert_eq!(records(&bench.seats).await, []);
    }
}

#[tokio::test]
async fn a_sale_goes_on_while_all_statements_about_deliveries_wait() {
    for (bench, _) in pairs().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1"]).await;
        let mut client = locked(&bench).await;
        let rooms = [(ONE.to_owned(), 1)];
        let claims = (0..8).map(|_| bench.seats.webhooks().claim(&rooms, LEASE_MS));
        let sale = async {
            until_waiting(&bench, 2).await;
            assert_eq!(bench.see(&ada, &order).await.id, order.id);
            let ben = bench.fan(2).await;
            bench.buy(&ben, &["st-A-2"]).await;
            client.run("rollback").await;
        };
        tokio::join!(join_all(claims), sale);
    }
}
