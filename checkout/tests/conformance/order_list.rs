//! Orders as organisers list them.

use crate::bench::*;
use checkout::inventory::{Buyer, OrderList, OrderPage, OrderSearch, Refused};
use shared::group_commit::Unavailable;
use std::collections::BTreeSet;

impl Bench {
    async fn listed(&self, page: OrderPage) -> OrderList {
        let listed = self.seats.list_orders(&self.event, page, None).await;
        listed.unwrap()
    }

    /// Returns the seats of the orders that a search finds.
    async fn found(&self, text: &str, has_buyers: bool) -> Vec<String> {
        let search = OrderSearch {
            text: text.to_owned(),
            has_buyers,
        };
        let page = OrderPage::newest(10);
        let found = self.seats.list_orders(&self.event, page, Some(&search));
        let found = found.await.unwrap();
        assert_eq!(found.next, None);
        let seats = found.orders.iter().flat_map(|order| order.seats.iter());
        seats.map(|seat| seat.id.to_string()).collect()
    }

    /// Returns the ids of all orders of a state, page by page.
    async fn all(&self, state: Option<&str>, limit: u32) -> Vec<String> {
        let mut ids = Vec::new();
        let mut page = OrderPage {
            state: state.map(str::to_owned),
            ..OrderPage::newest(limit)
        };
        loop {
            let listed = self.listed(page.clone()).await;
            assert!(listed.orders.len() <= limit as usize);
            ids.extend(listed.orders.into_iter().map(|order| order.id));
            if listed.next.is_none() {
                return ids;
            }
            page.after = listed.next;
        }
    }
}

#[tokio::test]
async fn every_order_is_on_one_page_whatever_its_size_also_of_one_instant() {
    for bench in halls().await {
        let mut made = BTreeSet::new();
        for (fan, seat) in (1..).zip(["st-A-1", "st-A-2", "st-A-3", "st-A-4", "st-A-5"]) {
            let fan = bench.fan(fan).await;
            let hold = bench.hold(&fan, named(&[seat])).await.unwrap();
            made.insert(bench.order(&fan, &hold).await.unwrap().id);
            if seat == "st-A-3" {
                bench.clock.advance_ms(1000);
            }
        }
        for limit in [1, 2, 5, 100] {
            let ids = bench.all(None, limit).await;
            assert_eq!(ids.len(), 5, "{limit}");
            assert_eq!(BTreeSet::from_iter(ids), made, "{limit}");
        }
        let newest = bench.listed(OrderPage::newest(2)).await.orders;
        assert!(
            newest[1].created_at > bench.listed(OrderPage::newest(5)).await.orders[2].created_at
        );
        assert_eq!(bench.all(Some("confirmed"), 2).await, Vec::<String>::new());
        assert_eq!(bench.all(Some("paying"), 2).await.len(), 5);
        let page = OrderPage {
            state: Some("paid".to_owned()),
            ..OrderPage::newest(5)
        };
        let refused = bench.seats.list_orders(&bench.event, page, None).await;
        assert!(matches!(refused, Err(Refused::Invalid(_))));
    }
}

#[tokio::test]
async fn an_order_is_found_by_buyer_seat_and_number_sealed_or_not() {
    for mut bench in halls().await {
        let key = format!("{}{}", "0a".repeat(31), "0b");
        bench.reopen_with(&key).await.unwrap();
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1"]).await;
        let ben = bench.fan(2).await;
        let hold = bench.hold(&ben, named(&["st-B-1"])).await.unwrap();
        let buyer = Buyer {
            name: "Ben Šimić".into(),
            email: "Ben@Example.com".into(),
        };
        let made = bench.seats.order(ben.clone(), &hold.id, buyer, None).await;
        made.unwrap();
        for (text, seats) in [
            ("ada@", &["st-A-1"][..]),
            (" BEN@example.com ", &["st-B-1"]),
            ("šimić", &["st-B-1"]),
            ("ST-a-1", &["st-A-1"]),
            ("st-A", &[]),
            (&order.id, &["st-A-1"]),
            (&order.id[4..12], &["st-A-1"]),
            ("example", &["st-B-1", "st-A-1"]),
            ("nobody", &[]),
        ] {
            let mut found = bench.found(text, true).await;
            let mut wanted = seats.to_vec();
            found.sort();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{text}");
        }
        assert_eq!(bench.found("ada@", false).await, Vec::<String>::new());
        assert_eq!(bench.found("st-A-1", false).await, ["st-A-1"]);
    }
}

#[tokio::test]
async fn a_mistyped_buyer_is_corrected_for_the_fan_too_and_one_who_was_erased_stays_so() {
    for bench in halls().await {
        let ada = bench.fan(1).await;
        let order = bench.buy(&ada, &["st-A-1"]).await;
        let fix = async |email: &str| {
            let fixed = |before: &Buyer| Buyer {
                email: email.to_owned(),
                ..before.clone()
            };
            let changed = bench.seats.change_buyer(&bench.event, &order.id, fixed);
            changed.await
        };
        assert_eq!(fix("ada@example.com").await.unwrap(), buyer());
        let seen = bench.see(&ada, &order).await.buyer.unwrap();
        assert_eq!(
            (seen.name.as_str(), seen.email.as_str()),
            ("Ada", "ada@example.com")
        );
        assert_eq!(bench.found("ada@example.com", true).await, ["st-A-1"]);
        bench.seats.erase_person("ada@example.com").await.unwrap();
        assert_eq!(fix("x@example.com").await, Err(Refused::BuyerGone));
        let unknown = bench
            .seats
            .change_buyer(&bench.event, "ord_0", Buyer::clone);
        assert_eq!(unknown.await, Err(Refused::NoSuchOrder));
    }
}

#[tokio::test]
async fn orders_that_were_read_under_another_plan_are_not_shown_under_this_one() {
    // On Postgres the plan of then is loaded.
    let bench = halls().await.remove(0);
    bench.buy(&bench.fan(1).await, &["st-A-1"]).await;
    bench.change_store("", "update event set plan_version = plan_version + 1");
    let page = OrderPage::newest(10);
    let refused = bench.seats.orders(&bench.event, &page).await;
    assert_eq!(refused, Err(Unavailable.into()));
}
