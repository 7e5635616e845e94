//! Subscriptions and numbers of fans in line: one of each channel for a place, sealed, due once, and deleted
//! in time; and the counts of text messages.

use crate::bench::*;
use checkout::inventory::{InLine, LineBacklog, QueuedMessage, SmsBounds, SmsCount};
use shared::ids::{EventId, VisitorId};
use shared::line_contact::{Channel, LineContact, LineSms};
use shared::line_mail::LineMail;
use shared::line_push::{LinePush, PushKeys};
use shared::time::Time;

const LEASE_MS: i64 = 30_000;

fn place(event: &str, visitor: u128) -> InLine {
    InLine {
        event: EventId::parse(event).unwrap(),
        visitor: VisitorId(visitor),
    }
}

fn push(name: &str) -> LineContact {
    LineContact::Push(LinePush {
        endpoint: format!("https://push.example/{name}"),
        keys: PushKeys {
            p256dh: "a key".to_owned(),
            auth: "a secret".to_owned(),
        },
        language: "de".to_owned(),
    })
}

fn sms(phone: &str) -> LineContact {
    LineContact::Sms(LineSms {
        phone: phone.to_owned(),
        language: "de".to_owned(),
    })
}

/// Time until which turns may be taken.
fn claim_by() -> Time {
    START.plus_seconds(120)
}

const PHONE: &str = "+4915112345678";
const BOUNDS: SmsBounds = SmsBounds {
    to_number: 2,
    in_day: 5,
};

impl Bench {
    /// Counts a text message to a number for the arena.
    async fn count_text(&self, phone: &str) -> SmsCount {
        let (event, now) = (place("arena", 1).event, self.clock.now());
        let messages = self.seats.line_messages();
        let counted = messages.count_sms(&event, phone, now, BOUNDS).await;
        counted.unwrap()
    }

    async fn subscribe(&self, place: &InLine, name: &str) {
        let messages = self.seats.line_messages();
        messages.keep(place, &push(name)).await.unwrap();
    }

    async fn subscription(&self, place: &InLine) -> Option<LineContact> {
        self.seats
            .line_messages()
            .find(place, Channel::Push)
            .await
            .unwrap()
    }

    async fn call(&self, places: &[&InLine]) {
        let turns = places.iter().map(|place| ((*place).clone(), claim_by()));
        let messages = self.seats.line_messages();
        messages.call(turns.collect()).await.unwrap();
    }

    async fn claim(&self, limit: u32) -> Vec<QueuedMessage> {
        let messages = self.seats.line_messages();
        messages
            .claim(Channel::Push, limit, LEASE_MS)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_place_has_one_subscription_which_the_last_one_replaces() {
    for mut bench in halls().await {
        let (ada, ben) = (place("arena", 1), place("arena", 2));
        assert_eq!(bench.subscription(&ada).await, None);
        bench.subscribe(&ada, "ada").await;
        bench.subscribe(&ben, "ben").await;
        bench.subscribe(&ada, "other").await;
        assert_eq!(bench.subscription(&ada).await, Some(push("other")));
        bench.reopen().await;
        assert_eq!(bench.subscription(&ada).await, Some(push("other")));
        bench
            .seats
            .line_messages()
            .remove(&ada, Channel::Push)
            .await
            .unwrap();
        assert_eq!(bench.subscription(&ada).await, None);
        assert_eq!(bench.subscription(&ben).await, Some(push("ben")));
    }
}

#[tokio::test]
async fn a_message_is_due_once_its_turn_has_come_and_again_after_its_lease() {
    for bench in halls().await {
        let (ada, ben) = (place("arena", 1), place("arena", 2));
        bench.subscribe(&ada, "ada").await;
        bench.subscribe(&ben, "ben").await;
        assert_eq!(bench.claim(10).await, []);
        bench.call(&[&ada, &place("arena", 3)]).await;
        let claimed = bench.claim(10).await;
        assert_eq!(claimed.len(), 1);
        let first = &claimed[0];
        assert_eq!((&first.place, first.attempts), (&ada, 1));
        assert_eq!(first.contact, Some(push("ada")));
        assert_eq!(first.claim_by, claim_by());
        // It is under way, and a second call changes nothing.
        bench.call(&[&ada]).await;
        assert_eq!(bench.claim(10).await, []);
        bench.clock.advance_ms(LEASE_MS);
        let again = bench.claim(10).await;
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].attempts, 2);
        // The outcome of the attempt whose lease is over counts for nothing.
        let messages = bench.seats.line_messages();
        messages.settle(first, None).await.unwrap();
        assert!(bench.subscription(&ada).await.is_some());
        let later = bench.clock.now().plus_seconds(5);
        messages.settle(&again[0], Some(later)).await.unwrap();
        bench.clock.advance_ms(4_999);
        assert_eq!(bench.claim(10).await, []);
        bench.clock.advance_ms(1);
        let last = bench.claim(10).await;
        messages.settle(&last[0], None).await.unwrap();
        assert_eq!(bench.subscription(&ada).await, None);
        assert!(bench.subscription(&ben).await.is_some());
    }
}

#[tokio::test]
async fn a_subscription_that_was_replaced_outlives_the_message_to_the_one_before() {
    for bench in halls().await {
        let ada = place("arena", 1);
        bench.subscribe(&ada, "ada").await;
        bench.call(&[&ada]).await;
        let claimed = bench.claim(1).await;
        bench.subscribe(&ada, "new").await;
        let messages = bench.seats.line_messages();
        messages.settle(&claimed[0], None).await.unwrap();
        assert_eq!(bench.subscription(&ada).await, Some(push("new")));
        bench.clock.advance_ms(LEASE_MS);
        assert_eq!(bench.claim(1).await, [], "its turn has not come");
    }
}

#[tokio::test]
async fn no_two_nodes_take_one_message_and_none_takes_more_than_it_asks_for() {
    for bench in halls().await {
        let places: Vec<InLine> = (0..20).map(|visitor| place("arena", visitor)).collect();
        for place in &places {
            bench.subscribe(place, "fan").await;
        }
        bench.call(&places.iter().collect::<Vec<_>>()).await;
        let all = tokio::join!(bench.claim(8), bench.claim(8), bench.claim(8));
        let mut taken = Vec::new();
        for claimed in [all.0, all.1, all.2] {
            assert!(claimed.len() <= 8);
            taken.extend(claimed);
        }
        taken.extend(bench.claim(20).await);
        let mut visitors: Vec<u128> = taken
            .iter()
            .map(|message| message.place.visitor.0)
            .collect();
        visitors.sort_unstable();
        assert_eq!(visitors, (0..20).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn subscriptions_are_never_stored_in_clear() {
    for mut bench in halls().await {
        bench.reopen_with(&"0a".repeat(32)).await.unwrap();
        let ada = place("arena", 1);
        bench.subscribe(&ada, "ada").await;
        let messages = bench.seats.line_messages();
        messages.keep(&ada, &sms(PHONE)).await.unwrap();
        let stored = bench.everything_stored();
        for secret in ["push.example", "a secret", "a key", "15112345678"] {
            assert!(!stored.contains(secret), "{secret} is in clear");
        }
    }
}

#[tokio::test]
async fn subscriptions_are_deleted_with_their_line_and_event_but_not_while_they_are_told() {
    for bench in halls().await {
        let (arena, other) = (place("arena", 1), place("other", 1));
        let called = place("arena", 2);
        for place in [&arena, &other, &called] {
            bench.subscribe(place, "fan").await;
        }
        bench.call(&[&called]).await;
        let messages = bench.seats.line_messages();
        while messages.purge(Some(&arena.event), 0).await.unwrap() {}
        assert_eq!(bench.subscription(&arena).await, None);
        assert!(bench.subscription(&called).await.is_some());
        assert!(bench.subscription(&other).await.is_some());
        bench.clock.advance_ms(120_000);
        while messages.purge(Some(&arena.event), 0).await.unwrap() {}
        assert_eq!(bench.subscription(&called).await, None);
        bench.subscribe(&arena, "fan").await;
        while messages.purge(None, 120_000).await.unwrap() {}
        assert_eq!(bench.subscription(&other).await, None);
        assert!(bench.subscription(&arena).await.is_some());
        bench.seats.remove(&arena.event).await.unwrap();
        assert_eq!(bench.subscription(&arena).await, None);
    }
}

#[tokio::test]
async fn a_place_has_a_subscription_and_a_number_and_each_is_told_by_its_channel() {
    for bench in halls().await {
        let ada = place("arena", 1);
        let messages = bench.seats.line_messages();
        bench.subscribe(&ada, "ada").await;
        messages.keep(&ada, &sms("+491511")).await.unwrap();
        messages.keep(&ada, &sms(PHONE)).await.unwrap();
        let number = messages.find(&ada, Channel::Sms).await.unwrap();
        assert_eq!(number, Some(sms(PHONE)));
        assert_eq!(bench.subscription(&ada).await, Some(push("ada")));
        bench.call(&[&ada]).await;
        let claimed = messages.claim(Channel::Sms, 10, LEASE_MS).await.unwrap();
        assert_eq!(claimed.len(), 1);
        assert_eq!(
            (claimed[0].channel, &claimed[0].contact),
            (Channel::Sms, &number)
        );
        messages.settle(&claimed[0], None).await.unwrap();
        assert_eq!(messages.find(&ada, Channel::Sms).await.unwrap(), None);
        let pushed = bench.claim(10).await;
        assert_eq!(pushed.len(), 1);
        assert_eq!(pushed[0].contact, Some(push("ada")));
        messages.keep(&ada, &sms(PHONE)).await.unwrap();
        messages.remove(&ada, Channel::Sms).await.unwrap();
        assert_eq!(messages.find(&ada, Channel::Sms).await.unwrap(), None);
        assert!(bench.subscription(&ada).await.is_some());
    }
}

#[tokio::test]
async fn a_backlog_counts_the_messages_of_a_channel_whose_turn_has_come() {
    for bench in halls().await {
        let (ada, ben) = (place("arena", 1), place("arena", 2));
        let messages = bench.seats.line_messages();
        bench.subscribe(&ada, "ada").await;
        bench.subscribe(&ben, "ben").await;
        messages.keep(&ada, &sms(PHONE)).await.unwrap();
        let backlog = async |channel| messages.backlog(channel).await.unwrap();
        assert_eq!(backlog(Channel::Push).await, LineBacklog::default());
        bench.call(&[&ada]).await;
        bench.clock.advance_ms(7_000);
        bench.call(&[&ben]).await;
        // One that is being sent waits as well.
        let taken = bench.claim(2).await;
        bench.clock.advance_ms(2_000);
        let both = LineBacklog {
            waiting: 2,
            oldest_seconds: 9,
        };
        assert_eq!(backlog(Channel::Push).await, both);
        assert_eq!(backlog(Channel::Sms).await.waiting, 1);
        for message in &taken {
            messages.settle(message, None).await.unwrap();
        }
        assert_eq!(backlog(Channel::Push).await, LineBacklog::default());
    }
}

#[tokio::test]
async fn text_messages_are_counted_to_a_number_for_an_event_and_in_a_day_and_never_beyond() {
    for mut bench in halls().await {
        let (arena, other) = (place("arena", 1).event, place("other", 1).event);
        assert_eq!(bench.count_text(PHONE).await, SmsCount::Counted);
        bench.reopen().await;
        assert_eq!(bench.count_text(PHONE).await, SmsCount::Counted);
        assert_eq!(bench.count_text(PHONE).await, SmsCount::NumberIsFull);
        let (messages, now) = (bench.seats.line_messages(), bench.clock.now());
        // Another event, and a message that was not sent.
        let elsewhere = messages.count_sms(&other, PHONE, now, BOUNDS).await;
        assert_eq!(elsewhere.unwrap(), SmsCount::Counted);
        messages.uncount_sms(&arena, PHONE, now).await.unwrap();
        assert_eq!(bench.count_text(PHONE).await, SmsCount::Counted);
        assert_eq!(bench.count_text(PHONE).await, SmsCount::NumberIsFull);
        // Three are counted in this day, so that two of these are not too many.
        let phones = ["+491", "+492", "+493", "+494"].map(|phone| bench.count_text(phone));
        let counted = futures_util::future::join_all(phones).await;
        let is = |which| counted.iter().filter(|it| **it == which).count();
        assert_eq!((is(SmsCount::Counted), is(SmsCount::DayIsFull)), (2, 2));
        bench.clock.advance_ms(24 * 3_600_000);
        assert_eq!(bench.count_text("+495").await, SmsCount::Counted);
        assert_eq!(bench.count_text(PHONE).await, SmsCount::NumberIsFull);
        // The end of a line changes nothing, and time does.
        while messages.purge(Some(&arena), 0).await.unwrap() {}
        assert_eq!(bench.count_text(PHONE).await, SmsCount::NumberIsFull);
        while messages.purge(None, 3_600_000).await.unwrap() {}
        assert_eq!(bench.count_text(PHONE).await, SmsCount::Counted);
    }
}

#[tokio::test]
async fn a_number_is_told_and_erased_with_the_address_of_its_place() {
    for bench in halls().await {
        let (ada, ben) = (place("arena", 1), place("arena", 2));
        let messages = bench.seats.line_messages();
        for (place, email) in [(&ada, "ada@example.org"), (&ben, "ben@example.org")] {
            let mail = LineMail {
                email: email.to_owned(),
                language: "en".to_owned(),
                link: "proof".to_owned(),
                number: None,
                tell_soon: false,
            };
            bench.seats.line_mails().keep(place, &mail).await.unwrap();
            messages.keep(place, &sms(PHONE)).await.unwrap();
        }
        let phone = bench.seats.line_phone_of(&ada).await.unwrap();
        assert_eq!(phone.as_deref(), Some(PHONE));
        let erased = bench.seats.erase_line_mails("Ada@example.org").await;
        assert_eq!(erased.unwrap(), 1);
        assert_eq!(bench.seats.line_phone_of(&ada).await.unwrap(), None);
        assert!(bench.seats.line_phone_of(&ben).await.unwrap().is_some());
    }
}
