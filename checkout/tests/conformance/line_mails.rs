//! Addresses of fans in line: one for a place, sealed, and deleted in time.

use crate::bench::*;
use checkout::inventory::{InLine, LineMailRow};
use shared::ids::{EventId, VisitorId};
use shared::line_mail::LineMail;
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
    }
}

impl Bench {
    async fn leave_address(&self, place: &InLine, email: &str) {
        let mails = self.seats.line_mails();
        mails.keep(place, &mail(email)).await.unwrap();
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
