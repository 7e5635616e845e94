//! Personal data: sealed where it is stored, exported, erased, and deleted when it is old.

use crate::bench::*;
use checkout::inventory::{Buyer, OrderKey, OrderPage, SessionKeys, Verdict};

const DAY_SECONDS: i64 = 24 * 3600;
const NAME: &str = "Ada Lovelace";
const EMAIL: &str = "Ada@Example.org";

fn key(digits: &str) -> String {
    digits.repeat(32)
}

/// Buys a seat under the name and address of these tests.
async fn buy(bench: &Bench, fan: &SessionKeys, seat: &str) -> checkout::inventory::Order {
    let hold = bench.hold(fan, named(&[seat])).await.unwrap();
    let buyer = Buyer {
        name: NAME.into(),
        email: EMAIL.into(),
    };
    let attempt = attempt(&format!("order {seat}"), "b");
    let made = bench
        .seats
        .order(fan.clone(), &hold.id, buyer, attempt)
        .await;
    let order = made.unwrap().value;
    assert_eq!(order.buyer.as_ref().unwrap().name, NAME);
    bench.pay(fan, &order, Verdict::Captured).await.unwrap()
}

/// Seals all buyers with the current key, and erases those that are older.
async fn tend(bench: &Bench, kept_days: Option<u32>) {
    let mut after: Option<OrderKey> = None;
    loop {
        after = bench.seats.tend_buyers(after, kept_days).await.unwrap();
        if after.is_none() {
            return;
        }
    }
}

#[tokio::test]
async fn no_buyer_and_no_token_stands_in_clear_in_a_file_or_a_table() {
    for mut bench in halls().await {
        bench.reopen_with(&key("0a")).await.unwrap();
        let ada = bench.fan(1).await;
        let order = buy(&bench, &ada, "st-A-1").await;
        let reports = bench.seats.reports().await.unwrap();
        assert_eq!(reports[0].token, "token-adm-1");
        let stored = bench.everything_stored();
        assert!(stored.contains(&order.id), "the order is there");
        for text in [NAME, "Lovelace", EMAIL, "token-adm-1"] {
            assert!(!stored.contains(text), "{text} is in clear");
        }
        bench.seats.reported(reports).await.unwrap();
        // Read back after a restart, in all ways.
        bench.reopen_with(&key("0a")).await.unwrap();
        let seen = bench.see(&ada, &order).await;
        assert_eq!(seen.buyer.unwrap().email, EMAIL);
        let listed = bench
            .seats
            .orders(&bench.event, &OrderPage::newest(10))
            .await
            .unwrap();
        assert_eq!(listed[0].buyer.as_ref().unwrap().name, NAME);
    }
}

#[tokio::test]
async fn a_key_is_changed_while_both_are_known_and_one_that_is_still_needed_is_missed() {
    let (old, new) = (key("0a"), key("0b"));
    let both = format!("{new},{old}");
    for mut bench in halls().await {
        let ada = bench.fan(1).await;
        let clear = buy(&bench, &ada, "st-A-1").await;
        bench.reopen_with(&old).await.unwrap();
        let ben = bench.fan(2).await;
        let sealed = buy(&bench, &ben, "st-A-2").await;
        let missed = bench.reopen_with(&new).await.unwrap_err();
        assert!(missed.contains("FAIRLINE_PERSONAL_KEYS"), "{missed}");
        bench.reopen_with(&both).await.unwrap();
        tend(&bench, None).await;
        assert!(!bench.everything_stored().contains(NAME) || bench.is_sqlite());
        bench.reopen_with(&new).await.unwrap();
        for (fan, order) in [(&ada, &clear), (&ben, &sealed)] {
            let seen = bench.see(fan, order).await;
            assert_eq!(seen.buyer.unwrap().name, NAME);
        }
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!(sales.booked, 2);
    }
}

#[tokio::test]
async fn a_person_is_exported_and_erased_by_address_and_the_orders_stay_as_figures() {
    for mut bench in halls().await {
        bench.reopen_with(&key("0a")).await.unwrap();
        let (ada, ben) = (bench.fan(1).await, bench.fan(2).await);
        let order = buy(&bench, &ada, "st-A-1").await;
        let other = bench.buy(&ben, &["st-A-2"]).await;
        let export = async |email: &str| bench.seats.export_person(email).await.unwrap();
        let found = export(" ADA@example.org").await;
        // The buyer of `other` has the same address.
        assert_eq!(found.len(), 2);
        let theirs = found.iter().find(|person| person.order.id == order.id);
        let theirs = theirs.unwrap();
        assert_eq!(theirs.order.buyer.as_ref().unwrap().name, NAME);
        assert_eq!(theirs.visit.sessions_until.len(), 1);
        assert_eq!(theirs.visit.holds[0].seats, order.seats);
        assert!(export("ben@example.org").await.is_empty());
        assert_eq!(bench.seats.erase_person("ada@example.org").await, Ok(2));
        assert!(export(EMAIL).await.is_empty());
        let seen = bench.see(&ada, &order).await;
        assert_eq!((seen.buyer, &seen.tickets), (None, &order.tickets));
        let listed = bench
            .seats
            .orders(&bench.event, &OrderPage::newest(10))
            .await
            .unwrap();
        assert!(listed.iter().all(|order| order.buyer.is_none()));
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!((sales.revenue.amount, sales.orders["confirmed"]), (9000, 2));
        // Nor does the stored answer to the request tell it again.
        let again = bench.seats.order(
            ada.clone(),
            "hold_of_before",
            buyer(),
            attempt("order st-A-1", "b"),
        );
        let again = again.await.unwrap();
        assert!(again.is_replayed && again.value.buyer.is_none());
        let refund = bench.seats.begin_refund(&bench.event, &other.id).await;
        bench.seats.refunded(&refund.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_older_than_it_is_kept_goes_and_nothing_else_does() {
    for mut bench in halls().await {
        let ada = bench.fan(1).await;
        let released = bench.hold(&ada, named(&["st-B-1"])).await.unwrap();
        bench
            .seats
            .release(ada.clone(), &released.id)
            .await
            .unwrap();
        let old = buy(&bench, &ada, "st-A-1").await;
        let unpaid = bench.fan(3).await;
        let hold = bench.hold(&unpaid, named(&["st-A-3"])).await.unwrap();
        let open = bench.order(&unpaid, &hold).await.unwrap();
        let id = &open.payment.id;
        bench
            .seats
            .begin_payment(unpaid.clone(), id, None)
            .await
            .unwrap();
        let reports = bench.seats.reports().await.unwrap();
        bench.seats.reported(reports).await.unwrap();
        bench.clock.advance_ms(29 * DAY_SECONDS * 1000);
        let purge = async || while bench.seats.purge_old_visits(30).await.unwrap() {};
        purge().await;
        tend(&bench, Some(30)).await;
        let session = bench.seats.session(ada.clone(), None).await;
        assert!(session.unwrap().is_over, "not old yet");
        assert!(bench.see(&ada, &old).await.buyer.is_some());
        bench.clock.advance_ms(2 * DAY_SECONDS * 1000);
        let ben = bench.fan(2).await;
        let new = buy(&bench, &ben, "st-A-2").await;
        purge().await;
        tend(&bench, Some(30)).await;
        bench.reopen().await;
        let session = bench.seats.session(ada.clone(), None).await;
        assert!(session.is_err(), "{session:?}");
        let orders = bench
            .seats
            .orders(&bench.event, &OrderPage::newest(10))
            .await
            .unwrap();
        let buyer_of = |id: &str| {
            let order = orders.iter().find(|order| order.id == id).unwrap();
            order.buyer.is_some()
        };
        assert!(!buyer_of(&old.id), "thirty days are over");
        assert!(buyer_of(&new.id));
        assert!(buyer_of(&open.id), "its money may yet come");
        let stored = bench.everything_stored();
        assert!(!stored.contains(&bench.hold_in_store(&released.id)) || bench.is_sqlite());
        assert_eq!(bench.see(&ben, &new).await.state, "confirmed");
        let sales = bench.seats.sales(&bench.event).await.unwrap();
        assert_eq!((sales.booked, sales.orders["confirmed"]), (2, 2));
    }
}
