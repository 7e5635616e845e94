//! Addresses of fans in line: one for a place, sealed, and deleted in time.

use crate::bench::*;
use checkout::inventory::mail::{MailKind, MailOutcome, NewMail};
use checkout::inventory::{InLine, LineMailRow, SoonRow, SoonStep};
use shared::ids::{EventId, VisitorId};
use shared::line_mail::{LineMail, WAITS_MAX};
use shared::time::Time;

fn place(event: &str, visitor: u128) -> InLine {
    InLine {
        event: EventId::parse(event).unwrap(),
        visitor: VisitorId(visitor),
    }
}

fn mail(email: &str) -> LineMail {
    LineMail {
        email: email.to_owned(),
        language: "de".to_owned(),
        link: format!("link of {email}"),
        number: Some(7),
        tell_soon: false,
    }
}

impl Bench {
    async fn leave_address(&self, place: &InLine, email: &str) {
        let mails = self.seats.line_mails();
        mails.keep(place, &mail(email)).await.unwrap();
    }

    /// Has a fan with this number leave an address and want to be told before the turn.
    async fn want_soon(&self, visitor: u128, number: Option<u64>) {
        let wish = LineMail {
            number,
            tell_soon: true,
            ..mail("ada@example.org")
        };
        let mails = self.seats.line_mails();
        mails.keep(&place("arena", visitor), &wish).await.unwrap();
    }

    async fn next_soon(&self) -> Vec<SoonRow> {
        let mails = self.seats.line_mails();
        mails.next_soon(&self.event).await.unwrap()
    }

    async fn settle_soon(&self, fans: &[(SoonRow, SoonStep)]) {
        let mails = self.seats.line_mails();
        mails.settle_soon(&self.event, fans.to_vec()).await.unwrap();
    }

    /// Sends all mails that are due, and returns the visitors whose turn they say comes soon.
    async fn told_soon(&self) -> Vec<String> {
        let mails = self.seats.mails();
        let mut told = Vec::new();
        for mail in mails.claim(false, 500, 60_000).await.unwrap() {
            assert_eq!(mail.mail.kind, MailKind::Soon);
            mails.settle(&mail, MailOutcome::Sent).await.unwrap();
            told.push(mail.mail.order);
        }
        told.sort();
        told
    }

    async fn address(&self, place: &InLine) -> Option<LineMailRow> {
        self.seats.line_mails().find(place).await.unwrap()
    }
}

#[tokio::test]
async fn a_place_has_one_address_which_the_last_one_replaces() {
    for mut bench in halls().await {
        let (ada, ben) = (place("arena", 1), place("arena", 2));
        assert_eq!(bench.address(&ada).await, None);
        bench.leave_address(&ada, "ada@example.org").await;
        bench.leave_address(&ben, "ben@example.org").await;
        bench.clock.advance_ms(1_000);
        bench.leave_address(&ada, "ada@example.com").await;
        let row = bench.address(&ada).await.unwrap();
        assert_eq!(
            (row.mail, row.place),
            (mail("ada@example.com"), ada.clone())
        );
        assert_eq!(row.created_at, Time(START.0 + 1_000));
        let places = vec![
            ada.clone(),
            ben.clone(),
            place("other", 1),
            place("arena", 3),
        ];
        let known = bench.seats.line_mails().known(places).await.unwrap();
        assert_eq!(known, [ada.clone(), ben].into());
        bench.reopen().await;
        assert!(bench.address(&ada).await.is_some());
    }
}

#[tokio::test]
async fn an_address_is_removed_unless_it_was_left_since() {
    for bench in halls().await {
        let ada = place("arena", 1);
        bench.clock.advance_ms(1_000);
        bench.leave_address(&ada, "ada@example.org").await;
        let mails = bench.seats.line_mails();
        mails.remove(&ada, START).await.unwrap();
        assert!(bench.address(&ada).await.is_some(), "it is newer");
        let other = place("arena", 2);
        mails.remove(&other, Time(i64::MAX)).await.unwrap();
        assert!(bench.address(&ada).await.is_some());
        mails.remove(&ada, bench.clock.now()).await.unwrap();
        assert_eq!(bench.address(&ada).await, None);
    }
}

#[tokio::test]
async fn addresses_are_found_erased_and_never_stored_in_clear() {
    for mut bench in halls().await {
        bench.reopen_with(&"0a".repeat(32)).await.unwrap();
        // More than a page.
        for visitor in 0..501 {
            let email = format!("fan{}@example.org", visitor % 500);
            bench.leave_address(&place("arena", visitor), &email).await;
        }
        bench
            .leave_address(&place("other", 7), "Fan0@Example.org")
            .await;
        let stored = bench.everything_stored();
        for secret in ["fan7@", "link of"] {
            assert!(!stored.contains(secret), "{secret} is in clear");
        }
        let found = bench.seats.line_mails_of("FAN0@example.org").await.unwrap();
        let mut places: Vec<InLine> = found.into_iter().map(|row| row.place).collect();
        places.sort();
        let all = [place("arena", 0), place("arena", 500), place("other", 7)];
        assert_eq!(places, all);
        let erased = bench.seats.erase_line_mails("fan0@example.org").await;
        assert_eq!(erased.unwrap(), 3);
        let left = bench.seats.line_mails_of("fan0@example.org").await.unwrap();
        assert_eq!(left, []);
        assert!(bench.address(&place("arena", 1)).await.is_some());
    }
}

#[tokio::test]
async fn addresses_of_a_line_that_is_over_old_ones_and_those_of_a_removed_event_are_deleted() {
    for bench in halls().await {
        let (arena, other) = (place("arena", 1), place("other", 1));
        let mails = bench.seats.line_mails();
        bench.leave_address(&arena, "ada@example.org").await;
        bench.leave_address(&other, "ada@example.org").await;
        while mails.purge(Some(&arena.event), 0).await.unwrap() {}
        assert_eq!(bench.address(&arena).await, None);
        assert!(bench.address(&other).await.is_some());
        bench.clock.advance_ms(500);
        bench.leave_address(&arena, "ada@example.org").await;
        while mails.purge(None, 500).await.unwrap() {}
        assert_eq!(bench.address(&other).await, None);
        assert!(bench.address(&arena).await.is_some());
        bench.seats.remove(&arena.event).await.unwrap();
        assert_eq!(bench.address(&arena).await, None);
    }
}

fn fan(visitor: u128, number: Option<u64>) -> SoonRow {
    SoonRow {
        visitor: VisitorId(visitor),
        number,
    }
}

fn order(visitor: u128) -> String {
    format!("{}.soon", VisitorId(visitor))
}

#[tokio::test]
async fn fans_are_told_before_their_turn_in_order_of_numbers_each_place_once() {
    for mut bench in halls().await {
        for (visitor, number) in [(1, Some(30)), (2, Some(10)), (3, None), (4, Some(20))] {
            bench.want_soon(visitor, number).await;
        }
        bench
            .leave_address(&place("arena", 5), "ben@example.org")
            .await;
        bench
            .leave_address(&place("other", 6), "ben@example.org")
            .await;
        let events = ["other", "arena"].map(|event| EventId::parse(event).unwrap());
        let found = bench.seats.line_mails().soon_events(events.to_vec());
        assert_eq!(found.await.unwrap(), [bench.event.clone()]);
        let [first, second] = [fan(2, Some(10)), fan(4, Some(20))];
        let all = [fan(3, None), first, second, fan(1, Some(30))];
        assert_eq!(bench.next_soon().await, all);
        let settled = [
            (fan(3, Some(15)), SoonStep::Later),
            (first, SoonStep::Tell),
            (second, SoonStep::Never),
        ];
        // Repeated, as after an answer that was lost.
        for _ in 0..2 {
            bench.settle_soon(&settled).await;
        }
        bench.reopen().await;
        assert_eq!(
            bench.next_soon().await,
            [fan(3, Some(15)), fan(1, Some(30))]
        );
        assert_eq!(bench.told_soon().await, [order(2)]);
        let row = bench.address(&place("arena", 2)).await.unwrap();
        assert!(!row.mail.tell_soon, "the address is kept for the turn");
        assert_eq!(row.mail.number, Some(10));
        // One who leaves the address again with the same place is not told again.
        bench.want_soon(2, Some(10)).await;
        bench.settle_soon(&[(first, SoonStep::Tell)]).await;
        assert_eq!(bench.told_soon().await, [""; 0]);
        // One who leaves the line and joins again has another place.
        bench.want_soon(2, Some(40)).await;
        bench
            .settle_soon(&[(fan(2, Some(40)), SoonStep::Tell)])
            .await;
        assert_eq!(bench.told_soon().await, [order(2)]);
        // None is told whose address is gone.
        let gone = place("arena", 1);
        let mails = bench.seats.line_mails();
        mails.remove(&gone, Time(i64::MAX)).await.unwrap();
        bench
            .settle_soon(&[(fan(1, Some(30)), SoonStep::Tell)])
            .await;
        assert_eq!(bench.told_soon().await, [""; 0]);
        assert_eq!(bench.next_soon().await, [fan(3, Some(15))]);
    }
}

#[tokio::test]
async fn the_line_is_asked_about_the_head_alone_and_the_mail_of_a_turn_waits_for_no_other() {
    for bench in halls().await {
        for visitor in 0..=WAITS_MAX as u64 {
            bench.want_soon(visitor.into(), Some(1000 - visitor)).await;
        }
        let next = bench.next_soon().await;
        assert_eq!(next.len(), WAITS_MAX);
        assert_eq!(
            next[0],
            fan(WAITS_MAX as u128, Some(1000 - WAITS_MAX as u64))
        );
        assert!(next.is_sorted_by_key(|fan| fan.number));
        bench.settle_soon(&[(next[0], SoonStep::Tell)]).await;
        let mails = bench.seats.mails();
        let soon = mails.claim(false, 10, 60_000).await.unwrap().remove(0).mail;
        let turn = NewMail {
            id: "evt_1".to_owned(),
            order: next[0].visitor.to_string(),
            kind: MailKind::Turn,
            ..soon
        };
        mails.add(turn).await.unwrap();
        let claimed = mails.claim(false, 10, 60_000).await.unwrap();
        assert_eq!(claimed.len(), 1, "though the other is being sent");
        assert_eq!(claimed[0].mail.kind, MailKind::Turn);
    }
}

#[tokio::test]
async fn two_nodes_that_ask_about_the_same_fans_tell_each_once() {
    for (here, there) in pairs().await {
        for visitor in 0..50_u64 {
            here.want_soon(visitor.into(), Some(visitor)).await;
        }
        let fans: Vec<_> = here.next_soon().await;
        let mut fans: Vec<_> = fans.into_iter().map(|fan| (fan, SoonStep::Tell)).collect();
        let ours = fans.clone();
        fans.reverse();
        tokio::join!(here.settle_soon(&ours), there.settle_soon(&fans));
        // The fans that one of them skipped were settled by the other.
        assert_eq!(here.next_soon().await, []);
        assert_eq!(here.told_soon().await.len(), 50);
        assert_eq!(there.told_soon().await.len(), 0);
    }
}
