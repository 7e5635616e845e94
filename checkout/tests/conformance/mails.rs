//! Mails that wait: each event has its mail once, nodes share them, and each has an outcome.

use crate::bench::*;
use checkout::inventory::Inventory;
use checkout::inventory::mail::{
    Bounce, MailBacklog, MailKind, MailOutcome, MailRecord, MailState, NewMail, QueuedMail,
    StoredMail,
};
use checkout::inventory::outbox::OutboxLease;
use shared::time::Time;

const LEASE_MS: i64 = 60_000;

fn mail(id: &str, order: &str) -> NewMail {
    NewMail {
        id: id.to_owned(),
        event: "arena".to_owned(),
        order: order.to_owned(),
        kind: MailKind::Confirmed,
        detail: String::new(),
        created_at: START,
    }
}

async fn claim(seats: &Inventory) -> Vec<QueuedMail> {
    seats.mails().claim(false, 10, LEASE_MS).await.unwrap()
}

fn ids(mails: &[QueuedMail]) -> Vec<&str> {
    let mut ids: Vec<&str> = mails.iter().map(|mail| mail.mail.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

async fn settle(seats: &Inventory, mail: &QueuedMail, outcome: MailOutcome) {
    seats.mails().settle(mail, outcome).await.unwrap();
}

async fn records(seats: &Inventory, order: &str) -> Vec<MailRecord> {
    seats.mails().of_order("arena", order).await.unwrap()
}

#[tokio::test]
async fn an_event_has_its_mail_once_with_the_place_of_the_consumer() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        bench.buy(&ada, &["st-A-1", "st-A-2"]).await;
        let (outbox, mails) = (bench.seats.outbox(), bench.seats.mails());
        for OutboxLease { shard, .. } in outbox.lease("mail", "one").await.unwrap() {
            let rows = outbox.read(shard, 0, 1_000).await.unwrap();
            let Some(last) = rows.last() else { continue };
            let new: Vec<NewMail> = rows.iter().map(|row| mail(&row.id, "ord_1")).collect();
            // Repeated, as after an answer that was lost.
            for _ in 0..2 {
                let taken = mails.take_in("mail", "one", shard, last.position, new.clone());
                assert!(taken.await.unwrap());
            }
        }
        let left = outbox.state("mail").await.unwrap().unsent;
        assert_eq!((left, records(&bench.seats, "ord_1").await.len()), (0, 5));
        assert_eq!(claim(&bench.seats).await.len(), 1);
    }
}

#[tokio::test]
async fn a_node_without_the_lease_adds_no_mail() {
    for (here, there) in pairs().await {
        let leased = here.seats.outbox().lease("mail", "one").await.unwrap();
        let shard = leased[0].shard;
        let late =
            there
                .seats
                .mails()
                .take_in("mail", "two", shard, 9, vec![mail("evt_1", "ord_1")]);
        assert!(!late.await.unwrap());
        assert_eq!(records(&here.seats, "ord_1").await, []);
        assert_eq!(
            here.seats.outbox().lease("mail", "one").await.unwrap()[0].position,
            0
        );
    }
}

#[tokio::test]
async fn old_events_stay_until_the_relay_and_the_mail_have_had_them() {
    for bench in halls().await {
        let outbox = bench.seats.outbox();
        let all = bench.events().await.len();
        bench.clock.advance_ms(10_000);
        for (consumer, left) in [("relay", all), ("mail", 0)] {
            for other in ["relay", "mail"] {
                outbox.lease(other, "one").await.unwrap();
            }
            for OutboxLease { shard, .. } in outbox.lease(consumer, "one").await.unwrap() {
                let rows = outbox.read(shard, 0, 1_000).await.unwrap();
                let Some(last) = rows.last().map(|row| row.position) else {
                    continue;
                };
                let done = match consumer {
                    "mail" => bench
                        .seats
                        .mails()
                        .take_in(consumer, "one", shard, last, Vec::new()),
                    _ => outbox.acknowledge(consumer, "one", shard, last),
                };
                assert!(done.await.unwrap());
            }
            while outbox.purge(1, &["relay", "mail"]).await.unwrap() {}
            assert_eq!(bench.events().await.len(), left, "{consumer}");
        }
    }
}

#[tokio::test]
async fn mails_of_an_order_are_sent_one_after_the_other() {
    for bench in halls().await {
        let seats = &bench.seats;
        for (id, order) in [("evt_1", "ord_1"), ("evt_2", "ord_1"), ("evt_3", "ord_2")] {
            seats.mails().add(mail(id, order)).await.unwrap();
        }
        let first = claim(seats).await;
        assert_eq!(ids(&first), ["evt_1", "evt_3"]);
        assert_eq!(claim(seats).await, []);
        let one = first.iter().find(|mail| mail.mail.id == "evt_1").unwrap();
        let at = Time(bench.clock.now().0 + 5_000);
        let (unanswered, reason) = (1, "not now".to_owned());
        settle(
            seats,
            one,
            MailOutcome::Later {
                at,
                unanswered,
                reason,
            },
        )
        .await;
        assert_eq!(
            claim(seats).await,
            [],
            "it is not due yet, and the next waits for it"
        );
        bench.clock.advance_ms(5_000);
        let again = claim(seats).await;
        assert_eq!(
            (ids(&again), again[0].attempts, again[0].unanswered),
            (vec!["evt_1"], 2, 1)
        );
        settle(seats, &again[0], MailOutcome::Sent).await;
        assert_eq!(ids(&claim(seats).await), ["evt_2"]);
    }
}

#[tokio::test]
async fn a_mail_without_an_outcome_is_due_again_and_a_late_outcome_does_not_count() {
    for bench in halls().await {
        let seats = &bench.seats;
        seats.mails().add(mail("evt_1", "ord_1")).await.unwrap();
        let first = claim(seats).await;
        bench.clock.advance_ms(LEASE_MS);
        let second = claim(seats).await;
        assert_eq!(ids(&second), ["evt_1"]);
        settle(seats, &first[0], MailOutcome::Sent).await;
        settle(seats, &first[0], MailOutcome::Dropped).await;
        assert_eq!(records(seats, "ord_1").await[0].state, MailState::Waiting);
        settle(seats, &second[0], MailOutcome::Sent).await;
        let sent = &records(seats, "ord_1").await[0];
        assert_eq!((sent.state, sent.attempts), (MailState::Sent, 2));
        assert_eq!(sent.done_at, Some(bench.clock.now()));
    }
}

#[tokio::test]
async fn no_two_nodes_take_the_same_mail() {
    for (here, there) in pairs().await {
        for number in 0..40 {
            let new = mail(&format!("evt_{number}"), &format!("ord_{number}"));
            here.seats.mails().add(new).await.unwrap();
        }
        let (mut taken, both) = (Vec::new(), [&here, &there]);
        while taken.len() < 40 {
            let (one, two) = tokio::join!(claim(&both[0].seats), claim(&both[1].seats));
            assert!(!one.is_empty() || !two.is_empty());
            taken.extend(one);
            taken.extend(two);
        }
        let mut all = ids(&taken);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 40);
    }
}

#[tokio::test]
async fn a_mail_that_cannot_be_sent_is_listed_with_its_reason_until_it_is_tried_again() {
    for bench in halls().await {
        let (seats, mails) = (&bench.seats, bench.seats.mails());
        mails.add(mail("evt_1", "ord_1")).await.unwrap();
        bench.clock.advance_ms(7_000);
        let backlog = mails.backlog().await.unwrap();
        let waits = MailBacklog {
            waiting: 1,
            oldest_seconds: 7,
            failed: 0,
        };
        assert_eq!(backlog, waits);
        let claimed = claim(seats).await;
        let reason = "550 not known".to_owned();
        settle(seats, &claimed[0], MailOutcome::Failed { reason }).await;
        let failed = mails.failed("arena").await.unwrap();
        assert_eq!((failed.len(), failed[0].state), (1, MailState::Failed));
        assert_eq!(failed[0].reason.as_deref(), Some("550 not known"));
        assert_eq!(mails.failed("other").await.unwrap(), []);
        assert_eq!(
            mails.backlog().await.unwrap(),
            MailBacklog {
                failed: 1,
                ..MailBacklog::default()
            }
        );
        assert_eq!(claim(seats).await, []);
        assert!(!mails.retry("other", "evt_1").await.unwrap());
        assert!(mails.retry("arena", "evt_1").await.unwrap());
        assert!(!mails.retry("arena", "evt_1").await.unwrap());
        assert_eq!(ids(&claim(seats).await), ["evt_1"]);
    }
}

#[tokio::test]
async fn a_mail_that_came_back_stops_its_address_until_that_is_resumed() {
    for bench in halls().await {
        let (seats, mails) = (&bench.seats, bench.seats.mails());
        let bounce = |stopped: &str| Bounce {
            stopped: stopped.to_owned(),
            reason: "came back".to_owned(),
        };
        let new = mail("evt_1", "ord_1");
        mails.add(new.clone()).await.unwrap();
        let waiting = StoredMail {
            mail: new,
            state: MailState::Waiting,
        };
        assert_eq!(mails.find("evt_1").await.unwrap(), Some(waiting));
        assert_eq!(mails.find("evt_2").await.unwrap(), None);
        let unsent = mails.bounce("evt_1", &bounce("hash")).await.unwrap();
        assert!(!unsent, "no attempt was made");
        let claimed = claim(seats).await;
        settle(seats, &claimed[0], MailOutcome::Sent).await;
        assert!(!mails.bounce("evt_2", &bounce("hash")).await.unwrap());
        assert!(mails.bounce("evt_1", &bounce("hash")).await.unwrap());
        assert!(!mails.bounce("evt_1", &bounce("other")).await.unwrap());
        let listed = mails.failed("arena").await.unwrap();
        assert_eq!((listed.len(), listed[0].state), (1, MailState::Bounced));
        assert_eq!(mails.stopped("other").await.unwrap(), None);
        let why = Some("came back".to_owned());
        assert_eq!(mails.stopped("hash").await.unwrap(), why);

        mails.resume("hash").await.unwrap();
        assert_eq!(mails.stopped("hash").await.unwrap(), None);
        let listed = mails.failed("arena").await.unwrap();
        assert_eq!(listed[0].state, MailState::Bounced, "it is listed still");
        assert!(mails.retry("arena", "evt_1").await.unwrap());
        // Its report comes while it is being sent: the outcome of the attempt changes nothing.
        let claimed = claim(seats).await;
        assert!(mails.bounce("evt_1", &bounce("hash")).await.unwrap());
        settle(seats, &claimed[0], MailOutcome::Sent).await;
        assert_eq!(records(seats, "ord_1").await[0].state, MailState::Bounced);
        bench.clock.advance_ms(1_000);
        assert!(!mails.purge(500).await.unwrap());
        assert_eq!(mails.stopped("hash").await.unwrap(), None, "gone with it");
    }
}

#[tokio::test]
async fn what_is_done_is_deleted_once_it_is_old_and_what_waits_stays() {
    for bench in halls().await {
        let (seats, mails) = (&bench.seats, bench.seats.mails());
        for number in 1..=4 {
            let new = mail(&format!("evt_{number}"), &format!("ord_{number}"));
            mails.add(new).await.unwrap();
        }
        let claimed = claim(seats).await;
        let outcomes = [
            MailOutcome::Sent,
            MailOutcome::Failed {
                reason: "no".to_owned(),
            },
            MailOutcome::Dropped,
        ];
        for (mail, outcome) in claimed.iter().zip(outcomes) {
            settle(seats, mail, outcome).await;
        }
        let dropped = &claimed[2].mail.order;
        assert_eq!(records(seats, dropped).await, []);
        bench.clock.advance_ms(10_000);
        while mails.purge(20_000).await.unwrap() {}
        assert_eq!(records(seats, &claimed[0].mail.order).await.len(), 1);
        while mails.purge(5_000).await.unwrap() {}
        for gone in &claimed[..2] {
            assert_eq!(records(seats, &gone.mail.order).await, []);
        }
        assert_eq!(records(seats, &claimed[3].mail.order).await.len(), 1);
    }
}

#[tokio::test]
async fn an_address_is_sealed_while_its_list_of_orders_waits() {
    for mut bench in halls().await {
        bench.reopen_with(&"0a".repeat(32)).await.unwrap();
        let asked = NewMail {
            event: String::new(),
            order: String::new(),
            kind: MailKind::Orders,
            detail: "ada@example.org".to_owned(),
            ..mail("mail_1", "")
        };
        let mails = bench.seats.mails();
        mails.add(asked.clone()).await.unwrap();
        assert!(!bench.everything_stored().contains("ada@example.org"));
        assert_eq!(claim(&bench.seats).await, [], "lists are asked for apart");
        let claimed = mails.claim(true, 10, LEASE_MS).await.unwrap();
        assert_eq!(claimed[0].mail, asked);
    }
}
